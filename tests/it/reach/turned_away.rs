//! Keys that are turned away: why is counted and logged, and the caller does not hear it.

use std::collections::BTreeSet;

use super::every_scope_of_a_client;
use crate::{
    process::Served,
    support::{Answer, App, Backend, on_each_backend, wait::found},
};

on_each_backend! {
    async fn a_key_that_is_turned_away_is_counted_by_reason_and_hears_the_same_for_each(backend: Backend) {
        let app = App::spawn(backend).await;
        let (_client, revoked) = app.mint_key("gone", every_scope_of_a_client()).await;
        app.revoke_key(&revoked).await;
        let past = app.ambient.now() - chrono::TimeDelta::seconds(1);
        let (_client, expired) = app.mint_key_until("late", every_scope_of_a_client(), Some(past)).await;
        let (id, secret) = app.key.rsplit_once('_').unwrap();
        let wrong = format!("{id}_{}", expired.rsplit_once('_').unwrap().1);
        let unknown = format!("nsk_{}_{secret}", "0".repeat(32));
        let mut bodies = std::collections::BTreeSet::new();
        let keys = [("revoked", &revoked), ("expired", &expired), ("wrong_secret", &wrong), ("unknown", &unknown), ("malformed", &"no-key".to_owned())];
        for (reason, key) in keys {
            let answer = Answer::of(app.http.get(format!("{}/v1/ping", app.base)).bearer_auth(key)).await;
            answer.is_problem(401, "unauthorized");
            let mut told = answer.json.clone();
            told.as_object_mut().unwrap().retain(|name, _value| !["instance", "trace_id", "request_id"].contains(&name.as_str()));
            bodies.insert(told.to_string());
            assert_eq!(refused(&app, reason).await, 1, "{reason}");
        }
        Answer::of(app.http.get(format!("{}/v1/ping", app.base))).await.is_problem(401, "unauthorized");
        assert_eq!(refused(&app, "absent").await, 1);
        assert_eq!(bodies.len(), 1, "a stranger learns which it was: {bodies:?}");
        assert_eq!(app.get("/v1/ping").await.status, 200);
        app.end().await;
    }
}

async fn refused(app: &App, reason: &str) -> u64 {
    let series = format!("noshi_keys_refused_total{{reason=\"{reason}\"}} ");
    app.metrics().await.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap()
}

/// Each kind of stranger's requests that [`strangers_do_not_fill_the_log`] sends.
const TIMES: usize = 40;

/// Whoever has no good key may send as much as it likes. The disk is not its to fill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_fill_the_log() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let started = app.ambient.monotonic();
    let (_client, one) = app.mint_key("gone", every_scope_of_a_client()).await;
    let (_client, other) = app.mint_key("gone-too", every_scope_of_a_client()).await;
    app.revoke_key(&one).await;
    app.revoke_key(&other).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    app.admin.clone_from(&served.admin);
    let keys = [("/v1/ping", one.as_str()), ("/v1/ping", &other), ("/v1/ping", "no-key"), ("/nowhere", "no-key")];
    for _ in 0..TIMES {
        for (path, key) in keys {
            Answer::of(app.http.get(format!("{}{path}", app.base)).bearer_auth(key)).await;
        }
    }
    // While the database is away no key is looked up: a stranger is answered 503, as often as it asks.
    let file = std::path::PathBuf::from(app.database.url().trim_start_matches("sqlite://"));
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    for _ in 0..TIMES {
        assert_eq!(app.get("/v1/ping").await.status, 503);
    }
    std::fs::rename(&aside, &file).unwrap();
    let last = app.get("/v1/ping").await;
    assert_eq!(last.status, 200);
    let log = found("the last request is logged", async || {
        let log = served.log();
        log.iter().any(|line| line["http.request.id"] == last.header("x-request-id")).then_some(log)
    })
    .await;
    let lines = |message: &str, status: u16| {
        let those = log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message)));
        those.filter(|line| status == 0 || line["http.response.status_code"] == status).count()
    };
    let minutes = 1 + usize::try_from(started.elapsed().as_secs() / 60).unwrap();
    let expected = [("request", 401, 3), ("request", 404, 1), ("request", 503, 1), ("a key was turned away", 0, 3)];
    for (message, status, kinds) in expected {
        let count = lines(message, status);
        assert!((kinds..=kinds * minutes).contains(&count), "{message} {status}: {count} lines in {minutes} minutes");
    }
    let named: BTreeSet<_> =
        log.iter().filter_map(|line| line.get("api_key.refused").and(line["api_key.id"].as_str())).collect();
    assert_eq!(named.len(), 2, "each revoked key is named: {named:?}");
    let times = u64::try_from(TIMES).unwrap();
    assert_eq!(
        (refused(&app, "revoked").await, refused(&app, "malformed").await),
        (2 * times, times),
        "each is counted"
    );
    // What a good key asks has its line, whatever becomes of it.
    assert_eq!(lines("request", 200), 1);
    assert!(served.terminate().success());
    app.end().await;
}
