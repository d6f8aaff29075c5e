//! Retention of many rewards: several replicas, and a list that is read meanwhile.

use std::collections::BTreeSet;

use noshi::bootstrap;

use super::{ARCHIVED, DAY, SETTING};
use crate::{
    schema::growth::grow,
    support::{App, Backend, Database, Shape, on_each_backend},
};

/// Rewards of the year that are there.
const REWARDS: i64 = 600;
/// Those that no more happens to, and that are older than 90 days: all of them, because none was changed after it was made.
pub(super) const RIPE: &str = "SELECT COUNT(*) FROM rewards WHERE state IN ('issued', 'failed', 'canceled')";

/// A grown database: what happened in it lies far back, and nothing is under way.
pub(super) async fn grown(backend: Backend, rewards: i64) -> Database {
    let database = Database::migrated(backend).await;
    grow(&database, rewards).await;
    let long_ago = match backend {
        Backend::Sqlite => "'2026-01-01T00:00:00+00:00'",
        Backend::Postgres => "TIMESTAMPTZ '2026-01-01T00:00:00Z'",
    };
    let still = format!(
        "UPDATE rewards SET due_at = NULL, budget_key = NULL, updated_at = {long_ago}, issued_at = CASE WHEN state = 'unresolved' THEN created_at ELSE issued_at END, \
         state = CASE WHEN state = 'unresolved' THEN 'issued' ELSE state END"
    );
    database.execute(&still).await.unwrap();
    database
}

/// What must hold whenever the database can be looked at: a timeline is whole, or its reward is archived.
pub(super) async fn whole(database: &Database) {
    for (none, why) in [
        (
            "WHERE r.archived_at IS NOT NULL AND EXISTS (SELECT 1 FROM facts f WHERE f.subject_id = r.id)",
            "archived, with a timeline",
        ),
        (
            "WHERE r.archived_at IS NOT NULL AND EXISTS (SELECT 1 FROM early_reward_events e WHERE e.reward_id = r.id)",
            "archived, with early entries",
        ),
        (
            "WHERE r.archived_at IS NULL AND 2 > (SELECT COUNT(*) FROM facts f WHERE f.subject_id = r.id)",
            "a timeline was lost",
        ),
        ("WHERE r.archived_at IS NOT NULL AND r.state = 'needs_attention'", "archived, and open"),
    ] {
        assert_eq!(database.number(&format!("SELECT COUNT(*) FROM rewards r {none}")).await, 0, "{why}");
    }
    let counted = format!("SELECT archived - ({ARCHIVED}) FROM retention");
    assert_eq!(database.number(&counted).await, 0, "each is archived once, and counted");
}

on_each_backend! {
    async fn replicas_archive_each_reward_once_and_a_list_loses_none_meanwhile(backend: Backend) {
        let database = grown(backend, REWARDS).await;
        let mut app = App::on(database, Shape::default()).await;
        let all = app.database.number("SELECT COUNT(*) FROM rewards").await;
        let own = match backend {
            Backend::Sqlite => format!("unhex('{}')", app.client.uuid().simple()),
            Backend::Postgres => format!("CAST('{}' AS UUID)", app.client.uuid()),
        };
        app.database.execute(&format!("UPDATE rewards SET client_id = {own}")).await.unwrap();
        let last = app.database.number("SELECT MAX(id) FROM ledger_entries").await;
        let sums = format!("SELECT CAST(SUM(id * amount_minor % 1000003) AS BIGINT) FROM ledger_entries WHERE id <= {last}");
        let ledger = app.database.number(&sums).await;
        let ripe = app.database.number(RIPE).await;
        // Half a year on, the whole year is old.
        app.advance(183 * DAY);
        app.restart_with(SETTING, "90").await;
        let others = if backend == Backend::Postgres { 2 } else { 0 };
        let mut running = Vec::new();
        for _ in 0..others {
            let service = bootstrap::start(&app.settings, app.ambient.clone()).await.unwrap();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
            let ended = tokio::spawn(service.run_until(async { stopped.await.unwrap_or_default() }));
            running.push((stop, ended));
        }
        let (mut seen, mut next) = (BTreeSet::new(), String::new());
        loop {
            let page = app.get(&format!("/v1/rewards?limit=20{next}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            for reward in page.json["data"].as_array().unwrap() {
                assert!(seen.insert(reward["id"].as_str().unwrap().to_owned()), "twice: {reward}");
            }
            whole(&app.database).await;
            match page.json["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(i64::try_from(seen.len()).unwrap(), all);
        app.until_number(ARCHIVED, ripe).await;
        app.until_number("SELECT COUNT(*) FROM retention WHERE lease_token IS NULL", 1).await;
        whole(&app.database).await;
        assert_eq!(app.database.number("SELECT COUNT(*) FROM retention_waiting").await, all - ripe);
        assert_eq!(app.database.number(&sums).await, ledger);
        let page = app.metrics().await;
        assert!(page.contains("noshi_retention_oldest_age_seconds 0"), "the walk has seen all: {page}");
        for (stop, ended) in running {
            stop.send(()).unwrap();
            assert!(ended.await.unwrap());
        }
        app.end().await;
    }
}
