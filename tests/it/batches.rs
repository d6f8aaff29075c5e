//! Batches: many rewards are bought one after the other, each once, beside whoever waits for an answer, and never with a code.

mod campaign;
mod crash;
mod run;
mod upload;

use serde_json::{Value, json};

use crate::support::{Answer, App, wait, with_json};

/// An item of this value.
fn item(external_id: &str, amount: &str) -> Value {
    json!({"external_id": external_id, "value": {"amount": amount, "currency_code": "USD"}})
}

/// So many items of 1.00 whose external ids begin with this.
fn items(stem: &str, count: usize) -> Vec<Value> {
    (0..count).map(|at| item(&format!("{stem}-{at}"), "1.00")).collect()
}

async fn send(app: &App, key: &str, body: &Value) -> Answer {
    Answer::of(with_json(app.request("POST", "/v1/batches").header("Idempotency-Key", key), body)).await
}

/// Sends a batch that is taken; its id.
async fn taken(app: &App, key: &str, items: Vec<Value>) -> String {
    let answer = send(app, key, &json!({"items": items})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.header("location"), format!("/v1/batches/{}", answer.id()));
    answer.id().to_owned()
}

async fn read(app: &App, id: &str) -> Value {
    let answer = app.get(&format!("/v1/batches/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let counted: i64 = answer.json["counts"].as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
    assert_eq!(counted, answer.json["items"].as_i64().unwrap(), "progress adds up: {}", answer.text);
    answer.json
}

async fn until_state(app: &App, id: &str, state: &str) -> Value {
    wait::until(&format!("{id} is {state}"), async || read(app, id).await["state"] == state).await;
    read(app, id).await
}

async fn until_ended(app: &App, id: &str) -> Value {
    wait::until(&format!("{id} has ended"), async || !read(app, id).await["ended_at"].is_null()).await;
    read(app, id).await
}

/// All items of a batch, from the lines.
async fn lines(app: &App, id: &str) -> Vec<Value> {
    let request = app.request("GET", &format!("/v1/batches/{id}/items")).header("Accept", "application/x-ndjson");
    let answer = Answer::of(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// No two cards were bought for one item, and no code is in the database's words or in these answers.
fn each_once(app: &App, cards: usize) {
    let book = app.control.book();
    assert_eq!(book.len(), cards, "bought twice, or not at all");
}
