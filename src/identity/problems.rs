//! Problem codes of API keys.

use crate::http::{Code, Retry};

pub(crate) const UNAUTHORIZED: Code = Code::new("unauthorized", 401, Retry::Never, "A valid API key is required");
pub(crate) const INSUFFICIENT_SCOPE: Code =
    Code::new("insufficient-scope", 403, Retry::Never, "The API key lacks a scope");

/// All of them.
pub(crate) const CODES: &[Code] = &[UNAUTHORIZED, INSUFFICIENT_SCOPE];
