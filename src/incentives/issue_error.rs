//! Why a new reward is refused, or a used key not answered with its own.

use std::time::Duration;

use super::{admission::BudgetError, kind::WrongField, model::Reward, retry::Lapse};
use crate::{
    accounts::{NoSlot, Paced},
    kernel::{Currency, Money, RewardId},
    ledger::{ceilings::CeilingReached, floor::FloorReached},
    lifecycle::Lost,
    provider::login::LoginError,
    sealing::SealingError,
    store::StoreError,
};

/// Why an issue was refused before this request sent anything.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key was used for another command.
    #[error("the idempotency key was used for another request")]
    Mismatch {
        /// What it bought then.
        reward: RewardId,
        /// The first member of the body that differs; empty for the whole of it.
        pointer: &'static str,
    },
    /// The external id names another reward.
    #[error("the external id is taken")]
    ExternalIdConflict,
    /// The caller does not wait, and asks that what is not proven while they wait be canceled: bought and canceled for
    /// nothing.
    #[error("a caller who does not wait cannot have canceled what is not proven meanwhile")]
    Unawaited,
    /// A text that would be stored can be a claim code.
    #[error("a text of the request can be a claim code")]
    MayBeCode {
        /// Where it stands in the request.
        pointer: &'static str,
    },
    /// A text that would be stored repeats what the reward acts on.
    #[error("a text of the request repeats its target")]
    RepeatsTarget {
        /// Where it stands in the request.
        pointer: &'static str,
    },
    /// No account of this id.
    #[error("there is no account of that id")]
    UnknownAccount,
    /// Several accounts could pay.
    #[error("several accounts deal in this currency")]
    AmbiguousAccount,
    /// The account that would pay deals in other kinds.
    #[error("the account does not deal in this kind")]
    KindNotSold {
        /// The words of those that it deals in.
        sold: Vec<&'static str>,
    },
    /// The command names what the account's settings do not.
    #[error("the account does not take this")]
    NotOfAccount {
        /// Where, and what is expected there.
        field: WrongField,
        /// What the account takes, where that is a list.
        expected: Vec<String>,
    },
    /// No account deals in the currency.
    #[error("no account deals in the currency")]
    Currency(Currency),
    /// The account has no client id at Login with Amazon.
    #[error("the account has no client id at Login with Amazon")]
    NoLogin,
    /// It is not known who signed in; nothing was recorded.
    #[error(transparent)]
    NotSignedIn(LoginError),
    /// The same where the idempotency key was used before: its reward may be this shopper's.
    #[error("the target of then cannot be compared with whoever signed in")]
    Unrecognized {
        /// What the key named.
        reward: RewardId,
        /// Why.
        #[source]
        why: LoginError,
    },
    /// The card of this key was found without its row, and cannot be taken over now. It may stand.
    #[error("the card of then cannot be taken over now")]
    NotReclaimed(#[source] Box<IssueError>),
    /// Outside the account's limits.
    #[error("the amount is outside the account's limits")]
    AmountOutOfRange {
        /// The smallest.
        minimum: Money,
        /// The largest.
        maximum: Money,
    },
    /// Too much is in flight.
    #[error("too many requests are in flight")]
    Busy,
    /// The program, or one of its budgets, does not allow it; nothing was recorded.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A ceiling of the day does not allow it; nothing was recorded.
    #[error("a ceiling of the day is reached")]
    Ceiling(CeilingReached),
    /// The rest of the account's funds is kept; nothing was recorded.
    #[error("the funds have come down to their floor")]
    Floor(FloorReached),
    /// The account is known not to work; nothing was recorded.
    #[error("Amazon refuses the account")]
    Refused(Paced),
    /// The reward of this key was refused before, and its next try is not allowed yet.
    #[error("the next try comes too early")]
    NotYet {
        /// As it stands.
        reward: Box<Reward>,
        /// How much too early.
        retry_after: Duration,
    },
    /// The reward of this key was refused before, and the settings allow no other try now.
    #[error("the reward cannot be tried again")]
    Lapsed {
        /// As it stands.
        reward: Box<Reward>,
        /// Why.
        #[source]
        why: Lapse,
    },
    /// Amazon's rate is used up for longer than the caller waits; nothing was recorded.
    #[error(transparent)]
    NoSlot(#[from] NoSlot),
    /// The idempotency key was used before. Whether it was for the same target is unknown, because the settings do not list
    /// the sealing key of its fingerprint. A mismatch would invite the caller to buy again under another idempotency key.
    #[error("the target of then cannot be compared")]
    TargetUnknown,
    /// What the reward acts on could not be sealed; nothing was recorded.
    #[error(transparent)]
    Unsealed(#[from] SealingError),
    /// The database took so long that it is not known whether the request was recorded.
    #[error("the request was not recorded in time")]
    Late,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer; it is durable if it began.
    #[error(transparent)]
    Lost(#[from] Lost),
}
