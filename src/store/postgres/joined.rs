//! Statements that are sent together, as one.
//!
//! A transaction that knows what each of its statements must touch need not wait for their answers one by one. Its statements become
//! the parts of one statement, which asks at its end whether each part touched as many rows as it must, and fails otherwise: then the
//! server keeps nothing of it. Alone it is its own transaction, so that a recorded intent is one round trip and not six.
//!
//! All parts see the rows as they were before the statement. So no part may touch a row that another one touches: a statement that
//! writes to the table of an earlier one sends what is there first, unless both insert new rows ([`JoinedStatement::meets`]).
//!
//! The checks name the parts in their order, and the server runs a part when its check is reached. So locks are taken in the
//! order of the code, as they are where each statement is sent by itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::{AssertSqlSafe, Encode, Postgres, Type, postgres::PgArguments};

use super::{StoreError, link::Link};
use crate::store::{
    Sql,
    sql::{highest_parameter, postgres_joined},
};

/// PostgreSQL's code for a division by zero: what the check of a part comes to that touched another number of rows.
const UNMET: &str = "22012";

/// The texts that were put together so far: one for each shape of a transaction.
#[derive(Debug, Default)]
pub(in crate::store) struct JoinedTexts(Mutex<HashMap<Vec<Part>, Arc<str>>>);

/// A statement, and how many rows it must touch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    text: &'static str,
    rows: u64,
}

/// What is to be sent together.
pub(crate) struct JoinedStatement {
    texts: Arc<JoinedTexts>,
    parts: Vec<Part>,
    arguments: PgArguments,
}

impl JoinedStatement {
    pub(in crate::store) fn new(texts: Arc<JoinedTexts>) -> Self {
        Self { texts, parts: Vec::new(), arguments: PgArguments::default() }
    }

    /// What is there; nothing is left.
    pub(in crate::store) fn take(&mut self) -> Self {
        let empty = Self::new(Arc::clone(&self.texts));
        std::mem::replace(self, empty)
    }

    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the statement may touch a row that a part touches: then it cannot be a part beside it.
    pub(in crate::store) fn meets(&self, sql: &Sql) -> bool {
        let new_rows = |text: &str| text.starts_with("INSERT") && !text.contains("DO UPDATE");
        self.parts.iter().any(|part| {
            table_of(part.text) == table_of(sql.postgres) && !(new_rows(part.text) && new_rows(sql.postgres))
        })
    }

    /// Adds a statement that must touch so many rows. Its values follow, in the order of their numbers.
    pub(crate) fn add(&mut self, sql: &Sql, rows: u64) {
        self.parts.push(Part { text: sql.postgres, rows });
    }

    /// Adds a value of the last part.
    pub(crate) fn bind<'v, V: Encode<'v, Postgres> + Type<Postgres>>(&mut self, value: V) -> Result<(), StoreError> {
        let added = sqlx::Arguments::add(&mut self.arguments, value);
        added.map_err(|error| StoreError::database("bind", sqlx::Error::Encode(error)))
    }

    /// Sends the parts. Nothing of them is kept where one is not met.
    pub(in crate::store) async fn send(self, link: &mut Link, name: &'static str) -> Result<(), StoreError> {
        let text = self.texts.of(&self.parts);
        let (connection, answering) = link.parts()?;
        let query = postgres_joined(AssertSqlSafe(text), self.arguments);
        match answering.wait(query.execute(connection)).await {
            Ok(_done) => Ok(()),
            Err(error) if error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(UNMET)) => {
                Err(StoreError::Unmet)
            }
            Err(error) => Err(StoreError::database(name, error)),
        }
    }
}

impl JoinedTexts {
    fn of(&self, parts: &[Part]) -> Arc<str> {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = texts.get(parts) {
            return Arc::clone(text);
        }
        let text: Arc<str> = join(parts).into();
        texts.insert(parts.to_vec(), Arc::clone(&text));
        text
    }
}

/// The table that a statement writes to.
fn table_of(text: &str) -> Option<&str> {
    let mut words = text.split_ascii_whitespace();
    words.find(|word| matches!(*word, "INTO" | "UPDATE" | "FROM"))?;
    words.next()
}

/// One statement of several. The values of each part follow those of the parts before it.
fn join(parts: &[Part]) -> String {
    let (mut texts, mut checks, mut values) = (Vec::new(), Vec::new(), 0_usize);
    for (at, Part { text, rows }) in parts.iter().enumerate() {
        let returning = if text.contains(" RETURNING ") { "" } else { " RETURNING 1" };
        texts.push(format!("part{at} AS ({}{returning})", shift(text, values)));
        checks.push(format!("(SELECT COUNT(*) FROM part{at}) = {rows}"));
        values = values.saturating_add(highest_parameter(text));
    }
    // A divisor that is a constant would be worked out when the server plans.
    format!("WITH {} SELECT 1 / CASE WHEN {} THEN 1 ELSE 0 END", texts.join(", "), checks.join(" AND "))
}

/// The text with each `$n` as many numbers higher.
fn shift(text: &str, by: usize) -> String {
    let mut pieces = text.split('$');
    let mut shifted = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        let number: usize = number.parse().unwrap_or_default();
        shifted.push_str(&format!("${}{rest}", number.saturating_add(by)));
    }
    shifted
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Sql = Sql::same("a.insert", "INSERT INTO a (x, y) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    const COUNT: Sql = Sql::same("b.take", "UPDATE b SET x = $2 WHERE y = $1 RETURNING z");

    #[test]
    fn the_values_of_a_part_follow_those_of_the_part_before() {
        let parts = [(&NEW, 1), (&COUNT, 2)].map(|(sql, rows)| Part { text: sql.postgres, rows });
        assert_eq!(
            join(&parts),
            "WITH part0 AS (INSERT INTO a (x, y) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1), \
             part1 AS (UPDATE b SET x = $4 WHERE y = $3 RETURNING z) \
             SELECT 1 / CASE WHEN (SELECT COUNT(*) FROM part0) = 1 AND (SELECT COUNT(*) FROM part1) = 2 THEN 1 ELSE 0 END"
        );
    }

    #[test]
    fn statements_of_one_table_meet_unless_both_insert_new_rows() {
        let mut joined = JoinedStatement::new(Arc::default());
        joined.add(&NEW, 1);
        assert!(!joined.meets(&NEW));
        assert!(!joined.meets(&COUNT));
        for text in
            ["UPDATE a SET x = 1", "DELETE FROM a", "INSERT INTO a (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 2"]
        {
            assert!(joined.meets(&Sql::same("a.other", text)), "{text}");
        }
    }
}
