//! Room is asked for before anything is looked up. Where too much is to be done already, a request is refused here: no database is
//! asked, no key is compared, no handler runs, and the log has one line a minute of those of each key and network. What a refusal
//! costs is taken from those who are served.
//!
//! A caller keeps the connection, because a new one costs both sides more than the request. So the request's body is taken off it; the
//! framework closes behind an answer whose request has not come to its end.

use std::time::{Duration, Instant};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, HeaderMap},
    middleware::Next,
    web,
};
use futures_util::StreamExt;
use uuid::Uuid;

use super::{
    Code, Http, Problem,
    body::BODY_BYTES_MAX,
    connection::Connection,
    metrics::REFUSED,
    observe::{finish_head, known_method, request_id},
    stranger_lines::{RefusedFor, Stranger},
};
use crate::{kernel::ApiKeyId, lifecycle::workplaces::PlaceHolder};

/// `Bearer nsk_` and the id of a key. The secret follows.
const SCHEME_BYTES: usize = 11;
const CLAIM_BYTES: usize = SCHEME_BYTES + 32;
/// Where a balancer asks whether the process lives.
pub(crate) const HEALTH: &str = "/healthz";
/// How long a refusal waits for the end of its request. Most bodies are there with their heads.
const BODY_MAX: Duration = Duration::from_millis(10);

/// The middleware.
///
/// # Errors
/// What another middleware refuses.
pub(crate) async fn let_in(
    http: web::Data<Http>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // A balancer asks whether the process lives, and nothing is done for it. A busy replica is no dead one.
    if request.path() == HEALTH {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let (shown, now) = (Connection::of(request.request()).key(), http.ambient.monotonic());
    // A proxy may send requests of several keys by one connection.
    let key = shown.filter(|key| claims(request.headers(), *key));
    let who = key.map_or_else(|| claimed(request.headers()), PlaceHolder::Key);
    match http.workplaces.take(who, now) {
        Some(place) => Ok(place.hold(next.call(request)).await?.map_into_boxed_body()),
        None => {
            if shown.is_some() {
                // Of one that does not end the connection does, behind the answer.
                drop(tokio::time::timeout(BODY_MAX, take_off(request.take_payload())).await);
            }
            Ok(refuse(&http, request, key, now))
        }
    }
}

/// Whether a request names this key.
fn claims(headers: &HeaderMap, key: ApiKeyId) -> bool {
    let named = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().get(SCHEME_BYTES..CLAIM_BYTES));
    let id = key.to_string();
    named.is_some() && named == id.strip_prefix("key_").map(str::as_bytes)
}

/// Whoever has shown no key yet is told apart by the id of the one that they claim, not by its secret: others who come by new connections
/// are not held up by a batch.
fn claimed(headers: &HeaderMap) -> PlaceHolder {
    let id = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().get(SCHEME_BYTES..CLAIM_BYTES));
    PlaceHolder::Stranger(id.and_then(|id| Uuid::try_parse_ascii(id).ok()).map(ApiKeyId::new))
}

fn refuse(http: &Http, request: ServiceRequest, key: Option<ApiKeyId>, arrived: Instant) -> ServiceResponse<BoxBody> {
    let problem = Problem::new(Code::OVERLOADED);
    let (id, status) = (request_id(http, &request), problem.code().status());
    let method = known_method(request.method().as_str());
    let peer = request.peer_addr().map(|peer| peer.ip());
    let mut answer = request.into_response(problem.respond(&id));
    let took = arrived.elapsed();
    // One after the other: no randomness spreads them better.
    finish_head(http, &mut answer, &id, || http.metrics.refusal(method, took));
    if let Some(left_out) = http.stranger_lines.is_due(RefusedFor::Status(status), Stranger { key, peer }, arrived) {
        tracing::info!(
            api_key.id = key.map(tracing::field::display), network.peer.address = peer.map(tracing::field::display), http.request.id = id,
            http.request.method = method, http.route = REFUSED, http.response.status_code = status, duration_ms = %took.as_millis(),
            requests.left_out = left_out, "request"
        );
    }
    answer
}

/// Reads a short body to its end, and keeps nothing of it.
async fn take_off(mut payload: Payload) {
    let mut read = 0_usize;
    while let Some(Ok(chunk)) = payload.next().await {
        read = read.saturating_add(chunk.len());
        if read > BODY_BYTES_MAX {
            return;
        }
    }
}
