//! When to come back: the one place that spreads callers. What refuses a request says how long is needed (`Retry-After`);
//! [`observe`](super::observe::observe) adds a share of its own for each answer. Else all who were refused together come back in
//! the same second, and are refused together again.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

/// How many seconds are added at most: half of what is needed, within these.
const SPREAD_SECONDS: RangeInclusive<u64> = 2..=60;

/// The header's value, later by a share that `draw` decides: never sooner than `needed`, and later by [`SPREAD_SECONDS`] at most.
/// `needed` is seconds, or an HTTP-date (RFC 9110, 10.2.3); `None` for anything else. Callers get seconds: many clients read nothing else.
pub(super) fn spread(needed: &str, now: DateTime<Utc>, draw: u32) -> Option<String> {
    let seconds = match needed.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_date) => until(needed, now)?,
    };
    let most = seconds.div_euclid(2).clamp(*SPREAD_SECONDS.start(), *SPREAD_SECONDS.end());
    Some(seconds.saturating_add(share(most, draw)).to_string())
}

/// Whole seconds until this date, rounded up, and at least one.
fn until(date: &str, now: DateTime<Utc>) -> Option<u64> {
    let at = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    let milliseconds = u64::try_from(at.signed_duration_since(now).num_milliseconds()).unwrap_or(0);
    Some(milliseconds.div_ceil(1000).max(1))
}

/// 0 to `most`, each as likely as the others.
fn share(most: u64, draw: u32) -> u64 {
    u64::from(draw).rem_euclid(most.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_is_asked_back_too_early_or_much_too_late(seconds in 1_u64..100_000, draw: u32) {
            let spread: u64 = spread(&seconds.to_string(), DateTime::UNIX_EPOCH, draw).unwrap().parse().unwrap();
            prop_assert!(spread >= seconds);
            prop_assert!(spread <= seconds + (seconds / 2).clamp(2, 60));
        }

        #[test]
        fn a_date_becomes_seconds_and_comes_no_sooner(at in 0_i64..4_000_000_000, left in -10_000_i64..100_000_000, draw: u32) {
            let needed = DateTime::from_timestamp(at, 0).unwrap();
            let text = needed.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let seconds: i64 = spread(&text, needed - TimeDelta::milliseconds(left), draw).unwrap().parse().unwrap();
            let least = (left + 999).div_euclid(1000).max(1);
            prop_assert!((least..=least + 60).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn callers_who_were_refused_together_come_back_apart() {
        for (needed, different) in [("1", 3), ("10", 6), ("3600", 61)] {
            let back: BTreeSet<String> =
                (0..1_000).filter_map(|draw| spread(needed, DateTime::UNIX_EPOCH, draw)).collect();
            assert_eq!(back.len(), different, "{needed}");
        }
        assert_eq!(spread("soon", DateTime::UNIX_EPOCH, 7), None);
    }
}
