//! A card's number in the wrong place: whoever sells cards has it at hand where a reference or a reason is asked for, and both are
//! stored as they are.

use serde_json::{Value, json};

use super::{ACTIVATE, Backend, CARD, NEIGHBOR, Till, card, on_each_backend};

/// The number as a hand or a program writes it.
const CLOTHED: [&str; 5] = [
    CARD,
    "1400000005567585",
    "card 1400 0000 0556 7585 358",
    "1400-0000-0556-7585",
    "1400000005567585%2E358, \u{ff11}400",
];

fn with(member: &str, value: Value) -> Value {
    let mut order = card(CARD, "25.00");
    order[member] = value;
    order
}

on_each_backend! {
    async fn a_request_that_repeats_its_card_in_a_text_is_refused_by_the_field(backend: Backend) {
        let till = Till::open(backend).await;
        for text in CLOTHED {
            for (order, pointer) in [
                (with("external_id", json!(text)), "/external_id"),
                (with("metadata", json!({"card": text})), "/metadata"),
                (with("metadata", json!({text: "card"})), "/metadata"),
            ] {
                let refused = till.app.issue_body("one", order.clone()).await;
                refused.is_problem(400, "invalid-request");
                assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{order}: {}", refused.text);
                assert!(!refused.text.contains("5567585"), "{}", refused.text);
                till.app.post("/v1/rewards/validate", order).await.is_problem(400, "invalid-request");
            }
        }
        assert_eq!(till.app.database.number("SELECT COUNT(*) FROM rewards").await, 0);
        // Somebody else's number is an order number like any other.
        let issued = till.app.issue_body("one", with("external_id", json!(NEIGHBOR))).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        till.end_with_books().await;
    }

    async fn a_reason_that_repeats_the_card_is_refused_and_the_card_stays_as_it_is(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        let path = format!("/v1/rewards/{}/cancel", issued.id());
        for text in CLOTHED {
            let refused = till.app.post(&path, json!({"reason": format!("{text}, sold twice")})).await;
            refused.is_problem(400, "invalid-request");
            assert_eq!(refused.json["errors"][0]["pointer"], "/reason", "{}", refused.text);
        }
        assert_eq!(till.app.read(issued.id()).await["status"], "issued");
        assert_eq!(till.operations(), [ACTIVATE]);
        let canceled = till.app.post(&path, json!({"reason": format!("not {NEIGHBOR}, ends on 5358")})).await;
        assert_eq!(canceled.json["status"], "canceled", "{}", canceled.text);
        till.end_with_books().await;
    }
}
