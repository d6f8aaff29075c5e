//! The same in a real browser: `tests/browser`.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use chrono::{Datelike, Months, TimeDelta};
use noshi::identity::Scopes;
use serde_json::{Value, json};

use super::{
    issue,
    operations::{deaf_endpoint, reconciled, until_tried, waiting_campaign},
};
use crate::{
    support::{App, Backend},
    webhooks,
};

/// Checks at least: three stories, one of each page in each language, light and dark, and one more of each page.
const CHECKS: usize = 90;

/// What a program bought in the last month, as the ledger has it, moved there from this one.
async fn with_a_last_month(app: &App) -> String {
    let limits = json!([{"span": "month", "hard": "50.00"}]);
    let program = json!({"id": "prg_spring", "name": "Spring thanks", "account_id": "main", "limits": limits});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let body = json!({
        "kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}, "program_id": "prg_spring", "external_id": "older"
    });
    assert_eq!(app.issue_body("older", body).await.status, 201);
    let now = app.ambient.now();
    format!("{:04}-{:02}", now.year(), now.month())
}

/// Leads a browser through a console, and says what it saw; `None` where there is no browser to be had.
fn looked(asked: &Value) -> Option<Vec<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if let Some(why) = said.lines().find(|line| line.starts_with("skipped")) {
        println!("SKIP {why}");
        return None;
    }
    Some(said.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_is_whole_in_a_browser_in_both_languages_by_day_and_by_night() {
    let folder = tempfile::tempdir().unwrap();
    let mut app = App::shaped(Backend::Sqlite, webhooks::shape(&folder).with("NOSHI__SERVER__CONSOLE", "true")).await;
    app.key = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await.1;
    let last = with_a_last_month(&app).await;
    // Into the next month.
    let now = app.ambient.now();
    let next = now.date_naive().with_day(1).unwrap().checked_add_months(Months::new(1)).unwrap();
    app.advance((next.and_hms_opt(12, 0, 0).unwrap().and_utc() - now).num_seconds() + 24 * 3600);
    let days = (app.ambient.now().date_naive() - now.date_naive()).num_days();
    let run = reconciled(&app, days).await;
    let (endpoint, _address) = deaf_endpoint(&app).await;
    let soon = app.ambient.now() + TimeDelta::days(12) + TimeDelta::hours(1);
    app.mint_key_until("shop", Scopes::new(noshi::server::scopes()), Some(soon)).await;
    let (reward, canceled) = (issue(&app, "4712").await, issue(&app, "4713").await);
    assert_eq!(app.cancel(canceled.id()).await.status, 200);
    issue(&app, "4711").await;
    until_tried(&app, &endpoint).await;
    let batch = waiting_campaign(&mut app).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console");
    let asked = json!({
        "admin": app.admin, "key": app.key, "order": "4711", "reward": reward.id(), "canceled": canceled.id(), "last": last,
        "program": "prg_spring", "folder": folder, "run": run, "batch": batch,
    });
    let Some(checks) = tokio::task::spawn_blocking(move || looked(&asked)).await.unwrap() else { return };
    println!("what it saw: {}", folder.display());
    let bad: Vec<&Value> = checks.iter().filter(|check| check["good"] != true).collect();
    assert!(bad.is_empty() && checks.len() >= CHECKS, "{} checks: {bad:#?}", checks.len());
    app.end().await;
}
