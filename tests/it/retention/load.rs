//! Retention under load: purchases go on meanwhile, and the books are the same to the cent.
//!
//! What it costs, with a release build: `NOSHI_TEST_RETENTION_REWARDS=1000000 NOSHI_TEST_RETENTION_PURCHASES=3000
//! NOSHI_TEST_PROGRAM=target/release/noshi cargo nextest run purchases_go_on`. It prints latencies without and with a retention that runs,
//! and what a reward takes before and after.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{
    ARCHIVED, SETTING,
    grown::{grown, whole},
};
use crate::{
    kill::start,
    support::{
        App, Backend, Database, Shape, on_each_backend,
        rounds::{count_of, print},
        wait::until,
    },
};

/// Everyday rewards, and purchases of each phase.
const REWARDS: usize = 2_000;
const PURCHASES: usize = 100;
/// Between two purchases: 50 a second, whatever becomes of those before.
const TICK: Duration = Duration::from_millis(20);
/// What a purchase costs, in minor units.
const PRICE: i64 = 500;
const BEFORE: &str = "SELECT CAST(SUM(id * amount_minor % 1000003) AS BIGINT) FROM ledger_entries WHERE id <= ";

/// Buys at that pace. Returns how long each purchase took, counted from when it was due, shortest first.
async fn buy(app: &App, base: &str, phase: &str, purchases: usize) -> Vec<Duration> {
    let begin = app.ambient.monotonic();
    let due = stream::iter(0..purchases).map(|at| async move {
        let due = begin + TICK * u32::try_from(at).unwrap();
        tokio::time::sleep_until(due.into()).await;
        let mut answer = app.try_issue_at(base, &format!("{phase}-{at}"), "5.00").await.unwrap();
        // A machine that is busy with other builds may be late. The same key asks again, as a caller does.
        while answer.status == 503 {
            answer = app.try_issue_at(base, &format!("{phase}-{at}"), "5.00").await.unwrap();
        }
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
        due.elapsed()
    });
    let mut took: Vec<Duration> = due.buffer_unordered(200).collect().await;
    took.sort();
    took
}

fn at(took: &[Duration], thousandth: usize) -> u128 {
    took[(took.len() * thousandth / 1000).min(took.len() - 1)].as_micros()
}

/// The bytes of what rewards leave, once nothing is unused.
async fn bytes(database: &Database) -> i64 {
    match database.backend {
        Backend::Sqlite => {
            let text = "SELECT (page_count - freelist_count) * page_size \
                        FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
            database.number(text).await
        }
        Backend::Postgres => {
            database.execute("VACUUM FULL rewards").await.unwrap();
            database.execute("VACUUM FULL facts").await.unwrap();
            let text = "SELECT pg_total_relation_size('rewards') + pg_total_relation_size('facts') + pg_total_relation_size('ledger_entries')";
            database.number(text).await
        }
    }
}

/// What can be archived by the machine's clock: `through` is where the walk ends.
const LEFT: &str = "SELECT COUNT(*) FROM rewards WHERE archived_at IS NULL AND state IN ('issued', 'failed', 'canceled') \
                    AND id <= (SELECT through FROM retention)";

on_each_backend! {
    async fn purchases_go_on_while_rewards_are_archived_and_not_a_cent_moves(backend: Backend) {
        let rewards = i64::try_from(count_of("NOSHI_TEST_RETENTION_REWARDS", REWARDS)).unwrap();
        let purchases = count_of("NOSHI_TEST_RETENTION_PURCHASES", PURCHASES);
        let shape = Shape { funds: 100_000_000, ..Shape::default() };
        let mut app = App::on(grown(backend, rewards).await, shape).await;
        assert!(app.stop().await);
        let described = "UPDATE rewards SET metadata = '{\"campaign\":\"spring\",\"channel\":\"web\"}' WHERE external_id IS NOT NULL";
        app.database.execute(described).await.unwrap();
        let last = app.database.number("SELECT MAX(id) FROM ledger_entries").await;
        let ledger = format!("{BEFORE}{last}");
        let (sum, whole_size) = (app.database.number(&ledger).await, bytes(&app.database).await);

        let served = start(app.environment().to_vec()).await.unwrap();
        let quiet = buy(&app, &served.base, "quiet", purchases).await;
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
        assert_eq!(app.database.number(ARCHIVED).await, 0);

        let mut environment = app.environment().to_vec();
        environment.push((SETTING.to_owned(), "90".to_owned()));
        let served = start(environment).await.unwrap();
        let busy = buy(&app, &served.base, "busy", purchases).await;
        let meanwhile = app.database.number(ARCHIVED).await;
        assert!(meanwhile > 0, "nothing was archived while rewards were bought");
        while app.database.number("SELECT COUNT(*) FROM retention WHERE lease_token IS NOT NULL").await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        until("the walk has ended", async || app.database.number(LEFT).await == 0).await;
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());

        whole(&app.database).await;
        let archived = app.database.number(ARCHIVED).await;
        assert_eq!(app.database.number(&ledger).await, sum, "an entry of before was touched");
        let bought = i64::try_from(2 * purchases).unwrap();
        let of = |kind: &str| format!("SELECT COALESCE(CAST(SUM(amount_minor) AS BIGINT), 0) FROM ledger_entries WHERE id > {last} AND kind = '{kind}'");
        for kind in ["reserved", "issued"] {
            assert_eq!(app.database.number(&of(kind)).await, bought * PRICE, "{kind}");
        }
        assert_eq!(i64::try_from(app.live_cards().len()).unwrap(), bought);
        let size = bytes(&app.database).await;
        print(&format!(
            "{backend:?}: {rewards} rewards, {archived} archived, {meanwhile} of them while {purchases} were bought; quiet p50 {} p99 {} us, \
             meanwhile p50 {} p99 {} us; {} bytes a reward before, {} after",
            at(&quiet, 500), at(&quiet, 990), at(&busy, 500), at(&busy, 990), whole_size / rewards, size / rewards
        ));
        app.end().await;
    }
}
