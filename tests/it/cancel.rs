//! Taking a reward back: only inside the window, only once it is proven to exist, until it is proven to be gone.

mod refused;

use noshi::sandbox::{Fault, FaultRule};
use serde_json::{Value, json};

use crate::support::{
    App, Backend, Shape,
    books::books_match,
    faults::{of_cancel, refusal},
    on_each_backend, order,
};

/// The usual order, whose caller has paid the customer otherwise when there is no code at once.
fn cancel_if_unresolved(amount: &str) -> Value {
    let mut body = order(amount);
    body["on_unresolved"] = json!("cancel");
    body
}

/// Where nothing listens.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The one reward that there is, asked for while its create is under way.
async fn first_reward(app: &App) -> String {
    app.until_received("Create", 1).await;
    app.get("/v1/rewards").await.json["data"][0]["id"].as_str().expect("it is recorded").to_owned()
}

on_each_backend! {
    async fn a_cancel_at_14_49_goes_through_and_from_14_50_on_it_is_refused_and_not_sent(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let late = app.issue("late", "20.00").await;
        let early = app.issue("early", "10.00").await;
        app.advance(889);
        let canceled = app.cancel(early.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        for seconds in [1, 1, 60, 86_400] {
            app.advance(seconds);
            let refused = app.cancel(late.id()).await;
            refused.is_problem(409, "cancel-window-closed");
            assert_eq!(refused.json["cancelable_until"], late.json["cancelable_until"]);
            assert_eq!((&refused.json["retryable"], &refused.json["money_moved"]), (&json!(false), &json!("yes")));
        }
        assert_eq!(app.received("Cancel").len(), 1, "the refused ones were not sent");
        assert_eq!(app.cancel(early.id()).await.status, 200, "what is canceled stays so");
        assert_eq!(app.read(late.id()).await["status"], "issued");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_replay_does_not_move_the_window(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.strike_next(Fault::DropAfterWork);
        let open = app.issue("replayed", "10.00").await;
        open.is_accepted();
        app.advance(400);
        let issued = app.until(open.id(), "issued").await;
        assert_eq!(issued["cancelable_until"], open.json["cancelable_until"]);
        app.advance(490);
        app.cancel(open.id()).await.is_problem(409, "cancel-window-closed");
        assert!(app.received("Cancel").is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_of_what_was_never_sent_is_ours_alone(backend: Backend) {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__SANDBOX_GATEWAY", nowhere().await);
        let mut app = App::shaped(backend, shape).await;
        let open = app.issue("unsent", "10.00").await;
        open.is_accepted();
        assert_eq!((&open.json["status"], &open.json["last_error"]["error_code"]), (&json!("pending"), &json!("connect")));
        let canceled = app.cancel(open.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        app.pass(3600).await;
        assert_eq!(app.read(open.id()).await["status"], "canceled", "nobody takes it up again");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_of_what_was_turned_away_at_the_door_is_ours_alone(backend: Backend) {
        let app = App::spawn(backend).await;
        app.control.script(FaultRule::always(Fault::SignatureExpired)).unwrap();
        let open = app.issue("turned-away", "10.00").await;
        open.is_accepted();
        assert_eq!((&open.json["status"], &open.json["last_error"]["error_code"]), (&json!("pending"), &json!("clock_skew")));
        assert_eq!(app.cancel(open.id()).await.json["status"], "canceled");
        app.control.clear_faults();
        let again = app.issue("turned-away", "10.00").await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("canceled")), "{}", again.text);
        assert!(app.received("Cancel").is_empty() && app.control.book().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_while_the_create_is_in_flight_leaves_no_code_and_no_card(backend: Backend) {
        let app = App::spawn(backend).await;
        app.strike_next(Fault::Delay { milliseconds: 1500 });
        let meanwhile = async {
            let id = first_reward(&app).await;
            app.cancel(&id).await
        };
        let (issued, asked) = tokio::join!(app.issue("in-flight", "10.00"), meanwhile);
        asked.is_accepted();
        assert_eq!((&asked.json["status"], &asked.json["cancel_requested"]), (&json!("issuing"), &json!(true)));
        assert!(issued.json["claim_code"].is_null(), "{}", issued.text);
        assert_eq!((issued.status, &issued.json["status"]), (200, &json!("canceled")), "201 is for what was issued");
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (1, 1));
        assert!(app.live_cards().is_empty() && app.control.book().len() == 1);
        assert_eq!(
            app.events(issued.id()).await,
            ["reward.received", "cancel.requested", "reward.proven", "reward.canceled"]
        );
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_of_an_unproven_reward_waits_until_the_card_is_proven(backend: Backend) {
        let app = App::spawn(backend).await;
        // Two doubts, the second of which hides a card.
        app.strike_next(Fault::DropBeforeWork);
        app.strike_next(Fault::DropAfterWork);
        let open = app.issue("unproven", "10.00").await;
        open.is_accepted();
        let asked = app.cancel(open.id()).await;
        asked.is_accepted();
        assert_eq!((&asked.json["status"], &asked.json["cancel_requested"]), (&json!("unresolved"), &json!(true)));
        app.until(open.id(), "canceled").await;
        let calls: Vec<String> = app.control.requests().into_iter().map(|received| received.operation).collect();
        let calls: Vec<&str> = calls.iter().map(String::as_str).filter(|call| *call != "GetAvailableFunds").collect();
        assert_eq!(calls, ["CreateGiftCard", "CreateGiftCard", "CreateGiftCard", "CancelGiftCard"]);
        assert!(app.issue("unproven", "10.00").await.json["claim_code"].is_null());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_wish_to_cancel_outlives_a_refused_replay(backend: Backend) {
        let app = App::spawn(backend).await;
        app.strike_next(Fault::DropAfterWork);
        app.strike_next(refusal("F300", "InsufficientFunds"));
        let open = app.issue("barrier", "10.00").await;
        app.cancel(open.id()).await.is_accepted();
        app.until(open.id(), "canceled").await;
        assert_eq!(
            app.events(open.id()).await,
            ["reward.received", "attempt.unknown", "cancel.requested", "attempt.sent", "attempt.refused", "attempt.sent",
                "reward.proven", "reward.canceled"]
        );
        books_match(&app).await;
        app.end().await;
    }

    async fn on_unresolved_cancel_takes_back_what_is_not_proven_at_once(backend: Backend) {
        let app = App::spawn(backend).await;
        app.strike_next(Fault::DropAfterWork);
        let open = app.issue_body("careful", cancel_if_unresolved("10.00")).await;
        open.is_accepted();
        assert_eq!(open.json["cancel_requested"], true);
        app.until(open.id(), "canceled").await;
        assert_eq!((app.control.book().len(), app.live_cards().len()), (1, 0));
        let sure = app.issue_body("sure", cancel_if_unresolved("10.00")).await;
        assert_eq!((sure.status, &sure.json["status"]), (201, &json!("issued")), "what is proven at once stays");
        books_match(&app).await;
        app.end().await;
    }

    async fn on_unresolved_cancel_buys_nothing_later_when_nothing_could_be_sent(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.strike_next(Fault::SignatureExpired);
        let answer = app.issue_body("careful", cancel_if_unresolved("10.00")).await;
        assert_eq!((answer.status, &answer.json["status"]), (200, &json!("canceled")), "{}", answer.text);
        app.pass(3600).await;
        assert!(app.control.book().is_empty(), "the caller has paid the customer otherwise");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_whose_answer_is_lost_is_sent_again_and_ends_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let lost = [
            Fault::DropAfterWork, Fault::DropBeforeWork, Fault::ResetInBody, Fault::Garbage, Fault::WrongRequestId,
            Fault::HtmlError { status: 502, after_work: true }, Fault::Resend { after_work: true }, Fault::Throttle,
            Fault::BadKey,
        ];
        let tried = lost.into_iter().map(|fault| async {
            let name = format!("{fault:?}");
            let bought = app.issue(&name, "10.00").await;
            let id = app.amazon_id(&name);
            app.control.script(FaultRule { creation_request_id: Some(id.clone()), ..of_cancel(fault) }).unwrap();
            let open = app.cancel(bought.id()).await;
            open.is_accepted();
            assert_eq!(open.json["status"], "canceling", "{name}");
            let again = app.issue(&name, "10.00").await;
            assert!(matches!(again.status, 200 | 202) && again.json["claim_code"].is_null(), "{name}: {}", again.text);
            app.until(bought.id(), "canceled").await;
            let of_id = |operation: &str| {
                let all = app.received(operation).into_iter();
                all.filter(|call| call.creation_request_id.as_deref() == Some(&id)).map(|call| call.body).collect::<Vec<_>>()
            };
            let cancels = of_id("Cancel");
            assert_eq!((cancels.len(), &cancels[0]), (2, &cancels[1]), "{name}: the same bytes again");
            assert_eq!(of_id("Create").len(), 1, "{name}: no create while it is being canceled");
        });
        futures_util::future::join_all(tried).await;
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_that_had_worked_is_found_out_by_the_read_after_too_late(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("worked", "10.00").await;
        app.control.script(of_cancel(Fault::DropAfterWork)).unwrap();
        app.control.script(of_cancel(refusal("F200", "CancelRequestArrivedAfterTimeLimit"))).unwrap();
        app.cancel(bought.id()).await.is_accepted();
        let stored = app.until(bought.id(), "canceled").await;
        assert!(stored["cancel_failure"].is_null());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_doubtful_cancel_is_no_failure_before_16_00_and_none_starts_after_14_50(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let bought = app.issue("doubtful", "10.00").await;
        app.control.script(FaultRule { times: None, ..of_cancel(Fault::DropBeforeWork) }).unwrap();
        app.cancel(bought.id()).await.is_accepted();
        app.pass(890).await;
        let sent = app.received("Cancel").len();
        assert_eq!(app.read(bought.id()).await["status"], "canceling", "a delayed cancel may still land");
        app.pass(60).await;
        assert_eq!(app.read(bought.id()).await["status"], "canceling");
        app.advance(11);
        let stored = app.until(bought.id(), "issued").await;
        assert_eq!(stored["cancel_failure"], "too_late");
        assert_eq!(app.received("Cancel").len(), sent, "no cancel started after 14:50");
        app.cancel(bought.id()).await.is_problem(409, "cancel-window-closed");
        assert_eq!(app.issue("doubtful", "10.00").await.code(), bought.code());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_read_that_left_before_16_00_is_no_verdict_however_late_it_is_written(backend: Backend) {
        // A lease that outlasts the jump, so that nobody takes the row over.
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__LEASE_SECONDS", 300)).await;
        let bought = app.issue("stale", "10.00").await;
        app.control.script(FaultRule { times: None, ..of_cancel(Fault::DropBeforeWork) }).unwrap();
        app.cancel(bought.id()).await.is_accepted();
        app.strike_next(Fault::Delay { milliseconds: 2000 });
        app.advance(895);
        app.until_received("Create", 2).await;
        // The read has been answered, and its answer is on its way, when the cancel could still land.
        app.advance(70);
        app.until(bought.id(), "issued").await;
        let creates = app.received("Create");
        let last = creates.last().unwrap().at.signed_duration_since(creates[0].at).num_seconds();
        assert!(last >= 960, "the verdict was read {last} s after the first send");
        books_match(&app).await;
        app.end().await;
    }

    async fn canceling_twice_or_sixteen_times_at_once_is_canceling_once(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("many", "10.00").await;
        let answers = futures_util::future::join_all((0..16).map(|_| app.cancel(bought.id()))).await;
        for answer in &answers {
            assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
        }
        app.until(bought.id(), "canceled").await;
        let again = app.cancel(bought.id()).await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("canceled")));
        assert_eq!(app.received("Cancel").len(), 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_cancel_of_what_does_not_exist_is_404_and_sends_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        for id in [format!("rwd_{}", uuid::Uuid::max().simple()), "rwd_1".to_owned(), "nonsense".to_owned()] {
            app.cancel(&id).await.is_problem(404, "not-found");
        }
        assert!(app.received("Cancel").is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_card_that_someone_else_canceled_is_never_shown_again_and_needs_a_person(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("elsewhere", "10.00").await;
        app.strike_next(Fault::DeadCard);
        let revealed = app.reveal(bought.id()).await;
        revealed.is_problem(409, "invalid-state");
        assert!(!revealed.text.contains(bought.code()));
        let stored = app.read(bought.id()).await;
        assert_eq!((&stored["status"], &stored["attention"]), (&json!("needs_attention"), &json!("canceled_elsewhere")));
        app.issue("elsewhere", "10.00").await.is_accepted();
        app.cancel(bought.id()).await.is_problem(409, "invalid-state");
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (2, 0), "automation has stopped");
        books_match(&app).await;
        app.end().await;
    }
}
