//! Replicas that are cut off: from the database, from Amazon, in both directions or in one, and from the right time.
//!
//! Three replicas, each with wires of its own, serve callers who ask for gift codes, activations of cards and loads of accounts, in
//! turn, ask again, cancel and reveal. Wires are cut when
//! calls are in flight, stay cut for longer than a lease, and are made whole. What must hold, and where it is looked at:
//!
//! | invariant | where |
//! |---|---|
//! | I1, I11: one id a key, one debit an id, one body an id | `kill::verdict`, by the gateway's record |
//! | what acts on something acted on what its key asked for | `kill::verdict` |
//! | I2, I3, I13: book, rows and funds agree, to the cent | `kill::verdict` and `support::books` |
//! | I4, I8: one code a key, the book's, none after a cancel | `kill::crowd` and `kill::verdict` |
//! | I7: what Amazon receives has a committed row | `World::watch`, while it happens |
//! | I9: a cancel leaves within its window | every instant stored is of the server's clock, and no cancel comes too late: `clocks_agree` |
//! | I10: Amazon's rate over all replicas | the lanes that are limited, by the arrivals |
//! | I15: after the cut all comes to its end within 60 s | `healed` |
//! | I16: every answer within 10.5 s | `World::ask`, of every request |
//!
//! I5, I6, I12 and I14 have tests of their own (access, canaries, the histories).

mod forgotten;
mod wire;
mod world;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, StreamExt, future::join_all, stream};

use self::{
    wire::Flow,
    world::{RECOVERY_MAX, World},
};
use crate::{
    clock::Wall,
    kill::{crowd::Wish, verdict::judge},
    quota::busiest_second,
    support::rounds::{count_of, print, seed},
};

/// Amazon's contract.
const PER_SECOND: usize = 10;
/// Before the cut, and after it.
const CALM: Duration = Duration::from_secs(1);
/// Longer than a lease (11 s), with time for another replica to find it and make the call.
const CUT_SECONDS: usize = 15;
/// Longer than a replica believes its clock without asking the database.
const CLOCK_CUT_SECONDS: usize = 64;
/// How far a clock is set wrong while nobody can tell.
const CLOCK_OFF_SECONDS: i64 = 5 * 3_600;
/// Orders that are on their way when the wire is cut.
const IN_HAND: usize = 4;
/// Lanes side by side: they mostly wait.
const LANES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Database,
    Amazon,
}

/// Which wires are cut, and how.
#[derive(Debug)]
struct Cut {
    name: &'static str,
    /// So many replicas.
    replicas: usize,
    wire: To,
    flow: Flow,
    /// Under Amazon's rate.
    limited: bool,
    /// And the first replica's clock is set wrong meanwhile.
    clock: bool,
}

const fn cut(name: &'static str, replicas: usize, wire: To, flow: Flow) -> Cut {
    Cut { name, replicas, wire, flow, limited: false, clock: false }
}

static CUTS: [Cut; 9] = [
    cut("one from the database, silently", 1, To::Database, Flow::Stalled),
    Cut { limited: true, ..cut("one from the database, refused, under the rate", 1, To::Database, Flow::Refused) },
    Cut { limited: true, ..cut("one from the database's answers, under the rate", 1, To::Database, Flow::Deaf) },
    cut("one from the database, its connections forgotten", 1, To::Database, Flow::Lost),
    cut("all from the database, silently", 3, To::Database, Flow::Stalled),
    cut("one from Amazon, silently", 1, To::Amazon, Flow::Stalled),
    cut("one from Amazon's answers", 1, To::Amazon, Flow::Deaf),
    cut("all from Amazon, refused", 3, To::Amazon, Flow::Refused),
    cut("all from Amazon's answers", 3, To::Amazon, Flow::Deaf),
];

/// Its clock is set wrong meanwhile, for longer than it believes it without asking the database.
static CLOCK: Cut =
    Cut { clock: true, ..cut("one from the database and from the time", 1, To::Database, Flow::Stalled) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_cut_off_lose_nothing_buy_nothing_twice_and_come_back_by_themselves() {
    all_hold(&CUTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the cut outlasts a replica's trust in its own clock, 64 s: tests/soak"]
async fn a_replica_that_is_cut_off_from_the_database_and_from_the_time_buys_nothing_twice() {
    all_hold(std::slice::from_ref(&CLOCK)).await;
}

async fn all_hold(cuts: &'static [Cut]) {
    let (seed, rounds) = (seed(), count_of("NOSHI_TEST_PARTITIONS", 1));
    print(&format!("partitions: NOSHI_TEST_SEED={seed}"));
    for round in 0..rounds {
        let seed = seed.wrapping_add(u64::try_from(round).unwrap());
        let lanes = stream::iter(cuts.iter().filter(|cut| wanted(cut))).map(|cut| whole(cut, seed));
        let failed: Vec<_> = lanes.buffer_unordered(LANES).filter_map(std::future::ready).collect().await;
        assert!(failed.is_empty(), "what happened there stands above: {failed:?}");
    }
}

/// All of them, or those that whoever runs the tests names a part of.
#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn wanted(cut: &Cut) -> bool {
    std::env::var("NOSHI_TEST_CUT").map_or(true, |part| cut.name.contains(&part))
}

/// One that fails stops none of the others, and is named.
async fn whole(cut: &'static Cut, seed: u64) -> Option<&'static str> {
    AssertUnwindSafe(run(cut, seed)).catch_unwind().await.err().map(|_panic| cut.name)
}

async fn run(cut: &'static Cut, seed: u64) {
    let wall = cut.clock.then(|| Wall::off_by(0));
    let world = World::start(cut, seed, wall.as_ref().map(Wall::noshi)).await;
    let ((), (), told) = tokio::join!(world.load(), world.watch(), story(&world, wall.as_ref()));
    let began = world.app().ambient.monotonic();
    if cut.limited {
        let arrivals: Vec<_> = world.app().control.requests().iter().map(|call| call.at).collect();
        let busiest = busiest_second(&arrivals);
        assert!(busiest <= PER_SECOND, "I10, {}: {busiest} in one second", cut.name);
    }
    clocks_agree(&world).await;
    let verdict = judge(&world.crowd, &world.replicas[0].served.base).await;
    let keys = world.crowd.told().callers.len();
    print(&format!(
        "{}: {told}; longest answer {} ms; {keys} keys; judged in {} s; seen: {:?}",
        cut.name,
        world.slowest().as_millis(),
        began.elapsed().as_secs(),
        world.crowd.told().classes
    ));
    verdict.holds();
    world.finish().await.app.end().await;
}

/// No row has an instant of a clock that is hours ahead, and no cancel met a window that such a clock had closed.
async fn clocks_agree(world: &World) {
    const AHEAD: &str = "SELECT COUNT(*) FROM rewards \
         WHERE GREATEST(created_at, updated_at, first_send_at, issued_at) > clock_timestamp() + INTERVAL '2 seconds'";
    assert_eq!(world.app().database.number(AHEAD).await, 0, "I9, {}: instants that have not come yet", world.cut.name);
    let too_late = world.crowd.told().classes.get("cancel: 409").copied();
    assert_eq!(too_late, None, "I9, {}: cancels were told that their window is closed", world.cut.name);
}

/// Cuts with something in hand, looks around, makes whole, and waits until everything is at its end. Says how long it took.
async fn story(world: &World, wall: Option<&Wall>) -> String {
    tokio::time::sleep(CALM).await;
    let before = world.sent().len();
    let victim = world.of(true).next().unwrap();
    let in_hand = join_all((0..IN_HAND).map(|_| world.ask(victim, Wish::New)));
    let rest = async {
        // Some of them, or of the others', are at Amazon now.
        while world.sent().len() < before + IN_HAND {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.set(world.cut.flow);
        let seen = while_cut(world, wall).await;
        world.set(Flow::Whole);
        format!("{seen}; {}", healed(world).await)
    };
    tokio::join!(in_hand, rest).1
}

async fn while_cut(world: &World, wall: Option<&Wall>) -> String {
    let app = world.app();
    if let Some(wall) = wall {
        wall.set(CLOCK_OFF_SECONDS);
    }
    let seconds = if world.cut.clock { CLOCK_CUT_SECONDS } else { count_of("NOSHI_TEST_CUT_SECONDS", CUT_SECONDS) };
    let (began, bought) = (app.ambient.monotonic(), world.bought(false));
    let leased = app.database.number("SELECT COUNT(*) FROM rewards WHERE lease_token IS NOT NULL").await;
    let newest =
        app.database.number("SELECT (EXTRACT(EPOCH FROM MAX(created_at)) * 1000000)::bigint FROM rewards").await;
    let mut seen = format!("{leased} in hand");
    if world.cut.wire == To::Database {
        join_all(world.of(true).map(|replica| replica.until_ready_is(app, false))).await;
        seen.push_str(&format!(", not ready after {} ms", began.elapsed().as_millis()));
    }
    let expected_of_cut = world.cut.wire == To::Amazon;
    while began.elapsed() < Duration::from_secs(u64::try_from(seconds).unwrap()) {
        for (are_cut, expected) in [(true, expected_of_cut), (false, true)] {
            for replica in world.of(are_cut) {
                let ready = replica.is_ready(app).await;
                assert!(ready == expected, "{}: ready is {ready}, cut off: {are_cut}", world.cut.name);
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if world.cut.wire == To::Database && world.cut.replicas == 1 {
        // What it had in hand is the others' when its leases have run out, whether it comes back or not.
        let left = format!(
            "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL AND EXTRACT(EPOCH FROM created_at) * 1000000 <= {newest}"
        );
        while app.database.number(&left).await > 0 {
            assert!(began.elapsed() < RECOVERY_MAX, "{}: nobody took over", world.cut.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        seen.push_str(", taken over");
    }
    if world.cut.replicas < world.replicas.len() {
        let bought = world.bought(false) - bought;
        assert!(bought > 0, "{}: those who are not cut off issue nothing", world.cut.name);
        seen.push_str(&format!(", {bought} issued by the others"));
    }
    seen
}

/// Waits until all are ready, then until nothing is under way any more.
async fn healed(world: &World) -> String {
    let app = world.app();
    let began = app.ambient.monotonic();
    join_all(world.replicas.iter().map(|replica| replica.until_ready_is(app, true))).await;
    let ready = began.elapsed();
    tokio::time::sleep(CALM).await;
    world.end();
    while world.unfinished().await > 0 {
        assert!(began.elapsed() < RECOVERY_MAX, "I15, {}: {} unfinished", world.cut.name, world.unfinished().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    format!("ready {} ms after the cut, nothing under way after {} ms", ready.as_millis(), began.elapsed().as_millis())
}
