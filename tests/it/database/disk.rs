//! No room for SQLite to write: nothing is sent that is not durable, nothing is told that is not, and when there is room
//! again the same process goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use noshi::sandbox::{Fault, FaultRule, Operation};

use super::Codes;
use crate::{
    process::Served,
    support::{Answer, App, Backend, Database, Shape, books::books_match, wait::until},
};

/// How the room runs out.
enum Room {
    /// Files may not grow beyond what the write-ahead log is now: an I/O error, for every user to try.
    Limit(Served),
    /// The file system is full: ENOSPC itself.
    Device(PathBuf, Served),
}

impl Room {
    fn served(&self) -> &Served {
        match self {
            Self::Limit(served) | Self::Device(_, served) => served,
        }
    }

    fn take(&self, database: &Path) {
        match self {
            Self::Limit(served) => {
                let size = fs::metadata(wal(database)).unwrap().len();
                limit(served, &format!("{size}:"));
            }
            Self::Device(..) => {
                // As much as goes in: the copy fails at the end, and that is the point.
                let filler = database.with_file_name("filler");
                let to = format!("of={}", filler.display());
                let filled = Command::new("dd").args(["if=/dev/zero", "bs=4k", &to]).output().unwrap();
                assert!(!filled.status.success(), "the file system has no end");
            }
        }
    }

    fn give_back(&self, database: &Path) {
        match self {
            Self::Limit(served) => limit(served, "unlimited:"),
            Self::Device(..) => fs::remove_file(database.with_file_name("filler")).unwrap(),
        }
    }

    fn end(self) {
        match self {
            Self::Limit(served) => assert!(served.terminate().success()),
            Self::Device(folder, served) => {
                assert!(served.terminate().success());
                assert!(Command::new("umount").args(["-l".as_ref(), folder.as_os_str()]).status().unwrap().success());
            }
        }
    }
}

fn wal(database: &Path) -> PathBuf {
    database.with_file_name("noshi.db-wal")
}

/// Sets the soft limit alone, so that it can be lifted again.
fn limit(served: &Served, size: &str) {
    let limited = Command::new("prlimit").args(["--pid", &served.id(), &format!("--fsize={size}")]).output().unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
}

/// The program, deaf to the signal that comes with a file that may not grow.
fn deaf(environment: &[(String, String)]) -> Served {
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_noshi")]);
    Served::spawn(command, environment).expect("the service starts")
}

/// Refuses while there is no room, loses no outcome, and goes on when there is.
async fn survives(mut app: App, room: Room, database: &Path) {
    app.base.clone_from(&room.served().base);
    app.admin.clone_from(&room.served().admin);
    assert_eq!(app.issue("before", "1.00").await.status, 201);
    let slow = FaultRule::once(Fault::DelayWork { milliseconds: 600 });
    app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..slow }).unwrap();
    let filled = async {
        while app.received("Create").len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        room.take(database);
    };
    // Bought, and no room for the outcome: no code leaves.
    let (unwritten, ()) = tokio::join!(app.issue("in-flight", "1.00"), filled);
    unwritten.is_accepted();
    assert_eq!(app.control.book().len(), 2);
    // No room for an intent: nothing is sent.
    for at in 0..10 {
        let refused = app.issue(&format!("refused-{at}"), "1.00").await;
        refused.is_problem(503, "dependency-unavailable");
        // "no" once the service knows that the database takes no writes; it may find room for a small one at any moment.
        assert!(["no", "unknown"].contains(&refused.json["money_moved"].as_str().unwrap()), "{}", refused.text);
    }
    assert_eq!(app.received("Create").len(), 2, "something was sent that is not durable");
    assert_eq!(app.read(unwritten.id()).await["status"], "issuing", "reading goes on");

    room.give_back(database);
    until("it is ready by itself", async || {
        Answer::of(app.http.get(format!("{}/readyz", app.admin))).await.status == 200
    })
    .await;
    let keys: Vec<String> = (0..10).map(|at| format!("refused-{at}")).collect();
    let mut codes = Codes::new();
    codes.complete(&app, &keys).await;
    // Its lease runs out, and it is asked for again.
    app.until(unwritten.id(), "issued").await;
    codes.complete(&app, &["before".to_owned(), "in-flight".to_owned()]).await;
    assert_eq!(app.control.book().len(), 12);
    books_match(&app).await;
    room.end();
    app.end().await;
}

/// The shortest lease that the settings allow.
fn short() -> Shape {
    Shape::default().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2).with("NOSHI__REWARDS__LEASE_SECONDS", 12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_may_not_grow_costs_nothing_but_time() {
    let mut app = App::shaped(Backend::Sqlite, short()).await;
    assert!(app.stop().await);
    let room = Room::Limit(deaf(app.environment()));
    let database = app.database.folder.path().join("noshi.db");
    survives(app, room, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a small file system, which only root may"]
async fn a_full_file_system_costs_nothing_but_time() {
    let database = Database::fresh(Backend::Sqlite).await;
    let folder = database.folder.path().to_path_buf();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&folder);
    assert!(mount.status().unwrap().success());
    let mut app = App::on(database, short()).await;
    assert!(app.stop().await);
    let room = Room::Device(folder.clone(), deaf(app.environment()));
    survives(app, room, &folder.join("noshi.db")).await;
}
