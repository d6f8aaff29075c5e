//! How a batch goes on: paused, canceled, held up, beside others, on several replicas.

use std::time::Duration;

use futures_util::future::join_all;
use noshi::{
    identity::Scopes,
    sandbox::{Fault, FaultRule},
};
use serde_json::json;

use super::{each_once, item, items, lines, read, send, taken, until_ended, until_state};
use crate::{
    kill::start,
    support::{Answer, App, Backend, Shape, but_for_all_rewards, on_each_backend, order, wait, with_json},
    webhooks,
};

/// Amazon's rate, as slow as that.
fn at_rate(per_second: u32) -> Shape {
    Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", per_second)
}

/// How often the audit names the key of the tests for this act.
async fn recorded(app: &App, id: &str, action: &str) -> i64 {
    let key = app.get("/v1/ping").await.json["key_id"].as_str().unwrap().to_owned();
    let whose = format!("action = '{action}' AND subject = '{id}' AND actor LIKE '%{key}%'");
    app.database.number(&format!("SELECT COUNT(*) FROM audit_records WHERE {whose}")).await
}

on_each_backend! {
    async fn a_paused_batch_begins_nothing_and_goes_on_where_it_stopped(backend: Backend) {
        let app = App::shaped(backend, at_rate(5)).await;
        let id = taken(&app, "one", items("order", 30)).await;
        let paused = app.post(&format!("/v1/batches/{id}/pause"), json!({})).await;
        assert_eq!((paused.status, &paused.json["state"]), (200, &json!("paused")), "{}", paused.text);
        assert_eq!(app.post(&format!("/v1/batches/{id}/pause"), json!({})).await.status, 200, "it is so already");
        wait::until("what was handed over has ended", async || read(&app, &id).await["counts"]["sent"] == 0).await;
        let bought = app.control.book().len();
        assert!(bought < 30, "{bought}");
        // Longer than the runner waits between two looks.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!((app.control.book().len(), &read(&app, &id).await["state"]), (bought, &json!("paused")));
        app.post(&format!("/v1/batches/{id}/resume"), json!({})).await;
        assert_eq!(until_ended(&app, &id).await["counts"]["issued"], 30);
        each_once(&app, 30);
        app.post(&format!("/v1/batches/{id}/resume"), json!({})).await.is_problem(409, "invalid-state");
        assert_eq!(recorded(&app, &id, "batch.paused").await, 1, "what changed nothing is no act");
        assert_eq!(recorded(&app, &id, "batch.resumed").await, 1, "what was refused is none either");
        app.end().await;
    }

    async fn what_was_not_handed_over_when_a_batch_is_canceled_is_never_bought(backend: Backend) {
        let app = App::shaped(backend, at_rate(5)).await;
        let id = taken(&app, "one", items("order", 30)).await;
        app.until_bought().await;
        let canceled = app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await;
        assert_eq!((canceled.status, &canceled.json["state"]), (200, &json!("canceled")), "{}", canceled.text);
        let left = canceled.json["counts"]["canceled"].as_i64().unwrap();
        assert!(left > 0, "{}", canceled.text);
        let ended = until_ended(&app, &id).await;
        assert_eq!((&ended["state"], &ended["counts"]["sent"]), (&json!("canceled"), &json!(0)));
        assert!(ended["counts"]["canceled"].as_i64().unwrap() >= left);
        each_once(&app, usize::try_from(ended["counts"]["issued"].as_i64().unwrap()).unwrap());
        app.post(&format!("/v1/batches/{id}/pause"), json!({})).await.is_problem(409, "invalid-state");
        assert_eq!(app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await.status, 200, "it is so already");
        assert_eq!(recorded(&app, &id, "batch.canceled").await, 1);
        let events = app.get("/v1/events?type=batch.finished").await;
        let data = &events.json["data"][0]["data"];
        assert_eq!((&data["batch_id"], &data["state"]), (&json!(id), &json!("canceled")), "{}", events.text);
        app.end().await;
    }

    async fn a_batch_waits_for_funds_and_loses_no_item(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 3, ..at_rate(10) }).await;
        let id = taken(&app, "one", items("order", 30)).await;
        wait::until("it waits", async || read(&app, &id).await["waiting_for"] == "insufficient-funds").await;
        wait::until("all are back", async || read(&app, &id).await["counts"]["sent"] == 0).await;
        let held = read(&app, &id).await;
        assert_eq!((&held["state"], &held["counts"]["issued"], &held["counts"]["waiting"]), (&json!("running"), &json!(3), &json!(27)));
        // Whoever asks again asks with a reward that was refused before: another one would count under the ceilings of the day.
        let rewards = app.database.number("SELECT COUNT(*) FROM rewards").await;
        let untried = "UPDATE batch_items SET due_at = (SELECT created_at FROM batches) WHERE state = 'waiting' AND reward_id IS NULL";
        assert!(app.database.execute(untried).await.unwrap() > 0, "all were tried at once");
        app.database.execute("UPDATE batches SET setbacks = 1").await.unwrap();
        for tries in 2..=3 {
            app.advance(61);
            app.until_number(&format!("SELECT COUNT(*) FROM batches WHERE setbacks >= {tries}"), 1).await;
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, rewards);
        // As if Amazon had refused those only after they were handed over, when the runner did not look any more.
        let late = "UPDATE batch_items SET state = 'done', due_at = NULL WHERE state = 'waiting' AND reward_id IS NOT NULL";
        assert!(app.database.execute(late).await.unwrap() > 0);
        app.set_funds(100);
        app.advance(120);
        let ended = until_ended(&app, &id).await;
        assert_eq!((&ended["counts"]["issued"], &ended["waiting_for"]), (&json!(30), &json!(null)));
        each_once(&app, 30);
        app.end().await;
    }

    async fn a_batch_waits_for_the_next_day_of_a_budget_and_for_a_suspended_program(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", "UTC")).await;
        let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": [{"span": "day", "unit": "count", "hard": "2"}]});
        let made = app.post("/v1/programs", program).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let batch = send(&app, "one", &json!({"program_id": "prg_spring", "items": items("order", 3)})).await;
        assert_eq!(batch.status, 202, "{}", batch.text);
        let id = batch.id().to_owned();
        wait::until("it waits", async || read(&app, &id).await["waiting_for"] == "budget-exceeded").await;
        app.post("/v1/programs/prg_spring/suspend", json!({})).await;
        app.advance(24 * 3600);
        wait::until("it waits for the program", async || read(&app, &id).await["waiting_for"] == "program-suspended").await;
        app.post("/v1/programs/prg_spring/resume", json!({})).await;
        app.post(&format!("/v1/batches/{id}/resume"), json!({})).await;
        assert_eq!(until_ended(&app, &id).await["counts"]["issued"], 3);
        each_once(&app, 3);
        app.end().await;
    }

    async fn a_batch_of_a_revoked_key_stops_and_another_key_takes_it_on(backend: Backend) {
        let mut app = App::shaped(backend, at_rate(5)).await;
        let first = app.key.clone();
        app.key = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await.1;
        let id = taken(&app, "one", items("order", 40)).await;
        app.until_bought().await;
        let revoked = "UPDATE api_keys SET revoked_at = created_at WHERE id IN (SELECT api_key_id FROM batches)";
        assert_eq!(app.database.execute(revoked).await.unwrap(), 1);
        app.key = first;
        wait::until("it stops", async || read(&app, &id).await["waiting_for"] == "unauthorized").await;
        assert!(app.control.book().len() < 40);
        app.post(&format!("/v1/batches/{id}/resume"), json!({})).await;
        assert_eq!(until_ended(&app, &id).await["counts"]["issued"], 40);
        each_once(&app, 40);
        app.end().await;
    }

    /// Judged by the order in which Amazon is asked, never by a clock.
    async fn a_single_request_passes_a_batch_that_is_under_way(backend: Backend) {
        let app = App::shaped(backend, at_rate(10)).await;
        let id = taken(&app, "one", items("order", 60)).await;
        app.until_received("Create", 3).await;
        for at in 0..4 {
            let before = app.received("Create").len();
            let answer = app.issue(&format!("single-{at}"), "5.00").await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            let amazons = app.amazon_id(&format!("single-{at}"));
            let place = app.received("Create").iter().position(|one| one.creation_request_id.as_deref() == Some(amazons.as_str()));
            let passed = place.unwrap() - before;
            assert!(passed <= 3, "{passed} of the batch went before it");
        }
        assert_eq!(read(&app, &id).await["state"], "running", "the batch is under way all the time");
        app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await;
        until_ended(&app, &id).await;
        app.end().await;
    }

    async fn a_batch_whose_reward_is_in_doubt_ends_with_it(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let key = app.amazon_id("batch:order-0");
        app.control.script(FaultRule { creation_request_id: Some(key), ..FaultRule::always(Fault::DropAfterWork) }).unwrap();
        let id = taken(&app, "one", vec![item("order-0", "1.00"), item("order-1", "1.00")]).await;
        wait::until("one is in doubt", async || read(&app, &id).await["counts"]["unresolved"] == 1).await;
        assert!(read(&app, &id).await["ended_at"].is_null());
        app.control.clear_faults();
        app.advance(120);
        assert_eq!(until_ended(&app, &id).await["counts"]["issued"], 2);
        each_once(&app, 2);
        app.end().await;
    }

    async fn the_items_of_an_old_batch_are_removed_and_its_rewards_stay(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let id = taken(&app, "one", items("order", 2)).await;
        until_state(&app, &id, "finished").await;
        let reward = lines(&app, &id).await[0]["reward_id"].as_str().unwrap().to_owned();
        app.advance(91 * 24 * 3600);
        app.until_number("SELECT COUNT(*) FROM batch_items", 0).await;
        let batch = app.get(&format!("/v1/batches/{id}")).await;
        assert_eq!((&batch.json["state"], &batch.json["counts"]), (&json!("finished"), &json!(null)), "{}", batch.text);
        assert_eq!(app.read(&reward).await["status"], "issued");
        let again = send(&app, "one", &json!({"items": items("order", 2)})).await;
        assert_eq!((again.status, again.id()), (200, id.as_str()));
        each_once(&app, 2);
        app.end().await;
    }
}

/// PostgreSQL only: one process serves a file.
/// More of them than pass a batch in a row: it has its turns, and they have the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_single_requests_at_once_are_all_answered_beside_a_batch() {
    let app = App::shaped(Backend::Sqlite, at_rate(10)).await;
    let id = taken(&app, "one", items("order", 200)).await;
    app.until_received("Create", 3).await;
    // Of three clients, because one may not fill the line. Seven slots a second are theirs, and a caller waits nine seconds.
    let (_client, second) = app.mint_key("second", but_for_all_rewards()).await;
    let (_client, third) = app.mint_key("third", but_for_all_rewards()).await;
    let single = async |at: usize| {
        let key = [&app.key, &second, &third][at % 3];
        let request =
            app.anonymous("POST", "/v1/rewards").bearer_auth(key).header("Idempotency-Key", format!("single-{at}"));
        Answer::of(with_json(request, &order("5.00"))).await
    };
    for answer in join_all((0..30).map(single)).await {
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await;
    until_ended(&app, &id).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_share_a_batch_and_buy_each_item_once() {
    let mut app = App::shaped(Backend::Postgres, Shape::default()).await;
    assert!(app.stop().await);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(start(app.environment().to_vec()).await.unwrap());
    }
    app.base.clone_from(&replicas[0].base);
    let body = json!({"items": items("order", 200)});
    let answer =
        Answer::of(with_json(app.request("POST", "/v1/batches").header("Idempotency-Key", "one"), &body)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(until_ended(&app, answer.id()).await["counts"]["issued"], 200);
    each_once(&app, 200);
    assert_eq!(app.received("Create").len(), 200, "none was sent twice");
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM batch_items WHERE claims <> 1").await,
        0,
        "none was taken twice"
    );
    drop(replicas);
    app.end().await;
}

/// The audit is keyed, and the settings list no key any more: nothing can be recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_stopped_though_that_cannot_be_recorded_and_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let shape = webhooks::shape(&folder).with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 5);
    let mut app = App::shaped(Backend::Sqlite, shape).await;
    app.restart_with("NOSHI__SEALING__KEYS", "[]").await;
    let id = taken(&app, "one", items("order", 30)).await;
    let change = async |wish: &str| app.post(&format!("/v1/batches/{id}/{wish}"), json!({})).await;
    assert_eq!(change("pause").await.status, 200);
    change("resume").await.is_problem(503, "audit-unavailable");
    assert_eq!(read(&app, &id).await["state"], "paused", "nobody could say who had it bought");
    assert_eq!(change("cancel").await.status, 200);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit_records WHERE action LIKE 'batch.%'").await, 0);
    app.end().await;
}
