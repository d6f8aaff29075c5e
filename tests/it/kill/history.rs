//! Whole histories: three processes on one database, many callers at once on few keys, faults at the gateway. What every
//! request was told must be explained, key by key, by the promise (`history/model.rs`): as if each had taken effect at
//! one instant between its being sent and its being answered.
//!
//! The checker is ours: the one of the stateright crate takes a model with one answer per request and one point in time
//! for it, and remembers nothing of what it tried. Here the service takes steps by itself, a purchase is begun at one
//! point and answered at another, and a request that nobody heard of again may act at any later time.

mod model;
mod planted;
mod search;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::{Value, json};

use self::{
    model::{Asked, Phase, Told, View},
    planted::CHANGES,
    search::{OPS_MAX, Op, explain},
};
use super::{Dice, count_of, print, seed, stage, start_build};
use crate::{
    process::Build,
    support::{Answer, App, Backend, books, order, with_json},
};

const OPS: usize = 2_000;
const CALLERS: usize = 64;
const REPLICAS: usize = 3;
/// Keys that are asked about at a time, and how often each is in all.
const KEYS_AT_ONCE: usize = 16;
const OPS_OF_A_KEY: usize = 10;
/// Of a hundred first calls about a key, second ones, and cancels, so many are struck by a fault: of all calls about 15.
const FAULTS_OF_A_KEY: usize = 35;
/// Of a hundred requests so many are given up early.
const GIVEN_UP: usize = 3;
const GIVEN_UP_WITHIN_MICROSECONDS: u64 = 40_000;
/// Rules that the sandbox is given before it forgets all of them.
const RULES_MAX: usize = 900;
const REST_MAX: Duration = Duration::from_secs(120);
/// What a run must have met, or it has shown nothing.
const CLASSES: [&str; 15] = [
    "Issue: bought",
    "Issue: the same code",
    "Issue: Issuing",
    "Issue: Unresolved",
    "Issue: Canceled",
    "Issue: Failed",
    "Issue: Lost",
    "Cancel: Canceled",
    "Cancel: Canceling",
    "Read: Nothing",
    "Read: Issuing",
    "Read: Issued",
    "Read: Canceled",
    "Reveal: the same code",
    "Reveal: Gone",
];

/// A key, and what happened to it.
#[derive(Default)]
struct Key {
    name: String,
    id: Option<String>,
    codes: Vec<String>,
    ops: Vec<Op>,
}

struct Run {
    app: App,
    bases: Vec<String>,
    began: Instant,
    dice: Mutex<Dice>,
    keys: Mutex<Vec<Key>>,
    /// The keys that are asked about now, and how often each still may be.
    busy: Mutex<Vec<(usize, usize)>>,
    left: AtomicUsize,
    classes: Mutex<BTreeMap<String, usize>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_history_of_three_replicas_is_explained_by_the_promise() {
    let ops = count_of("NOSHI_TEST_HISTORY_OPS", OPS);
    explain_histories(ops, [Build::This; REPLICAS]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_history_of_replicas_of_two_versions_is_explained_by_the_promise() {
    let ops = count_of("NOSHI_TEST_HISTORY_OPS", OPS) / 4;
    explain_histories(ops, [Build::Previous, Build::This, Build::Previous]).await;
}

async fn explain_histories(ops: usize, builds: [Build; REPLICAS]) {
    let seed = seed();
    print(&format!("histories, {builds:?}: NOSHI_TEST_SEED={seed}"));
    let app = stage(Backend::Postgres).await;
    let started = builds.map(|build| start_build(build, app.environment().to_vec()));
    let served: Vec<_> = join_all(started).await.into_iter().map(Result::unwrap).collect();
    let run = Run {
        bases: served.iter().map(|served| served.base.clone()).collect(),
        app,
        began: noshi::ambient::Ambient::system().monotonic(),
        dice: Mutex::new(Dice::new(seed)),
        keys: Mutex::default(),
        busy: Mutex::default(),
        left: AtomicUsize::new(ops),
        classes: Mutex::default(),
    };
    join_all((0..CALLERS).map(|_| call(&run))).await;
    let asked_for = run.began.elapsed();
    last_look(&run).await;
    let (calls, struck) = struck(&run);
    let keys = std::mem::take(&mut *run.keys.lock().unwrap());
    let (situations, overlap) = check(&run.app, &keys);
    let found = check_changed(&keys);
    let classes = run.classes.lock().unwrap().clone();
    let all: usize = keys.iter().map(|key| key.ops.len()).sum();
    print(&format!(
        "histories: {all} requests of {CALLERS} callers on {} keys at {REPLICAS} replicas, {} s of {} s; {overlap} others of the \
         same key at once, in the mean; {struck} of {calls} calls struck; {situations} situations; explained: all\n\
         changed histories, all told apart: {found:?}\nseen: {classes:?}",
        keys.len(),
        asked_for.as_secs(),
        run.began.elapsed().as_secs(),
    ));
    let missed: Vec<_> = CLASSES.iter().filter(|class| !classes.contains_key(**class)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
    assert!(struck * 100 >= calls * 10, "too few faults: {struck} of {calls}");
    books::books_match(&run.app).await;
    for served in served {
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    }
    run.app.end().await;
}

/// A caller: one wish after the other, of any of the keys at any of the replicas.
async fn call(run: &Run) {
    while run.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
        let at = some_key(run);
        let asked = match run.dice.lock().unwrap().below(100) {
            0..42 => Asked::Issue,
            42..58 => Asked::Cancel,
            58..85 => Asked::Read,
            _ => Asked::Reveal,
        };
        ask(run, at, asked).await;
    }
}

/// One of the keys of the moment; a new one where one has been asked about often enough.
fn some_key(run: &Run) -> usize {
    let mut busy = run.busy.lock().unwrap();
    let drawn = run.dice.lock().unwrap().below(KEYS_AT_ONCE);
    if drawn >= busy.len() {
        let at = new_key(run);
        busy.push((at, OPS_OF_A_KEY - 1));
        return at;
    }
    if busy[drawn].1 == 0 {
        busy[drawn] = (new_key(run), OPS_OF_A_KEY);
    }
    busy[drawn].1 -= 1;
    busy[drawn].0
}

fn new_key(run: &Run) -> usize {
    let mut keys = run.keys.lock().unwrap();
    let name = format!("history-{}", keys.len());
    let amazon_id = run.app.amazon_id(&name);
    keys.push(Key { name, ..Key::default() });
    if run.app.control.faults().len() > RULES_MAX {
        run.app.control.clear_faults();
    }
    let mut dice = run.dice.lock().unwrap();
    // A rule counts only the calls that no rule before it struck; the share of calls that are struck is told at the end.
    for (operation, skip) in
        [(Operation::CreateGiftCard, 0), (Operation::CreateGiftCard, 1), (Operation::CancelGiftCard, 0)]
    {
        if dice.percent(FAULTS_OF_A_KEY) {
            let claimed = operation == Operation::CancelGiftCard && dice.percent(50);
            let fault = if claimed { refusal("F300", "OperationNotPermitted") } else { fault(&mut dice) };
            let (operation, creation_request_id) = (Some(operation), Some(amazon_id.clone()));
            run.app
                .control
                .script(FaultRule { operation, creation_request_id, skip, ..FaultRule::once(fault) })
                .unwrap();
        }
    }
    keys.len() - 1
}

fn fault(dice: &mut Dice) -> Fault {
    let milliseconds = u64::try_from(5 + dice.below(60)).unwrap();
    match dice.below(14) {
        0 | 1 => Fault::DelayWork { milliseconds },
        2 | 3 => Fault::Delay { milliseconds },
        4 => Fault::DropAfterWork,
        5 => Fault::ResetAfterWork,
        6 => Fault::DropBeforeWork,
        7 => Fault::ResetInBody,
        8 => Fault::Resend { after_work: true },
        9 => Fault::HtmlError { status: 503, after_work: true },
        // Longer than a call may take: it lands when nobody waits for it.
        10 => Fault::DelayWork { milliseconds: 1_200 },
        11 => refusal("F300", "InsufficientFunds"),
        // Of a cancel: the card is claimed. Of a create: for good.
        12 => refusal("F200", "InvalidAmountValue"),
        _ => refusal("F300", "OperationNotPermitted"),
    }
}

fn refusal(code: &str, error_type: &str) -> Fault {
    Fault::FCode { code: code.to_owned(), error_type: error_type.to_owned(), after_work: false }
}

fn request(run: &Run, at: usize, asked: Asked) -> (Asked, reqwest::RequestBuilder) {
    let (name, id) = {
        let keys = run.keys.lock().unwrap();
        (keys[at].name.clone(), keys[at].id.clone())
    };
    let mut dice = run.dice.lock().unwrap();
    let base = &run.bases[dice.below(run.bases.len())];
    let post = |path: String| run.app.http.post(format!("{base}{path}")).bearer_auth(&run.app.key);
    let get = |path: String| run.app.http.get(format!("{base}{path}")).bearer_auth(&run.app.key);
    let reason = json!({"reason": "test"});
    let (asked, request) = match (asked, id) {
        (Asked::Issue, _) => {
            let mut order = order("3.00");
            order["external_id"] = json!(name);
            let request = with_json(post("/v1/rewards".to_owned()).header("Idempotency-Key", &name), &order);
            (asked, if dice.percent(20) { request.header("Prefer", "respond-async") } else { request })
        }
        (Asked::Cancel, Some(id)) => (asked, with_json(post(format!("/v1/rewards/{id}/cancel")), &reason)),
        (Asked::Reveal, Some(id)) => (asked, with_json(post(format!("/v1/rewards/{id}/reveal")), &reason)),
        (Asked::Read, Some(id)) if dice.percent(50) => (asked, get(format!("/v1/rewards/{id}"))),
        // Nobody was told its id yet: is there any?
        (Asked::Cancel | Asked::Reveal | Asked::Read, _) => {
            (Asked::Read, get(format!("/v1/rewards?external_id={name}")))
        }
    };
    let given_up = dice.percent(GIVEN_UP).then(|| dice.microseconds_below(GIVEN_UP_WITHIN_MICROSECONDS));
    (asked, if let Some(after) = given_up { request.timeout(after) } else { request })
}

async fn ask(run: &Run, at: usize, asked: Asked) {
    let (asked, request) = request(run, at, asked);
    let nanoseconds = || u64::try_from(run.began.elapsed().as_nanos()).unwrap();
    let from = nanoseconds();
    let answer = Answer::try_of(request).await;
    let until = nanoseconds();
    let mut keys = run.keys.lock().unwrap();
    let key = &mut keys[at];
    let told = answer.map_or(Told::Lost, |answer| heard(key, asked, &answer));
    let class = match told {
        Told::Code { bought: true, .. } => "bought".to_owned(),
        Told::Code { bought: false, .. } => "the same code".to_owned(),
        Told::State(view) => format!("{:?}", view.phase),
        Told::Nothing | Told::Failed | Told::Gone | Told::NotNow | Told::CancelFailed | Told::Lost => {
            format!("{told:?}")
        }
    };
    *run.classes.lock().unwrap().entry(format!("{asked:?}: {class}")).or_default() += 1;
    let until = if told == Told::Lost { u64::MAX } else { until };
    key.ops.push(Op { asked, told, from, until });
}

/// What an answer says. An answer that no request may get fails the test here.
fn heard(key: &mut Key, asked: Asked, answer: &Answer) -> Told {
    let reward = match answer.json["data"].as_array() {
        Some(list) if list.is_empty() => return Told::Nothing,
        Some(list) => &list[0],
        None => &answer.json,
    };
    let id = reward["id"].as_str().or(reward["reward_id"].as_str()).map(str::to_owned);
    if let (Some(before), Some(now)) = (&key.id, &id) {
        assert_eq!(before, now, "{} is two rewards", key.name);
    }
    key.id = key.id.take().or(id);
    if let Some(code) = reward["claim_code"].as_str() {
        let known = key.codes.iter().position(|known| known == code).unwrap_or_else(|| {
            key.codes.push(code.to_owned());
            key.codes.len() - 1
        });
        return Told::Code { bought: answer.status == 201, code: u8::try_from(known).unwrap() };
    }
    match (answer.status, asked, answer.json["code"].as_str()) {
        (200 | 202, _, _) => Told::State(view_of(reward)),
        (410, Asked::Reveal, _) => Told::Gone,
        (409, Asked::Cancel, Some("already-claimed")) => Told::CancelFailed,
        (409, Asked::Cancel | Asked::Reveal, Some("invalid-state")) => Told::NotNow,
        // A reward's own refusal names it; any other of these may have done nothing, or something.
        (_, Asked::Issue, _) if !answer.json["reward_id"].is_null() => Told::Failed,
        (503 | 429 | 408, _, _) => Told::Lost,
        _ => panic!("{}, {asked:?}: {} {}", key.name, answer.status, answer.text),
    }
}

fn view_of(reward: &Value) -> View {
    let word = reward["status"].as_str().unwrap_or_default();
    View {
        phase: Phase::named(word).unwrap_or_else(|| panic!("nobody may be told this: {reward}")),
        cancel_requested: reward["cancel_requested"] == true,
        cancel_failed: !reward["cancel_failure"].is_null(),
    }
}

/// Waits until the service has nothing left to do; then every key is asked for once more, and read.
async fn last_look(run: &Run) {
    const DUE: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
    run.app.control.clear_faults();
    let count = run.keys.lock().unwrap().len();
    for asked in [Asked::Issue, Asked::Read] {
        let resting = run.app.ambient.monotonic();
        while run.app.database.number(DUE).await > 0 {
            assert!(resting.elapsed() < REST_MAX, "recovery did not come to its end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let each: Vec<usize> = (0..count).collect();
        for some in each.chunks(CALLERS) {
            join_all(some.iter().map(|at| ask(run, *at, asked))).await;
        }
    }
}

/// Calls that the gateway received, and those that a fault struck.
fn struck(run: &Run) -> (usize, usize) {
    let calls: Vec<_> = run.app.received("GiftCard");
    (calls.len(), calls.iter().filter(|call| call.fault.is_some()).count())
}

/// Every key's history is explained, and its code is the book's. Says in how many situations, and with how many others of
/// its key a request ran at once, in the mean.
fn check(app: &App, keys: &[Key]) -> (usize, String) {
    let (mut situations, mut at_once, mut all) = (0, 0, 0);
    let cards = app.control.book().into_iter().map(|card| (card.creation_request_id, card.claim_code));
    let book: BTreeMap<String, String> = cards.collect();
    for key in keys {
        let of_book: Vec<String> = book.get(&app.amazon_id(&key.name)).cloned().into_iter().collect();
        assert!(key.codes.is_empty() || key.codes == of_book, "{}: not the book's code", key.name);
        situations += explain(&key.ops).unwrap_or_else(|best| {
            let mut ops = key.ops.clone();
            ops.sort_by_key(|op| op.from);
            panic!("{}: no order explains more than {best} of {} answers: {ops:#?}", key.name, ops.len())
        });
        let others =
            |op: &Op| key.ops.iter().filter(|other| other.from <= op.until && op.from <= other.until).count() - 1;
        let answered = key.ops.iter().filter(|op| op.told != Told::Lost);
        at_once += answered.clone().map(others).sum::<usize>();
        all += answered.count();
    }
    (situations, format!("{}.{:02}", at_once / all, at_once * 100 / all % 100))
}

/// The same histories with one answer changed: none is explained. Says how many of each kind there were.
fn check_changed(keys: &[Key]) -> BTreeMap<&'static str, usize> {
    let mut found = BTreeMap::new();
    for (name, change) in CHANGES {
        for key in keys.iter().filter(|key| key.ops.len() <= OPS_MAX) {
            let Some(changed) = change(&key.ops) else { continue };
            assert!(explain(&changed).is_err(), "{}: passes with {name}: {changed:#?}", key.name);
            *found.entry(name).or_default() += 1;
        }
        assert!(found.contains_key(name), "no history has what it takes for {name}");
    }
    found
}
