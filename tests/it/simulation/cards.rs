//! Activations of physical cards: what the simulated Amazon does with them, and how the kind reads its answers. A status check shows
//! a card and not whose activation it is; the answer to an id is that of its first use, whatever has become of the card since; and a
//! stranger may activate the card before us, or take our activation back. One move a card: two between an answer and the read after it
//! nobody can see.

use noshi::{
    engine::{Action, Event, Sight, Stage},
    incentives::kinds::card_activation::{
        event_of_activation, event_of_check, event_of_deactivation, event_of_first_check,
    },
    kernel::{AuthRejection, ClaimCode, NotSent, UnknownReason},
    provider::incentives::{ErrorType, Family, Outcome, Refusal},
};

use super::{
    amazon::{Answer, Call},
    bugs,
    coverage::Class,
    world::World,
};

impl World<'_> {
    /// A call about a card has reached Amazon.
    pub(super) fn do_with_card(&mut self, call: &Call) -> Answer {
        match call.action {
            Action::Forward => self.activate(call),
            Action::Read => self.check(call),
            Action::Reverse => self.deactivate(call),
        }
    }

    fn activate(&mut self, call: &Call) -> Answer {
        let is_first = self.amazon.cards[call.key].is_none();
        if is_first && self.amazon.others[call.key] {
            let error_type = ErrorType::CardAlreadyActivatedWithDifferentRequestId;
            return Answer::Refused(Refusal { family: Family::F200, error_type });
        }
        let answer = self.do_create(call);
        if let Answer::Card(Sight::Reversed, value) = answer {
            // As it was then.
            self.met(Class::GoneAfterAll);
            return Answer::Card(Sight::Live, value);
        }
        answer
    }

    fn check(&mut self, call: &Call) -> Answer {
        let ours = self.amazon.cards[call.key].filter(|card| !card.refunded);
        match ours {
            Some(card) => Answer::Card(Sight::Live, card.value),
            None if self.amazon.others[call.key] => Answer::Card(Sight::Live, call.value),
            None => Answer::Card(Sight::Absent, call.value),
        }
    }

    fn deactivate(&mut self, call: &Call) -> Answer {
        let refuse = |error_type| Answer::Refused(Refusal { family: Family::F200, error_type });
        match self.amazon.cards[call.key] {
            None => refuse(ErrorType::NonExistingActivationRequestId),
            Some(card) if card.claimed => refuse(ErrorType::DeactivationNotAllowed),
            Some(_) => self.do_cancel(call),
        }
    }

    /// What an answer is to the engine.
    pub(super) fn read_card(&mut self, call: &Call, answer: Answer) -> (Event, Option<ClaimCode>) {
        let outcome = bugs::heard(self.bug, outcome(answer, call));
        let stage = self.jobs[call.job].order().stage;
        match call.action {
            Action::Forward => event_of_activation(outcome),
            Action::Read if matches!(stage, Stage::Sending(_) | Stage::Unproven(_)) => event_of_first_check(outcome),
            Action::Read => event_of_check(outcome),
            Action::Reverse => event_of_deactivation(outcome),
        }
    }
}

/// As the provider classifies it.
fn outcome(answer: Answer, call: &Call) -> Outcome<Sight> {
    match answer {
        Answer::Card(Sight::Live, value) if value != call.value => Outcome::Proven(Sight::Mismatch),
        Answer::Card(sight, _value) => Outcome::Proven(sight),
        Answer::Canceled => Outcome::Proven(Sight::Absent),
        Answer::Refused(refusal) => Outcome::Refused(refusal),
        Answer::AuthRejected => Outcome::AuthRejected(AuthRejection::ClockSkew),
        Answer::NotSent => Outcome::NotSent(NotSent::Connect),
        Answer::Unknown(UnknownReason::NoClaimCode) => Outcome::Unknown(UnknownReason::WrongShape),
        Answer::Unknown(reason) => Outcome::Unknown(reason),
    }
}
