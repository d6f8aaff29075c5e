//! Orders that are due, whoever left them: a crash, a time-out, a refused connection, a wish to reverse.
//!
//! The scan is the truth; a wake-up only makes it come sooner. What is found is leased and then carried by the very drive
//! that a first request uses.
//!
//! What is due lies in lanes, each with hands of its own, so that orders which hang in one lane hold up no other. Nor does an
//! owner have all the hands of a lane: some are left for the others.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    failpoint,
    kernel::{
        Chain,
        held::{HeldCounts, HeldOne},
    },
    lifecycle::Tasks,
    store::{Committed, StoreError},
};

/// Orders carried at once in a lane.
const HANDS: usize = 16;
/// How many of them are one owner's at most.
const HANDS_OF_ONE: usize = 12;

/// How much of a lane may be claimed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeHands {
    /// At most so many orders.
    pub limit: usize,
    /// But none of these owners, whose hands are full.
    pub except: Vec<Uuid>,
}

/// What a product does for the loop.
pub trait Recoverable: Clone + Send + Sync + 'static {
    /// The product's row, with the order in it.
    type Row: Send + Sync;
    /// Orders that share hands.
    type Lane: Clone + Eq + Send + Sync;

    /// Every lane, the most urgent first.
    fn lanes(&self) -> Vec<Self::Lane>;

    /// Those of the lanes in which something is due.
    ///
    /// # Errors
    /// [`StoreError`].
    fn due_lanes(&self) -> impl Future<Output = Result<Vec<Self::Lane>, StoreError>> + Send;

    /// Leases due orders of a lane.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is leased then, or what was leased comes again when its lease is over.
    fn claim_due(
        &self,
        lane: &Self::Lane,
        free: &FreeHands,
    ) -> impl Future<Output = Result<Vec<Committed<Self::Row>>, StoreError>> + Send;

    /// Whose order it is.
    fn owner(row: &Self::Row) -> Uuid;

    /// Carries an order that the loop has leased. Nobody waits for it.
    fn recover(&self, attempt: Committed<Self::Row>) -> impl Future<Output = ()> + Send;

    /// The loop is alive.
    fn heartbeat(&self);
}

/// Looks for due orders until the process stops; takes no more than it can carry.
pub async fn recover<P: Recoverable>(product: P, tasks: Tasks, wake: Arc<Notify>, poll: Duration) {
    let freed = Arc::new(Notify::new());
    let lanes: Vec<_> = product.lanes().into_iter().map(|lane| (lane, Hands::new(Arc::clone(&freed)))).collect();
    while !tasks.stopping().is_cancelled() {
        product.heartbeat();
        let more = claim_all(&product, &tasks, &lanes).await;
        tokio::select! {
            () = tasks.stopping().cancelled() => {}
            // A backlog waits for a hand that is free, and not for the next look.
            () = freed.notified(), if more => {}
            () = wake.notified() => {}
            () = tokio::time::sleep(poll) => {}
        }
    }
}

/// Claims in every lane where something is due. Answers whether more may be due than there are hands.
async fn claim_all<P: Recoverable>(product: &P, tasks: &Tasks, lanes: &[(P::Lane, Hands)]) -> bool {
    let due = match product.due_lanes().await {
        Ok(due) => due,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "what is due could not be read");
            return false;
        }
    };
    let mut more = false;
    for (lane, hands) in lanes.iter().filter(|(lane, _hands)| due.contains(lane)) {
        more |= claim(product, tasks, lane, hands).await;
    }
    more
}

/// Leases what is due in a lane as long as there are hands, and has it carried. Answers whether more may be due.
async fn claim<P: Recoverable>(product: &P, tasks: &Tasks, lane: &P::Lane, hands: &Hands) -> bool {
    while let Some(free) = hands.free() {
        let attempts = match product.claim_due(lane, &free).await {
            Ok(attempts) => attempts,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "due orders could not be claimed");
                return false;
            }
        };
        let claimed = attempts.len();
        for attempt in attempts {
            failpoint::pass("replay", "after_t1");
            let hand = hands.take(P::owner(attempt.get()));
            let product = product.clone();
            drop(tasks.spawn(async move {
                let _hand = hand;
                product.recover(attempt).await;
            }));
        }
        if claimed < free.limit {
            // What is left is theirs whose hands are full.
            return !free.except.is_empty();
        }
    }
    true
}

/// The hands of a lane.
struct Hands {
    held: HeldCounts<Uuid>,
    freed: Arc<Notify>,
}

/// A hand in use; free again when it is dropped, which is announced after that.
struct Hand {
    _held: Option<HeldOne<Uuid>>,
    _announced: Announced,
}

/// Announces that a hand is free.
struct Announced(Arc<Notify>);

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Hands {
    fn new(freed: Arc<Notify>) -> Self {
        Self { held: HeldCounts::default(), freed }
    }

    /// What may be claimed now, so that no owner gets too many hands whosever orders it finds; `None` when no hand is free.
    fn free(&self) -> Option<FreeHands> {
        let held = self.held.counts();
        let free = HANDS.saturating_sub(held.values().sum());
        let full = |count: usize| count >= HANDS_OF_ONE;
        let most = held.values().copied().filter(|count| !full(*count)).max().unwrap_or(0);
        let except = held.iter().filter(|(_owner, count)| full(**count)).map(|(owner, _count)| *owner).collect();
        (free > 0).then(|| FreeHands { limit: free.min(HANDS_OF_ONE.saturating_sub(most)), except })
    }

    fn take(&self, owner: Uuid) -> Hand {
        let held = self.held.take_if(owner, |_counts| true);
        Hand { _held: held, _announced: Announced(Arc::clone(&self.freed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hands() -> Hands {
        Hands::new(Arc::new(Notify::new()))
    }

    #[test]
    fn an_owner_leaves_hands_to_the_others() {
        let (hands, greedy, other) = (hands(), Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(hands.free(), Some(FreeHands { limit: HANDS_OF_ONE, except: Vec::new() }));
        let mut taken: Vec<Hand> = (0..HANDS_OF_ONE).map(|_at| hands.take(greedy)).collect();
        let left = HANDS - HANDS_OF_ONE;
        assert_eq!(hands.free(), Some(FreeHands { limit: left, except: vec![greedy] }));
        taken.extend((0..left).map(|_at| hands.take(other)));
        assert_eq!(hands.free(), None);
        taken.truncate(1);
        assert_eq!(hands.free(), Some(FreeHands { limit: HANDS_OF_ONE - 1, except: Vec::new() }));
        drop(taken);
        assert!(hands.held.counts().is_empty(), "what is over is forgotten");
    }

    #[test]
    fn whosever_orders_are_found_nobody_gets_too_many() {
        let (hands, one) = (hands(), Uuid::from_u128(1));
        let mut taken = Vec::new();
        while let Some(free) = hands.free().filter(|free| free.except.is_empty()) {
            taken.extend((0..free.limit).map(|_at| hands.take(one)));
        }
        assert_eq!(taken.len(), HANDS_OF_ONE);
    }
}
