//! Amazon Pay: what buyers pay, and what they get back.
//!
//! A *payment* is one movement of a buyer's money that Amazon makes for us under a key of ours: a charge, against what the buyer consented
//! to, or a refund, against a charge. Both are remote effects that the [`engine`](crate::engine) carries, as it carries rewards: the intent is
//! committed before the first byte, what is unknown is asked again under the same key, and what Amazon decides later is read until it is
//! decided.
//!
//! | file | subject |
//! |---|---|
//! | `account` | the sellers' accounts of the settings |
//! | `kind`, `kinds` | what a charge and a refund are: rules, words, what is sent |
//! | `model` | a payment, and the command that asks for one |
//! | `make` | the use case: a payment is recorded, and carried while its caller waits |
//! | `consents` | what buyers consented to, read at Amazon |
//! | `held` | money that is held: taken by a capture, or given back |
//! | `wait` | how long a caller waits for a payment |
//! | `refundable` | how much of a charge may still be given back |
//! | `checkout` | a buyer's consent: the page's button, and the session that the buyer comes back with |
//! | `notices` | notifications: what Amazon posts when something has changed |
//! | `courier` | what the engine needs of this product |
//! | `follow` | what rooms above write in the transaction that settles a payment |
//! | `recovery` | payments that are due |
//! | `settle` | what an operator found out about a payment that needs a person |
//! | `sql`, `timeline`, `http`, `metrics`, `scopes`, `problems` | rows, facts, the REST face, figures |
//!
//! Nothing of a buyer is kept: no name, no address, no token.

pub mod account;
mod answer;
mod checkout;
mod consents;
pub(crate) mod courier;
mod dto;
pub(crate) mod follow;
pub(crate) mod held;
pub(crate) mod http;
pub mod kind;
mod kinds;
pub(crate) mod make;
pub(crate) mod metrics;
pub(crate) mod model;
pub(crate) mod notices;
pub(crate) mod problems;
pub(crate) mod recovery;
mod refundable;
pub(crate) mod scopes;
mod service;
pub(crate) mod settle;
pub mod sql;
mod timeline;
mod wait;

pub use account::{NoticeGate, PayAccount, PayAccounts};
pub use service::Payments;
