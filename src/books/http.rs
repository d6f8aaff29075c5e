//! The REST face of the books: programs and their budgets, the ledger, the events.

mod events;
mod ledger;
mod programs;

use actix_web::{HttpRequest, web};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::service::ProgramError;
use crate::http::{Code, Problem};

/// Entries on a page when the caller does not say, and at most.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    programs::routes(config);
    ledger::routes(config);
    events::routes(config);
}

#[derive(Serialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn bad_query(name: &str) -> Problem {
    Problem::new(Code::InvalidRequest).detail(format!("the query's {name} is not valid"))
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|_error| Problem::new(Code::InvalidRequest).detail("the query has an unknown or malformed parameter"))
}

/// A page's size.
fn size(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(PAGE);
    (1..=PAGE_MAX).contains(&limit).then_some(limit).ok_or_else(|| bad_query("limit"))
}

/// Where the page before ended: a number, which callers take as it is.
fn after(cursor: Option<String>) -> Result<i64, Problem> {
    let read = |text: String| text.parse::<i64>().ok().filter(|at| *at >= 0);
    cursor.map_or(Ok(0), |text| read(text).ok_or_else(|| bad_query("cursor")))
}

fn instant(text: Option<String>, default: DateTime<Utc>, name: &str) -> Result<DateTime<Utc>, Problem> {
    let read = |text: String| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc());
    text.map_or(Ok(default), |text| read(text).map_err(|_error| bad_query(name)))
}

impl From<ProgramError> for Problem {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotFound => Self::new(Code::NotFound),
            ProgramError::Taken => Self::new(Code::ProgramConflict),
            ProgramError::UnknownAccount => {
                Self::new(Code::InvalidRequest).field("/account_id", "unknown", "there is no account of that id")
            }
            ProgramError::Store(error) => error.into(),
        }
    }
}
