//! Lists that are longer than a page.

use std::str::FromStr;

use actix_web::HttpRequest;

use crate::http::{Code, Problem};

/// Rows of a list on a page.
pub(super) const ROWS: usize = 50;
/// So many are read: one more than is shown says that there is another page.
pub(super) const ROWS_READ: i64 = 51;
/// Rows of a page that is about one thing: items of a campaign, findings of a reconciliation.
pub(super) const PARTS: usize = 200;
/// So many are read.
pub(super) const PARTS_READ: i64 = 201;

/// The row behind which the page begins, as its address has it; `first` where the address names none.
///
/// # Errors
/// `not-found` for one that cannot be.
pub(super) fn behind<T: FromStr>(request: &HttpRequest, first: T) -> Result<T, Problem> {
    let named = form_urlencoded::parse(request.query_string().as_bytes()).find(|(name, _value)| name == "behind");
    named.map_or(Ok(first), |(_name, value)| value.parse().map_err(|_malformed| Problem::new(Code::NOT_FOUND)))
}

/// Leaves as many rows as a page shows. The address of the next page, where there were more.
pub(super) fn cut<T>(rows: &mut Vec<T>, shown: usize, path: &str, name: impl FnOnce(&T) -> String) -> Option<String> {
    if rows.len() <= shown {
        return None;
    }
    rows.truncate(shown);
    rows.last().map(|last| format!("{path}?behind={}", name(last)))
}
