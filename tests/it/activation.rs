//! Physical cards (`kind: card_activation`), from the REST face to the gateway's book: activated, deactivated, replayed, refused,
//! unknown, and activated by somebody else. Amazon's suggested cases for activation stand in `acceptance`.

mod acceptance;
mod books;
mod check;
mod elsewhere;
mod faults;
mod texts;
mod till;

use std::time::Duration;

use chrono::TimeDelta;
use noshi::sandbox::{Fault, FaultRule, Operation, Received};
use serde_json::{Value, json};

use crate::{
    sandbox::signer::{Call, exchange},
    support::{
        ACCESS_KEY_ID, Answer, App, Backend, SECRET_ACCESS_KEY, Shape, books::books_match, faults::refusal,
        on_each_backend,
    },
};

/// The two cards that Amazon prints in its pages.
const CARD: &str = "1400000005567585358";
const NEIGHBOR: &str = "1400000005567586149";

const ACTIVATE: &str = "ActivateGiftCard";
const DEACTIVATE: &str = "DeactivateGiftCard";
const CHECK: &str = "ActivationStatusCheck";

/// A service that deals in cards, and the folder of its sealing key.
struct Till {
    app: App,
    _folder: tempfile::TempDir,
}

fn operation(name: &str) -> Operation {
    Operation::named(name).unwrap()
}

/// The order of a card.
fn card(number: &str, amount: &str) -> Value {
    let value = json!({"amount": amount, "currency_code": "USD"});
    json!({"kind": "card_activation", "value": value, "target": {"card_number": number}})
}

impl Till {
    async fn open(backend: Backend) -> Self {
        Self::shaped(backend, Shape::default()).await
    }

    async fn shaped(backend: Backend, shape: Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing");
        let bytes: Vec<u8> = (0..32).map(|at: u8| at.wrapping_mul(7) ^ 0x5b).collect();
        std::fs::write(&path, data_encoding::HEXLOWER.encode(&bytes)).unwrap();
        let shape = shape
            .with("NOSHI__SEALING__KEYS", format!("[{{ id = \"one\", file = \"{}\" }}]", path.display()))
            .with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"card_activation\"]");
        Self { app: App::shaped(backend, shape).await, _folder: folder }
    }

    async fn activate(&self, key: &str, number: &str) -> Answer {
        self.app.issue_body(key, card(number, "25.00")).await
    }

    /// Every call of this operation meets this, so many times.
    fn strike(&self, name: &str, fault: Fault, times: u32) {
        let rule = FaultRule { operation: Some(operation(name)), times: Some(times), ..FaultRule::always(fault) };
        self.app.control.script(rule).unwrap();
    }

    /// What the gateway was asked about cards, in sequence.
    fn calls(&self) -> Vec<Received> {
        let mut calls = self.app.control.requests();
        calls.retain(|call| [ACTIVATE, DEACTIVATE, CHECK].contains(&call.operation.as_str()));
        calls
    }

    fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.operation).collect()
    }

    /// A call to the gateway that is not ours, under the partner's keys.
    async fn ask_gateway(&self, name: &str, body: &Value) {
        let clock = self.app.control.clock();
        let at = clock.now - TimeDelta::seconds(clock.offset_seconds - clock.signature_skew_seconds);
        let mut call = Call::new(name, &body.to_string(), at);
        (call.key_id, call.secret) = (ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned());
        let seen = exchange(self.app.gateway(), &call.bytes(), Duration::from_secs(5)).await;
        assert_eq!(seen.status, Some(200), "{seen:?}");
    }

    async fn end_with_books(self) {
        books_match(&self.app).await;
        self.app.end().await;
    }
}

on_each_backend! {
    async fn a_lost_answer_is_proven_by_the_cards_status_and_by_whose_it_is(backend: Backend) {
        let till = Till::open(backend).await;
        for (key, number, fault) in [("done", CARD, Fault::DropAfterWork), ("not done", NEIGHBOR, Fault::DropBeforeWork)] {
            till.app.control.clear_requests();
            till.strike(ACTIVATE, fault, 1);
            let lost = till.activate(key, number).await;
            lost.is_accepted();
            till.app.until(lost.id(), "issued").await;
            assert_eq!(till.operations(), [ACTIVATE, CHECK, ACTIVATE, CHECK], "{key}");
            let calls = till.calls();
            assert_eq!(calls[0].body, calls[2].body, "{key}: the same bytes");
            assert_eq!(till.app.cards_of(key).len(), 1, "{key}");
        }
        till.end_with_books().await;
    }

    /// Amazon documents the check for cards that were activated, so it may not know the id of one that was not.
    async fn a_check_that_knows_no_such_id_is_an_activation_that_has_not_arrived(backend: Backend) {
        let till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropBeforeWork, 1);
        till.strike(CHECK, refusal("F200", "NonExistingActivationRequestId"), 1);
        let lost = till.activate("one", CARD).await;
        till.app.until(lost.id(), "issued").await;
        assert_eq!(till.operations(), [ACTIVATE, CHECK, ACTIVATE, CHECK]);
        till.end_with_books().await;
    }

    async fn a_check_that_says_nothing_is_asked_again_and_nothing_is_sent_meanwhile(backend: Backend) {
        let mut till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropAfterWork, 1);
        for fault in [
            Fault::Garbage,
            Fault::Resend { after_work: true },
            refusal("F200", "CardNumberNotFound"),
            refusal("F300", "AccountHasProblems"),
            Fault::HtmlError { status: 502, after_work: false },
        ] {
            till.strike(CHECK, fault, 1);
        }
        let lost = till.activate("one", CARD).await;
        for _ in 0..8 {
            till.app.pass(120).await;
        }
        till.app.until(lost.id(), "issued").await;
        let operations = till.operations();
        assert_eq!(operations[..6], [ACTIVATE, CHECK, CHECK, CHECK, CHECK, CHECK].map(str::to_owned));
        assert_eq!(operations.iter().filter(|name| *name == ACTIVATE).count(), 2);
        till.end_with_books().await;
    }

    async fn an_answer_about_something_else_is_never_taken_for_ours(backend: Backend) {
        let till = Till::open(backend).await;
        let odd = Fault::OddCardStatus { status: "Lost".to_owned() };
        let numbers: Vec<String> = till.app.control.cards().into_iter().map(|card| card.card_number).collect();
        for (at, (fault, attention)) in [
            (Fault::WrongAmount, "mismatch"),
            (Fault::WrongCurrency, "mismatch"),
            (Fault::WrongRequestId, "mismatch"),
            (Fault::WrongCard, "mismatch"),
            (odd, "odd_card_status"),
        ]
        .into_iter()
        .enumerate()
        {
            till.strike(ACTIVATE, fault.clone(), 1);
            let answer = till.activate(&format!("odd-{at}"), &numbers[at]).await;
            let told = (answer.status, &answer.json["status"], &answer.json["attention"]);
            assert_eq!(told, (202, &json!("needs_attention"), &json!(attention)), "{fault:?}: {}", answer.text);
        }
        till.end_with_books().await;
    }

    async fn a_deactivation_that_is_lost_is_sent_again_until_the_card_is_inactive(backend: Backend) {
        let mut till = Till::open(backend).await;
        for (key, number, fault) in [("done", CARD, Fault::DropAfterWork), ("not done", NEIGHBOR, Fault::DropBeforeWork)] {
            let issued = till.activate(key, number).await;
            till.strike(DEACTIVATE, fault, 1);
            let canceled = till.app.cancel(issued.id()).await;
            assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
            till.app.pass(60).await;
            till.app.until(issued.id(), "canceled").await;
        }
        assert_eq!(till.app.live_cards().len(), 0);
        till.end_with_books().await;
    }

    async fn a_deactivation_that_amazon_refuses_is_tried_again_and_settled_by_the_cards_status(backend: Backend) {
        let mut till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        till.strike(DEACTIVATE, refusal("F200", "DeactivationNotAllowed"), 100);
        let canceled = till.app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (202, &json!("canceling")), "{}", canceled.text);
        for _ in 0..10 {
            till.app.pass(130).await;
        }
        let stands = till.app.until(issued.id(), "issued").await;
        assert_eq!(stands["cancel_failure"], "not_permitted", "the customer has the card, and it is live");
        assert_eq!(till.operations().last().unwrap(), CHECK);
        till.app.cancel(issued.id()).await.is_problem(409, "cancel-window-closed");
        till.end_with_books().await;
    }

    async fn what_is_not_proven_while_the_caller_waits_is_deactivated_where_they_ask_for_that(backend: Backend) {
        let till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropAfterWork, 1);
        let mut order = card(CARD, "25.00");
        order["on_unresolved"] = json!("cancel");
        let lost = till.app.issue_body("one", order).await;
        lost.is_accepted();
        till.app.until(lost.id(), "canceled").await;
        assert_eq!(till.app.live_cards().len(), 0);
        till.end_with_books().await;
    }
}
