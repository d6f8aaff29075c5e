//! What a hostile review of the money path found, each as a test of the promise that was broken.

mod account;
mod age;
mod commits;
mod patience;
mod stumble;

use noshi::sandbox::{Fault, FaultRule, Operation};

use crate::support::{App, Backend, look::Look};

/// A fault that strikes creates of this key only, this often.
fn rule(app: &App, key: &str, fault: Fault, times: u32) -> FaultRule {
    FaultRule {
        operation: Some(Operation::CreateGiftCard),
        creation_request_id: Some(app.amazon_id(key)),
        times: Some(times),
        ..FaultRule::always(fault)
    }
}

/// Amazon has no funds for the first create of this key.
fn without_funds(app: &App, key: &str) {
    let fault = Fault::FCode { code: "F300".to_owned(), error_type: "InsufficientFunds".to_owned(), after_work: false };
    app.control.script(rule(app, key, fault, 1)).unwrap();
}

/// Requests of any operation that spends or shows money.
fn sent(app: &App) -> usize {
    app.received("Create").len() + app.received("Cancel").len()
}

/// Commits that the database itself refuses: every statement succeeds, and then COMMIT fails.
struct Trap;

impl Trap {
    /// Lets no transaction commit that brings a reward into this state.
    async fn set(app: &App, state: &str) -> Self {
        let mut look = Look::at(&app.database).await;
        let text = match app.database.backend {
            // A deferred foreign key is looked at by COMMIT alone.
            Backend::Sqlite => format!(
                "CREATE TABLE nowhere (id INTEGER PRIMARY KEY); \
                 CREATE TABLE trap (id INTEGER REFERENCES nowhere (id) DEFERRABLE INITIALLY DEFERRED); \
                 CREATE TRIGGER trap_new AFTER INSERT ON rewards WHEN NEW.state = '{state}' \
                 BEGIN INSERT INTO trap VALUES (1); END; \
                 CREATE TRIGGER trap_old AFTER UPDATE ON rewards WHEN NEW.state = '{state}' \
                 BEGIN INSERT INTO trap VALUES (1); END"
            ),
            Backend::Postgres => format!(
                "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$; \
                 CREATE CONSTRAINT TRIGGER trap AFTER INSERT OR UPDATE ON rewards DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW WHEN (NEW.state = '{state}') EXECUTE FUNCTION trap()"
            ),
        };
        look.run(&text).await.unwrap();
        Self
    }

    async fn lift(self, app: &App) {
        let text = match app.database.backend {
            Backend::Sqlite => "DROP TRIGGER trap_new; DROP TRIGGER trap_old; DROP TABLE trap; DROP TABLE nowhere",
            Backend::Postgres => "DROP TRIGGER trap ON rewards; DROP FUNCTION trap()",
        };
        Look::at(&app.database).await.run(text).await.unwrap();
    }
}
