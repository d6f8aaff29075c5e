//! The floor of an account's funds: what purchases leave untouched, whoever buys, at whichever replica.

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::{Value, json};

use super::{events, observe, settle};
use crate::{
    process::Served,
    support::{
        Answer, App, Backend, Shape,
        books::books_match,
        faults::{of, of_create},
        on_each_backend, order, wait, with_json,
    },
};

/// So much at Amazon, and of it kept; the largest reward is 10.00.
fn floored(funds: i64, floor: &str) -> Shape {
    Shape { funds, ..Shape::default() }
        .with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "10.00")
        .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_MAXIMUM", "unlimited")
        .with("NOSHI__ACCOUNTS__MAIN__FUNDS_FLOOR", floor)
}

/// A service that knows its funds: Amazon has reported them.
async fn ready(backend: Backend, shape: Shape) -> App {
    let app = App::shaped(backend, shape).await;
    app.until_number("SELECT COUNT(*) FROM funds_floors", 1).await;
    app
}

fn refused(answer: &Answer) {
    answer.is_problem(402, "insufficient-funds");
    assert!(answer.json["detail"].as_str().unwrap().ends_with("funds_floor"), "{}", answer.text);
    assert_eq!((&answer.json["retryable"], &answer.json["money_moved"]), (&json!(true), &json!("no")));
    assert!(answer.is_spread_over(60), "{:?}", answer.headers);
}

on_each_backend! {
    async fn purchases_leave_the_floor_and_what_exists_is_answered_as_ever(backend: Backend) {
        let mut app = ready(backend, floored(100, "70.00")).await;
        let first = app.issue("first", "10.00").await;
        for (key, amount) in [("second", "10.00"), ("third", "9.85")] {
            assert_eq!(app.issue(key, amount).await.status, 201);
        }
        let (rows, sent) = (app.database.number("SELECT COUNT(*) FROM rewards").await, app.received("Create").len());
        for key in ["fourth", "fourth", "fifth"] {
            refused(&app.issue(key, "0.16").await);
        }
        refused(&app.post("/v1/rewards/validate", order("0.16")).await);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, rows, "a refusal makes no row");
        assert_eq!(app.received("Create").len(), sent, "and sends nothing");
        assert_eq!(app.issue("to-the-cent", "0.15").await.status, 201);
        // What exists: the same key, the code, the cancel.
        let again = app.issue("first", "10.00").await;
        assert_eq!((again.status, again.code()), (200, first.code()));
        assert_eq!(app.reveal(first.id()).await.code(), first.code());
        assert_eq!(app.cancel(first.id()).await.json["status"], "canceled");
        // Reported once, and counted each time.
        let told = events(&app, "funds_floor.reached").await;
        let data = json!({"funds_floor": "70.00", "currency_code": "USD"});
        assert_eq!(told.iter().map(|event| (&event["subject"], &event["data"])).collect::<Vec<_>>(), [(&json!("main"), &data)]);
        let counted = "noshi_ceiling_refusals_total{account=\"main\",ceiling=\"funds_floor\"} 3";
        assert!(app.metrics().await.contains(counted), "{}", app.metrics().await);
        // What was given back is there once Amazon's reports agree on it: one alone may be a mistake.
        refused(&app.issue("sixth", "10.00").await);
        observe(&mut app).await;
        refused(&app.issue("sixth", "10.00").await);
        settle(&mut app).await;
        assert_eq!(app.issue("sixth", "10.00").await.status, 201);
        refused(&app.issue("seventh", "0.15").await);
        assert_eq!(events(&app, "funds_floor.reached").await.len(), 2, "there was room in between");
        books_match(&app).await;
        app.end().await;
    }

    /// Less counts at once: somebody else buys with the account.
    async fn what_is_bought_elsewhere_counts_from_the_next_report_on(backend: Backend) {
        let mut app = ready(backend, floored(100, "70.00")).await;
        app.set_funds(75);
        assert_eq!(observe(&mut app).await["available"]["amount"], "75.00");
        refused(&app.issue("large", "5.01").await);
        assert_eq!(app.issue("fits", "5.00").await.status, 201);
        app.set_funds(1_000);
        settle(&mut app).await;
        assert_eq!(app.issue("large", "10.00").await.status, 201);
        app.end().await;
    }

    /// A purchase whose answer is lost may have been deducted already when Amazon is asked, or not yet: it is taken for not yet.
    async fn what_is_on_the_way_is_not_spent_a_second_time(backend: Backend) {
        let mut app = ready(backend, floored(100, "80.00")).await;
        let lost = FaultRule { times: None, ..of_create(Fault::DropBeforeWork) };
        app.control.script(FaultRule { creation_request_id: Some(app.amazon_id("lost")), ..lost }).unwrap();
        app.issue("lost", "10.00").await.is_accepted();
        assert_eq!(observe(&mut app).await["available"]["amount"], "100.00", "Amazon has not carried it out");
        assert_eq!(app.issue("fits", "9.90").await.status, 201);
        refused(&app.issue("another", "0.15").await);
        app.control.clear_faults();
        app.end().await;
    }

    /// A replica without the floor takes the row away while this one waits for Amazon: what was let in before is counted in no row.
    async fn a_report_that_was_asked_for_before_the_row_went_covers_nothing(backend: Backend) {
        let app = ready(backend, floored(100, "10.00")).await;
        for key in ["a", "b", "c"] {
            assert_eq!(app.issue(key, "10.00").await.status, 201);
        }
        let asked = app.received("GetAvailableFunds").len();
        let slow = Fault::Delay { milliseconds: 1_500 };
        app.control.script(of(Operation::GetAvailableFunds, slow, 1)).unwrap();
        let another = async {
            wait::until("Amazon is asked", async || app.received("GetAvailableFunds").len() > asked).await;
            assert_eq!(app.database.execute("DELETE FROM funds_floors").await.unwrap(), 1);
            app.database.execute("UPDATE treasury SET version = version + 1").await.unwrap();
        };
        let ask = async {
            wait::until("a report is asked for", async || {
                app.post("/v1/balances/main/refresh", json!({})).await;
                app.received("GetAvailableFunds").len() > asked
            })
            .await;
        };
        futures_util::future::join(ask, another).await;
        app.until_number("SELECT COUNT(*) FROM funds_floors", 1).await;
        let room = app.database.number("SELECT covered_minor - let_in_minor FROM funds_floors").await;
        assert_eq!(room, 7_000, "what Amazon has");
        app.end().await;
    }

    /// The try that Amazon refused counted, and the next one does as well: it is as dear.
    async fn another_try_of_a_refused_reward_leaves_the_floor(backend: Backend) {
        let mut app = ready(backend, floored(100, "90.00")).await;
        app.without_funds("one");
        app.issue("one", "10.00").await.is_problem(402, "insufficient-funds");
        refused(&app.issue("one", "10.00").await);
        settle(&mut app).await;
        assert_eq!(app.issue("one", "10.00").await.status, 201);
        refused(&app.issue("two", "0.15").await);
        books_match(&app).await;
        app.end().await;
    }

    /// A small deposit makes room for small rewards alone, and the next day is another operator's.
    async fn a_floor_that_is_reached_again_is_reported_on_each_day_it_is(backend: Backend) {
        let mut app = ready(backend, floored(75, "70.00")).await;
        let reached = async |app: &App| events(app, "funds_floor.reached").await.len();
        refused(&app.issue("first", "5.01").await);
        refused(&app.issue("second", "5.01").await);
        assert_eq!(reached(&app).await, 1, "once on a day");
        for day in 1..=2 {
            app.advance(24 * 3600);
            app.set_funds(76);
            settle(&mut app).await;
            assert_eq!(app.issue(&format!("small-{day}"), "1.00").await.status, 201);
            refused(&app.issue(&format!("again-{day}"), "6.00").await);
            refused(&app.issue(&format!("and-again-{day}"), "6.00").await);
            assert_eq!(reached(&app).await, 1 + day, "day {day}");
        }
        app.end().await;
    }

    /// Nothing is bought on trust; and it goes on by itself.
    async fn funds_that_amazon_has_not_reported_buy_nothing(backend: Backend) {
        let mut app = App::not_started(crate::support::Database::migrated(backend).await, floored(100, "70.00")).await;
        let away = FaultRule { times: None, ..of(Operation::GetAvailableFunds, Fault::DropBeforeWork, 1) };
        app.control.script(away).unwrap();
        app.start().await;
        app.mint_own_key().await;
        let answer = app.issue("first", "1.00").await;
        answer.is_problem(503, "dependency-unavailable");
        assert_eq!((&answer.json["money_moved"], app.received("Create").len()), (&json!("no"), 0));
        assert_eq!(events(&app, "funds_floor.reached").await, Vec::<Value>::new(), "nobody knows that it is");
        app.control.clear_faults();
        wait::until("the funds are known, and the reward is bought", async || app.issue("first", "1.00").await.status == 201).await;
        // A report of more than a day ago says nothing: replicas without the setting may have bought since.
        assert!(app.stop().await);
        let long_ago = "UPDATE funds_floors SET as_of = '2020-01-01T00:00:00+00:00'";
        assert_eq!(app.database.execute(long_ago).await.unwrap(), 1);
        app.start().await;
        wait::until("the funds are known again", async || app.issue("second", "1.00").await.status == 201).await;
        app.end().await;
    }
}

/// Every replica counts in the same row, while Amazon is asked again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_together_leave_exactly_the_floor() {
    let mut app = ready(Backend::Postgres, floored(100, "40.00")).await;
    let replicas = [Served::start(app.environment()), Served::start(app.environment())];
    let mut bases: Vec<String> = replicas.iter().map(|served| served.base.clone()).collect();
    bases.push(app.base.clone());
    let caller = async |at: usize| {
        let mut bought = 0;
        for round in 0..10 {
            let request = app.http.post(format!("{}/v1/rewards", bases[at % 3])).bearer_auth(&app.key);
            let name = format!("race-{at}-{round}");
            let answer = Answer::of(with_json(request.header("Idempotency-Key", name), &order("1.00"))).await;
            match answer.status {
                201 => bought += 1,
                _ => answer.is_problem(402, "insufficient-funds"),
            }
        }
        bought
    };
    let asks = async {
        for _ in 0..10 {
            assert_eq!(app.post("/v1/balances/main/refresh", json!({})).await.status, 200);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let callers = futures_util::future::join_all((0..12).map(caller));
    let (bought, ()) = futures_util::future::join(callers, asks).await;
    let raced: usize = bought.iter().sum();
    assert!(raced <= 60 && raced == app.live_cards().len(), "{raced}: {bought:?}");
    // A report that came in between took what was on the way for lost. Once all reports of some minutes agree, the rest can be
    // bought, and no more. The first such minutes may have begun with one of those.
    settle(&mut app).await;
    settle(&mut app).await;
    let mut rest = 0;
    while app.issue(&format!("rest-{rest}"), "1.00").await.status == 201 {
        rest += 1;
    }
    assert_eq!((raced + rest, app.live_cards().len()), (60, 60));
    assert_eq!(app.control.funds(crate::support::PARTNER).unwrap(), rust_decimal::Decimal::from(40));
    for served in replicas {
        assert!(served.terminate().success());
    }
    app.end().await;
}

/// Nothing can be bought, so Amazon is asked out of turn; but neither it nor the log is flooded while it does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_amazon_does_not_say_the_funds_the_log_hears_of_the_beginning_and_of_the_end() {
    let shape = floored(100, "70.00").with("NOSHI__BALANCES__POLL_SECONDS", 240);
    let mut app = App::not_started(crate::support::Database::migrated(Backend::Sqlite).await, shape).await;
    let away = FaultRule { times: None, ..of(Operation::GetAvailableFunds, Fault::DropBeforeWork, 1) };
    app.control.script(away).unwrap();
    app.mint_own_key().await;
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    app.until_received("GetAvailableFunds", 3).await;
    app.control.clear_faults();
    wait::until("the reward is bought", async || app.issue("first", "1.00").await.status == 201).await;
    let lines = |start: &str| {
        let log = served.log();
        log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(start))).count()
    };
    wait::until("the end is reported", async || lines("Amazon says the balance again") == 1).await;
    assert_eq!(lines("Amazon did not say the balance"), 1);
    assert!(served.terminate().success());
    app.end().await;
}
