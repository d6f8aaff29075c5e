//! While the caller still waits, an attempt without a proven outcome is repeated: most callers have their code after all,
//! and whoever has waited in vain hears 202 in time.

mod impatient;

use std::time::Duration;

use futures_util::future::join_all;
use noshi::sandbox::{CardState, Fault, FaultRule};
use serde_json::json;
use sqlx::Executor;

use crate::support::{
    Answer, App, Backend, Shape,
    books::books_match,
    faults::{of_cancel, refusal},
    on_each_backend, order,
    wait::until,
    with_json,
};

fn waiting() -> Shape {
    Shape::default().with("NOSHI__REWARDS__REPLAY_WHILE_WAITED", "true")
}

/// The caller's time is counted from the request, not from when its key has been looked up: the answer is there while
/// the first attempt still runs. PostgreSQL only: on SQLite readers wait for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_slow_to_know_the_caller_has_used_up_some_of_the_time() {
    let shape =
        waiting().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 3).with("NOSHI__REWARDS__ANSWER_WITHIN_SECONDS", 4);
    let app = App::shaped(Backend::Postgres, shape).await;
    app.strike("slow", Fault::Hang, 5);
    let mut other = app.database.postgres().await;
    other.execute("BEGIN").await.unwrap();
    other.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(app.issue("slow", "10.00"), release);
    answer.is_accepted();
    assert_eq!(answer.json["status"], "issuing", "the first attempt was over before the answer: {}", answer.text);
    app.control.clear_faults();
    app.until(answer.id(), "issued").await;
    books_match(&app).await;
    app.end().await;
}

on_each_backend! {
    async fn who_still_waits_has_the_code_after_a_replay(backend: Backend) {
        let app = App::shaped(backend, waiting().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)).await;
        let faults = [
            Fault::Hang, Fault::DropBeforeWork, Fault::DropAfterWork, Fault::ResetInBody, Fault::Garbage, Fault::SignatureExpired,
            Fault::Resend { after_work: true }, Fault::Throttle, Fault::HtmlError { status: 503, after_work: false },
        ];
        let asked = faults.into_iter().map(|fault| async {
            let key = format!("{fault:?}");
            app.strike(&key, fault, 1);
            let answer = app.issue(&key, "10.00").await;
            assert_eq!((answer.status, &answer.json["status"]), (201, &json!("issued")), "{key}: {}", answer.text);
            let card = app.control.book().into_iter().find(|card| card.creation_request_id == app.amazon_id(&key)).unwrap();
            assert_eq!((card.state, card.claim_code.as_str()), (CardState::Live, answer.code()), "{key}");
            assert_eq!(app.calls_of(&key, "Create"), 2, "{key}");
            let proven = app.events(answer.id()).await;
            assert_eq!(proven[2..], ["attempt.sent", "reward.issued"], "{key}: {proven:?}");
        });
        join_all(asked).await;
        books_match(&app).await;
        app.end().await;
    }

    async fn keys_that_amazon_turns_away_cost_one_attempt_and_the_caller_hears_it_at_once(backend: Backend) {
        let app = App::shaped(backend, waiting().with("NOSHI__REWARDS__BREAKER_SECONDS", 30)).await;
        app.control.script(FaultRule::always(Fault::BadKey)).unwrap();
        app.issue("keys", "10.00").await.is_problem(503, "account-problem");
        app.issue("other", "10.00").await.is_problem(503, "account-problem");
        assert_eq!((app.calls_of("keys", "Create"), app.calls_of("other", "Create")), (1, 0));
        app.control.clear_faults();
        let cured = app.issue("keys", "10.00").await;
        assert_eq!((cured.status, app.calls_of("keys", "Create")), (201, 2), "{}", cured.text);
        books_match(&app).await;
        app.end().await;
    }

    async fn who_waits_in_vain_hears_202_with_what_is_known_by_then(backend: Backend) {
        let app = App::shaped(backend, waiting()).await;
        app.strike("vain", Fault::DropAfterWork, 3);
        let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", "vain").header("Prefer", "wait=2");
        let answer = Answer::of(with_json(request, &order("10.00"))).await;
        answer.is_accepted();
        assert_eq!((&answer.json["status"], &answer.json["last_error"]["error_code"]), (&json!("unresolved"), &json!("connection_lost")));
        assert!(app.calls_of("vain", "Create") >= 2, "they waited for another attempt");
        app.until(answer.id(), "issued").await;
        assert_eq!(app.control.book().len(), 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_that_comes_between_two_attempts_is_heard(backend: Backend) {
        let app = App::shaped(backend, waiting()).await;
        // Once when it is proven that nothing was sent, once when the card may exist.
        for (key, fault, calls) in [("unsent", Fault::SignatureExpired, 1), ("open", Fault::DropAfterWork, 2)] {
            app.strike(key, fault, 1);
            let cancel = async {
                until(&format!("{key} is sent"), async || app.calls_of(key, "Create") == 1).await;
                let mut listed = app.get(&format!("/v1/rewards?external_id={key}")).await;
                while !matches!(listed.json["data"][0]["status"].as_str(), Some("pending" | "unresolved")) {
                    listed = app.get(&format!("/v1/rewards?external_id={key}")).await;
                }
                app.cancel(listed.json["data"][0]["id"].as_str().unwrap()).await
            };
            let mut body = order("10.00");
            body["external_id"] = json!(key);
            let (issued, canceled) = tokio::join!(app.issue_body(key, body), cancel);
            assert!(matches!(canceled.status, 200 | 202), "{key}: {}", canceled.text);
            assert_eq!((issued.status, &issued.json["status"]), (200, &json!("canceled")), "{key}: {}", issued.text);
            assert_eq!(app.calls_of(key, "Create"), calls, "{key}");
        }
        assert!(app.live_cards().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn on_unresolved_cancel_means_not_proven_while_the_caller_waits(backend: Backend) {
        let app = App::shaped(backend, waiting()).await;
        let mut careful = order("10.00");
        careful["on_unresolved"] = json!("cancel");
        for (key, fault) in [("proven", Fault::DropAfterWork), ("sent", Fault::SignatureExpired)] {
            app.strike(key, fault, 1);
            let answer = app.issue_body(key, careful.clone()).await;
            assert_eq!((answer.status, &answer.json["status"]), (201, &json!("issued")), "{key}: {}", answer.text);
        }
        app.strike("unproven", Fault::DropAfterWork, 2);
        let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", "unproven").header("Prefer", "wait=1");
        let answer = Answer::of(with_json(request, &careful)).await;
        answer.is_accepted();
        app.until(answer.id(), "canceled").await;
        assert_eq!(app.live_cards().len(), 2);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_whose_answer_is_lost_is_repeated_while_its_caller_waits(backend: Backend) {
        let app = App::shaped(backend, waiting()).await;
        for fault in [Fault::DropAfterWork, Fault::DropBeforeWork, Fault::BadKey, Fault::Resend { after_work: true }] {
            let key = format!("{fault:?}");
            let bought = app.issue(&key, "10.00").await;
            app.control.script(of_cancel(fault)).unwrap();
            let canceled = app.cancel(bought.id()).await;
            assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{key}: {}", canceled.text);
            assert_eq!(app.calls_of(&key, "Cancel"), 2, "{key}");
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_request_that_is_refused_again_and_again_in_doubt_needs_a_person(backend: Backend) {
        let app = App::spawn(backend).await;
        app.strike("refused", Fault::DropAfterWork, 1);
        app.strike("refused", refusal("F200", "MaxAmountExceeded"), 9);
        let open = app.issue("refused", "10.00").await;
        open.is_accepted();
        let stored = app.until(open.id(), "needs_attention").await;
        assert_eq!(stored["attention"], "refused_in_doubt");
        assert_eq!(app.calls_of("refused", "Create"), 4, "three refusals after the doubt");
        let listed = app.metrics().await;
        assert!(listed.contains("noshi_rewards_in_state{account=\"main\",state=\"needs_attention\"} 1"));
        assert_eq!(app.live_cards().len(), 1, "which is why nobody may take it as not bought");
        app.end().await;
    }
}
