//! Nobody is answered from what may still vanish. On SQLite neighbours share a commit and see each other's work before
//! it: here they all queue behind one lock, so that they do share it, and then that commit fails.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Answer, App, Backend, books::books_match, on_each_backend, trap::Trap};

/// Runs all of them while nothing can be written, so that they queue up, and then lets them go at once.
async fn together(app: &App, asked: impl Future<Output = Vec<Answer>>) -> Vec<Answer> {
    let hold = app.database.hold_writes().await;
    let let_go = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        hold.release().await;
    };
    tokio::join!(asked, let_go).0
}

/// Fails unless all were told that the database is in trouble, and none was told of a reward.
fn nobody_was_told(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, 503, "told of what was never committed: {}", answer.text);
        assert!(answer.json["id"].is_null() && answer.json["reward_id"].is_null(), "{}", answer.text);
    }
}

on_each_backend! {
    async fn nobody_is_told_of_a_reward_whose_commit_failed(backend: Backend) {
        let app = App::spawn(backend).await;
        let trap = Trap::set(&app, "issuing").await;
        let answers = together(&app, join_all((0..8).map(|_| app.issue("vanishes", "5.00")))).await;
        nobody_was_told(&answers);
        assert!(answers.iter().all(|answer| answer.json["money_moved"] == "unknown"), "{answers:?}");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 0);
        assert_eq!(app.money_calls(), 0, "nothing leaves before its intent is durable");
        trap.lift(&app).await;
        let issued = app.issue("vanishes", "5.00").await;
        assert_eq!((issued.status, issued.code()), (201, app.live_cards()[0].claim_code.as_str()));
        books_match(&app).await;
        app.end().await;
    }

    async fn nobody_is_told_of_a_cancel_whose_commit_failed(backend: Backend) {
        let app = App::spawn(backend).await;
        let issued = app.issue("stays", "5.00").await;
        let trap = Trap::set(&app, "canceling").await;
        let answers = together(&app, join_all((0..6).map(|_| app.cancel(issued.id())))).await;
        nobody_was_told(&answers);
        assert_eq!(app.received("Cancel").len(), 0);
        let stored = app.read(issued.id()).await;
        assert_eq!((&stored["status"], app.live_cards().len()), (&json!("issued"), 1));
        trap.lift(&app).await;
        assert_eq!(app.cancel(issued.id()).await.status, 200);
        books_match(&app).await;
        app.end().await;
    }

    async fn nobody_is_told_of_a_second_try_whose_commit_failed(backend: Backend) {
        let app = App::spawn(backend).await;
        app.without_funds("again");
        app.issue("again", "5.00").await.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        let trap = Trap::set(&app, "issuing").await;
        let answers = together(&app, join_all((0..6).map(|_| app.issue("again", "5.00")))).await;
        nobody_was_told(&answers);
        assert_eq!((app.received("Create").len(), app.control.book().len()), (1, 0), "only the refused one was sent");
        trap.lift(&app).await;
        assert_eq!(app.issue("again", "5.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    async fn nobody_is_told_that_no_money_moved_while_the_card_is_bought(backend: Backend) {
        let app = App::spawn(backend).await;
        for round in 0..4 {
            let key = format!("twice-{round}");
            app.without_funds(&key);
            app.issue(&key, "5.00").await.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
            let answers = together(&app, join_all((0..4).map(|_| app.issue(&key, "5.00")))).await;
            let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
            assert_eq!(created.len(), 1, "{answers:?}");
            for answer in &answers {
                assert!(matches!(answer.status, 200..=202), "told that nothing was bought: {}", answer.text);
                assert_eq!(answer.id(), created[0].id());
            }
            assert_eq!(app.control.book().len(), round + 1);
        }
        books_match(&app).await;
        app.end().await;
    }
}
