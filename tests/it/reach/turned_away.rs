//! Keys that are turned away: why is counted and logged, and the caller does not hear it.

use super::every_scope_but;
use crate::support::{Answer, App, Backend, on_each_backend};

on_each_backend! {
    async fn a_key_that_is_turned_away_is_counted_by_reason_and_hears_the_same_for_each(backend: Backend) {
        let app = App::spawn(backend).await;
        let (_client, revoked) = app.mint_key("gone", every_scope_but("clients:all")).await;
        app.revoke_key(&revoked).await;
        let past = app.ambient.now() - chrono::TimeDelta::seconds(1);
        let (_client, expired) = app.mint_key_until("late", every_scope_but("clients:all"), Some(past)).await;
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
