//! The bytes of requests, and what is read of answers.

use super::*;

fn yen(minor: i64) -> Money {
    Money::from_minor(minor, Currency::Jpy)
}

fn asked(amount: Money) -> ChargeAsked {
    ChargeAsked {
        permission: AmazonPermissionId::parse("C03-0000001-0000002").unwrap(),
        amount,
        capture_now: true,
        may_wait: false,
        reference: PayReference::parse("chg_0001").unwrap(),
    }
}

fn text_of(body: Result<Vec<u8>, PayUnwritable>) -> String {
    String::from_utf8(body.unwrap()).unwrap()
}

#[test]
fn a_request_has_these_bytes_for_ever() {
    // A repetition after a release must have the bytes of the first attempt: a changed line here is a changed request.
    let charge = AmazonChargeId::parse("P03-0000001-0000002-C000003").unwrap();
    assert_eq!(
        text_of(create_charge(&asked(yen(980)))),
        r#"{"chargePermissionId":"C03-0000001-0000002","chargeAmount":{"amount":"980","currencyCode":"JPY"},"captureNow":true,"canHandlePendingAuthorization":false,"merchantMetadata":{"merchantReferenceId":"chg_0001"}}"#
    );
    assert_eq!(text_of(capture(yen(1))), r#"{"captureAmount":{"amount":"1","currencyCode":"JPY"}}"#);
    assert_eq!(text_of(cancel_charge("解約")), r#"{"cancellationReason":"解約"}"#);
    assert_eq!(
        text_of(create_refund(&charge, Money::from_minor(1050, Currency::Usd))),
        r#"{"chargeId":"P03-0000001-0000002-C000003","refundAmount":{"amount":"10.50","currencyCode":"USD"}}"#
    );
    assert_eq!(text_of(close_permission("over", true)), r#"{"closureReason":"over","cancelPendingCharges":true}"#);
}

#[test]
fn what_amazon_cannot_take_is_not_written() {
    let charge = AmazonChargeId::parse("P03-0000001-0000002-C000003").unwrap();
    for nothing in [0, -1] {
        assert_eq!(create_charge(&asked(yen(nothing))), Err(PayUnwritable));
        assert_eq!(capture(yen(nothing)), Err(PayUnwritable));
        assert_eq!(create_refund(&charge, yen(nothing)), Err(PayUnwritable));
    }
    for reason in [String::new(), "x".repeat(256)] {
        assert_eq!(cancel_charge(&reason), Err(PayUnwritable));
        assert_eq!(close_permission(&reason, false), Err(PayUnwritable));
    }
    assert!(cancel_charge(&"約".repeat(255)).is_ok(), "characters are counted, not bytes");
}

#[test]
fn nulls_unknown_members_and_odd_types_hide_nothing_else() {
    let body =
        br#"{"chargeId":"C1","chargePermissionId":null,"chargeAmount":{"amount":980,"currencyCode":"JPY","more":1},
        "captureAmount":{"amount":"980.00","currencyCode":"JPY"},"refundedAmount":{"amount":"9.5","currencyCode":"JPY"},
        "refundAmount":"none","statusDetails":{"state":"Captured","reasonCode":null,"reasons":null,"more":[]},
        "limits":[],"merchantMetadata":{"merchantReferenceId":7},"expirationTimestamp":"20260102T030405Z",
        "releaseEnvironment":"Elsewhere","futureMember":{"a":[1]}}"#;
    let body = PayBody::read(body).unwrap();
    assert_eq!((body.charge_id().as_deref(), body.permission_id()), (Some("C1"), None));
    assert_eq!((body.charge_amount(), body.capture_amount()), (Some(yen(980)), Some(yen(980))));
    assert_eq!(body.refunded_amount(), None, "half a yen is no amount");
    assert_eq!((body.refund_amount(), body.limits(), body.reference()), (None, (None, None), None));
    let status = body.status().unwrap();
    assert_eq!((status.state.as_str(), status.reasons), ("Captured", Vec::new()));
    assert_eq!((body.environment(), body.is_refusal()), (None, false));
    assert_eq!(body.expires_at().unwrap().to_rfc3339(), "2026-01-02T03:04:05+00:00");
    for broken in ["", "[]", "7", "{\"chargeId\":", "{\"chargeId\":1,\"chargeId\":2}"] {
        assert!(PayBody::read(broken.as_bytes()).is_none(), "{broken}");
    }
}

#[test]
fn a_permission_lists_its_reasons_and_a_charge_has_one() {
    let body = br#"{"statusDetails":{"state":"NonChargeable","reasons":[{"reasonCode":"PaymentMethodInvalid",
        "reasonDescription":"x"},{"reasonCode":"MFAFailed"},{"reasonCode":"NewWord"}],"reasonCode":null},
        "limits":{"amountLimit":{"amount":"100000","currencyCode":"JPY"},"amountBalance":{"amount":"99020","currencyCode":"JPY"}},
        "chargePermissionType":"Recurring"}"#;
    let body = PayBody::read(body).unwrap();
    let reasons = [PayReason::PaymentMethodInvalid, PayReason::MfaFailed, PayReason::Other];
    assert_eq!(body.status().unwrap().reasons, reasons);
    assert_eq!((body.limits(), body.recurs()), ((Some(yen(100_000)), Some(yen(99_020))), Some(true)));
}
