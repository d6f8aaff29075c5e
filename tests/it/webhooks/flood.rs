//! Many events about some rewards, three replicas of which one dies again and again, a receiver that takes everything, and one that fails,
//! closes, redirects and hangs. What arrives is looked at event by event. It takes minutes, so it is left to the soak.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;

use super::{
    receiver::{Receiver, Reply, Sent, status},
    shape,
};
use crate::{
    kill::start,
    process::Served,
    support::{App, Backend, Shape, rounds},
};

const EVENTS: usize = 6_000;
const KILLS: usize = 10;
/// What the events are about.
const REWARDS: usize = 200;
/// One of so many events is heard by the receiver in trouble. It has no divisor in common with the number of rewards, so it is about each.
const TROUBLED: usize = 101;
/// Long after all should have arrived.
const PATIENCE: Duration = Duration::from_secs(7_200);
/// Facts of one transaction.
const OF_TRANSACTION: usize = 50;

/// Puts down events of these rewards, each with its place in the timeline, in transactions that end in no order.
async fn write_facts(app: &App, all: usize) {
    let writers = (0..4).map(async |writer: usize| {
        let mut connection = app.database.postgres().await;
        for from in (0..all).step_by(OF_TRANSACTION).skip(writer).step_by(4) {
            let to = all.min(from + OF_TRANSACTION);
            // A reward's events are one writer's: their order is that of their transactions.
            let text = format!(
                "INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind) \
                 SELECT now(), 1000 + n, r.id, r.client_id, 'reward', 'main', CASE WHEN n % {TROUBLED} = 0 THEN 'reward.canceled' ELSE 'reward.issued' END \
                 FROM generate_series({from}, {to} - 1) AS n JOIN (SELECT id, client_id, row_number() OVER (ORDER BY id) - 1 AS place FROM rewards) AS r \
                 ON r.place = {writer} * {of_writer} + n % {of_writer} ORDER BY n",
                of_writer = REWARDS / 4
            );
            sqlx::Executor::execute(&mut connection, sqlx::AssertSqlSafe(text)).await.unwrap();
        }
    });
    futures_util::future::join_all(writers).await;
}

/// How a receiver in trouble answers, again and again.
fn troubles(count: usize) -> Vec<Reply> {
    let moved = Reply::Status(307, "Location: http://127.0.0.1:1/elsewhere\r\n".to_owned());
    let cycle = [status(500), status(204), Reply::Close, status(204), moved, status(204), status(429), status(204)];
    let mut all: Vec<Reply> = cycle.into_iter().cycle().take(count).collect();
    for at in (0..count).step_by(17) {
        all[at] = Reply::Hang;
    }
    all
}

/// The id of each event that arrived first, by reward, in the order of arrival. An event that comes again is the same.
fn first_arrivals(sent: &[Sent]) -> BTreeMap<String, Vec<i64>> {
    let (mut seen, mut by_reward) = (BTreeSet::new(), BTreeMap::<String, Vec<i64>>::new());
    for one in sent {
        if seen.insert(one.header("webhook-id").to_owned()) {
            let data = &one.json()["data"];
            let reward = data["reward_id"].as_str().unwrap().to_owned();
            by_reward.entry(reward).or_default().push(data["sequence"].as_i64().unwrap());
        }
    }
    by_reward
}

/// What failed is tried again at once: the schedule has days.
async fn hurry(app: &App) {
    let text = "UPDATE webhook_deliveries SET due_at = now() WHERE state = 'pending' AND attempts > 0 AND due_at > now() + INTERVAL '20 seconds'";
    app.database.execute(text).await.unwrap();
    app.database.execute("UPDATE webhook_endpoints SET failing_since = NULL, failures = 0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes (tests/soak)"]
async fn replicas_that_are_killed_deliver_each_of_many_events_in_its_order() {
    let (events, kills) =
        (rounds::count_of("NOSHI_TEST_WEBHOOK_EVENTS", EVENTS), rounds::count_of("NOSHI_TEST_WEBHOOK_KILLS", KILLS));
    let folder = tempfile::tempdir().unwrap();
    let (steady, troubled) = (Receiver::start().await, Receiver::start().await);
    troubled.script(troubles(events / TROUBLED));
    let shape = Shape { funds: 1_000_000, ..shape(&folder) }.with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let mut app = App::shaped(Backend::Postgres, shape).await;
    for at in 0..REWARDS {
        assert_eq!(app.issue(&format!("{at}"), "1.00").await.status, 201);
    }
    for (receiver, heard) in [(&steady, "reward.issued"), (&troubled, "reward.canceled")] {
        let made = app.post("/v1/webhook-endpoints", json!({"url": receiver.url(), "event_types": [heard]})).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    assert!(app.stop().await);
    let before = app.database.number("SELECT COALESCE(MAX(id), 0) FROM facts").await;
    let mut replicas: Vec<Served> = Vec::new();
    for _ in 0..3 {
        replicas.push(start(app.environment().to_vec()).await.unwrap());
    }
    let began = app.ambient.monotonic();
    let wanted = |kind: &str| format!("SELECT COUNT(*) FROM facts WHERE id > {before} AND kind = '{kind}'");
    let killing = async {
        for kill in 1..=kills {
            while steady.count() < (events - events / TROUBLED) * kill / (kills + 1) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            drop(replicas.remove(0));
            replicas.push(start(app.environment().to_vec()).await.unwrap());
        }
    };
    tokio::join!(write_facts(&app, events), killing);
    let open = "SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'pending'";
    let total = i64::try_from(events).unwrap();
    let all_put_down = "SELECT COUNT(*) FROM webhook_deliveries";
    while app.database.number(all_put_down).await < total || app.database.number(open).await > 0 {
        assert!(began.elapsed() < PATIENCE, "something does not arrive");
        hurry(&app).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(app.database.number(all_put_down).await, total, "each event is for one endpoint, once");
    let took = began.elapsed();
    for (receiver, kind) in [(&steady, "reward.issued"), (&troubled, "reward.canceled")] {
        let sent = receiver.sent();
        let by_reward = first_arrivals(&sent);
        let distinct: usize = by_reward.values().map(Vec::len).sum();
        assert_eq!(
            i64::try_from(distinct).unwrap(),
            app.database.number(&wanted(kind)).await,
            "{kind}: none is skipped"
        );
        for (reward, order) in &by_reward {
            assert!(order.is_sorted(), "{kind} of {reward} came out of their order: {order:?}");
        }
        assert!(!sent.iter().any(|one| one.body.contains("claim")), "a code");
        rounds::print(&format!(
            "webhooks, {kind}: {distinct} events, {} messages, each in its reward's order",
            sent.len()
        ));
    }
    rounds::print(&format!("webhooks: {events} events in {took:?}, {kills} replicas killed"));
    drop(replicas);
    app.end().await;
}
