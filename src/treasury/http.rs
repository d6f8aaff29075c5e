//! The REST endpoints of balances.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{Balances, balances::Balance, scopes};
use crate::{
    http::{
        Http, Problem,
        paging::{List, no_query},
        problem::timestamp,
        routing::{no_account, read, resource},
        value::ValueView,
    },
    identity::Principal,
};

/// The operations of balances.
#[derive(OpenApi)]
#[openapi(paths(balances, balance, refresh), tags((name = "balances", description = "Funds of the partner accounts")))]
pub(crate) struct BalancesApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/balances", "GET, HEAD", [read().to(balances)]))
        .service(resource("/v1/balances/{account_id}", "GET, HEAD", [read().to(balance)]))
        .service(resource("/v1/balances/{account_id}/refresh", "POST", [web::post().to(refresh)]));
}

#[derive(Serialize, ToSchema)]
#[schema(as = Balance)]
struct BalanceView {
    /// Its id.
    #[schema(example = "us")]
    account_id: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// What Amazon answered at `as_of`; `null` before the first answer.
    #[schema(required)]
    available: Option<ValueView>,
    /// What is under way.
    reserved: ValueView,
    /// When Amazon was asked.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    as_of: Option<String>,
    /// Amazon's own time of that balance, by our clock; `null` where Amazon gave none.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    reported_at: Option<String>,
    /// Whether `as_of` is too old.
    stale: bool,
    /// How long the funds last, by half of the weeks; `null` with less than a week of spending.
    #[schema(required)]
    runway_seconds: Option<i64>,
    /// How long they last in the worst of twenty.
    #[schema(required)]
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
            reported_at: balance.reported_at.map(timestamp),
            stale: balance.stale,
            runway_seconds: balance.runway.median,
            runway_pessimistic_seconds: balance.runway.pessimistic,
        }
    }
}

/// List the balances of the accounts
#[utoipa::path(
    get,
    path = "/v1/balances",
    operation_id = "list_balances",
    tag = "balances",
    security(("api_key" = ["balances:read"])),
    responses((status = 200, description = "One for each account", body = List<BalanceView>)),
    extensions(("x-problems" = json!([])))
)]
async fn balances(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    no_query(&request)?;
    let all = http.run(async move { balances.all().await }).await?;
    Ok(HttpResponse::Ok().json(List { data: all.into_iter().map(BalanceView::from).collect(), next_cursor: None }))
}

/// Read the balance of an account
#[utoipa::path(
    get,
    path = "/v1/balances/{account_id}",
    operation_id = "get_balance",
    tag = "balances",
    security(("api_key" = ["balances:read"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us")),
    responses((status = 200, description = "As Amazon last reported it", body = BalanceView)),
    extensions(("x-problems" = json!([])))
)]
async fn balance(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    no_query(&request)?;
    one(&http, &balances, &account).await
}

/// Ask Amazon for the balance of an account
///
/// Amazon is asked at most every two seconds over all replicas.
#[utoipa::path(
    post,
    path = "/v1/balances/{account_id}/refresh",
    operation_id = "refresh_balance",
    tag = "balances",
    security(("api_key" = ["balances:read"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us")),
    responses((status = 200, description = "The balance; `stale` where Amazon did not answer", body = BalanceView)),
    extensions(("x-problems" = json!(["account-problem"])))
)]
async fn refresh(
    http: web::Data<Http>,
    balances: web::Data<Balances>,
    request: HttpRequest,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::BALANCES_READ).await?;
    no_query(&request)?;
    let asks = balances.get_ref().clone();
    let found = http.run(async move { asks.refresh(&account).await }).await?;
    shown(found)
}

async fn one(http: &Http, balances: &Balances, account: &str) -> Result<HttpResponse, Problem> {
    let balances = balances.clone();
    let all = http.run(async move { balances.all().await }).await?;
    shown(all.into_iter().find(|balance| balance.account == account))
}

fn shown(found: Option<Balance>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(BalanceView::from(found.ok_or_else(no_account)?)))
}
