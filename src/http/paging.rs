//! Pages of lists: their size, where they begin, and the parameters of a query.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Code, Problem};

/// Entries on a page when the caller does not say, and at most.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;

#[derive(Serialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// Where the next page begins; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// A text that rows are compared with. PostgreSQL takes no NUL, and nothing that is stored has a control character.
pub(crate) fn text(text: Option<String>, name: &str) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().any(char::is_control) => Err(bad_query(name)),
        other => Ok(other),
    }
}

/// The cursor of a list that is ordered by ids: opaque to callers.
pub(crate) fn cursor(id: Uuid) -> String {
    HEXLOWER.encode(id.as_bytes())
}

/// Where the page before ended, in a list that is ordered by ids, newest first.
pub(crate) fn before(cursor: Option<String>) -> Result<Uuid, Problem> {
    let read = |text: String| HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    cursor.map_or(Ok(Uuid::max()), |text| read(text).ok_or_else(|| bad_query("cursor")))
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

/// Later than any row: the year 9999.
pub(crate) fn end_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A page of at most `limit` entries. When it is full it links to the next one, which begins after `last`.
pub(crate) fn page<T: Serialize>(
    request: &HttpRequest,
    data: Vec<T>,
    limit: i64,
    last: Option<String>,
) -> HttpResponse {
    let next_cursor = last.filter(|_last| i64::try_from(data.len()) == Ok(limit));
    let mut answer = HttpResponse::Ok();
    if let Some(next) = &next_cursor {
        // The same filters, from where this page ended. A name may be percent-encoded: it is compared as it was read.
        let asked = form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _value)| name != "cursor");
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).append_pair("cursor", next).finish();
        answer.insert_header((header::LINK, format!("<{}?{query}>; rel=\"next\"", request.path())));
    }
    answer.json(List { data, next_cursor })
}
