//! The database is deleted, replaced or set back under the running service: it sells nothing more and says so, and no start makes
//! an empty one in its place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Served, noshi};
use crate::support::{Answer, App, Backend, wait::until};

fn file_of(app: &App) -> PathBuf {
    PathBuf::from(app.database.url().trim_start_matches("sqlite://"))
}

/// What a command wrote on standard error.
fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", file.display()))
}

async fn ready(app: &App) -> Answer {
    Answer::of(app.http.get(format!("{}/readyz", app.admin))).await
}

/// Nothing is sold, and everyone who asks hears why.
async fn is_lost(app: &App, key: &str) {
    let calls = app.money_calls();
    let refused = app.issue(key, "1.00").await;
    refused.is_problem(503, "dependency-unavailable");
    assert!(refused.text.contains("removed or replaced"), "{}", refused.text);
    assert_eq!(app.money_calls(), calls, "a purchase left without a record that anybody finds");
    let ready = ready(app).await;
    assert_eq!((ready.status, ready.text.as_str()), (503, "the database was removed or replaced\n"));
    until("the alarm", async || app.metrics().await.contains("\nnoshi_database_lost 1\n")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_file_is_gone_or_another_sells_nothing_until_it_is_back() {
    let app = App::spawn(Backend::Sqlite).await;
    assert_eq!(app.issue("one", "1.00").await.status, 201);
    let file = file_of(&app);
    let [log, index, aside] = ["-wal", "-shm", ".aside"].map(|ending| beside(&file, ending));
    for (path, key) in [(&file, "back"), (&log, "and again"), (&index, "and once more")] {
        fs::rename(path, &aside).unwrap();
        is_lost(&app, "gone").await;
        fs::copy(&aside, path).unwrap();
        is_lost(&app, "another").await;
        fs::rename(&aside, path).unwrap();
        assert_eq!(ready(&app).await.status, 200, "{}", path.display());
        assert_eq!(app.issue(key, "1.00").await.status, 201);
    }
    // The end of the log is gone, and what was committed there.
    let written = fs::read(&log).unwrap();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(32).unwrap();
    is_lost(&app, "cut off").await;
    fs::write(&log, written).unwrap();
    assert_eq!(ready(&app).await.status, 200);
    // As when its volume is no longer mounted.
    let folder = file.parent().unwrap();
    let elsewhere = folder.with_extension("elsewhere");
    fs::rename(folder, &elsewhere).unwrap();
    is_lost(&app, "unmounted").await;
    fs::rename(&elsewhere, folder).unwrap();
    until("it is ready", async || ready(&app).await.status == 200).await;
    app.end().await;
}

/// Without the index of the log neither of two processes sees what the other one commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_writes_beside_a_service_whose_index_is_gone() {
    let app = App::spawn(Backend::Sqlite).await;
    assert_eq!(app.issue("one", "1.00").await.status, 201);
    let file = file_of(&app);
    let keys = app.database.number("SELECT COUNT(*) FROM api_keys").await;
    let (index, aside) = (beside(&file, "-shm"), beside(&file, ".aside"));
    fs::rename(&index, &aside).unwrap();
    let copy = beside(&file, ".copy");
    let commands: [&[&str]; 2] =
        [&["keys", "create", "--client", "shop", "--new-client"], &["backup", "--to", copy.to_str().unwrap()]];
    for arguments in commands {
        let refused = noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("-shm is gone"), "{}", said(&refused));
        assert!(!index.exists(), "the command has made another one");
    }
    fs::rename(&aside, &index).unwrap();
    assert_eq!(app.issue("two", "1.00").await.status, 201);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM api_keys").await, keys);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_back_sells_nothing_until_the_next_start() {
    let mut app = App::spawn(Backend::Postgres).await;
    assert_eq!(app.issue("one", "1.00").await.status, 201);
    until("it was looked at", async || app.metrics().await.contains("\nnoshi_database_lost 0\n")).await;
    // The watch looks every two seconds.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let older = "BEGIN; SET LOCAL session_replication_role = replica; \
                 DELETE FROM ledger_entries WHERE id = (SELECT MAX(id) FROM ledger_entries); COMMIT";
    app.database.execute(older).await.unwrap();
    until("it is not ready", async || ready(&app).await.status == 503).await;
    is_lost(&app, "two").await;
    assert!(app.stop().await);
    app.start().await;
    assert_eq!(ready(&app).await.status, 200);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_start_makes_an_empty_database_where_one_was() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let (file, environment) = (file_of(&app), app.environment().to_vec());
    let serve = || noshi().arg("serve").envs(environment.iter().cloned()).output().unwrap();
    for ending in ["", "-wal", "-shm"] {
        drop(fs::remove_file(beside(&file, ending)));
    }
    let refused = serve();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("there was a database and it is gone"), "{}", said(&refused));
    assert!(!file.exists());
    // A lost volume takes the mark along. In production `serve` makes none.
    fs::remove_file(beside(&file, ".lock")).unwrap();
    let mut kept = noshi();
    kept.arg("serve").envs(environment.iter().cloned()).env("NOSHI__STORE__CREATE_ON_START", "false");
    let refused = kept.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("noshi.db: `noshi migrate` makes it"), "{}", said(&refused));
    assert!(!file.exists());
    let made = noshi().arg("migrate").envs(environment.iter().cloned()).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    assert!(Served::start(&environment).terminate().success());
    app.end().await;
}
