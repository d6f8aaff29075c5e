//! A request that waits for an order: until when, and what it is answered when its time is up.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What a request is answered whose time is up: the row as it was last committed.
#[derive(Debug, Clone)]
pub struct Latest<R> {
    /// The row.
    pub row: R,
    /// The key was used before, for this row.
    pub replayed: bool,
}

/// The worker's end: what it commits while the request waits, it publishes here.
pub struct Waiter<R> {
    deadline: Instant,
    latest: watch::Sender<Option<Latest<R>>>,
}

impl<R: Clone> Waiter<R> {
    /// For a request that waits until `deadline`, and the end where it listens.
    #[must_use]
    pub fn new(deadline: Instant) -> (Self, watch::Receiver<Option<Latest<R>>>) {
        let (latest, listener) = watch::channel(None);
        (Self { deadline, latest }, listener)
    }

    /// Publishes what is committed now.
    pub fn publish(&self, row: &R) {
        self.latest.send_replace(Some(Latest { row: row.clone(), replayed: false }));
    }

    /// Publishes the row that the key was used for before.
    pub fn publish_known(&self, row: &R) {
        self.latest.send_replace(Some(Latest { row: row.clone(), replayed: true }));
    }

    /// What was published last.
    #[must_use]
    pub fn latest(&self) -> Option<R> {
        self.latest.borrow().as_ref().map(|latest| latest.row.clone())
    }

    /// How long the request still waits.
    #[must_use]
    pub fn patience(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}
