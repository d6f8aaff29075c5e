//! Resources that answer every method: the ones they know, and 405 with `Allow` for the rest.

use actix_web::{HttpResponse, Resource, Route, guard, web};

use super::{Code, Problem};

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
