//! The metrics page: the registry of the process, and how fresh its gauges of the whole service are.

use prometheus::Gauge;

use crate::telemetry::metrics::{Registry, seconds};

/// What the page is made from.
pub(crate) struct Metrics {
    registry: Registry,
    snapshot: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            snapshot: registry.gauge(
                "database_snapshot_timestamp_seconds",
                "When the gauges of the whole service were last read from the database.",
            )?,
            registry,
        })
    }

    /// The gauges of the whole service are as of this second.
    pub(super) fn snapshot(&self, at: i64) {
        self.snapshot.set(seconds(at));
    }

    /// The page, in Prometheus' text format.
    pub(super) fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.registry.encode()
    }
}
