//! What a caller wishes of a membership: that it waits, goes on, is tried again, ends, or has another plan from the next period on.

use super::{
    consent::{self, NoConsent},
    facts,
    follow::take,
    model::{Membership, MembershipPeriod, PeriodState},
    service::{MembershipError, Memberships, check_simulation},
    sql::{self, periods, plans},
    state::MembershipStep,
};
use crate::{
    identity::Caller,
    kernel::{ApiKeyId, MembershipId, MembershipPlanId},
    store::StoreError,
};

/// A wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MembershipWish {
    /// No period is opened or charged until it goes on.
    Pause,
    /// It goes on.
    Resume,
    /// The buyer has mended the payment method.
    Retry,
    /// It ends, now: no more is charged.
    End,
    /// Another plan from the next period on; the present one takes such a wish back.
    ChangePlan(MembershipPlanId),
    /// What Amazon's sandbox is to play in the next charge.
    Simulate(Option<String>),
}

impl Memberships {
    /// Does as the caller asks.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        by: ApiKeyId,
        id: MembershipId,
        wish: MembershipWish,
    ) -> Result<Membership, MembershipError> {
        let found = self.find(caller, id).await?;
        self.ask_amazon(&found, &wish).await?;
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.change").await?;
        let mut membership = sql::lock(&mut tx, id).await?.ok_or(MembershipError::NotFound)?;
        let last = periods::find(&mut tx, id, membership.periods).await?;
        let mut period = last.ok_or(StoreError::Inconsistent { table: "memberships", column: "periods" })?;
        let before = (membership.clone(), period.clone());
        let applied = self.apply(&mut membership, &mut period, wish);
        let mut tx = tx.or_undo(applied).await?;
        if (&membership, &period) != (&before.0, &before.1) {
            membership.asked_by = by;
            periods::save(&mut tx, &mut period, now).await?;
            facts::save(&mut tx, &mut membership, now).await?;
        }
        tx.commit(()).await?;
        self.wake.notify_one();
        Ok(membership)
    }

    /// What must be asked before the transaction, because nothing is asked over the network within one.
    async fn ask_amazon(&self, of: &Membership, wish: &MembershipWish) -> Result<(), MembershipError> {
        let plan_id = match wish {
            MembershipWish::Retry => of.plan,
            MembershipWish::ChangePlan(other) => *other,
            MembershipWish::Simulate(code) => {
                let plan = plans::find(&mut self.store.snapshot().await?, of.plan).await?;
                let plan = plan.ok_or(MembershipError::NotFound)?;
                return check_simulation(code.as_deref(), self.seller(&plan)?);
            }
            MembershipWish::Pause | MembershipWish::Resume | MembershipWish::End => return Ok(()),
        };
        if *wish == MembershipWish::Retry && of.state.after(MembershipStep::Mend).is_none() {
            return Err(MembershipError::InvalidState(of.state));
        }
        let present =
            plans::find(&mut self.store.snapshot().await?, of.plan).await?.ok_or(MembershipError::NotFound)?;
        // Who stays in a plan that was closed goes on in it.
        let plan = if plan_id == of.plan { present.clone() } else { self.open_plan(of.client, plan_id).await? };
        if plan.pay_account != present.pay_account || plan.price.currency() != present.price.currency() {
            return Err(MembershipError::NoPlan("it is paid to another account"));
        }
        match consent::check(self.seller(&plan)?, &of.consent, plan.price).await {
            Err(MembershipError::Consent(NoConsent::Over(why))) => {
                self.lapse(of.id, why).await?;
                Err(NoConsent::Over(why).into())
            }
            checked => checked,
        }
    }

    /// The buyer, or Amazon, has ended the consent: nothing can be charged by it any more.
    async fn lapse(&self, id: MembershipId, why: &'static str) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.lapse").await?;
        let mut membership = sql::lock(&mut tx, id).await?.ok_or(MembershipError::NotFound)?;
        if !membership.state.is_over() {
            take(&mut membership, MembershipStep::Refused, Some("consent_ended"), now);
            if let Some(mut period) = periods::find(&mut tx, id, membership.periods).await? {
                give_up(&mut period);
                periods::save(&mut tx, &mut period, now).await?;
            }
            facts::save(&mut tx, &mut membership, now).await?;
            tracing::info!(membership.id = %id, amazon.reason = why, "a membership has lapsed: its consent has ended");
        }
        tx.commit(()).await?;
        Ok(())
    }

    fn apply(
        &self,
        membership: &mut Membership,
        period: &mut MembershipPeriod,
        wish: MembershipWish,
    ) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        let refused = MembershipError::InvalidState(membership.state);
        let step = |membership: &mut Membership, step, reason| {
            if take(membership, step, reason, now) {
                Ok(())
            } else {
                Err(MembershipError::InvalidState(membership.state))
            }
        };
        match wish {
            MembershipWish::Pause => {
                step(membership, MembershipStep::Pause, Some("asked"))?;
                if period.state == PeriodState::Due {
                    period.due_at = None;
                }
            }
            MembershipWish::Resume => {
                let owes = period.state == PeriodState::Due && period.decline.is_some();
                let how = if owes { MembershipStep::ResumeOwing } else { MembershipStep::Resume };
                step(membership, how, None)?;
                match period.state {
                    PeriodState::Due => period.due_at = Some(now),
                    // Nobody pays for the time that passed meanwhile: the runner begins the next one today.
                    PeriodState::Paid | PeriodState::Refunded => membership.due_at = Some(period.ends_at.max(now)),
                    PeriodState::Charging | PeriodState::Declined => {}
                }
                membership.reason = None;
            }
            MembershipWish::Retry => {
                step(membership, MembershipStep::Mend, None)?;
                if period.state == PeriodState::Due {
                    (period.setbacks, period.due_at) = (0, Some(now));
                }
            }
            MembershipWish::End => {
                step(membership, MembershipStep::End, Some("asked"))?;
                give_up(period);
            }
            MembershipWish::ChangePlan(plan) if !membership.state.is_over() => {
                membership.next_plan = Some(plan).filter(|plan| *plan != membership.plan);
            }
            MembershipWish::Simulate(code) if !membership.state.is_over() => membership.simulation = code,
            MembershipWish::ChangePlan(_) | MembershipWish::Simulate(_) => return Err(refused),
        }
        Ok(())
    }
}

/// What is not under way is not charged any more.
fn give_up(period: &mut MembershipPeriod) {
    if period.state == PeriodState::Due {
        (period.state, period.due_at) = (PeriodState::Declined, None);
    }
}
