//! How long settled rewards are kept whole.

use std::time::Duration;

use super::source::Section;

/// Longer than anything that may still happen to a reward: a replay of its id (50 days at most), Amazon's report of its day (60), the
/// reversal of what it bought.
const DAYS_MIN: u64 = 90;
const DAYS_MAX: u64 = 36_500;
const DAY: u64 = 24 * 3600;

/// Reads it; `None` where rewards are kept whole for ever.
pub(super) fn retention(section: &mut Section<'_>) -> Option<Duration> {
    let days = section.number("retention_days", 0, 0..=DAYS_MAX);
    if (1..DAYS_MIN).contains(&days) {
        let why = format!("must be 0, which keeps rewards whole for ever, or at least {DAYS_MIN}");
        section.refuse("retention_days", &why);
    }
    (days > 0).then(|| Duration::from_secs(days.saturating_mul(DAY)))
}
