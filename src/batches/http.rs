//! The REST endpoints of batches.

mod wire;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use utoipa::OpenApi;

use self::wire::{BatchBody, BatchItemView, BatchItemsQuery, BatchUpload, BatchView, BatchesQuery};
use super::{
    problems,
    service::{BatchAsker, BatchError, BatchWish, Batches, ItemFault},
};
use crate::{
    http::{
        Code, Http, Problem, accept, headers,
        paging::{List, after, before, cursor, no_query, page, query, size, text},
        routing::{path_id, read, resource},
    },
    identity::Principal,
    incentives::scopes::{REWARDS_READ, REWARDS_WRITE},
};

/// Bytes of the largest batch.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// One item a line.
const NDJSON: &str = "application/x-ndjson";
/// More than a batch has.
const ALL_ITEMS: i64 = 1001;

/// The operations of batches.
#[derive(OpenApi)]
#[openapi(
    paths(create, list, get, items, pause, resume, cancel),
    tags((name = "batches", description = "Many rewards, bought one after the other"))
)]
pub(crate) struct BatchesApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/batches", "GET, HEAD, POST", [read().to(list), web::post().to(create)]))
        .service(resource("/v1/batches/{id}", "GET, HEAD", [read().to(get)]))
        .service(resource("/v1/batches/{id}/items", "GET, HEAD", [read().to(items)]))
        .service(resource("/v1/batches/{id}/pause", "POST", [web::post().to(pause)]))
        .service(resource("/v1/batches/{id}/resume", "POST", [web::post().to(resume)]))
        .service(resource("/v1/batches/{id}/cancel", "POST", [web::post().to(cancel)]));
}

impl From<ItemFault> for Problem {
    fn from(fault: ItemFault) -> Self {
        match fault {
            ItemFault::Refused(error) => error.into(),
            ItemFault::OtherAccount => Self::new(Code::INVALID_REQUEST).field(
                "/value/currency_code",
                "conflict",
                "all items of a batch are paid by one account",
            ),
        }
    }
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::NotFound => Self::new(Code::NOT_FOUND),
            BatchError::Mismatch => Self::new(Code::IDEMPOTENCY_MISMATCH).detail("the key named another batch"),
            BatchError::TooMany => Self::new(problems::TOO_MANY_BATCHES).detail(error.to_string()),
            BatchError::InvalidState(_) => Self::new(Code::INVALID_STATE).detail(error.to_string()),
            BatchError::Items(faults) => {
                wire::faulty(faults.into_iter().map(|(at, fault)| (at, Self::from(fault))).collect())
            }
            BatchError::Refused(error) => error.into(),
            BatchError::Store(error) => error.into(),
        }
    }
}

/// Send a batch
///
/// Up to 1,000 items in 1 MiB, as JSON or as NDJSON: one item a line, and what all have in common in the query. All of them are checked, and all or
/// none are taken. They are bought one after the other, in the slots that single requests leave. No answer has a code: reveal it by the reward.
#[utoipa::path(
    post,
    path = "/v1/batches",
    operation_id = "create_batch",
    tag = "batches",
    security(("api_key" = ["rewards:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same batch is the same batch", example = "campaign-1", min_length = 1, max_length = 255)),
    request_body(content((BatchBody = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 202, description = "Taken", body = BatchView, headers(("Location" = String, description = "The batch"))), (status = 200, description = "The key was used before for the same", body = BatchView, headers(("Location" = String, description = "The batch"), ("Idempotent-Replayed" = bool, description = "`true`")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "idempotency-mismatch", "program-forbidden", "too-many-batches"])))
)]
async fn create(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, REWARDS_WRITE).await?;
    let place = batches.upload_place(principal.client);
    let _place = place.ok_or_else(|| Problem::new(Code::QUOTA_EXCEEDED).detail("other batches are being read"))?;
    let (sent, bytes) = http.bytes(&request, payload, &["application/json", NDJSON], BATCH_BYTES_MAX).await?;
    let upload =
        if sent == NDJSON { BatchUpload::of_lines(&request, &bytes)? } else { BatchUpload::of_json(&request, &bytes)? };
    drop(bytes);
    let new = upload.into_batch(headers::idempotency_key(&request)?, &principal)?;
    let service = batches.get_ref().clone();
    let (taken, replayed) =
        http.run(async move { service.take(&principal.caller(), principal.key, new).await }).await?;
    let mut answer = if replayed { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    answer.insert_header((header::LOCATION, format!("/v1/batches/{}", taken.batch.id)));
    Ok(answer.json(BatchView::from(taken)))
}

/// List batches
///
/// Newest first, without their counts.
#[utoipa::path(
    get,
    path = "/v1/batches",
    operation_id = "list_batches",
    tag = "batches",
    security(("api_key" = ["rewards:read"])),
    params(BatchesQuery),
    responses((status = 200, description = "A page", body = List<BatchView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!([])))
)]
async fn list(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, REWARDS_READ).await?;
    let asked: BatchesQuery = query(&request)?;
    let (limit, before, name) = (size(asked.limit)?, before(asked.cursor)?, text(asked.name, "name")?);
    let service = batches.get_ref().clone();
    let found = http.run(async move { service.list(&principal.caller(), name, before, limit).await }).await?;
    let last = found.last().map(|batch| cursor(batch.id.uuid()));
    Ok(page(&request, found.into_iter().map(BatchView::from).collect(), limit, last))
}

/// Read a batch
///
/// With how many of its items came to what.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}",
    operation_id = "get_batch",
    tag = "batches",
    security(("api_key" = ["rewards:read"])),
    params(("id" = String, Path, description = "The batch's id", example = "bat_01990000000070008000000000000000")),
    responses((status = 200, description = "The batch", body = BatchView)),
    extensions(("x-problems" = json!([])))
)]
async fn get(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, REWARDS_READ).await?;
    no_query(&request)?;
    let (service, id) = (batches.get_ref().clone(), path_id(&id)?);
    let found = http.run(async move { service.find(&principal.caller(), id).await }).await?;
    Ok(HttpResponse::Ok().json(BatchView::from(found)))
}

/// List the items of a batch
///
/// In their order, without codes. `Accept: application/x-ndjson` gets all of them, one a line. They are kept for 90 days after the end.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}/items",
    operation_id = "list_batch_items",
    tag = "batches",
    security(("api_key" = ["rewards:read"])),
    params(("id" = String, Path, description = "The batch's id", example = "bat_01990000000070008000000000000000"), BatchItemsQuery),
    responses((status = 200, description = "A page, or all as NDJSON", content((List<BatchItemView> = "application/json"), (String = "application/x-ndjson")))),
    extensions(("x-problems" = json!([])))
)]
async fn items(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, REWARDS_READ).await?;
    let asked: BatchItemsQuery = query(&request)?;
    let limit = size(asked.limit)?;
    let behind = asked.cursor.map_or(Ok(-1), |text| after(Some(text)))?;
    let lines = accept::preferred(&request, &["application/json", NDJSON]) == Some(NDJSON);
    let (service, id) = (batches.get_ref().clone(), path_id(&id)?);
    let most = if lines { ALL_ITEMS } else { limit };
    let found = http.run(async move { service.items(&principal.caller(), id, behind, most).await }).await?;
    let last = found.last().map(|(item, _outcome)| item.position.to_string());
    let views = found.into_iter().map(BatchItemView::from);
    if lines {
        let mut text = Vec::new();
        for view in views {
            serde_json::to_writer(&mut text, &view).map_err(|_error| Problem::new(Code::INTERNAL))?;
            text.push(b'\n');
        }
        return Ok(HttpResponse::Ok().content_type(NDJSON).body(text));
    }
    Ok(page(&request, views.collect(), limit, last))
}

impl BatchAsker {
    pub(crate) fn new(principal: &Principal, request: &HttpRequest) -> Self {
        Self { caller: principal.caller(), key: principal.key, actor: principal.actor(request) }
    }
}

async fn changed(
    http: &Http,
    batches: &Batches,
    request: &HttpRequest,
    id: &str,
    wish: BatchWish,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(http, request, REWARDS_WRITE).await?;
    no_query(request)?;
    let (service, id, by) = (batches.clone(), path_id(id)?, BatchAsker::new(&principal, request));
    let changed = http.run(async move { service.change(by, id, wish).await }).await?;
    Ok(HttpResponse::Ok().json(BatchView::from(changed)))
}

/// Pause a batch
///
/// No more of it is begun. What was handed over goes on.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}/pause",
    operation_id = "pause_batch",
    tag = "batches",
    security(("api_key" = ["rewards:write"])),
    params(("id" = String, Path, description = "The batch's id", example = "bat_01990000000070008000000000000000")),
    responses((status = 200, description = "The batch as it is now", body = BatchView)),
    extensions(("x-problems" = json!(["invalid-state"])))
)]
async fn pause(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    changed(&http, &batches, &request, &id, BatchWish::Pause).await
}

/// Have a batch go on
///
/// At once, also where it waits for something. From now on it asks by this key.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}/resume",
    operation_id = "resume_batch",
    tag = "batches",
    security(("api_key" = ["rewards:write"])),
    params(("id" = String, Path, description = "The batch's id", example = "bat_01990000000070008000000000000000")),
    responses((status = 200, description = "The batch as it is now", body = BatchView)),
    extensions(("x-problems" = json!(["invalid-state", "audit-unavailable"])))
)]
async fn resume(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    changed(&http, &batches, &request, &id, BatchWish::Resume).await
}

/// Cancel what is left of a batch
///
/// What was not handed over is never bought. What was stays: cancel it by the reward.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}/cancel",
    operation_id = "cancel_batch",
    tag = "batches",
    security(("api_key" = ["rewards:write"])),
    params(("id" = String, Path, description = "The batch's id", example = "bat_01990000000070008000000000000000")),
    responses((status = 200, description = "The batch as it is now", body = BatchView)),
    extensions(("x-problems" = json!(["invalid-state"])))
)]
async fn cancel(
    http: web::Data<Http>,
    batches: web::Data<Batches>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    changed(&http, &batches, &request, &id, BatchWish::Cancel).await
}
