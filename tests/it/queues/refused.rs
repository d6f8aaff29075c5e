//! Who is refused because Amazon refuses the account, for how long, and who is not.

use noshi::sandbox::Fault;
use serde_json::json;

use crate::support::{Answer, App, Backend, PARTNER, Shape, books::books_match, faults::refusal, on_each_backend};

const PARTNER_ID: &str = "NOSHI__ACCOUNTS__MAIN__PARTNER_ID";

fn breaking(funds: i64) -> Shape {
    Shape { funds, ..Shape::default() }.with("NOSHI__REWARDS__BREAKER_SECONDS", 30)
}

fn account_problem() -> Fault {
    refusal("F300", "AccountHasProblems")
}

fn waits(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap_or_else(|_none| panic!("no seconds to wait: {}", answer.text))
}

on_each_backend! {
    async fn an_order_that_can_never_succeed_closes_the_account_to_nobody(backend: Backend) {
        let app = App::shaped(backend, breaking(1000)).await;
        app.strike("hopeless", account_problem(), 10);
        for at in 0..3 {
            let refused = app.issue("hopeless", "5.00").await;
            refused.is_problem(503, "account-problem");
            let other = app.issue(&format!("fine-{at}"), "5.00").await;
            assert_eq!(other.status, 201, "round {at}: {}", other.text);
        }
        assert_eq!(app.calls_of("hopeless", "Create"), 3);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_refused_key_keeps_the_pace_of_everyone_and_takes_nobodys_turn(backend: Backend) {
        let mut app = App::shaped(backend, breaking(1000)).await;
        for key in ["one", "two"] {
            app.strike(key, account_problem(), 10);
            app.issue(key, "5.00").await.is_problem(503, "account-problem");
        }
        let new = app.issue("new", "5.00").await;
        new.is_problem(503, "account-problem");
        assert!((20..=45).contains(&waits(&new)), "{}", waits(&new));
        assert!(new.json["reward_id"].is_null(), "no row was made");

        // One retry may look whether it is cured; the next ones wait as long as new orders do.
        for (key, calls) in [("one", 2), ("one", 2), ("two", 1)] {
            let again = app.issue(key, "5.00").await;
            again.is_problem(503, "account-problem");
            assert!((20..=45).contains(&waits(&again)), "{key} hears {}", waits(&again));
            assert_eq!(app.calls_of(key, "Create"), calls, "{key}");
            assert!(!again.reward_id().is_empty());
        }
        // The retry of an order that can never succeed has not moved the turn of a new one.
        app.advance(31);
        app.issue("one", "5.00").await.is_problem(503, "account-problem");
        assert_eq!(app.issue("new", "5.00").await.status, 201);
        assert_eq!(app.issue("another", "5.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    async fn funds_that_do_not_reach_for_a_large_reward_reach_for_small_ones(backend: Backend) {
        let mut app = App::shaped(backend, breaking(10)).await;
        app.issue("large", "25.00").await.is_problem(402, "insufficient-funds");
        assert_eq!(app.issue("small", "5.00").await.status, 201);
        let calls = app.received("Create").len();
        let large = app.issue("another", "25.00").await;
        large.is_problem(402, "insufficient-funds");
        assert!(waits(&large) > 20 && large.json["reward_id"].is_null(), "{}", large.text);
        assert_eq!(app.received("Create").len(), calls, "nothing was sent");
        // What is refused is smaller now; a purchase below that does not show that there is more.
        app.issue("middle", "8.00").await.is_problem(402, "insufficient-funds");
        app.issue("again", "8.00").await.is_problem(402, "insufficient-funds");
        assert_eq!(app.issue("least", "5.00").await.status, 201);
        app.set_funds(1000);
        app.advance(31);
        assert_eq!(app.issue("again", "8.00").await.status, 201);
        assert_eq!(app.issue("another", "25.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    /// An alarm that cries after the transfer until somebody buys as much wakes a person for nothing.
    async fn a_balance_that_covers_what_was_refused_lets_it_pass_before_anybody_buys(backend: Backend) {
        let mut app = App::shaped(backend, breaking(10)).await;
        let is_open = async |app: &App| {
            let page = app.metrics().await;
            page.contains("noshi_breaker_open{account=\"main\",reason=\"funds\"} 1\n")
        };
        crate::treasury::observe(&mut app).await;
        app.issue("large", "25.00").await.is_problem(402, "insufficient-funds");
        assert!(is_open(&app).await);
        app.set_funds(24);
        crate::treasury::observe(&mut app).await;
        assert!(is_open(&app).await, "that is not enough");
        app.set_funds(1000);
        crate::treasury::observe(&mut app).await;
        assert!(!is_open(&app).await, "nobody has bought anything yet");
        assert_eq!(app.issue("another", "25.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    /// C11: the id of a reward begins with the partner id, and a key has one id for ever.
    async fn a_partner_id_that_is_mended_ends_what_was_refused_for_it(backend: Backend) {
        let wrong = PARTNER.to_uppercase();
        let mut app = App::shaped(backend, Shape::default().with(PARTNER_ID, &wrong)).await;
        let refused = app.issue("before", "5.00").await;
        refused.is_refusal(503, "account-problem", ("F300", "InvalidPartnerId"));
        app.restart_with(PARTNER_ID, PARTNER).await;
        for _ in 0..2 {
            let lapsed = app.issue("before", "5.00").await;
            lapsed.is_problem(422, "lapsed");
            assert_eq!(lapsed.reward_id(), refused.reward_id());
            assert_eq!((&lapsed.json["retryable"], &lapsed.json["money_moved"]), (&json!(false), &json!("no")));
            assert_eq!(lapsed.json["upstream"]["error_type"], "InvalidPartnerId");
        }
        assert_eq!(app.issue("after", "5.00").await.status, 201);
        // Whoever was answered that it is over has bought elsewhere: it stays over.
        app.restart_with(PARTNER_ID, &wrong).await;
        app.issue("before", "5.00").await.is_problem(422, "lapsed");
        assert_eq!(app.events(refused.reward_id()).await, ["reward.received", "reward.failed", "reward.closed"]);
        assert_eq!((app.received("Create").len(), app.control.book().len()), (2, 1));
        app.restart_with(PARTNER_ID, PARTNER).await;
        books_match(&app).await;
        app.end().await;
    }
}
