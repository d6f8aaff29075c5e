//! Amazon's key pair is exchanged while the service runs: by replacing the files that it lies in, as a Secret does, or by a second
//! pair in files of its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    process::{Served, noshi},
    support::{
        ACCESS_KEY_ID, Answer, App, Backend, NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY, SECRET_ACCESS_KEY, Shape,
        books::books_match, on_each_backend, wait::until,
    },
};

const MADE: &str = "noshi_credential_created_timestamp_seconds{account=\"main\",slot=\"primary\"}";
/// Amazon has no such key.
const UNKNOWN_ACCESS_KEY_ID: &str = "AKIDUNKNOWN000000001";
/// Longer than the service needs to read the files three times.
const SOME_READS: Duration = Duration::from_secs(7);

/// The files of a Secret as a kubelet keeps them: links into a folder that is exchanged as a whole.
struct Secret(TempDir);

impl Secret {
    fn new(id: &str, secret: &str) -> Self {
        let this = Self::empty();
        this.replace(id, secret);
        this
    }

    /// A Secret that nobody has filled.
    fn empty() -> Self {
        let this = Self(TempDir::new().unwrap());
        for name in ["access_key_id", "secret_access_key"] {
            symlink(Path::new("..data").join(name), this.0.path().join(name)).unwrap();
        }
        this
    }

    fn replace(&self, id: &str, secret: &str) {
        let (folder, next) = (format!("..{id}"), self.0.path().join("..next"));
        fs::create_dir(self.0.path().join(&folder)).unwrap();
        fs::write(self.0.path().join(&folder).join("access_key_id"), id).unwrap();
        fs::write(self.0.path().join(&folder).join("secret_access_key"), format!("{secret}\n")).unwrap();
        symlink(folder, &next).unwrap();
        fs::rename(next, self.0.path().join("..data")).unwrap();
    }

    fn shape(&self) -> Shape {
        self.lie_in(Shape::default(), "").with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_CREATED", "2026-01-31")
    }

    /// Names the files in the settings: those of the first slot, or `SECOND_`.
    fn lie_in(&self, shape: Shape, slot: &str) -> Shape {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        shape
            .with(format!("NOSHI__ACCOUNTS__MAIN__{slot}ACCESS_KEY_ID_FILE"), file("access_key_id"))
            .with(format!("NOSHI__ACCOUNTS__MAIN__{slot}SECRET_ACCESS_KEY_FILE"), file("secret_access_key"))
    }
}

/// How the pair in a slot stands, as a replica's metrics say.
async fn state_at(app: &App, admin: &str, slot: &str) -> String {
    let page = Answer::of(app.http.get(format!("{admin}/metrics"))).await.text;
    let start = format!("noshi_credential_state{{account=\"main\",slot=\"{slot}\",state=\"");
    let state = page.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix("\"} 1"));
    state.map(str::to_owned).collect::<Vec<_>>().join(" ")
}

async fn until_state(app: &App, slot: &str, state: &str) {
    let what = format!("the pair in the slot {slot} is {state}");
    until(&what, async || state_at(app, &app.admin, slot).await == state).await;
}

/// How often these facts of the account were written.
async fn facts(app: &App, kind: &str) -> i64 {
    app.database.number(&format!("SELECT COUNT(*) FROM facts WHERE kind = '{kind}'")).await
}

/// Runs `noshi accounts keys` with the service's settings; answers with its exit code and what it printed.
fn keys(app: &App, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = noshi();
    let done =
        command.args(["accounts", "keys"]).args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
    let printed = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(printed).unwrap())
}

async fn made(app: &App) -> String {
    let page = app.metrics().await;
    page.lines().find_map(|line| line.strip_prefix(MADE)).unwrap().trim().to_owned()
}

/// Waits until the service signs with another pair.
async fn exchanged(app: &App, before: &str) {
    until("the pair is exchanged", async || made(app).await != before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_is_exchanged_under_load_fails_no_request_and_leaves_nothing_behind() {
    let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let app = App::shaped(Backend::Sqlite, secret.shape()).await;
    let lost = FaultRule {
        operation: Some(Operation::CreateGiftCard),
        creation_request_id: Some(app.amazon_id("under-way")),
        ..FaultRule::always(Fault::DropAfterWork)
    };
    app.control.script(lost).unwrap();
    let under_way = app.issue("under-way", "3.00").await;
    under_way.is_accepted();
    let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let caller = || async {
        while !done.load(Ordering::Acquire) {
            let key = format!("load-{}", count.fetch_add(1, Ordering::AcqRel));
            let answer = app.issue(&key, "1.00").await;
            assert_eq!(answer.status, 201, "{key}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let exchange = async {
        let before = made(&app).await;
        secret.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        exchanged(&app, &before).await;
        // Each call that is under way was signed with one of them: both are good for a moment.
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
        let so_far = count.load(Ordering::Acquire);
        until("twenty more are issued", async || count.load(Ordering::Acquire) >= so_far + 20).await;
        done.store(true, Ordering::Release);
    };
    tokio::join!(exchange, join_all((0..3).map(|_| caller())));
    assert!(app.received("").iter().all(|received| received.signature_accepted), "Amazon refused a signature");
    app.control.clear_faults();
    app.until(under_way.id(), "issued").await;
    assert_eq!(app.live_cards().len(), count.load(Ordering::Acquire) + 1);
    books_match(&app).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_pair_is_waited_for_and_one_that_cannot_be_read_leaves_the_old_one_in_use() {
    let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let app = App::shaped(Backend::Sqlite, secret.shape()).await;
    let before = made(&app).await;
    let file = |name: &str| secret.0.path().join(name);
    for (at, content) in ["", "two words", "ASIATEMPORARY"].into_iter().enumerate() {
        fs::write(file("access_key_id"), content).unwrap();
        tokio::time::sleep(SOME_READS / 2).await;
        assert_eq!(app.issue(&format!("bad-{at}"), "1.00").await.status, 201, "{content:?}");
    }
    fs::remove_file(file("access_key_id")).unwrap();
    tokio::time::sleep(SOME_READS / 2).await;
    assert_eq!(app.issue("none", "1.00").await.status, 201);
    // By hand, one after the other.
    fs::write(file("access_key_id"), NEXT_ACCESS_KEY_ID).unwrap();
    tokio::time::sleep(SOME_READS).await;
    assert_eq!(app.issue("half", "1.00").await.status, 201);
    assert_eq!(made(&app).await, before);
    fs::write(file("secret_access_key"), NEXT_SECRET_ACCESS_KEY).unwrap();
    exchanged(&app, &before).await;
    app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
    assert_eq!(app.issue("whole", "1.00").await.status, 201);
    app.end().await;
}

on_each_backend! {
    async fn a_pair_that_amazon_refuses_is_reported_and_never_taken(backend: Backend) {
        let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        let app = App::shaped(backend, secret.shape()).await;
        until_state(&app, "primary", "in_force").await;
        let before = made(&app).await;
        secret.replace(UNKNOWN_ACCESS_KEY_ID, "unknown-secret");
        until_state(&app, "primary", "refused").await;
        for at in 0..3 {
            assert_eq!(app.issue(&format!("meanwhile-{at}"), "1.00").await.status, 201);
        }
        assert!(app.received("CreateGiftCard").iter().all(|call| call.signature_accepted), "signed with a pair that was refused");
        assert_eq!(made(&app).await, before, "the age is that of the pair in use");
        assert_eq!((facts(&app, "account.key_refused").await, facts(&app, "account.key_changed").await), (1, 1));
        secret.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        exchanged(&app, &before).await;
        app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
        assert_eq!(app.issue("after", "1.00").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_pair_that_is_made_inactive_too_early_gives_way_to_the_one_of_before(backend: Backend) {
        let (primary, second) = (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::empty());
        let app = App::shaped(backend, second.lie_in(primary.shape(), "SECOND_")).await;
        until_state(&app, "second", "empty").await;
        second.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        until_state(&app, "second", "in_force").await;
        assert_eq!(state_at(&app, &app.admin, "primary").await, "accepted", "the old pair works still");
        app.control.set_key_active(NEXT_ACCESS_KEY_ID, false).unwrap();
        app.issue("finds-it-out", "1.00").await.is_problem(503, "account-problem");
        until_state(&app, "primary", "in_force").await;
        assert_eq!(app.issue("afterwards", "1.00").await.status, 201, "the breaker is closed as well");
        assert_eq!(state_at(&app, &app.admin, "second").await, "refused");
        assert_eq!(facts(&app, "account.key_returned").await, 1);
        // Once it is repaired it is a new pair again.
        app.control.set_key_active(NEXT_ACCESS_KEY_ID, true).unwrap();
        assert_eq!(keys(&app, &["verify", "--account", "main", "--slot", "second"]).0, Some(0));
        until_state(&app, "second", "in_force").await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pair_comes_in_force_in_all_replicas_or_in_none() {
    let (one, other) = (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    let app = App::shaped(Backend::Postgres, one.shape()).await;
    let elsewhere = other.lie_in(Shape::default(), "").settings;
    let environment: Vec<_> = app.environment().iter().cloned().chain(elsewhere).collect();
    let replica = Served::start(&environment);
    until("both are in force", async || {
        state_at(&app, &app.admin, "primary").await == "in_force"
            && state_at(&app, &replica.admin, "primary").await == "in_force"
    })
    .await;
    one.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
    until_state(&app, "primary", "accepted").await;
    tokio::time::sleep(SOME_READS).await;
    assert_eq!(state_at(&app, &app.admin, "primary").await, "accepted", "a replica does not have the pair");
    let status = keys(&app, &["status"]).1;
    assert!(status.contains("held by 1 and signed with by 0 of 2 replicas"), "{status}");
    other.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
    until("both sign with it", async || {
        state_at(&app, &app.admin, "primary").await == "in_force"
            && state_at(&app, &replica.admin, "primary").await == "in_force"
    })
    .await;
    app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
    assert_eq!(app.issue("here", "1.00").await.status, 201);
    assert_eq!(app.try_issue_at(&replica.base, "there", "1.00").await.unwrap().status, 201);
    assert!(replica.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_led_from_the_new_pair_to_the_end_of_the_old_one() {
    let (primary, second) = (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::empty());
    let shape = second.lie_in(primary.shape(), "SECOND_").with("NOSHI__ACCOUNTS__MAIN__ACTIVATE_KEYS_BY_HAND", true);
    let mut app = App::shaped(Backend::Sqlite, shape).await;
    until_state(&app, "primary", "in_force").await;
    let second_slot = |app: &App, command: &str| keys(app, &[command, "--account", "main", "--slot", "second"]);
    let is = |done: (Option<i32>, String), code: i32, text: &str| {
        assert!(done.0 == Some(code) && done.1.contains(text), "{text:?} {done:?}");
    };
    is(second_slot(&app, "verify"), 1, "there is no pair in this slot");
    second.replace(UNKNOWN_ACCESS_KEY_ID, "unknown-secret");
    let turn = "SELECT next_funds_us FROM upstream WHERE account = 'main'";
    let polled = app.database.number(turn).await;
    is(second_slot(&app, "verify"), 1, "Amazon refuses this pair");
    assert_eq!(app.database.number(turn).await, polled, "a question about a pair took the turn of the balance polls");
    is(second_slot(&app, "activate"), 1, "Amazon has not taken this pair");
    second.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
    until_state(&app, "second", "accepted").await;
    is(keys(&app, &["status", "--account", "main"]), 0, "; activate it");
    is(second_slot(&app, "activate"), 0, "is in force");
    is(second_slot(&app, "activate"), 1, "is in force already");
    until_state(&app, "second", "in_force").await;
    is(keys(&app, &["status"]), 0, "; wait a minute");
    assert_eq!(app.issue("signed-anew", "1.00").await.status, 201);
    // By the wall clock of the command, the exchange was long ago.
    app.database.execute("UPDATE key_pairs SET in_force_us = in_force_us - 120000000 WHERE in_force").await.unwrap();
    is(keys(&app, &["status"]), 0, "; make it inactive in Amazon's portal");
    app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
    app.advance(900);
    until_state(&app, "primary", "ended").await;
    assert_eq!(facts(&app, "account.key_ended").await, 1);
    is(keys(&app, &["status"]), 0, "; delete it in Amazon's portal");
    assert_eq!(app.issue("the-old-one-is-gone", "1.00").await.status, 201);
    app.end().await;
}

/// What the command does, for an operator who has a key of ours and no shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_exchanges_a_pair_by_the_api() {
    let (primary, second) = (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::empty());
    let shape = second.lie_in(primary.shape(), "SECOND_").with("NOSHI__ACCOUNTS__MAIN__ACTIVATE_KEYS_BY_HAND", true);
    let app = App::shaped(Backend::Sqlite, shape).await;
    until_state(&app, "primary", "in_force").await;
    let verify = async || app.post("/v1/key-pairs/main/second/verify", json!({})).await;
    let activate = async |key: &str| app.post("/v1/key-pairs/main/second/activate", json!({"key": key})).await;
    let second_of = async || app.get("/v1/key-pairs/main").await.json["slots"][1].clone();
    let in_the_way = |answer: &Answer, why: &str| {
        answer.is_problem(409, "invalid-state");
        assert!(answer.json["detail"].as_str().unwrap().starts_with(why), "{}", answer.text);
    };
    in_the_way(&verify().await, "there is no pair in this slot");
    in_the_way(&activate("none").await, "there is no pair in this slot");
    second.replace(UNKNOWN_ACCESS_KEY_ID, "unknown-secret");
    until_state(&app, "second", "refused").await;
    assert_eq!(verify().await.json, json!({"account_id": "main", "slot": "second", "proof": "refused"}));
    let refused = second_of().await["key"].as_str().unwrap().to_owned();
    in_the_way(&activate(&refused).await, "Amazon has not taken this pair");
    second.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
    until_state(&app, "second", "accepted").await;
    assert_eq!(verify().await.json, json!({"account_id": "main", "slot": "second", "proof": "accepted"}));
    in_the_way(&activate(&refused).await, "there is another pair in this slot");
    let shown = app.get("/v1/key-pairs/main").await;
    assert_eq!((&shown.json["in_files"], &shown.json["replicas"]), (&json!(true), &json!(1)), "{}", shown.text);
    assert_eq!(
        (&shown.json["slots"][1]["state"], &shown.json["slots"][1]["advice"]),
        (&json!("accepted"), &json!("activate"))
    );
    assert_eq!(app.get("/v1/key-pairs").await.json["data"], json!([shown.json]));
    for secret in [ACCESS_KEY_ID, NEXT_ACCESS_KEY_ID, SECRET_ACCESS_KEY, NEXT_SECRET_ACCESS_KEY] {
        assert!(!shown.text.contains(secret), "{}", shown.text);
    }
    let named = second_of().await["key"].as_str().unwrap().to_owned();
    // A repeat is answered like the first: its answer may have been lost.
    for _ in 0..2 {
        let done = activate(&named).await;
        assert_eq!((done.status, &done.json["slots"][1]["state"]), (200, &json!("in_force")), "{}", done.text);
    }
    until_state(&app, "second", "in_force").await;
    assert_eq!(app.issue("signed-anew", "1.00").await.status, 201);
    // Who did it.
    let key = app.key.split('_').nth(1).unwrap();
    let written =
        format!("SELECT COUNT(*) FROM audit_records WHERE action = 'key_pair.activated' AND actor LIKE '%{key}%'");
    assert_eq!(app.database.number(&written).await, 1);
    // Neither another account nor another slot is there.
    for path in ["other/second", "main/third"] {
        app.post(&format!("/v1/key-pairs/{path}/activate"), json!({"key": named})).await.is_problem(404, "not-found");
    }
    app.end().await;
}

/// Somebody who hears of an error exchanges no key at Amazon: so an error means that nothing was put in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_that_is_answered_by_an_error_has_put_nothing_in_force() {
    let (primary, second) =
        (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::new(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY));
    let shape = second.lie_in(primary.shape(), "SECOND_").with("NOSHI__ACCOUNTS__MAIN__ACTIVATE_KEYS_BY_HAND", true);
    let app = App::shaped(Backend::Sqlite, shape).await;
    until_state(&app, "second", "accepted").await;
    until_state(&app, "primary", "in_force").await;
    let key = app.get("/v1/key-pairs/main").await.json["slots"][1]["key"].clone();
    // What the answer shows cannot be read any more once the pair is in force.
    let odd = "CREATE TRIGGER odd AFTER INSERT ON facts WHEN NEW.kind = 'account.key_changed' \
               BEGIN UPDATE key_pair_holders SET slot = 'odd'; END";
    app.database.execute(odd).await.unwrap();
    let activated = "SELECT COUNT(*) FROM audit_records WHERE action = 'key_pair.activated'";
    let before = (app.database.number(activated).await, facts(&app, "account.key_changed").await);
    let refused = app.post("/v1/key-pairs/main/second/activate", json!({"key": key})).await;
    assert!(refused.status >= 500, "{}", refused.text);
    assert_eq!((app.database.number(activated).await, facts(&app, "account.key_changed").await), before);
    app.database.execute("DROP TRIGGER odd").await.unwrap();
    let done = app.post("/v1/key-pairs/main/second/activate", json!({"key": key})).await;
    assert_eq!((done.status, &done.json["slots"][1]["state"]), (200, &json!("in_force")), "{}", done.text);
    assert_eq!(app.database.number(activated).await, before.0 + 1);
    app.end().await;
}

/// What callers of three replicas were answered: when, and with which status.
type Answered = Mutex<Vec<(Instant, u16)>>;

/// Orders from three replicas until it is done.
async fn order_from(app: &App, bases: &[String], done: &AtomicBool, answered: &Answered, caller: usize) {
    for (at, base) in bases.iter().cycle().enumerate() {
        if done.load(Ordering::Acquire) {
            return;
        }
        let answer = app.try_issue_at(base, &format!("order-{caller}-{at}"), "1.00").await.unwrap();
        answered.lock().unwrap().push((app.ambient.monotonic(), answer.status));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many were answered, how many of them otherwise than by a code, and how long such answers came.
fn counted(answered: &Answered) -> (usize, usize, Duration) {
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    let failed: Vec<Instant> =
        answered.iter().filter(|(_at, status)| *status != 201).map(|(at, _status)| *at).collect();
    let lasted = failed.first().zip(failed.last()).map_or(Duration::ZERO, |(first, last)| last.duration_since(*first));
    (answered.len(), failed.len(), lasted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_under_load_at_three_replicas_fails_nobody_and_a_mistake_is_over_within_seconds() {
    let (primary, second) = (Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY), Secret::empty());
    let shape = second.lie_in(primary.shape(), "SECOND_").with("NOSHI__REWARDS__BREAKER_SECONDS", 30);
    let app = App::shaped(Backend::Postgres, shape).await;
    let replicas = [Served::start(app.environment()), Served::start(app.environment())];
    let bases: Vec<String> = replicas.iter().map(|replica| replica.base.clone()).chain([app.base.clone()]).collect();
    let admins: Vec<&String> = replicas.iter().map(|replica| &replica.admin).chain([&app.admin]).collect();
    let everywhere = async |slot: &str, state: &str| {
        for admin in &admins {
            let what = format!("the pair in the slot {slot} is {state}");
            until(&what, async || state_at(&app, admin, slot).await == state).await;
        }
    };
    everywhere("primary", "in_force").await;
    let (done, answered) = (AtomicBool::new(false), Answered::default());
    let exchange = async {
        second.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        everywhere("second", "in_force").await;
        let good = counted(&answered);
        primary.replace(UNKNOWN_ACCESS_KEY_ID, "unknown-secret");
        everywhere("primary", "refused").await;
        let refused = counted(&answered);
        app.control.set_key_active(NEXT_ACCESS_KEY_ID, false).unwrap();
        until("the pair of before is back", async || facts(&app, "account.key_returned").await == 1).await;
        let well = async || {
            answered.lock().unwrap().iter().rev().take(60).filter(|(_at, status)| *status == 201).count() == 60
        };
        until("sixty in a row are issued again", well).await;
        done.store(true, Ordering::Release);
        (good, refused, counted(&answered))
    };
    let load = join_all((0..6).map(|caller| order_from(&app, &bases, &done, &answered, caller)));
    let ((good, refused, too_early), _load) = tokio::join!(exchange, load);
    println!(
        "(answered, failed, for so long): new pair {good:?}, refused pair {refused:?}, made inactive too early {too_early:?}"
    );
    assert_eq!((good.1, refused.1), (0, 0), "an exchange failed a caller");
    assert!(good.0 > 0 && refused.0 > 0 && too_early.1 > 0, "there was no load");
    assert!(too_early.2 < Duration::from_secs(30), "{too_early:?}");
    for replica in replicas {
        assert!(replica.terminate().success());
    }
    books_match(&app).await;
    app.end().await;
}

/// A Secret was replaced by a bad pair. The running replicas keep the good one in memory; one that begins now has the bad one alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_begins_with_a_bad_pair_is_not_ready_and_closes_no_account_to_the_others() {
    let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let app = App::shaped(Backend::Postgres, secret.shape().with("NOSHI__REWARDS__BREAKER_SECONDS", 30)).await;
    until_state(&app, "primary", "in_force").await;
    secret.replace(UNKNOWN_ACCESS_KEY_ID, "unknown-secret");
    until_state(&app, "primary", "refused").await;
    let late = Served::start(app.environment());
    let refused = app.try_issue_at(&late.base, "at-the-late-one", "1.00").await.unwrap();
    refused.is_problem(503, "account-problem");
    for at in 0..3 {
        assert_eq!(app.issue(&format!("elsewhere-{at}"), "1.00").await.status, 201);
    }
    let ready = async || Answer::of(app.http.get(format!("{}/readyz", late.admin))).await;
    until("the late one is not ready", async || ready().await.status == 503).await;
    assert!(ready().await.text.contains("refuses the key pair of the account main"));
    secret.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
    until("the late one is ready", async || ready().await.status == 200).await;
    assert_eq!(app.try_issue_at(&late.base, "at-the-late-one", "1.00").await.unwrap().status, 201);
    assert!(late.terminate().success());
    app.end().await;
}
