//! Every way in which a call to Amazon Pay can end.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    kernel::Currency,
    provider::pay::{PayReference, reason::PayReason as Why},
};

const CHARGE: &str = "P03-0000001-0000002-C000003";
const PERMISSION: &str = "C03-0000001-0000002";
const REFUND: &str = "P03-0000001-0000002-R000004";
const JSON: Option<&str> = Some("application/json;charset=UTF-8");
/// Stands in every body where Amazon writes text: none of it may come through.
const CANARY: &str = "CNRY-CANARY-CODE";

fn yen(minor: i64) -> Money {
    Money::from_minor(minor, Currency::Jpy)
}

fn asked() -> ChargeAsked {
    ChargeAsked {
        permission: AmazonPermissionId::parse(PERMISSION).unwrap(),
        amount: yen(980),
        capture_now: true,
        may_wait: false,
        reference: PayReference::parse("chg_1").unwrap(),
    }
}

fn charge_id() -> AmazonChargeId {
    AmazonChargeId::parse(CHARGE).unwrap()
}

fn price(amount: &str) -> Value {
    json!({"amount": amount, "currencyCode": "JPY"})
}

fn charge_body(state: &str, reason: Value) -> Value {
    json!({
        "chargeId": CHARGE, "chargePermissionId": PERMISSION, "chargeAmount": price("980"), "captureAmount": price("980"),
        "refundedAmount": null, "softDescriptor": CANARY, "merchantMetadata": {"merchantReferenceId": "chg_1"},
        "statusDetails": {"state": state, "reasonCode": reason, "reasonDescription": CANARY}, "releaseEnvironment": "Sandbox"
    })
}

fn answer(status: u16, body: &[u8]) -> PayReply<'_> {
    Ok(PayAnswer { status, content_type: JSON, body })
}

/// What came of a Create Charge that is answered so, in words.
fn created(status: u16, body: &Value) -> String {
    word(created_charge(answer(status, body.to_string().as_bytes()), &asked(), Environment::Sandbox))
}

fn word(outcome: PayOutcome<ChargeSeen>) -> String {
    let word = match &outcome {
        PayOutcome::Seen(seen) => match seen.state {
            ChargeState::Pending => "pending".to_owned(),
            ChargeState::Authorized => "authorized".to_owned(),
            ChargeState::Capturing => "capturing".to_owned(),
            ChargeState::Paid => "paid".to_owned(),
            ChargeState::Declined(decline) => format!("declined {} {}", decline.kind.as_str(), decline.reason.as_str()),
            ChargeState::Voided(reason) => format!("voided {}", reason.as_str()),
            ChargeState::Odd => "odd".to_owned(),
        },
        PayOutcome::Declined(decline) => format!("refused {} {}", decline.kind.as_str(), decline.reason.as_str()),
        PayOutcome::Conflict(_)
        | PayOutcome::KeyConflict
        | PayOutcome::Missing
        | PayOutcome::Rejected(_)
        | PayOutcome::TurnedAway(_)
        | PayOutcome::NotSent(_)
        | PayOutcome::Unknown(_) => format!("{} {}", outcome.class(), outcome.reason()),
    };
    assert!(!format!("{outcome:?}").contains("CANARY"), "the answer's text came through");
    word
}

fn refusal_body(reason: &str) -> Value {
    json!({"reasonCode": reason, "message": CANARY})
}

/// Amazon's list of errors, whole: status, reason code, and what it means for a charge.
const ERRORS: [(u16, &str, &str); 43] = [
    (400, "InvalidHeaderValue", "rejected"),
    (400, "InvalidRequest", "rejected"),
    (400, "InvalidParameterValue", "rejected"),
    (400, "InvalidRequestFormat", "rejected"),
    (400, "MissingHeader", "rejected"),
    (400, "MissingHeaderValue", "rejected"),
    (400, "MissingParameterValue", "rejected"),
    (400, "UnrecognizedField", "rejected"),
    (400, "InvalidParameterCombination", "rejected"),
    (400, "CurrencyMismatch", "rejected"),
    (400, "InvalidAPIVersion", "rejected"),
    (400, "InvalidSandboxSimulationSpecified", "rejected"),
    (400, "DuplicateIdempotencyKey", "key_conflict"),
    (400, "TransactionAmountExceeded", "refused cap"),
    (400, "PeriodicAmountExceeded", "refused cap"),
    (401, "UnauthorizedAccess", "turned_away"),
    (403, "InvalidAuthentication", "turned_away"),
    (403, "InvalidAccountStatus", "turned_away"),
    (403, "InvalidRequestSignature", "turned_away"),
    (403, "InvalidAuthorizationToken", "turned_away"),
    (404, "ResourceNotFound", "missing"),
    (405, "UnsupportedOperation", "rejected"),
    (405, "RequestNotSupported", "rejected"),
    (409, "AmountMismatch", "rejected"),
    (422, "SoftDeclined", "refused soft"),
    (422, "HardDeclined", "refused method"),
    (422, "PaymentMethodNotAllowed", "refused method"),
    (422, "MFANotCompleted", "refused method"),
    (422, "AmazonRejected", "refused final"),
    (422, "TransactionTimedOut", "refused timeout"),
    (422, "TransactionCountExceeded", "refused cap"),
    (422, "InvalidChargePermissionStatus", "conflict"),
    (422, "InvalidChargeStatus", "conflict"),
    (422, "ChargePermissionNotModifiable", "conflict"),
    (422, "InvalidCheckoutSessionStatus", "conflict"),
    (422, "CheckoutSessionCanceled", "conflict"),
    (400, "CheckoutSessionCanceled", "conflict"),
    (426, "TLSVersionNotSupported", "rejected"),
    (400, "SoftDeclined", "refused soft"),
    (422, "TransactionAmountExceeded", "refused cap"),
    (403, "ResourceNotFound", "missing"),
    (422, "InvalidParameterValue", "rejected"),
    (404, "InvalidAuthentication", "turned_away"),
];

#[test]
fn each_reason_code_of_amazons_list_has_its_class_and_the_code_decides_before_the_status() {
    for (status, reason, class) in ERRORS {
        assert_eq!(created(status, &refusal_body(reason)), format!("{class} {reason}"), "{status}");
    }
}

#[test]
fn what_may_have_been_done_is_unknown() {
    for (status, reason, doubt) in [
        (408, "RequestTimeout", "timeout"),
        (425, "TooEarly", "throttled"),
        (429, "TooManyRequests", "throttled"),
        (400, "TooManyRequests", "throttled"),
        (500, "InternalServerError", "server_error"),
        (500, "ProcessingFailure", "busy"),
        (422, "ProcessingFailure", "busy"),
        (502, "BadGateway", "server_error"),
        (503, "ServiceUnavailable", "server_error"),
        (504, "GatewayTimeout", "server_error"),
        // A refusal under a 5xx, or a success, contradicts itself; a word of a state, or a new one, refuses nothing.
        (500, "SoftDeclined", "server_error"),
        (503, "HardDeclined", "server_error"),
        (200, "SoftDeclined", "wrong_shape"),
        (422, "ExpiredUnused", "unlisted"),
        (422, "SomethingNew", "unlisted"),
        (404, "", "unlisted"),
        (301, "HardDeclined", "redirect"),
        (307, "ResourceNotFound", "redirect"),
        (100, "HardDeclined", "unlisted"),
    ] {
        assert_eq!(created(status, &refusal_body(reason)), format!("ambiguous {doubt}"), "{status} {reason}");
    }
}

#[test]
fn a_status_alone_refuses_nothing() {
    for (status, doubt) in [
        (200, "not_json"),
        (201, "not_json"),
        (302, "redirect"),
        (400, "unlisted"),
        (401, "unlisted"),
        (403, "unlisted"),
        (404, "unlisted"),
        (408, "timeout"),
        (422, "unlisted"),
        (425, "throttled"),
        (429, "throttled"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "server_error"),
    ] {
        let page = format!("<html>{CANARY}</html>");
        for body in [page.as_bytes(), b"", b"\x00\xff", br#"{"reasonCode":"#] {
            let outcome = created_charge(answer(status, body), &asked(), Environment::Sandbox);
            assert_eq!(word(outcome), format!("ambiguous {doubt}"), "{status}");
        }
        let refusal = refusal_body("HardDeclined").to_string();
        let labelled = PayAnswer { status, content_type: Some("text/html"), body: refusal.as_bytes() };
        let outcome = created_charge(Ok(labelled), &asked(), Environment::Sandbox);
        assert_eq!(word(outcome), format!("ambiguous {doubt}"), "{status}, the right body under a wrong label");
    }
}

#[test]
fn silence_is_doubt_unless_nothing_was_sent() {
    for (no_reply, expected) in [
        (PayNoReply::NotSent(NotSent::Connect), "not_sent connect"),
        (PayNoReply::NotSent(NotSent::Certificate), "not_sent certificate"),
        (PayNoReply::Unknown(PayDoubt::Timeout), "ambiguous timeout"),
        (PayNoReply::Unknown(PayDoubt::ConnectionLost), "ambiguous connection_lost"),
        (PayNoReply::Unknown(PayDoubt::TooLarge), "ambiguous too_large"),
    ] {
        assert_eq!(word(created_charge(Err(no_reply), &asked(), Environment::Sandbox)), expected);
    }
}

#[test]
fn each_state_of_a_charge_has_its_neutral_word() {
    for (state, reason, expected) in [
        ("AuthorizationInitiated", Value::Null, "pending"),
        ("Authorized", Value::Null, "authorized"),
        ("CaptureInitiated", Value::Null, "capturing"),
        ("Captured", Value::Null, "paid"),
        ("Declined", json!("SoftDeclined"), "declined soft SoftDeclined"),
        ("Declined", json!("HardDeclined"), "declined method HardDeclined"),
        ("Declined", json!("AmazonRejected"), "declined final AmazonRejected"),
        ("Declined", json!("ProcessingFailure"), "declined busy ProcessingFailure"),
        ("Declined", json!("TransactionTimedOut"), "declined timeout TransactionTimedOut"),
        ("Declined", json!("SomethingNew"), "declined method Other"),
        ("Declined", Value::Null, "declined method Other"),
        ("Canceled", json!("ExpiredUnused"), "voided ExpiredUnused"),
        ("Canceled", json!("MerchantCanceled"), "voided MerchantCanceled"),
        ("Canceled", json!("BuyerCanceled"), "voided BuyerCanceled"),
        ("Canceled", json!("ChargePermissionCanceled"), "voided ChargePermissionCanceled"),
        ("Canceled", json!("AmazonCanceled"), "voided AmazonCanceled"),
        ("Pending", Value::Null, "odd"),
        ("Completed", Value::Null, "odd"),
        ("captured", Value::Null, "odd"),
    ] {
        for status in [200, 201, 202] {
            assert_eq!(created(status, &charge_body(state, reason.clone())), expected, "{state}");
        }
    }
}

#[test]
fn what_is_not_echoed_as_asked_is_a_mismatch_and_what_is_missing_no_proof() {
    for (pointer, value, doubt) in [
        ("/chargeAmount", price("981"), "mismatch"),
        ("/chargeAmount", json!({"amount": "980", "currencyCode": "USD"}), "mismatch"),
        ("/captureAmount", price("979"), "mismatch"),
        ("/captureAmount", price("9800"), "mismatch"),
        ("/chargePermissionId", json!("C03-0000001-0000003"), "mismatch"),
        ("/releaseEnvironment", json!("Live"), "mismatch"),
        ("/chargeAmount", Value::Null, "wrong_shape"),
        ("/chargeAmount", price("980.5"), "wrong_shape"),
        ("/chargePermissionId", Value::Null, "wrong_shape"),
        ("/chargeId", Value::Null, "wrong_shape"),
        ("/chargeId", json!("../refunds"), "wrong_shape"),
        ("/statusDetails", Value::Null, "wrong_shape"),
        ("/statusDetails/state", Value::Null, "wrong_shape"),
    ] {
        let mut body = charge_body("Captured", Value::Null);
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(created(201, &body), format!("ambiguous {doubt}"), "{pointer} {value}");
    }
    for harmless in ["/captureAmount", "/merchantMetadata", "/releaseEnvironment", "/softDescriptor"] {
        let mut body = charge_body("Captured", Value::Null);
        *body.pointer_mut(harmless).unwrap() = Value::Null;
        assert_eq!(created(201, &body), "paid", "{harmless}");
    }
}

#[test]
fn a_refusal_that_shows_an_object_refuses_nothing() {
    let mut body = charge_body("Captured", Value::Null);
    body.as_object_mut().unwrap().insert("reasonCode".to_owned(), json!("HardDeclined"));
    assert_eq!([422, 201].map(|status| created(status, &body)), ["ambiguous wrong_shape", "ambiguous wrong_shape"]);
}

#[test]
fn a_charge_is_looked_at_captured_and_cancelled_by_its_own_id() {
    let other = AmazonChargeId::parse("P03-0000001-0000002-C000009").unwrap();
    let body = charge_body("Captured", Value::Null).to_string();
    let reply = || answer(200, body.as_bytes());
    let sandbox = Environment::Sandbox;
    assert_eq!(word(seen_charge(reply(), &charge_id(), sandbox)), "paid");
    assert_eq!(word(seen_charge(reply(), &other, sandbox)), "ambiguous mismatch");
    assert_eq!(word(captured(reply(), &charge_id(), yen(980), sandbox)), "paid");
    assert_eq!(word(captured(reply(), &charge_id(), yen(979), sandbox)), "ambiguous mismatch");
    assert_eq!(word(captured(reply(), &other, yen(980), sandbox)), "ambiguous mismatch");
}

#[test]
fn a_refund_is_of_its_charge_and_amount() {
    let body = |state: &str, reason: &str| {
        json!({"refundId": REFUND, "chargeId": CHARGE, "refundAmount": price("100"),
            "statusDetails": {"state": state, "reasonCode": reason}})
        .to_string()
    };
    let of = |state: &str, reason: &str, amount| {
        let body = body(state, reason);
        created_refund(answer(201, body.as_bytes()), &charge_id(), amount, Environment::Sandbox)
    };
    let declined = |kind, reason| RefundState::Declined(Decline { kind, reason });
    for (state, reason, expected) in [
        ("RefundInitiated", "", RefundState::Pending),
        ("Refunded", "", RefundState::Done),
        ("Declined", "AmazonRejected", declined(DeclineKind::Final, Why::AmazonRejected)),
        ("Declined", "ProcessingFailure", declined(DeclineKind::Busy, Why::ProcessingFailure)),
        ("Declined", "New", declined(DeclineKind::Final, Why::Other)),
        ("Settled", "", RefundState::Odd),
    ] {
        assert!(matches!(of(state, reason, yen(100)), PayOutcome::Seen(seen) if seen.state == expected), "{state}");
    }
    assert_eq!(of("Refunded", "", yen(101)), PayOutcome::Unknown(PayDoubt::Mismatch));
    let (body, other) = (body("Refunded", ""), AmazonRefundId::parse("R").unwrap());
    let looked = seen_refund(answer(200, body.as_bytes()), &other, Environment::Sandbox);
    assert_eq!(looked, PayOutcome::Unknown(PayDoubt::Mismatch));
}

#[test]
fn each_state_of_a_permission_has_its_neutral_word_with_all_its_reasons() {
    for (state, reasons, expected) in [
        ("Chargeable", vec![], PermissionState::Usable),
        (
            "NonChargeable",
            vec!["PaymentMethodInvalid", "ChargeInProgress", "New"],
            PermissionState::Blocked(vec![Why::PaymentMethodInvalid, Why::ChargeInProgress, Why::Other]),
        ),
        ("Closed", vec!["MerchantClosed"], PermissionState::Ended(vec![Why::MerchantClosed])),
        ("Closed", vec!["BuyerCanceled"], PermissionState::Ended(vec![Why::BuyerCanceled])),
        ("Closed", vec!["Expired"], PermissionState::Ended(vec![Why::Expired])),
        ("Closed", vec!["AmazonClosed"], PermissionState::Ended(vec![Why::AmazonClosed])),
        ("Resting", vec![], PermissionState::Odd),
    ] {
        let listed: Vec<Value> = reasons.iter().map(|reason| json!({"reasonCode": reason})).collect();
        let body = json!({"chargePermissionId": PERMISSION, "statusDetails": {"state": state, "reasons": listed},
            "buyer": {"name": CANARY}})
        .to_string();
        let seen = seen_permission(answer(200, body.as_bytes()), &asked().permission, Environment::Sandbox);
        assert!(!format!("{seen:?}").contains("CANARY"));
        assert!(matches!(seen, PayOutcome::Seen(seen) if seen.state == expected), "{state}");
        let other = AmazonPermissionId::parse("C03-0000001-0000009").unwrap();
        let seen = seen_permission(answer(200, body.as_bytes()), &other, Environment::Sandbox);
        assert_eq!(seen, PayOutcome::Unknown(PayDoubt::Mismatch));
    }
}

#[test]
fn a_refused_signature_says_whether_amazon_made_the_same_string() {
    let ours = "AMZN-PAY-RSASSA-PSS-V2\n59cd1d16501962bdd8020cba6afac8965c30f0f6a2dcf8a74505e23e11a3f5a7";
    let said = |message: &str, reason: &str| {
        let body = json!({"reasonCode": reason, "message": message}).to_string();
        quotes(answer(403, body.as_bytes()), ours)
    };
    let quoted = format!("Unable to verify signature, signing String [{ours}], signature [x]");
    let signature = "InvalidRequestSignature";
    assert_eq!(said(&quoted, signature), Some(true));
    assert_eq!(said(&quoted.replace("59cd", "59ce"), signature), Some(false));
    assert_eq!(said("no string", signature), None);
    assert_eq!(said(&quoted, "InvalidAuthentication"), None);
}

proptest! {
    /// Whatever comes back, nothing is proven that the body does not show, and nothing panics.
    #[test]
    fn any_answer_is_understood_or_unknown(status in 100_u16..=599, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let outcome = created_charge(answer(status, &body), &asked(), Environment::Sandbox);
        prop_assert!(matches!(outcome, PayOutcome::Unknown(_)), "{:?}", outcome);
    }
}
