//! Amazon's 15 minutes: when a cancel may leave, and when its failure is certain.
//!
//! The window counts from our first send, stored before the first byte left. That is at or before Amazon's own creation
//! time, so the error is on the safe side. Replays never move it.
//!
//! The figures are not shifted by the measured difference to Amazon's clock. The first send and "now" are read from one
//! clock, so a constant difference cancels out when Amazon counts from its own reading. Amazon may count from the stamp
//! that we signed instead; then, with our clock behind its, its window closes earlier than ours by the difference (five
//! minutes at most: beyond that it refuses the signature, and we sign by its clock). A cancel in between is refused by
//! Amazon, the read after it shows the live card, and the caller is answered that it is too late: true, if later than
//! need be. To move the limits for it would refuse cancels that Amazon still takes under the other reading. And the
//! verdict must never come earlier: with our clock ahead, and the stamp counting, a delayed cancel could land later
//! than our figures say, not sooner. It would have to be a minute and more on its way.
//!
//! Steps of our own clock: one ahead closes the window early. One back would open it again; on PostgreSQL a running
//! process does not follow such a step (`kernel::clock`), on SQLite Amazon's refusal is what is left.

use chrono::{DateTime, TimeDelta, Utc};

/// Amazon cancels until 15 minutes after the creation.
pub const CANCEL_WINDOW: TimeDelta = TimeDelta::seconds(900);
/// No cancel attempt starts later than this after the first send: one full attempt (6 s) and 4 s of clock error fit.
pub const CANCEL_START_BY: TimeDelta = TimeDelta::seconds(890);
/// A delayed cancel can land until Amazon's window is over; before this "not canceled" is no verdict after a doubt.
pub const CANCEL_VERDICT_AFTER: TimeDelta = TimeDelta::seconds(960);

/// The last instant at which a cancel may be started: what callers see as `cancelable_until`.
#[must_use]
pub fn cancelable_until(first_send_at: DateTime<Utc>) -> DateTime<Utc> {
    first_send_at.checked_add_signed(CANCEL_START_BY).unwrap_or(first_send_at)
}

/// The first instant at which a read that shows a live card proves that a doubtful cancel did not happen.
#[must_use]
pub fn verdict_at(first_send_at: DateTime<Utc>) -> DateTime<Utc> {
    first_send_at.checked_add_signed(CANCEL_VERDICT_AFTER).unwrap_or(first_send_at)
}

/// Whether a cancel may be started now.
#[must_use]
pub fn may_cancel(first_send_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now < cancelable_until(first_send_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_starts_before_14_50_and_never_at_or_after_it() {
        let sent = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let after = |millis| sent + TimeDelta::milliseconds(millis);
        assert!(may_cancel(sent, after(889_999)));
        assert!(!may_cancel(sent, after(890_000)));
        assert!(!may_cancel(sent, after(900_001)));
        assert!(CANCEL_START_BY + TimeDelta::seconds(10) <= CANCEL_WINDOW);
        assert_eq!(verdict_at(sent), after(960_000));
    }
}
