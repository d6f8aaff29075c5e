//! The runner: it opens the periods that begin, and takes up what is due of their charges and rewards, and the consents that are to be closed.
//!
//! Each replica runs one, and leaves what another is taking up. A step is taken up for a time: after a crash it is taken up again, under the same
//! keys.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    calendar::SpanUnit,
    facts,
    model::{Membership, MembershipPlan},
    service::{MembershipError, Memberships, new_period},
    sql::{
        self, consents,
        periods::{self, PeriodPlace},
        plans,
    },
};
use crate::{
    failpoint,
    kernel::{Chain, MembershipId, MembershipPlanId},
    store::{StoreError, Tx},
};

/// Between two looks at the database.
const POLL: Duration = Duration::from_secs(1);
/// What comes within this time is followed by one look.
const GATHER: Duration = Duration::from_millis(50);
/// Memberships whose next period is opened in a row.
const OPENED_AT_ONCE: i64 = 200;
/// The first rest of what failed. It doubles with each failure in a row; that of a membership whose next period could not be opened up to an hour.
const REST: TimeDelta = TimeDelta::minutes(1);
const REST_MAX: TimeDelta = TimeDelta::hours(1);

impl Memberships {
    /// Works until the process stops. What is under way then is waited for with the other tasks.
    pub(crate) async fn run_until_stopped(self) {
        while !self.tasks.stopping().is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(error = %Chain(&error), "memberships could not be taken up; tried again");
            }
            tokio::select! {
                () = self.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.wake.notified() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let now = self.ambient.now();
        for (id, failures) in sql::due(&mut self.store.snapshot().await?, now, OPENED_AT_ONCE).await? {
            // One that cannot be opened holds up no other: it rests, and its place is another's.
            if let Err(error) = self.open_next(id).await {
                tracing::error!(membership.id = %id, error = %Chain(&error), "the next period of a membership could not be opened");
                if let Err(error) = self.rest_opening(id, failures).await {
                    tracing::warn!(membership.id = %id, error = %Chain(&error), "it cannot rest, and is tried again");
                }
            }
        }
        // A consent that is to be closed holds up no charge and no reward.
        if let Err(error) = self.close_some(now).await {
            tracing::error!(error = %Chain(&error), "consents that are to be closed could not be taken up");
        }
        let (charge, reward) = periods::next(&mut self.store.snapshot().await?).await?;
        for (what, next) in [(PeriodWork::Charge, charge), (PeriodWork::Reward, reward)] {
            if next.is_none_or(|next| next > now) {
                continue;
            }
            for (place, held) in self.claim(what).await? {
                let this = self.clone();
                drop(self.tasks.spawn(async move { this.carry(what, place, held).await }));
            }
        }
        Ok(())
    }

    /// Takes up consents that are to be closed, as far as there is room.
    async fn close_some(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let room = i64::try_from(self.closings.available_permits()).unwrap_or(0);
        let next = consents::next(&mut self.store.snapshot().await?).await?;
        if room == 0 || self.tasks.stopping().is_cancelled() || next.is_none_or(|next| next > now) {
            return Ok(());
        }
        let until = now.checked_add_signed(self.lease).unwrap_or(now);
        let mut tx = self.store.begin_as("membership.close").await?;
        let taken = consents::take(&mut tx, now, room, until).await?;
        tx.commit(()).await?;
        for closing in taken {
            let Ok(held) = Arc::clone(&self.closings).try_acquire_owned() else { break };
            let this = self.clone();
            drop(self.tasks.spawn(async move {
                if let Err(error) = this.close(&closing).await {
                    tracing::warn!(
                        membership.id = %closing.membership, error = %Chain(&error),
                        "what became of a consent that is to be closed could not be written; it is taken up again"
                    );
                }
                drop(held);
            }));
        }
        Ok(())
    }

    /// Takes steps up, as far as there is room.
    async fn claim(&self, what: PeriodWork) -> Result<Vec<(PeriodPlace, OwnedSemaphorePermit)>, StoreError> {
        let places: &Arc<Semaphore> = match what {
            PeriodWork::Charge => &self.charges,
            PeriodWork::Reward => &self.issues,
        };
        let room = i64::try_from(places.available_permits()).unwrap_or(0);
        if room == 0 || self.tasks.stopping().is_cancelled() {
            return Ok(Vec::new());
        }
        let now = self.ambient.now();
        let until = now.checked_add_signed(self.lease).unwrap_or(now);
        let mut tx = self.store.begin_as("membership.claim").await?;
        let taken = match what {
            PeriodWork::Charge => periods::claim_charges(&mut tx, now, room, until).await?,
            PeriodWork::Reward => periods::claim_rewards(&mut tx, now, room, until).await?,
        };
        tx.commit(()).await?;
        if !taken.is_empty() {
            failpoint::pass("membership", "claimed");
        }
        let held = |place| Arc::clone(places).try_acquire_owned().ok().map(|permit| (place, permit));
        Ok(taken.into_iter().filter_map(held).collect())
    }

    async fn carry(&self, what: PeriodWork, place: PeriodPlace, held: OwnedSemaphorePermit) {
        let carried = match what {
            PeriodWork::Charge => self.charge(place).await,
            PeriodWork::Reward => self.reward(place).await,
        };
        if let Err(error) = carried {
            let (id, number) = (place.membership, place.number);
            tracing::warn!(
                membership.id = %id, membership.period = number, error = %Chain(&error),
                "a step of a membership could not be written; it is taken up again"
            );
        }
        drop(held);
        self.wake.notify_one();
    }

    async fn rest_opening(&self, id: MembershipId, failures: i64) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let until = now.checked_add_signed(rest_after(failures, REST_MAX)).unwrap_or(now);
        let mut tx = self.store.begin_as("membership.rest_opening").await?;
        sql::rest(&mut tx, id, until).await?;
        tx.commit(()).await.map(|_rests| ())
    }

    /// Opens the next period of a membership that is still due.
    async fn open_next(&self, id: MembershipId) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.open").await?;
        let found = sql::lock(&mut tx, id).await?;
        let due = found.filter(|one| one.state.charges() && one.due_at.is_some_and(|due| due <= now));
        let Some(mut membership) = due else {
            tx.undo().await;
            return Ok(());
        };
        let last = periods::find(&mut tx, id, membership.periods).await?;
        let last = last.ok_or(StoreError::Inconsistent { table: "memberships", column: "periods" })?;
        let present = plan_named(&mut tx, membership.plan).await?;
        let plan = match membership.next_plan {
            Some(next) => plan_named(&mut tx, next).await?,
            None => present.clone(),
        };
        // The rest is no part of the calendar: it goes on as if the account had been there.
        let zone = self.zone(&plan).ok_or(MembershipError::NoPlan("its account is not in the settings"))?;
        let number = membership.periods.saturating_add(1);
        if plan.id != present.id {
            let of_present = self.zone(&present).unwrap_or(zone);
            count_anew(&mut membership, &present, number, last.ends_at.with_timezone(&of_present).date_naive());
        }
        let bounds = next_bounds(&mut membership, &plan, (number, last.ends_at), &zone, now)?;
        let period = new_period(&membership, &plan, number, bounds, now);
        (membership.plan, membership.next_plan) = (plan.id, None);
        (membership.periods, membership.due_at) = (number, None);
        periods::insert(&mut tx, &period).await?;
        facts::save(&mut tx, &mut membership, now).await?;
        failpoint::pass("membership", "in_open");
        tx.commit(()).await?;
        Ok(())
    }
}

/// How long something rests that failed so often before this time.
pub(super) fn rest_after(failures: i64, most: TimeDelta) -> TimeDelta {
    let doubled = u32::try_from(failures).ok().and_then(|failures| 2_i32.checked_pow(failures));
    doubled.and_then(|factor| REST.checked_mul(factor)).unwrap_or(most).min(most)
}

async fn plan_named(tx: &mut Tx, id: MembershipPlanId) -> Result<MembershipPlan, StoreError> {
    plans::find(tx, id).await?.ok_or(StoreError::Inconsistent { table: "memberships", column: "plan_id" })
}

/// Which step of a period was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeriodWork {
    Charge,
    Reward,
}

/// When the next period begins and ends. Nobody pays for time that has passed: one whose member was away when the last one ended begins today, and
/// those that follow are counted from today. Where nobody was away, and it could not be opened before it was over, the calendar goes on: what has
/// passed whole is left out.
fn next_bounds(
    membership: &mut Membership,
    plan: &MembershipPlan,
    next: (i64, DateTime<Utc>),
    zone: &chrono_tz::Tz,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), MembershipError> {
    let (number, mut begins) = next;
    if membership.due_at.is_some_and(|due| due > begins) {
        return begin_today(membership, plan, number, zone, now);
    }
    let behind = u32::try_from(number.saturating_sub(membership.anchor_number)).unwrap_or(0);
    let end_of = |membership: &Membership, behind: u32| {
        plan.span.begins_after(membership.anchor, behind.saturating_add(1), zone).ok_or(MembershipError::Calendar)
    };
    let (mut ends, mut at) = (end_of(membership, behind)?, behind);
    while ends <= now {
        at = at.saturating_add(1);
        (begins, ends) = (ends, end_of(membership, at)?);
    }
    if at > behind {
        let day = plan.span.day_after(membership.anchor, at).ok_or(MembershipError::Calendar)?;
        count_anew(membership, plan, number, day);
    }
    Ok((begins, ends))
}

/// Counts the periods from a day of the present plan's calendar on. A day of the month that this month has none of stays the one that is meant.
fn count_anew(membership: &mut Membership, present: &MembershipPlan, number: i64, on: NaiveDate) {
    membership.anchor = match present.span.unit {
        SpanUnit::Months => membership.anchor.moved_to(on),
        SpanUnit::Days => on.into(),
    };
    membership.anchor_number = number;
}

/// Counts the periods from today on.
pub(super) fn begin_today(
    membership: &mut Membership,
    plan: &MembershipPlan,
    number: i64,
    zone: &chrono_tz::Tz,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), MembershipError> {
    (membership.anchor, membership.anchor_number) = (now.with_timezone(zone).date_naive().into(), number);
    let ends = plan.span.begins_after(membership.anchor, 1, zone).ok_or(MembershipError::Calendar)?;
    Ok((now, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_up_to_an_hour() {
        let minutes = [0, 1, 2, 5, 6, 31, 32, i64::MAX].map(|failures| rest_after(failures, REST_MAX).num_minutes());
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}
