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

use std::sync::Arc;

use sqlx::{Arguments, AssertSqlSafe, Encode, Postgres, Type, error::BoxDynError};
use uuid::Uuid;

use super::{
    StoreError,
    link::Link,
    texts::{JoinedTexts, ShapeTexts},
    values::{self, Values},
};
use crate::store::{
    Sql,
    joined::Part,
    row,
    sql::{highest_parameter, postgres_joined, postgres_joined_as},
};

/// PostgreSQL's code for a division by zero: what the check of a part comes to that touched another number of rows.
const UNMET: &str = "22012";

/// What is to be sent together.
pub(crate) struct JoinedStatement {
    texts: Arc<JoinedTexts>,
    /// Of what the transaction is: no two of one key are sent together, and all that are take their rows in this order.
    key: Arc<[u8]>,
    parts: Vec<Part>,
    values: Values,
}

row! {
    struct WrittenRow { id: Uuid }
}

impl JoinedStatement {
    pub(in crate::store) fn new(texts: Arc<JoinedTexts>, key: Arc<[u8]>) -> Self {
        Self { texts, key, parts: Vec::new(), values: Values::default() }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What is there; nothing is left.
    pub(in crate::store) fn take(&mut self) -> Self {
        let empty = Self::new(Arc::clone(&self.texts), Arc::clone(&self.key));
        std::mem::replace(self, empty)
    }

    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the statement may touch a row that a part touches: then it cannot be a part beside it.
    pub(in crate::store) fn meets(&self, sql: &Sql) -> bool {
        let new_rows = |text: &str| text.starts_with("INSERT") && !text.contains("DO UPDATE");
        self.parts.iter().any(|part| {
            let text = part.sql.postgres;
            table_of(text) == table_of(sql.postgres) && !(new_rows(text) && new_rows(sql.postgres))
        })
    }

    /// Adds a statement that must touch so many rows. Its values follow, in the order of their numbers.
    pub(in crate::store) fn add(&mut self, sql: &'static Sql, rows: u64) {
        self.parts.push(Part { sql, rows });
    }

    /// Adds a value of the last part.
    pub(in crate::store) fn bind<'v, V: Encode<'v, Postgres> + Type<Postgres>>(
        &mut self,
        value: V,
    ) -> Result<(), BoxDynError> {
        self.values.add(value)
    }

    fn text(&self) -> ShapeTexts {
        self.texts.of(&self.parts, &self.values)
    }

    /// What transactions that are sent together have in common; `None` where this one is sent by itself.
    pub(super) fn shape(&self) -> Option<Shape> {
        self.text().of_several.as_ref()?;
        let (mut common, mut before) = (Vec::new(), 0_usize);
        for part in &self.parts {
            for number in part.sql.several.map_or(&[][..], |several| several.common) {
                let bytes = self.values.bytes_of(before.saturating_add(*number).saturating_sub(1));
                common.push(bytes.map(<[u8]>::to_vec));
            }
            before = before.saturating_add(highest_parameter(part.sql.postgres));
        }
        Some(Shape { parts: self.parts.clone(), common })
    }

    /// The row that the first part writes, as its id is sent.
    fn row(&self) -> &[u8] {
        self.values.bytes_of(0).unwrap_or_default()
    }

    /// Sends the parts. Nothing of them is kept where one is not met.
    pub(in crate::store) async fn send(&self, link: &mut Link, name: &'static str) -> Result<(), StoreError> {
        let arguments = self.values.arguments().map_err(unbound)?;
        let (connection, answering) = link.parts()?;
        let query = postgres_joined(AssertSqlSafe(self.text().of_one), arguments);
        match answering.wait(query.execute(connection)).await {
            Ok(_done) => Ok(()),
            Err(error) if error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(UNMET)) => {
                Err(StoreError::Unmet)
            }
            Err(error) => Err(StoreError::database(name, error)),
        }
    }

    /// Sends several of one shape, and says of each whether its row was as it counted on: then all of it was done, else nothing. An
    /// error of the server's says that nothing was done of any.
    pub(super) async fn send_several(of: &[Self], link: &mut Link) -> Result<Vec<bool>, StoreError> {
        let Some(text) = of.first().and_then(|first| first.text().of_several) else { return Ok(Vec::new()) };
        let values: Vec<&Values> = of.iter().map(|one| &one.values).collect();
        let mut arguments = values::columns(&values).map_err(unbound)?;
        let count = i64::try_from(of.len()).unwrap_or(i64::MAX);
        arguments.add(count).map_err(unbound)?;
        let (connection, answering) = link.parts()?;
        let query = postgres_joined_as::<WrittenRow>(AssertSqlSafe(text), arguments);
        let written = answering.wait(query.fetch_all(connection)).await;
        let written = written.map_err(|error| StoreError::database("commit", error))?;
        Ok(of.iter().map(|one| written.iter().any(|row| row.id.as_bytes().as_slice() == one.row())).collect())
    }
}

fn unbound(error: BoxDynError) -> StoreError {
    StoreError::database("bind", sqlx::Error::Encode(error))
}

/// The shape of transactions that are sent together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    parts: Vec<Part>,
    /// The values that a part takes for one, whoever's transaction it is.
    common: Vec<Option<Vec<u8>>>,
}

/// The table that a statement writes to.
fn table_of(text: &str) -> Option<&str> {
    let mut words = text.split_ascii_whitespace();
    words.find(|word| matches!(*word, "INTO" | "UPDATE" | "FROM"))?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Sql = Sql::same("a.insert", "INSERT INTO a (x, y) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    const COUNT: Sql = Sql::same("b.take", "UPDATE b SET x = $2 WHERE y = $1 RETURNING z");

    #[test]
    fn statements_of_one_table_meet_unless_both_insert_new_rows() {
        let mut joined = JoinedStatement::new(Arc::default(), Arc::default());
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
