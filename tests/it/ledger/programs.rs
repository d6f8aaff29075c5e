//! Making and changing programs, what they refuse, and how fast a suspension holds.

use std::time::Duration;

use noshi::identity::Scopes;
use serde_json::{Value, json};

use crate::{
    process::Served,
    support::{Answer, App, Backend, books::books_match, on_each_backend, order, with_json},
};

pub(super) async fn program(app: &App, id: &str, limits: Value) -> Answer {
    app.post("/v1/programs", json!({"id": id, "name": "Spring", "account_id": "main", "limits": limits})).await
}

pub(super) fn charged(amount: &str, program: &str) -> Value {
    let mut body = order(amount);
    body["program_id"] = json!(program);
    body
}

async fn patch(app: &App, id: &str, body: Value) -> Answer {
    Answer::of(with_json(app.request("PATCH", &format!("/v1/programs/{id}")), &body)).await
}

on_each_backend! {
    async fn a_program_is_made_read_changed_suspended_and_resumed(backend: Backend) {
        let app = App::spawn(backend).await;
        let made = program(&app, "prg_spring", json!([{"span": "day", "hard": "100.00", "soft": "80.00"}])).await;
        assert_eq!((made.status, made.header("location")), (201, "/v1/programs/prg_spring"), "{}", made.text);
        assert_eq!(made.json["limits"], json!([{"span": "day", "unit": "amount", "hard": "100.00", "soft": "80.00"}]));
        assert_eq!((&made.json["currency_code"], &made.json["time_zone"]), (&json!("USD"), &json!("America/New_York")));
        program(&app, "prg_spring", json!([])).await.is_problem(409, "program-conflict");

        let changed = patch(&app, "prg_spring", json!({"name": "Summer", "limits": [{"span": "total", "unit": "count", "hard": "3"}]})).await;
        assert_eq!((changed.status, &changed.json["name"]), (200, &json!("Summer")), "{}", changed.text);
        assert_eq!(changed.json["limits"], json!([{"span": "total", "unit": "count", "hard": "3", "soft": null}]));
        assert_eq!(app.get("/v1/programs/prg_spring").await.json, changed.json);
        assert_eq!(app.get("/v1/programs").await.json["data"], json!([changed.json]));
        patch(&app, "prg_autumn", json!({"name": "x"})).await.is_problem(404, "not-found");

        for (verb, status) in [("suspend", "suspended"), ("suspend", "suspended"), ("resume", "active")] {
            let answer = app.post(&format!("/v1/programs/prg_spring/{verb}"), json!({})).await;
            assert_eq!((answer.status, &answer.json["status"]), (200, &json!(status)), "{}", answer.text);
        }
        let events = app.get("/v1/events").await;
        let kinds: Vec<&str> = events.json["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["program.created", "program.limits_set", "program.renamed", "program.limits_set", "program.suspended", "program.resumed"]);
        let rest = app.get(&format!("/v1/events?cursor={}", events.json["next_cursor"].as_str().unwrap())).await;
        assert_eq!(rest.json["data"], json!([]));
        app.end().await;
    }

    async fn what_makes_no_sense_is_refused_and_changes_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        for (body, pointer) in [
            (json!({"id": "spring", "name": "x", "account_id": "main"}), "/id"),
            (json!({"id": "prg_A", "name": "x", "account_id": "main"}), "/id"),
            (json!({"id": "prg_a", "name": "", "account_id": "main"}), "/name"),
            (json!({"id": "prg_a", "name": "ABCD-EFGHJK-LMNP", "account_id": "main"}), "/name"),
            (json!({"id": "prg_a", "name": "x", "account_id": "other"}), "/account_id"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "week", "hard": "1.00"}]}), "/limits/0/span"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day"}]}), "/limits/0/hard"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day", "hard": "1"}]}), "/limits/0/hard"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day", "unit": "count", "hard": "-1"}]}), "/limits/0/hard"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day", "hard": "1.00", "soft": "2.00"}]}), "/limits/0/soft"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "reward", "unit": "count", "hard": "1"}]}), "/limits/0/span"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day", "hard": "1.00"}, {"span": "day", "hard": "2.00"}]}), "/limits/1"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"span": "day", "hard": "1.00"}, {"span": "month", "hard": "1.00", "unit": "weight"}]}), "/limits/1/unit"),
            (json!({"id": "prg_a", "name": "x", "account_id": "main", "limits": [{"api_key_id": "key_1", "span": "day", "hard": "1.00"}]}), "/limits/0/api_key_id"),
        ] {
            let answer = app.post("/v1/programs", body).await;
            answer.is_problem(400, "invalid-request");
            assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.text);
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM programs").await, 0);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM events").await, 0);
        app.end().await;
    }

    async fn whoever_spends_a_budget_does_not_set_it_and_a_bound_key_charges_one_program(backend: Backend) {
        let mut app = App::spawn(backend).await;
        for id in ["prg_own", "prg_other"] {
            assert_eq!(program(&app, id, json!([])).await.status, 201);
        }
        let (_client, operator) = (app.client, app.key.clone());
        (_, app.key) = app.mint_key("tests", Scopes::new(noshi::server::scopes().into_iter().filter(|scope| scope.is_by_default()))).await;
        program(&app, "prg_mine", json!([])).await.is_problem(403, "insufficient-scope");
        app.post("/v1/programs/prg_own/suspend", json!({})).await.is_problem(403, "insufficient-scope");
        let (_client, bound) = app.mint_bound_key("tests", "prg_own").await;
        app.key = bound;
        app.issue_body("elsewhere", charged("1.00", "prg_other")).await.is_problem(403, "program-forbidden");
        assert!(app.received("Create").is_empty());
        for (key, body) in [("named", charged("1.00", "prg_own")), ("unnamed", order("1.00"))] {
            let issued = app.issue_body(key, body).await;
            assert_eq!((issued.status, &issued.json["program_id"]), (201, &json!("prg_own")), "{}", issued.text);
        }
        assert_eq!(app.get("/v1/programs").await.json["data"].as_array().unwrap().len(), 1);
        app.get("/v1/programs/prg_other").await.is_problem(404, "not-found");
        assert_eq!(app.get("/v1/rewards?program_id=prg_own").await.json["data"].as_array().unwrap().len(), 2);
        assert_eq!(app.get("/v1/rewards?program_id=prg_other").await.json["data"].as_array().unwrap().len(), 0);
        app.key = operator;
        app.issue_body("unknown", charged("1.00", "prg_unknown")).await.is_problem(403, "program-forbidden");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_suspended_program_buys_nothing_and_what_was_bought_goes_on(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([])).await;
        let bought = app.issue_body("before", charged("1.00", "prg_spring")).await;
        app.post("/v1/programs/prg_spring/suspend", json!({})).await;
        let refused = app.issue_body("after", charged("1.00", "prg_spring")).await;
        refused.is_problem(403, "program-suspended");
        assert_eq!((&refused.json["money_moved"], app.received("Create").len()), (&json!("no"), 1));
        app.post("/v1/rewards/validate", charged("1.00", "prg_spring")).await.is_problem(403, "program-suspended");
        assert_eq!(app.issue_body("before", charged("1.00", "prg_spring")).await.code(), bought.code(), "the same key still answers");
        assert_eq!(app.cancel(bought.id()).await.json["status"], "canceled");
        app.post("/v1/programs/prg_spring/resume", json!({})).await;
        assert_eq!(app.issue_body("after", charged("1.00", "prg_spring")).await.status, 201);
        books_match(&app).await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_holds_in_three_replicas_from_its_answer_on() {
    let app = App::spawn(Backend::Postgres).await;
    program(&app, "prg_spring", json!([])).await;
    let replicas = [Served::start(app.environment()), Served::start(app.environment())];
    let mut bases: Vec<String> = replicas.iter().map(|served| served.base.clone()).collect();
    bases.push(app.base.clone());
    let ask = async |at: usize, name: String| {
        let request = app.http.post(format!("{}/v1/rewards", bases[at % 3])).bearer_auth(&app.key);
        Answer::of(with_json(request.header("Idempotency-Key", name), &charged("1.00", "prg_spring"))).await
    };
    // Callers at every replica, all the while.
    let suspended = std::sync::atomic::AtomicBool::new(false);
    let caller = async |at: usize| {
        let (mut bought, mut refused) = (0, 0);
        for round in 0..200 {
            let known = suspended.load(std::sync::atomic::Ordering::SeqCst);
            let answer = ask(at, format!("s-{at}-{round}")).await;
            match answer.status {
                201 => {
                    assert!(!known, "a reward was bought although it was asked for after the suspension's answer");
                    bought += 1;
                }
                403 => refused += 1,
                other => panic!("{other}: {}", answer.text),
            }
            if refused > 5 {
                break;
            }
        }
        (bought, refused)
    };
    let switch = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(app.post("/v1/programs/prg_spring/suspend", json!({})).await.status, 200);
        suspended.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (counts, ()) = tokio::join!(futures_util::future::join_all((0..6).map(caller)), switch);
    assert!(counts.iter().all(|(bought, refused)| *bought > 0 && *refused > 5), "{counts:?}");
    for served in replicas {
        assert!(served.terminate().success());
    }
    books_match(&app).await;
    app.end().await;
}

/// Somebody who hears of an error may go on buying, or believe that others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_program_that_is_answered_by_an_error_was_not_made() {
    let app = App::spawn(Backend::Sqlite).await;
    assert_eq!(program(&app, "prg_spring", json!([])).await.status, 201);
    for (kind, path, body) in [
        ("program.suspended", "/v1/programs/prg_spring/suspend", json!({})),
        ("program.created", "/v1/programs", json!({"id": "prg_autumn", "name": "x", "account_id": "main"})),
    ] {
        // What the answer shows cannot be read any more once the change is made.
        let odd = format!(
            "CREATE TRIGGER odd AFTER INSERT ON facts WHEN NEW.kind = '{kind}' \
             BEGIN INSERT INTO program_limits (program_id, holder, span, unit, hard) \
             VALUES (NEW.subject, 'key_{}', 'total', 'amount', 1); END",
            "z".repeat(32)
        );
        app.database.execute(&odd).await.unwrap();
        let refused = app.post(path, body.clone()).await;
        assert!(refused.status >= 500, "{kind}: {}", refused.text);
        let written = format!("SELECT COUNT(*) FROM facts WHERE kind = '{kind}'");
        assert_eq!(app.database.number(&written).await, i64::from(kind == "program.created"), "{kind}: only the first");
        app.database.execute("DROP TRIGGER odd").await.unwrap();
        assert!(app.post(path, body).await.status < 300, "{kind}: the same again is done");
    }
    app.end().await;
}
