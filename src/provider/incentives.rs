//! The signed client of Amazon's Incentives API (AGCOD): the only room from which anything is sent to Amazon.
//!
//! It guarantees that the bytes that are signed are the bytes that are sent, that each call is sent exactly once (no
//! redirect, no retry), and that whatever comes back becomes an [`Outcome`].
//! It never logs: a body can hold a claim code and a header holds the signature.
//!
//! [`Client`] is for the issuing, canceling and funds workers; [`Endpoint`] and [`Credentials`] are for `bootstrap`.

pub mod activity;
#[cfg(feature = "benches")]
pub mod bench;
mod classify;
pub mod client;
pub mod endpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod members;
pub mod refusal;
pub mod sign;
mod skew;
mod wire;

pub use super::transport::install_tls_provider;
pub use activity::{ActivityKind, ActivityPage, ActivityQuery, ActivityRecord};
pub use classify::SeenCard;
pub use client::{AmznRequestId, BuildError, Client, ClientSettings, Exchange, Timeouts};
pub use endpoint::{Endpoint, NotLoopback};
pub use members::{CreateMembers, NewMembers, TransactionSource};
pub use refusal::{ErrorType, Family, Outcome, Refusal};
pub use sign::{Credentials, PairFingerprint};
#[cfg(test)]
pub use wire::named_request_id;
pub use wire::{CardInfo, Comparison, Field, Funds, Operation, RequestValue, Unwritable, object, text};
