//! A model check: every way that one key can go, with two workers, a caller who asks, cancels and
//! retries, a network that loses, delays and repeats, and workers that crash or stand still past their lease. Breadth first
//! until nothing is left, so the first path that breaks a promise is a shortest one.
//!
//! What decides is the production driver itself. The search is our own: the checkers of the registry bring a web
//! server along, and what they add to a queue and a set is not needed here.

mod bugs;
mod world;

use std::collections::{HashMap, VecDeque};

use bugs::Bug;
use noshi::{ambient::Ambient, engine::State};
use world::{Budget, Sold, World};

use crate::support::rounds::{print, set_by_hand};

/// What the network and the workers may do wrong in one run.
const WHOLE: Budget = Budget { faults: 1, crashes: 1, freezes: 1, wishes: 1, retries: 1, strangers: 0 };
/// Every day a worker crashes or freezes. That one does both is for the soak: NOSHI_MODEL_FAULTS=1 is all of [`WHOLE`], and 2 lets
/// the network fail twice.
const EVERYDAY: [Budget; 2] = [Budget { freezes: 0, ..WHOLE }, Budget { crashes: 0, ..WHOLE }];
/// The same for cards, of which a stranger makes one move. A crash and a freeze in one life were not exhausted in five minutes.
const OF_CARDS: Budget = Budget { strangers: 1, ..WHOLE };
const WHOLE_OF_CARDS: [Budget; 2] =
    [Budget { freezes: 0, retries: 0, ..OF_CARDS }, Budget { crashes: 0, wishes: 0, ..OF_CARDS }];
const EVERYDAY_OF_CARDS: [Budget; 2] =
    [Budget { freezes: 0, retries: 0, ..OF_CARDS }, Budget { faults: 0, crashes: 0, retries: 0, ..OF_CARDS }];
/// The same for loads, which Amazon shows as they are, or as they were at the first use of their id.
const WHOLE_OF_LOADS: [Budget; 2] = [Budget { freezes: 0, ..WHOLE }, Budget { crashes: 0, ..WHOLE }];
const EVERYDAY_OF_LOADS: [Budget; 2] =
    [Budget { freezes: 0, retries: 0, ..WHOLE }, Budget { faults: 0, crashes: 0, ..WHOLE }];
/// The programme's figure is 200,000 of all together.
const STATES_MIN: usize = 100_000;
const CARD_STATES_MIN: usize = 100_000;
const LOAD_STATES_MIN: usize = 50_000;

struct Found {
    states: usize,
    depth: usize,
    ends: HashMap<&'static str, usize>,
    broken: Option<(String, Vec<String>)>,
}

/// Goes through everything that can happen.
fn search(sold: Sold, budget: Budget, bug: Option<Bug>) -> Found {
    let mut known: HashMap<u64, usize> = HashMap::new();
    let mut came: Vec<(usize, String)> = Vec::new();
    let mut queue: VecDeque<(World, usize, usize)> = VecDeque::new();
    let mut found = Found { states: 0, depth: 0, ends: HashMap::new(), broken: None };
    for world in World::beginnings(sold, budget) {
        known.insert(world.key(), came.len());
        queue.push_back((world, came.len(), 0));
        came.push((usize::MAX, "begin".to_owned()));
    }
    while let Some((world, at, depth)) = queue.pop_front() {
        found.depth = found.depth.max(depth);
        world.state().into_iter().for_each(|state| *found.ends.entry(state).or_default() += 1);
        for (step, next) in world.steps(bug) {
            next.marks().for_each(|what| *found.ends.entry(what).or_default() += 1);
            let broken = next.broken();
            let key = next.key();
            if broken.is_none() && known.contains_key(&key) {
                continue;
            }
            let place = came.len();
            came.push((at, step));
            if let Some(why) = broken {
                found.broken = Some((why, path(&came, place)));
                found.states = known.len();
                return found;
            }
            known.insert(key, place);
            queue.push_back((next, place, depth + 1));
        }
    }
    found.states = known.len();
    found
}

fn path(came: &[(usize, String)], mut at: usize) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some((before, step)) = came.get(at) {
        steps.push(step.clone());
        at = *before;
    }
    steps.reverse();
    steps
}

/// Exhausts what can happen to one key; fails where a promise breaks, or where something was never come by.
fn hold(sold: Sold, whole: &[Budget], everyday: &[Budget], states_min: usize) {
    let budgets = match set_by_hand("NOSHI_MODEL_FAULTS") {
        Some(faults) => whole.iter().map(|one| Budget { faults: faults.try_into().unwrap(), ..*one }).collect(),
        None => everyday.to_vec(),
    };
    let (mut states, mut ends) = (0, HashMap::<&str, usize>::new());
    for budget in budgets {
        let began = Ambient::system().monotonic();
        let found = search(sold, budget, None);
        print(&format!(
            "{sold:?}, {budget:?}: {} states, {} steps deep, exhausted in {} ms",
            found.states,
            found.depth,
            began.elapsed().as_millis()
        ));
        if let Some((why, path)) = found.broken {
            panic!("{why}: {}", path.join(" "));
        }
        states += found.states;
        found.ends.into_iter().for_each(|(what, count)| *ends.entry(what).or_default() += count);
    }
    println!("{ends:?}");
    assert!(states >= states_min, "{states} states");
    for what in sold.reached() {
        assert!(ends.contains_key(what), "never reached: {what}");
    }
    // What only a mismatch, a dead card, or a day lead to is the outcome table's.
    let all = State::ALL.iter().filter(|state| **state != State::NeedsAttention);
    assert!(all.into_iter().all(|state| ends.contains_key(state.as_str())), "{ends:?}");
}

#[test]
fn no_way_of_one_key_breaks_a_promise() {
    hold(Sold::Code, &[WHOLE], &EVERYDAY, STATES_MIN);
}

#[test]
fn no_way_of_a_card_breaks_a_promise_with_a_stranger_about() {
    hold(Sold::Card, &WHOLE_OF_CARDS, &EVERYDAY_OF_CARDS, CARD_STATES_MIN);
}

#[test]
fn no_way_of_a_load_breaks_a_promise_whatever_its_replay_shows() {
    hold(Sold::Load, &WHOLE_OF_LOADS, &EVERYDAY_OF_LOADS, LOAD_STATES_MIN);
}

#[test]
fn every_seeded_bug_breaks_one() {
    for bug in Bug::ALL {
        let budgets = match bug.sold() {
            Sold::Code => EVERYDAY,
            Sold::Card => EVERYDAY_OF_CARDS,
            Sold::Load => EVERYDAY_OF_LOADS,
        };
        let caught = budgets.into_iter().find_map(|budget| {
            let found = search(bug.sold(), budget, Some(bug));
            found.broken.map(|(why, path)| (why, path, found.states))
        });
        let Some((why, path, states)) = caught else { panic!("{bug:?} is not caught") };
        println!("{bug:?}: {why} after {states} states: {}", path.join(" "));
    }
}
