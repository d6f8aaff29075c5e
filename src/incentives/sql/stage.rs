//! A stage as the flat row holds it. What fits no stage is refused at the door; a column that a stage has no use for is
//! written empty and is not read.

use chrono::{DateTime, Utc};

use super::{RewardRow, bad, word};
use crate::{
    engine::{
        AttentionReason, ReversalFailure, Stage, State,
        order::{Attention, Proof, Reversal, Reversed, Try},
    },
    store::StoreError,
};

/// The columns of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flat {
    pub(super) ambiguous: bool,
    pub(super) refusals: u8,
    pub(super) cancel_requested: bool,
    pub(super) cancel_doubt: bool,
    pub(super) cancel_failure: Option<ReversalFailure>,
    pub(super) attention: Option<AttentionReason>,
    pub(super) first_send_at: Option<DateTime<Utc>>,
    pub(super) issued_at: Option<DateTime<Utc>>,
    pub(super) canceled_at: Option<DateTime<Utc>>,
    pub(super) retryable: Option<bool>,
    pub(super) handed_out: Option<bool>,
    pub(super) done: Option<bool>,
}

impl Flat {
    pub(super) const fn of(stage: &Stage) -> Self {
        let (ambiguous, refusals) = match stage {
            Stage::Sending(sent) | Stage::Unproven(sent) => (sent.doubt, sent.refusals),
            Stage::Attention(attention) => (attention.doubt, 0),
            Stage::Pending | Stage::Proven(_) | Stage::Reversing(_) | Stage::Reversed(_) | Stage::Refused { .. } => {
                (false, 0)
            }
        };
        Self {
            ambiguous,
            refusals,
            cancel_requested: stage.reversal_wanted(),
            cancel_doubt: matches!(stage, Stage::Reversing(Reversal { doubt: true, .. })),
            cancel_failure: stage.reversal_failure(),
            attention: stage.attention(),
            first_send_at: stage.first_sent_at(),
            issued_at: stage.proven_at(),
            canceled_at: stage.reversed_at(),
            handed_out: match stage {
                // Until it is proven only a lost row can have handed anything out.
                Stage::Sending(sent) | Stage::Unproven(sent) => {
                    if sent.handed_out {
                        Some(true)
                    } else {
                        None
                    }
                }
                Stage::Proven(proof) => Some(proof.handed_out),
                Stage::Reversing(reversal) => Some(reversal.handed_out),
                Stage::Attention(Attention { why: Some(AttentionReason::CancelFailed), .. }) => Some(false),
                Stage::Attention(_) | Stage::Pending | Stage::Reversed(_) | Stage::Refused { .. } => None,
            },
            done: match stage {
                Stage::Sending(Try { done: true, .. }) | Stage::Unproven(Try { done: true, .. }) => Some(true),
                Stage::Sending(_)
                | Stage::Unproven(_)
                | Stage::Pending
                | Stage::Proven(_)
                | Stage::Reversing(_)
                | Stage::Reversed(_)
                | Stage::Refused { .. }
                | Stage::Attention(_) => None,
            },
            retryable: if let Stage::Refused { retryable } = stage { Some(*retryable) } else { None },
        }
    }
}

/// The stage of a row.
pub(super) fn read(row: &RewardRow) -> Result<Stage, StoreError> {
    let state = State::from_word(&row.state).ok_or_else(|| bad("state"))?;
    let sent_at = || row.first_send_at.ok_or_else(|| bad("first_send_at"));
    let reversal_failure = word(row.cancel_failure.as_deref(), ReversalFailure::from_word, "cancel_failure")?;
    let attempt = || -> Result<Try, StoreError> {
        Ok(Try {
            first_sent_at: sent_at()?,
            doubt: row.ambiguous,
            reversal_wanted: row.cancel_requested,
            refusals: u8::try_from(row.refusals).map_err(|_number| bad("refusals"))?,
            handed_out: row.handed_out == Some(true),
            done: row.done == Some(true),
        })
    };
    Ok(match state {
        State::Pending => Stage::Pending,
        State::Issuing => Stage::Sending(attempt()?),
        State::Unresolved => Stage::Unproven(attempt()?),
        State::Issued => Stage::Proven(Proof {
            first_sent_at: sent_at()?,
            proven_at: row.issued_at.ok_or_else(|| bad("issued_at"))?,
            reversal_failure,
            handed_out: handed_out(row),
        }),
        State::Failed => Stage::Refused { retryable: retryable(row) },
        State::Canceling => Stage::Reversing(Reversal {
            first_sent_at: sent_at()?,
            proven_at: row.issued_at,
            doubt: row.cancel_doubt,
            refused: reversal_failure,
            handed_out: handed_out(row),
        }),
        State::Canceled => Stage::Reversed(Reversed {
            first_sent_at: row.first_send_at,
            proven_at: row.issued_at,
            reversed_at: row.canceled_at,
            reversal_failure,
        }),
        State::NeedsAttention => Stage::Attention(Attention {
            why: attention(row)?,
            first_sent_at: row.first_send_at,
            proven_at: row.issued_at,
            doubt: row.ambiguous || row.cancel_doubt,
            reversal_wanted: row.cancel_requested,
            reversal_failure,
        }),
    })
}

/// Whether the receipt may have been handed out. A program of schema 7 does not write it down: it may have been as soon as the
/// reward was issued, and at the latest when it was shown again. Before that nothing leaves.
fn handed_out(row: &RewardRow) -> bool {
    row.deliveries > 0 || row.handed_out.unwrap_or(row.issued_at.is_some())
}

/// Why the reward needs a person. A program of schema 7 does not know the word `cancel_failed`, and could read no row that has
/// it. The row has the word for a cancel that was not proven, which that program knows, and says that nobody has the receipt.
fn attention(row: &RewardRow) -> Result<Option<AttentionReason>, StoreError> {
    let why = word(row.attention.as_deref(), AttentionReason::from_word, "attention")?;
    // That program leaves the mark as it was, and gives up a cancel of its own without a refusal.
    let refused = row.cancel_failure.is_some() && !row.ambiguous;
    let failed = why == Some(AttentionReason::CancelUnproven) && row.handed_out == Some(false) && refused;
    Ok(if failed { Some(AttentionReason::CancelFailed) } else { why })
}

/// The reason's word in the row.
pub(super) fn word_of(why: AttentionReason) -> &'static str {
    match why {
        AttentionReason::CancelFailed => AttentionReason::CancelUnproven.as_str(),
        AttentionReason::CanceledElsewhere
        | AttentionReason::OddStatus
        | AttentionReason::Mismatch
        | AttentionReason::Unproven
        | AttentionReason::CancelUnproven
        | AttentionReason::RefusedInDoubt
        | AttentionReason::DoneElsewhere
        | AttentionReason::Adopted => why.as_str(),
    }
}

/// Written with another version of the row, the column is from before a change by a program that does not know it: that
/// program's own rule holds.
fn retryable(row: &RewardRow) -> bool {
    let written = row.retryable.filter(|_retryable| row.retryable_version == Some(row.version));
    written.unwrap_or_else(|| row.error_code.as_deref() != Some("F200"))
}
