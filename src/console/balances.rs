//! What each account has at Amazon, and how long it lasts.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, figure, finish},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{http::Problem, treasury};

pub(super) const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The balance of one account.
pub(super) struct BalanceCard {
    pub(super) account: String,
    pub(super) currency: &'static str,
    pub(super) available: Option<String>,
    pub(super) reserved: String,
    pub(super) as_of: Option<ShownTime>,
    pub(super) is_stale: bool,
    pub(super) runway: Option<String>,
    pub(super) runway_worst: Option<String>,
}

#[derive(Template)]
#[template(path = "balances.html", config = "src/console/askama.toml")]
struct BalancesPage {
    frame: PageFrame,
    balances: Vec<BalanceCard>,
}

pub(super) async fn cards(console: &Console, words: &Words) -> Result<Vec<BalanceCard>, Problem> {
    let balances = console.balances.clone();
    let all = console.http.run(async move { balances.all().await }).await?;
    let card = |balance: treasury::balances::Balance| BalanceCard {
        account: balance.account,
        currency: balance.currency.code(),
        available: balance.available.map(|available| figure(&available)),
        reserved: figure(&balance.reserved),
        as_of: balance.as_of.map(ShownTime::from),
        is_stale: balance.stale,
        runway: balance.runway.median.map(|seconds| lasting(seconds, words)),
        runway_worst: balance.runway.pessimistic.map(|seconds| lasting(seconds, words)),
    };
    Ok(all.into_iter().map(card).collect())
}

/// A stretch of time in whole days, or in hours where it is short.
pub(super) fn lasting(seconds: i64, words: &Words) -> String {
    let seconds = seconds.max(0);
    if seconds < 2 * DAY {
        format!("{} {}", seconds.div_euclid(HOUR), words.hours)
    } else {
        format!("{} {}", seconds.div_euclid(DAY), words.days)
    }
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = balances(&console, &request).await;
    finish(&console, &request, came).await
}

async fn balances(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, treasury::scopes::BALANCES_READ).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let balances = cards(console, frame.words).await?;
    Ok(answer(StatusCode::OK, &BalancesPage { frame, balances })?)
}
