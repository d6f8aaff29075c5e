//! The REST face of rewards. A handler opens the call, calls one use case, wraps the answer.

mod errors;

use std::{sync::Arc, time::Instant};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::DateTime;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    Rewards,
    dto::{CheckBody, CheckedView, EventView, IssueBody, ReasonBody, RewardView, ValueView, is_final, issued},
    issue::check_patience,
    kind::Kind,
    scopes,
    sql::list::RewardFilter,
};
use crate::{
    engine::State,
    events::timeline::TimelineOrder,
    failpoint,
    http::{
        Code, Http, Problem, headers,
        paging::{self, List, bad_query, before, cursor, end_of_time, instant, no_query, page, query, size, text},
        prefer,
        routing::{read, resource},
    },
    identity::{Caller, Principal, Scope},
    kernel::{IdempotencyKey, Money, RewardId},
    store::StoreError,
};

/// Entries of a timeline on a page when the caller does not say: nearly always all.
const TIMELINE: i64 = 1000;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/rewards", "GET, HEAD, POST", [web::post().to(issue), read().to(list)]))
        // Before `{id}`, which would take `validate` for an id.
        .service(resource("/v1/rewards/validate", "POST", [web::post().to(validate)]))
        .service(resource("/v1/rewards/{id}", "GET, HEAD", [read().to(get)]))
        .service(resource("/v1/rewards/{id}/events", "GET, HEAD", [read().to(events)]))
        .service(resource("/v1/rewards/{id}/reveal", "POST", [web::post().to(reveal)]))
        .service(resource("/v1/rewards/{id}/cancel", "POST", [web::post().to(cancel)]))
        .service(resource("/v1/rewards/{id}/check", "POST", [web::post().to(check)]))
        .service(resource("/v1/catalog", "GET, HEAD", [read().to(catalog)]));
}

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

#[derive(Serialize)]
struct Validated {
    valid: bool,
    account_id: String,
    value: ValueView,
    funds_sufficient: Option<bool>,
}

/// The dry run of an issue.
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

async fn get(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    no_query(&request)?;
    let id = reward_id(&id)?;
    let found = http.run(async move { rewards.ask_for(&principal.caller(), id).await }).await?;
    let reward = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimelineQuery {
    order: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

async fn events(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let id = reward_id(&id)?;
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
}

impl ReasonedCall {
    async fn open(
        http: &Http,
        request: &HttpRequest,
        id: &str,
        payload: web::Payload,
        scope: Scope,
    ) -> Result<Self, Problem> {
        let arrived = http.ambient.monotonic();
        let principal = Principal::of(http, request, scope).await?;
        let body: ReasonBody = http.body(request, payload).await?;
        Ok(Self { caller: principal.caller(), reward: reward_id(id)?, reason: body.into_reason()?, arrived })
    }
}

async fn cancel(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ReasonedCall { caller, reward, reason, arrived } =
        ReasonedCall::open(&http, &request, &id, payload, scopes::REWARDS_CANCEL).await?;
    let reward = rewards.cancel.run(caller, reward, reason, arrived).await?;
    let mut answer = if is_final(reward.state()) { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    if !is_final(reward.state()) {
        answer.insert_header((header::RETRY_AFTER, "1"));
    }
    failpoint::pass("cancel", "before_answer");
    Ok(answer.json(RewardView::new(&reward, None)))
}

async fn reveal(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let ReasonedCall { caller, reward, reason, arrived } =
        ReasonedCall::open(&http, &request, &id, payload, scopes::CLAIM_CODES_REVEAL).await?;
    let (reward, code) = rewards.reveal.run(caller, reward, reason, arrived).await?;
    failpoint::pass("show", "before_answer");
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, Some(&code))))
}

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
    let (service, id) = (rewards.get_ref().clone(), reward_id(&id)?);
    let found = http.run(async move { service.find(&principal.caller(), id).await }).await?;
    let reward = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    let target = body.into_target(reward.kind)?;
    let checked = rewards.check.run(reward, target, arrived).await?;
    Ok(HttpResponse::Ok().json(CheckedView::new(&checked)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewardsQuery {
    external_id: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    account_id: Option<String>,
    program_id: Option<String>,
    created_from: Option<String>,
    created_to: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl RewardsQuery {
    fn into_filter(self) -> Result<RewardFilter, Problem> {
        let bad = |name: &'static str, known: Vec<&str>| {
            let known = known.join(", ");
            move || bad_query(name, &format!("one of {known}"))
        };
        let states = State::ALL.iter().map(|state| state.as_str()).collect();
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let state = self.status.map(|word| State::from_word(&word).ok_or_else(bad("status", states))).transpose()?;
        let kind = self.kind.map(|word| Kind::from_word(&word).ok_or_else(bad("kind", kinds))).transpose()?;
        let (before, limit) = (before(self.cursor)?, size(self.limit)?);
        Ok(RewardFilter {
            external_id: text(self.external_id, "external_id")?,
            state,
            kind,
            account: text(self.account_id, "account_id")?,
            program: text(self.program_id, "program_id")?,
            created_from: instant(self.created_from, DateTime::UNIX_EPOCH, "created_from")?,
            created_to: instant(self.created_to, end_of_time(), "created_to")?,
            before,
            limit,
        })
    }
}

async fn list(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let asked: RewardsQuery = query(&request)?;
    let filter = asked.into_filter()?;
    let limit = filter.limit;
    let found = http.run(async move { rewards.list(&principal.caller(), filter).await }).await?;
    let last = found.last().map(|last| cursor(last.id.uuid()));
    Ok(page(&request, found.iter().map(|reward| RewardView::new(reward, None)).collect(), limit, last))
}

#[derive(Serialize)]
struct CatalogEntry<'a> {
    account_id: &'a str,
    marketplace: &'static str,
    environment: &'static str,
    kinds: &'a [&'static str],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    product_types: &'a [String],
    currency_code: &'static str,
    exponent: u32,
    minimum: ValueView,
    maximum: ValueView,
}

async fn catalog(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    no_query(&request)?;
    let data = rewards.accounts().iter().map(|account| CatalogEntry {
        account_id: account.id(),
        marketplace: account.marketplace().code(),
        environment: account.environment().as_str(),
        kinds: account.kinds(),
        product_types: &account.create().product_types,
        currency_code: account.currency().code(),
        exponent: account.currency().exponent(),
        minimum: account.minimum().into(),
        maximum: account.maximum().into(),
    });
    Ok(HttpResponse::Ok().json(List { data: data.collect(), next_cursor: None }))
}

/// What names no reward is answered like a reward of someone else's.
fn reward_id(text: &str) -> Result<RewardId, Problem> {
    text.parse().map_err(|_malformed| Problem::new(Code::NOT_FOUND))
}
