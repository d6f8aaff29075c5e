//! Death at every step of a back-up and of a restore: there is no half back-up under a back-up's name, and the database is
//! the old one or the new one, whole.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use super::{names, number_in, path_of, run, text};
use crate::{
    process::{Served, noshi},
    support::{App, Backend},
};

const BACKUP: [&str; 4] = ["before_copy", "copied", "checked", "renamed"];
/// The last one is behind the rename.
const RESTORE: [&str; 6] = ["copied", "inspected", "synced", "folded", "aside", "in_place"];
const REWARDS: &str = "SELECT COUNT(*) FROM rewards";
const NOTES: &str = "SELECT COUNT(*) FROM events WHERE kind = 'database.restored'";

/// Runs a command that is to die at a place.
fn dies(app: &App, arguments: &[&str], place: &str) {
    let mut command = noshi();
    command.args(arguments).envs(app.environment().iter().cloned()).env("NOSHI_FAILPOINT", format!("{place}@1"));
    let output = command.output().unwrap();
    assert_eq!(output.status.signal(), Some(6), "{place}: {:?}", text(&output));
}

async fn killed_with(rewards: usize) -> App {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    serve(&mut app, "first", rewards).await;
    app
}

/// Serves, sells, and is killed.
async fn serve(app: &mut App, name: &str, rewards: usize) {
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    for at in 0..rewards {
        assert_eq!(app.issue(&format!("{name}-{at}"), "1.00").await.status, 201);
    }
    served.kill();
}

fn exists_whole(app: &App, file: &Path) -> bool {
    file.exists() && run(app, &["restore", "--from", file.to_str().unwrap()]).0 == Some(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_in_a_back_up_leaves_none_or_a_whole_one() {
    let app = killed_with(3).await;
    let folder = tempfile::TempDir::new().unwrap();
    for place in BACKUP {
        let copy = folder.path().join(format!("{place}.db"));
        dies(&app, &["backup", "--to", copy.to_str().unwrap()], &format!("backup.{place}"));
        assert_eq!(copy.exists(), place == "renamed", "{place}");
        if place == "renamed" {
            assert!(exists_whole(&app, &copy));
        } else {
            let (code, _out, error) = run(&app, &["backup", "--to", copy.to_str().unwrap()]);
            assert_eq!(code, Some(0), "what the dead one left is in nobody's way: {error}");
        }
        assert_eq!(number_in(&copy, REWARDS).await, 3);
    }
    assert_eq!(names(folder.path()), ["before_copy.db", "checked.db", "copied.db", "renamed.db"]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_in_a_restore_leaves_the_old_database_or_the_new_one() {
    let mut app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    assert_eq!(run(&app, &["backup", "--to", copy.to_str().unwrap()]).0, Some(0));
    let restore = ["restore", "--from", copy.to_str().unwrap()];
    for (at, place) in RESTORE.iter().enumerate() {
        serve(&mut app, &format!("later-{at}"), 2).await;
        let before = number_in(&database, REWARDS).await;
        assert_eq!(before, 5, "the dead process's WAL counts");
        dies(&app, &restore, &format!("restore.{place}"));
        let expected = if *place == "in_place" { 3 } else { 5 };
        let noted = i64::from(at > 0 || *place == "in_place");
        assert_eq!(number_in(&database, NOTES).await, noted, "no restored database is without its note: {place}");
        assert_eq!(number_in(&database, REWARDS).await, expected, "{place}");
        assert_eq!(
            number_in(&database, "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await,
            0
        );
        // It serves, whichever it is.
        serve(&mut app, &format!("again-{at}"), 1).await;
        assert_eq!(number_in(&database, REWARDS).await, expected + 1, "{place}");
        // And the next try is in nobody's way.
        let (code, _out, error) = run(&app, &restore);
        assert_eq!(code, Some(0), "{place}: {error}");
        assert_eq!(number_in(&database, REWARDS).await, 3, "{place}");
        assert_eq!(number_in(&database, NOTES).await, 1, "a restored database says that it is one");
        for name in names(database.parent().unwrap()).into_iter().filter(|name| name != "noshi.db") {
            assert!(name.starts_with("noshi.db.before-"), "{place} left {name}");
            fs::remove_file(database.with_file_name(name)).unwrap();
        }
    }
    app.end().await;
}
