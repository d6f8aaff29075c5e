//! What a reconciliation found about one reward: the reason for which an operator may overrule a final state.

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

/// Our reward is not in the state that Amazon lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    /// When Amazon made the card, or, if Amazon does not list it, when we sent the request.
    pub(crate) at: DateTime<Utc>,
    /// When the reconciliation began. It may have compared the reward before any change that came after this instant.
    pub(crate) found_at: DateTime<Utc>,
}

/// The newest finding of this reward.
pub(crate) async fn of_reward(snapshot: &mut Snapshot, reward: RewardId) -> Result<Option<Finding>, StoreError> {
    let row = fetch_optional!(FindingRow, snapshot, OF_REWARD, reward.uuid())?;
    Ok(row.map(|row| Finding { at: row.at, found_at: row.started_at }))
}
