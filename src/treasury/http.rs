//! The REST endpoints of balances.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{Balances, balances::Balance, scopes};
use crate::{
    http::{
        Code, Http, Problem,
        paging::{List, no_query},
        problem::timestamp,
        routing::{read, resource},
    },
    identity::Principal,
    incentives::dto::ValueView,
};

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/balances", "GET, HEAD", [read().to(balances)]))
        .service(resource("/v1/balances/{account_id}", "GET, HEAD", [read().to(balance)]))
        .service(resource("/v1/balances/{account_id}/refresh", "POST", [web::post().to(refresh)]));
}

#[derive(Serialize)]
struct BalanceView {
    account_id: String,
    currency_code: &'static str,
    available: Option<ValueView>,
    reserved: ValueView,
    as_of: Option<String>,
    reported_at: Option<String>,
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
            reported_at: balance.reported_at.map(timestamp),
            stale: balance.stale,
            runway_seconds: balance.runway.median,
            runway_pessimistic_seconds: balance.runway.pessimistic,
        }
    }
}

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

/// Asks Amazon first, unless a replica did so in the last two seconds. `as_of` says how old the balance is, and `stale` also
/// that Amazon did not answer.
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
    Ok(HttpResponse::Ok().json(BalanceView::from(found.ok_or(Problem::new(Code::NOT_FOUND))?)))
}
