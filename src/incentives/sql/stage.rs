//! The stage of a row, also of one that an earlier release wrote. What fits no stage is refused at the door.

use super::{RewardRow, bad, word};
use crate::{
    engine::{AttentionReason, FlatStage, ReversalFailure, Stage, State, flat::Missing},
    store::StoreError,
};

/// The stage of a row.
pub(super) fn read(row: &RewardRow) -> Result<Stage, StoreError> {
    let state = State::from_word(&row.state).ok_or_else(|| bad("state"))?;
    let flat = FlatStage {
        state,
        doubt: row.ambiguous,
        refusals: u8::try_from(row.refusals).map_err(|_number| bad("refusals"))?,
        reversal_wanted: row.cancel_requested,
        reversal_doubt: row.cancel_doubt,
        reversal_failure: word(row.cancel_failure.as_deref(), ReversalFailure::from_word, "cancel_failure")?,
        attention: attention(row)?,
        first_sent_at: row.first_send_at,
        proven_at: row.issued_at,
        reversed_at: row.canceled_at,
        retryable: Some(retryable(row)),
        handed_out: handed_out(row, state),
        done: row.done,
    };
    flat.stage().map_err(|missing| {
        bad(match missing {
            Missing::FirstSentAt => "first_send_at",
            Missing::ProvenAt => "issued_at",
        })
    })
}

/// Whether the receipt may have been handed out. A program of schema 7 does not write it down: it may have been as soon as the
/// reward was issued, and at the latest when it was shown again. Before that nothing leaves, unless a row was lost.
fn handed_out(row: &RewardRow, state: State) -> Option<bool> {
    match state {
        State::Issuing | State::Unresolved => row.handed_out,
        State::Pending | State::Issued | State::Failed | State::Canceling | State::Canceled | State::NeedsAttention => {
            Some(row.deliveries > 0 || row.handed_out.unwrap_or(row.issued_at.is_some()))
        }
    }
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
