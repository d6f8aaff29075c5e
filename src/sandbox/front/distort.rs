//! What each fault does to a call: whether the work is done, and what the client receives.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use serde_json::value::{RawValue, to_raw_value};

use super::socket::ConnectionEnd;
use crate::sandbox::answer::{Echo, Format, GatewayAnswer, Manner, WireAnswer};
use crate::sandbox::errors::{self, AgcodError};
use crate::sandbox::fault::Fault;
use crate::sandbox::money;
use crate::sandbox::signature::Rejection;

/// The bytes of a body that is longer than a client should read.
pub(super) const OVERSIZED_BODY_BYTES: usize = 128 * 1024;

/// Neither JSON nor XML.
const GARBAGE: &[u8] = b"\x00\xff\xfe{]<< this is not JSON";

/// What the client receives.
pub(super) enum Say {
    /// An answer of the service.
    Answer(GatewayAnswer),
    /// An answer of the service, after a delay.
    Late(GatewayAnswer, Duration),
    /// Bytes that a fault makes up, and that the service would never send.
    Reply(WireAnswer),
    /// Half of an answer.
    Half(GatewayAnswer, Framing, ConnectionEnd),
    /// No bytes; the connection ends.
    Nothing(ConnectionEnd),
    /// No bytes; the connection stays open.
    Never,
}

/// How a halved answer announces its length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// By `Content-Length`, which counts the whole body.
    Length,
    /// By one chunk, whose length counts the whole body.
    Chunked,
    /// By no header: the body ends with the connection.
    CloseDelimited,
}

/// What a fault needs to know of its call.
pub(super) struct Struck<'a> {
    pub(super) echo: &'a Echo,
    pub(super) manner: Manner,
    /// `x-amz-date` as sent.
    pub(super) date: &'a str,
    /// The signature clock.
    pub(super) now: DateTime<Utc>,
}

/// The answer of a rejected signature: 403, from the front end.
pub(super) fn rejected(rejection: &Rejection) -> GatewayAnswer {
    GatewayAnswer::Front {
        status: StatusCode::FORBIDDEN,
        exception: Some(rejection.exception()),
        message: rejection.to_string(),
    }
}

/// The answer to a call over the rate limit.
pub(super) fn throttled() -> GatewayAnswer {
    GatewayAnswer::Front {
        status: StatusCode::TOO_MANY_REQUESTS,
        exception: Some("ThrottlingException"),
        message: "Rate exceeded".to_owned(),
    }
}

/// Applies a fault. `work` does the call's work; a fault without work never calls it.
pub(super) fn strike(fault: &Fault, struck: &Struck<'_>, work: impl FnOnce() -> GatewayAnswer) -> Say {
    let manner = struck.manner;
    let made_up = |body: Vec<u8>| Say::Reply(WireAnswer::of(manner.format, StatusCode::OK, body));
    let refuse = |refusal: AgcodError| GatewayAnswer::Refused { refusal, echo: Box::new(struck.echo.clone()) };
    match fault {
        Fault::Delay { milliseconds } => Say::Late(work(), Duration::from_millis(*milliseconds)),
        // The wait is over when this is called.
        Fault::DelayWork { .. } => Say::Answer(work()),
        Fault::DropBeforeWork => Say::Nothing(ConnectionEnd::Close),
        Fault::ResetBeforeWork => Say::Nothing(ConnectionEnd::Reset),
        Fault::DropAfterWork => after(work, Say::Nothing(ConnectionEnd::Close)),
        Fault::ResetAfterWork => after(work, Say::Nothing(ConnectionEnd::Reset)),
        Fault::ResetInBody => Say::Half(work(), Framing::Length, ConnectionEnd::Reset),
        Fault::HangInBody => Say::Half(work(), Framing::Length, ConnectionEnd::Stay),
        Fault::TruncatedBody => Say::Half(work(), Framing::Length, ConnectionEnd::Close),
        Fault::CutChunk => Say::Half(work(), Framing::Chunked, ConnectionEnd::Close),
        Fault::ShortCloseDelimited => Say::Half(work(), Framing::CloseDelimited, ConnectionEnd::Close),
        Fault::Garbage => after(work, made_up(GARBAGE.to_vec())),
        Fault::EmptyBody => after(work, made_up(Vec::new())),
        Fault::WrongContentType => Say::Reply(WireAnswer { content_type: "text/html", ..work().reply(manner) }),
        Fault::OversizedBody => Say::Reply(oversized(work().reply(manner), manner.format)),
        Fault::HtmlError { status, after_work } => {
            let page = Say::Reply(html(Fault::html_status(*status)));
            if *after_work { after(work, page) } else { page }
        }
        Fault::Redirect { location } => {
            let status = StatusCode::TEMPORARY_REDIRECT;
            Say::Reply(WireAnswer { location: Some(location.clone()), ..html(status) })
        }
        Fault::Resend { after_work } => {
            let resend = Say::Answer(refuse(errors::SYSTEM_TEMPORARILY_UNAVAILABLE));
            if *after_work { after(work, resend) } else { resend }
        }
        Fault::FCode { code, error_type, after_work } => {
            let refusal = Say::Answer(refuse(AgcodError::scripted(code, error_type)));
            if *after_work { after(work, refusal) } else { refusal }
        }
        // Of Amazon Pay alone.
        Fault::ReasonCode { .. } => Say::Answer(work()),
        Fault::Throttle => Say::Answer(throttled()),
        Fault::SignatureExpired => Say::Answer(rejected(&Rejection::expired(struck.date, struck.now))),
        Fault::BadKey => Say::Answer(rejected(&Rejection::UnknownKey)),
        Fault::Hang => Say::Never,
        Fault::WrongAmount
        | Fault::WrongCurrency
        | Fault::WrongRequestId
        | Fault::WrongCardId
        | Fault::WrongCard
        | Fault::DeadCard
        | Fault::OddCardStatus { .. }
        | Fault::NullClaimCode
        | Fault::MalformedClaimCode => Say::Answer(falsified(fault, struck.echo, work())),
    }
}

fn after(work: impl FnOnce() -> GatewayAnswer, say: Say) -> Say {
    drop(work());
    say
}

/// An answer with one member falsified. An answer without that member stays as it is.
fn falsified(fault: &Fault, echo: &Echo, answer: GatewayAnswer) -> GatewayAnswer {
    match answer {
        GatewayAnswer::Card(mut card) => {
            if *fault == Fault::WrongAmount {
                card.amount = card.amount.saturating_add(rust_decimal::Decimal::ONE);
            } else if *fault == Fault::WrongCurrency {
                card.currency = other_currency(&card.currency);
            } else if *fault == Fault::WrongRequestId {
                card.request_id = other_id(&card.request_id);
            } else if *fault == Fault::WrongCardId {
                card.gc_id = other_id(&card.gc_id);
            } else if *fault == Fault::DeadCard {
                "RefundedToPurchaser".clone_into(&mut card.card_status);
            } else if let Fault::OddCardStatus { status } = fault {
                card.card_status.clone_from(status);
            } else if *fault == Fault::NullClaimCode {
                card.claim_code = None;
            } else if *fault == Fault::MalformedClaimCode {
                card.claim_code = Some("not-a-code".to_owned());
            }
            GatewayAnswer::Card(card)
        }
        GatewayAnswer::Canceled { request_id, gc_id } if *fault == Fault::WrongRequestId => {
            GatewayAnswer::Canceled { request_id: other_id(&request_id), gc_id }
        }
        GatewayAnswer::Funds { amount, currency, at } if *fault == Fault::WrongCurrency => {
            GatewayAnswer::Funds { amount, currency: other_currency(&currency), at }
        }
        GatewayAnswer::OfKind(json) => {
            let falsified = falsified_json(fault, echo.operation.request_id(), &json);
            GatewayAnswer::OfKind(falsified.unwrap_or(json))
        }
        GatewayAnswer::Canceled { .. }
        | GatewayAnswer::Funds { .. }
        | GatewayAnswer::Plain { .. }
        | GatewayAnswer::Page(_)
        | GatewayAnswer::Refused { .. }
        | GatewayAnswer::Front { .. }
        | GatewayAnswer::Unread { .. } => answer,
    }
}

/// The same for an operation that one kind of reward needs; `None` where its answer has no such member.
fn falsified_json(fault: &Fault, request_id: &str, answer: &RawValue) -> Option<Box<RawValue>> {
    let text = |old: &RawValue| serde_json::from_str::<String>(old.get()).ok();
    if *fault == Fault::WrongAmount {
        return changed_at(answer, [&["cardInfo", "value", "amount"], &["amount", "value"]], |old| {
            let amount = money::from_json_number(old.get())?.checked_add(rust_decimal::Decimal::ONE)?;
            // A load's amount is a number of minor units, and stays one.
            let whole = !old.get().contains('.');
            if whole { RawValue::from_string(amount.to_string()).ok() } else { money::to_json_number(amount).ok() }
        });
    }
    let (paths, other): (Paths<'_>, fn(&str) -> String) = if *fault == Fault::WrongCurrency {
        ([&["cardInfo", "value", "currencyCode"], &["amount", "currencyCode"]], other_currency)
    } else if *fault == Fault::WrongRequestId {
        ([&[request_id], &[]], other_id)
    } else if *fault == Fault::WrongCard {
        ([&["cardInfo", "cardNumber"], &["account", "id"]], other_id)
    } else if *fault == Fault::DeadCard {
        let card = changed(answer, &["cardInfo", "cardStatus"], |_old| to_raw_value("RefundedToPurchaser").ok());
        return card.or_else(|| changed(answer, &["loadStatus"], |_old| to_raw_value("Voided").ok()));
    } else if let Fault::OddCardStatus { status } = fault {
        return changed_at(answer, [&["cardInfo", "cardStatus"], &["loadStatus"]], |_old| to_raw_value(status).ok());
    } else {
        return None;
    };
    changed_at(answer, paths, |old| to_raw_value(&other(&text(old)?)).ok())
}

/// Where a card's answer has a member, and where a load's has it.
type Paths<'a> = [&'a [&'a str]; 2];

/// The object with the first of these members changed that it has.
fn changed_at(
    object: &RawValue,
    paths: Paths<'_>,
    change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
) -> Option<Box<RawValue>> {
    paths.into_iter().find_map(|path| changed(object, path, &change))
}

/// The object with the member at this path changed.
fn changed(
    object: &RawValue,
    path: &[&str],
    change: impl FnOnce(&RawValue) -> Option<Box<RawValue>>,
) -> Option<Box<RawValue>> {
    let (name, rest) = path.split_first()?;
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object.get()).ok()?;
    let member = members.get_mut(*name)?;
    *member = if rest.is_empty() { change(member)? } else { changed(member, rest, change)? };
    to_raw_value(&members).ok()
}

fn other_currency(currency: &str) -> String {
    if currency == "USD" { "EUR" } else { "USD" }.to_owned()
}

/// An id of the same length with another last part, so that only a comparison of the whole id notices.
pub(super) fn other_id(id: &str) -> String {
    let mut other = id.to_owned();
    let last = other.pop();
    other.push(if last == Some('0') { '1' } else { '0' });
    other
}

/// Puts a long member in front of the first one.
fn oversized(reply: WireAnswer, format: Format) -> WireAnswer {
    let padding = "x".repeat(OVERSIZED_BODY_BYTES);
    // Behind the brace, or behind the root's start.
    let (end, member) = match format {
        Format::Json => (b'{', format!("\"padding\":\"{padding}\",")),
        Format::Xml => (b'>', format!("<padding>{padding}</padding>")),
    };
    let place = reply.body.iter().position(|byte| *byte == end).map_or(0, |place| place.saturating_add(1));
    let mut body = reply.body;
    body.splice(place..place, member.into_bytes());
    WireAnswer { body, ..reply }
}

fn html(status: StatusCode) -> WireAnswer {
    let title = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or_default());
    let page = format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
    WireAnswer { content_type: "text/html", ..WireAnswer::of(Format::Json, status, page.into_bytes()) }
}
