//! Budgets: never passed, whoever races; given back when nothing was bought; begun anew at the account's midnight.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::programs::{charged, program};
use crate::{
    process::Served,
    support::{
        Answer, App, Backend, books::books_match, faults::refusal, on_each_backend, rounds::count_of, with_json,
    },
};

/// Rounds of the race in an everyday run.
const ROUNDS: usize = 20;
const RACERS: usize = 64;

async fn budget(app: &App, span: &str) -> Value {
    let all = app.get("/v1/programs/prg_spring/budget").await;
    let of_span = |budget: &&Value| budget["span"] == span && budget["api_key_id"].is_null();
    all.json["budgets"].as_array().unwrap().iter().find(of_span).cloned().unwrap_or(Value::Null)
}

/// Sixty-four at once against what is left for ten, round after round, at these replicas.
async fn race(app: &App, bases: &[String], rounds: usize) {
    for round in 0..rounds {
        let id = format!("prg_race_{round}");
        // Once by money, once by number.
        let limit = if round % 2 == 0 {
            json!({"span": "day", "hard": "10.00"})
        } else {
            json!({"span": "total", "unit": "count", "hard": "10"})
        };
        assert_eq!(program(app, &id, json!([limit])).await.status, 201);
        let racer = async |at: usize| {
            let request = app.http.post(format!("{}/v1/rewards", bases[at % bases.len()])).bearer_auth(&app.key);
            let request = request.header("Idempotency-Key", format!("{id}-{at}"));
            let answer = Answer::of(with_json(request, &charged("1.00", &id))).await;
            match answer.status {
                201 => true,
                403 => {
                    answer.is_problem(403, "budget-exceeded");
                    false
                }
                other => panic!("{other}: {}", answer.text),
            }
        };
        let bought = join_all((0..RACERS).map(racer)).await.into_iter().filter(|bought| *bought).count();
        assert_eq!(bought, 10, "round {round}");
    }
    let rows = app.database.number("SELECT COUNT(*) FROM rewards").await;
    assert_eq!(rows, i64::try_from(10 * rounds).unwrap(), "a refusal makes no row");
    assert_eq!(app.live_cards().len(), 10 * rounds);
    let open = "SELECT COUNT(*) FROM budget_usage WHERE reserved_minor <> 0 OR reserved_count <> 0";
    assert_eq!(app.database.number(open).await, 0, "nothing is left reserved");
    let used = "SELECT COUNT(*) FROM budget_usage WHERE used_minor <> 1000 OR used_count <> 10";
    assert_eq!(app.database.number(used).await, 0, "exactly the budget was spent, in every count of it");
    books_match(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_racing_requests_spend_exactly_the_budget_on_sqlite() {
    let rounds = count_of("NOSHI_TEST_BUDGET_ROUNDS", ROUNDS);
    let app = App::spawn(Backend::Sqlite).await;
    race(&app, std::slice::from_ref(&app.base), rounds).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_racing_requests_at_three_replicas_spend_exactly_the_budget_on_postgres() {
    let rounds = count_of("NOSHI_TEST_BUDGET_ROUNDS", ROUNDS);
    let app = App::spawn(Backend::Postgres).await;
    let replicas = [Served::start(app.environment()), Served::start(app.environment())];
    let mut bases: Vec<String> = replicas.iter().map(|served| served.base.clone()).collect();
    bases.push(app.base.clone());
    race(&app, &bases, rounds).await;
    for served in replicas {
        assert!(served.terminate().success());
    }
    app.end().await;
}

/// The service's connections to PostgreSQL.
async fn connections(app: &App) -> BTreeSet<String> {
    let ours = "SELECT string_agg(CAST(pid AS TEXT), ' ') FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'noshi'";
    app.database.text(ours).await.split(' ').map(str::to_owned).collect()
}

/// A transaction that is only dropped closes its connection. A caller may come back to a used-up budget often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_its_budget_refuses_keeps_its_connection_to_postgres() {
    let app = App::spawn(Backend::Postgres).await;
    program(&app, "prg_spring", json!([{"span": "total", "hard": "10.00"}])).await;
    app.strike_next(refusal("F300", "InsufficientFunds"));
    app.issue_body("first", charged("6.00", "prg_spring")).await.is_problem(402, "insufficient-funds");
    assert_eq!(app.issue_body("second", charged("6.00", "prg_spring")).await.status, 201);
    let before = connections(&app).await;
    for _again in 0..8 {
        app.issue_body("first", charged("6.00", "prg_spring")).await.is_problem(403, "budget-exceeded");
        program(&app, "prg_spring", json!([])).await.is_problem(409, "program-conflict");
    }
    let after = connections(&app).await;
    assert!(before.is_subset(&after), "{before:?} became {after:?}");
    app.end().await;
}

on_each_backend! {
    async fn what_was_not_bought_or_was_given_back_is_free_again(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "month", "hard": "10.00"}])).await;
        let kept = app.issue_body("kept", charged("4.00", "prg_spring")).await;
        app.strike_next(refusal("F300", "AccountHasProblems"));
        app.issue_body("refused", charged("6.00", "prg_spring")).await.is_problem(503, "account-problem");
        let month = budget(&app, "month").await;
        assert_eq!((&month["used"], &month["reserved"], &month["remaining"]), (&json!("4.00"), &json!("0.00"), &json!("6.00")));
        let back = app.issue_body("back", charged("6.00", "prg_spring")).await;
        let more = app.issue_body("more", charged("0.15", "prg_spring")).await;
        more.is_problem(403, "budget-exceeded");
        assert!(more.json["retryable"] == true && more.headers.contains_key("retry-after"), "{}", more.text);
        // Next month as well.
        let larger = app.issue_body("larger", charged("10.15", "prg_spring")).await;
        larger.is_problem(403, "budget-exceeded");
        assert!(larger.json["retryable"] == false && !larger.headers.contains_key("retry-after"), "{}", larger.text);
        assert_eq!(larger.json["detail"], "the reward is larger than the program's budget (month)");
        assert_eq!(app.cancel(back.id()).await.json["status"], "canceled");
        assert_eq!(budget(&app, "month").await["remaining"], "6.00");
        // The refused one is tried again with its own key: it fits, and is charged.
        assert_eq!(app.issue_body("refused", charged("6.00", "prg_spring")).await.status, 201);
        let total = budget(&app, "total").await;
        assert_eq!((&total["used"], &total["used_count"], &total["remaining"]), (&json!("10.00"), &json!(2), &json!(null)));
        assert_eq!(app.read(kept.id()).await["program_id"], "prg_spring");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_refusal_that_is_cured_too_late_for_the_budget_stays_refused(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "total", "hard": "10.00"}])).await;
        app.strike_next(refusal("F300", "InsufficientFunds"));
        app.issue_body("first", charged("6.00", "prg_spring")).await.is_problem(402, "insufficient-funds");
        assert_eq!(app.issue_body("second", charged("6.00", "prg_spring")).await.status, 201);
        app.issue_body("first", charged("6.00", "prg_spring")).await.is_problem(403, "budget-exceeded");
        assert_eq!(app.received("Create").len(), 2);
        assert_eq!(budget(&app, "total").await["used"], "6.00");
        books_match(&app).await;
        app.end().await;
    }

    /// The day of the first try has no room left, and is over. The caller need not name the program again.
    async fn a_refusal_that_is_cured_after_midnight_is_charged_to_the_new_day(backend: Backend) {
        let mut app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "day", "hard": "10.00"}])).await;
        app.strike_next(refusal("F300", "InsufficientFunds"));
        app.issue_body("cured", charged("6.00", "prg_spring")).await.is_problem(402, "insufficient-funds");
        assert_eq!(app.issue_body("other", charged("10.00", "prg_spring")).await.status, 201);
        // No day is longer.
        app.advance(25 * 3600);
        let again = app.issue("cured", "6.00").await;
        assert_eq!((again.status, &again.json["program_id"]), (201, &json!("prg_spring")), "{}", again.text);
        assert_eq!(budget(&app, "day").await["used"], "6.00");
        assert_eq!(budget(&app, "total").await["used"], "16.00");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_try_whose_row_has_changed_meanwhile_reserves_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "total", "hard": "10.00"}])).await;
        app.strike_next(refusal("F300", "InsufficientFunds"));
        app.issue_body("late", charged("6.00", "prg_spring")).await.is_problem(402, "insufficient-funds");
        // Between the reservation and the change of the row.
        let (overtake, end) = match backend {
            Backend::Sqlite => (
                "CREATE TRIGGER overtaken AFTER UPDATE ON budget_usage \
                 BEGIN UPDATE rewards SET version = version + 1; END",
                "DROP TRIGGER overtaken",
            ),
            Backend::Postgres => (
                "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN UPDATE rewards SET version = version + 1; RETURN NULL; END $$; \
                 CREATE TRIGGER overtaken AFTER UPDATE ON budget_usage FOR EACH STATEMENT EXECUTE FUNCTION overtake()",
                "DROP TRIGGER overtaken ON budget_usage",
            ),
        };
        app.database.execute(overtake).await.unwrap();
        app.issue_body("late", charged("6.00", "prg_spring")).await.is_problem(402, "insufficient-funds");
        app.database.execute(end).await.unwrap();
        assert_eq!(app.received("Create").len(), 1);
        let total = budget(&app, "total").await;
        assert_eq!((&total["reserved"], &total["used"]), (&json!("0.00"), &json!("0.00")));
        assert_eq!(app.issue_body("late", charged("6.00", "prg_spring")).await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    async fn an_unknown_outcome_holds_its_budget_until_it_is_proven(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "day", "hard": "10.00"}])).await;
        app.strike_next(Fault::DropAfterWork);
        let open = app.issue_body("open", charged("6.00", "prg_spring")).await;
        open.is_accepted();
        app.issue_body("other", charged("5.00", "prg_spring")).await.is_problem(403, "budget-exceeded");
        app.until(open.id(), "issued").await;
        let day = budget(&app, "day").await;
        assert_eq!((&day["used"], &day["reserved"]), (&json!("6.00"), &json!("0.00")));
        books_match(&app).await;
        app.end().await;
    }

    async fn a_day_begins_at_the_accounts_midnight_and_the_refusal_says_when(backend: Backend) {
        let mut app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "day", "unit": "count", "hard": "1"}])).await;
        assert_eq!(app.issue_body("one", charged("1.00", "prg_spring")).await.status, 201);
        let refused = app.issue_body("two", charged("1.00", "prg_spring")).await;
        refused.is_problem(403, "budget-exceeded");
        let seconds = refused.header("retry-after").parse().unwrap();
        let back = app.ambient.now() + chrono::TimeDelta::seconds(seconds);
        let resets = budget(&app, "day").await["resets_at"].as_str().unwrap().to_owned();
        let resets = chrono::DateTime::parse_from_rfc3339(&resets).unwrap().to_utc();
        assert!((-2..=62).contains(&back.signed_duration_since(resets).num_seconds()), "{resets}, and {back} for the caller");
        let left = resets.signed_duration_since(app.ambient.now()).num_seconds();
        assert!((0..=25 * 3600).contains(&left), "{left}");
        app.advance(left - 2);
        app.issue_body("two", charged("1.00", "prg_spring")).await.is_problem(403, "budget-exceeded");
        app.advance(4);
        assert_eq!(app.issue_body("two", charged("1.00", "prg_spring")).await.status, 201, "a new day");
        app.end().await;
    }

    async fn every_limit_is_shown_before_the_first_purchase_and_on_each_new_day(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let key = app.get("/v1/ping").await.json["key_id"].as_str().unwrap().to_owned();
        program(&app, "prg_spring", json!([
            {"span": "reward", "hard": "15.00"}, {"span": "day", "hard": "20.00"},
            {"span": "day", "unit": "count", "hard": "7"}, {"span": "total", "soft": "50.00"},
            {"api_key_id": key, "span": "day", "hard": "5.00"},
        ])).await;
        let shown = async |app: &App| {
            let all = app.get("/v1/programs/prg_spring/budget").await;
            let budgets = all.json["budgets"].as_array().unwrap().clone();
            budgets.into_iter().map(|budget| json!([
                budget["api_key_id"], budget["span"], budget["used"], budget["remaining"], budget["remaining_count"],
                budget["resets_at"].is_string()
            ])).collect::<Vec<_>>()
        };
        let untouched = [
            json!([null, "day", "0.00", "20.00", 7, true]), json!([null, "total", "0.00", null, null, false]),
            json!([key, "day", "0.00", "5.00", null, true]),
        ];
        assert_eq!(shown(&app).await, untouched);
        assert_eq!(app.issue_body("one", charged("2.00", "prg_spring")).await.status, 201);
        let day = budget(&app, "day").await;
        assert_eq!((&day["used"], &day["remaining"], &day["period"].as_str().unwrap().len()), (&json!("2.00"), &json!("18.00"), &10));
        app.advance(32 * 24 * 3600);
        let later = shown(&app).await;
        assert_eq!((&later[0], &later[1][2]), (&untouched[0], &json!("2.00")), "a new day, and the same total");
        assert!(later.contains(&untouched[2]), "{later:?}");
        app.end().await;
    }

    async fn one_reward_and_one_key_have_limits_of_their_own(backend: Backend) {
        let app = App::spawn(backend).await;
        let key = app.get("/v1/ping").await.json["key_id"].as_str().unwrap().to_owned();
        program(&app, "prg_spring", json!([
            {"span": "reward", "hard": "20.00"}, {"span": "day", "hard": "100.00"},
            {"api_key_id": key, "span": "day", "hard": "30.00"}, {"api_key_id": key, "span": "reward", "hard": "15.00"},
        ])).await;
        let large = app.issue_body("large", charged("15.01", "prg_spring")).await;
        large.is_problem(403, "limit-exceeded");
        assert!(large.json["detail"].as_str().unwrap().contains("15.00 USD"), "{}", large.text);
        for key in ["a", "b"] {
            assert_eq!(app.issue_body(key, charged("15.00", "prg_spring")).await.status, 201);
        }
        app.issue_body("c", charged("0.15", "prg_spring")).await.is_problem(403, "budget-exceeded");
        let mut app = app;
        (_, app.key) = app.mint_key("tests", noshi::identity::Scopes::new(noshi::server::scopes())).await;
        assert_eq!(app.issue_body("d", charged("20.00", "prg_spring")).await.status, 201, "another key has its own");
        app.issue_body("e", charged("20.01", "prg_spring")).await.is_problem(403, "limit-exceeded");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_threshold_is_told_once_and_again_after_it_was_left(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([{"span": "total", "hard": "10.00", "soft": "8.00"}])).await;
        let told = async || {
            let events = app.get("/v1/events").await;
            let of_budget = |event: &&Value| event["type"].as_str().unwrap().starts_with("budget.");
            events.json["data"].as_array().unwrap().iter().filter(of_budget).map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        app.issue_body("a", charged("6.50", "prg_spring")).await;
        assert!(told().await.is_empty());
        let second = app.issue_body("b", charged("3.00", "prg_spring")).await;
        app.issue_body("c", charged("0.25", "prg_spring")).await;
        assert_eq!(told().await, ["budget.threshold_reached"]);
        app.issue_body("d", charged("0.25", "prg_spring")).await;
        assert_eq!(told().await, ["budget.threshold_reached", "budget.exhausted"]);
        app.cancel(second.id()).await;
        app.issue_body("e", charged("1.00", "prg_spring")).await;
        assert_eq!(told().await.len(), 3, "it was left and reached again");
        books_match(&app).await;
        app.end().await;
    }
}
