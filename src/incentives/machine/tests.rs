//! Every state × every event, and the properties that no sequence of events may break.

use chrono::TimeDelta;

use super::*;
use crate::kernel::outcome::{ErrorType, Family};

mod edges;
mod sequences;

const F200: Event = Event::Refused(Refusal { family: Family::F200, error_type: ErrorType::MaxAmountExceeded });
const F300: Event = Event::Refused(Refusal { family: Family::F300, error_type: ErrorType::InsufficientFunds });

const EVENTS: [Event; 17] = [
    Event::Begin,
    Event::Abandoned,
    Event::Seen(Card::Fulfilled),
    Event::Seen(Card::Refunded),
    Event::Seen(Card::Odd),
    Event::Seen(Card::Mismatch),
    F200,
    F300,
    Event::Lost,
    Event::NotSent,
    Event::CancelAsked,
    Event::CancelDone,
    Event::CancelRefused(CancelFailure::TooLate),
    Event::CancelRefused(CancelFailure::NotPermitted),
    Event::CancelLost,
    Event::CancelNotSent,
    Event::GiveUp,
];

fn sent() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    sent() + TimeDelta::seconds(seconds)
}

fn facts(state: State) -> Facts {
    Facts {
        state,
        ambiguous: state == State::Unresolved,
        cancel_requested: state == State::Canceling,
        cancel_if_unresolved: false,
        refusals: 0,
        cancel_doubt: false,
        cancel_failure: None,
        retryable: false,
        first_send_at: (!matches!(state, State::Pending | State::Failed)).then(sent),
    }
}

/// The new state and when it is due; `!` marks a delivery, `-` a refusal.
fn told(facts: Facts, event: Event, now: DateTime<Utc>) -> String {
    match step(facts, event, now) {
        Err(Rejected::InvalidState) => "-".to_owned(),
        Err(Rejected::WindowClosed) => "- window".to_owned(),
        Ok(next) => {
            let wake = match next.wake {
                Wake::Never => "",
                Wake::Now => " now",
                Wake::Backoff => " later",
                Wake::At(_) => " at",
            };
            let mark = if next.deliver { "!" } else { "" };
            let why = next.attention.map_or(String::new(), |why| format!(" ({})", why.as_str()));
            format!("{}{mark}{wake}{why}", next.facts.state.as_str())
        }
    }
}

fn row(facts: Facts, seconds: i64) -> Vec<String> {
    EVENTS.iter().map(|event| told(facts, *event, at(seconds))).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, to be read as one")]
fn every_state_knows_what_every_event_means() {
    const NO: &str = "-";
    let elsewhere = "needs_attention (canceled_elsewhere)";
    let (odd, mismatch) = ("needs_attention (odd_card_status)", "needs_attention (mismatch)");
    let table: [(State, [&str; 17]); 8] = [
        (
            State::Pending,
            ["issuing now", "issuing now", NO, NO, NO, NO, NO, NO, NO, NO, "canceled", NO, NO, NO, NO, NO, "failed"],
        ),
        (
            State::Issuing,
            [
                "issuing now",
                "unresolved now",
                "issued!",
                elsewhere,
                odd,
                mismatch,
                "failed",
                "failed",
                "unresolved later",
                "pending later",
                "issuing now",
                NO,
                NO,
                NO,
                NO,
                NO,
                "needs_attention (unproven)",
            ],
        ),
        (
            State::Unresolved,
            [
                "unresolved now",
                "unresolved now",
                "issued!",
                elsewhere,
                odd,
                mismatch,
                "unresolved later",
                "unresolved later",
                "unresolved later",
                "unresolved later",
                "unresolved now",
                NO,
                NO,
                NO,
                NO,
                NO,
                "needs_attention (unproven)",
            ],
        ),
        (
            State::Issued,
            [
                NO,
                NO,
                "issued!",
                elsewhere,
                odd,
                mismatch,
                "issued",
                "issued",
                "issued",
                "issued",
                "canceling now",
                NO,
                NO,
                NO,
                NO,
                NO,
                NO,
            ],
        ),
        (State::Failed, [NO; 17]),
        (
            State::Canceling,
            [
                "canceling now",
                "canceling now",
                "issued",
                "canceled",
                odd,
                mismatch,
                "canceling later",
                "canceling later",
                "canceling later",
                "canceling later",
                "canceling now",
                "canceled",
                "canceling now",
                "canceling now",
                "canceling later",
                "canceling later",
                "needs_attention (cancel_unproven)",
            ],
        ),
        (State::Canceled, [NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, "canceled", NO, NO, NO, NO, NO, NO]),
        (State::NeedsAttention, [NO; 17]),
    ];
    assert_eq!(table.len(), State::ALL.len());
    for (state, expected) in table {
        assert_eq!(row(facts(state), 10), expected, "{}", state.as_str());
    }
}

#[test]
fn a_refusal_after_an_ambiguous_attempt_proves_nothing() {
    let doubtful = Facts { ambiguous: true, ..facts(State::Issuing) };
    for event in [F200, F300, Event::NotSent] {
        assert_eq!(told(doubtful, event, at(10)), "unresolved later");
        assert!(step(doubtful, event, at(10)).unwrap().facts.ambiguous);
    }
}

#[test]
fn a_wish_to_cancel_is_kept_until_existence_is_proven() {
    for state in [State::Issuing, State::Unresolved] {
        let wished = step(facts(state), Event::CancelAsked, at(10)).unwrap().facts;
        assert_eq!(told(wished, Event::Seen(Card::Fulfilled), at(20)), "canceling now");
        assert_eq!(told(wished, Event::Seen(Card::Refunded), at(20)), "canceled");
    }
    let wished = step(facts(State::Issuing), Event::CancelAsked, at(10)).unwrap().facts;
    assert_eq!(told(wished, F300, at(20)), "canceled", "nothing was bought, nothing is wanted");
}

#[test]
fn on_unresolved_cancel_wishes_the_cancel_at_the_first_doubt() {
    let careful = Facts { cancel_if_unresolved: true, ..facts(State::Issuing) };
    assert_eq!(told(careful, Event::Seen(Card::Fulfilled), at(3)), "issued!");
    let doubtful = step(careful, Event::Lost, at(6)).unwrap().facts;
    assert_eq!(told(doubtful, Event::Seen(Card::Fulfilled), at(9)), "canceling now");
    assert_eq!(told(doubtful, Event::NotSent, at(9)), "unresolved later");
    assert_eq!(told(careful, Event::NotSent, at(3)), "canceled", "nothing is bought later, behind the caller's back");
}

#[test]
fn while_the_caller_waits_a_doubt_is_no_wish_to_cancel() {
    let careful = Facts { cancel_if_unresolved: true, ..facts(State::Issuing) };
    let lost = step_while_awaited(careful, Event::Lost, at(6)).unwrap();
    assert_eq!((lost.facts.state, lost.wake), (State::Unresolved, Wake::Backoff));
    assert!(lost.facts.cancel_if_unresolved && !lost.facts.cancel_requested);
    assert_eq!(told(lost.facts, Event::Seen(Card::Fulfilled), at(8)), "issued!");
    let unsent = step_while_awaited(careful, Event::NotSent, at(1)).unwrap();
    assert_eq!((unsent.facts.state, unsent.wake), (State::Pending, Wake::Backoff));
    assert_eq!(
        told(unsent.facts, Event::Abandoned, at(30)),
        "canceled",
        "who waited heard nothing, and nothing was sent"
    );
    assert!(step(lost.facts, Event::Abandoned, at(30)).unwrap().facts.cancel_requested);
}

#[test]
fn a_request_that_is_refused_again_and_again_in_doubt_needs_a_person() {
    let mut facts = Facts { ambiguous: true, ..facts(State::Unresolved) };
    for expected in ["unresolved later", "unresolved later", "needs_attention (refused_in_doubt)"] {
        assert_eq!(told(facts, F200, at(10)), expected);
        facts = step(facts, F200, at(10)).unwrap().facts;
        if facts.state == State::Unresolved {
            assert_eq!(told(facts, F300, at(10)), "unresolved later", "the account's trouble can be cured");
        }
    }
    let lost = step(Facts { state: State::Unresolved, ..facts }, Event::Lost, at(10)).unwrap();
    assert_eq!(lost.facts.refusals, 0, "in a row");
}

#[test]
fn a_cancel_starts_before_14_50_and_not_after() {
    for (seconds, expected) in [(0, "canceling now"), (889, "canceling now"), (890, "- window"), (901, "- window")] {
        assert_eq!(told(facts(State::Issued), Event::CancelAsked, at(seconds)), expected, "{seconds}");
    }
    assert_eq!(due(&facts(State::Canceling), at(889)), Some(Action::Cancel));
    assert_eq!(due(&facts(State::Canceling), at(890)), Some(Action::Read));
}

#[test]
fn a_live_card_is_a_verdict_only_when_no_cancel_can_still_land() {
    let doubt = Facts { cancel_doubt: true, ..facts(State::Canceling) };
    assert_eq!(told(doubt, Event::Seen(Card::Fulfilled), at(895)), "canceling at");
    assert_eq!(told(doubt, Event::Seen(Card::Fulfilled), at(960)), "issued");
    assert_eq!(told(doubt, Event::Seen(Card::Refunded), at(895)), "canceled");
    let refused = Facts { cancel_failure: Some(CancelFailure::NotPermitted), ..facts(State::Canceling) };
    let next = step(refused, Event::Seen(Card::Fulfilled), at(20)).unwrap();
    assert_eq!((next.facts.state, next.facts.cancel_failure), (State::Issued, Some(CancelFailure::NotPermitted)));
    assert!(!next.deliver, "no code leaves with a failed cancel");
}

#[test]
fn only_a_curable_refusal_is_tried_again_and_its_window_starts_anew() {
    let funds = step(facts(State::Issuing), F300, at(1)).unwrap().facts;
    let again = step(funds, Event::Begin, at(5000)).unwrap().facts;
    assert_eq!((again.state, again.first_send_at), (State::Issuing, Some(at(5000))));
    let invalid = step(facts(State::Issuing), F200, at(1)).unwrap().facts;
    assert_eq!(step(invalid, Event::Begin, at(5)), Err(Rejected::InvalidState));
}

#[test]
fn a_person_overrules_only_what_has_come_to_its_end_and_only_to_the_other_end() {
    for state in State::ALL {
        for (verdict, to) in [
            (Verdict::Issued, State::Issued),
            (Verdict::NotBought, State::Canceled),
            (Verdict::Canceled, State::Canceled),
        ] {
            let before = facts(*state);
            let overruled = overrule(before, verdict, at(7));
            let ended = matches!(state, State::Issued | State::Failed | State::Canceled);
            assert_eq!(
                overruled.map(|facts| facts.state),
                (ended && *state != to).then_some(to),
                "{state:?} {verdict:?}"
            );
            if let Some(facts) = overruled {
                assert!(!facts.ambiguous && !facts.cancel_requested && !facts.cancel_doubt);
                assert_eq!(facts.first_send_at, before.first_send_at.or(Some(at(7))), "the age limit counts");
            }
            assert_eq!(decide(before, verdict).is_some(), *state == State::NeedsAttention, "{state:?}");
        }
    }
}
