//! A period is charged: its intent is written down, the payment is made under it, and what became of it is followed.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    facts,
    follow::{lock, plan_of},
    model::{Membership, MembershipPeriod, MembershipPlan, PeriodState, charge_key},
    runner::begin_today,
    service::{MembershipError, Memberships},
    sql::{
        self,
        periods::{self, PeriodPlace},
    },
};
use crate::{
    engine::Stage,
    failpoint,
    http::Problem,
    identity::Caller,
    kernel::{IdempotencyKey, Intent},
    pay::{
        follow::FollowsPayments,
        make::PayError,
        model::{Make, Payment, PaymentCommand},
    },
    store::StoreError,
};

/// How long a charge is waited for. What is not decided then is carried by the payments' own recovery.
const WAIT: Duration = Duration::from_secs(20);
/// Between two looks at a charge that Amazon decides later. Its own transaction follows it; this look finds what an older program settled.
const LOOK: TimeDelta = TimeDelta::minutes(15);
/// The rest of a charge that cannot be asked for.
const REST: TimeDelta = TimeDelta::minutes(5);

impl Memberships {
    /// Takes the charge of a period a step on.
    pub(super) async fn charge(&self, place: PeriodPlace) -> Result<(), MembershipError> {
        let Some((client, command)) = self.begin_charge(place).await? else { return Ok(()) };
        failpoint::pass("membership", "charging");
        let (caller, arrived) = (Caller::of_client(client), self.ambient.monotonic());
        let made = self.payments.make.run(caller, command, Some(WAIT), arrived).await;
        failpoint::pass("membership", "charged");
        match made {
            Ok(made) => self.look_at(place, &made.payment).await,
            Err(error) => self.hold_up(place, error).await,
        }
    }

    /// Writes down what is asked for before it is asked for.
    async fn begin_charge(
        &self,
        place: PeriodPlace,
    ) -> Result<Option<(crate::kernel::ClientId, PaymentCommand)>, MembershipError> {
        let made = self.is_made(place).await?;
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.charge").await?;
        let Some((mut membership, mut period)) =
            lock(&mut tx, place).await?.filter(|(_of, one)| one.claims == place.claims)
        else {
            tx.undo().await;
            return Ok(None);
        };
        let plan = plan_of(&mut tx, &period).await?;
        let asked = self.prepare(&mut membership, &mut period, &plan, made)?;
        periods::save(&mut tx, &mut period, now).await?;
        facts::save(&mut tx, &mut membership, now).await?;
        failpoint::pass("membership", "in_charge");
        tx.commit(()).await?;
        let Some(key) = asked else { return Ok(None) };
        let command = PaymentCommand {
            key,
            make: Make::Charge {
                account: Some(plan.pay_account),
                consent: membership.consent,
                // Nobody waits, and fewer are declined.
                may_wait: true,
            },
            value: plan.price,
            asked_by: membership.asked_by,
            external_id: None,
            simulation: period.simulation,
        };
        Ok(Some((membership.client, command)))
    }

    /// Whether there is a payment of the charge that is under way.
    async fn is_made(&self, place: PeriodPlace) -> Result<bool, MembershipError> {
        let found = periods::find(&mut self.store.snapshot().await?, place.membership, place.number).await?;
        let Some(period) = found.filter(|period| period.state == PeriodState::Charging) else { return Ok(false) };
        let found = sql::find(&mut self.store.snapshot().await?, place.membership).await?;
        let Some(membership) = found else { return Ok(false) };
        let Ok(key) = charge_key(&membership.intent, period.number, period.tries) else { return Ok(false) };
        Ok(self.payments.known(period.client, &key).await?.is_some())
    }

    /// Decides what the step is: the key of the charge that is to be asked for, or nothing.
    fn prepare(
        &self,
        membership: &mut Membership,
        period: &mut MembershipPeriod,
        plan: &MembershipPlan,
        made: bool,
    ) -> Result<Option<IdempotencyKey>, MembershipError> {
        let now = self.ambient.now();
        match period.state {
            PeriodState::Paid | PeriodState::Declined | PeriodState::Refunded => {
                period.due_at = None;
                return Ok(None);
            }
            // Nothing was asked for, and nothing is to be. A worker that stands still may ask all the same: the next charge has the same key, and
            // what comes of this one is followed by the intent that stays.
            PeriodState::Due | PeriodState::Charging if !made && !membership.state.charges() => {
                let over = membership.state.is_over();
                if period.state == PeriodState::Charging {
                    period.tries = period.tries.saturating_sub(1);
                }
                period.state = if over { PeriodState::Declined } else { PeriodState::Due };
                period.due_at = None;
                return Ok(None);
            }
            PeriodState::Charging => {}
            PeriodState::Due => {
                if period.ends_at <= now {
                    let zone = self.zone(plan).ok_or(MembershipError::NoPlan("the account is not in the settings"))?;
                    (period.starts_at, period.ends_at) = begin_today(membership, plan, period.number, &zone, now)?;
                }
                period.state = PeriodState::Charging;
                period.tries = period.tries.saturating_add(1);
                period.simulation = membership.simulation.take();
            }
        }
        let key = charge_key(&membership.intent, period.number, period.tries)
            .map_err(|_malformed| StoreError::Inconsistent { table: "membership_periods", column: "number" })?;
        period.intent = Some(Intent::derive(membership.client, &key));
        Ok(Some(key))
    }

    /// Follows a payment that is settled; one that is not rests.
    async fn look_at(&self, place: PeriodPlace, payment: &Payment) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        if !matches!(payment.order.stage, Stage::Proven(_) | Stage::Refused { .. } | Stage::Reversed(_)) {
            return self.rest(place, None, LOOK).await;
        }
        let mut tx = self.store.begin_as("membership.follow").await?;
        let followed = self.follower.settled(&mut tx, payment, now).await?;
        tx.commit(()).await?;
        followed.committed();
        Ok(())
    }

    /// Nothing was asked for: the same is asked for later.
    async fn hold_up(&self, place: PeriodPlace, error: PayError) -> Result<(), MembershipError> {
        let code = Problem::from(error).code().as_str();
        tracing::warn!(membership.id = %place.membership, membership.period = place.number, membership.problem = code, "a period cannot be charged now");
        self.rest(place, Some(code), REST).await
    }

    async fn rest(
        &self,
        place: PeriodPlace,
        code: Option<&'static str>,
        pause: TimeDelta,
    ) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.rest").await?;
        if let Some((_membership, mut period)) = lock(&mut tx, place).await?
            && period.claims == place.claims
            && period.state == PeriodState::Charging
        {
            period.waiting_for = code.map(str::to_owned);
            period.due_at = now.checked_add_signed(pause);
            periods::save(&mut tx, &mut period, now).await?;
        }
        tx.commit(()).await?;
        Ok(())
    }
}
