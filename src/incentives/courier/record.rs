//! How a change of a reward is recorded, and what is said of it once it is.

use super::{Answer, Change, Courier, Failpoints, Milestone, Note, Reward, Stage, State, Written, sql, timeline};
use crate::{
    kernel::RewardId,
    store::{StoreError, Tx},
};

impl Courier {
    /// The row as the change makes it, and the timeline's entry for it.
    pub(super) async fn write(
        &self,
        row: &Reward,
        change: Change,
        answer: Option<&Answer>,
        note: &Note,
    ) -> Result<Written<Reward>, StoreError> {
        let points = Failpoints::of(row, change.milestone);
        points.pass(points.before);
        let entry = timeline::of_change(&change, answer, note);
        let mut reward = row.with(change.order);
        if reward.card.is_none() {
            reward.card = answer.and_then(|answer| answer.fingerprint.clone());
        }
        match (change.order.stage, answer.and_then(Answer::error)) {
            (Stage::Proven(_) | Stage::Reversed(_), None) => reward.last_error = None,
            (_, Some(error)) if matches!(change.milestone, Milestone::Settled { .. }) => {
                reward.last_error = Some(error)
            }
            (_, _) => {}
        }
        let name = transaction(change.milestone);
        let mut tx = self.store.begin_joined(name).await?;
        if !sql::save(&mut tx, &mut reward, &[entry], change.order.updated_at).await? {
            return conflict(tx, row.id).await;
        }
        points.pass(points.inside);
        let committed = match tx.commit(reward).await {
            Err(StoreError::Unmet) => return conflict(self.store.begin_as(name).await?, row.id).await,
            committed => committed?,
        };
        points.pass(points.after);
        self.report(row, committed.get());
        Ok(Written::Done(committed))
    }

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
async fn conflict(mut tx: Tx, id: RewardId) -> Result<Written<Reward>, StoreError> {
    let found = sql::lock(&mut tx, id).await?;
    Ok(Written::Conflict(match found {
        Some(found) => Some(tx.commit(found).await?),
        None => None,
    }))
}

/// What a change's transaction is called in traces.
const fn transaction(milestone: Milestone) -> &'static str {
    match milestone {
        Milestone::Sent => "reward.replay",
        Milestone::Settled { .. } => "reward.settle",
        Milestone::ReversalWanted => "reward.cancel",
        Milestone::Shown { .. } => "reward.show",
    }
}
