//! A PostgreSQL server that can be read and takes no writes: the role has lost its rights. A standby and a full disk answer alike,
//! with other codes. Callers are sent away at once and hear the true reason, and the replica takes itself out.

use std::time::Duration;

use futures_util::future::join_all;

use super::Codes;
use crate::support::{Answer, App, Backend, Shape, books::books_match, wait::until};

async fn ready(app: &App) -> Answer {
    Answer::of(app.http.get(format!("{}/readyz", app.admin))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_only_be_read_is_said_and_no_matter_of_amazons_rate() {
    // Three slots a second: most of those who come at once wait for theirs when the rights go.
    let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 3);
    let mut app = App::shaped(Backend::Postgres, shape).await;
    let url = app.database.url().to_owned();
    let role = format!("{}_reader", url.rsplit_once('/').unwrap().1);
    app.database.execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    app.database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    app.restart_with("NOSHI__STORE__MIGRATE_ON_START", "false").await;
    app.restart_with("NOSHI__STORE__URL", &url.replace("//noshi@", &format!("//{role}@"))).await;
    assert_eq!(app.issue("before", "1.00").await.status, 201);

    let keys: Vec<String> = (0..6).map(|at| format!("waiting-{at}")).collect();
    let began = app.ambient.monotonic();
    let waiting = join_all(keys.iter().map(|key| app.issue(key, "1.00")));
    let revoked = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let revoke = format!("REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM {role}");
        app.database.execute(&revoke).await.unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, revoked);
    let sent_away = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(sent_away >= 2, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in &answers {
        assert!(matches!(answer.status, 201..=202 | 503), "{}", answer.text);
    }
    assert!(began.elapsed() < Duration::from_secs(6), "they waited for slots that nobody could give");
    let before = app.money_calls();
    let refused = app.issue("refused", "1.00").await;
    refused.is_problem(503, "dependency-unavailable");
    assert!(refused.text.contains("takes no writes"), "{}", refused.text);
    assert_eq!((&refused.json["money_moved"], app.money_calls()), (&"no".into(), before));
    let unready = ready(&app).await;
    assert_eq!((unready.status, unready.text.as_str()), (503, "the database takes no writes\n"));
    until("the alarm", async || app.metrics().await.contains("\nnoshi_database_unwritable 1\n")).await;
    let metrics = app.metrics().await;
    let unrecorded = metrics.lines().find_map(|line| line.strip_prefix("noshi_requests_unrecorded_total ")).unwrap();
    assert!(unrecorded.parse::<usize>().unwrap() > sent_away, "{unrecorded} counted of {sent_away}");
    assert!(!metrics.contains("noshi_upstream_quota_refused_total{account=\"main\"} 1"), "the rate is not used up");
    assert_eq!(app.get("/v1/rewards").await.status, 200, "reading goes on");

    app.database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    until("it is ready by itself", async || ready(&app).await.status == 200).await;
    until("the alarm ends", async || app.metrics().await.contains("\nnoshi_database_unwritable 0\n")).await;
    let mut codes = Codes::new();
    codes.complete(&app, &keys).await;
    books_match(&app).await;
    app.restart_with("NOSHI__STORE__URL", &url).await;
    app.database.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
    app.database.execute(&format!("DROP ROLE {role}")).await.unwrap();
    app.end().await;
}
