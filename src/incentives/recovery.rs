//! Rewards that are due, whoever left them: a crash, a time-out, a refusal of the network, a wish to cancel.
//!
//! The scan is the truth; a wake-up only makes it come sooner. What is found is leased and then driven by the very
//! function that a first request uses.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::Rewards;
use crate::{ambient::Ambient, failpoint, kernel::Chain, telemetry::metrics::Metrics};

/// Rewards driven at once by the loop.
const DRIVES_MAX: usize = 16;

/// Looks for due rewards until the process stops; takes no more than it can drive.
pub async fn run(rewards: Rewards, ambient: Ambient, metrics: Arc<Metrics>, poll: Duration) {
    let room = Arc::new(Semaphore::new(DRIVES_MAX));
    let tasks = rewards.tasks().clone();
    while !tasks.stopping().is_cancelled() {
        metrics.heartbeat(ambient.now().timestamp());
        let claimed = claim(&rewards, &room).await;
        // A full hand means that more may be waiting.
        if claimed > 0 && room.available_permits() > 0 {
            continue;
        }
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            () = rewards.wake().notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
    }
}

async fn claim(rewards: &Rewards, room: &Arc<Semaphore>) -> usize {
    let free = room.available_permits();
    if free == 0 {
        return 0;
    }
    let attempts = match rewards.claim_due(free).await {
        Ok(attempts) => attempts,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "due rewards could not be claimed");
            return 0;
        }
    };
    let claimed = attempts.len();
    for attempt in attempts {
        failpoint::pass("replay", "after_t1");
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else { continue };
        let this = rewards.clone();
        drop(rewards.tasks().spawn(async move {
            let _permit = permit;
            this.recover(attempt).await;
        }));
    }
    claimed
}
