//! What Amazon posts. It has no key of ours: who it is, its signature shows.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use utoipa::OpenApi;

use crate::{
    http::{
        Code, Http, Problem,
        paging::no_query,
        routing::{nothing_of, resource},
        stranger_lines::{LineOf, RefusedFor, Stranger},
    },
    pay::{Payments, notices::NotTaken, problems},
    provider::sns::MESSAGE_BYTES_MAX,
    store::StoreError,
};

/// The one operation of Amazon's.
#[derive(OpenApi)]
#[openapi(paths(notification))]
pub(crate) struct NoticesApi;

/// Adds the route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/pay/notifications/{account}", "POST", [web::post().to(notification)]));
}

/// Take a notification of Amazon Pay
///
/// For Amazon alone: a message of Amazon SNS, whose signature stands for a key. It wakes the payment that it names, whose state is then read at
/// Amazon. Answered with 404 unless the settings name the account's topic.
#[utoipa::path(
    post,
    path = "/v1/pay/notifications/{account}",
    operation_id = "take_notification",
    tag = "pay",
    security(()),
    params(("account" = String, Path, description = "The account's name in the settings", example = "shop")),
    request_body(content = String, content_type = "text/plain", description = "A message of Amazon SNS: JSON"),
    responses((status = 200, description = "Taken, now or before", body = String, content_type = "text/plain")),
    extensions(("x-problems" = json!(["notification-refused"])))
)]
async fn notification(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    payload: web::Payload,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    no_query(&request)?;
    let (notices, account) = (payments.notices(), account.into_inner());
    if !notices.are_taken(&account) {
        return Err(nothing_of("no notifications are taken for an account of that name"));
    }
    let (_type, body) = http.bytes(&request, payload, &["text/plain", "application/json"], MESSAGE_BYTES_MAX).await?;
    let taken = http.run(async move { Ok::<_, Problem>(notices.take(&account, &body).await) }).await?;
    taken.map(|_fate| HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")).map_err(|why| {
        note(&http, &request, &why);
        Problem::from(why)
    })
}

/// Logs why one was refused, once a minute of each reason and network: anybody may post here.
fn note(http: &Http, request: &HttpRequest, why: &NotTaken) {
    let (NotTaken::Malformed(reason) | NotTaken::Refused(reason) | NotTaken::Unreachable(reason)) = why else { return };
    let peer = request.peer_addr().map(|peer| peer.ip());
    let who = Stranger { key: None, peer };
    let line = match http.stranger_lines.is_due(RefusedFor::Key(reason), who, http.ambient.monotonic()) {
        None => LineOf::LeftOut,
        Some(left_out) => {
            tracing::warn!(
                notification.refused = reason,
                network.peer.address = peer.map(tracing::field::display),
                notification.left_out = left_out,
                "a notification was not taken; others like it in this minute are only counted"
            );
            LineOf::Written
        }
    };
    request.extensions_mut().insert(line);
}

impl From<NotTaken> for Problem {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::NoGate => Self::new(Code::NOT_FOUND),
            NotTaken::Malformed(what) => {
                Self::new(Code::INVALID_REQUEST).detail(format!("it is no notification of Amazon Pay: {what}"))
            }
            NotTaken::Refused(what) => Self::new(problems::NOTIFICATION_REFUSED).detail(what),
            NotTaken::Unreachable(what) => {
                Self::new(Code::DEPENDENCY_UNAVAILABLE).detail(format!("the certificate cannot be had now: {what}"))
            }
            // Amazon never sends again what is answered 4xx.
            NotTaken::Store(error) if matches!(error.of_each(), StoreError::Busy) => {
                Self::new(Code::DEPENDENCY_UNAVAILABLE).detail("the database has too much to do")
            }
            NotTaken::Store(error) => Self::from(error),
        }
    }
}
