//! A database that stumbles costs no code, and a row that nobody understands costs the others nothing.

use std::time::Duration;

use noshi::sandbox::Fault;
use serde_json::json;

use crate::support::{App, Backend, books::books_match, on_each_backend, trap::Trap};

/// Makes a reward due, with this in the column of why its cancel failed: the schema lets every word in.
async fn write_failure(app: &App, key: &str, failure: &str) {
    let text = format!(
        "UPDATE rewards SET state = 'canceling', cancel_failure = {failure}, due_at = '2020-01-01T00:00:00+00:00' \
         WHERE creation_request_id = '{}'",
        app.amazon_id(key)
    );
    assert_eq!(app.database.execute(&text).await.unwrap(), 1);
}

on_each_backend! {
    async fn a_code_that_is_in_hand_survives_a_database_that_refuses_to_write_the_outcome(backend: Backend) {
        let app = App::spawn(backend).await;
        let trap = Trap::set(&app, "issued").await;
        let heals = async {
            app.until_bought().await;
            // At least one try has failed by now, and the last is still to come.
            tokio::time::sleep(Duration::from_millis(250)).await;
            let stored = app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await;
            trap.lift(&app).await;
            stored
        };
        let (answer, unwritten) = tokio::join!(app.issue("stumbles", "10.00"), heals);
        assert_eq!(unwritten, 1, "the outcome was written at once: the trap did not hold");
        assert_eq!((answer.status, answer.code()), (201, app.live_cards()[0].claim_code.as_str()), "{}", answer.text);
        assert_eq!(app.received("Create").len(), 1, "nothing was asked twice");
        books_match(&app).await;
        app.end().await;
    }

    async fn an_outcome_that_cannot_be_written_is_not_delivered_and_comes_again(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let trap = Trap::set(&app, "issued").await;
        let answer = app.issue("unwritable", "10.00").await;
        answer.is_accepted();
        assert_eq!(app.read(answer.id()).await["status"], "issuing");
        trap.lift(&app).await;
        // Its lease runs out.
        app.advance(30);
        app.until(answer.id(), "issued").await;
        assert_eq!(app.issue("unwritable", "10.00").await.code(), app.live_cards()[0].claim_code);
        assert_eq!(app.control.book().len(), 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_due_reward_that_cannot_be_read_stops_neither_the_others_nor_the_balances_nor_the_metrics(backend: Backend) {
        let app = App::spawn(backend).await;
        app.strike("odd", Fault::DropAfterWork, 1);
        let odd = app.issue("odd", "10.00").await;
        odd.is_accepted();
        app.until(odd.id(), "issued").await;
        write_failure(&app, "odd", "'teleported'").await;
        app.strike("plain", Fault::DropAfterWork, 1);
        let plain = app.issue("plain", "10.00").await;
        plain.is_accepted();
        app.until(plain.id(), "issued").await;
        assert_eq!(app.issue("plain", "10.00").await.status, 200);
        assert_eq!(app.issue("new", "10.00").await.status, 201);
        let balances = app.get("/v1/balances").await;
        assert_eq!(balances.status, 200, "{}", balances.text);
        let metrics = app.metrics().await;
        assert!(metrics.contains("noshi_rewards_in_state{account=\"main\",state=\"unresolved\"} 0"), "{metrics}");
        let parked =
            "SELECT COUNT(*) FROM rewards WHERE cancel_failure = 'teleported' AND due_at > '2021-01-01T00:00:00+00:00'";
        assert_eq!(app.database.number(parked).await, 1, "looked at once, and put aside");
        write_failure(&app, "odd", "NULL").await;
        app.until(odd.id(), "canceled").await;
        assert_eq!(app.issue("odd", "10.00").await.json["status"], json!("canceled"));
        books_match(&app).await;
        app.end().await;
    }
}
