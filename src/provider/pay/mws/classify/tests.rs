//! Every code of the guides, every state and reason, and every way in which an answer can be none.

use super::*;
use crate::{
    kernel::{Currency, Money, NotSent},
    provider::pay::{
        classify::PayAnswer,
        ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey},
        mws::{
            ask::MwsOperation,
            call::{MwsAuthorize, MwsCaptureId, MwsRefund},
            neutral,
            seen::{MwsCaptureSeen, MwsState, MwsStatus},
        },
        outcome::{ChargeState, PermissionState, RefundState},
    },
};

const NAMESPACE: &str = "http://mws.amazonservices.com/schema/OffAmazonPayments/2013-01-01";
const ORDER: &str = "S03-1234567-1234567";

fn yen(minor: i64) -> Money {
    Money::from_minor(minor, Currency::Jpy)
}

fn key() -> PayKey {
    PayKey::parse("key1").unwrap()
}

/// On an order, or on a billing agreement.
fn authorize(consent: &str) -> MwsCall {
    let asked = MwsAuthorize {
        consent: AmazonPermissionId::parse(consent).unwrap(),
        key: key(),
        amount: yen(980),
        may_wait: false,
        capture_now: true,
        note: None,
        soft_descriptor: None,
        seller_order_id: None,
    };
    if consent.starts_with('C') { MwsCall::AuthorizeOnBillingAgreement(asked) } else { MwsCall::Authorize(asked) }
}

fn refund() -> MwsCall {
    let capture = MwsCaptureId::parse(&format!("{ORDER}-C123456")).unwrap();
    MwsCall::Refund(MwsRefund { capture, key: key(), amount: yen(80), note: None, soft_descriptor: None })
}

fn of(call: &MwsCall, status: u16, body: &str) -> PayOutcome<MwsSeen> {
    let answer = PayAnswer { status, content_type: None, body: body.as_bytes() };
    outcome(Ok(answer), call, Environment::Sandbox)
}

fn answer(operation: MwsOperation, inside: &str) -> String {
    let name = operation.as_str();
    format!(
        "<?xml version=\"1.0\"?><{name}Response xmlns=\"{NAMESPACE}\"><{name}Result>{inside}</{name}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{name}Response>"
    )
}

fn refusal(code: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error>\
         <RequestID>r</RequestID></ErrorResponse>"
    )
}

fn price(name: &str, amount: &str) -> String {
    format!("<{name}><CurrencyCode>JPY</CurrencyCode><Amount>{amount}</Amount></{name}>")
}

fn status(name: &str, state: &str, reason: &str) -> String {
    format!("<{name}><State>{state}</State><ReasonCode>{reason}</ReasonCode></{name}>")
}

fn authorization(state: &str, reason: &str, rest: &str) -> String {
    format!(
        "<AuthorizationDetails><AmazonAuthorizationId>{ORDER}-A123456</AmazonAuthorizationId>\
         <AuthorizationReferenceId>key1</AuthorizationReferenceId>{}{}{rest}</AuthorizationDetails>",
        price("AuthorizationAmount", "980.0"),
        status("AuthorizationStatus", state, reason)
    )
}

fn read_charge(state: &str, reason: &str, rest: &str, capture: Option<MwsStatus>) -> ChargeState {
    let body = answer(MwsOperation::Authorize, &authorization(state, reason, rest));
    let PayOutcome::Seen(MwsSeen::Authorization(seen)) = of(&authorize(ORDER), 200, &body) else { panic!("{body}") };
    let capture = capture.map(|status| MwsCaptureSeen {
        id: seen.captures[0].clone(),
        reference: seen.reference.clone(),
        status,
        amount: yen(980),
        refunded: None,
    });
    neutral::charge(seen, capture.as_ref()).state
}

/// What a code must come to: by the class of the outcome, and the doubt or the decline where there is one.
#[test]
fn every_code_of_the_guides_decides_whatever_its_status() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "rejected",
            &[
                "InvalidParameterValue",
                "InvalidAddress",
                "CurrencyMismatch",
                "CurrencyUnsupported",
                "AmbiguousToken",
                "InvalidSandboxSimulationSpecified",
                "InvalidAddressConsentToken",
            ],
        ),
        ("key_conflict", &["DuplicateReferenceId", "DuplicateRequest", "TransactionAlreadyProcessed"]),
        ("missing", &["InvalidBillingAgreementId", "InvalidOrderReferenceId", "InvalidTransactionId"]),
        (
            "turned_away",
            &[
                "AccessDenied",
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
                "InvalidAccountStatus",
                "UnauthorizedAccess",
                "UnauthorizedSolutionProvider",
                "MissingAuthenticationToken",
                "RequestExpired",
                "UserAgentHeaderMalformed",
            ],
        ),
        (
            "conflict",
            &[
                "BillingAgreementConstraintsExist",
                "ConstraintsExist",
                "PaymentMethodNotUpdated",
                "BillingAgreementNotModifiable",
                "OrderReferenceNotModifiable",
                "CaptureNotRefundable",
                "InvalidAuthorizationStatus",
                "OrderReferenceCountExceeded",
                "InvalidBillingAgreementStatus",
                "InvalidOrderReferenceStatus",
                "InvalidCancelAttempt",
                "InvalidCloseAttempt",
            ],
        ),
        ("declined cap", &["PeriodicAmountExceeded", "TransactionAmountExceeded", "TransactionCountExceeded"]),
        ("throttled", &["RequestThrottled", "QuotaExceeded"]),
        ("server_error", &["InternalServerError", "InternalError", "ServiceUnavailable"]),
        ("connection_lost", &["InputStreamDisconnected"]),
    ];
    for (expected, codes) in cases {
        for code in codes {
            for http in [400, 401, 403, 404, 405, 500, 503] {
                let came = of(&authorize(ORDER), http, &refusal(code));
                let class = if let PayOutcome::Declined(decline) = &came {
                    format!("declined {}", decline.kind.as_str())
                } else if let PayOutcome::Unknown(doubt) = &came {
                    doubt.as_str().to_owned()
                } else {
                    came.class().to_owned()
                };
                assert_eq!(class, expected, "{code} with {http}");
                if !matches!(came, PayOutcome::KeyConflict | PayOutcome::Missing | PayOutcome::Unknown(_)) {
                    assert_eq!(came.reason(), *code);
                }
            }
        }
    }
}

/// The reference id of an unknown outcome is not used up: it is sent again.
#[test]
fn what_proves_nothing_is_unknown() {
    let asked = authorize(ORDER);
    let doubt = |status, body: &str| {
        let came = of(&asked, status, body);
        let PayOutcome::Unknown(doubt) = came else { panic!("{status} {body}: {came:?}") };
        doubt
    };
    let whole = answer(MwsOperation::Authorize, &authorization("Open", "", ""));
    let other_operation = answer(MwsOperation::Capture, &authorization("Open", "", ""));
    for (status, body, expected) in [
        (200, "", PayDoubt::NotXml),
        (200, "{}", PayDoubt::NotXml),
        (200, "<html><body></body></html>", PayDoubt::WrongShape),
        (200, whole.get(..whole.len() - 9).unwrap(), PayDoubt::NotXml),
        (200, &format!("<!DOCTYPE a>{}", whole.get(21..).unwrap()), PayDoubt::NotXml),
        (200, &refusal("InvalidParameterValue"), PayDoubt::WrongShape),
        (200, &other_operation, PayDoubt::WrongShape),
        (200, &answer(MwsOperation::Authorize, ""), PayDoubt::WrongShape),
        (302, "", PayDoubt::Redirect),
        (408, "", PayDoubt::Timeout),
        (429, "", PayDoubt::Throttled),
        (400, "<html/>", PayDoubt::Unlisted),
        (404, "", PayDoubt::Unlisted),
        (400, &whole, PayDoubt::Unlisted),
        (400, &refusal("SomethingNew"), PayDoubt::Unlisted),
        (400, &refusal("AmazonRejected"), PayDoubt::Unlisted),
        (502, "<html/>", PayDoubt::ServerError),
        (504, "", PayDoubt::ServerError),
        (503, &refusal("SomethingNew"), PayDoubt::ServerError),
    ] {
        assert_eq!(doubt(status, body), expected, "{status} {body}");
    }
    let lost = outcome(Err(PayNoReply::Unknown(PayDoubt::Timeout)), &asked, Environment::Sandbox);
    assert_eq!(lost, PayOutcome::Unknown(PayDoubt::Timeout));
    let unsent = outcome(Err(PayNoReply::NotSent(NotSent::Connect)), &asked, Environment::Sandbox);
    assert_eq!(unsent, PayOutcome::NotSent(NotSent::Connect));
}

#[test]
fn an_answer_about_anything_else_than_was_asked_for_is_a_mismatch() {
    let whole = answer(MwsOperation::Authorize, &authorization("Open", "", ""));
    assert!(matches!(of(&authorize(ORDER), 200, &whole), PayOutcome::Seen(_)));
    for (from, to) in [
        ("key1", "key2"),
        ("980.0", "981"),
        ("JPY", "USD"),
        ("S03-1234567-1234567-A", "S03-1234567-1234568-A"),
        ("S03-1234567-1234567-A123456", "S03-1234567-12345670-A12345"),
    ] {
        let other = whole.replace(from, to);
        assert_eq!(of(&authorize(ORDER), 200, &other), PayOutcome::Unknown(PayDoubt::Mismatch), "{to}");
    }
    // The order that is made of a billing agreement has an id of its own.
    let recurring = whole.replace("AuthorizeRes", "AuthorizeOnBillingAgreementRes");
    assert!(matches!(of(&authorize("C03-7654321-7654321"), 200, &recurring), PayOutcome::Seen(_)));
    let read = MwsCall::GetAuthorizationDetails(AmazonChargeId::parse(&format!("{ORDER}-A999999")).unwrap());
    let body = answer(MwsOperation::GetAuthorizationDetails, &authorization("Open", "", ""));
    assert_eq!(of(&read, 200, &body), PayOutcome::Unknown(PayDoubt::Mismatch));
    let order = format!(
        "<OrderReferenceDetails><AmazonOrderReferenceId>{ORDER}</AmazonOrderReferenceId>{}\
         <ReleaseEnvironment>Live</ReleaseEnvironment></OrderReferenceDetails>",
        status("OrderReferenceStatus", "Open", "")
    );
    let read = MwsCall::GetOrderReferenceDetails(AmazonPermissionId::parse(ORDER).unwrap());
    let body = answer(MwsOperation::GetOrderReferenceDetails, &order);
    assert_eq!(of(&read, 200, &body), PayOutcome::Unknown(PayDoubt::Mismatch), "of the other environment");
    assert!(matches!(of(&read, 200, &body.replace("Live", "Sandbox")), PayOutcome::Seen(MwsSeen::Order(_))));
}

/// Section by section of the guides: each state and reason of an authorization.
#[test]
fn every_state_and_reason_of_an_authorization() {
    let declined = |state: &str, reason: &str, rest: &str| {
        let read = read_charge(state, reason, rest, None);
        let ChargeState::Declined(decline) = read else { panic!("{reason}: {read:?}") };
        (decline.kind, decline.reason)
    };
    assert_eq!(read_charge("Pending", "", "", None), ChargeState::Pending);
    assert_eq!(read_charge("Open", "", "", None), ChargeState::Authorized);
    assert_eq!(read_charge("Open", "StopShipmentAtypicalAuth", "", None), ChargeState::Authorized);
    let soft = "<SoftDecline>true</SoftDecline>";
    for (reason, rest, kind, word) in [
        ("InvalidPaymentMethod", "", DeclineKind::Method, PayReason::InvalidPaymentMethod),
        ("InvalidPaymentMethod", soft, DeclineKind::Soft, PayReason::InvalidPaymentMethod),
        ("AmazonRejected", "", DeclineKind::Final, PayReason::AmazonRejected),
        ("AmazonRejected", soft, DeclineKind::Final, PayReason::AmazonRejected),
        ("ProcessingFailure", "", DeclineKind::Busy, PayReason::ProcessingFailure),
        ("TransactionTimedOut", "", DeclineKind::Timeout, PayReason::TransactionTimedOut),
        ("TransactionTimeOut", "", DeclineKind::Timeout, PayReason::TransactionTimedOut),
        ("SomethingNew", "", DeclineKind::Method, PayReason::Other),
    ] {
        assert_eq!(declined("Declined", reason, rest), (kind, word), "{reason}");
    }
    for (reason, word) in [
        ("ExpiredUnused", PayReason::ExpiredUnused),
        ("SellerClosed", PayReason::SellerClosed),
        ("OrderReferenceCanceled", PayReason::OrderReferenceCanceled),
        ("AmazonClosed", PayReason::AmazonClosed),
    ] {
        assert_eq!(read_charge("CLOSED", reason, "", None), ChargeState::Voided(word));
    }
    for state in ["Draft", "Suspended", "Completed", "Canceled", "SomethingNew"] {
        assert_eq!(read_charge(state, "", "", None), ChargeState::Odd, "{state}");
    }
}

/// `CaptureNow` answers with a closed authorization and a captured amount of 0: the capture decides.
#[test]
fn every_state_and_reason_of_a_capture() {
    let rest = format!("{}<IdList><member>{ORDER}-C123456</member></IdList>", price("CapturedAmount", "0"));
    let read = |capture| read_charge("Closed", "MaxCapturesProcessed", &rest, capture);
    let at = |state, reason| Some(MwsStatus { state, reason });
    assert_eq!(read(None), ChargeState::Capturing, "a capture that was not seen");
    assert_eq!(read_charge("Closed", "MaxCapturesProcessed", "", None), ChargeState::Odd);
    assert_eq!(read(at(MwsState::Completed, None)), ChargeState::Paid);
    for reason in [PayReason::MaxAmountRefunded, PayReason::MaxRefundsProcessed, PayReason::AmazonClosed] {
        assert_eq!(read(at(MwsState::Closed, Some(reason))), ChargeState::Paid, "a closed capture was paid");
    }
    assert_eq!(read(at(MwsState::Pending, None)), ChargeState::Capturing);
    for (reason, kind) in
        [(PayReason::AmazonRejected, DeclineKind::Final), (PayReason::ProcessingFailure, DeclineKind::Busy)]
    {
        let state = read(at(MwsState::Declined, Some(reason)));
        assert_eq!(state, ChargeState::Declined(Decline { kind, reason }));
    }
    for state in [MwsState::Draft, MwsState::Open, MwsState::Suspended, MwsState::Canceled, MwsState::Odd] {
        assert_eq!(read(at(state, None)), ChargeState::Odd);
    }
    // Whatever the authorization says, once there is a capture.
    assert_eq!(read_charge("Open", "", &rest, at(MwsState::Completed, None)), ChargeState::Paid);
}

#[test]
fn every_state_and_reason_of_a_refund() {
    let read = |state: &str, reason: &str| {
        let inside = format!(
            "<RefundDetails><AmazonRefundId>{ORDER}-R123456</AmazonRefundId><RefundReferenceId>key1</RefundReferenceId>\
             <RefundType>SomethingNew</RefundType>{}{}</RefundDetails>",
            price("RefundAmount", "80"),
            status("RefundStatus", state, reason)
        );
        let body = answer(MwsOperation::Refund, &inside);
        let PayOutcome::Seen(MwsSeen::Refund(seen)) = of(&refund(), 200, &body) else { panic!("{body}") };
        assert_eq!(of(&refund(), 200, &body.replace(">80<", ">81<")), PayOutcome::Unknown(PayDoubt::Mismatch));
        assert_eq!(of(&refund(), 200, &body.replace("key1", "key2")), PayOutcome::Unknown(PayDoubt::Mismatch));
        let other = MwsCall::GetRefundDetails(AmazonRefundId::parse(&format!("{ORDER}-R999999")).unwrap());
        let body = answer(MwsOperation::GetRefundDetails, &inside);
        assert_eq!(of(&other, 200, &body), PayOutcome::Unknown(PayDoubt::Mismatch));
        neutral::refund(seen).state
    };
    assert_eq!((read("Pending", ""), read("Completed", "None")), (RefundState::Pending, RefundState::Done));
    for (word, kind) in [("AmazonRejected", DeclineKind::Final), ("ProcessingFailure", DeclineKind::Busy)] {
        let reason = PayReason::from_amazon(word);
        assert_eq!(read("Declined", word), RefundState::Declined(Decline { kind, reason }));
    }
    for state in ["Open", "Closed", "Canceled", "SomethingNew"] {
        assert_eq!(read(state, ""), RefundState::Odd);
    }
}

fn agreement(state: &str, reason: &str) -> PermissionState {
    let inside = format!(
        "<BillingAgreementDetails><AmazonBillingAgreementId>C03-7654321-7654321</AmazonBillingAgreementId>{}\
         <BillingAgreementConsent>true</BillingAgreementConsent><BillingAgreementLimits>{}{}</BillingAgreementLimits>\
         <Constraints><Constraint><ConstraintID>BuyerConsentNotSet</ConstraintID></Constraint></Constraints>\
         <ReleaseEnvironment>Sandbox</ReleaseEnvironment></BillingAgreementDetails>",
        status("BillingAgreementStatus", state, reason),
        price("AmountLimitPerTimePeriod", "50000"),
        price("CurrentRemainingBalance", "49020.0")
    );
    let read = MwsCall::GetBillingAgreementDetails(AmazonPermissionId::parse("C03-7654321-7654321").unwrap());
    let body = answer(MwsOperation::GetBillingAgreementDetails, &inside);
    let PayOutcome::Seen(MwsSeen::Agreement(seen)) = of(&read, 200, &body) else { panic!("{body}") };
    assert!(seen.consented);
    let seen = neutral::of_agreement(seen);
    assert_eq!((seen.recurs, seen.limit, seen.balance), (Some(true), Some(yen(50_000)), Some(yen(49_020))));
    seen.state
}

#[test]
fn every_state_and_reason_of_a_billing_agreement() {
    assert_eq!(agreement("Open", ""), PermissionState::Usable);
    assert_eq!(agreement("Draft", ""), PermissionState::Blocked(vec![PayReason::BuyerConsentNotSet]));
    let method = vec![PayReason::InvalidPaymentMethod];
    assert_eq!(agreement("Suspended", "InvalidPaymentMethod"), PermissionState::Blocked(method));
    for (state, word) in [
        ("Canceled", "Stale"),
        ("Canceled", "AmazonCanceled"),
        ("Closed", "SellerClosed"),
        ("Closed", "AmazonClosed"),
        ("Closed", "WhatABuyerDid"),
    ] {
        assert_eq!(agreement(state, word), PermissionState::Ended(vec![PayReason::from_amazon(word)]));
    }
    assert_eq!(agreement("SomethingNew", ""), PermissionState::Odd);
}

#[test]
fn every_state_and_reason_of_an_order_reference() {
    let order = |state: &str, reason: &str| {
        let inside = format!(
            "<OrderReferenceDetails><AmazonOrderReferenceId>{ORDER}</AmazonOrderReferenceId>{}{}\
             <ExpirationTimestamp>2026-07-01T00:00:00.000Z</ExpirationTimestamp>\
             <IdList><member>{ORDER}-A123456</member></IdList></OrderReferenceDetails>",
            status("OrderReferenceStatus", state, reason),
            price("OrderTotal", "980")
        );
        let read = MwsCall::GetOrderReferenceDetails(AmazonPermissionId::parse(ORDER).unwrap());
        let body = answer(MwsOperation::GetOrderReferenceDetails, &inside);
        let PayOutcome::Seen(MwsSeen::Order(seen)) = of(&read, 200, &body) else { panic!("{body}") };
        assert_eq!((seen.authorizations.len(), seen.expires_at.is_some()), (1, true));
        neutral::of_order(seen).state
    };
    assert_eq!(order("Open", ""), PermissionState::Usable);
    assert_eq!(order("Draft", ""), PermissionState::Blocked(Vec::new()));
    let method = vec![PayReason::InvalidPaymentMethod];
    assert_eq!(order("Suspended", "InvalidPaymentMethod"), PermissionState::Blocked(method));
    for (state, word) in [
        ("Canceled", "Stale"),
        ("Canceled", "SellerCanceled"),
        ("Canceled", "AmazonCanceled"),
        ("Closed", "SellerClosed"),
        ("Closed", "Expired"),
        ("Closed", "MaxAmountCharged"),
        ("Closed", "MaxAuthorizationsCaptured"),
        ("Closed", "MaxAuthorizationsProcessed"),
        ("Closed", "AmazonClosed"),
    ] {
        let reason = PayReason::from_amazon(word);
        assert_ne!(reason, PayReason::Other, "{word}");
        assert_eq!(order(state, word), PermissionState::Ended(vec![reason]));
    }
}

#[test]
fn what_shows_nothing_is_done_and_a_validation_says_why_not() {
    let id = || AmazonPermissionId::parse("C03-7654321-7654321").unwrap();
    let confirm = MwsCall::ConfirmBillingAgreement(id());
    let empty = format!("<ConfirmBillingAgreementResponse xmlns=\"{NAMESPACE}\"/>");
    for body in [empty, answer(MwsOperation::ConfirmBillingAgreement, "")] {
        assert_eq!(of(&confirm, 200, &body), PayOutcome::Seen(MwsSeen::Done));
    }
    let validated = |result: &str, reason: &str| {
        let inside =
            format!("<ValidationResult>{result}</ValidationResult><FailureReasonCode>{reason}</FailureReasonCode>");
        of(&MwsCall::ValidateBillingAgreement(id()), 200, &answer(MwsOperation::ValidateBillingAgreement, &inside))
    };
    for (result, word, valid) in
        [("Success", "", true), ("Failure", "InvalidPaymentMethod", false), ("Failure", "ValidationTimedOut", false)]
    {
        let PayOutcome::Seen(MwsSeen::Validation(seen)) = validated(result, word) else { panic!("{word}") };
        assert_eq!((seen.valid, seen.reason.map(PayReason::as_str)), (valid, (!word.is_empty()).then_some(word)));
    }
    assert_eq!(validated("Perhaps", ""), PayOutcome::Unknown(PayDoubt::WrongShape));
    let health = of(&MwsCall::GetServiceStatus, 200, &answer(MwsOperation::GetServiceStatus, "<Status>GREEN</Status>"));
    assert_eq!(health, PayOutcome::Seen(MwsSeen::Health(crate::provider::pay::mws::seen::MwsHealth::Green)));
}
