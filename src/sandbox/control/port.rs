//! The control over HTTP: plain JSON on a port of its own, for people with curl and tests in other languages.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /book` | | every card |
//! | `GET /requests`, `DELETE /requests` | | what was received |
//! | `GET /faults`, `POST /faults`, `DELETE /faults` | a rule, or an array of rules | the rules in force |
//! | `GET /clock`, `POST /clock` | `{"advance_seconds":n}` and/or `{"signature_skew_seconds":n}` | both clocks |
//! | `GET /funds`, `PUT /funds` | `{"partner_id":"…","amount":"100.00"}` | every partner's funds |
//! | `GET /activity`, `POST /activity` | an array of records to list besides | the activity report |
//! | `GET /activity/enabled`, `PUT /activity/enabled` | `{"enabled":false}` | the same |
//! | `GET /throttle`, `PUT /throttle` | `{"enabled":true}` | the same |
//!
//! A body that cannot be read is answered 400 with `{"message":"…"}`, and the sandbox is unchanged.

use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Control, ControlError};
use crate::sandbox::activity::Activity;
use crate::sandbox::fault::FaultRule;
use crate::sandbox::front::{Answered, Handler, Switch};
use crate::sandbox::money;

/// The largest request body that is read.
pub(super) const CONTROL_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Answers control calls.
#[derive(Clone)]
pub(in crate::sandbox) struct ControlPort {
    pub(in crate::sandbox) control: Control,
}

/// A refusal: status and message.
struct Refused(StatusCode, String);

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockMove {
    advance_seconds: Option<i64>,
    signature_skew_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FundsSetting {
    partner_id: String,
    /// Decimal text, or a JSON number read by its text.
    amount: Box<RawValue>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    enabled: bool,
}

impl Handler for ControlPort {
    async fn handle(self, request: Request<Incoming>, _switch: Arc<Switch>) -> Answered {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, CONTROL_BODY_BYTES_MAX).collect().await else {
            let message = format!("the body must be whole and at most {CONTROL_BODY_BYTES_MAX} bytes long");
            return printed(StatusCode::PAYLOAD_TOO_LARGE, &Message { message: &message });
        };
        match self.dispatch(&parts.method, parts.uri.path(), &body.to_bytes()) {
            Ok(answer) => answer,
            Err(Refused(status, message)) => printed(status, &Message { message: &message }),
        }
    }
}

impl ControlPort {
    fn dispatch(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answered, Refused> {
        let control = &self.control;
        match (method.as_str(), path) {
            ("GET", "/book") => Ok(ok(&control.book())),
            ("GET", "/requests") => Ok(ok(&control.requests())),
            ("DELETE", "/requests") => {
                control.clear_requests();
                Ok(ok(&control.requests()))
            }
            ("GET", "/faults") => Ok(ok(&control.faults())),
            ("POST", "/faults") => self.script(body),
            ("DELETE", "/faults") => {
                control.clear_faults();
                Ok(ok(&control.faults()))
            }
            ("GET", "/clock") => Ok(ok(&control.clock())),
            ("POST", "/clock") => self.move_clock(&parsed(body)?),
            ("GET", "/funds") => Ok(ok(&control.all_funds())),
            ("PUT", "/funds") => self.set_funds(&parsed(body)?),
            ("GET", "/activity") => Ok(ok(&control.activity())),
            ("POST", "/activity") => {
                let more: Vec<Activity> = parsed(body)?;
                control.edit_activity(|records| records.extend(more));
                Ok(ok(&control.activity()))
            }
            ("GET", "/activity/enabled") => Ok(ok(&Setting { enabled: control.activity_enabled() })),
            ("PUT", "/activity/enabled") => {
                let setting: Setting = parsed(body)?;
                control.set_activity_enabled(setting.enabled);
                Ok(ok(&setting))
            }
            ("GET", "/throttle") => Ok(ok(&Setting { enabled: control.throttle() })),
            ("PUT", "/throttle") => {
                let setting: Setting = parsed(body)?;
                control.set_throttle(setting.enabled);
                Ok(ok(&setting))
            }
            (
                _,
                "/book" | "/requests" | "/faults" | "/clock" | "/funds" | "/throttle" | "/activity"
                | "/activity/enabled",
            ) => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))),
            _ => Err(Refused(StatusCode::NOT_FOUND, format!("there is no {path} here"))),
        }
    }

    fn script(&self, body: &[u8]) -> Result<Answered, Refused> {
        let whole: serde_json::Value = parsed(body)?;
        let sent = match whole {
            serde_json::Value::Array(rules) => rules,
            rule @ (serde_json::Value::Object(_)
            | serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_)) => vec![rule],
        };
        let rules: Vec<FaultRule> = sent.iter().map(read_rule).collect::<Result<_, _>>()?;
        self.control.script_all(rules)?;
        Ok(ok(&self.control.faults()))
    }

    fn move_clock(&self, wanted: &ClockMove) -> Result<Answered, Refused> {
        if wanted.advance_seconds.is_none() && wanted.signature_skew_seconds.is_none() {
            return Err(bad("say advance_seconds, signature_skew_seconds, or both".to_owned()));
        }
        let before = self.control.clock().signature_skew_seconds;
        if let Some(seconds) = wanted.signature_skew_seconds {
            self.control.set_signature_skew(seconds)?;
        }
        if let Some(seconds) = wanted.advance_seconds
            && let Err(error) = self.control.advance_clock(seconds)
        {
            // Both or none.
            self.control.set_signature_skew(before)?;
            return Err(error.into());
        }
        Ok(ok(&self.control.clock()))
    }

    fn set_funds(&self, wanted: &FundsSetting) -> Result<Answered, Refused> {
        let text = wanted.amount.get();
        let digits = text.trim_matches('"');
        let amount = money::from_json_number(digits).ok_or_else(|| bad(format!("{text} is not an amount")))?;
        self.control.set_funds(&wanted.partner_id, amount)?;
        Ok(ok(&self.control.all_funds()))
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownPartner(_)
            | ControlError::NegativeFunds(_)
            | ControlError::ClockOutOfRange
            | ControlError::Rule(_) => bad(error.to_string()),
            ControlError::Unwritten(_) | ControlError::Stopped => {
                Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

/// Reads one rule, and refuses an unknown member. With a misspelt `after_work` a test would test the wrong thing.
fn read_rule(sent: &serde_json::Value) -> Result<FaultRule, Refused> {
    let rule = FaultRule::deserialize(sent).map_err(|error| bad(error.to_string()))?;
    let understood = serde_json::to_value(&rule.fault).map_err(|error| bad(error.to_string()))?;
    let members = sent.get("fault").and_then(serde_json::Value::as_object).into_iter().flatten();
    for (name, _) in members {
        if understood.get(name).is_none() {
            return Err(bad(format!("this kind of fault has no member {name:?}")));
        }
    }
    Ok(rule)
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

fn bad(message: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message)
}

fn ok<T: Serialize>(answer: &T) -> Answered {
    printed(StatusCode::OK, answer)
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
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
