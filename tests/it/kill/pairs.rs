//! Two deaths in a row: one at each place of issuing and canceling, and then, while the next process recovers what the
//! first left, one at each place of recovery. On SQLite, where a start waits for no lease.
//!
//! The places make a square, and a run goes through whole diagonals of it: each has every first place and every second
//! place once. One a day, drawn by the seed; all of them, which are all ordered pairs, in `tests/soak`.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};

use super::{
    Dice, count_of,
    crowd::{Crowd, Wish},
    points::{LIFE_ALONE_MAX, LIFE_MAX, end_of, is_ours, time_passes},
    print, seed, stage, start,
    verdict::judge,
};
use crate::support::Backend;

/// Places on each side of the square.
const SIDE: usize = 14;
const FIRST: [&str; SIDE] = [
    "issue.in_t1",
    "issue.after_t1",
    "issue.before_send",
    "issue.after_answer",
    "issue.before_t2",
    "issue.in_t2",
    "issue.after_t2",
    "issue.before_answer",
    "cancel.in_t1",
    "cancel.after_t1",
    "cancel.before_send",
    "cancel.after_answer",
    "cancel.before_t2",
    "cancel.after_t2",
];
const SECOND: [&str; SIDE] = [
    "replay.in_t1",
    "replay.after_t1",
    "replay.before_send",
    "replay.after_answer",
    "replay.before_t2",
    "replay.in_t2",
    "replay.after_t2",
    "cancel.before_send",
    "cancel.after_answer",
    "cancel.before_t2",
    "cancel.in_t2",
    "cancel.after_t2",
    "store.before_commit",
    "store.after_commit",
];
/// Diagonals that are gone through, and tries that each pair may take.
const DIAGONALS: usize = 1;
const TRIES: usize = 6;
const LANES: usize = 2;
/// Codes whose answer gets lost, and as many cancels, before the first death.
const IN_VAIN: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_death_in_the_recovery_from_a_first_loses_and_doubles_nothing() {
    let (seed, diagonals) = (seed(), count_of("NOSHI_TEST_PAIR_DIAGONALS", DIAGONALS));
    let clock = noshi::ambient::Ambient::system().monotonic();
    print(&format!("pairs of deaths: NOSHI_TEST_SEED={seed}"));
    let drawn = Dice::new(seed).below(SIDE);
    let wanted: Vec<Pair> = (drawn..drawn + diagonals).flat_map(diagonal).collect();
    let lanes = (0..LANES).map(|lane| run_lane(seed, lane, wanted.iter().skip(lane).step_by(LANES)));
    let mut tries = 0;
    let mut died = BTreeSet::new();
    for (more, found) in join_all(lanes).await {
        tries += more;
        died.extend(found);
    }
    print(&format!(
        "pairs of deaths: {} pairs, {} different ones, {tries} tries, {} s",
        wanted.len(),
        died.len(),
        clock.elapsed().as_secs()
    ));
    for pair in wanted {
        assert!(died.contains(&pair), "never died at {} and then at {}", pair.0, pair.1);
    }
}

type Pair = (&'static str, &'static str);

/// Every first place with the second place that stands so far from it.
fn diagonal(apart: usize) -> impl Iterator<Item = Pair> {
    FIRST.into_iter().zip(SECOND.into_iter().cycle().skip(apart % SIDE))
}

async fn run_lane(seed: u64, lane: usize, wanted: impl Iterator<Item = &Pair>) -> (usize, BTreeSet<Pair>) {
    let crowd = Crowd::new(stage(Backend::Sqlite).await, seed + u64::try_from(lane).unwrap(), 0);
    let (mut tries, mut pairs) = (0, BTreeSet::new());
    for pair in wanted {
        for _ in 0..TRIES {
            tries += 1;
            if first_death(&crowd, pair.0).await && second_death(&crowd, pair.1).await {
                pairs.insert(*pair);
                break;
            }
        }
    }
    time_passes(&crowd).await;
    let served = start(crowd.app.environment().to_vec()).await.unwrap();
    let verdict = judge(&crowd, &served.base).await;
    print(&format!("pairs of deaths, lane {lane}: {:?}", crowd.told().classes));
    verdict.holds();
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    crowd.app.end().await;
    (tries, pairs)
}

fn dying_at(crowd: &Crowd, place: &str, pass: usize) -> Vec<(String, String)> {
    let mut environment = crowd.app.environment().to_vec();
    environment.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@{pass}")));
    environment
}

/// Leaves purchases and cancels whose answers got lost, and dies with more of them in flight.
async fn first_death(crowd: &Crowd, place: &str) -> bool {
    let canceling = place.starts_with("cancel");
    let before = if canceling { IN_VAIN } else { 2 * IN_VAIN };
    let mut served = match start(dying_at(crowd, place, before + 1 + crowd.roll(2))).await {
        Ok(served) => served,
        // At work that an earlier pair had left.
        Err(status) => return is_ours(status),
    };
    let base = served.base.clone();
    join_all((0..IN_VAIN).map(|_| join(crowd.ask_in_vain(&base), crowd.cancel_in_vain(&base)))).await;
    let bought = join_all((0..3).map(|_| crowd.ask(&base, Wish::New))).await;
    if canceling {
        join_all(bought.into_iter().map(|(at, _answered)| crowd.ask(&base, Wish::Cancel(at)))).await;
    }
    let ended = end_of(&mut served, LIFE_MAX).await;
    drop(served);
    crowd.take_cut();
    ended.is_some_and(is_ours)
}

/// The next process takes up at once what is there, and dies at it.
async fn second_death(crowd: &Crowd, place: &str) -> bool {
    time_passes(crowd).await;
    match start(dying_at(crowd, place, 1)).await {
        Ok(mut served) => end_of(&mut served, LIFE_ALONE_MAX).await.is_some_and(is_ours),
        Err(status) => is_ours(status),
    }
}
