//! Back-up and restore: the commands themselves, their death at every step, and what becomes of rewards, callers and the
//! books when an old back-up comes back. What a person does in it, is done by the commands of the runbook.

mod again;
mod doubt;
mod file;
mod kills;
mod kinds;
mod portal;
mod rehearsal;
mod runbook;
mod schema;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use sqlx::Connection;

use crate::{
    process::noshi,
    support::{App, Backend, Database},
};

/// The database's file.
fn path_of(database: &Database) -> PathBuf {
    assert_eq!(database.backend, Backend::Sqlite);
    PathBuf::from(database.url().trim_start_matches("sqlite://"))
}

/// Where SQLite keeps what is not in the file yet.
fn wal_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", file.display()))
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs the program in the test's settings.
fn run(app: &App, arguments: &[&str]) -> (Option<i32>, String, String) {
    text(&noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap())
}

/// What stands in a folder, less the lock, which stays.
fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = all.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

/// A number out of a SQLite file.
#[expect(clippy::disallowed_methods, reason = "a look at a file past all our code")]
async fn number_in(file: &Path, statement: &str) -> i64 {
    let mut connection =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}?mode=ro", file.display())).await.unwrap();
    let number =
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    number
}
