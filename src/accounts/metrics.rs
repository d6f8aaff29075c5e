//! Metrics of the partner accounts: calls to Amazon, waits for its rate, the breaker, and the age of the key pairs.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::{BreakerCause, key_pairs::gauges::KeyGauges};
use crate::{
    kernel::{AuthRejection, NotSent, UnknownReason},
    provider::login::{Heard, LoginCall},
    telemetry::metrics::{Registry, at_zero, seconds, signed_seconds},
};

/// Seconds; Amazon's 6 s time-out lies on a bound.
const CALL_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
/// Seconds; a caller waits up to 10, recovery a little longer.
const WAIT_BUCKETS: [f64; 12] = [0.005, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0];
/// Amazon's operations that are about an account.
const OPERATIONS: [&str; 4] =
    ["GetAvailableFunds", "GetGiftCardActivityPage", LoginCall::TokenInfo.as_str(), LoginCall::Profile.as_str()];

/// Measured in this process, except the breaker, which all replicas share.
pub struct Metrics {
    calls: IntCounterVec,
    call_duration: HistogramVec,
    quota_wait: HistogramVec,
    quota_refused: IntCounterVec,
    clock_skew: GaugeVec,
    breaker_open: IntGaugeVec,
    slots_heartbeat: GaugeVec,
    keys: KeyGauges,
}

/// What a call can come to: outcome and error code.
fn outcomes() -> impl Iterator<Item = [&'static str; 2]> {
    let known = [["proven", "none"], ["refused", "F200"], ["refused", "F300"], ["refused", "token"]];
    let unknown = UnknownReason::ALL.iter().map(|reason| ["ambiguous", reason.as_str()]);
    let rejected = AuthRejection::ALL.iter().map(|why| ["turned_away", why.as_str()]);
    // A request that found no slot was no call: `quota_refused` counts it. Nor was one without what it acts on.
    let called = |why: &&NotSent| !matches!(why, NotSent::Quota | NotSent::Database | NotSent::Sealed);
    let unsent = NotSent::ALL.iter().filter(called).map(|why| ["not_sent", why.as_str()]);
    known.into_iter().chain(unknown).chain(rejected).chain(unsent)
}

impl Metrics {
    /// Registers them. `accounts` are the (account, currency) pairs of the settings, `operations` those that the products
    /// call.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub fn new(
        registry: &Registry,
        accounts: &[(&str, &str)],
        operations: &[&'static str],
    ) -> Result<Self, prometheus::Error> {
        let ids = || accounts.iter().map(|(account, _currency)| *account);
        let operations = || OPERATIONS.iter().chain(operations).copied();
        let calls = ids().flat_map(|account| operations().map(move |operation| (account, operation)));
        let calls = calls.flat_map(|(account, operation)| {
            outcomes().map(move |[outcome, code]| [account, operation, outcome, code])
        });
        Ok(Self {
            calls: at_zero(
                registry.counter_vec(
                    "upstream_requests_total",
                    "Calls to Amazon.",
                    &["account", "operation", "outcome", "error_code"],
                )?,
                calls,
            )?,
            call_duration: at_zero(
                registry.histogram_vec(
                    "noshi_upstream_request_duration_seconds",
                    "Calls to Amazon, connect to last byte.",
                    &["operation"],
                    &CALL_BUCKETS,
                )?,
                operations().map(|operation| [operation]),
            )?,
            quota_wait: at_zero(
                registry.histogram_vec(
                    "noshi_upstream_quota_wait_seconds",
                    "Waits for a slot of Amazon's rate, of those that were given one.",
                    &["account"],
                    &WAIT_BUCKETS,
                )?,
                ids().map(|account| [account]),
            )?,
            quota_refused: at_zero(
                registry.counter_vec(
                    "upstream_quota_refused_total",
                    "Waits for a slot of Amazon's rate that ended without one.",
                    &["account"],
                )?,
                ids().map(|account| [account]),
            )?,
            clock_skew: registry.gauge_vec(
                "clock_skew_seconds",
                "Amazon's clock minus ours, from its Date header.",
                &["account"],
            )?,
            breaker_open: registry.int_gauge_vec(
                "breaker_open",
                "1 while new rewards are refused because Amazon refuses the account.",
                &["account", "reason"],
            )?,
            slots_heartbeat: registry.gauge_vec(
                "slots_heartbeat_timestamp_seconds",
                "When the account's slots of Amazon's rate were last looked after in this process.",
                &["account"],
            )?,
            keys: KeyGauges::new(registry)?,
        })
    }

    /// One call to Amazon.
    pub(crate) fn upstream(&self, account: &str, operation: &str, outcome: &str, code: &str, took: Duration) {
        self.calls.with_label_values(&[account, operation, outcome, code]).inc();
        self.call_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// One call to Login with Amazon.
    pub(crate) fn login(&self, account: &str, heard: Heard) {
        let Heard { call, outcome, took } = heard;
        self.upstream(account, call.as_str(), outcome.class(), outcome.reason(), took);
    }

    /// Amazon's clock minus ours, in milliseconds.
    pub(crate) fn clock_skew(&self, account: &str, millis: i64) {
        let skew = signed_seconds(Duration::from_millis(millis.unsigned_abs()), millis);
        self.clock_skew.with_label_values(&[account]).set(skew);
    }

    /// Of the accounts' key pairs.
    pub(crate) const fn keys(&self) -> &KeyGauges {
        &self.keys
    }

    /// A wait for a slot of Amazon's rate; `None` when it ended without one, at once or at the end of the patience.
    pub(super) fn waited_for_slot(&self, account: &str, took: Option<Duration>) {
        match took {
            Some(took) => self.quota_wait.with_label_values(&[account]).observe(took.as_secs_f64()),
            None => self.quota_refused.with_label_values(&[account]).inc(),
        }
    }

    /// Who hands out the account's slots is alive at this second.
    pub(super) fn dispatched(&self, account: &str, at: i64) {
        self.slots_heartbeat.with_label_values(&[account]).set(seconds(at));
    }

    /// Takes the breakers off the page: what the database said of them is too old.
    pub(super) fn retract_breakers(&self) {
        self.breaker_open.reset();
    }

    /// Why new rewards of the account are refused, if they are.
    pub(super) fn breaker(&self, account: &str, open: Option<BreakerCause>) {
        for why in BreakerCause::ALL {
            self.breaker_open.with_label_values(&[account, why.as_str()]).set(i64::from(open == Some(*why)));
        }
    }
}
