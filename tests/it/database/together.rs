//! Intents of several callers that reach PostgreSQL as one statement, and SQLite in one turn of its writer: all of them, and each for itself.
//!
//! A lock on the row in which the ceilings count, or on SQLite's file, lets none through. What comes meanwhile waits behind those that are on
//! their way, and goes together once the lock is gone.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{
    Codes,
    cut::behind_a_proxy,
    proxy::{Cut, Moment},
};
use crate::support::{Answer, App, Backend, Shape, books::books_match, on_each_backend, order, wait::until};

/// Statements of one shape that are on their way at once.
const UNDER_WAY: usize = 2;

/// Who waits for a lock.
const STUCK: &str =
    "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// Buys the first reward of the day, which makes the row, and locks it.
async fn lock(app: &App) -> PgConnection {
    assert_eq!(app.issue("of the day", "1.00").await.status, 201);
    let mut other = app.database.postgres().await;
    other.execute("BEGIN; UPDATE day_spending SET rewards = rewards").await.unwrap();
    other
}

/// Buys all of these, the first two of which are on their way when the others come.
async fn at_once(app: &App, bodies: Vec<(String, Value)>) -> Vec<Answer> {
    if app.database.backend == Backend::Sqlite {
        return in_one_turn(app, bodies).await;
    }
    let mut other = lock(app).await;
    let first = UNDER_WAY.min(bodies.len());
    let release = async {
        app.until_number(STUCK, i64::try_from(first).unwrap()).await;
        // Until the others have been looked up, and wait. None of them holds anything that could be seen.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(app.database.number(STUCK).await, i64::try_from(first).unwrap(), "the others wait for these");
        other.execute("ROLLBACK").await.unwrap();
    };
    let asked = bodies.into_iter().enumerate().map(async |(place, (key, body))| {
        // The first two alone: one that finds nobody under way goes at once.
        let (before, place) = (place.min(first), i64::try_from(place).unwrap());
        until("those before are on their way", async || {
            before == 0 || app.database.number(STUCK).await >= place.min(2)
        })
        .await;
        app.issue_body(&key, body).await
    });
    let (answers, ()) = tokio::join!(join_all(asked), release);
    answers
}

/// The same on SQLite: the first waits for the file, and the others for the first.
async fn in_one_turn(app: &App, bodies: Vec<(String, Value)>) -> Vec<Answer> {
    assert_eq!(app.issue("of the day", "1.00").await.status, 201);
    let mut other = SqliteConnection::connect(app.database.url()).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let release = async {
        // Until all have been looked up, and wait. None of them holds anything that could be seen.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state <> 'issued'").await, 0);
        other.execute("ROLLBACK").await.unwrap();
    };
    let asked = bodies.into_iter().map(async |(key, body)| app.issue_body(&key, body).await);
    tokio::join!(join_all(asked), release).0
}

fn named(names: impl IntoIterator<Item = impl ToString>) -> Vec<(String, Value)> {
    names.into_iter().map(|name| (name.to_string(), order("1.00"))).collect()
}

/// How many transactions recorded the intents of these rewards.
async fn transactions(app: &App) -> u64 {
    let of_intents = "SELECT DISTINCT xmin::TEXT FROM facts WHERE kind = 'reward.received'";
    app.database.execute(of_intents).await.unwrap()
}

/// Whatever these tests buy fits.
fn shape() -> Shape {
    Shape::default().with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_MAXIMUM", "unlimited")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_recorded_in_one_transaction() {
    let app = App::shaped(Backend::Postgres, shape()).await;
    let answers = at_once(&app, named(0..12)).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert_eq!(transactions(&app).await, 1 + 3, "the first of the day, two by themselves, and ten together");
    let counted = "SELECT CAST(SUM(rewards * 1000000 + spent_minor) AS BIGINT) FROM day_spending WHERE holder = 'all'";
    assert_eq!(app.database.number(counted).await, 13_001_300, "each counts once under the ceilings");
    books_match(&app).await;
    app.end().await;
}

on_each_backend! {
    async fn a_refusal_is_that_of_its_own_caller(backend: Backend) {
        let app = App::shaped(backend, shape()).await;
        let named_as = |external: &str| {
            let mut body = order("1.00");
            body["external_id"] = json!(external);
            body
        };
        assert_eq!(app.issue_body("before", named_as("taken")).await.status, 201);
        let mut bodies = named(0..6);
        bodies.push(("conflict".to_owned(), named_as("taken")));
        bodies.push(("again".to_owned(), order("1.00")));
        bodies.push(("again".to_owned(), order("1.00")));
        bodies.push(("one".to_owned(), named_as("twice")));
        bodies.push(("other".to_owned(), named_as("twice")));
        bodies.extend(named(11..16));
        let is_postgres = backend == Backend::Postgres;
        let before = if is_postgres { transactions(&app).await } else { 0 };
        let answers = at_once(&app, bodies).await;
        answers[6].is_problem(409, "external-id-conflict");
        assert_eq!(answers[7].id(), answers[8].id(), "one key is one reward");
        let twice: Vec<u16> = vec![answers[9].status.min(answers[10].status), answers[9].status.max(answers[10].status)];
        assert_eq!(twice, [201, 409], "one external id is one reward");
        let others = answers.iter().enumerate().filter(|(at, _answer)| !(6..=10).contains(at));
        assert!(others.clone().all(|(_at, answer)| answer.status == 201), "{answers:?}");
        // The first of the day, two by themselves, and all others together: whoever was refused parted nobody from them. Of the two requests of
        // one key the second waits for the next statement, which may overtake.
        assert!(!is_postgres || (4..=5).contains(&(transactions(&app).await - before)));
        assert_eq!(app.control.book().len(), 2 + 11 + 1 + 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn of_those_that_do_not_all_fit_as_many_are_sold_as_do(backend: Backend) {
        for ceiling in ["CLIENT_DAY_MAXIMUM", "ACCOUNT_DAY_MAXIMUM"] {
            let shape = shape()
                .with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "5.00")
                .with(format!("NOSHI__ACCOUNTS__MAIN__{ceiling}"), "5.00");
            let app = App::shaped(backend, shape).await;
            let answers = at_once(&app, named(0..10)).await;
            let sold = answers.iter().filter(|answer| answer.status == 201).count();
            assert_eq!(sold, 4, "{ceiling}: {answers:?}");
            assert_eq!(app.control.book().len(), 5);
            books_match(&app).await;
            app.end().await;
        }
    }
}

/// Of ten at once the database refuses the one that is called `bad`.
async fn one_bad_denies_no_other(app: App, what: &str) {
    let mut bodies = named(0..6);
    let mut bad = order("1.00");
    bad["external_id"] = json!("bad");
    bodies.push(("bad".to_owned(), bad));
    bodies.extend(named(7..10));
    let answers = at_once(&app, bodies).await;
    assert!(answers[6].status >= 500, "{what}: {}", answers[6].text);
    let others = answers.iter().enumerate().filter(|(at, _answer)| *at != 6);
    assert!(others.clone().all(|(_at, answer)| answer.status == 201), "{what}: {answers:?}");
    assert_eq!(app.control.book().len(), 1 + 9, "{what}");
    books_match(&app).await;
    app.end().await;
}

/// What SQLite says of one of them undoes that one alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_sqlite_says_of_one_intent_denies_no_other() {
    let app = App::shaped(Backend::Sqlite, shape()).await;
    let says = "CREATE TRIGGER says BEFORE INSERT ON rewards WHEN NEW.external_id = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END";
    app.database.execute(says).await.unwrap();
    one_bad_denies_no_other(app, "SQLite").await;
}

/// A damaged row or index, a limit of the server's, its time: what it says is about one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_server_says_of_one_intent_denies_no_other() {
    for code in ["XX001", "54000", "57014"] {
        let app = App::shaped(Backend::Postgres, shape()).await;
        let raises = format!(
            "CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.external_id = 'bad' THEN RAISE EXCEPTION 'bad' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
        );
        app.database.execute(&raises).await.unwrap();
        let on_rewards = "CREATE TRIGGER says BEFORE INSERT ON rewards FOR EACH ROW EXECUTE FUNCTION says()";
        app.database.execute(on_rewards).await.unwrap();
        one_bad_denies_no_other(app, code).await;
    }
}

/// Nobody hears whether it was done: not one of them is sent, and each key has one card at last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_hears_of_is_in_doubt_for_each() {
    for cut in [Cut::BeforeTheServer, Cut::BeforeTheAnswer] {
        let (mut app, proxy) = behind_a_proxy().await;
        let bodies = named((0..8).map(|number| format!("{cut:?}-{number}")));
        let keys: Vec<String> = bodies.iter().map(|(key, _body)| key.clone()).collect();
        let armed = async {
            // Those two have been sent when they wait for the lock.
            app.until_number(STUCK, 2).await;
            proxy.arm(Moment::Intent, cut);
        };
        let (answers, ()) = tokio::join!(at_once(&app, bodies), armed);
        assert_eq!(proxy.struck(), 1);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [201, 201, 503, 503, 503, 503, 503, 503], "{answers:?}");
        assert!(answers[2..].iter().all(|answer| answer.json["money_moved"] == "unknown"), "{answers:?}");
        assert_eq!(app.control.book().len(), 3, "nothing is sent whose intent may not be durable");
        let left = app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issuing'").await;
        assert_eq!(left, if cut == Cut::BeforeTheServer { 0 } else { 6 }, "all or nothing");
        let mut codes = Codes::new();
        keys.iter().zip(&answers).for_each(|(key, answer)| codes.note(key, answer));
        app.advance(30);
        codes.complete(&app, &keys).await;
        assert_eq!(app.control.book().len(), 1 + keys.len());
        books_match(&app).await;
        app.end().await;
    }
}
