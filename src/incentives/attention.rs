//! Rewards that need a person: what they are, and what the person decided. Nothing here calls Amazon.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{model::Reward, sql, timeline::TimelineEntry};
use crate::{
    audit::{AuditAction, Deed, Scribe},
    engine::schedule::{self, Resolution},
    kernel::RewardId,
    store::{Store, StoreError, Tx},
};

/// Rewards that one statement reads.
const PAGE: i64 = 1_000;

/// Why a decision was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// No such reward.
    #[error("there is no such reward")]
    NotFound,
    /// It needs no person.
    #[error(
        "the reward is {0}; only one that needs attention, or that a reconciliation has found otherwise, is settled by hand"
    )]
    InvalidState(&'static str),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every reward that needs a person, oldest first.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn list(store: &Store) -> Result<Vec<Reward>, StoreError> {
    let (mut snapshot, mut all) = (store.snapshot().await?, Vec::new());
    loop {
        let after = all.last().map_or(Uuid::nil(), |reward: &Reward| reward.id.uuid());
        let page = sql::attention(&mut snapshot, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The reward of this id, whoever's it is.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn find(store: &Store, id: RewardId) -> Result<Option<Reward>, StoreError> {
    sql::peek(&mut store.snapshot().await?, id).await
}

/// The same; nobody decides about it before this transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: RewardId) -> Result<Option<Reward>, StoreError> {
    sql::lock(tx, id).await
}

/// A reconciliation's finding: Amazon shows a reward in another state than our row.
#[derive(Debug, Clone, Copy)]
pub struct Contradiction {
    /// When Amazon made the card.
    pub at: DateTime<Utc>,
    /// When the comparison began. A reward that has changed since may not be the one that was compared.
    pub found_at: DateTime<Utc>,
}

/// What a person found out about a reward.
#[derive(Debug, Clone)]
pub struct SettleDecision {
    /// What became of it.
    pub resolution: Resolution,
    /// Who it was, and why.
    pub reason: String,
}

/// Writes down what a person found out about a reward, and why, and who it was. It is final afterwards.
///
/// # Errors
/// [`SettleError`]; nothing has changed.
pub async fn settle(
    store: &Store,
    id: RewardId,
    decision: SettleDecision,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<Reward, SettleError> {
    write(store, id, None, decision, scribe, now).await
}

/// The same of a reward that had come to its end, on the ground of a reconciliation's finding.
///
/// # Errors
/// [`SettleError`]; nothing has changed.
pub async fn overrule(
    store: &Store,
    id: RewardId,
    contradiction: Contradiction,
    decision: SettleDecision,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<Reward, SettleError> {
    write(store, id, Some(contradiction), decision, scribe, now).await
}

async fn write(
    store: &Store,
    id: RewardId,
    contradiction: Option<Contradiction>,
    decision: SettleDecision,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<Reward, SettleError> {
    let SettleDecision { resolution, reason } = decision;
    let mut tx = store.begin().await?;
    let mut reward = sql::lock(&mut tx, id).await?.ok_or(SettleError::NotFound)?;
    let (state, changed_at) = (reward.state(), reward.order.updated_at);
    let settled = match contradiction {
        None => schedule::resolve(reward.order, resolution, now),
        Some(Contradiction { at, found_at }) => {
            schedule::overrule(reward.order, resolution, at, now).filter(|_order| changed_at < found_at)
        }
    };
    reward.order = settled.ok_or(SettleError::InvalidState(state.as_str()))?;
    if resolution == Resolution::Issued {
        reward.last_error = None;
    }
    if !sql::save(&mut tx, &mut reward, &[TimelineEntry::with_reason("operator.settled", reason)], now).await? {
        return Err(StoreError::Unconfirmed.into());
    }
    // The reason stands in the timeline.
    let details = json!({"from": state.as_str(), "to": reward.state().as_str()});
    let deed = Deed { action: AuditAction::RewardSettled, subject: &id.to_string(), details };
    scribe.write(&mut tx, deed, now).await?;
    Ok(tx.commit(reward).await?.into_inner())
}
