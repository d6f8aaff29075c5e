//! Kinds that are read by an operation of their own: what is in doubt is read, and what a read does not show is asked of the id.

use super::*;

const READ: Rules = Rules { reading: Reading::Operation, has_receipt: false, ..RULES };

fn by_read(stage: Stage, event: Event) -> Next {
    Step { rules: &READ, ..awaited_step(event, at(9)) }.apply(stage).unwrap()
}

fn seen(stage: Stage, sight: Sight) -> Next {
    by_read(stage, Event::Seen(sight))
}

/// A kind with a read of its own does not send again what may have arrived, until the read shows that it has not.
#[test]
fn what_is_in_doubt_is_read_first_where_a_read_is_an_operation() {
    let rules = Rules { reading: Reading::Operation, ..RULES };
    let action = |stage| order(stage).action(&rules, at(10));
    let lost = step(stage(State::Issuing), Event::Lost, at(6)).unwrap();
    assert_eq!((action(stage(State::Issuing)), action(lost.stage)), (Some(Action::Forward), Some(Action::Read)));
    let taken_up = step(lost.stage, Event::Begin, at(8)).unwrap();
    assert_eq!(action(taken_up.stage), Some(Action::Read));
    assert_eq!(told(taken_up.stage, Event::Seen(Sight::Live), at(9)), "issued!");

    let absent = step(taken_up.stage, Event::Seen(Sight::Absent), at(9)).unwrap();
    assert_eq!((absent.stage, absent.wake), (Stage::Sending(attempt(true)), Wake::Now));
    assert_eq!(action(absent.stage), Some(Action::Forward));
    assert_eq!(told(absent.stage, FINAL, at(10)), "unresolved later", "the first attempt can still arrive");
    assert_eq!(action(step(absent.stage, Event::Abandoned, at(40)).unwrap().stage), Some(Action::Read));
    // A gift code's read is its replay.
    assert_eq!(super::action(lost.stage, at(10)), Some(Action::Forward));
}

#[test]
fn what_a_read_does_not_attribute_is_proven_by_the_answer_to_our_id_and_another_read() {
    let doubt = stage(State::Unresolved);
    let asked = seen(doubt, Sight::Unattributed);
    assert_eq!((asked.stage, asked.wake), (Stage::Sending(attempt(true)), Wake::Now), "the same bytes leave again");
    let ours = seen(asked.stage, Sight::Live);
    let done = Try { done: true, ..attempt(true) };
    assert_eq!(
        (ours.stage, ours.wake, ours.deliver),
        (Stage::Unproven(done), Wake::Now, false),
        "it may be gone since"
    );
    assert_eq!(seen(ours.stage, Sight::Unattributed).stage.state(), State::Issued);
    // Without a doubt the answer itself is the proof.
    assert_eq!(seen(stage(State::Issuing), Sight::Live).stage.state(), State::Issued);
    // A gift code's replay shows the card as it is.
    assert_eq!(told(asked.stage, Event::Seen(Sight::Live), at(9)), "issued!");
}

#[test]
fn what_was_done_under_our_id_and_is_missed_again_and_again_was_reversed() {
    let done = Try { done: true, ..attempt(true) };
    for (wanted, end) in [(false, "needs_attention"), (true, "canceled")] {
        let mut stage = Stage::Unproven(Try { reversal_wanted: wanted, ..done });
        for _ in 1..REFUSALS_MAX {
            let missed = seen(stage, Sight::Absent);
            assert_eq!(
                (missed.stage.state(), missed.wake),
                (State::Unresolved, Wake::Backoff),
                "a read may lag behind"
            );
            stage = missed.stage;
        }
        let last = seen(stage, Sight::Absent).stage;
        assert_eq!(last.state().as_str(), end);
        let why = (!wanted).then_some(AttentionReason::CanceledElsewhere);
        assert_eq!(last.attention(), why);
    }
}

#[test]
fn what_another_id_has_done_is_a_refusal_before_any_doubt_and_a_persons_after_it() {
    assert_eq!(by_read(stage(State::Issuing), ELSEWHERE).stage, Stage::Refused { retryable: false });
    for doubtful in [Stage::Sending(attempt(true)), stage(State::Unresolved)] {
        let found = by_read(doubtful, ELSEWHERE);
        assert_eq!(found.stage.attention(), Some(AttentionReason::DoneElsewhere));
        assert_eq!(found.wake, Wake::Never);
    }
    let unwanted = Stage::Sending(Try { reversal_wanted: true, ..attempt(false) });
    assert_eq!(by_read(unwanted, ELSEWHERE).stage.state(), State::Canceled, "nothing was done, nothing is wanted");
}

#[test]
fn a_read_of_what_is_proven_needs_no_attribution() {
    let proven = stage(State::Issued);
    assert_eq!(seen(proven, Sight::Unattributed), to(proven, Wake::Never));
    assert_eq!(seen(proven, Sight::Absent).stage.attention(), Some(AttentionReason::CanceledElsewhere));
    let doubtful = Stage::Reversing(Reversal { doubt: true, ..reversal() });
    let verdict = |sight, seconds| {
        let step = Step { rules: &READ, ..awaited_step(Event::Seen(sight), at(seconds)) };
        step.apply(doubtful).unwrap().stage.state()
    };
    assert_eq!(verdict(Sight::Unattributed, 895), State::Canceling, "the deactivation can still land");
    assert_eq!(verdict(Sight::Absent, 895), State::Canceled);
}

/// The reversal in doubt may have been done, and somebody may have done the effect anew since. The read shows the same.
#[test]
fn what_a_read_does_not_attribute_is_no_verdict_on_a_reversal_in_doubt() {
    let verdict = |doubt, sight| {
        let (refused, handed_out) = (Some(ReversalFailure::NotPermitted), true);
        let stage = Stage::Reversing(Reversal { doubt, refused, handed_out, ..reversal() });
        Step { rules: &READ, ..awaited_step(Event::Seen(sight), at(960)) }.apply(stage).unwrap().stage
    };
    assert_eq!(verdict(true, Sight::Unattributed).attention(), Some(AttentionReason::CancelUnproven));
    assert_eq!(verdict(true, Sight::Live).state(), State::Issued, "ours, and it stands");
    assert_eq!(verdict(false, Sight::Unattributed).state(), State::Issued, "no reversal was done");
}

/// What is decided later: the charge of a payment method, say. The remote service names it by an id of its own, and is read by that.
#[test]
fn what_is_taken_and_not_decided_is_read_until_it_is() {
    let taken = seen(stage(State::Issuing), Sight::Undecided);
    assert_eq!((taken.stage, taken.wake), (Stage::Unproven(attempt(true)), Wake::Backoff));
    assert_eq!(order(taken.stage).action(&READ, at(10)), Some(Action::Read));
    assert_eq!(seen(taken.stage, Sight::Undecided).stage, taken.stage);
    assert_eq!(seen(taken.stage, Sight::Live).stage.state(), State::Issued);
    assert_eq!(seen(taken.stage, Sight::Declined).stage, Stage::Refused { retryable: false });
    // A worker dies over it, or a read comes to nothing or is refused: only the decision ends it.
    for event in [Event::Abandoned, Event::Lost, Event::NotSent, FINAL, CURABLE] {
        let doubtful = by_read(taken.stage, event).stage;
        assert_eq!(doubtful.state(), State::Unresolved, "{event:?}");
        assert_eq!(seen(doubtful, Sight::Declined).stage, Stage::Refused { retryable: false });
        assert_eq!(seen(doubtful, Sight::Live).stage.state(), State::Issued);
    }
    let done = Stage::Unproven(Try { done: true, ..attempt(true) });
    assert_eq!(
        seen(done, Sight::Declined).stage.attention(),
        Some(AttentionReason::OddStatus),
        "it was seen done before"
    );
}

#[test]
fn what_is_to_be_reversed_and_is_decided_against_was_never_done() {
    let wished = by_read(seen(stage(State::Issuing), Sight::Undecided).stage, Event::ReversalAsked).stage;
    assert_eq!(seen(wished, Sight::Declined).stage.state(), State::Canceled);
    assert_eq!(seen(wished, Sight::Declined).stage.first_sent_at(), None);
    assert_eq!(seen(wished, Sight::Live).stage.state(), State::Canceling);
    // Whose caller compensates the customer in another way wants it reversed from then on.
    let careful =
        Step { on_unproven: OnUnproven::Reverse, rules: &READ, ..awaited_step(Event::Seen(Sight::Undecided), at(9)) };
    assert!(careful.apply(stage(State::Issuing)).unwrap().stage.reversal_wanted());
}

/// Money that is held goes back in the end, whoever gives it back.
#[test]
fn what_ends_by_itself_is_reversed_and_needs_no_person() {
    let rules = Rules { ends_by_itself: true, ..READ };
    let seen = |stage, sight| Step { rules: &rules, ..awaited_step(Event::Seen(sight), at(9)) }.apply(stage).unwrap();
    for before in [State::Issued, State::Issuing, State::Unresolved, State::Canceling] {
        let after = seen(stage(before), Sight::Reversed);
        assert_eq!((after.stage.state(), after.wake), (State::Canceled, Wake::Never), "{before:?}");
    }
    // Only that: what is missing, or is something else, is no end.
    for sight in [Sight::Absent, Sight::Odd, Sight::Mismatch] {
        assert_eq!(seen(stage(State::Issued), sight).stage.state(), State::NeedsAttention, "{sight:?}");
    }
}
