//! Three replicas, each with a wire of its own to the database and to Amazon, and the callers who talk to all of them.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Received};
use tempfile::TempDir;

use super::{
    Cut,
    wire::{Flow, Wire},
};
use crate::{
    kill::{
        crowd::{Crowd, Wish},
        sold::{Sold, selling_all},
    },
    process::{Served, noshi},
    support::{Answer, App, Backend, Shape, books::states_of},
};

pub(super) const REPLICAS: usize = 3;
/// Connections of a replica to the database: all lanes share one server.
pub(super) const CONNECTIONS: usize = 4;
/// Callers at once, and what they rest between two wishes.
const CALLERS: usize = 4;
const REST: Duration = Duration::from_millis(120);
/// I16: 10 s, and half a second.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(10_500);
/// I15.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// A probe waits no longer, as Kubernetes' does.
const PROBE: Duration = Duration::from_secs(3);
/// Amazon takes its time, so that there is always something in flight.
const CALL_MILLISECONDS: u64 = 250;

/// A replica and its wires.
pub(super) struct Replica {
    pub(super) served: Served,
    database: Wire,
    gateway: Wire,
    /// New orders that it has answered as done.
    bought: AtomicUsize,
}

/// One database, one Amazon, and everyone around them.
pub(super) struct World {
    pub(super) crowd: Crowd,
    pub(super) replicas: Vec<Replica>,
    pub(super) cut: &'static Cut,
    /// Holds the key of what is sealed.
    _folder: TempDir,
    over: AtomicBool,
    slowest: Mutex<Duration>,
}

impl World {
    /// Starts the replicas; `first` is the command of the first one, where it is not the usual.
    pub(super) async fn start(cut: &'static Cut, seed: u64, first: Option<Command>) -> Self {
        let (folder, shape) = selling_all();
        let mut shape = Shape { funds: 100_000_000, ..shape }
            // The shortest lease that the settings allow, so that others take over while the cut lasts.
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
            .with("NOSHI__REWARDS__LEASE_SECONDS", 11)
            .with("NOSHI__STORE__CONNECTIONS_MAX", CONNECTIONS)
            .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
        if cut.limited {
            shape = shape.with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", super::PER_SECOND);
        }
        let mut app = App::shaped(Backend::Postgres, shape).await;
        assert!(app.stop().await, "something was still running");
        app.control.script(FaultRule::always(Fault::Delay { milliseconds: CALL_MILLISECONDS })).unwrap();
        app.control.clear_requests();
        let mut commands = vec![first];
        commands.resize_with(REPLICAS, || None);
        let replicas = join_all(commands.into_iter().map(|command| Replica::start(&app, command))).await;
        let crowd = Crowd::new(app, seed, 0).wanting(&Sold::ALL);
        Self { crowd, replicas, cut, _folder: folder, over: AtomicBool::new(false), slowest: Mutex::default() }
    }

    pub(super) fn app(&self) -> &App {
        &self.crowd.app
    }

    /// The longest that anyone waited for an answer.
    pub(super) fn slowest(&self) -> Duration {
        *self.slowest.lock().unwrap()
    }

    pub(super) fn wrong(&self, what: String) {
        self.crowd.told().wrong.push(what);
    }

    /// Those whose wires are cut, or the others.
    pub(super) fn of(&self, are_cut: bool) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().enumerate().filter(move |(at, _)| (*at < self.cut.replicas) == are_cut).map(|(_, one)| one)
    }

    /// Cuts the wires, or makes them whole.
    pub(super) fn set(&self, flow: Flow) {
        for replica in self.of(true) {
            match self.cut.wire {
                super::To::Database => replica.database.set(flow),
                super::To::Amazon => replica.gateway.set(flow),
            }
        }
    }

    /// New orders that these replicas have answered as done so far.
    pub(super) fn bought(&self, are_cut: bool) -> usize {
        self.of(are_cut).map(|replica| replica.bought.load(Ordering::Acquire)).sum()
    }

    /// One wish at one replica. Every answer comes in time, and none is missing (I16).
    pub(super) async fn ask(&self, replica: &Replica, wish: Wish) -> usize {
        let began = self.app().ambient.monotonic();
        let (at, answered) = self.crowd.ask(&replica.served.base, wish).await;
        let took = began.elapsed();
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        drop(slowest);
        if !answered || took > ANSWER_MAX {
            self.wrong(format!("I16: {wish:?} was answered after {took:?}: {answered}"));
        }
        if matches!(wish, Wish::New) && self.crowd.told().callers[at].issued {
            replica.bought.fetch_add(1, Ordering::AcqRel);
        }
        at
    }

    /// No more wishes.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Callers who ask any replica for anything, until the end.
    pub(super) async fn load(&self) {
        join_all((0..CALLERS).map(|_| async {
            while !self.is_over() {
                let replica = &self.replicas[self.crowd.roll(REPLICAS)];
                self.ask(replica, self.crowd.any_wish()).await;
                tokio::time::sleep(REST).await;
            }
        }))
        .await;
    }

    /// Everything that was to buy something, in its order.
    pub(super) fn sent(&self) -> Vec<Received> {
        let mut calls: Vec<_> = Sold::ALL.iter().flat_map(|sold| self.app().received(sold.forward())).collect();
        calls.sort_by_key(|call| call.sequence);
        calls
    }

    /// Whatever arrives at Amazon has a committed row by then (I7), looked at past all our code.
    pub(super) async fn watch(&self) {
        let mut seen = 0;
        while !self.is_over() {
            let calls = self.sent();
            let new: Vec<_> = calls.into_iter().filter(|call| call.sequence > seen).collect();
            seen = new.last().map_or(seen, |call| call.sequence);
            let ids: Vec<String> = new.into_iter().filter_map(|call| call.creation_request_id).collect();
            if !ids.is_empty() {
                let rows = states_of(self.app(), &ids).await;
                for id in ids.iter().filter(|id| !rows.contains_key(*id)) {
                    self.wrong(format!("I7: {id} was sent and has no row"));
                }
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Rewards that nobody has brought to their end.
    pub(super) async fn unfinished(&self) -> i64 {
        self.app().database.number("SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL").await
    }

    /// Ends every replica: each exits with 0.
    pub(super) async fn finish(self) -> Crowd {
        for replica in self.replicas {
            let status = tokio::task::spawn_blocking(move || replica.served.terminate()).await.unwrap();
            assert!(status.success(), "{}: {status}", self.cut.name);
        }
        self.crowd
    }
}

impl Replica {
    async fn start(app: &App, command: Option<Command>) -> Self {
        let (before, rest) = app.database.url().split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let (database, gateway) = (Wire::to(server.parse::<SocketAddr>().unwrap()), Wire::to(app.gateway()));
        let mut environment = app.environment().to_vec();
        environment.extend(
            [
                ("NOSHI__STORE__URL", format!("{before}@{}/{name}", database.address)),
                ("NOSHI__ACCOUNTS__MAIN__SANDBOX_GATEWAY", gateway.address.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let served = tokio::task::spawn_blocking(move || {
            let mut command = command.unwrap_or_else(noshi);
            command.arg("serve");
            Served::spawn(command, &environment).expect("the service starts")
        });
        Self { served: served.await.unwrap(), database, gateway, bought: AtomicUsize::new(0) }
    }

    /// Whether it is ready, to a probe that waits no longer than Kubernetes' does.
    pub(super) async fn is_ready(&self, app: &App) -> bool {
        let request = app.http.get(format!("{}/readyz", self.served.admin)).timeout(PROBE);
        Answer::try_of(request).await.is_some_and(|answer| answer.status == 200)
    }

    /// Waits until it is ready, or not.
    pub(super) async fn until_ready_is(&self, app: &App, ready: bool) {
        let began = app.ambient.monotonic();
        while self.is_ready(app).await != ready {
            assert!(began.elapsed() < RECOVERY_MAX, "ready was to become {ready}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
