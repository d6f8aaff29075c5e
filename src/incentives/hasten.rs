//! A caller who asks for a reward that is not proven waits for it. Asking makes its next try come now, if that is far away.

use chrono::{DateTime, TimeDelta, Utc};

use super::{courier::Courier, model::Reward, sql::due};
use crate::{
    engine::State,
    kernel::Chain,
    store::{Committed, StoreError},
};

/// Callers who ask bring no more tries about than the first step of the ladder would.
const FIRST_STEP: TimeDelta = TimeDelta::seconds(1);

impl Courier {
    /// Makes a reward due now whose next try is far away, because somebody asks for it. A reversal has a ladder of its own,
    /// which is quick as long as the window is open.
    pub(super) async fn hasten(&self, reward: &Reward) {
        if !self.can_be_hastened(reward, self.ambient.now()) {
            return;
        }
        match self.make_due(reward).await {
            Ok(true) => self.wake.notify_one(),
            Ok(false) => {}
            Err(error) => tracing::warn!(reward.id = %reward.id, error = %Chain(&error), "a reward was not hastened"),
        }
    }

    fn can_be_hastened(&self, reward: &Reward, now: DateTime<Utc>) -> bool {
        let order = &reward.order;
        let waits = matches!(reward.state(), State::Unresolved | State::Pending) && order.lease.is_none();
        let rested = now < order.updated_at || now.signed_duration_since(order.updated_at) >= FIRST_STEP;
        let is_far = order.due_at.is_some_and(|due| due.signed_duration_since(now) > FIRST_STEP);
        waits && rested && is_far && self.account_of(reward).is_some()
    }

    async fn make_due(&self, reward: &Reward) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_as("reward.hasten").await?;
        let hastened = due::hasten(&mut tx, reward, self.ambient.now()).await?;
        tx.commit(hastened).await.map(Committed::into_inner)
    }
}
