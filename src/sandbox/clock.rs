//! The sandbox's time: the one place that reads the machine's clocks.
//!
//! There are two clocks on purpose. The *sandbox clock* (real time plus an offset that only the control moves)
//! drives the cancel window and every time stamp. Signatures are judged by the *signature clock* (real time plus a skew
//! of its own): a test that jumps sixteen minutes ahead must not make every later signature stale, and a test of clock
//! skew must not close a cancel window.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// The farthest that either clock may be moved: a hundred years. Dates beyond that cannot be printed.
pub(super) const MOVED_SECONDS_MAX: i64 = 100 * 366 * 24 * 60 * 60;

/// Real time, with two adjustable offsets.
#[derive(Debug, Default)]
pub(super) struct Clock {
    offset_seconds: AtomicI64,
    signature_skew_seconds: AtomicI64,
}

impl Clock {
    /// The sandbox clock: what cards, windows and records are dated by.
    pub(super) fn now(&self) -> DateTime<Utc> {
        moved(real(), self.offset_seconds())
    }

    /// The clock by which `x-amz-date` is judged, and which the `Date` of an answer shows.
    pub(super) fn signature_now(&self) -> DateTime<Utc> {
        moved(real(), self.signature_skew_seconds())
    }

    /// The monotonic clock, for measuring how long something took.
    #[expect(clippy::disallowed_methods, reason = "the sandbox is a separate program and has its own clock: this one")]
    pub(super) fn monotonic() -> Instant {
        Instant::now()
    }

    pub(super) fn offset_seconds(&self) -> i64 {
        self.offset_seconds.load(Ordering::SeqCst)
    }

    pub(super) fn set_offset_seconds(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn signature_skew_seconds(&self) -> i64 {
        self.signature_skew_seconds.load(Ordering::SeqCst)
    }

    pub(super) fn set_signature_skew_seconds(&self, seconds: i64) {
        self.signature_skew_seconds.store(seconds, Ordering::SeqCst);
    }
}

/// The machine's time.
#[expect(clippy::disallowed_methods, reason = "the sandbox is a separate program and has its own clock: this one")]
fn real() -> DateTime<Utc> {
    Utc::now()
}

fn moved(instant: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    TimeDelta::try_seconds(seconds).and_then(|delta| instant.checked_add_signed(delta)).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_one_clock_leaves_the_other_alone() {
        let clock = Clock::default();
        clock.set_offset_seconds(3_600);
        let ahead = clock.now() - clock.signature_now();
        assert!((3_599..=3_600).contains(&ahead.num_seconds()), "{ahead}");
        clock.set_signature_skew_seconds(-600);
        let ahead = clock.now() - clock.signature_now();
        assert!((4_199..=4_200).contains(&ahead.num_seconds()), "{ahead}");
    }
}
