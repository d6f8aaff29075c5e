//! The objects of MWS, out of an answer's elements. Of each only what decides must be there.

use chrono::{DateTime, Utc};

use super::{
    call::MwsCaptureId,
    seen::{
        MwsAgreementSeen, MwsAuthorizationSeen, MwsCaptureSeen, MwsHealth, MwsOrderSeen, MwsRefundSeen, MwsState,
        MwsStatus, MwsValidationSeen,
    },
    xml::XmlNode,
};
use crate::{
    kernel::{Currency, Environment, Money},
    provider::pay::{
        ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayReference},
        reason::PayReason,
    },
};

pub(super) fn order(node: &XmlNode) -> Option<MwsOrderSeen> {
    Some(MwsOrderSeen {
        id: AmazonPermissionId::parse(node.text(&["AmazonOrderReferenceId"])?)?,
        status: status(node.child("OrderReferenceStatus")?)?,
        total: money(node.child("OrderTotal")),
        constraints: constraints(node),
        authorizations: node.texts(&["IdList"]).filter_map(AmazonChargeId::parse).collect(),
        parent: node.text(&["ParentDetails", "Id"]).and_then(AmazonPermissionId::parse),
        seller_order_id: node.text(&["SellerOrderAttributes", "SellerOrderId"]).and_then(PayReference::parse),
        expires_at: instant(node, "ExpirationTimestamp"),
    })
}

pub(super) fn agreement(node: &XmlNode) -> Option<MwsAgreementSeen> {
    let limits = node.child("BillingAgreementLimits");
    let own = ["SellerBillingAgreementAttributes", "SellerBillingAgreementId"];
    Some(MwsAgreementSeen {
        id: AmazonPermissionId::parse(node.text(&["AmazonBillingAgreementId"])?)?,
        status: status(node.child("BillingAgreementStatus")?)?,
        consented: flag(node, "BillingAgreementConsent"),
        limit: money(limits.and_then(|limits| limits.child("AmountLimitPerTimePeriod"))),
        balance: money(limits.and_then(|limits| limits.child("CurrentRemainingBalance"))),
        constraints: constraints(node),
        seller_agreement_id: node.text(&own).and_then(PayReference::parse),
    })
}

pub(super) fn authorization(node: &XmlNode) -> Option<MwsAuthorizationSeen> {
    Some(MwsAuthorizationSeen {
        id: AmazonChargeId::parse(node.text(&["AmazonAuthorizationId"])?)?,
        reference: PayReference::parse(node.text(&["AuthorizationReferenceId"])?)?,
        status: status(node.child("AuthorizationStatus")?)?,
        amount: money(node.child("AuthorizationAmount"))?,
        captures: node.texts(&["IdList"]).map(MwsCaptureId::parse).collect::<Option<_>>()?,
        soft_decline: flag(node, "SoftDecline"),
        expires_at: instant(node, "ExpirationTimestamp"),
    })
}

pub(super) fn capture(node: &XmlNode) -> Option<MwsCaptureSeen> {
    Some(MwsCaptureSeen {
        id: MwsCaptureId::parse(node.text(&["AmazonCaptureId"])?)?,
        reference: PayReference::parse(node.text(&["CaptureReferenceId"])?)?,
        status: status(node.child("CaptureStatus")?)?,
        amount: money(node.child("CaptureAmount"))?,
        refunded: money(node.child("RefundedAmount")).filter(|refunded| refunded.minor() != 0),
    })
}

pub(super) fn refund(node: &XmlNode) -> Option<MwsRefundSeen> {
    Some(MwsRefundSeen {
        id: AmazonRefundId::parse(node.text(&["AmazonRefundId"])?)?,
        reference: PayReference::parse(node.text(&["RefundReferenceId"])?)?,
        status: status(node.child("RefundStatus")?)?,
        amount: money(node.child("RefundAmount"))?,
    })
}

pub(super) fn validation(node: &XmlNode) -> Option<MwsValidationSeen> {
    Some(MwsValidationSeen {
        valid: match node.text(&["ValidationResult"])? {
            "Success" => true,
            "Failure" => false,
            _ => return None,
        },
        reason: node.text(&["FailureReasonCode"]).map(reason),
        status: node.child("BillingAgreementStatus").and_then(status),
    })
}

pub(super) fn health(node: &XmlNode) -> Option<MwsHealth> {
    Some(match node.text(&["Status"])? {
        "GREEN" => MwsHealth::Green,
        "GREEN_I" => MwsHealth::GreenWithInformation,
        "YELLOW" => MwsHealth::Yellow,
        "RED" => MwsHealth::Red,
        _ => MwsHealth::Odd,
    })
}

/// The environment that an object says it is of.
pub(super) fn environment(node: &XmlNode) -> Option<Environment> {
    match node.text(&["ReleaseEnvironment"])? {
        "Sandbox" => Some(Environment::Sandbox),
        "Live" => Some(Environment::Production),
        _ => None,
    }
}

/// Amazon's word. One has two spellings in Amazon's own guide.
pub(super) fn reason(word: &str) -> PayReason {
    if word == "TransactionTimeOut" { PayReason::TransactionTimedOut } else { PayReason::from_amazon(word) }
}

/// One of the guide's samples shouts its state, and a test notification writes `None` for no reason.
fn status(node: &XmlNode) -> Option<MwsStatus> {
    let state = match node.text(&["State"])?.to_ascii_lowercase().as_str() {
        "draft" => MwsState::Draft,
        "pending" => MwsState::Pending,
        "open" => MwsState::Open,
        "suspended" => MwsState::Suspended,
        "completed" => MwsState::Completed,
        "declined" => MwsState::Declined,
        "closed" => MwsState::Closed,
        "canceled" => MwsState::Canceled,
        _ => MwsState::Odd,
    };
    let reason = node.text(&["ReasonCode"]).filter(|word| *word != "None").map(reason);
    Some(MwsStatus { state, reason })
}

fn constraints(node: &XmlNode) -> Vec<PayReason> {
    node.items(&["Constraints"]).iter().filter_map(|item| item.text(&["ConstraintID"])).map(reason).collect()
}

fn money(node: Option<&XmlNode>) -> Option<Money> {
    let node = node?;
    let currency: Currency = node.text(&["CurrencyCode"])?.parse().ok()?;
    Money::from_amazon_number(node.text(&["Amount"])?, currency).ok()
}

fn flag(node: &XmlNode, name: &str) -> bool {
    node.text(&[name]).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// With and without milliseconds.
fn instant(node: &XmlNode, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(node.text(&[name])?).ok().map(|at| at.to_utc())
}
