//! The twin of the way of a request: what stands between the real heart and the network. Each step names the function of
//! `src/reward` that it mirrors; a transaction is one step.

use chrono::{DateTime, Utc};
use noshi::{
    incentives::{
        Reward,
        course::{self, Lease, STEPS_MAX},
        machine::{Action, Event, State, Wake},
    },
    kernel::ClaimCode,
};
use uuid::Uuid;

use super::{
    bugs::{self, Bug},
    callers::{Told, draft},
    coverage::Class,
    world::{Commit, Ev, MILLI, SECOND, World},
};

/// `drive::SETTLE_PAUSES`.
const SETTLE_PAUSES: [i64; 2] = [100 * MILLI, 400 * MILLI];

/// `caller::ATTEMPT`.
const ATTEMPT: i64 = 500 * MILLI;

/// `issue::WITHDRAW_PAUSES`.
const WITHDRAW_PAUSES: [i64; 4] = [100 * MILLI, 400 * MILLI, SECOND, 3 * SECOND];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A caller's issue: its body, and whether the reward is to be canceled when it is not proven while they wait.
    Issue {
        body: i64,
        careful: bool,
    },
    Cancel,
    Reveal,
    /// The wish to cancel of a caller who stopped waiting.
    Withdraw,
    Recover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Begin,
    Insert,
    Send,
    Wait,
    Settle,
    /// The lease is kept while the caller waits for the next attempt.
    Held,
    Show,
    ShowWait,
    Note,
}

/// `attempt::Sent`.
pub(super) struct Sent {
    pub(super) event: Event,
    pub(super) code: Option<ClaimCode>,
}

pub(super) struct Job {
    pub(super) alive: bool,
    pub(super) replica: usize,
    pub(super) key: usize,
    pub(super) work: Work,
    pub(super) phase: Phase,
    /// The reward as it was last committed or read.
    pub(super) reward: Option<Reward>,
    pub(super) token: Uuid,
    pub(super) leased_at: i64,
    pub(super) steps: usize,
    pub(super) tries: usize,
    pub(super) sent: Option<Sent>,
    pub(super) call: usize,
    pub(super) action: Option<Action>,
    /// `attempt::Sent::asked_at`.
    pub(super) asked: DateTime<Utc>,
    /// The caller has an answer, or is gone.
    pub(super) told: bool,
    pub(super) recorded: bool,
    pub(super) withdraw: bool,
    pub(super) began: i64,
    /// Until when a caller waits; 0 when nobody does.
    pub(super) until: i64,
    /// How often its caller will try again.
    pub(super) tries_left: u8,
}

impl Job {
    pub(super) fn row(&self) -> &Reward {
        self.reward.as_ref().unwrap()
    }
}

impl World<'_> {
    pub(super) fn start(&mut self, replica: usize, key: usize, work: Work) -> usize {
        let job = Job {
            alive: true,
            replica,
            key,
            work,
            phase: Phase::Begin,
            reward: None,
            token: Uuid::nil(),
            leased_at: 0,
            steps: 0,
            tries: 0,
            sent: None,
            call: usize::MAX,
            action: None,
            asked: DateTime::UNIX_EPOCH,
            told: false,
            recorded: false,
            withdraw: false,
            began: self.now,
            until: 0,
            tries_left: 0,
        };
        self.jobs.push(job);
        self.jobs.len() - 1
    }

    pub(super) fn soon(&mut self, job: usize, phase: Phase) {
        self.jobs[job].phase = phase;
        let wait = self.store_wait();
        self.later(wait, Ev::Step(job));
    }

    pub(super) fn step_job(&mut self, job: usize) {
        if !self.jobs[job].alive {
            return;
        }
        let (replica, phase) = (self.jobs[job].replica, self.jobs[job].phase);
        if self.rng.per_mille(self.weather.crash) {
            self.met(match phase {
                Phase::Begin | Phase::Insert => Class::CrashBegin,
                Phase::Send | Phase::Show => Class::CrashSend,
                Phase::Held => Class::CrashHeld,
                Phase::Wait | Phase::ShowWait | Phase::Settle | Phase::Note => Class::CrashSettle,
            });
            self.crash(replica);
            return;
        }
        if self.rng.per_mille(self.weather.freeze) {
            self.freeze(replica);
            self.later(0, Ev::Step(job));
            return;
        }
        match phase {
            Phase::Begin => match self.jobs[job].work {
                Work::Issue { .. } => self.issue(job),
                Work::Cancel | Work::Withdraw => self.cancel(job),
                Work::Reveal => self.reveal(job),
                Work::Recover => {}
            },
            Phase::Insert => self.record(job),
            Phase::Send => self.send(job),
            Phase::Settle => self.settle(job),
            Phase::Held => self.go_on(job),
            Phase::Show => {
                self.jobs[job].phase = Phase::ShowWait;
                self.leave(job, Action::Read, false);
            }
            Phase::Note => self.note_showing(job),
            Phase::Wait | Phase::ShowWait => {}
        }
    }

    /// A crash or a freeze while Amazon works.
    pub(super) fn watch(&mut self, job: usize) {
        if !self.jobs[job].alive || self.jobs[job].phase != Phase::Wait {
            return;
        }
        let replica = self.jobs[job].replica;
        if self.rng.per_mille(self.weather.crash) {
            self.met(Class::CrashWait);
            self.crash(replica);
        } else if self.rng.per_mille(self.weather.freeze) {
            self.freeze(replica);
        }
    }

    /// `issue::issue_now`: the key first.
    fn issue(&mut self, job: usize) {
        match self.rows[self.jobs[job].key].clone() {
            Some(known) => self.again(job, known),
            None => self.soon(job, Phase::Insert),
        }
    }

    /// `issue::record`: T1.
    fn record(&mut self, job: usize) {
        let (key, replica) = (self.jobs[job].key, self.jobs[job].replica);
        let Work::Issue { body, careful } = self.jobs[job].work else { return };
        if let Some(known) = self.rows[key].clone() {
            self.met(Class::SameKeyRace);
            return self.again(job, known);
        }
        let (lease, now) = (self.lease(), self.clock(replica));
        let reward = draft(key, body, careful, lease, now);
        if self.has(Bug::SendBeforeCommit) {
            self.jobs[job].reward = Some(reward.clone());
            self.leave(job, Action::Create, false);
        }
        match self.commit(key, replica, reward) {
            Commit::Done => self.lead(job, lease.token),
            Commit::Failed => self.unrecorded(job, Class::T1Failed),
            Commit::Lost => self.unrecorded(job, Class::T1Lost),
        }
    }

    fn unrecorded(&mut self, job: usize, class: Class) {
        self.met(class);
        self.end(job, Told::Error);
    }

    /// The row is ours and committed: on to Amazon.
    pub(super) fn lead(&mut self, job: usize, token: Uuid) {
        let (key, replica) = (self.jobs[job].key, self.jobs[job].replica);
        let reward = self.rows[key].clone().unwrap();
        let action = bugs::due(self.bug, &reward, self.clock(replica));
        let (now, leased) = (self.now, &mut self.jobs[job]);
        (leased.reward, leased.token, leased.recorded, leased.action) = (Some(reward), token, true, action);
        (leased.leased_at, leased.tries) = (now, 0);
        self.soon(job, Phase::Send);
    }

    /// `issue::again`: the key was used before.
    fn again(&mut self, job: usize, known: Reward) {
        let (key, replica, now) = (self.jobs[job].key, self.jobs[job].replica, self.clock(self.jobs[job].replica));
        let Work::Issue { body, careful } = self.jobs[job].work else { return };
        if known.value.minor() != body || known.facts.cancel_if_unresolved != careful {
            self.met(Class::OtherBody);
            return self.end(job, Told::Mismatch);
        }
        self.met(Class::KnownKey);
        if known.facts.state == State::Failed && known.facts.retryable {
            let (mut reward, lease, draw) = (known, self.lease(), self.draw());
            self.cover.stepped(State::Failed, Event::Begin);
            let next = bugs::step(self.bug, reward.facts, Event::Begin, now).unwrap();
            course::apply(&mut reward, &next, Some(lease), now, draw);
            self.met(Class::SecondTry);
            return match self.commit(key, replica, reward) {
                Commit::Done => self.lead(job, lease.token),
                Commit::Failed | Commit::Lost => self.end(job, Told::Error),
            };
        }
        // `issue::known`.
        let issued = known.facts.state == State::Issued;
        self.jobs[job].recorded = true;
        self.jobs[job].reward = Some(known);
        if issued { self.soon(job, Phase::Show) } else { self.end(job, Told::State) }
    }

    /// `drive::send`: what is due is read again right before the call.
    fn send(&mut self, job: usize) {
        let now = self.clock(self.jobs[job].replica);
        let reward = self.jobs[job].row();
        let mut action = bugs::due(self.bug, reward, now).unwrap_or(Action::Read);
        if self.has(Bug::StaleCancelCheck) {
            action = self.jobs[job].action.unwrap_or(Action::Read);
        }
        if action == Action::Read && reward.facts.state == State::Canceling {
            self.met(Class::ReadAfterWindow);
        }
        let stranger = self.has(Bug::NewIdOnRetry) && self.jobs[job].row().attempts > 1;
        (self.jobs[job].phase, self.jobs[job].asked) = (Phase::Wait, now);
        self.leave(job, action, stranger);
        self.later(30 * MILLI, Ev::Watch(job));
    }

    /// `drive::settle`: T2, by compare-and-set; stepped again on what the row says now while it is ours.
    fn settle(&mut self, job: usize) {
        let (key, replica, token) = (self.jobs[job].key, self.jobs[job].replica, self.jobs[job].token);
        let Some(event) = self.jobs[job].sent.as_ref().map(|sent| sent.event) else { return };
        self.jobs[job].steps += usize::from(self.jobs[job].tries == 0);
        let goes_on = self.jobs[job].steps < STEPS_MAX;
        let (before, stored) = (self.jobs[job].row().clone(), self.rows[key].clone().unwrap());
        let mut base = before;
        if stored.version != base.version && !self.has(Bug::NoVersionCheck) {
            if stored.lease != Some(token) {
                return self.lease_lost(job);
            }
            if course::is_settled(&base, &stored) && !self.has(Bug::SettledTwice) {
                // Our own write was committed after all.
                self.met(Class::OwnWrite);
                self.jobs[job].steps = 0;
                return self.soon(job, Phase::Held);
            }
            self.met(Class::LostRace);
            base = stored;
        }
        let (now, draw, state) = (self.clock(replica), self.draw(), base.facts.state);
        let mut lease = self.lease();
        lease.token = token;
        self.cover.stepped(state, event);
        let Ok(next) = bugs::step(self.bug, base.facts, event, self.jobs[job].asked) else {
            return self.lease_lost(job);
        };
        if matches!(next.wake, Wake::At(_)) {
            self.met(Class::VerdictWaits);
        }
        let held = self.held(job, &base, event, (lease, now, draw));
        match &held {
            Some((row, _pause)) => base = row.clone(),
            None => course::apply(&mut base, &next, goes_on.then_some(lease), now, draw),
        }
        let unconfirmed = self.commit(key, replica, base);
        if unconfirmed != Commit::Done {
            self.met(if unconfirmed == Commit::Lost { Class::T2Lost } else { Class::T2Failed });
            if self.has(Bug::DeliverUnconfirmed) {
                return self.hand_over(job, next.deliver);
            }
            let tries = self.jobs[job].tries;
            self.jobs[job].tries += 1;
            return match SETTLE_PAUSES.get(tries) {
                Some(pause) => self.later(*pause, Ev::Step(job)),
                None => self.end(job, Told::State),
            };
        }
        if self.rng.per_mille(self.weather.crash) {
            self.met(Class::CrashEnd);
            return self.crash(replica);
        }
        let row = self.rows[key].clone().unwrap();
        if let Some((_row, pause)) = held {
            self.met(Class::Held);
            (self.jobs[job].phase, self.jobs[job].steps, self.jobs[job].tries) = (Phase::Held, 0, 0);
            self.jobs[job].reward = Some(row);
            return self.later(pause, Ev::Step(job));
        }
        if row.lease == Some(token) {
            return self.lead(job, token);
        }
        if next.wake == Wake::Now {
            self.oracle.fail("a drive was longer than a create, a cancel and a read");
        }
        self.jobs[job].reward = Some(row);
        self.hand_over(job, next.deliver);
    }

    /// `drive::decide`: the row with its lease kept over the pause, when the caller waits for the attempt after it.
    fn held(
        &mut self,
        job: usize,
        base: &Reward,
        event: Event,
        (lease, now, draw): (Lease, DateTime<Utc>, u32),
    ) -> Option<(Reward, i64)> {
        let next = bugs::step_while_awaited(self.bug, base.facts, event, self.jobs[job].asked).ok()?;
        let mut row = base.clone();
        course::apply(&mut row, &next, None, now, draw);
        let pause = if next.wake == Wake::Backoff { course::hold(&mut row, lease, now)? } else { return None };
        let pause = i64::try_from(pause.as_micros()).unwrap();
        (self.now + pause + ATTEMPT < self.jobs[job].until).then_some((row, pause))
    }

    /// `drive::go_on`: T1 of an attempt after a pause under the same lease.
    fn go_on(&mut self, job: usize) {
        let (key, replica, token) = (self.jobs[job].key, self.jobs[job].replica, self.jobs[job].token);
        if self.has(Bug::HeldBlind) {
            return self.soon(job, Phase::Send);
        }
        let (mut reward, now, mut lease) = (self.rows[key].clone().unwrap(), self.clock(replica), self.lease());
        lease.token = token;
        if reward.due_at.is_none() {
            self.met(Class::HeldOver);
            self.jobs[job].reward = Some(reward);
            return self.hand_over(job, false);
        }
        if reward.lease != Some(token) {
            return self.lease_lost(job);
        }
        self.cover.stepped(reward.facts.state, Event::Begin);
        if course::go_on(&mut reward, lease, now).is_err() {
            return self.oracle.fail("a held row knows no next attempt");
        }
        match self.commit(key, replica, reward) {
            Commit::Done => self.lead(job, token),
            Commit::Failed | Commit::Lost => self.end(job, Told::State),
        }
    }

    /// The drive's end: the code goes to whoever waits, or is wiped.
    pub(super) fn hand_over(&mut self, job: usize, deliver: bool) {
        let code = self.jobs[job].sent.take().and_then(|sent| sent.code).filter(|_code| deliver);
        match code {
            Some(code) => self.end(job, Told::Code(code)),
            None => self.end(job, Told::State),
        }
    }

    fn lease_lost(&mut self, job: usize) {
        self.met(Class::LeaseLost);
        let deliver = self.has(Bug::DeliverAfterLeaseLost);
        self.hand_over(job, deliver);
    }

    /// `cancel::cancel_now`.
    fn cancel(&mut self, job: usize) {
        let (key, replica, now) = (self.jobs[job].key, self.jobs[job].replica, self.clock(self.jobs[job].replica));
        let Some(before) = self.rows[key].clone() else { return self.end(job, Told::Error) };
        self.cover.stepped(before.facts.state, Event::CancelAsked);
        let next = match bugs::step(self.bug, before.facts, Event::CancelAsked, now) {
            Ok(next) if next.facts == before.facts => {
                self.met(Class::CancelUnchanged);
                return self.end(job, Told::State);
            }
            Ok(next) => next,
            Err(_rejected) => {
                let issued = before.facts.state == State::Issued;
                self.met(if issued { Class::CancelWindowClosed } else { Class::CancelRefusedState });
                return self.end(job, Told::Refused);
            }
        };
        let (lease, draw, in_flight) = (self.lease(), self.draw(), before.lease.is_some());
        let mut reward = before;
        course::wish_cancel(&mut reward, &next, lease, now, draw);
        let drives = !in_flight && reward.lease.is_some();
        match self.commit(key, replica, reward) {
            Commit::Done if drives => {
                self.met(Class::CancelNow);
                self.lead(job, lease.token);
            }
            Commit::Done => {
                self.met(Class::CancelWish);
                self.later(MILLI, Ev::Poll(replica));
                self.end(job, Told::State);
            }
            fate @ (Commit::Failed | Commit::Lost) => {
                self.met(if fate == Commit::Lost { Class::WishLost } else { Class::WishFailed });
                let tries = self.jobs[job].tries;
                self.jobs[job].tries += 1;
                match WITHDRAW_PAUSES.get(tries) {
                    Some(pause) if self.withdraws(job) => self.later(*pause, Ev::Step(job)),
                    Some(_) | None => self.end(job, Told::Error),
                }
            }
        }
    }

    /// `issue::withdraw` tries again, and a caller who cancels does not.
    fn withdraws(&self, job: usize) -> bool {
        self.jobs[job].work == Work::Withdraw && !self.has(Bug::WithdrawnOnce)
    }
}
