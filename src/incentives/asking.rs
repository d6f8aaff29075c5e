//! Asking Amazon about a reward without changing it: what can go wrong, whether a code is to be shown again or a reward checked.

use crate::{
    kernel::{AuthRejection, NotSent, UnknownReason},
    lifecycle::Lost,
    provider::incentives::{Outcome, Refusal},
    store::StoreError,
};

/// Why Amazon showed nothing. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Amazon gave no usable answer.
    #[error("Amazon gave no usable answer")]
    Unusable {
        /// What it was asked.
        operation: &'static str,
        /// What came of it, as metrics and timelines have it.
        reason: &'static str,
    },
    /// Nothing came while the caller waited.
    #[error("no answer came in time")]
    Late,
    /// Amazon's rate is used up.
    #[error("Amazon's rate is used up")]
    Throttled,
    /// The database gave no slot of Amazon's rate.
    #[error("the database gave no slot")]
    NoDatabase,
    /// Amazon turns the account's keys away.
    #[error("Amazon turns the account's keys away")]
    TurnedAway {
        /// What it was asked.
        operation: &'static str,
        /// What it answered.
        why: AuthRejection,
    },
    /// Amazon refused the question.
    #[error("Amazon refused")]
    Refused {
        /// What it was asked.
        operation: &'static str,
        /// What it answered.
        refusal: Refusal,
    },
    /// Too much is in flight.
    #[error("too many requests are in flight")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl AskError {
    /// Of an operation that came to this and showed nothing.
    pub(super) fn of(outcome: Outcome<()>, operation: &'static str) -> Self {
        match outcome {
            Outcome::Refused(refusal) => Self::Refused { operation, refusal },
            Outcome::AuthRejected(why) if why.is_of_the_keys() => Self::TurnedAway { operation, why },
            Outcome::Unknown(UnknownReason::Throttled) | Outcome::NotSent(NotSent::Quota) => Self::Throttled,
            Outcome::NotSent(NotSent::Database) => Self::NoDatabase,
            Outcome::Unknown(_) | Outcome::NotSent(_) | Outcome::AuthRejected(_) | Outcome::Proven(()) => {
                Self::Unusable { operation, reason: outcome.reason() }
            }
        }
    }
}
