//! One exchange of MWS: path, signature, rate limit, fault, work, answer, as for a gift card.

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
use crate::sandbox::mws::{MwsAction, MwsAnswer, MwsArrival, MwsRefused};
use crate::sandbox::record::{BODY_CHARACTERS_MAX, Received};
use crate::sandbox::world::World;

/// How answers are written: as XML, always, and under the operation's name.
pub(super) fn manner(arrival: &MwsArrival) -> Manner {
    Manner { format: Format::Xml, operation: MwsAction::named(&arrival.name()).map(Operation::Mws) }
}

pub(super) async fn exchange(world: Arc<World>, arrival: MwsArrival) -> Say {
    let admitted = world.mws.admit(&arrival, &world.clock, world.throttle.enabled());
    let accepted = admitted.as_ref().err().is_none_or(|refused| refused.code == "RequestThrottled");
    let sequence = world.record.open(noted(&world, &arrival, accepted));
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => return concluded(&world, sequence, Say::Answer(plain(refused.answer())), false),
    };
    let operation = Operation::Mws(admitted.action);
    let request_id = arrival.request_id();
    let fault = world.faults.strike(operation, &admitted.seller_id, request_id.as_deref());
    if let Some(fault) = &fault {
        world.record.amend(sequence, |received| received.fault = Some(fault.clone()));
    }
    if wait_before_work(&world, fault.as_ref()).await.is_break() {
        return Say::Nothing(ConnectionEnd::Close);
    }
    let work = || world.mws.perform(&admitted, world.clock.now(), &world.chance);
    let say = match &fault {
        Some(fault) => {
            let echo = Echo { operation, request_id, value: None };
            let now = world.clock.signature_now();
            let struck = Struck { echo: &echo, manner: manner(&arrival), date: "", now };
            strike(fault, &struck, work)
        }
        None => Say::Answer(plain(work())),
    };
    concluded(&world, sequence, say, false)
}

/// The refusal of a body that did not come whole.
pub(super) fn unread(status: StatusCode, message: String) -> GatewayAnswer {
    plain(MwsRefused::of(status.as_u16(), "InputStreamDisconnected", message).answer())
}

fn plain(answer: MwsAnswer) -> GatewayAnswer {
    let MwsAnswer { status, elements, code } = answer;
    match to_raw_value(&elements) {
        Ok(json) => GatewayAnswer::Plain { status, reason: code, json },
        Err(_unprinted) => {
            GatewayAnswer::Unread { status: StatusCode::INTERNAL_SERVER_ERROR, message: None, member: None }
        }
    }
}

/// A fault that speaks in words speaks in those of MWS; one of the wire strikes as it does every call.
fn strike(fault: &Fault, struck: &Struck<'_>, work: impl FnOnce() -> MwsAnswer) -> Say {
    let refused = |status: u16, code: &str| {
        Say::Answer(plain(MwsRefused::of(status, code, "by a fault of the sandbox").answer()))
    };
    match fault {
        Fault::Throttle => Say::Answer(plain(MwsRefused::throttled().answer())),
        Fault::SignatureExpired => refused(400, "RequestExpired"),
        Fault::BadKey => refused(403, "InvalidAccessKeyId"),
        Fault::Resend { after_work } => {
            if *after_work {
                drop(work());
            }
            refused(503, "ServiceUnavailable")
        }
        Fault::ReasonCode { status, reason_code, after_work } => {
            if *after_work {
                drop(work());
            }
            refused(*status, reason_code)
        }
        Fault::WrongAmount
        | Fault::WrongCurrency
        | Fault::WrongRequestId
        | Fault::WrongCardId
        | Fault::DeadCard
        | Fault::OddCardStatus { .. } => {
            let mut answer = work();
            falsify(fault, &mut answer.elements);
            Say::Answer(plain(answer))
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

/// Changes an element of every object that the answer shows. One without that element stays as it is.
fn falsify(fault: &Fault, answer: &mut Value) {
    let one_more =
        |old: &str| Decimal::from_str_exact(old).unwrap_or_default().saturating_add(Decimal::ONE).to_string();
    let money = ["AuthorizationAmount", "CaptureAmount", "RefundAmount", "OrderTotal"];
    let ids = ["AmazonAuthorizationId", "AmazonCaptureId", "AmazonRefundId"];
    let references = ["AuthorizationReferenceId", "CaptureReferenceId", "RefundReferenceId"];
    let objects = answer.as_object_mut().into_iter().flat_map(|members| members.values_mut());
    let objects = objects.filter_map(Value::as_object_mut).flat_map(|members| members.values_mut());
    for object in objects {
        if *fault == Fault::WrongAmount {
            money.iter().for_each(|name| change(object, &[name, "Amount"], one_more));
        } else if *fault == Fault::WrongCurrency {
            money.iter().for_each(|name| change(object, &[name, "CurrencyCode"], |_old| "USD".to_owned()));
        } else if *fault == Fault::WrongRequestId {
            references.iter().for_each(|name| change(object, &[name], distort::other_id));
        } else if *fault == Fault::WrongCardId {
            ids.iter().for_each(|name| change(object, &[name], distort::other_id));
        } else {
            let word = if let Fault::OddCardStatus { status } = fault { status.as_str() } else { "Canceled" };
            for name in ["AuthorizationStatus", "CaptureStatus", "RefundStatus"] {
                change(object, &[name, "State"], |_old| word.to_owned());
            }
        }
    }
}

fn change(object: &mut Value, path: &[&str], change: impl FnOnce(&str) -> String) {
    let member = path.iter().try_fold(object, |object, name| object.get_mut(*name));
    if let Some(member) = member
        && let Some(old) = member.as_str()
    {
        *member = Value::String(change(old));
    }
}

/// The request as the log keeps it, without its signature. The log keeps refused requests as well.
fn noted(world: &World, arrival: &MwsArrival, signature_accepted: bool) -> Received {
    Received {
        at: world.clock.now(),
        sequence: 0,
        operation: arrival.name(),
        host: arrival.host.clone(),
        partner_id: arrival.seller_id(),
        creation_request_id: arrival.request_id(),
        body: arrival.body.chars().take(BODY_CHARACTERS_MAX).collect(),
        signature_accepted,
        fault: None,
        http_status: None,
        error_code: None,
        error_type: None,
        real_op: false,
    }
}
