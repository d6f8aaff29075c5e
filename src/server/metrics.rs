//! The metrics page: the registry of the process, and how fresh its gauges of the whole service are.

use prometheus::{Gauge, IntCounter};

use super::door::DoorMetrics;
use crate::telemetry::{
    LostLines,
    metrics::{Registry, seconds},
};

/// What the page is made from.
pub(crate) struct Metrics {
    pub(super) door: DoorMetrics,
    registry: Registry,
    snapshot: Gauge,
    lost: LostLines,
    lines_lost: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: Registry, lost: LostLines) -> Result<Self, prometheus::Error> {
        Ok(Self {
            door: DoorMetrics::new(&registry)?,
            snapshot: registry.gauge(
                "database_snapshot_timestamp_seconds",
                "When the gauges of the whole service were last read from the database.",
            )?,
            lines_lost: registry.counter(
                "log_lines_lost_total",
                "Lines of the log that could not be written: whoever reads standard error is too slow, or has stopped.",
            )?,
            lost,
            registry,
        })
    }

    /// The gauges of the whole service are as of this second.
    pub(super) fn snapshot(&self, at: i64) {
        self.snapshot.set(seconds(at));
    }

    /// The page, in Prometheus' text format.
    pub(super) fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.lines_lost.inc_by(self.lost.count().saturating_sub(self.lines_lost.get()));
        self.registry.encode()
    }
}
