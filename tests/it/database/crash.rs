//! PostgreSQL is killed with SIGKILL under load and comes back: what it had committed is there, what it had not is not,
//! and every request ends with one card.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use tempfile::TempDir;

use super::Codes;
use crate::support::{Answer, App, Database, Shape, books::books_match};

const ROUNDS: usize = 5;
const CALLERS: usize = 24;
/// What no request takes while the server is up.
const OUTAGE: Duration = Duration::from_millis(400);

/// A PostgreSQL cluster of the test's own.
struct Cluster {
    folder: TempDir,
    url: String,
}

impl Cluster {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // The server may be another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let mut cluster = Self { folder, url: String::new() };
        cluster.url = String::from_utf8(cluster.run("start").stdout).unwrap().trim().to_owned();
        cluster
    }

    fn run(&self, command: &str) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres");
        let output = Command::new(script).arg(command).arg(self.folder.path().join("cluster")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// One after the other, each under a key of its own, until it is over; after an unknown the next one.
async fn callers_load(app: &App, name: String, over: &AtomicBool) -> Vec<(String, Answer, Duration)> {
    let mut told = Vec::new();
    for at in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{name}-{at}");
        let started = app.ambient.monotonic();
        let answer = app.issue(&key, "1.00").await;
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        told.push((key, answer, started.elapsed()));
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_no_card_and_no_code() {
    let cluster = Arc::new(Cluster::start());
    let database = Database::in_cluster(cluster.url.clone()).await;
    // A short way to a replay: what waits for a lease waits 12 s.
    let shape =
        Shape::default().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2).with("NOSHI__REWARDS__LEASE_SECONDS", 12);
    let mut app = App::on(database, shape).await;
    // Creates take a while, so that at every moment some intents, some calls and some outcomes are on their way.
    let slow = FaultRule::always(Fault::DelayWork { milliseconds: 30 });
    app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..slow }).unwrap();
    let (mut codes, mut keys, mut struck) = (Codes::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let over = AtomicBool::new(false);
        let load = join_all((0..CALLERS).map(|caller| callers_load(&app, format!("crash-{round}-{caller}"), &over)));
        let killed = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let cluster = Arc::clone(&cluster);
            tokio::task::spawn_blocking(move || cluster.run("crash")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
            over.store(true, Ordering::Relaxed);
        };
        let (told, ()) = tokio::join!(load, killed);
        for (key, answer, took) in told.into_iter().flatten() {
            struck += usize::from(answer.status != 201 || took > OUTAGE);
            codes.note(&key, &answer);
            keys.push(key);
        }
        app.advance(15);
    }
    app.control.clear_faults();
    codes.complete(&app, &keys).await;
    // Most of those whom it strikes wait until it is back, and are served then.
    assert!(struck >= ROUNDS * CALLERS / 2, "the server died in nobody's way: {struck} of {}", keys.len());
    let cards: BTreeSet<_> = keys.iter().collect();
    assert_eq!(app.control.book().len(), cards.len(), "a card for every key");
    books_match(&app).await;
    app.end().await;
}
