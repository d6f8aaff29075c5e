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
    backup_refused: Gauge,
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
            backup_refused: registry
                .gauge("backup_refused", "1 while `noshi restore` would refuse a back-up of the SQLite file.")?,
        })
    }

    /// Whether the database that was opened is there no more.
    pub(crate) fn database_lost(&self, lost: bool) {
        self.lost.set(f64::from(u8::from(lost)));
    }

    /// Whether a back-up of the database would be refused.
    pub(crate) fn backup_refused(&self, refused: bool) {
        self.backup_refused.set(f64::from(u8::from(refused)));
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
