//! What MWS shows, in the words that both generations share.
//!
//! A charge is an authorization with its capture: once there is a capture, the capture decides. The money came when it is `Completed`
//! or `Closed`.

use super::seen::{
    MwsAgreementSeen, MwsAuthorizationSeen, MwsCaptureSeen, MwsOrderSeen, MwsRefundSeen, MwsState, MwsStatus,
};
use crate::provider::pay::{
    outcome::{
        ChargeSeen, ChargeState, Decline, DeclineKind, PermissionSeen, PermissionState, RefundSeen, RefundState,
    },
    reason::PayReason,
};

/// A charge, of which the capture may be known.
pub(super) fn charge(authorization: MwsAuthorizationSeen, capture: Option<&MwsCaptureSeen>) -> ChargeSeen {
    ChargeSeen {
        state: match capture {
            Some(capture) => of_capture(capture.status),
            // There is a capture that was not seen: it decides, and nothing else.
            None if !authorization.captures.is_empty() => ChargeState::Capturing,
            None => of_authorization(authorization.status, authorization.soft_decline),
        },
        captured: capture.filter(|capture| is_paid(capture.status)).map(|capture| capture.amount),
        refunded: capture.and_then(|capture| capture.refunded),
        id: authorization.id,
        permission: None,
        amount: authorization.amount,
        reference: Some(authorization.reference),
        expires_at: authorization.expires_at,
    }
}

const fn is_paid(status: MwsStatus) -> bool {
    matches!(status.state, MwsState::Completed | MwsState::Closed)
}

fn of_capture(status: MwsStatus) -> ChargeState {
    match status.state {
        MwsState::Completed | MwsState::Closed => ChargeState::Paid,
        MwsState::Pending => ChargeState::Capturing,
        MwsState::Declined => ChargeState::Declined(decline(status.reason, false)),
        MwsState::Draft | MwsState::Open | MwsState::Suspended | MwsState::Canceled | MwsState::Odd => ChargeState::Odd,
    }
}

/// Of an authorization that has no capture.
fn of_authorization(status: MwsStatus, soft_decline: bool) -> ChargeState {
    let reason = status.reason.unwrap_or(PayReason::Other);
    match status.state {
        MwsState::Pending => ChargeState::Pending,
        MwsState::Open => ChargeState::Authorized,
        MwsState::Declined => ChargeState::Declined(decline(status.reason, soft_decline)),
        // It says that there was a capture, and shows none.
        MwsState::Closed if reason == PayReason::MaxCapturesProcessed => ChargeState::Odd,
        MwsState::Closed => ChargeState::Voided(reason),
        MwsState::Draft | MwsState::Suspended | MwsState::Completed | MwsState::Canceled | MwsState::Odd => {
            ChargeState::Odd
        }
    }
}

/// What a decline of a charge asks for. The rule for a word that is not listed is that of the other generation: the buyer needs another
/// way to pay.
fn decline(reason: Option<PayReason>, soft_decline: bool) -> Decline {
    let reason = reason.unwrap_or(PayReason::Other);
    let kind = if reason == PayReason::AmazonRejected {
        DeclineKind::Final
    } else if reason == PayReason::ProcessingFailure {
        DeclineKind::Busy
    } else if reason == PayReason::TransactionTimedOut {
        DeclineKind::Timeout
    } else if soft_decline {
        DeclineKind::Soft
    } else {
        DeclineKind::Method
    };
    Decline { kind, reason }
}

pub(super) fn refund(seen: MwsRefundSeen) -> RefundSeen {
    let reason = seen.status.reason.unwrap_or(PayReason::Other);
    let kind = if reason == PayReason::ProcessingFailure { DeclineKind::Busy } else { DeclineKind::Final };
    RefundSeen {
        state: match seen.status.state {
            MwsState::Pending => RefundState::Pending,
            MwsState::Completed => RefundState::Done,
            MwsState::Declined => RefundState::Declined(Decline { kind, reason }),
            MwsState::Draft
            | MwsState::Open
            | MwsState::Suspended
            | MwsState::Closed
            | MwsState::Canceled
            | MwsState::Odd => RefundState::Odd,
        },
        id: seen.id,
        charge: None,
        amount: seen.amount,
        reference: Some(seen.reference),
    }
}

pub(super) fn of_order(seen: MwsOrderSeen) -> PermissionSeen {
    PermissionSeen {
        id: seen.id,
        state: permission_state(seen.status, seen.constraints),
        recurs: Some(false),
        limit: seen.total,
        balance: None,
        expires_at: seen.expires_at,
        reference: seen.seller_order_id,
    }
}

pub(super) fn of_agreement(seen: MwsAgreementSeen) -> PermissionSeen {
    PermissionSeen {
        id: seen.id,
        state: permission_state(seen.status, seen.constraints),
        recurs: Some(true),
        limit: seen.limit,
        balance: seen.balance,
        expires_at: None,
        reference: seen.seller_agreement_id,
    }
}

/// A draft waits for the buyer, as one that is suspended does.
fn permission_state(status: MwsStatus, constraints: Vec<PayReason>) -> PermissionState {
    let reasons = status.reason.into_iter().collect();
    match status.state {
        MwsState::Open => PermissionState::Usable,
        MwsState::Draft => PermissionState::Blocked(constraints),
        MwsState::Suspended => PermissionState::Blocked(reasons),
        MwsState::Closed | MwsState::Canceled => PermissionState::Ended(reasons),
        MwsState::Pending | MwsState::Completed | MwsState::Declined | MwsState::Odd => PermissionState::Odd,
    }
}
