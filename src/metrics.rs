//! Metrics of this process and of the whole service, in Prometheus' text format.
//!
//! Labels are closed sets of words; every child exists from the start, because an alert on a series that was never seen
//! sees nothing. Gauges about the whole service are set from the database when they are read, so all replicas show the
//! same: dashboards use `max by (account, currency)`, never `sum`.

mod reconciled;

use std::time::Duration;

use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::reconciled::Reconciled;
use crate::kernel::{Doubt, FrontDoor, Money, NotSent};

/// The content type that Prometheus demands.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Seconds; Amazon's 6 s time-out lies on a bound.
const UPSTREAM_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
const REQUEST_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 6.0, 8.0, 10.0];

/// Operations of Amazon's that we call.
pub const OPERATIONS: [&str; 4] = ["CreateGiftCard", "CancelGiftCard", "GetAvailableFunds", "GetGiftCardActivityPage"];

/// Every metric of ours, in a registry of its own.
pub struct Metrics {
    registry: Registry,
    /// Requests that our callers made, by route.
    http: HistogramVec,
    /// Calls to Amazon by their outcome.
    upstream_requests: IntCounterVec,
    upstream_duration: HistogramVec,
    rewards: IntCounterVec,
    reward_value: CounterVec,
    rewards_in_state: IntGaugeVec,
    oldest_unresolved: GaugeVec,
    resolutions: IntCounterVec,
    idempotent: IntCounterVec,
    available_funds: GaugeVec,
    available_funds_updated: GaugeVec,
    reserved_funds: GaugeVec,
    reconciled: Reconciled,
    clock_skew: GaugeVec,
    database_clock_skew: Gauge,
    database_clock_residual: Gauge,
    breaker_open: IntGaugeVec,
    lease_lost: IntCounter,
    recovery_heartbeat: Gauge,
}

/// What became of a request that named an idempotency key.
#[derive(Debug, Clone, Copy)]
pub enum KeyUse {
    /// The key was new.
    New,
    /// The key's reward is final or answers for itself.
    Replayed,
    /// The key's reward is still being worked on.
    InProgress,
    /// The key was used for another command.
    Mismatch,
}

impl KeyUse {
    const ALL: [Self; 4] = [Self::New, Self::Replayed, Self::InProgress, Self::Mismatch];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replayed => "replayed",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
        }
    }
}

/// States of a reward that are gauges; finished ones are counters.
const OPEN_STATES: [&str; 5] = ["pending", "issuing", "unresolved", "canceling", "needs_attention"];
const FINAL_STATES: [&str; 4] = ["issued", "failed", "canceled", "needs_attention"];
const RESOLUTIONS: [&str; 4] = ["kept", "canceled", "not_created", "needs_attention"];

const BY_STATUS: [&str; 3] = ["account", "currency", "status"];

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    IntCounter::with_opts(opts(name, help))
}

fn counters((name, help): (&str, &str), labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(opts(name, help), labels)
}

fn gauge(name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
    Gauge::with_opts(opts(name, help))
}

fn gauges((name, help): (&str, &str), labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(opts(name, help), labels)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("noshi")
}

impl Metrics {
    /// Registers everything. `accounts` are the (account, currency) pairs of the settings.
    ///
    /// # Errors
    /// Never in practice: the names are constants, and the registry is new.
    pub fn new<'a>(accounts: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            http: HistogramVec::new(
                HistogramOpts::new(
                    "http_server_request_duration_seconds",
                    "Requests of our callers, head to last byte.",
                )
                .buckets(REQUEST_BUCKETS.to_vec()),
                &["method", "route", "status"],
            )?,
            upstream_duration: HistogramVec::new(
                HistogramOpts::new("noshi_upstream_request_duration_seconds", "Calls to Amazon, connect to last byte.")
                    .buckets(UPSTREAM_BUCKETS.to_vec()),
                &["operation"],
            )?,
            upstream_requests: counters(
                ("upstream_requests_total", "Calls to Amazon."),
                &["account", "operation", "outcome", "error_code"],
            )?,
            rewards: counters(("rewards_total", "Rewards that reached a final state in this process."), &BY_STATUS)?,
            reward_value: CounterVec::new(
                opts("reward_value_total", "Value of those rewards, in major units."),
                &BY_STATUS,
            )?,
            rewards_in_state: IntGaugeVec::new(
                opts("rewards_in_state", "Unfinished rewards of the whole service."),
                &["account", "state"],
            )?,
            oldest_unresolved: gauges(
                ("oldest_unresolved_age_seconds", "Age of the oldest unproven outcome of the whole service."),
                &["account"],
            )?,
            resolutions: counters(("resolutions_total", "How unproven outcomes ended."), &["outcome"])?,
            idempotent: counters(("idempotent_requests_total", "Requests by what their key named."), &["result"])?,
            available_funds: gauges(
                ("available_funds", "What Amazon last said the account can spend, in major units."),
                &["account", "currency"],
            )?,
            available_funds_updated: gauges(
                (
                    "available_funds_updated_timestamp_seconds",
                    "When Amazon said so. A stale balance looks healthy: alert on its age.",
                ),
                &["account"],
            )?,
            reserved_funds: gauges(
                ("reserved_funds", "Value of rewards whose purchase is not proven yet, in major units."),
                &["account", "currency"],
            )?,
            reconciled: Reconciled::new()?,
            breaker_open: IntGaugeVec::new(
                opts("breaker_open", "1 while new rewards are refused because Amazon refuses the account."),
                &["account", "reason"],
            )?,
            clock_skew: gauges(
                ("clock_skew_seconds", "Amazon's clock minus ours, from its Date header."),
                &["account"],
            )?,
            database_clock_skew: gauge("database_clock_skew_seconds", "The database's clock minus this node's.")?,
            database_clock_residual: gauge("database_clock_residual_seconds", "What is left of it once corrected.")?,
            lease_lost: counter("lease_lost_total", "Outcomes that came after another worker took over.")?,
            recovery_heartbeat: gauge(
                "recovery_heartbeat_timestamp_seconds",
                "When due rewards were last looked for.",
            )?,
        };
        metrics.register()?;
        metrics.prepare(accounts)?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build_info = IntGaugeVec::new(opts("build_info", "The running program."), &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let all: [Box<dyn prometheus::core::Collector>; 19] = [
            Box::new(build_info),
            Box::new(self.http.clone()),
            Box::new(self.upstream_requests.clone()),
            Box::new(self.upstream_duration.clone()),
            Box::new(self.rewards.clone()),
            Box::new(self.reward_value.clone()),
            Box::new(self.rewards_in_state.clone()),
            Box::new(self.oldest_unresolved.clone()),
            Box::new(self.resolutions.clone()),
            Box::new(self.idempotent.clone()),
            Box::new(self.available_funds.clone()),
            Box::new(self.available_funds_updated.clone()),
            Box::new(self.reserved_funds.clone()),
            Box::new(self.clock_skew.clone()),
            Box::new(self.database_clock_skew.clone()),
            Box::new(self.database_clock_residual.clone()),
            Box::new(self.breaker_open.clone()),
            Box::new(self.lease_lost.clone()),
            Box::new(self.recovery_heartbeat.clone()),
        ];
        all.into_iter().chain(self.reconciled.collectors()).try_for_each(|collector| self.registry.register(collector))
    }

    /// Makes every child whose labels are known, at zero. Balances have none before Amazon has said one.
    fn prepare<'a>(&self, accounts: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), prometheus::Error> {
        for (account, currency) in accounts {
            for status in FINAL_STATES {
                self.rewards.get_metric_with_label_values(&[account, currency, status])?;
                self.reward_value.get_metric_with_label_values(&[account, currency, status])?;
            }
            for state in OPEN_STATES {
                self.rewards_in_state.get_metric_with_label_values(&[account, state])?;
            }
            self.oldest_unresolved.get_metric_with_label_values(&[account])?;
            self.reserved_funds.get_metric_with_label_values(&[account, currency])?;
            for operation in OPERATIONS {
                self.prepare_outcomes(account, operation)?;
            }
        }
        for operation in OPERATIONS {
            self.upstream_duration.get_metric_with_label_values(&[operation])?;
        }
        for result in KeyUse::ALL {
            self.idempotent.get_metric_with_label_values(&[result.as_str()])?;
        }
        for outcome in RESOLUTIONS {
            self.resolutions.get_metric_with_label_values(&[outcome])?;
        }
        Ok(())
    }

    fn prepare_outcomes(&self, account: &str, operation: &str) -> Result<(), prometheus::Error> {
        let doubts = Doubt::ALL.iter().map(|doubt| ("ambiguous", doubt.as_str()));
        let doors = FrontDoor::ALL.iter().map(|door| ("turned_away", door.as_str()));
        let unsent = NotSent::ALL.iter().map(|why| ("not_sent", why.as_str()));
        let known = [("proven", "none"), ("refused", "F200"), ("refused", "F300")];
        for (outcome, code) in known.into_iter().chain(doubts).chain(doors).chain(unsent) {
            self.upstream_requests.get_metric_with_label_values(&[account, operation, outcome, code])?;
        }
        Ok(())
    }

    /// One request of a caller's. `route` is the pattern, never the path.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.http.with_label_values(&[method, route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// One call to Amazon.
    pub fn upstream(&self, account: &str, operation: &str, (outcome, code): (&str, &str), took: Duration) {
        self.upstream_requests.with_label_values(&[account, operation, outcome, code]).inc();
        self.upstream_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// A reward reached a final state.
    pub fn finished(&self, account: &str, value: Money, status: &str) {
        let labels = [account, value.currency().code(), status];
        self.rewards.with_label_values(&labels).inc();
        self.reward_value.with_label_values(&labels).inc_by(value.to_gauge());
    }

    /// An unproven outcome was proven, or was given up.
    pub fn resolved(&self, outcome: &str) {
        self.resolutions.with_label_values(&[outcome]).inc();
    }

    /// What a request's key named.
    pub fn key_used(&self, how: KeyUse) {
        self.idempotent.with_label_values(&[how.as_str()]).inc();
    }

    /// What Amazon said an account can spend, and when (seconds since 1970).
    pub fn funds(&self, account: &str, available: Money, at: i64) {
        self.available_funds.with_label_values(&[account, available.currency().code()]).set(available.to_gauge());
        self.available_funds_updated.with_label_values(&[account]).set(seconds(at));
    }

    /// What is reserved for unproven purchases.
    pub fn reserved(&self, account: &str, value: Money) {
        self.reserved_funds.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// How many rewards of an account are in an unfinished state.
    pub fn in_state(&self, account: &str, state: &str, rewards: i64) {
        self.rewards_in_state.with_label_values(&[account, state]).set(rewards);
    }

    /// Whether new rewards of the account are refused for this reason.
    pub fn breaker(&self, account: &str, reason: &str, open: bool) {
        self.breaker_open.with_label_values(&[account, reason]).set(i64::from(open));
    }

    /// Sets every unfinished state of an account to zero, before those that have rewards are set.
    pub fn clear_states(&self, account: &str) {
        OPEN_STATES.iter().for_each(|state| self.in_state(account, state, 0));
        self.oldest_unresolved(account, 0);
    }

    /// Age in seconds of the oldest unproven outcome.
    pub fn oldest_unresolved(&self, account: &str, age: i64) {
        self.oldest_unresolved.with_label_values(&[account]).set(seconds(age));
    }

    /// What the newest reconciled period of an account came to, how many cards of it only we and only Amazon know, and when
    /// it was reconciled (seconds since 1970).
    pub fn reconciled(&self, account: &str, difference: Money, unmatched: (i64, i64), at: i64) {
        self.reconciled.set(account, difference, unmatched, at);
    }

    /// Amazon's clock minus ours, in milliseconds.
    pub fn clock_skew(&self, account: &str, millis: i64) {
        self.clock_skew.with_label_values(&[account]).set(signed(Duration::from_millis(millis.unsigned_abs()), millis));
    }

    /// The database server's clock minus this node's, and minus the one we go by; in microseconds.
    pub fn database_clock(&self, skew: i64, residual: i64) {
        self.database_clock_skew.set(signed(Duration::from_micros(skew.unsigned_abs()), skew));
        self.database_clock_residual.set(signed(Duration::from_micros(residual.unsigned_abs()), residual));
    }

    /// An outcome came after another worker had taken over.
    pub fn lease_lost(&self) {
        self.lease_lost.inc();
    }

    /// The recovery loop is alive at this second.
    pub fn heartbeat(&self, at: i64) {
        self.recovery_heartbeat.set(seconds(at));
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// When the encoder cannot write, which a buffer in memory does not do.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

/// A length of time in seconds, with the sign of `of`.
fn signed(length: Duration, of: i64) -> f64 {
    length.as_secs_f64().copysign(seconds(of))
}

/// Whole seconds as Prometheus wants them: exact up to 2^53.
#[expect(clippy::as_conversions, reason = "Prometheus knows only floats, and std has no From<i64> for f64")]
#[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
const fn seconds(whole: i64) -> f64 {
    whole as f64
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
