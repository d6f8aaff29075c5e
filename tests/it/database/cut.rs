//! The connection to PostgreSQL dies at a commit whose answer nobody hears: whether it happened is unknown, and only the
//! next look tells.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    Codes,
    proxy::{Cut, Moment, Proxy},
};
use crate::support::{App, Backend, books::books_match};

const ROUNDS: usize = 40;

/// A service whose every word to the database passes the proxy.
pub(super) async fn behind_a_proxy() -> (App, Proxy) {
    let mut app = App::spawn(Backend::Postgres).await;
    let (before, rest) = app.database.url().split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(server.parse::<SocketAddr>().unwrap()).await;
    let url = format!("{before}@{}/{name}", proxy.address);
    app.restart_with("NOSHI__STORE__URL", &url).await;
    (app, proxy)
}

fn key(cut: Cut, round: usize) -> String {
    format!("{cut:?}-{round}")
}

/// Cuts the intent's commit in every round, with a second request of the same key at the same time.
async fn cut_at_the_intent(cut: Cut) {
    let (mut app, proxy) = behind_a_proxy().await;
    let (mut codes, mut refused) = (Codes::new(), 0);
    let keys: Vec<String> = (0..ROUNDS).map(|round| key(cut, round)).collect();
    for (round, key) in keys.iter().enumerate() {
        proxy.arm(Moment::Intent, cut);
        let at_once = 1 + round % 2;
        let answers = join_all((0..at_once).map(|_| app.issue(key, "1.00"))).await;
        assert_eq!(proxy.struck(), round + 1, "nothing was cut: {answers:?}");
        let unknown: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        // Who was cut off is told that nobody knows; the other finds a row, or makes one.
        assert!(!unknown.is_empty(), "{answers:?}");
        refused += unknown.len();
        assert!(unknown.iter().all(|answer| answer.json["money_moved"] == "unknown"), "{answers:?}");
        if at_once == 1 {
            let id = app.amazon_id(key);
            let sent = app.received("Create").iter().any(|call| call.creation_request_id.as_deref() == Some(&id));
            assert!(!sent, "sent although nobody knows whether the intent is durable");
        }
        answers.iter().for_each(|answer| codes.note(key, answer));
    }
    let left = app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await;
    match cut {
        Cut::BeforeTheServer => assert_eq!(left, 0, "what was never committed is not there"),
        Cut::BeforeTheAnswer => assert_eq!(left, 40, "what was committed is there"),
        Cut::Meanwhile => {}
    }
    // The leases of those that nobody drives run out.
    app.advance(30);
    codes.complete(&app, &keys).await;
    assert!(refused >= ROUNDS, "{refused}");
    assert_eq!(app.control.book().len(), ROUNDS);
    books_match(&app).await;
    app.end().await;
}

/// Cuts the outcome's commit in every round: the card is bought, its code is in hand.
async fn cut_at_the_outcome(cut: Cut) {
    let (mut app, proxy) = behind_a_proxy().await;
    let mut codes = Codes::new();
    let keys: Vec<String> = (0..ROUNDS).map(|round| key(cut, round)).collect();
    for (round, key) in keys.iter().enumerate() {
        proxy.arm(Moment::Outcome, cut);
        let answer = app.issue(key, "1.00").await;
        assert_eq!(proxy.struck(), round + 1, "nothing was cut: {}", answer.text);
        match cut {
            // Written again: the caller has the code.
            Cut::BeforeTheServer => assert_eq!((answer.status, answer.code().len()), (201, 16), "{}", answer.text),
            // It was committed, and nobody may know it: no code leaves.
            Cut::BeforeTheAnswer => answer.is_accepted(),
            Cut::Meanwhile => assert!(matches!(answer.status, 201 | 202), "{}", answer.text),
        }
        codes.note(key, &answer);
        assert_eq!(app.control.book().len(), round + 1);
    }
    app.advance(30);
    codes.complete(&app, &keys).await;
    assert_eq!(app.control.book().len(), ROUNDS);
    books_match(&app).await;
    app.end().await;
}

/// Half of the callers leave it at that, where the outcome is certain without them.
fn asks_again(cut: Cut, round: usize) -> bool {
    cut == Cut::Meanwhile || round.is_multiple_of(2)
}

/// Cuts the commit of the wish to cancel: it is canceled, or it is not, and the second wish settles it.
async fn cut_at_the_wish(cut: Cut) {
    let (mut app, proxy) = behind_a_proxy().await;
    let mut ids = Vec::new();
    for round in 0..ROUNDS / 2 {
        let issued = app.issue(&key(cut, round), "1.00").await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let sent = app.received("Cancel").len();
        proxy.arm(Moment::Wish, cut);
        let answer = app.cancel(issued.id()).await;
        assert_eq!(proxy.struck(), round + 1, "nothing was cut: {}", answer.text);
        answer.is_problem(503, "dependency-unavailable");
        assert_eq!(answer.json["money_moved"], "unknown");
        assert_eq!(app.received("Cancel").len(), sent, "a cancel left before its wish was known to be durable");
        let stored = app.read(issued.id()).await;
        match cut {
            Cut::BeforeTheServer => assert_eq!(stored["status"], "issued"),
            Cut::BeforeTheAnswer => assert_eq!(stored["status"], "canceling"),
            Cut::Meanwhile => {}
        }
        if asks_again(cut, round) {
            let again = app.cancel(issued.id()).await;
            assert!(matches!(again.status, 200 | 202), "{}", again.text);
        }
        ids.push(issued.id().to_owned());
    }
    app.advance(30);
    for (round, id) in ids.iter().enumerate() {
        if cut == Cut::BeforeTheAnswer || asks_again(cut, round) {
            app.until(id, "canceled").await;
        } else {
            assert_eq!(app.read(id).await["status"], json!("issued"), "the caller was told that nobody knows");
        }
    }
    books_match(&app).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_whose_commit_never_reaches_the_server_is_not_sent_and_the_retry_buys_one_card() {
    cut_at_the_intent(Cut::BeforeTheServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_whose_commit_nobody_hears_of_is_sent_by_the_one_who_finds_it() {
    cut_at_the_intent(Cut::BeforeTheAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_is_cut_off_while_the_server_commits_is_one_card() {
    cut_at_the_intent(Cut::Meanwhile).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_commit_never_reaches_the_server_is_written_again_and_delivered() {
    cut_at_the_outcome(Cut::BeforeTheServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_commit_nobody_hears_of_is_not_delivered_before_it_is_read() {
    cut_at_the_outcome(Cut::BeforeTheAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_cut_off_while_the_server_commits_is_one_card_with_one_code() {
    cut_at_the_outcome(Cut::Meanwhile).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_cancel_that_never_reaches_the_server_changes_nothing() {
    cut_at_the_wish(Cut::BeforeTheServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_cancel_that_nobody_hears_of_is_carried_out() {
    cut_at_the_wish(Cut::BeforeTheAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_cancel_that_is_cut_off_while_the_server_commits_is_settled_by_the_next() {
    cut_at_the_wish(Cut::Meanwhile).await;
}
