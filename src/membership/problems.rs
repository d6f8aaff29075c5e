//! Problem codes of memberships.

use crate::http::{Code, Retry};

pub(super) const CONSENT_NOT_USABLE: Code =
    Code::new("consent-not-usable", 422, Retry::Never, "The buyer's consent cannot be charged for this");
pub(super) const CONSENT_TAKEN: Code =
    Code::new("consent-taken", 409, Retry::Never, "The buyer's consent serves another membership");
pub(super) const REFERENCE_TAKEN: Code =
    Code::new("reference-taken", 409, Retry::Never, "There is a membership of this reference");

/// All of them.
pub(crate) const CODES: &[Code] = &[CONSENT_NOT_USABLE, CONSENT_TAKEN, REFERENCE_TAKEN];
