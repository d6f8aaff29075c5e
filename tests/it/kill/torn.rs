//! A write-ahead log that a power cut tore: SQLite's file and its log are copied while the service runs, and the log is
//! cut anywhere, or goes on with rubbish. Whatever is left must open, be whole, and hold all that callers had been told
//! when the log was that long.
//!
//! That the log was on the disk by then is another question: for it the service asks for `synchronous = FULL`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule};
use sqlx::{Connection, SqliteConnection};

use super::{Dice, count_of, print, seed, stage, start};
use crate::support::{Answer, App, Backend, wait::found, with_json};

/// Cuts of an everyday run.
const CUTS: usize = 50;
/// Of these the service itself is started on so many, and its callers ask again.
const SERVED: usize = 6;
/// Rewards, and callers at once: fewer pages than SQLite lets the log grow to before it starts it anew.
const REWARDS: usize = 36;
const CALLERS: usize = 3;

/// What a caller was told, and how long the log was when the answer was there.
#[derive(Debug, Clone)]
struct Told {
    key: String,
    amazon_id: String,
    state: String,
    code: Option<String>,
    log: usize,
}

/// A database and its log, as they were at one instant.
struct Copy {
    database: Vec<u8>,
    log: Vec<u8>,
}

fn log_of(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", database.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_log_opens_and_holds_all_that_callers_had_been_told() {
    let (seed, cuts) = (seed(), count_of("NOSHI_TEST_WAL_CUTS", CUTS));
    print(&format!("torn logs: NOSHI_TEST_SEED={seed}"));
    let (app, mut dice) = (stage(Backend::Sqlite).await, Dice::new(seed));
    let (told, copy) = record(&app).await;
    let (mut held, mut missing) = (0, 0);
    for cut in 0..cuts {
        // Half of them where it is tightest: just as long as when someone was told.
        let length = if dice.percent(50) { told[dice.below(told.len())].log } else { dice.below(copy.log.len() + 1) };
        let folder = tempfile::TempDir::new().unwrap();
        let database = folder.path().join("noshi.db");
        write(&copy, &database, length, &mut dice);
        let states = look(&database).await;
        for one in &told {
            let is_there = states.get(&one.amazon_id).is_some_and(|state| holds(&one.state, state));
            assert!(is_there || one.log > length, "cut to {length}: {one:?} is {:?}", states.get(&one.amazon_id));
            held += usize::from(one.log <= length);
            missing += usize::from(!is_there);
        }
        if cut < SERVED {
            serve_again(&app, &database, &told).await;
        }
    }
    print(&format!(
        "torn logs: {cuts} cuts of {} bytes, {SERVED} of them served; {} rewards told of; {held} times one was there as it \
         had to be, {missing} times it was rightly cut off",
        copy.log.len(),
        told.len(),
    ));
    assert!(held > 0 && missing > 0, "nothing was cut off, or nothing was left");
    assert_eq!(app.control.book().len(), REWARDS, "a reward that was cut off was bought twice");
    app.end().await;
}

/// Lets the service buy and cancel, notes what it tells, and copies its files in the middle of it all.
async fn record(app: &App) -> (Vec<Told>, Copy) {
    let path = PathBuf::from(app.database.url().trim_start_matches("sqlite://"));
    app.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let before = fs::read(&path).unwrap();
    let served = start(app.environment().to_vec()).await.unwrap();
    let mut told = Vec::new();
    for some in (0..REWARDS).collect::<Vec<_>>().chunks(CALLERS) {
        let asked = join_all(some.iter().map(|at| ask(app, &served.base, &path, *at))).await;
        told.extend(asked.into_iter().flatten());
    }
    // Nothing is written while it stands still.
    served.signal("STOP");
    let copy = Copy { database: fs::read(&path).unwrap(), log: fs::read(log_of(&path)).unwrap() };
    served.kill();
    assert!(copy.database == before, "the log was written back meanwhile, so its length says nothing");
    (told, copy)
}

/// Buys; of every six one answer is lost at first, and another reward is canceled.
async fn ask(app: &App, base: &str, path: &Path, at: usize) -> Vec<Told> {
    let key = format!("torn-{at}");
    let amazon_id = app.amazon_id(&key);
    if at % 6 == 1 {
        let rule = FaultRule { creation_request_id: Some(amazon_id.clone()), ..FaultRule::once(Fault::DropAfterWork) };
        app.control.script(rule).unwrap();
    }
    let note = |answer: &Answer| Told {
        key: key.clone(),
        amazon_id: amazon_id.clone(),
        state: answer.json["status"].as_str().unwrap().to_owned(),
        code: answer.json["claim_code"].as_str().map(str::to_owned),
        log: usize::try_from(fs::metadata(log_of(path)).unwrap().len()).unwrap(),
    };
    let bought = app.try_issue_at(base, &key, "1.00").await.unwrap();
    let mut told = vec![note(&bought)];
    if at % 6 == 4 {
        let cancel = app.http.post(format!("{base}/v1/rewards/{}/cancel", bought.id())).bearer_auth(&app.key);
        told.push(note(&Answer::of(with_json(cancel, &serde_json::json!({"reason": "test"}))).await));
    }
    told
}

/// Whether a row may be in this state after a caller was told that one.
fn holds(told: &str, state: &str) -> bool {
    match told {
        "issued" => matches!(state, "issued" | "canceling" | "canceled"),
        "canceled" => state == "canceled",
        "canceling" => matches!(state, "canceling" | "canceled"),
        _ => true,
    }
}

/// The log ends there, or goes on with what was not written: zeros, or anything.
fn write(copy: &Copy, database: &Path, length: usize, dice: &mut Dice) {
    let mut log = copy.log[..length].to_vec();
    match dice.below(3) {
        0 => {}
        1 => log.resize(copy.log.len(), 0),
        _ => log.extend((length..copy.log.len()).map(|_| u8::try_from(dice.below(256)).unwrap())),
    }
    fs::write(database, &copy.database).unwrap();
    fs::write(log_of(database), log).unwrap();
}

/// Opens it, finds it whole, and says where each reward stands.
#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
async fn look(database: &Path) -> BTreeMap<String, String> {
    const HALF: &str = "SELECT COUNT(*) FROM rewards WHERE events <> \
         (SELECT COUNT(*) FROM reward_events WHERE reward_id = rewards.id)";
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", database.display())).await.unwrap();
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(whole, "ok");
    let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    let half: i64 = sqlx::query_scalar(HALF).fetch_one(&mut connection).await.unwrap();
    assert_eq!((strays.len(), half), (0, 0), "half of a transaction is there");
    let states: Vec<(String, String)> =
        sqlx::query_as("SELECT creation_request_id, state FROM rewards").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    states.into_iter().collect()
}

/// The service on what is left: whoever was told a code and asks again is told the same, also where the row was cut off.
async fn serve_again(app: &App, database: &Path, told: &[Told]) {
    let mut environment = app.environment().to_vec();
    environment.push(("NOSHI__STORE__URL".to_owned(), format!("sqlite://{}", database.display())));
    let served = start(environment).await.unwrap_or_else(|status| panic!("it does not start: {status}"));
    let canceled: Vec<&str> = told.iter().filter(|one| one.state == "canceled").map(|one| one.key.as_str()).collect();
    let kept = told.iter().filter(|one| one.code.is_some() && !canceled.contains(&one.key.as_str()));
    let base = served.base.as_str();
    let again = join_all(kept.map(|one| async move { (one, ask_until_shown(app, base, &one.key).await) })).await;
    for (one, (code, text)) in again {
        assert_eq!(Some(&code), one.code.as_ref(), "another code than before the cut: {text}");
    }
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
}

/// Asks as callers do, until there is a code; answers with it, and with the whole answer.
async fn ask_until_shown(app: &App, base: &str, key: &str) -> (String, String) {
    found(&format!("{key} has a code"), async || {
        let answer = app.try_issue_at(base, key, "1.00").await.unwrap();
        answer.json["claim_code"].as_str().map(|code| (code.to_owned(), answer.text.clone()))
    })
    .await
}
