//! What Amazon asks of a partner who loads balances: its barcode test script by the numbers of its tests, the three ways to name an
//! account, idempotency, the window, each mock id.

use std::time::Duration;

use chrono::TimeDelta;
use noshi::incentives::kind::Kind;
use serde_json::{Value, json};

use super::{Backend, Counter, LOAD, Shape, VALIDATE, VOID, load, on_each_backend};
use crate::{
    sandbox::signer::{Call, exchange},
    support::{ACCESS_KEY_ID, PARTNER, SECRET_ACCESS_KEY},
};

/// A call to the gateway that is not ours: some tests of the script ask for what our service never sends.
async fn of_script(counter: &Counter, operation: &str, key: &str, barcode: &Value, minor: i64) -> Value {
    let id = counter.app.amazon_id(key);
    let mut body = json!({
        "loadBalanceRequestId": id, "partnerId": PARTNER, "account": {"id": barcode["barcode"], "type": 1},
        "amount": {"currencyCode": "USD", "value": minor},
    });
    if operation == VALIDATE {
        body.as_object_mut().unwrap().remove("loadBalanceRequestId");
    }
    let clock = counter.app.control.clock();
    let at = clock.now - TimeDelta::seconds(clock.offset_seconds - clock.signature_skew_seconds);
    let mut call = Call::new(operation, &body.to_string(), at);
    (call.key_id, call.secret) = (ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned());
    exchange(counter.app.gateway(), &call.bytes(), Duration::from_secs(5)).await.json()
}

on_each_backend! {
    async fn barcode_tests_1_and_2_a_load_below_the_minimum_or_above_the_maximum_fails(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__ACCOUNTS__MAIN__REWARD_MINIMUM", "5.00")
            .with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "500.00");
        let counter = Counter::shaped(backend, shape).await;
        for (key, amount) in [("below", "4.99"), ("above", "500.01")] {
            let refused = counter.app.issue_body(key, load(counter.barcode(0), amount)).await;
            refused.is_problem(422, "amount-out-of-range");
            assert_eq!(refused.json["errors"][0]["pointer"], "/value/amount");
        }
        assert!(counter.operations().is_empty(), "our own limits are the contract's");
        counter.end_with_books().await;
        // Where Amazon's are others, Amazon refuses.
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "5000.00");
        let counter = Counter::shaped(backend, shape).await;
        let refused = counter.app.issue_body("above", load(counter.barcode(0), "2000.01")).await;
        refused.is_problem(422, "amount-out-of-range");
        assert_eq!((&refused.json["upstream"]["operation"], counter.standing().len()), (&json!(LOAD), 0));
        counter.end_with_books().await;
    }

    async fn barcode_tests_3_and_5_a_load_succeeds_and_its_void_succeeds(backend: Backend) {
        let counter = Counter::open(backend).await;
        let issued = counter.load("one", counter.barcode(7)).await;
        assert_eq!((issued.status, &issued.json["status"]), (201, &json!("issued")), "{}", issued.text);
        assert_eq!((&issued.json["kind"], &issued.json["target_ending"]), (&json!("balance_load"), &json!("0007")));
        assert!(issued.json["claim_code"].is_null() && !issued.text.contains("8510000"), "{}", issued.text);
        assert_eq!(counter.app.read(issued.id()).await["target_ending"], "0007");
        let listed = counter.app.get("/v1/rewards?kind=balance_load").await;
        assert_eq!(listed.json["data"][0]["id"], issued.json["id"], "{}", listed.text);
        counter.app.reveal(issued.id()).await.is_problem(409, "invalid-state");
        let check = counter.app.post(&format!("/v1/rewards/{}/check", issued.id()), json!({})).await;
        check.is_problem(409, "invalid-state");

        let canceled = counter.app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert_eq!(counter.operations(), [LOAD, VOID], "neither a reveal nor a check asks Amazon");
        let (first, second) = (&counter.calls()[0], &counter.calls()[1]);
        assert_eq!((&first.creation_request_id, &first.body), (&second.creation_request_id, &second.body));
        assert_eq!(counter.standing().len(), 0);
        counter.end_with_books().await;
    }

    async fn barcode_test_4_a_load_of_an_invalid_token_fails_and_names_the_field(backend: Backend) {
        let counter = Counter::open(backend).await;
        for (key, target, word) in [
            ("unknown", json!({"barcode": "9".repeat(30)}), "AccountNotFound"),
            ("phone", json!({"phone": "+819000000000"}), "AccountNotFound"),
            ("id", json!({"account_id": "amzn1.account.NOBODY"}), "AccountNotFound"),
            ("voided", counter.barcode(10), "AccountNotActive"),
        ] {
            let refused = counter.load(key, target.clone()).await;
            refused.is_problem(422, "upstream-rejected");
            let upstream = json!({"operation": LOAD, "error_code": "F200", "error_type": word});
            assert_eq!((&refused.json["upstream"], &refused.json["money_moved"]), (&upstream, &json!("no")));
            assert_eq!((&refused.json["errors"][0]["pointer"], &refused.json["retryable"]), (&json!("/target"), &json!(false)));
            assert_eq!(counter.app.read(refused.reward_id()).await["status"], "failed");
            let name = target.as_object().unwrap().values().next().unwrap().as_str().unwrap();
            assert!(!refused.text.contains(name), "{}", refused.text);
        }
        assert_eq!(counter.standing().len(), 0);
        counter.end_with_books().await;
    }

    /// Tests 6 and 8 void with another account or another amount. Our service voids with what it loaded, always; the gateway refuses
    /// the rest.
    async fn barcode_tests_6_to_9_hold_at_the_gateway(backend: Backend) {
        let counter = Counter::open(backend).await;
        let (valid, invalid, voided) = (counter.barcode(0), json!({"barcode": "9".repeat(30)}), counter.barcode(10));
        assert_eq!(of_script(&counter, VALIDATE, "one", &valid, 2_500).await["status"], "SUCCESS", "7");
        assert_eq!(of_script(&counter, VALIDATE, "one", &voided, 2_500).await["errorCode"], "F200", "9");
        assert_eq!(counter.load("one", valid.clone()).await.status, 201);
        for (barcode, minor) in [(&invalid, 2_500), (&valid, 2_600)] {
            let refused = of_script(&counter, VOID, "one", barcode, minor).await;
            assert_eq!((&refused["errorCode"], counter.standing().len()), (&json!("F200"), 1), "6 and 8");
        }
        counter.end_with_books().await;
    }

    async fn an_account_is_loaded_by_its_barcode_its_phone_or_its_id(backend: Backend) {
        let counter = Counter::open(backend).await;
        let shopper = counter.shopper(3);
        for (key, target, ending) in [
            ("barcode", json!({"barcode": shopper.barcode}), json!("0003")),
            ("phone", json!({"phone": shopper.phone}), Value::Null),
            ("id", json!({"account_id": shopper.user_id}), Value::Null),
        ] {
            let loaded = counter.load(key, target).await;
            assert_eq!((loaded.status, &loaded.json["target_ending"]), (201, &ending), "{key}: {}", loaded.text);
            assert!(!loaded.text.contains("amzn1.account"), "{}", loaded.text);
        }
        assert_eq!(counter.standing().len(), 3);
        counter.end_with_books().await;
    }

    async fn a_target_that_names_no_account_is_refused_by_its_field_before_anything_is_recorded(backend: Backend) {
        let counter = Counter::open(backend).await;
        for (target, pointer) in [
            (json!({}), "/target"),
            (json!({"card_number": "1400000005567585358"}), "/target"),
            (json!({"barcode": "1", "phone": "2"}), "/target"),
            (json!({"barcode": "12345"}), "/target/barcode"),
            (json!({"phone": "0901234"}), "/target/phone"),
            (json!({"account_id": "someone@example.com"}), "/target/account_id"),
        ] {
            let refused = counter.load("one", target.clone()).await;
            refused.is_problem(400, "invalid-request");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{target}: {}", refused.text);
        }
        let mut till = load(counter.barcode(0), "25.00");
        till["transaction_source"] = json!({"source_id": "till 7"});
        let refused = counter.app.issue_body("one", till).await;
        assert_eq!(refused.json["errors"][0]["pointer"], "/transaction_source", "{}", refused.text);
        assert_eq!((counter.rewards().await, counter.operations().len()), (0, 0));
        counter.end_with_books().await;
    }

    async fn a_load_is_not_dealt_in_unless_the_settings_name_it(backend: Backend) {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\"]");
        let app = crate::support::App::shaped(backend, shape).await;
        let barcode = app.control.shoppers().swap_remove(0).barcode;
        let refused = app.issue_body("one", load(json!({"barcode": barcode}), "25.00")).await;
        refused.is_problem(400, "invalid-request");
        assert_eq!(refused.json["errors"][0]["pointer"], "/kind");
        assert_eq!((app.received(LOAD).len(), app.control.book().len()), (0, 0));
        app.end().await;
    }

    async fn each_mock_id_leads_where_it_leads_for_a_gift_code(backend: Backend) {
        let counter = Counter::open(backend).await;
        let issued = counter.load("F0000", counter.barcode(0)).await;
        assert_eq!((issued.status, &issued.json["status"]), (201, &json!("issued")), "{}", issued.text);
        assert_eq!(counter.app.cancel(issued.id()).await.json["status"], "canceled");
        for (id, status, code) in [
            ("F2000", 422, "upstream-rejected"),
            ("F2002", 422, "upstream-rejected"),
            ("F2003", 422, "upstream-rejected"),
            ("F2004", 422, "amount-out-of-range"),
            ("F2005", 422, "upstream-rejected"),
            ("F2015", 422, "amount-out-of-range"),
            ("F2016", 422, "currency-not-supported"),
            ("F2017", 422, "amount-precision"),
            ("F2047", 422, "upstream-rejected"),
            ("F3003", 402, "insufficient-funds"),
            ("F3005", 503, "account-problem"),
            ("F3010", 503, "account-problem"),
        ] {
            counter.load(id, counter.barcode(0)).await.is_problem(status, code);
        }
        for id in ["F1000", "F4000", "F5000"] {
            counter.load(id, counter.barcode(0)).await.is_accepted();
        }
        assert_eq!(counter.app.control.book().len(), 0, "no mock id loads");
        counter.app.end().await;
    }

    async fn a_void_is_refused_here_once_the_window_is_over(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        let issued = counter.load("one", counter.barcode(0)).await;
        counter.app.advance(889);
        let other = counter.load("two", counter.barcode(1)).await;
        counter.app.advance(2);
        let late = counter.app.cancel(issued.id()).await;
        late.is_problem(409, "cancel-window-closed");
        assert_eq!(late.json["cancelable_until"], issued.json["cancelable_until"]);
        assert_eq!(counter.app.cancel(other.id()).await.json["status"], "canceled");
        assert_eq!(counter.operations(), [LOAD, LOAD, VOID]);
        counter.end_with_books().await;
    }

    async fn funds_that_are_missing_are_a_problem_of_the_account_and_the_same_key_tries_again(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        counter.app.set_funds(10);
        let refused = counter.load("one", counter.barcode(0)).await;
        refused.is_problem(402, "insufficient-funds");
        counter.app.set_funds(1_000);
        let issued = counter.load("one", counter.barcode(0)).await;
        assert_eq!((issued.status, issued.id()), (201, refused.reward_id()), "{}", issued.text);
        assert_eq!(counter.calls()[0].body, counter.calls()[1].body, "the same bytes");
        counter.end_with_books().await;
    }
}

#[test]
fn the_kinds_are_these() {
    let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(known, ["gift_code", "card_activation", "balance_load"]);
    assert!(Kind::BalanceLoad.spec().acts());
}
