//! What a decision of the machine makes of a reward's row: instants, the lease, and when it is due again. Pure, like the
//! machine: the caller brings the instant and the random number.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    machine::{self, Action, Event, Next, Rejected, State, Wake},
    model::Reward,
};
use crate::kernel::ladder;

/// Attempts that one drive makes before it leaves the rest to the worker: create, cancel and a read fit.
pub const STEPS_MAX: usize = 4;
/// The longest wait between two tries to cancel while the window is open.
const CANCEL_STEP_MAX: Duration = Duration::from_secs(4);

/// The right to work on a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Whose.
    pub token: Uuid,
    /// How long nobody else takes the reward up: longer than any attempt.
    pub holds: Duration,
}

/// Puts what the machine decided into the row: facts, instants, and when it is due again. A lease is kept only by one
/// who goes on at once.
pub fn apply(reward: &mut Reward, next: &Next, lease: Option<Lease>, now: DateTime<Utc>, draw: u32) {
    reward.facts = next.facts;
    reward.attention = next.attention;
    match next.facts.state {
        State::Issued => {
            reward.issued_at = reward.issued_at.or(Some(now));
            (reward.unproven_since, reward.last_error) = (None, None);
        }
        State::Canceled => {
            reward.canceled_at = reward.canceled_at.or(Some(now));
            (reward.unproven_since, reward.last_error) = (None, None);
        }
        State::Failed => reward.unproven_since = None,
        State::Pending | State::Issuing | State::Unresolved | State::Canceling => {
            reward.unproven_since = reward.unproven_since.or(Some(now));
        }
        State::NeedsAttention => {}
    }
    (reward.lease, reward.due_at) = match (next.wake, lease) {
        (Wake::Now, Some(lease)) => {
            reward.attempts = reward.attempts.saturating_add(1);
            (Some(lease.token), after(now, lease.holds))
        }
        (Wake::Now, None) => (None, Some(now)),
        (Wake::Never, _) => (None, None),
        (Wake::At(instant), _) => (None, Some(instant)),
        (Wake::Backoff, _) => {
            let mut step = ladder::step(u32::try_from(reward.attempts).unwrap_or(u32::MAX), unproven_for(reward, now));
            if machine::due(&reward.facts, now) == Some(Action::Cancel) {
                step = step.min(CANCEL_STEP_MAX);
            }
            (None, after(now, ladder::jittered(step, draw)))
        }
    };
}

/// Keeps the lease over the back-off that [`apply`] set: the caller still waits, and the same worker makes the next
/// attempt. Says how long until then; `None` when there is no back-off. The attempt counts as begun, see [`is_settled`].
pub fn hold(reward: &mut Reward, lease: Lease, now: DateTime<Utc>) -> Option<Duration> {
    let pause = reward.due_at?.signed_duration_since(now).to_std().ok()?;
    reward.attempts = reward.attempts.saturating_add(1);
    reward.lease = Some(lease.token);
    reward.due_at = after(now, pause.saturating_add(lease.holds));
    Some(pause)
}

/// Goes on after the back-off that was held.
///
/// # Errors
/// [`Rejected`] when the state knows no next attempt.
pub fn go_on(reward: &mut Reward, lease: Lease, now: DateTime<Utc>) -> Result<(), Rejected> {
    reward.facts = machine::step(reward.facts, Event::Begin, now)?.facts;
    reward.unproven_since = reward.unproven_since.or(Some(now));
    reward.due_at = after(now, lease.holds);
    Ok(())
}

/// The wish to cancel. An attempt that is in flight keeps its lease and sees the wish when it settles; else the row goes
/// on as the machine says, leased where a cancel can be sent at once.
pub fn wish_cancel(reward: &mut Reward, next: &Next, lease: Lease, now: DateTime<Utc>, draw: u32) {
    let in_flight = reward.lease.is_some() && next.facts.state != State::Canceled;
    if in_flight {
        reward.facts = next.facts;
    } else {
        let drive = next.facts.state == State::Canceling;
        apply(reward, next, drive.then_some(lease), now, draw);
    }
}

/// What becomes of a due reward that is taken up: an attempt that was left is ambiguous, and after a day, or when it is
/// too old to be replayed, a person decides.
///
/// # Errors
/// [`Rejected`] when the state knows no next step.
pub fn resume(reward: &Reward, replay_age: Duration, now: DateTime<Utc>) -> Result<Next, Rejected> {
    let resumed = if reward.lease.is_some() { Event::Abandoned } else { Event::Begin };
    let event = if is_over(reward, replay_age, now) { Event::GiveUp } else { resumed };
    machine::step(reward.facts, event, now).or_else(|_rejected| machine::step(reward.facts, resumed, now))
}

/// Whether the outcome of the attempt that `sent` was leased for is written already, in a row that is still under the same
/// lease: only whoever settles counts another attempt there.
#[must_use]
pub fn is_settled(sent: &Reward, stored: &Reward) -> bool {
    sent.attempts != stored.attempts
}

/// Whether automation ends here: unproven for a day, or too old to be replayed.
#[must_use]
pub fn is_over(reward: &Reward, replay_age: Duration, now: DateTime<Utc>) -> bool {
    let since = reward.unproven_since.unwrap_or(reward.created_at);
    let unproven = now.signed_duration_since(since).to_std().is_ok_and(|age| age >= ladder::GIVE_UP_AFTER);
    unproven || is_too_old(reward, replay_age, now)
}

/// Whether Amazon may have forgotten the reward's id by now: replaying it would buy a second card.
#[must_use]
pub fn is_too_old(reward: &Reward, replay_age: Duration, now: DateTime<Utc>) -> bool {
    let age = reward.facts.first_send_at.map(|sent| now.signed_duration_since(sent).to_std().unwrap_or_default());
    age.is_some_and(|age| age >= replay_age)
}

/// An instant so much later.
#[must_use]
pub fn after(now: DateTime<Utc>, wait: Duration) -> Option<DateTime<Utc>> {
    TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).or(Some(now))
}

fn unproven_for(reward: &Reward, now: DateTime<Utc>) -> Duration {
    let since = reward.unproven_since.unwrap_or(reward.created_at);
    now.signed_duration_since(since).to_std().unwrap_or_default()
}
