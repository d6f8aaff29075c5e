//! The ledger's stream at any length: all of it, in order, in memory that does not grow with it.
//!
//! NOSHI_TEST_LEDGER_ENTRIES=2000000 makes it a million rewards.

use std::{collections::BTreeSet, fs, time::Duration};

use crate::{
    process::Served,
    support::{
        App, Backend, on_each_backend,
        rounds::{count_of, print},
    },
};

/// Everyday entries.
const ENTRIES: usize = 20_000;
/// What the process may have held at its peak.
const PEAK_KIB_MAX: u64 = 100 * 1024;

/// Half reservations, half purchases, a second apart.
async fn fill(app: &App, count: i64) {
    let columns = "(at, account, currency, kind, debit, credit, amount_minor)";
    let text = match app.database.backend {
        Backend::Sqlite => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO ledger_entries {columns} SELECT strftime('%Y-%m-%dT%H:%M:%S+00:00', 1700000000 + i, 'unixepoch'), \
             'main', 'USD', CASE i % 2 WHEN 1 THEN 'reserved' ELSE 'issued' END, \
             CASE i % 2 WHEN 1 THEN 'reserved' ELSE 'issued' END, CASE i % 2 WHEN 1 THEN 'funds' ELSE 'reserved' END, 500 FROM n"
        ),
        Backend::Postgres => format!(
            "INSERT INTO ledger_entries {columns} SELECT to_timestamp(1700000000 + i), \
             'main', 'USD', CASE i % 2 WHEN 1 THEN 'reserved' ELSE 'issued' END, \
             CASE i % 2 WHEN 1 THEN 'reserved' ELSE 'issued' END, CASE i % 2 WHEN 1 THEN 'funds' ELSE 'reserved' END, 500 \
             FROM generate_series(1, {count}) i"
        ),
    };
    assert_eq!(app.database.execute(&text).await.unwrap(), u64::try_from(count).unwrap());
}

/// The most memory that a process has held so far, from the kernel's own books.
fn peak_kib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

on_each_backend! {
    #[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
    async fn a_ledger_of_any_length_streams_whole_in_constant_memory(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert!(app.stop().await);
        let count = count_of("NOSHI_TEST_LEDGER_ENTRIES", ENTRIES);
        fill(&app, count.try_into().unwrap()).await;
        let served = Served::start(app.environment());
        let (before, clock) = (peak_kib(&served.id()), noshi::ambient::Ambient::system());
        for accept in ["text/csv", "application/x-ndjson"] {
            let began = clock.monotonic();
            // Not what the service itself books meanwhile: the opening of the account.
            let path = format!("{}/v1/ledger-entries?to=2025-01-01T00:00:00Z", served.base);
            let request = app.http.get(path).bearer_auth(&app.key).header("Accept", accept);
            let mut answer = request.timeout(Duration::from_secs(600)).send().await.unwrap();
            let (mut left, mut lines, mut bytes, mut last) = (Vec::new(), 0_usize, 0_usize, BTreeSet::new());
            while let Some(chunk) = answer.chunk().await.unwrap() {
                bytes += chunk.len();
                left.extend_from_slice(&chunk);
                let whole = left.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                for line in left.drain(..whole).as_slice().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    let text = std::str::from_utf8(line).unwrap();
                    let digits: String = text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
                    if let Ok(id) = digits.parse::<i64>() {
                        lines += 1;
                        assert!(last.last().is_none_or(|before| *before < id), "out of order");
                        last = BTreeSet::from([id]);
                    }
                }
            }
            assert_eq!(lines, count, "{accept}");
            let took = began.elapsed();
            print(&format!("{backend:?}: {count} entries as {accept}: {} MB in {} ms", bytes / 1_000_000, took.as_millis()));
        }
        let peak = peak_kib(&served.id());
        print(&format!("{backend:?}: at most {} MB of memory, {} MB before", peak / 1024, before / 1024));
        assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
        app.end().await;
    }
}
