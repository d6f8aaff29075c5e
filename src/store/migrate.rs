//! Migrations: the same numbers and names for both databases, embedded in the binary, forward only.
//!
//! Two versions of the program work on one database during a roll-out or a roll-back. So the name of a migration says
//! which older programs still work with it: `0009_from_0008_more.sql` only adds, so a program whose last migration is
//! 0008 goes on; `0010_from_0009_less.sql` removes what 0009 no longer uses. The database keeps the name, and the older
//! program reads it there. A migration without such a name stops every older program.

use std::{sync::LazyLock, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection,
    error::DatabaseError,
    migrate::{Migrate, MigrateError, Migrator},
};

use super::{OpenStore, Sql, Store, StoreError, embedded, fetch_all, row, statements};
use crate::failpoint;

static SQLITE: LazyLock<Migrator> = LazyLock::new(embedded::sqlite);
static POSTGRES: LazyLock<Migrator> = LazyLock::new(embedded::postgres);

/// While another replica migrates: wait for its lock.
const PATIENT: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'";
/// While we migrate: a statement may take long, but a lock on a table may not be waited for long.
const BRISK: &str = "SET lock_timeout = '3s'";

/// How often a migration is begun that the writers of a serving release got in the way of.
const TRIES: u32 = 5;
/// How long those have for themselves before it is begun again.
const PAUSE: Duration = Duration::from_millis(500);

statements! {
    APPLIED = Sql::same("migrations.applied", "SELECT version, description FROM _sqlx_migrations WHERE success ORDER BY version");
}

row! {
    struct AppliedRow { version: i64, description: String }
}

/// How a database's schema compares with this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// The same.
    Current,
    /// A later program has migrated it, and this program still works with it.
    Ahead,
    /// Migrations are missing: run `noshi migrate`.
    Older,
    /// A later program has migrated it, and this program does not work with it.
    Newer,
}

/// Brings the schema up to date. Safe to run from several replicas at once: the driver takes a lock.
///
/// # Errors
/// [`StoreError::Migrate`]; each migration is a transaction, so what failed left nothing behind.
/// [`StoreError::NotOwner`] when the role may not change the schema.
/// [`StoreError::Schema`] when a later program's schema is not for this one.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    failpoint::pass("migrate", "before");
    if schema(store).await? == Schema::Newer {
        return Err(StoreError::Schema("a later version has migrated it, to what this one would not understand"));
    }
    match &store.inner {
        OpenStore::Sqlite(sqlite) => sqlite.migrate(&SQLITE).await?,
        OpenStore::Postgres(store) => migrate_postgres(store.connect().await?).await?,
    }
    failpoint::pass("migrate", "after");
    Ok(())
}

/// Migrates on a connection of its own, because the service's time limits do not suit a migration, or the wait for
/// another replica's.
async fn migrate_postgres(mut connection: PgConnection) -> Result<(), StoreError> {
    let failed = |error| StoreError::database("migrate", error);
    connection.execute(PATIENT).await.map_err(failed)?;
    // The driver takes the same lock again; within one session it may.
    connection.lock().await.map_err(failed_migration)?;
    // A statement that waits for a table's lock blocks every later one, so it must not wait long.
    connection.execute(BRISK).await.map_err(failed)?;
    let mut tries = 1;
    while let Err(error) = POSTGRES.run_direct(None, &mut connection, false).await {
        if tries == TRIES || !met_writers(&error) {
            return Err(failed_migration(error));
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
    // The lock ends with the session.
    connection.close().await.map_err(failed)
}

/// PostgreSQL's code for a right that the role does not have.
const NO_RIGHT: &str = "42501";

/// PostgreSQL's codes for a deadlock, and for a lock that did not come in time.
const MET_WRITERS: [&str; 2] = ["40P01", "55P03"];

fn cause_of(error: &MigrateError) -> Option<&dyn DatabaseError> {
    if let MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) = error {
        cause.as_database_error()
    } else {
        None
    }
}

/// Whether a migration failed for those who wrote meanwhile. It left nothing behind, and can be begun again.
fn met_writers(error: &MigrateError) -> bool {
    cause_of(error).and_then(DatabaseError::code).is_some_and(|code| MET_WRITERS.contains(&code.as_ref()))
}

/// Names the one mistake that an operator makes here: a migration under the role of the service.
fn failed_migration(error: MigrateError) -> StoreError {
    let no_right = cause_of(&error).is_some_and(|cause| cause.code().as_deref() == Some(NO_RIGHT));
    if no_right { StoreError::NotOwner } else { StoreError::Migrate(error) }
}

/// Compares the database's schema with this program's.
///
/// # Errors
/// [`StoreError`] when the database cannot be read. A database that was never migrated is [`Schema::Older`].
pub async fn schema(store: &Store) -> Result<Schema, StoreError> {
    let ours: Vec<i64> = match &store.inner {
        OpenStore::Sqlite(_) => SQLITE.iter().map(|migration| migration.version).collect(),
        OpenStore::Postgres(_) => POSTGRES.iter().map(|migration| migration.version).collect(),
    };
    let mut snapshot = store.snapshot().await?;
    let theirs = match fetch_all!(AppliedRow, snapshot, APPLIED) {
        Ok(rows) => rows,
        Err(StoreError::Database { source: sqlx::Error::Database(error), .. }) if no_such_table(&*error) => {
            return Ok(Schema::Older);
        }
        Err(error) => return Err(error),
    };
    let last = ours.last().copied().unwrap_or_default();
    let later: Vec<&AppliedRow> = theirs.iter().filter(|row| !ours.contains(&row.version)).collect();
    Ok(if later.iter().any(|row| works_since(&row.description).is_none_or(|since| last < since)) {
        Schema::Newer
    } else if ours.iter().any(|version| theirs.iter().all(|row| row.version != *version)) {
        Schema::Older
    } else if later.is_empty() {
        Schema::Current
    } else {
        Schema::Ahead
    })
}

/// The oldest schema whose programs work with a migration. The driver keeps the name `from_0008_more` as
/// `from 0008 more`.
fn works_since(description: &str) -> Option<i64> {
    description.strip_prefix("from ")?.split(' ').next()?.parse().ok()
}

/// The first migration makes the table of migrations. SQLite has no error code for a missing table.
fn no_such_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}
