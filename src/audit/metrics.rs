//! Metrics of the audit.

use chrono::{DateTime, Utc};
use prometheus::Gauge;

use super::AuditAction;
use crate::telemetry::metrics::{DynamicGauge, Registry, seconds};

/// Set from the database, by each replica.
pub struct Metrics {
    records: DynamicGauge<1>,
    broken: Gauge,
    verified: Gauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let records = registry.gauge_vec("audit_records", "Records of the audit, by action.", &["action"])?;
        let metrics = Self {
            records: DynamicGauge::new(records),
            broken: registry
                .gauge("audit_broken", "1 while the audit's last verification found a record that does not fit.")?,
            verified: registry.gauge(
                "audit_verified_timestamp_seconds",
                "When the audit was last read from its beginning and verified; 0 before the first time.",
            )?,
        };
        metrics.counted(&[]);
        Ok(metrics)
    }

    /// How many records there are of each action.
    pub(super) fn counted(&self, counts: &[(String, i64)]) {
        let of = |action: &AuditAction| {
            let word = action.as_str();
            let count =
                counts.iter().find(|(counted, _records)| counted == word).map_or(0, |(_word, records)| *records);
            ([word.to_owned()], seconds(count))
        };
        self.records.show(AuditAction::ALL.iter().map(of));
    }

    /// The whole audit was read. `broken`: a record does not fit.
    pub(super) fn verified(&self, broken: bool, at: DateTime<Utc>) {
        self.verified.set(seconds(at.timestamp()));
        self.broken.set(f64::from(u8::from(broken)));
    }

    #[cfg(test)]
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get() > 0.0
    }
}
