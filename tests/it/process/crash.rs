//! kill -9 with rewards in flight: the next start replays them, and each is one card.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule, Operation};

use super::Served;
use crate::support::{App, Backend, Shape, on_each_backend};

on_each_backend! {
    /// The process dies while Amazon works; Amazon finishes; the next process asks again under the same id.
    async fn a_restart_replays_what_was_in_flight_when_the_process_was_killed(backend: Backend) {
        // The shortest lease that the settings allow: on PostgreSQL the dead process's leases must run out.
        let shape = Shape::default()
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2)
            .with("NOSHI__REWARDS__LEASE_SECONDS", 12);
        let mut app = App::shaped(backend, shape).await;
        assert!(app.stop().await);
        let slow = FaultRule::once(Fault::DelayWork { milliseconds: 900 });
        app.control.script(FaultRule { times: Some(8), operation: Some(Operation::CreateGiftCard), ..slow }).unwrap();
        let served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        let keys: Vec<String> = (0..8).map(|at| format!("in-flight-{at}")).collect();
        let asked = futures_util::future::join_all(keys.iter().map(|key| app.try_issue(key, "3.00")));
        let killed = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            served.kill();
        };
        let (answers, ()) = tokio::join!(asked, killed);
        assert!(answers.iter().all(Option::is_none), "nobody had an answer before the kill");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await, 8);
        assert!(app.control.book().is_empty(), "Amazon was still at work");

        let served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        let mut codes = Vec::new();
        for key in &keys {
            // The caller's retry: the same key finds the same reward, in whatever state it is.
            let answer = app.issue(key, "3.00").await;
            assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
            app.until(answer.id(), "issued").await;
            codes.push(app.issue(key, "3.00").await.code().to_owned());
        }
        let mut book: Vec<String> = app.live_cards().into_iter().map(|card| card.claim_code).collect();
        book.sort();
        codes.sort();
        assert_eq!(codes, book, "eight rewards, eight cards, each code with its own");
        assert_eq!(app.control.funds(crate::support::PARTNER).unwrap(), (100_000 - 24).into());
        assert!(served.terminate().success());
        app.end().await;
    }
}
