//! The REST face of balances, and the dry run of an issue, which looks at them.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{Balances, balances::Balance, scopes};
use crate::{
    http::{Code, Http, Problem, headers, problem::timestamp, routing::resource},
    identity::Principal,
    incentives::{
        self, Rewards,
        dto::{IssueBody, ValueView},
    },
    kernel::{IdempotencyKey, Money},
    store::StoreError,
};

/// Adds the routes. Before those of rewards, whose `{id}` would take `validate` for an id.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/balances", "GET", [web::get().to(balances)]))
        .service(resource("/v1/balances/{account_id}", "GET", [web::get().to(balance)]))
        .service(resource("/v1/balances/{account_id}/refresh", "POST", [web::post().to(refresh)]))
        .service(resource("/v1/rewards/validate", "POST", [web::post().to(validate)]));
}

#[derive(Serialize)]
struct BalanceView {
    account_id: String,
    currency_code: &'static str,
    available: Option<ValueView>,
    reserved: ValueView,
    as_of: Option<String>,
    stale: bool,
    runway_seconds: Option<i64>,
    runway_pessimistic_seconds: Option<i64>,
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        Self {
            account_id: balance.account,
            currency_code: balance.currency.code(),
            available: balance.available.map(ValueView::from),
            reserved: balance.reserved.into(),
            as_of: balance.as_of.map(timestamp),
            stale: balance.stale,
            runway_seconds: balance.runway.median,
            runway_pessimistic_seconds: balance.runway.pessimistic,
        }
    }
}

#[derive(Serialize)]
struct List {
    data: Vec<BalanceView>,
}

async fn balances(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    let all = http.run(async move { balances.all().await }).await?;
    Ok(HttpResponse::Ok().json(List { data: all.into_iter().map(BalanceView::from).collect() }))
}

async fn balance(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    one(&http, &balances, &account).await
}

/// Asks Amazon first, unless that was done in the last two seconds; the answer says from when it is.
async fn refresh(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    let (asks, id) = (balances.get_ref().clone(), account.clone());
    http.run(async move {
        asks.refresh(&id).await;
        Ok::<_, StoreError>(())
    })
    .await?;
    one(&http, &balances, &account).await
}

async fn one(http: &Http, balances: &Balances, account: &str) -> Result<HttpResponse, Problem> {
    let balances = balances.clone();
    let all = http.run(async move { balances.all().await }).await?;
    let found = all.into_iter().find(|balance| balance.account == account);
    Ok(HttpResponse::Ok().json(BalanceView::from(found.ok_or(Problem::new(Code::NOT_FOUND))?)))
}

#[derive(Serialize)]
struct Validated {
    valid: bool,
    account_id: String,
    value: ValueView,
    /// Whether the last known balance, less what is reserved, covers it; `null` when the balance is stale.
    funds_sufficient: Option<bool>,
}

async fn validate(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    balances: web::Data<Balances>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, incentives::scopes::REWARDS_WRITE).await?;
    let body: IssueBody = http.body(&request, payload).await?;
    let command = body.into_command(dry_run_key(&request)?, &principal)?;
    let (service, asked) = (rewards.get_ref().clone(), command.clone());
    let account =
        http.run(async move { service.issue.validate(&asked).await.map(|account| account.id().to_owned()) }).await?;
    let all = http.run(async move { balances.all().await }).await?;
    let balance = all.into_iter().find(|balance| balance.account == account);
    let funds_sufficient = balance.and_then(|balance| covers(&balance, command.value));
    Ok(HttpResponse::Ok().json(Validated {
        valid: true,
        account_id: account,
        value: command.value.into(),
        funds_sufficient,
    }))
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

fn covers(balance: &Balance, value: Money) -> Option<bool> {
    let available = balance.available.filter(|_money| !balance.stale)?;
    let free = available.checked_sub(balance.reserved)?;
    Some(free.minor() >= value.minor())
}
