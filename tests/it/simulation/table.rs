//! Every state × every outcome × first attempt or replay: none undefined, and each as the table
//! there says. The table is said once more here, from the outcome and not from the event.

use noshi::{
    engine::{
        Event, OnUnproven, Stage, State,
        order::{Proof, Reversal, Try},
        step::Step,
    },
    incentives::kinds::gift_code::{event_of_cancel, event_of_create},
    kernel::{AuthRejection, CardProof, ClaimCode, NotSent, UnknownReason},
    provider::incentives::{ErrorType, Family, Outcome, Refusal},
};

use super::world::{Sold, instant};

/// A stage in which an answer can come, or one in which none can.
fn stage(state: State, doubt: bool) -> Stage {
    let first_sent_at = instant(0);
    let sent = Try { first_sent_at, doubt, reversal_wanted: false, refusals: 0, handed_out: false, done: false };
    match state {
        State::Issuing => Stage::Sending(sent),
        State::Unresolved => Stage::Unproven(sent),
        State::Issued => {
            Stage::Proven(Proof { first_sent_at, proven_at: first_sent_at, reversal_failure: None, handed_out: true })
        }
        State::Canceling => Stage::Reversing(Reversal {
            first_sent_at,
            proven_at: Some(first_sent_at),
            doubt: false,
            refused: None,
            handed_out: true,
        }),
        State::Failed => Stage::Refused { retryable: false },
        State::Pending | State::Canceled | State::NeedsAttention => Stage::Pending,
    }
}

/// What can come of a call that does not prove a card or a cancel.
fn unproven<T>() -> Vec<Outcome<T>> {
    let refusals = [Family::F200, Family::F300]
        .into_iter()
        .flat_map(|family| ErrorType::ALL.iter().map(move |error_type| Refusal { family, error_type: *error_type }));
    let mut outcomes: Vec<Outcome<T>> = refusals.map(Outcome::Refused).collect();
    outcomes.extend(UnknownReason::ALL.iter().map(|reason| Outcome::Unknown(*reason)));
    outcomes.extend(AuthRejection::ALL.iter().map(|why| Outcome::AuthRejected(*why)));
    outcomes.extend(NotSent::ALL.iter().map(|why| Outcome::NotSent(*why)));
    outcomes
}

fn creates() -> Vec<Outcome<CardProof>> {
    let code = ClaimCode::parse("ABCD-EFGHJK-LMNP").unwrap();
    let mut outcomes = unproven();
    outcomes.push(Outcome::Proven(CardProof::Fulfilled(code)));
    outcomes.extend([CardProof::Refunded, CardProof::OddStatus, CardProof::Mismatch].map(Outcome::Proven));
    outcomes
}

/// Where a create's outcome leads; `None` where no create is in flight.
fn after_create(outcome: &Outcome<CardProof>, state: State, replay: bool) -> Option<State> {
    let unknown = match state {
        State::Issuing | State::Unresolved if replay => State::Unresolved,
        State::Issuing | State::Unresolved => match outcome {
            Outcome::Refused(_) | Outcome::AuthRejected(AuthRejection::Signature | AuthRejection::AccessKey) => {
                State::Failed
            }
            Outcome::AuthRejected(AuthRejection::ClockSkew) | Outcome::NotSent(_) => State::Pending,
            Outcome::Proven(_) | Outcome::Unknown(_) => State::Unresolved,
        },
        State::Issued | State::Canceling => state,
        State::Pending | State::Failed | State::Canceled | State::NeedsAttention => return None,
    };
    let Outcome::Proven(card) = outcome else { return Some(unknown) };
    Some(match card {
        CardProof::Fulfilled(_) => State::Issued,
        CardProof::Refunded if state == State::Canceling => State::Canceled,
        CardProof::Refunded | CardProof::OddStatus | CardProof::Mismatch => State::NeedsAttention,
    })
}

fn led(state: State, replay: bool, event: Event) -> Option<State> {
    // The window is over: in it a live card is no verdict on a cancel.
    let (at, rules) = (instant(1_000_000_000), Sold::Code.rules());
    let step = Step { event, at, now: at, rules, on_unproven: OnUnproven::Keep, awaited: true };
    step.apply(stage(state, replay)).ok().map(|next| next.stage.state())
}

#[test]
fn every_outcome_is_defined_in_every_state_first_and_replayed() {
    let mut cells = 0;
    for state in State::ALL {
        for replay in [false, true] {
            for outcome in creates() {
                let (expected, said) = (after_create(&outcome, *state, replay), outcome.reason());
                let (event, code) = event_of_create(outcome);
                assert_eq!(led(*state, replay, event), expected, "{} replay {replay}: {said}", state.as_str());
                assert!(
                    code.is_none() || expected.is_none_or(|state| state == State::Issued),
                    "a code without its card"
                );
                cells += 1;
            }
            for outcome in unproven::<()>().into_iter().chain([Outcome::Proven(())]) {
                let done = outcome == Outcome::Proven(());
                let expected =
                    (*state == State::Canceling).then_some(if done { State::Canceled } else { State::Canceling });
                let said = outcome.reason();
                let (event, _code) = event_of_cancel(outcome);
                assert_eq!(led(*state, replay, event), expected, "{} cancel: {}", state.as_str(), said);
                cells += 1;
            }
        }
    }
    assert!(cells > 2900, "{cells} cells");
}
