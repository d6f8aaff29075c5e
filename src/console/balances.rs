//! What each account has at Amazon, and how long it lasts.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, figure, finish},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    http::Problem,
    treasury::{self, runway::Runway},
};

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
    /// How long it lasts; `None` where no balance is known.
    pub(super) runway: Option<String>,
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
        runway: balance.available.map(|_available| runway(balance.runway, words)),
    };
    Ok(all.into_iter().map(card).collect())
}

/// How long a balance lasts. Two numbers that are not there are one that is large, or one that nobody knows.
fn runway(runway: Runway, words: &Words) -> String {
    let in_words = |seconds| lasting(seconds, words);
    let about = runway.median.map(|seconds| match seconds {
        ..HOUR => words.no_hour.to_owned(),
        _ => words.runway_about.replace("{}", &in_words(seconds)),
    });
    let worst = runway.pessimistic.map(|seconds| words.runway_worst.replace("{}", &in_words(seconds)));
    match (about, worst) {
        (None, None) => words.runway_unknown.to_owned(),
        (about, None) => about.unwrap_or_default(),
        (about, Some(worst)) => format!("{} ({worst})", about.unwrap_or_else(|| words.runway_long.to_owned())),
    }
}

/// A stretch of time in whole days, or in hours where it is short.
pub(super) fn lasting(seconds: i64, words: &Words) -> String {
    let count = |word: &str, unit| word.replace("{}", &seconds.div_euclid(unit).to_string());
    match seconds.max(0).div_euclid(HOUR) {
        0 => words.no_hour.to_owned(),
        1 => words.one_hour.to_owned(),
        2..48 => count(words.hours, HOUR),
        _ => count(words.days, DAY),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::words::Language;

    #[test]
    fn how_long_a_balance_lasts_reads_well_whatever_is_known() {
        let said = |median: Option<i64>, pessimistic: Option<i64>| {
            [Language::English, Language::Japanese]
                .map(|language| runway(Runway { median, pessimistic }, language.words()))
        };
        for (median, pessimistic, english, japanese) in [
            (Some(40 * DAY + 5), Some(12 * DAY), "about 40 days (at worst 12 days)", "約40日 (最短で12日)"),
            (Some(2 * DAY - 1), Some(HOUR), "about 47 hours (at worst 1 hour)", "約47時間 (最短で1時間)"),
            (Some(2 * DAY), Some(HOUR - 1), "about 2 days (at worst less than an hour)", "約2日 (最短で1時間未満)"),
            (Some(0), Some(-5), "less than an hour (at worst less than an hour)", "1時間未満 (最短で1時間未満)"),
            (None, Some(90 * DAY), "more than 400 days (at worst 90 days)", "400日以上 (最短で90日)"),
        ] {
            assert_eq!(said(median, pessimistic), [english, japanese]);
        }
        let [english, japanese] = said(None, None);
        assert!(english.contains("not known") && japanese.contains("不明"), "{english} {japanese}");
    }
}
