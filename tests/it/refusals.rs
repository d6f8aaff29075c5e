//! What is refused, by us or by Amazon for good: the right problem, nothing bought, and what the same key does next.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use noshi::{
    identity::{Scope, Scopes},
    provider::incentives::ErrorType,
};
use serde_json::{Value, json};

use crate::support::{
    Answer, App, Backend, Shape, books::books_match, but_for_all_rewards, faults::refusal, on_each_backend, order,
    refused::expected, scope, with_json,
};

/// Every errorType that we know, and one that we do not.
fn error_types() -> impl Iterator<Item = &'static str> {
    ErrorType::ALL.iter().map(|word| word.as_str()).filter(|word| *word != "Other").chain(["NeverHeardOf"])
}

/// What is told of an errorType: its word where we know it, never Amazon's own text.
fn told(error_type: &str) -> &str {
    if error_type == "NeverHeardOf" { "Other" } else { error_type }
}

/// The text of an answer without what differs between any two requests.
fn without_request_id(answer: &Answer) -> String {
    answer.text.replace(answer.header("x-request-id"), "")
}

/// Every route that needs a scope, with the scope.
fn routes(id: &str) -> [(&'static str, String, Scope); 12] {
    let reward = format!("/v1/rewards/{id}");
    [
        ("POST", "/v1/rewards".to_owned(), scope("rewards:write")),
        ("POST", "/v1/rewards/validate".to_owned(), scope("rewards:write")),
        ("GET", "/v1/rewards".to_owned(), scope("rewards:read")),
        ("GET", "/v1/catalog".to_owned(), scope("rewards:read")),
        ("GET", reward.clone(), scope("rewards:read")),
        ("GET", format!("{reward}/events"), scope("rewards:read")),
        ("POST", format!("{reward}/cancel"), scope("rewards:cancel")),
        ("POST", format!("{reward}/reveal"), scope("claim_codes:reveal")),
        ("GET", "/v1/balances".to_owned(), scope("balances:read")),
        ("GET", "/v1/balances/main".to_owned(), scope("balances:read")),
        ("POST", "/v1/balances/main/refresh".to_owned(), scope("balances:read")),
        ("GET", "/v1/statements/main/2026-01".to_owned(), scope("ledger:read")),
    ]
}

/// A good request to a route under this key.
async fn call(app: &App, key: &str, method: &str, path: &str) -> Answer {
    let request = app.http.request(method.parse().unwrap(), format!("{}{path}", app.base)).bearer_auth(key);
    let request = request.header("Idempotency-Key", "call");
    Answer::of(match (method, path.ends_with("cancel") || path.ends_with("reveal")) {
        ("POST", true) => with_json(request, &json!({"reason": "test"})),
        ("POST", false) => with_json(request, &order("5.00")),
        _ => request,
    })
    .await
}

fn only(scope: Scope) -> Scopes {
    Scopes::new([scope])
}

fn all() -> Scopes {
    but_for_all_rewards()
}

/// A second and a third account, so that a command can name another one.
fn three_accounts() -> Shape {
    let shape = Shape::default();
    [("TWIN", "Twin", "US"), ("TOKYO", "Tokyo", "JP")].into_iter().fold(shape, |shape, (name, partner, marketplace)| {
        [
            ("PARTNER_ID", partner),
            ("MARKETPLACE", marketplace),
            ("ENVIRONMENT", "sandbox"),
            // Nothing listens there: these accounts buy nothing.
            ("SANDBOX_GATEWAY", "127.0.0.1:1"),
            ("ACCESS_KEY_ID", "AKIDOTHER"),
            ("SECRET_ACCESS_KEY", "other-secret"),
        ]
        .into_iter()
        .fold(shape, |shape, (key, value)| shape.with(format!("NOSHI__ACCOUNTS__{name}__{key}"), value))
    })
}

on_each_backend! {
    async fn a_refusal_of_the_request_is_the_same_problem_for_ever_and_is_never_sent_again(backend: Backend) {
        let app = App::spawn(backend).await;
        for error_type in error_types() {
            app.strike_next(refusal("F200", error_type));
            let (status, code) = expected("F200", error_type);
            let refused = app.issue(error_type, "10.00").await;
            refused.is_refusal(status, code, ("F200", told(error_type)));
            assert_eq!(app.read(refused.reward_id()).await["status"], "failed");
            let sent = app.received("Create").len();
            let again = app.issue(error_type, "10.00").await;
            assert_eq!(without_request_id(&again), without_request_id(&refused));
            assert_eq!(app.received("Create").len(), sent, "nothing was sent");
            app.cancel(refused.reward_id()).await.is_problem(409, "invalid-state");
            app.reveal(refused.reward_id()).await.is_problem(409, "invalid-state");
        }
        assert!(app.received("Cancel").is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn a_refusal_of_the_account_is_tried_again_by_the_same_key_with_the_same_id_and_buys_one_card(backend: Backend) {
        let app = App::spawn(backend).await;
        for error_type in error_types() {
            app.strike_next(refusal("F300", error_type));
            let (status, code) = expected("F300", error_type);
            let refused = app.issue(error_type, "10.00").await;
            refused.is_refusal(status, code, ("F300", told(error_type)));
            assert_eq!(app.read(refused.reward_id()).await["status"], "failed");
            app.control.clear_requests();
            let bought = app.issue(error_type, "10.00").await;
            assert_eq!((bought.status, bought.id()), (201, refused.reward_id()), "{}", bought.text);
            let sent = app.received("Create");
            assert_eq!(sent.len(), 1);
            assert_eq!(sent[0].creation_request_id.as_deref(), Some(app.amazon_id(error_type).as_str()));
            assert_eq!(app.live_cards().last().unwrap().claim_code, bought.code());
        }
        assert_eq!(app.control.book().len(), error_types().count());
        books_match(&app).await;
        app.end().await;
    }

    async fn insufficient_funds_move_no_money_and_the_same_key_buys_once_the_account_is_funded(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 10, ..Shape::default() }).await;
        let refused = app.issue("poor", "10.01").await;
        refused.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        app.issue("poor", "10.01").await.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        assert!(app.control.book().is_empty());
        books_match(&app).await;
        app.set_funds(1000);
        let bought = app.issue("poor", "10.01").await;
        assert_eq!((bought.status, bought.id(), bought.code()), (201, refused.reward_id(), app.live_cards()[0].claim_code.as_str()));
        assert_eq!(
            app.events(bought.id()).await,
            ["reward.received", "reward.failed", "attempt.sent", "reward.failed", "attempt.sent", "reward.issued"]
        );
        books_match(&app).await;
        app.end().await;
    }

    async fn one_key_with_another_command_is_refused_and_nothing_is_sent(backend: Backend) {
        let app = App::shaped(backend, three_accounts()).await;
        let base = json!({
            "kind": "gift_code", "account_id": "main", "value": {"amount": "10.00", "currency_code": "USD"},
            "external_id": "order-1", "metadata": {"tier": "gold", "n": "1"}, "on_unresolved": "keep",
        });
        let bought = app.issue_body("key", base.clone()).await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        let others = [
            ("/value", json!({"amount": "10.01", "currency_code": "USD"})),
            ("/value", json!({"amount": "2000.01", "currency_code": "USD"})),
            ("/value", json!({"amount": "10.00", "currency_code": "EUR"})),
            ("/value", json!({"amount": "10", "currency_code": "JPY"})),
            ("/account_id", json!("twin")),
            ("/account_id", json!("nobody")),
            ("/external_id", json!("order-2")),
            ("/external_id", Value::Null),
            ("/metadata", json!({"tier": "gold"})),
            ("/metadata", json!({"tier": "silver", "n": "1"})),
            ("/metadata", Value::Null),
            ("/on_unresolved", json!("cancel")),
        ];
        for (member, value) in others {
            let mut body = base.clone();
            *body.pointer_mut(member).unwrap() = value;
            let refused = app.issue_body("key", body).await;
            refused.is_problem(422, "idempotency-mismatch");
            assert_eq!((&refused.json["retryable"], &refused.json["money_moved"]), (&json!(false), &json!("no")));
        }
        assert_eq!(app.received("Create").len(), 1, "nothing was sent");
        let same = json!({
            "on_unresolved": "keep", "metadata": {"n": "1", "tier": "gold"}, "external_id": "order-1",
            "value": {"currency_code": "USD", "amount": "10.00"}, "account_id": "main", "kind": "gift_code",
        });
        assert_eq!(app.issue_body("key", same).await.code(), bought.code(), "the order of members means nothing");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_key_finds_its_reward_although_the_settings_would_refuse_it_today(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let bought = app.issue("before", "500.00").await;
        assert_eq!(bought.status, 201);
        app.restart_with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "100.00").await;
        app.issue("after", "500.00").await.is_problem(422, "amount-out-of-range");
        let again = app.issue("before", "500.00").await;
        assert_eq!((again.status, again.id(), again.code()), (200, bought.id(), bought.code()), "{}", again.text);
        app.issue("before", "500.01").await.is_problem(422, "idempotency-mismatch");
        books_match(&app).await;
        app.end().await;
    }

    async fn an_external_id_names_one_reward_of_a_client(backend: Backend) {
        let app = App::spawn(backend).await;
        let body = json!({"kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}, "external_id": "order-7"});
        assert_eq!(app.issue_body("one", body.clone()).await.status, 201);
        let conflict = app.issue_body("two", body.clone()).await;
        conflict.is_problem(409, "external-id-conflict");
        assert_eq!((&conflict.json["retryable"], &conflict.json["money_moved"]), (&json!(false), &json!("no")));
        assert_eq!(app.received("Create").len(), 1, "nothing was sent");
        let (_client, other) = app.mint_key("other", all()).await;
        let request = app.http.post(format!("{}/v1/rewards", app.base)).bearer_auth(other).header("Idempotency-Key", "one");
        assert_eq!(Answer::of(with_json(request, &body)).await.status, 201, "another client's ids are its own");
        books_match(&app).await;
        app.end().await;
    }

    async fn one_key_of_two_clients_buys_two_cards(backend: Backend) {
        let app = App::spawn(backend).await;
        let (_client, other) = app.mint_key("other", all()).await;
        let (_client, second) = app.mint_key("tests", all()).await;
        let ours = call(&app, &app.key, "POST", "/v1/rewards").await;
        let theirs = call(&app, &other, "POST", "/v1/rewards").await;
        let again = call(&app, &second, "POST", "/v1/rewards").await;
        assert_eq!((ours.status, theirs.status, again.status), (201, 201, 200));
        assert!(ours.id() != theirs.id() && ours.code() != theirs.code());
        assert_eq!((again.id(), again.code()), (ours.id(), ours.code()), "two keys of one client are one client");
        assert_eq!(app.control.book().len(), 2);
        books_match(&app).await;
        app.end().await;
    }

    async fn another_clients_reward_is_answered_like_one_that_does_not_exist(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("mine", "5.00").await;
        let (_client, other) = app.mint_key("other", all()).await;
        let absent = "rwd_01990000000070008000000000000000";
        let sent = app.received("Create").len();
        for ((method, foreign, _), (_, missing, _)) in routes(bought.id()).into_iter().zip(routes(absent)).skip(4).take(4) {
            let (foreign, missing) = (call(&app, &other, method, &foreign).await, call(&app, &other, method, &missing).await);
            foreign.is_problem(404, "not-found");
            assert_eq!(without_request_id(&foreign), without_request_id(&missing), "{method}");
            let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
            assert_eq!(names(&foreign), names(&missing));
        }
        let listed = call(&app, &other, "GET", "/v1/rewards").await;
        assert_eq!((listed.status, &listed.json["data"]), (200, &json!([])));
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (sent, 0), "nothing was sent");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_key_does_what_its_scopes_say_and_nothing_else(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("mine", "5.00").await;
        let sent = app.received("Create").len();
        for scope in noshi::server::scopes() {
            let (_client, key) = app.mint_key("tests", only(scope)).await;
            let others = routes(bought.id()).into_iter().filter(|(_, _, needed)| *needed != scope);
            for (method, path, needed) in others {
                let refused = call(&app, &key, method, &path).await;
                refused.is_problem(403, "insufficient-scope");
                let challenge = format!("Bearer realm=\"noshi\", error=\"insufficient_scope\", scope=\"{needed}\"");
                assert_eq!(refused.header("www-authenticate"), challenge);
            }
            assert_eq!(call(&app, &key, "GET", "/v1/ping").await.status, 200);
        }
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (sent, 0), "nothing was sent");
        for (method, path, needed) in routes(bought.id()).into_iter().rev() {
            let (_client, key) = app.mint_key("tests", only(needed)).await;
            let allowed = call(&app, &key, method, &path).await;
            assert!(matches!(allowed.status, 200 | 201), "{method} {path}: {}", allowed.text);
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn a_revoked_an_expired_an_unknown_and_a_missing_key_are_refused_alike(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (_client, revoked) = app.mint_key("tests", all()).await;
        let soon = app.ambient.now() + TimeDelta::seconds(60);
        let (_client, expired) = app.mint_key_until("tests", all(), Some(soon)).await;
        for key in [&revoked, &expired] {
            assert_eq!(call(&app, key, "GET", "/v1/ping").await.status, 200);
        }
        app.revoke_key(&revoked).await;
        app.advance(61);
        let unknown = format!("nsk_{}_{}", uuid::Uuid::max().simple(), "a".repeat(52));
        let mut wrong_secret = app.key.clone();
        let last = if wrong_secret.pop() == Some('a') { 'q' } else { 'a' };
        wrong_secret.push(last);
        let mut texts = Vec::new();
        for key in [revoked.as_str(), &expired, &unknown, &wrong_secret, "", "nsk_"] {
            for (method, path, _scope) in routes("rwd_1") {
                let refused = call(&app, key, method, &path).await;
                refused.is_problem(401, "unauthorized");
                assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"noshi\", error=\"invalid_token\"");
                texts.push(without_request_id(&refused));
            }
        }
        Answer::of(app.http.get(format!("{}/v1/ping", app.base))).await.is_problem(401, "unauthorized");
        assert!(texts.iter().all(|text| *text == texts[0]), "the reason is not told");
        assert!(app.control.book().is_empty());
        app.end().await;
    }
}
