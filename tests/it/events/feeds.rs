//! Feeds that are read by id: nobody who goes on from the last id that they were shown misses a row, however late it is committed.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use noshi::{
    events::{Named, outbox},
    store::Store,
};
use serde_json::Value;
use sqlx::Executor;

use crate::support::{Answer, App, Backend, on_each_backend};

/// Events that are written; the soak says how many by a variable.
fn rows() -> usize {
    #[expect(clippy::disallowed_methods, reason = "the soak says how many by a variable")]
    let told = std::env::var("NOSHI_TEST_FEED_ROWS").ok();
    told.map_or(600, |text| text.parse().unwrap())
}

const WRITERS: usize = 12;

/// A feed, and a row of it that nothing else writes, as the release before writes it.
struct Feed {
    name: &'static str,
    query: &'static str,
    insert: &'static str,
    table: &'static str,
    metric: &'static str,
}

const FEEDS: [Feed; 2] = [
    Feed {
        name: "events",
        query: "type=program.renamed",
        insert: "INSERT INTO events (at, kind, subject) VALUES (now(), 'program.renamed', 'prg_a')",
        table: "facts",
        metric: "noshi_feed_held_seconds{feed=\"events\"}",
    },
    Feed {
        name: "ledger-entries",
        query: "account_id=elsewhere",
        insert: "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) \
                 VALUES (now(), 'elsewhere', 'USD', 'deposit', 'funds', 'deposits', 1)",
        table: "ledger_entries",
        metric: "noshi_feed_held_seconds{feed=\"ledger_entries\"}",
    },
];

/// The ids after this one.
async fn page(app: &App, base: &str, feed: &str, after: i64) -> Vec<i64> {
    let path = format!("{base}/v1/{feed}&limit=200&cursor={after}");
    let answer = Answer::of(app.http.get(path).bearer_auth(&app.key)).await;
    let id = |row: &Value| row["id"].as_str().unwrap().trim_start_matches("evt_").parse().unwrap();
    answer.json["data"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).iter().map(id).collect()
}

impl Feed {
    async fn after(&self, app: &App, id: i64) -> Vec<i64> {
        page(app, &app.base, &format!("{}?{}", self.name, self.query), id).await
    }

    /// How long its next row has waited, as the metric has it.
    async fn waited(&self, app: &App) -> f64 {
        let page = app.metrics().await;
        let line = page.lines().find_map(|line| line.strip_prefix(self.metric));
        line.unwrap_or_else(|| panic!("{page}")).trim().parse().unwrap()
    }
}

async fn begun(app: &App) -> sqlx::PgConnection {
    let mut connection = app.database.postgres().await;
    connection.execute("BEGIN").await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_shown_while_a_smaller_id_can_still_be_committed() {
    let app = App::spawn(Backend::Postgres).await;
    // Whoever only reads holds nothing back, however long.
    let mut report = begun(&app).await;
    report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT COUNT(*) FROM facts").await.unwrap();
    for feed in &FEEDS {
        let (mut early, mut undone, mut late) = (begun(&app).await, begun(&app).await, begun(&app).await);
        early.execute(feed.insert).await.unwrap();
        undone.execute(feed.insert).await.unwrap();
        late.execute("SAVEPOINT s").await.unwrap();
        late.execute(feed.insert).await.unwrap();
        late.execute("ROLLBACK TO SAVEPOINT s").await.unwrap();
        for _ in 0..100 {
            late.execute(feed.insert).await.unwrap();
        }
        late.execute("COMMIT").await.unwrap();
        assert_eq!(feed.after(&app, 0).await.len(), 0, "{}: a row before it can still be committed", feed.name);
        if feed.name == "ledger-entries" {
            let path = format!("/v1/{}?{}", feed.name, feed.query);
            let csv = Answer::of(app.request("GET", &path).header("Accept", "text/csv")).await;
            assert_eq!(csv.text.lines().count(), 1, "only the names of the columns: {}", csv.text);
        }
        assert!(feed.waited(&app).await > 0.0, "nobody would notice a feed that stands still");
        early.execute("COMMIT").await.unwrap();
        assert_eq!(feed.after(&app, 0).await.len(), 1, "{}: up to the one that is still open", feed.name);
        undone.execute("ROLLBACK").await.unwrap();
        let all = feed.after(&app, 0).await;
        assert_eq!(all.len(), 101, "{}", feed.name);
        assert!(all.is_sorted(), "{all:?}");
        assert!(feed.waited(&app).await == 0.0);

        // Without the lock the same order loses the early row: the test can fail.
        let trigger = |what: &str| format!("ALTER TABLE {0} {what} TRIGGER {0}_hold_back", feed.table);
        app.database.execute(&trigger("DISABLE")).await.unwrap();
        let (mut early, mut late) = (begun(&app).await, begun(&app).await);
        early.execute(feed.insert).await.unwrap();
        late.execute(feed.insert).await.unwrap();
        late.execute("COMMIT").await.unwrap();
        let shown = feed.after(&app, all[100]).await;
        assert_eq!(shown.len(), 1);
        early.execute("COMMIT").await.unwrap();
        assert_eq!(feed.after(&app, shown[0]).await.len(), 0, "the early row is never seen");
        app.database.execute(&trigger("ENABLE")).await.unwrap();
    }
    report.execute("COMMIT").await.unwrap();
    app.end().await;
}

async fn write(store: &Store, app: &App, number: usize) {
    let mut tx = store.begin().await.unwrap();
    outbox::write(&mut tx, "balance.low", Named::Account("main"), None, app.ambient.now()).await.unwrap();
    // Each takes another time between its id and its commit.
    tokio::time::sleep(Duration::from_millis((number * 7 % 11) as u64)).await;
    tx.commit(()).await.unwrap();
}

/// Follows a feed to the end of the writing, and returns what it was shown.
async fn follow(app: &App, base: &str, feed: &str, ended: &AtomicBool) -> Vec<i64> {
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let over = ended.load(Ordering::Acquire);
        let rows = page(app, base, &format!("{feed}?"), after).await;
        match rows.last() {
            Some(last) => after = *last,
            None if over => return seen,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        seen.extend(rows);
    }
}

on_each_backend! {
    async fn followers_beside_replicas_at_load_miss_no_row(backend: Backend) {
        let app = App::spawn(backend).await;
        let mut replicas = Vec::new();
        // A file has one process.
        for _ in 0..if backend == Backend::Postgres { 2 } else { 0 } {
            replicas.push(noshi::bootstrap::start(&app.settings, app.ambient.clone()).await.unwrap());
        }
        let mut bases: Vec<String> = replicas.iter().map(|one| format!("http://{}", one.api_address())).collect();
        bases.push(app.base.clone());
        let (store, ended) = (app.open_store().await, AtomicBool::new(false));
        // A file has one writer: while one waits, all others do.
        let rows = if backend == Backend::Postgres { rows() } else { rows() / 4 };
        let (events, purchases) = (rows / WRITERS, (rows / 40 / WRITERS).max(1));
        let writing = async {
            let writers = (0..WRITERS).map(|writer| {
                let (store, app, bases) = (&store, &app, &bases);
                async move {
                    for number in 0..events {
                        write(store, app, writer + number).await;
                    }
                    for number in 0..purchases {
                        let (base, key) = (&bases[number % bases.len()], format!("{writer}-{number}"));
                        let answer = app.try_issue_at(base, &key, "1.00").await.unwrap();
                        assert!(answer.status < 300, "{}", answer.text);
                    }
                }
            });
            futures_util::future::join_all(writers).await;
            ended.store(true, Ordering::Release);
        };
        let followers = bases.iter().flat_map(|base| FEEDS.map(|feed| (base, feed.name)));
        let following = futures_util::future::join_all(followers.map(|(base, feed)| {
            let (app, ended) = (&app, &ended);
            async move { (feed, follow(app, base, feed, ended).await) }
        }));
        let ((), seen) = tokio::join!(writing, following);
        let all_events = app.database.number("SELECT COUNT(*) FROM facts WHERE subject_id IS NULL").await;
        let all_entries = app.database.number("SELECT COUNT(*) FROM ledger_entries").await;
        assert!(all_events >= (events * WRITERS) as i64 && all_entries >= (2 * purchases * WRITERS) as i64);
        for (feed, ids) in &seen {
            let whole = if *feed == "events" { all_events } else { all_entries };
            assert_eq!(ids.len() as i64, whole, "{feed}: rows were skipped, or shown twice");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{feed}: shown twice");
        }
        println!("{} followers of {all_events} events and {all_entries} entries missed none", seen.len());
        store.close().await;
        for replica in replicas {
            assert!(replica.run_until(async {}).await);
        }
        app.end().await;
    }
}
