//! `validate_loads`: Amazon is asked first whether the account could be loaded. A refusal consumed nothing.

use noshi::sandbox::Fault;
use serde_json::json;

use super::{Backend, Counter, LOAD, Shape, VALIDATE, VOID, on_each_backend, refusal};

async fn open(backend: Backend) -> Counter {
    Counter::shaped(backend, Shape::default().with("NOSHI__ACCOUNTS__MAIN__VALIDATE_LOADS", true)).await
}

on_each_backend! {
    async fn an_account_is_validated_once_before_its_load_and_not_before_a_replay_or_a_void(backend: Backend) {
        let counter = open(backend).await;
        counter.strike(LOAD, Fault::DropAfterWork, 1);
        let lost = counter.load("one", counter.barcode(0)).await;
        lost.is_accepted();
        counter.app.until(lost.id(), "issued").await;
        assert_eq!(counter.app.cancel(lost.id()).await.json["status"], "canceled");
        assert_eq!(counter.operations(), [VALIDATE, LOAD, LOAD, VOID]);
        counter.end_with_books().await;
    }

    async fn a_validation_that_is_refused_refuses_the_reward_and_nothing_was_sent(backend: Backend) {
        let counter = open(backend).await;
        let refused = counter.load("one", counter.barcode(10)).await;
        refused.is_problem(422, "upstream-rejected");
        assert_eq!((&refused.json["money_moved"], &refused.json["errors"][0]["pointer"]), (&json!("no"), &json!("/target")));
        assert_eq!(counter.app.read(refused.reward_id()).await["status"], "failed");
        let events = counter.app.get(&format!("/v1/rewards/{}/events", refused.reward_id())).await;
        assert!(events.text.contains(VALIDATE), "the timeline says which call was refused: {}", events.text);
        assert_eq!(counter.operations(), [VALIDATE]);
        counter.strike(VALIDATE, refusal("F300", "AccountHasProblems"), 1);
        counter.load("two", counter.barcode(0)).await.is_problem(503, "account-problem");
        assert_eq!((counter.operations().len(), counter.standing().len()), (2, 0));
        counter.end_with_books().await;
    }

    async fn a_validation_that_finds_nothing_out_sends_nothing_and_is_asked_again(backend: Backend) {
        let mut counter = open(backend).await;
        let faults = [Fault::DropBeforeWork, Fault::Garbage, Fault::WrongAmount, Fault::Resend { after_work: true }];
        let struck = faults.len();
        for fault in faults {
            counter.strike(VALIDATE, fault, 1);
        }
        let waiting = counter.load("one", counter.barcode(0)).await;
        assert!(matches!(waiting.status, 201 | 202), "{}", waiting.text);
        for _ in 0..6 {
            counter.app.pass(120).await;
        }
        counter.app.until(waiting.id(), "issued").await;
        let operations = counter.operations();
        assert_eq!(operations.iter().filter(|name| *name == VALIDATE).count(), struck + 1, "{operations:?}");
        assert_eq!(operations.iter().filter(|name| *name == LOAD).count(), 1, "{operations:?}");
        counter.end_with_books().await;
    }
}
