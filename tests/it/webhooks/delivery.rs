//! What is sent, to whom, when again, and in which order.

use serde_json::{Value, json};

use super::{
    Sender, is_signed, own_key,
    receiver::{Receiver, Reply, Sent, status},
};
use crate::support::{Answer, Backend, look::Look, on_each_backend, order, wait::found, with_json};

/// An order that says what its maker calls it.
fn named_order() -> Value {
    let mut body = order("25.00");
    body["external_id"] = json!("order-4711");
    body["metadata"] = json!({"campaign": "spring"});
    body
}

on_each_backend! {
    async fn what_happens_to_a_reward_is_sent_signed_and_never_with_its_code(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        assert_eq!(app.issue("before", "5.00").await.status, 201);
        let listener = sender.listen(&receiver, &[]).await;
        let issued = app.issue_body("one", named_order()).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let code = issued.json["claim_code"].as_str().unwrap().to_owned();
        assert_eq!(app.reveal(issued.id()).await.status, 200);
        assert_eq!(app.cancel(issued.id()).await.status, 200);
        let sent = receiver.until(3).await;
        let types: Vec<String> = sent.iter().map(Sent::event_type).collect();
        assert_eq!(types, ["reward.issued", "claim_code.revealed", "reward.canceled"], "in their order, and nothing of before");
        for one in &sent {
            assert!(one.line.starts_with("POST /hooks?token=open-sesame "), "{}", one.line);
            assert!(is_signed(one, &listener.secret), "{one:?}");
            assert!(!format!("{one:?}").contains(&code) && !one.body.contains("spring"), "{one:?}");
            assert_eq!((one.header("content-type"), one.header("traceparent")), ("application/json", ""));
            let data = &one.json()["data"];
            let value = json!({"amount": "25.00", "currency_code": "USD"});
            assert_eq!((&data["reward_id"], &data["value"]), (&json!(issued.id()), &value));
            assert_eq!((&data["external_id"], &data["kind"], &data["account_id"]), (&json!("order-4711"), &json!("gift_code"), &json!("main")));
        }
        sender.until_attempts(&listener, 3).await;
        let delivered = sender.deliveries(&listener, "?state=delivered").await;
        let ids: Vec<&str> = delivered.iter().rev().map(|one| one["message_id"].as_str().unwrap()).collect();
        assert_eq!(ids, sent.iter().map(|one| one.header("webhook-id")).collect::<Vec<_>>());
        assert_eq!(delivered[0]["last_status"], 204);
        assert!(app.metrics().await.contains("noshi_webhook_deliveries_total{outcome=\"delivered\"} 3"));
        sender.end().await;
    }

    async fn a_message_that_fails_is_sent_again_under_its_id_and_nothing_of_its_reward_overtakes_it(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let listener = sender.listen(&receiver, &["reward.issued", "reward.canceled"]).await;
        receiver.script([status(500), Reply::Close, Reply::Status(302, "Location: http://127.0.0.1:1/\r\n".to_owned())]);
        let issued = app.issue("one", "5.00").await;
        receiver.until(1).await;
        assert_eq!(app.cancel(issued.id()).await.status, 200);
        for (attempts, seconds) in [(1, 10), (2, 400), (3, 2400)] {
            sender.until_attempts(&listener, attempts).await;
            let waiting = found("both wait", async || {
                Some(sender.deliveries(&listener, "?state=pending").await).filter(|waiting| waiting.len() == 2)
            })
            .await;
            assert_eq!((waiting.len(), &waiting[0]["attempts"]), (2, &json!(0)), "{waiting:?}");
            assert_eq!(receiver.sent().len(), usize::try_from(attempts).unwrap(), "not before its time");
            sender.advance(seconds);
            receiver.until(usize::try_from(attempts).unwrap() + 1).await;
        }
        let sent = receiver.until(5).await;
        let types: Vec<String> = sent.iter().map(Sent::event_type).collect();
        assert_eq!(types[..4], vec!["reward.issued"; 4]);
        assert_eq!(types[4], "reward.canceled");
        let first: Vec<&str> = sent[..4].iter().map(|one| one.header("webhook-id")).collect();
        assert!(first.iter().all(|id| *id == first[0]) && first[0] != sent[4].header("webhook-id"), "{first:?}");
        assert_ne!(sent[0].header("webhook-timestamp"), sent[1].header("webhook-timestamp"));
        assert!(sent.iter().all(|one| one.body == sent[0].body || one.event_type() == "reward.canceled"));
        assert!(sent.iter().all(|one| is_signed(one, &listener.secret)));
        sender.end().await;
    }

    async fn an_event_is_given_up_after_ten_attempts_over_three_days(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        receiver.always(status(500));
        sender.app.issue("one", "5.00").await;
        for (attempt, wait) in (1..).zip([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
            sender.until_attempts(&listener, attempt).await;
            // The longest that the jitter makes of it.
            sender.advance(wait + wait / 10 + 1);
        }
        let failed = found("it is given up", async || sender.deliveries(&listener, "?state=failed").await.pop()).await;
        assert_eq!((&failed["attempts"], &failed["last_status"], failed.get("next_attempt_at")), (&json!(10), &json!(500), None));
        assert_eq!(sender.endpoint(&listener).await["state"], "enabled");
        receiver.always(status(200));
        sender.advance(900);
        sender.app.issue("two", "5.00").await;
        assert_eq!(receiver.until(11).await.len(), 11, "the next event goes on");
        sender.until_attempts(&listener, 11).await;
        assert_eq!(sender.endpoint(&listener).await["failures"], 0);
        sender.end().await;
    }

    async fn an_endpoint_that_fails_for_five_days_is_disabled_and_its_events_wait(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let app = &sender.app;
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        let observer = Receiver::start().await;
        sender.listen(&observer, &["webhook_endpoint.disabled"]).await;
        receiver.always(status(503));
        app.issue("one", "5.00").await;
        sender.until_attempts(&listener, 1).await;
        let since = sender.endpoint(&listener).await["failing_since"].clone();
        sender.advance(3600);
        assert_eq!(app.post(&format!("/v1/webhook-endpoints/{}/test", listener.id), json!({})).await.status, 202);
        found("the test has failed, too", async || {
            (sender.endpoint(&listener).await["failures"].as_i64()? > 1).then_some(())
        })
        .await;
        assert_eq!(sender.endpoint(&listener).await["failing_since"], since, "whoever tests does not begin anew");
        for attempt in 2..=6 {
            sender.until_attempts(&listener, attempt).await;
            sender.advance(27 * 3600);
        }
        let heard = observer.until(1).await;
        let disabled = sender.endpoint(&listener).await;
        assert_eq!((&disabled["state"], &disabled["disabled_why"]), (&json!("disabled"), &json!("failing")), "{disabled}");
        assert_eq!(heard[0].json()["data"]["details"], json!({"endpoint_id": listener.id, "why": "failing"}));
        let listed = app.get("/v1/events?type=webhook_endpoint.disabled").await;
        assert_eq!(listed.json["data"].as_array().unwrap().len(), 1, "{}", listed.text);
        app.issue("two", "5.00").await;
        receiver.always(status(200));
        let before = receiver.sent().len();
        let enabled = sender.patch(&listener, json!({"state": "enabled"})).await;
        assert_eq!((enabled.status, &enabled.json["state"]), (200, &json!("enabled")), "{}", enabled.text);
        receiver.until(before + 2).await;
        found("both are delivered", async || {
            let delivered = sender.deliveries(&listener, "?state=delivered").await;
            (delivered.iter().filter(|one| one["type"] == "reward.issued").count() == 2).then_some(())
        })
        .await;
        sender.end().await;
    }

    async fn a_receiver_that_is_gone_is_asked_no_more_and_its_events_wait(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        receiver.script([status(410)]);
        sender.app.issue("one", "5.00").await;
        found("it is disabled", async || (sender.endpoint(&listener).await["disabled_why"] == "gone").then_some(())).await;
        sender.app.issue("two", "5.00").await;
        sender.advance(7 * 24 * 3600);
        found("both wait", async || {
            (sender.deliveries(&listener, "?state=pending").await.len() == 2).then_some(())
        })
        .await;
        assert_eq!(receiver.sent().len(), 1);
        let test = sender.app.post(&format!("/v1/webhook-endpoints/{}/test", listener.id), json!({})).await;
        assert_eq!((test.status, &test.json["code"]), (409, &json!("invalid-state")), "{}", test.text);
        sender.patch(&listener, json!({"state": "enabled"})).await;
        assert_eq!(receiver.until(3).await.len(), 3, "the one that was refused, too");
        sender.end().await;
    }

    async fn a_receiver_is_left_alone_for_as_long_as_it_asks(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        receiver.script([Reply::Status(429, "Retry-After: 3600\r\n".to_owned())]);
        sender.app.issue("one", "5.00").await;
        sender.until_attempts(&listener, 1).await;
        // Also what it has not seen yet.
        sender.app.issue("two", "5.00").await;
        sender.advance(3000);
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(receiver.sent().len(), 1);
        sender.advance(1200);
        receiver.until(3).await;
        sender.end().await;
    }

    async fn an_endpoint_hears_what_its_client_may_see_and_nothing_else(backend: Backend) {
        let sender = Sender::open(backend).await;
        let app = &sender.app;
        let (ours, theirs) = (own_key(app, "ours").await, own_key(app, "theirs").await);
        let program = |id: &str| json!({"id": id, "name": "Spring", "account_id": "main"});
        for (key, id) in [(&ours, "prg_ours"), (&theirs, "prg_theirs")] {
            assert_eq!(sender.ask(key, "POST", "/v1/programs", Some(program(id))).await.status, 201);
        }
        let bound = app.mint_bound_key("ours", "prg_ours").await.1;
        let [of_ours, of_theirs, of_bound, of_all] =
            [Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await];
        for (key, receiver) in [(&ours, &of_ours), (&theirs, &of_theirs), (&bound, &of_bound), (&app.key, &of_all)] {
            sender.listen_by(key, receiver, &[]).await;
        }
        let buy = async |key: &str, name: &str, program: Option<&str>| {
            let mut body = order("5.00");
            if let Some(program) = program {
                body["program_id"] = json!(program);
            }
            let request = app.anonymous("POST", "/v1/rewards").bearer_auth(key).header("Idempotency-Key", format!("\"{name}\""));
            let bought = Answer::of(with_json(request, &body)).await;
            assert_eq!(bought.status, 201, "{}", bought.text);
            bought.id().to_owned()
        };
        let plain = buy(&ours, "plain", None).await;
        let charged = buy(&ours, "charged", Some("prg_ours")).await;
        let foreign = buy(&theirs, "foreign", Some("prg_theirs")).await;
        for (key, id) in [(&ours, "prg_ours"), (&theirs, "prg_theirs")] {
            assert_eq!(sender.ask(key, "POST", &format!("/v1/programs/{id}/suspend"), None).await.status, 200);
        }
        let subjects = async |receiver: &Receiver, count: usize| {
            let sent = receiver.until(count).await;
            let name = |sent: &Sent| {
                let data = &sent.json()["data"];
                let subject = data.get("reward_id").unwrap_or(&data["subject"]);
                subject.as_str().unwrap().to_owned()
            };
            let mut all: Vec<String> = sent.iter().map(name).collect();
            all.sort();
            all
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(subjects(&of_all, 2).await, ["prg_ours", "prg_theirs"], "an operator sees the rewards of nobody else");
        assert_eq!(subjects(&of_ours, 3).await, sorted(vec![plain, charged.clone(), "prg_ours".to_owned()]));
        assert_eq!(subjects(&of_bound, 2).await, sorted(vec![charged, "prg_ours".to_owned()]));
        assert_eq!(subjects(&of_theirs, 2).await, sorted(vec![foreign, "prg_theirs".to_owned()]));
        sender.end().await;
    }

    async fn one_receiver_that_hangs_holds_up_no_other(backend: Backend) {
        let (sender, slow, quick) = (Sender::open(backend).await, Receiver::start().await, Receiver::start().await);
        slow.always(Reply::Hang);
        for receiver in [&slow, &quick] {
            sender.listen(receiver, &["reward.issued"]).await;
        }
        for at in 0..20 {
            assert_eq!(sender.app.issue(&format!("{at}"), "1.00").await.status, 201);
        }
        quick.until(20).await;
        assert!((1..=8).contains(&slow.sent().len()), "{}", slow.sent().len());
        drop(slow);
        sender.end().await;
    }

    async fn the_receivers_of_one_client_cannot_keep_the_events_of_another_back(backend: Backend) {
        let sender = Sender::open(backend).await;
        let (theirs, ours) = (own_key(&sender.app, "theirs").await, own_key(&sender.app, "ours").await);
        let mut slow = Vec::new();
        for _ in 0..9 {
            let receiver = Receiver::start().await;
            receiver.always(Reply::Hang);
            sender.listen_by(&theirs, &receiver, &["reward.issued"]).await;
            slow.push(receiver);
        }
        let quick = Receiver::start().await;
        sender.listen_by(&ours, &quick, &["reward.issued"]).await;
        let buy = async |key: &str, name: String| {
            let request = sender.app.anonymous("POST", "/v1/rewards").bearer_auth(key).header("Idempotency-Key", name);
            assert_eq!(Answer::of(with_json(request, &order("1.00"))).await.status, 201);
        };
        for at in 0..10 {
            buy(&theirs, format!("theirs-{at}")).await;
        }
        found("theirs are on their way", async || {
            (slow.iter().map(|receiver| receiver.sent().len()).sum::<usize>() >= 16).then_some(())
        })
        .await;
        for at in 0..10 {
            buy(&ours, format!("ours-{at}")).await;
        }
        quick.until(10).await;
        let all = sender.ask(&theirs, "GET", "/v1/webhook-endpoints", None).await;
        let failures = |one: &Value| one["failures"].as_i64().unwrap();
        let failed: i64 = all.json["data"].as_array().unwrap().iter().map(failures).sum();
        assert_eq!(failed, 0, "they are on their way still: ours did not wait for their time-outs");
        drop(slow);
        sender.end().await;
    }

    async fn what_an_earlier_event_holds_up_is_not_looked_at_again_and_again(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let listener = sender.listen(&receiver, &["program.suspended", "program.resumed", "reward.issued"]).await;
        let program = json!({"id": "prg_one", "name": "One", "account_id": "main"});
        assert_eq!(sender.app.post("/v1/programs", program).await.status, 201);
        receiver.script([status(500), status(500)]);
        for _ in 0..3 {
            for deed in ["suspend", "resume"] {
                assert_eq!(sender.app.post(&format!("/v1/programs/prg_one/{deed}"), json!({})).await.status, 200);
            }
        }
        sender.until_attempts(&listener, 1).await;
        sender.advance(6);
        sender.until_attempts(&listener, 2).await;
        sender.advance(6);
        sender.app.issue("one", "5.00").await;
        let due = "SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'pending' AND due_at <= '";
        found("only the head is due, in its time", async || {
            let now = sender.app.ambient.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
            let head = sender.deliveries(&listener, "?state=pending").await.pop()?;
            let waits = head["next_attempt_at"].as_str()? > now.as_str();
            (waits && sender.app.database.number(&format!("{due}{now}'")).await == 0).then_some(())
        })
        .await;
        sender.advance(3600);
        let sent = receiver.until(9).await;
        let types: Vec<String> = sent.iter().map(Sent::event_type).filter(|kind| kind.starts_with("program")).collect();
        let pair = ["program.suspended", "program.resumed"];
        assert_eq!(types, [&pair[..1], &pair[..1], &pair, &pair, &pair].concat(), "twice more, and then all in their order");
        sender.end().await;
    }

    async fn what_a_crash_had_taken_is_sent_however_many_of_its_subject_are_due_before_it(backend: Backend) {
        let (mut sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        sender.listen(&receiver, &["reward.issued"]).await;
        receiver.script([Reply::Hang]);
        sender.app.issue("one", "5.00").await;
        receiver.until(1).await;
        let more = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) \
                    INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind) \
                    SELECT at, seq + 1000 + i, subject_id, client_id, subject_kind, account, kind FROM facts, n WHERE kind = 'reward.issued'";
        sender.app.database.execute(more).await.unwrap();
        let all = "SELECT COUNT(*) FROM webhook_deliveries";
        found("all are put down", async || (sender.app.database.number(all).await == 251).then_some(())).await;
        assert!(sender.app.stop().await);
        // As they stand where no worker looked while the first was taken.
        let before = "UPDATE webhook_deliveries SET due_at = created_at WHERE id > (SELECT MIN(id) FROM webhook_deliveries)";
        sender.app.database.execute(before).await.unwrap();
        sender.app.start().await;
        sender.advance(61);
        let sent = receiver.until(4).await;
        let numbers: Vec<i64> = sent.iter().map(|one| one.json()["data"]["sequence"].as_i64().unwrap()).collect();
        assert_eq!(numbers[0], numbers[1], "the first once more");
        assert!(numbers[1..].is_sorted(), "{numbers:?}");
        sender.end().await;
    }

    async fn a_stop_does_not_wait_for_a_receiver_that_hangs_and_its_event_is_sent_by_the_next_start(backend: Backend) {
        let (mut sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        // The shortest that a drain may have, and shorter than an attempt.
        sender.app.restart_with("NOSHI__SERVER__DRAIN_TIMEOUT_SECONDS", "12").await;
        let listener = sender.listen(&receiver, &["reward.issued"]).await;
        receiver.script([Reply::Hang]);
        sender.app.issue("one", "5.00").await;
        receiver.until(1).await;
        assert!(sender.app.stop().await, "it waited for the receiver");
        sender.app.start().await;
        sender.advance(61);
        let sent = receiver.until(2).await;
        assert_eq!(sent[0].header("webhook-id"), sent[1].header("webhook-id"));
        found("it is delivered", async || (sender.deliveries(&listener, "?state=delivered").await.len() == 1).then_some(())).await;
        sender.end().await;
    }

    async fn deliveries_are_kept_for_thirty_days_and_what_is_left_of_a_deleted_endpoint_goes(backend: Backend) {
        let (sender, receiver) = (Sender::open(backend).await, Receiver::start().await);
        let [kept, deleted] = [sender.listen(&receiver, &[]).await, {
            let other = Receiver::start().await;
            sender.listen(&other, &[]).await
        }];
        sender.app.issue("one", "5.00").await;
        sender.until_attempts(&kept, 1).await;
        let gone = sender.app.request("DELETE", &format!("/v1/webhook-endpoints/{}", deleted.id));
        assert_eq!(Answer::of(gone).await.status, 204);
        assert_eq!(sender.app.get(&format!("/v1/webhook-endpoints/{}", deleted.id)).await.status, 404);
        sender.advance(61);
        let mut look = Look::at(&sender.app.database).await;
        crate::support::wait::until("the deleted one is gone", async || {
            look.count("webhook_endpoints").await == 1 && look.count("webhook_deliveries").await == 1
        }).await;
        sender.app.issue("two", "5.00").await;
        let all = found("both are delivered", async || {
            let all = sender.deliveries(&kept, "?state=delivered").await;
            (all.len() == 2).then_some(all)
        })
        .await;
        let again = all[1]["id"].as_str().unwrap().to_owned();
        sender.advance(29 * 24 * 3600);
        let path = format!("/v1/webhook-endpoints/{}/deliveries/{again}/redeliver", kept.id);
        assert_eq!(sender.app.post(&path, json!({})).await.status, 202);
        sender.advance(2 * 24 * 3600);
        crate::support::wait::until("what is old is gone", async || look.count("webhook_deliveries").await == 1).await;
        let left = sender.deliveries(&kept, "").await;
        assert_eq!(left[0]["id"], json!(again), "what was to be sent again stays for as long as a new one");
        sender.advance(31 * 24 * 3600);
        crate::support::wait::until("that one, too", async || look.count("webhook_deliveries").await == 0).await;
        sender.end().await;
    }
}
