//! A month of clean rewards of every kind, and among them one difference in twenty, of every class and kind: all are found, each
//! in its class, and nothing else is. No report is known to list loads: half of the clean ones stand in this one, and that a load is
//! missing is no finding. One that is listed with another amount or state is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use noshi::sandbox::{Activity, ActivityType};
use rust_decimal::Decimal;

use super::{
    DAY, counts, items, nothing_is_left_over,
    plant::{EXTENDED, LOAD, Planted, instant, list, plant},
    reconcile,
};
use crate::support::{
    App, Backend, PARTNER, on_each_backend,
    rounds::{count_of, print},
};

/// The clean rewards of an everyday run. The long run has `NOSHI_TEST_RECONCILED` of them.
const CLEAN: usize = 2_000;
/// So many clean rewards for each difference of a class.
const CLEAN_PER_DIFFERENCE: usize = 80;

/// The first day of the month; `DAY` is the last.
const FIRST: &str = "2026-10-12";
const MONTH_MILLISECONDS: u64 = 30 * 86_400_000;
/// What is bought in it, as rows have it.
const KINDS: [&str; 4] = ["gift_code", "card_activation", EXTENDED, LOAD];
/// Those of which it is a finding that one is missing in the report.
const MISSED: [&str; 3] = ["gift_code", "card_activation", EXTENDED];

/// How much there is of everything.
#[derive(Clone, Copy)]
struct Size {
    clean: usize,
    /// Differences of each class: a multiple of five.
    each: usize,
}

impl Size {
    fn of_run() -> Self {
        let clean = count_of("NOSHI_TEST_RECONCILED", CLEAN);
        Self { clean, each: clean / CLEAN_PER_DIFFERENCE / 5 * 5 }
    }
}

/// Rewards spread over the whole month, first and last second included.
fn month(app: &App) -> (Size, Vec<Planted>) {
    let size = Size::of_run();
    let midnight = instant("2026-10-12T00:00:00Z");
    let total = u64::try_from(size.clean + 3 * size.each).unwrap();
    let at = |n: u64| {
        midnight + TimeDelta::milliseconds(i64::try_from(n * (MONTH_MILLISECONDS - 3_000) / (total - 1)).unwrap())
    };
    // Every 27th differs, by nine in turn: each kind has each of them.
    let kind = |n: u64| KINDS[usize::try_from((2 * (n / 243) + n) % 4).unwrap()];
    let planted = |n: u64| Planted::issued(app, n, 100 + i64::try_from(n % 977).unwrap(), at(n)).of_kind(kind(n));
    (size, (0..total).map(planted).collect())
}

/// What is no difference: replays with other amounts, refusals, second cancels, mock ids, the days around, open rewards,
/// rewards that never were bought.
fn noise(app: &App, clean: &[Planted]) -> (Vec<Planted>, Vec<Activity>) {
    let (mut rewards, mut records) = (Vec::new(), Vec::new());
    for reward in clean.iter().step_by(20) {
        records.push(Activity { real_op: false, amount: Some(Decimal::new(999_999, 2)), ..reward.record() });
    }
    let mock = Activity { request_id: "F0000".to_owned(), ..clean[0].record() };
    records.push(mock);
    let number = |n: u64| 50_000 + n;
    for n in 0..40 {
        // Refused here and there.
        let refused = Planted::issued(app, number(n), 500, instant("2026-11-10T10:00:00Z")).in_state("failed");
        records.push(Activity {
            real_op: false,
            failure_code: Some("InsufficientFunds".to_owned()),
            gc_id: None,
            ..refused.record()
        });
        rewards.push(refused);
        // Open here, and there or not.
        let open = Planted::issued(app, number(100 + n), 500, instant("2026-11-10T11:00:00Z")).in_state("unresolved");
        records.extend((n % 2 == 0).then(|| open.record()));
        rewards.push(open);
        // Of the day before and of the day after, on one side only or with another amount: not this month's.
        for (place, time) in [(200, "2026-10-11T23:59:59Z"), (300, "2026-11-11T00:00:00Z")] {
            let other = Planted::issued(app, number(place + n), 500, instant(time));
            match n % 3 {
                0 => records.push(Activity { amount: Some(Decimal::new(501, 2)), at: other.sent_at, ..other.record() }),
                1 => records.push(Activity { at: other.sent_at, ..other.record() }),
                _ => {}
            }
            if n % 3 != 1 {
                rewards.push(Planted {
                    sent_at: other.sent_at - TimeDelta::seconds(if place == 200 { 5 } else { 0 }),
                    ..other
                });
            }
        }
    }
    (rewards, records)
}

/// An id that Amazon alone knows: some could only be ours, some are another system's.
fn stranger(app: &App, n: usize) -> Activity {
    let at = instant("2026-11-10T00:00:01Z") + TimeDelta::minutes(11 * i64::try_from(n).unwrap());
    let lost = Planted::issued(app, 90_000 + n as u64, 700, at).of_kind(MISSED[n / 5 % 3]);
    let request_id = if n.is_multiple_of(5) { format!("{PARTNER}Other{n}") } else { lost.id.clone() };
    Activity { request_id, ..lost.record() }
}

/// A reward that differs, by its turn: the class, our side, and Amazon's.
fn differing(turn: usize, reward: &Planted) -> (&'static str, Planted, Vec<Activity>) {
    match (turn / 3 % 3, turn % 3) {
        (_, 0) => ("ours_only", reward.clone(), vec![]),
        (_, 1) => {
            let amount = Some(Decimal::new(reward.amount + 1, 2));
            ("amount_differs", reward.clone(), vec![Activity { amount, ..reward.record() }])
        }
        (0, _) => ("state_differs", reward.clone(), vec![reward.record(), reward.cancel_record()]),
        (1, _) => ("state_differs", reward.clone().canceled(), vec![reward.record()]),
        (_, _) => ("state_differs", reward.clone().in_state("failed"), vec![reward.record()]),
    }
}

/// A month on both sides, and what differs.
#[derive(Default)]
struct Month {
    rewards: Vec<Planted>,
    records: Vec<Activity>,
    /// The class of each that differs, by Amazon's id.
    wanted: BTreeMap<String, &'static str>,
    /// What Amazon's side has more, in minor units.
    difference: i64,
    /// Loads that the report does not list.
    unlisted: usize,
}

impl Month {
    fn of(size: Size, all: &[Planted]) -> Self {
        let (mut month, mut met, mut turn) = (Self::default(), BTreeSet::new(), 0);
        // Every 27th differs, so the first and the last of the day do as well.
        for (at, reward) in all.iter().enumerate() {
            if at % 27 == 0 && turn < 3 * size.each || all.len() - at <= 3 * size.each - turn {
                met.insert(month.differ(turn, reward));
                turn += 1;
            } else {
                month.agree(at, reward);
            }
        }
        assert_eq!((turn, month.rewards.len()), (3 * size.each, all.len()));
        // All five of the others, and of loads all but that one is missing.
        assert_eq!(met.len(), 5 * MISSED.len() + 4, "{met:?}");
        assert!(month.unlisted > size.clean / 10, "{}", month.unlisted);
        month
    }

    fn agree(&mut self, at: usize, reward: &Planted) {
        // Some were canceled on both sides.
        let canceled = at % 20 == 7;
        self.rewards.push(if canceled { reward.clone().canceled() } else { reward.clone() });
        if reward.kind == LOAD && (at / 4).is_multiple_of(2) {
            self.unlisted += 1;
            return;
        }
        self.records.push(reward.record());
        self.records.extend(canceled.then(|| reward.cancel_record()));
    }

    /// Says what differs: the class, the kind, and of a state which one.
    fn differ(&mut self, turn: usize, reward: &Planted) -> (&'static str, &'static str, usize) {
        let (class, ours, theirs) = differing(turn, reward);
        let ours = if class == "ours_only" && ours.kind == LOAD { ours.of_kind(EXTENDED) } else { ours };
        let charged = if ours.state == "issued" { ours.amount } else { 0 };
        let listed = match theirs.as_slice() {
            [create] => i64::try_from((create.amount.unwrap() * Decimal::ONE_HUNDRED).trunc()).unwrap(),
            _ => 0,
        };
        self.difference += listed - charged;
        self.wanted.insert(reward.id.clone(), class);
        let met = (class, ours.kind, if class == "state_differs" { turn / 3 % 3 } else { 0 });
        self.rewards.push(ours);
        self.records.extend(theirs);
        met
    }
}

on_each_backend! {
    async fn differences_of_every_class_and_kind_are_found_in_a_month_and_nothing_else_is(backend: Backend) {
        let app = App::spawn(backend).await;
        let (size, all) = month(&app);
        let Month { mut rewards, mut records, mut wanted, mut difference, unlisted } = Month::of(size, &all);
        let mut adopted = 0;
        for (n, record) in (0..size.each).map(|n| stranger(&app, n)).enumerate() {
            // No report has the number of a card, so no row is made for one.
            let of_card = record.activity_type == ActivityType::GCActivation;
            adopted += usize::from(!n.is_multiple_of(5) && !of_card);
            difference += 700;
            wanted.insert(record.request_id.clone(), "theirs_only");
            records.push(record);
        }
        let (more, noise) = noise(&app, &all);
        rewards.extend(more);
        records.extend(noise);
        plant(&app, &rewards).await;
        let listed = records.len();
        list(&app, records);

        let run = reconcile(&app, FIRST, DAY).await;
        let each = i64::try_from(size.each).unwrap();
        let matched = i64::try_from(size.clean - unlisted).unwrap();
        assert_eq!(counts(&run), [matched, each, each, each, each, 40, i64::try_from(unlisted).unwrap()], "{run}");
        assert_eq!(run["records"], listed, "every record of the day and its margins was read");
        let cents = difference.unsigned_abs();
        let sign = if difference < 0 { "-" } else { "" };
        assert_eq!(run["difference"], format!("{sign}{}.{:02}", cents / 100, cents % 100));
        assert_eq!(run["adopted"], adopted, "four of five strangers could only be ours");
        let (rewards, kinds) = (all.len(), KINDS.len());
        print(&format!("a month, {backend:?}: {rewards} rewards of {kinds} kinds, {} differences found, 0 false", wanted.len()));

        let found = items(&app, &run).await;
        let (open, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|item| item["class"] == "unproven");
        assert_eq!((open.len(), found.len(), wanted.len()), (40, 4 * size.each, 4 * size.each));
        assert_eq!(open.iter().filter(|item| item["theirs_status"] == "live").count(), 20, "the second witness is noted");
        for item in &found {
            let id = item["creation_request_id"].as_str().unwrap();
            assert_eq!(wanted.remove(id), item["class"].as_str(), "{item}");
        }
        assert!(wanted.is_empty(), "not found: {wanted:?}");

        // The next run finds the same, and makes no second row for a stranger.
        let again = reconcile(&app, FIRST, DAY).await;
        assert_eq!((counts(&again), &again["difference"], &again["adopted"]), (counts(&run), &run["difference"], &0.into()));
        nothing_is_left_over(&app).await;
        app.end().await;
    }
}
