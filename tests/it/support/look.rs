//! A look into a database past all our code: its tables and columns from its own catalogue, and every value in them.

use sqlx::{AssertSqlSafe, Executor, PgConnection, SqliteConnection};

use super::{Backend, Database};

/// The migrator's own table: written from the migrations' file names and hashes, and never by the service.
pub(crate) const MIGRATOR: &str = "_sqlx_migrations";

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    /// Lower-case, as the catalogue says it.
    pub(crate) kind: String,
}

/// An open connection.
pub(crate) enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Look {
    pub(crate) async fn at(database: &Database) -> Self {
        match database.backend {
            Backend::Sqlite => Self::Sqlite(database.sqlite().await),
            Backend::Postgres => Self::Postgres(database.postgres().await),
        }
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, text: &str) -> Result<u64, sqlx::Error> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Sqlite(connection) => connection.execute(text).await.map(|done| done.rows_affected()),
            Self::Postgres(connection) => connection.execute(text).await.map(|done| done.rows_affected()),
        }
    }

    /// What the database says it would do, a line a step.
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    pub(crate) async fn plan(&mut self, explain: &str) -> String {
        let text = AssertSqlSafe(explain.to_owned());
        let steps: Vec<String> = match self {
            Self::Sqlite(connection) => {
                let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(text).fetch_all(connection).await.unwrap();
                steps.into_iter().map(|step| step.3).collect()
            }
            Self::Postgres(connection) => sqlx::query_scalar(text).fetch_all(connection).await.unwrap(),
        };
        steps.join("\n")
    }

    /// The rows of a query whose columns are all text.
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    async fn texts(&mut self, text: &str) -> Vec<(String, String, String)> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query_as(text).fetch_all(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_as(text).fetch_all(connection).await.unwrap(),
        }
    }

    /// Every column of every table, the migrator's apart. A view holds nothing.
    pub(crate) async fn columns(&mut self) -> Vec<Column> {
        let text = match self {
            Self::Sqlite(_) => {
                "SELECT t.name, c.name, lower(c.type) FROM pragma_table_list t, pragma_table_xinfo(t.name) c \
                 WHERE t.schema = 'main' AND t.type <> 'view' AND t.name NOT LIKE 'sqlite_%'"
            }
            Self::Postgres(_) => {
                "SELECT table_name::text, column_name::text, lower(data_type) FROM information_schema.columns \
                 JOIN information_schema.tables USING (table_schema, table_name) \
                 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
            }
        };
        let found = self.texts(text).await.into_iter().map(|(table, name, kind)| Column { table, name, kind });
        let mut columns: Vec<Column> = found.filter(|column| column.table != MIGRATOR).collect();
        columns.sort();
        columns
    }

    /// How many rows a table has.
    pub(crate) async fn count(&mut self, table: &str) -> usize {
        self.values(table, "NULL").await.len()
    }

    /// Every value of a column, as bytes: a text's own, a byte string's own, anything else's text.
    pub(crate) async fn bytes(&mut self, column: &Column) -> Vec<Vec<u8>> {
        let Column { table, name, kind } = column;
        let shown = match (&self, kind.as_str()) {
            (Self::Sqlite(_), _) => format!("CAST(\"{name}\" AS BLOB)"),
            (Self::Postgres(_), "bytea") => format!("\"{name}\""),
            // As its bytes: hyphens in between would hide a code from any search.
            (Self::Postgres(_), "uuid") => format!("uuid_send(\"{name}\")"),
            (Self::Postgres(_), _) => format!("convert_to(\"{name}\"::text, 'UTF8')"),
        };
        let rows = self.values(table, &shown).await;
        rows.into_iter().flatten().collect()
    }

    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    async fn values(&mut self, table: &str, shown: &str) -> Vec<Option<Vec<u8>>> {
        match self {
            Self::Sqlite(connection) => {
                let text = AssertSqlSafe(format!("SELECT CAST({shown} AS BLOB) FROM \"{table}\""));
                sqlx::query_scalar(text).fetch_all(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                let text = AssertSqlSafe(format!("SELECT ({shown})::bytea FROM \"{table}\""));
                sqlx::query_scalar(text).fetch_all(connection).await.unwrap()
            }
        }
    }
}
