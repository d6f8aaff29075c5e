//! The driver: after each input it answers what comes next. It does no I/O and reads no clock, so tests run it as it
//! is.
//!
//! A drive has one of four goals: carry an order that was just leased, reverse one, show the receipt of one again, or look
//! at one.
//! The loop ([`super::run()`]) does what a [`Instruction`] says and answers with an [`Input`]:
//!
//! ```text
//! carry    Send ─▶ Answered ─▶ Commit(settled) ─▶ Committed ─┬▶ Done
//!           ▲                                                ├▶ Send                      the next step is due at once
//!           └────── Committed ◀─ Commit(sent) ◀─ Slept ◀── Hold ◀┘                        its caller still waits
//! reverse  Commit(reversal wanted) ─▶ Committed ─┬▶ Done                                  in flight: its worker sees the wish
//!                                                └▶ Send, as above
//! show     Read ─▶ Answered ─▶ Commit(shown) ─▶ Committed ─▶ Done
//! look     Read ─▶ Answered ─┬▶ Done
//!                            └▶ Commit(shown) ─▶ Committed ─▶ Done                       it is not as the row says
//! ```
//!
//! Every `Commit` names the version that it expects. `Conflict` brings the row as it stands now, and the driver decides
//! anew; `Unconfirmed` means that the commit failed or that its answer was lost, and nobody knows which.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    event::{Event, Sight},
    order::{Action, Order, Stage, State, Wisher},
    rules::Rules,
    schedule::{self, Lease, Moment},
    step::{Next, Rejected, Step, Wake},
};

/// Attempts that a drive makes before it leaves the rest to recovery: forward, reverse and a read fit.
const STEPS_MAX: usize = 4;
/// Waits between tries to write an outcome: the proof, and perhaps a receipt, are in hand. A lease holds longer.
const SETTLE_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// Waits between tries to write the wish of a caller who has stopped waiting: nobody else knows of it.
const WISH_PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];
/// What is left of a caller's time must hold the pause before another attempt, and this for the attempt itself.
const ATTEMPT: Duration = Duration::from_millis(500);

/// Limits of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DriveLimits {
    /// How long a lease holds: longer than any attempt.
    pub lease: Duration,
    /// How long after its first send an order may be replayed: a remote service that has forgotten the id would do it
    /// again.
    pub replay_age: Duration,
}

/// A change to be committed, if the row is still the version that it was made from: `order.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// The order as it is to be.
    pub order: Order,
    /// The stage that it comes from.
    pub from: State,
    /// What a timeline shows of the change.
    pub milestone: Milestone,
}

/// What a timeline shows of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// An attempt is about to be sent.
    Sent,
    /// The outcome of this attempt.
    Settled {
        /// What its answer was.
        event: Event,
        /// The attempt's number.
        attempt: i64,
    },
    /// A reversal is wanted.
    ReversalWanted,
    /// The receipt is shown again, or the read found that it must not be.
    Shown {
        /// It is shown.
        deliver: bool,
    },
}

/// What the driver asks the loop to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Commit this change: answer `Committed`, `Conflict` or `Unconfirmed`.
    Commit(Change),
    /// Send what is due for the order, which is committed and leased: answer `Answered` or `Unsendable`.
    Send,
    /// Read the effect: answer `Answered` or `Unsendable`.
    Read,
    /// Wait so long: answer `Slept`.
    Sleep(Duration),
    /// Wait so long with the lease kept, because the caller waits: answer `Slept`, at once when the process is to stop.
    Hold(Duration),
    /// The drive is over.
    Done(End),
}

/// What the loop reports to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The drive begins.
    Begin,
    /// The change is durable.
    Committed,
    /// The row is another version; this is what is durable now. `None` when there is no row.
    Conflict(Option<Order>),
    /// The store failed, or the answer to the commit was lost.
    Unconfirmed,
    /// The remote service answered, or did not in time.
    Answered(DatedEvent),
    /// Nothing may be sent for this order from here.
    Unsendable,
    /// The wait is over.
    Slept,
}

/// What an answer is to the state machine, and when its request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatedEvent {
    /// What the answer shows.
    pub event: Event,
    /// When the request left. The answer does not show what happened at the remote service after that.
    pub asked_at: DateTime<Utc>,
}

/// How a drive ended. Unfinished work is durable, and recovery takes it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// There is nothing to do at once.
    Settled {
        /// The receipt in hand may be given to the caller.
        deliver: bool,
    },
    /// The wish to reverse is recorded; another worker carries it out.
    Recorded,
    /// The row says already what was wished for.
    Unchanged,
    /// The stage does not allow what was wished for.
    Rejected(Rejected),
    /// The read proved nothing, or the order has no receipt to show.
    NotShown,
    /// The receipt was shown too often.
    ShownTooOften,
    /// Another worker has taken the order over.
    LeaseLost,
    /// The outcome is committed by this drive, and the store did not confirm it at the time.
    Unheard,
    /// The remote service may have forgotten the id.
    TooOld,
    /// Nothing may be sent for this order from here.
    Unsendable,
    /// The store did not confirm the last change.
    Unconfirmed,
}

impl End {
    /// The word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Recorded => "recorded",
            Self::Unchanged => "unchanged",
            Self::Rejected(_) => "rejected",
            Self::NotShown => "not_shown",
            Self::ShownTooOften => "shown_too_often",
            Self::LeaseLost => "lease_lost",
            Self::Unheard => "unheard",
            Self::TooOld => "too_old",
            Self::Unsendable => "unsendable",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Goal {
    Carry,
    Reverse { wisher: Wisher },
    Show { showings_max: i64 },
    Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// Nothing was asked for yet.
    New,
    /// An attempt is under way.
    Sent,
    /// A read is under way.
    Asked,
    /// An outcome is being committed: to which end, and with the lease kept over which pause.
    Settling { answer: DatedEvent, change: Change, deliver: bool, pause: Option<Duration> },
    /// An outcome is committed again after a pause.
    Stumbled { answer: DatedEvent },
    /// The lease is kept over a pause, because the caller waits.
    Held,
    /// The attempt after the pause is being committed.
    Resuming { change: Change },
    /// The wish to reverse is being committed. `in_flight`: another worker's attempt is under way.
    Wishing { change: Change, in_flight: bool },
    /// The wish is committed again after a pause.
    Wished,
    /// A showing is being committed.
    Noting { answer: DatedEvent, change: Change, deliver: bool },
}

/// One drive of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Drive {
    /// The order as this drive last saw it committed.
    pub order: Order,
    token: Uuid,
    rules: Rules,
    limits: DriveLimits,
    goal: Goal,
    phase: Phase,
    /// Attempts since the drive began or last paused.
    steps: usize,
    /// Tries to commit the present change.
    tries: usize,
}

impl Drive {
    fn new(order: Order, token: Uuid, goal: Goal, rules: Rules, limits: DriveLimits) -> Self {
        Self { order, token, rules, limits, goal, phase: Phase::New, steps: 1, tries: 0 }
    }

    /// Carries an order whose attempt is committed and leased under `token`.
    #[must_use]
    pub fn carry(order: Order, token: Uuid, rules: Rules, limits: DriveLimits) -> Self {
        Self::new(order, token, Goal::Carry, rules, limits)
    }

    /// Reverses an order, under `token` where the reversal can be sent at once.
    #[must_use]
    pub fn reverse(order: Order, token: Uuid, wisher: Wisher, rules: Rules, limits: DriveLimits) -> Self {
        Self::new(order, token, Goal::Reverse { wisher }, rules, limits)
    }

    /// Shows the receipt of a proven order again, by a read, at most `showings_max` times in all.
    #[must_use]
    pub fn show(order: Order, showings_max: i64, rules: Rules, limits: DriveLimits) -> Self {
        Self::new(order, Uuid::nil(), Goal::Show { showings_max }, rules, limits)
    }

    /// Reads an order by its kind's own operation, whatever its stage. Only a proven one changes by what the read shows: what
    /// is under way, its worker proves.
    #[must_use]
    pub fn look(order: Order, rules: Rules, limits: DriveLimits) -> Self {
        Self::new(order, Uuid::nil(), Goal::Look, rules, limits)
    }

    /// What to send for the order now. Asked right before the call: a process that stood still must not send a reversal
    /// that was in time when it was committed.
    #[must_use]
    pub fn action(&self, now: DateTime<Utc>) -> Action {
        match self.goal {
            Goal::Show { .. } | Goal::Look => Action::Read,
            Goal::Carry | Goal::Reverse { .. } => self.order.action(&self.rules, now).unwrap_or(Action::Read),
        }
    }

    /// What comes next after `input`.
    pub fn next(&mut self, input: Input, moment: Moment) -> Instruction {
        match (self.phase, input) {
            (Phase::New, Input::Begin) => match self.goal {
                Goal::Carry => self.send(moment),
                Goal::Reverse { .. } => self.wish(moment),
                Goal::Show { showings_max } => self.ask(showings_max, moment),
                Goal::Look => {
                    self.phase = Phase::Asked;
                    Instruction::Read
                }
            },
            (Phase::Sent, Input::Answered(answer)) => {
                self.tries = 0;
                self.settle(answer, moment)
            }
            (Phase::Asked, Input::Answered(answer)) => match answer.event {
                Event::Seen(_) => self.note(answer, moment),
                Event::Begin
                | Event::Abandoned
                | Event::Refused(_)
                | Event::Lost
                | Event::NotSent
                | Event::ReversalAsked
                | Event::ReversalDone
                | Event::ReversalRefused(_)
                | Event::ReversalLost
                | Event::ReversalNotSent
                | Event::GiveUp => Instruction::Done(End::NotShown),
            },
            (_, Input::Unsendable) => Instruction::Done(End::Unsendable),
            (Phase::Settling { change, deliver, pause, .. }, Input::Committed) => {
                self.settled(change, deliver, pause, moment)
            }
            (Phase::Settling { answer, change, .. }, Input::Conflict(row)) => {
                self.settle_anew(answer, change, row, moment)
            }
            (Phase::Settling { answer, .. }, Input::Unconfirmed) => {
                self.again_after(SETTLE_PAUSES.get(self.tries), Phase::Stumbled { answer })
            }
            (Phase::Stumbled { answer }, Input::Slept) => self.settle(answer, moment),
            (Phase::Held, Input::Slept) => self.resume(moment),
            (Phase::Resuming { change }, Input::Committed) => {
                self.adopt(change);
                self.steps = 1;
                self.send(moment)
            }
            (Phase::Resuming { .. }, Input::Conflict(Some(row))) => {
                self.order = row;
                self.resume(moment)
            }
            (Phase::Wishing { change, in_flight }, Input::Committed) => self.wished(change, in_flight, moment),
            (Phase::Wishing { .. }, Input::Conflict(Some(row))) => {
                self.order = row;
                self.wish(moment)
            }
            (Phase::Wishing { .. }, Input::Unconfirmed) => {
                let insists = matches!(self.goal, Goal::Reverse { wisher } if wisher.insists());
                self.again_after(WISH_PAUSES.get(self.tries).filter(|_pause| insists), Phase::Wished)
            }
            (Phase::Wished, Input::Slept) => self.wish(moment),
            (Phase::Noting { change, deliver, .. }, Input::Committed) => {
                self.adopt(change);
                Instruction::Done(End::Settled { deliver })
            }
            (Phase::Noting { answer, .. }, Input::Conflict(Some(row))) => {
                self.order = row;
                self.note(answer, moment)
            }
            (_, Input::Conflict(None)) => Instruction::Done(End::LeaseLost),
            (_, _) => Instruction::Done(End::Unconfirmed),
        }
    }

    fn lease(&self) -> Lease {
        Lease { token: self.token, holds: self.limits.lease }
    }

    /// The change is committed: the order is what it says.
    fn adopt(&mut self, change: Change) {
        self.order = Order { version: change.order.version.saturating_add(1), ..change.order };
    }

    fn again_after(&mut self, pause: Option<&Duration>, phase: Phase) -> Instruction {
        let Some(pause) = pause else { return Instruction::Done(End::Unconfirmed) };
        (self.phase, self.tries) = (phase, self.tries.saturating_add(1));
        Instruction::Sleep(*pause)
    }

    fn send(&mut self, moment: Moment) -> Instruction {
        if schedule::is_too_old(&self.order, self.limits.replay_age, moment.now) {
            return Instruction::Done(End::TooOld);
        }
        self.phase = Phase::Sent;
        Instruction::Send
    }

    /// The outcome of an attempt, to be committed. The event is dated by when the request left, not by when its answer
    /// is settled: a read that left before the window for reversals was over is no verdict, however long its worker, or
    /// the database, stood still afterwards.
    fn settle(&mut self, answer: DatedEvent, moment: Moment) -> Instruction {
        let before = self.order;
        let step = schedule::step(&before, answer.event, moment.now, &self.rules);
        let step = Step { at: answer.asked_at, awaited: moment.awaited && self.goal == Goal::Carry, ..step };
        let milestone = Milestone::Settled { event: answer.event, attempt: before.attempts };
        let of = |order| Change { order, from: before.state(), milestone };
        if let Some((order, pause)) = self.held(&step, moment) {
            let change = of(order);
            self.phase = Phase::Settling { answer, change, deliver: false, pause: Some(pause) };
            return Instruction::Commit(change);
        }
        let Ok(next) = step.apply(before.stage) else { return Instruction::Done(End::LeaseLost) };
        let lease = (self.steps < STEPS_MAX).then(|| self.lease());
        let change = of(schedule::apply(before, &next, lease, &self.rules, moment));
        self.phase = Phase::Settling { answer, change, deliver: next.deliver, pause: None };
        Instruction::Commit(change)
    }

    /// The order with its lease kept over the pause before the next attempt, when that attempt may end while the caller
    /// waits.
    fn held(&self, step: &Step<'_>, moment: Moment) -> Option<(Order, Duration)> {
        if moment.patience <= ATTEMPT {
            return None;
        }
        // What the remote service decides later is not decided while somebody waits.
        if step.event == Event::Seen(Sight::Undecided) {
            return None;
        }
        let next: Next = step.apply_while_awaited(self.order.stage).ok().filter(|next| next.wake == Wake::Backoff)?;
        let backing_off = schedule::apply(self.order, &next, None, &self.rules, moment);
        let (order, pause) = schedule::hold(backing_off, self.lease(), moment.now)?;
        (pause.saturating_add(ATTEMPT) < moment.patience).then_some((order, pause))
    }

    /// The row has changed while the attempt was under way, or the outcome was committed without an answer that said
    /// so.
    fn settle_anew(&mut self, answer: DatedEvent, change: Change, row: Option<Order>, moment: Moment) -> Instruction {
        let Some(row) = row.filter(|row| row.lease == Some(self.token)) else {
            let own = row.is_some_and(|row| self.tries > 0 && schedule::is_left_by(&self.order, &change.order, &row));
            return Instruction::Done(if own { End::Unheard } else { End::LeaseLost });
        };
        let settled = schedule::is_settled(&self.order, &row);
        self.order = row;
        if settled {
            // The commit that nobody confirmed went through. Applied again, the same outcome would mean something else.
            return self.resume(moment);
        }
        self.settle(answer, moment)
    }

    fn settled(&mut self, change: Change, deliver: bool, pause: Option<Duration>, moment: Moment) -> Instruction {
        self.adopt(change);
        match (self.order.lease == Some(self.token), pause) {
            (true, Some(pause)) => {
                (self.phase, self.tries) = (Phase::Held, 0);
                Instruction::Hold(pause)
            }
            (true, None) => {
                self.steps = self.steps.saturating_add(1);
                self.send(moment)
            }
            (false, _) => Instruction::Done(End::Settled { deliver }),
        }
    }

    /// The attempt after a pause, under the same lease. The row may have changed meanwhile: a reversal was asked for.
    fn resume(&mut self, moment: Moment) -> Instruction {
        let before = self.order;
        if before.due_at.is_none() {
            // Reversed while nothing was in flight: there is nothing left to do.
            return Instruction::Done(End::Settled { deliver: false });
        }
        if before.lease != Some(self.token) {
            return Instruction::Done(End::LeaseLost);
        }
        let Ok(order) = schedule::go_on(before, self.lease(), &self.rules, moment.now) else {
            return Instruction::Done(End::LeaseLost);
        };
        let change = Change { order, from: before.state(), milestone: Milestone::Sent };
        self.phase = Phase::Resuming { change };
        Instruction::Commit(change)
    }

    fn wish(&mut self, moment: Moment) -> Instruction {
        let before = self.order;
        match schedule::want_reversal(before, self.lease(), &self.rules, moment) {
            Ok(order) if order == before => Instruction::Done(End::Unchanged),
            Ok(mut order) => {
                if let (Goal::Reverse { wisher: Wisher::Gone }, Stage::Reversing(reversal)) =
                    (self.goal, &mut order.stage)
                    && self.rules.has_receipt
                {
                    // Who waited has gone without the receipt, and nobody was shown it since.
                    reversal.handed_out &= order.showings > 0;
                }
                let change = Change { order, from: before.state(), milestone: Milestone::ReversalWanted };
                self.phase = Phase::Wishing { change, in_flight: before.lease.is_some() };
                Instruction::Commit(change)
            }
            Err(rejected) => Instruction::Done(End::Rejected(rejected)),
        }
    }

    fn wished(&mut self, change: Change, in_flight: bool, moment: Moment) -> Instruction {
        self.adopt(change);
        if in_flight || self.order.lease != Some(self.token) {
            return Instruction::Done(End::Recorded);
        }
        self.send(moment)
    }
}

mod show;
#[cfg(test)]
mod tests;
