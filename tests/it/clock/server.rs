//! A database server whose clock is wrong, jumps, or is slow to tell. In the test's own database a function of ours
//! stands before the server's `clock_timestamp`, which nothing of Noshi's but the reading asks.

use noshi::{
    ambient::Ambient,
    bootstrap::{self, StartError},
    config::Settings,
    store::clock::ClockError,
};

use super::{gauge, is_of_a_clock, ready, server_now, stored, until_gauge_is, until_ready_is};
use crate::{
    process::Served,
    support::{App, Backend, Shape, books::books_match},
};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// A database whose clock is off by so many seconds, without a service.
async fn stage(seconds: i64) -> App {
    let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 10);
    let mut app = App::shaped(Backend::Postgres, shape).await;
    assert!(app.stop().await);
    let made = format!(
        "CREATE TABLE clock_off (seconds BIGINT NOT NULL, answers_after FLOAT NOT NULL); \
         INSERT INTO clock_off VALUES ({seconds}, 0); \
         CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$ BEGIN \
             PERFORM pg_sleep((SELECT answers_after FROM public.clock_off)); \
             RETURN pg_catalog.clock_timestamp() + (SELECT seconds FROM public.clock_off) * INTERVAL '1 second'; \
         END $$; \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
    );
    app.database.execute(&made).await.unwrap();
    app
}

async fn set(app: &App, seconds: i64) {
    app.database.execute(&format!("UPDATE clock_off SET seconds = {seconds}")).await.unwrap();
}

/// Issues, and fails unless the first send is stored by a clock that is so many seconds ahead of the true time.
async fn issue(app: &App, key: &str, seconds: i64) -> String {
    let began = server_now(app).await;
    let issued = app.issue(key, "1.00").await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    is_of_a_clock(app, stored(app, issued.id(), "first_send_at").await, began, seconds * 1000).await;
    issued.id().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_by_a_server_that_is_a_day_ahead_and_signatures_by_amazon() {
    let mut app = stage(DAY).await;
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    assert_eq!(ready(&app, &served).await.0, 200);
    let id = issue(&app, "ahead", DAY).await;
    assert_eq!(app.cancel(&id).await.json["status"], "canceled");
    books_match(&app).await;
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_back_an_hour_opens_no_window_again_and_its_replicas_are_not_ready_until_it_is_back() {
    let mut app = stage(0).await;
    let (served, other) = (Served::start(app.environment()), Served::start(app.environment()));
    app.base.clone_from(&served.base);
    let id = issue(&app, "before", 0).await;
    set(&app, -60 * MINUTE).await;
    for replica in [&served, &other] {
        until_ready_is(&app, replica, (503, "the clock is more than 2 s from the database's")).await;
        let residual = gauge(&app, replica, "noshi_database_clock_residual_seconds").await;
        assert!((residual + 60 * MINUTE * 1000).abs() < 5_000, "{residual} ms");
    }
    // Both stay with the time that they agree on, and whoever still asks them is served by it.
    let held = issue(&app, "held", 0).await;
    app.base.clone_from(&other.base);
    assert_eq!(app.cancel(&held).await.json["status"], "canceled");
    assert_eq!(app.cancel(&id).await.json["status"], "canceled");

    set(&app, 0).await;
    for replica in [&served, &other] {
        until_ready_is(&app, replica, (200, "ok")).await;
    }
    issue(&app, "after", 0).await;
    books_match(&app).await;
    assert!(served.terminate().success() && other.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_jumps_ahead_is_followed_windows_close_early_and_amazon_is_signed_to_by_its_own_clock() {
    let mut app = stage(0).await;
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    let (early, late) = (issue(&app, "early", 0).await, issue(&app, "late", 0).await);
    set(&app, 10 * MINUTE).await;
    until_gauge_is(&app, &served, "noshi_database_clock_skew_seconds", 10 * MINUTE).await;
    assert_eq!(app.cancel(&early).await.json["status"], "canceled", "10 minutes of 14:50 are over");
    set(&app, 20 * MINUTE).await;
    until_gauge_is(&app, &served, "noshi_database_clock_skew_seconds", 20 * MINUTE).await;
    app.cancel(&late).await.is_problem(409, "cancel-window-closed");
    assert_eq!(ready(&app, &served).await.0, 200);
    // What was learnt of Amazon's clock was meant for ours as it was before the jump: it is learnt anew.
    issue(&app, "after", 20 * MINUTE).await;
    books_match(&app).await;
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_tells_its_clock_too_slowly_is_not_believed() {
    let app = stage(0).await;
    app.database.execute("UPDATE clock_off SET answers_after = 1.1").await.unwrap();
    let settings = Settings::load(None, app.environment().to_vec()).unwrap();
    let started = bootstrap::start(&settings, Ambient::system()).await;
    assert!(matches!(started, Err(StartError::Clock(ClockError::Slow))), "it started by a guess");
    app.database.execute("UPDATE clock_off SET answers_after = 0").await.unwrap();
    assert!(Served::start(app.environment()).terminate().success());
    app.end().await;
}
