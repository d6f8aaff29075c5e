//! Metrics of the database and of its server's clock.

use std::time::Duration;

use prometheus::Gauge;

use crate::telemetry::metrics::{Registry, signed_seconds};

/// Measured by this process.
pub struct Metrics {
    clock_skew: Gauge,
    clock_residual: Gauge,
    lost: Gauge,
    unwritable: Gauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            clock_skew: registry.gauge("database_clock_skew_seconds", "The database's clock minus this node's.")?,
            clock_residual: registry.gauge("database_clock_residual_seconds", "What is left of it once corrected.")?,
            lost: registry.gauge("database_lost", "1 while the database is not the one that was opened.")?,
            unwritable: registry.gauge("database_unwritable", "1 while the database takes no writes.")?,
        })
    }

    /// Whether the database that was opened is there no more.
    pub(crate) fn database_lost(&self, lost: bool) {
        self.lost.set(f64::from(u8::from(lost)));
    }

    /// Whether the database takes no writes.
    pub(crate) fn database_unwritable(&self, unwritable: bool) {
        self.unwritable.set(f64::from(u8::from(unwritable)));
    }

    /// The database server's clock minus this node's, and minus the one that rows are dated by; in microseconds.
    pub(super) fn database_clock(&self, skew: i64, residual: i64) {
        let length = |micros: i64| signed_seconds(Duration::from_micros(micros.unsigned_abs()), micros);
        self.clock_skew.set(length(skew));
        self.clock_residual.set(length(residual));
    }
}
