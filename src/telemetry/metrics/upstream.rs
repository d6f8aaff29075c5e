//! Calls to Amazon: what they came to, how long they took, and what the answers say of the clocks.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec};

use super::{Metrics, room::Room, signed};
use crate::kernel::{AuthRejection, NotSent, UnknownReason};

/// Seconds; Amazon's 6 s time-out lies on a bound.
const BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];

/// Seconds; a caller waits up to 10, recovery a little longer.
const WAIT_BUCKETS: [f64; 12] = [0.005, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0];

/// Operations of Amazon's that we call.
pub const OPERATIONS: [&str; 4] = ["CreateGiftCard", "CancelGiftCard", "GetAvailableFunds", "GetGiftCardActivityPage"];

/// Counted in this process.
pub(super) struct Upstream {
    requests: IntCounterVec,
    duration: HistogramVec,
    quota_wait: HistogramVec,
    quota_refused: IntCounterVec,
    clock_skew: GaugeVec,
}

impl Upstream {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: room.counters(
                ("upstream_requests_total", "Calls to Amazon."),
                &["account", "operation", "outcome", "error_code"],
            )?,
            duration: room.histograms(
                ("noshi_upstream_request_duration_seconds", "Calls to Amazon, connect to last byte."),
                &BUCKETS,
                &["operation"],
            )?,
            quota_wait: room.histograms(
                (
                    "noshi_upstream_quota_wait_seconds",
                    "Waits for a slot of Amazon's rate, of those that were given one.",
                ),
                &WAIT_BUCKETS,
                &["account"],
            )?,
            quota_refused: room.counters(
                ("upstream_quota_refused_total", "Waits for a slot of Amazon's rate that ended without one."),
                &["account"],
            )?,
            clock_skew: room
                .gauges(("clock_skew_seconds", "Amazon's clock minus ours, from its Date header."), &["account"])?,
        })
    }

    /// Every child whose labels are known, at zero.
    pub(super) fn prepare(&self, accounts: &[(&str, &str)]) -> Result<(), prometheus::Error> {
        for (account, _currency) in accounts {
            self.quota_wait.get_metric_with_label_values(&[account])?;
            self.quota_refused.get_metric_with_label_values(&[account])?;
        }
        for operation in OPERATIONS {
            for (account, _currency) in accounts {
                self.prepare_outcomes(account, operation)?;
            }
            self.duration.get_metric_with_label_values(&[operation])?;
        }
        Ok(())
    }

    fn prepare_outcomes(&self, account: &str, operation: &str) -> Result<(), prometheus::Error> {
        let unknown = UnknownReason::ALL.iter().map(|reason| ("ambiguous", reason.as_str()));
        let rejected = AuthRejection::ALL.iter().map(|why| ("turned_away", why.as_str()));
        // What found no slot was no call: it is counted by itself.
        let unsent = NotSent::ALL.iter().filter(|why| **why != NotSent::Quota);
        let unsent = unsent.map(|why| ("not_sent", why.as_str()));
        let known = [("proven", "none"), ("refused", "F200"), ("refused", "F300")];
        for (outcome, code) in known.into_iter().chain(unknown).chain(rejected).chain(unsent) {
            self.requests.get_metric_with_label_values(&[account, operation, outcome, code])?;
        }
        Ok(())
    }
}

impl Metrics {
    /// One call to Amazon.
    pub fn upstream(&self, account: &str, operation: &str, (outcome, code): (&str, &str), took: Duration) {
        self.upstream.requests.with_label_values(&[account, operation, outcome, code]).inc();
        self.upstream.duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// A wait for a slot of Amazon's rate; `None` when it ended without one, at once or at the end of the patience.
    pub fn waited_for_slot(&self, account: &str, took: Option<Duration>) {
        match took {
            Some(took) => self.upstream.quota_wait.with_label_values(&[account]).observe(took.as_secs_f64()),
            None => self.upstream.quota_refused.with_label_values(&[account]).inc(),
        }
    }

    /// Amazon's clock minus ours, in milliseconds.
    pub fn clock_skew(&self, account: &str, millis: i64) {
        let skew = signed(Duration::from_millis(millis.unsigned_abs()), millis);
        self.upstream.clock_skew.with_label_values(&[account]).set(skew);
    }
}
