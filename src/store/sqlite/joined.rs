//! Statements that go to the writer as one.
//!
//! Each statement that is sent by itself is handed to the driver's thread and waited for, which costs more than it takes. So what a
//! transaction knows beforehand of its statements becomes the body of a trigger, of a view that this connection alone has:
//! the values are inserted into the view, and the trigger does the rest. That is one statement. SQLite does all of it or nothing, and
//! what other transactions of the group did stays as it is. Where a part touches another number of rows than it must, the trigger raises
//! [`UNMET`].

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use sqlx::{
    Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type, error::BoxDynError, sqlite::SqliteArguments,
};

use super::run;
use crate::store::{
    Sql, StoreError,
    joined::Part,
    sql::{self, highest_parameter, renamed},
};

/// What the trigger raises where a part touched another number of rows than it must.
const UNMET: &str = "noshi: unmet";

/// The statements of one transaction, with their values one after the other.
#[derive(Default)]
pub(crate) struct JoinedParts {
    parts: Vec<Part>,
    values: SqliteArguments,
}

impl JoinedParts {
    pub(in crate::store) fn add(&mut self, sql: &'static Sql, rows: u64) {
        self.parts.push(Part { sql, rows });
    }

    pub(in crate::store) fn bind<'v, V: Encode<'v, Sqlite> + Type<Sqlite>>(
        &mut self,
        value: V,
    ) -> Result<(), BoxDynError> {
        Arguments::add(&mut self.values, value)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Runs the statements one by one, within the transaction that is open.
    pub(super) async fn run_each(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut before = 0_usize;
        for Part { sql, rows } in self.parts {
            let text = renamed(sql.sqlite, |number| format!("${}", number.saturating_add(before)));
            before = before.saturating_add(highest_parameter(sql.sqlite));
            let done =
                sql::sqlite_joined(AssertSqlSafe(text.into()), self.values.clone()).execute(&mut *connection).await;
            if done.map_err(|error| StoreError::database(sql.name, error))?.rows_affected() != rows {
                return Err(StoreError::Unmet);
            }
        }
        Ok(())
    }
}

/// The views that a connection has, by the statements of their triggers, and what inserts into each.
#[derive(Debug, Default)]
pub(super) struct JoinedViews(HashMap<Vec<Part>, Arc<str>>);

impl JoinedViews {
    /// Whether there is a view for these statements.
    pub(super) fn has(&self, joined: &JoinedParts) -> bool {
        self.0.contains_key(&joined.parts)
    }

    /// Makes the view for these statements. No transaction may be open: one that is rolled back would take the view with it.
    pub(super) async fn make(
        &mut self,
        joined: &JoinedParts,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let number = self.0.len();
        let Entry::Vacant(place) = self.0.entry(joined.parts.clone()) else { return Ok(()) };
        let texts = ViewTexts::of(number, &joined.parts);
        if let Err(error) = sql::sqlite_batch(AssertSqlSafe(texts.make)).execute(&mut *connection).await {
            // It may have got as far as its BEGIN.
            drop(run(connection, "ROLLBACK").await);
            return Err(error);
        }
        place.insert(texts.insert.into());
        Ok(())
    }

    /// Does all of it, or nothing. A view must have been made.
    pub(super) async fn insert(
        &self,
        joined: &JoinedParts,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let Some(text) = self.0.get(&joined.parts) else { return Err(StoreError::Unconfirmed) };
        match sql::sqlite_joined(AssertSqlSafe(Arc::clone(text)), joined.values.clone()).execute(connection).await {
            Ok(_done) => Ok(()),
            Err(error) if error.as_database_error().is_some_and(|error| error.message() == UNMET) => {
                Err(StoreError::Unmet)
            }
            Err(error) => Err(StoreError::database("commit", error)),
        }
    }
}

/// What makes a view with its trigger, and what inserts into it.
struct ViewTexts {
    make: String,
    insert: String,
}

impl ViewTexts {
    fn of(number: usize, parts: &[Part]) -> Self {
        let (mut body, mut before) = (String::new(), 0_usize);
        for Part { sql, rows } in parts {
            // A trigger returns no rows.
            let text = sql.sqlite.split(" RETURNING ").next().unwrap_or_default();
            body.push_str(&renamed(text, |number| format!("NEW.v{}", number.saturating_add(before))));
            body.push_str(&format!("; SELECT RAISE(ABORT, '{UNMET}') WHERE changes() <> {rows}; "));
            before = before.saturating_add(highest_parameter(sql.sqlite));
        }
        let list = |name: &dyn Fn(usize) -> String| (1..=before).map(name).collect::<Vec<_>>().join(", ");
        let columns = list(&|at| format!("NULL AS v{at}"));
        Self {
            make: format!(
                "BEGIN; CREATE TEMP VIEW joined{number} AS SELECT {columns}; \
                 CREATE TEMP TRIGGER joined{number}_do INSTEAD OF INSERT ON joined{number} BEGIN {body}END; COMMIT"
            ),
            insert: format!("INSERT INTO joined{number} VALUES ({})", list(&|at| format!("${at}"))),
        }
    }
}

/// Whether the transaction since BEGIN is still there after a statement of it failed. SQLite itself rolls back what meets a full disk.
pub(super) async fn is_open(connection: &mut SqliteConnection) -> bool {
    // It is refused inside of one.
    let is_open = run(connection, "BEGIN").await.is_err();
    if !is_open {
        drop(run(connection, "ROLLBACK").await);
    }
    is_open
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Sql = Sql::same("a.insert", "INSERT INTO a (id, y) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    const TAKE: Sql = Sql::same("b.take", "UPDATE b SET x = $2 WHERE y = $1 RETURNING z");

    #[test]
    fn each_part_is_asked_for_its_rows_and_its_values_follow_those_of_the_part_before() {
        let texts = ViewTexts::of(3, &[Part { sql: &NEW, rows: 1 }, Part { sql: &TAKE, rows: 2 }]);
        assert_eq!(
            texts.make,
            "BEGIN; CREATE TEMP VIEW joined3 AS SELECT NULL AS v1, NULL AS v2, NULL AS v3, NULL AS v4; \
             CREATE TEMP TRIGGER joined3_do INSTEAD OF INSERT ON joined3 BEGIN \
             INSERT INTO a (id, y) VALUES (NEW.v1, NEW.v2) ON CONFLICT DO NOTHING; \
             SELECT RAISE(ABORT, 'noshi: unmet') WHERE changes() <> 1; \
             UPDATE b SET x = NEW.v4 WHERE y = NEW.v3; \
             SELECT RAISE(ABORT, 'noshi: unmet') WHERE changes() <> 2; END; COMMIT"
        );
        assert_eq!(texts.insert, "INSERT INTO joined3 VALUES ($1, $2, $3, $4)");
    }
}
