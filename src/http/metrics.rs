//! Metrics of the requests that our callers make.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter};

use crate::telemetry::metrics::Registry;

/// The bounds of the histogram of answers, in seconds.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 6.0, 8.0, 10.0];

/// What stands in the place of a route where none was looked for: a refusal is to be cheap, and its time says nothing of a route's.
pub(super) const REFUSED: &str = "refused";
/// `overloaded`.
const UNAVAILABLE: &str = "503";

/// Measured in this process.
pub(crate) struct Metrics {
    requests: HistogramVec,
    refused: IntCounter,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: registry.histogram_vec(
                "http_server_request_duration_seconds",
                "Requests of our callers, head to last byte.",
                &["method", "route", "status"],
                &BUCKETS,
            )?,
            refused: registry.counter(
                "requests_refused_total",
                "Requests that were answered 503 overloaded, before anything was looked up for them.",
            )?,
        })
    }

    /// One request of a caller. `route` is the pattern, never the path.
    pub(super) fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[method, route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// One that was refused for want of room. Says how many were before it.
    pub(super) fn refusal(&self, method: &str, took: Duration) -> u32 {
        self.requests.with_label_values(&[method, REFUSED, UNAVAILABLE]).observe(took.as_secs_f64());
        let before = self.refused.get();
        self.refused.inc();
        u32::try_from(before & u64::from(u32::MAX)).unwrap_or_default()
    }
}
