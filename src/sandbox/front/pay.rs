//! One exchange of Amazon Pay: route, signature, rate limit, fault, work, answer, as for a gift card.

use std::sync::Arc;

use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::distort::{self, Say, Struck};
use super::gateway::{concluded, wait_before_work};
use super::socket::ConnectionEnd;
use crate::sandbox::answer::{Echo, Format, GatewayAnswer, Manner};
use crate::sandbox::fault::{Fault, Operation};
use crate::sandbox::pay::{PayArrival, PayRefused, PayShown};
use crate::sandbox::record::{BODY_CHARACTERS_MAX, Received};
use crate::sandbox::world::World;

/// How answers are written: as JSON, always.
pub(super) const MANNER: Manner = Manner { format: Format::Json, operation: None };

pub(super) async fn exchange(world: Arc<World>, arrival: PayArrival) -> Say {
    let admitted = world.pay.admit(&arrival, &world.clock, world.throttle.enabled());
    let accepted = admitted.as_ref().err().is_none_or(|refused| refused.status == StatusCode::TOO_MANY_REQUESTS);
    let sequence = world.record.open(noted(&world, &arrival, accepted));
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => return concluded(&world, sequence, Say::Answer(plain(refused.shown())), false),
    };
    let operation = Operation::Pay(admitted.call);
    let request_id = arrival.request_id();
    let fault = world.faults.strike(operation, &admitted.merchant_id, request_id.as_deref());
    if let Some(fault) = &fault {
        world.record.amend(sequence, |received| received.fault = Some(fault.clone()));
    }
    if wait_before_work(&world, fault.as_ref()).await.is_break() {
        return Say::Nothing(ConnectionEnd::Close);
    }
    let work = || world.pay.perform(&admitted, &arrival, world.clock.now(), &world.chance);
    let say = match &fault {
        Some(fault) => {
            let echo = Echo { operation, request_id, value: None };
            let struck = Struck { echo: &echo, manner: MANNER, date: "", now: world.clock.signature_now() };
            strike(fault, &struck, work)
        }
        None => Say::Answer(plain(work())),
    };
    concluded(&world, sequence, say, false)
}

/// The refusal of a body that did not come whole.
pub(super) fn unread(status: StatusCode, message: String) -> GatewayAnswer {
    plain(PayRefused::of(status, "InvalidRequestFormat", message).shown())
}

fn plain(shown: PayShown) -> GatewayAnswer {
    let PayShown { status, json, reason } = shown;
    match to_raw_value(&json) {
        Ok(json) => GatewayAnswer::Plain { status, reason, json },
        Err(_unprinted) => {
            GatewayAnswer::Unread { status: StatusCode::INTERNAL_SERVER_ERROR, message: None, member: None }
        }
    }
}

/// A fault that speaks in words speaks in Amazon Pay's; one of the wire strikes as it does every call.
fn strike(fault: &Fault, struck: &Struck<'_>, work: impl FnOnce() -> PayShown) -> Say {
    let forbidden = |reason: &str| {
        Say::Answer(plain(PayRefused::of(StatusCode::FORBIDDEN, reason, "by a fault of the sandbox").shown()))
    };
    let refuse = |status: StatusCode, reason: &str, after_work: bool, work: Box<dyn FnOnce() -> PayShown + '_>| {
        if after_work {
            drop(work());
        }
        Say::Answer(plain(PayRefused::of(status, reason, "by a fault of the sandbox").shown()))
    };
    match fault {
        Fault::Throttle => Say::Answer(plain(PayRefused::throttled().shown())),
        Fault::SignatureExpired => forbidden("InvalidRequestSignature"),
        Fault::BadKey => forbidden("InvalidAuthentication"),
        Fault::Resend { after_work } => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", *after_work, Box::new(work))
        }
        Fault::ReasonCode { status, reason_code, after_work } => {
            refuse(Fault::html_status(*status), reason_code, *after_work, Box::new(work))
        }
        Fault::WrongAmount
        | Fault::WrongCurrency
        | Fault::WrongRequestId
        | Fault::WrongCardId
        | Fault::DeadCard
        | Fault::OddCardStatus { .. } => {
            let mut shown = work();
            falsify(fault, &mut shown.json);
            Say::Answer(plain(shown))
        }
        Fault::Delay { .. }
        | Fault::DelayWork { .. }
        | Fault::DropBeforeWork
        | Fault::DropAfterWork
        | Fault::ResetBeforeWork
        | Fault::ResetAfterWork
        | Fault::ResetInBody
        | Fault::HangInBody
        | Fault::TruncatedBody
        | Fault::CutChunk
        | Fault::ShortCloseDelimited
        | Fault::Garbage
        | Fault::EmptyBody
        | Fault::WrongContentType
        | Fault::OversizedBody
        | Fault::HtmlError { .. }
        | Fault::Redirect { .. }
        | Fault::WrongCard
        | Fault::NullClaimCode
        | Fault::MalformedClaimCode
        | Fault::FCode { .. }
        | Fault::Hang => distort::strike(fault, struck, || plain(work())),
    }
}

/// Changes a member of an object. An object without that member stays as it is.
fn falsify(fault: &Fault, object: &mut Value) {
    let one_more =
        |old: &str| Decimal::from_str_exact(old).unwrap_or_default().saturating_add(Decimal::ONE).to_string();
    let other_currency = |old: &str| if old == "USD" { "EUR" } else { "USD" }.to_owned();
    if *fault == Fault::WrongAmount {
        change(object, &["/chargeAmount/amount", "/refundAmount/amount"], one_more);
    } else if *fault == Fault::WrongCurrency {
        change(object, &["/chargeAmount/currencyCode", "/refundAmount/currencyCode"], other_currency);
    } else if *fault == Fault::WrongRequestId {
        // What the request named: the charge of a refund, the permission of a charge.
        let named = if object.get("refundId").is_some() { "/chargeId" } else { "/chargePermissionId" };
        change(object, &[named], distort::other_id);
    } else if *fault == Fault::WrongCardId {
        change(object, &["/refundId", "/chargeId", "/chargePermissionId"], distort::other_id);
    } else if *fault == Fault::DeadCard {
        change(object, &["/statusDetails/state"], |_old| "Canceled".to_owned());
    } else if let Fault::OddCardStatus { status } = fault {
        change(object, &["/statusDetails/state"], |_old| status.clone());
    }
}

/// Changes the first of these members that there is.
fn change(object: &mut Value, paths: &[&str], change: impl FnOnce(&str) -> String) {
    let path = paths.iter().find(|path| object.pointer(path).is_some_and(Value::is_string));
    if let Some(member) = path.and_then(|path| object.pointer_mut(path)) {
        *member = Value::String(change(member.as_str().unwrap_or_default()));
    }
}

/// The request as the log keeps it. The log keeps refused requests as well.
fn noted(world: &World, arrival: &PayArrival, signature_accepted: bool) -> Received {
    let host = arrival.headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Received {
        at: world.clock.now(),
        sequence: 0,
        operation: arrival.name(),
        host: host.to_owned(),
        partner_id: arrival.public_key_id(),
        creation_request_id: arrival.request_id(),
        body: String::from_utf8_lossy(&arrival.body).chars().take(BODY_CHARACTERS_MAX).collect(),
        signature_accepted,
        fault: None,
        http_status: None,
        error_code: None,
        error_type: None,
        real_op: false,
    }
}
