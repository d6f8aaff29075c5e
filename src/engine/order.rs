//! An order: what the engine knows of one remote effect. A stage owns the data that only it has, so a combination that
//! means nothing cannot be built.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::rules::{Reading, Rules};
use crate::kernel::word_methods;

/// The word of a stage. The words are durable: words are added, never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Recorded; it is proven that nothing has reached the remote service.
    Pending,
    /// An attempt was committed and may have reached the remote service.
    Issuing,
    /// At least one attempt ended without a proven outcome, and none was proven.
    Unresolved,
    /// Proven to exist, as asked.
    Issued,
    /// A definite refusal, and no doubt before it: nothing was done.
    Failed,
    /// Proven to exist, and its reversal is committed; the reversal's outcome is not proven yet.
    Canceling,
    /// The reversal is proven, or nothing was ever done and nothing will be.
    Canceled,
    /// A person decides; the reason is stored.
    NeedsAttention,
}
word_methods!(State);

/// Why automation has stopped and a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AttentionReason {
    /// The remote service shows the effect as reversed, and we did not reverse it.
    CanceledElsewhere,
    /// The effect has a status that is neither live nor reversed.
    #[strum(serialize = "odd_card_status")]
    OddStatus,
    /// The answer shows another id, amount or currency.
    Mismatch,
    /// No outcome was proven in 24 hours and 100 tries.
    Unproven,
    /// No outcome of the reversal was proven in 24 hours and 100 tries.
    CancelUnproven,
    /// It was to be reversed, nobody has its receipt, and it is proven that it was not reversed.
    CancelFailed,
    /// The same bytes were refused again and again after an attempt whose outcome is unknown: no replay will prove
    /// that attempt.
    RefusedInDoubt,
    /// The remote service says that it was done under another id, after an attempt of ours whose outcome is unknown.
    #[strum(serialize = "activated_elsewhere")]
    DoneElsewhere,
    /// Only the remote service knew of it: a reconciliation made the row.
    Adopted,
}
word_methods!(AttentionReason);

/// Why a reversal did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ReversalFailure {
    /// The remote service's window was over.
    TooLate,
    /// The remote service does not permit it: in practice the recipient has claimed it, or it is not ready yet.
    NotPermitted,
}
word_methods!(ReversalFailure);

/// Who wishes a reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wisher {
    /// A caller who hears whether the wish was recorded.
    Present,
    /// The caller who began the order. They have gone without its receipt, and nobody else has had it.
    Gone,
    /// The same caller. Somebody else may have had the receipt, of an order that was lost since.
    GonePerhapsServed,
}

impl Wisher {
    /// Whether the wish is recorded again when the store fails: nobody is there who could repeat it.
    pub(super) const fn insists(self) -> bool {
        matches!(self, Self::Gone | Self::GonePerhapsServed)
    }
}

/// What becomes of an order whose outcome is not proven while its caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUnproven {
    /// A late success stays.
    Keep,
    /// It is reversed as soon as it is proven, and not begun where nothing was sent.
    Reverse,
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The effect itself: the first time, or the same bytes again.
    Forward,
    /// Its reversal.
    Reverse,
    /// A read, of an effect that is proven to exist; or of one that may exist, where its kind has an operation for that
    /// ([`super::rules::Reading::Operation`]).
    Read,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Reverse, Self::Read];
}

/// Attempts were committed, and none was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Try {
    /// When the first attempt that may have reached the remote service was about to leave. Replays never move it.
    pub first_sent_at: DateTime<Utc>,
    /// An attempt ended without a proven outcome. From then on a refusal proves nothing.
    pub doubt: bool,
    /// It is to be reversed as soon as its existence is proven.
    pub reversal_wanted: bool,
    /// Replays in a row that were refused for good since the doubt.
    pub refusals: u8,
    /// The row of an earlier attempt may have been lost, with what that attempt has handed out.
    pub handed_out: bool,
    /// The answer to a replay showed that it was done under our id, at some time. Whether it still stands, only a read shows.
    pub done: bool,
}

/// The effect exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proof {
    /// As in [`Try`]: the reversal's window counts from here.
    pub first_sent_at: DateTime<Utc>,
    /// When the proof was committed.
    pub proven_at: DateTime<Utc>,
    /// Why an earlier wish to reverse it came to nothing.
    pub reversal_failure: Option<ReversalFailure>,
    /// Whether its receipt may have been handed to somebody. It is committed as handed out before it leaves, so a crash in
    /// between leaves `true` although nobody has it; `false` proves that nobody has it. The other order would let a receipt
    /// leave that is proven to be nobody's, and an operator would act on that.
    pub handed_out: bool,
}

/// The effect exists, and its reversal may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reversal {
    /// As in [`Proof`].
    pub first_sent_at: DateTime<Utc>,
    /// When the effect was committed as proven; `None` when the wish to reverse it was there before.
    pub proven_at: Option<DateTime<Utc>>,
    /// An attempt to reverse it ended without a proven outcome.
    pub doubt: bool,
    /// How the remote service refused the reversal last. While the window is open a refusal is no verdict, unless it says that
    /// the remote service's own window is over.
    pub refused: Option<ReversalFailure>,
    /// As in [`Proof`].
    pub handed_out: bool,
}

impl Reversal {
    /// Whether an attempt to reverse it may be started now.
    #[must_use]
    pub fn is_open(&self, rules: &Rules, now: DateTime<Utc>) -> bool {
        self.refused != Some(ReversalFailure::TooLate) && rules.may_reverse(self.first_sent_at, now)
    }
}

/// The effect is reversed, or never was and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reversed {
    /// `None` when it is proven that nothing was done.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// When the effect was committed as proven, if it was.
    pub proven_at: Option<DateTime<Utc>>,
    /// When the reversal was committed; `None` where a person found that nothing was done.
    pub reversed_at: Option<DateTime<Utc>>,
    /// Why an earlier attempt to reverse it came to nothing.
    pub reversal_failure: Option<ReversalFailure>,
}

/// A person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Why; `None` only in rows that an earlier release wrote without a reason.
    pub why: Option<AttentionReason>,
    /// As in [`Try`].
    pub first_sent_at: Option<DateTime<Utc>>,
    /// When the effect was committed as proven, if it was.
    pub proven_at: Option<DateTime<Utc>>,
    /// An attempt ended without a proven outcome.
    pub doubt: bool,
    /// It was to be reversed.
    pub reversal_wanted: bool,
    /// Why an attempt to reverse it came to nothing.
    pub reversal_failure: Option<ReversalFailure>,
}

/// Where an order stands, with what only this stage knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// See [`State::Pending`].
    Pending,
    /// See [`State::Issuing`].
    Sending(Try),
    /// See [`State::Unresolved`].
    Unproven(Try),
    /// See [`State::Issued`].
    Proven(Proof),
    /// See [`State::Canceling`].
    Reversing(Reversal),
    /// See [`State::Canceled`].
    Reversed(Reversed),
    /// See [`State::Failed`].
    Refused {
        /// The same order can succeed later, under the same id.
        retryable: bool,
    },
    /// See [`State::NeedsAttention`].
    Attention(Attention),
}

impl Stage {
    /// The stage's word.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::Sending(_) => State::Issuing,
            Self::Unproven(_) => State::Unresolved,
            Self::Proven(_) => State::Issued,
            Self::Reversing(_) => State::Canceling,
            Self::Reversed(_) => State::Canceled,
            Self::Refused { .. } => State::Failed,
            Self::Attention(_) => State::NeedsAttention,
        }
    }

    /// When the first attempt that may have reached the remote service was about to leave.
    #[must_use]
    pub const fn first_sent_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pending | Self::Refused { .. } => None,
            Self::Sending(sent) | Self::Unproven(sent) => Some(sent.first_sent_at),
            Self::Proven(proof) => Some(proof.first_sent_at),
            Self::Reversing(reversal) => Some(reversal.first_sent_at),
            Self::Reversed(reversed) => reversed.first_sent_at,
            Self::Attention(attention) => attention.first_sent_at,
        }
    }

    /// When the effect was committed as proven, if it was.
    #[must_use]
    pub const fn proven_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pending | Self::Sending(_) | Self::Unproven(_) | Self::Refused { .. } => None,
            Self::Proven(proof) => Some(proof.proven_at),
            Self::Reversing(reversal) => reversal.proven_at,
            Self::Reversed(reversed) => reversed.proven_at,
            Self::Attention(attention) => attention.proven_at,
        }
    }

    /// When the reversal was committed, if it was.
    #[must_use]
    pub const fn reversed_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Reversed(reversed) => reversed.reversed_at,
            Self::Pending
            | Self::Sending(_)
            | Self::Unproven(_)
            | Self::Proven(_)
            | Self::Reversing(_)
            | Self::Refused { .. }
            | Self::Attention(_) => None,
        }
    }

    /// Why a reversal did not happen, if one was tried.
    #[must_use]
    pub const fn reversal_failure(&self) -> Option<ReversalFailure> {
        match self {
            Self::Proven(proof) => proof.reversal_failure,
            Self::Reversing(reversal) => reversal.refused,
            Self::Reversed(reversed) => reversed.reversal_failure,
            Self::Attention(attention) => attention.reversal_failure,
            Self::Pending | Self::Sending(_) | Self::Unproven(_) | Self::Refused { .. } => None,
        }
    }

    /// Whether it is to be reversed.
    #[must_use]
    pub const fn reversal_wanted(&self) -> bool {
        match self {
            Self::Sending(sent) | Self::Unproven(sent) => sent.reversal_wanted,
            Self::Reversing(_) => true,
            Self::Attention(attention) => attention.reversal_wanted,
            Self::Pending | Self::Proven(_) | Self::Reversed(_) | Self::Refused { .. } => false,
        }
    }

    /// Whether an attempt, or an attempt to reverse, ended without a proven outcome and none was proven since.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        match self {
            Self::Sending(sent) | Self::Unproven(sent) => sent.doubt,
            Self::Reversing(reversal) => reversal.doubt,
            Self::Attention(attention) => attention.doubt,
            Self::Pending | Self::Proven(_) | Self::Reversed(_) | Self::Refused { .. } => false,
        }
    }

    /// Why a person decides, where one does.
    #[must_use]
    pub const fn attention(&self) -> Option<AttentionReason> {
        match self {
            Self::Attention(attention) => attention.why,
            Self::Pending
            | Self::Sending(_)
            | Self::Unproven(_)
            | Self::Proven(_)
            | Self::Reversing(_)
            | Self::Reversed(_)
            | Self::Refused { .. } => None,
        }
    }
}

/// What the engine knows of one remote effect: one row, as it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// Where it stands.
    pub stage: Stage,
    /// What becomes of it when its outcome is not proven while the caller waits.
    pub on_unproven: OnUnproven,
    /// Attempts committed, of any action.
    pub attempts: i64,
    /// Of these, the ones before its outcome was unproven.
    pub attempts_before: i64,
    /// How often its receipt was shown again.
    pub showings: i64,
    /// Since when its outcome, or its reversal's, is unproven.
    pub unproven_since: Option<DateTime<Utc>>,
    /// Who works on it.
    pub lease: Option<Uuid>,
    /// When automation takes it up: the end of its lease or of its back-off. `None` when automation has nothing to do.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts every change; an update names the version that it expects.
    pub version: i64,
}

impl Order {
    /// The word of its stage.
    #[must_use]
    pub const fn state(&self) -> State {
        self.stage.state()
    }

    /// What to send next; `None` when automation has nothing to do.
    #[must_use]
    pub fn action(&self, rules: &Rules, now: DateTime<Utc>) -> Option<Action> {
        match self.stage {
            Stage::Pending | Stage::Sending(_) => Some(Action::Forward),
            Stage::Unproven(_) => Some(match rules.reading {
                Reading::ReplayForward => Action::Forward,
                Reading::Operation => Action::Read,
            }),
            Stage::Reversing(reversal) => {
                Some(if reversal.is_open(rules, now) { Action::Reverse } else { Action::Read })
            }
            Stage::Proven(_) | Stage::Reversed(_) | Stage::Refused { .. } | Stage::Attention(_) => None,
        }
    }
}
