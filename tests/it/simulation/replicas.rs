//! Replicas die, start again, freeze, and in the end all is well.

use super::{
    coverage::Class,
    world::{Ev, MILLI, SECOND, Weather, World},
};

impl World<'_> {
    pub(super) fn crash(&mut self, replica: usize) {
        if !self.replicas[replica].up {
            return;
        }
        self.note("crash", "", replica, 0);
        let busy = self.jobs.iter().any(|job| job.replica == replica && job.alive);
        if !busy {
            self.met(Class::CrashIdle);
        }
        self.replicas[replica].up = false;
        self.replicas[replica].epoch += 1;
        self.replicas[replica].frozen_until = 0;
        for at in 0..self.jobs.len() {
            if self.jobs[at].replica == replica && self.jobs[at].alive {
                self.jobs[at].alive = false;
                self.hear_nothing(at);
            }
        }
        let wait = self.rng.between(SECOND, 60 * SECOND);
        self.later(wait, Ev::Restart(replica));
    }

    pub(super) fn restart(&mut self, replica: usize) {
        if self.replicas[replica].up || self.dark {
            return;
        }
        self.note("restart", "", replica, 0);
        self.replicas[replica].up = true;
        self.replicas[replica].worker_dead = false;
        if self.replicas.len() == 1 {
            self.abandon_leases(replica);
        }
        self.later(0, Ev::Poll(replica));
    }

    pub(super) fn freeze(&mut self, replica: usize) {
        if !self.replicas[replica].up {
            return;
        }
        let long = self.rng.per_mille(600);
        let span = if long { self.rng.between(21, 300) * SECOND } else { self.rng.between(100 * MILLI, 8 * SECOND) };
        self.met(if long { Class::FreezeLong } else { Class::FreezeShort });
        self.note("freeze", "", replica, span / MILLI);
        self.replicas[replica].frozen_until = self.now + span;
        self.replicas[replica].last_frozen = self.now + span;
    }

    pub(super) fn heal(&mut self) {
        self.note("heal", "", 0, 0);
        self.weather = Weather::default();
        self.dark = false;
        self.amazon.trouble(&mut self.rng, false);
        for replica in 0..self.replicas.len() {
            self.replicas[replica].frozen_until = 0;
            if !self.replicas[replica].up {
                self.restart(replica);
            }
        }
    }
}
