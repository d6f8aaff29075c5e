//! Amazon's books against ours: what is found, what is no finding, and what becomes of a card that only Amazon knows.

mod classes;
mod command;
mod days;
mod million;
pub(crate) mod orphans;
mod plant;
mod sources;
mod surface;

use serde_json::{Value, json};

use crate::support::{Answer, App, wait::until};

/// The day that most tests compare: long over by the machine's clock.
pub(crate) const DAY: &str = "2026-11-10";

pub(crate) async fn begin(app: &App, from: &str, to: &str) -> Answer {
    app.post("/v1/reconciliations", json!({"account_id": "main", "from": from, "to": to})).await
}

/// Waits until a run has ended.
async fn ended(app: &App, id: &str) -> Value {
    let mut last = Value::Null;
    until("the reconciliation ends", async || {
        let run = app.get(&format!("/v1/reconciliations/{id}")).await;
        assert_eq!(run.status, 200, "{}", run.text);
        last = run.json;
        last["status"] != "running"
    })
    .await;
    last
}

/// Compares days to the end.
pub(crate) async fn reconcile(app: &App, from: &str, to: &str) -> Value {
    let begun = begin(app, from, to).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(begun.header("location"), format!("/v1/reconciliations/{}", begun.id()));
    ended(app, begun.id()).await
}

/// Everything that a run found, page by page.
pub(crate) async fn items(app: &App, run: &Value) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/reconciliations/{}/items?limit=200{next}", run["id"].as_str().unwrap())).await;
        assert_eq!(page.status, 200, "{}", page.text);
        all.extend(page.json["data"].as_array().unwrap().iter().cloned());
        match page.json["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
    }
}

/// How many of each: matched, ours only, theirs only, amount differs, state differs, unproven, unchecked.
pub(crate) fn counts(run: &Value) -> [i64; 7] {
    assert_eq!(run["status"], "finished", "{run}");
    ["matched", "ours_only", "theirs_only", "amount_differs", "state_differs", "unproven", "unchecked"]
        .map(|name| run[name].as_i64().unwrap())
}

/// Waits until what runs needed while they were under way is gone.
async fn nothing_is_left_over(app: &App) {
    app.until_number("SELECT COUNT(*) FROM reconciliation_seen", 0).await;
}
