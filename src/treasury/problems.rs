//! Problem codes of reconciliations.

use crate::http::{Code, Retry};

pub(super) const RECONCILIATION_RUNNING: Code =
    Code::new("reconciliation-running", 409, Retry::Later, "A reconciliation of the account is under way");

/// Every problem code of reconciliations.
pub(crate) const CODES: &[Code] = &[RECONCILIATION_RUNNING];
