//! Beside the write of a change: what it is called, what is said of it once it is committed, and who was faster.

use super::{Courier, Milestone, Reward, State, Written, sql};
use crate::{
    kernel::RewardId,
    store::{StoreError, Tx},
};

impl Courier {
    /// Counts and logs a change once it is committed.
    pub(in crate::incentives) fn report(&self, before: &Reward, after: &Reward) {
        let (from, to) = (before.state(), after.state());
        if from == to {
            return;
        }
        let resolved = match to {
            State::Issued => Some("kept"),
            State::Canceled => Some("canceled"),
            State::Failed => Some("not_created"),
            State::NeedsAttention => Some("needs_attention"),
            State::Pending | State::Issuing | State::Unresolved | State::Canceling => None,
        };
        if let Some(outcome) = resolved {
            if before.order.stage.is_in_doubt() {
                self.metrics.resolved(outcome);
            }
            if from != State::Canceling || to != State::Issued {
                let program = after.budget.as_ref().map(|budget| budget.program.as_str());
                self.metrics.finished(&after.account, program, after.value, to.as_str());
            }
        }
        let attention = after.order.stage.attention().map(|why| why.as_str());
        if to == State::NeedsAttention {
            tracing::error!(
                reward.id = %after.id, reward.account = after.account, reward.trace_id = after.trace_id(),
                reward.attention = attention, "a reward needs a person"
            );
        } else {
            tracing::info!(
                reward.id = %after.id, reward.account = after.account, reward.trace_id = after.trace_id(),
                reward.from = from.as_str(), reward.state = to.as_str(), "reward {}", to.as_str()
            );
        }
    }
}

/// The row that somebody else has changed. Nobody is answered from what may still vanish: what this transaction ran into is
/// committed before it is used.
pub(super) async fn conflict(mut tx: Tx, id: RewardId) -> Result<Written<Reward>, StoreError> {
    let found = sql::lock(&mut tx, id).await?;
    Ok(Written::Conflict(match found {
        Some(found) => Some(tx.commit(found).await?),
        None => None,
    }))
}

/// What a change's transaction is called in traces.
pub(super) const fn transaction(milestone: Milestone) -> &'static str {
    match milestone {
        Milestone::Sent => "reward.replay",
        Milestone::Settled { .. } => "reward.settle",
        Milestone::ReversalWanted => "reward.cancel",
        Milestone::Shown { .. } => "reward.show",
    }
}
