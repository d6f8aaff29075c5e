//! The world of one key at one moment, small enough to be remembered a million times, and everything that can happen next.

mod key;

use chrono::{DateTime, Utc};
use noshi::{
    incentives::machine::{self, Action, CancelFailure, Card, Event, Facts, Next, State, Wake},
    kernel::{
        Refusal,
        outcome::{ErrorType, Family},
        window,
    },
};

use super::bugs::Bug;

/// Seconds after the first send: the window is open; ours is closed and Amazon's is not; a verdict may be given; later.
const INSTANTS: [i64; 4] = [0, 895, 965, 1000];
/// The last instant at which a request may land that left before: none is under way for more than a minute.
const CANCEL_LANDS_BY: u8 = 1;

const REFUSED: Refusal = Refusal { family: Family::F300, error_type: ErrorType::InsufficientFunds };

/// What a run must have come by.
pub(super) const REACHED: [&str; 7] = [
    "delivered",
    "canceled after a doubt",
    "told too late",
    "a lease lost",
    "a replay after a crash",
    "a create that landed after its time-out",
    "held for the caller",
];

fn instant(at: u8) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + INSTANTS[usize::from(at)], 0).unwrap()
}

/// How much may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) faults: u8,
    pub(super) crashes: u8,
    pub(super) freezes: u8,
    pub(super) wishes: u8,
    pub(super) retries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gift {
    None,
    Live,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Leased and committed; nothing has left.
    Ready,
    /// On its way to Amazon.
    Sent(Action, u8),
    /// Amazon has done it, and its answer is on its way back.
    Done(Action, Event, u8),
    /// The outcome is known here, and not written.
    Heard(Event, u8),
    /// The lease is kept over a pause.
    Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Worker {
    phase: Phase,
    token: u8,
    /// The facts as they were leased.
    facts: Option<Facts>,
    /// Someone waits for it.
    caller: bool,
}

const IDLE: Worker = Worker { phase: Phase::Idle, token: 0, facts: None, caller: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    facts: Facts,
    /// Whose lease; 0 for nobody's.
    lease: u8,
    due: bool,
    not_before: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    at: u8,
    left: Budget,
    row: Option<Row>,
    workers: [Worker; 2],
    tokens: u8,
    gift: Gift,
    /// Requests that nobody waits for any more and that may still land, by when they left.
    stray_create: Option<u8>,
    stray_cancel: Option<u8>,
    careful: bool,
    delivered: bool,
    marks: u8,
    wrong: Option<&'static str>,
}

fn first(careful: bool, now: DateTime<Utc>) -> Facts {
    Facts {
        state: State::Issuing,
        ambiguous: false,
        cancel_requested: false,
        cancel_if_unresolved: careful,
        refusals: 0,
        cancel_doubt: false,
        cancel_failure: None,
        retryable: false,
        first_send_at: Some(now),
    }
}

impl World {
    pub(super) fn beginnings(left: Budget) -> [Self; 2] {
        [false, true].map(|careful| Self {
            at: 0,
            left,
            row: None,
            workers: [IDLE, IDLE],
            tokens: 0,
            gift: Gift::None,
            stray_create: None,
            stray_cancel: None,
            careful,
            delivered: false,
            marks: 0,
            wrong: None,
        })
    }

    /// What was come by on the way here.
    pub(super) fn marks(&self) -> impl Iterator<Item = &'static str> {
        let marks = self.marks;
        REACHED.iter().enumerate().filter(move |(bit, _what)| marks & (1 << bit) != 0).map(|(_bit, what)| *what)
    }

    /// Where the reward stands.
    pub(super) fn state(&self) -> Option<&'static str> {
        self.row.map(|row| row.facts.state.as_str())
    }

    fn mark(&mut self, bit: u8) {
        self.marks |= 1 << bit;
    }

    /// The promise that is broken, if one is.
    pub(super) fn broken(&self) -> Option<String> {
        if let Some(wrong) = self.wrong {
            return Some(wrong.to_owned());
        }
        let row = self.row?;
        let sent = |worker: &Worker, which| matches!(worker.phase, Phase::Sent(action, _) if action == which);
        let cancel_may_land = self.at <= CANCEL_LANDS_BY
            && (self.stray_cancel.is_some() || self.workers.iter().any(|worker| sent(worker, Action::Cancel)));
        let state = row.facts.state;
        let none = matches!(state, State::Canceled | State::Failed);
        let told = state == State::Issued && row.facts.cancel_failure.is_some();
        let open = machine::due(&row.facts, instant(self.at)).is_some();
        let broken = [
            (none && self.gift == Gift::Live, "I2: a live card of a row that says there is none"),
            (
                none && self.gift == Gift::None && self.stray_create.is_some(),
                "K6: a create may still land after the row says that there is no card",
            ),
            (state == State::Issued && self.gift != Gift::Live, "I3: an issued row without its live card"),
            (told && cancel_may_land, "a cancel may land after its verdict"),
            (open && !row.due && row.lease == 0, "I15: nobody will ever take the row up"),
        ];
        broken.into_iter().find(|(is, _why)| *is).map(|(_is, why)| why.to_owned())
    }

    /// Everything that can happen next.
    pub(super) fn steps(&self, bug: Option<Bug>) -> Vec<(String, Self)> {
        let mut steps = Vec::new();
        self.time(&mut steps);
        self.caller(&mut steps);
        self.strays(&mut steps);
        for at in 0..self.workers.len() {
            let mut own = Vec::new();
            self.work(at, bug, &mut own);
            steps.extend(own.into_iter().map(|(step, world)| (format!("{step}/{at}"), world)));
        }
        steps
    }

    fn time(&self, steps: &mut Vec<(String, Self)>) {
        if usize::from(self.at) + 1 < INSTANTS.len() {
            let mut world = Self { at: self.at + 1, ..*self };
            // What has been under way for so long is gone.
            world.stray_create = self.stray_create.filter(|left| left + 1 >= world.at);
            world.stray_cancel = self.stray_cancel.filter(|_left| world.at <= CANCEL_LANDS_BY);
            // Who waits for Amazon has timed out by then, or has an answer.
            let waits = |worker: &Worker| matches!(worker.phase, Phase::Sent(..) | Phase::Done(..));
            if !self.workers.iter().any(waits) {
                steps.push((format!("tick{}", INSTANTS[usize::from(world.at)]), world));
            }
        }
    }

    fn caller(&self, steps: &mut Vec<(String, Self)>) {
        let now = instant(self.at);
        let Some(row) = self.row else {
            let mut world = *self;
            world.tokens += 1;
            let facts = first(self.careful, now);
            world.row = Some(Row { facts, lease: world.tokens, due: true, not_before: 0 });
            world.workers[0] = Worker { phase: Phase::Ready, token: world.tokens, facts: Some(facts), caller: true };
            steps.push(("issue".to_owned(), world));
            return;
        };
        if self.left.wishes > 0
            && let Ok(next) = machine::step(row.facts, Event::CancelAsked, now)
            && next.facts != row.facts
        {
            let mut world = *self;
            world.left.wishes -= 1;
            world.row = Some(if row.lease != 0 && next.facts.state != State::Canceled {
                Row { facts: next.facts, ..row }
            } else {
                released(&next)
            });
            steps.push(("wish".to_owned(), world));
        }
        let idle = self.workers.iter().position(|worker| worker.phase == Phase::Idle);
        if self.left.retries > 0
            && row.facts.state == State::Failed
            && let Some(at) = idle
            && let Ok(next) = machine::step(row.facts, Event::Begin, now)
        {
            let mut world = *self;
            world.left.retries -= 1;
            world.lease(at, row, next.facts, true);
            steps.push(("retry".to_owned(), world));
        }
    }

    /// What nobody waits for lands.
    fn strays(&self, steps: &mut Vec<(String, Self)>) {
        if self.stray_create.is_some() {
            let mut world = Self { stray_create: None, ..*self };
            if world.gift == Gift::None {
                world.gift = Gift::Live;
                world.mark(5);
            }
            steps.push(("late-create".to_owned(), world));
        }
        if self.stray_cancel.is_some() && self.at <= CANCEL_LANDS_BY {
            let mut world = Self { stray_cancel: None, ..*self };
            if world.gift == Gift::Live {
                world.gift = Gift::Refunded;
            }
            steps.push(("late-cancel".to_owned(), world));
        }
    }

    fn lease(&mut self, at: usize, row: Row, facts: Facts, caller: bool) {
        self.tokens += 1;
        self.row = Some(Row { facts, lease: self.tokens, due: true, not_before: row.not_before });
        self.workers[at] = Worker { phase: Phase::Ready, token: self.tokens, facts: Some(facts), caller };
    }

    fn work(&self, at: usize, bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let worker = self.workers[at];
        if worker.phase != Phase::Idle && self.left.crashes > 0 {
            let mut world = *self;
            world.left.crashes -= 1;
            world.lose(worker.phase);
            world.workers[at] = IDLE;
            steps.push(("crash".to_owned(), world));
        }
        match worker.phase {
            Phase::Idle => self.take_up(at, bug, steps),
            Phase::Ready => self.send(at, bug, steps),
            Phase::Sent(action, asked) => self.under_way(at, (action, asked), bug, steps),
            Phase::Done(action, event, asked) => {
                let mut world = *self;
                world.workers[at].phase = Phase::Heard(event, asked);
                steps.push(("answer".to_owned(), world));
                if self.left.faults > 0 {
                    let mut world = *self;
                    world.left.faults -= 1;
                    world.workers[at].phase = Phase::Heard(lost(action), asked);
                    steps.push(("answer-lost".to_owned(), world));
                }
            }
            Phase::Heard(event, asked) => self.settle(at, (event, asked), bug, steps),
            Phase::Held => self.go_on(at, bug, steps),
        }
    }

    /// A request whose sender is gone may still land.
    fn lose(&mut self, phase: Phase) {
        if let Phase::Sent(action, asked) = phase {
            match action {
                Action::Cancel => self.stray_cancel = Some(asked),
                Action::Create | Action::Read => self.stray_create = Some(asked),
            }
        }
    }

    /// `course::resume`: of what is due, or of what someone left or stands still on.
    fn take_up(&self, at: usize, bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let Some(row) = self.row.filter(|row| row.due && row.not_before <= self.at) else { return };
        let mut world = *self;
        let holder = self.workers.iter().any(|worker| worker.phase != Phase::Idle && worker.token == row.lease);
        if row.lease != 0 && holder {
            if self.left.freezes == 0 {
                return;
            }
            world.left.freezes -= 1;
        }
        let left = row.lease != 0 && bug != Some(Bug::AbandonedIsNothing);
        let event = if left { Event::Abandoned } else { Event::Begin };
        let Ok(next) = machine::step(row.facts, event, instant(self.at)) else {
            world.wrong = Some("I15: a due row knows no next step");
            steps.push(("take-up".to_owned(), world));
            return;
        };
        if next.wake == Wake::Now {
            if left {
                world.mark(4);
            }
            world.lease(at, row, next.facts, false);
        } else {
            world.row = Some(released(&next));
        }
        steps.push(("take-up".to_owned(), world));
    }

    /// `drive::send`: what is due is asked again right before the call.
    fn send(&self, at: usize, bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let (now, facts) = (instant(self.at), self.workers[at].facts.unwrap());
        let mut action = machine::due(&facts, now).unwrap_or(Action::Read);
        if bug == Some(Bug::NoBarrier) && facts.cancel_requested && facts.state == State::Unresolved {
            action = Action::Cancel;
        }
        if bug == Some(Bug::NoWindow) && facts.state == State::Canceling && facts.cancel_failure.is_none() {
            action = Action::Cancel;
        }
        let mut world = *self;
        let open = facts.first_send_at.is_some_and(|sent| window::may_cancel(sent, now));
        if action == Action::Cancel && !open {
            world.wrong = Some("I9: a cancel left after 14:50");
        }
        world.workers[at].phase = Phase::Sent(action, self.at);
        steps.push((format!("send-{action:?}").to_lowercase(), world));
        if self.left.faults > 0 {
            let mut world = *self;
            world.left.faults -= 1;
            let event = if action == Action::Cancel { Event::CancelNotSent } else { Event::NotSent };
            world.workers[at].phase = Phase::Heard(event, self.at);
            steps.push(("not-sent".to_owned(), world));
        }
    }

    fn under_way(&self, at: usize, (action, asked): (Action, u8), bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let mut world = *self;
        let event = world.perform(action);
        world.workers[at].phase = Phase::Done(action, event, asked);
        steps.push(("arrive".to_owned(), world));
        if self.left.faults == 0 {
            return;
        }
        let mut fault = *self;
        fault.left.faults -= 1;
        let mut unheard = fault;
        let failed = bug == Some(Bug::TimeoutIsFailure) && action != Action::Cancel;
        let event = if failed { Event::Refused(REFUSED) } else { lost(action) };
        unheard.workers[at].phase = Phase::Heard(event, asked);
        steps.push(("lost".to_owned(), unheard));
        unheard.lose(Phase::Sent(action, asked));
        steps.push(("time-out".to_owned(), unheard));
        if action != Action::Cancel {
            // The limits are looked at before the id.
            fault.workers[at].phase = Phase::Heard(Event::Refused(REFUSED), asked);
            steps.push(("refused".to_owned(), fault));
        } else {
            let mut twice = world;
            twice.left.faults -= 1;
            twice.stray_cancel = Some(asked);
            steps.push(("arrive-twice".to_owned(), twice));
        }
    }

    /// What Amazon does, and answers.
    fn perform(&mut self, action: Action) -> Event {
        match (action, self.gift) {
            (Action::Create | Action::Read, Gift::Refunded) => Event::Seen(Card::Refunded),
            (Action::Create | Action::Read, _) => {
                self.gift = Gift::Live;
                Event::Seen(Card::Fulfilled)
            }
            (Action::Cancel, Gift::None) => Event::CancelRefused(CancelFailure::NotPermitted),
            (Action::Cancel, _) if self.at > CANCEL_LANDS_BY => Event::CancelRefused(CancelFailure::TooLate),
            (Action::Cancel, _) => {
                self.gift = Gift::Refunded;
                Event::CancelDone
            }
        }
    }

    /// `drive::settle` and `drive::decide`.
    fn settle(&self, at: usize, (event, asked): (Event, u8), bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let (worker, row) = (self.workers[at], self.row.unwrap());
        let mut world = *self;
        if row.lease != worker.token && bug != Some(Bug::NoLeaseCheck) {
            world.workers[at] = IDLE;
            world.mark(3);
            steps.push(("lease-lost".to_owned(), world));
            return;
        }
        let asked = instant(if bug == Some(Bug::VerdictByWriting) { self.at } else { asked });
        let mut facts = row.facts;
        if bug == Some(Bug::RefusalProves) && matches!(event, Event::Refused(_)) {
            facts.ambiguous = false;
        }
        if worker.caller
            && let Ok(next) = machine::step_while_awaited(facts, event, asked)
            && next.wake == Wake::Backoff
        {
            let mut held = *self;
            held.row = Some(Row { facts: next.facts, ..row });
            held.workers[at].phase = Phase::Held;
            held.mark(6);
            steps.push(("hold".to_owned(), held));
        }
        let Ok(next) = machine::step(facts, event, asked) else {
            world.workers[at] = IDLE;
            steps.push(("rejected".to_owned(), world));
            return;
        };
        if next.wake == Wake::Now {
            world.row = Some(Row { facts: next.facts, ..row });
            world.workers[at] = Worker { phase: Phase::Ready, facts: Some(next.facts), ..worker };
        } else {
            world.row = Some(released(&next));
            world.workers[at] = IDLE;
        }
        world.settled(row.facts, &next);
        steps.push(("settle".to_owned(), world));
    }

    fn settled(&mut self, before: Facts, next: &Next) {
        if next.deliver {
            if next.facts.state != State::Issued || next.facts.cancel_requested {
                self.wrong = Some("I8: a code left although its cancel was asked for");
            }
            self.delivered = true;
            self.mark(0);
        }
        if next.facts.state == State::Canceled && (before.ambiguous || before.cancel_doubt) {
            self.mark(1);
        }
        if next.facts.state == State::Issued && next.facts.cancel_failure == Some(CancelFailure::TooLate) {
            self.mark(2);
        }
    }

    /// `drive::go_on`.
    fn go_on(&self, at: usize, bug: Option<Bug>, steps: &mut Vec<(String, Self)>) {
        let (worker, row) = (self.workers[at], self.row.unwrap());
        let mut world = *self;
        if bug == Some(Bug::HeldBlind) {
            world.workers[at].phase = Phase::Ready;
        } else if row.lease != worker.token {
            world.workers[at] = IDLE;
        } else if let Ok(next) = machine::step(row.facts, Event::Begin, instant(self.at)) {
            world.row = Some(Row { facts: next.facts, ..row });
            world.workers[at] = Worker { phase: Phase::Ready, facts: Some(next.facts), ..worker };
        } else {
            world.wrong = Some("a held row knows no next attempt");
        }
        steps.push(("go-on".to_owned(), world));
    }
}

const fn lost(action: Action) -> Event {
    match action {
        Action::Cancel => Event::CancelLost,
        Action::Create | Action::Read => Event::Lost,
    }
}

/// The row without a lease, due as the machine says.
fn released(next: &Next) -> Row {
    let not_before = match next.wake {
        Wake::At(instant_of) => (0..4).find(|at| instant(*at) >= instant_of).unwrap_or(3),
        Wake::Never | Wake::Now | Wake::Backoff => 0,
    };
    Row { facts: next.facts, lease: 0, due: next.wake != Wake::Never, not_before }
}
