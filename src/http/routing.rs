//! Resources that answer every method: the ones they know, and 405 with `Allow` for the rest.

use std::str::FromStr;

use actix_web::{HttpResponse, Resource, Route, guard, web};

use super::{Code, Problem};
use crate::kernel::ids::MalformedId;

/// A resource with its routes; any other method, TRACE included, is refused with the list of those allowed.
pub(crate) fn resource(path: &str, allow: &'static str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let refuse =
        move || async move { Err::<HttpResponse, Problem>(Problem::new(Code::METHOD_NOT_ALLOWED).allow(allow)) };
    // Many clients write a slash behind a path, and mean the same.
    let slashed = format!("{path}/");
    let patterns = if path.starts_with("/v1/") { vec![path, slashed.as_str()] } else { vec![path] };
    routes.into_iter().fold(web::resource(patterns), Resource::route).default_service(web::to(refuse))
}

/// A route that reads: GET, and HEAD, to which the server answers the same without the body (RFC 9110, 9.3.2).
pub(crate) fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Answers a path that is no resource.
///
/// # Errors
/// Always `not-found`.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::NOT_FOUND))
}

/// The id that a path names. What is none is answered like what is not there, and says in which form an id is.
///
/// # Errors
/// `not-found`, with the form.
pub(crate) fn path_id<I: FromStr<Err = MalformedId>>(text: &str) -> Result<I, Problem> {
    text.parse().map_err(|malformed: MalformedId| nothing_of(format!("no id: {malformed}")))
}

/// `not-found`, and why nothing can be here.
#[must_use]
pub(crate) fn nothing_of(why: impl Into<String>) -> Problem {
    Problem::new(Code::NOT_FOUND).detail(why)
}

/// `not-found` of an account.
#[must_use]
pub(crate) fn no_account() -> Problem {
    nothing_of("there is no account of that id")
}
