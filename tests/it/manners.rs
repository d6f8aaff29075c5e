//! What clients of other ages and habits get: HEAD, HTTP/1.0, `Accept`, and queries that are encoded in another way.

use std::collections::BTreeMap;

use noshi::sandbox::{FaultRule, Operation};
use serde_json::json;

use crate::{
    bad_input::{
        access::ROUTES,
        wire::{exchange, talk},
    },
    support::{Answer, App, Backend, faults::refusal, on_each_backend, with_json},
};

/// An answer as it came, up to the connection's end.
struct Raw {
    status: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Raw {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head: {text}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().to_owned();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    /// The headers that two answers to the same question share.
    fn lasting(mut self) -> (String, BTreeMap<String, String>) {
        for name in ["date", "ratelimit", "retry-after", "x-request-id"] {
            self.headers.remove(name);
        }
        (self.status, self.headers)
    }
}

async fn api(app: &App, method: &str, target: &str, more: &str) -> Raw {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\n");
    let answer = exchange(app, format!("{head}{more}Connection: close\r\n\r\n").as_bytes(), false).await;
    Raw::of(&answer)
}

async fn admin(app: &App, method: &str, target: &str) -> Raw {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n");
    Raw::of(&talk(app.admin.trim_start_matches("http://"), request.as_bytes(), false).await)
}

/// Load balancers and uptime checks ask by HEAD.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_answered_as_get_is_without_the_body_on_both_ports() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let issued = app.issue("one", "5.00").await;
    let read = ROUTES.iter().filter(|(_target, methods)| methods.starts_with("GET"));
    let mut targets: Vec<String> = read.map(|(target, _methods)| (*target).to_owned()).collect();
    targets.push(format!("/v1/rewards/{}", issued.id()));
    targets.push("/v1/rewards?limit=0".to_owned());
    targets.push("/nowhere".to_owned());
    for target in &targets {
        let (get, head) = (api(&app, "GET", target, "").await, api(&app, "HEAD", target, "").await);
        assert!(!get.body.is_empty() && head.body.is_empty(), "{target}: {}", head.body);
        let (mut get, mut head) = (get.lasting(), head.lasting());
        if target == "/v1/events" || target.starts_with("/v1/balances") {
            // They move by themselves.
            assert!(get.1.remove("content-length").is_some() && head.1.remove("content-length").is_some());
        }
        assert_eq!(get, head, "{target}");
    }
    for target in ["/livez", "/readyz", "/log-filter", "/nowhere", "/metrics"] {
        let (get, head) = (admin(&app, "GET", target).await, admin(&app, "HEAD", target).await);
        assert!(!get.body.is_empty() && head.body.is_empty(), "{target}: {}", head.body);
        let (mut get, mut head) = (get.lasting(), head.lasting());
        if target == "/metrics" {
            assert!(get.1.remove("content-length").is_some() && head.1.remove("content-length").is_some());
        }
        assert_eq!(get, head, "{target}");
    }
    // The connection goes on where the head ends, also where the next request is there before that.
    let close = "Host: noshi\r\nConnection: close\r\n\r\n";
    let two = format!("HEAD /readyz HTTP/1.1\r\nHost: noshi\r\n\r\nGET /livez HTTP/1.1\r\n{close}");
    let answers = talk(app.admin.trim_start_matches("http://"), two.as_bytes(), false).await;
    let answers = String::from_utf8(answers).unwrap();
    let (head, rest) = answers.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-length: 3"), "{answers}");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nok\n"), "{answers}");
    assert!(app.stop().await);
    app.end().await;
}

const STREAMS: [&str; 2] = ["text/csv", "application/x-ndjson"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_stream_reads_nothing_and_keeps_the_connection() {
    let app = App::spawn(Backend::Sqlite).await;
    app.issue("one", "5.00").await;
    for kind in STREAMS {
        let ask = format!(
            "HEAD /v1/ledger-entries HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nAccept: {kind}\r\n\r\n\
             GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nConnection: close\r\n\r\n"
        );
        let answers = String::from_utf8(exchange(&app, ask.as_bytes(), false).await).unwrap();
        let (head, ping) = answers.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(ping.starts_with("HTTP/1.1 200 OK\r\n"), "nothing lies between: {answers}");
    }
    app.end().await;
}

/// A client of HTTP/1.0 knows no chunks: their lengths would be a part of its file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_by_http_1_0_has_no_frames_and_ends_with_the_connection() {
    let app = App::spawn(Backend::Sqlite).await;
    app.until_number("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'opening'", 1).await;
    app.issue("one", "5.00").await;
    for kind in STREAMS {
        let whole = Answer::of(app.request("GET", "/v1/ledger-entries").header("Accept", kind)).await;
        for more in ["", "Connection: keep-alive\r\n"] {
            let ask = format!(
                "GET /v1/ledger-entries HTTP/1.0\r\nAuthorization: Bearer @KEY@\r\nAccept: {kind}\r\n{more}\r\n"
            );
            let answer = Raw::of(&exchange(&app, ask.as_bytes(), false).await);
            assert_eq!(answer.status, "HTTP/1.0 200 OK", "{kind}");
            for name in ["transfer-encoding", "content-length", "connection"] {
                assert_eq!(answer.headers.get(name), None, "{kind} {more}");
            }
            assert_eq!(answer.body, whole.text, "{kind} {more}");
        }
    }
    // What has a length keeps the connection of a caller who asks for that.
    let ping = "GET /v1/ping HTTP/1.0\r\nAuthorization: Bearer @KEY@\r\n";
    let kept = format!("{ping}Connection: keep-alive\r\n\r\n");
    let answers = exchange(&app, format!("{kept}{kept}{ping}\r\n").as_bytes(), false).await;
    assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.0 200 OK\r\n").count(), 3);
    // A client of HTTP/1.0 cannot understand `100 Continue`, so that it gets none (RFC 9110, 10.1.1).
    let order = json!({"kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}}).to_string();
    let post = format!(
        "POST /v1/rewards HTTP/1.0\r\nAuthorization: Bearer @KEY@\r\nIdempotency-Key: old\r\nExpect: 100-continue\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
        order.len()
    );
    assert_eq!(Raw::of(&exchange(&app, post.as_bytes(), false).await).status, "HTTP/1.0 201 Created");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_not_sent_to_who_refuses_it() {
    let app = App::spawn(Backend::Sqlite).await;
    for (accept, kind) in [
        ("text/csv;q=0", "application/json"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
        ("*/*", "application/json"),
        ("text/csv;q=0, application/x-ndjson;q=0.1", "application/x-ndjson"),
    ] {
        let answer = api(&app, "GET", "/v1/ledger-entries", &format!("Accept: {accept}\r\n")).await;
        assert_eq!(answer.headers["content-type"], kind, "{accept}");
    }
    app.end().await;
}

/// A client may percent-encode any letter of a query, also of a parameter's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_to_the_next_page_however_its_client_encodes() {
    let app = App::spawn(Backend::Sqlite).await;
    let order = |key: usize| {
        json!({"kind": "gift_code", "value": {"amount": "1.00", "currency_code": "USD"},
        "external_id": format!("a&b=c+d %{key}")})
    };
    for key in 0..3 {
        assert_eq!(app.issue_body(&key.to_string(), order(key)).await.status, 201);
    }
    let page = |target: String| {
        let app = &app;
        async move { api(app, "GET", &target, "").await }
    };
    let next = |answer: &Raw| {
        let link = answer.headers.get("link").unwrap_or_else(|| panic!("no link: {}", answer.body));
        link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap().to_owned()
    };
    let ids = |answer: &Raw| -> Vec<String> {
        let page: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        page["data"].as_array().unwrap().iter().map(|one| one["external_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = page("/v1/rewards?%6cimit=1&kind=gift%5Fcode".to_owned()).await;
    let second = page(next(&first)).await;
    // The same page's cursor again, its name encoded.
    let third = page(next(&second).replace("cursor=", "%63ursor=")).await;
    assert_eq!([ids(&first), ids(&second), ids(&third)].concat(), ["a&b=c+d %2", "a&b=c+d %1", "a&b=c+d %0"]);
    let after = next(&third);
    assert_eq!(after.matches("ursor=").count(), 1, "{after}");
    assert_eq!(ids(&page(after).await), Vec::<String>::new());
    let one = page("/v1/rewards?limit=1&external_id=a%26b%3dc%2Bd+%252".to_owned()).await;
    assert_eq!(ids(&one), ["a&b=c+d %2"]);
    assert_eq!(page(next(&one)).await.status, "HTTP/1.1 200 OK");
    app.end().await;
}

on_each_backend! {
    async fn a_slash_behind_a_path_means_the_path_and_a_balancer_is_answered_on_the_api_port(backend: Backend) {
        let app = App::spawn(backend).await;
        let body = serde_json::json!({"kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}});
        let issue = app.request("POST", "/v1/rewards/").header("Idempotency-Key", "slashed");
        let issued = Answer::of(with_json(issue, &body)).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        assert_eq!(app.issue("slashed", "5.00").await.id(), issued.id(), "it is the same request");
        let read = app.get(&format!("/v1/rewards/{}/", issued.id())).await;
        assert_eq!((read.status, read.id()), (200, issued.id()));
        app.get("/v1/rewards//").await.is_problem(404, "not-found");
        let ping = app.get("/v1/ping/").await;
        assert_eq!((&ping.json["version"], &ping.json["api_versions"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(["v1"])));
        let health = Answer::of(app.anonymous("GET", "/healthz")).await;
        assert_eq!((health.status, health.text.as_str()), (200, "ok\n"));
        app.end().await;
    }

    /// What a caller does next is one word.
    async fn a_problem_says_when_the_same_request_can_succeed(backend: Backend) {
        let app = App::spawn(backend).await;
        let bad = app.issue("bad", "5.0").await;
        assert_eq!((bad.status, &bad.json["retry"]), (422, &json!("never")));
        let mut rule = FaultRule::always(refusal("F300", "InsufficientFunds"));
        rule.operation = Some(Operation::CreateGiftCard);
        app.control.script(rule).unwrap();
        let poor = app.issue("poor", "5.00").await;
        assert_eq!((poor.status, &poor.json["retry"], &poor.json["retryable"]), (402, &json!("after_funding"), &json!(true)));
        app.end().await;
    }
}
