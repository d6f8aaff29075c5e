//! Every status of ours against everything that Amazon may show, inside the period and at its edges.

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The first of November, read with the margins of the operation.
fn frame() -> Frame {
    let day = "2026-11-01".parse().unwrap();
    let period = RunPeriod::days(day, day).unwrap();
    Frame { period, read: period.asked().unwrap() }
}

/// The same, from a file that holds exactly the day.
fn filed() -> Frame {
    let Frame { period, .. } = frame();
    Frame { period, read: period.filed(None) }
}

fn theirs(created: Option<&str>, amount: i64, canceled: Option<&str>) -> Theirs {
    Theirs { created_at: created.map(at), amount: created.map(|_at| amount), canceled_at: canceled.map(at) }
}

fn ours(status: OurStatus, amount: i64, sent: &str, proven: Option<&str>) -> Ours {
    let canceled = (status == OurStatus::Canceled).then(|| at(sent) + TimeDelta::minutes(3));
    Ours { status, amount, sent_at: at(sent), issued_at: proven.map(at), canceled_at: canceled }
}

const NOON: &str = "2026-11-01T12:00:00Z";
const SOON: &str = "2026-11-01T12:03:00Z";

fn found(class: Class) -> MatchResult {
    MatchResult::Found(class)
}

#[test]
fn every_standing_against_everything_that_amazon_may_show() {
    let (live, canceled, other) =
        (theirs(Some(NOON), 500, None), theirs(Some(NOON), 500, Some(SOON)), theirs(Some(NOON), 600, None));
    let state = found(Class::StateDiffers);
    for (status, [on_live, on_canceled, on_other]) in [
        (OurStatus::Issued, [MatchResult::Matched, state, found(Class::AmountDiffers)]),
        (OurStatus::Canceled, [state, MatchResult::Matched, found(Class::AmountDiffers)]),
        (OurStatus::NotBought, [state; 3]),
        (OurStatus::Open, [found(Class::Unproven); 3]),
        (OurStatus::Adopted, [found(Class::TheirsOnly); 3]),
    ] {
        let ours = ours(status, 500, NOON, Some(NOON));
        for (theirs, wanted) in [(live, on_live), (canceled, on_canceled), (other, on_other)] {
            assert_eq!(frame().seen(&theirs, Some(&ours)), wanted, "{status:?} {theirs:?}");
        }
    }
    for theirs in [live, canceled, other] {
        assert_eq!(frame().seen(&theirs, None), found(Class::TheirsOnly));
    }
}

#[test]
fn what_amazon_does_not_show_is_missed_only_where_it_was_bought_for_certain() {
    for (status, wanted) in [
        (OurStatus::Issued, found(Class::OursOnly)),
        (OurStatus::Canceled, found(Class::OursOnly)),
        (OurStatus::Open, found(Class::Unproven)),
        (OurStatus::NotBought, MatchResult::Elsewhere),
        (OurStatus::Adopted, MatchResult::Elsewhere),
    ] {
        assert_eq!(frame().unseen(&ours(status, 500, NOON, Some(NOON))), wanted, "{status:?}");
    }
}

#[test]
fn a_card_is_judged_on_its_own_day_and_on_the_day_of_its_proof() {
    let before = "2026-10-31T23:59:50Z";
    let issued = |proven| ours(OurStatus::Issued, 500, before, Some(proven));
    let bought_before = theirs(Some(before), 600, None);
    assert_eq!(frame().seen(&bought_before, Some(&issued(before))), MatchResult::Elsewhere, "the day before judges it");
    assert_eq!(frame().seen(&bought_before, Some(&issued(NOON))), found(Class::AmountDiffers), "proven today");
    assert_eq!(frame().seen(&bought_before, None), MatchResult::Elsewhere, "the day before finds it");
    let after = theirs(Some("2026-11-02T00:00:00Z"), 600, None);
    assert_eq!(frame().seen(&after, None), MatchResult::Elsewhere, "the day after finds it");
}

#[test]
fn a_reward_sent_before_midnight_and_listed_after_it_is_no_finding_on_either_day() {
    let sent = ours(OurStatus::Issued, 500, "2026-11-01T23:59:59Z", Some("2026-11-02T00:00:01Z"));
    let listed = theirs(Some("2026-11-02T00:00:00Z"), 500, None);
    assert_eq!(frame().seen(&listed, Some(&sent)), MatchResult::Elsewhere);
    // By the hour that is read after the day, it is seen, and so not missed. A file without that hour cannot tell.
    let proven = ours(OurStatus::Issued, 500, "2026-11-01T23:59:58Z", Some("2026-11-01T23:59:59Z"));
    assert_eq!(filed().unseen(&proven), MatchResult::Unchecked);
    assert_eq!(frame().unseen(&proven), found(Class::OursOnly));
}

#[test]
fn a_proof_a_day_after_the_first_send_is_looked_for_in_the_day_before() {
    let late = ours(OurStatus::Issued, 500, "2026-10-31T00:10:00Z", Some("2026-11-01T00:05:00Z"));
    assert_eq!(frame().unseen(&late), found(Class::OursOnly));
    let later = ours(OurStatus::Issued, 500, "2026-10-30T20:00:00Z", Some("2026-11-01T00:05:00Z"));
    assert_eq!(frame().unseen(&later), MatchResult::Unchecked, "settled by hand, days later");
}

#[test]
fn a_cancel_on_the_other_side_of_the_edge_is_no_finding() {
    let sent = "2026-11-01T23:55:00Z";
    let mut canceled = ours(OurStatus::Canceled, 500, sent, Some(sent));
    canceled.canceled_at = Some(at("2026-11-02T00:05:00Z"));
    assert_eq!(filed().seen(&theirs(Some(sent), 500, None), Some(&canceled)), MatchResult::Matched);
    assert_eq!(frame().seen(&theirs(Some(sent), 500, None), Some(&canceled)), found(Class::StateDiffers));
    // The day before: its create lies in the file before this one.
    let cancel_alone = theirs(None, 0, Some("2026-11-01T00:05:00Z"));
    let canceled = ours(OurStatus::Canceled, 500, "2026-10-31T23:55:00Z", Some("2026-10-31T23:55:00Z"));
    assert_eq!(filed().seen(&cancel_alone, Some(&canceled)), MatchResult::Matched);
    assert_eq!(filed().seen(&cancel_alone, None), MatchResult::Unchecked);
    assert_eq!(frame().seen(&cancel_alone, None), found(Class::TheirsOnly), "its create would have been read");
    let issued = ours(OurStatus::Issued, 500, "2026-10-31T23:55:00Z", Some("2026-10-31T23:55:00Z"));
    assert_eq!(filed().seen(&cancel_alone, Some(&issued)), found(Class::StateDiffers));
}

#[test]
fn a_card_that_was_bought_after_ours_was_proven_is_another_card() {
    let proven = ours(OurStatus::Issued, 500, "2026-09-01T12:00:00Z", Some("2026-09-01T12:00:02Z"));
    let again = theirs(Some(NOON), 500, None);
    assert_eq!(frame().seen(&again, Some(&proven)), found(Class::StateDiffers));
    assert_eq!(again.state(Some(&proven)), TheirState::BoughtAgain);
    let skewed = ours(OurStatus::Issued, 500, "2026-11-01T11:55:01Z", Some("2026-11-01T11:55:02Z"));
    assert_eq!(frame().seen(&again, Some(&skewed)), MatchResult::Matched, "two clocks");
    assert_eq!(again.state(Some(&skewed)), TheirState::Live);
}
