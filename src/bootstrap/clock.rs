//! The clock: compared with the database server's every few seconds, so that all replicas mean the same by an instant.

use std::time::Duration;

use crate::{kernel::Chain, lifecycle::Tasks, store::clock::ServerClock};

/// How often. Between two readings a clock drifts by microseconds; what matters is how soon a step is noticed.
const EVERY: Duration = Duration::from_secs(5);

/// Compares until the process stops.
pub(super) async fn run(clock: ServerClock, tasks: Tasks) {
    while !tasks.stopping().is_cancelled() {
        let round = async {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = clock.align().await {
                tracing::warn!(error = %Chain(&error), "the clock was not compared with the database's");
            }
        };
        // A read: a stop need not wait for it.
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            () = round => {}
        }
    }
}
