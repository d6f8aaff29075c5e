//! What came of a call to Amazon Pay, decided in one place and without I/O.
//!
//! Of a refusal the reason code decides, and the status where there is none that we know (`PROTOCOL.md`). What is not proven is
//! unknown: a status alone refuses nothing, because a proxy or a gateway can have made it. Nothing here quotes a body.

use super::{
    ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, AmazonSessionId},
    outcome::{
        ChargeSeen, ChargeState, Decline, DeclineKind, PayDoubt, PayOutcome, PermissionSeen, PermissionState,
        RefundSeen, RefundState, SessionSeen, SessionStage,
    },
    reason::PayReason,
    wire::{ChargeAsked, PayBody},
};
use crate::kernel::{Environment, Money, NotSent};

/// Why there is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayNoReply {
    /// No byte of the request arrived.
    NotSent(NotSent),
    /// The request may have arrived.
    Unknown(PayDoubt),
}

/// A whole answer.
#[derive(Clone, Copy)]
pub(super) struct PayAnswer<'a> {
    pub(super) status: u16,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// What came of the call at the transport: a whole answer, or none.
pub(super) type PayReply<'a> = Result<PayAnswer<'a>, PayNoReply>;

/// Outcome of Create Charge, first or repeated, which look the same.
pub(super) fn created_charge(
    reply: PayReply<'_>,
    asked: &ChargeAsked,
    environment: Environment,
) -> PayOutcome<ChargeSeen> {
    charge(reply, environment).and_then(|seen| {
        let same = seen.permission.as_ref() == Some(&asked.permission) && seen.amount == asked.amount;
        matching(seen.captured.is_none_or(|captured| captured == asked.amount) && same, seen)
    })
}

/// Outcome of Capture Charge.
pub(super) fn captured(
    reply: PayReply<'_>,
    id: &AmazonChargeId,
    amount: Money,
    environment: Environment,
) -> PayOutcome<ChargeSeen> {
    charge(reply, environment).and_then(|seen| {
        let same = seen.id == *id && seen.captured.is_none_or(|captured| captured == amount);
        matching(same, seen)
    })
}

/// Outcome of Get Charge and of Cancel Charge.
pub(super) fn seen_charge(
    reply: PayReply<'_>,
    id: &AmazonChargeId,
    environment: Environment,
) -> PayOutcome<ChargeSeen> {
    charge(reply, environment).and_then(|seen| matching(seen.id == *id, seen))
}

/// Outcome of Create Refund, first or repeated.
pub(super) fn created_refund(
    reply: PayReply<'_>,
    charge: &AmazonChargeId,
    amount: Money,
    environment: Environment,
) -> PayOutcome<RefundSeen> {
    refund(reply, environment)
        .and_then(|seen| matching(seen.charge.as_ref() == Some(charge) && seen.amount == amount, seen))
}

/// Outcome of Get Refund.
pub(super) fn seen_refund(
    reply: PayReply<'_>,
    id: &AmazonRefundId,
    environment: Environment,
) -> PayOutcome<RefundSeen> {
    refund(reply, environment).and_then(|seen| matching(seen.id == *id, seen))
}

/// Outcome of Get Charge Permission and of Close Charge Permission.
pub(super) fn seen_permission(
    reply: PayReply<'_>,
    id: &AmazonPermissionId,
    environment: Environment,
) -> PayOutcome<PermissionSeen> {
    read(reply, environment, permission).and_then(|seen| matching(seen.id == *id, seen))
}

/// Outcome of Get Checkout Session and of Complete Checkout Session.
pub(super) fn seen_session(
    reply: PayReply<'_>,
    id: &AmazonSessionId,
    environment: Environment,
) -> PayOutcome<SessionSeen> {
    read(reply, environment, session).and_then(|seen| matching(seen.id == *id, seen))
}

/// What Amazon's own string to sign was, where a refusal of the signature quotes it: the line behind the algorithm's.
pub(super) fn quotes(reply: PayReply<'_>, to_sign: &str) -> Option<bool> {
    let body = PayBody::read(reply.ok()?.body)?;
    if body.reason() != Some(PayReason::InvalidRequestSignature) {
        return None;
    }
    let (message, (algorithm, hash)) = (body.message()?, to_sign.split_once('\n')?);
    // A message that quotes no string says nothing of ours.
    message.contains(algorithm).then(|| message.contains(hash))
}

fn matching<T>(same: bool, seen: T) -> PayOutcome<T> {
    if same { PayOutcome::Seen(seen) } else { PayOutcome::Unknown(PayDoubt::Mismatch) }
}

fn charge(reply: PayReply<'_>, environment: Environment) -> PayOutcome<ChargeSeen> {
    read(reply, environment, |body| {
        let status = body.status()?;
        Some(ChargeSeen {
            id: AmazonChargeId::parse(&body.charge_id()?)?,
            permission: Some(AmazonPermissionId::parse(&body.permission_id()?)?),
            state: charge_state(&status.state, status.reasons.first().copied().unwrap_or(PayReason::Other)),
            amount: body.charge_amount()?,
            captured: body.capture_amount().filter(|captured| captured.minor() != 0),
            refunded: body.refunded_amount(),
            reference: body.reference(),
            expires_at: body.expires_at(),
        })
    })
}

fn refund(reply: PayReply<'_>, environment: Environment) -> PayOutcome<RefundSeen> {
    read(reply, environment, |body| {
        let status = body.status()?;
        Some(RefundSeen {
            id: AmazonRefundId::parse(&body.refund_id()?)?,
            charge: Some(AmazonChargeId::parse(&body.charge_id()?)?),
            state: refund_state(&status.state, status.reasons.first().copied().unwrap_or(PayReason::Other)),
            amount: body.refund_amount()?,
            reference: None,
        })
    })
}

fn permission(body: &PayBody<'_>) -> Option<PermissionSeen> {
    let status = body.status()?;
    let (limit, balance) = body.limits();
    let state = match status.state.as_str() {
        "Chargeable" => PermissionState::Usable,
        "NonChargeable" => PermissionState::Blocked(status.reasons),
        "Closed" => PermissionState::Ended(status.reasons),
        _ => PermissionState::Odd,
    };
    Some(PermissionSeen {
        id: AmazonPermissionId::parse(&body.permission_id()?)?,
        state,
        recurs: body.recurs(),
        limit,
        balance,
        expires_at: body.expires_at(),
        reference: body.reference(),
    })
}

/// A completed session without its permission is of no use, and so of a shape that we do not know.
fn session(body: &PayBody<'_>) -> Option<SessionSeen> {
    let status = body.status()?;
    let stage = match status.state.as_str() {
        "Open" => SessionStage::Open,
        "Completed" => SessionStage::Completed(AmazonPermissionId::parse(&body.permission_id()?)?),
        "Canceled" => SessionStage::Canceled(status.reasons.first().copied().unwrap_or(PayReason::Other)),
        _ => SessionStage::Odd,
    };
    Some(SessionSeen {
        id: AmazonSessionId::parse(&body.session_id()?)?,
        stage,
        recurs: body.recurs(),
        amount: body.agreed_amount(),
        expires_at: body.expires_at(),
    })
}

fn charge_state(state: &str, reason: PayReason) -> ChargeState {
    match state {
        "AuthorizationInitiated" => ChargeState::Pending,
        "Authorized" => ChargeState::Authorized,
        "CaptureInitiated" => ChargeState::Capturing,
        "Captured" => ChargeState::Paid,
        "Declined" => ChargeState::Declined(Decline { kind: kind_of_declined_charge(reason), reason }),
        "Canceled" => ChargeState::Voided(reason),
        _ => ChargeState::Odd,
    }
}

/// That nothing was taken is proven. Amazon's rule for a code that is not listed: the buyer needs another way to pay.
fn kind_of_declined_charge(reason: PayReason) -> DeclineKind {
    if reason == PayReason::ProcessingFailure {
        return DeclineKind::Busy;
    }
    kind(reason).unwrap_or(DeclineKind::Method)
}

fn refund_state(state: &str, reason: PayReason) -> RefundState {
    let kind = if reason == PayReason::ProcessingFailure { DeclineKind::Busy } else { DeclineKind::Final };
    match state {
        "RefundInitiated" => RefundState::Pending,
        "Refunded" => RefundState::Done,
        "Declined" => RefundState::Declined(Decline { kind, reason }),
        _ => RefundState::Odd,
    }
}

/// The object that an answer shows, if it is one of this environment.
fn read<T>(
    reply: PayReply<'_>,
    environment: Environment,
    object: impl FnOnce(&PayBody<'_>) -> Option<T>,
) -> PayOutcome<T> {
    understood(reply).and_then(|body| {
        if body.environment().is_some_and(|theirs| theirs != environment) {
            return PayOutcome::Unknown(PayDoubt::Mismatch);
        }
        object(&body).map_or(PayOutcome::Unknown(PayDoubt::WrongShape), PayOutcome::Seen)
    })
}

/// Everything that the operations share. Seen means: 2xx, JSON, and no sign of a refusal.
fn understood(reply: PayReply<'_>) -> PayOutcome<PayBody<'_>> {
    let answer = match reply {
        Ok(answer) => answer,
        Err(PayNoReply::NotSent(why)) => return PayOutcome::NotSent(why),
        Err(PayNoReply::Unknown(doubt)) => return PayOutcome::Unknown(doubt),
    };
    // Before the body: whoever redirects us is not the service, and reading one of the others as unknown is safe.
    match answer.status {
        300..400 => return PayOutcome::Unknown(PayDoubt::Redirect),
        408 => return PayOutcome::Unknown(PayDoubt::Timeout),
        425 | 429 => return PayOutcome::Unknown(PayDoubt::Throttled),
        _ => {}
    }
    let body = if is_json(answer.content_type) { PayBody::read(answer.body) } else { None };
    match (answer.status, body) {
        (200..300, None) => PayOutcome::Unknown(PayDoubt::NotJson),
        // Contradicts itself.
        (200..300, Some(body)) if body.is_refusal() => PayOutcome::Unknown(PayDoubt::WrongShape),
        (200..300, Some(body)) => PayOutcome::Seen(body),
        (400..500, Some(body)) => refused(&body),
        (500.., Some(body)) if body.reason() == Some(PayReason::ProcessingFailure) => {
            PayOutcome::Unknown(PayDoubt::Busy)
        }
        (500.., _) => PayOutcome::Unknown(PayDoubt::ServerError),
        _ => PayOutcome::Unknown(PayDoubt::Unlisted),
    }
}

/// A refusal. One that shows an object contradicts itself.
fn refused<'a>(body: &PayBody<'_>) -> PayOutcome<PayBody<'a>> {
    if body.status().is_some() {
        return PayOutcome::Unknown(PayDoubt::WrongShape);
    }
    refusal(body.reason().unwrap_or(PayReason::Other))
}

/// What a refusal proves.
#[derive(Clone, Copy)]
pub(super) enum RefusalProof {
    Rejected,
    KeyConflict,
    Missing,
    TurnedAway,
    Conflict,
    Nothing(PayDoubt),
}

impl RefusalProof {
    pub(super) const fn outcome<T>(self, reason: PayReason) -> PayOutcome<T> {
        match self {
            Self::Rejected => PayOutcome::Rejected(reason),
            Self::KeyConflict => PayOutcome::KeyConflict,
            Self::Missing => PayOutcome::Missing,
            Self::TurnedAway => PayOutcome::TurnedAway(reason),
            Self::Conflict => PayOutcome::Conflict(reason),
            Self::Nothing(doubt) => PayOutcome::Unknown(doubt),
        }
    }
}

/// What each reason code refuses, whatever the status. A word of a state, one of the other generation, and one that we do not know
/// refuse nothing.
const REFUSALS: [(PayReason, RefusalProof); 33] = [
    (PayReason::InvalidHeaderValue, RefusalProof::Rejected),
    (PayReason::InvalidRequest, RefusalProof::Rejected),
    (PayReason::InvalidParameterValue, RefusalProof::Rejected),
    (PayReason::InvalidRequestFormat, RefusalProof::Rejected),
    (PayReason::MissingHeader, RefusalProof::Rejected),
    (PayReason::MissingHeaderValue, RefusalProof::Rejected),
    (PayReason::MissingParameterValue, RefusalProof::Rejected),
    (PayReason::UnrecognizedField, RefusalProof::Rejected),
    (PayReason::InvalidParameterCombination, RefusalProof::Rejected),
    (PayReason::CurrencyMismatch, RefusalProof::Rejected),
    (PayReason::InvalidApiVersion, RefusalProof::Rejected),
    (PayReason::InvalidSandboxSimulationSpecified, RefusalProof::Rejected),
    (PayReason::AmountMismatch, RefusalProof::Rejected),
    (PayReason::UnsupportedOperation, RefusalProof::Rejected),
    (PayReason::RequestNotSupported, RefusalProof::Rejected),
    (PayReason::TlsVersionNotSupported, RefusalProof::Rejected),
    (PayReason::DuplicateIdempotencyKey, RefusalProof::KeyConflict),
    (PayReason::ResourceNotFound, RefusalProof::Missing),
    (PayReason::UnauthorizedAccess, RefusalProof::TurnedAway),
    (PayReason::InvalidAuthentication, RefusalProof::TurnedAway),
    (PayReason::InvalidAccountStatus, RefusalProof::TurnedAway),
    (PayReason::InvalidRequestSignature, RefusalProof::TurnedAway),
    (PayReason::InvalidAuthorizationToken, RefusalProof::TurnedAway),
    (PayReason::InvalidChargePermissionStatus, RefusalProof::Conflict),
    (PayReason::InvalidChargeStatus, RefusalProof::Conflict),
    (PayReason::ChargePermissionNotModifiable, RefusalProof::Conflict),
    (PayReason::InvalidCheckoutSessionStatus, RefusalProof::Conflict),
    (PayReason::CheckoutSessionCanceled, RefusalProof::Conflict),
    (PayReason::RequestTimeout, RefusalProof::Nothing(PayDoubt::Timeout)),
    (PayReason::TooManyRequests, RefusalProof::Nothing(PayDoubt::Throttled)),
    (PayReason::ProcessingFailure, RefusalProof::Nothing(PayDoubt::Busy)),
    (PayReason::InternalServerError, RefusalProof::Nothing(PayDoubt::ServerError)),
    (PayReason::ServiceUnavailable, RefusalProof::Nothing(PayDoubt::ServerError)),
];

fn refusal<T>(reason: PayReason) -> PayOutcome<T> {
    if let Some(kind) = kind(reason) {
        return PayOutcome::Declined(Decline { kind, reason });
    }
    let listed = REFUSALS.iter().find(|(refusing, _proof)| *refusing == reason);
    listed.map_or(PayOutcome::Unknown(PayDoubt::Unlisted), |(_refusing, proof)| proof.outcome(reason))
}

/// What each reason that declines asks for. `ProcessingFailure` is none: as an answer to a call it proves nothing.
const KINDS: [(PayReason, DeclineKind); 9] = [
    (PayReason::SoftDeclined, DeclineKind::Soft),
    (PayReason::HardDeclined, DeclineKind::Method),
    (PayReason::PaymentMethodNotAllowed, DeclineKind::Method),
    (PayReason::MfaNotCompleted, DeclineKind::Method),
    (PayReason::AmazonRejected, DeclineKind::Final),
    (PayReason::TransactionTimedOut, DeclineKind::Timeout),
    (PayReason::TransactionAmountExceeded, DeclineKind::Cap),
    (PayReason::PeriodicAmountExceeded, DeclineKind::Cap),
    (PayReason::TransactionCountExceeded, DeclineKind::Cap),
];

fn kind(reason: PayReason) -> Option<DeclineKind> {
    KINDS.iter().find(|(declining, _kind)| *declining == reason).map(|(_declining, kind)| *kind)
}

/// Whether the label promises JSON.
fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.and_then(|label| label.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests;
