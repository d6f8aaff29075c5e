//! The control over HTTP: plain JSON on a port of its own, for people with curl and tests in other languages. `GET /` is a
//! page for people, `GET /openapi.json` the list of the calls for programs.
//!
//! A body that cannot be read is answered 400 with `{"message":"…"}`, and the sandbox is unchanged.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::routes::ROUTES;
use super::{Control, ControlError};
use crate::sandbox::front::{Answered, Handler, Switch, whole_body};

/// The largest request body that is read. A state that is loaded may be long.
pub(super) const CONTROL_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Answers control calls.
#[derive(Clone)]
pub(in crate::sandbox) struct ControlPort {
    pub(in crate::sandbox) control: Control,
}

/// A refusal: status and message.
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

impl Handler for ControlPort {
    async fn handle(self, request: Request<Incoming>, _switch: Arc<Switch>) -> Answered {
        let (parts, body) = request.into_parts();
        let body = match whole_body(body, CONTROL_BODY_BYTES_MAX, self.control.world.body_time).await {
            Ok(body) => body,
            Err((status, message)) => return printed(status, &Message { message: &message }),
        };
        match self.dispatch(&parts.method, parts.uri.path(), &body) {
            Ok(answer) => answer,
            Err(Refused(status, message)) => printed(status, &Message { message: &message }),
        }
    }
}

impl ControlPort {
    fn dispatch(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answered, Refused> {
        let mut of_path = ROUTES.iter().filter(|route| route.path == path).peekable();
        if of_path.peek().is_none() {
            return Err(Refused(StatusCode::NOT_FOUND, format!("there is no {path} here; GET / lists the calls")));
        }
        // The server leaves the body of the answer out.
        let asked = if *method == Method::HEAD { Method::GET } else { method.clone() };
        match of_path.find(|route| route.method == asked.as_str()) {
            Some(route) => (route.answer)(&self.control, body),
            None => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))),
        }
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownPartner(_)
            | ControlError::UnknownCurrency { .. }
            | ControlError::WhichCurrency(_)
            | ControlError::TooFine { .. }
            | ControlError::UnknownKey(_)
            | ControlError::ActiveKey(_)
            | ControlError::Partner(_)
            | ControlError::Setting(_)
            | ControlError::NegativeFunds(_)
            | ControlError::ClockOutOfRange
            | ControlError::Rule(_) => bad(error.to_string()),
            ControlError::Unwritten(_) | ControlError::Stopped => {
                Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

pub(super) fn bad(message: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message)
}

pub(super) fn ok<T: Serialize>(answer: &T) -> Answered {
    printed(StatusCode::OK, answer)
}

/// A body as it is.
pub(super) fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn printed<T: Serialize>(status: StatusCode, answer: &T) -> Answered {
    let (status, mut body) = match serde_json::to_vec(answer) {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "the sandbox could not print an answer of its control port");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    body.push(b'\n');
    let mut response = whole("application/json", body);
    *response.status_mut() = status;
    response
}
