//! The seeded bugs: what could be wrong with the service, each behind a switch of this test binary, so that a release
//! build cannot have it. Each is planted around the driver: in what it is told, in what it asks for, or in the world.

use chrono::{DateTime, TimeDelta, Utc};
use noshi::{
    engine::{
        Action, Drive, End, Event, Input, Instruction, Order, RefusalClass, ReversalFailure, Sight, Stage, State,
        drive::{Change, Milestone},
        order::Reversed,
        schedule::Moment,
    },
    kernel::{CardProof, ClaimCode, UnknownReason},
    provider::incentives::{ErrorType, Family, Outcome, Refusal},
};

use super::world::Sold;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// What is wrong on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Bug { $($(#[$doc])* $name),* }

        impl Bug {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

bugs! {
    SendBeforeCommit = "B1 the create leaves before T1 is committed",
    NewIdOnRetry = "B2 a retry has a new id",
    TimeoutIsFailure = "B3 a time-out is a failure",
    StatusIgnored = "B4 the card's status is ignored",
    ValueIgnored = "B5 the card's value is not compared",
    NoVersionCheck = "B6 T2 does not compare the version",
    RefusalProves = "B7 a refusal of a replay is taken as not created",
    CancelWithoutProof = "B8 a cancel leaves before existence is proven",
    ShortLease = "B14 the lease is shorter than an attempt",
    DeliverUnconfirmed = "B15 the code leaves although T2 is not confirmed",
    CutBodyIsFailure = "B16 a cut body is a failure",
    DeadlineFromLastAttempt = "B18 the cancel window counts from the last attempt",
    RecoveryDies = "B19 the recovery ends at the first error of the store",
    EarlyVerdict = "N1 not canceled is said before 16:00",
    StaleCancelCheck = "N2 the window is checked when the row is claimed only",
    AbandonedIsNothing = "N3 an abandoned lease is not ambiguous",
    WishForgotten = "N4 the settle does not see the wish to cancel",
    DeliverAfterLeaseLost = "N6 who lost the lease delivers",
    ShownUnseen = "N7 a code is shown without a look at the row",
    NotWithdrawn = "N8 on_unresolved=cancel forgets the caller who stopped waiting",
    WithdrawnOnce = "N11 the wish of a caller who stopped waiting is tried once",
    WindowMoves = "N9 a replay moves the first send",
    LossIsFailure = "N10 a lost connection is a failure",
    RefusalIsVerdict = "N13 a refused cancel is final inside the window",
    NobodysIsIssued = "N14 what nobody has is issued quietly when its cancel fails",
    HeldBlind = "N12 the attempt after a pause does not look at the row",
    /// Of cards, this one and the next two.
    CheckProves = "N15 a status check is taken as proof of who activated",
    ReplayIsPresent = "N16 the answer to a replay is taken for the present",
    AbsentIsNothing = "N17 a check that shows nothing is taken as not activated",
    /// Of loads.
    LoadedIsPresent = "N18 a replay that says loaded is taken for a void that was not done",
}

impl Bug {
    /// What it is about.
    pub(super) fn sold(self) -> Sold {
        let of_cards = matches!(self, Self::CheckProves | Self::ReplayIsPresent | Self::AbsentIsNothing);
        if of_cards {
            Sold::Card
        } else if self == Self::LoadedIsPresent {
            Sold::Load
        } else {
            Sold::Code
        }
    }
}

const NOTHING: Refusal = Refusal { family: Family::F200, error_type: ErrorType::Other };

/// The classifier's word, or what the bug makes of it.
pub(super) fn heard<T>(bug: Option<Bug>, outcome: Outcome<T>) -> Outcome<T> {
    let wrong = match (&outcome, bug) {
        (Outcome::Unknown(UnknownReason::Timeout), Some(Bug::TimeoutIsFailure)) => true,
        (Outcome::Unknown(UnknownReason::NotJson), Some(Bug::CutBodyIsFailure)) => true,
        (Outcome::Unknown(UnknownReason::ConnectionLost), Some(Bug::LossIsFailure)) => true,
        (_, _) => false,
    };
    if wrong { Outcome::Refused(NOTHING) } else { outcome }
}

/// The driver, with a bug around it or none.
pub(super) struct Planted {
    drive: Drive,
    bug: Option<Bug>,
    /// What the last answer was.
    heard: Option<Event>,
    /// What was asked for last.
    asked: Option<Instruction>,
    /// A change that the driver did not ask for is being committed.
    own: bool,
}

impl Planted {
    pub(super) fn new(drive: Drive, bug: Option<Bug>) -> Self {
        Self { drive, bug, heard: None, asked: None, own: false }
    }

    pub(super) fn order(&self) -> &Order {
        &self.drive.order
    }

    /// What the driver would send now.
    pub(super) fn action(&self, now: DateTime<Utc>) -> Action {
        let mut drive = self.drive;
        let order = &mut drive.order;
        match (self.bug, &mut order.stage) {
            (Some(Bug::CancelWithoutProof), Stage::Unproven(sent)) if sent.reversal_wanted => return Action::Reverse,
            (Some(Bug::DeadlineFromLastAttempt), Stage::Reversing(reversal)) => {
                reversal.first_sent_at = order.updated_at;
            }
            (_, _) => {}
        }
        drive.action(now)
    }

    /// Whether the change that was asked for is taken as committed without a look at the row.
    pub(super) fn is_blind(&self) -> bool {
        let resumes = matches!(self.asked, Some(Instruction::Commit(Change { milestone: Milestone::Sent, .. })));
        self.bug == Some(Bug::HeldBlind) && resumes
    }

    pub(super) fn next(&mut self, mut input: Input, moment: Moment) -> Instruction {
        if let Input::Answered(answer) = input {
            self.heard = Some(answer.event);
        }
        self.twist(&mut input, moment);
        let instruction = self.instead(input, moment).unwrap_or_else(|| self.drive.next(input, moment));
        let instruction = self.amend(instruction);
        self.asked = Some(instruction);
        instruction
    }

    /// What the driver knows of the order, or is told of it, bent by the bug.
    fn twist(&mut self, input: &mut Input, moment: Moment) {
        let (bug, heard, held) = (self.bug, self.heard, matches!(self.asked, Some(Instruction::Hold(_))));
        if let (Some(Bug::RefusalIsVerdict), Input::Answered(answer)) = (bug, &mut *input)
            && matches!(answer.event, Event::ReversalRefused(_))
        {
            answer.event = Event::ReversalRefused(ReversalFailure::TooLate);
        }
        if let Input::Answered(answer) = &mut *input {
            match (bug, answer.event) {
                (Some(Bug::CheckProves), Event::Seen(Sight::Unattributed)) => answer.event = Event::Seen(Sight::Live),
                (Some(Bug::AbsentIsNothing), Event::Seen(Sight::Absent)) => {
                    answer.event = Event::Refused(RefusalClass::Final);
                }
                (_, _) => {}
            }
        }
        let bend = |order: &mut Order| match (bug, &mut order.stage) {
            (Some(Bug::RefusalProves), Stage::Sending(sent) | Stage::Unproven(sent))
                if matches!(heard, Some(Event::Refused(_))) =>
            {
                sent.doubt = false;
            }
            (Some(Bug::WishForgotten), Stage::Sending(sent) | Stage::Unproven(sent))
                if matches!(heard, Some(Event::Seen(_))) =>
            {
                sent.reversal_wanted = false;
            }
            (Some(Bug::WindowMoves), Stage::Sending(sent) | Stage::Unproven(sent)) if held => {
                sent.first_sent_at = moment.now;
            }
            (Some(Bug::EarlyVerdict), Stage::Reversing(reversal)) if heard == Some(Event::Seen(Sight::Live)) => {
                reversal.doubt = false;
            }
            (Some(Bug::AbsentIsNothing), Stage::Sending(sent) | Stage::Unproven(sent))
                if heard == Some(Event::Seen(Sight::Absent)) =>
            {
                sent.doubt = false;
            }
            (Some(Bug::NobodysIsIssued), Stage::Reversing(reversal)) => reversal.handed_out = true,
            (_, _) => {}
        };
        match input {
            Input::Answered(_) | Input::Slept => bend(&mut self.drive.order),
            Input::Conflict(Some(row)) => bend(row),
            Input::Begin | Input::Committed | Input::Conflict(None) | Input::Unconfirmed | Input::Unsendable => {}
        }
    }

    /// What the bug does in the driver's place.
    fn instead(&mut self, input: Input, moment: Moment) -> Option<Instruction> {
        let delivered = Instruction::Done(End::Settled { deliver: true });
        if std::mem::take(&mut self.own) {
            let end = if input == Input::Committed { End::Settled { deliver: false } } else { End::LeaseLost };
            return Some(Instruction::Done(end));
        }
        match (self.bug?, input, self.asked) {
            (Bug::DeliverUnconfirmed, Input::Unconfirmed, Some(Instruction::Commit(change))) => {
                let proven = matches!(change.order.stage, Stage::Proven(_)) && change.from != State::Canceling;
                (proven && matches!(change.milestone, Milestone::Settled { .. })).then_some(delivered)
            }
            (Bug::ShownUnseen, Input::Answered(answer), Some(Instruction::Read)) => {
                matches!(answer.event, Event::Seen(_)).then_some(delivered)
            }
            (Bug::CancelWithoutProof, Input::Answered(answer), _) => self.cancel_unproven(answer.event, moment),
            (_, _, _) => None,
        }
    }

    fn cancel_unproven(&mut self, event: Event, moment: Moment) -> Option<Instruction> {
        let order = self.drive.order;
        let Stage::Unproven(sent) = order.stage else { return None };
        let stage = match event {
            Event::ReversalDone | Event::ReversalRefused(_) => Stage::Reversed(Reversed {
                first_sent_at: Some(sent.first_sent_at),
                proven_at: None,
                reversed_at: Some(moment.now),
                reversal_failure: None,
            }),
            Event::ReversalLost | Event::ReversalNotSent => order.stage,
            Event::Begin
            | Event::Abandoned
            | Event::Seen(_)
            | Event::Refused(_)
            | Event::Lost
            | Event::NotSent
            | Event::ReversalAsked
            | Event::GiveUp => return None,
        };
        let over = matches!(stage, Stage::Reversed(_));
        let due_at = (!over).then(|| moment.now + TimeDelta::seconds(1));
        self.own = true;
        let changed = Order { stage, lease: None, due_at, updated_at: moment.now, ..order };
        let milestone = Milestone::Settled { event, attempt: order.attempts };
        Some(Instruction::Commit(Change { order: changed, from: State::Unresolved, milestone }))
    }

    fn amend(&self, instruction: Instruction) -> Instruction {
        let seen = self.heard == Some(Event::Seen(Sight::Live));
        if instruction == Instruction::Done(End::LeaseLost) && self.bug == Some(Bug::DeliverAfterLeaseLost) && seen {
            return Instruction::Done(End::Settled { deliver: true });
        }
        instruction
    }
}

/// A due row as a recovery takes it up, bent by the bug.
pub(super) fn taken_up(bug: Option<Bug>, mut order: Order, moment: Moment) -> Order {
    let leased = order.lease.is_some();
    match (bug, &mut order.stage) {
        (Some(Bug::AbandonedIsNothing), _) => order.lease = None,
        (Some(Bug::WindowMoves), Stage::Sending(sent) | Stage::Unproven(sent)) if !leased => {
            sent.first_sent_at = moment.now;
        }
        (_, _) => {}
    }
    order
}

/// What a create's answer shows of the card, or what the bug sees in it.
pub(super) fn proof(bug: Option<Bug>, card: Sight, code: ClaimCode) -> CardProof {
    match card {
        Sight::Live => CardProof::Fulfilled(code),
        Sight::Reversed | Sight::Odd if bug == Some(Bug::StatusIgnored) => CardProof::Fulfilled(code),
        Sight::Mismatch if bug == Some(Bug::ValueIgnored) => CardProof::Fulfilled(code),
        Sight::Reversed => CardProof::Refunded,
        Sight::Odd => CardProof::OddStatus,
        Sight::Mismatch => CardProof::Mismatch,
        Sight::Absent | Sight::Unattributed => panic!("a gift code is read by its replay, which makes the card"),
        Sight::Undecided | Sight::Declined => panic!("Amazon decides about a gift code at once"),
    }
}
