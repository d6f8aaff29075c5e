//! What became of spans on their way to the collector. All zero where nothing is exported.

use prometheus::{IntCounter, IntCounterVec};

use super::{Metrics, room::Room};
use crate::telemetry::trace::Counters;

/// Counted in this process.
pub(super) struct Traces {
    exported: IntCounter,
    dropped: IntCounterVec,
}

impl Traces {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        let traces = Self {
            exported: room.counter(("trace_spans_exported_total", "Spans that the collector took."))?,
            dropped: room.counters(
                ("trace_spans_dropped_total", "Spans that were lost on their way to the collector."),
                &["reason"],
            )?,
        };
        for reason in ["queue_full", "not_sent", "refused"] {
            traces.dropped.get_metric_with_label_values(&[reason])?;
        }
        Ok(traces)
    }
}

impl Metrics {
    /// The counters of the export.
    #[must_use]
    pub fn spans(&self) -> Counters {
        let dropped = |reason: &str| self.traces.dropped.with_label_values(&[reason]);
        Counters {
            exported: self.traces.exported.clone(),
            queue_full: dropped("queue_full"),
            not_sent: dropped("not_sent"),
            refused: dropped("refused"),
        }
    }
}
