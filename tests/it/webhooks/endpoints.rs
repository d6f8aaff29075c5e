//! Endpoints over REST: what is refused, who sees them, secrets, tests, and what is sent again.

use noshi::{identity::Scopes, webhooks::EndpointSecret};
use serde_json::json;

use super::{
    Listener, Sender, is_signed, own_key,
    receiver::{Receiver, Sent, status},
};
use crate::{
    audit::command,
    support::{App, Backend, look::Look, on_each_backend, scope},
};

const ALL: &str = "/v1/webhook-endpoints";

on_each_backend! {
    async fn an_endpoint_that_cannot_be_is_refused_by_the_field_that_is_wrong(backend: Backend) {
        let sender = Sender::open(backend).await;
        let app = &sender.app;
        let good = "https://hooks.example.com/noshi";
        for (body, pointer, said) in [
            (json!({"url": "ftp://hooks.example.com/"}), "/url", "https"),
            (json!({"url": "not a url"}), "/url", ""),
            (json!({"url": "https://user:secret-word@hooks.example.com/"}), "/url", ""),
            (json!({"url": good, "event_types": ["reward.issued", "reward.sold"]}), "/event_types/1", "reward.issued"),
            (json!({"url": good, "description": "a".repeat(201)}), "/description", "200"),
            (json!({"url": good, "description": "AB12-CD34EF-GH56"}), "/description", "claim code"),
        ] {
            let refused = app.post(ALL, body).await;
            assert_eq!(refused.status, 400, "{}", refused.text);
            let error = &refused.json["errors"][0];
            assert_eq!(error["pointer"], pointer, "{}", refused.text);
            assert!(error["detail"].as_str().unwrap().contains(said), "{}", refused.text);
            assert!(!refused.text.contains("secret-word") && !refused.text.contains("CD34EF"), "{}", refused.text);
        }
        assert_eq!(app.get(ALL).await.json["data"], json!([]), "nothing was made");
        let made = app.post(ALL, json!({"url": good})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(app.get(made.header("location")).await.json["url"], good);
        let again = app.post(ALL, json!({"url": good})).await;
        assert_eq!((again.status, &again.json["code"]), (409, &json!("webhook-endpoint-conflict")));
        assert!(again.text.contains(made.json["id"].as_str().unwrap()), "{}", again.text);
        for at in 1..20 {
            assert_eq!(app.post(ALL, json!({"url": format!("{good}/{at}")})).await.status, 201);
        }
        let many = app.post(ALL, json!({"url": format!("{good}/20")})).await;
        assert_eq!(many.status, 409, "{}", many.text);
        sender.end().await;
    }

    async fn without_a_sealing_key_no_endpoint_is_made_and_the_answer_names_the_setting(backend: Backend) {
        let app = App::spawn(backend).await;
        let refused = app.post(ALL, json!({"url": "https://hooks.example.com/"})).await;
        assert_eq!((refused.status, &refused.json["code"]), (503, &json!("webhooks-not-set-up")), "{}", refused.text);
        assert!(refused.text.contains("sealing.keys"), "{}", refused.text);
        assert_eq!(refused.json["retry"], "after_operator");
        let inside = app.post(ALL, json!({"url": "https://169.254.169.254/latest/meta-data"})).await;
        assert_eq!((inside.status, &inside.json["errors"][0]["pointer"]), (400, &json!("/url")), "{}", inside.text);
        app.end().await;
    }

    async fn a_secret_is_shown_once_kept_sealed_and_replaced_without_a_gap(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        let path = format!("{ALL}/{}", listener.id);
        assert!(!app.get(&path).await.text.contains("whsec_") && !app.get(ALL).await.text.contains("whsec_"));
        let clear = listener.secret.in_clear();
        let mut look = Look::at(&app.database).await;
        let needles = [clear.as_bytes(), clear.strip_prefix("whsec_").unwrap().as_bytes()];
        for column in look.columns().await {
            let found = look.bytes(&column).await.into_iter().find(|value| {
                needles.iter().any(|needle| value.windows(needle.len()).any(|part| part == *needle))
            });
            assert!(found.is_none(), "{column:?}");
        }
        drop(look);
        let rotated = app.post(&format!("{path}/rotate-secret"), json!({"overlap_hours": 2})).await;
        assert_eq!((rotated.status, rotated.header("cache-control")), (200, "no-store"), "{}", rotated.text);
        let new = EndpointSecret::parse(rotated.json["secret"].as_str().unwrap()).unwrap();
        app.issue("one", "5.00").await;
        let sent = receiver.until(1).await;
        assert!(is_signed(&sent[0], &listener.secret) && is_signed(&sent[0], &new), "both, for a while");
        sender.advance(2 * 3600 + 1);
        app.issue("two", "5.00").await;
        let sent = receiver.until(2).await;
        assert!(!is_signed(&sent[1], &listener.secret) && is_signed(&sent[1], &new), "then the new one alone");
        let at_once = app.post(&format!("{path}/rotate-secret"), json!({"overlap_hours": 0})).await;
        assert!(at_once.json.get("old_secret_until").is_none(), "{}", at_once.text);
        let refused = app.post(&format!("{path}/rotate-secret"), json!({"overlap_hours": 169})).await;
        assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (400, &json!("/overlap_hours")));
        let audited = app.database.number("SELECT COUNT(*) FROM audit_records WHERE action LIKE 'webhook%'").await;
        assert_eq!(audited, 3);
        let urls = app.database.number("SELECT COUNT(*) FROM audit_records WHERE details LIKE '%open-sesame%'").await;
        assert_eq!(urls, 0, "receivers put secrets into URLs");
        sender.end().await;
    }

    async fn a_key_sees_and_changes_no_endpoint_that_hears_more_than_the_key_may_see(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let (ours, theirs) = (own_key(app, "tests").await, own_key(app, "theirs").await);
        assert_eq!(
            sender.ask(&ours, "POST", "/v1/programs", Some(json!({"id": "prg_ours", "name": "Spring", "account_id": "main"}))).await.status,
            201
        );
        let bound = app.mint_bound_key("tests", "prg_ours").await.1;
        let operators = sender.listen(&receiver, &[]).await;
        let other = Receiver::start().await;
        let clients = sender.listen_by(&ours, &other, &[]).await;
        let seen = async |key: &str, listener: &Listener| {
            let path = format!("{ALL}/{}", listener.id);
            let mut statuses = Vec::new();
            for (method, path, body) in [
                ("GET", path.clone(), None),
                ("PATCH", path.clone(), Some(json!({"url": "https://thief.example.com/"}))),
                ("POST", format!("{path}/rotate-secret"), Some(json!({}))),
                ("GET", format!("{path}/deliveries"), None),
                ("POST", format!("{path}/test"), None),
                ("POST", format!("{path}/deliveries/whd_1/redeliver"), None),
                ("POST", format!("{path}/replay"), Some(json!({"from": app.ambient.now().to_rfc3339()}))),
                ("DELETE", path.clone(), None),
            ] {
                statuses.push(sender.ask(key, method, &path, body).await.status);
            }
            let list = sender.ask(key, "GET", ALL, None).await;
            (statuses, list.json["data"].as_array().unwrap().iter().any(|one| one["id"] == listener.id.as_str()))
        };
        for (key, listener) in [(&theirs, &operators), (&theirs, &clients), (&ours, &operators), (&bound, &operators), (&bound, &clients)] {
            assert_eq!(seen(key, listener).await, (vec![404; 8], false));
        }
        assert!(!seen(&ours, &clients).await.0.contains(&404), "its own");
        sender.end().await;
    }

    async fn a_key_hears_only_what_its_scopes_let_it_read(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let scopes = |words: &[&str]| Scopes::new(words.iter().map(|word| scope(word)));
        let write = app.mint_key("tests", scopes(&["webhooks:write"])).await.1;
        let rewards = app.mint_key("tests", scopes(&["webhooks:write", "rewards:read"])).await.1;
        let body = |types: &[&str]| json!({"url": receiver.url(), "event_types": types});
        for (key, types, lacking) in [
            (&write, vec!["reward.issued"], "rewards:read"),
            (&write, vec!["claim_code.revealed"], "rewards:read"),
            (&write, vec!["balance.low"], "ledger:read"),
            (&rewards, vec!["reward.issued", "program.suspended"], "ledger:read"),
            (&rewards, vec![], "ledger:read"),
        ] {
            let refused = sender.ask(key, "POST", ALL, Some(body(&types))).await;
            assert_eq!((refused.status, &refused.json["code"]), (403, &json!("insufficient-scope")), "{}", refused.text);
            assert!(refused.text.contains(lacking) && refused.header("www-authenticate").contains(lacking), "{}", refused.text);
        }
        let own = own_key(app, "tests").await;
        let listener = sender.listen_by(&own, &receiver, &[]).await;
        let path = format!("{ALL}/{}", listener.id);
        let moved = Some(json!({"url": "http://127.0.0.1:1024/thief"}));
        assert_eq!(sender.ask(&rewards, "PATCH", &path, moved.clone()).await.status, 403, "nor has it sent elsewhere");
        assert_eq!(sender.ask(&rewards, "POST", &format!("{path}/rotate-secret"), Some(json!({}))).await.status, 403);
        let narrow = Some(json!({"event_types": ["reward.issued"]}));
        assert_eq!(sender.ask(&own, "PATCH", &path, narrow).await.status, 200);
        assert_eq!(sender.ask(&rewards, "PATCH", &path, moved).await.status, 200);
        sender.end().await;
    }

    async fn a_test_is_sent_at_once_and_what_was_sent_is_sent_again_when_asked(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        let path = format!("{ALL}/{}", listener.id);
        let test = app.post(&format!("{path}/test"), json!({})).await;
        assert_eq!((test.status, &test.json["type"]), (202, &json!("webhook_endpoint.test")), "{}", test.text);
        let sent = receiver.until(1).await;
        assert_eq!((sent[0].event_type(), &sent[0].json()["data"]["subject"]), ("webhook_endpoint.test".to_owned(), &json!(listener.id)));
        let from = app.ambient.now();
        sender.advance(5);
        for at in 0..3 {
            app.issue(&format!("{at}"), "1.00").await;
        }
        sender.until_attempts(&listener, 4).await;
        receiver.until(4).await;
        let last = sender.deliveries(&listener, "?limit=1").await;
        let again = format!("{path}/deliveries/{}/redeliver", last[0]["id"].as_str().unwrap());
        assert_eq!(app.post(&again, json!({})).await.status, 202);
        let sent = receiver.until(5).await;
        assert_eq!(sent[4].header("webhook-id"), last[0]["message_id"].as_str().unwrap(), "under its id");
        sender.until_attempts(&listener, 4).await;
        let replayed = app.post(&format!("{path}/replay"), json!({"from": from.to_rfc3339()})).await;
        assert_eq!((replayed.status, &replayed.json), (202, &json!({"deliveries": 3})), "{}", replayed.text);
        let sent = receiver.until(8).await;
        let ids = |sent: &[Sent]| {
            let mut ids: Vec<String> = sent.iter().map(|one| one.header("webhook-id").to_owned()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&sent[5..8]), ids(&sent[1..4]));
        for (body, pointer) in [
            (json!({"from": "yesterday"}), "/from"),
            (json!({"from": "2020-01-01T00:00:00Z"}), "/from"),
            (json!({"from": from.to_rfc3339(), "cursor": "x"}), "/cursor"),
        ] {
            let refused = app.post(&format!("{path}/replay"), body).await;
            assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (400, &json!(pointer)), "{}", refused.text);
        }
        for path in ["/deliveries?state=lost", "/deliveries?cursor=x", "/deliveries?limit=0"] {
            assert_eq!(app.get(&format!("{ALL}/{}{path}", listener.id)).await.status, 400, "{path}");
        }
        assert_eq!(app.post(&format!("{path}/deliveries/whd_999999/redeliver"), json!({})).await.status, 404);
        sender.end().await;
    }

    async fn an_operator_sees_the_endpoints_of_all_clients_and_ends_one(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let theirs = own_key(&sender.app, "theirs").await;
        let listener = sender.listen_by(&theirs, &receiver, &["reward.issued"]).await;
        let (code, listed, _) = command(&sender.app, &["webhooks", "list"]);
        assert!(code == Some(0) && listed.contains(&listener.id) && listed.contains("127.0.0.1"), "{listed}");
        assert!(!listed.contains("open-sesame"), "receivers put secrets into URLs: {listed}");
        let (code, said, _) = command(&sender.app, &["webhooks", "disable", &listener.id, "--by", "kim"]);
        assert!(code == Some(0) && said.contains("is disabled"), "{said}");
        let seen = sender.ask(&theirs, "GET", &format!("{ALL}/{}", listener.id), None).await;
        assert_eq!((&seen.json["state"], &seen.json["disabled_why"]), (&json!("disabled"), &json!("asked")));
        let (code, _, said) = command(&sender.app, &["webhooks", "disable", &listener.id]);
        assert!(code == Some(1) && said.contains("no enabled endpoint"), "{said}");
        let audited = "SELECT COUNT(*) FROM audit_records WHERE action = 'webhook_endpoint.changed' AND actor LIKE '%command%' AND actor LIKE '%kim%'";
        assert_eq!(sender.app.database.number(audited).await, 1);
        sender.end().await;
    }

    async fn a_disabled_endpoint_waits_and_its_events_with_it(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        let disabled = sender.patch(&listener, json!({"state": "disabled"})).await;
        assert_eq!((&disabled.json["state"], &disabled.json["disabled_why"]), (&json!("disabled"), &json!("asked")), "{}", disabled.text);
        app.issue("one", "5.00").await;
        crate::support::wait::until("it waits", async || sender.deliveries(&listener, "?state=pending").await.len() == 1).await;
        assert!(receiver.sent().is_empty());
        assert!(app.metrics().await.contains("noshi_webhook_oldest_pending_age_seconds 0"), "nobody is to be woken for it");
        receiver.script([status(200)]);
        let other = Receiver::start().await;
        let moved = sender.patch(&listener, json!({"state": "enabled", "url": other.url(), "description": "moved"})).await;
        assert_eq!((moved.status, &moved.json["description"]), (200, &json!("moved")), "{}", moved.text);
        other.until(1).await;
        assert!(receiver.sent().is_empty(), "what waited goes where the endpoint is now");
        let refused = sender.patch(&listener, json!({"state": "paused"})).await;
        assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (400, &json!("/state")));
        sender.end().await;
    }
}
