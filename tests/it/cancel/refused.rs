//! A cancel that Amazon refuses: final when its window is over, and a person's where nobody has the card.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule};
use serde_json::json;

use super::cancel_if_unresolved;
use crate::{
    process::noshi,
    support::{
        App, Backend, Shape,
        books::books_match,
        faults::{of_cancel, refusal},
        on_each_backend,
    },
};

const TOO_LATE: &str = "CancelRequestArrivedAfterTimeLimit";
const NOT_READY: &str = "GcNotReadyForRefund";

/// Amazon refuses so many cancels, or all.
fn refuse_cancels(app: &App, error_type: &str, times: Option<u32>) {
    app.control.script(FaultRule { times, ..of_cancel(refusal("F200", error_type)) }).unwrap();
}

/// Has every card refused until the window is over, and waits for what becomes of it.
async fn refused_to_the_end(app: &mut App, id: &str, ends: &str) -> serde_json::Value {
    app.until_received("Cancel", 1).await;
    app.until_idle().await;
    app.advance(885);
    app.until_idle().await;
    app.advance(10);
    app.until(id, ends).await
}

on_each_backend! {
    async fn a_cancel_that_comes_too_late_ends_with_a_read_and_the_card_stays_issued(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("late", "10.00").await;
        refuse_cancels(&app, TOO_LATE, Some(1));
        app.control.clear_requests();
        let refused = app.cancel(bought.id()).await;
        refused.is_problem(409, "cancel-window-closed");
        assert_eq!((&refused.json["retryable"], &refused.json["money_moved"]), (&json!(false), &json!("yes")));
        assert!(!refused.text.contains(bought.code()));
        assert_eq!((app.received("Cancel").len(), app.received("Create").len()), (1, 1), "one cancel, one read");
        let stored = app.read(bought.id()).await;
        assert_eq!((&stored["status"], &stored["cancel_failure"]), (&json!("issued"), &json!("too_late")));
        assert!(stored["cancel_requested"].is_null());
        assert_eq!(app.issue("late", "10.00").await.code(), bought.code(), "the code is still good");
        assert_eq!(app.events(bought.id()).await[2..4], ["cancel.requested", "cancel.refused"]);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_that_is_refused_while_minutes_are_left_is_tried_again_and_goes_through(backend: Backend) {
        let mut app = App::spawn(backend).await;
        for (error_code, error_type) in [("F300", "OperationNotPermitted"), ("F200", NOT_READY)] {
            let bought = app.issue(error_type, "10.00").await;
            app.control.script(FaultRule { times: Some(2), ..of_cancel(refusal(error_code, error_type)) }).unwrap();
            let open = app.cancel(bought.id()).await;
            open.is_accepted();
            let shown = (&open.json["status"], &open.json["cancel_failure"], &open.json["cancel_requested"]);
            assert_eq!(shown, (&json!("canceling"), &json!("not_permitted"), &json!(true)));
            app.pass(10).await;
            app.advance(10);
            let stored = app.until(bought.id(), "canceled").await;
            assert!(stored["cancel_failure"].is_null(), "{stored}");
            assert_eq!(app.calls_of(error_type, "Cancel"), 3);
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_that_is_refused_to_the_end_leaves_a_card_issued_that_somebody_has(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let bought = app.issue("claimed", "10.00").await;
        refuse_cancels(&app, NOT_READY, None);
        app.cancel(bought.id()).await.is_accepted();
        let stored = refused_to_the_end(&mut app, bought.id(), "issued").await;
        assert_eq!((&stored["cancel_failure"], &stored["attention"]), (&json!("not_permitted"), &json!(null)));
        assert_eq!(app.issue("claimed", "10.00").await.code(), bought.code());
        app.cancel(bought.id()).await.is_problem(409, "cancel-window-closed");
        // One that was issued while nobody waited, and was shown since.
        app.strike("shown", Fault::DropAfterWork, 1);
        let shown = app.issue("shown", "10.00").await;
        shown.is_accepted();
        app.until(shown.id(), "issued").await;
        assert_eq!(app.reveal(shown.id()).await.status, 200);
        app.control.clear_requests();
        app.cancel(shown.id()).await.is_accepted();
        refused_to_the_end(&mut app, shown.id(), "issued").await;
        books_match(&app).await;
        app.end().await;
    }

    async fn a_card_that_nobody_has_and_that_could_not_be_canceled_needs_a_person(backend: Backend) {
        let mut app = App::spawn(backend).await;
        refuse_cancels(&app, NOT_READY, None);
        // Its caller was sent away and asked for that; another was sent away, and cancels without ever having seen a code.
        app.strike("careful", Fault::DropAfterWork, 1);
        let careful = app.issue_body("careful", cancel_if_unresolved("10.00")).await;
        careful.is_accepted();
        let stored = refused_to_the_end(&mut app, careful.id(), "needs_attention").await;
        assert_eq!((&stored["attention"], &stored["cancel_failure"]), (&json!("cancel_failed"), &json!("not_permitted")));
        app.control.clear_requests();
        app.strike("unseen", Fault::DropAfterWork, 1);
        let unseen = app.issue("unseen", "20.00").await;
        unseen.is_accepted();
        app.until(unseen.id(), "issued").await;
        app.cancel(unseen.id()).await.is_accepted();
        let stored = refused_to_the_end(&mut app, unseen.id(), "needs_attention").await;
        assert_eq!(stored["attention"], "cancel_failed");
        let gauge = "noshi_rewards_in_state{account=\"main\",state=\"needs_attention\"} 2";
        crate::support::wait::until("the alarm's gauge shows both", async || app.metrics().await.contains(gauge)).await;
        app.reveal(unseen.id()).await.is_problem(409, "invalid-state");
        books_match(&app).await;
        // A person settles it, and then its code can be shown.
        assert!(app.stop().await);
        let mut command = noshi();
        command.args(["rewards", "attention", "settle", unseen.id(), "--as", "issued", "--reason", "they get it after all"]);
        command.args(["--by", "kim"]);
        let settled = command.envs(app.environment().iter().cloned()).output().unwrap();
        assert!(settled.status.success(), "{}", String::from_utf8_lossy(&settled.stderr));
        app.start().await;
        assert_eq!(app.reveal(unseen.id()).await.code(), app.cards_of("unseen")[0].claim_code);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_new_wish_to_cancel_is_not_answered_with_an_old_refusal(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
            .with("NOSHI__REWARDS__ANSWER_WITHIN_SECONDS", 2);
        let app = App::shaped(backend, shape).await;
        let bought = app.issue("again", "10.00").await;
        refuse_cancels(&app, TOO_LATE, Some(1));
        app.cancel(bought.id()).await.is_problem(409, "cancel-window-closed");
        // The next wish cannot be written in time: nobody knows what becomes of it.
        let hold = app.database.hold_writes().await;
        let answer = app.cancel(bought.id()).await;
        answer.is_problem(503, "dependency-unavailable");
        assert_eq!((&answer.json["retryable"], &answer.json["money_moved"]), (&json!(true), &json!("unknown")));
        tokio::time::sleep(Duration::from_millis(100)).await;
        hold.release().await;
        let last = app.cancel(bought.id()).await;
        assert!(matches!(last.status, 200 | 202), "{}", last.text);
        app.until(bought.id(), "canceled").await;
        books_match(&app).await;
        app.end().await;
    }
}
