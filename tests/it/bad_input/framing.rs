//! Messages whose ends are in doubt, and targets that are not what they seem. Nearly all of these are answered by the
//! framework, before any code of ours: its answers are pinned, so that an update that changes them is seen.

use super::{
    Case, nothing_happened, refuse_all, service,
    wire::{Draft, Reply, exchange},
};
use crate::support::Backend;

/// A good order: wherever a service takes these bytes for a whole request, it buys.
const BODY: &str = r#"{"kind":"gift_code","value":{"amount":"10.00","currency_code":"USD"}}"#;

/// The order with these lines among its headers, and then these bytes.
fn order(lines: &str, rest: &str) -> Vec<u8> {
    format!(
        "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nIdempotency-Key: framing\r\n\
         Content-Type: application/json\r\nConnection: close\r\n{lines}\r\n{rest}"
    )
    .into_bytes()
}

/// A body in one chunk.
fn chunked() -> String {
    format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len())
}

fn lengths() -> Vec<Case> {
    let n = BODY.len();
    let lines: Vec<(&str, String)> = vec![
        ("two equal lengths", format!("Content-Length: {n}\r\nContent-Length: {n}\r\n")),
        ("two lengths", format!("Content-Length: {n}\r\nContent-Length: 5\r\n")),
        ("a signed length", format!("Content-Length: +{n}\r\n")),
        ("a negative length", format!("Content-Length: -{n}\r\n")),
        ("a length in hex", "Content-Length: 0x45\r\n".to_owned()),
        ("a list of lengths", format!("Content-Length: {n}, {n}\r\n")),
        ("a length of 2^64", "Content-Length: 18446744073709551616\r\n".to_owned()),
        ("no length in the header", "Content-Length:\r\n".to_owned()),
        ("a length with a blank in it", "Content-Length: 6 9\r\n".to_owned()),
        ("a length with a fraction", format!("Content-Length: {n}.0\r\n")),
        ("a folded length", format!("Content-Length:\r\n {n}\r\n")),
        ("a blank before the colon", format!("Content-Length : {n}\r\n")),
        ("a length in other digits", "Content-Length: \u{666}\u{669}\r\n".to_owned()),
    ];
    lines.into_iter().map(|(name, lines)| Case::raw(name, order(&lines, BODY), 400, "")).collect()
}

fn codings() -> Vec<Case> {
    let n = BODY.len();
    let both = |first: String, second: String| format!("{first}\r\n{second}\r\n");
    let (length, coding) = (format!("Content-Length: {n}"), "Transfer-Encoding: chunked".to_owned());
    let mut cases: Vec<Case> = [
        ("a length, then chunked", both(length.clone(), coding.clone())),
        ("chunked, then a length", both(coding.clone(), length.clone())),
        ("chunked and a length of 0", both(coding.clone(), "Content-Length: 0".to_owned())),
        ("identity and a length", both("Transfer-Encoding: identity".to_owned(), length.clone())),
        ("chunked twice", both(coding.clone(), coding.clone())),
        ("chunked and identity", both(coding.clone(), "Transfer-Encoding: identity".to_owned())),
        ("gzip, then chunked", "Transfer-Encoding: gzip, chunked\r\n".to_owned()),
        ("chunked, then identity", "Transfer-Encoding: chunked, identity\r\n".to_owned()),
        ("almost chunked", "Transfer-Encoding: xchunked\r\n".to_owned()),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n".to_owned()),
        ("no coding in the header", "Transfer-Encoding:\r\n".to_owned()),
        ("identity alone", "Transfer-Encoding: identity\r\n".to_owned()),
        ("a vertical tab before chunked", "Transfer-Encoding: \u{b}chunked\r\n".to_owned()),
    ]
    .into_iter()
    .map(|(name, lines)| Case::raw(name, order(&lines, &chunked()), 400, ""))
    .collect();
    let old =
        String::from_utf8(order("Transfer-Encoding: chunked\r\n", &chunked())).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    cases.push(Case::raw("chunked in HTTP/1.0", old, 400, ""));
    cases
}

/// The head is good, so our handler runs and is told that the body is broken; or the framework closes before that.
fn chunks() -> Vec<Case> {
    let chunked = |rest: String| order("Transfer-Encoding: chunked\r\n", &rest);
    let sized = |size: &str| chunked(format!("{size}{BODY}\r\n0\r\n\r\n"));
    let broken = [
        ("a size that is no number", "zz\r\n"),
        ("a negative size", "-45\r\n"),
        ("a signed size", "+45\r\n"),
        ("a size beyond 2^64", "10000000000000045\r\n"),
        ("no size", "\r\n"),
        ("a size in 0x", "0x45\r\n"),
        ("a size that ends in a bare CR", "45\r"),
        ("a size that ends in a bare LF", "45\n"),
        ("a blank before the size", " 45\r\n"),
        ("a chunk that is longer than its size", "44\r\n"),
    ];
    let invalid = |name: &str, bytes: Vec<u8>| Case::raw(name, bytes, 400, "invalid-request");
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(70_000));
    broken
        .into_iter()
        .map(|(name, size)| invalid(name, sized(size)).or_closed())
        .chain([
            invalid("only the last chunk", chunked("0\r\n\r\n".to_owned())),
            // It is read no further than a request may be long, and what is read has no end.
            Case::raw("an extension of 70 kB", chunked(long), 408, "request-timeout"),
            invalid("no last chunk", chunked(format!("45\r\n{BODY}\r\n"))).half_closed(),
            invalid("a body shorter than its length", order("Content-Length: 500\r\n", BODY)).half_closed(),
            Case::raw(
                "2^63 bytes announced",
                order("Content-Length: 9223372036854775807\r\n", BODY),
                408,
                "request-timeout",
            ),
        ])
        .collect()
}

fn heads() -> Vec<Case> {
    let n = BODY.len();
    let with = |lines: &str| order(&format!("Content-Length: {n}\r\n{lines}"), BODY);
    let many: String = (0..97).map(|i| format!("X-{i}: 1\r\n")).collect();
    let good = String::from_utf8(with("")).unwrap();
    let replaced = |from: &str, to: &str| good.replacen(from, to, 1);
    let first = |line: &str| replaced("POST /v1/rewards HTTP/1.1", line);
    vec![
        Case::raw("no Host", replaced("Host: noshi\r\n", ""), 400, ""),
        Case::raw("two Hosts", with("Host: other\r\n"), 400, ""),
        Case::raw("two equal Hosts", with("Host: noshi\r\n"), 400, ""),
        Case::raw("a folded header", with("X-Fold: one\r\n two\r\n"), 400, ""),
        Case::raw("NUL in a value", with("X-Nul: a\0b\r\n"), 400, ""),
        Case::raw("NUL in a name", with("X-N\0ul: a\r\n"), 400, ""),
        Case::raw("DEL in a value", with("X-Del: a\u{7f}b\r\n"), 400, ""),
        Case::raw("a bare CR in a value", with("X-Cr: a\rb\r\n"), 400, ""),
        Case::raw("a header without a colon", with("X-Nothing\r\n"), 400, ""),
        Case::raw("a header without a name", with(": nothing\r\n"), 400, ""),
        Case::raw("a blank in a name", with("X Blank: a\r\n"), 400, ""),
        Case::raw("a blank before the first header", replaced("Host:", " Host:"), 400, ""),
        Case::raw("97 more headers", with(&many), 431, ""),
        Case::raw("a header of 200 kB", with(&format!("X-Long: {}\r\n", "x".repeat(200_000))), 431, "").or_closed(),
        // The framework would panic on a name of more than 65,535 bytes.
        Case::raw("a name of 70 kB", with(&format!("X-{}: a\r\n", "x".repeat(70_000))), 431, "").or_closed(),
        Case::raw("a target of 70 kB", first(&format!("POST /v1/{} HTTP/1.1", "x".repeat(70_000))), 431, "")
            .or_closed(),
        Case::raw("HTTP/0.9", "GET /v1/ping\r\n\r\n", 400, ""),
        Case::raw("HTTP/1.2", first("POST /v1/rewards HTTP/1.2"), 400, ""),
        Case::raw("HTTP/2.0 as text", first("POST /v1/rewards HTTP/2.0"), 400, ""),
        Case::raw("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 400, ""),
        Case::raw("http in lower case", first("POST /v1/rewards http/1.1"), 400, ""),
        Case::raw("no version", first("POST /v1/rewards"), 400, ""),
        Case::raw("no target", first("POST HTTP/1.1"), 400, ""),
        Case::raw("two blanks", first("POST  /v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("a blank in the target", first("POST /v1/re wards HTTP/1.1"), 400, ""),
        Case::raw("NUL in the target", first("POST /v1/rew\0ards HTTP/1.1"), 400, ""),
        Case::raw("a tab after the method", first("POST\t/v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("a blank in the method", first("PO ST /v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("a method with a colon", first("PO:ST /v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("no method", first(" /v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("a target without a slash", first("POST v1/rewards HTTP/1.1"), 400, ""),
        Case::raw("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\0\r\n\r\n".to_vec(), 400, ""),
        Case::raw("noise", b"\xff\xfe\xfd\xfc\r\n\r\n".to_vec(), 400, ""),
    ]
}

/// Targets that a proxy in front may read otherwise. None reaches the order's route.
fn targets() -> Vec<Case> {
    [
        "//v1/rewards",
        "/v1//rewards",
        "/./v1/rewards",
        "/v1/./rewards",
        "/x/../v1/rewards",
        "/x/%2e%2e/v1/rewards",
        "/v1/%2e%2e/v1/rewards",
        "/%2e/v1/rewards",
        "/v1%2frewards",
        "/v1%2Frewards",
        "/v1/rewards%00",
        "/v1/rewards%20",
        "/v1/rewards%0d%0aX-Zqcanary:%201",
        "/v1/rewards;x=1",
        "/v1\\rewards",
        "/V1/rewards",
        "/v1/Rewards",
        "/v1/rewards.json",
        "/v1/rewards%3fx=1",
        "/v1/rewards%23",
        "/v2/rewards",
        "/v1",
        "/",
        "/zqcanary",
        "http://evil.example/zqcanary",
        "/v1/rewards%c0%af",
        "/v1/%252e%252e/rewards",
    ]
    .into_iter()
    .map(|target| Case::new(target, &Draft::issue().target(target), 404, "not-found"))
    .collect()
}

/// A key is not needed to be refused here; with one, each of these would be read as an order or a ping.
fn taken() -> Vec<Case> {
    let post = |rest: &str| format!("POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\n{rest}");
    vec![
        Case::raw("bare line feeds", "GET /v1/ping HTTP/1.1\nHost: noshi\nConnection: close\n\n", 401, "unauthorized"),
        Case::raw(
            "empty lines first",
            "\r\n\r\nGET /v1/ping HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n",
            401,
            "unauthorized",
        ),
        Case::raw("HTTP/1.0 without Host", "GET /v1/ping HTTP/1.0\r\n\r\n", 401, "unauthorized"),
        Case::raw(
            "absolute form",
            "GET http://evil.example/v1/ping HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n",
            401,
            "unauthorized",
        ),
        Case::raw(
            "an upgrade to h2c",
            post("Connection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"),
            401,
            "unauthorized",
        ),
        Case::raw("asterisk form", "OPTIONS * HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n", 404, "not-found"),
        Case::raw(
            "a letter percent-encoded",
            "GET /v1/p%69ng HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n",
            401,
            "unauthorized",
        ),
        Case::raw("CONNECT", "CONNECT noshi:443 HTTP/1.1\r\nHost: noshi\r\n\r\n", 404, "not-found"),
        Case::raw(
            "an upgrade to a WebSocket",
            order("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 69\r\n", BODY),
            408,
            "request-timeout",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_end_is_in_doubt_is_refused() {
    let cases = [lengths(), codings(), chunks()].into_iter().flatten().collect();
    refuse_all(Backend::Sqlite, "framing", 40, cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_head_is_refused() {
    refuse_all(Backend::Sqlite, "heads", 30, heads()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_taken_literally() {
    refuse_all(Backend::Sqlite, "targets", 34, targets().into_iter().chain(taken()).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_one_by_one_and_a_broken_one_ends_the_connection() {
    let app = service(Backend::Sqlite).await;
    let one = "GET /v1/rewards?limit=0 HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\n\r\n";
    let last = String::from_utf8(Draft::get("/v1/ping").bytes()).unwrap();
    let bytes = format!("{}{last}", one.repeat(50));
    let replies = Reply::all(&exchange(&app, bytes.as_bytes(), false).await, false);
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [vec![400; 50], vec![200]].concat());
    let ids: std::collections::BTreeSet<_> = replies.iter().filter_map(|reply| reply.header("x-request-id")).collect();
    assert_eq!(ids.len(), 51);

    // What is longer than it says is a second request: here the rest of a body, which is none.
    let short = order("Content-Length: 20\r\n", BODY);
    let replies = Reply::all(&exchange(&app, &short, false).await, false);
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [400, 400]);

    // What follows a request whose end is in doubt is not taken for a request.
    let order = Draft::issue().bytes();
    let smuggled = |head: &str| [head.as_bytes(), &order].concat();
    for head in [
        "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nContent-Length: 4000\r\n\r\n",
        "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "CONNECT noshi:443 HTTP/1.1\r\nHost: noshi\r\n\r\n",
    ] {
        let replies = Reply::all(&exchange(&app, &smuggled(head), false).await, false);
        // Of the broken chunk the framework may make an end without an answer.
        assert!(replies.len() <= 1, "{head}: {replies:?}");
        assert!(replies.iter().all(|reply| (400..500).contains(&reply.status)), "{head}: {replies:?}");
    }
    nothing_happened(&app).await;
    app.end().await;
}

/// What is read to its end keeps its connection, chunked or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_chunked_body_is_read_and_the_connection_kept() {
    let app = service(Backend::Sqlite).await;
    let order = String::from_utf8(order("Transfer-Encoding: chunked\r\n", &chunked())).unwrap();
    let dry = order.replacen("/v1/rewards", "/v1/rewards/validate", 1).replacen("Connection: close\r\n", "", 1);
    let refused = dry.replacen("10.00", "-1.00", 1);
    let bytes = format!("{dry}{refused}{dry}{}", String::from_utf8(Draft::get("/v1/ping").bytes()).unwrap());
    let replies = Reply::all(&exchange(&app, bytes.as_bytes(), false).await, false);
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 400, 200, 200]);
    nothing_happened(&app).await;
    app.end().await;
}
