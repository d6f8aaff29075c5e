//! Rewards that are due: how they are leased, and how they are carried when nobody waits.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    courier::Courier,
    kind::Kind,
    model::Reward,
    parked::Parked,
    sql::{
        self,
        due::{self, Found, Lane, Look, Unreadable},
    },
    timeline::TimelineEntry,
};
use crate::{
    accounts::Account,
    engine::{
        self, Effects, Order, Wake,
        recover::{FreeHands, Recoverable},
        schedule::{self, Moment},
    },
    failpoint,
    kernel::{Chain, RewardId, horizon::horizon},
    store::{Committed, StoreError, Tx},
    telemetry::trace::{self, Attribute},
};

/// How long a reward rests whose account nobody knows.
const ACCOUNT_PAUSE: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// How often such rewards are looked for, and due times that are stray. No index leads to them.
const ROUND_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Takes up the rewards that are due. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recovery {
    courier: Courier,
    parked: Arc<Parked>,
    round_at: Arc<Mutex<Option<DateTime<Utc>>>>,
}

/// What becomes of a due reward.
enum Taken {
    /// It is leased, and will be carried.
    Leased(Box<Reward>),
    /// It came to its end, or rests.
    Ended { before: Box<Reward>, after: Box<Reward> },
    /// Nothing.
    Left,
}

/// What a transaction made of the due rewards.
#[derive(Default)]
struct Claimed {
    leased: Vec<Reward>,
    ended: Vec<(Box<Reward>, Box<Reward>)>,
}

impl Claimed {
    fn add(&mut self, taken: Taken) {
        match taken {
            Taken::Leased(reward) => {
                failpoint::pass("replay", "in_t1");
                self.leased.push(*reward);
            }
            Taken::Ended { before, after } => self.ended.push((before, after)),
            Taken::Left => {}
        }
    }
}

impl Recoverable for Recovery {
    type Row = Reward;
    type Lane = Lane;

    fn lanes(&self) -> Vec<Lane> {
        let ids = || self.courier.accounts.iter().map(|account| account.id().to_owned());
        ids().map(Lane::Reversals).chain(ids().map(Lane::Others)).chain([Lane::Strangers]).collect()
    }

    async fn due_lanes(&self) -> Result<Vec<Lane>, StoreError> {
        let now = self.courier.ambient.now();
        let round = self.is_time_for_a_round(now);
        if round && let Err(error) = self.recall(now).await {
            tracing::error!(error = %Chain(&error), "stray due times could not be looked for");
        }
        let mut lanes = due::lanes(&mut self.courier.store.snapshot().await?, &self.account_ids(), now).await?;
        lanes.extend(round.then_some(Lane::Strangers));
        Ok(lanes)
    }

    async fn claim_due(&self, lane: &Lane, free: &FreeHands) -> Result<Vec<Committed<Reward>>, StoreError> {
        let now = self.courier.ambient.now();
        let look = Look { lane, free, resting: self.parked.stuck(now), accounts: self.account_ids() };
        match self.claim_together(&look, now).await {
            Err(error) if error.is_about_the_row() => {
                tracing::warn!(error = %Chain(&error), "a due reward cannot be written; each is taken up by itself");
                self.claim_singly(&look, now).await
            }
            claimed => claimed,
        }
    }

    fn owner(reward: &Reward) -> Uuid {
        reward.client.uuid()
    }

    /// In a trace of its own: who waited had an answer. The code is dropped, and wiped.
    async fn recover(&self, attempt: Committed<Reward>) {
        let (courier, reward) = (&self.courier, attempt.get());
        let span = courier.traces.resume("reward.recover", reward.trace);
        span.set(Attribute::Reward(reward.id));
        let carried = async {
            let ran = engine::carry(courier, attempt, None, None).await;
            if !courier.report_end(ran.end, &ran.row) {
                trace::note(Attribute::Error("not_settled"));
            }
        };
        span.scope(carried).await;
    }

    fn heartbeat(&self) {
        let (metrics, now) = (&self.courier.metrics, self.courier.ambient.now());
        metrics.heartbeat(now.timestamp());
        for account in self.account_ids() {
            metrics.parked(account, self.parked.count(account, now));
        }
    }
}

impl Recovery {
    pub(super) fn new(courier: Courier) -> Self {
        Self { courier, parked: Arc::default(), round_at: Arc::default() }
    }

    fn account_ids(&self) -> Vec<&str> {
        self.courier.accounts.iter().map(Account::id).collect()
    }

    /// Also after the clock was set back.
    fn is_time_for_a_round(&self, now: DateTime<Utc>) -> bool {
        let mut last = self.round_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| now < last || now.signed_duration_since(last) >= ROUND_EVERY);
        if is_time {
            *last = Some(now);
        }
        is_time
    }

    /// Makes due at once what was to wait for an instant that a clock wrote while it was ahead.
    async fn recall(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let recalled = sql::recall::recall(&mut tx, now, horizon(now, self.courier.farthest_due())).await?;
        tx.commit(()).await?;
        if recalled > 0 {
            tracing::warn!(
                recovery.recalled = recalled,
                "rewards were to wait for an instant that a clock wrote while it was ahead; they are due now"
            );
        }
        Ok(())
    }

    /// All of a lane that there are hands for, in one transaction.
    async fn claim_together(&self, look: &Look<'_>, now: DateTime<Utc>) -> Result<Vec<Committed<Reward>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let Found { rewards, unreadable } = due::find(&mut tx, look, now).await?;
        let mut claimed = Claimed::default();
        for before in rewards {
            claimed.add(self.take_up(&mut tx, before, now).await?);
        }
        let leased = self.commit(tx, claimed).await?;
        self.park_unreadable(unreadable, now).await;
        Ok(leased.each().collect())
    }

    /// The same with a transaction for each: one of them cannot be written, and must not hold up the others.
    async fn claim_singly(&self, look: &Look<'_>, now: DateTime<Utc>) -> Result<Vec<Committed<Reward>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let Found { rewards, unreadable } = due::find(&mut tx, look, now).await?;
        tx.undo().await;
        let mut attempts = Vec::new();
        for due in rewards {
            let (id, account) = (due.id, due.account.clone());
            match self.claim_one(due, now).await {
                Ok(leased) => attempts.extend(leased.each()),
                Err(error) if error.is_about_the_row() => self.park(id, &account, &error, now).await,
                Err(error) => {
                    tracing::warn!(reward.id = %id, error = %Chain(&error), "a due reward was not taken up");
                    break;
                }
            }
        }
        self.park_unreadable(unreadable, now).await;
        Ok(attempts)
    }

    async fn claim_one(&self, due: Reward, now: DateTime<Utc>) -> Result<Committed<Vec<Reward>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let mut claimed = Claimed::default();
        // Nothing is locked since it was found: what another replica has taken up is left to it.
        if let Some(before) = sql::lock(&mut tx, due.id).await?.filter(|row| row.order.version == due.order.version) {
            claimed.add(self.take_up(&mut tx, before, now).await?);
        }
        self.commit(tx, claimed).await
    }

    async fn commit(&self, tx: Tx, claimed: Claimed) -> Result<Committed<Vec<Reward>>, StoreError> {
        let Claimed { leased, ended } = claimed;
        let committed = tx.commit(leased).await?;
        ended.iter().for_each(|(before, after)| self.courier.report(before, after));
        self.parked.forget(committed.get().iter().map(|reward| reward.id));
        Ok(committed)
    }

    /// Leases one due reward, or gives it up when its day is over.
    async fn take_up(&self, tx: &mut Tx, before: Reward, now: DateTime<Utc>) -> Result<Taken, StoreError> {
        let courier = &self.courier;
        let replay_age = courier.limits.replay_age;
        let moment = Moment { now, ..courier.moment(None) };
        let taken = schedule::take_up(before.order, courier.lease()?, replay_age, before.kind.rules(), moment);
        let Ok((mut order, mut wake)) = taken else {
            tracing::error!(reward.id = %before.id, reward.state = before.state().as_str(), "a due reward knows no next step");
            return Ok(Taken::Left);
        };
        if wake == Wake::Now && courier.account_of(&before).is_none() {
            tracing::error!(reward.id = %before.id, reward.account = before.account, "the account of a due reward is not in the settings, or has another partner id");
            // No try is possible, so none is counted: a day alone decides.
            let Some(given_up) = schedule::give_up(before.order, before.kind.rules(), moment) else {
                let due_at = Some(schedule::after(now, ACCOUNT_PAUSE));
                sql::save(tx, &mut before.with(Order { due_at, ..before.order }), &[], now).await?;
                return Ok(Taken::Left);
            };
            (order, wake) = given_up;
        }
        let mut reward = before.with(order);
        let entry = match wake {
            Wake::Now => TimelineEntry::with_attempt("attempt.sent", order.attempts),
            Wake::Never | Wake::Backoff | Wake::At(_) => TimelineEntry::new("reward.given_up"),
        };
        if !sql::save(tx, &mut reward, &[entry], now).await? {
            return Ok(Taken::Left);
        }
        Ok(match wake {
            Wake::Now => Taken::Leased(Box::new(reward)),
            Wake::Never | Wake::Backoff | Wake::At(_) => {
                Taken::Ended { before: Box::new(before), after: Box::new(reward) }
            }
        })
    }

    /// A later version may have written a word that we do not know, or somebody by hand: the others go on.
    async fn park_unreadable(&self, unreadable: Vec<Unreadable>, now: DateTime<Utc>) {
        for Unreadable { id, account, error } in unreadable {
            self.park(id, &account, &error, now).await;
        }
    }

    /// Lets a reward rest that cannot be taken up, in its row where that can be written.
    async fn park(&self, id: RewardId, account: &str, why: &StoreError, now: DateTime<Utc>) {
        let until = self.parked.rest(id, account, now);
        tracing::error!(
            reward.id = %id, reward.account = account, reward.parked_until = %until, error = %Chain(why),
            "a due reward can be neither taken up nor given up; it rests"
        );
        let kept = async {
            let mut tx = self.courier.store.begin().await?;
            due::park(&mut tx, id, until).await?;
            tx.commit(()).await.map(|_done| ())
        };
        if kept.await.is_err() {
            self.parked.stick(id);
        }
    }
}

impl Courier {
    /// The farthest that anyone sets a due time ahead: the longest wait of any kind, and a lease after it.
    fn farthest_due(&self) -> TimeDelta {
        let waits = Kind::ALL.iter().map(|kind| kind.rules().longest_wait());
        let lease = TimeDelta::from_std(self.limits.lease).unwrap_or_default();
        waits.max().unwrap_or_default().checked_add(&lease).unwrap_or(lease)
    }

    /// On SQLite one process serves the file, so whatever is leased at its start was leased by a process that is dead.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn abandon_leases(&self) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let rows = sql::abandon_all(&mut tx, self.ambient.now()).await?;
        tx.commit(rows).await.map(Committed::into_inner)
    }
}
