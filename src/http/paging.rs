//! Pages of lists: their size, where they begin, and the parameters of a query.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Code, Problem};
use crate::kernel::calendar::{day, day_begins, is_storable};

/// Entries on a page when the caller does not say, and at most.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;

#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The entries of this page.
    pub(crate) data: Vec<T>,
    /// Where the next page begins; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

/// The problem of a query parameter that is not as expected.
pub(crate) fn bad_query(name: &str, expected: &str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).detail(format!("the query's {name} is not valid: expected {expected}"))
}

/// Reads the query into a type that refuses unknown parameters. Its members are texts, so that whatever is wrong is said of
/// the parameter that has it.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string()).map(web::Query::into_inner).map_err(|error| {
        // What is behind the last of these words is of our own making. The caller's text before it may be a secret.
        let text = error.to_string();
        let detail = match text.rsplit_once(", expected ") {
            Some((_unknown, known)) => format!("the query has an unknown parameter: expected {known}"),
            None if text.contains("missing field") || text.contains("duplicate field") => {
                let (_before, name) = text.rsplit_once(" field ").unwrap_or_default();
                format!("the query must have {name} once")
            }
            None if text.ends_with("there are no fields") => "the query must be empty".to_owned(),
            None => "the query has a malformed parameter".to_owned(),
        };
        Problem::new(Code::INVALID_REQUEST).detail(detail)
    })
}

/// The query of a request that takes no parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Refuses parameters where none mean anything: whoever sends them expects that they do.
pub(crate) fn no_query(request: &HttpRequest) -> Result<(), Problem> {
    query::<Nothing>(request).map(|Nothing {}| ())
}

/// A page's size.
pub(crate) fn size(limit: Option<String>) -> Result<i64, Problem> {
    let read = |text: String| text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.map_or(Ok(PAGE), |text| read(text).ok_or_else(|| bad_query("limit", "a number from 1 to 200")))
}

/// A text that rows are compared with. PostgreSQL takes no NUL, and nothing that is stored has a control character.
pub(crate) fn text(text: Option<String>, name: &str) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().any(char::is_control) => Err(bad_query(name, "no control characters")),
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
    cursor.map_or(Ok(Uuid::max()), |text| read(text).ok_or_else(bad_cursor))
}

fn bad_cursor() -> Problem {
    bad_query("cursor", "the next_cursor of a page")
}

/// Where the page before ended, in a list of days.
pub(crate) fn after_day(cursor: Option<String>) -> Result<Option<NaiveDate>, Problem> {
    cursor.map(|text| day(&text).ok_or_else(bad_cursor)).transpose()
}

/// Where the page before ended: a number, which callers take as it is.
pub(crate) fn after(cursor: Option<String>) -> Result<i64, Problem> {
    let read = |text: String| text.parse::<i64>().ok().filter(|at| *at >= 0);
    cursor.map_or(Ok(0), |text| read(text).ok_or_else(bad_cursor))
}

/// Reads an instant (RFC 3339) of the query.
pub(crate) fn instant(text: Option<String>, default: DateTime<Utc>, name: &str) -> Result<DateTime<Utc>, Problem> {
    let read = |text: String| DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc());
    let stored = |at: &DateTime<Utc>| is_storable(at.date_naive());
    let expected = "an instant as in 2026-11-01T00:00:00Z, of the years 1 to 9999";
    text.map_or(Ok(default), |text| read(text).filter(stored).ok_or_else(|| bad_query(name, expected)))
}

/// Where the query's `from` begins: an instant (RFC 3339), or the midnight of a day.
pub(crate) fn from_instant(text: Option<String>, zone: &impl TimeZone) -> Result<DateTime<Utc>, Problem> {
    limit_of_time(text, "from", |day| day_begins(day, zone)).map(|from| from.unwrap_or(DateTime::UNIX_EPOCH))
}

/// Where the query's `to` ends, which is not included: an instant, or the end of a day. So the day is included.
pub(crate) fn to_instant(text: Option<String>, zone: &impl TimeZone) -> Result<DateTime<Utc>, Problem> {
    let ends =
        |day: NaiveDate| day.succ_opt().filter(|next| is_storable(*next)).and_then(|next| day_begins(next, zone));
    limit_of_time(text, "to", |day| ends(day).or_else(|| Some(end_of_time()))).map(|to| to.unwrap_or_else(end_of_time))
}

fn limit_of_time(
    text: Option<String>,
    name: &str,
    of_day: impl Fn(NaiveDate) -> Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let read = |text: &str| match day(text) {
        Some(day) => of_day(day),
        None => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
    };
    let stored = |at: &DateTime<Utc>| is_storable(at.date_naive());
    let expected = "a day as in 2026-11-01, or an instant as in 2026-11-01T00:00:00Z, of the years 1 to 9999";
    text.map(|text| read(&text).filter(stored).ok_or_else(|| bad_query(name, expected))).transpose()
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
