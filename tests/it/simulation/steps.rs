//! The way of a request in the simulated world: the production driver asks, the world does. A transaction is one step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use noshi::{
    engine::{
        Action, AttentionReason, Drive, End, Event, Input, Instruction, Order, Rejected, Sight, Stage, State, Wisher,
        drive::{Change, DatedEvent, Milestone},
        schedule::{self, Moment},
    },
    kernel::ClaimCode,
};
use uuid::Uuid;

use super::{
    bugs::{Bug, Planted},
    callers::{Told, policy},
    coverage::Class,
    world::{Commit, Ev, MILLI, Row, Sold, World},
};

/// `reveal::SHOWINGS_MAX`.
const SHOWINGS_MAX: i64 = 100;

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
    /// A change is on its way to the database.
    Commit(Change),
    Send,
    Read,
    /// Amazon has the call.
    Wait,
    /// The answer is here, and the driver does not know it yet.
    Heard(Event),
    Slept,
    /// The lease is kept while the caller waits for the next attempt.
    Held,
}

pub(super) struct Job {
    pub(super) alive: bool,
    pub(super) replica: usize,
    pub(super) key: usize,
    pub(super) work: Work,
    pub(super) phase: Phase,
    pub(super) drive: Option<Planted>,
    /// Under which it holds a lease, or would.
    pub(super) token: Uuid,
    pub(super) leased_at: i64,
    /// When the change was decided that is being committed.
    decided_at: i64,
    /// The code in hand.
    pub(super) code: Option<ClaimCode>,
    pub(super) call: usize,
    /// What was due when the attempt was committed.
    pub(super) action: Option<Action>,
    /// When the call left, by the replica's clock.
    pub(super) asked: DateTime<Utc>,
    /// The caller has an answer, or is gone.
    pub(super) told: bool,
    pub(super) recorded: bool,
    /// Its key was used before: what becomes of the reward is not this caller's.
    pub(super) replayed: bool,
    pub(super) withdraw: bool,
    pub(super) began: i64,
    /// Until when a caller waits; 0 when nobody does.
    pub(super) until: i64,
    /// How often its caller will try again.
    pub(super) tries_left: u8,
}

impl Job {
    /// Whether a code leaves for a caller once the change is committed.
    fn leaves(&self, change: &Change) -> bool {
        match change.milestone {
            Milestone::Settled { .. } => {
                let proves = change.order.state() == State::Issued && change.from != State::Canceling;
                proves && matches!(self.work, Work::Issue { .. }) && !self.told && self.decided_at < self.until
            }
            Milestone::Shown { deliver } => deliver,
            Milestone::Sent | Milestone::ReversalWanted => false,
        }
    }

    pub(super) fn order(&self) -> &Order {
        self.drive.as_ref().unwrap().order()
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
            drive: None,
            token: Uuid::nil(),
            leased_at: 0,
            decided_at: 0,
            code: None,
            call: usize::MAX,
            action: None,
            asked: DateTime::UNIX_EPOCH,
            told: false,
            recorded: false,
            replayed: false,
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
                Phase::Send | Phase::Read => Class::CrashSend,
                Phase::Held => Class::CrashHeld,
                Phase::Commit(_) | Phase::Wait | Phase::Heard(_) | Phase::Slept => Class::CrashSettle,
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
            Phase::Begin => self.begin(job),
            Phase::Insert => self.record(job),
            Phase::Commit(change) => self.try_commit(job, change),
            Phase::Send => self.send(job),
            Phase::Read => {
                let now = self.clock(replica);
                (self.jobs[job].phase, self.jobs[job].asked) = (Phase::Wait, now);
                self.leave(job, Action::Read, false);
            }
            Phase::Heard(event) => {
                let answer = DatedEvent { event, asked_at: self.jobs[job].asked };
                self.tell_drive(job, Input::Answered(answer));
            }
            Phase::Slept | Phase::Held => self.tell_drive(job, Input::Slept),
            Phase::Wait => {}
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

    fn begin(&mut self, job: usize) {
        let work = self.jobs[job].work;
        let Some(row) = self.rows[self.jobs[job].key] else {
            return match work {
                Work::Issue { .. } => self.soon(job, Phase::Insert),
                Work::Reveal => self.end(job, Told::Refused),
                Work::Cancel | Work::Withdraw | Work::Recover => self.end(job, Told::Error),
            };
        };
        match work {
            Work::Issue { .. } => self.again(job, row),
            Work::Cancel | Work::Withdraw => {
                let is_gone = work == Work::Withdraw && !self.has(Bug::WithdrawnOnce);
                let wisher = if is_gone { Wisher::Gone } else { Wisher::Present };
                let (token, limits) = (self.lease().token, self.limits());
                self.jobs[job].token = token;
                self.drive(job, Drive::reverse(row.order, token, wisher, self.rules(), limits));
            }
            Work::Reveal if self.has_code(&row) => self.show(job, row),
            Work::Reveal => self.end(job, Told::Refused),
            Work::Recover => {}
        }
    }

    fn has_code(&self, row: &Row) -> bool {
        self.sold == Sold::Code && row.order.state() == State::Issued
    }

    fn show(&mut self, job: usize, row: Row) {
        let limits = self.limits();
        self.drive(job, Drive::show(row.order, SHOWINGS_MAX, self.rules(), limits));
    }

    /// T1: the database inserts the row, or finds that it is there.
    fn record(&mut self, job: usize) {
        let (key, replica) = (self.jobs[job].key, self.jobs[job].replica);
        let Work::Issue { body, careful } = self.jobs[job].work else { return };
        if let Some(known) = self.rows[key] {
            self.met(Class::SameKeyRace);
            return self.again(job, known);
        }
        let lease = self.lease();
        let order = schedule::begin(policy(careful), false, lease, self.clock(replica));
        if self.has(Bug::SendBeforeCommit) {
            let drive = Drive::carry(order, lease.token, self.rules(), self.limits());
            self.jobs[job].drive = Some(Planted::new(drive, self.bug));
            self.leave(job, Action::Forward, false);
        }
        match self.commit(key, Row { value: body, order }) {
            Commit::Done => self.carry(job),
            Commit::Failed => self.unrecorded(job, Class::T1Failed),
            Commit::Lost => self.unrecorded(job, Class::T1Lost),
        }
    }

    fn unrecorded(&mut self, job: usize, class: Class) {
        self.met(class);
        self.end(job, Told::Error);
    }

    /// The row is ours, committed and leased.
    pub(super) fn carry(&mut self, job: usize) {
        let order = self.rows[self.jobs[job].key].unwrap().order;
        self.jobs[job].recorded = true;
        let (token, limits) = (order.lease.unwrap(), self.limits());
        (self.jobs[job].token, self.jobs[job].leased_at) = (token, self.now);
        self.drive(job, Drive::carry(order, token, self.rules(), limits));
    }

    fn drive(&mut self, job: usize, drive: Drive) {
        self.jobs[job].drive = Some(Planted::new(drive, self.bug));
        self.tell_drive(job, Input::Begin);
    }

    /// The key was used before.
    fn again(&mut self, job: usize, known: Row) {
        let (key, now) = (self.jobs[job].key, self.clock(self.jobs[job].replica));
        let Work::Issue { body, careful } = self.jobs[job].work else { return };
        if known.value != body || known.order.on_unproven != policy(careful) {
            self.met(Class::OtherBody);
            return self.end(job, Told::Mismatch);
        }
        self.met(Class::KnownKey);
        if known.order.stage == (Stage::Refused { retryable: true }) {
            let (lease, moment) = (self.lease(), self.moment(job, now));
            self.cover.stepped(State::Failed, Event::Begin);
            let order = schedule::retry(known.order, false, lease, &self.rules(), moment).unwrap();
            self.met(Class::SecondTry);
            return match self.commit(key, Row { order, ..known }) {
                Commit::Done => self.carry(job),
                Commit::Failed | Commit::Lost => self.end(job, Told::Error),
            };
        }
        (self.jobs[job].recorded, self.jobs[job].replayed) = (true, true);
        if self.has_code(&known) { self.show(job, known) } else { self.end(job, Told::State) }
    }

    fn moment(&mut self, job: usize, now: DateTime<Utc>) -> Moment {
        let left = u64::try_from((self.jobs[job].until - self.now).max(0)).unwrap();
        Moment { now, draw: self.draw(), patience: Duration::from_micros(left), awaited: left > 0 }
    }

    /// The driver is told what came, and the world does what it asks for.
    fn tell_drive(&mut self, job: usize, input: Input) {
        let now = self.clock(self.jobs[job].replica);
        let moment = self.moment(job, now);
        let before = self.jobs[job].phase;
        match self.jobs[job].drive.as_mut().unwrap().next(input, moment) {
            Instruction::Commit(change) => {
                // A lease counts from here, however long its commit takes.
                self.jobs[job].decided_at = self.now;
                self.count_step(&change);
                let left = change.order.lease.is_none() && change.order.due_at == Some(now);
                // A card is checked before and after it is activated again, which may be a call more than a drive makes. The
                // row is due at once then, and recovery goes on.
                let fits = self.sold != Sold::Card;
                if fits && left && matches!(change.milestone, Milestone::Settled { .. }) {
                    self.oracle.fail("a drive was longer than a create, a cancel and a read");
                }
                // A wish was decided on a row that was read before its transaction began.
                if before == Phase::Begin {
                    self.jobs[job].phase = Phase::Commit(change);
                    let wait = self.rng.between(MILLI, 20 * MILLI);
                    self.later(wait, Ev::Step(job));
                } else {
                    self.try_commit(job, change);
                }
            }
            Instruction::Send => {
                if matches!(before, Phase::Commit(Change { milestone: Milestone::ReversalWanted, .. })) {
                    self.met(Class::CancelNow);
                }
                let action = self.jobs[job].drive.as_ref().unwrap().action(now);
                self.jobs[job].action = Some(action);
                self.soon(job, Phase::Send);
            }
            Instruction::Read => self.soon(job, Phase::Read),
            Instruction::Sleep(pause) => self.pause(job, Phase::Slept, pause),
            Instruction::Hold(pause) => {
                self.met(Class::Held);
                self.pause(job, Phase::Held, pause);
            }
            Instruction::Done(end) => self.done(job, end, before, input),
        }
    }

    fn pause(&mut self, job: usize, phase: Phase, pause: Duration) {
        self.jobs[job].phase = phase;
        self.later(i64::try_from(pause.as_micros()).unwrap(), Ev::Step(job));
    }

    /// Which cell of the machine decided.
    fn count_step(&mut self, change: &Change) {
        let event = match change.milestone {
            Milestone::Sent => Event::Begin,
            Milestone::Settled { event, .. } => event,
            Milestone::ReversalWanted => Event::ReversalAsked,
            Milestone::Shown { deliver: true } => Event::Seen(Sight::Live),
            Milestone::Shown { deliver: false } => Event::Seen(match change.order.stage.attention() {
                Some(AttentionReason::CanceledElsewhere) => Sight::Reversed,
                Some(AttentionReason::OddStatus) => Sight::Odd,
                _ => Sight::Mismatch,
            }),
        };
        self.cover.stepped(change.from, event);
        let waits = change.from == State::Canceling && change.order.state() == State::Canceling;
        if waits && matches!(event, Event::Seen(Sight::Live | Sight::Unattributed)) {
            self.met(Class::VerdictWaits);
        }
    }

    /// What is due is asked again right before the call.
    fn send(&mut self, job: usize) {
        let now = self.clock(self.jobs[job].replica);
        let drive = self.jobs[job].drive.as_ref().unwrap();
        let mut action = drive.action(now);
        let (state, attempts) = (drive.order().state(), drive.order().attempts);
        if self.has(Bug::StaleCancelCheck) {
            action = self.jobs[job].action.unwrap_or(Action::Read);
        }
        if action == Action::Read && state == State::Canceling {
            self.met(Class::ReadAfterWindow);
        }
        let stranger = self.has(Bug::NewIdOnRetry) && attempts > 1;
        (self.jobs[job].phase, self.jobs[job].asked) = (Phase::Wait, now);
        self.leave(job, action, stranger);
        self.later(30 * MILLI, Ev::Watch(job));
    }

    /// The database compares the version, and commits, or not, or without an answer.
    fn try_commit(&mut self, job: usize, change: Change) {
        let (key, replica) = (self.jobs[job].key, self.jobs[job].replica);
        self.jobs[job].phase = Phase::Commit(change);
        if self.jobs[job].drive.as_ref().unwrap().is_blind() {
            return self.tell_drive(job, Input::Committed);
        }
        let row = self.rows[key].unwrap();
        if row.order.version != change.order.version && !self.has(Bug::NoVersionCheck) {
            return self.conflict(job, change, row.order);
        }
        if self.jobs[job].leaves(&change) {
            self.oracle.leaves_for_a_caller(key);
        }
        let fate = self.commit(key, Row { order: change.order, ..row });
        if fate == Commit::Done && change.order.lease == Some(self.jobs[job].token) {
            self.jobs[job].leased_at = self.jobs[job].decided_at;
        }
        match (fate, change.milestone) {
            (Commit::Done, Milestone::Settled { .. }) if self.rng.per_mille(self.weather.crash) => {
                self.met(Class::CrashEnd);
                return self.crash(replica);
            }
            (Commit::Lost, Milestone::Settled { .. }) => self.met(Class::T2Lost),
            (Commit::Failed, Milestone::Settled { .. }) => self.met(Class::T2Failed),
            (Commit::Lost, Milestone::ReversalWanted) => self.met(Class::WishLost),
            (Commit::Failed, Milestone::ReversalWanted) => self.met(Class::WishFailed),
            (Commit::Lost, Milestone::Shown { .. }) => self.met(Class::NoteLost),
            (Commit::Failed, Milestone::Shown { .. }) => self.met(Class::NoteFailed),
            (Commit::Done, _) | (Commit::Lost | Commit::Failed, Milestone::Sent) => {}
        }
        self.tell_drive(job, if fate == Commit::Done { Input::Committed } else { Input::Unconfirmed });
    }

    fn conflict(&mut self, job: usize, change: Change, stored: Order) {
        let known = *self.jobs[job].order();
        let settles = matches!(change.milestone, Milestone::Settled { .. });
        if settles && known.lease.is_some() && stored.lease == known.lease {
            self.met(if schedule::is_settled(&known, &stored) { Class::OwnWrite } else { Class::LostRace });
        }
        // What the transaction ran into is committed before it is believed.
        let input = if self.fate() == Commit::Done { Input::Conflict(Some(stored)) } else { Input::Unconfirmed };
        self.tell_drive(job, input);
    }

    fn done(&mut self, job: usize, end: End, before: Phase, input: Input) {
        let work = self.jobs[job].work;
        let shows = matches!(before, Phase::Commit(Change { milestone: Milestone::Shown { .. }, .. }));
        match end {
            End::Settled { deliver } => {
                let resumes = matches!(input, Input::Slept | Input::Conflict(_));
                if resumes && !deliver && self.jobs[job].order().due_at.is_none() {
                    self.met(Class::HeldOver);
                }
                if shows && deliver {
                    let again = matches!(work, Work::Issue { .. });
                    self.met(if again { Class::Redelivered } else { Class::Revealed });
                }
                self.hand_over(job, deliver);
            }
            End::Recorded => {
                self.met(Class::CancelWish);
                let replica = self.jobs[job].replica;
                self.later(MILLI, Ev::Poll(replica));
                self.end(job, Told::State);
            }
            End::Unchanged | End::Rejected(_) => {
                self.cover.stepped(self.jobs[job].order().state(), Event::ReversalAsked);
                if end == End::Unchanged {
                    self.met(Class::CancelUnchanged);
                    return self.end(job, Told::State);
                }
                let closed = end == End::Rejected(Rejected::WindowClosed);
                self.met(if closed { Class::CancelWindowClosed } else { Class::CancelRefusedState });
                self.end(job, Told::Refused);
            }
            End::NotShown => {
                if self.jobs[job].order().state() != State::Issued {
                    self.met(Class::ShowGone);
                }
                self.end(job, Told::State);
            }
            End::LeaseLost => {
                self.met(Class::LeaseLost);
                self.end(job, Told::State);
            }
            End::Unconfirmed if shows || matches!(work, Work::Cancel | Work::Withdraw) => self.end(job, Told::Error),
            End::Unconfirmed | End::Unheard | End::ShownTooOften | End::TooOld | End::Unsendable => {
                self.end(job, Told::State);
            }
        }
    }

    /// The drive's end: the code goes to whoever waits, or is wiped.
    fn hand_over(&mut self, job: usize, deliver: bool) {
        match self.jobs[job].code.take().filter(|_code| deliver) {
            Some(code) => self.end(job, Told::Code(code)),
            None => self.end(job, Told::State),
        }
    }
}
