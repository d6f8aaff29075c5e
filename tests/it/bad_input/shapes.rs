//! What answers must have whatever they answer, and which port answers what.

use super::{
    Case, service,
    wire::{Draft, Reply, exchange, talk},
};
use crate::support::{App, Backend};

/// The admin port has no callers whose requests are traced.
const WITHOUT_ID: [&str; 2] = ["there is no X-Request-Id", "the document has another request id"];

async fn admin(app: &App, target: &str, method: &str) -> Reply {
    let bytes = format!("{method} {target} HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n");
    let answer = talk(app.admin.trim_start_matches("http://"), bytes.as_bytes(), false).await;
    Reply::all(&answer, false).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_port_serves_its_own_routes_only() {
    let app = service(Backend::Sqlite).await;
    for target in ["/livez", "/readyz", "/metrics", "/admin", "/debug", "/healthz/ready"] {
        let case = Case::new(target, &Draft::get(target), 404, "not-found");
        assert_eq!(case.judge(&exchange(&app, &case.bytes, false).await), Vec::<String>::new(), "{target}");
    }
    for target in ["/v1/ping", "/v1/rewards", "/v1/rewards/validate", "/v1/balances", "/v1/catalog", "/zqcanary"] {
        for method in ["GET", "POST"] {
            let reply = admin(&app, target, method).await;
            assert_eq!((reply.status, reply.json["code"].as_str()), (404, Some("not-found")), "{target}");
            assert_eq!(reply.complaints("not-found"), WITHOUT_ID, "{target}");
        }
    }
    for target in ["/livez", "/readyz", "/metrics"] {
        let reply = admin(&app, target, "GET").await;
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(reply.header("server"), None);
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{target}");
        for method in ["POST", "PUT", "DELETE", "TRACE", "ZQCANARY"] {
            let reply = admin(&app, target, method).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("get, head")), "{method} {target}");
            assert_eq!(reply.complaints("method-not-allowed"), WITHOUT_ID, "{method} {target}");
        }
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_would_be_allowed() {
    let app = service(Backend::Sqlite).await;
    let one = |draft: Draft| {
        let app = &app;
        async move { Reply::all(&exchange(app, &draft.bytes(), false).await, false).remove(0) }
    };
    let refused = one(Draft::get("/v1/rewards").method("DELETE")).await;
    assert_eq!(refused.header("allow"), Some("get, head, post"));
    let refused = one(Draft::get("/v1/rewards/validate")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("post")));
    let refused = one(Draft::get("/v1/ping").without("Authorization")).await;
    assert_eq!(refused.header("www-authenticate"), Some("bearer realm=\"noshi\", error=\"invalid_token\""));
    // An answer to HEAD has the headers and no body.
    let head = Draft::get("/v1/ping").method("HEAD").bytes();
    let answer = exchange(&app, &head, false).await;
    assert!(answer.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&answer));
    // Which field is wrong is said by name, when the name is ours.
    for (body, pointer) in [
        (r#"{"kind":1}"#, "/kind"),
        (r#"{"value":{"amount":1}}"#, "/value/amount"),
        (r#"{"metadata":{"zqcanary":1}}"#, "/metadata"),
        (r#"{"value":{"zqcanary":1}}"#, "/value"),
        (r#"{"zqcanary":1}"#, ""),
    ] {
        let refused = one(Draft::issue().body(body)).await;
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    app.end().await;
}

/// A caller's request id is for tracing, and is logged: a code in its place would be logged too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_that_is_a_claim_code_is_not_taken() {
    let app = service(Backend::Sqlite).await;
    for (theirs, taken) in [
        ("order-2026-000123", true),
        ("0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10", true),
        ("abcd-efghjk-lmnp", false),
        ("for-abcd-efghjk-lmnpq", false),
    ] {
        let draft = Draft::get("/v1/ping").header("X-Request-Id", theirs);
        let reply = Reply::all(&exchange(&app, &draft.bytes(), false).await, false).remove(0);
        assert_eq!(reply.header("x-request-id") == Some(theirs), taken, "{theirs}");
    }
    app.end().await;
}
