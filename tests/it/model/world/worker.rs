//! What a worker does at one step: it takes a row up, sends, hears, commits. A crash, a freeze or a lost message may come at each.

use noshi::{
    engine::{
        Action, AttentionReason, Drive, End, Event, Input, Instruction, Order, RefusalClass, ReversalFailure, Sight,
        Stage, State, Wake,
        drive::{Change, DatedEvent, Milestone},
        schedule,
    },
    incentives::kinds::balance_load::{LoadSight, event_of_load, event_of_reversing_load},
    provider::incentives::Outcome,
};

use super::{CANCEL_LANDS_BY, Gift, IDLE, LIMITS, Phase, SOON, Sold, Steps, Worker, World, token_of};
use crate::model::bugs::Bug;

impl World {
    /// A worker carries the row, which is leased under the last token.
    pub(super) fn carry(&mut self, at: usize, caller: bool) {
        let order = self.row.unwrap();
        let mut drive = Drive::carry(order, order.lease.unwrap(), *self.sold.rules(), LIMITS);
        let first = drive.next(Input::Begin, self.moment(caller));
        assert_eq!(first, Instruction::Send, "a carried order is sent first");
        self.workers[at] = Worker { phase: Phase::Ready, drive: Some(drive), token: self.tokens, caller, stale: false };
    }

    pub(super) fn commit(&mut self, change: Change) {
        self.row = Some(Order { version: change.order.version + 1, ..change.order });
    }

    pub(super) fn work(&self, at: usize, bug: Option<Bug>, steps: &mut Steps) {
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
            Phase::Sent(action, asked) => self.under_way(at, action, asked, bug, steps),
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
            Phase::Heard(event, asked) => self.settle(at, event, asked, bug, steps),
            Phase::Held => {
                let mut world = *self;
                world.report(at, Input::Slept, bug, false);
                steps.push(("go-on".to_owned(), world));
            }
        }
    }

    /// A request whose sender is gone may still land.
    fn lose(&mut self, phase: Phase) {
        if let Phase::Sent(action, asked) = phase {
            match action {
                Action::Reverse => self.stray_cancel = Some(asked),
                // A check buys nothing, whenever it lands.
                Action::Read if self.sold == Sold::Card => {}
                Action::Forward | Action::Read => self.stray_create = Some(asked),
            }
        }
    }

    /// The recovery takes up what is due, or what someone left or stands still on.
    fn take_up(&self, at: usize, bug: Option<Bug>, steps: &mut Steps) {
        let now = self.instant(self.at);
        let due = |row: &Order| row.due_at.is_some_and(|due| due <= now + SOON);
        let Some(mut row) = self.row.filter(due) else { return };
        let mut world = *self;
        let holds = |worker: &Worker| worker.phase != Phase::Idle && row.lease == Some(token_of(worker.token));
        if row.lease.is_some() && self.workers.iter().any(holds) {
            if self.left.freezes == 0 {
                return;
            }
            world.left.freezes -= 1;
        }
        let left = row.lease.is_some();
        if bug == Some(Bug::AbandonedIsNothing) {
            row.lease = None;
        }
        let lease = world.lease();
        let Ok((order, wake)) = schedule::take_up(row, lease, LIMITS.replay_age, self.sold.rules(), self.moment(false))
        else {
            world.wrong = Some("I15: a due row knows no next step");
            steps.push(("take-up".to_owned(), world));
            return;
        };
        world.row = Some(Order { version: row.version + 1, ..order });
        if wake == Wake::Now {
            if left {
                world.mark(4);
            }
            world.carry(at, false);
        }
        steps.push(("take-up".to_owned(), world));
    }

    /// What is due is asked again right before the call.
    fn send(&self, at: usize, bug: Option<Bug>, steps: &mut Steps) {
        let (now, drive) = (self.instant(self.at), self.workers[at].drive.unwrap());
        let (order, mut action) = (drive.order, drive.action(now));
        let unproven = matches!(order.stage, Stage::Unproven(sent) if sent.reversal_wanted);
        let reversing = matches!(order.stage, Stage::Reversing(reversal) if reversal.refused.is_none());
        if bug == Some(Bug::NoBarrier) && unproven || bug == Some(Bug::NoWindow) && reversing {
            action = Action::Reverse;
        }
        let mut world = *self;
        let open = order.stage.first_sent_at().is_some_and(|sent| self.sold.rules().may_reverse(sent, now));
        if action == Action::Reverse && !open {
            world.wrong = Some("I9: a cancel left after 14:50");
        }
        world.workers[at].phase = Phase::Sent(action, self.at);
        steps.push((format!("send-{action:?}").to_lowercase(), world));
        if self.left.faults > 0 {
            let mut world = *self;
            world.left.faults -= 1;
            let event = if action == Action::Reverse { Event::ReversalNotSent } else { Event::NotSent };
            world.workers[at].phase = Phase::Heard(event, self.at);
            steps.push(("not-sent".to_owned(), world));
        }
    }

    fn under_way(&self, at: usize, action: Action, asked: u8, bug: Option<Bug>, steps: &mut Steps) {
        let mut world = *self;
        let event = if self.sold == Sold::Load && action != Action::Reverse {
            world.perform_load(at, bug)
        } else {
            world.perform(action)
        };
        (world.workers[at].phase, world.workers[at].stale) = (Phase::Done(action, event, asked), false);
        steps.push(("arrive".to_owned(), world));
        if self.left.faults == 0 {
            return;
        }
        let mut fault = *self;
        fault.left.faults -= 1;
        let mut unheard = fault;
        let failed = bug == Some(Bug::TimeoutIsFailure) && action != Action::Reverse;
        let event = if failed { Event::Refused(RefusalClass::Curable) } else { lost(action) };
        unheard.workers[at].phase = Phase::Heard(event, asked);
        steps.push(("lost".to_owned(), unheard));
        unheard.lose(Phase::Sent(action, asked));
        steps.push(("time-out".to_owned(), unheard));
        if action == Action::Reverse {
            // It is not ready to be canceled, and may be so later.
            fault.workers[at].phase = Phase::Heard(Event::ReversalRefused(ReversalFailure::NotPermitted), asked);
            steps.push(("not-ready".to_owned(), fault));
            let mut twice = world;
            twice.left.faults -= 1;
            twice.stray_cancel = Some(asked);
            steps.push(("arrive-twice".to_owned(), twice));
        } else if action == Action::Forward || self.sold != Sold::Card {
            // The limits are looked at before the id.
            fault.workers[at].phase = Phase::Heard(Event::Refused(RefusalClass::Curable), asked);
            steps.push(("refused".to_owned(), fault));
        }
    }

    /// What Amazon does, and answers.
    fn perform(&mut self, action: Action) -> Event {
        if self.sold == Sold::Card {
            return self.perform_with_card(action);
        }
        match (action, self.gift) {
            (Action::Forward | Action::Read, Gift::Refunded) => Event::Seen(Sight::Reversed),
            (Action::Forward | Action::Read, _) => {
                self.gift = Gift::Live;
                Event::Seen(Sight::Live)
            }
            (Action::Reverse, Gift::None) => Event::ReversalRefused(ReversalFailure::NotPermitted),
            (Action::Reverse, _) if self.sold == Sold::Code && self.at > CANCEL_LANDS_BY => {
                Event::ReversalRefused(ReversalFailure::TooLate)
            }
            (Action::Reverse, _) => {
                self.gift = Gift::Refunded;
                Event::ReversalDone
            }
        }
    }

    /// A load or its replay, read as the kind reads it.
    fn perform_load(&mut self, at: usize, bug: Option<Bug>) -> Event {
        let sight = match self.gift {
            Gift::Refunded if !self.answers_as_at_first => LoadSight::Voided,
            Gift::Refunded => LoadSight::Loaded,
            Gift::None | Gift::Live => {
                self.gift = Gift::Live;
                LoadSight::Loaded
            }
        };
        let reversing = matches!(self.workers[at].drive.unwrap().order.stage, Stage::Reversing(_));
        let cautious = reversing && bug != Some(Bug::LoadedIsPresent);
        let (event, _code) = if cautious {
            event_of_reversing_load(Outcome::Proven(sight))
        } else {
            event_of_load(Outcome::Proven(sight))
        };
        event
    }

    fn perform_with_card(&mut self, action: Action) -> Event {
        match (action, self.gift) {
            // What came of the first use of our id, whatever has become of the card since.
            (Action::Forward, Gift::Live | Gift::Refunded) => Event::Seen(Sight::Live),
            (Action::Forward, Gift::None) if self.others => Event::Refused(RefusalClass::Elsewhere),
            (Action::Forward, Gift::None) => {
                self.gift = Gift::Live;
                Event::Seen(Sight::Live)
            }
            (Action::Read, Gift::Live) => Event::Seen(Sight::Unattributed),
            (Action::Read, _) if self.others => Event::Seen(Sight::Unattributed),
            (Action::Read, _) => Event::Seen(Sight::Absent),
            (Action::Reverse, Gift::None) => Event::ReversalRefused(ReversalFailure::NotPermitted),
            (Action::Reverse, _) => {
                self.gift = Gift::Refunded;
                Event::ReversalDone
            }
        }
    }

    /// The driver hears the outcome: while its caller waits, and when they have gone.
    fn settle(&self, at: usize, event: Event, asked: u8, bug: Option<Bug>, steps: &mut Steps) {
        let trusted = bug == Some(Bug::CheckProves) && event == Event::Seen(Sight::Unattributed);
        let event = if trusted { Event::Seen(Sight::Live) } else { event };
        let asked_at = self.instant(if bug == Some(Bug::VerdictByWriting) { self.at } else { asked });
        let input = Input::Answered(DatedEvent { event, asked_at });
        let waits = self.workers[at].caller;
        for patient in [true, false].into_iter().filter(|patient| waits || !patient) {
            let mut world = *self;
            if bug == Some(Bug::RefusalProves) && matches!(event, Event::Refused(_)) {
                forget_doubt(&mut world.workers[at].drive.as_mut().unwrap().order);
                world.row.iter_mut().for_each(forget_doubt);
            }
            world.report(at, input, bug, patient);
            steps.push((if patient { "settle-awaited" } else { "settle" }.to_owned(), world));
        }
    }

    /// Reports to a worker's driver what came, and does what it asks for until it has to wait for something.
    fn report(&mut self, at: usize, input: Input, bug: Option<Bug>, patient: bool) {
        let moment = self.moment(patient);
        let mut input = input;
        loop {
            let mut drive = self.workers[at].drive.unwrap();
            let instruction = drive.next(input, moment);
            self.workers[at].drive = Some(drive);
            input = match instruction {
                Instruction::Commit(change) => self.try_commit(at, change, bug),
                Instruction::Send => {
                    self.workers[at].phase = Phase::Ready;
                    return;
                }
                Instruction::Hold(_) => {
                    self.mark(6);
                    self.workers[at].phase = Phase::Held;
                    return;
                }
                Instruction::Done(end) => {
                    self.done(at, end);
                    return;
                }
                Instruction::Read | Instruction::Sleep(_) => {
                    // Nothing is shown here, and the store does not fail.
                    self.wrong = Some("the driver asked for what nothing called for");
                    return;
                }
            };
        }
    }

    /// The database compares the version.
    fn try_commit(&mut self, at: usize, change: Change, bug: Option<Bug>) -> Input {
        let row = self.row.unwrap();
        let blind = bug == Some(Bug::HeldBlind) && change.milestone == Milestone::Sent;
        if blind {
            return Input::Committed;
        }
        if row.version != change.order.version {
            let mut found = row;
            if bug == Some(Bug::NoLeaseCheck) {
                found.lease = Some(token_of(self.workers[at].token));
                found.attempts = self.workers[at].drive.unwrap().order.attempts;
            }
            return Input::Conflict(Some(found));
        }
        let issues = change.order.stage.state() == State::Issued && row.stage.state() != State::Issued;
        if self.sold == Sold::Card && issues && self.gift != Gift::Live && !self.workers[at].stale {
            self.wrong = Some("I3: a card was called ours that is not");
        }
        self.settled(&row, &change);
        self.commit(change);
        Input::Committed
    }

    fn settled(&mut self, before: &Order, change: &Change) {
        let (was, now) = (before.stage, change.order.stage);
        if now.state() == State::Canceled && was.is_in_doubt() {
            self.mark(1);
        }
        if now.state() == State::Issued && now.reversal_failure() == Some(ReversalFailure::TooLate) {
            self.mark(2);
        }
        let refused = |stage: Stage| matches!(stage, Stage::Reversing(reversal) if reversal.refused.is_some());
        if refused(was) && now.state() == State::Canceled {
            self.mark(7);
        }
        if now.attention() == Some(AttentionReason::CancelFailed) {
            self.mark(8);
        }
        if now.attention() == Some(AttentionReason::DoneElsewhere) {
            self.mark(9);
        }
    }

    fn done(&mut self, at: usize, end: End) {
        let drive = self.workers[at].drive.unwrap();
        self.workers[at] = IDLE;
        match end {
            End::Settled { deliver: true } => {
                if !matches!(drive.order.stage, Stage::Proven(_)) {
                    self.wrong = Some("I8: a code left although its cancel was asked for");
                }
                self.delivered = true;
                self.mark(0);
            }
            End::LeaseLost => self.mark(3),
            End::Settled { deliver: false }
            | End::Recorded
            | End::Unchanged
            | End::Rejected(_)
            | End::NotShown
            | End::ShownTooOften
            | End::Unheard
            | End::TooOld
            | End::Unsendable
            | End::Unconfirmed => {}
        }
    }
}

fn forget_doubt(order: &mut Order) {
    if let Stage::Sending(sent) | Stage::Unproven(sent) = &mut order.stage {
        sent.doubt = false;
    }
}

const fn lost(action: Action) -> Event {
    match action {
        Action::Reverse => Event::ReversalLost,
        Action::Forward | Action::Read => Event::Lost,
    }
}
