//! When a message is tried again: the schedule of Standard Webhooks 1.0, over three days.

use chrono::TimeDelta;

use super::post::PostOutcome;

/// How long is waited after each attempt that failed, in seconds. The attempt after the last of these is the last one.
const WAITS_SECONDS: [i64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// Of what a receiver asks for. `post` bounds it as well.
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::hours(24);
/// A wait is longer by up to this part of it, so that messages that failed together are not sent together again.
const JITTER_PART: i64 = 10;

/// What becomes of a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// It has arrived.
    Delivered,
    /// It answered 410: the endpoint is disabled, and the message waits.
    Gone,
    /// It is sent again, after so long.
    Again(TimeDelta),
    /// It was sent often enough.
    GivenUp,
}

/// What becomes of a message after attempt number `attempt` (the first one is 1). `draw` decides the jitter
/// ([`Ambient::draw`](crate::ambient::Ambient::draw)).
#[must_use]
pub fn after(attempt: u32, outcome: &PostOutcome, draw: u32) -> DeliveryVerdict {
    match outcome {
        PostOutcome::Answered { status: 200..=299, .. } => return DeliveryVerdict::Delivered,
        PostOutcome::Answered { status: 410, .. } => return DeliveryVerdict::Gone,
        PostOutcome::Answered { .. } | PostOutcome::NotDelivered(_) => {}
    }
    let waited = usize::try_from(attempt.saturating_sub(1)).ok().and_then(|failed| WAITS_SECONDS.get(failed));
    match waited {
        Some(seconds) => DeliveryVerdict::Again(later(TimeDelta::seconds(*seconds).max(asked(outcome)), draw)),
        None => DeliveryVerdict::GivenUp,
    }
}

/// For how long the receiver asks to be left alone, a day at most: `Retry-After`, where Standard Webhooks keeps it.
#[must_use]
pub fn asked(outcome: &PostOutcome) -> TimeDelta {
    match outcome {
        PostOutcome::Answered { status: 429 | 502 | 503 | 504, retry_after: Some(asked) } => {
            TimeDelta::from_std(*asked).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX)
        }
        PostOutcome::Answered { .. } | PostOutcome::NotDelivered(_) => TimeDelta::zero(),
    }
}

/// Later by a share of [`JITTER_PART`] that `draw` decides.
fn later(wait: TimeDelta, draw: u32) -> TimeDelta {
    let most = wait.num_milliseconds().div_euclid(JITTER_PART);
    let share = most.saturating_mul(i64::from(draw)).div_euclid(i64::from(u32::MAX));
    wait.checked_add(&TimeDelta::milliseconds(share)).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use proptest::prelude::*;

    use super::{super::post::PostFault, *};

    const ATTEMPTS: u32 = 10;

    fn answered(status: u16, retry_after: Option<u64>) -> PostOutcome {
        PostOutcome::Answered { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    /// How long is waited, in milliseconds; `None` where it is not tried again.
    fn wait(attempt: u32, outcome: &PostOutcome, draw: u32) -> Option<i64> {
        match after(attempt, outcome, draw) {
            DeliveryVerdict::Again(wait) => Some(wait.num_milliseconds()),
            DeliveryVerdict::Delivered | DeliveryVerdict::Gone | DeliveryVerdict::GivenUp => None,
        }
    }

    #[test]
    fn a_message_that_fails_is_sent_ten_times_over_three_days() {
        let failed = PostOutcome::NotDelivered(PostFault::Timeout);
        let waits: Vec<Option<i64>> = (1..=ATTEMPTS).map(|attempt| wait(attempt, &failed, 0)).collect();
        let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        let expected = seconds.into_iter().map(|seconds: i64| Some(seconds * 1_000)).chain([None]);
        assert_eq!(waits, expected.collect::<Vec<_>>());
        for attempt in [ATTEMPTS, ATTEMPTS + 1, u32::MAX] {
            assert_eq!(after(attempt, &failed, 0), DeliveryVerdict::GivenUp);
        }
        assert_eq!(after(0, &failed, 0), after(1, &failed, 0));
    }

    #[test]
    fn two_hundreds_are_delivered_410_is_gone_and_all_else_is_tried_again() {
        for status in 100..=999 {
            let verdict = after(1, &answered(status, Some(7)), 0);
            let expected = match status {
                200..=299 => DeliveryVerdict::Delivered,
                410 => DeliveryVerdict::Gone,
                429 | 502 | 503 | 504 => DeliveryVerdict::Again(TimeDelta::seconds(7)),
                _ => DeliveryVerdict::Again(TimeDelta::seconds(5)),
            };
            assert_eq!(verdict, expected, "{status}");
            let last = after(ATTEMPTS, &answered(status, Some(7)), 0);
            let ends = matches!(verdict, DeliveryVerdict::Delivered | DeliveryVerdict::Gone);
            assert_eq!(last, if ends { verdict } else { DeliveryVerdict::GivenUp }, "{status}");
        }
        for fault in PostFault::ALL {
            assert_eq!(wait(1, &PostOutcome::NotDelivered(*fault), 0), Some(5_000), "{fault:?}");
        }
    }

    #[test]
    fn a_receiver_is_heeded_for_a_day_at_most() {
        for (asked, heeded) in [(0, 5), (4, 5), (86_400, 86_400), (86_401, 86_400), (u64::MAX, 86_400)] {
            assert_eq!(wait(1, &answered(503, Some(asked)), 0), Some(heeded * 1_000), "{asked}");
        }
    }

    #[test]
    fn messages_that_failed_together_come_apart() {
        for attempt in 1..ATTEMPTS {
            let waits = (0..100).map(|part| after(attempt, &answered(500, None), part * (u32::MAX / 100)));
            let apart: BTreeSet<String> = waits.map(|verdict| format!("{verdict:?}")).collect();
            assert!(apart.len() >= 90, "{attempt}: {}", apart.len());
        }
    }

    proptest! {
        #[test]
        fn nothing_is_sent_before_its_time_or_a_tenth_after_it(
            attempt in 1..ATTEMPTS, asked in 0_i64..200_000, heeds: bool, draw: u32
        ) {
            let least = wait(attempt, &answered(500, None), 0).unwrap();
            let least = if heeds { least.max(asked.min(86_400) * 1_000) } else { least };
            let waited = wait(attempt, &answered(if heeds { 429 } else { 500 }, Some(asked.unsigned_abs())), draw).unwrap();
            prop_assert!(waited >= least && waited <= least + least / 10, "{} of {}", waited, least);
        }

        #[test]
        fn a_later_attempt_waits_no_less_and_a_larger_draw_waits_no_less(attempt in 1..ATTEMPTS - 1, draw: u32, more: u32) {
            let failed = PostOutcome::NotDelivered(PostFault::Connect);
            prop_assert!(wait(attempt + 1, &failed, draw) >= wait(attempt, &failed, draw));
            prop_assert!(wait(attempt, &failed, draw.max(more)) >= wait(attempt, &failed, draw));
        }

        #[test]
        fn nothing_is_sent_an_eleventh_time(attempt in ATTEMPTS.., status in 300_u16..600, asked: Option<u64>, draw: u32) {
            let verdict = after(attempt, &answered(status, asked), draw);
            let expected = if status == 410 { DeliveryVerdict::Gone } else { DeliveryVerdict::GivenUp };
            prop_assert_eq!(verdict, expected);
        }
    }
}
