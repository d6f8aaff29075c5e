//! Callers who put codes and secrets where they do not belong: in bodies that are wrong in every way, in names, paths,
//! queries and headers, in keys that open nothing, in requests that are none.

use reqwest::RequestBuilder;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Drive;
use crate::support::{Answer, App};

/// A code that no book has; each has its own, so that a leak names its way.
fn planted(drive: &mut Drive, turn: usize) -> String {
    let code = format!("PL{turn:02}-CANARY-ZQ{turn:02}");
    drive.planted.push(code.clone());
    code
}

/// Bodies with a code in the wrong place. All are refused.
const BODIES: [&str; 22] = [
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"CODE":1}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"claim_code":"CODE"}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD","CODE":"CODE"}}"#,
    r#"{"kind":"gift_code","value":"CODE"}"#,
    r#"{"kind":"CODE","value":{"amount":"5.00","currency_code":"USD"}}"#,
    r#"{"kind":["CODE"],"value":{"amount":"5.00","currency_code":"USD"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"CODE","currency_code":"USD"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"CODE"}}"#,
    r#"{"kind":"gift_code","value":{"amount":{"CODE":"CODE"},"currency_code":"USD"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"account_id":"CODE"}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"on_unresolved":"CODE"}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"external_id":"CODE"}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"external_id":"for CODE."}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"metadata":{"CODE":"x"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"metadata":{"x":"CODE"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"metadata":{"x":{"y":"CODE"}}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"},"metadata":"CODE"}"#,
    r#"{"kind":"gift_code","kind":"CODE","value":{"amount":"5.00","currency_code":"USD"}}"#,
    r#"{"kind":"gift_code","value":{"amount":"5.00","currency_code":"USD"}} CODE"#,
    r#"{"kind":"gift_code","CODE"#,
    r#""CODE""#,
    "CODE",
];

/// A caller's trace that is recorded.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Drives them all.
pub(super) async fn callers(app: &App, drive: &mut Drive) {
    let mut turn = 0;
    for body in BODIES {
        turn += 1;
        let body = body.replace("CODE", &planted(drive, turn));
        for path in ["/v1/rewards", "/v1/rewards/validate"] {
            refused(drive, issue(app, path).body(body.clone())).await;
        }
    }
    for (path, body) in
        [("cancel", r#"{"reason":"CODE"}"#), ("reveal", r#"{"reason":"CODE"}"#), ("reveal", r#"{"CODE":1}"#)]
    {
        turn += 1;
        let body = body.replace("CODE", &planted(drive, turn));
        let path = format!("/v1/rewards/rwd_00000000000000000000000000000000/{path}");
        refused(drive, issue(app, &path).body(body)).await;
    }
    for path in [
        "/v1/rewards/CODE",
        "/v1/rewards/CODE/events",
        "/v1/balances/CODE",
        "/v1/statements/CODE/2026-10",
        "/v1/statements/main/CODE",
        "/v1/ledger-entries?kind=CODE",
        "/v1/ledger-entries?program_id=CODE",
        "/CODE",
        "/v1/rewards?status=CODE",
        "/v1/rewards?CODE=1",
        "/v1/rewards?cursor=CODE",
        "/v1/rewards?limit=CODE",
        "/v1/rewards?created_from=CODE",
    ] {
        turn += 1;
        let path = path.replace("CODE", &planted(drive, turn));
        refused(drive, app.request("GET", &path)).await;
    }
    headers(app, drive, &mut turn).await;
    wrong_keys(app, drive, &mut turn).await;
    no_requests(app, drive, &mut turn).await;
}

fn issue(app: &App, path: &str) -> RequestBuilder {
    app.request("POST", path).header("Idempotency-Key", "hostile").header("Content-Type", "application/json")
}

async fn refused(drive: &mut Drive, request: RequestBuilder) {
    let answer = Answer::of(request).await;
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text);
    drive.bare(&answer);
}

/// Codes in headers: of requests that are refused, and of one that is not.
async fn headers(app: &App, drive: &mut Drive, turn: &mut usize) {
    for name in
        ["X-Request-Id", "User-Agent", "Cookie", "Traceparent", "Prefer", "Accept", "Content-Encoding", "X-Api-Key"]
    {
        *turn += 1;
        let code = planted(drive, *turn);
        drive.bare(&Answer::of(app.request("GET", "/v1/ping").header(name, &code)).await);
        drive.bare(&Answer::of(issue(app, "/v1/rewards").header(name, &code).body("{}")).await);
    }
    // Beside a good trace context these are the caller's to fill.
    for name in ["Tracestate", "Baggage"] {
        *turn += 1;
        let value = format!("vendor={}", planted(drive, *turn));
        let request = app.request("GET", "/v1/ping").header("Traceparent", TRACEPARENT).header(name, &value);
        drive.bare(&Answer::of(request).await);
    }
    *turn += 1;
    let code = planted(drive, *turn);
    refused(drive, app.request("POST", "/v1/rewards").header("Content-Type", &code).body("{}")).await;
    // The idempotency key is the caller's secret, too: a hash of it is all that is kept.
    *turn += 1;
    let key = planted(drive, *turn);
    let body = json!({"kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}});
    for _ in 0..2 {
        let answer = app.issue_body(&key, body.clone()).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
        drive.may_carry(&answer);
    }
}

/// Keys that open nothing: malformed, unknown, of a known id with another secret, in another scheme, twice.
async fn wrong_keys(app: &App, drive: &mut Drive, turn: &mut usize) {
    let good = app.key.clone();
    let (id, secret) = good.rsplit_once('_').unwrap();
    // Well-formed, and wrong in its first character alone.
    let first = if secret.starts_with('z') { "y" } else { "z" };
    let wrong_secret = format!("{first}{}", secret.chars().skip(1).collect::<String>());
    drive.planted.push(wrong_secret.clone());
    *turn += 1;
    let code = planted(drive, *turn);
    let url = format!("{}/v1/ping", app.base);
    for value in [
        format!("Bearer {id}_{wrong_secret}"),
        format!("Bearer nsk_{}_{wrong_secret}", "0".repeat(32)),
        format!("Bearer {code}"),
        format!("Basic {code}"),
        format!("bearer  {good} {code}"),
        good.clone(),
        format!("AWS4-HMAC-SHA256 Credential={code}"),
        String::new(),
    ] {
        refused(drive, app.http.get(&url).header("Authorization", value)).await;
    }
    refused(drive, app.http.get(&url).bearer_auth(&good).header("Authorization", format!("Bearer {code}"))).await;
    refused(drive, app.http.get(format!("{url}?key={good}"))).await;
}

/// What is no request at all, with a code and a key in it.
async fn no_requests(app: &App, drive: &mut Drive, turn: &mut usize) {
    for address in [&app.base, &app.admin] {
        for head in [
            "GET /CODE HTTP/9.9\r\nAuthorization: Bearer KEY\r\n\r\n",
            "CODE / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n\r\n",
            "POST /v1/rewards HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: CODE\r\n\r\n",
            "POST /v1/rewards HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nTransfer-Encoding: chunked\r\n\r\nCODE\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nBad Header CODE: KEY\r\n\r\n",
            "GET /%zz%CODE HTTP/1.1\r\nHost: CODE\r\nAuthorization: Bearer KEY\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nExpect: CODE\r\n\r\nCODE",
        ] {
            *turn += 1;
            let head = head.replace("CODE", &planted(drive, *turn)).replace("KEY", &app.key);
            let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = Vec::new();
            let read = tokio::time::timeout(std::time::Duration::from_secs(10), stream.read_to_end(&mut said)).await;
            assert!(read.is_ok(), "no end to the answer to {head}");
            drive.bare.extend_from_slice(&said);
        }
    }
}
