//! Problem codes of batches.

use crate::http::{Code, Retry};

pub(super) const TOO_MANY_BATCHES: Code =
    Code::new("too-many-batches", 429, Retry::Later, "The client has as many open batches as it may have");

/// All of them.
pub(crate) const CODES: &[Code] = &[TOO_MANY_BATCHES];
