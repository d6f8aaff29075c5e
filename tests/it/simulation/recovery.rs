//! The recovery: due rows are taken up by the production function, and carried by the production driver.

use std::time::Duration;

use noshi::engine::{
    Wake,
    schedule::{self, Moment},
};
use uuid::Uuid;

use super::{
    bugs::{self, Bug},
    coverage::Class,
    steps::{Job, Work},
    world::{Commit, Ev, KEYS, MILLI, REPLAY_AGE, Row, World, micros},
};

impl World<'_> {
    /// One transaction that leases every due row.
    pub(super) fn poll(&mut self, replica: usize) {
        if !self.replicas[replica].up || self.replicas[replica].worker_dead {
            return;
        }
        let now = self.clock(replica);
        let mut due: [bool; KEYS] = [false; KEYS];
        for (due, row) in due.iter_mut().zip(&self.rows) {
            *due = row.is_some_and(|row| row.order.due_at.is_some_and(|at| at <= now));
        }
        if !due.contains(&true) {
            return;
        }
        let fate = self.fate();
        if fate != Commit::Done {
            self.met(if fate == Commit::Lost { Class::ClaimLost } else { Class::ClaimFailed });
            self.replicas[replica].worker_dead = self.has(Bug::RecoveryDies);
            self.later(500 * MILLI, Ev::Poll(replica));
        }
        for key in (0..due.len()).filter(|key| due[*key]) {
            self.take_up(replica, key, fate);
        }
    }

    fn take_up(&mut self, replica: usize, key: usize, fate: Commit) {
        let row = self.rows[key].unwrap();
        let (left, state) = (row.order.lease, row.order.state());
        let moment = Moment { now: self.clock(replica), draw: self.draw(), patience: Duration::ZERO, awaited: false };
        let order = bugs::taken_up(self.bug, row.order, moment);
        self.cover.stepped(state, schedule::resumed_by(&order, REPLAY_AGE, &self.rules(), moment.now));
        let lease = self.lease();
        let Ok((order, wake)) = schedule::take_up(order, lease, REPLAY_AGE, &self.rules(), moment) else {
            return self.oracle.fail("I15: a due row knows no next step");
        };
        if let Some(token) = left {
            self.met(Class::Abandoned);
            self.was_left(token);
        }
        if fate == Commit::Failed {
            return;
        }
        self.write(key, Row { order, ..row });
        if fate == Commit::Lost {
            return;
        }
        if wake == Wake::Now {
            let job = self.start(replica, key, Work::Recover);
            self.carry(job);
        } else {
            self.met(Class::GivenUp);
        }
    }

    /// R5: a lease runs out only under a worker that died, froze, or whose store stood still.
    fn was_left(&mut self, token: Uuid) {
        let holds = |job: &&Job| job.alive && job.token == token;
        let Some(job) = self.jobs.iter().find(holds) else { return };
        let frozen = self.replicas[job.replica].last_frozen >= job.leased_at;
        if !frozen {
            self.oracle.fail("R5: a reward was taken over from a worker that is alive and awake");
        }
    }

    /// A start on SQLite.
    pub(super) fn abandon_leases(&mut self, replica: usize) {
        let now = self.clock(replica);
        for row in self.rows.iter_mut().flatten() {
            if row.order.due_at.is_some() && row.order.lease.is_some() {
                row.order.due_at = Some(now);
                self.cover.met(Class::AbandonAll);
            }
        }
        self.later(micros(now) - self.now, Ev::Poll(replica));
    }
}
