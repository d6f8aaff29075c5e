//! Rewards that need a person: what they are, and what the person decided. Nothing here calls Amazon.

use chrono::{DateTime, Utc};

use super::{
    machine::{self, Verdict},
    model::Reward,
    sql,
    timeline::Entry,
};
use crate::{
    kernel::RewardId,
    store::{Store, StoreError},
};

/// Why a decision was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// No such reward.
    #[error("there is no such reward")]
    NotFound,
    /// It needs no person.
    #[error("the reward is {0}; only one that needs attention is settled by hand")]
    InvalidState(&'static str),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every reward that needs a person, oldest first, at most 1,000.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn list(store: &Store) -> Result<Vec<Reward>, StoreError> {
    sql::attention(&mut store.snapshot().await?).await
}

/// Writes down what a person found out about a reward, and why, and who it was. It is final afterwards.
///
/// # Errors
/// [`SettleError`]; nothing has changed.
pub async fn settle(
    store: &Store,
    id: RewardId,
    verdict: Verdict,
    reason: String,
    now: DateTime<Utc>,
) -> Result<Reward, SettleError> {
    let mut tx = store.begin().await?;
    let mut reward = sql::lock(&mut tx, id).await?.ok_or(SettleError::NotFound)?;
    let state = reward.facts.state;
    reward.facts = machine::decide(reward.facts, verdict).ok_or(SettleError::InvalidState(state.as_str()))?;
    reward.attention = None;
    reward.unproven_since = None;
    match verdict {
        Verdict::Issued => reward.issued_at = reward.issued_at.or(Some(now)),
        Verdict::Canceled => reward.canceled_at = reward.canceled_at.or(Some(now)),
        Verdict::NotBought => {}
    }
    if !sql::save(&mut tx, &mut reward, &[Entry::with_reason("operator.settled", reason)], now).await? {
        return Err(StoreError::Unconfirmed.into());
    }
    Ok(tx.commit(reward).await?.into_inner())
}
