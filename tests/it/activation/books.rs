//! Activations in Amazon's activity report: no false alarm where the report does not list them, and compared where it does.

use noshi::sandbox::{Activity, ActivityType};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Backend, Till, on_each_backend};
use crate::reconciliation::{counts, items, reconcile};

/// Four cards and a gift code: one card is deactivated. A day later.
async fn a_day_of_business(backend: Backend) -> (Till, String) {
    let mut till = Till::open(backend).await;
    let numbers: Vec<String> = till.app.control.cards().into_iter().map(|card| card.card_number).collect();
    for (at, number) in numbers.iter().take(4).enumerate() {
        assert_eq!(till.activate(&format!("card-{at}"), number).await.status, 201);
    }
    let code = till.app.issue("code", "5.00").await;
    assert_eq!(code.status, 201, "{}", code.text);
    let first = till.app.get("/v1/rewards?kind=card_activation").await.json["data"][0].clone();
    assert_eq!(till.app.cancel(first["id"].as_str().unwrap()).await.json["status"], "canceled");
    let day = till.app.ambient.now().format("%Y-%m-%d").to_string();
    till.app.advance(2 * 86_400);
    (till, day)
}

fn is_activation(record: &Activity) -> bool {
    matches!(record.activity_type, ActivityType::GCActivation | ActivityType::GCDeactivation)
}

async fn reconciled(till: &Till, day: &str) -> (Value, Vec<Value>) {
    let run = reconcile(&till.app, day, day).await;
    let found = items(&till.app, &run).await;
    (run, found)
}

on_each_backend! {
    async fn activations_that_the_report_lists_are_compared_like_everything_else(backend: Backend) {
        let (till, day) = a_day_of_business(backend).await;
        let (run, _) = reconciled(&till, &day).await;
        assert_eq!(counts(&run), [5, 0, 0, 0, 0, 0, 0], "{run}");

        // One is not listed, of one the amount is another, one is only Amazon's.
        let (missing, other) = (till.app.amazon_id("card-0"), till.app.amazon_id("card-1"));
        let strange = format!("{}{}", crate::support::PARTNER, "A".repeat(32));
        till.app.control.edit_activity(|records| {
            let template = records.iter().find(|record| record.request_id == other).unwrap().clone();
            records.retain(|record| record.request_id != missing);
            for record in records.iter_mut().filter(|record| record.request_id == other) {
                record.amount = Some(Decimal::from(26));
            }
            records.push(Activity { request_id: strange.clone(), ..template });
        });
        let (run, found) = reconciled(&till, &day).await;
        assert_eq!(counts(&run), [3, 1, 1, 1, 0, 0, 0], "{run}");
        let of = |class: &str| found.iter().find(|item| item["class"] == class).unwrap();
        assert_eq!(of("ours_only")["creation_request_id"], json!(missing));
        assert_eq!(of("amount_differs")["creation_request_id"], json!(other));
        assert_eq!(of("theirs_only")["creation_request_id"], json!(strange));
        // No report has the number of a card, so no row is made for it.
        assert_eq!(till.app.database.number("SELECT COUNT(*) FROM rewards").await, 5);
        till.app.end().await;
    }

    async fn activations_that_the_report_does_not_list_are_no_alarm(backend: Backend) {
        let (till, day) = a_day_of_business(backend).await;
        till.app.control.edit_activity(|records| records.retain(|record| !is_activation(record)));
        let (run, found) = reconciled(&till, &day).await;
        // Four cards were bought, and nobody says what became of them.
        assert_eq!(counts(&run), [1, 0, 0, 0, 0, 0, 4], "{run} {found:?}");
        // A gift code that is missing is one all the same.
        let code = till.app.amazon_id("code");
        till.app.control.edit_activity(|records| records.retain(|record| record.request_id != code));
        let (run, _) = reconciled(&till, &day).await;
        assert_eq!(counts(&run)[1], 1, "{run}");
        till.app.end().await;
    }
}
