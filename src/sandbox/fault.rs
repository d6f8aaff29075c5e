//! Faults on demand: what goes wrong with a call, and which calls a fault strikes.

use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, IntoStaticStr};

use super::kinds::OfKind;
use super::mws::MwsAction;
use super::pay::PayCall;

/// The longest delay that a fault may ask for: ten minutes.
pub(super) const DELAY_MILLISECONDS_MAX: u64 = 10 * 60 * 1_000;
/// How many rules may be set at once.
pub(super) const RULES_MAX: usize = 1_000;

/// An operation of the gateway; in JSON its name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Operation {
    /// Buys a card.
    CreateGiftCard,
    /// Takes a card back within fifteen minutes.
    CancelGiftCard,
    /// Reads the balance.
    GetAvailableFunds,
    /// Reads a page of the activity report.
    GetGiftCardActivityPage,
    /// What only one kind of reward needs.
    OfKind(OfKind),
    /// Login with Amazon: whose a token is, and for which client it was made.
    TokenInfo,
    /// Login with Amazon: who signed in.
    UserProfile,
    /// An operation of Amazon Pay, Checkout v2.
    Pay(PayCall),
    /// An operation of Amazon Pay, MWS.
    Mws(MwsAction),
}

impl Operation {
    /// The operations that are no single kind's.
    const SHARED: [Self; 4] =
        [Self::CreateGiftCard, Self::CancelGiftCard, Self::GetAvailableFunds, Self::GetGiftCardActivityPage];

    /// Its name in the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateGiftCard => "CreateGiftCard",
            Self::CancelGiftCard => "CancelGiftCard",
            Self::GetAvailableFunds => "GetAvailableFunds",
            Self::GetGiftCardActivityPage => "GetGiftCardActivityPage",
            Self::OfKind(operation) => operation.name(),
            Self::TokenInfo => "tokeninfo",
            Self::UserProfile => "profile",
            Self::Pay(call) => call.name(),
            Self::Mws(action) => action.name(),
        }
    }

    /// The member of its request that has the id.
    pub(super) fn request_id(self) -> &'static str {
        match self {
            Self::CreateGiftCard
            | Self::CancelGiftCard
            | Self::GetAvailableFunds
            | Self::GetGiftCardActivityPage
            | Self::TokenInfo
            | Self::UserProfile
            | Self::Pay(_)
            | Self::Mws(_) => "creationRequestId",
            Self::OfKind(operation) => operation.request_id(),
        }
    }

    /// The call of that exact name; one of Login with Amazon or of Amazon Pay as well.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let of_login = || [Self::TokenInfo, Self::UserProfile].into_iter().find(|call| call.name() == name);
        let of_pay = || PayCall::named(name).map(Self::Pay).or_else(|| MwsAction::named(name).map(Self::Mws));
        Self::of_gateway(name).or_else(of_login).or_else(of_pay)
    }

    /// The operation of the Incentives API of that exact name.
    pub(super) fn of_gateway(name: &str) -> Option<Self> {
        let of_kinds = OfKind::all().map(Self::OfKind);
        Self::SHARED.into_iter().chain(of_kinds).find(|operation| operation.name() == name)
    }

    /// The call of Login with Amazon on this path.
    pub(super) fn of_login(path: &str) -> Option<Self> {
        match path.to_ascii_lowercase().as_str() {
            "/auth/o2/tokeninfo" => Some(Self::TokenInfo),
            "/user/profile" => Some(Self::UserProfile),
            _ => None,
        }
    }

    /// Whether it is a call of Login with Amazon: no partner signs it.
    pub(super) fn is_login(self) -> bool {
        matches!(self, Self::TokenInfo | Self::UserProfile)
    }
}

impl TryFrom<String> for Operation {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| format!("there is no operation {name:?}"))
    }
}

impl From<Operation> for String {
    fn from(operation: Operation) -> Self {
        operation.name().to_owned()
    }
}

/// What goes wrong. "The work" is what the call would have done to the book and the funds.
///
/// A fault strikes after the checks of signature and rate limit. A request that they refuse does not use a rule up.
#[derive(Clone, Debug, Deserialize, EnumIter, EnumMessage, Eq, IntoStaticStr, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Fault {
    /// The work is done at once; the answer comes late.
    Delay {
        /// How late.
        milliseconds: u64,
    },
    /// The request waits before the work. The work is done even if the client has hung up by then.
    DelayWork {
        /// How long it waits.
        milliseconds: u64,
    },
    /// The connection is closed without an answer; nothing was done.
    DropBeforeWork,
    /// The connection is closed without an answer; the work was done.
    DropAfterWork,
    /// The connection is reset (RST) without an answer; nothing was done.
    ResetBeforeWork,
    /// The connection is reset (RST) without an answer; the work was done.
    ResetAfterWork,
    /// The work is done; the head and half of the body are sent, then the connection is reset.
    ResetInBody,
    /// The work is done; the head and half of the body are sent, and then nothing more: the connection stays until the
    /// client leaves or the sandbox stops.
    HangInBody,
    /// The work is done; `Content-Length` promises more than is sent before the connection is closed.
    TruncatedBody,
    /// The work is done; a chunked answer ends in the middle of a chunk.
    CutChunk,
    /// The work is done; an answer without a length, which ends with the connection, is cut in half. Only the broken
    /// JSON shows the cut.
    ShortCloseDelimited,
    /// The work is done; 200 with bytes that are neither JSON nor XML.
    Garbage,
    /// The work is done; 200 with no body.
    EmptyBody,
    /// The work is done; the right answer, labelled as HTML.
    WrongContentType,
    /// The work is done; the right answer, with an unknown member that makes it longer than 64 KiB.
    OversizedBody,
    /// A page of HTML, as load balancers send.
    HtmlError {
        /// The HTTP status.
        status: u16,
        /// Whether the work was done.
        after_work: bool,
    },
    /// 307 to another URL; nothing was done.
    Redirect {
        /// The `Location`.
        location: String,
    },
    /// The work is done; the answer shows an amount one higher than the card's.
    WrongAmount,
    /// The work is done; the answer shows another currency.
    WrongCurrency,
    /// The work is done; the answer shows another request id.
    WrongRequestId,
    /// The work is done; the answer shows another card's id.
    WrongCardId,
    /// The work is done; the answer shows the number of another physical card, or another account.
    WrongCard,
    /// The work is done; `SUCCESS`, but the card shows as `RefundedToPurchaser`, a load as `Voided`.
    DeadCard,
    /// The work is done; `SUCCESS`, with a status of the card or the load of your choice.
    OddCardStatus {
        /// The status to show.
        status: String,
    },
    /// The work is done; `SUCCESS` without a claim code.
    NullClaimCode,
    /// The work is done; `SUCCESS` with a claim code of a shape that no card has.
    MalformedClaimCode,
    /// F400 `SystemTemporarilyUnavailable` with status `RESEND`.
    Resend {
        /// Whether the work was done.
        after_work: bool,
    },
    /// Refused as over the rate limit; nothing was done.
    Throttle,
    /// A refusal of your choice.
    FCode {
        /// `F100` to `F500`.
        code: String,
        /// Its `errorType`.
        error_type: String,
        /// Whether the work was done.
        after_work: bool,
    },
    /// A refusal of Amazon Pay's of your choice; no fault of any other call.
    ReasonCode {
        /// The HTTP status.
        status: u16,
        /// Its `reasonCode`.
        reason_code: String,
        /// Whether the work was done.
        after_work: bool,
    },
    /// 403, as if the date were stale; nothing was done.
    SignatureExpired,
    /// 403, as if the key were unknown; nothing was done.
    BadKey,
    /// No answer ever; the connection stays until the client leaves or the sandbox stops. Nothing was done.
    Hang,
}

impl Fault {
    /// What is wrong with the fault's own members, if anything.
    fn problem(&self) -> Option<String> {
        if let Self::Delay { milliseconds } | Self::DelayWork { milliseconds } = self
            && *milliseconds > DELAY_MILLISECONDS_MAX
        {
            return Some(format!("milliseconds must be at most {DELAY_MILLISECONDS_MAX}, not {milliseconds}"));
        }
        if let Self::HtmlError { status, .. } | Self::ReasonCode { status, .. } = self
            && !(200..=599).contains(status)
        {
            return Some(format!("status must be between 200 and 599, not {status}"));
        }
        if let Self::Redirect { location } = self
            && HeaderValue::from_str(location).is_err()
        {
            return Some("location must be text that fits a header".to_owned());
        }
        if let Self::FCode { code, .. } = self
            && !matches!(code.as_str(), "F100" | "F200" | "F300" | "F400" | "F500")
        {
            return Some(format!("code must be one of F100, F200, F300, F400, F500, not {code:?}"));
        }
        None
    }

    /// The HTTP status of an [`Fault::HtmlError`].
    pub(super) fn html_status(status: u16) -> StatusCode {
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Which calls a fault strikes. Of several rules, the first that matches and is not used up wins.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Only this operation; any if absent.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// Only calls of this partner, or of this merchant of Amazon Pay's; any if absent.
    #[serde(default)]
    pub partner_id: Option<String>,
    /// Only calls with this request id, whatever the operation calls it; any if absent. A call of Amazon Pay has its idempotency key,
    /// or the id of what it is about.
    #[serde(default)]
    pub creation_request_id: Option<String>,
    /// How many matching calls pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls are struck. When absent, every call until the rule is cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultRule {
    /// A rule that strikes every call until it is cleared.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self { operation: None, partner_id: None, creation_request_id: None, skip: 0, times: None, fault }
    }

    /// A rule that strikes the next call only.
    #[must_use]
    pub fn once(fault: Fault) -> Self {
        Self { times: Some(1), ..Self::always(fault) }
    }

    fn matches(&self, operation: Operation, partner_id: &str, creation_request_id: Option<&str>) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.partner_id.as_deref().is_none_or(|wanted| wanted == partner_id)
            && self.creation_request_id.as_deref().is_none_or(|wanted| Some(wanted) == creation_request_id)
    }
}

/// A rule and what it has done so far.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ScriptedFault {
    /// The rule.
    pub rule: FaultRule,
    /// Matching calls that passed because of `skip`.
    pub passed: u32,
    /// Calls that it struck.
    pub fired: u32,
}

/// The rules in force, in the order they were set.
#[derive(Debug, Default)]
pub(super) struct FaultBoard {
    rules: Mutex<Vec<ScriptedFault>>,
}

impl FaultBoard {
    /// Adds all of the rules. If one of them is invalid, adds none and returns the reason.
    pub(super) fn script(&self, rules: Vec<FaultRule>) -> Result<(), String> {
        if let Some(problem) = rules.iter().find_map(|rule| rule.fault.problem()) {
            return Err(problem);
        }
        let mut board = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if board.len().saturating_add(rules.len()) > RULES_MAX {
            return Err(format!("at most {RULES_MAX} rules may be set at once"));
        }
        board.extend(rules.into_iter().map(|rule| ScriptedFault { rule, passed: 0, fired: 0 }));
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn list(&self) -> Vec<ScriptedFault> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault that strikes this call, if one does. Counts the call for the rule.
    pub(super) fn strike(
        &self,
        operation: Operation,
        partner_id: &str,
        creation_request_id: Option<&str>,
    ) -> Option<Fault> {
        let mut board = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for scripted in board.iter_mut() {
            let used_up = scripted.rule.times.is_some_and(|times| scripted.fired >= times);
            if used_up || !scripted.rule.matches(operation, partner_id, creation_request_id) {
                continue;
            }
            if scripted.passed < scripted.rule.skip {
                scripted.passed = scripted.passed.saturating_add(1);
                continue;
            }
            scripted.fired = scripted.fired.saturating_add(1);
            return Some(scripted.rule.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_pass_what_it_skips_and_strikes_as_often_as_it_may() {
        let board = FaultBoard::default();
        let rule = FaultRule { skip: 1, times: Some(2), ..FaultRule::always(Fault::Hang) };
        board.script(vec![rule]).unwrap();
        let struck: Vec<bool> =
            (0..5).map(|_| board.strike(Operation::CreateGiftCard, "Awssb", Some("A")).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
    }

    #[test]
    fn a_rule_strikes_only_what_it_names() {
        let board = FaultBoard::default();
        let rule = FaultRule {
            operation: Some(Operation::CancelGiftCard),
            creation_request_id: Some("A".to_owned()),
            partner_id: Some("Awssb".to_owned()),
            ..FaultRule::always(Fault::Throttle)
        };
        board.script(vec![rule]).unwrap();
        assert_eq!(board.strike(Operation::CreateGiftCard, "Awssb", Some("A")), None);
        assert_eq!(board.strike(Operation::CancelGiftCard, "Awssb", Some("B")), None);
        assert_eq!(board.strike(Operation::CancelGiftCard, "Awssb", None), None);
        assert_eq!(board.strike(Operation::CancelGiftCard, "Other", Some("A")), None);
        assert_eq!(board.strike(Operation::CancelGiftCard, "Awssb", Some("A")), Some(Fault::Throttle));
    }

    #[test]
    fn of_several_rules_one_bad_one_refuses_all() {
        let board = FaultBoard::default();
        let bad = FaultRule::once(Fault::HtmlError { status: 100, after_work: false });
        assert!(board.script(vec![FaultRule::once(Fault::Hang), bad]).is_err());
        assert!(board.list().is_empty());
    }
}
