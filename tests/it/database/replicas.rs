//! Two `noshi serve` on one PostgreSQL database: leases keep them apart, and one that freezes for longer than its lease
//! delivers nothing when it wakes up.

use std::time::Duration;

use futures_util::future::join_all;
use noshi::sandbox::{CardState, Fault, FaultRule, Operation};

use super::Codes;
use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, books::books_match, order, wait::until, with_json},
};

async fn ask(app: &App, replica: &str, key: &str) -> Option<Answer> {
    let request = app.http.post(format!("{replica}/v1/rewards")).bearer_auth(&app.key).header("Idempotency-Key", key);
    Answer::try_of(with_json(request, &order("1.00"))).await
}

async fn two(shape: Shape) -> (App, Served, Served) {
    let mut app = App::shaped(Backend::Postgres, shape).await;
    assert!(app.stop().await);
    let (first, second) = (Served::start(app.environment()), Served::start(app.environment()));
    app.base.clone_from(&second.base);
    (app, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_replicas_at_once_is_one_card_and_one_code() {
    let (app, first, second) = two(Shape::default()).await;
    let keys: Vec<String> = (0..40).map(|at| format!("both-{at}")).collect();
    let mut codes = Codes::new();
    for some in keys.chunks(8) {
        let asked = some.iter().flat_map(|key| [&first, &second, &first, &second].map(|replica| (key, &replica.base)));
        let told = asked.map(|(key, base)| {
            let app = &app;
            async move { (key, ask(app, base, key).await.unwrap()) }
        });
        let answers = join_all(told).await;
        for (key, answer) in &answers {
            assert!(matches!(answer.status, 200..=202), "{}", answer.text);
            codes.note(key, answer);
        }
    }
    codes.complete(&app, &keys).await;
    assert_eq!(app.control.book().len(), keys.len());
    books_match(&app).await;
    assert!(first.terminate().success() && second.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_frozen_past_its_lease_with_codes_in_hand_delivers_and_writes_nothing() {
    // The shortest lease that the settings allow.
    let shape =
        Shape::default().with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 3).with("NOSHI__REWARDS__LEASE_SECONDS", 13);
    let (app, frozen, awake) = two(shape).await;
    // Amazon's answers are a little late, so that they find the database held.
    let late = FaultRule::always(Fault::Delay { milliseconds: 1500 });
    let late = FaultRule { operation: Some(Operation::CreateGiftCard), times: Some(6), ..late };
    app.control.script(late).unwrap();
    let keys: Vec<String> = (0..6).map(|at| format!("frozen-{at}")).collect();
    let asked = join_all(keys.iter().map(|key| ask(&app, &frozen.base, key)));
    let meanwhile = async {
        until("all are bought", async || app.control.book().len() == keys.len()).await;
        // The codes arrive, and their outcomes wait for the database; then the process stands still.
        let hold = app.database.hold_writes().await;
        tokio::time::sleep(Duration::from_millis(1800)).await;
        frozen.signal("STOP");
        // Longer than the server lets a statement wait for a lock: what was sent before is refused.
        tokio::time::sleep(Duration::from_millis(3500)).await;
        hold.release().await;
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await, 6);
        let mut codes = Codes::new();
        let mut ids = Vec::new();
        for key in &keys {
            let told = ask(&app, &awake.base, key).await.unwrap();
            app.until(told.id(), "issued").await;
            ids.push(told.id().to_owned());
        }
        codes.complete(&app, &keys).await;
        for id in &ids[..3] {
            assert_eq!(app.cancel(id).await.status, 200);
        }
        let mut timelines = Vec::new();
        for id in ids {
            timelines.push((app.events(&id).await, id));
        }
        frozen.signal("CONT");
        timelines
    };
    let (answers, timelines) = tokio::join!(asked, meanwhile);
    for answer in answers {
        let answer = answer.expect("the woken replica answers");
        assert!(answer.json["claim_code"].is_null(), "delivered after its lease was lost: {}", answer.text);
        assert_ne!(answer.status, 201, "{}", answer.text);
    }
    // Whatever it still had in mind, it has done by now. Its callers' time was up; but it wrote nothing either.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (timeline, id) in timelines {
        assert_eq!(app.events(&id).await, timeline, "an outcome was written under a lost lease");
    }
    let of_state = |state| app.control.book().into_iter().filter(|card| card.state == state).count();
    assert_eq!(
        (app.control.book().len(), of_state(CardState::Live)),
        (6, 3),
        "one card each, three of them given back"
    );
    assert_eq!(app.received("Cancel").len(), 3);
    books_match(&app).await;
    assert!(frozen.terminate().success() && awake.terminate().success());
    app.end().await;
}
