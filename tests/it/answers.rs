//! What callers are told: codes, dry runs, balances, the catalogue, themselves; and what they hear who will not wait.

use noshi::{
    identity::Scopes,
    sandbox::{Fault, FaultRule},
};
use serde_json::json;

use crate::support::{
    Answer, App, Backend, Shape, books::books_match, faults::refusal, on_each_backend, order, scope, wait::until,
    with_json,
};

/// Waits until Amazon has said the balance once.
async fn balance_known(app: &App) {
    until("the balance is known", async || !app.get("/v1/balances/main").await.json["available"].is_null()).await;
}

on_each_backend! {
    async fn a_gift_code_is_issued_read_revealed_and_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let issued = app.issue("order-1", "25.00").await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        assert_eq!(issued.header("cache-control"), "no-store");
        assert_eq!(issued.header("location"), format!("/v1/rewards/{}", issued.id()));
        let book = app.live_cards();
        assert_eq!(book.len(), 1);
        assert_eq!(book[0].claim_code, issued.code());
        assert_eq!(issued.json["creation_request_id"], book[0].creation_request_id.as_str());

        let read = app.get(&format!("/v1/rewards/{}", issued.id())).await;
        assert_eq!((read.status, &read.json["status"]), (200, &json!("issued")));
        assert!(!read.text.contains(issued.code()), "reading never shows the code");

        let revealed = app.reveal(issued.id()).await;
        assert_eq!((revealed.status, revealed.code()), (200, issued.code()));

        let canceled = app.cancel(issued.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert!(app.live_cards().is_empty());
        assert_eq!(app.cancel(issued.id()).await.status, 200, "canceling twice is the same");
        app.reveal(issued.id()).await.is_problem(410, "gone");
        let again = app.issue("order-1", "25.00").await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("canceled")));
        assert!(again.json["claim_code"].is_null());

        assert_eq!(
            app.events(issued.id()).await,
            ["reward.received", "reward.issued", "claim_code.revealed", "cancel.requested", "reward.canceled"]
        );
        app.end().await;
    }

    async fn a_key_that_was_used_for_another_body_names_the_reward_and_the_member_that_differs(backend: Backend) {
        let app = App::spawn(backend).await;
        let value = |amount: &str| json!({"amount": amount, "currency_code": "USD"});
        let body = json!({"kind": "gift_code", "value": value("5.00"), "external_id": "order 1", "metadata": {"a": "b"}});
        let issued = app.issue_body("used", body.clone()).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let others = [
            ("value", value("6.00")),
            ("external_id", json!("order 2")),
            ("metadata", json!({"a": "c"})),
            ("on_unresolved", json!("cancel")),
        ];
        for (member, other) in others {
            let mut changed = body.clone();
            changed[member] = other;
            let refused = app.issue_body("used", changed).await;
            refused.is_problem(422, "idempotency-mismatch");
            assert_eq!(refused.reward_id(), issued.id());
            assert_eq!(refused.json["errors"][0]["pointer"], format!("/{member}"), "{}", refused.text);
        }
        let mut elsewhere = body.clone();
        elsewhere["program_id"] = json!("prg_other");
        elsewhere["value"] = value("6.00");
        let refused = app.issue_body("used", elsewhere).await;
        refused.is_problem(422, "idempotency-mismatch");
        assert_eq!(refused.json["errors"][0]["pointer"], "/program_id", "nothing else of it is said");
        assert!(refused.json["reward_id"].is_null(), "{}", refused.text);
        assert_eq!(app.issue_body("used", body).await.code(), issued.code());
        assert_eq!(app.live_cards().len(), 1);
        app.end().await;
    }

    /// SEC-06.
    async fn a_code_comes_again_with_its_key_so_often_and_for_a_day_and_every_showing_is_recorded(backend: Backend) {
        let shape = Shape::default().with("NOSHI__REWARDS__REDELIVERY_MAX", 3);
        let mut app = App::shaped(backend, shape).await;
        let first = app.issue("often", "5.00").await;
        for _ in 0..3 {
            let again = app.issue("often", "5.00").await;
            assert_eq!((again.status, again.code()), (200, first.code()));
        }
        let over = app.issue("often", "5.00").await;
        assert_eq!((over.status, over.id(), &over.json["claim_code"]), (200, first.id(), &json!(null)), "{}", over.text);
        let late = app.issue("late", "5.00").await;
        app.advance(24 * 3600 - 60);
        assert_eq!(app.issue("late", "5.00").await.code(), late.code());
        app.advance(120);
        let over = app.issue("late", "5.00").await;
        assert_eq!((over.status, &over.json["claim_code"]), (200, &json!(null)), "{}", over.text);
        assert_eq!(app.reveal(late.id()).await.code(), late.code(), "whoever may reveal still can");
        let shown = |events: Vec<String>| events.iter().filter(|kind| kind.starts_with("claim_code.")).count();
        assert_eq!((shown(app.events(first.id()).await), shown(app.events(late.id()).await)), (3, 2));
        app.end().await;
    }

    async fn a_key_with_and_without_quotes_is_one_key(backend: Backend) {
        let app = App::spawn(backend).await;
        let first = app.issue("\"order-2\"", "10.00").await;
        let second = app.issue("order-2", "10.00").await;
        assert_eq!((first.status, second.status), (201, 200));
        assert_eq!((first.id(), first.code()), (second.id(), second.code()));
        assert_eq!(second.header("idempotent-replayed"), "true");
        let calls = app.received("Create").len();
        app.issue("order-2", "10.01").await.is_problem(422, "idempotency-mismatch");
        assert_eq!(app.received("Create").len(), calls, "nothing was sent");
        assert_eq!(app.control.book().len(), 1);
        app.end().await;
    }

    async fn sixty_four_at_once_with_one_key_buy_one_card(backend: Backend) {
        let app = App::spawn(backend).await;
        let answers = futures_util::future::join_all((0..64).map(|_| app.issue("race", "5.00"))).await;
        assert_eq!(app.control.book().len(), 1);
        let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(created.len(), 1);
        for answer in &answers {
            assert!(matches!(answer.status, 200..=202), "{}", answer.text);
            assert_eq!(answer.id(), created[0].id());
            if let Some(code) = answer.json["claim_code"].as_str() {
                assert_eq!(code, created[0].code());
            }
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 1);
        app.end().await;
    }

    async fn a_dry_run_says_what_an_issue_would_and_sends_nothing(backend: Backend) {
        let app = App::shaped(backend, Shape { funds: 100, ..Shape::default() }).await;
        balance_known(&app).await;
        for (amount, covered) in [("100.00", true), ("100.01", false)] {
            let valid = app.post("/v1/rewards/validate", order(amount)).await;
            let value = json!({"amount": amount, "currency_code": "USD"});
            let said = json!({"valid": true, "account_id": "main", "value": value, "funds_sufficient": covered});
            assert_eq!((valid.status, &valid.json), (200, &said));
        }
        app.post("/v1/rewards/validate", order("2000.01")).await.is_problem(422, "amount-out-of-range");
        app.post("/v1/rewards/validate", order("500")).await.is_problem(422, "currency-not-supported");
        let mut unknown = order("5.00");
        unknown["recipient"] = json!("someone");
        app.post("/v1/rewards/validate", unknown).await.is_problem(400, "invalid-request");
        assert!(app.received("Create").is_empty());
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 0, "nothing is reserved");
        app.end().await;
    }

    async fn balances_say_what_is_there_what_is_reserved_and_how_old_it_is(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 100, ..Shape::default() }).await;
        balance_known(&app).await;
        app.control.script(FaultRule::always(Fault::DropBeforeWork)).unwrap();
        let open = app.issue("open", "4.00").await;
        let balance = app.get("/v1/balances/main").await.json;
        let usd = |amount: &str| json!({"amount": amount, "currency_code": "USD"});
        assert_eq!((&balance["available"], &balance["reserved"], &balance["stale"]), (&usd("100.00"), &usd("4.00"), &json!(false)));
        assert_eq!(app.get("/v1/balances").await.json, json!({"data": [balance]}));
        app.get("/v1/balances/nobody").await.is_problem(404, "not-found");
        app.control.clear_faults();
        app.until(open.id(), "issued").await;
        app.advance(301);
        let balance = app.get("/v1/balances/main").await.json;
        assert_eq!((&balance["reserved"], &balance["stale"]), (&usd("0.00"), &json!(true)));
        let blind = app.post("/v1/rewards/validate", order("5.00")).await;
        assert!(blind.json["funds_sufficient"].is_null(), "a stale balance promises nothing: {}", blind.text);
        books_match(&app).await;
        app.end().await;
    }

    async fn the_catalogue_and_the_ping_tell_a_caller_what_and_who(backend: Backend) {
        let app = App::spawn(backend).await;
        let usd = |amount: &str| json!({"amount": amount, "currency_code": "USD"});
        let entry = json!({
            "account_id": "main", "marketplace": "US", "environment": "sandbox", "kinds": ["gift_code"],
            "currency_code": "USD", "exponent": 2, "minimum": usd("0.15"), "maximum": usd("2000.00"),
        });
        assert_eq!(app.get("/v1/catalog").await.json, json!({"data": [entry]}));
        let (_client, key) = app.mint_key("reader", Scopes::new([scope("rewards:read"), scope("balances:read")])).await;
        let ping = Answer::of(app.http.get(format!("{}/v1/ping", app.base)).bearer_auth(&key)).await;
        assert_eq!((&ping.json["client"], &ping.json["key_name"]), (&json!("reader"), &json!("test")));
        assert_eq!(ping.json["scopes"], json!(["rewards:read", "balances:read"]));
        assert!(key.contains(ping.json["key_id"].as_str().unwrap().trim_start_matches("key_")) && !ping.text.contains(&key));
        app.end().await;
    }

    async fn a_caller_who_will_not_wait_hears_202_and_the_card_is_issued_later(backend: Backend) {
        let app = App::spawn(backend).await;
        for (key, wish, applied) in [("async", "respond-async", "respond-async"), ("wait", "wait=1", "wait")] {
            app.strike_next(Fault::DelayWork { milliseconds: 1500 });
            let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", key).header("Prefer", wish);
            let open = Answer::of(with_json(request, &order("5.00"))).await;
            open.is_accepted();
            assert_eq!((open.header("preference-applied"), &open.json["status"]), (applied, &json!("issuing")));
            assert_eq!(open.header("location"), format!("/v1/rewards/{}", open.id()));
            app.until(open.id(), "issued").await;
            let code = app.issue(key, "5.00").await;
            assert_eq!((code.status, code.code()), (200, app.live_cards().last().unwrap().claim_code.as_str()));
        }
        assert_eq!(app.control.book().len(), 2);
        books_match(&app).await;
        app.end().await;
    }

    async fn a_caller_who_will_not_wait_cannot_have_canceled_what_is_not_proven_meanwhile(backend: Backend) {
        let app = App::spawn(backend).await;
        let mut body = order("5.00");
        body["on_unresolved"] = json!("cancel");
        let ask = async |path: &str, wish: &str| {
            let request = app.request("POST", path).header("Idempotency-Key", "in-vain").header("Prefer", wish);
            Answer::of(with_json(request, &body)).await
        };
        for path in ["/v1/rewards", "/v1/rewards/validate"] {
            for wish in ["respond-async", "wait=0"] {
                let refused = ask(path, wish).await;
                refused.is_problem(400, "invalid-request");
                assert_eq!(refused.json["errors"][0]["pointer"], "/on_unresolved", "{}", refused.text);
                for named in ["respond-async", "on_unresolved: cancel"] {
                    assert!(refused.json["detail"].as_str().unwrap().contains(named), "{}", refused.text);
                }
            }
        }
        assert_eq!((app.database.number("SELECT COUNT(*) FROM rewards").await, app.money_calls()), (0, 0));
        assert_eq!(ask("/v1/rewards", "wait=5").await.status, 201, "who waits may");
        for wish in ["respond-async", "wait=0"] {
            let again = ask("/v1/rewards", wish).await;
            assert_eq!((again.status, &again.json["status"]), (200, &json!("issued")), "known: {}", again.text);
        }
        app.end().await;
    }

    async fn while_the_database_is_slow_no_answer_speaks_of_another_command(backend: Backend) {
        let app = App::spawn(backend).await;
        assert_eq!(app.issue("used", "5.00").await.status, 201);
        let hold = app.database.hold_writes().await;
        let hurried = async |key: &str, amount: &str| {
            let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", key).header("Prefer", "respond-async");
            Answer::of(with_json(request, &order(amount))).await
        };
        hurried("used", "6.00").await.is_problem(422, "idempotency-mismatch");
        let same = hurried("used", "5.00").await;
        assert_eq!((same.status, &same.json["status"]), (200, &json!("issued")), "201 is for a code in hand: {}", same.text);
        let unknown = hurried("new", "7.00").await;
        unknown.is_problem(503, "dependency-unavailable");
        assert_eq!((&unknown.json["retryable"], &unknown.json["money_moved"]), (&json!(true), &json!("unknown")));
        hold.release().await;
        assert!(app.metrics().await.contains("\nnoshi_requests_unrecorded_total 1\n"), "whoever runs it is told as well");
        let again = app.issue("new", "7.00").await;
        app.until(again.id(), "issued").await;
        assert_eq!(app.control.book().len(), 2, "what was begun is finished, once");
        books_match(&app).await;
        app.end().await;
    }

    async fn the_next_page_has_the_same_filters_and_goes_on_where_this_one_ended(backend: Backend) {
        let app = App::spawn(backend).await;
        for at in 0..5 {
            app.issue(&format!("page-{at}"), "1.00").await;
        }
        app.strike_next(refusal("F200", "GeneralError"));
        app.issue("refused", "1.00").await;
        let (mut path, mut seen) = ("/v1/rewards?status=issued&limit=2".to_owned(), Vec::new());
        loop {
            let page = app.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            seen.extend(page.json["data"].as_array().unwrap().iter().map(|reward| reward["id"].to_string()));
            let Some(link) = page.header("link").strip_prefix('<') else { break };
            let (next, rel) = link.split_once(">; ").unwrap();
            assert_eq!(rel, "rel=\"next\"");
            assert!(next.contains("status=issued") && next.contains("limit=2"), "{next}");
            path = next.to_owned();
        }
        let all: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), all.len()), (5, 5), "each once, and the refused one not at all");
        app.end().await;
    }
}
