//! `POST /v1/rewards/{id}/check`: Amazon is asked now, and what it says is answered.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::{ACTIVATE, Answer, Backend, CARD, CHECK, DEACTIVATE, NEIGHBOR, Till, on_each_backend, refusal};
use crate::support::PARTNER;

impl Till {
    async fn check(&self, id: &str, body: Value) -> Answer {
        self.app.post(&format!("/v1/rewards/{id}/check"), body).await
    }
}

on_each_backend! {
    async fn a_check_asks_amazon_and_answers_what_it_said(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        let active = till.check(issued.id(), json!({})).await;
        assert_eq!((active.status, &active.json["shown"]), (200, &json!("active")), "{}", active.text);
        assert_eq!(active.json["reward"]["status"], "issued");
        assert_eq!(till.operations(), [ACTIVATE, CHECK]);

        till.app.cancel(issued.id()).await;
        let wiped = till.check(issued.id(), json!({})).await;
        wiped.is_problem(409, "invalid-state");
        assert_eq!(wiped.json["errors"][0]["pointer"], "/target");
        let other = till.check(issued.id(), json!({"target": {"card_number": NEIGHBOR}})).await;
        other.is_problem(400, "invalid-request");
        let inactive = till.check(issued.id(), json!({"target": {"card_number": CARD}})).await;
        assert_eq!((inactive.status, &inactive.json["shown"]), (200, &json!("inactive")), "{}", inactive.text);
        assert_eq!(inactive.json["reward"]["status"], "canceled");
        assert_eq!(till.operations(), [ACTIVATE, CHECK, DEACTIVATE, CHECK]);
        assert!([&active, &wiped, &other, &inactive].iter().all(|answer| !answer.text.contains("55675")));
        till.end_with_books().await;
    }

    async fn a_check_that_finds_an_issued_card_inactive_calls_a_person(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        let body = json!({"activationRequestId": till.app.amazon_id("one"), "partnerId": PARTNER, "cardNumber": CARD});
        till.ask_gateway(DEACTIVATE, &body).await;
        let checked = till.check(issued.id(), json!({})).await;
        assert_eq!((checked.status, &checked.json["shown"]), (200, &json!("inactive")), "{}", checked.text);
        let reward = &checked.json["reward"];
        assert_eq!((&reward["status"], &reward["attention"]), (&json!("needs_attention"), &json!("canceled_elsewhere")));
        let again = till.check(issued.id(), json!({})).await;
        assert_eq!((again.status, &again.json["shown"]), (200, &json!("inactive")), "the person asks: {}", again.text);
        till.end_with_books().await;
    }

    async fn a_check_that_shows_nothing_changes_nothing_and_says_why(backend: Backend) {
        let till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        for (fault, status, code) in [
            (Fault::Garbage, 503, "dependency-unavailable"),
            (Fault::Throttle, 429, "upstream-busy"),
            (refusal("F200", "CardNumberNotFound"), 422, "upstream-rejected"),
            (refusal("F300", "AccountHasProblems"), 503, "account-problem"),
        ] {
            till.strike(CHECK, fault, 1);
            till.check(issued.id(), json!({})).await.is_problem(status, code);
        }
        assert_eq!(till.app.read(issued.id()).await["status"], "issued");
        let code = till.app.issue("code", "5.00").await;
        let refused = till.check(code.id(), json!({})).await;
        refused.is_problem(409, "invalid-state");
        till.check("rwd_0190000000007000800000000000ffff", json!({})).await.is_problem(404, "not-found");
        till.check(issued.id(), json!({"card": CARD})).await.is_problem(400, "invalid-request");
        till.end_with_books().await;
    }

    /// An operator must act, and nothing that the caller does helps.
    async fn a_read_under_keys_that_amazon_turns_away_is_a_problem_of_the_account(backend: Backend) {
        let till = Till::open(backend).await;
        let (card, code) = (till.activate("one", CARD).await, till.app.issue("code", "5.00").await);
        till.app.control.set_key_active(crate::support::ACCESS_KEY_ID, false).unwrap();
        for (refused, operation) in
            [(till.check(card.id(), json!({})).await, CHECK), (till.app.reveal(code.id()).await, "CreateGiftCard")]
        {
            refused.is_problem(503, "account-problem");
            let upstream = json!({"operation": operation, "error_code": "access_key"});
            assert_eq!(refused.json["upstream"], upstream, "{}", refused.text);
        }
        till.app.control.set_key_active(crate::support::ACCESS_KEY_ID, true).unwrap();
        assert_eq!(till.check(card.id(), json!({})).await.json["shown"], "active");
        till.end_with_books().await;
    }

    async fn a_check_of_what_is_not_proven_leaves_the_proof_to_its_worker(backend: Backend) {
        let mut till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropAfterWork, 1);
        till.strike(CHECK, Fault::DropBeforeWork, 1);
        let lost = till.activate("one", CARD).await;
        till.app.until_received(CHECK, 1).await;
        let checked = till.check(lost.id(), json!({})).await;
        assert_eq!((checked.status, &checked.json["shown"]), (200, &json!("active")), "{}", checked.text);
        till.app.pass(60).await;
        till.app.until(lost.id(), "issued").await;
        till.end_with_books().await;
    }

    /// Whoever may read could otherwise use up Amazon's rate. What was not asked is not counted.
    async fn a_reward_that_is_checked_too_often_is_not_asked_for_again_before_long(backend: Backend) {
        let till = Till::open(backend).await;
        let (one, other) = (till.activate("one", CARD).await, till.activate("other", NEIGHBOR).await);
        let mut answers = Vec::new();
        for _ in 0..12 {
            answers.push(till.check(one.id(), json!({})).await);
        }
        assert!(answers[..10].iter().all(|answer| answer.status == 200), "{}", answers[9].text);
        for refused in &answers[10..] {
            refused.is_problem(429, "quota-exceeded");
            let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=90).contains(&seconds), "{seconds}");
        }
        assert_eq!(till.check(other.id(), json!({})).await.status, 200, "another reward has its own");
        assert_eq!(till.app.received(CHECK).len(), 11);
        till.end_with_books().await;
    }
}
