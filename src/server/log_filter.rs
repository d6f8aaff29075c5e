//! The log filter on the admin port: `GET` shows it, `PUT` replaces it until the process ends, `DELETE` restores the one of
//! the settings. The admin port knows no keys, so a change is logged with the address that it came from.

use std::net::SocketAddr;

use actix_web::{HttpRequest, HttpResponse, web};

use super::AppState;
use crate::{
    http::{
        Code, Problem,
        routing::{read, resource},
    },
    telemetry::filter::FilterError,
};

/// Adds the route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let methods = [read().to(show), web::put().to(put), web::delete().to(reset)];
    config.service(resource("/log-filter", "GET, HEAD, PUT, DELETE", methods));
}

async fn show(state: web::Data<AppState>) -> HttpResponse {
    in_force(&state)
}

async fn put(state: web::Data<AppState>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    let wanted = state.http.line(&request, payload).await?;
    change(&state, &request, &wanted, |state| state.log.set(&wanted))
}

async fn reset(state: web::Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    change(&state, &request, state.log.of_settings(), |state| state.log.reset())
}

/// Logs before and after the change, because one of the two filters may silence everything.
fn change(
    state: &AppState,
    request: &HttpRequest,
    wanted: &str,
    change: impl FnOnce(&AppState) -> Result<String, FilterError>,
) -> Result<HttpResponse, Problem> {
    // By IPv4 a socket of both protocols sees ::ffff:10.0.0.1.
    let canonical = |peer: SocketAddr| SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let peer = request.peer_addr().map(|peer| canonical(peer).to_string()).unwrap_or_default();
    let before = state.log.in_force();
    // The new filter is not logged before it was checked: it is the operator's text.
    tracing::warn!(client.address = peer, log.filter = before, "the log's filter is to be changed");
    change(state).map_err(|error| Problem::new(Code::INVALID_REQUEST).detail(error.to_string()))?;
    tracing::warn!(
        client.address = peer,
        log.filter = wanted,
        log.filter_before = before,
        "the log's filter was changed"
    );
    Ok(in_force(state))
}

fn in_force(state: &AppState) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(format!("{}\n", state.log.in_force()))
}
