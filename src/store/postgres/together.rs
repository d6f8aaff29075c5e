//! Transactions of several callers that are sent together.
//!
//! A transaction that is one statement waits while others of its shape are on their way, and what has come together meanwhile goes as one
//! statement ([`texts`](super::texts)), on one connection, with one commit. Nobody waits for a timer: a caller who comes alone goes at once.
//!
//! Each caller is answered for their own transaction alone. A row that is not as its transaction counted on leaves out that transaction, and
//! no other. Where the server refuses the statement for what is in it, nothing of it was kept, and each transaction is sent by
//! itself, so that each caller hears what the server says of theirs. Where no answer comes, none of them is confirmed.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::sync::oneshot;

use super::{
    ACQUIRE_TIMEOUT, PostgresStore, StoreError,
    joined::{JoinedStatement, Shape},
};

/// So many statements of one shape are on their way at once.
const UNDER_WAY_MAX: usize = 2;
/// So many transactions go as one at most.
const TOGETHER_MAX: usize = 64;

/// What became of a transaction.
pub(in crate::store) enum Sent {
    Committed,
    /// Its row is not as it counted on; nothing was done.
    Unmet,
    /// Nothing was done; it is to be sent by itself.
    Alone(JoinedStatement),
}

/// The transactions that wait.
#[derive(Default)]
pub(super) struct Together {
    queues: Mutex<HashMap<Shape, ShapeQueue>>,
    /// The number of the next that waits, of whatever shape. It never begins anew: a queue goes when it is empty, and whoever gives up takes
    /// back what they sent themselves, and nothing of whoever came after.
    next: AtomicU64,
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct ShapeQueue {
    waiting: Vec<WaitingStatement>,
    under_way: usize,
}

struct WaitingStatement {
    number: u64,
    statement: JoinedStatement,
    answer: oneshot::Sender<Result<Sent, StoreError>>,
}

impl Together {
    fn lock(&self) -> MutexGuard<'_, HashMap<Shape, ShapeQueue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what goes next of a shape: in the order of coming, and no key twice. `None` where nothing waits; then one less is under way.
    fn take(&self, shape: &Shape) -> Option<Vec<WaitingStatement>> {
        let mut queues = self.lock();
        let queue = queues.get_mut(shape)?;
        // Whoever waits no more has given up, as who drops a transaction.
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut taken: Vec<WaitingStatement> = Vec::new();
        let mut later = Vec::new();
        for waiting in queue.waiting.drain(..) {
            let again = taken.iter().any(|other| other.statement.key() == waiting.statement.key());
            if again || taken.len() == TOGETHER_MAX { later.push(waiting) } else { taken.push(waiting) }
        }
        queue.waiting = later;
        if taken.is_empty() {
            queue.under_way = queue.under_way.saturating_sub(1);
            if queue.under_way == 0 {
                queues.remove(shape);
            }
            return None;
        }
        // All take the rows that others may want in one order.
        taken.sort_by(|one, other| one.statement.key().cmp(other.statement.key()));
        Some(taken)
    }

    /// Takes back one that has not gone; `false` where it has.
    fn take_back(&self, shape: &Shape, number: u64) -> bool {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(shape) else { return false };
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| waiting.number != number);
        queue.waiting.len() < before
    }
}

impl PostgresStore {
    /// Sends a transaction that is one statement, with those of other callers where some wait.
    pub(in crate::store) async fn send_together(&self, statement: JoinedStatement) -> Result<Sent, StoreError> {
        let Some(shape) = statement.shape() else { return Ok(Sent::Alone(statement)) };
        let (answer, mut answered) = oneshot::channel();
        let number = self.together.next.fetch_add(1, Ordering::Relaxed);
        let goes = {
            let mut queues = self.together.lock();
            let queue = queues.entry(shape.clone()).or_default();
            queue.waiting.push(WaitingStatement { number, statement, answer });
            let goes = queue.under_way < UNDER_WAY_MAX;
            if goes {
                queue.under_way = queue.under_way.saturating_add(1);
            }
            goes
        };
        if goes {
            // A task of its own: whoever leads may be dropped, and those who follow are not. The place is given back also by a task that never ran.
            let place = StatementUnderWay { store: self.clone(), shape: Some(shape.clone()) };
            drop(self.runtime.spawn(place.carry()));
        }
        if let Ok(answer) = tokio::time::timeout(ACQUIRE_TIMEOUT, &mut answered).await {
            return answer.unwrap_or(Err(StoreError::Unconfirmed));
        }
        // Nobody waits longer for a connection either.
        if self.together.take_back(&shape, number) {
            return Err(no_connection());
        }
        answered.await.unwrap_or(Err(StoreError::Unconfirmed))
    }

    /// Sends these transactions; what became of each, in their order.
    async fn send_all(&self, mut statements: Vec<JoinedStatement>) -> Vec<Result<Sent, StoreError>> {
        let alone = if statements.len() == 1 { statements.pop() } else { None };
        let mut link = match self.take().await {
            Ok(link) => link,
            Err(error) => {
                let others = (1..statements.len()).map(|_other| Err(no_connection()));
                return std::iter::once(Err(error)).chain(others).collect();
            }
        };
        if let Some(alone) = alone {
            return vec![match alone.send(&mut link, "commit").await {
                Ok(()) => link.check_answered().map(|()| Sent::Committed),
                Err(StoreError::Unmet) => Ok(Sent::Unmet),
                Err(error) => Err(error),
            }];
        }
        match JoinedStatement::send_several(&statements, &mut link).await {
            Ok(done) => done.into_iter().map(|done| Ok(if done { Sent::Committed } else { Sent::Unmet })).collect(),
            Err(StoreError::Database { source, .. }) if is_refusal(&source) => {
                statements.into_iter().map(|statement| Ok(Sent::Alone(statement))).collect()
            }
            Err(error) => {
                tracing::debug!(error = %crate::kernel::Chain(&error), "transactions that were sent together are not confirmed");
                let others = (1..statements.len()).map(|_other| Err(StoreError::Unconfirmed));
                std::iter::once(Err(error)).chain(others).collect()
            }
        }
    }
}

/// A place among those under way, which is given back however its carrier ends.
struct StatementUnderWay {
    store: PostgresStore,
    /// `None` once it is given back.
    shape: Option<Shape>,
}

impl StatementUnderWay {
    /// Sends what waits, until nothing does.
    async fn carry(mut self) {
        while let Some(shape) = &self.shape {
            let Some(taken) = self.store.together.take(shape) else {
                self.shape = None;
                return;
            };
            let (statements, answers): (Vec<_>, Vec<_>) =
                taken.into_iter().map(|waiting| (waiting.statement, waiting.answer)).unzip();
            let sent = self.store.send_all(statements).await;
            for (answer, sent) in answers.into_iter().zip(sent) {
                // Whoever has given up meanwhile does not hear of it, as nobody hears who drops a commit.
                drop(answer.send(sent));
            }
        }
    }
}

impl Drop for StatementUnderWay {
    fn drop(&mut self) {
        let Some(shape) = &self.shape else { return };
        let mut queues = self.store.together.lock();
        let Some(queue) = queues.get_mut(shape) else { return };
        queue.under_way = queue.under_way.saturating_sub(1);
        // Its task broke down. Where nobody else carries this shape, whoever waits is answered that it is not confirmed.
        if queue.under_way == 0 {
            queues.remove(shape);
        }
    }
}

fn no_connection() -> StoreError {
    StoreError::database("acquire", sqlx::Error::PoolTimedOut)
}

/// Whether the server has answered that it did nothing, for what may lie in one of the transactions: a value, a constraint, a check that was
/// not met, a damaged row, a lock that another one holds, a deadlock, its time. What it answers to whatever is sent is said to all: that it takes
/// no writes, that the role may not, that its disk is full, that it is broken. One that ends the session proves nothing.
fn is_refusal(error: &sqlx::Error) -> bool {
    const OF_ALL: [&str; 5] = ["25006", "42501", "40003", "53", "58"];
    let refused = error.as_database_error().and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
    refused.is_some_and(|refused| {
        let ends = matches!(refused.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        !ends && !OF_ALL.iter().any(|codes| refused.code().starts_with(codes))
    })
}
