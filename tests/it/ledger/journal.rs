//! The ledger: every movement once, for ever; read as JSON, CSV and NDJSON.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::programs::{charged, program};
use crate::support::{App, Backend, Shape, books::books_match, faults::refusal, look::Look, on_each_backend};

/// The kinds of a reward's entries, in order.
async fn kinds(app: &App, reward: &str) -> Vec<String> {
    let page = app.get("/v1/ledger-entries?limit=200").await;
    let of_reward = page.json["data"].as_array().unwrap().iter().filter(|entry| entry["reward_id"] == reward);
    of_reward.map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}

/// Waits until what the account held at the beginning is in the ledger.
async fn opened(app: &App) {
    app.until_number("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'opening'", 1).await;
}

/// The ids on all pages of so many entries.
async fn ids(app: &App, query: &str, limit: &str) -> Vec<i64> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/ledger-entries?limit={limit}{query}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let entries = page.json["data"].as_array().unwrap().iter();
        ids.extend(entries.map(|entry| entry["id"].as_str().unwrap().parse::<i64>().unwrap()));
        let Some(next) = page.json["next_cursor"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

async fn text(app: &App, query: &str, accept: &str) -> (String, String) {
    let request = app.request("GET", &format!("/v1/ledger-entries{query}")).header("Accept", accept);
    let answer = crate::support::Answer::of(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    (answer.header("content-type").to_owned(), answer.text)
}

on_each_backend! {
    async fn every_way_of_a_reward_is_in_the_ledger(backend: Backend) {
        let app = App::spawn(backend).await;
        program(&app, "prg_spring", json!([])).await;
        let issued = app.issue_body("issued", charged("5.00", "prg_spring")).await;
        let canceled = app.issue("canceled", "6.00").await;
        app.cancel(canceled.id()).await;
        app.strike_next(refusal("F200", "MaxAmountExceeded"));
        let failed = app.issue("failed", "7.00").await;
        app.strike_next(Fault::DropAfterWork);
        let late = app.issue("late", "8.00").await;
        assert_eq!(kinds(&app, late.id()).await, ["reserved"]);
        app.until(late.id(), "issued").await;
        let mock = app.issue("F0000", "9.00").await;
        assert_eq!(kinds(&app, issued.id()).await, ["reserved", "issued"]);
        assert_eq!(kinds(&app, canceled.id()).await, ["reserved", "issued", "canceled"]);
        assert_eq!(kinds(&app, failed.reward_id()).await, ["reserved", "released"]);
        assert_eq!(kinds(&app, late.id()).await, ["reserved", "issued"]);
        assert!(kinds(&app, mock.id()).await.is_empty(), "Amazon's mock ids move no money");
        books_match(&app).await;
        app.end().await;
    }

    async fn nobody_changes_the_past(backend: Backend) {
        let app = App::spawn(backend).await;
        app.issue("one", "5.00").await;
        let mut look = Look::at(&app.database).await;
        for text in [
            "UPDATE ledger_entries SET amount_minor = 1", "UPDATE ledger_entries SET note = 'x'", "DELETE FROM ledger_entries",
        ] {
            let refused = look.run(text).await.unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{text}: {refused}");
        }
        assert!(look.run("INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) \
            SELECT at, account, currency, kind, debit, credit, -1 FROM ledger_entries").await.is_err(), "no negative amount");
        drop(look);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_page_goes_on_where_the_last_one_ended(backend: Backend) {
        let app = App::spawn(backend).await;
        opened(&app).await;
        for at in 0..5 {
            app.issue(&format!("k{at}"), "1.00").await;
        }
        let ids = ids(&app, "", "3").await;
        assert_eq!(ids.len(), 11, "two of each reward, and the opening");
        assert!(ids.is_sorted());
        for bad in ["limit=0", "limit=201", "cursor=x", "cursor=-1", "from=yesterday", "what=1"] {
            app.get(&format!("/v1/ledger-entries?{bad}")).await.is_problem(400, "invalid-request");
        }
        let later = app.get("/v1/ledger-entries?from=2999-01-01T00:00:00Z").await;
        assert_eq!(later.json["data"], json!([]));
        assert_eq!(app.get("/v1/ledger-entries?account_id=other").await.json["data"], json!([]));
        app.end().await;
    }

    /// A node before its clock was set, and one whose clock was ahead, wrote an entry each: the first and the last by their ids.
    async fn entries_of_a_time_are_found_whatever_clocks_wrote_beside_them(backend: Backend) {
        let app = App::spawn(backend).await;
        opened(&app).await;
        let stray = |at: &str| format!(
            "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) \
             SELECT '{at}-01-01T00:00:00.000000+00:00', 'main', 'USD', 'issued', 'issued', 'reserved', 1 WHERE 1 = 1");
        app.database.execute(&stray("2090")).await.unwrap();
        for at in 0..3 {
            app.issue(&format!("k{at}"), "1.00").await;
        }
        app.database.execute(&stray("2001")).await.unwrap();
        let of = async |query: &str| ids(&app, query, "2").await;
        let all = of("").await;
        assert_eq!(all.len(), 9, "two of each reward, the opening, and the two of other clocks");
        let (ahead, behind, today) = (vec![all[1]], vec![all[8]], [&all[..1], &all[2..8]].concat());
        for account in ["", "&account_id=main"] {
            let within = async |times: &str| of(&format!("{times}{account}")).await;
            assert_eq!(within("&from=2020-01-01T00:00:00Z&to=2080-01-01T00:00:00Z").await, today);
            assert_eq!(within("&to=2010-01-01T00:00:00Z").await, behind);
            assert_eq!(within("&from=2085-01-01T00:00:00Z").await, ahead);
            assert_eq!(within("&from=2005-01-01T00:00:00Z").await, all[..8]);
            assert_eq!(within("&to=2080-01-01T00:00:00Z").await, [&today[..], &behind].concat());
        }
        app.end().await;
    }

    async fn the_streams_say_the_same_as_the_pages(backend: Backend) {
        let app = App::shaped(backend, Shape { marketplace: "JP", ..Shape::default() }).await;
        opened(&app).await;
        let (kind, empty) = text(&app, "?account_id=other", "text/csv").await;
        assert!(kind.starts_with("text/csv"), "{kind}");
        assert_eq!(empty.trim_end(), "id,timestamp,account_id,kind,debit,credit,amount,currency_code,reward_id,program_id,note,made_by");
        for at in 0..3 {
            app.issue(&format!("k{at}"), "500").await;
        }
        let page = app.get("/v1/ledger-entries?limit=200").await;
        let wanted = page.json["data"].as_array().unwrap();
        let (kind, lines) = text(&app, "", "application/x-ndjson").await;
        assert_eq!(kind, "application/x-ndjson");
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, wanted);
        let (_kind, table) = text(&app, "", "text/csv").await;
        let mut csv = csv::Reader::from_reader(table.as_bytes());
        let names: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        let mut rows = 0;
        for (row, entry) in csv.records().zip(wanted) {
            for (name, value) in names.iter().zip(row.unwrap().iter()) {
                assert_eq!(value, entry[name].as_str().unwrap_or(""), "{name}");
            }
            rows += 1;
        }
        assert_eq!(rows, 7);
        app.end().await;
    }
}
