//! A clock of ours that was a day ahead and is right again: nothing waits for the instants that it wrote, and nothing that
//! it did too early counts.

use chrono::{DateTime, TimeDelta, Utc};
use noshi::{
    incentives::restore_note::{self, LostFrom},
    sandbox::{Fault, Operation},
};
use serde_json::json;

use super::{metric, observe};
use crate::{
    reconciliation::{DAY, begin, reconcile},
    support::{
        App, Backend, Shape,
        faults::of,
        on_each_backend,
        wait::{found, until},
    },
};

const UPDATED: &str = "noshi_available_funds_updated_timestamp_seconds{account=\"main\"}";

fn a_day() -> TimeDelta {
    TimeDelta::days(1)
}

fn as_of(said: &serde_json::Value) -> DateTime<Utc> {
    said["as_of"].as_str().unwrap().parse().unwrap()
}

on_each_backend! {
    async fn a_balance_of_a_clock_that_was_ahead_is_replaced_within_seconds(backend: Backend) {
        let mut app = App::spawn(backend).await;
        observe(&mut app).await;
        // Ours alone: Amazon's clock is right.
        app.ambient.advance(a_day());
        observe(&mut app).await;
        app.ambient.advance(-a_day());
        let stale = app.get("/v1/balances/main").await.json;
        assert_eq!(stale["stale"], true, "{stale}");
        until("an age from the future is not shown", async || metric(&app, UPDATED).await.is_none()).await;

        app.advance(3);
        let before = app.ambient.now();
        let said = found("the balance is observed again", async || {
            let said = app.post("/v1/balances/main/refresh", json!({})).await.json;
            (as_of(&said) >= before && as_of(&said) <= app.ambient.now()).then_some(said)
        })
        .await;
        assert_eq!(said["stale"], false, "{said}");
        until("its age is shown", async || metric(&app, UPDATED).await.is_some()).await;
        app.end().await;
    }

    async fn a_reconciliation_that_a_clock_ahead_began_keeps_no_later_one_waiting(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__RECONCILIATION__PAGE_SPACING_SECONDS", 1)).await;
        app.ambient.advance(a_day());
        app.control.script(of(Operation::GetGiftCardActivityPage, Fault::Delay { milliseconds: 4_000 }, 1)).unwrap();
        let begun = begin(&app, DAY, DAY).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        app.until_received("GetGiftCardActivityPage", 1).await;
        // Its lease and the turn of the next page lie a day ahead now.
        app.ambient.advance(-a_day());
        assert_eq!(reconcile(&app, DAY, DAY).await["status"], "finished");
        let first = app.get(&format!("/v1/reconciliations/{}", begun.id())).await.json;
        assert_eq!((&first["status"], &first["failure"]), (&json!("failed"), &json!("interrupted")));
        app.end().await;
    }

    async fn the_gap_of_a_restore_that_a_clock_ahead_noted_is_filled_by_the_reconciliations_since(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (lost_from, filled) = (app.ambient.now(), "SELECT COUNT(*) FROM facts WHERE kind = 'database.reconciled'");
        let day = |number: i64| (lost_from + TimeDelta::days(number)).date_naive().to_string();
        app.ambient.advance(a_day() * 9);
        let store = app.open_store().await;
        restore_note::write(&store, &app.ambient, LostFrom::Stated(lost_from), &app.scribe()).await.unwrap();
        store.close().await;
        app.ambient.advance(-a_day() * 9);
        app.advance(2 * 86_400);
        assert_eq!(reconcile(&app, &day(0), &day(0)).await["status"], "finished");
        assert_eq!(app.database.number(filled).await, 0, "the day of this run is in the gap as well");
        app.advance(2 * 86_400);
        assert_eq!(reconcile(&app, &day(1), &day(2)).await["status"], "finished");
        assert_eq!(app.database.number(filled).await, 1);
        app.end().await;
    }

    async fn a_day_that_is_not_over_by_amazons_clock_is_not_reconciled(backend: Backend) {
        let app = App::spawn(backend).await;
        let today = app.ambient.now().date_naive().to_string();
        app.ambient.advance(a_day() * 2);
        let run = reconcile(&app, &today, &today).await;
        assert_eq!((&run["status"], &run["failure"]), (&json!("failed"), &json!("period_not_over")), "{run}");
        app.end().await;
    }
}
