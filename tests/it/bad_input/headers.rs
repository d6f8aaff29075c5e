//! Headers that decide something.

use super::{Case, refuse_all, wire::Draft};
use crate::support::{Backend, on_each_backend};

fn idempotency_key() -> Vec<Case> {
    let order = Draft::issue;
    let invalid = |name: &str, value: &[u8]| {
        Case::new(name, &order().set("Idempotency-Key", value), 400, "idempotency-key-invalid")
    };
    let two = |first: &str, second: &str| {
        let draft = order().set("Idempotency-Key", first).header("idempotency-key", second);
        Case::new(format!("{first} and {second}"), &draft, 400, "idempotency-key-invalid")
    };
    let long = "k".repeat(256);
    vec![
        Case::new("no key", &order().without("Idempotency-Key"), 400, "idempotency-key-missing"),
        Case::new(
            "X-Idempotency-Key",
            &order().without("Idempotency-Key").header("X-Idempotency-Key", "a"),
            400,
            "idempotency-key-missing",
        ),
        invalid("empty", b""),
        invalid("blanks", b"   "),
        invalid("empty in quotes", b"\"\""),
        invalid("256", long.as_bytes()),
        invalid("256 in quotes", format!("\"{long}\"").as_bytes()),
        invalid("10 kB", "zqcanary".repeat(1280).as_bytes()),
        invalid("UTF-8", "zqcanary-caf\u{e9}".as_bytes()),
        invalid("Latin-1", b"zqcanary-caf\xe9"),
        invalid("an emoji", "zqcanary\u{1f381}".as_bytes()),
        invalid("a tab", b"zq\tcanary"),
        invalid("an open quote", b"\"zqcanary"),
        invalid("a quote after the end", b"\"zqcanary\"x"),
        invalid("an unknown escape", br#""zq\ncanary""#),
        invalid("an escape at the end", br#""zqcanary\"#),
        invalid("parameters", br#""zqcanary"; v=1"#),
        invalid("a list of quoted keys", br#""zqcanary", "b""#),
        invalid("a list of bare keys", b"zqcanary, b"),
        invalid("a list of both", br#"zqcanary, "b""#),
        two("a", "a"),
        two("a", "zqcanary"),
        two("\"a\"", "a"),
        two("", "a"),
    ]
}

fn authorization() -> Vec<Case> {
    let zeros = "0".repeat(32);
    let secret = "a".repeat(52);
    let no_such = format!("Bearer nsk_{zeros}_{}", "aaaaaaaa".repeat(7).split_at(52).0);
    let mut values: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("the scheme alone", b"Bearer".to_vec()),
        ("the scheme and a blank", b"Bearer ".to_vec()),
        ("the key alone", b"@KEY@".to_vec()),
        ("another scheme", b"Token @KEY@".to_vec()),
        ("basic", b"Basic enFjYW5hcnk6enFjYW5hcnk=".to_vec()),
        ("digest", b"Digest username=\"zqcanary\"".to_vec()),
        ("a tab for a blank", b"Bearer\t@KEY@".to_vec()),
        ("two keys", b"Bearer @KEY@ @KEY@".to_vec()),
        ("a list", b"Bearer @KEY@, Bearer @KEY@".to_vec()),
        ("in quotes", b"Bearer \"@KEY@\"".to_vec()),
        ("one character more", b"Bearer @KEY@a".to_vec()),
        ("with padding", b"Bearer @KEY@====".to_vec()),
        ("8 kB", format!("Bearer {}", "zqcanary".repeat(1024)).into_bytes()),
        ("garbage", b"Bearer zqcanary".to_vec()),
        ("Latin-1", b"Bearer \xff\xfe".to_vec()),
        ("a code", b"Bearer ABCD-EFGHJK-LMNP".to_vec()),
        ("no such key", no_such.into_bytes()),
        ("upper case", format!("Bearer NSK_{zeros}_{secret}").into_bytes()),
        ("not base 32", format!("Bearer nsk_{zeros}_{}", "1".repeat(52)).into_bytes()),
        ("SQL", format!("Bearer nsk_' OR 1=1 --{}_{secret}", "0".repeat(16)).into_bytes()),
    ];
    values.push(("a JWT", b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_vec()));
    let mut cases: Vec<Case> = values
        .into_iter()
        .map(|(name, value)| Case::new(name, &Draft::issue().set("Authorization", value), 401, "unauthorized"))
        .collect();
    let without = || Draft::issue().without("Authorization");
    cases.push(Case::new("no header", &without(), 401, "unauthorized"));
    cases.push(Case::new("X-Api-Key", &without().header("X-Api-Key", "@KEY@"), 401, "unauthorized"));
    cases.push(Case::new("in the query", &without().target("/v1/rewards?access_token=@KEY@"), 401, "unauthorized"));
    cases.push(Case::new("in a cookie", &without().header("Cookie", "access_token=@KEY@"), 401, "unauthorized"));
    cases.push(Case::new("in the body", &without().body("access_token=@KEY@"), 401, "unauthorized"));
    let twice = Draft::issue().header("Authorization", "Bearer @KEY@");
    cases.push(Case::new("twice", &twice, 401, "unauthorized"));
    let other = Draft::issue().header("authorization", "Bearer zqcanary");
    cases.push(Case::new("a good and a bad one", &other, 401, "unauthorized"));
    cases
}

fn content() -> Vec<Case> {
    let unsupported = |name: &str, draft: Draft| Case::new(name, &draft, 415, "unsupported-media-type");
    let typed = |value: &str| unsupported(value, Draft::issue().set("Content-Type", value));
    let mut cases = vec![
        unsupported("no type", Draft::issue().without("Content-Type")),
        unsupported("two types", Draft::issue().header("Content-Type", "application/json")),
    ];
    cases.extend(
        [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=zqcanary",
            "application/problem+json",
            "application/vnd.zqcanary+json",
            "application/jsonx",
            "application/json/x",
            "application/json; charset=latin1",
            "application/json; charset=utf-16",
            "application/json; charset=utf-7",
            "application/json; charset=\"zqcanary\"",
            "application/json; charset=utf-8; v=1",
            "application/json, text/plain",
            "*/*",
            "application/*",
            "json",
            ";charset=utf-8",
        ]
        .map(typed),
    );
    cases.push(unsupported(
        "a type in Latin-1",
        Draft::issue().set("Content-Type", b"application/json; x=\xe9".to_vec()),
    ));
    cases.extend(
        ["gzip", "br", "deflate", "identity, gzip", "gzip, identity", "zqcanary", ""]
            .map(|coding| unsupported(&format!("coding {coding}"), Draft::issue().header("Content-Encoding", coding))),
    );
    let twice = Draft::issue().header("Content-Encoding", "identity").header("Content-Encoding", "identity");
    cases.push(unsupported("two codings", twice));
    cases
}

/// Headers that decide nothing here: they neither help nor hurt a request without a key.
fn idle() -> Vec<Case> {
    let get = || Draft::get("/v1/rewards").without("Authorization");
    [
        ("Expect", "100-continue"),
        ("Expect", "zqcanary"),
        ("Range", "bytes=0-0"),
        ("If-Match", "\"zqcanary\""),
        ("If-None-Match", "*"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-User", "zqcanary"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-HTTP-Method-Override", "POST"),
        ("X-Original-URL", "/v1/ping"),
        ("Accept", "text/html"),
        ("Accept-Encoding", "gzip, br"),
        ("Prefer", "wait=zqcanary"),
        ("Traceparent", "00-zqcanary"),
        ("X-Request-Id", "zqcanary zqcanary"),
        ("X-Request-Id", "zqcanar"),
        ("X-Request-Id", "zqcanary/../../etc"),
        ("X-Request-Id", "zqcanary\"},{\"x\":\"y"),
        ("X-Request-Id", "zqcanary\u{e9}\u{e9}\u{e9}"),
        ("X-Request-Id", "zqcanary%0d%0aSet-Cookie:x"),
        ("X-Request-Id", ""),
    ]
    .into_iter()
    .map(|(name, value)| Case::new(format!("{name}: {value}"), &get().header(name, value), 401, "unauthorized"))
    .chain([
        Case::new("65 in X-Request-Id", &get().header("X-Request-Id", "zqcanary".repeat(9)), 401, "unauthorized"),
        Case::new(
            "two X-Request-Id",
            &get().header("X-Request-Id", "zqcanary-1").header("X-Request-Id", "zqcanary-2"),
            401,
            "unauthorized",
        ),
    ])
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_idempotency_key_is_refused() {
    refuse_all(Backend::Sqlite, "idempotency key", 20, idempotency_key()).await;
}

on_each_backend! {
    async fn whoever_is_not_known_is_refused_alike(backend: Backend) {
        refuse_all(backend, "authorization", 25, authorization()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_plain_json_is_read() {
    refuse_all(Backend::Sqlite, "content", 25, content()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_headers_change_nothing_and_come_back_nowhere() {
    refuse_all(Backend::Sqlite, "idle headers", 20, idle()).await;
}
