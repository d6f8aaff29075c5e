//! SIGTERM under load, over and over: what was accepted is answered, what was not leaves no trace, and the exit is 0.

use std::time::Duration;

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule};

use super::{Dice, count_of, print, seed, stage, start};
use crate::support::{App, Backend, books, on_each_backend};

/// Stops, requests around each of them, and when they come.
const ROUNDS: usize = 25;
const REQUESTS: usize = 24;
/// Services side by side: a stop mostly waits.
const LANES: usize = 5;
const WITHIN_MICROSECONDS: u64 = 160_000;
/// A call to Amazon takes so long at least and at most, in milliseconds.
const CALL: (usize, usize) = (10, 200);
/// A stop under this load may take so long: the longest call, and the writing of its outcome, with room for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Tally {
    stops: usize,
    answered: usize,
    answered_after_the_signal: usize,
    refused: usize,
    longest: Duration,
}

on_each_backend! {
    async fn a_stop_under_load_drops_nothing_that_was_accepted(backend: Backend) {
        let (seed, rounds) = (seed(), count_of("NOSHI_TEST_DRAINS", ROUNDS));
        print(&format!("drain, {backend:?}: NOSHI_TEST_SEED={seed}"));
        let mut all = Tally::default();
        for tally in join_all((0..LANES).map(|lane| run_lane(backend, seed, lane, rounds.div_ceil(LANES)))).await {
            all.stops += tally.stops;
            all.answered += tally.answered;
            all.answered_after_the_signal += tally.answered_after_the_signal;
            all.refused += tally.refused;
            all.longest = all.longest.max(tally.longest);
        }
        let Tally { stops, answered, answered_after_the_signal, refused, longest } = all;
        print(&format!(
            "drain, {backend:?}: {stops} stops, {answered} answered ({answered_after_the_signal} after the signal), \
             {refused} refused before they were accepted, longest stop {} ms",
            longest.as_millis(),
        ));
        assert!(answered_after_the_signal > 0 && refused > 0, "the signal missed the load");
    }
}

async fn run_lane(backend: Backend, seed: u64, lane: usize, rounds: usize) -> Tally {
    let mut dice = Dice::new(seed.wrapping_add(u64::try_from(lane).unwrap() << 32));
    let (app, mut tally) = (stage(backend).await, Tally::default());
    for round in 0..rounds {
        one_round(&app, &mut dice, round, &mut tally).await;
    }
    tally.stops = rounds;
    assert_eq!(app.live_cards().len(), tally.answered);
    books::books_match(&app).await;
    app.end().await;
    tally
}

async fn one_round(app: &App, dice: &mut Dice, round: usize, tally: &mut Tally) {
    app.control.clear_faults();
    let milliseconds = u64::try_from(CALL.0 + dice.below(CALL.1 - CALL.0)).unwrap();
    app.control.script(FaultRule::always(Fault::Delay { milliseconds })).unwrap();
    let served = start(app.environment().to_vec()).await.unwrap();
    let base = served.base.clone();
    let callers: Vec<(String, Duration)> =
        (0..REQUESTS).map(|at| (format!("round-{round}-{at}"), dice.microseconds_below(WITHIN_MICROSECONDS))).collect();
    let signal = dice.microseconds_below(WITHIN_MICROSECONDS);
    let clock = noshi::ambient::Ambient::system();
    let began = clock.monotonic();
    let (at, began) = (base.as_str(), &began);
    let asked = join_all(callers.iter().map(|(key, wait)| async move {
        tokio::time::sleep(*wait).await;
        (key, app.try_issue_at(at, key, "2.00").await, began.elapsed())
    }));
    let stopped = async {
        tokio::time::sleep(signal).await;
        let signaled = clock.monotonic();
        let status = tokio::task::spawn_blocking(move || served.terminate()).await.unwrap();
        (status, signaled.elapsed())
    };
    let (answers, (status, took)) = tokio::join!(asked, stopped);
    assert!(status.success(), "round {round}: {status}");
    assert!(took < STOP_MAX, "round {round}: the stop took {took:?}");
    tally.longest = tally.longest.max(took);
    let ids: Vec<String> = callers.iter().map(|(key, _wait)| app.amazon_id(key)).collect();
    let states = books::states_of(app, &ids).await;
    for (key, answer, at) in answers {
        let state = states.get(&app.amazon_id(key)).map(String::as_str);
        match answer {
            Some(answer) => {
                assert_eq!((answer.status, state), (201, Some("issued")), "round {round}, {key}: {}", answer.text);
                tally.answered += 1;
                tally.answered_after_the_signal += usize::from(at > signal);
            }
            // Refused, or closed before the request was read: then nothing has begun.
            None => {
                assert_eq!(state, None, "round {round}, {key}: accepted and not answered");
                tally.refused += 1;
            }
        }
    }
}
