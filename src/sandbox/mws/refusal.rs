//! How MWS refuses: a status, a code, and a sentence for people.

use hyper::StatusCode;
use serde_json::json;

use super::MwsAnswer;

/// A refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sandbox) struct MwsRefused {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) code: String,
    pub(in crate::sandbox) message: String,
}

impl MwsRefused {
    pub(in crate::sandbox) fn of(status: u16, code: &str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// 400: a parameter is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::of(400, "InvalidParameterValue", message)
    }

    /// 405: the object is in another state than the call needs.
    pub(super) fn state(code: &str, message: impl Into<String>) -> Self {
        Self::of(405, code, message)
    }

    pub(in crate::sandbox) fn throttled() -> Self {
        Self::of(503, "RequestThrottled", "too many requests of this operation")
    }

    pub(in crate::sandbox) fn answer(self) -> MwsAnswer {
        let kind = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let elements = json!({
            "Error": { "Type": kind, "Code": self.code, "Message": self.message },
            "RequestId": "00000000-0000-0000-0000-000000000000",
        });
        MwsAnswer { status: self.status, elements, code: Some(self.code) }
    }
}
