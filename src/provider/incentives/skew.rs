//! Amazon's clock, where it refuses ours.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A difference below this is no reason to sign again: `Date` has whole seconds, and the call took some.
const SKEW_MIN_SECONDS: u64 = 30;

/// How far Amazon's clock is from ours, in seconds, as far as it had to be corrected: only where Amazon refused ours. When
/// ours steps (to the database server's, `store::clock`), this is off by that step until Amazon refuses the next call, and
/// is then learnt anew from the clock as it is.
#[derive(Default)]
pub(super) struct Skew(AtomicI64);

impl Skew {
    pub(super) fn corrected(&self, ours: DateTime<Utc>) -> DateTime<Utc> {
        let skew = TimeDelta::try_seconds(self.0.load(Ordering::Relaxed)).unwrap_or_default();
        ours.checked_add_signed(skew).unwrap_or(ours)
    }

    /// Takes Amazon's clock over, `ours` being the uncorrected one now. Says whether signing again can help: if the call was
    /// signed by Amazon's clock already, it would be refused again. Calls that find out at once all set the same.
    pub(super) fn correct(&self, theirs: DateTime<Utc>, ours: DateTime<Utc>, stamp: DateTime<Utc>) -> bool {
        let worth = theirs.signed_duration_since(stamp).num_seconds().unsigned_abs() >= SKEW_MIN_SECONDS;
        if worth {
            let skew = theirs.signed_duration_since(ours).num_seconds();
            self.0.store(skew, Ordering::Relaxed);
            tracing::error!(clock.skew_seconds = skew, "our clock is not Amazon's; signing by Amazon's: check NTP");
        }
        worth
    }
}
