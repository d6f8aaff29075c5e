//! What a stolen key that may reveal can see: so many codes in an hour, and somebody notices at the half of it.

use noshi::sandbox::{Fault, Operation};
use serde_json::json;

use super::every_scope_of_a_client;
use crate::support::{App, Backend, Shape, faults::of, on_each_backend};

async fn levels(app: &App) -> Vec<(String, String)> {
    let told = app.get("/v1/events").await.json["data"].as_array().unwrap().clone();
    let text = |event: &serde_json::Value, pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let of_reveals = told.iter().filter(|event| event["type"].as_str().unwrap().starts_with("reveals."));
    of_reveals.map(|event| (text(event, "/type"), text(event, "/data/api_key_id"))).collect()
}

/// In seconds.
fn left_of_the_hour(app: &App) -> u64 {
    (3600 - app.ambient.now().timestamp() % 3600).unsigned_abs()
}

/// So that no hour ends on the way.
fn begin_an_hour(app: &mut App) {
    app.advance(left_of_the_hour(app).cast_signed());
}

on_each_backend! {
    async fn a_key_reveals_so_many_codes_in_an_hour_and_half_of_it_is_reported(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__REVEALS_PER_HOUR", 4)).await;
        begin_an_hour(&mut app);
        let issued = app.issue("first", "5.00").await;
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        assert!(levels(&app).await.is_empty());
        for _ in 0..3 {
            let shown = app.reveal(issued.id()).await;
            assert_eq!((shown.status, shown.code()), (200, issued.code()));
        }
        let asked = app.received("Create").len();
        for _ in 0..3 {
            let before = left_of_the_hour(&app);
            let refused = app.reveal(issued.id()).await;
            refused.is_problem(429, "reveal-limit-reached");
            assert_eq!(refused.json["retryable"], json!(true));
            // A second may end between the question and the answer.
            let mut left = left_of_the_hour(&app)..=before;
            assert!(left.any(|left| refused.is_spread_over(left)), "{before}: {:?}", refused.headers);
        }
        assert_eq!(app.received("Create").len(), asked, "a refusal asks Amazon for nothing");
        // Each level once, with the key that came to it.
        let told = levels(&app).await;
        let key = app.key.split('_').nth(1).unwrap().to_owned();
        let of_this_key = |(_kind, named): &(String, String)| named.ends_with(&key);
        assert_eq!(told.iter().map(|(kind, _key)| kind.as_str()).collect::<Vec<_>>(), ["reveals.many", "reveals.limit_reached"]);
        assert!(told.iter().all(of_this_key), "{told:?}");
        let metrics = app.metrics().await;
        for line in ["reveal_levels_total{level=\"half\"} 1", "reveal_levels_total{level=\"limit\"} 1"] {
            assert!(metrics.contains(&format!("noshi_{line}\n")), "{line}");
        }
        // Everything else goes on: orders, the answer to the same key, another key.
        assert_eq!(app.issue("second", "5.00").await.status, 201);
        assert_eq!(app.issue("first", "5.00").await.code(), issued.code());
        let (_client, other) = app.mint_key("tests", every_scope_of_a_client()).await;
        let own = std::mem::replace(&mut app.key, other);
        assert_eq!(app.reveal(issued.id()).await.status, 200, "another key of the client's");
        app.key = own;
        // A restart forgets nothing, and the next hour has all of it.
        assert!(app.stop().await);
        app.start().await;
        app.reveal(issued.id()).await.is_problem(429, "reveal-limit-reached");
        app.advance(3600);
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        app.end().await;
    }

    async fn a_key_that_asks_for_many_codes_at_once_sees_no_more_than_it_may(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__REVEALS_PER_HOUR", 5)).await;
        begin_an_hour(&mut app);
        let issued = app.issue("first", "5.00").await;
        let asked = futures_util::future::join_all((0..16).map(|_| app.reveal(issued.id()))).await;
        let count = |status| asked.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(429)), (5, 11), "{:?}", asked.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(levels(&app).await.len(), 2);
        app.end().await;
    }
}

on_each_backend! {
    /// A clock that stood a year ahead once must not keep a key out for a year.
    async fn an_hour_that_lies_ahead_counts_no_longer(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__REVEALS_PER_HOUR", 1)).await;
        begin_an_hour(&mut app);
        let issued = app.issue("first", "5.00").await;
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        app.reveal(issued.id()).await.is_problem(429, "reveal-limit-reached");
        app.database.execute("UPDATE reveal_counts SET hour = hour + 8766").await.unwrap();
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        // Another replica's clock is a moment ahead, and has begun the next hour.
        app.database.execute("UPDATE reveal_counts SET hour = hour + 1").await.unwrap();
        app.reveal(issued.id()).await.is_problem(429, "reveal-limit-reached");
        app.end().await;
    }

    async fn a_limit_that_is_lowered_within_the_hour_is_reported_when_it_refuses(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__REVEALS_PER_HOUR", 100)).await;
        begin_an_hour(&mut app);
        let issued = app.issue("first", "5.00").await;
        for _ in 0..3 {
            assert_eq!(app.reveal(issued.id()).await.status, 200);
        }
        assert!(levels(&app).await.is_empty());
        app.restart_with("NOSHI__REWARDS__REVEALS_PER_HOUR", "2").await;
        for _ in 0..2 {
            app.reveal(issued.id()).await.is_problem(429, "reveal-limit-reached");
        }
        let told = levels(&app).await;
        assert_eq!(told.iter().map(|(kind, _key)| kind.as_str()).collect::<Vec<_>>(), ["reveals.limit_reached"]);
        app.end().await;
    }

    /// An honest caller that asks for what has no code loses nothing by it. Whoever guesses ids meets the limit of the minute.
    async fn what_is_refused_for_its_reward_does_not_count(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__REWARDS__REVEALS_PER_HOUR", 2)
            .with("NOSHI__REWARDS__REPLAY_AGE_LIMIT_DAYS", 1)
            .with("NOSHI__SERVER__KEY_REVEALS_PER_MINUTE", 1000);
        let mut app = App::shaped(backend, shape).await;
        let old = app.issue("old", "5.00").await;
        app.advance(25 * 3600);
        begin_an_hour(&mut app);
        let (_client, other) = app.mint_key("others", every_scope_of_a_client()).await;
        let own = std::mem::replace(&mut app.key, other);
        let others = app.issue("others", "5.00").await;
        app.key = own;
        let (canceled, worn) = (app.issue("canceled", "5.00").await, app.issue("worn", "7.00").await);
        assert_eq!(app.cancel(canceled.id()).await.status, 200);
        let id = |answer: &crate::support::Answer| answer.id().to_owned();
        app.database.execute("UPDATE rewards SET deliveries = 100 WHERE amount_minor = 700").await.unwrap();
        let (asked, nobodys) = (app.received("Create").len(), "rwd_00000000000070008000000000000001".to_owned());
        for _ in 0..3 {
            for (id, status, code) in [
                (&nobodys, 404, "not-found"),
                (&id(&others), 404, "not-found"),
                (&id(&canceled), 410, "gone"),
                (&id(&old), 409, "invalid-state"),
                (&id(&worn), 403, "limit-exceeded"),
            ] {
                app.reveal(id).await.is_problem(status, code);
            }
        }
        assert_eq!(app.received("Create").len(), asked, "none of them asks Amazon");
        assert!(levels(&app).await.is_empty());
        let good = app.issue("good", "5.00").await;
        for _ in 0..2 {
            assert_eq!(app.reveal(good.id()).await.status, 200);
        }
        app.reveal(good.id()).await.is_problem(429, "reveal-limit-reached");
        // And now too each of them is refused for its reward.
        app.reveal(&nobodys).await.is_problem(404, "not-found");
        app.reveal(worn.id()).await.is_problem(403, "limit-exceeded");
        app.end().await;
    }

    /// Amazon was asked: what it shows to the process may be a code.
    async fn what_amazon_is_asked_counts_though_it_shows_nothing(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__REVEALS_PER_HOUR", 2)).await;
        begin_an_hour(&mut app);
        let issued = app.issue("first", "5.00").await;
        app.control.script(of(Operation::CreateGiftCard, Fault::DropAfterWork, 1)).unwrap();
        app.reveal(issued.id()).await.is_problem(503, "dependency-unavailable");
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        app.reveal(issued.id()).await.is_problem(429, "reveal-limit-reached");
        app.end().await;
    }
}
