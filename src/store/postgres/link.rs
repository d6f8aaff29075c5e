//! A connection that was taken out of the pool, and what becomes of it.

use std::{io, sync::atomic::Ordering, time::Duration};

use deadpool::managed::Object;
use sqlx::{
    Executor, PgConnection,
    postgres::{PgDatabaseError, PgSeverity},
};

use super::{StoreError, TimeLimits, pool::Connections};
use crate::store::Conn;

/// A connection that was taken out of the pool, with or without a transaction.
///
/// A connection that has answered everything goes back. Any other is closed: one whose answer is outstanding may be silent, and one
/// whose transaction was not committed must not keep its locks.
pub(crate) struct Link {
    /// `None` once it was given up.
    connection: Option<Object<Connections>>,
    time_limits: TimeLimits,
    in_transaction: bool,
    unanswered: bool,
}

/// How long an answer may take, and the note that one is outstanding.
pub struct Answering<'c> {
    max: Duration,
    unanswered: &'c mut bool,
}

impl Link {
    pub(super) const fn new(connection: Object<Connections>, time_limits: TimeLimits) -> Self {
        Self { connection: Some(connection), time_limits, in_transaction: false, unanswered: false }
    }

    /// The connection that statements run on.
    pub(super) fn parts(&mut self) -> Result<(&mut PgConnection, Answering<'_>), StoreError> {
        self.check_answered()?;
        let lent = self.connection.as_mut().ok_or(StoreError::Unconfirmed)?;
        let answering = Answering { max: self.time_limits.answer(), unanswered: &mut self.unanswered };
        Ok((&mut lent.connection, answering))
    }

    /// The same, as the macros take it.
    pub(in crate::store) fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        self.parts().map(|(connection, answering)| Conn::Postgres { connection, answering })
    }

    async fn run(&mut self, name: &'static str, text: &'static str) -> Result<(), StoreError> {
        let (connection, answering) = self.parts()?;
        let ran = answering.wait(connection.execute(text)).await;
        ran.map(drop).map_err(|error| StoreError::database(name, error))
    }

    /// Begins a transaction.
    pub(in crate::store) async fn begin(&mut self) -> Result<(), StoreError> {
        // Set before the statement: the transaction may have begun although its answer was lost.
        self.in_transaction = true;
        self.run("begin", "BEGIN").await
    }

    /// Whether a transaction has begun.
    pub(in crate::store) const fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Commits. Without an answer it is unknown whether the transaction is committed.
    pub(in crate::store) async fn commit(&mut self) -> Result<(), StoreError> {
        self.run("commit", "COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Refuses a connection whose last answer is outstanding: whoever waited for it has given up, and it is unknown what was done.
    pub(in crate::store) const fn check_answered(&self) -> Result<(), StoreError> {
        if self.unanswered { Err(StoreError::Unconfirmed) } else { Ok(()) }
    }

    /// Rolls the transaction back, so that the connection returns to the pool.
    pub(in crate::store) async fn roll_back(&mut self) {
        if self.in_transaction {
            self.in_transaction = self.run("rollback", "ROLLBACK").await.is_err();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.unanswered {
            // Whatever took the answer may have taken those of the others.
            if let Some(pool) = Object::pool(&connection) {
                pool.manager().broken.fetch_add(1, Ordering::AcqRel);
            }
        }
        if self.in_transaction || self.unanswered {
            drop(Object::take(connection));
        }
    }
}

impl Answering<'_> {
    /// Waits for an answer, at most as long as one can still come.
    pub(crate) async fn wait<T>(self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        *self.unanswered = true;
        let answered = in_time(self.max, answer).await;
        *self.unanswered = answered.as_ref().is_err_and(is_the_end);
        answered
    }
}

/// Whether a connection is of no more use after this error.
fn is_the_end(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error().and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
    match refused {
        Some(refused) => matches!(refused.severity(), PgSeverity::Fatal | PgSeverity::Panic),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)),
    }
}

/// Waits for an answer, at most as long as one can still come.
pub(super) async fn in_time<T>(
    answer_max: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_elapsed| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(answer_max, answer).await.map_err(silent)?
}
