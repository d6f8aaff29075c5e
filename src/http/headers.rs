//! Request headers that decide something. Each may come once: of two, a proxy and we might read different ones.

use actix_web::{HttpRequest, http::header::HeaderName};

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
