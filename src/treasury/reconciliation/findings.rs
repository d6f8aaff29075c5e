//! What a reconciliation found of one reward: the ground on which a person may overrule a reward that had come to its end.

use chrono::{DateTime, Utc};

use crate::{
    kernel::RewardId,
    store::{Snapshot, Sql, StoreError, fetch_optional, row, statements},
};

statements! {
    /// Few rows: only what differs is kept.
    OF_REWARD = Sql::same(
        "reconciliation_items.of_reward",
        "SELECT i.at, r.started_at FROM reconciliation_items i JOIN reconciliations r ON r.id = i.reconciliation_id \
         WHERE i.reward_id = $1 AND i.class IN ('state_differs', 'ours_only') AND r.state = 'finished' \
         ORDER BY r.started_at DESC LIMIT 1",
    );
}

row! {
    struct FindingRow { at: DateTime<Utc>, started_at: DateTime<Utc> }
}

/// A reward is not in the state that Amazon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// When Amazon lists the card, or else when it was sent.
    pub at: DateTime<Utc>,
    /// When the reconciliation that found it began. What was changed after that, it may have compared before.
    pub found_at: DateTime<Utc>,
}

/// The newest finding of this reward.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn of_reward(snapshot: &mut Snapshot, reward: RewardId) -> Result<Option<Finding>, StoreError> {
    let row = fetch_optional!(FindingRow, snapshot, OF_REWARD, reward.uuid())?;
    Ok(row.map(|row| Finding { at: row.at, found_at: row.started_at }))
}
