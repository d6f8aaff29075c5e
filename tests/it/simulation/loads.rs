//! Loads of balances: what the simulated Amazon does with them, and how the kind reads its answers. They are read by their replay. Whether
//! its answer shows the load as it is now, or as it was at the first use of its id, nobody has published: each is every other seed's.

use noshi::{
    engine::{Action, Event, Sight, Stage},
    incentives::kinds::balance_load::{LoadSight, event_of_load, event_of_reversing_load, event_of_void},
    kernel::{AuthRejection, NotSent, UnknownReason},
    provider::incentives::Outcome,
};

use super::{
    amazon::{Answer, Call},
    bugs::{self, Bug},
    coverage::Class,
    world::World,
};

impl World<'_> {
    /// A call about a load has reached Amazon.
    pub(super) fn do_with_load(&mut self, call: &Call) -> Answer {
        if call.action == Action::Reverse {
            return self.do_cancel(call);
        }
        let answer = self.do_create(call);
        match answer {
            Answer::Card(Sight::Reversed, value) if self.amazon.answers_as_at_first => {
                self.met(Class::VoidUnshown);
                Answer::Card(Sight::Live, value)
            }
            Answer::Card(..)
            | Answer::Canceled
            | Answer::Refused(_)
            | Answer::AuthRejected
            | Answer::NotSent
            | Answer::Unknown(_) => answer,
        }
    }

    /// What an answer is to the engine.
    pub(super) fn read_load(&mut self, call: &Call, answer: Answer) -> Event {
        let outcome = bugs::heard(self.bug, outcome(answer, call));
        let reversing = matches!(self.jobs[call.job].order().stage, Stage::Reversing(_));
        let (event, _code) = match call.action {
            Action::Reverse => event_of_void(outcome),
            Action::Forward | Action::Read if reversing && !self.has(Bug::LoadedIsPresent) => {
                event_of_reversing_load(outcome)
            }
            Action::Forward | Action::Read => event_of_load(outcome),
        };
        event
    }
}

/// As the provider classifies it.
fn outcome(answer: Answer, call: &Call) -> Outcome<LoadSight> {
    match answer {
        Answer::Card(Sight::Live, value) if value != call.value => Outcome::Proven(LoadSight::Mismatch),
        Answer::Card(sight, _value) => Outcome::Proven(match sight {
            Sight::Live => LoadSight::Loaded,
            Sight::Reversed => LoadSight::Voided,
            Sight::Odd => LoadSight::Odd,
            Sight::Mismatch => LoadSight::Mismatch,
            Sight::Absent | Sight::Unattributed | Sight::Undecided | Sight::Declined => {
                panic!("a load is read by its replay, which loads at once")
            }
        }),
        Answer::Canceled => Outcome::Proven(LoadSight::Voided),
        Answer::Refused(refusal) => Outcome::Refused(refusal),
        Answer::AuthRejected => Outcome::AuthRejected(AuthRejection::ClockSkew),
        Answer::NotSent => Outcome::NotSent(NotSent::Connect),
        Answer::Unknown(UnknownReason::NoClaimCode) => Outcome::Unknown(UnknownReason::WrongShape),
        Answer::Unknown(reason) => Outcome::Unknown(reason),
    }
}
