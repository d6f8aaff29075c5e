//! Compares the clock with the database server's every few seconds, so that an instant means the same to all replicas.

use std::time::Duration;

use crate::{kernel::Chain, lifecycle::Tasks, store::clock::ServerClock};

/// How often to compare. A clock drifts by microseconds between two readings; this is how soon a step is noticed.
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
        // A stop may cut the comparison off: it only reads.
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            () = round => {}
        }
    }
}
