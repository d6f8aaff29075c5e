//! A back-up whose schema somebody changed is not restored: every object of it is as the migrations made it.

use std::{fs, path::Path};

use sqlx::{Connection, Executor, SqliteConnection};

use super::{
    file::{back_up, killed_with, restore, snapshot},
    number_in, path_of, run,
};
use crate::support::{App, Backend, Database, database::migrations, wait::until};

/// Runs statements in a file.
async fn change(file: &Path, statements: &str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// What somebody did to a back-up, and what the refusal says of it.
const CHANGES: [(&str, &str); 13] = [
    (
        "CREATE TRIGGER planted AFTER INSERT ON api_keys BEGIN UPDATE api_keys SET expires_at = NULL; END",
        "trigger planted: no migration makes it",
    ),
    ("DROP TRIGGER ledger_entries_no_update", "trigger ledger_entries_no_update: it is missing"),
    (
        "DROP TRIGGER ledger_entries_no_delete; CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries \
         BEGIN SELECT 1; END",
        "trigger ledger_entries_no_delete: it is another",
    ),
    ("DROP INDEX rewards_external_id", "index rewards_external_id: it is missing"),
    (
        "DROP INDEX rewards_external_id; CREATE INDEX rewards_external_id ON rewards (client_id, external_id) \
         WHERE external_id IS NOT NULL",
        "index rewards_external_id: it is another",
    ),
    ("CREATE TABLE notes (text TEXT)", "table notes: no migration makes it"),
    ("CREATE VIEW codes AS SELECT * FROM rewards", "view codes: no migration makes it"),
    ("ALTER TABLE rewards ADD COLUMN note TEXT", "table rewards: it is another"),
    ("ALTER TABLE rewards RENAME COLUMN attempts TO tries", "table rewards: it is another"),
    ("DROP TABLE balances", "table balances: it is missing"),
    (
        "PRAGMA writable_schema = ON; \
         UPDATE sqlite_schema SET sql = replace(sql, 'CHECK', 'CHECK (1) CHECK') WHERE name = 'ledger_entries'",
        "table ledger_entries: it is another",
    ),
    (
        "CREATE TRIGGER planted AFTER INSERT ON api_keys BEGIN SELECT 1; END; PRAGMA writable_schema = ON; \
         UPDATE sqlite_schema SET name = 'sqlite_stat1' WHERE name = 'planted'",
        "malformed database schema (sqlite_stat1)",
    ),
    // What a later program's migration makes is not known, so nothing can hide behind one.
    (
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from 0007 more', TRUE, X'00', 0)",
        "restore it with that version",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_whose_schema_was_changed_is_refused_by_the_name_of_what_differs_and_nothing_is_touched() {
    let app = killed_with(2).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    back_up(&app, &copy);
    for (statements, why) in CHANGES {
        let changed = folder.path().join("changed.db");
        fs::copy(&copy, &changed).unwrap();
        change(&changed, statements).await;
        let before = snapshot(&database);
        let (code, out, error) = restore(&app, &changed);
        assert!(code == Some(1) && error.contains(why), "{statements}: {code:?} {out}{error}");
        assert_eq!(snapshot(&database), before, "{statements} has changed something");
        assert!(!Path::new(&format!("{}.restoring", database.display())).exists(), "a copy was left");
    }
    // What an operator does for the planner's sake changes nothing that decides.
    change(&copy, "ANALYZE").await;
    let (code, _out, error) = restore(&app, &copy);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(number_in(&database, "SELECT COUNT(*) FROM rewards").await, 2);
    app.end().await;
}

/// The first schema of which there are back-ups: before it there was no ledger, which a back-up's line counts.
const OLDEST: i64 = 4;

/// What every database holds that anybody has used.
const A_KEY: &str = "INSERT INTO clients (id, name, created_at) \
                     VALUES (X'01907000800070008000000000000001', 'shop', '2026-01-01T00:00:00+00:00'); \
                     INSERT INTO api_keys (id, client_id, name, secret_sha256, scopes, created_at) \
                     VALUES (X'01907000800070008000000000000002', X'01907000800070008000000000000001', 'shop', zeroblob(32), \
                     'rewards:read', '2026-01-01T00:00:00+00:00')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_of_every_earlier_schema_is_restored() {
    let app = killed_with(1).await;
    let database = path_of(&app.database);
    let all: Vec<i64> = migrations(Backend::Sqlite).await.iter().map(|migration| migration.version).collect();
    let last = *all.last().unwrap();
    for version in all.into_iter().filter(|version| *version >= OLDEST) {
        let older = Database::fresh(Backend::Sqlite).await;
        older.migrate_to(version).await;
        older.execute(A_KEY).await.unwrap();
        let (code, out, error) = restore(&app, &path_of(&older));
        assert_eq!(code, Some(0), "schema {version}: {error}");
        assert!(out.contains(&format!("schema {version},")), "{out}");
        assert_eq!(number_in(&database, "SELECT MAX(version) FROM _sqlx_migrations").await, last);
    }
    // An older schema is compared with its own migrations, and not with all of them.
    let older = Database::fresh(Backend::Sqlite).await;
    older.migrate_to(OLDEST).await;
    older.execute("CREATE TABLE facts (text TEXT)").await.unwrap();
    let (code, _out, error) = restore(&app, &path_of(&older));
    assert!(code == Some(1) && error.contains("table facts: no migration"), "{error}");
    app.end().await;
}

/// Objects that an operator makes for reports, each with what takes it out.
const FOR_REPORTS: [(&str, &str, &str); 2] = [
    (
        "CREATE INDEX by_amount ON rewards (amount_minor)",
        "index by_amount: no migration makes it",
        "DROP INDEX by_amount",
    ),
    ("CREATE VIEW spent AS SELECT account FROM rewards", "view spent: no migration makes it", "DROP VIEW spent"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_that_would_be_refused_is_made_and_warned_of_until_what_nobody_knows_is_dropped() {
    let app = killed_with(1).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    for (at, (make, why, undo)) in FOR_REPORTS.into_iter().enumerate() {
        change(&database, make).await;
        let refused = folder.path().join(format!("{at}.db"));
        let (code, out, error) = run(&app, &["backup", "--to", refused.to_str().unwrap()]);
        assert_eq!(code, Some(0), "a script that sends it away goes on: {error}");
        assert!(out.contains("1 rewards, "), "{out}");
        let warned = |error: &str| error.lines().any(|line| line.starts_with("warning: ") && line.contains(why));
        assert!(warned(&error) && error.contains("Drop what no migration makes"), "{error}");
        let (_code, _out, error) = run(&app, &["backup", "--to", "-"]);
        assert!(warned(&error), "where it goes does not matter: {error}");
        let (code, _out, error) = restore(&app, &refused);
        assert!(code == Some(1) && error.contains(why), "what was warned of is what happens: {error}");
        change(&refused, undo).await;
        assert_eq!(restore(&app, &refused).0, Some(0), "as the warning says");
        let good = folder.path().join(format!("{at}-good.db"));
        let (code, _out, error) = run(&app, &["backup", "--to", good.to_str().unwrap()]);
        assert!(code == Some(0) && !error.contains("warning"), "{error}");
    }
    app.end().await;
}

/// Nobody reads what a script prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_reports_a_database_whose_back_up_would_be_refused() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let refused = async |app: &App, is: u8| {
        let line = format!("\nnoshi_backup_refused {is}\n");
        until(&format!("the gauge is {is}"), async || app.metrics().await.contains(&line)).await;
    };
    for (make, _why, undo) in FOR_REPORTS {
        app.database.execute(make).await.unwrap();
        assert!(app.stop().await);
        app.start().await;
        refused(&app, 1).await;
        app.database.execute(undo).await.unwrap();
        refused(&app, 0).await;
    }
    app.end().await;
}
