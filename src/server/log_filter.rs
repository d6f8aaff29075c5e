//! The log filter on the admin port: `GET` shows it, `PUT` replaces it for a quarter of an hour, `DELETE` restores the one of
//! the settings. A change needs the admin token, and is logged with the address that it came from.

use std::net::SocketAddr;

use actix_web::{HttpRequest, HttpResponse, web};

use super::AppState;
use crate::{
    audit::FilterChange,
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
    check_token(&state, &request)?;
    let wanted = state.http.line(&request, payload).await?;
    let now = state.http.ambient.now();
    change(&state, &request, &wanted, |state| state.log.set(&wanted, now)).await
}

async fn reset(state: web::Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    check_token(&state, &request)?;
    change(&state, &request, state.log.of_settings(), |state| state.log.reset()).await
}

fn check_token(state: &AppState, request: &HttpRequest) -> Result<(), Problem> {
    let checked = state.admin_token.check(request);
    if checked.is_err() {
        tracing::warn!(
            client.address = peer(request),
            "a change of the log's filter without the admin token was refused"
        );
    }
    checked
}

/// Where a request came from. By IPv4 a socket of both protocols sees ::ffff:10.0.0.1.
fn peer(request: &HttpRequest) -> String {
    let canonical = |peer: SocketAddr| SocketAddr::new(peer.ip().to_canonical(), peer.port());
    request.peer_addr().map(|peer| canonical(peer).to_string()).unwrap_or_default()
}

/// Logs before and after the change, because one of the two filters may silence everything.
async fn change(
    state: &AppState,
    request: &HttpRequest,
    wanted: &str,
    change: impl FnOnce(&AppState) -> Result<String, FilterError>,
) -> Result<HttpResponse, Problem> {
    let peer = peer(request);
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
    record(state, request, FilterChange { filter: wanted.to_owned(), before }).await;
    Ok(in_force(state))
}

/// The filter is in force already: what the database does not take is reported in the log.
async fn record(state: &AppState, request: &HttpRequest, filter: FilterChange) {
    let (audit, address) = (state.audit.clone(), request.peer_addr().map(|peer| peer.ip()));
    let recorded = state.http.tasks.run(async move { audit.filter_changed(address, filter).await }).await;
    if !matches!(recorded, Ok(Ok(()))) {
        tracing::error!("the change of the log's filter is not recorded in the audit");
    }
}

fn in_force(state: &AppState) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(format!("{}\n", state.log.in_force()))
}
