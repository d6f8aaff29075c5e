//! A clock that is ahead for a while, and then right again: what it wrote is not waited for.

use noshi::sandbox::{Fault, FaultRule};

use crate::support::{App, Backend, books::books_match, on_each_backend, wait::until};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The age of the oldest open outcome, in whole seconds, as the alarm sees it.
async fn oldest(app: &App) -> f64 {
    let page = app.metrics().await;
    let line =
        page.lines().find_map(|line| line.strip_prefix("noshi_oldest_unresolved_age_seconds{account=\"main\"} "));
    line.unwrap_or_else(|| panic!("no age in {page}")).parse().unwrap()
}

on_each_backend! {
    async fn what_a_clock_left_open_that_was_ahead_goes_on_within_seconds_once_it_is_right(backend: Backend) {
        let mut app = App::spawn(backend).await;
        for (ahead, key) in [(HOUR, "an-hour"), (DAY, "a-day")] {
            app.advance(ahead);
            app.strike(key, Fault::DropAfterWork, 2);
            let open = app.issue(key, "10.00").await;
            open.is_accepted();
            app.advance(-ahead);
            // It is asked for again by itself, although its row says: in an hour, or tomorrow.
            app.until(open.id(), "issued").await;
            assert_eq!(app.cards_of(key).len(), 1);
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_clock_that_is_a_day_ahead_for_a_while_sends_nothing_to_a_person(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.control.script(FaultRule::always(Fault::DropBeforeWork)).unwrap();
        let mut open = Vec::new();
        for key in ["one", "two"] {
            let answer = app.issue(key, "10.00").await;
            answer.is_accepted();
            open.push(answer.id().to_owned());
        }
        let before = app.received("Create").len();
        app.advance(DAY + HOUR);
        app.until_received("Create", before + 2).await;
        app.until_idle().await;
        for id in &open {
            assert_eq!(app.read(id).await["status"], "unresolved", "a day has passed by the clock alone");
        }
        app.advance(-DAY - HOUR);
        app.control.clear_faults();
        for id in &open {
            app.until(id, "issued").await;
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn the_age_of_what_is_open_is_shown_although_it_began_at_an_instant_to_come(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.advance(DAY);
        app.strike("hidden", Fault::DropAfterWork, 1_000);
        app.issue("hidden", "10.00").await.is_accepted();
        app.advance(-DAY);
        until("the age counts", async || oldest(&app).await >= 1.0).await;
        app.advance(200);
        until("the age goes on", async || oldest(&app).await >= 200.0).await;
        app.control.clear_faults();
        app.end().await;
    }
}
