//! The heart: one reward is one thing bought for one recipient, and this room sees to it that it is bought once.
//!
//! `machine` decides, purely; `sql` keeps; `drive` talks to Amazon between two transactions; `service` holds the use
//! cases; `http` is their REST face. The first try and the recovery are the same `drive`.

pub mod adoption;
pub mod attempt;
pub mod attention;
pub mod cancel;
pub mod charge;
pub mod course;
pub mod drive;
pub mod dto;
pub mod http;
pub mod issue;
pub mod machine;
pub mod model;
pub mod recovery;
pub mod restored;
pub mod reveal;
pub mod service;
pub mod sql;
mod timeline;
mod waiter;

pub use model::{Command, Reward};
pub use service::Rewards;
