//! Rewards.

use noshi::{identity::Scopes, sandbox::Fault};
use serde_json::{Value, json};

use super::{Ended, run};
use crate::support::{App, Backend, but_for_all_rewards, order, scope};

const ISSUE: [&str; 6] = ["rewards", "issue", "--amount", "5.00", "--currency", "USD"];

fn issue(app: &App, more: &[&str]) -> Ended {
    run(app, &[&ISSUE, more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reward_is_issued_once_found_by_each_id_shown_revealed_and_canceled() {
    let app = App::spawn(Backend::Sqlite).await;
    let words =
        ["--key", "a \"b\" \\c", "--external-id", "4711", "--metadata", "campaign=spring", "--metadata", "row=2"];
    let first = issue(&app, &words);
    let (id, amazon) = (first.line("reward"), first.line("at Amazon"));
    let code = app.live_cards()[0].claim_code.clone();
    assert_eq!((first.code, first.line("status").as_str(), first.line("order").as_str()), (0, "issued", "4711"));
    assert!(first.line("claim code").starts_with("not shown: noshi rewards reveal rwd_"), "{}", first.out);
    assert_eq!(app.read(&id).await["metadata"], json!({"campaign": "spring", "row": "2"}));
    let withheld = issue(&app, &[&words[..], &["--json"]].concat());
    let shown = issue(&app, &[&words[..], &["--show-code"]].concat());
    assert_eq!(
        (shown.line("reward"), shown.line("claim code")),
        (id.clone(), code.clone()),
        "the same key is the same card"
    );
    assert_eq!(app.live_cards().len(), 1);
    for quiet in [&first, &withheld] {
        assert!(!quiet.out.contains(&code) && !quiet.err.contains(&code), "{}", quiet.out);
    }

    for text in [&id, "4711", &amazon] {
        let found = run(&app, &["rewards", "find", text]);
        assert!(
            found.out.lines().count() == 2 && found.out.contains(&id) && found.out.contains("4711"),
            "{text}: {}",
            found.out
        );
        let entry: Value = serde_json::from_str(&run(&app, &["rewards", "find", text, "--json"]).good()).unwrap();
        assert_eq!(entry["id"], id.as_str());
    }
    assert_eq!(run(&app, &["rewards", "show", ".."]).code, 2, "the library would ask for the list");
    for text in ["4712", "rwd_01907000800070008000000000000001", "../keys"] {
        let nothing = run(&app, &["rewards", "find", text]);
        assert!(
            nothing.code == 3 && nothing.out.is_empty() && nothing.err.contains("no reward has"),
            "{}",
            nothing.err
        );
    }
    let revealed = run(&app, &["rewards", "reveal", &id, "--reason", "lost mail"]);
    assert_eq!(revealed.line("claim code"), code);
    let shown = run(&app, &["rewards", "show", &id]).good();
    for part in ["reward.received", "claim_code.revealed  lost mail", "cancel until"] {
        assert!(shown.contains(part), "{shown}");
    }
    let whole: Value = serde_json::from_str(&run(&app, &["rewards", "show", &id, "--json"]).good()).unwrap();
    assert_eq!((&whole["id"], &whole["events"][0]["kind"]), (&json!(id), &json!("reward.received")));
    let canceled = run(&app, &["rewards", "cancel", &id, "--reason", "sent back"]);
    assert_eq!((canceled.code, canceled.line("status").as_str()), (0, "canceled"), "{}", canceled.err);
    assert_eq!(run(&app, &["rewards", "cancel", &id, "--reason", "again"]).code, 0, "twice is once");
    let gone = run(&app, &["rewards", "reveal", &id, "--reason", "late"]);
    assert!(gone.code == 3 && gone.err.contains("410 gone"), "{}", gone.err);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_yet_is_waited_for_or_ends_with_4_and_the_same_command_goes_on() {
    let app = App::spawn(Backend::Sqlite).await;
    app.strike("later", Fault::DropAfterWork, 30);
    let open = issue(&app, &["--key", "later", "--wait", "0"]);
    assert_eq!(open.code, 4, "{} {}", open.out, open.err);
    let id = open.line("reward");
    let canceled = run(&app, &["rewards", "cancel", &id, "--reason", "test", "--wait", "0"]);
    assert_eq!((canceled.code, canceled.line("status").as_str()), (4, "unresolved"), "{}", canceled.err);
    app.control.clear_faults();
    assert_eq!(run(&app, &["rewards", "cancel", &id, "--reason", "test"]).line("status"), "canceled");

    app.strike("waited for", Fault::DropAfterWork, 4);
    let waited = issue(&app, &["--key", "waited for", "--show-code"]);
    assert_eq!((waited.code, waited.line("status").as_str()), (0, "issued"), "{}", waited.err);
    assert_eq!(waited.line("claim code"), app.live_cards()[0].claim_code, "its code comes once it is proven");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_exports_go_on_over_pages_and_support_sees_whose_each_is() {
    let mut app = App::spawn(Backend::Sqlite).await;
    // A spreadsheet would take this one for a formula.
    let mut formula = order("1.00");
    formula["external_id"] = json!("=1+1");
    app.issue_body("formula", formula).await;
    for number in 0..4 {
        app.issue(&format!("key {number}"), "2.00").await;
    }
    let (_client, other) = app.mint_key("other", but_for_all_rewards()).await;
    let own = std::mem::replace(&mut app.key, other);
    app.issue("theirs", "3.00").await;
    app.key = own;
    let list = run(&app, &["rewards", "list", "--limit", "2"]).good();
    assert_eq!(list.lines().count(), 3, "{list}");
    let lines = run(&app, &["rewards", "list", "--json", "--status", "issued", "--account", "main"]).good();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|one| one["status"] == "issued")));
    assert_eq!(lines.lines().count(), 5);
    assert_eq!(run(&app, &["rewards", "list", "--from", "2999-01-01"]).good().lines().count(), 1, "its heads alone");
    let wrong = run(&app, &["rewards", "list", "--status", "lost"]);
    assert!(wrong.code == 3 && wrong.err.contains("expected one of pending, "), "{}", wrong.err);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rewards.csv");
    let file = file.to_str().unwrap();
    run(&app, &["rewards", "export", "--output", file]).good();
    let csv = std::fs::read_to_string(file).unwrap();
    let (head, rows): (&str, Vec<&str>) = (csv.lines().next().unwrap(), csv.lines().skip(1).collect());
    assert!(head.starts_with("id,client,external_id,status,kind,amount,currency_code,"), "{head}");
    assert_eq!(rows.len(), 5);
    assert!(rows.last().unwrap().contains(",'=1+1,issued,gift_code,1.00,USD,main,"), "{csv}");
    let again = run(&app, &["rewards", "export", "--output", file]);
    assert!(
        again.code == 2 && std::fs::read_to_string(file).unwrap() == csv,
        "a file that is there stays: {}",
        again.err
    );
    assert_eq!(run(&app, &["rewards", "export", "--format", "ndjson"]).good().lines().count(), 5);

    (_, app.key) = app.mint_key("support", Scopes::new(["rewards:read", "rewards:all"].map(scope))).await;
    let all = run(&app, &["rewards", "list"]).good();
    assert!(all.lines().next().unwrap().contains("client") && all.lines().count() == 7, "{all}");
    let theirs = run(&app, &["rewards", "list", "--client", "other"]).good();
    assert!(theirs.lines().count() == 2 && theirs.contains("  other  "), "{theirs}");
    app.end().await;
}
