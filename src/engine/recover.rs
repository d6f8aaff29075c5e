//! Orders that are due, whoever left them: a crash, a time-out, a refused connection, a wish to reverse.
//!
//! The scan is the truth; a wake-up only makes it come sooner. What is found is leased and then carried by the very drive
//! that a first request uses.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore};

use super::run::Effects;
use crate::{
    failpoint,
    kernel::Chain,
    lifecycle::Tasks,
    store::{Committed, StoreError},
};

/// Orders carried at once by the loop.
const CARRIED_MAX: usize = 16;

/// What a product does for the loop, besides carrying orders.
pub trait Recoverable: Effects + Clone + Send + 'static {
    /// Leases orders that are due, at most `room`.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is leased then.
    fn claim_due(&self, room: usize) -> impl Future<Output = Result<Vec<Committed<Self::Row>>, StoreError>> + Send;

    /// Carries an order that the loop has leased. Nobody waits for it.
    fn recover(&self, attempt: Committed<Self::Row>) -> impl Future<Output = ()> + Send;

    /// The loop is alive.
    fn heartbeat(&self);
}

/// Looks for due orders until the process stops; takes no more than it can carry.
pub async fn recover<P: Recoverable>(product: P, tasks: Tasks, wake: Arc<Notify>, poll: Duration) {
    let room = Arc::new(Semaphore::new(CARRIED_MAX));
    while !tasks.stopping().is_cancelled() {
        product.heartbeat();
        let more = claim(&product, &tasks, &room).await;
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            // A backlog waits for a hand that is free, and not for the next look.
            () = has_room(&room), if more => {}
            () = wake.notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
    }
}

async fn has_room(room: &Semaphore) {
    drop(room.acquire().await);
}

/// Leases what is due, and has it carried. Answers whether more may be due.
async fn claim<P: Recoverable>(product: &P, tasks: &Tasks, room: &Arc<Semaphore>) -> bool {
    let free = room.available_permits();
    if free == 0 {
        return true;
    }
    let attempts = match product.claim_due(free).await {
        Ok(attempts) => attempts,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "due orders could not be claimed");
            return false;
        }
    };
    let more = !attempts.is_empty();
    for attempt in attempts {
        failpoint::pass("replay", "after_t1");
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else { continue };
        let product = product.clone();
        drop(tasks.spawn(async move {
            let _permit = permit;
            product.recover(attempt).await;
        }));
    }
    more
}
