//! A reward is replayed where it was made and nowhere else: under another partner, marketplace or environment its id is
//! unknown, and replaying it would buy a card.

use noshi::sandbox::Fault;
use serde_json::json;

use crate::support::{App, Backend, Shape, books::books_match, on_each_backend};

const PARTNER_ID: &str = "NOSHI__ACCOUNTS__MAIN__PARTNER_ID";
const MARKETPLACE: &str = "NOSHI__ACCOUNTS__MAIN__MARKETPLACE";
const MAXIMUM: &str = "NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM";

/// Both deal in euros, in the same region, and Amazon's maximum of neither is known.
const HERE: &str = "DE";
const ELSEWHERE: &str = "FR";

fn euros(amount: &str) -> serde_json::Value {
    json!({"kind": "gift_code", "value": {"amount": amount, "currency_code": "EUR"}})
}

/// How the account becomes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Partner,
    Marketplace,
    /// Seen from the other side: what was made in production meets the sandbox, so that no test can reach Amazon.
    Environment,
    /// The account of the rewards is not in the settings.
    Gone,
}

async fn go_away(app: &mut App, how: Move) {
    match how {
        Move::Partner => app.restart_with(PARTNER_ID, "Other").await,
        Move::Marketplace => app.restart_with(MARKETPLACE, ELSEWHERE).await,
        Move::Environment => rewrite(app, "environment = 'production'").await,
        Move::Gone => rewrite(app, "account = 'gone'").await,
    }
}

async fn come_back(app: &mut App, how: Move) {
    match how {
        Move::Partner => app.restart_with(PARTNER_ID, crate::support::PARTNER).await,
        Move::Marketplace => app.restart_with(MARKETPLACE, HERE).await,
        Move::Environment => rewrite(app, "environment = 'sandbox'").await,
        Move::Gone => rewrite(app, "account = 'main'").await,
    }
}

/// While nothing runs, so that nobody sees one reward changed and another not.
async fn rewrite(app: &mut App, what: &str) {
    assert!(app.stop().await);
    assert_eq!(app.database.execute(&format!("UPDATE rewards SET {what}")).await.unwrap(), 3);
    app.start().await;
}

/// An issued, a failed and an unresolved reward; the account becomes another one; nothing is sent for any of them, however
/// it is asked for; the account comes back, and each goes its way.
async fn sends_nothing_elsewhere(backend: Backend, how: Move) {
    let shape = Shape { marketplace: HERE, ..Shape::default() }.with(MAXIMUM, "100.00");
    let mut app = App::shaped(backend, shape).await;
    let issued = app.issue_body("issued", euros("10.00")).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    app.without_funds("failed");
    let refused = app.issue_body("failed", euros("11.00")).await;
    refused.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
    // Twice, in case that it is replayed before the stop.
    app.strike("open", Fault::DropAfterWork, 2);
    let open = app.issue_body("open", euros("12.00")).await;
    open.is_accepted();

    go_away(&mut app, how).await;
    let before = app.money_calls();
    app.reveal(issued.id()).await.is_problem(409, "invalid-state");
    let again = app.issue_body("issued", euros("10.00")).await;
    assert_eq!((again.status, &again.json["status"]), (200, &json!("issued")), "{}", again.text);
    assert!(again.json["claim_code"].is_null(), "{}", again.text);
    let again = app.issue_body("failed", euros("11.00")).await;
    again.is_problem(422, "lapsed");
    assert_eq!((again.reward_id(), &again.json["retryable"]), (refused.reward_id(), &json!(false)), "{}", again.text);
    app.until_idle().await;
    let timeline = app.events(open.id()).await;
    // Due again and again, also after the rest that a reward without an account is given.
    for _ in 0..3 {
        app.pass(20 * 60).await;
    }
    app.issue_body("open", euros("12.00")).await.is_accepted();
    assert_eq!(app.money_calls(), before, "something was sent as {how:?}");
    assert_eq!(app.events(open.id()).await, timeline, "a parked reward's timeline grows");

    come_back(&mut app, how).await;
    app.advance(20 * 60);
    app.until(open.id(), "issued").await;
    for (key, amount) in [("open", "12.00"), ("failed", "11.00"), ("issued", "10.00")] {
        let told = app.issue_body(key, euros(amount)).await;
        assert!(app.live_cards().iter().any(|card| card.claim_code == told.code()), "{key}: {}", told.text);
    }
    assert_eq!(app.control.book().len(), 3);
    books_match(&app).await;
    app.end().await;
}

on_each_backend! {
    async fn another_partner_id_sends_nothing(backend: Backend) {
        sends_nothing_elsewhere(backend, Move::Partner).await;
    }

    async fn another_marketplace_sends_nothing(backend: Backend) {
        sends_nothing_elsewhere(backend, Move::Marketplace).await;
    }

    async fn another_environment_sends_nothing(backend: Backend) {
        sends_nothing_elsewhere(backend, Move::Environment).await;
    }

    async fn a_missing_account_parks_its_rewards_and_their_timeline_does_not_grow(backend: Backend) {
        sends_nothing_elsewhere(backend, Move::Gone).await;
    }

    async fn a_refusal_is_not_tried_again_above_a_lowered_maximum(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.without_funds("large");
        app.issue("large", "50.00").await.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        app.restart_with(MAXIMUM, "49.99").await;
        for _ in 0..2 {
            let lapsed = app.issue("large", "50.00").await;
            lapsed.is_problem(422, "lapsed");
            assert!(lapsed.json["detail"].as_str().unwrap().contains("limits"), "{}", lapsed.text);
        }
        app.pass(3600).await;
        assert_eq!((app.money_calls(), app.control.book().len()), (1, 0), "the settings forbid it now");
        app.restart_with(MAXIMUM, "50.00").await;
        assert_eq!(app.issue("large", "50.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }
}
