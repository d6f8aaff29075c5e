//! Physical cards: which exist, how they are activated, deactivated and asked about, and what is refused by which word.

use noshi::sandbox::{ActivityType, CardState, Fault, FaultRule, PhysicalCard, Product};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    bench::{Bench, PARTNER},
    signer::Seen,
};

/// The two cards that Amazon prints in its pages.
const CARD: &str = "1400000005567585358";
const NEIGHBOR: &str = "1400000005567586149";

fn activation(id: &str, card: &str, amount: &str) -> Value {
    let value = json!({"currencyCode": "USD", "amount": amount.parse::<serde_json::Number>().unwrap()});
    json!({"activationRequestId": id, "partnerId": PARTNER, "cardNumber": card, "value": value})
}

async fn activate(bench: &Bench, id: &str, card: &str, amount: &str) -> Seen {
    bench.post("ActivateGiftCard", &activation(id, card, amount).to_string()).await
}

async fn deactivate(bench: &Bench, id: &str, card: &str) -> Seen {
    let body = json!({"activationRequestId": id, "partnerId": PARTNER, "cardNumber": card});
    bench.post("DeactivateGiftCard", &body.to_string()).await
}

async fn check(bench: &Bench, id: &str, card: &str) -> Seen {
    let body = json!({"statusCheckRequestId": id, "partnerId": PARTNER, "cardNumber": card});
    bench.post("ActivationStatusCheck", &body.to_string()).await
}

fn status(seen: &Seen) -> Value {
    seen.json()["cardInfo"]["cardStatus"].clone()
}

#[tokio::test]
async fn a_card_is_activated_asked_about_and_deactivated_and_the_funds_follow() {
    let bench = Bench::start().await;
    assert_eq!(status(&check(&bench, "AwssbAsk", CARD).await), "AwaitingActivation");
    let expected = format!(
        "{{\"activationRequestId\":\"AwssbA\",\"cardInfo\":{{\"cardNumber\":\"{CARD}\",\"cardStatus\":\"Activated\",\
         \"expirationDate\":null,\"value\":{{\"amount\":150.0,\"currencyCode\":\"USD\"}}}},\"status\":\"SUCCESS\"}}\n"
    );
    let first = activate(&bench, "AwssbA", CARD, "150").await;
    assert_eq!((first.status, first.text()), (Some(200), expected.as_str()));
    assert_eq!(bench.left(), Decimal::from(9_850));
    let card = bench.card("AwssbA").unwrap();
    assert_eq!((card.product, card.gc_id.as_str()), (Product::PhysicalCard, CARD));

    let seen = check(&bench, "AwssbA", CARD).await.json();
    assert_eq!(
        (&seen["statusCheckRequestId"], &seen["cardInfo"]["cardStatus"]),
        (&json!("AwssbA"), &json!("Activated"))
    );
    assert_eq!(seen["cardInfo"]["value"], json!({"amount": 150.0, "currencyCode": "USD"}));

    for real_op in [true, false] {
        let seen = deactivate(&bench, "AwssbA", CARD).await;
        assert_eq!((seen.status, status(&seen)), (Some(200), json!("AwaitingActivation")));
        assert_eq!((bench.last().real_op, bench.left()), (real_op, Decimal::from(10_000)));
    }
    assert_eq!(bench.last().creation_request_id.as_deref(), Some("AwssbA"));
    assert_eq!(status(&check(&bench, "AwssbA", CARD).await), "AwaitingActivation");
    assert_eq!(bench.card("AwssbA").unwrap().state, CardState::Refunded);

    // The status of the first use, and no charge.
    let again = activate(&bench, "AwssbA", CARD, "150").await;
    assert_eq!((again.text(), bench.left()), (expected.as_str(), Decimal::from(10_000)));
    assert_eq!(activate(&bench, "AwssbB", CARD, "20").await.status, Some(200), "another activation of the card");
    assert_eq!(bench.left(), Decimal::from(9_980));
}

#[tokio::test]
async fn an_activation_is_bought_once_under_its_id_and_a_card_is_active_once() {
    let bench = Bench::start().await;
    activate(&bench, "AwssbA", CARD, "25").await;
    let again = activate(&bench, "AwssbA", CARD, "25.00").await;
    assert_eq!((again.status, bench.last().real_op, bench.left()), (Some(200), false, Decimal::from(9_975)));
    for (id, card, amount, word) in [
        ("AwssbA", CARD, "26", "CardActivatedWithDifferentDenomination"),
        ("AwssbA", NEIGHBOR, "25", "ActivationRequestIdAlreadyBeenUsed"),
        ("AwssbB", CARD, "25", "CardAlreadyActivatedWithDifferentRequestId"),
    ] {
        assert_eq!(activate(&bench, id, card, amount).await.error_type(), word, "{id} {card} {amount}");
    }
    for (id, card, word) in
        [("AwssbB", CARD, "NonExistingActivationRequestId"), ("AwssbA", NEIGHBOR, "WrongActivationRequestId")]
    {
        assert_eq!(deactivate(&bench, id, card).await.error_type(), word, "{id} {card}");
    }
    // Of eight at once one is charged.
    let ids: Vec<String> = (0..8).map(|n| format!("AwssbRace{n}")).collect();
    let racing = ids.iter().map(|id| activate(&bench, id, NEIGHBOR, "10"));
    let won = futures_util::future::join_all(racing).await.iter().filter(|seen| seen.status == Some(200)).count();
    assert_eq!((won, bench.left()), (1, Decimal::from(9_965)));
    bench.create("AwssbCode", "5").await;
    assert_eq!(deactivate(&bench, "AwssbCode", CARD).await.error_type(), "NonExistingActivationRequestId");
    assert_eq!(bench.cancel("AwssbA").await.error_type(), "OperationNotPermitted", "a gift code's cancel is for codes");
    assert_eq!(bench.create("AwssbA", "25").await.error_type(), "OperationNotPermitted");
}

#[tokio::test]
async fn what_is_no_card_or_no_value_for_it_is_refused_by_its_word() {
    let bench = Bench::start().await;
    let wrong_checksum = "1400000005567585359";
    let of_25 = bench.control.cards().into_iter().find(|card| card.denomination == Some(25.into())).unwrap();
    for (card, amount, word) in [
        ("", "25", "InvalidCardNumberInput"),
        ("140000000556758535x", "25", "InvalidCardNumberInput"),
        ("1400000005567585", "25", "CardNumberTooShort"),
        (wrong_checksum, "25", "CardNumberCheckSumError"),
        ("6035700000001234567", "25", "CardNumberNotFound"),
        (CARD, "0", "InvalidAmountValue"),
        (CARD, "0.99", "AmountBelowMinThreshold"),
        (CARD, "2000.01", "MaxAmountExceeded"),
        (CARD, "25.005", "FractionalAmountNotAllowed"),
        (of_25.card_number.as_str(), "24", "RequestedDenominationMismatch"),
    ] {
        let seen = activate(&bench, "AwssbA", card, amount).await;
        assert_eq!((seen.status, seen.error_type().as_str()), (Some(400), word), "{card} {amount}");
    }
    for card in [wrong_checksum, "6035700000001234567"] {
        assert_eq!(check(&bench, "AwssbA", card).await.status, Some(400));
        assert_eq!(deactivate(&bench, "AwssbA", card).await.status, Some(400));
    }
    let mut till = activation("AwssbTill", CARD, "25");
    till["transactionSource"] = json!({"sourceId": "x".repeat(41)});
    assert_eq!(bench.post("ActivateGiftCard", &till.to_string()).await.error_type(), "InvalidRequestInput");
    assert_eq!(bench.left(), Decimal::from(10_000));
    till["transactionSource"] = json!({"sourceId": "till 7", "institutionId": "shop", "sourceDetails": "{}"});
    assert_eq!(bench.post("ActivateGiftCard", &till.to_string()).await.status, Some(200));
    assert_eq!(activate(&bench, "AwssbOf25", &of_25.card_number, "25").await.status, Some(200));
    bench.control.set_funds_in(PARTNER, "USD", 1.into()).unwrap();
    assert_eq!(activate(&bench, "AwssbPoor", NEIGHBOR, "25").await.error_type(), "InsufficientFunds");
}

#[tokio::test]
async fn a_deactivation_comes_too_late_after_fifteen_minutes() {
    let bench = Bench::start().await;
    activate(&bench, "AwssbA", CARD, "25").await;
    bench.control.advance_clock(901).unwrap();
    assert_eq!(deactivate(&bench, "AwssbA", CARD).await.error_type(), "DeactivationNotAllowed");
    assert_eq!((status(&check(&bench, "AwssbA", CARD).await), bench.left()), (json!("Activated"), 9_975.into()));
}

#[tokio::test]
async fn each_mock_id_answers_an_activation_as_it_answers_a_create() {
    let bench = Bench::start().await;
    for (id, code, word) in [
        ("F1000", "F100", "GeneralError"),
        ("F2001", "F200", "InvalidCardNumberInput"),
        ("F2010", "F200", "CardAlreadyActivatedWithDifferentRequestId"),
        ("F3003", "F300", "InsufficientFunds"),
        ("F4000", "F400", "SystemTemporarilyUnavailable"),
        ("F5000", "F500", "GeneralError"),
    ] {
        for seen in
            [activate(&bench, id, CARD, "25").await, deactivate(&bench, id, CARD).await, check(&bench, id, CARD).await]
        {
            let json = seen.json();
            assert_eq!((&json["errorCode"], &json["errorType"]), (&json!(code), &json!(word)), "{id}");
        }
    }
    let seen = activate(&bench, "F0000", CARD, "25").await;
    assert_eq!((seen.status, status(&seen)), (Some(200), json!("Activated")));
    assert_eq!(status(&deactivate(&bench, "F0000", CARD).await), "AwaitingActivation");
    assert_eq!((bench.left(), bench.control.book().len()), (Decimal::from(10_000), 0));
}

#[tokio::test]
async fn a_fault_strikes_by_the_activations_id_and_falsifies_what_it_names() {
    let bench = Bench::start().await;
    let strike = |fault| {
        let rule = FaultRule { creation_request_id: Some("AwssbA".to_owned()), ..FaultRule::once(fault) };
        bench.control.script(rule).unwrap();
    };
    strike(Fault::DropAfterWork);
    assert_eq!(activate(&bench, "AwssbB", NEIGHBOR, "25").await.status, Some(200), "another id");
    assert_eq!(activate(&bench, "AwssbA", CARD, "25").await.status, None);
    assert_eq!(bench.left(), Decimal::from(9_950));
    let odd = || Fault::OddCardStatus { status: "Lost".to_owned() };
    for (fault, pointer, shown) in [
        (Fault::WrongAmount, "/cardInfo/value/amount", json!(26.0)),
        (Fault::WrongCurrency, "/cardInfo/value/currencyCode", json!("EUR")),
        (Fault::WrongRequestId, "/activationRequestId", json!("Awssb0")),
        (Fault::WrongCard, "/cardInfo/cardNumber", json!("1400000005567585350")),
        (Fault::DeadCard, "/cardInfo/cardStatus", json!("RefundedToPurchaser")),
        (odd(), "/cardInfo/cardStatus", json!("Lost")),
    ] {
        strike(fault.clone());
        let seen = activate(&bench, "AwssbA", CARD, "25").await.json();
        assert_eq!(seen.pointer(pointer), Some(&shown), "{fault:?}: {seen}");
    }
}

#[tokio::test]
async fn activations_are_listed_with_the_cards_number_and_outlive_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("book.jsonl");
    let bench = Bench::with_file(&path).await;
    activate(&bench, "AwssbA", CARD, "25").await;
    deactivate(&bench, "AwssbA", CARD).await;
    activate(&bench, "AwssbB", CARD, "30").await;
    bench.sandbox.stop().await;
    let bench = Bench::with_file(&path).await;
    let listed: Vec<_> = bench.control.activity().into_iter().map(|record| record.activity_type).collect();
    assert_eq!(listed, [ActivityType::GCActivation, ActivityType::GCDeactivation, ActivityType::GCActivation]);
    assert_eq!(status(&check(&bench, "AwssbB", CARD).await), "Activated");
    assert_eq!(activate(&bench, "AwssbC", CARD, "25").await.error_type(), "CardAlreadyActivatedWithDifferentRequestId");
    let question = json!({
        "partnerId": PARTNER, "requestId": "any-id", "utcStartDate": "2000-01-01T00:00:00Z",
        "utcEndDate": "2100-01-01T00:00:00Z", "pageIndex": 0, "pageSize": 10, "showNoOps": true
    });
    let page = bench.post("GetGiftCardActivityPage", &question.to_string()).await.json();
    let record = &page["cardActivityList"][0];
    assert_eq!((&record["activityType"], &record["cardNumber"]), (&json!("GCActivation"), &json!(CARD)));
    assert_eq!((&record["gcId"], &record["cardValue"]["amount"]), (&Value::Null, &json!(25.0)));
    assert_eq!(page["cardActivityList"][3]["activityStatus"], "Failed");
}

#[tokio::test]
async fn cards_are_planted_on_the_control_port_and_what_is_no_card_is_refused() {
    let bench = Bench::start().await;
    let (_, cards) = bench.ctl("GET", "/cards", "").await;
    assert_eq!(cards, serde_json::to_value(bench.control.cards()).unwrap());
    assert!(cards.as_array().unwrap().contains(&json!({"card_number": CARD, "denomination": null})));
    let planted = PhysicalCard { card_number: "6035700000001234567".to_owned(), denomination: Some(50.into()) };
    let body = serde_json::to_string(&vec![&planted]).unwrap();
    assert_eq!(bench.ctl("POST", "/cards", &body).await.0, 200);
    assert_eq!(activate(&bench, "AwssbA", &planted.card_number, "50").await.status, Some(200));
    for bad in [
        r#"[{"card_number":"60357"}]"#,
        r#"[{"card_number":"60357000000012345ab"}]"#,
        r#"[{"card_number":"6035700000001234999"}]"#,
        r#"[{"card_number":"6035700000009999111","denomination":"0"}]"#,
        r#"[{"card_number":"6035700000009999111","value":"1"}]"#,
        r#"[{"card_number":"6035700000009999111"},{"card_number":"6035700000009999222"}]"#,
    ] {
        let (status, answer) = bench.ctl("POST", "/cards", bad).await;
        assert_eq!(status, 400, "{bad} {answer}");
    }
    assert_eq!(bench.control.cards().len(), cards.as_array().unwrap().len() + 1);
    assert_eq!(bench.ctl("DELETE", "/cards", "").await.0, 405);
}
