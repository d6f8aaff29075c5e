//! A node whose wall clock is wrong from its start, or is set back while it runs.

use chrono::{DateTime, Utc};
use noshi::{
    incentives::kinds::gift_code::CANCEL_START_BY,
    sandbox::{Fault, FaultRule, Operation},
};

use super::{SKEW_MAX, Wall, gauge, is_of_a_clock, ready, server_now, stored, until_gauge_is};
use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, books::books_match, wait::until},
};

const LEASE_SECONDS: i64 = 30;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// A database without a service. Slots are handed out by instants in a row that all replicas share: a clock that is
/// ahead would take them all.
async fn stage(backend: Backend) -> App {
    let shape = Shape::default()
        .with("NOSHI__REWARDS__LEASE_SECONDS", LEASE_SECONDS)
        .with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 10);
    let mut app = App::shaped(backend, shape).await;
    assert!(app.stop().await);
    app
}

async fn cancel_at(app: &App, replica: &Served, id: &str) -> Answer {
    let request = app.http.post(format!("{}/v1/rewards/{id}/cancel", replica.base)).bearer_auth(&app.key);
    Answer::of(crate::support::with_json(request, &serde_json::json!({"reason": "test"}))).await
}

/// Creates that Amazon received of this key.
fn creates(app: &App, key: &str) -> usize {
    let id = Some(app.amazon_id(key));
    app.received("Create").iter().filter(|call| call.creation_request_id == id).count()
}

/// A reward that one replica works on, slowly, is leased by the server's clock, and no other replica takes it over.
async fn leases_agree(app: &App, at: &Served, key: &str) {
    let slow = FaultRule::once(Fault::Delay { milliseconds: 800 });
    app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..slow }).unwrap();
    let began = server_now(app).await;
    let look = async {
        until("the create arrives", async || creates(app, key) > 0).await;
        let text = "SELECT (EXTRACT(EPOCH FROM due_at) * 1000)::bigint FROM rewards WHERE state = 'issuing'";
        app.database.number(text).await
    };
    let (answer, lease_ends) = tokio::join!(app.try_issue_at(&at.base, key, "1.00"), look);
    is_of_a_clock(app, lease_ends, began, LEASE_SECONDS * 1000).await;
    assert_eq!(answer.unwrap().status, 201);
    assert_eq!(creates(app, key), 1, "{key}: another replica took it for abandoned");
}

/// Issues at one replica and cancels at the other, both ways; what is stored and shown is the server's time.
async fn both_ways(app: &App, wrong: &Served, honest: &Served, name: &str) {
    for (way, (first, second)) in [(wrong, honest), (honest, wrong)].into_iter().enumerate() {
        let key = format!("{name}-{way}");
        let began = server_now(app).await;
        let issued = app.try_issue_at(&first.base, &key, "1.00").await.unwrap();
        assert_eq!(issued.status, 201, "{key}: {}", issued.text);
        for column in ["first_send_at", "created_at", "updated_at", "issued_at"] {
            is_of_a_clock(app, stored(app, issued.id(), column).await, began, 0).await;
        }
        let until: DateTime<Utc> = issued.json["cancelable_until"].as_str().unwrap().parse().unwrap();
        is_of_a_clock(app, until.timestamp_millis(), began, CANCEL_START_BY.num_milliseconds()).await;
        assert_eq!(creates(app, &key), 1, "{key}: signed by the server's clock, Amazon's door has nothing to refuse");
        let canceled = cancel_at(app, second, issued.id()).await;
        assert_eq!((canceled.status, canceled.json["status"].as_str()), (200, Some("canceled")), "{}", canceled.text);
        leases_agree(app, first, &format!("{key}-leased")).await;
    }
}

/// One node with this wall clock beside one whose is true.
async fn a_node_off_by(seconds: i64) {
    let app = stage(Backend::Postgres).await;
    let honest = Served::start(app.environment());
    let wall = Wall::off_by(seconds);
    let wrong = wall.serve(&app);
    let skew = gauge(&app, &wrong, "noshi_database_clock_skew_seconds").await;
    assert!((skew + seconds * 1000).abs() < 5_000, "the node's clock is off by {seconds} s: {skew} ms");
    assert_eq!(ready(&app, &wrong).await, (200, "ok\n".to_owned()), "what is corrected is no trouble");
    let residual = gauge(&app, &wrong, "noshi_database_clock_residual_seconds").await;
    assert!(residual.abs() < SKEW_MAX, "{residual}");
    both_ways(&app, &wrong, &honest, "off").await;
    books_match(&app).await;
    assert!(wrong.terminate().success() && honest.terminate().success());
    app.end().await;
}

macro_rules! nodes_off_by {
    ($($name:ident: $seconds:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { a_node_off_by($seconds).await }
        )+
    };
}

nodes_off_by! {
    a_node_4_minutes_ahead_goes_by_the_servers_clock: 240;
    a_node_4_minutes_behind_goes_by_the_servers_clock: -240;
    a_node_6_minutes_ahead_goes_by_the_servers_clock: 360;
    a_node_6_minutes_behind_goes_by_the_servers_clock: -360;
    a_node_a_day_ahead_goes_by_the_servers_clock: DAY;
    a_node_a_day_behind_goes_by_the_servers_clock: -DAY;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_set_back_by_an_hour_while_it_runs_does_not_notice() {
    let app = stage(Backend::Postgres).await;
    let honest = Served::start(app.environment());
    let wall = Wall::off_by(0);
    let set_back = wall.serve(&app);
    let before = app.try_issue_at(&set_back.base, "before", "1.00").await.unwrap();
    assert_eq!(before.status, 201, "{}", before.text);
    wall.set(-HOUR);
    // Before the next reading as well as after it.
    both_ways(&app, &set_back, &honest, "at-once").await;
    until_gauge_is(&app, &set_back, "noshi_database_clock_skew_seconds", HOUR).await;
    both_ways(&app, &set_back, &honest, "later").await;
    assert_eq!(ready(&app, &set_back).await.0, 200);
    assert_eq!(cancel_at(&app, &set_back, before.id()).await.status, 200);
    books_match(&app).await;
    assert!(set_back.terminate().success() && honest.terminate().success());
    app.end().await;
}

/// One process, one clock: nothing to align with, but Amazon's door.
async fn alone_off_by(seconds: i64) {
    let app = stage(Backend::Sqlite).await;
    let wall = Wall::off_by(seconds);
    let wrong = wall.serve(&app);
    let issued = app.try_issue_at(&wrong.base, "alone", "1.00").await.unwrap();
    assert_eq!(issued.status, 201, "{}", issued.text);
    let doors = app.control.requests().iter().filter(|call| call.http_status == Some(403)).count();
    assert!((1..=2).contains(&doors), "the balance's call or ours was turned away, and signed again: {doors}");
    assert_eq!(cancel_at(&app, &wrong, issued.id()).await.json["status"], "canceled");
    assert_eq!(ready(&app, &wrong).await.0, 200);
    books_match(&app).await;
    assert!(wrong.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_node_6_minutes_ahead_signs_by_amazons_clock() {
    alone_off_by(360).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_node_6_minutes_behind_signs_by_amazons_clock() {
    alone_off_by(-360).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_on_a_node_a_day_ahead_writes_the_servers_time() {
    let app = stage(Backend::Postgres).await;
    let wall = Wall::off_by(DAY);
    let (mut command, began) = (wall.noshi(), server_now(&app).await);
    command.args(["keys", "create", "--client", "ahead", "--new-client"]).envs(app.environment().iter().cloned());
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let newest = "SELECT (EXTRACT(EPOCH FROM MAX(created_at)) * 1000)::bigint FROM clients";
    is_of_a_clock(&app, app.database.number(newest).await, began, 0).await;
    app.end().await;
}
