//! When an order is taken up again: what a decision of the machine makes of its lease, its due time and its attempts,
//! and how orders begin, are taken up, retried and settled by hand. Pure, like the machine.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    event::Event,
    ladder,
    order::{AttentionReason, OnUnproven, Order, Proof, Reversed, Stage, Try},
    rules::Rules,
    step::{Next, Rejected, Step, Wake},
};

/// The longest wait between two tries to reverse while the window is open, unless the remote service refuses them: then
/// they follow the ladder.
const REVERSAL_STEP_MAX: Duration = Duration::from_secs(4);
/// The last try to reverse is made so long before the window is over.
const LAST_REVERSAL: TimeDelta = TimeDelta::seconds(10);

/// The right to work on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Whose it is.
    pub token: Uuid,
    /// How long nobody else takes the order up: longer than any attempt.
    pub holds: Duration,
}

/// What pure code is given instead of a clock and a source of randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The present.
    pub now: DateTime<Utc>,
    /// A random number.
    pub draw: u32,
    /// How long someone still waits for another attempt at the order; zero when nobody does.
    pub patience: Duration,
    /// Someone waits for the receipt.
    pub awaited: bool,
}

/// An order that begins now, leased, with its first attempt about to be committed. `doubt` says that the row of an
/// earlier attempt may have been lost: no refusal is believed then.
#[must_use]
pub fn begin(on_unproven: OnUnproven, doubt: bool, lease: Lease, now: DateTime<Utc>) -> Order {
    let sent = Try { first_sent_at: now, doubt, reversal_wanted: false, refusals: 0, handed_out: doubt, done: false };
    Order {
        stage: Stage::Sending(sent),
        on_unproven,
        attempts: 1,
        attempts_before: 0,
        showings: 0,
        unproven_since: Some(now),
        lease: Some(lease.token),
        due_at: Some(after(now, lease.holds)),
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// Puts what the machine decided into the order. A lease is kept only by a worker that goes on at once.
#[must_use]
pub fn apply(order: Order, next: &Next, lease: Option<Lease>, rules: &Rules, moment: Moment) -> Order {
    let now = moment.now;
    let mut order = Order { stage: next.stage, updated_at: now, ..order };
    // What a clock wrote that was ahead began now at the latest.
    let since = order.unproven_since.map(|since| since.min(now));
    order.unproven_since = match order.stage {
        Stage::Proven(_) | Stage::Reversed(_) | Stage::Refused { .. } => None,
        Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) | Stage::Reversing(_) => since.or(Some(now)),
        Stage::Attention(_) => since,
    };
    if since.is_none() {
        order.attempts_before = order.attempts;
    }
    (order.lease, order.due_at) = match (next.wake, lease) {
        (Wake::Now, Some(lease)) => {
            order.attempts = order.attempts.saturating_add(1);
            (Some(lease.token), Some(after(now, lease.holds)))
        }
        (Wake::Now, None) => (None, Some(now)),
        (Wake::Never, _) => (None, None),
        (Wake::At(instant), _) => {
            let farthest = now.checked_add_signed(rules.longest_wait()).unwrap_or(now);
            (None, Some(instant.min(farthest)))
        }
        (Wake::Backoff, _) => (None, Some(backed_off(&order, rules, moment))),
    };
    order
}

/// When the order is due after the ladder's next step. A reversal is tried once more before its window is over, and is
/// read as soon as it is.
fn backed_off(order: &Order, rules: &Rules, moment: Moment) -> DateTime<Utc> {
    let now = moment.now;
    let attempts = u32::try_from(order.attempts).unwrap_or(u32::MAX);
    let step = ladder::step(attempts, unproven_for(order, now));
    let due = |step| after(now, ladder::jittered(step, moment.draw));
    let Stage::Reversing(reversal) = order.stage else { return due(step) };
    let until = rules.reversible_until(reversal.first_sent_at).filter(|_until| reversal.is_open(rules, now));
    let Some(until) = until else { return due(step) };
    let due = due(if reversal.refused.is_some() { step } else { step.min(REVERSAL_STEP_MAX) });
    let last = until.checked_sub_signed(LAST_REVERSAL).unwrap_or(until);
    if due < until {
        due
    } else if now < last {
        last
    } else {
        until
    }
}

/// Keeps the lease over the back-off that [`apply`] set: the caller still waits, and the same worker makes the next
/// attempt. Returns how long until then; `None` without a back-off. The attempt counts as begun, see [`is_settled`].
#[must_use]
pub fn hold(order: Order, lease: Lease, now: DateTime<Utc>) -> Option<(Order, Duration)> {
    let pause = order.due_at?.signed_duration_since(now).to_std().ok()?;
    let held = Order {
        attempts: order.attempts.saturating_add(1),
        lease: Some(lease.token),
        due_at: Some(after(now, pause.saturating_add(lease.holds))),
        ..order
    };
    Some((held, pause))
}

/// Goes on after the back-off that was held.
///
/// # Errors
/// [`Rejected`] when the stage knows no next attempt.
pub fn go_on(order: Order, lease: Lease, rules: &Rules, now: DateTime<Utc>) -> Result<Order, Rejected> {
    let stage = step(&order, Event::Begin, now, rules).apply(order.stage)?.stage;
    let unproven_since = order.unproven_since.or(Some(now));
    Ok(Order { stage, unproven_since, due_at: Some(after(now, lease.holds)), updated_at: now, ..order })
}

/// The wish to reverse. An attempt that is in flight keeps its lease, and its worker sees the wish when it settles;
/// otherwise the order goes on as the machine says, leased where a reversal can be sent at once.
///
/// # Errors
/// [`Rejected`] when the stage does not allow it.
pub fn want_reversal(order: Order, lease: Lease, rules: &Rules, moment: Moment) -> Result<Order, Rejected> {
    let next = step(&order, Event::ReversalAsked, moment.now, rules).apply(order.stage)?;
    if next.stage == order.stage {
        return Ok(order);
    }
    let over = matches!(next.stage, Stage::Reversed(_));
    if order.lease.is_some() && !over {
        return Ok(Order { stage: next.stage, updated_at: moment.now, ..order });
    }
    let at_once = matches!(next.stage, Stage::Reversing(_)).then_some(lease);
    Ok(apply(order, &next, at_once, rules, moment))
}

/// What becomes of a due order that is taken up: an attempt that was left ended in doubt, and after a day, or when the
/// order is too old to be replayed, a person decides. Says also when it is due again: `Wake::Now` when it is leased.
///
/// # Errors
/// [`Rejected`] when the stage knows no next step.
pub fn take_up(
    order: Order,
    lease: Lease,
    replay_age: Duration,
    rules: &Rules,
    moment: Moment,
) -> Result<(Order, Wake), Rejected> {
    let event = resumed_by(&order, replay_age, rules, moment.now);
    let at = |event| step(&order, event, moment.now, rules).apply(order.stage);
    let left = if order.lease.is_some() { Event::Abandoned } else { Event::Begin };
    let next = at(event).or_else(|_rejected| at(left))?;
    Ok((apply(order, &next, Some(lease), rules, moment), next.wake))
}

/// Ends automation for a due order that nobody can carry, once it has been unproven for as long as its kind's rule says; `None`
/// before.
#[must_use]
pub fn give_up(order: Order, rules: &Rules, moment: Moment) -> Option<(Order, Wake)> {
    if unproven_for(&order, moment.now) < rules.give_up_after {
        return None;
    }
    let next = step(&order, Event::GiveUp, moment.now, rules).apply(order.stage).ok()?;
    Some((apply(order, &next, None, rules, moment), next.wake))
}

/// The event by which a due order is taken up.
#[must_use]
pub fn resumed_by(order: &Order, replay_age: Duration, rules: &Rules, now: DateTime<Utc>) -> Event {
    match order.lease {
        _ if is_over(order, replay_age, rules, now) => Event::GiveUp,
        Some(_) => Event::Abandoned,
        None => Event::Begin,
    }
}

/// Tries a refused order again, because its caller says that the cause is cured. `doubt` as in [`begin`].
///
/// # Errors
/// [`Rejected`] unless the refusal can be cured.
pub fn retry(order: Order, doubt: bool, lease: Lease, rules: &Rules, moment: Moment) -> Result<Order, Rejected> {
    let Stage::Refused { .. } = order.stage else { return Err(Rejected::InvalidState) };
    let mut next = step(&order, Event::Begin, moment.now, rules).apply(order.stage)?;
    if let Stage::Sending(sent) = next.stage {
        next.stage = Stage::Sending(Try { doubt, handed_out: doubt, ..sent });
    }
    Ok(apply(order, &next, Some(lease), rules, moment))
}

/// Makes a refusal final that could have been cured; `None` for any other order.
#[must_use]
pub fn close(order: Order, now: DateTime<Utc>) -> Option<Order> {
    let refused = order.stage == Stage::Refused { retryable: true };
    refused.then_some(Order { stage: Stage::Refused { retryable: false }, updated_at: now, ..order })
}

/// What the return of its caller makes of an order that only the remote service knew of: it exists, so it is replayed,
/// and no refusal is believed. `None` when a person has settled it meanwhile.
#[must_use]
pub fn reclaim(order: Order, lease: Lease, now: DateTime<Utc>) -> Option<Order> {
    let Stage::Attention(attention) = order.stage else { return None };
    let first_sent_at = attention.first_sent_at.filter(|_sent| attention.why == Some(AttentionReason::Adopted))?;
    Some(Order {
        stage: Stage::Sending(Try {
            first_sent_at,
            doubt: true,
            reversal_wanted: false,
            refusals: 0,
            handed_out: true,
            done: false,
        }),
        attempts: order.attempts.saturating_add(1),
        attempts_before: order.attempts,
        unproven_since: Some(now),
        lease: Some(lease.token),
        due_at: Some(after(now, lease.holds)),
        updated_at: now,
        ..order
    })
}

/// What a restored back-up makes of an order that was under way in it. Something may have been sent since, at the
/// earliest when the back-up was made; its receipt may have been handed out. The order's day of replays begins now, because
/// no worker has asked meanwhile.
#[must_use]
pub fn mark_uncertain(order: Order, lost_from: DateTime<Utc>, now: DateTime<Utc>) -> Order {
    let stage = match order.stage {
        Stage::Pending => Stage::Unproven(Try {
            first_sent_at: lost_from,
            doubt: true,
            reversal_wanted: false,
            refusals: 0,
            handed_out: true,
            done: false,
        }),
        Stage::Sending(sent) => Stage::Sending(Try { doubt: true, handed_out: true, ..sent }),
        Stage::Unproven(sent) => Stage::Unproven(Try { doubt: true, handed_out: true, ..sent }),
        Stage::Reversing(mut reversal) => {
            (reversal.doubt, reversal.handed_out) = (true, true);
            Stage::Reversing(reversal)
        }
        Stage::Proven(_) | Stage::Reversed(_) | Stage::Refused { .. } | Stage::Attention(_) => order.stage,
    };
    Order {
        stage,
        lease: None,
        due_at: Some(now),
        unproven_since: Some(now),
        attempts_before: order.attempts,
        updated_at: now,
        ..order
    }
}

/// What a person found out about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The effect is live.
    Issued,
    /// It was never done.
    NotBought,
    /// It was done and reversed.
    Canceled,
}

impl Resolution {
    fn stage(self, stage: &Stage, first_sent_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Stage> {
        let (proven_at, reversal_failure) = (stage.proven_at(), stage.reversal_failure());
        let reversed =
            |reversed_at| Stage::Reversed(Reversed { first_sent_at, proven_at, reversed_at, reversal_failure });
        match self {
            Self::Issued => first_sent_at.map(|first_sent_at| {
                // The person answers for it: it needs nobody a second time.
                let handed_out = true;
                Stage::Proven(Proof {
                    first_sent_at,
                    proven_at: proven_at.unwrap_or(now),
                    reversal_failure,
                    handed_out,
                })
            }),
            Self::NotBought => Some(reversed(stage.reversed_at())),
            Self::Canceled => Some(reversed(stage.reversed_at().or(Some(now)))),
        }
    }
}

/// What a person's resolution makes of an order that needs a person; `None` for any other order. If the person found
/// that nothing was done, the order ends here: only the person has seen the remote service's state, so the id is not
/// tried again.
#[must_use]
pub fn resolve(order: Order, resolution: Resolution, now: DateTime<Utc>) -> Option<Order> {
    let Stage::Attention(attention) = order.stage else { return None };
    let stage = resolution.stage(&order.stage, attention.first_sent_at.or(Some(order.created_at)), now)?;
    Some(settled_by_hand(order, stage, now))
}

/// What a person's resolution makes of an order that had come to its end, and that the remote service shows otherwise;
/// `None` when the order is under way, or stands as the resolution says. `at` is when the remote service did it, for an
/// order that was never sent by what we know.
#[must_use]
pub fn overrule(order: Order, resolution: Resolution, at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Order> {
    let (ended, differs) = match (order.stage, resolution) {
        (Stage::Proven(_), Resolution::Issued) | (Stage::Reversed(_), Resolution::NotBought | Resolution::Canceled) => {
            (true, false)
        }
        (Stage::Proven(_) | Stage::Reversed(_) | Stage::Refused { .. }, _) => (true, true),
        (Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) | Stage::Reversing(_) | Stage::Attention(_), _) => {
            (false, true)
        }
    };
    let stage = resolution.stage(&order.stage, order.stage.first_sent_at().or(Some(at)), now)?;
    (ended && differs).then(|| settled_by_hand(order, stage, now))
}

fn settled_by_hand(order: Order, stage: Stage, now: DateTime<Utc>) -> Order {
    Order { stage, unproven_since: None, lease: None, due_at: None, updated_at: now, ..order }
}

/// Whether the outcome of the attempt that `sent` was leased for is written already, in a row that is still under the
/// same lease: only whoever settles counts another attempt there.
#[must_use]
pub const fn is_settled(sent: &Order, stored: &Order) -> bool {
    sent.attempts != stored.attempts
}

/// Whether the row stands as an unconfirmed commit of `outcome` left it that was made on `sent`: one version on, and with
/// the lease given back. Another worker would have counted an attempt, or given the order up.
#[must_use]
pub fn is_left_by(sent: &Order, outcome: &Order, stored: &Order) -> bool {
    stored.lease.is_none()
        && stored.version == sent.version.saturating_add(1)
        && stored.attempts == sent.attempts
        && stored.state() == outcome.state()
}

/// Whether automation ends here: unproven for as long as its kind's rule says, and really tried, or too old to be replayed. A clock
/// that jumps ahead by a day, or a service that stood still for one, has tried nothing in it.
#[must_use]
pub fn is_over(order: &Order, replay_age: Duration, rules: &Rules, now: DateTime<Utc>) -> bool {
    let tried = order.attempts.saturating_sub(order.attempts_before);
    let long = unproven_for(order, now) >= rules.give_up_after && tried >= ladder::TRIES_MIN;
    long || is_too_old(order, replay_age, now)
}

/// Whether the remote service may have forgotten the order's id by now: replaying it would do it a second time.
#[must_use]
pub fn is_too_old(order: &Order, replay_age: Duration, now: DateTime<Utc>) -> bool {
    let age = |sent| now.signed_duration_since(sent).to_std().unwrap_or_default();
    order.stage.first_sent_at().is_some_and(|sent| age(sent) >= replay_age)
}

/// An instant so much later.
#[must_use]
pub fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now)
}

/// The event at this instant, under the order's own terms.
pub(super) fn step<'a>(order: &Order, event: Event, now: DateTime<Utc>, rules: &'a Rules) -> Step<'a> {
    Step { event, at: now, now, rules, on_unproven: order.on_unproven, awaited: false }
}

fn unproven_for(order: &Order, now: DateTime<Utc>) -> Duration {
    let since = order.unproven_since.unwrap_or(order.created_at);
    now.signed_duration_since(since).to_std().unwrap_or_default()
}
