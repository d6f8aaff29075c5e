//! What came of a call to MWS, decided in one place and without I/O.
//!
//! Of a refusal the code decides: Amazon's pages give several statuses for one code. What is not proven is unknown. Nothing here quotes
//! a body.

use super::{call::MwsCall, read, seen::MwsSeen, xml::XmlNode};
use crate::{
    kernel::Environment,
    provider::pay::{
        classify::{PayNoReply, PayReply, RefusalProof},
        outcome::{Decline, DeclineKind, PayDoubt, PayOutcome},
        reason::PayReason,
    },
};

/// What each code refuses. One that is not here refuses nothing.
const REFUSALS: [(PayReason, RefusalProof); 42] = [
    (PayReason::InvalidParameterValue, RefusalProof::Rejected),
    (PayReason::InvalidAddress, RefusalProof::Rejected),
    (PayReason::CurrencyMismatch, RefusalProof::Rejected),
    (PayReason::CurrencyUnsupported, RefusalProof::Rejected),
    (PayReason::AmbiguousToken, RefusalProof::Rejected),
    (PayReason::InvalidSandboxSimulationSpecified, RefusalProof::Rejected),
    (PayReason::InvalidAddressConsentToken, RefusalProof::Rejected),
    // Something was made under our reference id, and it is not what was asked for.
    (PayReason::DuplicateRequest, RefusalProof::KeyConflict),
    (PayReason::DuplicateReferenceId, RefusalProof::KeyConflict),
    (PayReason::TransactionAlreadyProcessed, RefusalProof::KeyConflict),
    (PayReason::InvalidBillingAgreementId, RefusalProof::Missing),
    (PayReason::InvalidOrderReferenceId, RefusalProof::Missing),
    (PayReason::InvalidTransactionId, RefusalProof::Missing),
    (PayReason::AccessDenied, RefusalProof::TurnedAway),
    (PayReason::InvalidAccessKeyId, RefusalProof::TurnedAway),
    (PayReason::SignatureDoesNotMatch, RefusalProof::TurnedAway),
    (PayReason::InvalidAccountStatus, RefusalProof::TurnedAway),
    (PayReason::UnauthorizedAccess, RefusalProof::TurnedAway),
    (PayReason::UnauthorizedSolutionProvider, RefusalProof::TurnedAway),
    (PayReason::MissingAuthenticationToken, RefusalProof::TurnedAway),
    (PayReason::RequestExpired, RefusalProof::TurnedAway),
    (PayReason::UserAgentHeaderMalformed, RefusalProof::TurnedAway),
    (PayReason::BillingAgreementConstraintsExist, RefusalProof::Conflict),
    (PayReason::ConstraintsExist, RefusalProof::Conflict),
    (PayReason::PaymentMethodNotUpdated, RefusalProof::Conflict),
    (PayReason::BillingAgreementNotModifiable, RefusalProof::Conflict),
    (PayReason::OrderReferenceNotModifiable, RefusalProof::Conflict),
    (PayReason::CaptureNotRefundable, RefusalProof::Conflict),
    (PayReason::InvalidAuthorizationStatus, RefusalProof::Conflict),
    (PayReason::OrderReferenceCountExceeded, RefusalProof::Conflict),
    (PayReason::InvalidBillingAgreementStatus, RefusalProof::Conflict),
    (PayReason::InvalidOrderReferenceStatus, RefusalProof::Conflict),
    (PayReason::InvalidCancelAttempt, RefusalProof::Conflict),
    (PayReason::InvalidCloseAttempt, RefusalProof::Conflict),
    // Amazon says itself that it has not looked at it.
    (PayReason::RequestThrottled, RefusalProof::Nothing(PayDoubt::Throttled)),
    (PayReason::QuotaExceeded, RefusalProof::Nothing(PayDoubt::Throttled)),
    // Also where an id of the sandbox is sent to the live endpoint, or the other way round.
    (PayReason::InternalServerError, RefusalProof::Nothing(PayDoubt::ServerError)),
    (PayReason::InternalError, RefusalProof::Nothing(PayDoubt::ServerError)),
    (PayReason::ServiceUnavailable, RefusalProof::Nothing(PayDoubt::ServerError)),
    (PayReason::InputStreamDisconnected, RefusalProof::Nothing(PayDoubt::ConnectionLost)),
    (PayReason::RequestTimeout, RefusalProof::Nothing(PayDoubt::Timeout)),
    (PayReason::ProcessingFailure, RefusalProof::Nothing(PayDoubt::Busy)),
];

/// Codes by which a limit declines a call, so that nothing is made.
const CAPS: [PayReason; 3] =
    [PayReason::PeriodicAmountExceeded, PayReason::TransactionAmountExceeded, PayReason::TransactionCountExceeded];

/// What came of the call: the object that its answer shows, if it is the one that was asked for.
pub(super) fn outcome(reply: PayReply<'_>, call: &MwsCall, environment: Environment) -> PayOutcome<MwsSeen> {
    let answer = match reply {
        Ok(answer) => answer,
        Err(PayNoReply::NotSent(why)) => return PayOutcome::NotSent(why),
        Err(PayNoReply::Unknown(doubt)) => return PayOutcome::Unknown(doubt),
    };
    // Before the body: whoever redirects us is not the service.
    match answer.status {
        300..400 => return PayOutcome::Unknown(PayDoubt::Redirect),
        408 => return PayOutcome::Unknown(PayDoubt::Timeout),
        425 | 429 => return PayOutcome::Unknown(PayDoubt::Throttled),
        _ => {}
    }
    match (answer.status, XmlNode::document(answer.body)) {
        (200..300, Err(_not_xml)) => PayOutcome::Unknown(PayDoubt::NotXml),
        (200..300, Ok(root)) => shown(&root, call, environment),
        (400.., Ok(root)) if root.name() == "ErrorResponse" => refused(&root, answer.status),
        (500.., _) => PayOutcome::Unknown(PayDoubt::ServerError),
        _ => PayOutcome::Unknown(PayDoubt::Unlisted),
    }
}

/// The object of an answer that is none of a refusal.
fn shown(root: &XmlNode, call: &MwsCall, environment: Environment) -> PayOutcome<MwsSeen> {
    let name = call.operation().as_str();
    let result = (root.name() == format!("{name}Response")).then(|| root.child(&format!("{name}Result"))).flatten();
    // What has nothing to show may show no result either.
    let result = match (result, root.name() == format!("{name}Response")) {
        (Some(result), _) => result,
        (None, true) if is_done_alone(call) => return PayOutcome::Seen(MwsSeen::Done),
        (None, _) => return PayOutcome::Unknown(PayDoubt::WrongShape),
    };
    if details(result).and_then(read::environment).is_some_and(|theirs| theirs != environment) {
        return PayOutcome::Unknown(PayDoubt::Mismatch);
    }
    match object(result, call) {
        Some(seen) if matches(&seen, call) => PayOutcome::Seen(seen),
        Some(_other) => PayOutcome::Unknown(PayDoubt::Mismatch),
        None => PayOutcome::Unknown(PayDoubt::WrongShape),
    }
}

/// The element in which an object stands.
fn details(result: &XmlNode) -> Option<&XmlNode> {
    let names =
        ["OrderReferenceDetails", "BillingAgreementDetails", "AuthorizationDetails", "CaptureDetails", "RefundDetails"];
    names.iter().find_map(|name| result.child(name))
}

const fn is_done_alone(call: &MwsCall) -> bool {
    matches!(
        call,
        MwsCall::ConfirmOrderReference(_)
            | MwsCall::ConfirmBillingAgreement(_)
            | MwsCall::CloseAuthorization(..)
            | MwsCall::CancelOrderReference(..)
            | MwsCall::CloseOrderReference(..)
            | MwsCall::CloseBillingAgreement(..)
    )
}

fn object(result: &XmlNode, call: &MwsCall) -> Option<MwsSeen> {
    let within = |name: &str| result.child(name);
    Some(match call {
        MwsCall::SetOrderReferenceDetails(_)
        | MwsCall::SetOrderAttributes(_)
        | MwsCall::GetOrderReferenceDetails(_)
        | MwsCall::CreateOrderReferenceForId(_) => MwsSeen::Order(read::order(within("OrderReferenceDetails")?)?),
        MwsCall::GetBillingAgreementDetails(_) | MwsCall::SetBillingAgreementDetails(_) => {
            MwsSeen::Agreement(read::agreement(within("BillingAgreementDetails")?)?)
        }
        MwsCall::Authorize(_) | MwsCall::AuthorizeOnBillingAgreement(_) | MwsCall::GetAuthorizationDetails(_) => {
            MwsSeen::Authorization(read::authorization(within("AuthorizationDetails")?)?)
        }
        MwsCall::Capture(_) | MwsCall::GetCaptureDetails(_) => {
            MwsSeen::Capture(read::capture(within("CaptureDetails")?)?)
        }
        MwsCall::Refund(_) | MwsCall::GetRefundDetails(_) => MwsSeen::Refund(read::refund(within("RefundDetails")?)?),
        MwsCall::ValidateBillingAgreement(_) => MwsSeen::Validation(read::validation(result)?),
        MwsCall::GetServiceStatus => MwsSeen::Health(read::health(result)?),
        MwsCall::ConfirmOrderReference(_)
        | MwsCall::ConfirmBillingAgreement(_)
        | MwsCall::CloseAuthorization(..)
        | MwsCall::CancelOrderReference(..)
        | MwsCall::CloseOrderReference(..)
        | MwsCall::CloseBillingAgreement(..) => MwsSeen::Done,
    })
}

/// Whether it is about what was asked for: the id of what is read, and of what is made our reference id and the amount.
fn matches(seen: &MwsSeen, call: &MwsCall) -> bool {
    match (call, seen) {
        (MwsCall::SetOrderReferenceDetails(details) | MwsCall::SetOrderAttributes(details), MwsSeen::Order(order)) => {
            order.id == details.order && details.total.is_none_or(|total| order.total == Some(total))
        }
        (MwsCall::GetOrderReferenceDetails(id), MwsSeen::Order(order)) => order.id == *id,
        (MwsCall::CreateOrderReferenceForId(new), MwsSeen::Order(order)) => {
            order.parent.as_ref().is_none_or(|parent| *parent == new.agreement)
        }
        (MwsCall::GetBillingAgreementDetails(id), MwsSeen::Agreement(agreement)) => agreement.id == *id,
        (MwsCall::SetBillingAgreementDetails(details), MwsSeen::Agreement(agreement)) => {
            agreement.id == details.agreement
        }
        (MwsCall::Authorize(asked), MwsSeen::Authorization(authorization)) => {
            // An authorization's id begins with its order's.
            let id = authorization.id.as_str().strip_prefix(asked.consent.as_str());
            authorization.reference.as_str() == asked.key.as_str()
                && authorization.amount == asked.amount
                && id.is_some_and(|suffix| suffix.starts_with('-'))
        }
        (MwsCall::AuthorizeOnBillingAgreement(asked), MwsSeen::Authorization(authorization)) => {
            authorization.reference.as_str() == asked.key.as_str() && authorization.amount == asked.amount
        }
        (MwsCall::GetAuthorizationDetails(id), MwsSeen::Authorization(authorization)) => authorization.id == *id,
        (MwsCall::Capture(asked), MwsSeen::Capture(capture)) => {
            capture.reference.as_str() == asked.key.as_str() && capture.amount == asked.amount
        }
        (MwsCall::GetCaptureDetails(id), MwsSeen::Capture(capture)) => capture.id == *id,
        (MwsCall::Refund(asked), MwsSeen::Refund(refund)) => {
            refund.reference.as_str() == asked.key.as_str() && refund.amount == asked.amount
        }
        (MwsCall::GetRefundDetails(id), MwsSeen::Refund(refund)) => refund.id == *id,
        // What shows no id of its own is the answer to its call and to no other.
        (_, MwsSeen::Validation(_) | MwsSeen::Health(_) | MwsSeen::Done) => true,
        (_, MwsSeen::Order(_) | MwsSeen::Agreement(_) | MwsSeen::Authorization(_)) => false,
        (_, MwsSeen::Capture(_) | MwsSeen::Refund(_)) => false,
    }
}

/// A refusal: its code decides, and the status where there is none that we know.
fn refused(root: &XmlNode, status: u16) -> PayOutcome<MwsSeen> {
    let reason = root.text(&["Error", "Code"]).map_or(PayReason::Other, read::reason);
    if CAPS.contains(&reason) {
        return PayOutcome::Declined(Decline { kind: DeclineKind::Cap, reason });
    }
    let unlisted = if status >= 500 { PayDoubt::ServerError } else { PayDoubt::Unlisted };
    let listed = REFUSALS.iter().find(|(refusing, _proof)| *refusing == reason);
    listed.map_or(PayOutcome::Unknown(unlisted), |(_refusing, proof)| proof.outcome(reason))
}

#[cfg(test)]
mod tests;
