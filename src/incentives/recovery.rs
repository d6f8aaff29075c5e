//! Rewards that are due: how they are leased, and how they are carried when nobody waits.

use chrono::{DateTime, TimeDelta, Utc};

use super::{courier::Courier, kind::Kind, model::Reward, sql, timeline::TimelineEntry};
use crate::{
    engine::{
        self, Effects, Order, Wake,
        recover::Recoverable,
        schedule::{self, Moment},
    },
    failpoint,
    kernel::horizon::horizon,
    store::{Committed, StoreError, Tx},
    telemetry::trace::{self, Attribute},
};

/// How long a reward rests whose account nobody knows.
const ACCOUNT_PAUSE: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// Due rewards that are leased in one transaction.
const CLAIM_MAX: i64 = 16;

impl Recoverable for Courier {
    async fn claim_due(&self, room: usize) -> Result<Vec<Committed<Reward>>, StoreError> {
        let now = self.ambient.now();
        let limit = CLAIM_MAX.min(i64::try_from(room).unwrap_or(CLAIM_MAX));
        let mut tx = self.store.begin().await?;
        let recalled = sql::recall::recall(&mut tx, now, horizon(now, self.farthest_due())).await?;
        if recalled > 0 {
            tracing::warn!(
                recovery.recalled = recalled,
                "rewards were to wait for an instant that a clock wrote while it was ahead; they are due now"
            );
        }
        let (mut attempts, mut ended) = (Vec::new(), Vec::new());
        for before in sql::due(&mut tx, now, limit).await? {
            match self.take_up(&mut tx, &before, now).await? {
                Some((after, Wake::Now)) => {
                    failpoint::pass("replay", "in_t1");
                    attempts.push(after);
                }
                Some((after, Wake::Never | Wake::Backoff | Wake::At(_))) => ended.push((before, after)),
                None => {}
            }
        }
        let committed = tx.commit(attempts).await?;
        ended.iter().for_each(|(before, after)| self.report(before, after));
        Ok(committed.each().collect())
    }

    /// In a trace of its own: who waited had an answer. The code is dropped, and wiped.
    async fn recover(&self, attempt: Committed<Reward>) {
        let reward = attempt.get();
        let span = self.traces.resume("reward.recover", reward.trace);
        span.set(Attribute::Reward(reward.id));
        let carried = async {
            let ran = engine::carry(self, attempt, false, None).await;
            if !self.report_end(ran.end, &ran.row) {
                trace::note(Attribute::Error("not_settled"));
            }
        };
        span.scope(carried).await;
    }

    fn heartbeat(&self) {
        self.metrics.heartbeat(self.ambient.now().timestamp());
    }
}

impl Courier {
    /// Leases one due reward, or gives it up when its day is over.
    async fn take_up(
        &self,
        tx: &mut Tx,
        before: &Reward,
        now: DateTime<Utc>,
    ) -> Result<Option<(Reward, Wake)>, StoreError> {
        let replay_age = self.limits.replay_age;
        let moment = Moment { now, ..self.moment(None) };
        let taken = schedule::take_up(before.order, self.lease()?, replay_age, before.kind.rules(), moment);
        let Ok((order, wake)) = taken else {
            tracing::error!(reward.id = %before.id, reward.state = before.state().as_str(), "a due reward knows no next step");
            return Ok(None);
        };
        if wake == Wake::Now && self.account_of(before).is_none() {
            tracing::error!(reward.id = %before.id, reward.account = before.account, "the account of a due reward is not in the settings, or has another partner id");
            let due_at = Some(schedule::after(now, ACCOUNT_PAUSE));
            sql::save(tx, &mut before.with(Order { due_at, ..before.order }), &[], now).await?;
            return Ok(None);
        }
        let mut reward = before.with(order);
        let entry = match wake {
            Wake::Now => TimelineEntry::with_attempt("attempt.sent", order.attempts),
            Wake::Never | Wake::Backoff | Wake::At(_) => TimelineEntry::new("reward.given_up"),
        };
        let saved = sql::save(tx, &mut reward, &[entry], now).await?;
        Ok(saved.then_some((reward, wake)))
    }

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
