//! A rolling restart, as Kubernetes does it, of three replicas on one PostgreSQL behind a balancer: nobody's request fails.
//!
//! The order is that of `k8s/base/deployment.yaml` with shorter seconds: the replacement first (`maxSurge: 1`,
//! `maxUnavailable: 0`), and when it is ready the old one is told to end. That one says "not ready" at once and goes on
//! serving until the balancer has looked away, then closes its door, finishes, and exits with 0. Callers come by a
//! clock, each with an order of its own, hold their connections open as a platform's pool does, and never ask twice:
//! whatever is not a 2xx is a failure. At the end there is one card for every key, and each code is its own card's.
//!
//! `tests/rollout` runs the same with a release build, for longer and faster.

mod balancer;
mod load;

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule};

use self::{
    balancer::{Balancer, Layer, PLACES},
    load::{Load, Manners, Told, classes, percentiles},
};
use crate::{
    kill::start_build,
    process::{Build, Served},
    support::{
        App, Backend, Database, Shape, books,
        rounds::{count_of, print},
    },
};

const REPLICAS: usize = 3;
/// Everyday figures: what a debug build carries on two busy cores, with everything else on the same two.
const ROUNDS: usize = 2;
const RATE: usize = 40;
/// So long the balancer has to look away: it looks every 250 ms, and believes what it has seen twice.
const DRAIN_DELAY_SECONDS: u64 = 2;
/// What Amazon takes to answer.
const CALL_MILLISECONDS: u64 = 50;
/// Before the first restart, and after the last.
const CALM: Duration = Duration::from_secs(1);

/// The replicas behind the balancer, oldest first.
struct Fleet<'a> {
    balancer: &'a Balancer,
    environment: Vec<(String, String)>,
    replicas: Vec<(usize, Served)>,
    free: Vec<usize>,
}

impl<'a> Fleet<'a> {
    async fn start(app: &App, build: Build, balancer: &'a Balancer) -> Self {
        let free = (0..PLACES).collect();
        let mut fleet = Self { balancer, environment: app.environment().to_vec(), replicas: Vec::new(), free };
        for _ in 0..REPLICAS {
            fleet.add(app, build).await;
        }
        fleet
    }

    /// One more: started, found ready by itself and then by the balancer.
    async fn add(&mut self, app: &App, build: Build) {
        let served = start_build(build, self.environment.clone()).await.expect("the service starts");
        let ready = crate::support::Answer::of(app.http.get(format!("{}/readyz", served.admin))).await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        let place = self.free.pop().expect("a place is free");
        self.balancer.place(place, &served).await;
        self.replicas.push((place, served));
    }

    /// Replaces every replica, the next as soon as the one before has been told to end. Says how many requests were in
    /// flight whenever one was told.
    async fn replace_all(&mut self, app: &App, build: Build, load: &Load) -> Vec<usize> {
        let (mut in_flight, mut going) = (Vec::new(), Vec::new());
        for _ in 0..REPLICAS {
            self.add(app, build).await;
            let (place, old) = self.replicas.remove(0);
            in_flight.push(load.in_flight());
            going.push((place, tokio::task::spawn_blocking(move || old.terminate())));
        }
        for (place, ended) in going {
            let status = ended.await.unwrap();
            assert!(status.success(), "r{place}: {status}");
            self.balancer.free(place).await;
            self.free.push(place);
        }
        in_flight
    }

    /// SIGKILL to the oldest, and another in its place.
    async fn kill_one(&mut self, app: &App) {
        let (place, victim) = self.replicas.remove(0);
        tokio::task::spawn_blocking(move || victim.kill()).await.unwrap();
        self.balancer.free(place).await;
        self.free.push(place);
        self.add(app, Build::This).await;
    }

    async fn end(self) {
        let ended = self
            .replicas
            .into_iter()
            .map(|(_place, served)| tokio::task::spawn_blocking(move || assert!(served.terminate().success())));
        for ended in join_all(ended).await {
            ended.unwrap();
        }
    }
}

/// A database that the first replica migrates, a gateway that takes its time, no service, and no key.
async fn stage() -> App {
    let shape = Shape { funds: 100_000_000, ..Shape::default() }
        .with("NOSHI__SERVER__DRAIN_DELAY_SECONDS", DRAIN_DELAY_SECONDS)
        // The shortest lease that the settings allow: a dead process's must run out.
        .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
        .with("NOSHI__REWARDS__LEASE_SECONDS", 11)
        .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let app = App::not_started(Database::fresh(Backend::Postgres).await, shape).await;
    app.control.script(FaultRule::always(Fault::Delay { milliseconds: CALL_MILLISECONDS })).unwrap();
    app
}

/// Rounds under load, each to a build; says what callers were told. The books match.
async fn roll(layer: Layer, first: Build, rounds: &[Build]) -> Vec<Told> {
    let (mut app, rate) = (stage().await, rate());
    let balancer = Balancer::start(layer).await;
    let mut fleet = Fleet::start(&app, first, &balancer).await;
    app.mint_own_key().await;
    let load = Load::new(&app, balancer.base(), Manners::AskOnce);
    let restarts = async {
        tokio::time::sleep(CALM).await;
        let mut rolled = Vec::new();
        for build in rounds {
            let began = app.ambient.monotonic();
            rolled.push((fleet.replace_all(&app, *build, &load).await, began.elapsed()));
        }
        tokio::time::sleep(CALM).await;
        load.end();
        rolled
    };
    let began = app.ambient.monotonic();
    let (told, rolled) = tokio::join!(load.run(u32::try_from(rate).unwrap()), restarts);
    let lasted = began.elapsed();
    let in_flight: Vec<usize> = rolled.iter().flat_map(|(in_flight, _took)| in_flight.clone()).collect();
    let longest = rolled.iter().map(|(_in_flight, took)| *took).max().unwrap();
    print(&format!(
        "roll-out, {layer:?}: {} rounds of {REPLICAS} replicas, the longest {} ms; {} offered in {} s ({rate} a \
         second): {:?}; {}; in flight when a replica was told to end: {} to {}",
        rounds.len(),
        longest.as_millis(),
        told.len(),
        lasted.as_secs(),
        classes(told.iter().map(|told| &told.first)),
        percentiles(&told),
        in_flight.iter().min().unwrap(),
        in_flight.iter().max().unwrap(),
    ));
    fleet.end().await;
    assert!(in_flight.iter().any(|count| *count > 0), "the restarts missed the load");
    one_card_each(&app, &told).await;
    app.end().await;
    told
}

/// Every key that was offered has one card, every code told is that card's, and not a cent is missing.
async fn one_card_each(app: &App, told: &[Told]) {
    let book: BTreeMap<String, String> =
        app.control.book().into_iter().map(|card| (card.creation_request_id, card.claim_code)).collect();
    let mut wrong = Vec::new();
    for told in told {
        let card = book.get(&app.amazon_id(&told.key));
        // Who was not told a code may have a card, or none.
        if told.code.is_some() && told.code.as_ref() != card {
            wrong.push(format!("not its card's code: {told:?}"));
        }
        if told.code.is_none() && told.last == "202" && card.is_none() {
            wrong.push(format!("lost: {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), told.len(), &wrong[..wrong.len().min(5)]);
    assert!(book.len() <= told.len(), "{} cards for {} keys", book.len(), told.len());
    // One reward and one live card for each id, and the funds to the cent.
    books::books_match(app).await;
}

/// Fails unless every caller was told a code, or that it is on its way.
fn nobody_failed(told: &[Told]) {
    let failed: Vec<_> =
        told.iter().filter(|told| !(told.first == "202" || (told.first == "201" && told.code.is_some()))).collect();
    assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), told.len(), &failed[..failed.len().min(5)]);
}

fn rounds() -> Vec<Build> {
    vec![Build::This; count_of("NOSHI_ROLLOUT_ROUNDS", ROUNDS)]
}

fn rate() -> usize {
    count_of("NOSHI_ROLLOUT_RATE", RATE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_a_balancer_of_requests_fails_nobody() {
    nobody_failed(&roll(Layer::Http, Build::This, &rounds()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_behind_a_balancer_of_connections_fails_nobody() {
    nobody_failed(&roll(Layer::Tcp, Build::This, &rounds()).await);
}

/// The first replica of this release migrates the database under the load that the others carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_out_of_two_versions_and_the_way_back_fail_nobody() {
    nobody_failed(&roll(Layer::Http, Build::Previous, &[Build::This, Build::Previous]).await);
}

/// Not without failed requests, but never twice and never lost: who failed asks again, and has one card and one code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_killed_one_after_the_other_under_load_cost_no_card_and_no_code() {
    let (mut app, rate) = (stage().await, rate());
    let balancer = Balancer::start(Layer::Http).await;
    let mut fleet = Fleet::start(&app, Build::This, &balancer).await;
    app.mint_own_key().await;
    let load = Load::new(&app, balancer.base(), Manners::AskUntilTold);
    let kills = async {
        for _ in 0..REPLICAS {
            tokio::time::sleep(CALM).await;
            fleet.kill_one(&app).await;
        }
        tokio::time::sleep(CALM).await;
        load.end();
    };
    let (told, ()) = tokio::join!(load.run(u32::try_from(rate).unwrap()), kills);
    let struck = told.iter().filter(|told| told.first != "201").count();
    print(&format!(
        "roll-out, kill -9: {REPLICAS} kills, {} offered; told at first: {:?}; all have one card and its code in the end; {}",
        told.len(),
        classes(told.iter().map(|told| &told.first)),
        percentiles(&told),
    ));
    fleet.end().await;
    assert!(struck > 0, "the kills missed the load");
    let without: Vec<_> = told.iter().filter(|told| told.code.is_none()).collect();
    assert!(without.is_empty(), "lost: {without:?}");
    one_card_each(&app, &told).await;
    assert_eq!(app.live_cards().len(), told.len(), "a card for every key");
    app.end().await;
}
