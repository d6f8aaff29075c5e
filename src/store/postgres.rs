//! PostgreSQL: a pool, and limits on how long a statement, a lock and an idle transaction may take.

use std::{io, str::FromStr, time::Duration};

use sqlx::{
    Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::runtime::Handle;

use super::{ACQUIRE_TIMEOUT, StoreError};

/// How long an answer may take. The server ends a statement after 5 s and reports that. If nothing arrives by then, the
/// network or the server's machine is gone, and the driver itself would wait for ever.
const ANSWER_MAX: Duration = Duration::from_secs(7);
/// How long a stop waits for connections to be returned. A connection that has gone silent never is.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Opens the pool.
pub(super) async fn open(url: &str, connections_max: u32) -> Result<PgPool, StoreError> {
    // The driver's own error may quote the URL, and the password in it.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_error| StoreError::Open("the PostgreSQL URL cannot be read".to_owned()))?
        .application_name("noshi")
        .options([
            ("statement_timeout", "5000"),
            ("lock_timeout", "3000"),
            ("idle_in_transaction_session_timeout", "10000"),
            // Overrides the server's default: an answered commit is on the disk.
            ("synchronous_commit", "on"),
        ]);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|error| StoreError::database("connect", error))
}

/// A connection that was taken out of the pool, with or without a transaction.
///
/// A connection that still answers goes back; any other is closed, and the pool opens a new one. The driver's own return
/// asks the connection whether it is alive, and waits for ever if it has gone silent, so the pool would shrink to nothing. A
/// transaction that was not committed is closed with its connection, so that its locks are free at once.
pub struct Link {
    connection: PoolConnection<Postgres>,
    in_transaction: bool,
}

impl Link {
    /// Takes one out, or opens one.
    pub(super) async fn take(pool: &PgPool) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(|error| StoreError::database("acquire", error))?;
        Ok(Self { connection, in_transaction: false })
    }

    /// Takes a connection, and begins a transaction on it.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, StoreError> {
        let mut link = Self::take(pool).await?;
        // Set before the statement: the transaction may have begun although its answer was lost.
        link.in_transaction = true;
        in_time(link.conn().execute("BEGIN")).await.map_err(|error| StoreError::database("begin", error))?;
        Ok(link)
    }

    /// Commits. Without an answer it is unknown whether the transaction is committed.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        in_time(self.conn().execute("COMMIT")).await.map_err(|error| StoreError::database("commit", error))?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls the transaction back, so that the connection returns to the pool.
    pub(super) async fn undo(mut self) {
        self.in_transaction = in_time(self.conn().execute("ROLLBACK")).await.is_err();
    }

    /// The connection that statements run on.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.in_transaction {
            self.connection.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            let back = tokio::time::timeout(ANSWER_MAX, self.connection.return_to_pool());
            drop(runtime.spawn(back));
        }
    }
}

/// Waits for an answer, at most as long as one can still come.
pub(crate) async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let silent = |_elapsed| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(ANSWER_MAX, answer).await.map_err(silent)?
}

/// Closes the connections that still answer.
pub(super) async fn close(pool: &PgPool) {
    if tokio::time::timeout(CLOSE_MAX, pool.close()).await.is_err() {
        tracing::warn!("a connection to the database was not given back; left to the server");
    }
}
