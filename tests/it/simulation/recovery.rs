//! The twin of showing a code again (`reveal.rs`) and of the recovery (`drive::claim_due`, `worker::recovery`).

use noshi::incentives::{
    course,
    machine::{Event, State, Wake},
};
use uuid::Uuid;

use super::{
    bugs::{self, Bug},
    callers::Told,
    coverage::Class,
    steps::{Phase, Work},
    world::{Commit, Ev, KEYS, MILLI, World, micros},
};

impl World<'_> {
    /// `reveal::reveal`.
    pub(super) fn reveal(&mut self, job: usize) {
        match self.rows[self.jobs[job].key].clone() {
            Some(reward) if reward.facts.state == State::Issued => {
                self.jobs[job].reward = Some(reward);
                self.soon(job, Phase::Show);
            }
            Some(_) | None => self.end(job, Told::Refused),
        }
    }

    /// `reveal::note_showing`: committed while the reward is still issued, then handed over.
    pub(super) fn note_showing(&mut self, job: usize) {
        let (key, replica, now) = (self.jobs[job].key, self.jobs[job].replica, self.clock(self.jobs[job].replica));
        let Some(event) = self.jobs[job].sent.as_ref().map(|sent| sent.event) else { return };
        if !matches!(event, Event::Seen(_)) {
            return self.end(job, Told::State);
        }
        if self.has(Bug::ShownUnseen) {
            return self.hand_over(job, true);
        }
        let mut reward = self.rows[key].clone().unwrap();
        if reward.facts.state != State::Issued {
            self.met(Class::ShowGone);
            return self.end(job, Told::State);
        }
        let draw = self.draw();
        self.cover.stepped(reward.facts.state, event);
        let next = bugs::step(self.bug, reward.facts, event, now).unwrap();
        course::apply(&mut reward, &next, None, now, draw);
        reward.deliveries += i64::from(next.deliver);
        match self.commit(key, replica, reward) {
            Commit::Done => {
                let again = matches!(self.jobs[job].work, Work::Issue { .. });
                self.met(if again { Class::Redelivered } else { Class::Revealed });
                self.hand_over(job, next.deliver);
            }
            fate @ (Commit::Failed | Commit::Lost) => {
                self.met(if fate == Commit::Lost { Class::NoteLost } else { Class::NoteFailed });
                self.end(job, Told::Error);
            }
        }
    }

    /// `drive::claim_due` and `drive::take_up`, called by `worker::recovery::run`.
    pub(super) fn poll(&mut self, replica: usize) {
        if !self.replicas[replica].up || self.replicas[replica].worker_dead {
            return;
        }
        let now = self.clock(replica);
        let mut due: [bool; KEYS] = [false; KEYS];
        for (due, row) in due.iter_mut().zip(&self.rows) {
            *due = row.as_ref().is_some_and(|row| row.due_at.is_some_and(|at| at <= now));
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
        let (now, draw, lease) = (self.clock(replica), self.draw(), self.lease());
        let mut reward = self.rows[key].clone().unwrap();
        let left = reward.lease;
        let state = reward.facts.state;
        let Ok(next) = bugs::resume(self.bug, &reward, now) else {
            return self.oracle.fail("I15: a due row knows no next step");
        };
        let event = match (next.wake, left) {
            (Wake::Now, Some(_)) => Event::Abandoned,
            (Wake::Now, None) => Event::Begin,
            (_, _) => Event::GiveUp,
        };
        self.cover.stepped(state, event);
        if let Some(token) = left {
            self.met(Class::Abandoned);
            self.was_left(token);
        }
        course::apply(&mut reward, &next, Some(lease), now, draw);
        if fate == Commit::Failed {
            return;
        }
        self.write(key, replica, reward);
        if fate == Commit::Lost {
            return;
        }
        if next.wake == Wake::Now {
            let job = self.start(replica, key, Work::Recover);
            self.lead(job, lease.token);
        } else {
            self.met(Class::GivenUp);
        }
    }

    /// R5: a lease runs out only under a worker that died, froze, or whose store stood still.
    fn was_left(&mut self, token: Uuid) {
        let holder = self.jobs.iter().find(|job| job.alive && job.token == token);
        let Some(job) = holder else { return };
        let frozen = self.replicas[job.replica].last_frozen >= job.leased_at;
        if !frozen {
            self.oracle.fail("R5: a reward was taken over from a worker that is alive and awake");
        }
    }

    /// `drive::abandon_leases`: a start on SQLite.
    pub(super) fn abandon_leases(&mut self, replica: usize) {
        let now = self.clock(replica);
        for row in self.rows.iter_mut().flatten() {
            if row.due_at.is_some() && row.lease.is_some() {
                row.due_at = Some(now);
                self.cover.met(Class::AbandonAll);
            }
        }
        self.later(micros(now) - self.now, Ev::Poll(replica));
    }
}
