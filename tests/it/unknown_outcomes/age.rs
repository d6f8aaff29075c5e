//! What is too old is not sent: after a day a person decides, and past Amazon's memory a replay would buy a second card.

use chrono::{SecondsFormat, TimeDelta};
use noshi::sandbox::Fault;
use serde_json::json;

use crate::{
    process::Served,
    support::{App, Backend, PARTNER, books::books_match, on_each_backend},
};

const DAY: i64 = 24 * 3600;
const GATEWAY: &str = "NOSHI__ACCOUNTS__MAIN__SANDBOX_GATEWAY";

/// Writes columns of the only reward past all our code; `{at}` is so many seconds ago.
async fn rewrite(app: &App, what: &str, seconds_ago: i64) {
    let at = app.ambient.now() - TimeDelta::seconds(seconds_ago);
    let what = what.replace("{at}", &at.to_rfc3339_opts(SecondsFormat::Micros, false));
    assert_eq!(app.database.execute(&format!("UPDATE rewards SET {what}")).await.unwrap(), 1);
}

/// Leaves one reward as a process leaves it that is killed with a create on its way; Amazon does the work.
async fn killed_in_flight(app: &mut App) -> String {
    assert!(app.stop().await);
    app.strike("in-flight", Fault::Delay { milliseconds: 3000 }, 1);
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    let killed = async {
        app.until_bought().await;
        served.kill();
    };
    let (answer, ()) = tokio::join!(app.try_issue("in-flight", "8.00"), killed);
    assert!(answer.is_none());
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await, 1);
    app.amazon_id("in-flight")
}

on_each_backend! {
    async fn what_was_tried_for_a_day_is_for_a_person_and_is_not_sent(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let amazon_id = killed_in_flight(&mut app).await;
        rewrite(&app, "attempts = 100", 0).await;
        let before = app.money_calls();
        app.advance(25 * 3600);
        app.start().await;
        let told = app.issue("in-flight", "8.00").await;
        let stored = app.until(told.id(), "needs_attention").await;
        assert_eq!(stored["attention"], "unproven");
        for _ in 0..2 {
            let told = app.issue("in-flight", "8.00").await;
            told.is_accepted();
            app.reveal(told.id()).await.is_problem(409, "invalid-state");
            app.pass(3600).await;
        }
        assert_eq!(app.money_calls(), before, "automation has stopped");
        // The card is there, and a person finds it by the reward's id.
        assert_eq!(stored["creation_request_id"], amazon_id.as_str());
        assert_eq!(app.live_cards()[0].creation_request_id, amazon_id);
        books_match(&app).await;
        app.end().await;
    }

    async fn what_was_in_flight_a_day_ago_and_was_not_tried_since_is_replayed(backend: Backend) {
        let mut app = App::spawn(backend).await;
        killed_in_flight(&mut app).await;
        app.advance(25 * 3600);
        app.start().await;
        let told = app.issue("in-flight", "8.00").await;
        app.until(told.id(), "issued").await;
        assert_eq!(app.issue("in-flight", "8.00").await.code(), app.live_cards()[0].claim_code);
        books_match(&app).await;
        app.end().await;
    }

    async fn what_amazon_may_have_forgotten_is_never_sent_again(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.strike("old", Fault::DropAfterWork, 2);
        let open = app.issue("old", "9.00").await;
        open.is_accepted();
        assert!(app.stop().await);
        app.control.clear_faults();
        // Its last trouble is young, so that its age alone speaks against it.
        rewrite(&app, "first_send_at = '{at}', due_at = '{at}'", 31 * DAY).await;
        rewrite(&app, "unproven_since = '{at}'", 60).await;
        let before = app.money_calls();
        app.start().await;
        app.until(open.id(), "needs_attention").await;
        app.issue("old", "9.00").await.is_accepted();
        assert_eq!(app.money_calls(), before, "an old id was sent");
        // The same age where the card is proven: nothing is shown again, because asking might buy.
        rewrite(&app, "state = 'issued', attention = NULL, issued_at = '{at}'", 60).await;
        app.reveal(open.id()).await.is_problem(409, "invalid-state");
        let again = app.issue("old", "9.00").await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("issued")), "{}", again.text);
        assert!(again.json["claim_code"].is_null());
        assert_eq!(app.money_calls(), before, "an old id was sent");
        // One day younger it is asked for.
        rewrite(&app, "first_send_at = '{at}'", 29 * DAY).await;
        assert_eq!(app.reveal(open.id()).await.code(), app.live_cards()[0].claim_code);
        books_match(&app).await;
        app.end().await;
    }

    async fn an_old_refusal_that_is_tried_again_has_its_day_anew(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.without_funds("patient");
        let refused = app.issue("patient", "6.00").await;
        refused.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        app.advance(2 * DAY);
        let gateway = app.gateway().to_string();
        app.restart_with(GATEWAY, "127.0.0.1:1").await;
        let waiting = app.issue("patient", "6.00").await;
        waiting.is_accepted();
        assert_eq!((waiting.id(), &waiting.json["status"]), (refused.reward_id(), &json!("pending")));
        // Several attempts later it still waits for the gateway.
        for _ in 0..3 {
            app.pass(60).await;
        }
        let tries = app.events(waiting.id()).await.iter().filter(|kind| *kind == "attempt.not_sent").count();
        assert!(tries >= 3, "{tries}");
        assert_eq!(app.read(waiting.id()).await["status"], "pending");
        app.restart_with(GATEWAY, &gateway).await;
        app.advance(60);
        app.until(waiting.id(), "issued").await;
        assert_eq!(app.issue("patient", "6.00").await.code(), app.live_cards()[0].claim_code);
        assert_eq!(app.control.funds(PARTNER).unwrap(), (100_000 - 6).into());
        books_match(&app).await;
        app.end().await;
    }
}
