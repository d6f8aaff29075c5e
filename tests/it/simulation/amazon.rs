//! A simulated Amazon, and the network before it. Time-outs, losses before and after the
//! work, requests that land after their caller has given up, and an intermediary that sends again what nobody answered.

use noshi::{
    engine::{Action, Sight, State},
    kernel::UnknownReason,
    provider::incentives::{ErrorType, Family, Refusal},
};

use super::{
    coverage::Class,
    rng::Rng,
    world::{Ev, KEYS, MILLI, SECOND, Sold, World},
};

/// How far Amazon's clock is off when it is further off than ours may be from each other.
const FAR: i64 = 12 * SECOND;
const WINDOW: i64 = 900 * SECOND;

#[derive(Clone, Copy)]
pub(super) struct Gift {
    pub(super) value: i64,
    /// When its 15 minutes began.
    pub(super) from: i64,
    pub(super) refunded: bool,
    pub(super) claimed: bool,
    pub(super) elsewhere: bool,
    /// When a stranger took it back.
    pub(super) taken_at: i64,
    /// Until then Amazon refuses to cancel it.
    ready_at: i64,
    /// It has refused.
    was_refused: bool,
}

pub(super) struct Amazon {
    /// The cards by id: the key's own id, and the others that it must never have.
    pub(super) cards: [Option<Gift>; KEYS],
    pub(super) strange_debits: usize,
    /// Cards that somebody else has activated.
    pub(super) others: [bool; KEYS],
    pub(super) debits: i64,
    pub(super) credits: i64,
    /// Checked before the id is looked up, so that even a replay is refused.
    limit: Option<Refusal>,
    /// Looked at for new cards only.
    funds: Option<Refusal>,
    /// Cancels are refused for the account's sake.
    cancels: Option<Refusal>,
    /// The window counts from the signed stamp, not from the arrival.
    by_stamp: bool,
    /// The answer to a load's id is that of its first use, whatever has become of the load since.
    pub(super) answers_as_at_first: bool,
    skew: i64,
}

#[derive(Clone)]
pub(super) struct Call {
    pub(super) job: usize,
    pub(super) epoch: u32,
    pub(super) key: usize,
    pub(super) action: Action,
    pub(super) value: i64,
    pub(super) stranger: bool,
    pub(super) stamp: i64,
    /// The intermediary will send it once more.
    pub(super) again: bool,
    pub(super) lost_after: bool,
    pub(super) ended: bool,
    /// When it reached Amazon, last.
    pub(super) arrived: i64,
    pub(super) answer: Option<Answer>,
}

/// What came back, in the classifier's words.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Card(Sight, i64),
    Canceled,
    Refused(Refusal),
    AuthRejected,
    NotSent,
    Unknown(UnknownReason),
}

const UNKNOWN: [(UnknownReason, Class); 9] = [
    (UnknownReason::NotJson, Class::CutBody),
    (UnknownReason::Resend, Class::Resend),
    (UnknownReason::F100, Class::F100),
    (UnknownReason::F500, Class::F500),
    (UnknownReason::ServerError, Class::ServerError),
    (UnknownReason::Throttled, Class::Throttled),
    (UnknownReason::NoClaimCode, Class::NoClaimCode),
    (UnknownReason::WrongShape, Class::WrongShape),
    (UnknownReason::Redirect, Class::Redirect),
];

impl Amazon {
    pub(super) fn new(rng: &mut Rng, skew: i64) -> Self {
        let (far, ahead) = (rng.per_mille(150), rng.per_mille(500));
        Self {
            cards: [None; KEYS],
            strange_debits: 0,
            others: [false; KEYS],
            debits: 0,
            credits: 0,
            limit: None,
            funds: None,
            cancels: None,
            by_stamp: rng.per_mille(500),
            answers_as_at_first: false,
            skew: match (far, ahead) {
                (true, true) => FAR,
                (true, false) => -FAR,
                (false, _) => rng.between(-skew, skew + 1),
            },
        }
    }

    pub(super) fn trouble(&mut self, rng: &mut Rng, on: bool) {
        let f300 = |error_type| Refusal { family: Family::F300, error_type };
        (self.limit, self.funds, self.cancels) = (None, None, None);
        if !on {
            return;
        }
        match rng.below(4) {
            0 => self.limit = Some(f300(ErrorType::OperationNotPermitted)),
            1 => self.limit = Some(Refusal { family: Family::F200, error_type: ErrorType::MaxAmountExceeded }),
            2 => self.funds = Some(f300(ErrorType::InsufficientFunds)),
            _ => self.cancels = Some(f300(ErrorType::AccountHasProblems)),
        }
    }
}

impl World<'_> {
    /// A request reaches Amazon, whether its caller lives or not.
    pub(super) fn arrive(&mut self, at: usize) {
        let call = self.calls[at].clone();
        let gone = call.ended || self.replicas[self.jobs[call.job].replica].epoch != call.epoch;
        let odd = self.rng.per_mille(self.weather.odd_answer);
        let before = odd && self.rng.per_mille(500);
        let cancel = call.action == Action::Reverse;
        if gone {
            self.met(if cancel { Class::LateCancel } else { Class::LateCreate });
        }
        self.calls[at].arrived = self.now;
        let mut answer = match (before, self.sold) {
            (true, _) => Answer::Unknown(UnknownReason::ServerError),
            (false, Sold::Code) if cancel => self.do_cancel(&call),
            (false, Sold::Code) => self.do_create(&call),
            (false, Sold::Card) => self.do_with_card(&call),
            (false, Sold::Load) => self.do_with_load(&call),
        };
        if odd {
            answer = self.odd_answer(answer, cancel);
        }
        if call.again {
            // Something on the way sent it again because a connection broke; then its caller has no answer either. That it
            // had one, to the second of the two, is not modelled: a refusal would then prove nothing, and nobody could know.
            self.met(Class::Duplicate);
            self.calls[at].again = false;
            let wait = self.rng.between(MILLI, 3 * SECOND);
            self.later(wait, Ev::Arrive(at));
            return;
        }
        if call.lost_after {
            self.met(Class::LostAfter);
            if self.rng.per_mille(500) {
                return;
            }
            answer = Answer::Unknown(UnknownReason::ConnectionLost);
        }
        self.calls[at].answer = Some(answer);
        let wait = self.rng.between(20 * MILLI, 300 * MILLI);
        self.later(wait, Ev::Answered(at));
    }

    /// An answer that is not what it should be; those that say nothing may come after the work or instead of it.
    fn odd_answer(&mut self, answer: Answer, cancel: bool) -> Answer {
        if !cancel
            && let Answer::Card(card, value) = answer
            && self.rng.per_mille(150)
        {
            return if self.rng.per_mille(500) {
                Answer::Card(Sight::Odd, value)
            } else {
                Answer::Card(card, value + 1)
            };
        }
        let (reason, class) = UNKNOWN[self.rng.below(UNKNOWN.len())];
        self.met(class);
        Answer::Unknown(reason)
    }

    pub(super) fn do_create(&mut self, call: &Call) -> Answer {
        if let Some(refusal) = self.amazon.limit {
            if self.amazon.cards[call.key].is_some() {
                self.met(Class::LimitFirst);
            }
            return Answer::Refused(refusal);
        }
        if call.stranger {
            self.amazon.strange_debits += 1;
            self.oracle.fail("I1: a second card was bought under another id");
        }
        if let Some(gift) = self.amazon.cards[call.key] {
            self.met(if gift.refunded { Class::DeadReplay } else { Class::Replay });
            return Answer::Card(if gift.refunded { Sight::Reversed } else { Sight::Live }, gift.value);
        }
        if let Some(refusal) = self.amazon.funds {
            return Answer::Refused(refusal);
        }
        let from = if self.amazon.by_stamp { call.stamp } else { self.now + self.amazon.skew };
        let late = if self.rng.per_mille(200) { self.rng.between(SECOND, 1_000 * SECOND) } else { 0 };
        let gift = Gift {
            value: call.value,
            from,
            refunded: false,
            claimed: false,
            elsewhere: false,
            taken_at: -1,
            ready_at: self.now + late,
            was_refused: false,
        };
        self.amazon.cards[call.key] = Some(gift);
        self.amazon.debits += call.value;
        self.note("bought", "", call.key, call.value);
        Answer::Card(Sight::Live, call.value)
    }

    pub(super) fn do_cancel(&mut self, call: &Call) -> Answer {
        let refuse = |family, error_type| Answer::Refused(Refusal { family, error_type });
        if let Some(refusal) = self.amazon.cancels {
            return Answer::Refused(refusal);
        }
        let Some(gift) = self.amazon.cards[call.key] else {
            return refuse(Family::F300, ErrorType::OperationNotPermitted);
        };
        if gift.refunded {
            self.met(Class::CancelAgain);
            return Answer::Canceled;
        }
        let has_window = self.sold != Sold::Card;
        if has_window && self.now + self.amazon.skew >= gift.from + WINDOW {
            return refuse(Family::F200, ErrorType::CancelRequestArrivedAfterTimeLimit);
        }
        if gift.claimed {
            return refuse(Family::F300, ErrorType::OperationNotPermitted);
        }
        if self.now < gift.ready_at {
            self.amazon.cards[call.key] = Some(Gift { was_refused: true, ..gift });
            return refuse(Family::F200, ErrorType::GcNotReadyForRefund);
        }
        if gift.was_refused {
            self.met(Class::RefusedThenCanceled);
        }
        self.refund(call.key);
        self.oracle.refunded(self.rows[call.key].as_ref());
        Answer::Canceled
    }

    fn refund(&mut self, key: usize) {
        if let Some(gift) = &mut self.amazon.cards[key] {
            gift.refunded = true;
            self.amazon.credits += gift.value;
        }
        self.note("refunded", "", key, 0);
    }

    pub(super) fn claim(&mut self, key: usize) {
        let issued = self.rows[key].is_some_and(|row| row.order.state() == State::Issued);
        let spendable = self.oracle.was_delivered(key) || self.sold != Sold::Code && issued;
        if spendable && let Some(gift) = &mut self.amazon.cards[key] {
            gift.claimed = !gift.refunded;
            self.met(Class::Claimed);
            self.note("claimed", "", key, 0);
        }
    }

    pub(super) fn elsewhere(&mut self, key: usize) {
        if self.sold == Sold::Card && self.amazon.cards[key].is_none() {
            self.amazon.others[key] = true;
            self.note("activated", "by a stranger", key, 0);
        }
        let Some(gift) = &mut self.amazon.cards[key] else { return };
        if !gift.refunded && !gift.claimed {
            (gift.elsewhere, gift.taken_at) = (true, self.now);
            self.met(Class::Elsewhere);
            self.refund(key);
        }
    }
}

/// The text of a card's code: one card, one code.
pub(super) fn code_of(key: usize, value: i64) -> String {
    format!("NSHI-{value:06}-{key:04}")
}
