//! Request headers that decide something. Each may come once: of two, a proxy and we might read different ones.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{Code, Problem};
use crate::kernel::{IdempotencyKey, idempotency::KeyError};

/// The header came more than once, or is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOne;

/// The value of a header that may come once.
///
/// # Errors
/// [`NotOne`].
pub(crate) fn only(request: &HttpRequest, name: HeaderName) -> Result<Option<&str>, NotOne> {
    let mut values = request.headers().get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(NotOne);
    }
    first.map(|value| value.to_str().map_err(|_binary| NotOne)).transpose()
}

/// The request's idempotency key.
///
/// # Errors
/// `idempotency-key-missing` or `idempotency-key-invalid`.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<IdempotencyKey, Problem> {
    let invalid = |detail: &str| Problem::new(Code::IDEMPOTENCY_KEY_INVALID).detail(detail);
    let value = only(request, HeaderName::from_static("idempotency-key"))
        .map_err(|NotOne| invalid("exactly one Idempotency-Key of printable ASCII is expected"))?
        .ok_or_else(|| Problem::new(Code::IDEMPOTENCY_KEY_MISSING))?;
    // A proxy may join two headers into `one, two`: that is two keys, not a third. In quotes a comma is the key's own.
    if value.contains(',') && !value.starts_with('"') {
        return Err(invalid("a key with a comma must be quoted"));
    }
    IdempotencyKey::parse(value).map_err(|error| match error {
        KeyError::Empty => invalid("the key is empty"),
        KeyError::TooLong => invalid("the key is longer than 255 characters"),
        KeyError::NotPrintable => invalid("the key has a character that is not printable ASCII"),
        KeyError::Quoting => invalid("the key is not a well-formed quoted string"),
    })
}

/// How long a caller wants to wait (RFC 7240), and the preference that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long at most.
    pub(crate) wait: Duration,
    /// What `Preference-Applied` names.
    pub(crate) applied: &'static str,
}

/// The caller's patience: `wait=n` in seconds, `respond-async` not at all; the first of them counts. Unknown preferences
/// are ignored, as the standard asks.
#[must_use]
pub(crate) fn patience(request: &HttpRequest) -> Option<Patience> {
    let value = only(request, HeaderName::from_static("prefer")).ok().flatten()?;
    value.split(',').map(str::trim).find_map(|preference| {
        let (name, argument) = preference.split_once('=').unwrap_or((preference, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => Some(Patience { wait: Duration::ZERO, applied: "respond-async" }),
            "wait" => {
                let seconds = argument.trim().parse::<u8>().ok()?;
                Some(Patience { wait: Duration::from_secs(seconds.into()), applied: "wait" })
            }
            _ => None,
        }
    })
}

/// Says that the caller's wish was followed (RFC 7240, 3).
pub(crate) fn preference_applied(patience: Patience, answer: &mut HeaderMap) {
    answer.insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static(patience.applied));
}
