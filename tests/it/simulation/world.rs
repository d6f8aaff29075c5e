//! One run's world: a virtual clock, a queue of events, replicas that crash, freeze and have clocks of their own, the
//! rows, and the weather.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use chrono::{DateTime, Utc};
use noshi::engine::{DriveLimits, Order, Rules, rules::Reading, schedule::Lease};
use uuid::Uuid;

use super::{
    amazon::{Amazon, Call},
    bugs::Bug,
    callers::Act,
    coverage::{Class, Coverage},
    oracle::Oracle,
    rng::{Rng, Trace},
    steps::Job,
};

pub(super) const MILLI: i64 = 1000;
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const HOUR: i64 = 3600 * SECOND;
/// A row of the simulated database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) value: i64,
    pub(super) order: Order,
}

pub(super) const REPLAY_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
pub(super) const KEYS: usize = 3;
/// When every run begins.
const EPOCH: i64 = 1_800_000_000 * SECOND;
/// What is bought in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sold {
    /// Gift codes: read by their replay.
    Code,
    /// Activations of physical cards: read by a status check, which does not say whose they are.
    Card,
    /// Loads of Amazon accounts: read by their replay, and nobody is handed a code.
    Load,
}

impl Sold {
    /// The kind's rules.
    pub(super) fn rules(self) -> &'static Rules {
        match self {
            Self::Code => &noshi::incentives::kinds::gift_code::RULES,
            Self::Card => &noshi::incentives::kinds::card_activation::RULES,
            Self::Load => &noshi::incentives::kinds::balance_load::RULES,
        }
    }
}

/// The settings' defaults.
const LEASE: Duration = Duration::from_secs(20);
/// More happens in no run that comes to rest.
const EVENTS_MAX: u64 = 30_000;

#[derive(Clone, Copy)]
pub(super) enum Ev {
    /// A job goes on.
    Step(usize),
    /// A job's replica may die or freeze while Amazon works.
    Watch(usize),
    /// A request reaches Amazon.
    Arrive(usize),
    /// An answer reaches its replica.
    Answered(usize),
    /// The client gives a call up.
    GiveUp(usize),
    /// A caller's patience ends.
    Patience(usize),
    /// A worker looks for due rows.
    Poll(usize),
    Crash(usize),
    Restart(usize),
    Freeze(usize),
    Caller(usize, Act),
    /// The account's trouble begins, or ends.
    Trouble(bool),
    /// A recipient spends the code.
    Claim(usize),
    /// Someone cancels the card in Amazon's portal, or activates it before us.
    Elsewhere(usize),
    /// A day begins on which nothing can be proven.
    Outage,
    /// From now on nothing goes wrong.
    Heal,
}

struct Timed(i64, u64, Ev);

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(super) struct Replica {
    pub(super) up: bool,
    pub(super) epoch: u32,
    pub(super) frozen_until: i64,
    pub(super) last_frozen: i64,
    /// Its clock against the true one.
    pub(super) offset: i64,
    pub(super) worker_dead: bool,
}

/// How often what goes wrong, per mille.
#[derive(Default, Clone, Copy)]
pub(super) struct Weather {
    pub(super) connect: i64,
    pub(super) lose_before: i64,
    pub(super) lose_after: i64,
    pub(super) slow: i64,
    pub(super) twice: i64,
    pub(super) odd_answer: i64,
    pub(super) commit_fails: i64,
    pub(super) commit_lost: i64,
    pub(super) slow_store: i64,
    pub(super) crash: i64,
    pub(super) freeze: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Done,
    /// Nothing was written.
    Failed,
    /// All was written, and the writer does not know.
    Lost,
}

pub(super) struct World<'a> {
    pub(super) sold: Sold,
    pub(super) bug: Option<Bug>,
    pub(super) rng: Rng,
    pub(super) cover: &'a mut Coverage,
    pub(super) trace: Trace,
    pub(super) now: i64,
    queue: BinaryHeap<Reverse<Timed>>,
    pushed: u64,
    pub(super) replicas: Vec<Replica>,
    pub(super) rows: [Option<Row>; KEYS],
    pub(super) jobs: Vec<Job>,
    pub(super) calls: Vec<Call>,
    pub(super) amazon: Amazon,
    pub(super) weather: Weather,
    pub(super) oracle: Oracle,
    /// No replica comes up.
    pub(super) dark: bool,
    tokens: u128,
}

/// What a run came to.
pub(super) struct Ended {
    pub(super) hash: u64,
    pub(super) broken: Option<String>,
    pub(super) last: String,
}

/// Runs one seed to its end.
pub(super) fn run(seed: u64, sold: Sold, bug: Option<Bug>, cover: &mut Coverage) -> Ended {
    let mut world = World::new(seed, sold, bug, cover);
    world.set_out();
    let mut events = 0;
    while let Some(Reverse(Timed(at, _, event))) = world.queue.pop() {
        events += 1;
        world.now = at;
        world.happen(event);
        if events > EVENTS_MAX {
            world.oracle.fail("I15: the run does not come to rest");
        }
        if world.oracle.broken.is_some() {
            break;
        }
    }
    world.at_the_end();
    world.cover.events += events;
    Ended { hash: world.trace.hash(), broken: world.oracle.broken.take(), last: world.trace.last() }
}

impl<'a> World<'a> {
    fn new(seed: u64, sold: Sold, bug: Option<Bug>, cover: &'a mut Coverage) -> Self {
        let mut rng = Rng::new(seed);
        let many = 1 + rng.below(3);
        let skew = if rng.per_mille(500) { 2 * SECOND } else { 0 };
        let replica = |rng: &mut Rng| Replica {
            up: true,
            epoch: 0,
            frozen_until: 0,
            last_frozen: -1,
            offset: if many == 1 { 0 } else { rng.between(-skew, skew + 1) },
            worker_dead: false,
        };
        let replicas = (0..many).map(|_| replica(&mut rng)).collect();
        let mut amazon = Amazon::new(&mut rng, skew);
        amazon.answers_as_at_first = !seed.is_multiple_of(2);
        Self {
            sold,
            bug,
            rng,
            cover,
            trace: Trace::new(),
            now: 0,
            queue: BinaryHeap::with_capacity(64),
            pushed: 0,
            replicas,
            rows: [None, None, None],
            jobs: Vec::with_capacity(16),
            calls: Vec::with_capacity(32),
            amazon,
            weather: Weather::default(),
            oracle: Oracle::default(),
            dark: false,
            tokens: 0,
        }
    }

    pub(super) fn push(&mut self, at: i64, event: Ev) {
        self.pushed += 1;
        self.queue.push(Reverse(Timed(at.max(self.now), self.pushed, event)));
    }

    pub(super) fn later(&mut self, wait: i64, event: Ev) {
        self.push(self.now + wait, event);
    }

    pub(super) fn met(&mut self, class: Class) {
        self.cover.met(class);
    }

    /// The rules of what is bought; of cards, those that the bug makes of them.
    pub(super) fn rules(&self) -> Rules {
        let rules = *self.sold.rules();
        if self.has(Bug::ReplayIsPresent) { Rules { reading: Reading::ReplayForward, ..rules } } else { rules }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn note(&mut self, what: &'static str, more: &'static str, key: usize, number: i64) {
        self.trace.note(self.now, what, more, key, number);
    }

    /// What a replica's clock says.
    pub(super) fn clock(&self, replica: usize) -> DateTime<Utc> {
        instant(self.now + self.replicas[replica].offset)
    }

    /// A lease under a token of its own.
    pub(super) fn lease(&mut self) -> Lease {
        self.tokens += 1;
        Lease { token: Uuid::from_u128(self.tokens), holds: self.limits().lease }
    }

    pub(super) fn limits(&self) -> DriveLimits {
        let lease = if self.has(Bug::ShortLease) { Duration::from_secs(1) } else { LEASE };
        DriveLimits { lease, replay_age: REPLAY_AGE }
    }

    pub(super) fn draw(&mut self) -> u32 {
        u32::try_from(self.rng.draw() >> 32).unwrap()
    }

    /// How long a transaction takes.
    pub(super) fn store_wait(&mut self) -> i64 {
        let slow = self.rng.per_mille(self.weather.slow_store);
        if slow { self.rng.between(SECOND, 4 * SECOND) } else { self.rng.between(MILLI, 20 * MILLI) }
    }

    /// Commits a row, or not, or without an answer.
    pub(super) fn commit(&mut self, key: usize, row: Row) -> Commit {
        let fate = self.fate();
        if fate != Commit::Done {
            self.note("commit", if fate == Commit::Lost { "unconfirmed" } else { "failed" }, key, 0);
        }
        if fate != Commit::Failed {
            self.write(key, row);
        }
        fate
    }

    pub(super) fn fate(&mut self) -> Commit {
        if self.rng.per_mille(self.weather.commit_fails) {
            self.met(Class::CommitFailed);
            return Commit::Failed;
        }
        if self.rng.per_mille(self.weather.commit_lost) {
            self.met(Class::CommitLost);
            return Commit::Lost;
        }
        Commit::Done
    }

    /// What the database does with an update: the version counts, and whoever waits for due rows will see it.
    pub(super) fn write(&mut self, key: usize, mut row: Row) {
        row.order.version = self.rows[key].map_or(1, |old| old.order.version + 1);
        self.note("row", row.order.state().as_str(), key, row.order.version);
        self.oracle.committed(&self.amazon, self.sold, key, self.rows[key].as_ref(), &row);
        if let Some(due) = row.order.due_at {
            for worker in 0..self.replicas.len() {
                let at = due.timestamp_micros() - EPOCH - self.replicas[worker].offset;
                let jitter = self.rng.between(0, 500 * MILLI);
                self.push(at.saturating_add(jitter), Ev::Poll(worker));
            }
        }
        self.rows[key] = Some(row);
    }

    fn happen(&mut self, event: Ev) {
        let replica = match event {
            Ev::Step(job) | Ev::Watch(job) | Ev::Patience(job) => Some(self.jobs[job].replica),
            Ev::Answered(call) | Ev::GiveUp(call) => Some(self.jobs[self.calls[call].job].replica),
            Ev::Poll(replica) => Some(replica),
            Ev::Arrive(_)
            | Ev::Crash(_)
            | Ev::Restart(_)
            | Ev::Freeze(_)
            | Ev::Caller(..)
            | Ev::Trouble(_)
            | Ev::Claim(_)
            | Ev::Elsewhere(_)
            | Ev::Outage
            | Ev::Heal => None,
        };
        if let Some(replica) = replica
            && self.replicas[replica].frozen_until > self.now
        {
            self.push(self.replicas[replica].frozen_until, event);
            return;
        }
        match event {
            Ev::Step(job) => self.step_job(job),
            Ev::Watch(job) => self.watch(job),
            Ev::Arrive(call) => self.arrive(call),
            Ev::Answered(call) => self.answered(call),
            Ev::GiveUp(call) => self.give_up(call),
            Ev::Patience(job) => self.patience_ends(job),
            Ev::Poll(replica) => self.poll(replica),
            Ev::Crash(replica) => self.crash(replica),
            Ev::Restart(replica) => self.restart(replica),
            Ev::Freeze(replica) => self.freeze(replica),
            Ev::Caller(key, act) => self.call(key, act),
            Ev::Trouble(on) => self.amazon.trouble(&mut self.rng, on),
            Ev::Claim(key) => self.claim(key),
            Ev::Elsewhere(key) => self.elsewhere(key),
            Ev::Outage => self.outage(),
            Ev::Heal => self.heal(),
        }
    }
}

pub(super) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(EPOCH + micros).unwrap()
}

pub(super) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() - EPOCH
}
