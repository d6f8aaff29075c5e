//! How Amazon Pay refuses: a status, a reason code, and a sentence for people.

use hyper::StatusCode;
use serde_json::json;

use super::PayShown;

/// A refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sandbox) struct PayRefused {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) reason: String,
    pub(in crate::sandbox) message: String,
}

impl PayRefused {
    pub(in crate::sandbox) fn of(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), message: message.into() }
    }

    /// 400: the request itself is wrong.
    pub(super) fn bad(reason: &str, message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, reason, message)
    }

    /// 422: the request is well-formed, and cannot be done.
    pub(super) fn undone(reason: &str, message: impl Into<String>) -> Self {
        Self::of(StatusCode::UNPROCESSABLE_ENTITY, reason, message)
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    pub(in crate::sandbox) fn throttled() -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many requests of this operation")
    }

    pub(in crate::sandbox) fn shown(self) -> PayShown {
        let json = json!({ "reasonCode": self.reason, "message": self.message });
        PayShown { status: self.status, json, reason: Some(self.reason) }
    }
}
