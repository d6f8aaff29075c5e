//! Statements: one text for both databases, checked at compile time for its number of binds and, by a test, prepared
//! on both.

use sqlx::{
    PgConnection, Postgres, Sqlite, SqliteConnection,
    postgres::PgArguments,
    query::{Query, QueryAs},
    sqlite::SqliteArguments,
};

/// One statement in the two dialects. Nearly all are one text.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// Its name, `table.verb`: in errors and metrics.
    pub name: &'static str,
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// The same text for both.
    #[must_use]
    pub const fn same(name: &'static str, text: &'static str) -> Self {
        Self { name, sqlite: text, postgres: text }
    }

    /// A text each, where the dialects differ.
    #[must_use]
    pub const fn each(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres }
    }
}

/// The highest `$n` in a text. SQLite binds NULL to a missing parameter without a word, so the macros compare this with
/// their binds when they are compiled.
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
    Postgres(&'c mut PgConnection),
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query")]
pub(crate) fn sqlite(text: &'static str) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(text)
}

#[expect(clippy::disallowed_methods, reason = "the one home of sqlx::query")]
pub(crate) fn postgres(text: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(text)
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

/// Declares statements as constants and lists them all in `STATEMENTS`, which a test prepares on both databases.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: $crate::store::Sql = $sql;)+
        /// Every statement of this file.
        pub const STATEMENTS: &[$crate::store::Sql] = &[$($name),+];
    };
}

/// Declares a row as the database gives it; both drivers must be able to decode it, or it does not compile.
macro_rules! row {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(sqlx::FromRow)]
        $vis struct $name { $($(#[$field_doc])* $field_vis $field: $type),+ }
    };
}

/// Runs a statement; answers the number of rows it touched.
macro_rules! execute {
    ($on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn() {
            $crate::store::Conn::Sqlite(c) => {
                $crate::store::sql::sqlite($sql.sqlite)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())
            }
            $crate::store::Conn::Postgres(c) => {
                let answer = $crate::store::sql::postgres($sql.postgres)$(.bind($bind))*.execute(c);
                $crate::store::postgres::in_time(answer).await.map(|done| done.rows_affected())
            }
        }
        .map_err(|error| {
            $on.fail();
            $crate::store::StoreError::database($sql.name, error)
        })
    }};
}

/// Fetches at most one row.
macro_rules! fetch_optional {
    ($row:ty, $on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn() {
            $crate::store::Conn::Sqlite(c) => {
                $crate::store::sql::sqlite_as::<$row>($sql.sqlite)$(.bind($bind))*.fetch_optional(c).await
            }
            $crate::store::Conn::Postgres(c) => {
                let answer = $crate::store::sql::postgres_as::<$row>($sql.postgres)$(.bind($bind))*.fetch_optional(c);
                $crate::store::postgres::in_time(answer).await
            }
        }
        .map_err(|error| {
            $on.fail();
            $crate::store::StoreError::database($sql.name, error)
        })
    }};
}

/// Fetches every row. The statement bounds how many there can be.
macro_rules! fetch_all {
    ($row:ty, $on:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        const _: () = $crate::store::sql::assert_binds(&$sql, <[&str]>::len(&[$(stringify!($bind)),*]));
        match $on.conn() {
            $crate::store::Conn::Sqlite(c) => {
                $crate::store::sql::sqlite_as::<$row>($sql.sqlite)$(.bind($bind))*.fetch_all(c).await
            }
            $crate::store::Conn::Postgres(c) => {
                let answer = $crate::store::sql::postgres_as::<$row>($sql.postgres)$(.bind($bind))*.fetch_all(c);
                $crate::store::postgres::in_time(answer).await
            }
        }
        .map_err(|error| {
            $on.fail();
            $crate::store::StoreError::database($sql.name, error)
        })
    }};
}

pub(crate) use {execute, fetch_all, fetch_optional, row, statements};

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
