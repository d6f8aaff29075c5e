//! Resources that answer every method: the ones they know, and 405 with `Allow` for the rest.

use actix_web::{HttpResponse, Resource, Route, web};

use super::{Code, Problem};

/// A resource with its routes; any other method, TRACE included, is refused with the list of those allowed.
pub(crate) fn resource(path: &str, allow: &'static str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let refuse =
        move || async move { Err::<HttpResponse, Problem>(Problem::new(Code::METHOD_NOT_ALLOWED).allow(allow)) };
    routes.into_iter().fold(web::resource(path), Resource::route).default_service(web::to(refuse))
}

/// Answers a path that is no resource.
///
/// # Errors
/// Always `not-found`.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::NOT_FOUND))
}
