//! Sends an answer: whole and at once, or as a fault demands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use super::distort::{Framing, Say};
use super::server::Answered;
use super::socket::{ConnectionEnd, Script, Switch};
use crate::sandbox::answer::{Manner, WireAnswer};
use crate::sandbox::world::World;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

impl Say {
    /// The status that the client sees, if it sees one.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answer(answer) | Self::Late(answer, _) | Self::Half(answer, ..) => Some(answer.status()),
            Self::Reply(reply) => Some(reply.status),
            Self::Nothing(_) | Self::Never => None,
        }
    }
}

impl Say {
    /// What a refusal says to the caller.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Answer(answer) | Self::Late(answer, _) | Self::Half(answer, ..) => answer.message(),
            Self::Reply(_) | Self::Nothing(_) | Self::Never => None,
        }
    }

    /// The member that could not be read, where the refusal says nothing.
    pub(super) fn unread_member(&self) -> Option<&str> {
        match self {
            Self::Answer(answer) | Self::Late(answer, _) | Self::Half(answer, ..) => answer.unread_member(),
            Self::Reply(_) | Self::Nothing(_) | Self::Never => None,
        }
    }
}

/// An answer as bytes, and how it is sent.
pub(super) enum Delivery {
    Whole(Answered),
    Late(Answered, Duration),
    Script(Script),
    Never,
}

impl Delivery {
    pub(super) fn of(say: Say, manner: Manner, request_id: &str, now: DateTime<Utc>) -> Self {
        match say {
            Say::Answer(answer) => Self::Whole(response(answer.reply(manner), request_id, now)),
            Say::Late(answer, delay) => Self::Late(response(answer.reply(manner), request_id, now), delay),
            Say::Reply(reply) => Self::Whole(response(reply, request_id, now)),
            Say::Half(answer, framing, end) => {
                Self::Script(Script { bytes: half(&answer.reply(manner), framing, request_id, now), end })
            }
            Say::Nothing(end) => Self::Script(Script { bytes: Vec::new(), end }),
            Say::Never => Self::Never,
        }
    }
}

/// Sends the answer. When the sandbox stops, a delayed answer is dropped and its connection closes.
pub(super) async fn deliver(delivery: Delivery, world: &World, switch: &Switch) -> Answered {
    let script = match delivery {
        Delivery::Whole(response) => return response,
        Delivery::Late(response, delay) => tokio::select! {
            () = tokio::time::sleep(delay) => return response,
            () = world.stopping.cancelled() => Script { bytes: Vec::new(), end: ConnectionEnd::Close },
        },
        Delivery::Never => {
            world.stopping.cancelled().await;
            Script { bytes: Vec::new(), end: ConnectionEnd::Close }
        }
        Delivery::Script(script) => script,
    };
    switch.set(script);
    // The script replaces the server's next write.
    Response::new(Full::default())
}

/// `now` is the clock by which signatures are judged: a client may set its own by the `Date` of an answer.
fn response(reply: WireAnswer, request_id: &str, now: DateTime<Utc>) -> Answered {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(exception) = reply.exception {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(exception));
    }
    // All of them are valid header text: made here, or checked when the rule was set.
    let date = http_date(now);
    let texts = [(REQUEST_ID, Some(request_id)), (LOCATION, reply.location.as_deref()), (DATE, Some(date.as_str()))];
    for (name, text) in texts {
        if let Some(Ok(value)) = text.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
    response
}

fn http_date(now: DateTime<Utc>) -> String {
    now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The head and the first half of an answer.
fn half(reply: &WireAnswer, framing: Framing, request_id: &str, now: DateTime<Utc>) -> Vec<u8> {
    let (status, length) = (reply.status, reply.body.len());
    let announced = match framing {
        Framing::Length => format!("Content-Length: {length}\r\n\r\n"),
        Framing::Chunked => format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
        Framing::CloseDelimited => "Connection: close\r\n\r\n".to_owned(),
    };
    let date = http_date(now);
    let content_type = reply.content_type;
    let head = format!(
        "HTTP/1.1 {} {}\r\nX-Amzn-Requestid: {request_id}\r\nContent-Type: {content_type}\r\nDate: {date}\r\n{announced}",
        status.as_str(),
        status.canonical_reason().unwrap_or_default()
    );
    let mut bytes = head.into_bytes();
    bytes.extend(reply.body.iter().take(length / 2));
    bytes
}
