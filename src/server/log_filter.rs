//! The log's filter, on the admin port: `GET` shows it, `PUT` replaces it until the process ends, `DELETE` goes back to that
//! of the settings. A change is logged with the address that it came from: this port knows no keys.

use actix_web::{HttpRequest, HttpResponse, web};

use super::Served;
use crate::{
    http::{Code, Problem, routing::resource},
    telemetry::filter::FilterError,
};

/// Adds the route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let methods = [web::get().to(show), web::put().to(put), web::delete().to(reset)];
    config.service(resource("/log-filter", "GET, PUT, DELETE", methods));
}

async fn show(served: web::Data<Served>) -> HttpResponse {
    in_force(&served)
}

async fn put(served: web::Data<Served>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let wanted = served.http.line(&request, payload).await?;
    change(&served, &request, &wanted, |served| served.log.set(&wanted))
}

async fn reset(served: web::Data<Served>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    change(&served, &request, served.log.of_settings(), |served| served.log.reset())
}

/// Told before and after, for the filter that holds may be silence.
fn change(
    served: &Served,
    request: &HttpRequest,
    wanted: &str,
    change: impl FnOnce(&Served) -> Result<String, FilterError>,
) -> Result<HttpResponse, Problem> {
    let peer = request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    let before = served.log.in_force();
    // Not the wish: nobody has looked at it yet.
    tracing::warn!(client.address = peer, log.filter = before, "the log's filter is to be changed");
    change(served).map_err(|error| Problem::new(Code::INVALID_REQUEST).detail(error.to_string()))?;
    tracing::warn!(
        client.address = peer,
        log.filter = wanted,
        log.filter_before = before,
        "the log's filter was changed"
    );
    Ok(in_force(served))
}

fn in_force(served: &Served) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(format!("{}\n", served.log.in_force()))
}
