//! Which operation a request asks for.

use hyper::{Method, StatusCode};
use strum::{EnumIter, IntoEnumIterator};

use super::refusal::PayRefused;

/// An operation of Amazon Pay.
#[derive(Clone, Copy, Debug, EnumIter, Eq, Hash, PartialEq)]
pub enum PayCall {
    /// Makes a charge.
    CreateCharge,
    /// Reads one.
    GetCharge,
    /// Takes the money of an authorized one.
    CaptureCharge,
    /// Gives back what one holds.
    CancelCharge,
    /// Gives back what one took.
    CreateRefund,
    /// Reads a refund.
    GetRefund,
    /// Reads a charge permission.
    GetChargePermission,
    /// Ends one.
    CloseChargePermission,
    /// Reads a checkout session.
    GetCheckoutSession,
    /// Takes up what the buyer agreed to in one.
    CompleteCheckoutSession,
}

impl PayCall {
    /// Its name, as fault rules and the log have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateCharge => "CreateCharge",
            Self::GetCharge => "GetCharge",
            Self::CaptureCharge => "CaptureCharge",
            Self::CancelCharge => "CancelCharge",
            Self::CreateRefund => "CreateRefund",
            Self::GetRefund => "GetRefund",
            Self::GetChargePermission => "GetChargePermission",
            Self::CloseChargePermission => "CloseChargePermission",
            Self::GetCheckoutSession => "GetCheckoutSession",
            Self::CompleteCheckoutSession => "CompleteCheckoutSession",
        }
    }

    /// The operation of that exact name.
    pub(in crate::sandbox) fn named(name: &str) -> Option<Self> {
        Self::iter().find(|call| call.name() == name)
    }
}

/// Where a request goes.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct PayRouted {
    pub(super) call: PayCall,
    pub(super) id: Option<String>,
    /// Whether the path names the sandbox.
    pub(super) names_sandbox: bool,
}

/// Whether the path is one of Amazon Pay's. What leads out of it by dots is none.
pub(in crate::sandbox) fn is_pay(path: &str) -> bool {
    !path.split('/').any(|part| part == "..")
        && ["/v2/", "/sandbox/v2/", "/live/v2/"].iter().any(|prefix| path.starts_with(prefix))
}

/// A slash at the end is taken, as several of Amazon's own libraries send one.
pub(super) fn route(method: &Method, path: &str) -> Result<PayRouted, PayRefused> {
    let (names_sandbox, rest) = match (path.strip_prefix("/sandbox/v2/"), path.strip_prefix("/v2/")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(PayRefused::missing("there is no live environment here")),
    };
    let segments: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
    let (calls, id): (&[(Method, PayCall)], Option<&str>) = match segments.as_slice() {
        ["charges"] => (&[(Method::POST, PayCall::CreateCharge)], None),
        ["charges", id] => (&[(Method::GET, PayCall::GetCharge)], Some(*id)),
        ["charges", id, "capture"] => (&[(Method::POST, PayCall::CaptureCharge)], Some(*id)),
        ["charges", id, "cancel"] => (&[(Method::DELETE, PayCall::CancelCharge)], Some(*id)),
        ["refunds"] => (&[(Method::POST, PayCall::CreateRefund)], None),
        ["refunds", id] => (&[(Method::GET, PayCall::GetRefund)], Some(*id)),
        ["chargePermissions", id] => (&[(Method::GET, PayCall::GetChargePermission)], Some(*id)),
        ["chargePermissions", id, "close"] => (&[(Method::DELETE, PayCall::CloseChargePermission)], Some(*id)),
        ["checkoutSessions", id] => (&[(Method::GET, PayCall::GetCheckoutSession)], Some(*id)),
        ["checkoutSessions", id, "complete"] => (&[(Method::POST, PayCall::CompleteCheckoutSession)], Some(*id)),
        _ => return Err(PayRefused::missing(format!("there is no {rest} here"))),
    };
    let found = calls.iter().find(|(takes, _call)| takes == method);
    let call = found.map(|(_takes, call)| *call).ok_or_else(|| {
        let message = format!("{rest} does not take {method}");
        PayRefused::of(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedOperation", message)
    })?;
    Ok(PayRouted { call, id: id.map(str::to_owned), names_sandbox })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_path_that_a_library_sends_is_routed() {
        for (method, path, call, id) in [
            (Method::POST, "/v2/charges", PayCall::CreateCharge, None),
            (Method::POST, "/sandbox/v2/charges/", PayCall::CreateCharge, None),
            (Method::GET, "/v2/charges/C1", PayCall::GetCharge, Some("C1")),
            (Method::POST, "/v2/charges/C1/capture/", PayCall::CaptureCharge, Some("C1")),
            (Method::DELETE, "/v2/charges/C1/cancel", PayCall::CancelCharge, Some("C1")),
            (Method::POST, "/v2/refunds", PayCall::CreateRefund, None),
            (Method::GET, "/v2/refunds/R1", PayCall::GetRefund, Some("R1")),
            (Method::GET, "/v2/chargePermissions/P1/", PayCall::GetChargePermission, Some("P1")),
            (Method::DELETE, "/v2/chargePermissions/P1/close", PayCall::CloseChargePermission, Some("P1")),
            (Method::GET, "/v2/checkoutSessions/S1", PayCall::GetCheckoutSession, Some("S1")),
            (Method::POST, "/v2/checkoutSessions/S1/complete/", PayCall::CompleteCheckoutSession, Some("S1")),
        ] {
            let routed = route(&method, path).unwrap();
            assert_eq!((routed.call, routed.id.as_deref()), (call, id), "{path}");
            assert_eq!(routed.names_sandbox, path.starts_with("/sandbox"));
            assert!(is_pay(path) && PayCall::named(call.name()) == Some(call));
        }
    }

    #[test]
    fn what_is_no_operation_is_404_and_another_method_405() {
        for (method, path, status) in [
            (Method::POST, "/live/v2/charges", 404),
            (Method::GET, "/v2/wallets/1", 404),
            (Method::GET, "/v2/charges/C1/events", 404),
            (Method::GET, "/v2/charges", 405),
            (Method::PATCH, "/v2/charges/C1", 405),
            (Method::POST, "/v2/charges/C1/cancel", 405),
            (Method::DELETE, "/v2/checkoutSessions/S1", 405),
        ] {
            assert_eq!(route(&method, path).unwrap_err().status.as_u16(), status, "{method} {path}");
        }
        assert!(!is_pay("/CreateGiftCard") && !is_pay("/v2"));
    }
}
