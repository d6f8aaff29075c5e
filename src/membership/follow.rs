//! What a membership makes of its payments. It is written in the transaction that settles the payment: a period is paid and its reward is owed,
//! or neither is so.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    facts,
    metrics::{MembershipMetrics, RenewalOutcome},
    model::{Entitlement, Membership, MembershipPeriod, MembershipPlan, PeriodState, reward_key},
    sql::{
        self,
        periods::{self, PeriodPlace},
        plans,
    },
    state::{MembershipState, MembershipStep},
};
use crate::{
    engine::Stage,
    failpoint,
    http::Code,
    kernel::Chain,
    pay::{
        follow::{AfterCommit, FollowsPayments, PaymentFollowed},
        kind::PaymentKind,
        model::Payment,
    },
    provider::pay::DeclineKind,
    store::{StoreError, Tx},
};

/// Why a membership waits whose member got the money back and kept the reward.
pub(super) const REFUNDED: &str = "refunded";

/// The rest of a period whose charge Amazon refused for the account.
const ACCOUNT_REST: TimeDelta = TimeDelta::hours(1);

/// Follows the payments of periods.
#[derive(Clone)]
pub(crate) struct MembershipFollower {
    /// A command counts nothing.
    metrics: Option<Arc<MembershipMetrics>>,
}

impl FollowsPayments for MembershipFollower {
    fn settled<'a>(&'a self, tx: &'a mut Tx, payment: &'a Payment, now: DateTime<Utc>) -> PaymentFollowed<'a> {
        Box::pin(async move {
            match self.follow(tx, payment, now).await {
                // No statement failed. The payment is true all the same, and the period goes on when its row is mended.
                Err(error @ StoreError::Inconsistent { .. }) => {
                    tracing::error!(payment.id = %payment.id, error = %Chain(&error), "what follows from a payment cannot be written");
                    Ok(AfterCommit::default())
                }
                followed => followed,
            }
        })
    }
}

impl MembershipFollower {
    pub(crate) const fn new(metrics: Arc<MembershipMetrics>) -> Self {
        Self { metrics: Some(metrics) }
    }

    /// That of a command: it serves no page of metrics.
    pub(crate) const fn uncounted() -> Self {
        Self { metrics: None }
    }

    async fn follow(&self, tx: &mut Tx, payment: &Payment, now: DateTime<Utc>) -> Result<AfterCommit, StoreError> {
        let nothing = AfterCommit::default;
        match (payment.kind, payment.order.stage) {
            // An operator who finds that Amazon made nothing leaves it reversed.
            (PaymentKind::Charge, Stage::Proven(_) | Stage::Refused { .. } | Stage::Reversed(_)) => {
                let Some(place) = periods::of_intent(tx, &payment.intent).await? else { return Ok(nothing()) };
                let Some((mut membership, mut period)) = lock(tx, place).await? else { return Ok(nothing()) };
                let plan = plan_of(tx, &period).await?;
                // It was written down before, or nobody waits for it.
                if period.intent.as_ref() != Some(&payment.intent) || !is_awaited(&period, payment) {
                    return Ok(nothing());
                }
                // A caller may have made another payment under this key.
                if payment.value != plan.price || payment.against != membership.consent || payment.holding.is_some() {
                    tracing::error!(
                        payment.id = %payment.id, membership.id = %place.membership, membership.period = place.number,
                        "a payment under the key of a period is not the period's: it pays for nothing"
                    );
                    return Ok(nothing());
                }
                let outcome = charged(&mut membership, &mut period, &plan, payment, now);
                write(tx, &mut membership, &mut period, now).await?;
                Ok(self
                    .metrics
                    .clone()
                    .map_or_else(nothing, |metrics| AfterCommit::of(move || metrics.renewed(outcome))))
            }
            (PaymentKind::Refund, Stage::Proven(_)) => {
                let Some(charge) = payment.parent else { return Ok(nothing()) };
                let Some(place) = periods::of_payment(tx, charge).await? else { return Ok(nothing()) };
                let Some((mut membership, mut period)) = lock(tx, place).await? else { return Ok(nothing()) };
                let plan = plan_of(tx, &period).await?;
                refunded(&mut period, &plan, payment, now);
                write(tx, &mut membership, &mut period, now).await?;
                Ok(nothing())
            }
            _ => Ok(nothing()),
        }
    }
}

/// Whether the period waits for this charge. Money that came for one that was given up meanwhile pays for it all the same.
fn is_awaited(period: &MembershipPeriod, payment: &Payment) -> bool {
    match period.state {
        PeriodState::Charging => true,
        PeriodState::Due | PeriodState::Declined => matches!(payment.order.stage, Stage::Proven(_)),
        PeriodState::Paid | PeriodState::Refunded => false,
    }
}

/// A period, and its membership, which nobody else changes now.
pub(super) async fn lock(
    tx: &mut Tx,
    place: PeriodPlace,
) -> Result<Option<(Membership, MembershipPeriod)>, StoreError> {
    let Some(membership) = sql::lock(tx, place.membership).await? else { return Ok(None) };
    Ok(periods::find(tx, place.membership, place.number).await?.map(|period| (membership, period)))
}

pub(super) async fn plan_of(tx: &mut Tx, period: &MembershipPeriod) -> Result<MembershipPlan, StoreError> {
    let found = plans::find(tx, period.plan).await?;
    found.ok_or(StoreError::Inconsistent { table: "membership_periods", column: "plan_id" })
}

/// Writes both, and the fact where the membership is in another state now.
pub(super) async fn write(
    tx: &mut Tx,
    membership: &mut Membership,
    period: &mut MembershipPeriod,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    periods::save(tx, period, now).await?;
    facts::save(tx, membership, now).await?;
    failpoint::pass("membership", "in_settle");
    Ok(())
}

/// Takes a step that Amazon's decision asks for. There is one from every state.
pub(super) fn take(
    membership: &mut Membership,
    step: MembershipStep,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> bool {
    let Some(after) = membership.state.after(step) else { return false };
    if after != membership.state || after == MembershipState::Active {
        membership.reason = reason.map(str::to_owned);
    }
    membership.state = after;
    if !after.charges() {
        membership.due_at = None;
    }
    if after.is_over() && membership.ended_at.is_none() {
        membership.ended_at = Some(now);
    }
    true
}

fn charged(
    membership: &mut Membership,
    period: &mut MembershipPeriod,
    plan: &MembershipPlan,
    payment: &Payment,
    now: DateTime<Utc>,
) -> RenewalOutcome {
    (period.due_at, period.waiting_for) = (None, None);
    let paid_for = payment.remote_id.as_ref().filter(|_id| matches!(payment.order.stage, Stage::Proven(_)));
    if let Some(charge) = paid_for {
        period.state = PeriodState::Paid;
        (period.payment, period.paid_at, period.decline) = (Some(payment.id), Some(now), None);
        period.entitlement = Entitlement::Owed;
        period.reward_key = Some(reward_key(charge));
        period.reward_due_at = Some(days_after(now, plan.hold_days));
        period.owed_since = period.reward_due_at;
        take(membership, MembershipStep::Paid, None, now);
        if membership.state.charges() {
            membership.due_at = Some(period.ends_at);
        }
        return RenewalOutcome::Paid;
    }
    // The key is consumed: another charge has another.
    (period.state, period.intent, period.simulation) = (PeriodState::Due, None, None);
    // Amazon refuses our account or its key: the member has nothing to mend.
    if payment.is_refused_for_the_account() && membership.state.charges() {
        period.waiting_for = Some(Code::ACCOUNT_PROBLEM.as_str().to_owned());
        period.due_at = now.checked_add_signed(ACCOUNT_REST);
        return RenewalOutcome::HeldUp;
    }
    let word = payment.decline.map_or("refused", DeclineKind::as_str);
    period.decline = Some(word.to_owned());
    let (step, outcome) = match payment.decline {
        Some(DeclineKind::Soft | DeclineKind::Busy | DeclineKind::Timeout | DeclineKind::Cap) => {
            period.setbacks = period.setbacks.saturating_add(1);
            if period.setbacks <= i64::from(plan.retries) {
                (MembershipStep::DeclinedForNow, RenewalOutcome::DeclinedForNow)
            } else {
                (MembershipStep::GraceOver, RenewalOutcome::GraceOver)
            }
        }
        // Without a decline Amazon did not take the request: the permission does not allow it now, or has ended. The caller looks.
        Some(DeclineKind::Method) | None => (MembershipStep::MethodDeclined, RenewalOutcome::MethodDeclined),
        Some(DeclineKind::Final) => (MembershipStep::Refused, RenewalOutcome::Refused),
    };
    take(membership, step, Some(word), now);
    if membership.state.charges() {
        period.due_at = Some(next_try(plan, now));
    }
    if membership.state.is_over() {
        period.state = PeriodState::Declined;
    }
    outcome
}

/// The tries within the grace are so far apart that the last ends it.
fn next_try(plan: &MembershipPlan, now: DateTime<Utc>) -> DateTime<Utc> {
    let grace = TimeDelta::days(i64::from(plan.grace_days));
    let apart = grace.checked_div(i32::try_from(plan.retries.max(1)).unwrap_or(i32::MAX)).unwrap_or(grace);
    now.checked_add_signed(apart).unwrap_or(now)
}

fn days_after(now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    now.checked_add_signed(TimeDelta::days(i64::from(days))).unwrap_or(now)
}

/// A refund is proven. As long as it is not the whole price the member paid for the period all the same.
fn refunded(period: &mut MembershipPeriod, plan: &MembershipPlan, payment: &Payment, now: DateTime<Utc>) {
    if period.state != PeriodState::Paid {
        return;
    }
    period.refunded_minor = period.refunded_minor.saturating_add(payment.value.minor());
    if period.refunded_minor < plan.price.minor() {
        return;
    }
    period.state = PeriodState::Refunded;
    match period.entitlement {
        Entitlement::Owed => (period.entitlement, period.reward_due_at) = (Entitlement::Withdrawn, None),
        // Whoever asks for it now may still be at work, and has the claim: that one is waited for.
        Entitlement::Issuing => period.entitlement = Entitlement::Canceling,
        Entitlement::Issued => (period.entitlement, period.reward_due_at) = (Entitlement::Canceling, Some(now)),
        Entitlement::None
        | Entitlement::Withdrawn
        | Entitlement::Canceling
        | Entitlement::Canceled
        | Entitlement::Kept
        | Entitlement::Failed => {}
    }
}
