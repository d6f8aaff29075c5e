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
        careful in any::<bool>(),
        by_operation in any::<bool>(),
    ) {
        let mut now = sent();
        let mut stage = stage(State::Issuing);
        let on_unproven = if careful { OnUnproven::Reverse } else { OnUnproven::Keep };
        for (event, wait) in events {
            now += TimeDelta::seconds(wait);
            let reading = if by_operation { Reading::Operation } else { RULES.reading };
            let rules = Rules { reading, ..RULES };
            let taken = Step { on_unproven, rules: &rules, ..awaited_step(event, now) }.apply(stage);
            let Ok(next) = taken else { continue };
            let (before, after) = (stage.state(), next.stage.state());
            prop_assert!(!next.deliver || after == State::Issued, "a code leaves only as issued");
            if before == State::Canceling || before == State::Canceled {
                prop_assert!(!next.deliver, "no code leaves after a cancel was committed");
            }
            if let (Stage::Reversing(reversal), State::Issued) = (stage, after) {
                prop_assert!(reversal.handed_out, "what nobody has is never issued quietly");
            }
            // A decision that a read shows is no refusal of an attempt: it ends every doubt.
            let decided = event == Event::Seen(Sight::Declined);
            if let Stage::Sending(Try { doubt: true, .. }) | Stage::Unproven(_) = stage
                && !decided
            {
                prop_assert!(after != State::Failed && after != State::Pending, "doubt is sticky");
                prop_assert_eq!(next.stage.first_sent_at(), stage.first_sent_at(), "a replay never moves the window");
            }
            if let Stage::Sending(Try { done: true, .. }) | Stage::Unproven(Try { done: true, .. }) = stage {
                prop_assert!(after != State::Failed, "what was done under our id is never reported as nothing");
            }
            let due = action(next.stage, now);
            if due == Some(Action::Reverse) {
                prop_assert!(next.stage.first_sent_at().is_some_and(|sent| RULES.may_reverse(sent, now)));
            }
            prop_assert_eq!(due.is_some(), next.wake != Wake::Never, "what is not finished is due, and nothing else");
            stage = next.stage;
        }
    }
}
