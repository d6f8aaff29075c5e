//! Metrics of the doors of both ports.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use crate::telemetry::metrics::{Registry, at_zero};

/// The ports, as label values.
const PORTS: [&str; 2] = ["api", "admin"];
/// Why connections were ended.
const REASONS: [&str; 4] = [CROWDED, UNREAD, HEAD_TOO_LARGE, HANDSHAKE];
const CROWDED: &str = "crowded";
const UNREAD: &str = "unread";
const HEAD_TOO_LARGE: &str = "head_too_large";
const HANDSHAKE: &str = "handshake";

/// Measured in this process.
pub(crate) struct DoorMetrics {
    strangers: IntGaugeVec,
    ended: IntCounterVec,
}

impl DoorMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let ended = registry.counter_vec(
            "connections_ended_total",
            "Connections that were ended for what came, or did not come, from the other side.",
            &["port", "reason"],
        )?;
        let strangers = registry.int_gauge_vec(
            "connected_strangers",
            "Open connections on which nobody has shown a key.",
            &["port"],
        )?;
        let series = PORTS.into_iter().flat_map(|port| REASONS.map(|reason| [port, reason]));
        Ok(Self { strangers: at_zero(strangers, PORTS.map(|port| [port]))?, ended: at_zero(ended, series)? })
    }

    /// Those of one port.
    pub(in crate::server) fn of_port(&self, port: &'static str) -> PortMetrics {
        PortMetrics { strangers: self.strangers.with_label_values(&[port]), ended: self.ended.clone(), port }
    }
}

/// The metrics of one port's door.
pub(in crate::server) struct PortMetrics {
    strangers: IntGauge,
    ended: IntCounterVec,
    port: &'static str,
}

impl PortMetrics {
    pub(super) fn strangers(&self, inside: usize) {
        self.strangers.set(i64::try_from(inside).unwrap_or(i64::MAX));
    }

    /// A stranger had to leave for one who came later.
    pub(super) fn crowded_out(&self) {
        self.ended(CROWDED);
    }

    /// Nobody read the answer.
    pub(super) fn unread(&self) {
        self.ended(UNREAD);
    }

    pub(super) fn head_too_large(&self) {
        self.ended(HEAD_TOO_LARGE);
    }

    /// No connection of TLS came about: no certificate, a wrong one, no TLS, or too late.
    pub(super) fn no_handshake(&self) {
        self.ended(HANDSHAKE);
    }

    fn ended(&self, reason: &str) {
        self.ended.with_label_values(&[self.port, reason]).inc();
    }
}
