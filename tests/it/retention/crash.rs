//! Death within a batch, and the command.

use super::{
    ARCHIVED, SETTING,
    grown::{RIPE, grown, whole},
};
use crate::{
    kill::start,
    process::noshi,
    support::{App, Backend, Shape, on_each_backend, wait::found},
};

const REWARDS: i64 = 500;
/// Every place of a batch, and at which batch the process dies there.
const PLACES: [(&str, u32); 4] = [
    ("retention.emptied", 2),
    ("retention.forgotten", 1),
    ("retention.before_commit", 2),
    ("retention.after_commit", 1),
];

/// An app whose service has stopped, on a grown database whose rewards are all old by the machine's clock.
async fn stopped(backend: Backend) -> App {
    let mut app = App::on(grown(backend, REWARDS).await, Shape::default()).await;
    assert!(app.stop().await);
    app
}

/// The walk goes by ids, which tell when rewards were made. Up to where it comes, all that is settled is archived.
const BEHIND: &str = "SELECT COUNT(*) FROM rewards WHERE state IN ('issued', 'failed', 'canceled') AND archived_at IS NULL \
                      AND id <= (SELECT through FROM retention)";

on_each_backend! {
    async fn a_crash_at_any_line_of_a_batch_loses_nothing(backend: Backend) {
        let app = stopped(backend).await;
        let mut environment = app.environment().to_vec();
        environment.push((SETTING.to_owned(), "90".to_owned()));
        let mut archived = 0;
        for (place, batch) in PLACES {
            let mut armed = environment.clone();
            armed.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@{batch}")));
            if let Ok(mut served) = start(armed).await {
                found(&format!("it dies at {place}"), async || served.ended()).await;
            }
            whole(&app.database).await;
            let now = app.database.number(ARCHIVED).await;
            assert!(now >= archived, "{place}");
            archived = now;
            assert_eq!(app.database.number(BEHIND).await, 0, "{place}: the walk has passed what was undone");
            // The lease of a process that died runs out: nobody waits for that here.
            app.database.execute("UPDATE retention SET lease_token = NULL").await.unwrap();
        }
        assert!(archived > 0 && archived < app.database.number(RIPE).await, "{archived}: the deaths came in the midst");
        let output = operate(&environment, "run").await;
        assert!(output.2.is_empty() && output.0 == Some(0), "{output:?}");
        whole(&app.database).await;
        assert_eq!(app.database.number(BEHIND).await, 0);
        app.end().await;
    }

    async fn the_command_shows_how_far_it_is_and_archives_by_hand(backend: Backend) {
        let app = stopped(backend).await;
        let mut environment = app.environment().to_vec();
        let (code, out, _) = operate(&environment, "status").await;
        assert!(code == Some(0) && out.contains("off: rewards are kept whole") && out.contains("archived       0"), "{out}");
        let (code, _, err) = operate(&environment, "run").await;
        assert_eq!((code, err.trim()), (Some(1), "noshi: rewards.retention_days is 0: rewards are kept whole for ever"));
        environment.push((SETTING.to_owned(), "90".to_owned()));
        let (code, out, err) = operate(&environment, "run").await;
        let archived = app.database.number(ARCHIVED).await;
        assert!(code == Some(0) && out.contains(&format!("archived {archived}\n")) && archived > 0, "{out}{err}");
        whole(&app.database).await;
        let (_, out, _) = operate(&environment, "status").await;
        assert!(out.contains("after 90 days") && out.contains(&format!("archived       {archived}")), "{out}");
        let details = app.database.text("SELECT details FROM audit_records WHERE action = 'rewards.archived'").await;
        assert_eq!(details, "{\"days\":90}");

        let another = match backend {
            Backend::Sqlite => "UPDATE retention SET lease_token = through, lease_until = strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '+30 seconds')",
            Backend::Postgres => "UPDATE retention SET lease_token = through, lease_until = now() + INTERVAL '30 seconds'",
        };
        assert_eq!(app.database.execute(another).await.unwrap(), 1);
        let (code, out, _) = operate(&environment, "run").await;
        assert!(code == Some(1) && out.contains("another process is at it"), "{out}");
        app.end().await;
    }
}

async fn operate(environment: &[(String, String)], word: &str) -> (Option<i32>, String, String) {
    let (environment, word) = (environment.to_vec(), word.to_owned());
    let output = tokio::task::spawn_blocking(move || noshi().args(["retention", &word]).envs(environment).output());
    let output = output.await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
