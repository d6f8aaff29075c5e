//! How often a purchase waits for PostgreSQL. Exact counts: a change that adds one is seen here.

use serde_json::{Value, json};

use super::cut::behind_a_proxy;
use crate::support::order;

/// Beside a purchase the service's loops look at the database now and then. So the least of some purchases counts.
const PURCHASES: usize = 20;

/// How often the server is waited for, by a purchase that nothing else comes between.
async fn least(body: Value) -> usize {
    let (app, proxy) = behind_a_proxy().await;
    let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": []});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let mut least = usize::MAX;
    for round in 0..PURCHASES {
        let before = proxy.round_trips();
        let answer = app.issue_body(&format!("round-{round}"), body.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        least = least.min(proxy.round_trips() - before);
    }
    app.end().await;
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_waits_four_times() {
    // For its key, for what the idempotency key named before, for the intent and for the outcome.
    assert_eq!(least(order("1.00")).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_of_a_program_waits_eleven_times() {
    // Besides for the program and for what its budgets have left. The intent's transaction looks at the program again and takes from the
    // budgets, so that it has a beginning, a row, these two, the ceilings and an end.
    let mut body = order("1.00");
    body["program_id"] = json!("prg_spring");
    assert_eq!(least(body).await, 11);
}
