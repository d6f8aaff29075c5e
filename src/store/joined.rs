//! Statements that wait for the end of their transaction, to be sent as one.

use std::hash::{Hash, Hasher};

use sqlx::{Encode, Postgres, Sqlite, Type};

use super::{Sql, StoreError, postgres::JoinedStatement, sqlite::JoinedParts};

/// A statement, and how many rows it must touch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) sql: &'static Sql,
    pub(super) rows: u64,
}

// A statement's name is its own.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.sql.name == other.sql.name && self.rows == other.rows
    }
}

impl Eq for Part {}

impl Hash for Part {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.sql.name.hash(hasher);
        self.rows.hash(hasher);
    }
}

/// Where a statement waits.
pub(crate) enum Joined<'t> {
    Sqlite(&'t mut JoinedParts),
    Postgres(&'t mut JoinedStatement),
}

impl Joined<'_> {
    /// Adds a statement that must touch so many rows. Its values follow, in the order of their numbers.
    pub(crate) fn add(&mut self, sql: &'static Sql, rows: u64) {
        match self {
            Self::Sqlite(parts) => parts.add(sql, rows),
            Self::Postgres(statement) => statement.add(sql, rows),
        }
    }

    /// Adds a value of the last statement.
    pub(crate) fn bind<'v, V>(&mut self, value: V) -> Result<(), StoreError>
    where
        V: Encode<'v, Sqlite> + Type<Sqlite> + Encode<'v, Postgres> + Type<Postgres>,
    {
        let bound = match self {
            Self::Sqlite(parts) => parts.bind(value),
            Self::Postgres(statement) => statement.bind(value),
        };
        bound.map_err(|error| StoreError::database("bind", sqlx::Error::Encode(error)))
    }
}
