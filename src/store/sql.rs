//! Statements: one text for both databases.
//!
//! A file declares its statements with `statements!` and its rows with `row!`, and runs them with `execute!`,
//! `fetch_optional!` and `fetch_all!`:
//!
//! ```text
//! statements! {
//!     RENEW = Sql::same("leases.renew", "UPDATE leases SET until = $2 WHERE id = $1 AND token = $3");
//!     NOW = Sql::each("clock.now", "SELECT unixepoch() AS at", "SELECT EXTRACT(EPOCH FROM now())::BIGINT AS at");
//! }
//! row! { struct NowRow { at: i64 } }
//!
//! let renewed = execute!(tx, RENEW, id, until, token)?;            // rows touched
//! let now = fetch_optional!(NowRow, snapshot, NOW)?;              // Option<NowRow>
//! ```
//!
//! 1. Both databases read `$1`, `$2`, …, so that nearly every statement is one text ([`Sql::same`]). Where the dialects
//!    differ there are two ([`Sql::each`]).
//! 2. A macro expands to a `match` on the open connection with one arm a driver, because the drivers have no type in
//!    common. Each bind must implement both drivers' `Encode`, each column both drivers' `Decode`, or it does not compile.
//!    `join!` runs one that must touch a known number of rows, and that may wait for the end of its transaction.
//! 3. The macros compare the number of binds with the highest `$n` of both texts when they are compiled, because SQLite
//!    binds NULL to a missing parameter without an error.
//! 4. `statements!` lists the file's statements in `STATEMENTS`. A test prepares every list on both databases, and fails if
//!    a file declares statements and is not in the test.
//! 5. A failed statement marks its transaction, so that it cannot be committed.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, RawSql, Sqlite, SqliteConnection,
    postgres::PgArguments,
    query::{Query, QueryAs},
    sqlite::SqliteArguments,
};

use super::Answering;

/// One statement in the two dialects. Nearly all are one text.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// `table.verb`: in errors and logs.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
    /// For PostgreSQL, where callers' statements are sent together and this one is not of a form that is simply repeated.
    pub several: Option<ForSeveral>,
}

/// A statement for several callers at once. `{given}` is a table with a row for each, and `$n` one of its columns.
#[derive(Debug, Clone, Copy)]
pub struct ForSeveral {
    /// What it does for all of them; it returns a row for each that it touches.
    pub text: &'static str,
    /// How many rows it must touch.
    pub rows: &'static str,
    /// The numbers of the values that must be the same for all.
    pub common: &'static [usize],
}

impl Sql {
    /// One text for both databases.
    #[must_use]
    pub const fn same(name: &'static str, text: &'static str) -> Self {
        Self { name, sqlite: text, postgres: text, several: None }
    }

    /// Two texts, where the dialects differ.
    #[must_use]
    pub const fn each(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres, several: None }
    }

    /// With a text for several callers at once.
    #[must_use]
    pub const fn for_several(self, several: ForSeveral) -> Self {
        Self { several: Some(several), ..self }
    }
}

/// The highest `$n` in a text.
#[must_use]
#[expect(clippy::indexing_slicing, reason = "const evaluation: an index out of range does not compile")]
#[expect(clippy::as_conversions, reason = "a byte widens to usize, which a const fn cannot write as From")]
pub const fn highest_parameter(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut highest) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b'$' {
            let mut number = 0;
            at += 1;
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                number = number * 10 + (bytes[at] - b'0') as usize;
                at += 1;
            }
            if number > highest {
                highest = number;
            }
        } else {
            at += 1;
        }
    }
    highest
}

/// The text with another name for each `$n`.
pub(super) fn renamed(text: &str, name: impl Fn(usize) -> String) -> String {
    let mut pieces = text.split('$');
    let mut renamed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        renamed.push_str(&name(number.parse().unwrap_or_default()));
        renamed.push_str(rest);
    }
    renamed
}

/// Does not compile unless `binds` is the highest parameter of both texts.
pub(crate) const fn assert_binds(sql: &Sql, binds: usize) {
    assert!(highest_parameter(sql.sqlite) == binds, "the number of binds is not the statement's (SQLite)");
    assert!(highest_parameter(sql.postgres) == binds, "the number of binds is not the statement's (PostgreSQL)");
}

/// A connection to either database.
pub enum Conn<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres {
        /// The connection.
        connection: &'c mut PgConnection,
        /// How its answer is waited for.
        answering: Answering<'c>,
    },
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query")]
pub(crate) fn sqlite(text: &'static str) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(text)
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query")]
pub(crate) fn postgres(text: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(text)
}

/// A text that was put together of statements' own.
#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query_with")]
pub(super) fn sqlite_joined(
    text: AssertSqlSafe<Arc<str>>,
    values: SqliteArguments,
) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query_with(text, values)
}

/// Several statements in a row, without values.
#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::raw_sql")]
pub(super) fn sqlite_batch(text: AssertSqlSafe<String>) -> RawSql {
    sqlx::raw_sql(text)
}

/// The same for PostgreSQL.
#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query_with")]
pub(crate) fn postgres_joined(
    text: AssertSqlSafe<Arc<str>>,
    values: PgArguments,
) -> Query<'static, Postgres, PgArguments> {
    sqlx::query_with(text, values)
}

/// The same for one that answers with rows.
pub(crate) fn postgres_joined_as<R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>>(
    text: AssertSqlSafe<Arc<str>>,
    values: PgArguments,
) -> QueryAs<'static, Postgres, R, PgArguments> {
    sqlx::query_as_with(text, values)
}

/// Several statements in one message, for what a new connection needs.
#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::raw_sql")]
pub(crate) fn postgres_batch(text: &'static str) -> RawSql {
    sqlx::raw_sql(text)
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query_as")]
pub(crate) fn sqlite_as<R: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>>(
    text: &'static str,
) -> QueryAs<'static, Sqlite, R, SqliteArguments> {
    sqlx::query_as(text)
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query_as")]
pub(crate) fn postgres_as<R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>>(
    text: &'static str,
) -> QueryAs<'static, Postgres, R, PgArguments> {
    sqlx::query_as(text)
}

/// Declares statements as constants, and lists them in `STATEMENTS`.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: $crate::store::Sql = $sql;)+
        /// Every statement of this file.
        pub const STATEMENTS: &[$crate::store::Sql] = &[$($name),+];
    };
}

/// Declares a row, with the names of its columns as fields.
macro_rules! row {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        $vis struct $name { $($(#[$field_doc])* $field_vis $field: $type),+ }

        // The driver's derive would build the driver once more, for the compiler.
        impl<'r, R> sqlx::FromRow<'r, R> for $name
        where
            R: sqlx::Row,
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)+
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),+ })
            }
        }
    };
}

/// Runs a statement, and returns the number of rows that it touched.
macro_rules! execute {
    ($on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn().await {
            Err(error) => Err(error),
            Ok(conn) => match conn {
                $crate::store::Conn::Sqlite(c) => {
                    $crate::store::sql::sqlite($sql.sqlite)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())
                }
                $crate::store::Conn::Postgres { connection: c, answering } => {
                    let answer = $crate::store::sql::postgres($sql.postgres)$(.bind($bind))*.execute(c);
                    answering.wait(answer).await.map(|done| done.rows_affected())
                }
            }
            .map_err(|error| $on.fail($sql.name, error)),
        }
    }};
}

/// Fetches at most one row.
macro_rules! fetch_optional {
    ($row:ty, $on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn().await {
            Err(error) => Err(error),
            Ok(conn) => match conn {
                $crate::store::Conn::Sqlite(c) => {
                    $crate::store::sql::sqlite_as::<$row>($sql.sqlite)$(.bind($bind))*.fetch_optional(c).await
                }
                $crate::store::Conn::Postgres { connection: c, answering } => {
                    let answer = $crate::store::sql::postgres_as::<$row>($sql.postgres)$(.bind($bind))*.fetch_optional(c);
                    answering.wait(answer).await
                }
            }
            .map_err(|error| $on.fail($sql.name, error)),
        }
    }};
}

/// Fetches every row. The statement must bound their number.
macro_rules! fetch_all {
    ($row:ty, $on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn().await {
            Err(error) => Err(error),
            Ok(conn) => match conn {
                $crate::store::Conn::Sqlite(c) => {
                    $crate::store::sql::sqlite_as::<$row>($sql.sqlite)$(.bind($bind))*.fetch_all(c).await
                }
                $crate::store::Conn::Postgres { connection: c, answering } => {
                    let answer = $crate::store::sql::postgres_as::<$row>($sql.postgres)$(.bind($bind))*.fetch_all(c);
                    answering.wait(answer).await
                }
            }
            .map_err(|error| $on.fail($sql.name, error)),
        }
    }};
}

/// Runs a statement that must touch so many rows, and returns whether it did. In a transaction that joins its statements it waits
/// for the end: then the answer is true, and the commit finds out.
macro_rules! join {
    ($tx:expr, $sql:expr, $rows:expr $(, $bind:expr)* $(,)?) => {
        match $tx.joined(&$sql).await {
            Err(error) => Err(error),
            Ok(Some(mut joined)) => {
                const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
                joined.add(&$sql, $rows);
                Ok(()) $(.and_then(|()| joined.bind($bind)))* .map(|()| true)
            }
            Ok(None) => $crate::store::execute!($tx, $sql $(, $bind)*).map(|rows| rows == $rows),
        }
    };
}

pub(crate) use {execute, fetch_all, fetch_optional, join, row, statements};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_parameter_is_found_wherever_it_stands() {
        assert_eq!(highest_parameter("SELECT 1"), 0);
        assert_eq!(highest_parameter("UPDATE t SET a = $2 WHERE b = $1 AND c = $2"), 2);
        assert_eq!(highest_parameter("$12, $3"), 12);
    }
}
