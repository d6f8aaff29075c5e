//! Which clock holds: on PostgreSQL the server's, whatever the node's says; towards Amazon, Amazon's.
//!
//! Real processes: a wall clock that is wrong is made by libfaketime, under the process alone; a server's clock that is
//! wrong by a function of that name in the test's own database.

mod jumps;
mod node;
mod server;

use std::{fs, path::PathBuf, process::Command};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use tempfile::TempDir;

use crate::{
    process::{Served, noshi},
    support::{Answer, App, Backend, on_each_backend, wait::until},
};

/// Where `tests/run` says that libfaketime is.
const LIBRARY_VARIABLE: &str = "NOSHI_TEST_FAKETIME";
/// Milliseconds that instants may differ by: the same figure that readiness goes by.
const SKEW_MAX: i64 = 2_000;

/// A wall clock for one process, off by what its file says, also while the process runs.
pub(crate) struct Wall {
    folder: TempDir,
}

impl Wall {
    pub(crate) fn off_by(seconds: i64) -> Self {
        let wall = Self { folder: TempDir::new().unwrap() };
        wall.set(seconds);
        wall
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// In one step: a file that is half written would be another time of day.
    pub(crate) fn set(&self, seconds: i64) {
        let fresh = self.folder.path().join("fresh");
        fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        fs::rename(fresh, self.file()).unwrap();
    }

    /// The program under this clock. The clocks that measure time stay true, as they do when someone sets the date.
    pub(crate) fn noshi(&self) -> Command {
        let mut command = noshi();
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }

    fn serve(&self, app: &App) -> Served {
        let mut command = self.noshi();
        command.arg("serve");
        Served::spawn(command, app.environment()).expect("the service starts")
    }
}

/// Absent, these tests fail, as those without PostgreSQL do.
#[expect(clippy::disallowed_methods, reason = "tests/run tells the library by a variable")]
fn library() -> String {
    let told = std::env::var(LIBRARY_VARIABLE).ok();
    told.unwrap_or_else(|| {
        let found = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faketime")).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

/// Whether a replica is ready, and what it says.
async fn ready(app: &App, replica: &Served) -> (u16, String) {
    let answer = Answer::of(app.http.get(format!("{}/readyz", replica.admin))).await;
    (answer.status, answer.text)
}

/// Waits until a replica says so.
async fn until_ready_is(app: &App, replica: &Served, expected: (u16, &str)) {
    until(&format!("it is ready or not: {expected:?}"), async || {
        let last = ready(app, replica).await;
        last.0 == expected.0 && last.1.contains(expected.1)
    })
    .await;
}

/// A gauge of seconds without labels, in milliseconds.
async fn gauge(app: &App, replica: &Served, name: &str) -> i64 {
    let page = Answer::of(app.http.get(format!("{}/metrics", replica.admin))).await.text;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    let seconds: Decimal = line.unwrap_or_else(|| panic!("{name} is missing in\n{page}")).parse().unwrap();
    (seconds * Decimal::from(1000)).to_i64().unwrap()
}

/// Waits until a gauge is within 5 s of so many.
async fn until_gauge_is(app: &App, replica: &Served, name: &str, seconds: i64) {
    until(&format!("{name} is about {seconds} s"), async || {
        (gauge(app, replica, name).await - seconds * 1000).abs() < 5_000
    })
    .await;
}

/// The server's true clock, in milliseconds since 1970.
async fn server_now(app: &App) -> i64 {
    app.database.number("SELECT (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) * 1000)::bigint").await
}

/// An instant of a reward's row, in milliseconds since 1970.
async fn stored(app: &App, id: &str, column: &str) -> i64 {
    let id = uuid_of(id);
    let text = format!("SELECT (EXTRACT(EPOCH FROM {column}) * 1000)::bigint FROM rewards WHERE id = '{id}'");
    app.database.number(&text).await
}

/// Fails unless an instant that was made since `began` is of a clock that is so many milliseconds ahead of the server's.
async fn is_of_a_clock(app: &App, instant: i64, began: i64, ahead: i64) {
    let allowed = began + ahead - SKEW_MAX..=server_now(app).await + ahead + SKEW_MAX;
    assert!(allowed.contains(&instant), "{instant} is not within {allowed:?}");
}

/// The row's key in a reward's id.
fn uuid_of(id: &str) -> String {
    let hex = id.rsplit('_').next().unwrap();
    assert!(hex.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
    hex.to_owned()
}

on_each_backend! {
    async fn a_clock_that_amazon_refuses_is_corrected_by_amazons_own_and_signed_once_more(backend: Backend) {
        let app = App::spawn(backend).await;
        for (skew, key) in [(600, "ahead"), (-900, "behind")] {
            app.control.set_signature_skew(skew).unwrap();
            app.control.clear_requests();
            let answer = app.issue(key, "5.00").await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            app.issue(&format!("{key}-again"), "5.00").await;
            // Whichever calls come first are turned away, be it the balance's too; the correction holds for all that follow.
            let turned_away = app.control.requests().iter().filter(|call| call.http_status == Some(403)).count();
            assert!((1..=2).contains(&turned_away), "turned away once, then signed by Amazon's clock: {turned_away}");
            let last = app.received("Create").pop().and_then(|call| call.http_status);
            assert_eq!(last, Some(200), "the correction is kept");
        }
        app.end().await;
    }
}
