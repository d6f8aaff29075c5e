//! Room is asked for before anything is looked up: who finds none hears so at once, keeps the connection, and nothing was done.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule};

use super::{another_caller, two_accounts};
use crate::support::{
    Answer, App, Backend, PARTNER, Shape, books::books_match, http_client, on_each_backend, order, wait::until,
    with_json,
};

/// More than one key may have worked on at once, and fewer than may be under way.
const BATCH: usize = 80;
/// Callers of one key who ask without a pause.
const FLOOD: usize = 150;
/// More than half of what one key leaves to others.
const STRANGERS: usize = 60;
/// Tries within which one of a caller in a flood is refused.
const TRIES: usize = 400;

/// A caller whose connections are known.
#[derive(Clone)]
struct Caller<'a> {
    app: &'a App,
    key: &'a str,
    http: reqwest::Client,
}

impl<'a> Caller<'a> {
    /// With so many connections on which the key was shown.
    async fn known(app: &'a App, key: &'a str, connections: usize) -> Self {
        let caller = Self { app, key, http: http_client() };
        for shown in join_all((0..connections).map(|_at| caller.get("/v1/ping"))).await {
            assert_eq!(shown.status, 200, "a batch is no overload: {}", shown.text);
        }
        caller
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(format!("{}{path}", self.app.base)).bearer_auth(self.key)).await
    }

    async fn ask(&self, key: &str, account: &str) -> Answer {
        let mut body = order("1.00");
        body["account_id"] = account.into();
        let request = self.http.post(format!("{}/v1/rewards", self.app.base)).bearer_auth(self.key);
        Answer::of(with_json(request.header("Idempotency-Key", key), &body)).await
    }
}

/// Orders until there is no room; says how many were bought, and whether the connection of the last one was kept.
async fn until_refused(caller: &Caller<'_>) -> (usize, bool) {
    for bought in 0..TRIES {
        let answer = caller.ask(&format!("greedy-{bought}"), "main").await;
        if answer.status != 201 {
            return (bought, found_no_room(&answer));
        }
    }
    panic!("there is always room");
}

/// So many at once, each by a new connection, until somebody is refused. Says how many were, and whether each connection was closed.
async fn strangers_until_refused(app: &App, path: &str) -> (usize, bool) {
    for _crowd in 0..TRIES {
        let crowd = join_all((0..STRANGERS).map(async |_at| {
            let stranger = Caller { app, key: &app.key, http: http_client() };
            stranger.get(path).await
        }));
        let refused: Vec<Answer> = crowd.await.into_iter().filter(|answer| answer.status != 200).collect();
        if !refused.is_empty() {
            return (refused.len(), refused.iter().all(|answer| !found_no_room(answer)));
        }
    }
    panic!("there is always room for strangers");
}

/// Fails unless there was no room for it. Says whether its connection was kept.
fn found_no_room(answer: &Answer) -> bool {
    answer.is_problem(503, "overloaded");
    assert!(answer.is_spread_over(1), "{:?}", answer.headers);
    assert_eq!((&answer.json["retryable"], &answer.json["money_moved"]), (&true.into(), &"no".into()));
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("connection") != "close"
}

on_each_backend! {
    async fn who_finds_no_room_is_refused_and_another_key_is_served(backend: Backend) {
        let shape = Shape::default().with("NOSHI__SERVER__KEY_READS_PER_MINUTE", 1_000_000);
        let app = App::shaped(backend, shape.with("NOSHI__LOG__FILTER", "off")).await;
        let other_key = another_caller(&app, "other").await;
        let greedy = Caller::known(&app, &app.key, FLOOD).await;
        let other = Caller { app: &app, key: &other_key, http: http_client() };
        let buyer = Caller::known(&app, &app.key, 1).await;
        let path = format!("/v1/rewards/{}", buyer.ask("first", "main").await.id());
        let (is_over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
        let flood = join_all((0..FLOOD).map(async |_caller| {
            while !is_over.load(Ordering::Relaxed) {
                let answer = greedy.get(&path).await;
                if answer.status != 200 {
                    // Its client makes more connections meanwhile.
                    found_no_room(&answer);
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }));
        let beside = async {
            until("somebody finds no room", async || refused.load(Ordering::Relaxed) > 100).await;
            let (bought, kept) = until_refused(&buyer).await;
            assert!(kept, "a caller's connection is closed");
            for at in 0..5 {
                // By a new connection, and by one that is known. A client gives up those that were idle for some seconds.
                let stranger = Caller { http: http_client(), ..other.clone() };
                let known = Caller::known(&app, &other_key, 1).await;
                for (caller, name) in [(&stranger, "new"), (&known, "known")] {
                    let served = caller.ask(&format!("{name}-{at}"), "main").await;
                    assert_eq!(served.status, 201, "{name}: {}", served.text);
                }
            }
            let (strangers_refused, are_closed) = strangers_until_refused(&app, &path).await;
            assert!(are_closed, "a stranger's connection is kept");
            for _probe in 0..20 {
                let health = Answer::of(app.anonymous("GET", "/healthz")).await;
                assert_eq!(health.status, 200, "a busy replica is no dead one: {}", health.text);
            }
            is_over.store(true, Ordering::Relaxed);
            (bought, strangers_refused)
        };
        let (_flood, (bought, strangers_refused)) = tokio::join!(flood, beside);
        // One of them was the buyer.
        let refused = refused.load(Ordering::Relaxed) + strangers_refused + 1;
        println!("{backend:?}: {refused} were refused");
        let page = app.metrics().await;
        assert!(page.contains(&format!("\nnoshi_requests_refused_total {refused}\n")), "{page}");
        let of_route = "http_server_request_duration_seconds_count{method=\"GET\",route=\"refused\",status=\"503\"}";
        assert!(page.contains(&format!("{of_route} {}", refused - 1)), "{page}");
        let rows = app.database.number("SELECT COUNT(*) FROM rewards").await;
        assert_eq!(usize::try_from(rows).unwrap(), 1 + bought + 10, "nothing was done for those who were refused");
        let later = buyer.ask(&format!("greedy-{bought}"), "main").await;
        assert_eq!(later.status, 201, "who comes back later is served: {}", later.text);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_batch_is_no_overload_and_rewards_that_amazon_holds_up_take_no_room(backend: Backend) {
        let app = App::shaped(backend, two_accounts()).await;
        let caller = Caller::known(&app, &app.key, BATCH + 1).await;
        let held_up = Fault::Delay { milliseconds: 5_000 };
        app.control.script(FaultRule { partner_id: Some(PARTNER.to_owned()), ..FaultRule::always(held_up) }).unwrap();
        let answered = AtomicUsize::new(0);
        let keys: Vec<String> = (0..BATCH).map(|at| format!("held-{at}")).collect();
        let held = join_all(keys.iter().map(async |key| {
            let answer = caller.ask(key, "main").await;
            answered.fetch_add(1, Ordering::Relaxed);
            answer
        }));
        let beside = async {
            app.until_received("Create", keys.len()).await;
            // Whatever has a place by now has had it for longer than a batch may.
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            let served = caller.ask("neighbor", "neighbor").await;
            assert_eq!(served.status, 201, "{}", served.text);
            assert_eq!(answered.load(Ordering::Relaxed), 0, "Amazon has answered already");
        };
        let (held, ()) = tokio::join!(held, beside);
        for answer in &held {
            assert!(matches!(answer.status, 201 | 202), "a batch is no overload: {}", answer.text);
        }
        app.control.clear_faults();
        app.until_idle().await;
        books_match(&app).await;
        app.end().await;
    }
}
