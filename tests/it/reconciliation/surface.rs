//! The REST surface: who may ask, what is refused, pages and their cursors, and the days that are reconciled by themselves.

use noshi::identity::Scopes;
use serde_json::{Value, json};

use super::{DAY, begin, counts, reconcile};
use crate::support::{Answer, App, Backend, Shape, on_each_backend, scope};

on_each_backend! {
    async fn starting_and_reading_have_a_scope_each(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let run = reconcile(&app, DAY, DAY).await;
        let id = run["id"].as_str().unwrap().to_owned();
        let (_client, reader) = app.mint_key("reader", Scopes::new([scope("ledger:read")])).await;
        let (_client, starter) = app.mint_key("starter", Scopes::new([scope("reconciliations:write")])).await;
        let reads = ["/v1/reconciliations".to_owned(), format!("/v1/reconciliations/{id}"), format!("/v1/reconciliations/{id}/items")];
        app.key = reader;
        for path in &reads {
            assert_eq!(app.get(path).await.status, 200, "{path}");
        }
        begin(&app, DAY, DAY).await.is_problem(403, "insufficient-scope");
        app.key = starter;
        for path in &reads {
            app.get(path).await.is_problem(403, "insufficient-scope");
        }
        assert_eq!(begin(&app, DAY, DAY).await.status, 202);
        app.end().await;
    }

    async fn what_makes_no_sense_is_refused_and_begins_nothing(backend: Backend) {
        let app = App::spawn(backend).await;
        let today = app.ambient.now().date_naive().to_string();
        for (from, to) in [("2026-11-10", "2026-11-09"), ("2024-01-01", "2025-06-01"), ("10.11.2026", DAY), (DAY, today.as_str()), (DAY, "9999-12-31")] {
            begin(&app, from, to).await.is_problem(400, "invalid-request");
        }
        for (from, to, at) in [("-0001-01-01", DAY, "/from"), ("0000-01-01", "0000-01-01", "/from"), (DAY, "10000-01-01", "/to")] {
            let refused = begin(&app, from, to).await;
            refused.is_problem(400, "invalid-request");
            assert_eq!(refused.json["errors"][0]["pointer"], at, "{}", refused.text);
        }
        begin(&app, "0001-01-01", "0001-01-01").await.is_problem(400, "invalid-request");
        for query in ["from=0000-01-01T00:00:00Z", "to=-0001-01-01T00:00:00Z", "limit=many", "cursor=x"] {
            let refused = app.get(&format!("/v1/ledger-entries?{query}")).await;
            refused.is_problem(400, "invalid-request");
            let name = query.split('=').next().unwrap();
            assert!(refused.text.contains(&format!("the query's {name} is not valid: expected ")), "{}", refused.text);
        }
        let post = async |body| app.post("/v1/reconciliations", body).await;
        post(json!({"account_id": "other", "from": DAY, "to": DAY})).await.is_problem(400, "invalid-request");
        post(json!({"account_id": "main", "from": DAY})).await.is_problem(400, "invalid-request");
        post(json!({"account_id": "main", "from": DAY, "to": DAY, "more": 1})).await.is_problem(400, "invalid-request");
        for path in ["/v1/reconciliations/rec_1", "/v1/reconciliations/rec_00000000000070008000000000000001/items"] {
            app.get(path).await.is_problem(404, "not-found");
        }
        for path in ["limit=0", "limit=201", "cursor=x", "offset=1"] {
            app.get(&format!("/v1/reconciliations?{path}")).await.is_problem(400, "invalid-request");
            app.get(&format!("/v1/reconciliation-days?account_id=main&{path}")).await.is_problem(400, "invalid-request");
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations").await, 0);
        app.end().await;
    }

    async fn runs_are_listed_newest_first_page_by_page(backend: Backend) {
        let app = App::spawn(backend).await;
        let mut ids = Vec::new();
        for day in ["2026-11-08", "2026-11-09", "2026-11-10"] {
            let run = reconcile(&app, day, day).await;
            assert_eq!((counts(&run), &run["records"], &run["from"], &run["to"]), ([0; 7], &json!(0), &json!(day), &json!(day)));
            ids.insert(0, run["id"].clone());
        }
        let first = app.get("/v1/reconciliations?limit=2&account_id=main").await;
        let listed: Vec<_> = first.json["data"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect();
        assert_eq!(listed, ids[..2]);
        let link = first.header("link").to_owned();
        let next = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
        let second = app.get(next).await;
        assert_eq!((second.json["data"].as_array().unwrap().len(), &second.json["data"][0]["id"]), (1, &ids[2]));
        assert_eq!(app.get("/v1/reconciliations?account_id=other").await.json["data"], json!([]));
        app.end().await;
    }

    async fn what_was_found_is_listed_page_by_page_and_a_client_is_shown_its_own_alone(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let words = ["rewards:write", "ledger:read"];
        let (operator, (_client, shop)) = (app.key.clone(), app.mint_key("shop", Scopes::new(words.map(scope))).await);
        let mut ids: Vec<(String, Value)> = Vec::new();
        // In turns, so that the rows of one client do not stand side by side.
        for at in 0..9 {
            app.key.clone_from(if at % 3 == 1 { &shop } else { &operator });
            let issued = app.issue(&format!("found-{at}"), "1.00").await;
            assert_eq!(issued.status, 201, "{}", issued.text);
            ids.push((app.key.clone(), issued.json["id"].clone()));
        }
        let day = app.ambient.now().date_naive().to_string();
        app.control.edit_activity(Vec::clear);
        app.advance(2 * 86_400);
        app.key.clone_from(&operator);
        let run = reconcile(&app, &day, &day).await;
        assert_eq!(counts(&run), [0, 9, 0, 0, 0, 0, 0]);
        let path = format!("/v1/reconciliations/{}/items", run["id"].as_str().unwrap());
        for (key, limit, sizes) in [(&operator, 4, vec![4, 4, 1]), (&operator, 3, vec![3, 3, 3, 0]), (&shop, 2, vec![2, 1]), (&shop, 200, vec![3])] {
            app.key.clone_from(key);
            let mut expected: Vec<&Value> = ids.iter().filter(|(of, _id)| key == &operator || of == key).map(|(_of, id)| id).collect();
            let (mut seen, mut pages, mut next) = (Vec::new(), Vec::new(), Some(format!("{path}?limit={limit}")));
            while let Some(target) = next {
                let page = app.get(&target).await;
                assert_eq!(page.status, 200, "{}", page.text);
                let rows = page.json["data"].as_array().unwrap();
                pages.push(rows.len());
                seen.extend(rows.iter().map(|row| row["reward_id"].clone()));
                let link = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>'));
                next = link.map(|(target, _rel)| target.to_owned());
                let cursor = page.json["next_cursor"].as_str();
                assert_eq!(cursor.is_some(), next.is_some(), "{}", page.text);
                assert!(next.iter().all(|next| next.ends_with(&format!("cursor={}", cursor.unwrap()))), "{next:?}");
            }
            let mut sorted: Vec<&Value> = seen.iter().collect();
            for ids in [&mut sorted, &mut expected] {
                ids.sort_by_key(|id| id.to_string());
            }
            assert_eq!((pages, sorted), (sizes, expected), "{limit} a page");
        }
        app.end().await;
    }

    async fn yesterday_is_reconciled_by_itself_once_and_a_gap_is_filled(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__RECONCILIATION__HOUR", 2)).await;
        // The account's first sign of life. The days begin with the one before it.
        let observed = "SELECT COUNT(*) FROM balance_observations";
        crate::support::wait::until("the balance is read", async || app.database.number(observed).await > 0).await;
        // To one in the morning, whatever the hour is now: too early.
        let second_of_day = app.ambient.now().timestamp().rem_euclid(86_400);
        app.advance(86_400 - second_of_day + 3600);
        app.restart_with("NOSHI__RECONCILIATION__DAILY", "true").await;
        until(&app, 1).await;
        app.issue("meanwhile", "5.00").await;
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations").await, 1, "its hour has not come");
        let yesterday = app.ambient.now().date_naive().pred_opt().unwrap();

        // Nothing looks for a minute; a start looks at once.
        app.advance(3600);
        app.restart_with("NOSHI__REWARDS__BREAKER_SECONDS", "0").await;
        until(&app, 2).await;
        app.restart_with("NOSHI__REWARDS__BREAKER_SECONDS", "0").await;
        app.issue("another", "5.00").await;
        until(&app, 2).await;
        let run = &app.get("/v1/reconciliations").await.json["data"][0];
        let day = json!(yesterday.to_string());
        assert_eq!((&run["daily"], &run["from"], &run["to"]), (&json!(true), &day, &day));

        // Away for three days: a start fills them, the oldest first.
        app.advance(3 * 86_400);
        app.restart_with("NOSHI__REWARDS__BREAKER_SECONDS", "0").await;
        until(&app, 5).await;
        let runs = app.get("/v1/reconciliations").await.json;
        let finished = runs["data"].as_array().unwrap().iter().filter(|run| run["status"] == "finished");
        let told: Vec<_> = finished.map(|run| (run["from"].clone(), run["matched"].clone())).collect();
        let day = |number: i64| json!((yesterday + chrono::TimeDelta::days(number)).to_string());
        let wanted = [(3, 0), (2, 0), (1, 2), (0, 0), (-1, 0)].map(|(number, matched)| (day(number), json!(matched)));
        assert_eq!(told, wanted);
        app.end().await;
    }
}

/// Somebody who hears of an error looks for what went wrong, and not for the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_answered_by_an_error_has_not_finished() {
    let app = App::spawn(Backend::Sqlite).await;
    let odd = "CREATE TRIGGER odd AFTER UPDATE OF state ON reconciliations WHEN NEW.state = 'finished' \
               BEGIN UPDATE reconciliations SET currency = 'XXX'; END";
    app.database.execute(odd).await.unwrap();
    let path = format!("/v1/reconciliations?account_id=main&from={DAY}&to={DAY}");
    let file = "time,type,request id,amount\n";
    let upload = async || Answer::of(app.request("POST", &path).header("Content-Type", "text/csv").body(file)).await;
    let refused = upload().await;
    assert!(refused.status >= 500, "{}", refused.text);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM reconciliations WHERE state = 'finished'").await, 0);
    app.database.execute("DROP TRIGGER odd").await.unwrap();
    let done = upload().await;
    assert_eq!((done.status, &done.json["status"]), (200, &json!("finished")), "{}", done.text);
    app.end().await;
}

/// Waits until so many days are reconciled.
async fn until(app: &App, wanted: i64) {
    app.until_number("SELECT COUNT(*) FROM reconciliations WHERE state = 'finished'", wanted).await;
}
