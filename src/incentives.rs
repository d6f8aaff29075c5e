//! Product 1: rewards over Amazon's Incentives API. One reward is one thing bought for one recipient, and this room sees to
//! it that it is bought once.
//!
//! `kind` and `kinds` say what is sent and what an answer means; `issue`, `cancel`, `reveal` and `check` are the use cases, a type
//! each; `courier` is what the engine needs of the product; `sql` keeps the rows; `http` is the REST face. The first try and
//! every recovery are the same drive of the engine.

pub mod admission;
mod aim;
pub mod answer;
pub mod asking;
pub mod attention;
pub mod cancel;
pub mod check;
mod check_pace;
pub mod courier;
pub mod create_members;
pub mod dto;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hasten;
pub mod http;
mod in_flight;
pub mod issue;
pub mod issue_error;
pub mod kind;
pub mod kinds;
pub mod metrics;
pub mod model;
pub mod orphans;
mod parked;
pub(crate) mod problems;
pub(crate) mod recovery;
pub mod restore_note;
pub mod retention;
pub mod retry;
pub mod reveal;
pub mod reveal_count;
pub(crate) mod scopes;
pub mod service;
pub mod sql;
mod standing;
pub(crate) mod statement;
pub mod target;
pub mod till;
pub mod timeline;
mod unawaited;

pub use metrics::Metrics;
pub use model::{Command, Reward};
pub use service::Rewards;
