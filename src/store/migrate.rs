//! Migrations: the same numbers and names for both databases, embedded in the binary, forward only.

use sqlx::{
    Connection, Executor, PgPool,
    migrate::{Migrate, Migrator},
};

use super::{Inner, Sql, Store, StoreError, fetch_all, row, statements};
use crate::failpoint;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// For the wait until another replica has migrated.
const PATIENT: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'";
/// For the migrations: a statement may take its time, a lock on a table may not.
const BRISK: &str = "SET lock_timeout = '3s'";

statements! {
    APPLIED = Sql::same("migrations.applied", "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
}

row! {
    struct AppliedRow { version: i64 }
}

/// How a database's schema stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// As this program expects.
    Current,
    /// Migrations are missing: run `noshi migrate`.
    Older,
    /// A later program has migrated it.
    Newer,
}

/// Brings the schema up to date. Safe to run from several replicas at once: the driver takes a lock.
///
/// # Errors
/// [`StoreError::Migrate`]; each migration is a transaction, so what failed left nothing behind.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    failpoint::pass("migrate", "before");
    match &store.inner {
        Inner::Sqlite(sqlite) => sqlite.migrate(&SQLITE).await?,
        Inner::Postgres(pool) => migrate_postgres(pool).await?,
    }
    failpoint::pass("migrate", "after");
    Ok(())
}

/// On a connection of its own: the time limits that suit the service's statements do not suit a migration, and not the
/// wait for another replica's.
async fn migrate_postgres(pool: &PgPool) -> Result<(), StoreError> {
    let failed = |error| StoreError::database("migrate", error);
    let mut connection = pool.acquire().await.map_err(|error| StoreError::database("acquire", error))?.detach();
    connection.execute(PATIENT).await.map_err(failed)?;
    // The driver takes the same lock once more; a session may.
    connection.lock().await.map_err(StoreError::Migrate)?;
    // Who waits for a table holds up everyone who comes after: not for long.
    connection.execute(BRISK).await.map_err(failed)?;
    POSTGRES.run_direct(None, &mut connection, false).await.map_err(StoreError::Migrate)?;
    // The lock ends with the session.
    connection.close().await.map_err(failed)
}

/// Compares the database's schema with this program's.
///
/// # Errors
/// [`StoreError`] when the database cannot be read. A database that was never migrated is [`Schema::Older`].
pub async fn schema(store: &Store) -> Result<Schema, StoreError> {
    let ours: Vec<i64> = match &store.inner {
        Inner::Sqlite(_) => SQLITE.iter().map(|migration| migration.version).collect(),
        Inner::Postgres(_) => POSTGRES.iter().map(|migration| migration.version).collect(),
    };
    let mut snapshot = store.snapshot().await?;
    let theirs = match fetch_all!(AppliedRow, snapshot, APPLIED) {
        Ok(rows) => rows,
        Err(StoreError::Database { source: sqlx::Error::Database(error), .. }) if no_such_table(&*error) => {
            return Ok(Schema::Older);
        }
        Err(error) => return Err(error),
    };
    let theirs: Vec<i64> = theirs.into_iter().map(|row| row.version).collect();
    Ok(if theirs == ours {
        Schema::Current
    } else if theirs.iter().any(|version| !ours.contains(version)) {
        Schema::Newer
    } else {
        Schema::Older
    })
}

/// The table of migrations is made by the first migration. SQLite has no code of its own for this.
fn no_such_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}
