//! A start on a database that has grown takes as long as on a small one. The plans of all statements are looked at elsewhere
//! (`plans`); here the whole start is, of whatever program `NOSHI_TEST_PROGRAM` names.

use std::time::Duration;

use noshi::ambient::Ambient;

use super::growth::grow;
use crate::{
    process::Served,
    support::{Answer, App, Backend, Database, Shape, rounds, wait::until},
};

/// Starts on each database: the first one after it was filled is another's.
const STARTS: usize = 5;
const SMALL: usize = 10_000;

/// How long each start took until the service was ready, and the kilobytes that it then had in memory.
async fn starts(backend: Backend, rewards: usize) -> Vec<(Duration, u64)> {
    let database = Database::migrated(backend).await;
    grow(&database, i64::try_from(rewards).unwrap()).await;
    let app = App::not_started(database, Shape::default().with("NOSHI__LOG__FILTER", "info")).await;
    let (clock, mut found) = (Ambient::system(), Vec::new());
    for _start in 0..STARTS {
        let began = clock.monotonic();
        let served = Served::start(app.environment());
        until("it is ready", async || {
            Answer::try_of(app.http.get(format!("{}/readyz", served.admin)))
                .await
                .is_some_and(|answer| answer.status == 200)
        })
        .await;
        let took = began.elapsed();
        // What is done once, behind the start.
        tokio::time::sleep(Duration::from_secs(2)).await;
        found.push((took, resident_kb(&served.id(), "VmRSS:")));
        assert!(served.terminate().success());
    }
    app.end().await;
    found
}

fn resident_kb(process: &str, of: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn compare(backend: Backend) {
    let many = rounds::count_of("NOSHI_TEST_MANY_REWARDS", 1_000_000);
    for rewards in [SMALL, many] {
        let (mut took, mut memory): (Vec<Duration>, Vec<u64>) = starts(backend, rewards).await.into_iter().unzip();
        took.sort();
        memory.sort_unstable();
        rounds::print(&format!(
            "start, {backend:?}, {rewards} rewards: ready after {:?} (least {:?}, most {:?}), {} kB",
            took[STARTS / 2],
            took[0],
            took[STARTS - 1],
            memory[STARTS / 2]
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn a_million_rewards_hold_up_no_start_on_sqlite() {
    compare(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn a_million_rewards_hold_up_no_start_on_postgres() {
    compare(Backend::Postgres).await;
}
