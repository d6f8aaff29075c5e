//! What is taken: all of a batch, once, or nothing of it.

use std::time::Duration;

use noshi::identity::Scopes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{each_once, item, items, lines, read, send, taken, until_ended};
use crate::{
    bad_input::wire::with_key,
    door::connect,
    support::{Answer, App, Backend, Shape, on_each_backend, with_json},
};

on_each_backend! {
    async fn each_item_is_bought_once_however_often_it_is_sent(backend: Backend) {
        let app = App::spawn(backend).await;
        let id = taken(&app, "one", items("order", 5)).await;
        let ended = until_ended(&app, &id).await;
        assert_eq!((&ended["state"], &ended["counts"]["issued"]), (&json!("finished"), &json!(5)));
        let again = send(&app, "one", &json!({"items": items("order", 5)})).await;
        assert_eq!((again.status, again.id(), again.header("idempotent-replayed")), (200, id.as_str(), "true"));
        send(&app, "one", &json!({"items": items("order", 6)})).await.is_problem(422, "idempotency-mismatch");
        // The same items in another batch, and one that is new.
        let second = taken(&app, "two", items("order", 6)).await;
        assert_eq!(until_ended(&app, &second).await["counts"]["issued"], 6);
        each_once(&app, 6);
        let (first, second) = (lines(&app, &id).await, lines(&app, &second).await);
        assert!(first.iter().zip(&second).all(|(one, other)| one["reward_id"] == other["reward_id"]));
        // The documented key of an item names its reward, and whoever asks by it has the code.
        let mut single = item("order-0", "1.00");
        single["kind"] = json!("gift_code");
        let same = app.issue_body("batch:order-0", single).await;
        assert_eq!((same.status, same.id()), (200, first[0]["reward_id"].as_str().unwrap()), "{}", same.text);
        assert!(!same.code().is_empty());
        each_once(&app, 6);
        app.end().await;
    }

    async fn what_is_wrong_with_items_is_named_and_nothing_is_taken(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__RECOVERY_POLL_MILLISECONDS", 500)).await;
        let mut wrong = items("order", 6);
        wrong[1]["value"]["amount"] = json!("1.001");
        wrong[2]["value"]["currency_code"] = json!("JPY");
        wrong[2]["value"]["amount"] = json!("500");
        wrong[3]["kind"] = json!("card_activation");
        wrong[4]["external_id"] = json!(" blank");
        wrong[5]["metadata"] = json!({"code": "ABCD-EFGHJK-MNPQ"});
        let pointers = |answer: &Answer| -> Vec<String> {
            answer.is_problem(400, "invalid-request");
            answer.json["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
        };
        let shapes = pointers(&send(&app, "one", &json!({"items": wrong})).await);
        assert_eq!(shapes, ["/items/1/value/amount", "/items/3/kind", "/items/4/external_id"]);
        wrong[1] = item("order-1", "1.00");
        wrong[3] = item("order-3", "1000000.00");
        wrong[4] = item("order-4", "1.00");
        let meanings = pointers(&send(&app, "one", &json!({"items": wrong})).await);
        assert_eq!(meanings, ["/items/2", "/items/3/value/amount", "/items/5/metadata"]);
        let mut twice = items("order", 4);
        twice[3] = item("order-1", "2.00");
        let answer = send(&app, "one", &json!({"items": twice})).await;
        assert_eq!(pointers(&answer), ["/items/3/external_id"]);
        assert!(answer.text.contains("/items/1"), "both places are named: {}", answer.text);
        assert_eq!(pointers(&send(&app, "one", &json!({"items": []})).await), ["/items"]);
        assert_eq!(pointers(&send(&app, "one", &json!({"items": items("order", 1001)})).await), ["/items"]);
        let many: Vec<_> = items("order", 30).into_iter().map(|mut item| { item["target"] = json!({}); item }).collect();
        assert_eq!(pointers(&send(&app, "one", &json!({"items": many})).await), ["/items/0"]);
        let lines = "{\"external_id\":\"a\",\"value\":{\"amount\":\"1.00\",\"currency_code\":\"USD\"}}\n{}\n{\"x\":1}\nno\n";
        let request = app.request("POST", "/v1/batches").header("Idempotency-Key", "one").header("Content-Type", "application/x-ndjson");
        assert_eq!(pointers(&Answer::of(request.body(lines)).await), ["/items/1/external_id", "/items/2", "/items/3"]);
        let large = app.request("POST", "/v1/batches").header("Idempotency-Key", "one").header("Content-Type", "application/json");
        Answer::of(large.body("[".repeat((1 << 20) + 1))).await.is_problem(413, "payload-too-large");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM batches").await, 0);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM batch_items").await, 0);
        app.end().await;
    }

    async fn a_thousand_items_go_up_and_their_outcomes_come_down_as_lines(backend: Backend) {
        let app = App::spawn(backend).await;
        let body: String = items("order", 1000).iter().map(|item| format!("{item}\n")).collect();
        let request = app.request("POST", "/v1/batches?name=spring").header("Idempotency-Key", "one");
        let answer = Answer::of(request.header("Content-Type", "application/x-ndjson").body(body)).await;
        assert_eq!((answer.status, &answer.json["name"]), (202, &json!("spring")), "{}", answer.text);
        let id = answer.id().to_owned();
        let canceled = app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await;
        assert_eq!(canceled.json["state"], "canceled", "{}", canceled.text);
        let ended = until_ended(&app, &id).await;
        let bought = usize::try_from(ended["counts"]["issued"].as_i64().unwrap()).unwrap();
        assert_eq!(ended["counts"]["canceled"].as_i64().unwrap(), 1000 - i64::try_from(bought).unwrap());
        assert!(bought < 1000, "a cancel leaves what was not handed over: {bought}");
        each_once(&app, bought);
        let down = lines(&app, &id).await;
        assert_eq!(down.len(), 1000);
        assert!(down.iter().enumerate().all(|(at, line)| line["position"] == at && line["external_id"] == format!("order-{at}")));
        let page = app.get(&format!("/v1/batches/{id}/items?limit=2&cursor=7")).await;
        assert_eq!((page.json["data"][0]["position"].as_i64(), &page.json["next_cursor"]), (Some(8), &json!("9")), "{}", page.text);
        let named = app.get("/v1/batches?name=spring").await;
        assert_eq!(named.json["data"][0]["id"], id, "{}", named.text);
        assert_eq!(app.get("/v1/batches?name=autumn").await.json["data"], json!([]));
        app.end().await;
    }

    async fn an_item_that_another_request_used_is_refused_and_says_why(backend: Backend) {
        let app = App::spawn(backend).await;
        let first = taken(&app, "one", vec![item("order-1", "1.00")]).await;
        until_ended(&app, &first).await;
        let mut single = item("order-2", "1.00");
        single["kind"] = json!("gift_code");
        assert_eq!(app.issue_body("single", single).await.status, 201);
        let second = taken(&app, "two", vec![item("order-1", "2.00"), item("order-2", "1.00"), item("order-3", "1.00")]).await;
        let ended = until_ended(&app, &second).await;
        assert_eq!((&ended["counts"]["refused"], &ended["counts"]["issued"]), (&json!(2), &json!(1)));
        let lines = lines(&app, &second).await;
        assert_eq!(lines[0]["problem"], json!({"code": "idempotency-mismatch", "pointer": "/value"}));
        assert_eq!(lines[1]["problem"], json!({"code": "external-id-conflict"}));
        each_once(&app, 3);
        app.end().await;
    }

    async fn no_code_of_a_batch_is_in_an_answer_or_in_the_database(backend: Backend) {
        let app = App::spawn(backend).await;
        let id = taken(&app, "one", items("order", 3)).await;
        until_ended(&app, &id).await;
        let mut seen = String::new();
        for path in ["/v1/batches".to_owned(), format!("/v1/batches/{id}"), format!("/v1/batches/{id}/items"), "/v1/events?limit=200".to_owned()] {
            seen += &app.get(&path).await.text;
        }
        seen += &send(&app, "one", &json!({"items": items("order", 3)})).await.text;
        let cards = app.control.book();
        assert_eq!(cards.len(), 3);
        for card in cards {
            assert!(!seen.contains(&card.claim_code) && !seen.contains(&card.claim_code.replace('-', "")));
            for column in ["external_id", "metadata", "refused_code", "refused_pointer"] {
                let found = format!("SELECT COUNT(*) FROM batch_items WHERE {column} LIKE '%{}%'", card.claim_code);
                assert_eq!(app.database.number(&found).await, 0);
            }
        }
        let reward = lines(&app, &id).await[0]["reward_id"].as_str().unwrap().to_owned();
        assert!(!app.reveal(&reward).await.code().is_empty(), "the caller has it by the reward");
        app.end().await;
    }

    async fn a_batch_of_another_client_is_not_there_and_none_has_too_many(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let id = taken(&app, "one", items("order", 1)).await;
        until_ended(&app, &id).await;
        let own = app.key.clone();
        app.key = app.mint_key("other", Scopes::new(noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all")))).await.1;
        for path in [format!("/v1/batches/{id}"), format!("/v1/batches/{id}/items")] {
            app.get(&path).await.is_problem(404, "not-found");
        }
        app.post(&format!("/v1/batches/{id}/cancel"), json!({})).await.is_problem(404, "not-found");
        // The same key of another client is another batch.
        let other = send(&app, "one", &json!({"items": items("order", 1)})).await;
        assert_eq!(other.status, 202, "{}", other.text);
        until_ended(&app, other.id()).await;
        each_once(&app, 2);
        app.key = own;
        let (rows, id_of_row, intent) = match backend {
            Backend::Sqlite => (
                "(WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000) SELECT n FROM n)",
                "unhex(printf('%016x8%015x', 0, n))",
                "randomblob(20)",
            ),
            Backend::Postgres => (
                "generate_series(1, 1000)",
                "('00000000000000008' || lpad(to_hex(n), 15, '0'))::uuid",
                "decode(md5(n::text) || substr(md5(n::text), 1, 8), 'hex')",
            ),
        };
        let open = format!(
            "INSERT INTO batches (id, client_id, api_key_id, account, intent, digest, items, state, setbacks, moved_at, created_at, updated_at) \
             SELECT {id_of_row}, b.client_id, b.api_key_id, b.account, {intent}, b.digest, 1, 'paused', 0, b.created_at, b.created_at, b.created_at \
             FROM {rows} AS rows (n) CROSS JOIN (SELECT * FROM batches ORDER BY id LIMIT 1) AS b"
        );
        let open = if backend == Backend::Sqlite { open.replace(" AS rows (n)", "") } else { open };
        app.database.execute(&open).await.unwrap();
        send(&app, "last", &json!({"items": items("order", 1)})).await.is_problem(429, "too-many-batches");
        assert_eq!(read(&app, &id).await["items"], 1);
        app.end().await;
    }

    async fn whoever_sends_batches_slowly_holds_up_no_other_client(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let head = "POST /v1/batches HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nIdempotency-Key: slow\r\n\
                    Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
        let mut slow = Vec::new();
        for _ in 0..4 {
            let mut stream = connect(&app).await;
            stream.write_all(&with_key(head.as_bytes(), &app.key)).await.unwrap();
            slow.push(stream);
        }
        let mut refused = 0;
        for stream in &mut slow {
            let mut answer = [0; 12];
            let read = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await;
            refused += usize::from(read.is_ok_and(|read| read.is_ok()) && &answer == b"HTTP/1.1 429");
        }
        assert_eq!(refused, 2, "the client reads two at once");
        app.key = app.mint_key("other", Scopes::new(noshi::server::scopes())).await.1;
        let other = send(&app, "one", &json!({"items": items("order", 1)})).await;
        assert_eq!(other.status, 202, "{}", other.text);
        drop(slow);
        app.end().await;
    }

    async fn a_batch_is_sent_with_a_key_that_is_its_own(backend: Backend) {
        let app = App::spawn(backend).await;
        let body = json!({"items": items("order", 1)});
        Answer::of(with_json(app.request("POST", "/v1/batches"), &body)).await.is_problem(400, "idempotency-key-missing");
        let text = app.request("POST", "/v1/batches").header("Idempotency-Key", "one").header("Content-Type", "text/plain");
        Answer::of(text.body(body.to_string())).await.is_problem(415, "unsupported-media-type");
        app.end().await;
    }
}
