//! Whatever the network, a proxy or Amazon makes of a create: the caller hears 201 or 202, never a wrong code, and in
//! the end there is one card, whose code the same key tells. Each class of answers at each attempt is in `matrix`; here
//! are the stories that it does not tell.

mod age;
mod elsewhere;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{CardState, Fault};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{
    Answer, App, Backend, Shape,
    books::books_match,
    faults::{of_key, refusal},
    on_each_backend,
};

/// A time-out of two seconds, so that what hangs is given up soon.
fn impatient() -> Shape {
    Shape::default().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)
}

/// Faults after which the outcome is open that the matrix has not, and the word that is told of each.
fn doubts() -> Vec<(Fault, &'static str)> {
    let f = |code: &str, after_work| Fault::FCode {
        code: code.to_owned(),
        error_type: "GeneralError".to_owned(),
        after_work,
    };
    let html = |status, after_work| Fault::HtmlError { status, after_work };
    vec![
        (Fault::Delay { milliseconds: 4500 }, "timeout"),
        (Fault::DelayWork { milliseconds: 4500 }, "timeout"),
        (html(500, true), "server_error"),
        (html(502, false), "server_error"),
        (html(200, true), "not_json"),
        (f("F100", true), "F100"),
        (f("F400", true), "F400"),
        (f("F500", false), "F500"),
        (f("F500", true), "F500"),
    ]
}

/// Issues under one fault and follows the reward to its end.
async fn survives(app: &App, fault: Fault, word: &str) {
    let key = format!("{fault:?}");
    app.strike(&key, fault, 1);
    let open = app.issue(&key, "10.00").await;
    open.is_accepted();
    let told = (&open.json["status"], &open.json["last_error"]["error_code"]);
    assert_eq!(told, (&json!("unresolved"), &json!(word)), "{key}");
    let stored = app.until(open.id(), "issued").await;
    assert!(stored["last_error"].is_null(), "{key}");
    let late = app.issue(&key, "10.00").await;
    let cards = app.cards_of(&key);
    assert_eq!((cards.len(), cards[0].state), (1, CardState::Live), "{key}");
    assert_eq!((late.status, late.id(), late.code()), (200, open.id(), cards[0].claim_code.as_str()), "{key}");
    let id = app.amazon_id(&key);
    let calls = app.received("Create").into_iter().filter(|call| call.creation_request_id.as_deref() == Some(&id));
    let bodies: Vec<String> = calls.map(|call| call.body).collect();
    assert!(bodies.len() >= 3 && bodies.iter().all(|body| *body == bodies[0]), "{key}: the same bytes each time");
}

/// Due rewards that a process leaves behind: more than a worker carries at once, several times over.
const BACKLOG: usize = 40;

on_each_backend! {
    /// The next process looks once a minute. It goes on as soon as it has a hand free.
    async fn a_backlog_is_carried_without_a_pause(backend: Backend) {
        let shape = impatient().with("NOSHI__REWARDS__RECOVERY_POLL_MILLISECONDS", 60_000);
        let mut app = App::shaped(backend, shape).await;
        let keys: Vec<String> = (0..BACKLOG).map(|at| format!("left-{at}")).collect();
        for key in &keys {
            app.strike(key, Fault::DropAfterWork, 20);
        }
        let open = join_all(keys.iter().map(|key| app.issue(key, "1.00"))).await;
        open.iter().for_each(Answer::is_accepted);
        assert!(app.stop().await);
        app.control.clear_faults();
        app.advance(600);
        app.start().await;
        let left = "SELECT COUNT(*) FROM rewards WHERE state <> 'issued'";
        app.until_number(left, 0).await;
        assert_eq!(app.live_cards().len(), BACKLOG);
        books_match(&app).await;
        app.end().await;
    }

    async fn whatever_goes_wrong_once_ends_with_one_card_and_its_own_code(backend: Backend) {
        let app = App::shaped(backend, impatient()).await;
        // A hanging connection holds up nobody else.
        join_all(doubts().into_iter().map(|(fault, word)| survives(&app, fault, word))).await;
        assert_eq!(app.control.book().len(), doubts().len());
        // What was only delayed has been done by now, too.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(app.control.book().len(), doubts().len(), "a delayed create is not a second card");
        books_match(&app).await;
        app.end().await;
    }

    async fn an_answer_that_is_late_but_in_time_is_an_answer(backend: Backend) {
        let app = App::spawn(backend).await;
        for (key, fault) in [
            ("late", Fault::Delay { milliseconds: 300 }),
            ("slow", Fault::DelayWork { milliseconds: 300 }),
        ] {
            app.strike(key, fault, 1);
            let issued = app.issue(key, "10.00").await;
            assert_eq!((issued.status, issued.code()), (201, app.cards_of(key)[0].claim_code.as_str()), "{}", issued.text);
        }
        assert_eq!(app.received("Create").len(), 2, "nothing was sent twice");
        books_match(&app).await;
        app.end().await;
    }

    async fn an_answer_that_contradicts_the_request_is_never_delivered_and_needs_a_person(backend: Backend) {
        let mut app = App::spawn(backend).await;
        for (key, fault, attention) in [
            ("amount", Fault::WrongAmount, "mismatch"),
            ("currency", Fault::WrongCurrency, "mismatch"),
            ("id", Fault::WrongRequestId, "mismatch"),
            ("dead", Fault::DeadCard, "canceled_elsewhere"),
            ("expired", Fault::OddCardStatus { status: "Expired".to_owned() }, "odd_card_status"),
            ("unheard-of", Fault::OddCardStatus { status: "fulfilled".to_owned() }, "odd_card_status"),
        ] {
            app.strike(key, fault, 1);
            let answers = [app.issue(key, "10.00").await, app.issue(key, "10.00").await];
            let code = &app.cards_of(key)[0].claim_code;
            for answer in &answers {
                answer.is_accepted();
                assert_eq!((&answer.json["status"], &answer.json["attention"]), (&json!("needs_attention"), &json!(attention)));
                assert!(!answer.text.contains(code), "{key}");
            }
            app.reveal(answers[0].id()).await.is_problem(409, "invalid-state");
            app.cancel(answers[0].id()).await.is_problem(409, "invalid-state");
        }
        app.pass(3600).await;
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (6, 0), "automation has stopped");
        assert!(app.metrics().await.contains("noshi_rewards_in_state{account=\"main\",state=\"needs_attention\"} 6"));
        books_match(&app).await;
        app.end().await;
    }

    async fn a_redelivery_that_shows_another_amount_hands_over_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        for (key, fault, attention) in [
            ("amount", Fault::WrongAmount, "mismatch"),
            ("dead", Fault::DeadCard, "canceled_elsewhere"),
        ] {
            let bought = app.issue(key, "10.00").await;
            app.strike(key, fault, 1);
            let again = app.issue(key, "10.00").await;
            again.is_accepted();
            assert_eq!((&again.json["status"], &again.json["attention"]), (&json!("needs_attention"), &json!(attention)));
            assert!(!again.text.contains(bought.code()));
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_redelivery_that_fails_leaves_the_reward_issued_and_works_the_next_time(backend: Backend) {
        let app = App::shaped(backend, impatient()).await;
        for fault in [Fault::Hang, Fault::DropAfterWork, Fault::Garbage, Fault::BadKey, Fault::Throttle, refusal("F300", "AccountHasProblems"),
            refusal("F200", "MaxAmountExceeded"), Fault::NullClaimCode]
        {
            let key = format!("{fault:?}");
            let bought = app.issue(&key, "10.00").await;
            assert_eq!(bought.status, 201, "{}", bought.text);
            app.strike(&key, fault, 1);
            let failed = app.issue(&key, "10.00").await;
            assert_eq!((failed.status, &failed.json["status"]), (200, &json!("issued")), "{}", failed.text);
            assert!(failed.json["claim_code"].is_null());
            assert_eq!(app.issue(&key, "10.00").await.code(), bought.code());
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_refusal_of_a_replay_proves_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        let hidden = |name: &str, fault| {
            app.control.script_all(vec![of_key(&app, name, Fault::DropAfterWork, 1), of_key(&app, name, fault, 1)]).unwrap();
        };
        let cases = [
            ("funds", refusal("F300", "InsufficientFunds")),
            ("account", refusal("F300", "AccountHasProblems")),
            ("request", refusal("F200", "MaxAmountExceeded")),
            ("door", Fault::BadKey),
        ];
        let followed = cases.into_iter().map(|(key, fault)| {
            hidden(key, fault);
            async {
                let open = app.issue(key, "10.00").await;
                open.is_accepted();
                app.until(open.id(), "issued").await;
                assert_eq!(app.issue(key, "10.00").await.code(), app.cards_of(key)[0].claim_code);
                assert!(!app.events(open.id()).await.contains(&"reward.failed".to_owned()));
            }
        });
        join_all(followed).await;
        books_match(&app).await;
        app.end().await;
    }

    async fn an_account_that_runs_dry_meanwhile_does_not_hide_the_card(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 10, ..Shape::default() }).await;
        app.strike("last", Fault::DropBeforeWork, 1);
        let open = app.issue("last", "10.00").await;
        open.is_accepted();
        assert_eq!(app.issue("other", "10.00").await.status, 201, "takes the last of the funds");
        app.until_received("Create", 3).await;
        let still = app.issue("last", "10.00").await;
        still.is_accepted();
        assert_eq!(still.json["status"], "unresolved");
        app.set_funds(10);
        app.until(open.id(), "issued").await;
        assert_eq!(app.issue("last", "10.00").await.code(), app.cards_of("last")[0].claim_code);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_redirect_is_not_followed(backend: Backend) {
        let app = App::spawn(backend).await;
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let location = format!("http://{}/CreateGiftCard", elsewhere.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = async {
            while elsewhere.accept().await.is_ok() {
                visits.fetch_add(1, Ordering::Relaxed);
            }
        };
        let issued = async {
            app.strike("away", Fault::Redirect { location }, 1);
            let open = app.issue("away", "10.00").await;
            open.is_accepted();
            assert_eq!(open.json["last_error"]["error_code"], "redirect");
            app.until(open.id(), "issued").await;
        };
        tokio::select! { () = counted => panic!("it stopped listening"), () = issued => {} }
        assert_eq!(visits.load(Ordering::Relaxed), 0);
        books_match(&app).await;
        app.end().await;
    }
}
