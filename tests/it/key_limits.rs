//! What one key may ask of a replica, and what its answers say of that.

use noshi::identity::Scopes;
use serde_json::json;

use crate::support::{Answer, App, Backend, Shape, on_each_backend, order, scope, wait::until, with_json};

async fn with_key(app: &App, key: &str, path: &str) -> Answer {
    Answer::of(app.http.get(format!("{}{path}", app.base)).bearer_auth(key)).await
}

async fn issue_with(app: &App, key: &str, intent: &str) -> Answer {
    let request = app.http.post(format!("{}/v1/rewards", app.base)).bearer_auth(key).header("Idempotency-Key", intent);
    Answer::of(with_json(request, &order("1.00"))).await
}

/// Fails unless the key asked too much by this policy.
fn is_limited(answer: &Answer, policy: &str) {
    answer.is_problem(429, "rate-limited");
    assert_eq!(answer.json["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(answer.json["violated-policies"], json!([policy]), "{}", answer.text);
    assert_eq!((&answer.json["retryable"], &answer.json["money_moved"]), (&json!(true), &json!("no")));
    assert!(answer.header("ratelimit").contains(&format!("\"{policy}\";r=0")), "{:?}", answer.headers);
}

on_each_backend! {
    async fn a_key_that_asks_too_much_is_refused_and_no_other_key_is(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__SERVER__KEY_WRITES_PER_MINUTE", 3)).await;
        let (_client, other) = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await;
        for left in [2, 1, 0] {
            let issued = app.issue(&format!("order-{left}"), "1.00").await;
            assert_eq!(issued.status, 201, "{}", issued.text);
            let policies = "\"write\";q=3;w=60, \"at-once\";q=192;qu=\"concurrent-requests\"";
            assert_eq!(issued.header("ratelimit-policy"), policies);
            assert!(issued.header("ratelimit").starts_with(&format!("\"write\";r={left};t=")), "{:?}", issued.headers);
            assert!(issued.header("ratelimit").ends_with(", \"at-once\";r=191"), "{:?}", issued.headers);
        }
        let rows = app.database.number("SELECT COUNT(*) FROM rewards").await;
        let calls = app.money_calls();
        // Before anything is looked at: the same order again, a new one, and what is no order.
        for (key, body) in [("order-1", order("1.00")), ("order-4", order("1.00")), ("order-5", json!({"odd": 1}))] {
            let refused = app.issue_body(key, body).await;
            is_limited(&refused, "write");
            assert!((1..=20).any(|least| refused.is_spread_over(least)), "{:?}", refused.headers);
        }
        assert_eq!((app.database.number("SELECT COUNT(*) FROM rewards").await, app.money_calls()), (rows, calls));
        let read = app.get("/v1/rewards").await;
        assert_eq!((read.status, read.header("ratelimit").starts_with("\"read\";r=11999;t=1")), (200, true), "{:?}", read.headers);
        assert_eq!(issue_with(&app, &other, "order-6").await.status, 201, "another key, of the same client");
        app.advance(21);
        assert_eq!(app.issue("order-4", "1.00").await.status, 201, "one is there again");
        is_limited(&app.issue("order-7", "1.00").await, "write");
        let page = app.metrics().await;
        for series in [r#"policy="write"} 4"#, r#"policy="read"} 0"#, r#"policy="reveal"} 0"#, r#"policy="at-once"} 0"#] {
            assert!(page.contains(&format!("noshi_key_limit_refusals_total{{{series}")), "{series}");
        }
        app.end().await;
    }

    async fn a_key_has_so_many_answered_at_once_and_the_others_have_theirs(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__SERVER__KEY_REQUESTS_AT_ONCE", 2)).await;
        let (_client, other) = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await;
        for key in ["slow-1", "slow-2"] {
            app.strike(key, noshi::sandbox::Fault::Delay { milliseconds: 3000 }, 1);
        }
        let look = async {
            app.until_number("SELECT COUNT(*) FROM rewards", 2).await;
            let refused = app.get("/v1/ping").await;
            is_limited(&refused, "at-once");
            assert!(refused.is_spread_over(1), "{:?}", refused.headers);
            assert_eq!(with_key(&app, &other, "/v1/ping").await.status, 200);
        };
        let (one, two, ()) = tokio::join!(app.issue("slow-1", "1.00"), app.issue("slow-2", "1.00"), look);
        assert_eq!((one.status, two.status), (201, 201), "{} {}", one.text, two.text);
        until("the places are free again", async || app.get("/v1/ping").await.status == 200).await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reveals_have_a_policy_of_their_own_and_strangers_have_none() {
    let app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__KEY_REVEALS_PER_MINUTE", 1)).await;
    let issued = app.issue("one", "1.00").await;
    assert_eq!(app.reveal(issued.id()).await.code(), issued.code());
    is_limited(&app.reveal(issued.id()).await, "reveal");
    assert_eq!(app.issue("one", "1.00").await.code(), issued.code(), "the order's own key is no reveal");
    // A key without the scope uses up what it may all the same; a stranger has no key that could.
    let (_client, narrow) = app.mint_key("tests", Scopes::new([scope("programs:read")])).await;
    let refused = with_key(&app, &narrow, "/v1/rewards").await;
    refused.is_problem(403, "insufficient-scope");
    assert!(refused.header("ratelimit").starts_with("\"read\";r=11999"), "{:?}", refused.headers);
    let stranger = with_key(&app, "nsk_nobody", "/v1/rewards").await;
    stranger.is_problem(401, "unauthorized");
    assert!(!stranger.headers.contains_key("ratelimit") && !stranger.headers.contains_key("ratelimit-policy"));
    app.end().await;
}
