//! Death at every named place of the code (`src/failpoint.rs`), with several requests in flight.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use futures_util::future::{join, join_all};

use super::{
    WAITED, count_of,
    crowd::{Crowd, Wish},
    print, seed, stage, start,
    verdict::{judge, replays},
};
use crate::{
    process::Served,
    support::{Backend, on_each_backend},
};

/// Every place that callers and recovery pass.
pub(super) const PLACES: [&str; 38] = [
    "issue.before_t1",
    "issue.in_t1",
    "issue.after_t1",
    "issue.before_send",
    "issue.after_answer",
    "issue.before_t2",
    "issue.in_t2",
    "issue.after_t2",
    "issue.before_answer",
    "cancel.before_t1",
    "cancel.in_t1",
    "cancel.after_t1",
    "cancel.before_send",
    "cancel.after_answer",
    "cancel.before_t2",
    "cancel.in_t2",
    "cancel.after_t2",
    "cancel.before_answer",
    "replay.in_t1",
    "replay.after_t1",
    "replay.before_send",
    "replay.after_answer",
    "replay.before_t2",
    "replay.in_t2",
    "replay.after_t2",
    "held.pause",
    "held.before_t1",
    "held.in_t1",
    "held.after_t1",
    "show.before_read",
    "show.after_read",
    "show.before_t2",
    "show.in_t2",
    "show.after_t2",
    "show.before_answer",
    "store.before_commit",
    "store.after_commit",
    "head./CreateGiftCard",
];
/// Deaths at each of them in an everyday run, and tries that may be spent on each death.
const DEATHS: usize = 3;
const TRIES: usize = 3;
/// Databases side by side: a process's start waits for the disk, and another's runs meanwhile.
const LANES: usize = 4;
/// Rewards whose first answer got lost: what recovery has to do.
const UNPROVEN: usize = 40;
/// Fewer than this, and there is more made.
const UNPROVEN_MIN: i64 = 20;
/// How long a process may live after all its callers have their answers, and one that has none to wait for.
pub(super) const LIFE_MAX: Duration = Duration::from_millis(100);
pub(super) const LIFE_ALONE_MAX: Duration = Duration::from_secs(2);

on_each_backend! {
    async fn death_at_every_named_place_loses_doubles_and_mixes_up_nothing(backend: Backend) {
        let (seed, deaths) = (seed(), count_of("NOSHI_TEST_KILLS_AT_EACH_PLACE", DEATHS));
        print(&format!("named places, {backend:?}: NOSHI_TEST_SEED={seed}"));
        let lanes = (0..LANES).map(|lane| run_lane(backend, seed, lane, deaths));
        let mut died: BTreeMap<&str, usize> = BTreeMap::new();
        join_all(lanes).await.into_iter().for_each(|lane| died.extend(lane));
        print(&format!("named places, {backend:?}: {} deaths: {died:?}", died.values().sum::<usize>()));
        for place in PLACES {
            assert!(died.get(place).is_some_and(|count| *count >= deaths), "{place} was passed too rarely: {died:?}");
        }
    }
}

async fn run_lane(backend: Backend, seed: u64, lane: usize, deaths: usize) -> BTreeMap<&'static str, usize> {
    let crowd = Crowd::new(stage(backend).await, seed + u64::try_from(lane).unwrap(), 0);
    let mut died = BTreeMap::new();
    for place in PLACES.iter().skip(lane).step_by(LANES) {
        let count = died.entry(*place).or_insert(0);
        for _ in 0..deaths * TRIES {
            if *count < deaths {
                *count += usize::from(one_death(&crowd, place).await);
            }
        }
    }
    time_passes(&crowd).await;
    let served = start(crowd.app.environment().to_vec()).await.unwrap();
    let seen = replays(&crowd);
    let verdict = judge(&crowd, &served.base).await;
    print(&format!("named places, {backend:?}, lane {lane}: {seen:?}; {:?}", crowd.told().classes));
    verdict.holds();
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    crowd.app.end().await;
    died
}

/// Every process is dead: their leases run out, and waits are over.
pub(super) async fn time_passes(crowd: &Crowd) {
    const PAST: &str = "UPDATE rewards SET due_at = created_at WHERE due_at IS NOT NULL";
    crowd.app.database.execute(PAST).await.unwrap();
}

/// Starts a process that is to die at the place, and gives it a reason to go there. Says whether it did.
async fn one_death(crowd: &Crowd, place: &str) -> bool {
    let road = place.split('.').next().unwrap();
    if road == "replay" {
        leave_work(crowd).await;
    }
    let mut environment = crowd.app.environment().to_vec();
    if road == "held" {
        environment.push((WAITED.to_owned(), "true".to_owned()));
    }
    environment.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@{}", 1 + crowd.roll(3))));
    let mut served = match start(environment).await {
        Ok(served) => served,
        Err(status) => return is_ours(status),
    };
    let base = served.base.clone();
    match road {
        "cancel" => cancels(crowd, &base).await,
        "show" => shows(crowd, &base).await,
        "replay" => {}
        // Their first answers get lost, and they wait for the next attempt.
        "held" => {
            join_all((0..4).map(|_| crowd.ask_in_vain(&base))).await;
        }
        _ => {
            let news = join_all((0..4).map(|_| crowd.ask(&base, Wish::New)));
            join(news, again(crowd, &base)).await;
        }
    }
    let ended = end_of(&mut served, if matches!(road, "replay" | "held") { LIFE_ALONE_MAX } else { LIFE_MAX }).await;
    crowd.take_cut();
    ended.is_some_and(is_ours)
}

/// The end that a failpoint makes. Any other is a finding.
pub(super) fn is_ours(status: ExitStatus) -> bool {
    const SIGABRT: i32 = 6;
    assert_eq!(status.signal(), Some(SIGABRT), "the process ended by itself: {status}");
    true
}

pub(super) async fn end_of(served: &mut Served, longest: Duration) -> Option<ExitStatus> {
    const LOOK_EVERY: Duration = Duration::from_millis(2);
    let mut lived = Duration::ZERO;
    while lived < longest {
        if let Some(status) = served.ended() {
            return Some(status);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        lived += LOOK_EVERY;
    }
    None
}

/// Someone whose request was cut off earlier asks again.
async fn again(crowd: &Crowd, base: &str) {
    if let Some(at) = crowd.someone(false) {
        crowd.ask(base, Wish::Again(at)).await;
    }
}

async fn cancels(crowd: &Crowd, base: &str) {
    let bought = join_all((0..3).map(|_| crowd.ask(base, Wish::New))).await;
    let asked = bought.into_iter().map(|(at, _answered)| crowd.ask(base, Wish::Cancel(at)));
    join(join_all(asked), crowd.ask(base, Wish::New)).await;
}

async fn shows(crowd: &Crowd, base: &str) {
    let bought = join_all((0..2).map(|_| crowd.ask(base, Wish::New))).await;
    let again = join_all(bought.iter().map(|(at, _answered)| crowd.ask(base, Wish::Again(*at))));
    let reveal = join_all(bought.iter().map(|(at, _answered)| crowd.ask(base, Wish::Reveal(*at))));
    join(join(again, reveal), crowd.ask(base, Wish::New)).await;
}

/// Sees to it that the next process finds rewards to recover as soon as it starts.
async fn leave_work(crowd: &Crowd) {
    const DUE: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL AND state <> 'canceling'";
    if crowd.app.database.number(DUE).await < UNPROVEN_MIN {
        let served = start(crowd.app.environment().to_vec()).await.unwrap();
        join_all((0..UNPROVEN).map(|_| crowd.ask_in_vain(&served.base))).await;
        served.kill();
    }
    time_passes(crowd).await;
}
