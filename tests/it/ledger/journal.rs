//! The ledger: every movement once, for ever; read as JSON, CSV and NDJSON.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::programs::{charged, program};
use crate::support::{
    Answer, App, Backend, Shape, books::books_match, faults::refusal, look::Look, on_each_backend, scope,
};

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

/// A reward that its caller has a name for.
async fn named(app: &App, key: &str, program: Option<&str>, external_id: &str) -> String {
    let mut body =
        json!({"kind": "gift_code", "value": {"amount": "1.00", "currency_code": "USD"}, "external_id": external_id});
    if let Some(program) = program {
        body["program_id"] = json!(program);
    }
    app.issue_body(key, body).await.id().to_owned()
}

/// The members of the entries that a query finds.
async fn members(app: &App, query: &str, names: [&str; 2]) -> Vec<(String, String)> {
    let page = app.get(&format!("/v1/ledger-entries?limit=200{query}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let entries = page.json["data"].as_array().unwrap().iter();
    let member = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("none").to_owned();
    entries.map(|entry| (member(entry, names[0]), member(entry, names[1]))).collect()
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

    async fn an_entry_has_the_callers_name_of_its_reward(backend: Backend) {
        let mut app = App::spawn(backend).await;
        opened(&app).await;
        named(&app, "one", None, "order-4711").await;
        named(&app, "formula", None, "=2+3").await;
        app.issue("nameless", "1.00").await;
        let wanted = [
            ("opening", "none"), ("reserved", "order-4711"), ("issued", "order-4711"), ("reserved", "=2+3"), ("issued", "=2+3"),
            ("reserved", "none"), ("issued", "none"),
        ];
        let wanted = wanted.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
        assert_eq!(members(&app, "", ["kind", "external_id"]).await, wanted);
        let (_kind, table) = text(&app, "", "text/csv").await;
        assert!(table.contains(",order-4711\n"), "{table}");
        assert!(table.contains(",'=2+3\n") && !table.contains(",=2+3"), "a spreadsheet would reckon: {table}");
        // The client of the rewards reads it as well, page by page of its own entries.
        let (_client, own) = app.mint_key("tests", noshi::identity::Scopes::new([scope("ledger:read")])).await;
        app.key = own;
        assert_eq!(members(&app, "", ["kind", "external_id"]).await, wanted[1..]);
        assert_eq!(members(&app, "&account_id=main&kind=issued", ["kind", "external_id"]).await.len(), 3);
        app.end().await;
    }

    async fn entries_are_found_by_program_and_by_kind(backend: Backend) {
        let mut app = App::spawn(backend).await;
        opened(&app).await;
        for id in ["prg_spring", "prg_autumn"] {
            program(&app, id, json!([])).await;
        }
        for (key, of) in [("a", Some("prg_spring")), ("b", Some("prg_autumn")), ("c", None), ("d", Some("prg_spring"))] {
            named(&app, key, of, key).await;
        }
        let of = async |app: &App, query: &str| -> String {
            let found = members(app, query, ["external_id", "kind"]).await;
            found.iter().map(|(id, kind)| format!("{id}.{kind}")).collect::<Vec<_>>().join(" ")
        };
        let spring = "a.reserved a.issued d.reserved d.issued";
        for account in ["", "&account_id=main"] {
            assert_eq!(of(&app, &format!("&program_id=prg_spring{account}")).await, spring);
            assert_eq!(of(&app, &format!("&kind=issued{account}")).await, "a.issued b.issued c.issued d.issued");
            assert_eq!(of(&app, &format!("&kind=issued&program_id=prg_spring{account}")).await, "a.issued d.issued");
            assert_eq!(of(&app, &format!("&kind=opening{account}")).await, "none.opening");
            assert_eq!(of(&app, &format!("&program_id=prg_none{account}")).await, "");
            assert_eq!(ids(&app, &format!("&kind=reserved&program_id=prg_spring{account}"), "1").await.len(), 2);
        }
        let (_kind, table) = text(&app, "?kind=canceled&program_id=prg_spring", "text/csv").await;
        assert_eq!(table.lines().count(), 1, "{table}");
        for bad in ["kind=refund", "kind=", "program_id=spring", "program_id=prg_Ä", "kind=issued&kind=issued"] {
            app.get(&format!("/v1/ledger-entries?{bad}")).await.is_problem(400, "invalid-request");
        }
        // A key that is bound to a program asks for another one.
        let (_client, bound) = app.mint_bound_key("tests", "prg_autumn").await;
        app.key = bound;
        for account in ["", "&account_id=main"] {
            assert_eq!(of(&app, &format!("&kind=issued{account}")).await, "b.issued");
            assert_eq!(of(&app, &format!("&program_id=prg_spring{account}")).await, "");
            assert_eq!(of(&app, &format!("&program_id=prg_autumn&kind=issued{account}")).await, "b.issued");
        }
        app.end().await;
    }

    /// Days are the account's where a query names it, else UTC's; the last one is included.
    async fn a_day_stands_for_all_of_it(backend: Backend) {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", "Asia/Kathmandu");
        let app = App::shaped(backend, shape).await;
        let at = ["2025-10-31T18:14:59", "2025-10-31T18:15:00", "2025-11-01T00:00:00", "2025-11-01T18:14:59", "2025-11-01T23:59:59", "2025-11-02T00:00:00"];
        for at in at {
            let text = format!(
                "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) \
                 VALUES ('{at}+00:00', 'main', 'USD', 'issued', 'issued', 'reserved', 1)");
            app.database.execute(&text).await.unwrap();
        }
        let of = async |query: &str| -> Vec<String> {
            let found = members(&app, query, ["timestamp", "kind"]).await;
            found.into_iter().map(|(at, _kind)| at.split('.').next().unwrap().to_owned()).collect()
        };
        let day = "&from=2025-11-01&to=2025-11-01";
        assert_eq!(of(&format!("{day}&account_id=main")).await, at[1..4]);
        assert_eq!(of(day).await, at[2..5]);
        assert_eq!(of("&from=2025-11-01&to=2025-11-01T18:14:59Z").await, at[2..3], "an instant is where it ends");
        assert_eq!(of("&from=2025-10-31&to=2025-11-02").await, at);
        assert_eq!(of("&from=2025-01-01&to=9999-12-31&kind=issued").await, at);
        for bad in ["from=2025-11-31", "to=2025-11", "from=0000-01-01", "to=10000-01-01", "from=2025-1-1"] {
            app.get(&format!("/v1/ledger-entries?{bad}")).await.is_problem(400, "invalid-request");
        }
        app.end().await;
    }

    async fn a_stream_names_its_file(backend: Backend) {
        let app = App::spawn(backend).await;
        app.issue("one", "1.00").await;
        for (accept, name) in [
            ("text/csv", "attachment; filename=\"ledger-entries.csv\""),
            ("application/x-ndjson", "attachment; filename=\"ledger-entries.ndjson\""),
            ("application/json", ""),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = Answer::of(app.request(method, "/v1/ledger-entries").header("Accept", accept)).await;
                assert_eq!(answer.header("content-disposition"), name, "{method} {accept}");
            }
        }
        app.end().await;
    }

    async fn the_streams_say_the_same_as_the_pages(backend: Backend) {
        let app = App::shaped(backend, Shape { marketplace: "JP", ..Shape::default() }).await;
        opened(&app).await;
        let (kind, empty) = text(&app, "?account_id=other", "text/csv").await;
        assert!(kind.starts_with("text/csv"), "{kind}");
        assert_eq!(empty.trim_end(), "id,timestamp,account_id,kind,debit,credit,amount,currency_code,reward_id,program_id,note,made_by,external_id");
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
