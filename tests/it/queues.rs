//! Nobody in trouble slows another: not an account that hangs, not a caller with a batch, not a reward whose row cannot be
//! written.

mod overload;
mod questions;
mod refused;
mod room;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{SecondsFormat, TimeDelta};
use futures_util::future::join_all;
use noshi::{
    identity::Scopes,
    sandbox::{Fault, FaultRule},
};

use crate::support::{
    Answer, App, Backend, PARTNER, Shape, books::books_match, on_each_backend, order, partners::Partner,
    rounds::count_of, wait::until, with_json,
};

/// Open rewards of the account that hangs; 300 in the soak.
const HANGING: usize = 64;
/// What a caller sends at once.
const BATCH: usize = 200;

/// The usual account, and one beside it.
fn two_accounts() -> Shape {
    let mut shape = Shape::default();
    shape.partners.push(Partner { id: "Neighbor".to_owned(), gateway: None });
    shape.with("NOSHI__LOG__FILTER", "off")
}

/// Asks for a gift code of this account as this caller.
async fn ask(app: &App, api_key: &str, key: &str, account: &str) -> Answer {
    Answer::of(asked(app, api_key, key, account)).await
}

/// The same, and does not wait for the outcome.
async fn ask_in_passing(app: &App, key: &str, account: &str) -> Answer {
    Answer::of(asked(app, &app.key, key, account).header("Prefer", "respond-async")).await
}

fn asked(app: &App, api_key: &str, key: &str, account: &str) -> reqwest::RequestBuilder {
    let mut body = order("1.00");
    body["account_id"] = account.into();
    let request = app.http.post(format!("{}/v1/rewards", app.base)).bearer_auth(api_key);
    with_json(request.header("Idempotency-Key", key), &body)
}

/// A caller of its own.
async fn another_caller(app: &App, name: &str) -> String {
    app.mint_key(name, Scopes::new(noshi::server::scopes())).await.1
}

on_each_backend! {
    async fn an_account_that_hangs_holds_up_neither_the_proof_nor_the_cancel_of_another(backend: Backend) {
        let app = App::shaped(backend, two_accounts().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 3)).await;
        let cancelable = ask(&app, &app.key, "cancel-me", "neighbor").await;
        assert_eq!(cancelable.status, 201, "{}", cancelable.text);
        let keys: Vec<String> = (0..count_of("NOSHI_TEST_HANGING", HANGING)).map(|at| format!("hangs-{at}")).collect();
        let hangs = FaultRule { partner_id: Some(PARTNER.to_owned()), ..FaultRule::always(Fault::Hang) };
        app.control.script(hangs).unwrap();
        // All of them are in doubt, and asked for again.
        let in_doubt = "SELECT COUNT(*) FROM rewards WHERE account = 'main' AND ambiguous";
        for (some, so_far) in keys.chunks(100).zip(1..) {
            for asked in join_all(some.iter().map(|key| ask_in_passing(&app, key, "main"))).await {
                asked.is_accepted();
            }
            app.until_number(in_doubt, i64::try_from(keys.len().min(100 * so_far)).unwrap()).await;
        }
        // Whoever takes due rewards up for this account has all hands full with them.
        app.until_received("Create", 1 + keys.len() + 12).await;

        let lost = FaultRule { partner_id: Some("Neighbor".to_owned()), times: Some(2), ..FaultRule::always(Fault::DropAfterWork) };
        app.control.script(lost).unwrap();
        let began = app.ambient.monotonic();
        let lost = ask_in_passing(&app, "lost", "neighbor").await;
        let (_proven, canceled) = tokio::join!(app.until(lost.id(), "issued"), app.cancel(cancelable.id()));
        assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
        app.until(cancelable.id(), "canceled").await;
        let took = began.elapsed();
        println!("proven and canceled after {took:?} beside {} rewards that hang", keys.len());
        assert!(took < Duration::from_secs(5), "the neighbor waited {took:?}");
        app.control.clear_faults();
    }

    async fn a_reward_whose_row_cannot_be_written_holds_up_no_other(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__LOG__FILTER", "off")).await;
        let mut ids = Vec::new();
        for key in ["cursed", "one", "two"] {
            app.strike(key, Fault::DropAfterWork, 1);
            let answer = app.issue(key, "1.00").await;
            answer.is_accepted();
            ids.push(answer.id().to_owned());
        }
        // They are due at once, the one that cannot be written first.
        let curse = "CREATE TRIGGER cursed BEFORE UPDATE ON rewards";
        let cursed = format!("{:?}", app.amazon_id("cursed")).replace('"', "'");
        match backend {
            Backend::Sqlite => {
                let body = format!("{curse} WHEN NEW.creation_request_id = {cursed} BEGIN SELECT RAISE(ABORT, 'cursed'); END");
                app.database.execute(&body).await.unwrap();
            }
            Backend::Postgres => {
                let body = "CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cursed'; END $$";
                app.database.execute(body).await.unwrap();
                let when = format!("{curse} FOR EACH ROW WHEN (NEW.creation_request_id = {cursed}) EXECUTE FUNCTION curse()");
                app.database.execute(&when).await.unwrap();
            }
        }
        app.until(&ids[1], "issued").await;
        app.until(&ids[2], "issued").await;
        assert_eq!(app.read(&ids[0]).await["status"], "unresolved");
        until("it is shown", async || app.metrics().await.contains("noshi_rewards_parked{account=\"main\"} 1")).await;
        let drop = if backend == Backend::Sqlite { "DROP TRIGGER cursed" } else { "DROP TRIGGER cursed ON rewards" };
        app.database.execute(drop).await.unwrap();
        let mut app = app;
        app.advance(120);
        app.until(&ids[0], "issued").await;
        until("it is over", async || app.metrics().await.contains("noshi_rewards_parked{account=\"main\"} 0")).await;
        books_match(&app).await;
        app.end().await;
    }

    async fn who_asks_again_brings_the_next_try_about_and_no_more_often_than_each_second(backend: Backend) {
        let app = App::spawn(backend).await;
        for (key, asks_by_key) in [("by-key", true), ("by-id", false)] {
            app.strike(key, Fault::DropAfterWork, 1);
            let answer = app.issue(key, "1.00").await;
            answer.is_accepted();
            app.until(answer.id(), "issued").await;
            app.strike(key, Fault::DropAfterWork, 1);
            // As the ladder leaves a reward that has been in doubt for an hour.
            let later = (app.ambient.now() + TimeDelta::minutes(10)).to_rfc3339_opts(SecondsFormat::Micros, false);
            let rest = format!(
                "UPDATE rewards SET state = 'unresolved', ambiguous = TRUE, issued_at = NULL, lease_token = NULL, \
                 unproven_since = created_at, due_at = '{later}', booked = 'reserved', \
                 version = version + 1 WHERE creation_request_id = '{}'",
                app.amazon_id(key)
            );
            assert_eq!(app.database.execute(&rest).await.unwrap(), 1);
            let calls = app.calls_of(key, "Create");
            // Politely: what has just been tried is left at rest.
            let quick = app.read(answer.id()).await;
            assert_eq!(quick["status"], "unresolved");
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            if asks_by_key { app.issue(key, "1.00").await.is_accepted() } else { drop(app.read(answer.id()).await) }
            until("it is tried", async || app.calls_of(key, "Create") > calls).await;
            app.until(answer.id(), "issued").await;
        }
        app.end().await;
    }
}

/// Asking for a code again is free, and may go on without end; the other caller buys meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_known_codes_without_end_leaves_slots_to_new_rewards() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 10);
        let app = App::shaped(backend, shape.with("NOSHI__LOG__FILTER", "off")).await;
        let other = another_caller(&app, "other").await;
        let keys: Vec<String> = (0..12).map(|at| format!("known-{at}")).collect();
        for bought in join_all(keys.iter().map(|key| ask(&app, &app.key, key, "main"))).await {
            assert_eq!(bought.status, 201, "{}", bought.text);
        }
        let is_over = AtomicBool::new(false);
        let again = join_all(keys.iter().map(async |key| {
            let mut shown = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = ask(&app, &app.key, key, "main").await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                shown += 1;
            }
            shown
        }));
        let others = async {
            let mut slowest = Duration::ZERO;
            for at in 0..6 {
                let began = app.ambient.monotonic();
                let answer = ask(&app, &other, &format!("other-{at}"), "main").await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                slowest = slowest.max(began.elapsed());
            }
            is_over.store(true, Ordering::Relaxed);
            slowest
        };
        let (shown, slowest) = tokio::join!(again, others);
        println!(
            "{backend:?}: the other waited {slowest:?} at most beside {} that were shown again",
            shown.iter().sum::<u32>()
        );
        assert!(slowest < Duration::from_secs(2), "the other caller waited {slowest:?}");
        books_match(&app).await;
        app.end().await;
    }
}

/// One of the callers sends a batch at once; the other one hears soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_many_at_once_leaves_room_for_another() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 10);
        let app = App::shaped(backend, shape.with("NOSHI__LOG__FILTER", "off")).await;
        let other = another_caller(&app, "other").await;
        let keys: Vec<String> = (0..BATCH).map(|at| format!("batch-{at}")).collect();
        let batch = join_all(keys.iter().map(|key| ask(&app, &app.key, key, "main")));
        let others = async {
            let mut slowest = Duration::ZERO;
            for at in 0..10 {
                let began = app.ambient.monotonic();
                let answer = ask(&app, &other, &format!("other-{at}"), "main").await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let (batch, slowest) = tokio::join!(batch, others);
        let issued = batch.iter().filter(|answer| answer.status == 201).count();
        println!("{backend:?}: the other waited {slowest:?} at most; {issued} of {BATCH} were issued");
        assert!(slowest < Duration::from_secs(2), "the other caller waited {slowest:?}");
        // Of so many by new connections some may find no room while none of them has shown its key.
        let is_refused = |answer: &Answer| answer.status == 429 || answer.json["code"] == "overloaded";
        let is_well = |answer: &Answer| answer.status == 201 || is_refused(answer);
        assert!(batch.iter().all(is_well), "none is let in and not answered");
        assert!(issued >= 20, "the batch is served beside: {issued}");
        books_match(&app).await;
        app.end().await;
    }
}
