//! A database that lets a transaction run to its end and then refuses to commit it.

use super::{App, Backend, look::Look};

/// Commits that the database itself refuses: every statement succeeds, and then COMMIT fails.
pub(crate) struct Trap {
    table: &'static str,
}

impl Trap {
    /// Lets no transaction commit that brings a reward into this state.
    pub(crate) async fn set(app: &App, state: &str) -> Self {
        Self::set_for(app, "rewards", state).await
    }

    /// The same of a row of this table.
    pub(crate) async fn set_for(app: &App, table: &'static str, state: &str) -> Self {
        let mut look = Look::at(&app.database).await;
        let text = match app.database.backend {
            // A deferred foreign key is looked at by COMMIT alone.
            Backend::Sqlite => format!(
                "CREATE TABLE nowhere (id INTEGER PRIMARY KEY); \
                 CREATE TABLE trap (id INTEGER REFERENCES nowhere (id) DEFERRABLE INITIALLY DEFERRED); \
                 CREATE TRIGGER trap_new AFTER INSERT ON {table} WHEN NEW.state = '{state}' \
                 BEGIN INSERT INTO trap VALUES (1); END; \
                 CREATE TRIGGER trap_old AFTER UPDATE ON {table} WHEN NEW.state = '{state}' \
                 BEGIN INSERT INTO trap VALUES (1); END"
            ),
            Backend::Postgres => format!(
                "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$; \
                 CREATE CONSTRAINT TRIGGER trap AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW WHEN (NEW.state = '{state}') EXECUTE FUNCTION trap()"
            ),
        };
        look.run(&text).await.unwrap();
        Self { table }
    }

    pub(crate) async fn lift(self, app: &App) {
        let text = match app.database.backend {
            Backend::Sqlite => {
                "DROP TRIGGER trap_new; DROP TRIGGER trap_old; DROP TABLE trap; DROP TABLE nowhere".to_owned()
            }
            Backend::Postgres => format!("DROP TRIGGER trap ON {}; DROP FUNCTION trap()", self.table),
        };
        Look::at(&app.database).await.run(&text).await.unwrap();
    }
}
