//! What Amazon asks of a partner who activates cards: the three operations, idempotency, each refusal and each mock id.

use noshi::{incentives::kind::Kind, sandbox::PhysicalCard};
use serde_json::json;

use super::{ACTIVATE, Backend, CARD, CHECK, DEACTIVATE, NEIGHBOR, Till, card, on_each_backend, refusal};

on_each_backend! {
    async fn activate_a_card_then_deactivate_it(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        assert_eq!((issued.status, &issued.json["status"]), (201, &json!("issued")), "{}", issued.text);
        assert_eq!((&issued.json["kind"], &issued.json["target_ending"]), (&json!("card_activation"), &json!("5358")));
        assert!(issued.json["claim_code"].is_null() && !issued.text.contains("55675"), "{}", issued.text);
        assert_eq!(till.app.read(issued.id()).await["target_ending"], "5358");
        let listed = till.app.get("/v1/rewards?kind=card_activation").await;
        assert_eq!(listed.json["data"][0]["id"], issued.json["id"], "{}", listed.text);
        let events = till.app.get(&format!("/v1/rewards/{}/events", issued.id())).await;
        assert_eq!(events.json["data"][0]["detail"]["target_ending"], "5358", "{}", events.text);
        till.app.reveal(issued.id()).await.is_problem(409, "invalid-state");

        let canceled = till.app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert_eq!(till.operations(), [ACTIVATE, DEACTIVATE]);
        let (first, second) = (&till.calls()[0], &till.calls()[1]);
        assert_eq!(first.creation_request_id, second.creation_request_id);
        till.end_with_books().await;
    }

    async fn the_same_key_is_the_same_activation_and_the_number_belongs_to_the_key(backend: Backend) {
        let till = Till::open(backend).await;
        let first = till.activate("one", CARD).await;
        let second = till.activate("one", CARD).await;
        assert_eq!((first.status, second.status, first.id()), (201, 200, second.id()));
        let other = till.activate("one", NEIGHBOR).await;
        other.is_problem(422, "idempotency-mismatch");
        assert_eq!(other.json["errors"][0]["pointer"], "/target");
        till.app.issue_body("one", card(CARD, "26.00")).await.is_problem(422, "idempotency-mismatch");
        assert_eq!(till.operations(), [ACTIVATE], "nothing more was sent");
        till.end_with_books().await;
    }

    async fn each_refusal_of_a_card_names_the_field_and_nothing_was_bought(backend: Backend) {
        let till = Till::open(backend).await;
        let printed = till.app.control.cards().into_iter().find(|card| card.denomination.is_some()).unwrap();
        let unknown = "6035700000001234567";
        let taken = till.activate("taken", NEIGHBOR).await;
        assert_eq!(taken.status, 201, "{}", taken.text);
        for (key, number, word, pointer) in [
            ("checksum", "1400000005567585359", "CardNumberCheckSumError", "/target/card_number"),
            ("unknown", unknown, "CardNumberNotFound", "/target/card_number"),
            ("taken too", NEIGHBOR, "CardAlreadyActivatedWithDifferentRequestId", "/target/card_number"),
            ("printed", printed.card_number.as_str(), "RequestedDenominationMismatch", "/value/amount"),
        ] {
            let refused = till.app.issue_body(key, card(number, "24.00")).await;
            refused.is_problem(422, "upstream-rejected");
            let upstream = json!({"operation": ACTIVATE, "error_code": "F200", "error_type": word});
            assert_eq!((&refused.json["upstream"], &refused.json["money_moved"]), (&upstream, &json!("no")));
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.text);
            assert!(!refused.text.contains(number), "{}", refused.text);
            assert_eq!(till.app.read(refused.reward_id()).await["status"], "failed");
        }
        let planted = PhysicalCard { card_number: unknown.to_owned(), denomination: Some(24.into()) };
        till.app.control.plant_cards(vec![planted]).unwrap();
        let again = till.app.issue_body("unknown", card(unknown, "24.00")).await;
        again.is_problem(422, "upstream-rejected");
        assert_eq!(till.app.issue_body("planted", card(unknown, "24.00")).await.status, 201);
        till.end_with_books().await;
    }

    async fn funds_that_are_missing_are_a_problem_of_the_account_and_the_same_key_tries_again(backend: Backend) {
        let mut till = Till::open(backend).await;
        till.app.set_funds(10);
        let refused = till.activate("one", CARD).await;
        refused.is_problem(402, "insufficient-funds");
        assert_eq!(refused.json["upstream"]["operation"], ACTIVATE);
        till.app.set_funds(1_000);
        let issued = till.activate("one", CARD).await;
        assert_eq!((issued.status, issued.id()), (201, refused.reward_id()), "{}", issued.text);
        assert_eq!(till.calls()[0].body, till.calls()[1].body, "the same bytes");
        till.end_with_books().await;
    }

    async fn each_mock_id_leads_where_it_leads_for_a_gift_code(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("F0000", CARD).await;
        assert_eq!((issued.status, &issued.json["status"]), (201, &json!("issued")), "{}", issued.text);
        assert_eq!(till.app.cancel(issued.id()).await.json["status"], "canceled");
        for (id, status, code) in [
            ("F2000", 422, "upstream-rejected"),
            ("F2001", 422, "upstream-rejected"),
            ("F2002", 422, "upstream-rejected"),
            ("F2003", 422, "upstream-rejected"),
            ("F2004", 422, "amount-out-of-range"),
            ("F2005", 422, "upstream-rejected"),
            ("F2010", 422, "upstream-rejected"),
            ("F2015", 422, "amount-out-of-range"),
            ("F2016", 422, "currency-not-supported"),
            ("F2017", 422, "amount-precision"),
            ("F2047", 422, "upstream-rejected"),
            ("F3003", 402, "insufficient-funds"),
            ("F3005", 503, "account-problem"),
            ("F3010", 503, "account-problem"),
        ] {
            till.activate(id, CARD).await.is_problem(status, code);
        }
        for id in ["F1000", "F4000", "F5000"] {
            till.activate(id, CARD).await.is_accepted();
        }
        assert_eq!(till.app.control.book().len(), 0, "no mock id buys");
        till.app.end().await;
    }

    async fn a_deactivation_is_refused_here_once_the_window_is_over(backend: Backend) {
        let mut till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        till.app.advance(889);
        let neighbor = till.activate("two", NEIGHBOR).await;
        till.app.advance(2);
        let late = till.app.cancel(issued.id()).await;
        late.is_problem(409, "cancel-window-closed");
        assert_eq!(late.json["cancelable_until"], issued.json["cancelable_until"]);
        assert_eq!(till.app.cancel(neighbor.id()).await.json["status"], "canceled");
        assert_eq!(till.operations(), [ACTIVATE, ACTIVATE, DEACTIVATE]);
        till.end_with_books().await;
    }

    async fn a_deactivation_that_amazon_calls_done_already_is_done(backend: Backend) {
        let mut till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        // The first is done and its answer lost; the second is refused, because there is nothing left to deactivate.
        till.strike(DEACTIVATE, noshi::sandbox::Fault::DropAfterWork, 1);
        till.strike(DEACTIVATE, refusal("F200", "NonExistingActivationRequestId"), 100);
        till.app.cancel(issued.id()).await;
        for _ in 0..8 {
            till.app.pass(130).await;
        }
        till.app.until(issued.id(), "canceled").await;
        assert_eq!(till.operations().last().unwrap(), CHECK, "the card's status proves it");
        till.end_with_books().await;
    }
}

#[test]
fn cards_are_not_dealt_in_unless_the_settings_name_them() {
    assert_eq!(Kind::from_word("card_activation"), Some(Kind::CardActivation));
    assert!(Kind::CardActivation.spec().acts());
}
