//! Commands on a database that nobody has prepared: each says what to do first, and leaves no file behind.

use std::process::Output;

use super::noshi;
use crate::support::{App, Backend, Database, Shape};

/// Every command that needs the tables.
const COMMANDS: [&[&str]; 10] = [
    &["keys", "create", "--client", "shop"],
    &["keys", "list"],
    &["rewards", "attention", "list"],
    &["programs", "create", "prg_spring", "--account", "main", "--name", "Spring", "--any-client"],
    &["programs", "list"],
    &["ledger", "sums"],
    &["ledger", "adjust", "--account", "main", "--amount", "1.00", "--reason", "found", "--by", "kim"],
    &["reconcile", "--account", "main", "--from", "2026-11-01", "--to", "2026-11-01"],
    &["check", "--targets"],
    &["restored"],
];

fn run(app: &App, words: &[&str]) -> Output {
    noshi().args(words).envs(app.environment().iter().cloned()).output().unwrap()
}

/// The one line that the command ends with, once it has failed.
fn refused(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    err.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_a_command_makes_none() {
    let app = App::not_started(Database::fresh(Backend::Sqlite).await, Shape::default()).await;
    let file = app.database.folder.path().join("noshi.db");
    for words in COMMANDS {
        let said = refused(&run(&app, words));
        assert!(said.ends_with("there is no such file: `noshi migrate` makes it"), "{words:?}: {said}");
        let left: Vec<_> = std::fs::read_dir(app.database.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{words:?} left {left:?}");
    }
    assert!(run(&app, &["migrate"]).status.success());
    assert!(file.exists(), "a migration makes it");
    assert!(run(&app, &["ledger", "sums"]).status.success());
    app.end().await;
}

async fn every_command_asks_for_the_migration(backend: Backend) {
    let app = App::not_started(Database::fresh(backend).await, Shape::default()).await;
    if backend == Backend::Sqlite {
        std::fs::write(app.database.folder.path().join("noshi.db"), "").unwrap();
    }
    for words in COMMANDS {
        let said = refused(&run(&app, words));
        assert_eq!(said, "noshi: the database must be migrated first: run `noshi migrate`", "{words:?}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_for_the_migration_on_sqlite() {
    every_command_asks_for_the_migration(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_for_the_migration_on_postgres() {
    every_command_asks_for_the_migration(Backend::Postgres).await;
}

/// The role of the service has no right to change tables, so a migration under it is a mistake of the operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_change_the_schema_is_named_as_the_reason() {
    let app = App::not_started(Database::fresh(Backend::Postgres).await, Shape::default()).await;
    let (base, database) = app.database.url().rsplit_once('/').unwrap();
    let role = format!("{database}_serving");
    app.database.execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    let (scheme, server) = base.split_once("://").unwrap();
    let server = server.rsplit_once('@').map_or(server, |(_user, server)| server);
    let url = format!("{scheme}://{role}@{server}/{database}");
    let migrate_as = || {
        let mut command = noshi();
        command.arg("migrate").envs(app.environment().iter().cloned()).env("NOSHI__STORE__URL", &url);
        refused(&command.output().unwrap())
    };
    let expected = "noshi: this role may not change the schema: run the command as the role that owns the tables";
    assert_eq!(migrate_as(), expected, "an empty database");
    assert!(run(&app, &["migrate"]).status.success());
    app.database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    assert_eq!(migrate_as(), expected, "a migrated one");
    app.database.execute("DELETE FROM _sqlx_migrations WHERE version > 1").await.unwrap();
    assert_eq!(migrate_as(), expected, "an older one");
    app.database.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
    app.database.execute(&format!("DROP ROLE {role}")).await.unwrap();
    app.end().await;
}
