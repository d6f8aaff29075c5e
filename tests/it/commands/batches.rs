//! A campaign from a file.

use std::fs;

use serde_json::Value;

use super::{Ended, run};
use crate::support::{App, Backend};

const HEADS: &str = "external_id,amount,currency_code,metadata.row\n";

fn campaign(app: &App, file: &std::path::Path, more: &[&str]) -> Ended {
    run(app, &[&["batch", "run", file.to_str().unwrap(), "--name", "spring"], more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_bought_once_however_often_it_is_run_and_each_order_has_its_line_in_the_results() {
    let app = App::spawn(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, results) = (folder.path().join("campaign.csv"), folder.path().join("results.csv"));
    let rows: String = (1..=5).map(|at| format!("order-{at},{at}.00,USD,{at}\n")).collect();
    fs::write(&file, format!("{HEADS}{rows}")).unwrap();
    let first = campaign(&app, &file, &["--results", results.to_str().unwrap()]);
    assert_eq!((first.code, first.out.as_str()), (0, "5 orders in 1 batches: 5 issued\n"), "{}", first.err);
    let lines = fs::read_to_string(&results).unwrap();
    assert_eq!(lines.lines().count(), 6, "{lines}");
    for (at, line) in lines.lines().skip(1).enumerate() {
        assert!(line.starts_with(&format!("order-{},issued,rwd_", at + 1)) && line.ends_with(','), "{line}");
    }
    for card in app.live_cards() {
        assert!(!lines.contains(&card.claim_code) && !first.out.contains(&card.claim_code));
    }
    let there = campaign(&app, &file, &["--results", results.to_str().unwrap()]);
    assert!(there.code == 2 && there.err.contains("is there already"), "{}", there.err);
    let again = campaign(&app, &file, &["--json"]);
    let said: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again.code, &said["counts"]["issued"], app.live_cards().len()), (0, &5.into(), 5));

    // A row more is another batch, and buys that row alone. One that asks for another value of an order is refused.
    fs::write(&file, format!("{HEADS}{rows}order-6,6.00,USD,6\n")).unwrap();
    assert_eq!(campaign(&app, &file, &[]).good(), "6 orders in 1 batches: 6 issued\n");
    assert_eq!(app.live_cards().len(), 6);
    fs::write(&file, format!("{HEADS}order-1,9.00,USD,1\n")).unwrap();
    let refused = campaign(&app, &file, &[]);
    assert_eq!((refused.code, refused.out.as_str()), (3, "1 orders in 1 batches: 1 refused\n"), "{}", refused.err);
    let listed = run(&app, &["batch", "list", "--name", "spring"]).good();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let newest = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let items = run(&app, &["batch", "items", newest]).good();
    assert!(
        items.contains("order-1") && items.contains("refused") && items.contains("idempotency-mismatch"),
        "{items}"
    );

    fs::write(&file, format!("{HEADS}order-7,,USD,\norder-7,1.00,USD,\n")).unwrap();
    let faulty = campaign(&app, &file, &[]);
    assert!(
        faulty.code == 2 && faulty.err.contains("line 2: amount is empty\n  line 3: external_id is that of line 2"),
        "{}",
        faulty.err
    );
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_refuses_of_a_spreadsheets_file_is_named_by_its_line() {
    let app = App::spawn(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("campaign.csv");
    let heads = format!("\u{feff}{}", HEADS.replace(',', ";").replace('\n', "\r\n"));
    let rows = |last: &str| format!("{heads}order-1;1.00;USD;\r\norder-2;2.00;USD;\r\n\r\norder-3;{last};USD;\r\n");
    fs::write(&file, rows("3.001")).unwrap();
    let refused = campaign(&app, &file, &[]);
    assert_eq!((refused.code, app.live_cards().len()), (3, 0), "{}", refused.err);
    assert!(refused.err.contains("\n  line 5, amount: ") && !refused.err.contains("/items/"), "{}", refused.err);
    assert!(!refused.err.contains("were sent before"), "{}", refused.err);
    fs::write(&file, rows("3.00")).unwrap();
    assert_eq!(campaign(&app, &file, &[]).good(), "3 orders in 1 batches: 3 issued\n");

    // The second batch is refused: what the first one buys is said.
    let many: String = (1..=1000).map(|at| format!("many-{at};1.00;USD;\r\n")).collect();
    app.control.set_funds(crate::support::PARTNER, 0.into()).unwrap();
    fs::write(&file, format!("{heads}{many}many-1001;1.001;USD;\r\n")).unwrap();
    let half = campaign(&app, &file, &[]);
    assert!(half.code == 3 && half.err.contains("the first 1000 orders were sent before"), "{}", half.err);
    assert!(half.err.contains("\n  line 1002, amount: "), "{}", half.err);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_without_funds_waits_and_is_held_resumed_and_ended_by_hand() {
    let mut app = App::spawn(Backend::Sqlite).await;
    app.set_funds(3);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("campaign.csv");
    fs::write(&file, format!("{HEADS}order-1,3.00,USD,\norder-2,3.00,USD,\norder-3,3.00,USD,\n")).unwrap();
    let begun = campaign(&app, &file, &["--no-wait"]);
    assert_eq!(begun.code, 4, "the service is still at it: {} {}", begun.out, begun.err);
    let listed: Value = serde_json::from_str(run(&app, &["batch", "list", "--json"]).good().trim()).unwrap();
    let id = listed["id"].as_str().unwrap().to_owned();
    crate::support::wait::until("the batch waits for funds", async || {
        run(&app, &["batch", "show", &id]).good().contains("waiting for      insufficient-funds")
    })
    .await;
    assert_eq!(run(&app, &["batch", "pause", &id]).line("state"), "paused");
    app.set_funds(3);
    assert_eq!(run(&app, &["batch", "resume", &id]).line("state"), "running");
    crate::support::wait::until("the second is issued", async || {
        run(&app, &["batch", "show", &id]).good().contains("issued         2")
    })
    .await;
    run(&app, &["batch", "cancel", &id]).good();
    let ended = campaign(&app, &file, &[]);
    assert_eq!(ended.code, 3, "{} {}", ended.out, ended.err);
    assert!(ended.out.contains("2 issued"), "{}", ended.out);
    let unknown = run(&app, &["batch", "show", "bat_01907000800070008000000000000001"]);
    assert!(unknown.code == 3 && unknown.err.contains("404 not-found"), "{}", unknown.err);
    app.end().await;
}
