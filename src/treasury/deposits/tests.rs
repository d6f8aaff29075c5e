//! Observations against the ledger, one by one, and in random histories where the truth is known.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    kernel::Currency,
    ledger::{
        movements::{ISSUE, Movement, RELEASE},
        sums::Sums,
    },
};

const FRESH: BookingState = BookingState { opening_room: Some(i64::MAX), missing: 0, adjustments: 0 };
const SETTLED: BookingState = BookingState { opening_room: None, missing: 0, adjustments: 0 };

fn position(moved: &[(&'static Movement, i64)]) -> LedgerPosition {
    let mut sums = Sums::none(Currency::Jpy);
    for (movement, minor) in moved {
        sums.add(movement, movement.debit, *minor);
    }
    sums.entries = i64::try_from(moved.len()).unwrap();
    LedgerPosition { sums, unsure: BTreeMap::new(), last_entry: 0 }
}

/// An answer that came so many seconds after the first one, with Amazon's own time as old as it says.
fn sighting<'a>(available: i64, before: &'a LedgerPosition, after: &'a LedgerPosition, second: i64) -> Sighting<'a> {
    let at = DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
    Sighting { available, before, after, asked_at: at, answered_at: Some(at), reported_at: Some(at) }
}

fn excess(available: i64, before: &LedgerPosition, after: &LedgerPosition) -> Option<Excess> {
    sighting(available, before, after, 0).excess()
}

fn at_rest(available: i64, ledger: &LedgerPosition, state: BookingState) -> Assessment {
    state.adjusted_to(ledger.sums.of(&ADJUSTMENT)).assess(excess(available, ledger, ledger).unwrap())
}

#[test]
fn at_rest_the_opening_and_every_deposit_are_exact() {
    let ledger = position(&[(&RESERVE, 300), (&ISSUE, 300)]);
    assert_eq!(at_rest(700, &ledger, FRESH), Assessment { opening: 1000, deposit: 0, state: SETTLED });
    let ledger = position(&[(&OPENING, 1000), (&RESERVE, 300), (&ISSUE, 300)]);
    assert_eq!(at_rest(700, &ledger, SETTLED), Assessment { opening: 0, deposit: 0, state: SETTLED });
    assert_eq!(at_rest(5700, &ledger, SETTLED), Assessment { opening: 0, deposit: 5000, state: SETTLED });
    assert_eq!(
        at_rest(0, &position(&[]), FRESH),
        Assessment { opening: 0, deposit: 0, state: SETTLED },
        "of nothing too"
    );
}

#[test]
fn only_what_is_certain_is_booked_while_purchases_are_on_their_way() {
    let ledger = position(&[(&OPENING, 1000), (&RESERVE, 500), (&ISSUE, 300)]);
    // 200 may have been taken or not: 700 and 500 are both nothing new; 900 is 200 at least.
    for (available, deposit) in [(500, 0), (700, 0), (701, 1), (900, 200)] {
        assert_eq!(at_rest(available, &ledger, SETTLED).deposit, deposit, "{available}");
    }
    assert_eq!(at_rest(499, &ledger, SETTLED).state.missing, 1);
    // What was reserved while Amazon was asked may have been taken too; what was canceled then may have been there.
    let after = position(&[(&OPENING, 1000), (&RESERVE, 600), (&ISSUE, 300), (&CANCEL, 150)]);
    let assess = |available| SETTLED.assess(excess(available, &ledger, &after).unwrap());
    assert_eq!(assess(400).state.missing, 0);
    assert_eq!(assess(399).state.missing, 1);
    assert_eq!(assess(850).deposit, 0);
    assert_eq!(assess(851).deposit, 1);
}

#[test]
fn a_reward_that_a_person_decides_about_is_no_deposit() {
    let mut ledger = position(&[(&OPENING, 1000), (&RESERVE, 300), (&ISSUE, 300)]);
    ledger.unsure.insert("a".to_owned(), 200);
    assert_eq!(at_rest(900, &ledger, SETTLED).deposit, 0);
    assert_eq!(at_rest(901, &ledger, SETTLED).deposit, 1);
    let mut after = ledger.clone();
    after.unsure.insert("b".to_owned(), 50);
    assert_eq!(excess(950, &ledger, &after).unwrap().least, 0, "each of both readings, and each once");
}

#[test]
fn what_someone_books_meanwhile_makes_the_observation_useless() {
    let ledger = position(&[(&OPENING, 1000)]);
    let after = position(&[(&OPENING, 1000), (&ADJUSTMENT, -5)]);
    assert_eq!(excess(1000, &ledger, &after), None);
}

#[test]
fn what_is_missing_is_never_booked_and_hides_no_deposit() {
    let ledger = position(&[(&OPENING, 1000)]);
    let short = at_rest(900, &ledger, SETTLED);
    assert_eq!((short.opening, short.deposit, short.state.missing), (0, 0, 100));
    assert_eq!(at_rest(900, &ledger, short.state).state.missing, 100, "it is one case");
    assert_eq!(at_rest(950, &ledger, short.state).state.missing, 50, "a part is there again");
    assert_eq!(at_rest(1000, &ledger, short.state), Assessment { opening: 0, deposit: 0, state: SETTLED }, "all is");
    let paid = at_rest(1400, &ledger, short.state);
    assert_eq!((paid.deposit, paid.state.missing), (500, 100), "a deposit is booked whole");
    let adjusted = position(&[(&OPENING, 1000), (&ADJUSTMENT, -100)]);
    let settled = at_rest(900, &adjusted, short.state);
    assert_eq!((settled.deposit, settled.state.missing), (0, 0), "a person has explained it");
    assert_eq!(at_rest(1400, &adjusted, short.state).deposit, 500, "and a deposit came at the same time");
}

#[test]
fn an_opening_under_load_is_narrowed_down_and_no_deposit() {
    let ledger = position(&[(&RESERVE, 500), (&ISSUE, 300)]);
    // 1000 were there: 200 of 500 are on their way, and taken.
    let first = at_rest(500, &ledger, FRESH);
    assert_eq!((first.opening, first.deposit, first.state.opening_room), (800, 0, Some(200)));
    let quiet = position(&[(&OPENING, 800), (&RESERVE, 500), (&ISSUE, 500)]);
    assert_eq!(at_rest(500, &quiet, first.state), Assessment { opening: 200, deposit: 0, state: SETTLED });
    // Beyond what can have been there at the beginning, it is a deposit.
    assert_eq!(at_rest(5500, &quiet, first.state), Assessment { opening: 200, deposit: 5000, state: SETTLED });
    let released = position(&[(&OPENING, 800), (&RESERVE, 500), (&ISSUE, 300), (&RELEASE, 200)]);
    assert_eq!(at_rest(500, &released, first.state), Assessment { opening: 0, deposit: 0, state: SETTLED });
}

/// A purchase of the random world: what the ledger says, and what Amazon did.
#[derive(Clone, Copy)]
struct Card {
    value: i64,
    booked: &'static str,
    canceling: bool,
    live: bool,
}

fn look(cards: &[Card], (opening, deposits): (i64, i64)) -> LedgerPosition {
    let sum = |of: fn(&Card) -> bool| cards.iter().filter(|card| of(card)).map(|card| card.value).sum::<i64>();
    let unsure = cards.iter().enumerate().filter(|(_at, card)| card.booked == "issued" && card.canceling);
    let unsure = unsure.map(|(at, card)| (at.to_string(), card.value)).collect();
    let mut all = position(&[
        (&OPENING, opening),
        (&DEPOSIT, deposits),
        (&RESERVE, sum(|_| true)),
        (&ISSUE, sum(|card| matches!(card.booked, "issued" | "canceled"))),
        (&RELEASE, sum(|card| card.booked == "released")),
        (&CANCEL, sum(|card| card.booked == "canceled")),
    ]);
    all.unsure = unsure;
    all
}

/// One step of the world, at Amazon or in our books: write-ahead before, proof after.
fn happen(cards: &mut Vec<Card>, random: &mut StdRng) {
    let at = if cards.is_empty() { 0 } else { random.random_range(0..cards.len()) };
    let fate = random.random_range(0..8_u8);
    let Some(card) = cards.get_mut(at).filter(|_| fate > 0) else {
        return cards.push(Card {
            value: random.random_range(1..=500),
            booked: "reserved",
            canceling: false,
            live: false,
        });
    };
    match (fate, card.booked, card.canceling, card.live) {
        (1..=2, "reserved", _, _) => card.live = true,
        (3..=4, "reserved", _, true) => card.booked = "issued",
        (3, "reserved", _, false) => card.booked = "released",
        (5, "issued", false, _) => card.canceling = true,
        (6, "issued", true, _) => card.live = false,
        (7, "issued", true, false) => (card.booked, card.canceling) = ("canceled", false),
        (7, "issued", true, true) => card.canceling = false,
        _ => {}
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are what people read")]
fn in_random_histories_no_deposit_is_booked_that_was_none_and_at_rest_none_is_missing() {
    let (mut booked_busy, mut late) = (0, 0);
    for seed in 0..2000_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let (start, mut paid) = (random.random_range(0..100_000_i64) + 100_000, 0);
        let (mut cards, mut state, mut opening, mut deposits) = (Vec::new(), FRESH, 0, 0);
        for _ in 0..random.random_range(0..30) {
            happen(&mut cards, &mut random);
        }
        for round in 0..60 {
            let before = look(&cards, (opening, deposits));
            let answered = random.random_range(0..4);
            let mut available = 0;
            for step in 0..4 {
                if step == answered {
                    available =
                        start + paid - cards.iter().filter(|card| card.live).map(|card| card.value).sum::<i64>();
                }
                happen(&mut cards, &mut random);
            }
            // A deposit may fall between Amazon's answer and our second look too.
            if random.random_range(0..6) == 0 {
                paid += random.random_range(1..5000);
            }
            let assessment = state.assess(excess(available, &before, &look(&cards, (opening, deposits))).unwrap());
            (state, opening, deposits) =
                (assessment.state, opening + assessment.opening, deposits + assessment.deposit);
            booked_busy += usize::from(assessment.deposit > 0);
            // Of what came before the opening was known nobody can tell whether it was there.
            assert!(
                opening + deposits <= start + paid && deposits <= paid,
                "seed {seed}, round {round}: {opening} of {start}, {deposits} of {paid}"
            );
            assert_eq!(state.missing, 0, "seed {seed}, round {round}: nothing is missing");
            for _ in 0..random.random_range(0..6) {
                happen(&mut cards, &mut random);
            }
        }
        // Everything comes to its end.
        for card in &mut cards {
            *card = match (card.booked, card.live) {
                ("reserved" | "issued", true) => Card { booked: "issued", canceling: false, ..*card },
                ("reserved", false) => Card { booked: "released", ..*card },
                ("issued", false) => Card { booked: "canceled", canceling: false, ..*card },
                _ => *card,
            };
        }
        let available = start + paid - cards.iter().filter(|card| card.live).map(|card| card.value).sum::<i64>();
        let ledger = look(&cards, (opening, deposits));
        let assessment = at_rest(available, &ledger, state);
        late += usize::from(assessment.deposit > 0);
        (opening, deposits) = (opening + assessment.opening, deposits + assessment.deposit);
        assert_eq!(opening + deposits, start + paid, "seed {seed}");
        assert_eq!(look(&cards, (opening, deposits)).sums.expected(), available, "seed {seed}");
        assert_eq!(assessment.state.opening_room, None);
    }
    eprintln!("{booked_busy} deposits were booked under load, in {late} of 2000 histories some followed at rest");
    assert!(booked_busy > 5000 && late > 100, "both ways were tried: {booked_busy}, {late}");
}

const MINUTES: TimeDelta = TimeDelta::seconds(300);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

/// Weighs one after the other: what was booked, and the state and the window that are left.
#[derive(Default)]
struct Watch {
    state: Option<BookingState>,
    window: Option<BalanceWindow>,
    opening: i64,
    deposits: i64,
}

impl Watch {
    fn settled() -> Self {
        Self { state: Some(SETTLED), ..Self::default() }
    }

    fn see(&mut self, seen: &Sighting<'_>) {
        let verdict = self.state.unwrap_or(FRESH).weigh(self.window, seen, MINUTES);
        let Weighed { assessment: Assessment { opening, deposit, state }, window } = verdict;
        (self.state, self.window) = (Some(state), window);
        self.opening += opening;
        self.deposits += deposit;
    }

    fn missing(&self) -> i64 {
        self.state.unwrap_or(FRESH).missing
    }
}

#[test]
fn a_deposit_is_booked_once_two_observations_minutes_apart_agree_on_it() {
    let (ledger, mut watch) = (position(&[(&OPENING, 1000)]), Watch::settled());
    for (second, available, booked) in [(0, 1000, 0), (60, 1500, 0), (359, 1500, 0), (360, 1500, 500)] {
        watch.see(&sighting(available, &ledger, &ledger, second));
        assert_eq!(watch.deposits, booked, "{second}");
    }
    let ledger = position(&[(&OPENING, 1000), (&DEPOSIT, 500)]);
    for second in [420, 900, 1800] {
        watch.see(&sighting(1500, &ledger, &ledger, second));
    }
    assert_eq!((watch.deposits, watch.missing(), watch.window), (500, 0, None));
    // The second answer allows less than the first one.
    for (second, available) in [(2000, 2000), (2100, 1600), (2300, 2000)] {
        watch.see(&sighting(available, &ledger, &ledger, second));
    }
    assert_eq!(watch.deposits, 600, "what all of them agree on");
}

#[test]
fn an_answer_that_lags_behind_a_purchase_is_no_deposit_and_one_behind_a_cancel_is_nothing_missing() {
    let bought = position(&[(&OPENING, 1000), (&RESERVE, 300), (&ISSUE, 300)]);
    let mut watch = Watch::settled();
    for (second, available) in [(0, 1000), (120, 1000), (240, 700), (360, 700), (900, 700)] {
        watch.see(&sighting(available, &bought, &bought, second));
    }
    assert_eq!((watch.deposits, watch.missing(), watch.window), (0, 0, None));
    let canceled = position(&[(&OPENING, 1000), (&RESERVE, 300), (&ISSUE, 300), (&CANCEL, 300)]);
    for (second, available) in [(1000, 700), (1120, 700), (1240, 1000), (1360, 1000)] {
        watch.see(&sighting(available, &canceled, &canceled, second));
    }
    assert_eq!((watch.deposits, watch.missing(), watch.window), (0, 0, None));
}

#[test]
fn answers_that_lag_all_the_time_while_purchases_run_are_no_deposit() {
    let (mut watch, mut bought) = (Watch::settled(), vec![0; 20]);
    for minute in 0_i64..240 {
        bought.push(bought.last().unwrap() + 50);
        let spent = *bought.last().unwrap();
        let ledger = position(&[(&OPENING, 100_000), (&RESERVE, spent), (&ISSUE, spent)]);
        // Four minutes ago, although Amazon dates it now.
        let seen_there = bought[bought.len() - 5];
        watch.see(&sighting(100_000 - seen_there, &ledger, &ledger, minute * 60));
    }
    assert_eq!((watch.deposits, watch.missing()), (0, 0));
}

#[test]
fn amazons_own_time_of_a_balance_decides_and_not_when_we_asked() {
    let (ledger, mut watch) = (position(&[(&OPENING, 1000)]), Watch::settled());
    watch.see(&sighting(1500, &ledger, &ledger, 0));
    for second in [400, 800] {
        let old = Sighting { reported_at: Some(at(second - 600)), ..sighting(1500, &ledger, &ledger, second) };
        watch.see(&old);
        assert_eq!(watch.deposits, 0, "it says nothing of the five minutes after the first question");
    }
    watch.see(&Sighting { reported_at: Some(at(300)), ..sighting(1500, &ledger, &ledger, 900) });
    assert_eq!(watch.deposits, 500);
}

/// What Amazon's time of a balance means is not known. Where it stands still, a deposit is booked late and not never.
#[test]
fn a_time_of_amazons_that_stands_still_delays_a_deposit_by_an_hour() {
    let (ledger, mut watch) = (position(&[(&OPENING, 1000)]), Watch::settled());
    let still = |second| Sighting { reported_at: Some(at(0)), ..sighting(1500, &ledger, &ledger, second) };
    for second in [60, 600, 3600, 3900] {
        watch.see(&still(second));
        assert_eq!(watch.deposits, 0, "{second}");
    }
    watch.see(&still(3960));
    assert_eq!(watch.deposits, 500);
}

#[test]
fn a_jump_of_our_clock_does_not_make_minutes_pass_at_amazon() {
    let (ledger, mut watch) = (position(&[(&OPENING, 1000)]), Watch::settled());
    watch.see(&sighting(1500, &ledger, &ledger, 0));
    let ahead = |second| Sighting { asked_at: at(second + 86_400), ..sighting(1500, &ledger, &ledger, second) };
    watch.see(&ahead(60));
    assert_eq!(watch.deposits, 0);
    watch.see(&ahead(300));
    assert_eq!(watch.deposits, 500);
    // Opened by a clock that was ahead, and set back since.
    let ledger = position(&[(&OPENING, 1000), (&DEPOSIT, 500)]);
    watch.see(&Sighting { asked_at: at(86_400 + 600), ..sighting(1900, &ledger, &ledger, 600) });
    for second in [660, 900, 960] {
        watch.see(&sighting(1900, &ledger, &ledger, second));
    }
    assert_eq!(watch.deposits, 900, "five minutes after the clock is back");
}

#[test]
fn a_deposit_after_a_purchase_that_the_first_answer_did_not_know_is_no_opening() {
    let reserved = position(&[(&RESERVE, 25)]);
    let bought = position(&[(&RESERVE, 25), (&ISSUE, 25)]);
    let mut watch = Watch::default();
    watch.see(&sighting(1000, &reserved, &reserved, 0));
    watch.see(&sighting(975, &bought, &bought, 300));
    for second in [600, 900] {
        let ledger = position(&[(&OPENING, watch.opening), (&DEPOSIT, watch.deposits), (&RESERVE, 25), (&ISSUE, 25)]);
        watch.see(&sighting(1475, &ledger, &ledger, second));
    }
    assert_eq!((watch.opening, watch.deposits), (1000, 500));
}

#[test]
fn the_opening_of_an_account_without_a_purchase_does_not_wait() {
    let (nothing, mut watch) = (position(&[]), Watch::default());
    watch.see(&sighting(1000, &nothing, &nothing, 0));
    assert_eq!((watch.opening, watch.window), (1000, None));
    let bought = position(&[(&RESERVE, 300), (&ISSUE, 300)]);
    let mut watch = Watch::default();
    watch.see(&sighting(1000, &bought, &bought, 0));
    assert_eq!(watch.opening, 0, "the answer may not know of the purchase yet");
    for second in [60, 300, 360] {
        watch.see(&sighting(700, &bought, &bought, second));
    }
    assert_eq!((watch.opening, watch.deposits), (1000, 0));
}

#[test]
fn in_random_histories_answers_that_lag_book_nothing_false_and_at_rest_nothing_is_missing() {
    for seed in 0..500_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let (start, mut paid) = (random.random_range(0..100_000_i64) + 100_000, 0);
        let (mut cards, mut watch, mut second) = (Vec::new(), Watch::default(), 0);
        // What Amazon had at each second at which something happened.
        let mut held = vec![(0, start)];
        let worth = |cards: &[Card]| cards.iter().filter(|card| card.live).map(|card| card.value).sum::<i64>();
        for round in 0..120 {
            for _ in 0..random.random_range(0..4) {
                happen(&mut cards, &mut random);
            }
            if random.random_range(0..20) == 0 {
                paid += random.random_range(1..5000);
            }
            second += random.random_range(1..120);
            held.push((second, start + paid - worth(&cards)));
            let seen_there = second - random.random_range(0..=300);
            let available = held.iter().rev().find(|(at, _)| *at <= seen_there).map_or(start, |(_, held)| *held);
            let ledger = look(&cards, (watch.opening, watch.deposits));
            watch.see(&sighting(available, &ledger, &ledger, second));
            assert!(
                watch.opening + watch.deposits <= start + paid && watch.deposits <= paid && watch.missing() == 0,
                "seed {seed}, round {round}: {} of {start}, {} of {paid}",
                watch.opening,
                watch.deposits
            );
        }
        for card in &mut cards {
            *card = match (card.booked, card.live) {
                ("reserved" | "issued", true) => Card { booked: "issued", canceling: false, ..*card },
                ("reserved", false) => Card { booked: "released", ..*card },
                ("issued", false) => Card { booked: "canceled", canceling: false, ..*card },
                _ => *card,
            };
        }
        let available = start + paid - worth(&cards);
        for _ in 0..8 {
            second += 300;
            let ledger = look(&cards, (watch.opening, watch.deposits));
            watch.see(&sighting(available, &ledger, &ledger, second));
        }
        assert_eq!((watch.opening + watch.deposits, watch.missing()), (start + paid, 0), "seed {seed}");
    }
}
