//! Balances with a history: the opening, deposits found and booked, what is missing, alarms. At rest the ledger says to
//! the minor unit what Amazon has, whatever ran meanwhile.

mod alarms;
mod clock;
mod deposits;
mod floor;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::{App, PARTNER, wait::found};

/// For how long observations must agree, as the settings have it.
pub(crate) const CONFIRM_SECONDS: i64 = 300;

/// Asks for the balance anew, and waits until an observation later than everything before has been written.
pub(crate) async fn observe(app: &mut App) -> Value {
    // The last question was a moment ago for Amazon, or for us. One that is under way since before this does not count: who
    // asks next would ask Amazon anew.
    app.advance(3);
    let before = app.ambient.now();
    found("a balance is observed", async || {
        let said = app.post("/v1/balances/main/refresh", json!({})).await;
        assert_eq!(said.status, 200, "{}", said.text);
        let as_of = said.json["as_of"].as_str().map(|as_of| as_of.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        as_of.is_some_and(|as_of| as_of > before).then_some(said.json)
    })
    .await
}

/// Observes until what differs from the ledger has been seen twice, minutes apart: then it is booked or told.
pub(crate) async fn settle(app: &mut App) -> Value {
    observe(app).await;
    app.advance(CONFIRM_SECONDS);
    observe(app).await
}

/// The sum of the ledger's entries of a kind.
pub(crate) async fn sum(app: &App, kind: &str) -> i64 {
    let text = format!(
        "SELECT CAST(COALESCE(SUM(CASE WHEN debit = 'adjustments' THEN -amount_minor ELSE amount_minor END), 0) AS BIGINT) \
         FROM ledger_entries WHERE kind = '{kind}'"
    );
    app.database.number(&text).await
}

/// Fails unless opening + deposits + adjustments − issued + canceled is what Amazon has, in cents.
pub(crate) async fn ledger_is_amazons(app: &App) {
    let mut expected = 0;
    for (kind, sign) in [("opening", 1), ("deposit", 1), ("adjustment", 1), ("issued", -1), ("canceled", 1)] {
        expected += sign * sum(app, kind).await;
    }
    assert_eq!(Decimal::new(expected, 2), app.control.funds(PARTNER).unwrap(), "the ledger is not Amazon's");
}

/// Every event of a kind, oldest first.
pub(crate) async fn events(app: &App, kind: &str) -> Vec<Value> {
    let page = app.get(&format!("/v1/events?type={kind}&limit=200")).await;
    page.json["data"].as_array().unwrap().clone()
}

/// The value of a metric, as far as it is there.
pub(crate) async fn metric(app: &App, name: &str) -> Option<f64> {
    let page = app.metrics().await;
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
