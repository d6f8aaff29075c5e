//! The days that are reconciled: a set. What is missing of it is caught up, tried again, or named until a person accepts it.

use chrono::{Days, NaiveDate};
use noshi::sandbox::{Fault, Operation};
use serde_json::{Value, json};

use super::reconcile;
use crate::{
    audit::command,
    process::noshi,
    support::{App, Backend, Shape, faults::of, look::Look, on_each_backend, wait::until},
};

const DAY_SECONDS: i64 = 86_400;
const DAILY: &str = "NOSHI__RECONCILIATION__DAILY";

/// A service whose balance was first read on the day that is answered, so many days later at three in the morning.
async fn away_for(backend: Backend, days: i64) -> (App, NaiveDate) {
    let mut app = App::shaped(backend, Shape::default().with("NOSHI__RECONCILIATION__HOUR", 1)).await;
    until("the balance is read", async || app.database.number("SELECT COUNT(*) FROM balance_observations").await > 0)
        .await;
    let now = app.ambient.now();
    app.advance(days * DAY_SECONDS - now.timestamp().rem_euclid(DAY_SECONDS) + 3 * 3600);
    (app, now.date_naive())
}

/// The days of daily runs in this state, in the order in which they were run; those that a stop interrupted are left out.
async fn daily(app: &App, state: &str) -> Vec<NaiveDate> {
    let runs = app.get("/v1/reconciliations?limit=200").await.json;
    let of = |run: &&Value| run["daily"] == true && run["status"] == state && run["failure"] != "interrupted";
    let mut days: Vec<_> = runs["data"].as_array().unwrap().iter().filter(of).map(|run| day(&run["from"])).collect();
    days.reverse();
    days
}

fn day(text: &Value) -> NaiveDate {
    text.as_str().unwrap().parse().unwrap()
}

/// From the first of them to the last.
fn days(first: NaiveDate, count: u64) -> Vec<NaiveDate> {
    (0..count).map(|number| first + Days::new(number)).collect()
}

/// What is open, as the service shows it: day, state, and how often it failed.
async fn open(app: &App) -> Vec<(NaiveDate, String, i64)> {
    let row =
        |row: &Value| (day(&row["day"]), row["status"].as_str().unwrap().to_owned(), row["failures"].as_i64().unwrap());
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/reconciliation-days?account_id=main&limit=5{next}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let rows = page.json["data"].as_array().unwrap();
        assert!(rows.len() <= 5, "{}", page.text);
        all.extend(rows.iter().map(row));
        let Some(cursor) = page.json["next_cursor"].as_str() else { return all };
        assert!(page.header("link").contains(cursor), "{}", page.header("link"));
        next = format!("&cursor={cursor}");
    }
}

/// Waits until the gauge says so of days that are due, failing and out of reach.
async fn until_gauge(app: &App, wanted: [&str; 3]) {
    until(&format!("so many days are open: {wanted:?}"), async || {
        let page = app.metrics().await;
        ["due", "failing", "out_of_reach"].iter().zip(wanted).all(|(status, wanted)| {
            page.contains(&format!("noshi_reconciliation_backlog{{account=\"main\",status=\"{status}\"}} {wanted}\n"))
        })
    })
    .await;
}

on_each_backend! {
    async fn an_absence_is_caught_up_oldest_first_whatever_was_run_by_hand_meanwhile(backend: Backend) {
        let (mut app, began) = away_for(backend, 12).await;
        let yesterday = (began + Days::new(11)).to_string();
        assert_eq!(reconcile(&app, &yesterday, &yesterday).await["status"], "finished");
        app.restart_with(DAILY, "true").await;
        // The day before the first sign of life counts: its last purchases may have been proven then.
        let wanted = days(began - Days::new(1), 12);
        until("the gap is filled", async || daily(&app, "finished").await.len() >= wanted.len()).await;
        assert_eq!(daily(&app, "finished").await, wanted);
        until_gauge(&app, ["0", "0", "0"]).await;
        app.end().await;
    }

    async fn a_day_that_cannot_be_read_is_tried_again_later_and_blocks_no_other(backend: Backend) {
        let (mut app, began) = away_for(backend, 2).await;
        let bad = began - Days::new(1);
        app.control.script(of(Operation::GetGiftCardActivityPage, Fault::Garbage, 3)).unwrap();
        app.restart_with(DAILY, "true").await;
        until("the later days are reconciled", async || daily(&app, "finished").await.len() >= 2).await;
        assert_eq!(daily(&app, "finished").await, days(began, 2));
        assert_eq!(open(&app).await, [(bad, "failing".to_owned(), 1)]);
        until_gauge(&app, ["0", "1", "0"]).await;

        // Twice as long each time.
        app.control.script(of(Operation::GetGiftCardActivityPage, Fault::Garbage, 3)).unwrap();
        app.advance(3_600);
        app.restart_with(DAILY, "true").await;
        until("it is tried again", async || daily(&app, "failed").await.len() >= 2).await;
        app.advance(3_600);
        app.restart_with(DAILY, "true").await;
        assert_eq!(open(&app).await, [(bad, "failing".to_owned(), 2)]);
        app.advance(3_600);
        app.restart_with(DAILY, "true").await;
        until("it is read", async || daily(&app, "finished").await.len() >= 3).await;
        assert_eq!((daily(&app, "failed").await, open(&app).await), (vec![bad, bad], vec![]));
        until_gauge(&app, ["0", "0", "0"]).await;
        app.end().await;
    }

    async fn a_day_that_amazon_no_longer_offers_is_named_until_a_person_accepts_it(backend: Backend) {
        let (app, began) = away_for(backend, 62).await;
        until_gauge(&app, ["60", "0", "3"]).await;
        let lost = days(began - Days::new(1), 3);
        let shown: Vec<_> = open(&app).await.into_iter().filter(|(_, status, _)| status == "out_of_reach").collect();
        assert_eq!(shown.iter().map(|(day, _, _)| *day).collect::<Vec<_>>(), lost);

        let run = |more: &[&str]| {
            let mut command = noshi();
            command.arg("reconcile").args(more).envs(app.environment().iter().cloned());
            let output = command.output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        // The command goes by the machine's clock, for which none of these days is over.
        let (first, last, today) = (lost[0].to_string(), lost[2].to_string(), began.to_string());
        let accept = ["accept", "--account", "main", "--from", &first, "--reason", "the report ends before", "--by", "finance"];
        let (code, _text, error) = run(&[&accept[..], &["--to", &today]].concat());
        assert!(code == Some(1) && error.contains("not over"), "{error}");
        let (code, _text, error) = run(&[&accept[..6], &["QXZK-CANARY-PORT", "--by", "finance", "--to", &first]].concat());
        assert!(code == Some(1) && error.contains("claim code") && !error.contains("QXZK"), "{error}");

        // By the service's clock, then.
        let mut look = Look::at(&app.database).await;
        for day in &lost {
            look.run(&format!("INSERT INTO reconciliation_accepted_days (account, day, accepted_at) \
                               VALUES ('main', '{day}T00:00:00+00:00', '{last}T00:00:00+00:00')")).await.unwrap();
        }
        drop(look);
        until_gauge(&app, ["60", "0", "0"]).await;
        app.end().await;
    }

    async fn the_command_names_open_days_and_accepts_them_with_name_and_reason(backend: Backend) {
        let app = App::spawn(backend).await;
        // First seen nine days ago.
        let today = app.ambient.now().date_naive();
        let first = today - Days::new(9);
        let seen = format!("INSERT INTO balance_observations (account, hour, as_of, currency, available_minor) \
                            VALUES ('main', 1, '{first}T12:00:00+00:00', 'USD', 1)");
        assert_eq!(app.database.execute(&seen).await.unwrap(), 1);
        let run = |more: &[&str]| {
            let mut command = noshi();
            command.arg("reconcile").args(more).envs(app.environment().iter().cloned());
            let output = command.output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (code, text, error) = run(&["days", "--account", "main"]);
        assert_eq!(code, Some(3), "{error}");
        assert!(text.contains(&format!("{first}  due")) && text.lines().count() >= 8, "{text}");
        let (from, to) = ((first - Days::new(1)).to_string(), (today - Days::new(1)).to_string());
        let (code, text, error) = run(&["accept", "--account", "main", "--from", &from, "--to", &to, "--reason", "before go-live", "--by", "finance"]);
        // The last of them may not be over by an hour yet.
        if code == Some(1) {
            assert!(error.contains("not over"), "{error}");
            let to = (today - Days::new(2)).to_string();
            let again = run(&["accept", "--account", "main", "--from", &from, "--to", &to, "--reason", "before go-live", "--by", "finance"]);
            assert_eq!(again.0, Some(0), "{}", again.2);
        } else {
            assert_eq!(code, Some(0), "{text}{error}");
        }
        let (code, text, error) = run(&["days", "--account", "main"]);
        assert!(text.lines().filter(|line| line.contains("  due")).count() <= 1, "{code:?} {text}{error}");
        let told = app.get("/v1/events?type=reconciliation.days_accepted").await.json;
        let told = &told["data"][0];
        assert_eq!(
            (&told["subject"], &told["data"]["from"], &told["data"]["reason"], &told["data"]["by"]),
            (&json!("main"), &json!(from), &json!("before go-live"), &json!("finance"))
        );
        let (_code, recorded, _error) = command(&app, &["audit", "list", "--json", "--action", "reconciliation.days_accepted"]);
        let recorded: serde_json::Value = serde_json::from_str(recorded.lines().next().unwrap()).unwrap();
        assert_eq!((&recorded["subject"], &recorded["details"]["from"], &recorded["details"]["by"]), (&json!("main"), &json!(from), &json!("finance")));
        assert_eq!(run(&["days", "--account", "other"]).0, Some(1));
        app.end().await;
    }
}
