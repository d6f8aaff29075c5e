//! The use cases of rewards, a type each, and the plain reads.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Notify;

use super::{
    cancel::Cancel,
    check::Check,
    courier::{Courier, CourierParts},
    in_flight::InFlight,
    issue::Issue,
    model::Reward,
    recovery::Recovery,
    restore_note::RestoreNote,
    retention::Retention,
    reveal::Reveal,
    sql::{
        self,
        list::{self, RewardFilter},
    },
};
use crate::{
    accounts::Accounts,
    events::{
        Subject,
        timeline::{self, EntryRow, TimelineOrder},
    },
    identity::{Caller, clients},
    kernel::{ClientId, RewardId},
    lifecycle::Tasks,
    store::StoreError,
};

/// The names of clients, for a caller that deals with the rewards of all.
#[derive(Debug, Clone, Default)]
pub struct ClientNames(BTreeMap<ClientId, String>);

impl ClientNames {
    /// Whose reward it is; `None` where the caller has no need of that.
    #[must_use]
    pub fn of(&self, reward: &Reward) -> Option<&str> {
        self.name(reward.client)
    }

    /// What a client is called; `None` where the caller has no need of that.
    #[must_use]
    pub fn name(&self, client: ClientId) -> Option<&str> {
        self.0.get(&client).map(String::as_str)
    }
}

/// The use cases of rewards. Cheap to clone.
///
/// What may change a reward or call Amazon is spawned on the main runtime, and the handler waits for it: a client that hangs
/// up stops nothing. The reads here run where they are called, and end with their caller.
#[derive(Clone)]
pub struct Rewards {
    courier: Courier,
    /// Issues rewards.
    pub issue: Issue,
    /// Cancels rewards.
    pub cancel: Cancel,
    /// Asks Amazon how rewards stand.
    pub check: Check,
    /// Shows claim codes again.
    pub reveal: Reveal,
}

impl Rewards {
    /// The use cases over one courier. `in_flight_max` requests may be under way at once; one more is refused. A key may
    /// have `reveals_per_hour` codes shown in an hour. `restored` is the last restore of the database, if there was one.
    #[must_use]
    pub fn new(
        parts: CourierParts,
        in_flight_max: usize,
        reveals_per_hour: u32,
        restored: Option<RestoreNote>,
    ) -> Self {
        let courier = Courier::new(parts);
        let in_flight = InFlight::new(in_flight_max);
        let cancel = Cancel::new(courier.clone());
        let reveal = Reveal::new(courier.clone(), in_flight.clone(), reveals_per_hour);
        let check = Check::new(courier.clone(), in_flight.clone());
        let issue = Issue::new(courier.clone(), cancel.clone(), reveal.clone(), in_flight, restored);
        Self { courier, issue, cancel, check, reveal }
    }

    /// What carries the rewards to Amazon.
    #[must_use]
    pub const fn courier(&self) -> &Courier {
        &self.courier
    }

    /// What takes up the rewards that are due.
    #[must_use]
    pub(crate) fn recovery(&self) -> Recovery {
        Recovery::new(self.courier.clone())
    }

    /// What archives settled rewards.
    #[must_use]
    pub(crate) fn retention(&self) -> Retention {
        Retention::new(self.courier.clone())
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.courier.accounts
    }

    /// Where the work runs.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.courier.tasks
    }

    /// Wakes the recovery.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.courier.wake)
    }

    /// A reward of this caller's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn find(&self, caller: &Caller, id: RewardId) -> Result<Option<Reward>, StoreError> {
        self.courier.find(caller, id).await
    }

    /// The same for somebody who waits for it: the next try of a reward that is not proven is brought about.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn ask_for(&self, caller: &Caller, id: RewardId) -> Result<Option<Reward>, StoreError> {
        let found = self.find(caller, id).await?;
        if let Some(reward) = &found {
            self.courier.hasten(reward).await;
        }
        Ok(found)
    }

    /// The names that are shown beside the rewards of many clients. For a caller of one client there are none: its rewards are
    /// its own client's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn client_names(&self, caller: &Caller) -> Result<ClientNames, StoreError> {
        if !caller.sees_every_reward() {
            return Ok(ClientNames::default());
        }
        clients::by_id(&mut self.courier.store.snapshot().await?).await.map(ClientNames)
    }

    /// A page of this caller's rewards, newest first.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn list(&self, caller: &Caller, mut filter: RewardFilter) -> Result<Vec<Reward>, StoreError> {
        if let Some(own) = caller.bound_to() {
            if filter.program.as_deref().is_some_and(|asked| asked != own.as_str()) {
                return Ok(Vec::new());
            }
            filter.program = Some(own.as_str().to_owned());
        }
        let mut snapshot = self.courier.store.question().await?;
        let of = match filter.client.as_deref() {
            Some(name) => clients::find(&mut snapshot, name).await?.into_iter().collect(),
            None if caller.sees_every_reward() => clients::by_id(&mut snapshot).await?.into_keys().collect(),
            None => vec![caller.client],
        };
        if !caller.sees_every_reward() && of != [caller.client] {
            return Ok(Vec::new());
        }
        list::list(&mut snapshot, &of, &filter).await
    }

    /// A page of a reward's timeline, the entries that follow this place in the order; `None` when the reward is not this caller's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn events(
        &self,
        caller: &Caller,
        id: RewardId,
        order: TimelineOrder,
        from: Option<i64>,
        limit: i64,
    ) -> Result<Option<Vec<EntryRow>>, StoreError> {
        let mut snapshot = self.courier.store.question().await?;
        match sql::peek(&mut snapshot, id).await?.filter(|reward| reward.is_of_caller(caller)) {
            Some(reward) => {
                timeline::page(&mut snapshot, Subject::Reward(reward.id), order, from, limit).await.map(Some)
            }
            None => Ok(None),
        }
    }
}

impl Courier {
    /// A reward of this caller's, as it is committed.
    pub(super) async fn find(&self, caller: &Caller, id: RewardId) -> Result<Option<Reward>, StoreError> {
        let found = sql::peek(&mut self.store.snapshot().await?, id).await?;
        Ok(found.filter(|reward| reward.is_of_caller(caller)))
    }
}
