//! PostgreSQL: a pool, and limits on how long a statement, a lock and an idle transaction may take.

use std::str::FromStr;

use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{ACQUIRE_TIMEOUT, StoreError};
use crate::failpoint;

/// Opens the pool.
pub(super) async fn open(url: &str, connections_max: u32) -> Result<PgPool, StoreError> {
    // The driver's own text for a URL that it cannot read may quote it, and a password is in it.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_error| StoreError::Open("the PostgreSQL URL cannot be read".to_owned()))?
        .application_name("noshi")
        .options([
            ("statement_timeout", "5000"),
            ("lock_timeout", "3000"),
            ("idle_in_transaction_session_timeout", "10000"),
            // Whatever the server's default: an answered commit is on the disk.
            ("synchronous_commit", if failpoint::seeded("B20") { "off" } else { "on" }),
        ]);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|error| StoreError::database("connect", error))
}

#[expect(clippy::disallowed_methods, reason = "PostgreSQL has no write lock to lose by a plain BEGIN")]
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    pool.begin().await.map_err(|error| StoreError::database("begin", error))
}
