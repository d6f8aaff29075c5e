//! Which requests of Amazon Pay are taken, and what is wrong with the others.

use hyper::header::HeaderValue;
use serde_json::json;

use super::*;

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k-1"));
    headers
}

fn read(call: PayCall, body: &Value) -> Result<PayOrder, PayRefused> {
    PayOrder::read(call, Some("ID".to_owned()), &headers(), body.to_string().as_bytes())
}

fn reason(call: PayCall, body: &Value) -> String {
    read(call, body).map_or_else(|refused| refused.reason, |_order| "taken".to_owned())
}

fn charge() -> Value {
    json!({"chargePermissionId": "C", "chargeAmount": {"amount": "980", "currencyCode": "JPY"}})
}

/// The body of a Create Charge with one member set; a name with a dot is of a member's own.
fn charge_with(name: &str, value: Value) -> Value {
    let mut body = charge();
    match name.split_once('.') {
        Some((outer, inner)) => body[outer][inner] = value,
        None => body[name] = value,
    }
    body
}

#[test]
fn a_charge_is_read_with_what_it_leaves_out() {
    let order = read(PayCall::CreateCharge, &charge()).unwrap();
    let price = PayPrice { amount: Decimal::from(980), currency: "JPY".to_owned() };
    let permission_id = "C".to_owned();
    let wish = ChargeWish { permission_id, price, capture_now: false, may_wait: false, metadata: Value::Null };
    assert_eq!(order.wish, PayWish::CreateCharge(wish));
    assert_eq!(order.key.unwrap().0, "k-1");
}

#[test]
fn what_a_library_may_send_is_taken() {
    for (name, value) in [
        ("captureNow", json!(true)),
        ("canHandlePendingAuthorization", Value::Null),
        ("chargeAmount.amount", json!(980)),
        ("merchantMetadata", json!({"merchantReferenceId": "r", "noteToBuyer": null, "customInformation": "c"})),
        ("softDescriptor", Value::Null),
        ("chargeInitiator", json!("MITR")),
        ("channel", json!("Web")),
        ("providerMetadata", json!({"providerReferenceId": null})),
    ] {
        assert_eq!(reason(PayCall::CreateCharge, &charge_with(name, value.clone())), "taken", "{name} {value}");
    }
}

#[test]
fn what_is_not_amazons_is_refused_by_name() {
    for (name, value, expected) in [
        ("chargePermissionId", Value::Null, "MissingParameterValue"),
        ("chargePermissionId", json!(""), "MissingParameterValue"),
        ("chargePermissionId", json!(7), "InvalidParameterValue"),
        ("chargeAmount", Value::Null, "MissingParameterValue"),
        ("chargeAmount", json!("980"), "InvalidRequestFormat"),
        ("chargeAmount.amount", json!("980.00"), "InvalidParameterValue"),
        ("chargeAmount.amount", json!(980.0), "InvalidParameterValue"),
        ("chargeAmount.amount", json!("0"), "InvalidParameterValue"),
        ("chargeAmount.amount", json!("-1"), "InvalidParameterValue"),
        ("chargeAmount.amount", json!("1e3"), "InvalidParameterValue"),
        ("chargeAmount.amount", json!("nine"), "InvalidParameterValue"),
        ("chargeAmount.currencyCode", json!("yen"), "InvalidParameterValue"),
        ("chargeAmount.taxes", json!("1"), "UnrecognizedField"),
        ("captureNow", json!("true"), "InvalidParameterValue"),
        ("softDescriptor", json!("NOSHI"), "InvalidParameterCombination"),
        ("checkoutMode", json!("ProcessOrder"), "UnrecognizedField"),
        ("merchantMetadata", json!({"note": "x"}), "UnrecognizedField"),
        ("merchantMetadata", json!({"noteToBuyer": "x".repeat(256)}), "InvalidParameterValue"),
    ] {
        assert_eq!(reason(PayCall::CreateCharge, &charge_with(name, value.clone())), expected, "{name} {value}");
    }
    for (call, body, expected) in [
        (PayCall::CaptureCharge, json!({}), "MissingParameterValue"),
        (PayCall::CancelCharge, json!({}), "MissingParameterValue"),
        (PayCall::CancelCharge, json!({"cancellationReason": "x".repeat(256)}), "InvalidParameterValue"),
        (PayCall::CancelCharge, json!({"cancellationReason": "over"}), "taken"),
        (PayCall::CreateRefund, json!({"chargeId": "C"}), "MissingParameterValue"),
        (PayCall::CloseChargePermission, json!({"cancelPendingCharges": true}), "MissingParameterValue"),
        (PayCall::CloseChargePermission, json!({"closureReason": "over"}), "taken"),
        (PayCall::CreateCharge, json!([]), "InvalidRequestFormat"),
        (PayCall::CreateCharge, Value::Null, "InvalidRequestFormat"),
    ] {
        assert_eq!(reason(call, &body), expected, "{call:?} {body}");
    }
    let garbage = PayOrder::read(PayCall::CreateCharge, None, &headers(), b"{");
    assert_eq!(garbage.unwrap_err().reason, "InvalidRequestFormat");
}

#[test]
fn what_creates_needs_a_key_of_amazons_form() {
    let body = charge().to_string();
    for (key, expected) in [
        (None, "MissingHeader"),
        (Some(""), "MissingHeaderValue"),
        (Some("a.b"), "InvalidHeaderValue"),
        (Some("0123456789abcdef0123456789abcdef0"), "InvalidHeaderValue"),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(key));
        }
        let read = PayOrder::read(PayCall::CreateCharge, None, &headers, body.as_bytes());
        assert_eq!(read.unwrap_err().reason, expected, "{key:?}");
    }
    let read = PayOrder::read(PayCall::GetCharge, Some("C".to_owned()), &HeaderMap::new(), b"null").unwrap();
    assert_eq!((read.key, read.wish), (None, PayWish::GetCharge("C".to_owned())));
}
