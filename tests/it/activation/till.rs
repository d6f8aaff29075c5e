//! `transaction_source`: which till asks. It is sent with the card's number, sealed with it, and belongs to the request.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::{ACTIVATE, Backend, CARD, Till, card, on_each_backend};

fn at_till(source: Value) -> Value {
    let mut order = card(CARD, "25.00");
    order["transaction_source"] = source;
    order
}

on_each_backend! {
    async fn what_a_till_says_of_itself_is_sent_with_the_card_again_and_again(backend: Backend) {
        let till = Till::open(backend).await;
        let source = json!({"source_id": "till 7", "institution_id": "shop 1", "source_details": "{\"institutionName\":\"Café\"}"});
        till.strike(ACTIVATE, Fault::DropBeforeWork, 1);
        let lost = till.app.issue_body("one", at_till(source.clone())).await;
        till.app.until(lost.id(), "issued").await;
        let sent: Vec<_> = till.calls().into_iter().filter(|call| call.operation == ACTIVATE).collect();
        assert_eq!((sent.len(), &sent[0].body), (2, &sent[1].body), "the same bytes");
        let body: Value = serde_json::from_str(&sent[0].body).unwrap();
        let expected =
            json!({"sourceId": "till 7", "institutionId": "shop 1", "sourceDetails": "{\"institutionName\":\"Café\"}"});
        assert_eq!((&body["transactionSource"], &body["cardNumber"]), (&expected, &json!(CARD)));
        assert_eq!(till.app.read(lost.id()).await["target_ending"], "5358");

        assert_eq!(till.app.issue_body("one", at_till(source)).await.status, 200);
        let elsewhere = till.app.issue_body("one", at_till(json!({"source_id": "till 8"}))).await;
        elsewhere.is_problem(422, "idempotency-mismatch");
        till.app.issue_body("one", card(CARD, "25.00")).await.is_problem(422, "idempotency-mismatch");
        till.end_with_books().await;
    }

    async fn a_source_that_is_none_is_refused_by_its_field(backend: Backend) {
        let till = Till::open(backend).await;
        let long = "x".repeat(41);
        for (source, pointer) in [
            (json!({}), "/transaction_source"),
            (json!("till 7"), "/transaction_source"),
            (json!({"till": "7"}), "/transaction_source"),
            (json!({"source_id": 7}), "/transaction_source"),
            (json!({"source_id": ""}), "/transaction_source/source_id"),
            (json!({"source_id": "a\u{1f}b"}), "/transaction_source/source_id"),
            (json!({"institution_id": long}), "/transaction_source/institution_id"),
            (json!({"source_details": "x".repeat(201)}), "/transaction_source/source_details"),
        ] {
            let refused = till.app.issue_body("one", at_till(source.clone())).await;
            refused.is_problem(400, "invalid-request");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{source}: {}", refused.text);
        }
        let mut code = crate::support::order("5.00");
        code["transaction_source"] = json!({"source_id": "till 7"});
        let refused = till.app.issue_body("two", code).await;
        assert_eq!(refused.json["errors"][0]["pointer"], "/transaction_source", "{}", refused.text);
        assert!(till.calls().is_empty());
        till.app.end().await;
    }
}
