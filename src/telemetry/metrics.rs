//! Metrics of this process and of the whole service, in Prometheus' text format.
//!
//! Labels are closed sets of words; every child exists from the start, because an alert on a series that was never seen
//! sees nothing. Gauges about the whole service are set from the database when they are read, so all replicas show the
//! same: dashboards use `max by (account, currency)`, never `sum`.

mod funds;
mod reconciled;
mod rewards;
mod room;
mod traces;
mod upstream;
mod whole;

use std::time::Duration;

use prometheus::{Encoder, Gauge, GaugeVec, HistogramVec, Registry, TextEncoder};

use self::{
    funds::Funds, reconciled::Reconciled, rewards::Rewards, room::Room, traces::Traces, upstream::Upstream,
    whole::Whole,
};
pub use self::{
    rewards::{KeyUse, PROGRAMS_MAX},
    upstream::OPERATIONS,
    whole::Budget,
};

/// The content type that Prometheus demands.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The commit that the program was built from, where the build says it.
const REVISION: &str = match option_env!("NOSHI_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Seconds.
const REQUEST_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 6.0, 8.0, 10.0];

/// The slot of an account's one key.
const KEY_SLOT: &str = "primary";

/// Every metric of ours, in a registry of its own.
pub struct Metrics {
    registry: Registry,
    /// Requests that our callers made, by route.
    http: HistogramVec,
    database_clock_skew: Gauge,
    database_clock_residual: Gauge,
    recovery_heartbeat: Gauge,
    credential_created: GaugeVec,
    upstream: Upstream,
    rewards: Rewards,
    whole: Whole,
    reconciled: Reconciled,
    funds: Funds,
    traces: Traces,
}

impl Metrics {
    /// Registers everything. `accounts` are the (account, currency) pairs of the settings.
    ///
    /// # Errors
    /// Never in practice: the names are constants, and the registry is new.
    pub fn new<'a>(accounts: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let room = Room(&registry);
        room.counts(("build_info", "The running program."), &["version", "revision"])?
            .get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION])?
            .set(1);
        let metrics = Self {
            http: room.histograms(
                ("http_server_request_duration_seconds", "Requests of our callers, head to last byte."),
                &REQUEST_BUCKETS,
                &["method", "route", "status"],
            )?,
            database_clock_skew: room
                .gauge(("database_clock_skew_seconds", "The database's clock minus this node's."))?,
            database_clock_residual: room
                .gauge(("database_clock_residual_seconds", "What is left of it once corrected."))?,
            recovery_heartbeat: room
                .gauge(("recovery_heartbeat_timestamp_seconds", "When due rewards were last looked for."))?,
            credential_created: room.gauges(
                (
                    "credential_created_timestamp_seconds",
                    "When the account's AWS key was made, as the settings say, or came while the process ran. Amazon wants a new one every 180 days.",
                ),
                &["account", "slot"],
            )?,
            upstream: Upstream::new(&room)?,
            rewards: Rewards::new(&room)?,
            whole: Whole::new(&room)?,
            reconciled: Reconciled::new(&room)?,
            funds: Funds::new(&room)?,
            traces: Traces::new(&room)?,
            registry,
        };
        let accounts: Vec<_> = accounts.collect();
        metrics.upstream.prepare(&accounts)?;
        metrics.rewards.prepare(&accounts)?;
        metrics.whole.prepare(&accounts)?;
        metrics.funds.prepare(&accounts)?;
        Ok(metrics)
    }

    /// One request of a caller's. `route` is the pattern, never the path.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.http.with_label_values(&[method, route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// The database server's clock minus this node's, and minus the one we go by; in microseconds.
    pub fn database_clock(&self, skew: i64, residual: i64) {
        self.database_clock_skew.set(signed(Duration::from_micros(skew.unsigned_abs()), skew));
        self.database_clock_residual.set(signed(Duration::from_micros(residual.unsigned_abs()), residual));
    }

    /// When the key of an account was made (seconds since 1970).
    pub fn credential_created(&self, account: &str, at: i64) {
        self.credential_created.with_label_values(&[account, KEY_SLOT]).set(seconds(at));
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
