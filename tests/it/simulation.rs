//! Simulation by seed: never twice, never lost, never leaked, whatever the network, the database, the clocks and the
//! replicas do.
//!
//! One seed is one run: one to three replicas, one to three keys, callers who retry, cancel and reveal, a simulated Amazon
//! behind a network that delays, loses and repeats, commits that fail or whose answer is lost, crashes, freezes longer
//! than a lease, clocks that differ. Everything is virtual, so that the same seed is the same run, to the last event.
//!
//! What decides is the production driver, `engine::Drive`: it asks for a commit, a call, a pause, and this world does them,
//! one virtual step each (`steps.rs`). What is not here: the classifier's reading of bytes, SQL, the rate limit, balances.
//! Sockets and databases have tests of their own.
//!
//! `NOSHI_SIM_SEEDS=n` runs so many seeds, `NOSHI_SIM_SEED=n` runs one and prints its end.

mod amazon;
mod bugs;
mod callers;
mod cards;
mod coverage;
mod loads;
mod network;
mod oracle;
mod recovery;
mod replicas;
mod rng;
mod steps;
mod table;
mod world;

use std::thread;

use noshi::{ambient::Ambient, engine::State};

use bugs::Bug;
use coverage::Class;
use coverage::Coverage;
use world::{Ended, Sold, run};

use crate::support::rounds::{print, set_by_hand};

/// Every day: of gift codes, of cards, and of loads.
const SEEDS: u64 = 30_000;
const CARD_SEEDS: u64 = 20_000;
const LOAD_SEEDS: u64 = 15_000;
/// Each bug is found within so many.
const BUG_SEEDS: u64 = 50_000;

/// What can happen to a reward in each state. What is not here the machine refuses, and never meets; but for a first send after
/// a day of tries that came to nothing, which ends in a crash: no run is so unlucky.
const REACHABLE: &[(State, &[&str])] = &[
    (State::Pending, &["Begin", "Abandoned", "CancelAsked", "GiveUp"]),
    (State::Issuing, &["Abandoned", "Fulfilled", "Odd", "Mismatch", "F200", "F300", "Lost", "NotSent", "CancelAsked"]),
    (
        State::Unresolved,
        &[
            "Begin",
            "Abandoned",
            "Fulfilled",
            "Refunded",
            "Odd",
            "Mismatch",
            "F200",
            "F300",
            "Lost",
            "NotSent",
            "CancelAsked",
            "GiveUp",
        ],
    ),
    (State::Issued, &["Fulfilled", "Refunded", "Odd", "Mismatch", "CancelAsked"]),
    (State::Failed, &["Begin", "CancelAsked"]),
    (
        State::Canceling,
        &[
            "Begin",
            "Abandoned",
            "Fulfilled",
            "Refunded",
            "Odd",
            "Mismatch",
            "F200",
            "F300",
            "Lost",
            "NotSent",
            "CancelAsked",
            "CancelDone",
            "CancelTooLate",
            "CancelNotPermitted",
            "CancelLost",
            "CancelNotSent",
            "GiveUp",
        ],
    ),
    (State::Canceled, &["CancelAsked"]),
    (State::NeedsAttention, &["CancelAsked"]),
];

/// The same for a card. What is not proven is asked for by a check, which proves nothing by itself and refuses nothing; the replay
/// after it is an attempt. Nobody is shown a code.
const REACHABLE_OF_CARDS: &[(State, &[&str])] = &[
    (State::Pending, &["Begin", "Abandoned", "CancelAsked", "GiveUp"]),
    (
        State::Issuing,
        &["Abandoned", "Fulfilled", "Odd", "Mismatch", "F200", "F300", "Lost", "NotSent", "CancelAsked", "Elsewhere"],
    ),
    (
        State::Unresolved,
        &[
            "Begin",
            "Abandoned",
            "Odd",
            "Mismatch",
            "Lost",
            "NotSent",
            "CancelAsked",
            "GiveUp",
            "Absent",
            "Unattributed",
        ],
    ),
    (State::Issued, &["CancelAsked"]),
    (State::Failed, &["Begin", "CancelAsked"]),
    (
        State::Canceling,
        &[
            "Begin",
            "Abandoned",
            "Lost",
            "NotSent",
            "CancelAsked",
            "CancelDone",
            "CancelNotPermitted",
            "CancelLost",
            "CancelNotSent",
            "Absent",
            "Unattributed",
        ],
    ),
    (State::Canceled, &["CancelAsked"]),
    (State::NeedsAttention, &["CancelAsked"]),
];

/// What gift codes never meet.
const NOT_OF_CODES: &[Class] = &[
    Class::CheckedActive,
    Class::CheckedInactive,
    Class::OthersFirst,
    Class::OthersUnproven,
    Class::GoneAfterAll,
    Class::VoidUnshown,
];
/// What loads never meet: what becomes of a code, and strangers.
const NOT_OF_LOADS: &[Class] = &[
    Class::CheckedInactive,
    Class::OthersFirst,
    Class::OthersUnproven,
    Class::GoneAfterAll,
    Class::Nobodys,
    Class::Redelivered,
    Class::Revealed,
    Class::ShowGone,
    Class::Delivered,
    Class::NoteFailed,
    Class::NoteLost,
];
/// What cards never meet.
const NOT_OF_CARDS: &[Class] = &[
    Class::VoidUnshown,
    Class::Refunded,
    Class::CancelTooLate,
    Class::Nobodys,
    Class::Redelivered,
    Class::Revealed,
    Class::ShowGone,
    Class::Delivered,
    Class::NoteFailed,
    Class::NoteLost,
    Class::NotCanceledTooLate,
];

/// What a load meets is what a gift code meets, but for what becomes of a code; and a replay shows nothing of a void in doubt.
fn reachable_of_loads() -> Vec<(State, Vec<&'static str>)> {
    let of_loads = |(state, events): &(State, &'static [&'static str])| match state {
        State::Issued => (*state, vec!["CancelAsked"]),
        State::Canceling => {
            (*state, events.iter().map(|event| if *event == "Fulfilled" { "Unattributed" } else { event }).collect())
        }
        State::Pending
        | State::Issuing
        | State::Unresolved
        | State::Failed
        | State::Canceled
        | State::NeedsAttention => (*state, events.to_vec()),
    };
    REACHABLE.iter().map(of_loads).collect()
}

/// Runs seeds `from..to` on every core; the first that breaks ends it.
fn run_all(sold: Sold, from: u64, to: u64) -> (Coverage, Option<(u64, Ended)>) {
    let lanes = u64::try_from(thread::available_parallelism().map_or(1, usize::from)).unwrap();
    let lane = |lane: u64| {
        let mut cover = Coverage::new();
        let mut seed = from + lane;
        while seed < to {
            let ended = run(seed, sold, None, &mut cover);
            if ended.broken.is_some() {
                return (cover, Some((seed, ended)));
            }
            seed += lanes;
        }
        (cover, None)
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|at| scope.spawn(move || lane(at))).collect();
        let mut all = Coverage::new();
        let mut first: Option<(u64, Ended)> = None;
        for ended in lanes {
            let (cover, broken) = ended.join().unwrap();
            all.add(&cover);
            first = [first, broken].into_iter().flatten().min_by_key(|(seed, _)| *seed);
        }
        (all, first)
    })
}

/// The bugs of `RELIABILITY.md` 7 that are seeded here, by number.
pub(crate) fn seeded_here() -> impl Iterator<Item = &'static str> {
    Bug::ALL.iter().filter_map(|bug| bug.word().split(' ').next()).filter(|number| number.starts_with('B'))
}

#[expect(clippy::print_stdout, reason = "what a run has met is its result")]
fn report(text: &str) {
    println!("{text}");
}

fn told(seed: u64, ended: &Ended) -> String {
    let why = ended.broken.as_deref().unwrap_or("nothing broke");
    format!(
        "seed {seed}: {why}\n{}replay it with NOSHI_SIM_SEED={seed}, and give it a name of its own here",
        ended.last
    )
}

/// Runs the seeds of one kind, reports what they met, and fails where one breaks a promise or something was never met.
fn hold(sold: Sold, everyday: u64, reachable: &[(State, &[&str])], cannot_be: &[Class]) {
    if let Some(seed) = set_by_hand("NOSHI_SIM_SEED") {
        let ended = run(seed, sold, None, &mut Coverage::new());
        report(&told(seed, &ended));
        assert!(ended.broken.is_none(), "seed {seed} breaks a promise");
        return;
    }
    let seeds = set_by_hand("NOSHI_SIM_SEEDS").unwrap_or(everyday);
    let ambient = Ambient::system();
    let began = ambient.monotonic();
    let (cover, broken) = run_all(sold, 0, seeds);
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap().max(1);
    print(&format!(
        "{}{sold:?}: {seeds} seeds, {} events, {} ms, {} seeds per second",
        cover.table(),
        cover.events,
        millis,
        seeds * 1000 / millis
    ));
    if let Some((seed, ended)) = broken {
        panic!("{}", told(seed, &ended));
    }
    let missing = cover.missing(reachable, cannot_be);
    assert!(seeds < everyday || missing.is_empty(), "never met, so nothing is proven of it: {missing:?}");
}

#[test]
fn no_seed_breaks_a_promise() {
    hold(Sold::Code, SEEDS, REACHABLE, NOT_OF_CODES);
}

#[test]
fn no_seed_loads_a_balance_twice_or_loses_one() {
    let reachable = reachable_of_loads();
    let reachable: Vec<(State, &[&str])> =
        reachable.iter().map(|(state, events)| (*state, events.as_slice())).collect();
    hold(Sold::Load, LOAD_SEEDS, &reachable, NOT_OF_LOADS);
}

#[test]
fn no_seed_calls_a_card_ours_that_is_not_or_pays_for_one_twice() {
    hold(Sold::Card, CARD_SEEDS, REACHABLE_OF_CARDS, NOT_OF_CARDS);
}

/// Seeds that broke a promise once, and the bug of `src` that they found, which is a seeded bug since. Seeds change their
/// meaning with the model: where it changes, take new ones from the table of bugs.
const FOUND: [(u64, Bug); 1] = [(109, Bug::WithdrawnOnce)];

#[test]
fn what_a_seed_found_stays_mended() {
    for (seed, bug) in FOUND {
        assert!(
            run(seed, bug.sold(), Some(bug), &mut Coverage::new()).broken.is_some(),
            "seed {seed} has lost {}",
            bug.word()
        );
        let ended = run(seed, bug.sold(), None, &mut Coverage::new());
        assert!(ended.broken.is_none(), "{}", told(seed, &ended));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let hash = |seed, sold| run(seed, sold, None, &mut Coverage::new()).hash;
    for seed in 0..300 {
        for sold in [Sold::Code, Sold::Card, Sold::Load] {
            assert_eq!(hash(seed, sold), hash(seed, sold), "seed {seed}");
        }
    }
    assert_ne!(hash(1, Sold::Code), hash(2, Sold::Code));
}

#[test]
fn every_seeded_bug_is_caught() {
    let mut survivors = Vec::new();
    for bug in Bug::ALL {
        let mut cover = Coverage::new();
        let caught =
            (0..BUG_SEEDS).find_map(|seed| run(seed, bug.sold(), Some(*bug), &mut cover).broken.map(|why| (seed, why)));
        match caught {
            Some((seed, why)) => report(&format!("{:>5}  {}  ({why})", seed + 1, bug.word())),
            None => survivors.push(bug.word()),
        }
    }
    assert!(survivors.is_empty(), "not caught within {BUG_SEEDS} seeds: {survivors:?}");
}
