//! The objects of Amazon Pay, as its answers show them.

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::PayShown;
use super::charge::{BookedCharge, ChargeStage};
use super::permission::{Consent, ConsentState};
use super::refund::BookedRefund;
use super::session::{BookedSession, SessionState};

pub(super) fn shown(status: StatusCode, json: Value) -> PayShown {
    PayShown { status, json, reason: None }
}

pub(super) fn charge(charge: &BookedCharge, refunded: Decimal) -> Value {
    let price = |amount: Decimal| price(amount, &charge.currency);
    let taken = matches!(charge.stage, ChargeStage::Captured | ChargeStage::CaptureInitiated);
    let word: &'static str = charge.stage.into();
    json!({
        "chargeId": charge.id,
        "chargePermissionId": charge.permission_id,
        "chargeAmount": price(charge.amount),
        "captureAmount": if taken { price(charge.captured) } else { Value::Null },
        "refundedAmount": if refunded.is_zero() { Value::Null } else { price(refunded) },
        "softDescriptor": null,
        "captureNow": charge.capture_now,
        "canHandlePendingAuthorization": charge.may_wait,
        "providerMetadata": { "providerReferenceId": null },
        "merchantMetadata": charge.metadata,
        "creationTimestamp": stamp(charge.created),
        "expirationTimestamp": stamp(charge.expires()),
        "statusDetails": {
            "state": word,
            "reasonCode": charge.reason,
            "reasonDescription": null,
            "lastUpdatedTimestamp": stamp(charge.changed),
        },
        "convertedAmount": null,
        "conversionRate": null,
        "releaseEnvironment": "Sandbox",
        "platformId": null,
    })
}

pub(super) fn refund(refund: &BookedRefund) -> Value {
    let word: &'static str = refund.stage.into();
    json!({
        "refundId": refund.id,
        "chargeId": refund.charge_id,
        "refundAmount": price(refund.amount, &refund.currency),
        "softDescriptor": null,
        "creationTimestamp": stamp(refund.created),
        "statusDetails": {
            "state": word,
            "reasonCode": refund.reason,
            "reasonDescription": null,
            "lastUpdatedTimestamp": stamp(refund.changed),
        },
        "releaseEnvironment": "Sandbox",
    })
}

/// Every buyer has this name. It stands in no other place, so a test sees where a program lets it go.
const BUYER: &str = "Hanako of the Sandbox";

/// As Amazon does while it knows the buyer, it shows who that is and where they live.
pub(super) fn permission(consent: &Consent, balance: Decimal) -> Value {
    let (state, reason) = match &consent.state {
        ConsentState::Chargeable => ("Chargeable", None),
        ConsentState::NonChargeable(reason) => ("NonChargeable", Some(reason)),
        ConsentState::Closed(reason) => ("Closed", Some(reason)),
    };
    let reasons = reason.map(|reason| json!([{ "reasonCode": reason, "reasonDescription": null }]));
    let frequency = json!({ "frequency": { "unit": "Month", "value": "1" }, "amount": null });
    json!({
        "chargePermissionId": consent.id,
        "chargePermissionReferenceId": null,
        "platformId": null,
        "buyer": { "buyerId": "amzn1.account.SANDBOXBUYER", "name": BUYER, "email": "hanako@buyer.example", "phoneNumber": null },
        "shippingAddress": { "name": BUYER, "addressLine1": "Shimo-Meguro 1-8-1", "postalCode": "153-0064", "countryCode": "JP" },
        "billingAddress": null,
        "paymentPreferences": [{ "paymentDescriptor": format!("** (Card ending in {})", consent.card) }],
        "statusDetails": { "state": state, "reasons": reasons, "lastUpdatedTimestamp": stamp(consent.changed) },
        "creationTimestamp": stamp(consent.created),
        "expirationTimestamp": stamp(consent.expires()),
        "merchantMetadata": { "merchantReferenceId": consent.reference, "merchantStoreName": null },
        "releaseEnvironment": "Sandbox",
        "limits": {
            "amountLimit": price(consent.limit, &consent.currency),
            "amountBalance": price(balance, &consent.currency),
        },
        "chargePermissionType": if consent.recurs { "Recurring" } else { "OneTime" },
        "recurringMetadata": if consent.recurs { frequency } else { Value::Null },
        "presentmentCurrency": consent.currency,
    })
}

/// While it is open it shows what was agreed; once it is completed, only what came of it.
pub(super) fn session(session: &BookedSession) -> Value {
    let (state, reason) = match &session.state {
        SessionState::Open => ("Open", None),
        SessionState::Completed { .. } => ("Completed", None),
        SessionState::Canceled(reason) => ("Canceled", Some(reason)),
    };
    let permission_id = match &session.state {
        SessionState::Completed { permission_id } => Some(permission_id),
        SessionState::Open | SessionState::Canceled(_) => None,
    };
    let open = matches!(session.state, SessionState::Open);
    let amount = price(session.price.amount, &session.price.currency);
    let details = json!({ "paymentIntent": "Confirm", "canHandlePendingAuthorization": false, "chargeAmount": amount });
    json!({
        "checkoutSessionId": session.id,
        "webCheckoutDetails": if open { json!({ "checkoutResultReturnUrl": session.return_url }) } else { Value::Null },
        "productType": if open { Value::from("PayOnly") } else { Value::Null },
        "paymentDetails": if open { details } else { Value::Null },
        "merchantMetadata": if open { session.metadata.clone() } else { Value::Null },
        "buyer": null,
        "shippingAddress": null,
        "billingAddress": null,
        "paymentPreferences": if open { json!([{ "paymentDescriptor": format!("** (Card ending in {})", session.card) }]) } else { Value::Null },
        "statusDetails": {
            "state": state,
            "reasonCode": reason,
            "reasonDescription": null,
            "lastUpdatedTimestamp": stamp(session.changed),
        },
        "constraints": [],
        "chargePermissionType": if session.recurs { "Recurring" } else { "OneTime" },
        "chargePermissionId": permission_id,
        "chargeId": null,
        "creationTimestamp": stamp(session.created),
        "expirationTimestamp": stamp(session.expires()),
        "storeId": session.store_id,
        "releaseEnvironment": "Sandbox",
    })
}

fn price(amount: Decimal, currency: &str) -> Value {
    json!({ "amount": amount.to_string(), "currencyCode": currency })
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}
