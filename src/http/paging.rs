//! Pages of lists: their size, where they begin, and the parameters of a query.

use actix_web::{HttpRequest, web};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::{Code, Problem};

/// Entries on a page when the caller does not say, and at most.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;

#[derive(Serialize)]
pub(crate) struct List<T> {
    /// The rows of this page.
    pub(crate) data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Where the next page begins; absent on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// The problem of a query parameter that cannot be read.
pub(crate) fn bad_query(name: &str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).detail(format!("the query's {name} is not valid"))
}

/// Reads the query into a type that refuses unknown parameters.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|_error| Problem::new(Code::INVALID_REQUEST).detail("the query has an unknown or malformed parameter"))
}

/// A page's size.
pub(crate) fn size(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(PAGE);
    (1..=PAGE_MAX).contains(&limit).then_some(limit).ok_or_else(|| bad_query("limit"))
}

/// Where the page before ended: a number, which callers take as it is.
pub(crate) fn after(cursor: Option<String>) -> Result<i64, Problem> {
    let read = |text: String| text.parse::<i64>().ok().filter(|at| *at >= 0);
    cursor.map_or(Ok(0), |text| read(text).ok_or_else(|| bad_query("cursor")))
}

/// Reads an instant (RFC 3339) of the query.
pub(crate) fn instant(text: Option<String>, default: DateTime<Utc>, name: &str) -> Result<DateTime<Utc>, Problem> {
    let read = |text: String| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc());
    text.map_or(Ok(default), |text| read(text).map_err(|_error| bad_query(name)))
}
