//! A replica that stands still in the middle of an attempt for longer than its lease (SIGSTOP, a paused virtual machine),
//! while another takes its work over. When it wakes up it settles nothing, shows no code and sends nothing more, however
//! far Amazon's answers had come to it.

use std::time::Duration;

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::json;

use super::{count_of, print, stage, start};
use crate::{
    process::Served,
    support::{Answer, App, Backend, books, order, with_json},
};

/// Rewards frozen in the middle of an attempt.
const FREEZES: usize = 30;
/// Where the replica stands still: at the place where Amazon's answer about one of them is in hand; or, with none, as soon
/// as all calls have arrived. Each has a pair of replicas of its own: a freeze mostly waits for the leases to run out.
const PLACES: [Option<(&str, Stage)>; 6] = [
    None,
    Some(("issue.after_answer", Stage::Create)),
    Some(("issue.before_t2", Stage::Create)),
    Some(("cancel.before_t2", Stage::Cancel)),
    Some(("show.after_read", Stage::Show)),
    // Inside a transaction: its row is held until the server ends the session.
    Some(("show.in_t2", Stage::Show)),
];
/// Rewards of a round: creates, cancels and showings that are in flight when the replica stops.
const CREATES: usize = 5;
const CANCELS: usize = 4;
const SHOWS: usize = 3;
/// Less than a call may take, and longer than the driver needs to see that all have arrived.
const CALL_MILLISECONDS: u64 = 800;
/// The answer at which the replica stands still comes before the others, and after all of them have left: what has not, the woken
/// replica may still begin.
const FIRST_MILLISECONDS: u64 = 500;
/// A caller of the frozen replica waits for so long: the freeze, and some more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Create,
    Cancel,
    Show,
}

struct Frozen {
    stage: Stage,
    key: String,
    /// Known from the start unless it is being created.
    id: Option<String>,
}

#[derive(Debug, Default)]
struct Tally {
    creates: i64,
    cancels: i64,
    shows: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_wakes_after_its_lease_settles_shows_and_sends_nothing() {
    let freezes = count_of("NOSHI_TEST_FREEZES", FREEZES);
    let clock = noshi::ambient::Ambient::system().monotonic();
    let rounds = freezes.div_ceil(FREEZES);
    let mut all = Tally::default();
    for tally in join_all(PLACES.map(|place| run_lane(place, rounds))).await {
        all.creates += tally.creates;
        all.cancels += tally.cancels;
        all.shows += tally.shows;
    }
    print(&format!("freezes: {all:?} in flight when their replica stood still; {} s", clock.elapsed().as_secs()));
    assert!(all.creates > 0 && all.cancels > 0 && all.shows > 0, "a stage was never frozen: {all:?}");
    let count = usize::try_from(all.creates + all.cancels + all.shows).unwrap();
    assert!(count >= freezes, "{count} of {freezes}: the signal came too late for the others");
}

async fn run_lane(place: Option<(&str, Stage)>, rounds: usize) -> Tally {
    let mut app = stage(Backend::Postgres).await;
    let mut environment = app.environment().to_vec();
    // All lanes share one server.
    environment.push(("NOSHI__STORE__CONNECTIONS_MAX".to_owned(), "5".to_owned()));
    let awake = start(environment.clone()).await.unwrap();
    app.base.clone_from(&awake.base);
    let mut tally = Tally::default();
    for round in 0..rounds {
        let mut of_sleeper = environment.clone();
        if let Some((place, _stage)) = place {
            of_sleeper.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@1:stop")));
        }
        let sleeper = start(of_sleeper).await.unwrap();
        one_freeze(&app, sleeper, (place.map(|(_place, stage)| stage), round), &mut tally).await;
    }
    books::books_match(&app).await;
    assert!(tokio::task::spawn_blocking(move || awake.terminate()).await.unwrap().success());
    app.end().await;
    tally
}

async fn one_freeze(app: &App, sleeper: Served, (first, round): (Option<Stage>, usize), tally: &mut Tally) {
    let frozen = prepare(app, first, round).await;
    let (before, began) = (last_sequence(app), app.ambient.monotonic());
    let asked = join_all(frozen.iter().map(|one| async { (ask(app, &sleeper.base, one).await, began.elapsed()) }));
    let meanwhile = async {
        // It may come to its place before all of them have left.
        while arrived_since(app, before) < frozen.len() && !stands_still(&sleeper) {
            assert!(began.elapsed() < PATIENCE, "not all of them reached Amazon");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match first {
            None => sleeper.signal("STOP"),
            Some(_) => until_it_stands_still(&sleeper).await,
        }
        let stopped = began.elapsed();
        count(app, tally).await;
        take_over(app, &frozen).await;
        let left = (timelines(app).await, last_sequence(app));
        sleeper.signal("CONT");
        (stopped, left)
    };
    let (answers, (stopped, (timelines_before, sequence))) = tokio::join!(asked, meanwhile);
    for (one, (answer, at)) in frozen.iter().zip(answers) {
        let answer = answer.unwrap_or_else(|| panic!("the woken replica answers {}", one.key));
        // One that was quicker than the freeze has done nothing wrong.
        if at > stopped {
            // A showing that was committed before the freeze is answered after it: its code was handed over in time.
            let committed = one.id.as_ref().is_some_and(|id| was_shown(&timelines_before, id));
            let late = answer.text.contains("claim_code\"") && !committed;
            assert!(!late, "{:?} {}: shown late: {}", one.stage, one.key, answer.text);
            let kept = one.stage == Stage::Cancel && answer.json["status"] == "issued";
            assert!(!kept, "{} was canceled by the other: {}", one.key, answer.text);
        }
    }
    // It ends only when all its work has: whatever it still had in mind is done by then.
    assert!(tokio::task::spawn_blocking(move || sleeper.terminate()).await.unwrap().success());
    assert_eq!(timelines(app).await, timelines_before, "something was written under a lost lease");
    let late: Vec<_> = app.received("GiftCard").into_iter().filter(|call| call.sequence > sequence).collect();
    assert!(late.is_empty(), "sent after its lease was lost: {late:?}");
}

/// The process's state, as the kernel reports it.
fn stands_still(served: &Served) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.id())).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

async fn until_it_stands_still(served: &Served) {
    let waiting = noshi::ambient::Ambient::system().monotonic();
    while !stands_still(served) {
        assert!(waiting.elapsed() < PATIENCE, "it never came to the place where it stands still");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Buys what is to be canceled and shown, and makes Amazon slow to answer what is to be frozen: half of the work is done
/// at once, half when nobody listens any more.
async fn prepare(app: &App, first: Option<Stage>, round: usize) -> Vec<Frozen> {
    let mut frozen: Vec<Frozen> = Vec::new();
    for at in 0..CREATES + CANCELS + SHOWS {
        let key = format!("frozen-{round}-{at}");
        let stage = match at {
            0..CREATES => Stage::Create,
            _ if at < CREATES + CANCELS => Stage::Cancel,
            _ => Stage::Show,
        };
        let id = match stage {
            Stage::Create => None,
            Stage::Cancel | Stage::Show => Some(app.issue(&key, "1.00").await.id().to_owned()),
        };
        let operation = if stage == Stage::Cancel { Operation::CancelGiftCard } else { Operation::CreateGiftCard };
        let is_first = first == Some(stage) && frozen.iter().all(|one| one.stage != stage);
        let milliseconds = if is_first { FIRST_MILLISECONDS } else { CALL_MILLISECONDS };
        let slow =
            if is_first || at % 2 == 0 { Fault::Delay { milliseconds } } else { Fault::DelayWork { milliseconds } };
        let (operation, creation_request_id) = (Some(operation), Some(app.amazon_id(&key)));
        app.control.script(FaultRule { operation, creation_request_id, ..FaultRule::once(slow) }).unwrap();
        frozen.push(Frozen { stage, key, id });
    }
    frozen
}

async fn ask(app: &App, base: &str, one: &Frozen) -> Option<Answer> {
    let post = |path: String| app.http.post(format!("{base}{path}")).bearer_auth(&app.key).timeout(PATIENCE);
    let reason = json!({"reason": "test"});
    let id = one.id.as_deref().unwrap_or_default();
    let request = match one.stage {
        Stage::Create => with_json(post("/v1/rewards".to_owned()).header("Idempotency-Key", &one.key), &order("1.00")),
        Stage::Cancel => with_json(post(format!("/v1/rewards/{id}/cancel")), &reason),
        Stage::Show => with_json(post(format!("/v1/rewards/{id}/reveal")), &reason),
    };
    Answer::try_of(request).await
}

fn last_sequence(app: &App) -> u64 {
    app.control.requests().last().map_or(0, |call| call.sequence)
}

fn arrived_since(app: &App, sequence: u64) -> usize {
    app.received("GiftCard").iter().filter(|call| call.sequence > sequence).count()
}

/// What the replica that stands still has in hand.
async fn count(app: &App, tally: &mut Tally) {
    let leased = |state| format!("SELECT COUNT(*) FROM rewards WHERE state = '{state}' AND lease_token IS NOT NULL");
    tally.creates += app.database.number(&leased("issuing")).await;
    tally.cancels += app.database.number(&leased("canceling")).await;
    let shown = "SELECT COUNT(*) FROM reward_events WHERE kind = 'claim_code.revealed'";
    tally.shows += i64::try_from(SHOWS).unwrap() - app.database.number(shown).await;
}

/// The other replica brings everything to its end, and what the first was about to show is canceled.
async fn take_over(app: &App, frozen: &[Frozen]) {
    const DUE: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
    for one in frozen.iter().filter(|one| one.stage == Stage::Show) {
        cancel(app, one.id.as_deref().unwrap()).await;
    }
    let waiting = app.ambient.monotonic();
    while app.database.number(DUE).await > 0 {
        assert!(waiting.elapsed() < PATIENCE, "nobody took over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for one in frozen {
        let told = app.issue(&one.key, "1.00").await;
        let expected = if one.stage == Stage::Create { "issued" } else { "canceled" };
        assert_eq!(told.json["status"], expected, "{}", told.text);
    }
    for one in frozen.iter().filter(|one| one.stage == Stage::Create).step_by(2) {
        let id = app.issue(&one.key, "1.00").await.id().to_owned();
        cancel(app, &id).await;
    }
}

/// Cancels as a caller does: one who stands still in the middle of a transaction holds its row until the server ends the
/// session, and that is told as a 503, to be tried again.
async fn cancel(app: &App, id: &str) {
    let waiting = app.ambient.monotonic();
    loop {
        let answer = app.cancel(id).await;
        if answer.status != 503 {
            assert_eq!(answer.status, 200, "{}", answer.text);
            return;
        }
        answer.is_problem(503, "dependency-unavailable");
        print("a cancel was told 503 beside a replica that stands still");
        assert!(waiting.elapsed() < PATIENCE, "nobody ended the session that holds the row");
    }
}

/// Whether the reward's timeline has a showing.
fn was_shown(timelines: &[(String, Vec<String>)], id: &str) -> bool {
    timelines.iter().any(|(reward, kinds)| reward == id && kinds.iter().any(|kind| kind.starts_with("claim_code.")))
}

/// Every reward's timeline.
async fn timelines(app: &App) -> Vec<(String, Vec<String>)> {
    let all = app.get("/v1/rewards?limit=200").await;
    let mut timelines = Vec::new();
    for reward in all.json["data"].as_array().unwrap() {
        let id = reward["id"].as_str().unwrap().to_owned();
        timelines.push((id.clone(), app.events(&id).await));
    }
    timelines
}
