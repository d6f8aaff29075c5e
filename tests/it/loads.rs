//! Balances of Amazon accounts that are loaded (`kind: balance_load`), from the REST face to the gateway's book: loaded, voided, replayed,
//! refused and unknown; and by whoever signs in with Login with Amazon. Amazon's suggested cases stand in `acceptance`.

mod acceptance;
mod books;
mod faults;
pub(crate) mod login;
mod older;
mod replayed;
mod texts;
mod validation;

use noshi::sandbox::{Card, CardState, Fault, FaultRule, NewToken, Operation, Received, Shopper};
use serde_json::{Value, json};

use crate::support::{Answer, App, Backend, Shape, books::books_match, faults::refusal, on_each_backend};

const VALIDATE: &str = "ValidateAccountForAmazonBalanceLoad";
const LOAD: &str = "LoadAmazonBalance";
const VOID: &str = "VoidAmazonBalanceLoad";
const TOKENINFO: &str = "tokeninfo";
const PROFILE: &str = "profile";

/// Our client at Login with Amazon.
const CLIENT: &str = "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef";

/// A service that loads balances, and the folder of its sealing key.
struct Counter {
    app: App,
    _folder: tempfile::TempDir,
}

/// Settings that name the kind, and the folder of the key that seals.
pub(crate) fn sealed() -> (tempfile::TempDir, Shape) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealing");
    let bytes: Vec<u8> = (0..32).map(|at: u8| at.wrapping_mul(11) ^ 0x3c).collect();
    std::fs::write(&path, data_encoding::HEXLOWER.encode(&bytes)).unwrap();
    let shape = Shape::default()
        .with("NOSHI__SEALING__KEYS", format!("[{{ id = \"one\", file = \"{}\" }}]", path.display()))
        .with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"balance_load\"]");
    (folder, shape)
}

fn operation(name: &str) -> Operation {
    Operation::named(name).unwrap()
}

/// The order of a load.
fn load(target: Value, amount: &str) -> Value {
    let value = json!({"amount": amount, "currency_code": "USD"});
    json!({"kind": "balance_load", "value": value, "target": target})
}

impl Counter {
    async fn open(backend: Backend) -> Self {
        Self::shaped(backend, Shape::default()).await
    }

    /// Its account is closed for half a minute where Amazon refuses it.
    async fn breaking(backend: Backend) -> Self {
        Self::shaped(backend, Shape::default().with("NOSHI__REWARDS__BREAKER_SECONDS", 30)).await
    }

    async fn shaped(backend: Backend, mut shape: Shape) -> Self {
        let (folder, sealed) = sealed();
        shape.settings = sealed.settings.into_iter().chain(shape.settings).collect();
        let shape = shape.with("NOSHI__ACCOUNTS__MAIN__LOGIN_CLIENT_ID", CLIENT);
        Self { app: App::shaped(backend, shape).await, _folder: folder }
    }

    fn shopper(&self, number: usize) -> Shopper {
        self.app.control.shoppers().swap_remove(number)
    }

    fn barcode(&self, number: usize) -> Value {
        json!({"barcode": self.shopper(number).barcode})
    }

    async fn load(&self, key: &str, target: Value) -> Answer {
        self.app.issue_body(key, load(target, "25.00")).await
    }

    /// A token that Login with Amazon made for a client.
    fn token(&self, client_id: &str, shopper: usize, expires_in_seconds: i64) -> String {
        let (client_id, user_id) = (client_id.to_owned(), self.shopper(shopper).user_id);
        let token = NewToken { access_token: None, client_id, user_id, expires_in_seconds };
        self.app.control.plant_token(token).unwrap().access_token
    }

    /// The target of whoever signed in.
    fn signed_in(&self, shopper: usize) -> Value {
        json!({"access_token": self.token(CLIENT, shopper, 3_600)})
    }

    /// Every call of this operation meets this, so many times.
    fn strike(&self, name: &str, fault: Fault, times: u32) {
        let rule = FaultRule { operation: Some(operation(name)), times: Some(times), ..FaultRule::always(fault) };
        self.app.control.script(rule).unwrap();
    }

    /// What the gateway was asked about loads and shoppers, in sequence.
    fn calls(&self) -> Vec<Received> {
        let mut calls = self.app.control.requests();
        calls.retain(|call| [VALIDATE, LOAD, VOID, TOKENINFO, PROFILE].contains(&call.operation.as_str()));
        calls
    }

    fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.operation).collect()
    }

    /// Loads of the book that stand.
    fn standing(&self) -> Vec<Card> {
        let mut loads = self.app.control.book();
        loads.retain(|card| card.state == CardState::Live);
        loads
    }

    async fn rewards(&self) -> i64 {
        self.app.database.number("SELECT COUNT(*) FROM rewards").await
    }

    async fn end_with_books(self) {
        books_match(&self.app).await;
        self.app.end().await;
    }
}

on_each_backend! {
    async fn a_lost_answer_is_proven_by_the_same_bytes_under_the_same_id(backend: Backend) {
        let counter = Counter::open(backend).await;
        for (key, fault) in [("done", Fault::DropAfterWork), ("not done", Fault::DropBeforeWork)] {
            counter.app.control.clear_requests();
            counter.strike(LOAD, fault, 1);
            let lost = counter.load(key, counter.barcode(0)).await;
            lost.is_accepted();
            counter.app.until(lost.id(), "issued").await;
            let calls = counter.calls();
            assert_eq!((counter.operations(), &calls[0].body), (vec![LOAD.to_owned(); 2], &calls[1].body), "{key}");
            assert_eq!(counter.app.cards_of(key).len(), 1, "{key}");
        }
        counter.end_with_books().await;
    }

    async fn an_answer_about_something_else_is_never_taken_for_ours(backend: Backend) {
        let counter = Counter::open(backend).await;
        let odd = Fault::OddCardStatus { status: "Pending".to_owned() };
        for (at, (fault, attention)) in [
            (Fault::WrongAmount, "mismatch"),
            (Fault::WrongCurrency, "mismatch"),
            (Fault::WrongRequestId, "mismatch"),
            (Fault::WrongCard, "mismatch"),
            (Fault::DeadCard, "canceled_elsewhere"),
            (odd, "odd_card_status"),
        ]
        .into_iter()
        .enumerate()
        {
            counter.strike(LOAD, fault.clone(), 1);
            let answer = counter.load(&format!("odd-{at}"), counter.barcode(at)).await;
            let told = (answer.status, &answer.json["status"], &answer.json["attention"]);
            assert_eq!(told, (202, &json!("needs_attention"), &json!(attention)), "{fault:?}: {}", answer.text);
        }
        counter.end_with_books().await;
    }

    async fn a_void_that_is_lost_is_sent_again_until_the_load_is_voided(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        for (key, fault) in [("done", Fault::DropAfterWork), ("not done", Fault::DropBeforeWork)] {
            let issued = counter.load(key, counter.barcode(0)).await;
            counter.strike(VOID, fault, 1);
            let canceled = counter.app.cancel(issued.id()).await;
            assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
            counter.app.pass(60).await;
            counter.app.until(issued.id(), "canceled").await;
        }
        assert_eq!(counter.standing().len(), 0);
        counter.end_with_books().await;
    }

    async fn a_void_that_amazon_refuses_is_tried_again_and_settled_by_the_load_once_the_window_is_over(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        let issued = counter.load("one", counter.barcode(0)).await;
        counter.strike(VOID, refusal("F200", "RequestedDenominationMismatch"), 100);
        let canceled = counter.app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (202, &json!("canceling")), "{}", canceled.text);
        for _ in 0..10 {
            counter.app.pass(130).await;
        }
        let stands = counter.app.until(issued.id(), "issued").await;
        assert_eq!(stands["cancel_failure"], "not_permitted", "the recipient has the money");
        assert_eq!(counter.operations().last().unwrap(), LOAD, "the same load shows that it stands");
        counter.app.cancel(issued.id()).await.is_problem(409, "cancel-window-closed");
        counter.end_with_books().await;
    }

    async fn a_void_whose_every_answer_is_lost_is_found_done_by_the_load(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        let issued = counter.load("one", counter.barcode(0)).await;
        counter.strike(VOID, Fault::DropAfterWork, 100);
        counter.app.cancel(issued.id()).await;
        for _ in 0..12 {
            counter.app.pass(130).await;
        }
        counter.app.until(issued.id(), "canceled").await;
        assert_eq!(counter.operations().last().unwrap(), LOAD);
        assert_eq!((counter.standing().len(), counter.app.cards_of("one").len()), (0, 1), "it was loaded once");
        counter.end_with_books().await;
    }

    /// Amazon may answer an id that comes again as it answered it first.
    async fn a_load_that_is_shown_as_at_first_after_a_lost_void_is_not_taken_for_one_that_stands(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        let issued = counter.load("one", counter.barcode(0)).await;
        counter.strike(VOID, Fault::DropAfterWork, 1_000);
        counter.strike(LOAD, Fault::OddCardStatus { status: "Loaded".to_owned() }, 1_000);
        counter.app.cancel(issued.id()).await;
        for _ in 0..12 {
            counter.app.pass(130).await;
        }
        let found = counter.app.until(issued.id(), "needs_attention").await;
        assert_eq!(found["attention"], "cancel_unproven");
        assert_eq!((counter.operations().last().unwrap().as_str(), counter.standing().len()), (LOAD, 0));
        counter.end_with_books().await;
    }

    async fn what_is_not_proven_while_the_caller_waits_is_voided_where_they_ask_for_that(backend: Backend) {
        let counter = Counter::open(backend).await;
        counter.strike(LOAD, Fault::DropAfterWork, 1);
        let mut order = load(counter.barcode(0), "25.00");
        order["on_unresolved"] = json!("cancel");
        let lost = counter.app.issue_body("one", order).await;
        lost.is_accepted();
        counter.app.until(lost.id(), "canceled").await;
        assert_eq!(counter.standing().len(), 0);
        counter.end_with_books().await;
    }

    /// What is a shopper's own fault closes nothing for others, however many shoppers have it; what is the partner's still does.
    async fn refusals_that_may_be_the_shoppers_close_no_account(backend: Backend) {
        let counter = Counter::breaking(backend).await;
        for (at, word) in ["CustomerAccountBlocked", "AccountNotActive", "AccountHasProblems", "AWordOfTomorrow"].iter().enumerate() {
            counter.strike(LOAD, refusal("F300", word), 1);
            let refused = counter.load(&format!("refused-{at}"), counter.barcode(at)).await;
            assert!(refused.status >= 400 && refused.json["money_moved"] == "no", "{word}: {}", refused.text);
        }
        assert_eq!(counter.load("good", counter.barcode(5)).await.status, 201);
        assert_eq!(counter.app.issue("code", "5.00").await.status, 201);
        for at in 0..2 {
            counter.strike(LOAD, refusal("F300", "ActiveContractNotFound"), 1);
            counter.load(&format!("partner-{at}"), counter.barcode(at)).await.is_problem(503, "account-problem");
        }
        let asked = counter.calls().len();
        counter.load("shut", counter.barcode(6)).await.is_problem(503, "account-problem");
        assert_eq!(counter.calls().len(), asked, "refused before it has a row");
        counter.end_with_books().await;
    }
}
