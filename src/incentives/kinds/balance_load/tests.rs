//! What a load sends, what an answer to it proves, and what a target of it may be.

use serde_json::{Value, json, value::RawValue};
use zeroize::Zeroizing;

use super::*;
use crate::{
    http::body::SecretTexts,
    kernel::{AuthRejection, Currency, Money, UnknownReason},
    provider::incentives::Refusal,
};

const NAME: &str = "851000000000000000000000000007";
const ID: &str = "AwssbMZXW6YTBOI";

fn texts(json: &Value) -> SecretTexts {
    serde_json::from_value(json.clone()).unwrap()
}

fn target(json: &Value) -> Result<Target, WrongField> {
    let given = Given { target: Some(texts(json)), transaction_source: None, product_type: None };
    BalanceLoad.target(given).map(Option::unwrap)
}

fn shown(target: &Target) -> (&'static str, String) {
    let named = NamedAccount::of(target).unwrap();
    (named.way.word, named.name.to_owned())
}

fn asked(target: &Target) -> AskedLoad<'_> {
    AskedLoad {
        request_id: ID,
        partner_id: "Awssb",
        account: NamedAccount::of(target).unwrap(),
        value: Money::from_minor(2_500, Currency::Usd),
        made_at: "2026-11-27T04:00:00Z".parse().unwrap(),
    }
}

fn success() -> Value {
    json!({
        "account": {"id": NAME, "type": 1}, "amount": {"currencyCode": "USD", "value": 2500},
        "loadBalanceRequestId": ID, "loadStatus": "Loaded", "status": "SUCCESS",
    })
}

fn read(answer: &Value) -> Option<LoadSight> {
    let target = target(&json!({"barcode": NAME})).ok().unwrap();
    asked(&target).read(&RawValue::from_string(answer.to_string()).unwrap())
}

#[test]
fn an_account_is_named_in_one_of_three_ways() {
    for (given, way, name, ending) in [
        (json!({"barcode": NAME}), "barcode", NAME, Some("0007")),
        (json!({"phone": "+819012345678"}), "phone", "+819012345678", Some("5678")),
        (json!({"phone": "+12065550100"}), "phone", "+12065550100", None),
        (json!({"account_id": "amzn1.account.K2LI23"}), "account_id", "amzn1.account.K2LI23", None),
    ] {
        let target = target(&given).ok().unwrap();
        assert_eq!(shown(&target), (way, name.to_owned()), "{given}");
        let shown = BalanceLoad.ending(&target).map(|ending| ending.to_string());
        assert_eq!(shown.as_deref(), ending, "{given}");
    }
    let shopper = ShopperId::new(Zeroizing::new("amzn1.account.K2LI23".to_owned())).unwrap();
    let target = BalanceLoad.target_of_shopper(shopper).unwrap();
    assert_eq!(shown(&target), ("account_id", "amzn1.account.K2LI23".to_owned()), "who signs in is named by their id");
}

#[test]
fn a_target_that_names_no_account_is_refused_by_its_field() {
    for (given, pointer) in [
        (json!({}), "/target"),
        (json!({"card_number": NAME}), "/target"),
        (json!({"barcode": NAME, "phone": "+819012345678"}), "/target"),
        (json!({"barcode": NAME, "access_token": "Atza|a"}), "/target"),
        (json!({"barcode": "85100000000000000000000000000"}), "/target/barcode"),
        (json!({"barcode": "85100000000000000000000000000x"}), "/target/barcode"),
        (json!({"phone": "819012345678"}), "/target/phone"),
        (json!({"phone": "+0819012345"}), "/target/phone"),
        (json!({"phone": "+1 206 555 0100"}), "/target/phone"),
        (json!({"phone": "+1234567"}), "/target/phone"),
        (json!({"phone": "+1234567890123456"}), "/target/phone"),
        (json!({"account_id": NAME}), "/target/account_id"),
        (json!({"account_id": "amzn1.account."}), "/target/account_id"),
        (json!({"account_id": "amzn1.account.A\u{1f}B"}), "/target/account_id"),
    ] {
        let given = || Given { target: Some(texts(&given)), transaction_source: None, product_type: None };
        let refused = BalanceLoad.aim(given()).err();
        assert_eq!(refused.map(|wrong| wrong.pointer), Some(pointer), "{:?}", given().target.is_some());
    }
    assert_eq!(BalanceLoad.aim(Given::default()).err(), Some(NO_ACCOUNT));
    for target in [json!({"barcode": NAME}), json!({"access_token": "Atza|a"})] {
        let given = Given {
            target: Some(texts(&target)),
            transaction_source: Some(texts(&json!({"source_id": "7"}))),
            product_type: None,
        };
        assert_eq!(BalanceLoad.aim(given).err(), Some(NO_SOURCE));
    }
    let token =
        Given { target: Some(texts(&json!({"access_token": "Atza|a"}))), transaction_source: None, product_type: None };
    assert!(matches!(BalanceLoad.aim(token), Ok(Aim::SignedIn(_))));
}

#[test]
fn a_phone_number_is_found_in_a_text_also_as_it_is_dialed_at_home() {
    let repeated = |phone: &str, text: &str| {
        let target = target(&json!({"phone": phone})).ok().unwrap();
        crate::kernel::glyphs::repeats(text, BalanceLoad.secret(&target).unwrap())
    };
    for (phone, text) in [
        ("+819012345678", "090-1234-5678"),
        ("+819012345678", "+81 (0)90 1234 5678"),
        ("+12065550100", "(206) 555-0100"),
        ("+4915112345678", "0151 12345678"),
        ("+6581234567", "8123 4567"),
        ("+12345678", "12345678"),
    ] {
        assert!(repeated(phone, text), "{phone} {text}");
    }
    for text in ["", "5678", "2345678", "1234567", "order 2026-11-27", "87654321"] {
        assert!(!repeated("+819012345678", text), "{text}");
    }
}

/// A changed byte would make a replay another request.
#[test]
fn the_bytes_of_each_request_are_pinned() {
    let target = target(&json!({"barcode": NAME})).ok().unwrap();
    let rest = format!(
        "\"partnerId\":\"Awssb\",\"account\":{{\"id\":\"{NAME}\",\"type\":1}},\
         \"amount\":{{\"currencyCode\":\"USD\",\"value\":2500}},\"timestamp\":1795752000}}"
    );
    let asked = asked(&target);
    let load = serde_json::to_string(&LoadRequest::of(&asked)).unwrap();
    assert_eq!(load, format!("{{\"loadBalanceRequestId\":\"{ID}\",{rest}"));
    assert_eq!(serde_json::to_string(&LoadRequest::of_validation(&asked)).unwrap(), format!("{{{rest}"));
    let yen = AskedLoad { value: Money::from_minor(500, Currency::Jpy), ..asked };
    assert!(serde_json::to_string(&LoadRequest::of(&yen)).unwrap().contains("\"JPY\",\"value\":500}"));
}

#[test]
fn a_success_is_a_proof_only_where_it_names_id_account_and_amount_as_asked() {
    assert_eq!(read(&success()), Some(LoadSight::Loaded));
    let changed = |pointer: &str, value: Value| {
        let mut answer = success();
        *answer.pointer_mut(pointer).unwrap() = value;
        read(&answer)
    };
    for (pointer, value, expected) in [
        ("/loadStatus", json!("Voided"), Some(LoadSight::Voided)),
        ("/loadStatus", json!("Pending"), Some(LoadSight::Odd)),
        ("/loadStatus", json!(7), None),
        ("/loadStatus", Value::Null, Some(LoadSight::Unsaid)),
        ("/amount/value", json!(2500.0), Some(LoadSight::Loaded)),
        ("/amount/value", json!(2501), Some(LoadSight::Mismatch)),
        ("/amount/value", json!(25), Some(LoadSight::Mismatch)),
        ("/amount/value", json!(2500.5), Some(LoadSight::Mismatch)),
        ("/amount/value", json!("2500"), None),
        ("/amount/value", Value::Null, None),
        ("/amount/currencyCode", json!("EUR"), Some(LoadSight::Mismatch)),
        ("/amount/currencyCode", Value::Null, None),
        ("/amount", json!([2500, "USD"]), None),
        ("/account/id", json!("851000000000000000000000000008"), Some(LoadSight::Mismatch)),
        ("/account/id", json!("**************************0007"), Some(LoadSight::Mismatch)),
        ("/account/id", Value::Null, None),
        ("/account/type", json!("1"), Some(LoadSight::Loaded)),
        ("/account/type", json!(2), Some(LoadSight::Mismatch)),
        ("/account/type", Value::Null, Some(LoadSight::Loaded)),
        ("/account", Value::Null, None),
        ("/loadBalanceRequestId", json!("AwssbOTHER"), Some(LoadSight::Mismatch)),
        ("/loadBalanceRequestId", Value::Null, None),
    ] {
        assert_eq!(changed(pointer, value.clone()), expected, "{pointer} {value}");
    }
    for whole in [json!([]), json!({}), json!({"status": "SUCCESS"})] {
        assert_eq!(read(&whole), None, "{whole}");
    }
}

#[test]
fn a_validation_that_is_about_something_else_validates_nothing() {
    let target = target(&json!({"barcode": NAME})).ok().unwrap();
    let asked = asked(&target);
    let valid = |answer: &Value| asked.is_valid(&RawValue::from_string(answer.to_string()).unwrap()).is_some();
    assert!(valid(&success()) && valid(&json!({"status": "SUCCESS"})));
    for (pointer, value) in [("/account/id", json!("8")), ("/amount/value", json!(1)), ("/account", json!("x"))] {
        let mut answer = success();
        *answer.pointer_mut(pointer).unwrap() = value;
        assert!(!valid(&answer), "{answer}");
    }
}

/// The classifier refuses nothing by a refusal that names another id; it must know where the id stands.
#[test]
fn the_classifier_reads_the_id_where_the_request_has_it() {
    let target = target(&json!({"barcode": NAME})).ok().unwrap();
    let sent = serde_json::to_value(LoadRequest::of(&asked(&target))).unwrap();
    let (member, _) = sent.as_object().unwrap().iter().find(|(_name, value)| **value == json!(ID)).unwrap();
    let body = format!("{{\"{member}\":\"{ID}\"}}");
    assert_eq!(crate::provider::incentives::named_request_id(body.as_bytes()).as_deref(), Some(ID), "{member}");
}

fn refused(family: Family, error_type: ErrorType) -> Outcome<LoadSight> {
    Outcome::Refused(Refusal { family, error_type })
}

#[test]
fn what_a_load_shows_decides_and_what_is_not_proven_is_lost() {
    for (outcome, event) in [
        (Outcome::Proven(LoadSight::Loaded), Event::Seen(Sight::Live)),
        (Outcome::Proven(LoadSight::Unsaid), Event::Seen(Sight::Live)),
        (Outcome::Proven(LoadSight::Voided), Event::Seen(Sight::Reversed)),
        (Outcome::Proven(LoadSight::Odd), Event::Seen(Sight::Odd)),
        (Outcome::Proven(LoadSight::Mismatch), Event::Seen(Sight::Mismatch)),
        (refused(Family::F200, ErrorType::AccountNotFound), Event::Refused(RefusalClass::Final)),
        (refused(Family::F300, ErrorType::InsufficientFunds), Event::Refused(RefusalClass::Curable)),
        (Outcome::AuthRejected(AuthRejection::AccessKey), Event::Refused(RefusalClass::Curable)),
        (Outcome::AuthRejected(AuthRejection::ClockSkew), Event::NotSent),
        (Outcome::NotSent(NotSent::Connect), Event::NotSent),
        (Outcome::Unknown(UnknownReason::Timeout), Event::Lost),
    ] {
        assert_eq!(event_of_load(outcome).0, event);
    }
    assert_eq!(
        event_of_reversing_load(Outcome::Proven(LoadSight::Unsaid)).0,
        Event::Lost,
        "it says nothing of the void"
    );
    let first_answer = event_of_reversing_load(Outcome::Proven(LoadSight::Loaded)).0;
    assert_eq!(first_answer, Event::Seen(Sight::Unattributed), "it may be the id's first answer");
    assert_eq!(event_of_reversing_load(Outcome::Proven(LoadSight::Voided)).0, Event::Seen(Sight::Reversed));
}

#[test]
fn a_void_is_done_only_where_it_shows_this_load_and_not_that_it_stands() {
    for (outcome, event) in [
        (Outcome::Proven(LoadSight::Voided), Event::ReversalDone),
        (Outcome::Proven(LoadSight::Unsaid), Event::ReversalDone),
        (Outcome::Proven(LoadSight::Loaded), Event::ReversalLost),
        (Outcome::Proven(LoadSight::Odd), Event::ReversalLost),
        (Outcome::Proven(LoadSight::Mismatch), Event::ReversalLost),
        (
            refused(Family::F200, ErrorType::CancelRequestArrivedAfterTimeLimit),
            Event::ReversalRefused(ReversalFailure::TooLate),
        ),
        (refused(Family::F200, ErrorType::Other), Event::ReversalRefused(ReversalFailure::NotPermitted)),
        (
            refused(Family::F300, ErrorType::OperationNotPermitted),
            Event::ReversalRefused(ReversalFailure::NotPermitted),
        ),
        (refused(Family::F300, ErrorType::AccountHasProblems), Event::ReversalNotSent),
        (Outcome::AuthRejected(AuthRejection::AccessKey), Event::ReversalNotSent),
        (Outcome::NotSent(NotSent::Connect), Event::ReversalNotSent),
        (Outcome::Unknown(UnknownReason::Timeout), Event::ReversalLost),
    ] {
        assert_eq!(event_of_void(outcome).0, event);
    }
}
