//! Whatever happens, in whatever order: what no sequence of events may break.

use proptest::prelude::*;

use super::*;

/// Sequences of 40 events each; `NOSHI_SEQUENCES=n` tries so many.
const CASES: u32 = 10_000;

fn cases() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting")]
    std::env::var("NOSHI_SEQUENCES").ok().map_or(CASES, |text| text.parse().unwrap())
}

fn any_event() -> impl Strategy<Value = Event> {
    prop::sample::select(EVENTS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_sequence_of_events_breaks_the_promises(
        events in prop::collection::vec((any_event(), 0_i64..60), 40),
        cancel_if_unresolved in any::<bool>(),
    ) {
        let mut now = sent();
        let mut facts = Facts { cancel_if_unresolved, ..facts(State::Issuing) };
        for (event, wait) in events {
            now += TimeDelta::seconds(wait);
            let Ok(next) = step(facts, event, now) else { continue };
            prop_assert!(!next.deliver || next.facts.state == State::Issued, "a code leaves only as issued");
            if facts.state == State::Canceling || facts.state == State::Canceled {
                prop_assert!(!next.deliver, "no code leaves after a cancel was committed");
            }
            if facts.ambiguous {
                prop_assert!(next.facts.state != State::Failed && next.facts.state != State::Pending, "ambiguity is sticky");
            }
            if facts.first_send_at.is_some() && facts.ambiguous {
                prop_assert_eq!(next.facts.first_send_at, facts.first_send_at, "a replay never moves the window");
            }
            if due(&next.facts, now) == Some(Action::Cancel) {
                prop_assert!(next.facts.first_send_at.is_some_and(|sent| window::may_cancel(sent, now)));
            }
            if due(&next.facts, now).is_some() {
                prop_assert!(next.wake != Wake::Never, "what is not finished is due");
            } else {
                prop_assert!(next.wake == Wake::Never, "what is finished is not due");
            }
            facts = next.facts;
        }
    }
}
