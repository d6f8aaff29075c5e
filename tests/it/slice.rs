//! The slice end to end: REST in, a durable intent, a signed call over a socket, a durable outcome, the code in the
//! answer.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::json;

use crate::support::{App, Backend, on_each_backend};

on_each_backend! {
    async fn a_gift_code_is_issued_read_revealed_and_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let issued = app.issue("order-1", "25.00").await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        assert_eq!(issued.header("cache-control"), "no-store");
        assert_eq!(issued.header("location"), format!("/v1/rewards/{}", issued.id()));
        let book = app.live_cards();
        assert_eq!(book.len(), 1);
        assert_eq!(book[0].claim_code, issued.code());
        assert_eq!(issued.json["creation_request_id"], book[0].creation_request_id.as_str());

        let read = app.get(&format!("/v1/rewards/{}", issued.id())).await;
        assert_eq!((read.status, &read.json["status"]), (200, &json!("issued")));
        assert!(!read.text.contains(issued.code()), "reading never shows the code");

        let revealed = app.reveal(issued.id()).await;
        assert_eq!((revealed.status, revealed.code()), (200, issued.code()));

        let canceled = app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert!(app.live_cards().is_empty());
        assert_eq!(app.cancel(issued.id()).await.status, 200, "canceling twice is the same");
        app.reveal(issued.id()).await.is_problem(410, "gone");
        let again = app.issue("order-1", "25.00").await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("canceled")));
        assert!(again.json["claim_code"].is_null());

        let events = app.get(&format!("/v1/rewards/{}/events", issued.id())).await;
        let kinds: Vec<&str> = events.json["data"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            ["reward.received", "reward.issued", "claim_code.revealed", "cancel.requested", "reward.canceled"]
        );
        app.end().await;
    }

    async fn the_same_key_gives_the_same_card_and_another_body_is_refused(backend: Backend) {
        let app = App::spawn(backend).await;
        let first = app.issue("\"order-2\"", "10.00").await;
        let second = app.issue("order-2", "10.00").await;
        assert_eq!((first.status, second.status), (201, 200));
        assert_eq!((first.id(), first.code()), (second.id(), second.code()));
        assert_eq!(second.header("idempotent-replayed"), "true");
        let calls = app.received("Create").len();
        app.issue("order-2", "10.01").await.is_problem(422, "idempotency-mismatch");
        assert_eq!(app.received("Create").len(), calls, "nothing was sent");
        assert_eq!(app.control.book().len(), 1);
        app.end().await;
    }

    async fn sixty_four_at_once_with_one_key_buy_one_card(backend: Backend) {
        let app = App::spawn(backend).await;
        let answers = futures_util::future::join_all((0..64).map(|_| app.issue("race", "5.00"))).await;
        assert_eq!(app.control.book().len(), 1);
        let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(created.len(), 1);
        for answer in &answers {
            assert!(matches!(answer.status, 200..=202), "{}", answer.text);
            assert_eq!(answer.id(), created[0].id());
            if let Some(code) = answer.json["claim_code"].as_str() {
                assert_eq!(code, created[0].code());
            }
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 1);
        app.end().await;
    }

    async fn a_create_that_times_out_answers_202_and_is_issued_later_with_one_card(backend: Backend) {
        let app = App::spawn(backend).await;
        let slow = FaultRule::once(Fault::DelayWork { milliseconds: 8000 });
        app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..slow }).unwrap();
        let started = app.ambient.monotonic();
        let answer = app.issue("slow", "7.00").await;
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert!(answer.json["claim_code"].is_null());
        assert_eq!(answer.header("retry-after"), "1");
        app.until(answer.id(), "issued").await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(app.control.book().len(), 1, "the delayed create and the replay are one card");
        let late = app.issue("slow", "7.00").await;
        assert_eq!((late.status, late.code()), (200, app.control.book()[0].claim_code.as_str()));
        let bodies: std::collections::BTreeSet<String> = app.received("Create").into_iter().map(|r| r.body).collect();
        assert_eq!(bodies.len(), 1, "every attempt has the same bytes");
        app.end().await;
    }

    async fn a_clock_that_amazon_refuses_is_corrected_by_amazons_own_and_signed_once_more(backend: Backend) {
        let app = App::spawn(backend).await;
        for (skew, key) in [(600, "ahead"), (-900, "behind")] {
            app.control.set_signature_skew(skew).unwrap();
            app.control.clear_requests();
            let answer = app.issue(key, "5.00").await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            app.issue(&format!("{key}-again"), "5.00").await;
            // Whichever calls come first are turned away, be it the balance's too; the correction holds for all that follow.
            let turned_away = app.control.requests().iter().filter(|call| call.http_status == Some(403)).count();
            assert!((1..=2).contains(&turned_away), "turned away once, then signed by Amazon's clock: {turned_away}");
            let last = app.received("Create").pop().and_then(|call| call.http_status);
            assert_eq!(last, Some(200), "the correction is kept");
        }
        app.end().await;
    }
}
