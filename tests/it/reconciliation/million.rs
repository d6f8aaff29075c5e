//! A million rewards: how long it takes, and memory that does not grow with them. A figure of the machine it runs on, so it
//! is run by hand:
//! `cargo nextest run --run-ignored only a_million_rewards --no-capture`

use std::{
    fs::File,
    io::{BufWriter, Write},
    process::Stdio,
    time::Duration,
};

use noshi::ambient::Ambient;

use super::DAY;
use crate::{
    process::noshi,
    support::{App, Backend},
};

const REWARDS: u64 = 1_000_000;
/// Rewards of one statement.
const ROWS: u64 = 50_000;
/// What a run may hold in memory, debug build or not.
const RESIDENT_KIB_MAX: u64 = 100 * 1024;
/// The first second of the day.
const MIDNIGHT: u64 = 1_794_268_800;

/// The statement that plants the rewards of these numbers.
fn rows(app: &App, from: u64, to: u64) -> String {
    let client = app.client.uuid();
    let head = "INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, kind, \
                amount_minor, currency, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, \
                deliveries, events, created_at, updated_at, first_send_at, issued_at)";
    let tail = "'gift_code', 500, 'USD', 'keep', 'issued', 1, FALSE, FALSE, FALSE, 1, 0, 0";
    match app.database.backend {
        Backend::Sqlite => format!(
            "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {to}), \
             at (n, at) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%S+00:00', {MIDNIGHT} + n * 86000 / {REWARDS}, 'unixepoch') \
             FROM numbers) {head} SELECT unhex(printf('01900000000070008000%012x', n)), X'{}', \
             CAST(printf('%020d', n) AS BLOB), 'main', 'US', 'sandbox', printf('Awssb%032d', n), {tail}, at, at, at, at FROM at",
            client.simple()
        ),
        Backend::Postgres => format!(
            "{head} SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{client}', \
             convert_to(lpad(n::text, 20, '0'), 'UTF8'), 'main', 'US', 'sandbox', 'Awssb' || lpad(n::text, 32, '0'), {tail}, \
             at, at, at, at FROM (SELECT n, to_timestamp({MIDNIGHT} + n * 86000 / {REWARDS}) AS at \
             FROM generate_series({from}::bigint, {to}::bigint - 1) AS n) AS numbers"
        ),
    }
}

/// The portal's file of them; one is left out, and one has another amount.
fn write_file(file: File) {
    let mut out = BufWriter::new(file);
    writeln!(out, "time,type,request id,amount,currency,status").unwrap();
    for n in (0..REWARDS).filter(|n| *n != 777_777) {
        let second = MIDNIGHT + n * 86_000 / REWARDS;
        let at = chrono::DateTime::from_timestamp(i64::try_from(second).unwrap(), 0).unwrap();
        let amount = if n == 123_456 { "5.01" } else { "5.00" };
        writeln!(out, "{},Create,Awssb{n:032},{amount},USD,Success", at.format("%Y-%m-%d %H:%M:%S")).unwrap();
    }
    out.flush().unwrap();
}

/// The most memory that a process has had so far.
fn resident_kib_max(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

async fn compare_a_million(backend: Backend) {
    let mut app = App::spawn(backend).await;
    assert!(app.stop().await);
    for from in (0..REWARDS).step_by(usize::try_from(ROWS).unwrap()) {
        assert_eq!(app.database.execute(&rows(&app, from, from + ROWS)).await.unwrap(), ROWS);
    }
    let path = app.database.folder.path().join("portal.csv");
    write_file(File::create(&path).unwrap());
    let clock = Ambient::system();
    let began = clock.monotonic();
    let mut command = noshi();
    command.args(["reconcile", "--account", "main", "--from", DAY, "--to", DAY, "--csv"]).arg(&path);
    let mut child = command.envs(app.environment().iter().cloned()).stdout(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(resident_kib_max(child.id()).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{backend:?}: {REWARDS} rewards in {:.1} s, {} MiB at most\n{text}", took.as_secs_f64(), most / 1024);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("matched 999998, ours only 1, theirs only 0 (0 adopted now), amount differs 1"), "{text}");
    assert!(most > 0 && most <= RESIDENT_KIB_MAX, "{most} KiB");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the figure is the machine's"]
async fn a_million_rewards_are_compared_without_memory_for_them_on_sqlite() {
    compare_a_million(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the figure is the machine's"]
async fn a_million_rewards_are_compared_without_memory_for_them_on_postgres() {
    compare_a_million(Backend::Postgres).await;
}
