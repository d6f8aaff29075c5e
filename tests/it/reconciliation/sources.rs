//! Amazon's side, page by page or from a file: what is read, what is not believed, and what is left behind.

use chrono::{SecondsFormat, TimeDelta};
use futures_util::StreamExt;
use noshi::sandbox::{Activity, ActivityType, Fault, FaultRule, Operation};
use serde_json::json;

use super::{
    DAY, begin, counts, ended, items, nothing_is_left_over,
    plant::{Planted, instant, list, plant},
    reconcile,
};
use crate::support::{Answer, App, Backend, faults::of, look::Look, on_each_backend, wait::found};

/// More than two pages of rewards.
const PAGES: u64 = 2_010;
const LISTED: i64 = 2_010;
const CODE: &str = "QXZK-CANARY-PORT";

/// So many clean rewards, over the day.
async fn clean_day(app: &App, count: u64) -> Vec<Planted> {
    let start = instant("2026-11-10T00:00:00Z");
    let at = |n: u64| start + TimeDelta::seconds(i64::try_from(n * 86_000 / count).unwrap());
    let rewards: Vec<_> = (0..count).map(|n| Planted::issued(app, n, 500, at(n))).collect();
    plant(app, &rewards).await;
    list(app, rewards.iter().map(Planted::record));
    rewards
}

/// A fault of so many pages after so many.
fn of_pages(skip: u32, times: u32, fault: Fault) -> FaultRule {
    FaultRule { skip, ..of(Operation::GetGiftCardActivityPage, fault, times) }
}

fn pages(app: &App) -> usize {
    app.received("GetGiftCardActivityPage").len()
}

/// The portal's file of these records, with the codes that it may hold.
fn file(records: &[Activity]) -> String {
    let mut text = "Activity Date,Activity Type,Request ID,Claim Code,Amount,Currency,Status\n".to_owned();
    for record in records {
        let at = record.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let kind = if record.activity_type == ActivityType::GCCreation { "Create" } else { "Cancel" };
        let amount = record.amount.map_or(String::new(), |amount| amount.to_string());
        text.push_str(&format!("{at},{kind},{},{CODE},{amount},USD,Success\n", record.request_id));
    }
    text
}

async fn upload(app: &App, text: impl Into<reqwest::Body>) -> Answer {
    let path = format!("/v1/reconciliations?account_id=main&from={DAY}&to={DAY}");
    Answer::of(app.request("POST", &path).header("Content-Type", "text/csv").body(text)).await
}

on_each_backend! {
    async fn all_pages_are_read_whichever_way_amazon_counts_them(backend: Backend) {
        let app = App::spawn(backend).await;
        clean_day(&app, PAGES).await;
        for (by_record, wanted) in [(false, 3), (true, 4)] {
            app.control.page_activity_by_record(by_record);
            app.control.clear_requests();
            let run = reconcile(&app, DAY, DAY).await;
            assert_eq!((counts(&run), &run["difference"]), ([LISTED, 0, 0, 0, 0, 0, 0], &json!("0.00")), "{run}");
            assert_eq!((&run["records"], pages(&app)), (&json!(LISTED), wanted));
        }
        app.end().await;
    }

    async fn a_page_that_does_not_come_is_asked_for_again_and_then_nothing_is_believed(backend: Backend) {
        let app = App::spawn(backend).await;
        let rewards = clean_day(&app, PAGES).await;
        list(&app, [Activity { request_id: "AwssbStranger".to_owned(), ..rewards[0].record() }]);
        app.control.script(of_pages(1, 2, Fault::DropAfterWork)).unwrap();
        assert_eq!(counts(&reconcile(&app, DAY, DAY).await)[2], 1, "two lost answers are borne");
        assert_eq!(pages(&app), 5);

        app.control.clear_faults();
        app.control.script(of_pages(1, 3, Fault::Garbage)).unwrap();
        let run = reconcile(&app, DAY, DAY).await;
        assert_eq!((&run["status"], &run["failure"], &run["matched"]), (&json!("failed"), &json!("report_unanswered"), &json!(0)));
        assert_eq!(items(&app, &run).await.len(), 0);
        nothing_is_left_over(&app).await;
        let metrics = app.metrics().await;
        assert!(metrics.contains("noshi_reconciliation_unmatched{account=\"main\",side=\"theirs\"} 1"), "the last good one: {metrics}");

        app.control.edit_activity(|all| all.retain(|record| record.request_id != "AwssbStranger"));
        let run = reconcile(&app, DAY, DAY).await;
        assert_eq!(counts(&run), [LISTED, 0, 0, 0, 0, 0, 0], "the next one is fresh");
        let metrics = app.metrics().await;
        assert!(metrics.contains("noshi_reconciliation_unmatched{account=\"main\",side=\"theirs\"} 0"), "{metrics}");
        assert!(metrics.contains("noshi_reconciliation_difference{account=\"main\",currency=\"USD\"} 0"), "{metrics}");
        assert!(metrics.contains("noshi_reconciliation_last_success_timestamp_seconds{account=\"main\"} 1"), "{metrics}");
        app.end().await;
    }

    async fn where_amazon_has_the_report_switched_off_the_portals_file_does(backend: Backend) {
        let app = App::spawn(backend).await;
        let rewards = clean_day(&app, 1_500).await;
        app.control.set_activity_enabled(false);
        let run = reconcile(&app, DAY, DAY).await;
        assert_eq!((&run["status"], &run["failure"]), (&json!("failed"), &json!("report_disabled")));

        let mut records: Vec<_> = rewards.iter().map(Planted::record).collect();
        let done = upload(&app, file(&records)).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!((&done.json["source"], &counts(&done.json)[..6]), (&json!("csv"), &[1_500, 0, 0, 0, 0, 0][..]));

        records.remove(700);
        records[3].amount = Some(rust_decimal::Decimal::new(999, 2));
        let canceled = rewards[5].cancel_record();
        records.push(canceled);
        let done = upload(&app, file(&records)).await;
        assert_eq!(counts(&done.json), [1_497, 1, 0, 1, 1, 0, 0], "{}", done.text);
        let classes: Vec<_> = items(&app, &done.json).await.iter().map(|item| item["class"].clone()).collect();
        assert_eq!(classes.len(), 3);
        app.end().await;
    }

    /// Whole dollars as a German spreadsheet saves them as "Unicode text": UTF-16, tabs, a point before thousands.
    async fn an_amount_that_can_be_read_in_two_ways_is_refused_until_the_caller_says_how(backend: Backend) {
        let app = App::spawn(backend).await;
        let start = instant("2026-11-10T00:00:00Z");
        let rewards: Vec<_> = [2_500, 100_000].into_iter().zip(1..).map(|(minor, n)| Planted::issued(&app, n, minor, start)).collect();
        plant(&app, &rewards).await;
        let rows: String = rewards.iter().zip(["25", "1.000"]).map(|(reward, amount)| {
            format!("2026-11-10 00:00:01\tCreate\t{}\t{amount}\tKäufer\r\n", reward.id)
        }).collect();
        let text = format!("\u{feff}time\ttype\trequest id\tamount\tnote\r\n{rows}");
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let send = |query: &'static str| {
            let path = format!("/v1/reconciliations?account_id=main&from={DAY}&to={DAY}{query}");
            Answer::of(app.request("POST", &path).header("Content-Type", "text/csv").body(bytes.clone()))
        };
        let refused = send("").await;
        refused.is_problem(400, "invalid-request");
        let detail = refused.json["detail"].as_str().unwrap();
        assert!(detail.starts_with("row 3: the amount can be 1.00 or 1000.00: "), "{detail}");
        let done = send("&decimal=comma").await;
        assert_eq!((done.status, counts(&done.json)), (200, [2, 0, 0, 0, 0, 0, 0]), "{}", done.text);
        let done = send("&decimal=point").await;
        assert_eq!((done.status, counts(&done.json)[3]), (200, 1), "{}", done.text);
        send("&decimal=dot").await.is_problem(400, "invalid-request");
        app.end().await;
    }

    async fn a_claim_code_in_the_portals_file_is_stored_and_told_nowhere(backend: Backend) {
        let app = App::spawn(backend).await;
        let rewards = clean_day(&app, 20).await;
        let records: Vec<_> = rewards.iter().take(18).map(Planted::record).collect();
        let good = upload(&app, file(&records)).await;
        assert_eq!(counts(&good.json)[1], 2, "{}", good.text);
        // The code in the wrong column: as an id, an amount, a time, a type.
        let mut told = vec![good.text.clone(), app.get("/v1/reconciliations").await.text];
        for (from, to) in [(records[4].request_id.as_str(), CODE), (",5,USD", &format!(",{CODE},USD")), ("2026-11-10T", CODE), ("Create", CODE)] {
            let broken = file(&records).replacen(from, to, 1);
            let answer = upload(&app, broken).await;
            told.push(answer.text.clone());
            if answer.status == 200 {
                told.push(format!("{:?}", items(&app, &answer.json).await));
            } else {
                answer.is_problem(400, "invalid-request");
            }
        }
        told.push(app.metrics().await);
        let stripped = CODE.replace('-', "");
        for text in &told {
            assert!(!text.contains(CODE) && !text.contains(&stripped), "{text}");
        }
        let mut look = Look::at(&app.database).await;
        for column in look.columns().await {
            for value in look.bytes(&column).await {
                let text = String::from_utf8_lossy(&value);
                assert!(!text.contains(CODE) && !text.contains(&stripped), "{column:?}: {text}");
            }
        }
        drop(look);
        app.end().await;
    }

    async fn a_file_that_is_cut_or_is_none_leaves_a_failed_run_and_nothing_else(backend: Backend) {
        let app = App::spawn(backend).await;
        let rewards = clean_day(&app, 3_000).await;
        let text = file(&rewards.iter().map(Planted::record).collect::<Vec<_>>());
        let parts = vec![Ok(text.as_bytes()[..100_000].to_vec()), Err(std::io::Error::other("the line was cut"))];
        // The first part is on its way before the line is cut.
        let stream = futures_util::stream::iter(parts).then(async |part| {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            part
        });
        let path = format!("/v1/reconciliations?account_id=main&from={DAY}&to={DAY}");
        let cut = app.request("POST", &path).header("Content-Type", "text/csv").body(reqwest::Body::wrap_stream(stream));
        assert!(Answer::try_of(cut).await.is_none(), "the client hung up");
        let run = found("the run is at its end", async || last(&app).await).await;
        assert_eq!((&run["status"], &run["failure"]), (&json!("failed"), &json!("file_broken")), "{run}");
        upload(&app, "<html>").await.is_problem(400, "invalid-request");
        upload(&app, String::new()).await.is_problem(400, "invalid-request");
        assert_eq!(last(&app).await.unwrap()["failure"], "file_unreadable");
        nothing_is_left_over(&app).await;
        assert_eq!(upload(&app, text).await.status, 200);
        app.end().await;
    }

    async fn a_dry_run_by_rest_says_what_the_command_says_and_does_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        let path = format!("/v1/reconciliations?account_id=main&from={DAY}&to={DAY}&dry_run=true");
        let look = async |path: &str, text: String| {
            Answer::of(app.request("POST", path).header("Content-Type", "text/csv").body(text)).await
        };
        let head = "time;type;request id;amount;shop;Claim Code";
        let good = format!("{head}\n2026-11-10 12:00:01;Create;A;1.005,00;x;{CODE}\n2026-11-12 12:00:00;Cancel;A;;x;{CODE}\n");
        let seen = look(&path, good.clone()).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        let expected = json!({
            "readable": true, "rows": 2, "types": {"bought": 1, "given_back": 1}, "without_effect": 0,
            "first_at": "2026-11-10T12:00:01.000Z", "last_at": "2026-11-12T12:00:00.000Z", "other_days": 1,
            "currency_code": "USD", "columns_not_read": ["shop", "claimcode"], "unreadable": 0, "first_unreadable": [],
        });
        assert_eq!(seen.json, expected);
        let odd = look(&path, format!("{good}today;Create;B;5,00;x;{CODE}\n")).await;
        assert_eq!((odd.status, &odd.json["readable"], &odd.json["rows"]), (200, &json!(false), &json!(3)));
        assert_eq!(odd.json["first_unreadable"], json!(["row 4: the time cannot be read"]));
        for text in [String::new(), "<html>".to_owned(), "time;type;amount\n".to_owned()] {
            look(&path, text).await.is_problem(400, "invalid-request");
        }
        look(&path.replace("main", "nobody"), good.clone()).await.is_problem(400, "invalid-request");
        look(&path.replace("dry_run=true", "dry_run=maybe"), good.clone()).await.is_problem(400, "invalid-request");
        // What the run would refuse, its rehearsal refuses in the same words: today is not over.
        let today = path.replace(&format!("to={DAY}"), &format!("to={}", app.ambient.now().date_naive()));
        let refused = look(&today, good.clone()).await;
        refused.is_problem(400, "invalid-request");
        let real = look(&today.replace("true", "false"), good.clone()).await;
        assert_eq!((&refused.json["detail"], real.status), (&real.json["detail"], 400), "{}", refused.text);
        // A body that asks Amazon is no dry run, whatever the query says.
        let body = json!({"account_id": "main", "from": DAY, "to": DAY});
        app.post("/v1/reconciliations?dry_run=true", body.clone()).await.is_problem(400, "invalid-request");
        let mut with_member = body;
        with_member["dry_run"] = json!(true);
        app.post("/v1/reconciliations", with_member).await.is_problem(400, "invalid-request");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations").await, 0, "no run was begun");
        nothing_is_left_over(&app).await;
        assert_eq!(pages(&app), 0);
        // The same file with `false` is a run.
        assert_eq!(look(&path.replace("true", "false"), good).await.status, 200);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations").await, 1);
        app.end().await;
    }

    async fn one_run_of_an_account_at_a_time_over_all_replicas(backend: Backend) {
        let app = App::spawn(backend).await;
        clean_day(&app, 100).await;
        let slow = of_pages(0, 1, Fault::Delay { milliseconds: 1_500 });
        app.control.script(slow).unwrap();
        let begun = futures_util::future::join_all((0..6).map(|_| begin(&app, DAY, DAY))).await;
        let (first, others): (Vec<_>, Vec<_>) = begun.into_iter().partition(|answer| answer.status == 202);
        assert_eq!((first.len(), others.len()), (1, 5));
        others.iter().for_each(|answer| answer.is_problem(409, "reconciliation-running"));
        assert_eq!(ended(&app, first[0].id()).await["matched"], 100);
        assert_eq!(begin(&app, DAY, DAY).await.status, 202, "and then the next");
        app.end().await;
    }

    async fn a_run_whose_process_died_is_told_as_interrupted_and_cleared_away(backend: Backend) {
        let mut app = App::spawn(backend).await;
        clean_day(&app, 1_500).await;
        app.control.script(of_pages(1, 1, Fault::Delay { milliseconds: 4_000 })).unwrap();
        let begun = begin(&app, DAY, DAY).await;
        assert_eq!(begun.status, 202);
        app.until_received("GetGiftCardActivityPage", 2).await;
        // As if its replica had died: nobody keeps the lease, and five minutes later the next one takes over.
        app.advance(301);
        let next = reconcile(&app, DAY, DAY).await;
        assert_eq!(counts(&next)[0], 1_500);
        let dead = app.get(&format!("/v1/reconciliations/{}", begun.id())).await.json;
        assert_eq!((&dead["status"], &dead["failure"]), (&json!("failed"), &json!("interrupted")));
        // It was only frozen: when its page comes, it has lost its lease, and writes nothing.
        assert!(app.stop().await);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliation_seen").await, 0);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations WHERE state = 'finished'").await, 1);
        app.end().await;
    }
}

/// The newest run, when it has ended.
async fn last(app: &App) -> Option<serde_json::Value> {
    let list = app.get("/v1/reconciliations?limit=1").await.json;
    let run = list["data"].get(0)?.clone();
    (run["status"] != "running").then_some(run)
}
