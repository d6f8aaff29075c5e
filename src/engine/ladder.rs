//! How long to wait before the next attempt at something unproven.
//!
//! Seconds at first, so that an outcome settles inside the cancel window; then minutes; then quarter hours for a day.
//! Full jitter below the step keeps replicas and rewards from marching in step.

use std::time::Duration;

/// After this long without proof automation stops and a person decides, if it was tried often enough: the rule of most kinds.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// So often it was tried at least before automation stops: a day that has only passed by a clock is none. By the ladder alone
/// these tries take eight hours. A reversal inside its window, or a caller who asks again and again, makes them sooner.
pub const TRIES_MIN: i64 = 100;

/// The longest step of all.
pub const STEP_MAX: Duration = Duration::from_secs(15 * 60);

/// Seconds of the first steps, by attempts already made.
const STEPS: [u64; 7] = [1, 1, 2, 4, 8, 15, 30];

/// The longest wait before the next attempt.
#[must_use]
pub fn step(attempts: u32, age: Duration) -> Duration {
    let early = usize::try_from(attempts.saturating_sub(1)).ok().and_then(|at| STEPS.get(at).copied());
    match early {
        Some(seconds) => Duration::from_secs(seconds),
        None if age < Duration::from_secs(15 * 60) => Duration::from_secs(60),
        None => STEP_MAX,
    }
}

/// The wait: between half the step and the step. `draw` is a random number.
#[must_use]
pub fn jittered(step: Duration, draw: u32) -> Duration {
    let half = step / 2;
    half.saturating_add(Duration::from_micros(
        u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_mul(u64::from(draw)) >> 32,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_often_at_first_and_then_every_quarter_hour() {
        let minute = Duration::from_secs(60);
        let waits: Vec<u64> = (1..=9).map(|attempts| step(attempts, minute).as_secs()).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 15, 30, 60, 60]);
        assert_eq!(step(40, 20 * minute), 15 * minute);
    }

    #[test]
    fn a_day_holds_the_tries_after_which_automation_stops_and_a_third_of_it_does_not() {
        let mut passed = [Duration::ZERO; 2];
        for attempts in 1..=u32::try_from(TRIES_MIN).unwrap() {
            for (passed, draw) in passed.iter_mut().zip([0, u32::MAX]) {
                *passed += jittered(step(attempts, *passed), draw);
            }
        }
        let [quickest, slowest] = passed;
        assert!(slowest < GIVE_UP_AFTER, "{slowest:?}");
        assert!(quickest > Duration::from_secs(8 * 3600), "{quickest:?}");
    }

    #[test]
    fn jitter_stays_between_half_the_step_and_the_step() {
        let step = Duration::from_secs(8);
        assert_eq!(jittered(step, 0), step / 2);
        assert!(jittered(step, u32::MAX) <= step && jittered(step, u32::MAX) > step - Duration::from_millis(1));
    }
}
