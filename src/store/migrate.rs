//! Migrations: the same numbers and names for both databases, embedded in the binary, forward only.
//!
//! Two versions of the program work on one database while a roll-out or a way back is under way. So the name of a
//! migration says since which schema programs can live with what it does: `0009_from_0008_more.sql` only adds, and a
//! program whose last migration is 0008 goes on; `0010_from_0009_less.sql` takes away what 0009 no longer uses. The name
//! is in the database, where the older program reads it. A later migration without such a name is for no older program.

use std::sync::LazyLock;

use sqlx::{
    Connection, Executor, PgPool,
    migrate::{Migrate, Migrator},
};

use super::{Inner, Sql, Store, StoreError, fetch_all, row, statements};
use crate::failpoint;

static SQLITE: LazyLock<Migrator> = LazyLock::new(|| beside_later_ones(sqlx::migrate!("migrations/sqlite")));
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| beside_later_ones(sqlx::migrate!("migrations/postgres")));

/// For the wait until another replica has migrated.
const PATIENT: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'";
/// For the migrations: a statement may take its time, a lock on a table may not.
const BRISK: &str = "SET lock_timeout = '3s'";

statements! {
    APPLIED = Sql::same("migrations.applied", "SELECT version, description FROM _sqlx_migrations WHERE success ORDER BY version");
}

row! {
    struct AppliedRow { version: i64, description: String }
}

/// How a database's schema stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// As this program expects.
    Current,
    /// A later program has migrated it, to what this one can live with.
    Ahead,
    /// Migrations are missing: run `noshi migrate`.
    Older,
    /// A later program has migrated it, to what this one would not understand.
    Newer,
}

/// The driver would refuse what it does not know; whether we do is for [`schema`] to say.
fn beside_later_ones(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// Brings the schema up to date. Safe to run from several replicas at once: the driver takes a lock.
///
/// # Errors
/// [`StoreError::Migrate`]; each migration is a transaction, so what failed left nothing behind.
/// [`StoreError::Schema`] when a later program's schema is not for this one.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    failpoint::pass("migrate", "before");
    if schema(store).await? == Schema::Newer {
        return Err(StoreError::Schema("a later version has migrated it, to what this one would not understand"));
    }
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
    let last = ours.last().copied().unwrap_or_default();
    let later: Vec<&AppliedRow> = theirs.iter().filter(|row| !ours.contains(&row.version)).collect();
    Ok(if later.iter().any(|row| since(&row.description).is_none_or(|since| last < since)) {
        Schema::Newer
    } else if ours.iter().any(|version| theirs.iter().all(|row| row.version != *version)) {
        Schema::Older
    } else if later.is_empty() {
        Schema::Current
    } else {
        Schema::Ahead
    })
}

/// The schema since which programs can live with a migration, by its name: the driver keeps `from_0008_more` as
/// `from 0008 more`.
fn since(description: &str) -> Option<i64> {
    description.strip_prefix("from ")?.split(' ').next()?.parse().ok()
}

/// The table of migrations is made by the first migration. SQLite has no code of its own for this.
fn no_such_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}
