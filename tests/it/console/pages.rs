//! What a page is made of: the history of an account, lists that go on, and pages of what went wrong.

use std::collections::BTreeSet;

use chrono::{Datelike, Months, TimeDelta};
use serde_json::json;

use super::{desk::Desk, issue, operations::reconciled, with_console};
use noshi::identity::Scopes;

use crate::support::{Answer, App, Backend, Shape, on_each_backend, scope, wait, with_json};

on_each_backend! {
    async fn an_account_shows_what_it_had_and_what_each_month_cost(backend: Backend) {
        let shape = Shape::default().with("NOSHI__SERVER__CONSOLE", "true").with("NOSHI__BALANCES__POLL_SECONDS", 3_600);
        let app = App::shaped(backend, shape.with("NOSHI__BALANCES__STALE_AFTER_SECONDS", 7_200)).await;
        let desk = Desk::log_in(&app, &app.key).await;
        let observed = "SELECT COUNT(*) FROM balance_observations";
        wait::until("the first balance is known", async || app.database.number(observed).await > 0).await;
        app.database.execute("DELETE FROM balance_observations").await.unwrap();
        let fresh = desk.get("/console/balances/main").await;
        assert!(fresh.status == 200 && fresh.text.contains("Fewer than two days are known"), "{}", fresh.text);

        let now = app.ambient.now();
        for (days, available) in [(2, 123_456), (1, 100_000), (91, 999_999)] {
            let at = now - TimeDelta::days(days);
            let row = format!("('main', {}, '{}', 'USD', {available})", at.timestamp() / 3600, at.to_rfc3339());
            let observed = format!("INSERT INTO balance_observations (account, hour, as_of, currency, available_minor) VALUES {row}");
            assert_eq!(app.database.execute(&observed).await.unwrap(), 1);
        }
        let last = (now.date_naive().with_day(1).unwrap() - Months::new(1)).and_hms_opt(12, 0, 0).unwrap().and_utc();
        for (hour, issued, canceled) in [(0, 2_500, 0), (1, 0, 300)] {
            let row = format!("('main', 'USD', {}, {issued}, {canceled}, 1)", last.timestamp() / 3600 + hour);
            let spent = format!("INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) VALUES {row}");
            assert_eq!(app.database.execute(&spent).await.unwrap(), 1);
        }
        let page = desk.get("/console/balances/main").await.text;
        assert!(page.contains("<polyline points=\"10,25 630,57\">"), "two days, of which the first is the dearest: {page}");
        for shown in ["1,234.56", "1,000.00", "<td class=\"number\">22.00</td>", &format!("/console/months/main/{}", last.format("%Y-%m"))] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert!(!page.contains("9,999.99"), "longer ago than is shown");
        assert_eq!(desk.get("/console/balances/nobody").await.status, 404);
        // What all clients together spent is an operator's to know.
        let words = ["balances:read", "ledger:read"];
        let (_client, other) = app.mint_key("other", Scopes::new(words.map(scope))).await;
        let others = Desk::log_in(&app, &other).await.get("/console/balances/main").await;
        assert!(others.status == 200 && others.text.contains("1,000.00") && !others.text.contains("22.00"), "{}", others.text);
        app.end().await;
    }

    async fn a_long_list_goes_on_on_the_next_page_and_shows_each_row_once(backend: Backend) {
        let mut app = with_console(backend).await;
        let numbers: Vec<String> = (0..52).map(|at| format!("order-{at}")).collect();
        futures_util::future::join_all(numbers.iter().map(|number| issue(&app, number))).await;
        let desk = Desk::log_in(&app, &app.key).await;
        assert_eq!(each_row(&desk, "/console/rewards", "/console/rewards/rwd_").await, [50, 2]);

        for at in 0..51 {
            let items = json!({"items": [{"external_id": format!("single-{at}"), "value": {"amount": "1.00", "currency_code": "USD"}}]});
            let request = app.request("POST", "/v1/batches").header("Idempotency-Key", format!("small-{at}"));
            assert_eq!(Answer::of(with_json(request, &items)).await.status, 202);
        }
        assert_eq!(each_row(&desk, "/console/batches", "/console/batches/bat_").await, [50, 1]);
        app.set_funds(0);
        let item = |at: usize| json!({"external_id": format!("thanks-{at}"), "value": {"amount": "1.00", "currency_code": "USD"}});
        let body = json!({"items": (0..203).map(item).collect::<Vec<_>>()});
        let taken = Answer::of(with_json(app.request("POST", "/v1/batches").header("Idempotency-Key", "campaign"), &body)).await;
        assert_eq!(taken.status, 202, "{}", taken.text);
        let path = format!("/console/batches/{}", taken.id());
        assert_eq!(each_row(&desk, &path, ">thanks-").await, [200, 3]);

        for path in ["/console/rewards?behind=x", "/console/batches?behind=", "/console/reconciliations?behind=1"] {
            assert_eq!(desk.get(path).await.status, 404, "{path}");
        }
        app.end().await;
    }
}

#[tokio::test]
async fn what_a_reconciliation_found_goes_on_on_the_next_page_and_shows_each_finding_once() {
    let mut app = with_console(Backend::Sqlite).await;
    let numbers: Vec<String> = (0..203).map(|at| format!("order-{at}")).collect();
    for some in numbers.chunks(50) {
        futures_util::future::join_all(some.iter().map(|number| issue(&app, number))).await;
    }
    app.advance(2 * 24 * 3600);
    let run = reconciled(&app, 2).await;
    let desk = Desk::log_in(&app, &app.key).await;
    let path = format!("/console/reconciliations/{run}");
    assert_eq!(each_row(&desk, &path, "/console/rewards/rwd_").await, [200, 3]);
    assert_eq!(desk.get(&format!("{path}?behind=x")).await.status, 404);
    app.end().await;
}

#[tokio::test]
async fn a_key_that_may_not_cancel_is_shown_why_there_is_no_form() {
    let app = with_console(Backend::Sqlite).await;
    let issued = issue(&app, "4711").await;
    let path = format!("/console/rewards/{}", issued.id());
    let (_client, reader) = app.mint_key("tests", Scopes::new([scope("rewards:read")])).await;
    let (may, may_not) = (Desk::log_in(&app, &app.key).await, Desk::log_in(&app, &reader).await);
    let shown = async |desk: &Desk| {
        let page = desk.get(&path).await.text;
        (page.contains(&format!("action=\"{path}/cancel\"")), page.contains("This key may not cancel it."))
    };
    assert_eq!((shown(&may).await, shown(&may_not).await), ((true, false), (false, true)));
    assert!(may_not.get(&path).await.text.contains("<code>rewards:cancel</code>"));
    assert_eq!(app.cancel(issued.id()).await.status, 200);
    assert_eq!(
        (shown(&may).await, shown(&may_not).await),
        ((false, false), (false, false)),
        "there is nothing to cancel"
    );
    app.end().await;
}

/// Follows a list to its end. How many rows each page has; no row is on two.
async fn each_row(desk: &Desk, path: &str, begin: &str) -> Vec<usize> {
    let (mut seen, mut counts, mut next) = (BTreeSet::new(), Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = desk.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let rows: Vec<_> =
            page.text.split(begin).skip(1).map(|rest| rest.split(['"', '<']).next().unwrap().to_owned()).collect();
        counts.push(rows.len());
        for row in rows {
            assert!(seen.insert(row.clone()), "{row} is on two pages");
        }
        next = page
            .text
            .split("rel=\"next\"")
            .next()
            .filter(|before| before.len() < page.text.len())
            .map(|before| before.rsplit("href=\"").next().unwrap().split('"').next().unwrap().to_owned());
    }
    counts
}

#[tokio::test]
async fn a_page_of_what_went_wrong_says_so_in_words_and_keeps_the_visitor_logged_in() {
    let app = with_console(Backend::Sqlite).await;
    let id = issue(&app, "4711").await.id().to_owned();
    let desk = Desk::log_in(&app, &app.key).await;
    let cases = [
        ("GET", "/console/nothing".to_owned(), 404, ""),
        ("GET", format!("/console/rewards/{id}/cancel"), 405, "POST"),
        ("DELETE", format!("/console/rewards/{id}"), 405, "GET, HEAD"),
        ("PUT", "/console".to_owned(), 405, "GET, HEAD"),
    ];
    for (method, path, status, allowed) in cases {
        let page = Answer::of(desk.request(method, &path)).await;
        assert_eq!((page.status, page.header("allow")), (status, allowed), "{method} {path}: {}", page.text);
        let is_page = page.header("content-type") == "text/html; charset=utf-8" && page.text.contains("<h1>");
        assert!(
            is_page && page.text.contains("Logged in with the key") && page.text.contains("/console/balances"),
            "{path}: {}",
            page.text
        );
    }
    let stranger = Answer::of(desk.http.get(format!("{}/console/nothing", app.admin))).await;
    assert!(stranger.status == 404 && !stranger.text.contains("Logged in with"), "{}", stranger.text);
    assert_eq!(app.read(&id).await["status"], "issued", "nothing was done");
    app.end().await;
}

#[tokio::test]
async fn the_page_of_a_problem_counts_once_under_the_keys_limits() {
    let shape = Shape::default().with("NOSHI__SERVER__CONSOLE", "true").with("NOSHI__SERVER__KEY_READS_PER_MINUTE", 40);
    let app = App::shaped(Backend::Sqlite, shape).await;
    let desk = Desk::log_in(&app, &app.key).await;
    for at in 0..30 {
        let page = desk.get("/console/rewards/rwd_none").await;
        assert!(page.status == 404 && page.text.contains("Logged in with the key"), "{at}: {}", page.text);
    }
    app.end().await;
}
