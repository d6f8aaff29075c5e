//! The REST face of rewards. A handler opens the call, calls one use case, wraps the answer.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Rewards,
    cancel::CancelError,
    charge::ChargeError,
    dto::{EventView, IssueBody, ReasonBody, RewardView, ValueView, is_final, issued},
    issue::IssueError,
    kind::Kind,
    problems,
    reveal::RevealError,
    scopes,
    sql::Filter,
};
use crate::{
    accounts::BreakerCause,
    engine::State,
    failpoint,
    http::{
        Code, Http, Problem, headers,
        problem::{MoneyMoved, Upstream},
        routing::resource,
    },
    identity::Principal,
    kernel::RewardId,
    ledger::{self, budget::WHOLE},
    lifecycle::Lost,
};

/// Rewards on a page at most.
const PAGE_MAX: i64 = 200;
/// Rewards on a page when the caller does not say.
const PAGE: i64 = 50;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/rewards", "GET, POST", [web::post().to(issue), web::get().to(list)]))
        .service(resource("/v1/rewards/{id}", "GET", [web::get().to(get)]))
        .service(resource("/v1/rewards/{id}/events", "GET", [web::get().to(events)]))
        .service(resource("/v1/rewards/{id}/reveal", "POST", [web::post().to(reveal)]))
        .service(resource("/v1/rewards/{id}/cancel", "POST", [web::post().to(cancel)]))
        .service(resource("/v1/catalog", "GET", [web::get().to(catalog)]));
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
    let patience = headers::patience(&request);
    let wait = patience.map(|patience| patience.wait);
    let mut answer = issued(&rewards.issue.run(principal.client, command, wait, arrived).await?)?;
    if let Some(patience) = patience {
        headers::preference_applied(patience, answer.headers_mut());
    }
    failpoint::pass("issue", "before_answer");
    Ok(answer)
}

async fn get(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let id = reward_id(&id)?;
    let found = http.run(async move { rewards.find(principal.client, id).await }).await?;
    let reward = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, None)))
}

async fn events(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let id = reward_id(&id)?;
    let found = http.run(async move { rewards.events(principal.client, id).await }).await?;
    let events = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(List { data: events.into_iter().map(EventView::from).collect(), next_cursor: None }))
}

async fn cancel(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = Principal::of(&http, &request, scopes::REWARDS_CANCEL).await?;
    let body: ReasonBody = http.body(&request, payload).await?;
    let reward = rewards.cancel.run(principal.client, reward_id(&id)?, body.into_reason()?, arrived).await?;
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
    let arrived = http.ambient.monotonic();
    let principal = Principal::of(&http, &request, scopes::CLAIM_CODES_REVEAL).await?;
    let body: ReasonBody = http.body(&request, payload).await?;
    let (reward, code) = rewards.reveal.run(principal.client, reward_id(&id)?, body.into_reason()?, arrived).await?;
    failpoint::pass("show", "before_answer");
    Ok(HttpResponse::Ok().json(RewardView::new(&reward, Some(&code))))
}

#[derive(Serialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    external_id: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    account_id: Option<String>,
    program_id: Option<String>,
    created_from: Option<String>,
    created_to: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

impl ListQuery {
    fn into_filter(self) -> Result<Filter, Problem> {
        let bad = |name: &'static str| {
            move || Problem::new(Code::INVALID_REQUEST).detail(format!("the query's {name} is not valid"))
        };
        let state = self.status.map(|word| State::from_word(&word).ok_or_else(bad("status"))).transpose()?;
        let kind = self.kind.map(|word| Kind::from_word(&word).ok_or_else(bad("kind"))).transpose()?;
        let instant = |text: Option<String>, default, name| match text {
            None => Ok(default),
            Some(text) => DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc()).map_err(|_error| bad(name)()),
        };
        let text = |text: Option<String>, name| match text {
            // PostgreSQL takes no NUL, and nothing that is stored has a control character.
            Some(text) if text.chars().any(char::is_control) => Err(bad(name)()),
            other => Ok(other),
        };
        let before = self.cursor.map_or(Ok(Uuid::max()), |text| read_cursor(&text).ok_or_else(bad("cursor")))?;
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(bad("limit")());
        }
        Ok(Filter {
            external_id: text(self.external_id, "external_id")?,
            state,
            kind,
            account: text(self.account_id, "account_id")?,
            program: text(self.program_id, "program_id")?,
            created_from: instant(self.created_from, DateTime::UNIX_EPOCH, "created_from")?,
            created_to: instant(self.created_to, far_future(), "created_to")?,
            before,
            limit,
        })
    }
}

/// Later than any reward: the year 9999.
fn far_future() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Cursors are opaque to callers: where the page before ended.
fn cursor(id: RewardId) -> String {
    HEXLOWER.encode(id.uuid().as_bytes())
}

fn read_cursor(text: &str) -> Option<Uuid> {
    HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok())
}

async fn list(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let query = web::Query::<ListQuery>::from_query(request.query_string()).map_err(|_error| {
        Problem::new(Code::INVALID_REQUEST).detail("the query has an unknown or malformed parameter")
    })?;
    let filter = query.into_inner().into_filter()?;
    let limit = filter.limit;
    let page = http.run(async move { rewards.list(principal.client, &filter).await }).await?;
    let full = i64::try_from(page.len()) == Ok(limit);
    let next = page.last().filter(|_last| full).map(|last| cursor(last.id));
    let mut answer = HttpResponse::Ok();
    if let Some(next) = &next {
        let link = next_page(request.query_string(), next);
        answer.insert_header((header::LINK, format!("</v1/rewards?{link}>; rel=\"next\"")));
    }
    let data = page.iter().map(|reward| RewardView::new(reward, None)).collect();
    Ok(answer.json(List { data, next_cursor: next }))
}

/// The query of the next page: the same filters, from where this one ended.
fn next_page(query: &str, next: &str) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={next}");
    kept.chain([cursor.as_str()]).collect::<Vec<_>>().join("&")
}

#[derive(Serialize)]
struct CatalogEntry<'a> {
    account_id: &'a str,
    marketplace: &'static str,
    environment: &'static str,
    kinds: &'a [&'static str],
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
    let data = rewards.accounts().iter().map(|account| CatalogEntry {
        account_id: account.id(),
        marketplace: account.marketplace().code(),
        environment: account.environment().as_str(),
        kinds: account.kinds(),
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

impl From<Lost> for Problem {
    fn from(_lost: Lost) -> Self {
        Self::new(Code::INTERNAL)
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Mismatch => Self::new(problems::IDEMPOTENCY_MISMATCH),
            IssueError::ExternalIdConflict => Self::new(problems::EXTERNAL_ID_CONFLICT),
            IssueError::UnknownAccount => {
                Self::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id")
            }
            IssueError::AmbiguousAccount => Self::new(Code::INVALID_REQUEST).field(
                "/account_id",
                "required",
                "several accounts deal in this currency; say which",
            ),
            IssueError::Currency(currency) => Self::new(problems::CURRENCY_NOT_SUPPORTED)
                .detail(format!("no account of this request deals in {currency}")),
            IssueError::AmountOutOfRange { minimum, maximum } => Self::new(problems::AMOUNT_OUT_OF_RANGE)
                .detail(format!("from {minimum} to {maximum} {}", maximum.currency()))
                .field("/value/amount", "range", "outside the account's limits"),
            IssueError::Charge(refused) => refused.into(),
            IssueError::Busy => Self::new(Code::QUOTA_EXCEEDED),
            IssueError::NoSlot(_) => Self::new(problems::UPSTREAM_BUSY),
            IssueError::Refused(BreakerCause::Funds) => Self::new(problems::INSUFFICIENT_FUNDS),
            IssueError::Refused(BreakerCause::Account) => Self::new(problems::ACCOUNT_PROBLEM),
            IssueError::Late => Self::new(Code::DEPENDENCY_UNAVAILABLE).money(MoneyMoved::Unknown),
            // It may have begun: the same key will tell.
            IssueError::Store(error) => Self::from(error).money(MoneyMoved::Unknown),
            IssueError::Lost(lost) => Self::from(lost).money(MoneyMoved::Unknown),
        }
    }
}

impl From<ChargeError> for Problem {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::Forbidden => Self::new(ledger::problems::PROGRAM_FORBIDDEN),
            ChargeError::Suspended => Self::new(ledger::problems::PROGRAM_SUSPENDED),
            ChargeError::OtherAccount => Self::new(Code::INVALID_REQUEST).field(
                "/account_id",
                "conflict",
                "the program is charged to another account",
            ),
            ChargeError::RewardTooLarge(most) => Self::new(problems::LIMIT_EXCEEDED)
                .detail(format!("a reward may be worth at most {most} {}", most.currency())),
            ChargeError::Budget(exceeded) => {
                let whose = if exceeded.holder == WHOLE { "the program's" } else { "the API key's" };
                let span = exceeded.span.as_str();
                Self::new(ledger::problems::BUDGET_EXCEEDED)
                    .detail(format!("{whose} budget ({span})"))
                    .retry_at(exceeded.resets_at)
            }
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::new(Code::NOT_FOUND),
            CancelError::WindowClosed { until } => {
                Self::new(problems::CANCEL_WINDOW_CLOSED).cancelable_until(until).money(MoneyMoved::Yes)
            }
            CancelError::NotPermitted(id) => Self::new(problems::ALREADY_CLAIMED).reward(id).money(MoneyMoved::Yes),
            CancelError::InvalidState(state) => {
                Self::new(Code::INVALID_STATE).detail(format!("the reward is {}", state.as_str()))
            }
            CancelError::Store(error) => Self::from(error).money(MoneyMoved::Unknown),
            CancelError::Lost(lost) => Self::from(lost).money(MoneyMoved::Unknown),
        }
    }
}

impl From<RevealError> for Problem {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::NotFound => Self::new(Code::NOT_FOUND),
            RevealError::Gone(state) => Self::new(problems::GONE).detail(format!("the reward is {}", state.as_str())),
            RevealError::InvalidState(state) => {
                Self::new(Code::INVALID_STATE).detail(format!("the reward is {}", state.as_str()))
            }
            RevealError::TooOften => Self::new(problems::LIMIT_EXCEEDED).detail("the code was shown again too often"),
            RevealError::TooOld => Self::new(Code::INVALID_STATE)
                .detail("the reward is too old to be shown again: Amazon may have forgotten its id"),
            RevealError::Unavailable { throttled: true } => Self::new(problems::UPSTREAM_BUSY),
            RevealError::Unavailable { throttled: false } => Self::new(Code::DEPENDENCY_UNAVAILABLE),
            RevealError::Refused(refusal) => Self::new(problems::ACCOUNT_PROBLEM).upstream(Upstream {
                operation: "CreateGiftCard",
                error_code: refusal.family.as_str().to_owned(),
                error_type: Some(refusal.error_type.as_str().to_owned()),
            }),
            RevealError::Busy => Self::new(Code::QUOTA_EXCEEDED),
            RevealError::Store(error) => error.into(),
            RevealError::Lost(lost) => lost.into(),
        }
    }
}
