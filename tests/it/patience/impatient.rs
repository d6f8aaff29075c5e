//! `on_unresolved: cancel` holds for whoever stops waiting without a code: the customer is paid otherwise, so no card may
//! stay.

use std::time::Duration;

use noshi::sandbox::{CardState, Fault};
use serde_json::{Value, json};

use crate::support::{Answer, App, Backend, Shape, books::books_match, on_each_backend, with_json};

fn order_or_cancel() -> Value {
    json!({"kind": "gift_code", "value": {"amount": "10.00", "currency_code": "USD"}, "on_unresolved": "cancel"})
}

async fn issue_or_cancel(app: &App, key: &str, wait: Option<&str>) -> Answer {
    let mut request = app.request("POST", "/v1/rewards").header("Idempotency-Key", key);
    if let Some(wait) = wait {
        request = request.header("Prefer", wait);
    }
    Answer::of(with_json(request, &order_or_cancel())).await
}

/// The longest that a caller waits is 3 s here, and Amazon may take 2.
fn short() -> Shape {
    Shape::default()
        .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)
        .with("NOSHI__REWARDS__ANSWER_WITHIN_SECONDS", 3)
}

/// Follows it to its end: canceled, its card refunded, and the key shows no code.
async fn ends_canceled(app: &App, key: &str, id: &str) {
    app.until(id, "canceled").await;
    let cards = app.cards_of(key);
    assert!(cards.iter().all(|card| card.state != CardState::Live), "{cards:?}");
    let told = issue_or_cancel(app, key, None).await;
    assert!(told.json["claim_code"].is_null(), "{}", told.text);
}

on_each_backend! {
    async fn a_caller_who_waits_a_second_for_a_slow_amazon_leaves_no_card_behind(backend: Backend) {
        let app = App::spawn(backend).await;
        for (key, fault) in [
            ("late-answer", Fault::Delay { milliseconds: 2000 }),
            ("late-work", Fault::DelayWork { milliseconds: 2000 }),
        ] {
            app.strike(key, fault, 1);
            let answer = issue_or_cancel(&app, key, Some("wait=1")).await;
            answer.is_accepted();
            ends_canceled(&app, key, answer.id()).await;
        }
        assert_eq!(app.control.book().len(), 2, "both were bought, and given back");
        let patient = issue_or_cancel(&app, "patient", Some("wait=5")).await;
        assert_eq!(patient.status, 201, "who waits for a quick Amazon has a code: {}", patient.text);
        books_match(&app).await;
        app.end().await;
    }

    /// Amazon's answer is there in time, but the database takes it too late for the caller.
    async fn a_caller_whose_time_is_up_before_the_outcome_is_written_leaves_no_card_behind(backend: Backend) {
        let app = App::shaped(backend, short()).await;
        app.strike("unwritten", Fault::Delay { milliseconds: 1500 }, 1);
        let held = async {
            app.until_bought().await;
            let hold = app.database.hold_writes().await;
            tokio::time::sleep(Duration::from_millis(4000)).await;
            hold.release().await;
        };
        let (answer, ()) = tokio::join!(issue_or_cancel(&app, "unwritten", None), held);
        answer.is_accepted();
        ends_canceled(&app, "unwritten", answer.id()).await;
        assert_eq!(app.control.book().len(), 1);
        books_match(&app).await;
        app.end().await;
    }

    /// The caller is told that nobody knows whether it was recorded. It was, a little later.
    async fn a_caller_whose_time_is_up_before_the_intent_is_written_leaves_no_card_behind(backend: Backend) {
        let shape = short().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1).with("NOSHI__REWARDS__ANSWER_WITHIN_SECONDS", 2);
        let app = App::shaped(backend, shape).await;
        let hold = app.database.hold_writes().await;
        let let_go = async {
            tokio::time::sleep(Duration::from_millis(2400)).await;
            hold.release().await;
        };
        let (answer, ()) = tokio::join!(issue_or_cancel(&app, "unrecorded", None), let_go);
        assert_eq!((answer.status, &answer.json["money_moved"]), (503, &json!("unknown")), "{}", answer.text);
        // Not by its key, which would join it: by what is stored.
        let canceled = "SELECT COUNT(*) FROM rewards WHERE state = 'canceled'";
        app.until_number(canceled, 1).await;
        assert!(app.live_cards().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    /// The code was handed over; whoever sends the same again and has no patience wants it again, not its end.
    async fn an_impatient_repeat_does_not_cancel_what_was_handed_over(backend: Backend) {
        let app = App::spawn(backend).await;
        let first = issue_or_cancel(&app, "handed-over", None).await;
        assert_eq!(first.status, 201, "{}", first.text);
        app.strike("handed-over", Fault::Delay { milliseconds: 2000 }, 1);
        let repeat = issue_or_cancel(&app, "handed-over", Some("wait=1")).await;
        assert_eq!((repeat.status, repeat.json["status"].as_str()), (200, Some("issued")), "{}", repeat.text);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(app.received("Cancel").is_empty(), "no cancel was sent");
        assert_eq!(issue_or_cancel(&app, "handed-over", None).await.code(), first.code());
        assert_eq!(app.live_cards().len(), 1);
        books_match(&app).await;
        app.end().await;
    }
}
