//! Several replicas on one database.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::Executor as _;

use super::{Receiver, Sender, receiver::status, shape};
use crate::{
    kill::start,
    support::{App, Backend, Shape, wait},
};

const REWARDS: usize = 40;

/// PostgreSQL only: one process serves a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_send_each_event_once_while_nothing_fails() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut app = App::shaped(Backend::Postgres, Shape { funds: 1_000_000, ..shape(&folder) }).await;
    let body = json!({"url": receiver.url(), "event_types": ["reward.issued"]});
    assert_eq!(app.post("/v1/webhook-endpoints", body).await.status, 201);
    assert!(app.stop().await);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(start(app.environment().to_vec()).await.unwrap());
    }
    for at in 0..REWARDS {
        let base = &replicas[at % replicas.len()].base;
        let answer = app.try_issue_at(base, &format!("{at}"), "1.00").await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    receiver.until(REWARDS).await;
    wait::until("every delivery is settled", async || {
        app.database.number("SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'delivered'").await
            == i64::try_from(REWARDS).unwrap()
    })
    .await;
    let sent = receiver.sent();
    let ids: BTreeSet<&str> = sent.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!((ids.len(), sent.len()), (REWARDS, REWARDS));
    drop(replicas);
    app.end().await;
}

/// PostgreSQL only: ids are given before their transactions commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_transaction_ends_late_is_not_skipped() {
    let (sender, receiver) = (Sender::open(Backend::Postgres).await, Receiver::start().await);
    sender.listen(&receiver, &["reward.issued", "reveals.many"]).await;
    let mut late = sender.app.database.postgres().await;
    let fact = format!(
        "BEGIN; INSERT INTO facts (at, kind, subject_kind, subject) VALUES (now(), 'reveals.many', 'client', '{}')",
        sender.app.client
    );
    late.execute(sqlx::AssertSqlSafe(fact)).await.unwrap();
    assert_eq!(sender.app.issue("one", "5.00").await.status, 201);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(receiver.sent().is_empty(), "a smaller id can still be committed");
    late.execute("COMMIT").await.unwrap();
    let sent = receiver.until(2).await;
    let mut types: Vec<String> = sent.iter().map(super::receiver::Sent::event_type).collect();
    types.sort();
    assert_eq!(types, ["reveals.many", "reward.issued"]);
    sender.end().await;
}

/// PostgreSQL only, for the same reason: the endpoint is made while an event has its id and is not committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_committed_after_the_endpoint_was_made_is_heard_whatever_its_id() {
    let (sender, receiver) = (Sender::open(Backend::Postgres).await, Receiver::start().await);
    let mut late = sender.app.database.postgres().await;
    let fact = format!(
        "BEGIN; INSERT INTO facts (at, kind, subject_kind, subject) VALUES (now(), 'reveals.many', 'client', '{}')",
        sender.app.client
    );
    late.execute(sqlx::AssertSqlSafe(fact)).await.unwrap();
    sender.listen(&receiver, &["reveals.many"]).await;
    late.execute("COMMIT").await.unwrap();
    receiver.until(1).await;
    sender.end().await;
}

/// PostgreSQL only: there rows are locked one by one. What another replica settles has its delivery's row, and waits for the endpoint's; whoever
/// enables the endpoint has that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_enables_an_endpoint_does_not_wait_for_what_is_being_settled() {
    let (sender, receiver) = (Sender::open(Backend::Postgres).await, Receiver::start().await);
    let listener = sender.listen(&receiver, &["reward.issued"]).await;
    receiver.script([status(500)]);
    sender.app.issue("one", "5.00").await;
    sender.until_attempts(&listener, 1).await;
    let mut settling = sender.app.database.postgres().await;
    settling.execute("BEGIN; SELECT 1 FROM webhook_deliveries FOR UPDATE").await.unwrap();
    let enabled = sender.patch(&listener, json!({"state": "enabled"})).await;
    assert_eq!(enabled.status, 200, "{}", enabled.text);
    settling.execute("ROLLBACK").await.unwrap();
    sender.advance(10);
    receiver.until(2).await;
    sender.end().await;
}

/// SQLite only: it gives the ids of deleted facts again, where they were the newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_whose_ids_a_deleted_timeline_had_are_sent() {
    let (sender, receiver) = (Sender::open(Backend::Sqlite).await, Receiver::start().await);
    sender.listen(&receiver, &["reward.issued"]).await;
    assert_eq!(sender.app.issue("old", "5.00").await.status, 201);
    receiver.until(1).await;
    let through = "SELECT through FROM webhook_feed";
    let newest = sender.app.database.number("SELECT MAX(id) FROM facts").await;
    sender.app.until_number(through, newest).await;
    sender.app.database.execute("UPDATE rewards SET archived_at = created_at").await.unwrap();
    assert!(sender.app.database.execute("DELETE FROM facts WHERE subject_id IS NOT NULL").await.unwrap() > 0);
    assert!(sender.app.database.number(through).await < newest);
    // Deliveries go long before a reward is archived.
    sender.app.database.execute("DELETE FROM webhook_deliveries").await.unwrap();
    assert_eq!(sender.app.issue("new", "5.00").await.status, 201);
    let sent = receiver.until(2).await;
    assert_ne!(sent[0].header("webhook-id"), sent[1].header("webhook-id"), "also where a fact has the id of another");
    sender.end().await;
}
