//! The objects as answers show them: their elements, as JSON that is printed as XML.

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::objects::{MwsAuthorized, MwsCaptured, MwsConsented, MwsRefunded, MwsStanding, OPEN, after};

/// Who the buyer is, and where they live, is nobody's business here.
pub(super) fn order(order: &MwsConsented, authorizations: &[String]) -> Value {
    json!({ "OrderReferenceDetails": {
        "AmazonOrderReferenceId": order.id,
        "OrderTotal": order.limit.map(|total| price(total, &order.currency)),
        "SellerNote": order.notes.seller_note,
        "SellerOrderAttributes": {
            "SellerOrderId": order.notes.own_id,
            "StoreName": order.notes.store_name,
            "CustomInformation": order.notes.custom,
        },
        "OrderReferenceStatus": status(&order.standing, "LastUpdateTimestamp"),
        "Constraints": constraints(order),
        "ParentDetails": order.parent.as_ref().map(|id| json!({ "Id": id, "Type": "BillingAgreement" })),
        "IdList": authorizations,
        "CreationTimestamp": stamp(order.created),
        "ExpirationTimestamp": stamp(after(order.created, OPEN)),
        "ReleaseEnvironment": "Sandbox",
    } })
}

/// The period is the calendar month in UTC: the seller reads it, and does not work it out.
pub(super) fn agreement(agreement: &MwsConsented, balance: Decimal) -> Value {
    let limit = agreement.limit.unwrap_or_default();
    json!({ "BillingAgreementDetails": {
        "AmazonBillingAgreementId": agreement.id,
        "BillingAgreementConsent": agreement.consented,
        "BillingAgreementLimits": {
            "AmountLimitPerTimePeriod": price(limit, &agreement.currency),
            "CurrentRemainingBalance": price(balance, &agreement.currency),
        },
        "SellerNote": agreement.notes.seller_note,
        "SellerBillingAgreementAttributes": {
            "SellerBillingAgreementId": agreement.notes.own_id,
            "StoreName": agreement.notes.store_name,
            "CustomInformation": agreement.notes.custom,
        },
        "BillingAgreementStatus": status(&agreement.standing, "LastUpdateTimestamp"),
        "Constraints": constraints(agreement),
        "CreationTimestamp": stamp(agreement.created),
        "ReleaseEnvironment": "Sandbox",
    } })
}

/// With `CaptureNow` Amazon shows a captured amount of 0 beside the capture's id.
pub(super) fn authorization(authorization: &MwsAuthorized, captures: &[String]) -> Value {
    let price = |amount: Decimal| price(amount, &authorization.currency);
    let soft = authorization.soft.then_some("true");
    json!({ "AuthorizationDetails": {
        "AmazonAuthorizationId": authorization.id,
        "AuthorizationReferenceId": authorization.reference,
        "SellerAuthorizationNote": authorization.note,
        "AuthorizationAmount": price(authorization.amount),
        "CapturedAmount": price(Decimal::ZERO),
        "AuthorizationFee": price(Decimal::ZERO),
        "IdList": captures,
        "AuthorizationStatus": status(&authorization.standing, "LastUpdateTimestamp"),
        "SoftDecline": soft,
        "CaptureNow": if authorization.capture_now { "true" } else { "false" },
        "CreationTimestamp": stamp(authorization.created),
        "ExpirationTimestamp": stamp(authorization.expires()),
    } })
}

pub(super) fn capture(capture: &MwsCaptured, refunded: Decimal, refunds: &[String]) -> Value {
    let price = |amount: Decimal| price(amount, &capture.currency);
    json!({ "CaptureDetails": {
        "AmazonCaptureId": capture.id,
        "CaptureReferenceId": capture.reference,
        "SellerCaptureNote": capture.note,
        "CaptureAmount": price(capture.amount),
        "RefundedAmount": price(refunded),
        "CaptureFee": price(Decimal::ZERO),
        "IdList": refunds,
        "CaptureStatus": status(&capture.standing, "LastUpdateTimestamp"),
        "CreationTimestamp": stamp(capture.created),
    } })
}

pub(super) fn refund(refund: &MwsRefunded) -> Value {
    json!({ "RefundDetails": {
        "AmazonRefundId": refund.id,
        "RefundReferenceId": refund.reference,
        "SellerRefundNote": refund.note,
        "RefundType": "SellerInitiated",
        "RefundAmount": price(refund.amount, &refund.currency),
        "FeeRefunded": price(Decimal::ZERO, &refund.currency),
        "RefundStatus": status(&refund.standing, "LastUpdateTimestamp"),
        "CreationTimestamp": stamp(refund.created),
    } })
}

/// The one status whose time has another name.
pub(super) fn validation(reason: Option<&str>, standing: &MwsStanding) -> Value {
    json!({
        "ValidationResult": if reason.is_some() { "Failure" } else { "Success" },
        "FailureReasonCode": reason,
        "BillingAgreementStatus": status(standing, "LastUpdatedTimestamp"),
    })
}

fn constraints(of: &MwsConsented) -> Option<Value> {
    let constraints = of.constraints();
    let shown = constraints.iter().map(|id| json!({ "ConstraintID": id, "Description": id }));
    (!constraints.is_empty()).then(|| shown.collect())
}

fn status(standing: &MwsStanding, time: &str) -> Value {
    let state: &'static str = standing.stage.into();
    json!({ "State": state, "ReasonCode": standing.reason, time: stamp(standing.since) })
}

fn price(amount: Decimal, currency: &str) -> Value {
    json!({ "Amount": amount.to_string(), "CurrencyCode": currency })
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
