//! Brings the log's filter of the settings back when another has lasted long enough.

use std::time::Duration;

use crate::{ambient::Ambient, lifecycle::Tasks, telemetry::LogFilter};

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until the process stops.
pub(super) async fn run(log: LogFilter, ambient: Ambient, tasks: Tasks) {
    while !tasks.stopping().is_cancelled() {
        if let Some(lapsed) = log.lapse(ambient.now()) {
            tracing::warn!(
                log.filter = log.in_force(),
                log.filter_before = lapsed,
                "the log's filter is that of the settings again"
            );
        }
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
