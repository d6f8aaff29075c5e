//! Problem codes of programs and their budgets.

use crate::http::{Code, Retry};

pub(crate) const PROGRAM_FORBIDDEN: Code =
    Code::new("program-forbidden", 403, Retry::Never, "The API key may not charge this program");
pub(crate) const PROGRAM_SUSPENDED: Code =
    Code::new("program-suspended", 403, Retry::AfterOperator, "The program is suspended");
pub(crate) const BUDGET_EXCEEDED: Code = Code::new("budget-exceeded", 403, Retry::Later, "A budget is used up");
pub(crate) const CEILING_REACHED: Code =
    Code::new("ceiling-reached", 403, Retry::Later, "A ceiling of the day is reached");
pub(crate) const PROGRAM_CONFLICT: Code =
    Code::new("program-conflict", 409, Retry::Never, "There is a program of that id");

/// All of them.
pub(crate) const CODES: &[Code] =
    &[PROGRAM_FORBIDDEN, PROGRAM_SUSPENDED, BUDGET_EXCEEDED, CEILING_REACHED, PROGRAM_CONFLICT];
