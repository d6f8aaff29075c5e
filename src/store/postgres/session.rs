//! What a connection to PostgreSQL must be like before anything rests on it.
//!
//! Promises rest on settings of the session. They are set by statement and read back on each new connection: a pooler drops what
//! comes with a start-up, a role or a database may have its own defaults, and a pooler that hands each transaction to another
//! session keeps none of them. A connection also leads to the database of the first one; another database under the same
//! address is refused.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::link::in_time;
use crate::store::{StoreError, TimeLimits, row, sql};

/// How long an answer of a new connection may take.
const ANSWER_MAX: Duration = Duration::from_secs(7);
/// How often two connections begin at once: after the third time each order of taking and giving back has been seen.
const ROUNDS: usize = 4;

/// What is set for both, and read back, in one round trip: a new connection must not take much longer than the server takes to
/// make it. An answered commit is on the disk, and on the stand-by where the server says so. No statement depends on an
/// isolation level, and a stricter one would refuse what is right. A statement reads a few rows, also where PostgreSQL expects many: compiling it
/// would take longer than all of it.
macro_rules! prepare {
    ($statement:literal, $lock:literal, $idle:literal, $system:literal) => {
        concat!(
            "SET statement_timeout = '",
            $statement,
            "'; SET lock_timeout = '",
            $lock,
            "'; SET idle_in_transaction_session_timeout = '",
            $idle,
            "'; SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
             SET default_transaction_deferrable = off; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; \
             SET jit = off; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply'); \
             SELECT current_setting('statement_timeout') AS statement_timeout, \
             current_setting('lock_timeout') AS lock_timeout, \
             current_setting('idle_in_transaction_session_timeout') AS idle_in_transaction_session_timeout, \
             current_setting('synchronous_commit') AS synchronous_commit, \
             current_setting('default_transaction_isolation') AS default_transaction_isolation, \
             current_setting('default_transaction_read_only') AS default_transaction_read_only, \
             current_setting('standard_conforming_strings') AS standard_conforming_strings, \
             current_setting('TimeZone') AS time_zone, \
             current_setting('session_replication_role') AS session_replication_role, \
             COALESCE(current_schema()::TEXT, '') AS schema, \
             (SELECT oid::BIGINT FROM pg_database WHERE datname = current_database()) AS database, ",
            $system,
            " AS system"
        )
    };
}

/// The time limits of a session, as PostgreSQL writes them, and what sets them.
struct SessionLimits {
    statement: &'static str,
    lock: &'static str,
    idle: &'static str,
    prepare: &'static str,
    /// The same for a role that may not ask for the cluster.
    prepare_without_rights: &'static str,
}

macro_rules! session_limits {
    ($statement:literal, $lock:literal, $idle:literal) => {
        SessionLimits {
            statement: $statement,
            lock: $lock,
            idle: $idle,
            prepare: prepare!($statement, $lock, $idle, "(SELECT system_identifier FROM pg_control_system())"),
            prepare_without_rights: prepare!($statement, $lock, $idle, "NULL::BIGINT"),
        }
    };
}

impl TimeLimits {
    const fn of_session(self) -> SessionLimits {
        match self {
            Self::Service => session_limits!("5s", "3s", "10s"),
            Self::Question => session_limits!("2s", "2s", "10s"),
            // A person waits for a command, and no caller does. It may read a large database from a cold disk.
            Self::Operator => session_limits!("1h", "1min", "1min"),
        }
    }
}

/// PostgreSQL's code for a right that the role does not have.
const NO_RIGHT: &str = "42501";

// PostgreSQL's alone, and run before a transaction can be: they are no `statements!`.
const BEGIN_AT: &str = "BEGIN; SELECT pg_backend_pid()::BIGINT AS number";
const DURABILITY: &str =
    "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes";

row! {
    struct SessionRow {
        statement_timeout: String,
        lock_timeout: String,
        idle_in_transaction_session_timeout: String,
        synchronous_commit: String,
        default_transaction_isolation: String,
        default_transaction_read_only: String,
        standard_conforming_strings: String,
        time_zone: String,
        session_replication_role: String,
        schema: String,
        database: i64,
        system: Option<i64>,
    }
}

row! {
    struct NumberRow { number: i64 }
}

row! {
    struct DurabilityRow { fsync: String, full_page_writes: String }
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The cluster; `None` where the role may not ask for it.
    system: Option<i64>,
    database: i64,
    schema: String,
}

impl Identity {
    /// Whether nothing that both know differs. The right to ask for the cluster may have been given or taken meanwhile.
    pub(super) fn is_the_same(&self, other: &Self) -> bool {
        let same_system = self.system.is_none() || other.system.is_none() || self.system == other.system;
        same_system && self.database == other.database && self.schema == other.schema
    }
}

/// Why a connection is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server, or a pooler before it, refused the connection.
    #[error("the server refuses the connection")]
    Refused(#[source] sqlx::Error),
    /// A pooler that does not know a parameter of the start-up refuses the connection.
    #[error(
        "a pooler before the server does not take the start-up parameter {0}: list it in its ignore_startup_parameters"
    )]
    StartUpParameter(String),
    /// What was set is not what holds.
    #[error(
        "the connection keeps {setting} = {found} where {wanted} was set: a pooler must give each client a session of its own"
    )]
    Unkept {
        /// The setting's name.
        setting: &'static str,
        /// What holds.
        found: String,
        /// What was set.
        wanted: &'static str,
    },
    /// Triggers do not fire: nothing keeps the ledger from being changed.
    #[error("session_replication_role = {0}: the database's triggers do not fire; set it to origin for this role")]
    NoTriggers(String),
    /// A pooler hands each transaction to another session of the server.
    #[error("a pooler before the server pools transactions, and settings do not last: set pool_mode = session")]
    TransactionPooling,
    /// The address leads to another database than before.
    #[error("the address leads to another database, or another schema of it, than when this process started")]
    AnotherDatabase,
    /// A statement failed.
    #[error("the connection cannot be prepared")]
    Failed(#[source] sqlx::Error),
}

/// PostgreSQL's codes for a prepared statement that another session has, or that ours should have.
const FOREIGN_STATEMENT: [&str; 2] = ["26000", "42P05"];

impl SessionError {
    /// A refusal at the start of a connection, with what a pooler means by it.
    pub(super) fn refused(error: sqlx::Error) -> Self {
        let text = error.as_database_error().map(|refused| refused.message()).unwrap_or_default();
        // PgBouncer's words.
        match text.split_once("unsupported startup parameter: ") {
            Some((_, name)) => Self::StartUpParameter(name.trim().to_owned()),
            None => Self::Refused(error),
        }
    }

    /// A statement failed on a connection that was just made.
    fn failed(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|failed| failed.code());
        let foreign = code.is_some_and(|code| FOREIGN_STATEMENT.contains(&code.as_ref()));
        if foreign { Self::TransactionPooling } else { Self::Failed(error) }
    }

    /// Whether the server may take a connection soon: it starts, or has no place free at this instant.
    pub(super) fn may_pass(&self) -> bool {
        let Self::Refused(refused) = self else { return false };
        if let sqlx::Error::Io(error) = refused {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        refused.as_database_error().is_some_and(|error| error.is_transient_in_connect_phase())
    }
}

impl SessionRow {
    fn check(&self, time_limits: TimeLimits) -> Result<(), SessionError> {
        let SessionLimits { statement, lock, idle, .. } = time_limits.of_session();
        // Whoever waits until a commit can be read on the stand-by, too, waits for more than we need.
        let commit = if self.synchronous_commit == "remote_apply" { "remote_apply" } else { "on" };
        for (setting, found, wanted) in [
            ("statement_timeout", &self.statement_timeout, statement),
            ("lock_timeout", &self.lock_timeout, lock),
            ("idle_in_transaction_session_timeout", &self.idle_in_transaction_session_timeout, idle),
            ("synchronous_commit", &self.synchronous_commit, commit),
            ("default_transaction_isolation", &self.default_transaction_isolation, "read committed"),
            ("default_transaction_read_only", &self.default_transaction_read_only, "off"),
            ("standard_conforming_strings", &self.standard_conforming_strings, "on"),
            ("TimeZone", &self.time_zone, "UTC"),
        ] {
            if found != wanted {
                return Err(SessionError::Unkept { setting, found: found.clone(), wanted });
            }
        }
        if self.session_replication_role != "origin" {
            return Err(SessionError::NoTriggers(self.session_replication_role.clone()));
        }
        Ok(())
    }
}

/// Sets what promises rest on, and reads it back.
pub(super) async fn prepare(connection: &mut PgConnection, time_limits: TimeLimits) -> Result<Identity, SessionError> {
    let limits = time_limits.of_session();
    let row: SessionRow = match last_row(connection, limits.prepare).await {
        Err(error) if error.as_database_error().is_some_and(|refused| refused.code().as_deref() == Some(NO_RIGHT)) => {
            last_row(connection, limits.prepare_without_rights).await.map_err(SessionError::failed)?
        }
        other => other.map_err(SessionError::failed)?,
    };
    row.check(time_limits)?;
    Ok(Identity { system: row.system, database: row.database, schema: row.schema })
}

/// Runs several statements in one round trip, and reads the last row.
async fn last_row<R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>>(
    connection: &mut PgConnection,
    text: &'static str,
) -> Result<R, sqlx::Error> {
    let rows = in_time(ANSWER_MAX, sql::postgres_batch(text).fetch_all(connection)).await?;
    R::from_row(rows.last().ok_or(sqlx::Error::RowNotFound)?)
}

/// Refuses connections that are not bound to one session of the server. Two that take turns to begin first would each be served
/// by the other's session then.
pub(super) async fn keeps_its_server(mut first: PgConnection, mut second: PgConnection) -> Result<(), SessionError> {
    let mut seen = None;
    for round in 0..ROUNDS {
        let (early, late) = if round % 2 == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let of_early: NumberRow = last_row(early, BEGIN_AT).await.map_err(SessionError::failed)?;
        let of_late: NumberRow = last_row(late, BEGIN_AT).await.map_err(SessionError::failed)?;
        let (of_early, of_late) = (of_early.number, of_late.number);
        let now = if round % 2 == 0 { [of_early, of_late] } else { [of_late, of_early] };
        // Who gives back first changes with every second round.
        let (before, after) = if round / 2 % 2 == 0 { (late, early) } else { (early, late) };
        run(before, "COMMIT").await?;
        run(after, "COMMIT").await?;
        if *seen.get_or_insert(now) != now {
            return Err(SessionError::TransactionPooling);
        }
    }
    for connection in [first, second] {
        connection.close().await.map_err(SessionError::failed)?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection, text: &'static str) -> Result<(), SessionError> {
    in_time(ANSWER_MAX, connection.execute(text)).await.map(drop).map_err(SessionError::failed)
}

/// What the server does not do for a commit to outlive a crash of its machine.
pub(super) async fn not_durable(connection: &mut PgConnection) -> Result<Vec<&'static str>, StoreError> {
    let row: DurabilityRow =
        last_row(connection, DURABILITY).await.map_err(|error| StoreError::database("durability", error))?;
    let settings = [("fsync", row.fsync), ("full_page_writes", row.full_page_writes)];
    Ok(settings.into_iter().filter(|(_name, value)| value == "off").map(|(name, _value)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_ends_a_statement_when_the_service_counts_on_it() {
        for (limits, text) in [(TimeLimits::Service, "5s"), (TimeLimits::Question, "2s"), (TimeLimits::Operator, "1h")]
        {
            assert_eq!(limits.of_session().statement, text);
            let unit = if text.ends_with('h') { 3600 } else { 1 };
            let number: u64 = text.trim_end_matches(char::is_alphabetic).parse().unwrap();
            assert_eq!(limits.statement(), Duration::from_secs(number * unit));
        }
    }
}
