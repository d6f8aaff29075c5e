//! What came of a call to Amazon, decided in one place and without I/O. The marks U1 to U27 are the ways in which a call
//! can end (`tests/RELIABILITY.md`); U26 is the caller's.
//!
//! The body decides first and the status second (`PROTOCOL.md`). What is not proven is unknown: each function ends with
//! `Unknown`, never with a refusal. Nothing here quotes a body, nor an error that could.

use serde_json::value::RawValue;

use crate::kernel::{AuthRejection, CardId, CardProof, CreationRequestId, Currency, Money, NotSent, UnknownReason};

use super::activity::ActivityPage;
use super::refusal::{ErrorType, Family, Outcome, Refusal};
use super::wire::{Body, Comparison, Funds, text};

/// Why there is no answer, as far as the transport knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// No byte left us.
    NotSent(NotSent),
    /// The request may have arrived.
    Unknown(UnknownReason),
}

impl NoReply {
    const fn outcome<T>(self) -> Outcome<T> {
        match self {
            Self::NotSent(why) => Outcome::NotSent(why),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

/// A whole answer.
#[derive(Clone, Copy)]
pub(super) struct WholeAnswer<'a> {
    pub(super) status: u16,
    pub(super) content_type: Option<&'a str>,
    /// `x-amzn-ErrorType`.
    pub(super) exception: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// What came of the call at the transport: a whole answer, or none.
pub(super) type Reply<'a> = Result<WholeAnswer<'a>, NoReply>;

/// Outcome of CreateGiftCard: first attempt, replay or duplicate, which look the same (U25).
pub(super) fn create(reply: Reply<'_>, id: &CreationRequestId, value: Money) -> Outcome<SeenCard> {
    and_then(understood(reply, Some(id)), |body| {
        card(&body, id, value).map(|proof| SeenCard { proof, id: body.card_id() })
    })
}

/// A card as an answer shows it.
pub struct SeenCard {
    /// What it proves.
    pub proof: CardProof,
    /// Which card Amazon says it is, where it says so.
    pub id: Option<CardId>,
}

/// Outcome of CancelGiftCard. An answer about another card proves nothing about ours.
pub(super) fn cancel(reply: Reply<'_>, id: &CreationRequestId) -> Outcome<()> {
    and_then(understood(reply, Some(id)), |body| match names(&body, id) {
        Some(true) => Outcome::Proven(()),
        Some(false) | None => Outcome::Unknown(UnknownReason::WrongShape),
    })
}

/// Outcome of GetAvailableFunds. A balance in another currency than the account's is not understood.
pub(super) fn funds(reply: Reply<'_>, currency: Currency) -> Outcome<Funds> {
    and_then(understood(reply, None), |body| {
        body.funds(currency).map_or(Outcome::Unknown(UnknownReason::WrongShape), Outcome::Proven)
    })
}

/// Outcome of GetGiftCardActivityPage. A page of which a part cannot be read proves nothing.
pub(super) fn activity(reply: Reply<'_>, currency: Currency) -> Outcome<ActivityPage> {
    and_then(understood(reply, None), |body| {
        body.activity(currency).map_or(Outcome::Unknown(UnknownReason::WrongShape), Outcome::Proven)
    })
}

/// Outcome of an operation that one kind alone has, by what the kind reads in its success. As everywhere, a refusal that names
/// another id refuses nothing.
pub(super) fn own<T>(reply: Reply<'_>, id: &CreationRequestId, read: impl Fn(&RawValue) -> Option<T>) -> Outcome<T> {
    and_then(understood(reply, Some(id)), |_success| {
        let object = reply.ok().and_then(|answer| serde_json::from_slice::<&RawValue>(answer.body).ok());
        object.and_then(read).map_or(Outcome::Unknown(UnknownReason::WrongShape), Outcome::Proven)
    })
}

/// U9 to U13: what the `SUCCESS` of a create shows. A mismatch comes first, whatever the card's status: a replay after
/// a cancel still has its own id and value.
fn card(body: &Body<'_>, id: &CreationRequestId, asked: Money) -> Outcome<CardProof> {
    let info = body.card_info();
    let same_id = names(body, id);
    let value =
        info.as_ref().and_then(|info| info.value()).map_or(Comparison::Unreadable, |value| value.compare(asked));
    if same_id == Some(false) || value == Comparison::Other {
        return Outcome::Proven(CardProof::Mismatch);
    }
    let status = info.and_then(|info| text(info.card_status));
    let (Some(true), Comparison::Same, Some(status)) = (same_id, value, status) else {
        return Outcome::Unknown(UnknownReason::WrongShape);
    };
    match &*status {
        "Fulfilled" => body
            .claim_code()
            .map_or(Outcome::Unknown(UnknownReason::NoClaimCode), |code| Outcome::Proven(CardProof::Fulfilled(code))),
        "RefundedToPurchaser" => Outcome::Proven(CardProof::Refunded),
        _ => Outcome::Proven(CardProof::OddStatus),
    }
}

/// Everything that the operations share. Proven means: HTTP 200, JSON, `SUCCESS`, and no sign of a refusal.
fn understood<'a>(reply: Reply<'a>, id: Option<&CreationRequestId>) -> Outcome<Body<'a>> {
    let answer = match reply {
        Ok(answer) => answer,
        Err(no_reply) => return no_reply.outcome(),
    };
    // U23. Before the body: whoever redirects us is not the service.
    if (300..400).contains(&answer.status) {
        return Outcome::Unknown(UnknownReason::Redirect);
    }
    // U20. Before the body: reading a throttle as unknown is safe, the other way round is not.
    if answer.status == 429 || answer.exception.is_some_and(is_throttle) {
        return Outcome::Unknown(UnknownReason::Throttled);
    }
    let body = if is_json(answer.content_type) { Body::read(answer.body) } else { Err(UnknownReason::NotJson) };
    match body {
        Ok(body) => by_body(&answer, body, id),
        Err(reason) => Outcome::Unknown(by_status(&answer, reason)),
    }
}

fn by_body<'a>(answer: &WholeAnswer<'_>, body: Body<'a>, id: Option<&CreationRequestId>) -> Outcome<Body<'a>> {
    if is_throttled(&body) {
        return Outcome::Unknown(UnknownReason::Throttled);
    }
    if (400..500).contains(&answer.status)
        && let Some(why) = auth_rejection(&body)
    {
        return Outcome::AuthRejected(why);
    }
    if body.is_refusal() {
        return refusal(&body, id);
    }
    match (answer.status, text(body.status).as_deref()) {
        (200, Some("SUCCESS")) => Outcome::Proven(body),
        (_, Some("RESEND")) => Outcome::Unknown(UnknownReason::Resend),
        (200, Some(_)) => Outcome::Unknown(UnknownReason::Unlisted),
        (200, None) => Outcome::Unknown(UnknownReason::WrongShape),
        (status, _) => Outcome::Unknown(unknown(status)),
    }
}

/// U8, U19, U20 and U24: the body says nothing that we can read, for this reason.
fn by_status(answer: &WholeAnswer<'_>, reason: UnknownReason) -> UnknownReason {
    if answer.status == 200 {
        return reason;
    }
    // Throttling in XML, or behind another label.
    let holds = |word: &[u8]| answer.body.windows(word.len()).any(|window| window == word);
    if holds(b"ThrottlingException") || holds(b"Rate exceeded") {
        return UnknownReason::Throttled;
    }
    unknown(answer.status)
}

const fn unknown(status: u16) -> UnknownReason {
    if status >= 500 { UnknownReason::ServerError } else { UnknownReason::Unlisted }
}

/// U14 to U19 and U27: the errorCode decides, not the errorType and not the HTTP status.
fn refusal<'a>(body: &Body<'_>, id: Option<&CreationRequestId>) -> Outcome<Body<'a>> {
    let inner = body.agcod_response();
    let inner = inner.as_ref().unwrap_or(body);
    let status = text(inner.status);
    if status.as_deref() == Some("RESEND") {
        return Outcome::Unknown(UnknownReason::Resend);
    }
    let family = match text(body.error_code).as_deref() {
        Some("F200") => Family::F200,
        Some("F300") => Family::F300,
        Some("F100") => return Outcome::Unknown(UnknownReason::F100),
        Some("F400") => return Outcome::Unknown(UnknownReason::Resend),
        Some("F500") => return Outcome::Unknown(UnknownReason::F500),
        Some(_) | None => return Outcome::Unknown(UnknownReason::Unlisted),
    };
    // A refusal that also shows a card, or another request's id, contradicts itself: it refuses nothing. A `null` id is
    // normal (3.2).
    let other_id = id.is_some_and(|id| names(inner, id) == Some(false) || names(body, id) == Some(false));
    let shows_card = inner.gc_claim_code.is_some() || body.gc_claim_code.is_some();
    if other_id || shows_card || status.as_deref() == Some("SUCCESS") {
        return Outcome::Unknown(UnknownReason::WrongShape);
    }
    let error_type = text(body.error_type).map_or(ErrorType::Other, |word| ErrorType::from_amazon(&word));
    Outcome::Refused(Refusal { family, error_type })
}

/// U21 and U22: the front door speaks in sentences (`PROTOCOL.md`). A sentence that is not known here leaves
/// the outcome unknown.
fn auth_rejection(body: &Body<'_>) -> Option<AuthRejection> {
    let message = body.message()?.to_ascii_lowercase();
    let says = |sentences: &[&str]| sentences.iter().any(|sentence| message.contains(sentence));
    // Skew first: its sentences speak of the signature, too.
    if says(&["signature expired", "signature not yet current", "request has expired", "request time too skewed"]) {
        return Some(AuthRejection::ClockSkew);
    }
    if says(&["signature we calculated does not match"]) {
        return Some(AuthRejection::Signature);
    }
    says(&["security token included in the request is invalid", "security token included in the request is expired"])
        .then_some(AuthRejection::AccessKey)
}

fn is_throttled(body: &Body<'_>) -> bool {
    let said = body.message().is_some_and(|message| message.trim().eq_ignore_ascii_case("rate exceeded"));
    said || [body.error_type, body.error_code, body.exception]
        .into_iter()
        .any(|field| text(field).is_some_and(|word| is_throttle(&word)))
}

/// Whether an exception's name is the throttle's: bare, or qualified on either side
/// (`com.amazon.coral.availability#ThrottlingException`, `ThrottlingException:http://…`).
fn is_throttle(word: &str) -> bool {
    let name = word.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    name == "ThrottlingException" || name == "Throttled"
}

/// Whether the label promises JSON: `application/json`, or the AWS protocols' `application/x-amz-json-1.x`.
fn is_json(content_type: Option<&str>) -> bool {
    let essence =
        content_type.and_then(|label| label.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/x-amz-json-")
}

/// Whether the answer names this id; `None` when it names none.
fn names(body: &Body<'_>, id: &CreationRequestId) -> Option<bool> {
    body.request_id().map(|named| named == id.as_str())
}

fn and_then<T, U>(outcome: Outcome<T>, next: impl FnOnce(T) -> Outcome<U>) -> Outcome<U> {
    match outcome {
        Outcome::Proven(proof) => next(proof),
        Outcome::Refused(refusal) => Outcome::Refused(refusal),
        Outcome::AuthRejected(why) => Outcome::AuthRejected(why),
        Outcome::NotSent(why) => Outcome::NotSent(why),
        Outcome::Unknown(reason) => Outcome::Unknown(reason),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
