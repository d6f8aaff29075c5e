//! The way to Amazon and back: what leaves, what is lost, who gives up, and what an answer is to the machine.

use noshi::{
    engine::{Action, Event, RefusalClass, Sight},
    incentives::kinds::gift_code::{event_of_cancel, event_of_create},
    kernel::{AuthRejection, CardProof, ClaimCode, NotSent, UnknownReason},
    provider::incentives::{ErrorType, Outcome},
};

use super::{
    amazon::{Answer, Call, code_of},
    bugs::{self, Bug},
    coverage::Class,
    steps::{Phase, Work},
    world::{Ev, MILLI, SECOND, Sold, World},
};

/// The client's limit for a whole call.
const CALL_TIMEOUT: i64 = 6 * SECOND;
/// The longest that the network holds a request back.
const DELAY_MAX: i64 = 30 * SECOND;

impl World<'_> {
    /// One call leaves.
    pub(super) fn leave(&mut self, job: usize, action: Action, stranger: bool) {
        let (replica, key) = (self.jobs[job].replica, self.jobs[job].key);
        let value = self.value_sent(job);
        let at = self.clock(replica);
        self.oracle.leaves(key, action, self.rows[key].is_some(), at, stranger);
        let stamp = self.now + self.replicas[replica].offset;
        let epoch = self.replicas[replica].epoch;
        let call = self.calls.len();
        let weather = self.weather;
        self.note("send", if action == Action::Reverse { "cancel" } else { "create" }, key, 0);
        let again = self.rng.per_mille(weather.twice);
        let lost_after = again || self.rng.per_mille(weather.lose_after);
        let mut sent = Call {
            job,
            epoch,
            key,
            action,
            value,
            stranger,
            stamp,
            again,
            lost_after,
            ended: false,
            arrived: -1,
            answer: None,
        };
        self.jobs[job].call = call;
        if self.rng.per_mille(weather.connect) {
            sent.answer = Some(if self.rng.per_mille(500) { Answer::NotSent } else { Answer::AuthRejected });
            self.calls.push(sent);
            self.later(200 * MILLI, Ev::Answered(call));
            return;
        }
        let lost = self.rng.per_mille(weather.lose_before);
        if lost {
            self.met(Class::LostBefore);
            sent.answer = Some(Answer::Unknown(UnknownReason::ConnectionLost));
        }
        self.calls.push(sent);
        self.later(CALL_TIMEOUT, Ev::GiveUp(call));
        let silent = self.rng.per_mille(500);
        if !lost {
            let slow = self.rng.per_mille(weather.slow);
            let wait =
                if slow { self.rng.between(SECOND, DELAY_MAX) } else { self.rng.between(20 * MILLI, 300 * MILLI) };
            self.later(wait, Ev::Arrive(call));
        } else if !silent {
            self.later(100 * MILLI, Ev::Answered(call));
        }
    }

    /// The value that a job's call asks for.
    fn value_sent(&self, job: usize) -> i64 {
        match self.jobs[job].work {
            Work::Issue { body, .. } => body,
            Work::Cancel | Work::Reveal | Work::Withdraw | Work::Recover => {
                self.rows[self.jobs[job].key].map_or(0, |row| row.value)
            }
        }
    }

    /// The client's time is up.
    pub(super) fn give_up(&mut self, at: usize) {
        if !self.calls[at].ended {
            self.calls[at].answer = Some(Answer::Unknown(UnknownReason::Timeout));
            self.answered(at);
        }
    }

    /// An answer reaches whoever waits for it, if anyone does, as the kind reads it.
    pub(super) fn answered(&mut self, at: usize) {
        let call = self.calls[at].clone();
        let (Some(answer), false) = (call.answer, call.ended) else { return };
        self.calls[at].ended = true;
        let job = call.job;
        if !self.jobs[job].alive || self.jobs[job].call != at {
            return;
        }
        let (event, code) = match (self.sold, call.action) {
            (Sold::Card, _) => self.read_card(&call, answer),
            (Sold::Load, _) => (self.read_load(&call, answer), None),
            (Sold::Code, Action::Reverse) => event_of_cancel(bugs::heard(self.bug, cancel_outcome(answer))),
            (Sold::Code, Action::Forward | Action::Read) => {
                let outcome = create_outcome(self.bug, answer, call.key, call.value);
                event_of_create(bugs::heard(self.bug, outcome))
            }
        };
        self.count(answer, event, job);
        self.note("answer", "", call.key, i64::from(code.is_some()));
        self.oracle.heard(call.key, event, call.arrived);
        self.jobs[job].code = code;
        self.jobs[job].phase = Phase::Heard(event);
        let wait = self.store_wait();
        self.later(wait, Ev::Step(job));
    }

    fn count(&mut self, answer: Answer, event: Event, job: usize) {
        let cancel = matches!(
            event,
            Event::ReversalDone | Event::ReversalRefused(_) | Event::ReversalLost | Event::ReversalNotSent
        );
        let class = match answer {
            Answer::Card(..) if event == Event::Seen(Sight::Reversed) => Class::Refunded,
            Answer::Card(..) if event == Event::Seen(Sight::Odd) => Class::Odd,
            Answer::Card(..) if event == Event::Seen(Sight::Mismatch) => Class::Mismatch,
            Answer::Card(..) if event == Event::Seen(Sight::Absent) => Class::CheckedInactive,
            Answer::Card(..) if event == Event::Seen(Sight::Unattributed) => Class::CheckedActive,
            Answer::Card(..) => Class::Fulfilled,
            Answer::Canceled => Class::CancelDone,
            Answer::Refused(refusal) if cancel => match (refusal.error_type, event) {
                (ErrorType::CancelRequestArrivedAfterTimeLimit, _) => Class::CancelTooLate,
                (_, Event::ReversalNotSent) => Class::CancelAccount,
                (_, _) => Class::CancelNotPermitted,
            },
            Answer::Refused(_) if event == Event::Refused(RefusalClass::Elsewhere) => Class::OthersFirst,
            Answer::Refused(refusal) => {
                if self.jobs[job].order().stage.is_in_doubt() {
                    self.met(Class::RefusedReplay);
                }
                if refusal.is_retryable() { Class::CreateF300 } else { Class::CreateF200 }
            }
            Answer::AuthRejected | Answer::NotSent if cancel => Class::CancelNotSent,
            Answer::AuthRejected => Class::AuthRejected,
            Answer::NotSent => Class::NotSent,
            Answer::Unknown(_) if cancel => Class::CancelLost,
            Answer::Unknown(UnknownReason::Timeout) => Class::Timeout,
            Answer::Unknown(UnknownReason::ConnectionLost) => Class::ConnectionLost,
            Answer::Unknown(_) => return,
        };
        self.met(class);
    }
}

/// As the provider classifies it: live, refunded or odd, and whether it is what was asked.
fn create_outcome(bug: Option<Bug>, answer: Answer, key: usize, asked: i64) -> Outcome<CardProof> {
    match answer {
        Answer::Card(card, value) => {
            let card = if value == asked { card } else { Sight::Mismatch };
            Outcome::Proven(bugs::proof(bug, card, ClaimCode::parse(&code_of(key, value)).unwrap()))
        }
        Answer::Canceled => Outcome::Unknown(UnknownReason::WrongShape),
        Answer::Refused(refusal) => Outcome::Refused(refusal),
        Answer::AuthRejected => Outcome::AuthRejected(AuthRejection::ClockSkew),
        Answer::NotSent => Outcome::NotSent(NotSent::Connect),
        Answer::Unknown(reason) => Outcome::Unknown(reason),
    }
}

fn cancel_outcome(answer: Answer) -> Outcome<()> {
    match answer {
        Answer::Card(..) => Outcome::Unknown(UnknownReason::WrongShape),
        Answer::Canceled => Outcome::Proven(()),
        Answer::Refused(refusal) => Outcome::Refused(refusal),
        Answer::AuthRejected => Outcome::AuthRejected(AuthRejection::ClockSkew),
        Answer::NotSent => Outcome::NotSent(NotSent::Connect),
        Answer::Unknown(reason) => Outcome::Unknown(reason),
    }
}
