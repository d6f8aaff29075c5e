//! The REST endpoints of webhooks.

mod described;
mod wire;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::TimeDelta;
use utoipa::OpenApi;

pub(crate) use self::described::webhooks;
use self::wire::{
    DeliveriesQuery, DeliveryView, EndpointBody, EndpointChangeBody, EndpointView, ReplayBody, ReplayView,
    RotationBody, SecretView, delivery_number, description, event_types, state, url,
};
use super::{
    message::MessageBody,
    problems, scopes,
    service::{EndpointAsker, WebhookError, Webhooks, WithSecret},
};
use crate::{
    http::{
        Code, Http, Problem,
        paging::{List, after, no_query, page, query, size},
        routing::{path_id, read, resource},
    },
    identity::{Caller, Principal, Scope, problems::INSUFFICIENT_SCOPE},
    kernel::Chain,
};

/// The operations of webhooks.
#[derive(OpenApi)]
#[openapi(
    paths(list, create, get, change, delete, test, rotate_secret, deliveries, redeliver, replay),
    components(schemas(MessageBody)),
    tags((name = "webhooks", description = "Events, sent to whoever wants to know"))
)]
pub(crate) struct WebhooksApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/webhook-endpoints", "GET, HEAD, POST", [read().to(list), web::post().to(create)]))
        .service(resource(
            "/v1/webhook-endpoints/{id}",
            "GET, HEAD, PATCH, DELETE",
            [read().to(get), web::patch().to(change), web::delete().to(delete)],
        ))
        .service(resource("/v1/webhook-endpoints/{id}/test", "POST", [web::post().to(test)]))
        .service(resource("/v1/webhook-endpoints/{id}/rotate-secret", "POST", [web::post().to(rotate_secret)]))
        .service(resource("/v1/webhook-endpoints/{id}/deliveries", "GET, HEAD", [read().to(deliveries)]))
        .service(resource(
            "/v1/webhook-endpoints/{id}/deliveries/{delivery}/redeliver",
            "POST",
            [web::post().to(redeliver)],
        ))
        .service(resource("/v1/webhook-endpoints/{id}/replay", "POST", [web::post().to(replay)]));
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound => Self::new(Code::NOT_FOUND),
            WebhookError::Taken(_) => {
                Self::new(problems::WEBHOOK_ENDPOINT_CONFLICT).field("/url", "taken", error.to_string())
            }
            WebhookError::TooMany => Self::new(problems::WEBHOOK_ENDPOINT_CONFLICT).detail(error.to_string()),
            WebhookError::Disabled => Self::new(Code::INVALID_STATE).detail(error.to_string()),
            WebhookError::Scope(scope) => Self::new(INSUFFICIENT_SCOPE)
                .challenge(format!("Bearer realm=\"noshi\", error=\"insufficient_scope\", scope=\"{scope}\""))
                .detail(error.to_string()),
            WebhookError::NotSetUp => {
                Self::new(problems::WEBHOOKS_NOT_SET_UP).detail("an operator must list a key in sealing.keys")
            }
            WebhookError::Sealing(error) => {
                tracing::error!(error = %Chain(&error), "the secret of an endpoint was not made");
                Self::new(Code::INTERNAL)
            }
            WebhookError::Store(error) => error.into(),
        }
    }
}

/// Who calls, in whose name the audit is written, and what the key may see.
async fn asker(http: &Http, request: &HttpRequest, scope: Scope) -> Result<(Caller, EndpointAsker), Problem> {
    let principal = Principal::of(http, request, scope).await?;
    let actor = principal.actor(request);
    Ok((principal.caller(), EndpointAsker { actor, scopes: principal.scopes }))
}

/// Make an endpoint
///
/// It hears of what happens from now on. The key needs the scopes that reading these events takes: `rewards:read` for those of rewards,
/// `ledger:read` for all others. The secret is shown this once.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints",
    operation_id = "create_webhook_endpoint",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    request_body = EndpointBody,
    responses((status = 201, description = "Made, with its secret", body = SecretView, headers(("Location" = String, description = "The endpoint")))),
    extensions(("x-problems" = json!(["webhook-endpoint-conflict", "webhooks-not-set-up", "audit-unavailable"])))
)]
async fn create(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (caller, by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    let body: EndpointBody = http.body(&request, payload).await?;
    let url = url(&body.url, webhooks.reachable)?;
    let (description, types) = (description(body.description)?, event_types(&body.event_types.unwrap_or_default())?);
    let service = webhooks.get_ref().clone();
    let WithSecret { endpoint, secret } =
        http.run(async move { service.create(&caller, by, url, description, types).await }).await?;
    let location = format!("/v1/webhook-endpoints/{}", endpoint.id);
    let mut answer = HttpResponse::Created();
    Ok(answer.insert_header((header::LOCATION, location)).json(SecretView::new(endpoint, &secret)))
}

/// List endpoints
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints",
    operation_id = "list_webhook_endpoints",
    tag = "webhooks",
    security(("api_key" = ["webhooks:read"])),
    responses((status = 200, description = "Those that the key may see", body = List<EndpointView>)),
    extensions(("x-problems" = json!([])))
)]
async fn list(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_READ).await?;
    no_query(&request)?;
    let service = webhooks.get_ref().clone();
    let all = http.run(async move { service.list(&caller).await }).await?;
    let data = all.into_iter().map(EndpointView::from).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor: None }))
}

/// Read an endpoint
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "get_webhook_endpoint",
    tag = "webhooks",
    security(("api_key" = ["webhooks:read"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    responses((status = 200, description = "The endpoint", body = EndpointView)),
    extensions(("x-problems" = json!([])))
)]
async fn get(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_READ).await?;
    no_query(&request)?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let found = http.run(async move { service.find(&caller, id).await }).await?;
    Ok(HttpResponse::Ok().json(EndpointView::from(found)))
}

/// Change an endpoint
///
/// What is left out stays as it is.
#[utoipa::path(
    patch,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "change_webhook_endpoint",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    request_body = EndpointChangeBody,
    responses((status = 200, description = "The endpoint as it is now", body = EndpointView)),
    extensions(("x-problems" = json!(["webhook-endpoint-conflict", "audit-unavailable"])))
)]
async fn change(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (caller, by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let body: EndpointChangeBody = http.body(&request, payload).await?;
    let change = body.into_change(service.reachable)?;
    let changed = http.run(async move { service.change(&caller, by, id, change).await }).await?;
    Ok(HttpResponse::Ok().json(EndpointView::from(changed)))
}

/// Delete an endpoint
///
/// What waits for it is not sent.
#[utoipa::path(
    delete,
    path = "/v1/webhook-endpoints/{id}",
    operation_id = "delete_webhook_endpoint",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    responses((status = 204, description = "Deleted")),
    extensions(("x-problems" = json!(["audit-unavailable"])))
)]
async fn delete(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (caller, by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    no_query(&request)?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    http.run(async move { service.delete(&caller, by.actor, id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Send a test to an endpoint
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}/test",
    operation_id = "test_webhook_endpoint",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    responses((status = 202, description = "A message of the type `webhook_endpoint.test` is on its way", body = DeliveryView)),
    extensions(("x-problems" = json!(["invalid-state"])))
)]
async fn test(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    no_query(&request)?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let made = http.run(async move { service.test(&caller, id).await }).await?;
    Ok(HttpResponse::Accepted().json(DeliveryView::from(made)))
}

/// Give an endpoint another secret
///
/// It is shown this once. The old one signs as well for a while, so that a receiver can change over in its own time.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}/rotate-secret",
    operation_id = "rotate_webhook_secret",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    request_body = RotationBody,
    responses((status = 200, description = "The endpoint with its new secret", body = SecretView)),
    extensions(("x-problems" = json!(["webhooks-not-set-up", "audit-unavailable"])))
)]
async fn rotate_secret(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (caller, by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let body: RotationBody = http.body(&request, payload).await?;
    let overlap = TimeDelta::hours(i64::from(body.hours()?));
    let WithSecret { endpoint, secret } =
        http.run(async move { service.rotate(&caller, by, id, overlap).await }).await?;
    Ok(HttpResponse::Ok().json(SecretView::new(endpoint, &secret)))
}

/// List what was sent to an endpoint
///
/// Newest first. Deliveries are kept for 30 days since the event was to be sent last.
#[utoipa::path(
    get,
    path = "/v1/webhook-endpoints/{id}/deliveries",
    operation_id = "list_webhook_deliveries",
    tag = "webhooks",
    security(("api_key" = ["webhooks:read"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a"), DeliveriesQuery),
    responses((status = 200, description = "A page", body = List<DeliveryView>)),
    extensions(("x-problems" = json!([])))
)]
async fn deliveries(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_READ).await?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let asked: DeliveriesQuery = query(&request)?;
    let (limit, state) = (size(asked.limit)?, state(asked.state)?);
    let before = match after(asked.cursor)? {
        0 => i64::MAX,
        before => before,
    };
    let found = http.run(async move { service.deliveries(&caller, id, state, before, limit).await }).await?;
    let last = found.last().map(|delivery| delivery.id.to_string());
    Ok(page(&request, found.into_iter().map(DeliveryView::from).collect(), limit, last))
}

/// Send a delivery again
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}/deliveries/{delivery}/redeliver",
    operation_id = "redeliver_webhook",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a"), ("delivery" = String, Path, description = "The delivery's id", example = "whd_4711")),
    responses((status = 202, description = "It is on its way again, with all its attempts", body = DeliveryView)),
    extensions(("x-problems" = json!([])))
)]
async fn redeliver(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    ids: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    no_query(&request)?;
    let (service, id, delivery) = (webhooks.get_ref().clone(), path_id(&ids.0)?, delivery_number(&ids.1)?);
    let again = http.run(async move { service.redeliver(&caller, id, delivery).await }).await?;
    Ok(HttpResponse::Accepted().json(DeliveryView::from(again)))
}

/// Send all events since an instant again
///
/// In their order, under the ids that they had. At most 10,000 for each request: go on with `next_cursor`.
#[utoipa::path(
    post,
    path = "/v1/webhook-endpoints/{id}/replay",
    operation_id = "replay_webhooks",
    tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id", example = "whe_0190000000007000800000000000002a")),
    request_body = ReplayBody,
    responses((status = 202, description = "So many are on their way again", body = ReplayView)),
    extensions(("x-problems" = json!([])))
)]
async fn replay(
    http: web::Data<Http>,
    webhooks: web::Data<Webhooks>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (caller, _by) = asker(&http, &request, scopes::WEBHOOKS_WRITE).await?;
    let (service, id) = (webhooks.get_ref().clone(), path_id(&id)?);
    let body: ReplayBody = http.body(&request, payload).await?;
    let (from, behind) = body.read(service.kept_since())?;
    let replayed = http.run(async move { service.replay(&caller, id, from, behind).await }).await?;
    Ok(HttpResponse::Accepted().json(ReplayView::from(replayed)))
}
