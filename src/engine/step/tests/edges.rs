//! The edges of the cancel's clock (P15): a cancel that is asked for and tried at each of them, and each thing that can
//! come of it.

use super::*;

/// In milliseconds after the first send.
const EDGES: [i64; 8] = [0, 600_000, 889_900, 890_000, 899_900, 900_100, 959_900, 960_000];
const ANSWERS: [(&str, Event); 4] = [
    ("ok", Event::ReversalDone),
    ("lost", Event::ReversalLost),
    ("too late", Event::ReversalRefused(ReversalFailure::TooLate)),
    ("claimed", Event::ReversalRefused(ReversalFailure::NotPermitted)),
];

fn at_millis(millis: i64) -> DateTime<Utc> {
    sent() + TimeDelta::milliseconds(millis)
}

/// What was committed before the edge and is tried at it: what is due then, what its answer makes of the row, what is due
/// after that, and what a read says that shows the card live.
fn tried(millis: i64, answer: Event) -> [String; 4] {
    let now = at_millis(millis);
    let word = |stage: Stage| match action(stage, now) {
        None => "nothing".to_owned(),
        Some(Action::Reverse) => "cancel".to_owned(),
        Some(other) => format!("{other:?}").to_lowercase(),
    };
    let canceling = stage(State::Canceling);
    let next = step(canceling, answer, now).unwrap();
    let read = if next.stage.state() == State::Canceling {
        told(next.stage, Event::Seen(Sight::Live), now)
    } else {
        String::new()
    };
    [word(canceling), told(canceling, answer, now), word(next.stage), read]
}

#[test]
fn every_edge_of_the_window_means_what_is_written() {
    let mut cells = 0;
    for millis in EDGES {
        let (open, certain) = (millis < 890_000, millis >= 960_000);
        let asked = told(stage(State::Issued), Event::ReversalAsked, at_millis(millis));
        assert_eq!(asked, if open { "canceling now" } else { "- window" }, "asked at {millis}");
        let first = if open { "cancel" } else { "read" };
        for (name, answer) in ANSWERS {
            let expected = match name {
                "ok" => [first, "canceled", "nothing", ""],
                // A doubt: tried again while it may be, and not believed before 16:00.
                "lost" if open => [first, "canceling later", first, "canceling later"],
                "lost" => [first, "canceling later", first, if certain { "issued" } else { "canceling at" }],
                // A refusal: tried again while it may be.
                "claimed" if open => [first, "canceling later", first, "canceling later"],
                // Too late, or the window is over: the read is the verdict.
                _ => [first, "canceling now", "read", "issued"],
            };
            assert_eq!(tried(millis, answer), expected, "{name} at {millis}");
            cells += 1;
        }
    }
    assert_eq!(cells, 32);
}

/// What the caller is told of a cancel that came to nothing, and that a refund is believed at any instant.
#[test]
fn at_every_edge_a_failure_keeps_its_cause_and_a_refund_is_a_refund() {
    for millis in EDGES {
        let now = at_millis(millis);
        for (name, answer) in ANSWERS {
            let next = step(stage(State::Canceling), answer, now).unwrap();
            if next.stage.state() == State::Canceled {
                continue;
            }
            assert_eq!(told(next.stage, Event::Seen(Sight::Reversed), now), "canceled", "{name} at {millis}");
            let settled = step(next.stage, Event::Seen(Sight::Live), at_millis(960_000)).unwrap();
            let cause = if name == "claimed" { ReversalFailure::NotPermitted } else { ReversalFailure::TooLate };
            let told = (settled.stage.state(), settled.stage.reversal_failure(), settled.deliver);
            assert_eq!(told, (State::Issued, Some(cause), false), "{name} at {millis}");
        }
        let doubt = Stage::Reversing(Reversal { doubt: true, ..reversal() });
        let refused = step(doubt, Event::ReversalRefused(ReversalFailure::NotPermitted), now).unwrap().stage;
        let read = told(refused, Event::Seen(Sight::Live), now);
        let expected = match millis {
            960_000.. => "issued",
            890_000.. => "canceling at",
            _ => "canceling later",
        };
        assert_eq!(read, expected, "a refusal after a doubt at {millis}");
    }
}
