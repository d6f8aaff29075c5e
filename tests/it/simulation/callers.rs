//! Who calls, and what they are told: issues, retries of the same key, other bodies, cancels, reveals; and the weather
//! that a seed brings.

use noshi::{engine::OnUnproven, kernel::ClaimCode};

use super::{
    bugs::Bug,
    coverage::Class,
    steps::{Phase, Work},
    world::{Ev, HOUR, KEYS, MILLI, SECOND, Sold, Weather, World},
};

/// `rewards.answer_within_seconds`.
const ANSWER_WITHIN: i64 = 10 * SECOND;

#[derive(Clone, Copy)]
pub(super) enum Act {
    /// The tries that are left.
    Issue(u8),
    OtherBody,
    Cancel,
    Reveal,
}

/// What a caller is told.
pub(super) enum Told {
    Code(ClaimCode),
    /// The row's state, whatever it is.
    State,
    Mismatch,
    Refused,
    Error,
}

pub(super) fn value_of(key: usize) -> i64 {
    1000 * i64::try_from(key + 1).unwrap()
}

/// What a caller who asks for `on_unresolved: cancel` means to the engine, or one who does not.
pub(super) fn policy(careful: bool) -> OnUnproven {
    if careful { OnUnproven::Reverse } else { OnUnproven::Keep }
}

impl World<'_> {
    /// What the seed brings: the weather, its end, and what the callers will do.
    pub(super) fn set_out(&mut self) {
        let kind = self.rng.below(100);
        let heal = match kind {
            0..70 => self.rng.between(20, 120) * SECOND,
            70..96 => self.rng.between(5 * 60, 25 * 60) * SECOND,
            96..98 => self.rng.between(1, 3) * HOUR,
            _ => 25 * HOUR + self.rng.between(0, 3 * HOUR),
        };
        let often = |rng: &mut super::rng::Rng, most: i64| if rng.per_mille(500) { rng.between(0, most) } else { 0 };
        let rng = &mut self.rng;
        self.weather = Weather {
            connect: often(rng, 250),
            lose_before: often(rng, 300),
            lose_after: often(rng, 400),
            slow: often(rng, 500),
            twice: often(rng, 200),
            odd_answer: often(rng, 300),
            commit_fails: often(rng, 150),
            commit_lost: often(rng, 150),
            slow_store: often(rng, 150),
            crash: often(rng, 60),
            freeze: often(rng, 60),
        };
        if kind >= 98 {
            let at = if self.rng.per_mille(500) { 0 } else { self.rng.between(0, 120 * SECOND) };
            self.push(at, Ev::Outage);
        }
        self.push(heal, Ev::Heal);
        if self.rng.per_mille(300) {
            let (from, to) = (self.rng.between(0, heal), self.rng.between(0, heal));
            self.push(from.min(to), Ev::Trouble(true));
            self.push(from.max(to), Ev::Trouble(false));
        }
        if self.rng.per_mille(150) {
            let (replica, at) = (self.rng.below(self.replicas.len()), self.rng.between(0, heal));
            let event = if self.rng.per_mille(500) { Ev::Crash(replica) } else { Ev::Freeze(replica) };
            self.push(at, event);
        }
        let keys = 1 + self.rng.below(KEYS);
        for key in 0..keys {
            self.plan(key, heal);
        }
    }

    /// A day and more on which nothing can be proven.
    pub(super) fn outage(&mut self) {
        match self.rng.below(3) {
            0 => {
                self.met(Class::OutageSilent);
                (self.weather.lose_before, self.weather.connect) = (1000, 0);
            }
            1 => {
                self.met(Class::OutageUnreachable);
                self.weather.connect = 1000;
            }
            _ => {
                self.met(Class::OutageDark);
                self.dark = true;
                (0..self.replicas.len()).for_each(|replica| self.crash(replica));
            }
        }
    }

    fn plan(&mut self, key: usize, heal: i64) {
        let careful = self.rng.per_mille(300);
        self.oracle.careful(key, careful);
        let at = self.rng.between(0, 5 * SECOND);
        self.push(at, Ev::Caller(key, Act::Issue(5)));
        if self.rng.per_mille(250) {
            let wait = self.rng.between(0, 30 * MILLI);
            self.push(at + wait, Ev::Caller(key, Act::Issue(0)));
        }
        if self.rng.per_mille(100) {
            let at = self.rng.between(0, 60 * SECOND);
            self.push(at, Ev::Caller(key, Act::OtherBody));
        }
        for _ in 0..self.rng.below(3) {
            let when = match self.rng.below(4) {
                0 => self.rng.between(0, 2 * SECOND),
                1 => self.rng.between(2 * SECOND, 60 * SECOND),
                2 => self.rng.between(60 * SECOND, 870 * SECOND),
                _ => self.rng.between(876 * SECOND, 892 * SECOND),
            };
            self.push(at + when, Ev::Caller(key, Act::Cancel));
        }
        for _ in 0..self.rng.below(3) {
            let when = self.rng.between(0, 120 * SECOND);
            self.push(at + when, Ev::Caller(key, Act::Reveal));
        }
        if self.rng.per_mille(150) {
            let when = self.rng.between(SECOND, 300 * SECOND);
            self.push(when, Ev::Claim(key));
        }
        if self.sold != Sold::Card && self.rng.per_mille(20) {
            let when = self.rng.between(SECOND, 300 * SECOND);
            self.push(when, Ev::Elsewhere(key));
        }
        if self.sold == Sold::Card && self.rng.per_mille(200) {
            let when = self.rng.between(0, 40 * SECOND);
            self.push(when, Ev::Elsewhere(key));
        }
        // When all is well again: the key is asked once more, whatever it was told before.
        if !careful {
            self.push(heal.max(1000 * SECOND) + 1200 * SECOND, Ev::Caller(key, Act::Issue(0)));
        }
    }

    pub(super) fn call(&mut self, key: usize, act: Act) {
        let replica = self.rng.below(self.replicas.len());
        let careful = self.oracle.is_careful(key);
        if !self.replicas[replica].up {
            if let Act::Issue(tries) = act {
                self.once_more(key, tries);
            }
            return;
        }
        let (work, tries) = match act {
            Act::Issue(tries) => (Work::Issue { body: value_of(key), careful }, tries),
            Act::OtherBody => (Work::Issue { body: value_of(key) + 7, careful }, 0),
            Act::Cancel => (Work::Cancel, 0),
            Act::Reveal => (Work::Reveal, 0),
        };
        let job = self.start(replica, key, work);
        self.jobs[job].tries_left = tries;
        self.soon(job, Phase::Begin);
        if matches!(work, Work::Issue { .. }) {
            let patience =
                if self.rng.per_mille(200) { self.rng.between(SECOND, ANSWER_WITHIN) } else { ANSWER_WITHIN };
            self.later(patience, Ev::Patience(job));
            self.jobs[job].until = self.now + patience;
        } else if work == Work::Cancel {
            self.jobs[job].until = self.now + ANSWER_WITHIN;
        }
    }

    fn once_more(&mut self, key: usize, tries: u8) {
        if tries > 0 {
            let wait = self.rng.between(SECOND, 60 * SECOND);
            self.later(wait, Ev::Caller(key, Act::Issue(tries - 1)));
        }
    }

    /// The caller's time is up. What is recorded is the answer.
    pub(super) fn patience_ends(&mut self, job: usize) {
        if !self.jobs[job].alive || self.jobs[job].told {
            return;
        }
        let late = self.now - self.jobs[job].began >= ANSWER_WITHIN;
        if !self.jobs[job].recorded && !late {
            let left = self.jobs[job].began + ANSWER_WITHIN;
            return self.push(left, Ev::Patience(job));
        }
        self.met(if self.jobs[job].recorded { Class::LateDrive } else { Class::LateT1 });
        self.jobs[job].told = true;
        self.jobs[job].withdraw = !self.jobs[job].recorded;
        if self.jobs[job].recorded && !self.jobs[job].replayed {
            self.oracle.sent_away(self.jobs[job].key);
            self.withdraw(job);
        }
        self.told_no_code(job);
    }

    /// The wish to cancel of a caller who asked for `on_unresolved: cancel` and stops waiting.
    fn withdraw(&mut self, job: usize) {
        let (replica, key) = (self.jobs[job].replica, self.jobs[job].key);
        if self.has(Bug::NotWithdrawn) || !self.oracle.is_careful(key) {
            return;
        }
        self.met(Class::Withdrawn);
        let work = self.start(replica, key, Work::Withdraw);
        self.soon(work, Phase::Begin);
    }

    /// A job ends with an answer; whether anyone is there to hear it is another matter.
    pub(super) fn end(&mut self, job: usize, told: Told) {
        self.jobs[job].alive = false;
        let (key, work) = (self.jobs[job].key, self.jobs[job].work);
        let waits = matches!(work, Work::Issue { .. } | Work::Reveal) && !self.jobs[job].told;
        if self.jobs[job].withdraw && !self.jobs[job].replayed && matches!(told, Told::Code(_) | Told::State) {
            // It was not even known whether the request was recorded.
            self.withdraw(job);
        }
        if !waits {
            return;
        }
        self.jobs[job].told = true;
        match told {
            Told::Code(code) => {
                self.met(Class::Delivered);
                self.note("code", "", key, 0);
                let (row, gift) = (self.rows[key].as_ref(), self.amazon.cards[key]);
                self.oracle.delivered(key, code.expose(), row, gift);
            }
            Told::State | Told::Error => self.told_no_code(job),
            Told::Mismatch | Told::Refused => {}
        }
    }

    /// The connection broke: the caller knows nothing.
    pub(super) fn hear_nothing(&mut self, job: usize) {
        if !self.jobs[job].told && matches!(self.jobs[job].work, Work::Issue { .. }) {
            self.jobs[job].told = true;
            self.once_more(self.jobs[job].key, self.jobs[job].tries_left);
        }
        if self.jobs[job].withdraw || self.jobs[job].work == Work::Withdraw {
            self.oracle.excused(self.jobs[job].key);
        }
    }

    fn told_no_code(&mut self, job: usize) {
        let (key, tries) = (self.jobs[job].key, self.jobs[job].tries_left);
        if matches!(self.jobs[job].work, Work::Issue { .. }) {
            self.note("told", "no code", key, 0);
            // Who asked for on_unresolved=cancel pays the customer otherwise, and does not come back.
            if !self.oracle.is_careful(key) {
                self.once_more(key, tries);
            }
        }
    }
}
