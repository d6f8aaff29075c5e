//! The REST face of the books: programs and their budgets, the ledger's entries, and a month's statement.

mod ledger;
mod programs;
mod statements;

use actix_web::web;

pub(crate) use self::{ledger::EntriesApi, programs::ProgramsApi, statements::StatementsApi};
use super::{problems, service::ProgramError};
use crate::http::{Code, Problem};

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    programs::routes(config);
    ledger::routes(config);
    statements::routes(config);
}

impl From<ProgramError> for Problem {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotFound => Self::new(Code::NOT_FOUND),
            ProgramError::Taken => Self::new(problems::PROGRAM_CONFLICT),
            ProgramError::UnknownAccount => {
                Self::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id")
            }
            ProgramError::UnknownClient => {
                Self::new(Code::INVALID_REQUEST).field("/client", "unknown", "there is no client of that name")
            }
            ProgramError::Store(error) => error.into(),
        }
    }
}
