//! The first page: search, what a person must decide, balances, the last month.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    alarms::{self, Alarm},
    balances::{self, BalanceCard},
    month::{self, MonthLink},
    page::{MONTHS, PageFrame, answer, finish},
    search::{self, RewardLine},
    visitor::{Halt, Visitor},
};
use crate::{engine::State, http::Problem, incentives, treasury};

/// Rewards that wait for a person, as many as are shown.
const WAITING_MAX: i64 = 10;

#[derive(Template)]
#[template(path = "overview.html", config = "src/console/askama.toml")]
struct OverviewPage {
    frame: PageFrame,
    alarms: Vec<Alarm>,
    /// `None` where the key may not see them.
    waiting: Option<Vec<RewardLine>>,
    balances: Vec<BalanceCard>,
    months: Vec<MonthLink>,
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = overview(&console, &request).await;
    finish(&console, &request, came).await
}

async fn overview(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::of(console, request).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let waiting = if visitor.may(incentives::scopes::REWARDS_READ) {
        let filter = search::filter(Some(State::NeedsAttention), WAITING_MAX);
        Some(search::lines(console, &visitor, filter, frame.words).await?)
    } else {
        None
    };
    let balances = if visitor.may(treasury::scopes::BALANCES_READ) {
        balances::cards(console, frame.words).await?
    } else {
        Vec::new()
    };
    let alarms = alarms::all(console, &visitor, frame.words).await?;
    let months = if visitor.may(MONTHS) { month::links(console) } else { Vec::new() };
    Ok(answer(StatusCode::OK, &OverviewPage { frame, alarms, waiting, balances, months })?)
}
