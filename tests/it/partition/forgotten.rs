//! Every connection of a replica is forgotten while a statement is on its way: no answer comes, no error, nothing. The
//! replica gives them up by itself, and has as many as before.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    Cut, To, cut,
    wire::Flow,
    world::{CONNECTIONS, RECOVERY_MAX, World},
};
use crate::{
    kill::{crowd::Wish, verdict::judge},
    support::rounds::{print, seed},
};

static CUT: Cut = cut("every connection, in the middle of a statement", 1, To::Database, Flow::Lost);
/// Sessions of this database that wait for a table.
const WAITING: &str =
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
/// The server ends a wait for a lock after 3 s.
const LOOK: Duration = Duration::from_secs(2);

/// Holds the table until every connection of the replica waits for it, and lets the wire go `then`.
async fn until_all_wait(world: &World, then: Flow) {
    let (app, replica) = (world.app(), world.of(true).next().unwrap());
    let began = app.ambient.monotonic();
    loop {
        let hold = app.database.hold_writes().await;
        let asked = join_all((0..2 * CONNECTIONS).map(|_| world.ask(replica, Wish::New)));
        let looked = async {
            let (looking, mut all) = (app.ambient.monotonic(), false);
            while !all && looking.elapsed() < LOOK {
                tokio::time::sleep(Duration::from_millis(20)).await;
                all = app.database.number(WAITING).await == i64::try_from(CONNECTIONS).unwrap();
            }
            if all {
                world.set(then);
            }
            hold.release().await;
            all
        };
        if tokio::join!(asked, looked).1 {
            return;
        }
        assert!(began.elapsed() < RECOVERY_MAX, "it has fewer than {CONNECTIONS} connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_every_connection_falls_silent_in_the_middle_of_a_statement_comes_back() {
    let world = World::start(&CUT, seed(), None).await;
    let app = world.app();
    until_all_wait(&world, Flow::Lost).await;
    world.set(Flow::Whole);
    let began = app.ambient.monotonic();
    world.of(true).next().unwrap().until_ready_is(app, true).await;
    let ready = began.elapsed();
    // No connection is missing.
    until_all_wait(&world, Flow::Whole).await;
    print(&format!(
        "{}: ready {} ms after its callers had an answer, all connections there after {} ms; longest answer {} ms; seen: {:?}",
        CUT.name,
        ready.as_millis(),
        began.elapsed().as_millis(),
        world.slowest().as_millis(),
        world.crowd.told().classes,
    ));
    judge(&world.crowd, &world.replicas[0].served.base).await.holds();
    world.finish().await.app.end().await;
}
