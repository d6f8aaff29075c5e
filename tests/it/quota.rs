//! Amazon's rate over all replicas, and the breakers that refuse new rewards before a row is made.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use noshi::sandbox::Fault;
use serde_json::json;

use crate::{
    process::Served,
    seeded,
    support::{
        ACCESS_KEY_ID, Answer, App, Backend, PARTNER, SECRET_ACCESS_KEY, Shape, books::books_match, faults::refusal,
        on_each_backend, order, rounds::count_of, wait::until, with_json,
    },
};

/// Amazon's contract.
const PER_SECOND: usize = 10;
/// Seconds of overload in an everyday run.
const OVERLOAD_SECONDS: usize = 8;

fn limited() -> Shape {
    Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", PER_SECOND)
}

/// A second account of the partner, of another marketplace.
fn with_germany(app: &App) -> Shape {
    let gateway = app.gateway().to_string();
    let account = [
        ("PARTNER_ID", PARTNER),
        ("MARKETPLACE", "DE"),
        ("ENVIRONMENT", "sandbox"),
        ("SANDBOX_GATEWAY", &gateway),
        ("ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("REWARD_MAXIMUM", "100.00"),
        ("REQUESTS_PER_SECOND", "10"),
    ];
    let seldom =
        limited().with("NOSHI__BALANCES__POLL_SECONDS", 3600).with("NOSHI__BALANCES__STALE_AFTER_SECONDS", 7200);
    account
        .into_iter()
        .fold(seldom, |shape, (name, value)| shape.with(format!("NOSHI__ACCOUNTS__GERMANY__{name}"), value))
}

/// A tripped account refuses new rewards for half a minute.
fn breaking(funds: i64) -> Shape {
    Shape { funds, ..Shape::default() }.with("NOSHI__REWARDS__BREAKER_SECONDS", 30)
}

/// Amazon refuses the account to two orders, one after the other.
async fn trip(app: &App) {
    for key in ["trips", "trips-too"] {
        app.strike_next(refusal("F300", "AccountHasProblems"));
        app.issue(key, "5.00").await.is_problem(503, "account-problem");
    }
}

/// The most arrivals in any sliding second.
pub(crate) fn busiest_second(arrivals: &[DateTime<Utc>]) -> usize {
    let within = |start: &DateTime<Utc>| {
        arrivals.iter().filter(|at| *at >= start && **at < *start + TimeDelta::seconds(1)).count()
    };
    arrivals.iter().map(within).max().unwrap_or(0)
}

/// Asks one of the replicas for a gift code.
async fn issue_at(app: &App, base: &str, key: &str) -> Answer {
    let request = app.http.post(format!("{base}/v1/rewards")).bearer_auth(&app.key).header("Idempotency-Key", key);
    Answer::of(with_json(request, &order("1.00"))).await
}

/// Offers far more than the rate to several replicas for so long; answers how many were issued and refused.
async fn overload(app: &App, bases: &[String], seconds: u64) -> (usize, usize) {
    let callers = 25 * bases.len();
    let until = app.ambient.monotonic() + Duration::from_secs(seconds);
    let caller = async |at: usize| {
        let (mut issued, mut refused) = (0, 0);
        for round in 0.. {
            if app.ambient.monotonic() >= until {
                break;
            }
            let answer = issue_at(app, &bases[at % bases.len()], &format!("overload-{at}-{round}")).await;
            match answer.status {
                201 | 202 => issued += 1,
                429 => {
                    answer.is_problem(429, "upstream-busy");
                    refused += 1;
                    let wait = answer.header("retry-after").parse().unwrap();
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                }
                other => panic!("{other}: {}", answer.text),
            }
        }
        (issued, refused)
    };
    let counts = futures_util::future::join_all((0..callers).map(caller)).await;
    counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// How Amazon's rate was not kept, or not used.
fn wrong_rate(app: &App, seconds: u64) -> Vec<String> {
    let requests = app.control.requests();
    let throttled = requests.iter().filter(|request| request.http_status == Some(429)).count();
    let arrivals: Vec<DateTime<Utc>> = requests.iter().map(|request| request.at).collect();
    let busiest = busiest_second(&arrivals);
    // The offer ends at `seconds`, those who wait then are served after it: the mean is taken over that time only.
    let first = arrivals.first().copied().unwrap_or_default();
    let in_time = arrivals.iter().filter(|at| **at < first + TimeDelta::seconds(seconds as i64)).count();
    println!("{in_time} arrivals in {seconds} s of overload, at most {busiest} in any second");
    let mut wrong = Vec::new();
    if throttled > 0 {
        wrong.push(format!("Amazon had to throttle {throttled} times"));
    }
    if busiest > PER_SECOND {
        wrong.push(format!("{busiest} in one second"));
    }
    if in_time < 8 * seconds as usize {
        wrong.push(format!("{in_time} in {seconds} s is less than 8 a second"));
    }
    wrong
}

fn assert_rate(app: &App, seconds: u64) {
    assert_eq!(wrong_rate(app, seconds), [""; 0]);
}

/// Three replicas under overload, and how the rate was not kept; two of them may have a bug.
pub(crate) async fn wrong_rate_of_three(seconds: u64, bug: Option<&str>) -> Vec<String> {
    let app = App::shaped(Backend::Postgres, limited()).await;
    app.control.set_throttle(true);
    let environment = seeded::with(bug, app.environment());
    let replicas = [Served::start(&environment), Served::start(&environment)];
    let mut bases: Vec<String> = replicas.iter().map(|served| served.base.clone()).collect();
    bases.push(app.base.clone());
    app.control.clear_requests();
    let (issued, refused) = overload(&app, &bases, seconds).await;
    let mut wrong = wrong_rate(&app, seconds);
    if refused == 0 {
        wrong.push("no more was offered than can wait".to_owned());
    }
    let rows = app.database.number("SELECT COUNT(*) FROM rewards").await;
    if rows != i64::try_from(issued).unwrap() {
        wrong.push(format!("{rows} rows of {issued} issued"));
    }
    for served in replicas {
        assert!(served.terminate().success());
    }
    // With a bug not everything is at its end.
    if wrong.is_empty() {
        books_match(&app).await;
    }
    app.end().await;
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_under_overload_keep_amazons_rate_and_use_it() {
    let seconds = count_of("NOSHI_OVERLOAD_SECONDS", OVERLOAD_SECONDS).try_into().unwrap();
    assert_eq!(wrong_rate_of_three(seconds, None).await, [""; 0]);
}

/// What took its slot before the database stood still does not use it after that: it takes another. PostgreSQL only: on
/// SQLite slots are given by the same writer that stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stall_of_the_database_no_second_holds_more_than_the_rate() {
    let app = App::shaped(Backend::Postgres, limited().with("NOSHI__STORE__CONNECTIONS_MAX", 40)).await;
    assert_eq!(app.issue("warm", "1.00").await.status, 201);
    app.control.clear_requests();
    let hold = app.database.hold_writes().await;
    let released = async {
        tokio::time::sleep(Duration::from_millis(2200)).await;
        hold.release().await;
    };
    let ask = async |at: usize| issue_at(&app, &app.base, &format!("stalled-{at}")).await;
    let (answers, ()) = tokio::join!(futures_util::future::join_all((0..20).map(ask)), released);
    let issued = answers.iter().filter(|answer| answer.status == 201).count();
    let arrivals: Vec<DateTime<Utc>> = app.received("Create").iter().map(|request| request.at).collect();
    let busiest = busiest_second(&arrivals);
    println!("{issued} of 20 were issued, at most {busiest} in any second");
    assert!(busiest <= PER_SECOND, "{busiest} in one second");
    assert!(issued >= 10, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    books_match(&app).await;
    app.end().await;
}

/// How often an account's balance was asked for and answered.
fn balances_asked(metrics: &str, account: &str) -> u64 {
    let start = format!("noshi_upstream_requests_total{{account=\"{account}\",");
    let lines = metrics.lines().filter(|line| line.starts_with(&start) && line.contains("\"GetAvailableFunds\""));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

on_each_backend! {
    async fn two_accounts_of_one_partner_share_its_rate(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.restart_in(with_germany(&app)).await;
        app.control.clear_requests();
        let ask = async |at: usize| {
            let mut body = order("1.00");
            if at % 2 == 1 {
                body["value"]["currency_code"] = json!("EUR");
            }
            app.issue_body(&format!("shared-{at}"), body).await
        };
        let answers = futures_util::future::join_all((0..24).map(ask)).await;
        // The sandbox sells this partner dollars alone. A refusal of Amazon's counts for the rate like any other answer.
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(answer.status, if at % 2 == 1 { 422 } else { 201 }, "{}", answer.text);
        }
        let arrivals: Vec<DateTime<Utc>> = app.received("Create").iter().map(|request| request.at).collect();
        let busiest = busiest_second(&arrivals);
        assert_eq!(arrivals.len(), 24);
        assert!(busiest <= PER_SECOND, "{busiest} in one second");
        app.end().await;
    }

    /// Amazon answers a partner once a second. The account that always came second would never have learnt its balance.
    async fn two_accounts_of_one_partner_ask_for_their_balances_in_turn(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.control.clear_requests();
        app.control.set_throttle(true);
        app.restart_in(with_germany(&app)).await;
        let refresh = async |account: &str| {
            let refreshed = app.post(&format!("/v1/balances/{account}/refresh"), json!({})).await;
            assert_eq!(refreshed.status, 200, "{}", refreshed.text);
        };
        until("both were asked for twice", async || {
            futures_util::future::join(refresh("main"), refresh("germany")).await;
            let metrics = app.metrics().await;
            ["main", "germany"].iter().all(|account| balances_asked(&metrics, account) >= 2)
        })
        .await;
        let asked = app.received("GetAvailableFunds");
        let refused: Vec<_> = asked.iter().filter(|request| request.http_status != Some(200)).collect();
        assert!(refused.is_empty(), "of {}: {refused:?}", asked.len());
        app.end().await;
    }

    async fn one_replica_under_overload_keeps_the_rate_and_a_cancel_goes_first(backend: Backend) {
        let app = App::shaped(backend, limited()).await;
        app.control.set_throttle(true);
        let mut cancelable = Vec::new();
        for at in 0..5 {
            cancelable.push(app.issue(&format!("to-cancel-{at}"), "1.00").await.id().to_owned());
        }
        app.control.clear_requests();
        let cancels = async {
            let mut slowest = Duration::ZERO;
            for id in &cancelable {
                tokio::time::sleep(Duration::from_millis(700)).await;
                let began = app.ambient.monotonic();
                let answer = app.cancel(id).await;
                assert_eq!((answer.status, answer.json["status"].as_str()), (200, Some("canceled")), "{}", answer.text);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let bases = [app.base.clone()];
        let ((_, refused), slowest) = tokio::join!(overload(&app, &bases, 5), cancels);
        println!("the slowest cancel took {slowest:?}, {refused} orders were refused");
        assert!(slowest < Duration::from_secs(3), "a cancel waited behind orders: {slowest:?}");
        assert_rate(&app, 5);
        books_match(&app).await;
        app.end().await;
    }

    async fn after_amazon_has_throttled_nothing_leaves_for_a_second(backend: Backend) {
        let app = App::shaped(backend, limited()).await;
        app.strike_next(Fault::Throttle);
        let keys: Vec<String> = (0..12).map(|at| format!("eased-{at}")).collect();
        futures_util::future::join_all(keys.iter().map(|key| issue_at(&app, &app.base, key))).await;
        let calls = app.received("Create");
        let throttled = calls.iter().find(|call| call.fault.is_some()).unwrap().at;
        let soon = |call: &&noshi::sandbox::Received| call.at > throttled && call.at < throttled + TimeDelta::milliseconds(950);
        // The one whose slot was taken before Amazon's answer came may still leave; without easing there are seven.
        let hasty = calls.iter().filter(soon).count();
        assert!(hasty <= 2, "{hasty} left within a second of the throttled one");
        assert!(calls.len() >= 12);
        app.end().await;
    }

    async fn a_throttled_look_at_a_code_eases_the_account_like_a_purchase(backend: Backend) {
        let app = App::shaped(backend, limited()).await;
        let bought = app.issue("bought", "1.00").await;
        app.strike_next(Fault::Throttle);
        app.reveal(bought.id()).await.is_problem(429, "upstream-busy");
        let keys: Vec<String> = (0..4).map(|at| format!("eased-{at}")).collect();
        futures_util::future::join_all(keys.iter().map(|key| issue_at(&app, &app.base, key))).await;
        let calls = app.received("Create");
        let throttled = calls.iter().find(|call| call.fault.is_some()).unwrap().at;
        let hasty = |call: &&noshi::sandbox::Received| call.at > throttled && call.at < throttled + TimeDelta::milliseconds(950);
        assert_eq!(calls.iter().filter(hasty).count(), 0, "left within a second of the throttled one");
        assert_eq!(calls.len(), 6);
        app.end().await;
    }

    async fn funds_that_are_used_up_refuse_new_rewards_before_a_row_is_made(backend: Backend) {
        let app = App::shaped(backend, breaking(10)).await;
        let first = app.issue("too-much", "25.00").await;
        first.is_problem(402, "insufficient-funds");
        let (rows, calls) = (app.database.number("SELECT COUNT(*) FROM rewards").await, app.received("Create").len());
        let second = app.issue("another", "25.00").await;
        second.is_problem(402, "insufficient-funds");
        assert!(second.json["reward_id"].is_null(), "no row was made");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, rows);
        assert_eq!(app.received("Create").len(), calls, "nothing was sent");
        assert!(app.metrics().await.contains("noshi_breaker_open{account=\"main\",reason=\"funds\"} 1"));

        // Funded: the same key tries at once, and its success lets the others in again.
        let mut app = app;
        app.set_funds(1000);
        assert_eq!(app.issue("too-much", "25.00").await.status, 201);
        assert_eq!(app.issue("another", "25.00").await.status, 201);
        assert!(app.metrics().await.contains("noshi_breaker_open{account=\"main\",reason=\"funds\"} 0"));
        books_match(&app).await;
        app.end().await;
    }

    async fn after_half_a_minute_one_new_reward_may_try_a_tripped_account(backend: Backend) {
        let mut app = App::shaped(backend, breaking(1000)).await;
        trip(&app).await;
        app.issue("waits", "5.00").await.is_problem(503, "account-problem");
        assert_eq!(app.received("Create").len(), 2);
        app.advance(31);
        assert_eq!(app.issue("tries", "5.00").await.status, 201);
        assert_eq!(app.issue("waits", "5.00").await.status, 201);
        assert_eq!(app.received("Create").len(), 4);
        assert!(app.control.funds(PARTNER).is_ok());
        app.end().await;
    }

    /// What was written while the clock was a day ahead is no reason to send nothing for a day.
    async fn a_clock_that_is_set_back_a_day_stops_no_rewards_no_breaker_and_no_balance(backend: Backend) {
        let shape = breaking(1000).with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", PER_SECOND);
        let mut app = App::shaped(backend, shape).await;
        app.advance(86_400);
        assert_eq!(app.issue("ahead", "5.00").await.status, 201);
        trip(&app).await;
        let stray = "UPDATE upstream SET urgent_until_us = next_send_us, next_funds_us = next_send_us";
        // The account's row, and that of its partner's questions for balances.
        assert_eq!(app.database.execute(stray).await.unwrap(), 2);

        app.advance(-86_400);
        let asked = app.received("GetAvailableFunds").len();
        assert_eq!(app.issue("tries", "5.00").await.status, 201, "the breaker was to open tomorrow");
        for at in 0..3 {
            assert_eq!(app.issue(&format!("back-{at}"), "5.00").await.status, 201);
        }
        assert!(app.stop().await);
        app.start().await;
        app.until_received("GetAvailableFunds", asked + 1).await;
        books_match(&app).await;
        app.end().await;
    }
}
