//! Every state × every event (`table`), and the properties that no sequence of events may break.

use chrono::TimeDelta;

use super::*;
use crate::engine::{
    order::{Action, Order, State},
    rules::{LIKE_A_GIFT_CODE as RULES, Reading},
    schedule::{self, Resolution},
};

mod edges;
mod reads;
mod sequences;
mod table;
mod world;

const FINAL: Event = Event::Refused(RefusalClass::Final);
const CURABLE: Event = Event::Refused(RefusalClass::Curable);
const ELSEWHERE: Event = Event::Refused(RefusalClass::Elsewhere);

const EVENTS: [Event; 22] = [
    Event::Begin,
    Event::Abandoned,
    Event::Seen(Sight::Live),
    Event::Seen(Sight::Reversed),
    Event::Seen(Sight::Odd),
    Event::Seen(Sight::Mismatch),
    Event::Seen(Sight::Absent),
    Event::Seen(Sight::Unattributed),
    Event::Seen(Sight::Undecided),
    Event::Seen(Sight::Declined),
    FINAL,
    CURABLE,
    ELSEWHERE,
    Event::Lost,
    Event::NotSent,
    Event::ReversalAsked,
    Event::ReversalDone,
    Event::ReversalRefused(ReversalFailure::TooLate),
    Event::ReversalRefused(ReversalFailure::NotPermitted),
    Event::ReversalLost,
    Event::ReversalNotSent,
    Event::GiveUp,
];

fn sent() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    sent() + TimeDelta::seconds(seconds)
}

/// An attempt that may have reached the remote service.
fn attempt(doubt: bool) -> Try {
    Try { first_sent_at: sent(), doubt, reversal_wanted: false, refusals: 0, handed_out: false, done: false }
}

fn reversal() -> Reversal {
    Reversal { first_sent_at: sent(), proven_at: Some(sent()), doubt: false, refused: None, handed_out: true }
}

/// A plain stage of each word.
fn stage(state: State) -> Stage {
    match state {
        State::Pending => Stage::Pending,
        State::Issuing => Stage::Sending(attempt(false)),
        State::Unresolved => Stage::Unproven(attempt(true)),
        State::Issued => {
            Stage::Proven(Proof { first_sent_at: sent(), proven_at: sent(), reversal_failure: None, handed_out: true })
        }
        State::Failed => Stage::Refused { retryable: false },
        State::Canceling => Stage::Reversing(reversal()),
        State::Canceled => Stage::Reversed(Reversed {
            first_sent_at: Some(sent()),
            proven_at: Some(sent()),
            reversed_at: Some(sent()),
            reversal_failure: None,
        }),
        State::NeedsAttention => Stage::Attention(Attention {
            why: Some(AttentionReason::Unproven),
            first_sent_at: Some(sent()),
            proven_at: None,
            doubt: true,
            reversal_wanted: false,
            reversal_failure: None,
        }),
    }
}

fn awaited_step(event: Event, now: DateTime<Utc>) -> Step<'static> {
    Step { event, at: now, now, rules: &RULES, on_unproven: OnUnproven::Keep, awaited: true }
}

fn step_by(on_unproven: OnUnproven, stage: Stage, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    Step { on_unproven, ..awaited_step(event, now) }.apply(stage)
}

fn step(stage: Stage, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    step_by(OnUnproven::Keep, stage, event, now)
}

/// An order in this stage.
fn order(stage: Stage) -> Order {
    let doubtful = schedule::Lease { token: uuid::Uuid::nil(), holds: std::time::Duration::ZERO };
    Order { stage, lease: None, ..schedule::begin(OnUnproven::Keep, false, doubtful, sent()) }
}

fn action(stage: Stage, now: DateTime<Utc>) -> Option<Action> {
    order(stage).action(&RULES, now)
}

/// The new state and when it is due; `!` marks a delivery, `-` a refusal.
fn told_by(on_unproven: OnUnproven, stage: Stage, event: Event, now: DateTime<Utc>) -> String {
    match step_by(on_unproven, stage, event, now) {
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
            let why = next.stage.attention().map_or(String::new(), |why| format!(" ({})", why.as_str()));
            format!("{}{mark}{wake}{why}", next.stage.state().as_str())
        }
    }
}

fn told(stage: Stage, event: Event, now: DateTime<Utc>) -> String {
    told_by(OnUnproven::Keep, stage, event, now)
}

fn row(stage: Stage, seconds: i64) -> Vec<String> {
    EVENTS.iter().map(|event| told(stage, *event, at(seconds))).collect()
}

#[test]
fn a_refusal_after_an_ambiguous_attempt_proves_nothing() {
    let doubtful = Stage::Sending(attempt(true));
    for event in [FINAL, CURABLE, Event::NotSent] {
        assert_eq!(told(doubtful, event, at(10)), "unresolved later");
        assert!(step(doubtful, event, at(10)).unwrap().stage.is_in_doubt());
    }
}

#[test]
fn a_wish_to_cancel_is_kept_until_existence_is_proven() {
    for state in [State::Issuing, State::Unresolved] {
        let wished = step(stage(state), Event::ReversalAsked, at(10)).unwrap().stage;
        assert_eq!(told(wished, Event::Seen(Sight::Live), at(20)), "canceling now");
        assert_eq!(told(wished, Event::Seen(Sight::Reversed), at(20)), "canceled");
    }
    let wished = step(stage(State::Issuing), Event::ReversalAsked, at(10)).unwrap().stage;
    assert_eq!(told(wished, CURABLE, at(20)), "canceled", "nothing was bought, nothing is wanted");
}

#[test]
fn on_unresolved_cancel_wishes_the_cancel_at_the_first_doubt() {
    let (careful, first) = (OnUnproven::Reverse, stage(State::Issuing));
    assert_eq!(told_by(careful, first, Event::Seen(Sight::Live), at(3)), "issued!");
    let doubtful = step_by(careful, first, Event::Lost, at(6)).unwrap().stage;
    assert_eq!(told_by(careful, doubtful, Event::Seen(Sight::Live), at(9)), "canceling now");
    assert_eq!(told_by(careful, doubtful, Event::NotSent, at(9)), "unresolved later");
    assert_eq!(
        told_by(careful, first, Event::NotSent, at(3)),
        "canceled",
        "nothing is bought later, behind the caller's back"
    );
}

#[test]
fn while_the_caller_waits_a_doubt_is_no_wish_to_cancel() {
    let careful = OnUnproven::Reverse;
    let awaited = |event, now| {
        let step = Step { event, at: now, now, rules: &RULES, on_unproven: careful, awaited: true };
        step.apply_while_awaited(stage(State::Issuing)).unwrap()
    };
    let lost = awaited(Event::Lost, at(6));
    assert_eq!((lost.stage.state(), lost.wake), (State::Unresolved, Wake::Backoff));
    assert!(!lost.stage.reversal_wanted());
    assert_eq!(told_by(careful, lost.stage, Event::Seen(Sight::Live), at(8)), "issued!");
    let unsent = awaited(Event::NotSent, at(1));
    assert_eq!((unsent.stage, unsent.wake), (Stage::Pending, Wake::Backoff));
    assert_eq!(
        told_by(careful, unsent.stage, Event::Abandoned, at(30)),
        "canceled",
        "who waited had no answer, and nothing was sent"
    );
    assert!(step_by(careful, lost.stage, Event::Abandoned, at(30)).unwrap().stage.reversal_wanted());
}

#[test]
fn a_request_that_is_refused_again_and_again_in_doubt_needs_a_person() {
    let mut doubtful = stage(State::Unresolved);
    for expected in ["unresolved later", "unresolved later", "needs_attention (refused_in_doubt)"] {
        assert_eq!(told(doubtful, FINAL, at(10)), expected);
        let next = step(doubtful, FINAL, at(10)).unwrap().stage;
        if next.state() == State::Unresolved {
            assert_eq!(told(next, CURABLE, at(10)), "unresolved later", "the account's trouble can be cured");
            let lost = step(next, Event::Lost, at(10)).unwrap().stage;
            assert_eq!(lost, Stage::Unproven(attempt(true)), "in a row");
        }
        doubtful = next;
    }
}

#[test]
fn a_cancel_starts_before_14_50_and_not_after() {
    for (seconds, expected) in [(0, "canceling now"), (889, "canceling now"), (890, "- window"), (901, "- window")] {
        assert_eq!(told(stage(State::Issued), Event::ReversalAsked, at(seconds)), expected, "{seconds}");
    }
    assert_eq!(action(stage(State::Canceling), at(889)), Some(Action::Reverse));
    assert_eq!(action(stage(State::Canceling), at(890)), Some(Action::Read));
}

#[test]
fn a_kind_without_a_reversal_refuses_every_wish() {
    let rules = Rules { reverse_within: None, ..RULES };
    let asked = Step {
        event: Event::ReversalAsked,
        at: sent(),
        now: sent(),
        rules: &rules,
        on_unproven: OnUnproven::Keep,
        awaited: true,
    };
    assert_eq!(asked.apply(stage(State::Issued)), Err(Rejected::WindowClosed));
}

#[test]
fn a_refusal_that_uses_the_id_up_is_never_tried_again() {
    let rules = Rules { after_refusal: AfterRefusal::NewId, ..RULES };
    let refused =
        Step { event: CURABLE, at: sent(), now: sent(), rules: &rules, on_unproven: OnUnproven::Keep, awaited: true };
    assert_eq!(refused.apply(stage(State::Issuing)).unwrap().stage, Stage::Refused { retryable: false });
}

#[test]
fn a_live_card_is_a_verdict_only_when_no_cancel_can_still_land() {
    let doubt = Stage::Reversing(Reversal { doubt: true, ..reversal() });
    assert_eq!(told(doubt, Event::Seen(Sight::Live), at(20)), "canceling later", "it can be tried again");
    assert_eq!(told(doubt, Event::Seen(Sight::Live), at(895)), "canceling at");
    assert_eq!(told(doubt, Event::Seen(Sight::Live), at(960)), "issued");
    assert_eq!(told(doubt, Event::Seen(Sight::Reversed), at(895)), "canceled");
    let refused = Stage::Reversing(Reversal { refused: Some(ReversalFailure::NotPermitted), ..reversal() });
    let next = step(refused, Event::Seen(Sight::Live), at(890)).unwrap();
    let failure = next.stage.reversal_failure();
    assert_eq!((next.stage.state(), failure), (State::Issued, Some(ReversalFailure::NotPermitted)));
    assert!(!next.deliver, "no code leaves with a failed cancel");
}

#[test]
fn a_refused_reversal_is_tried_again_until_the_window_is_over_unless_it_came_too_late() {
    let refused = step(stage(State::Canceling), Event::ReversalRefused(ReversalFailure::NotPermitted), at(20)).unwrap();
    assert_eq!((refused.wake, action(refused.stage, at(21))), (Wake::Backoff, Some(Action::Reverse)));
    assert_eq!(told(refused.stage, Event::ReversalDone, at(80)), "canceled", "it was not ready at first");
    assert_eq!(action(refused.stage, at(890)), Some(Action::Read));
    let late = step(stage(State::Canceling), Event::ReversalRefused(ReversalFailure::TooLate), at(20)).unwrap();
    assert_eq!((late.wake, action(late.stage, at(21))), (Wake::Now, Some(Action::Read)));
    assert_eq!(told(late.stage, Event::Seen(Sight::Live), at(21)), "issued");
}

/// The tries follow the ladder, the last of them is made before the window is over, and the read as soon as it is.
#[test]
fn the_tries_of_a_refused_reversal_are_spread_over_the_window() {
    let moment = |seconds| schedule::Moment {
        now: at(seconds),
        draw: u32::MAX,
        patience: std::time::Duration::ZERO,
        awaited: false,
    };
    let refused = Event::ReversalRefused(ReversalFailure::NotPermitted);
    let (mut order, mut now, mut tries) = (order(stage(State::Canceling)), 2, 0);
    while order.action(&RULES, at(now)) == Some(Action::Reverse) {
        tries += 1;
        let next = step(order.stage, refused, at(now)).unwrap();
        order = schedule::apply(Order { attempts: order.attempts + 1, ..order }, &next, None, &RULES, moment(now));
        let due = (order.due_at.unwrap() - sent()).num_seconds();
        assert!(due <= 890 && due - now <= 60, "{due} after {now}");
        now = due.max(now + 1);
    }
    assert_eq!(now, 890, "the read is made when the window is over");
    assert!((15..40).contains(&tries), "{tries}");
}

#[test]
fn what_is_not_reversed_needs_a_person_where_nobody_has_it() {
    let wished = step(stage(State::Unresolved), Event::ReversalAsked, at(10)).unwrap().stage;
    let proven = step(wished, Event::Seen(Sight::Live), at(11)).unwrap().stage;
    let refused = step(proven, Event::ReversalRefused(ReversalFailure::NotPermitted), at(12)).unwrap().stage;
    assert_eq!(told(refused, Event::Seen(Sight::Live), at(900)), "needs_attention (cancel_failed)");
    // Proven while nobody waited: no receipt left.
    let unawaited =
        Step { awaited: false, ..awaited_step(Event::Seen(Sight::Live), at(5)) }.apply(stage(State::Issuing));
    let Next { stage: unawaited, deliver, .. } = unawaited.unwrap();
    assert!(!deliver, "to nobody");
    let late =
        |stage| step(step(stage, Event::ReversalAsked, at(20)).unwrap().stage, Event::Seen(Sight::Live), at(900));
    assert_eq!(late(unawaited).unwrap().stage.attention(), Some(AttentionReason::CancelFailed));
    // Shown since, or handed out at once: somebody has it.
    let shown = step(unawaited, Event::Seen(Sight::Live), at(15)).unwrap();
    assert!(shown.deliver);
    let awaited = step(stage(State::Issuing), Event::Seen(Sight::Live), at(5)).unwrap();
    for stage in [shown.stage, awaited.stage] {
        let settled = late(stage).unwrap().stage;
        assert_eq!((settled.state(), settled.reversal_failure()), (State::Issued, Some(ReversalFailure::TooLate)));
    }
    // What has no receipt is the recipient's as soon as it exists.
    let rules = Rules { has_receipt: false, ..RULES };
    let loaded = Step { awaited: false, rules: &rules, ..awaited_step(Event::Seen(Sight::Live), at(5)) };
    let Stage::Proven(loaded) = loaded.apply(stage(State::Issuing)).unwrap().stage else { panic!("it is proven") };
    assert!(loaded.handed_out);
}

#[test]
fn only_a_curable_refusal_is_tried_again_and_its_window_starts_anew() {
    let funds = step(stage(State::Issuing), CURABLE, at(1)).unwrap().stage;
    let again = step(funds, Event::Begin, at(5000)).unwrap().stage;
    assert_eq!((again.state(), again.first_sent_at()), (State::Issuing, Some(at(5000))));
    let invalid = step(stage(State::Issuing), FINAL, at(1)).unwrap().stage;
    assert_eq!(step(invalid, Event::Begin, at(5)), Err(Rejected::InvalidState));
}

#[test]
fn a_person_overrules_only_what_has_come_to_its_end_and_only_to_the_other_end() {
    for state in State::ALL {
        for (resolution, to) in [
            (Resolution::Issued, State::Issued),
            (Resolution::NotBought, State::Canceled),
            (Resolution::Canceled, State::Canceled),
        ] {
            let before = order(stage(*state));
            let overruled = schedule::overrule(before, resolution, at(7), at(9));
            let ended = matches!(state, State::Issued | State::Failed | State::Canceled);
            assert_eq!(
                overruled.map(|order| order.state()),
                (ended && *state != to).then_some(to),
                "{state:?} {resolution:?}"
            );
            if let Some(after) = overruled {
                assert!(!after.stage.is_in_doubt() && !after.stage.reversal_wanted());
                let first_sent_at = before.stage.first_sent_at().or(Some(at(7)));
                assert_eq!(after.stage.first_sent_at(), first_sent_at, "the age limit counts");
            }
            let resolved = schedule::resolve(before, resolution, at(9));
            assert_eq!(resolved.is_some(), *state == State::NeedsAttention, "{state:?}");
        }
    }
}
