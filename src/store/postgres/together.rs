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
    sync::{Mutex, MutexGuard, PoisonError},
};

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
pub(super) struct Together(Mutex<HashMap<Shape, ShapeQueue>>);

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct ShapeQueue {
    waiting: Vec<WaitingStatement>,
    under_way: usize,
    /// The number of the next that waits.
    next: u64,
}

struct WaitingStatement {
    number: u64,
    statement: JoinedStatement,
    answer: oneshot::Sender<Result<Sent, StoreError>>,
}

impl Together {
    fn lock(&self) -> MutexGuard<'_, HashMap<Shape, ShapeQueue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (number, goes) = {
            let mut queues = self.together.lock();
            let queue = queues.entry(shape.clone()).or_default();
            let number = queue.next;
            queue.next = number.wrapping_add(1);
            queue.waiting.push(WaitingStatement { number, statement, answer });
            let goes = queue.under_way < UNDER_WAY_MAX;
            if goes {
                queue.under_way = queue.under_way.saturating_add(1);
            }
            (number, goes)
        };
        if goes {
            // A task of its own: whoever leads may be dropped, and those who follow are not.
            let (store, shape) = (self.clone(), shape.clone());
            drop(
                self.runtime
                    .spawn(async move { store.carry(StatementUnderWay { store: &store, shape: Some(shape) }).await }),
            );
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

    /// Sends what waits, until nothing does.
    async fn carry(&self, mut under_way: StatementUnderWay<'_>) {
        while let Some(shape) = &under_way.shape {
            let Some(taken) = self.together.take(shape) else {
                under_way.shape = None;
                return;
            };
            let (statements, answers): (Vec<_>, Vec<_>) =
                taken.into_iter().map(|waiting| (waiting.statement, waiting.answer)).unzip();
            let sent = self.send_all(statements).await;
            for (answer, sent) in answers.into_iter().zip(sent) {
                // Whoever has given up meanwhile does not hear of it, as nobody hears who drops a commit.
                drop(answer.send(sent));
            }
        }
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
struct StatementUnderWay<'s> {
    store: &'s PostgresStore,
    /// `None` once it is given back.
    shape: Option<Shape>,
}

impl Drop for StatementUnderWay<'_> {
    fn drop(&mut self) {
        let Some(shape) = &self.shape else { return };
        if let Some(queue) = self.store.together.lock().get_mut(shape) {
            queue.under_way = queue.under_way.saturating_sub(1);
        }
    }
}

fn no_connection() -> StoreError {
    StoreError::database("acquire", sqlx::Error::PoolTimedOut)
}

/// Whether the server has answered that it did nothing, because of what is in one of the transactions: a value, a constraint, a
/// check that was not met, a lock that another one holds, a deadlock. What it answers to whatever is sent is said to all.
fn is_refusal(error: &sqlx::Error) -> bool {
    const CLASSES: [&str; 4] = ["22", "23", "40", "P0"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE || CLASSES.iter().any(|class| code.starts_with(class)))
}
