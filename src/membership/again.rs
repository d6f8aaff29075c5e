//! Another reward for a paid period whose reward was refused for good: a person has mended what it was refused for. Nothing here calls Amazon.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    follow::lock,
    model::{Entitlement, PeriodState},
    sql::periods::{self, PeriodPlace},
};
use crate::{
    audit::{AuditAction, Deed, Scribe},
    engine::State,
    incentives::attention,
    kernel::MembershipId,
    store::{Store, StoreError},
};

/// How often the reward of a period is asked for anew. What was refused so often is not mended by asking.
const ROUNDS_MAX: i64 = 99;

/// Why a reward is not asked for again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskAgainError {
    /// No such period.
    #[error("there is no such period")]
    NotFound,
    /// It has its reward, or waits for it, or its money went back.
    #[error(
        "the period is {0} and its reward {1}; only that of a paid period that was refused for good is asked for again"
    )]
    NotFailed(&'static str, &'static str),
    /// It was asked for too often.
    #[error("the reward was asked for {ROUNDS_MAX} times: give the member the money back")]
    TooOften,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has the reward of a period asked for once more. What was refused, or was taken back, keeps its key for ever: nothing lives under it, so the next
/// has another. A reward that a person has found to be live since then is the period's own, under the key that it has.
pub(crate) async fn ask_again(
    store: &Store,
    id: MembershipId,
    number: i64,
    reason: &str,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<(), AskAgainError> {
    let mut tx = store.begin_as("membership.ask_again").await?;
    let place = PeriodPlace { membership: id, number, claims: 0 };
    let (_membership, mut period) = lock(&mut tx, place).await?.ok_or(AskAgainError::NotFound)?;
    if (period.state, period.entitlement) != (PeriodState::Paid, Entitlement::Failed) {
        return Err(AskAgainError::NotFailed(period.state.as_str(), period.entitlement.as_str()));
    }
    let refused = match period.reward {
        Some(reward) => attention::lock(&mut tx, reward).await?,
        None => None,
    };
    // A reward that is not there is asked for under the key that it had: that buys one at most.
    if refused.is_some_and(|reward| matches!(reward.state(), State::Failed | State::Canceled)) {
        if period.reward_round >= ROUNDS_MAX {
            return Err(AskAgainError::TooOften);
        }
        (period.reward_round, period.reward) = (period.reward_round.saturating_add(1), None);
    }
    (period.entitlement, period.waiting_for) = (Entitlement::Owed, None);
    (period.reward_due_at, period.owed_since) = (Some(now), Some(now));
    periods::save(&mut tx, &mut period, now).await?;
    let details = json!({"period": number, "round": period.reward_round, "reason": reason});
    let deed = Deed { action: AuditAction::MembershipRewardAskedAgain, subject: &id.to_string(), details };
    scribe.write(&mut tx, deed, now).await?;
    tx.commit(()).await?;
    Ok(())
}
