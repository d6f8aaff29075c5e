//! An account: what it has and had at Amazon, and what was spent in each month.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{
    Console,
    balances::{self, BalanceCard},
    chart::{BarChart, LineChart},
    month,
    page::{MONTHS, PageFrame, answer, figure, finish},
    visitor::{Halt, Visitor},
};
use crate::{
    http::{Code, Problem},
    kernel::{Currency, Money},
    ledger::{
        statement::StatementAccount,
        totals::{self, LedgerKey},
    },
    store::StoreError,
    treasury,
};

/// Days of the history of a balance.
const DAYS: i64 = 90;
/// Months of spending, this one among them.
const SPENT_MONTHS: u32 = 12;

/// The last balance that is known of a day. Of days long ago it is the first of its last hour.
struct DayLine {
    day: String,
    available: String,
}

/// What was spent in a month.
struct MonthLine {
    month: String,
    /// `None` for a key that may not read months.
    href: Option<String>,
    net: String,
}

/// The history of a balance.
struct BalanceHistory {
    chart: LineChart,
    largest: String,
    first: String,
    last: String,
    /// Newest first.
    days: Vec<DayLine>,
}

#[derive(Template)]
#[template(path = "account.html", config = "src/console/askama.toml")]
struct AccountPage {
    frame: PageFrame,
    account: String,
    currency: &'static str,
    zone: &'static str,
    balances: Vec<BalanceCard>,
    /// `None` where fewer than two days are known.
    history: Option<BalanceHistory>,
    /// `None` for a key that is no operator's: it is of all clients together.
    spending: Option<MonthlySpending>,
}

/// What all clients together spent in each of the last months.
struct MonthlySpending {
    chart: BarChart,
    months: Vec<MonthLine>,
}

impl BalanceHistory {
    fn new(days: &[(NaiveDate, i64)], currency: Currency) -> Option<Self> {
        let chart = LineChart::new(days)?;
        let money = |minor| figure(&Money::from_minor(minor, currency));
        let line = |(day, minor): &(NaiveDate, i64)| DayLine { day: day.to_string(), available: money(*minor) };
        Some(Self {
            largest: money(chart.largest),
            first: days.first()?.0.to_string(),
            last: days.last()?.0.to_string(),
            days: days.iter().rev().map(line).collect(),
            chart,
        })
    }
}

impl MonthlySpending {
    /// `links`: whether the visitor may read months.
    fn new(account: &StatementAccount, spent: &[(NaiveDate, i64)], links: bool) -> Self {
        let label = |month: &NaiveDate| month.format("%Y-%m").to_string();
        let line = |(month, minor): &(NaiveDate, i64)| MonthLine {
            month: label(month),
            href: links.then(|| month::address(&account.id, *month)),
            net: figure(&Money::from_minor(*minor, account.currency)),
        };
        let bars: Vec<_> = spent.iter().map(|(month, minor)| (label(month), *minor)).collect();
        Self { chart: BarChart::new(&bars), months: spent.iter().map(line).collect() }
    }
}

/// The last amount of each day in the account's zone, oldest first.
fn by_day(observed: &[(DateTime<Utc>, i64)], zone: Tz) -> Vec<(NaiveDate, i64)> {
    let days: BTreeMap<NaiveDate, i64> =
        observed.iter().map(|(at, minor)| (at.with_timezone(&zone).date_naive(), *minor)).collect();
    days.into_iter().collect()
}

/// What was spent in each of the last months, newest first. An hour counts in the month in which it begins.
fn by_month(hours: &[(DateTime<Utc>, i64)], zone: Tz, now: DateTime<Utc>) -> Vec<(NaiveDate, i64)> {
    let first_of = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive().with_day(1).unwrap_or_default();
    let mut spent: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for (hour, minor) in hours {
        let month = spent.entry(first_of(*hour)).or_default();
        *month = month.saturating_add(*minor);
    }
    let this = first_of(now);
    let months = (0..SPENT_MONTHS).filter_map(|ago| this.checked_sub_months(Months::new(ago)));
    months.map(|month| (month, spent.get(&month).copied().unwrap_or(0))).collect()
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = account(&console, &request).await;
    finish(&console, &request, came).await
}

async fn account(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, treasury::scopes::BALANCES_READ).await?;
    let id = request.match_info().query("account");
    let account = console.ledger.account(id).map(StatementAccount::of);
    let account = account.ok_or_else(|| Problem::new(Code::NOT_FOUND))?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let (now, currency) = (frame.now, account.currency);
    let (funds, ledger, of) = (console.balances.clone(), console.ledger.clone(), account.clone());
    let is_operator = visitor.caller().is_operator();
    let work = async move {
        let observed = funds.history(&of.id, currency, now - TimeDelta::days(DAYS)).await?;
        if !is_operator {
            return Ok::<_, StoreError>((observed, None));
        }
        let since = now - TimeDelta::days(i64::from(SPENT_MONTHS).saturating_mul(31));
        let mut snapshot = ledger.store.question().await?;
        let key = LedgerKey { account: &of.id, currency };
        Ok((observed, Some(totals::spent_by_hour(&mut snapshot, key, since).await?)))
    };
    let (observed, hours) = console.http.run(work).await?;
    let mut cards = balances::cards(console, frame.words).await?;
    cards.retain(|card| card.account == account.id);
    let page = AccountPage {
        currency: currency.code(),
        zone: account.zone.name(),
        balances: cards,
        history: BalanceHistory::new(&by_day(&observed, account.zone), currency),
        spending: hours
            .map(|hours| MonthlySpending::new(&account, &by_month(&hours, account.zone, now), visitor.may(MONTHS))),
        account: account.id.clone(),
        frame,
    };
    Ok(answer(StatusCode::OK, &page)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_its_last_balance_and_a_month_its_hours_in_the_accounts_own_zone() {
        let tokyo = Tz::Asia__Tokyo;
        let observed = ["2026-10-01T01:00:00Z", "2026-10-01T14:59:00Z", "2026-10-01T15:00:00Z"].map(at);
        let observed: Vec<_> = observed.into_iter().zip([300, 200, 100]).collect();
        let days: Vec<_> = by_day(&observed, tokyo).into_iter().map(|(day, minor)| (day.to_string(), minor)).collect();
        assert_eq!(days, [("2026-10-01".to_owned(), 200), ("2026-10-02".to_owned(), 100)]);

        let hours = ["2026-08-31T15:00:00Z", "2026-09-30T14:00:00Z", "2026-09-30T15:00:00Z"].map(at);
        let hours: Vec<_> = hours.into_iter().zip([5, 7, -2]).collect();
        let months = by_month(&hours, tokyo, at("2026-10-31T16:00:00Z"));
        let spent: Vec<_> = months.iter().take(4).map(|(month, minor)| (month.to_string(), *minor)).collect();
        let expected = [("2026-11-01", 0), ("2026-10-01", -2), ("2026-09-01", 12), ("2026-08-01", 0)];
        assert_eq!(spent, expected.map(|(month, minor)| (month.to_owned(), minor)));
        assert_eq!(months.len(), 12);
    }
}
