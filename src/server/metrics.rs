//! The metrics page: the registry of the process, and how fresh its gauges of the whole service are.

use chrono::{DateTime, Utc};
use prometheus::{Gauge, IntCounter};

use super::{door::DoorMetrics, page::LastRead};
use crate::telemetry::{
    LostLines,
    metrics::{Registry, seconds},
};

/// What the page is made from.
pub(crate) struct Metrics {
    pub(super) door: DoorMetrics,
    pub(super) tls: TlsMetrics,
    pub(super) last_read: LastRead,
    registry: Registry,
    snapshot: Gauge,
    lost: LostLines,
    lines_lost: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: Registry, lost: LostLines) -> Result<Self, prometheus::Error> {
        Ok(Self {
            door: DoorMetrics::new(&registry)?,
            tls: TlsMetrics::new(&registry)?,
            last_read: LastRead::default(),
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

    /// All gauges of the whole service are as of this second.
    pub(super) fn snapshot(&self, at: i64) {
        self.snapshot.set(seconds(at));
    }

    /// The page, in Prometheus' text format.
    pub(super) fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.lines_lost.inc_by(self.lost.count().saturating_sub(self.lines_lost.get()));
        self.registry.encode()
    }
}

/// Of the API port's TLS.
pub(super) struct TlsMetrics {
    ends: Gauge,
    invalid: Gauge,
    unusable: Gauge,
}

impl TlsMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ends: registry.gauge(
                "tls_certificate_ends_timestamp_seconds",
                "When the certificate that the API's port shows ends; 0 without TLS.",
            )?,
            invalid: registry.gauge(
                "tls_certificate_invalid",
                "1 while the certificate that the API's port shows has ended, or does not hold yet.",
            )?,
            unusable: registry
                .gauge("tls_files_unusable", "1 while new TLS files cannot be used and those before stay in force, or a list of revoked certificates is outdated.")?,
        })
    }

    /// The certificate that is shown ends at this instant, and holds now or does not.
    pub(super) fn in_force(&self, ends: DateTime<Utc>, holds_now: bool) {
        self.ends.set(seconds(ends.timestamp()));
        self.invalid.set(f64::from(u8::from(!holds_now)));
    }

    pub(super) fn unusable(&self, unusable: bool) {
        self.unusable.set(f64::from(u8::from(unusable)));
    }
}
