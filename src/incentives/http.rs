//! The REST face of rewards. A handler opens the call, calls one use case, wraps the answer.

mod errors;
mod lists;

use std::{sync::Arc, time::Instant};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{
    Rewards,
    dto::{CheckBody, CheckedView, EventView, IssueBody, ReasonBody, RewardView, is_final, issued},
    issue::check_patience,
    scopes,
    service::ClientNames,
};
use crate::{
    events::timeline::TimelineOrder,
    failpoint,
    http::{
        Code, Http, Problem, headers,
        paging::{self, List, no_query},
        prefer,
        routing::{path_id, read, resource},
        value::ValueView,
    },
    identity::{Caller, Principal, Scope},
    kernel::{IdempotencyKey, Money, RewardId},
    store::StoreError,
};

/// Entries of a timeline on a page when the caller does not say: nearly always all.
const TIMELINE: i64 = 1000;

/// The operations of rewards.
#[derive(OpenApi)]
#[openapi(paths(issue, validate, get, events, cancel, reveal, check, lists::list, lists::catalog), tags((name = "rewards", description = "Issue, read, reveal and cancel rewards")))]
pub(crate) struct RewardsApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/rewards", "GET, HEAD, POST", [web::post().to(issue), read().to(lists::list)]))
        // Before `{id}`, which would take `validate` for an id.
        .service(resource("/v1/rewards/validate", "POST", [web::post().to(validate)]))
        .service(resource("/v1/rewards/{id}", "GET, HEAD", [read().to(get)]))
        .service(resource("/v1/rewards/{id}/events", "GET, HEAD", [read().to(events)]))
        .service(resource("/v1/rewards/{id}/reveal", "POST", [web::post().to(reveal)]))
        .service(resource("/v1/rewards/{id}/cancel", "POST", [web::post().to(cancel)]))
        .service(resource("/v1/rewards/{id}/check", "POST", [web::post().to(check)]))
        .service(resource("/v1/catalog", "GET, HEAD", [read().to(lists::catalog)]));
}

/// Issue a reward
///
/// The caller waits for the outcome. What is not final then goes on without the caller. Never order again under another key what is
/// not final: the same key again is always safe.
#[utoipa::path(
    post,
    path = "/v1/rewards",
    operation_id = "issue_reward",
    tag = "rewards",
    security(("api_key" = ["rewards:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same body is the same reward, for ever", example = "order-4711", min_length = 1, max_length = 255), ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=` and seconds (RFC 7240)", example = "wait=5")),
    request_body = IssueBody,
    responses((status = 201, description = "Issued now. A gift code's `claim_code` is in this answer", body = RewardView, headers(("Location" = String, description = "The reward"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed")), links(("read" = (operation_id = "get_reward", parameters(("id" = "$response.body#/id")))), ("timeline" = (operation_id = "list_reward_events", parameters(("id" = "$response.body#/id")))), ("reveal" = (operation_id = "reveal_claim_code", parameters(("id" = "$response.body#/id")))), ("cancel" = (operation_id = "cancel_reward", parameters(("id" = "$response.body#/id")))))), (status = 200, description = "The key was used before, and the reward is issued or canceled. One that failed is answered with the problem that it ended in", body = RewardView, headers(("Location" = String, description = "The reward"), ("Idempotent-Replayed" = bool, description = "`true`"))), (status = 202, description = "Not final yet: send the same key again, or read the reward, after `Retry-After`. `needs_attention` is among these: a person decides, so ask seldom", body = RewardView, headers(("Location" = String, description = "The reward"), ("Retry-After" = u64, description = "Seconds"), ("Idempotent-Replayed" = Option<bool>, description = "`true` where the key was used before"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "insufficient-funds", "limit-exceeded", "program-forbidden", "program-suspended", "budget-exceeded", "ceiling-reached", "external-id-conflict", "idempotency-mismatch", "amount-out-of-range", "amount-precision", "currency-not-supported", "upstream-rejected", "lapsed", "upstream-busy", "account-problem"])))
)]
async fn issue(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = Principal::of(&http, &request, scopes::REWARDS_WRITE).await?;
    let body: IssueBody = http.body(&request, payload).await?;
    let command = body.into_command(headers::idempotency_key(&request)?, &principal)?;
    let patience = prefer::patience(&request);
    let wait = patience.map(|patience| patience.wait);
    let outcome = rewards.issue.run(principal.client, command, wait, arrived).await?;
    let mut answer = issued(&outcome, rewards.courier().pace())?;
    if let Some(patience) = patience {
        prefer::applied(patience, answer.headers_mut());
    }
    failpoint::pass("issue", "before_answer");
    Ok(answer)
}

/// Says whether the last known balance of an account, less what is reserved, covers a value; `None` when the balance is
/// stale. Balances lie above rewards, so `server` hands this in.
#[derive(Clone)]
pub(crate) struct FundsCheck(pub(crate) Arc<CoversFn>);

type CoversFn = dyn Fn(String, Money) -> BoxFuture<'static, Result<Option<bool>, StoreError>> + Send + Sync;

#[derive(Serialize, ToSchema)]
struct Validated {
    /// Always `true`: what is not is a problem.
    valid: bool,
    /// Which account would pay.
    #[schema(example = "us")]
    account_id: String,
    /// What it would be worth.
    value: ValueView,
    /// Whether the last known balance, less what is reserved, covers it; `null` while the balance is stale.
    #[schema(required)]
    funds_sufficient: Option<bool>,
}

/// Try a request without issuing it
///
/// Nothing is reserved, stored or sent.
#[utoipa::path(
    post,
    path = "/v1/rewards/validate",
    operation_id = "validate_reward",
    tag = "rewards",
    security(("api_key" = ["rewards:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Not needed. One that is sent is checked for its form alone", example = "order-4711", min_length = 1, max_length = 255), ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=` and seconds (RFC 7240)", example = "wait=5")),
    request_body = IssueBody,
    responses((status = 200, description = "The request could be issued", body = Validated)),
    extensions(("x-problems" = json!(["idempotency-key-invalid", "limit-exceeded", "program-forbidden", "program-suspended", "budget-exceeded", "ceiling-reached", "insufficient-funds", "amount-out-of-range", "amount-precision", "currency-not-supported", "upstream-rejected", "account-problem"])))
)]
async fn validate(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    funds: web::Data<FundsCheck>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_WRITE).await?;
    let body: IssueBody = http.body(&request, payload).await?;
    let command = body.into_command(dry_run_key(&request)?, &principal)?;
    let wait = prefer::patience(&request).map(|patience| patience.wait);
    check_patience(&command, wait)?;
    let value = command.value;
    let account_id =
        http.run(async move {
            rewards.issue.validate(&command, principal.client).await.map(|account| account.id().to_owned())
        })
        .await?;
    let funds_sufficient = http.run((funds.0)(account_id.clone(), value)).await?;
    Ok(HttpResponse::Ok().json(Validated { valid: true, account_id, value: value.into(), funds_sufficient }))
}

/// A dry run needs no key; one that is sent must be a good one.
fn dry_run_key(request: &HttpRequest) -> Result<IdempotencyKey, Problem> {
    match headers::idempotency_key(request) {
        Err(problem) if problem.code() == Code::IDEMPOTENCY_KEY_MISSING => {
            IdempotencyKey::parse("dry-run").map_err(|_error| Problem::new(Code::INTERNAL))
        }
        other => other,
    }
}

/// Read a reward
///
/// Asking for a reward that is not proven brings its next try about, at most once a second.
#[utoipa::path(
    get,
    path = "/v1/rewards/{id}",
    operation_id = "get_reward",
    tag = "rewards",
    security(("api_key" = ["rewards:read"])),
    params(("id" = String, Path, description = "The reward's id", example = "rwd_01990000000070008000000000000000")),
    responses((status = 200, description = "The reward, without its code", body = RewardView)),
    extensions(("x-problems" = json!([])))
)]
async fn get(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    no_query(&request)?;
    let id = path_id(&id)?;
    let work = async move {
        let caller = principal.caller();
        Ok::<_, StoreError>((rewards.ask_for(&caller, id).await?, rewards.client_names(&caller).await?))
    };
    let (found, names) = http.run(work).await?;
    let reward = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, None).of_client(names.of(&reward))))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// `oldest` (default) or `newest` first.
    #[param(example = "newest")]
    order: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most, 1 to 200; 1,000 where it is left out.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Read the timeline of a reward
#[utoipa::path(
    get,
    path = "/v1/rewards/{id}/events",
    operation_id = "list_reward_events",
    tag = "rewards",
    security(("api_key" = ["rewards:read"])),
    params(("id" = String, Path, description = "The reward's id", example = "rwd_01990000000070008000000000000000"), TimelineQuery),
    responses((status = 200, description = "The timeline, a page of it", body = List<EventView>)),
    extensions(("x-problems" = json!([])))
)]
async fn events(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let id = path_id(&id)?;
    let query: TimelineQuery = paging::query(&request)?;
    let limit = query.limit.map_or(Ok(TIMELINE), |limit| paging::size(Some(limit)))?;
    let order = match query.order.as_deref() {
        None | Some("oldest") => TimelineOrder::Oldest,
        Some("newest") => TimelineOrder::Newest,
        Some(_other) => return Err(paging::bad_query("order", "oldest or newest")),
    };
    let from = query.cursor.map(|cursor| paging::after(Some(cursor))).transpose()?;
    // One more than is shown: whether there is another page.
    let found = http
        .run(async move { rewards.events(&principal.caller(), id, order, from, limit.saturating_add(1)).await })
        .await?;
    let mut entries = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > shown;
    entries.truncate(shown);
    let next_cursor = entries.last().filter(|_last| more).map(|last| last.seq.to_string());
    Ok(HttpResponse::Ok().json(List { data: entries.into_iter().map(EventView::from).collect(), next_cursor }))
}

/// What a caller wants done about a reward, and why: the call of a cancel or a reveal, opened.
struct ReasonedCall {
    caller: Caller,
    reward: RewardId,
    reason: String,
    arrived: Instant,
    names: ClientNames,
}

impl ReasonedCall {
    async fn open(
        http: &Http,
        rewards: &Rewards,
        request: &HttpRequest,
        id: &str,
        payload: web::Payload,
        scope: Scope,
    ) -> Result<Self, Problem> {
        let arrived = http.ambient.monotonic();
        let caller = Principal::of(http, request, scope).await?.caller();
        let body: ReasonBody = http.body(request, payload).await?;
        let (reward, reason) = (path_id(id)?, body.into_reason()?);
        // Before the work: an answer that has a code must not wait for the database, nor fail with it.
        let (asked, of) = (rewards.clone(), caller.clone());
        let names = http.run(async move { asked.client_names(&of).await }).await?;
        Ok(Self { caller, reward, reason, arrived, names })
    }
}

/// Cancel a reward
///
/// Accepted until `cancelable_until`. Canceling twice is the same as once.
#[utoipa::path(
    post,
    path = "/v1/rewards/{id}/cancel",
    operation_id = "cancel_reward",
    tag = "rewards",
    security(("api_key" = ["rewards:cancel"])),
    params(("id" = String, Path, description = "The reward's id", example = "rwd_01990000000070008000000000000000")),
    request_body = ReasonBody,
    responses((status = 200, description = "Proven: `canceled`, or `failed` where nothing was bought", body = RewardView), (status = 202, description = "The cancel is recorded; its outcome is not known yet", body = RewardView, headers(("Retry-After" = u64, description = "Seconds")))),
    extensions(("x-problems" = json!(["cancel-window-closed", "already-claimed", "invalid-state", "upstream-busy", "account-problem", "upstream-rejected"])))
)]
async fn cancel(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ReasonedCall { caller, reward, reason, arrived, names } =
        ReasonedCall::open(&http, &rewards, &request, &id, payload, scopes::REWARDS_CANCEL).await?;
    let reward = rewards.cancel.run(caller, reward, reason, arrived).await?;
    let mut answer = if is_final(reward.state()) { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if !is_final(reward.state()) {
        answer.insert_header((header::RETRY_AFTER, "1"));
    }
    failpoint::pass("cancel", "before_answer");
    Ok(answer.json(RewardView::new(&reward, None).of_client(names.of(&reward))))
}

/// Have the claim code of a reward shown again
///
/// Amazon is asked for it. Each showing is recorded in the timeline.
#[utoipa::path(
    post,
    path = "/v1/rewards/{id}/reveal",
    operation_id = "reveal_claim_code",
    tag = "rewards",
    security(("api_key" = ["claim_codes:reveal"])),
    params(("id" = String, Path, description = "The reward's id", example = "rwd_01990000000070008000000000000000")),
    request_body = ReasonBody,
    responses((status = 200, description = "The reward with its `claim_code`", body = RewardView)),
    extensions(("x-problems" = json!(["limit-exceeded", "invalid-state", "gone", "upstream-rejected", "upstream-busy", "reveal-limit-reached", "account-problem", "insufficient-funds"])))
)]
async fn reveal(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ReasonedCall { caller, reward, reason, arrived, names } =
        ReasonedCall::open(&http, &rewards, &request, &id, payload, scopes::CLAIM_CODES_REVEAL).await?;
    let (reward, code) = rewards.reveal.run(caller, reward, reason, arrived).await?;
    failpoint::pass("show", "before_answer");
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, Some(&code)).of_client(names.of(&reward))))
}

/// Ask Amazon how a physical card stands
///
/// It buys nothing.
#[utoipa::path(
    post,
    path = "/v1/rewards/{id}/check",
    operation_id = "check_reward",
    tag = "rewards",
    security(("api_key" = ["rewards:read"])),
    params(("id" = String, Path, description = "The reward's id", example = "rwd_01990000000070008000000000000000")),
    request_body = CheckBody,
    responses((status = 200, description = "How Amazon sees the card", body = CheckedView)),
    extensions(("x-problems" = json!(["invalid-state", "upstream-rejected", "upstream-busy", "account-problem", "gone", "insufficient-funds"])))
)]
async fn check(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let body: CheckBody = http.body(&request, payload).await?;
    let (service, id) = (rewards.get_ref().clone(), path_id(&id)?);
    let work = async move {
        let caller = principal.caller();
        Ok::<_, StoreError>((service.find(&caller, id).await?, service.client_names(&caller).await?))
    };
    let (found, names) = http.run(work).await?;
    let reward = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    let target = body.into_target(reward.kind)?;
    let checked = rewards.check.run(reward, target, arrived).await?;
    Ok(HttpResponse::Ok().json(CheckedView::new(&checked, names.of(&checked.reward))))
}
