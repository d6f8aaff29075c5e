//! Requests as bytes on a socket, and answers read to the connection's end: no client library in between puts right
//! what a test put wrong.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::CANARY;
use crate::support::App;

/// Stands for the text of a good API key until the bytes are sent.
pub(super) const KEY: &str = "@KEY@";
/// Nothing on the wire may take longer: our own time-outs are 1 s in these tests.
const PATIENCE: Duration = Duration::from_secs(8);

/// A request, good until a case makes it bad.
#[derive(Clone)]
pub(super) struct Draft {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Draft {
    /// An order that would buy a card for 10.00 USD.
    pub(super) fn issue() -> Self {
        let body = br#"{"kind":"gift_code","value":{"amount":"10.00","currency_code":"USD"}}"#.to_vec();
        Self::post("/v1/rewards", body).header("Idempotency-Key", "bad-input")
    }

    pub(super) fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::get(target).method("POST").body(body).header("Content-Type", "application/json")
    }

    pub(super) fn get(target: impl Into<String>) -> Self {
        let draft = Self { method: "GET".to_owned(), target: target.into(), headers: Vec::new(), body: Vec::new() };
        draft.header("Authorization", format!("Bearer {KEY}"))
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(super) fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// One more header, also when there is one of this name.
    pub(super) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(have, _value)| !have.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn set(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.without(name).header(name, value)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() || self.method == "POST" {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Puts the key where it belongs.
pub(crate) fn with_key(bytes: &[u8], key: &str) -> Vec<u8> {
    let Some(at) = bytes.windows(KEY.len()).position(|window| window == KEY.as_bytes()) else { return bytes.to_vec() };
    let rest = with_key(&bytes[at + KEY.len()..], key);
    [&bytes[..at], key.as_bytes(), &rest].concat()
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Status line and headers, in lower case.
    pub(super) head: String,
    pub(super) body: String,
    pub(super) json: Value,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &str| line.split_once(": ").is_some_and(|(have, _value)| have == name);
        self.head.lines().find(|line| of(line)).and_then(|line| line.split_once(": ")).map(|(_name, value)| value)
    }

    /// Reads the answers in these bytes, one after the other; those to HEAD have no body.
    pub(super) fn all(mut bytes: &[u8], to_head: bool) -> Vec<Self> {
        let mut replies = Vec::new();
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
            let mut reply = Self { status, head: head.to_ascii_lowercase(), body: String::new(), json: Value::Null };
            let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
            let length: usize = if to_head { 0 } else { length };
            assert!(reply.header("transfer-encoding").is_none(), "an answer of unknown length: {head}");
            bytes = &bytes[end + 4..];
            assert!(bytes.len() >= length, "an answer was cut short: {head}");
            reply.body = String::from_utf8(bytes[..length].to_vec()).unwrap();
            reply.json = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
            bytes = &bytes[length..];
            if status != 100 {
                replies.push(reply);
            }
        }
        assert!(bytes.is_empty(), "bytes after the last answer: {}", String::from_utf8_lossy(bytes));
        replies
    }

    /// What every problem of ours has, whatever it is about. Each sentence is a complaint.
    pub(super) fn complaints(&self, code: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut check = |holds: bool, complaint: &str| {
            if !holds {
                complaints.push(complaint.to_owned());
            }
        };
        check(self.header("server").is_none(), "there is a Server header");
        let text = format!("{}\n{}", self.head, self.body).to_ascii_lowercase();
        check(!text.contains(CANARY), "the caller's value is echoed");
        check(!text.contains("nsk_"), "the API key is echoed");
        for word in
            ["actix", concat!("/", env!("CARGO_PKG_VERSION")), "serde", "sqlite", "postgres", "panicked", "src/"]
        {
            check(!text.contains(word), &format!("the answer speaks of {word}"));
        }
        if code.is_empty() {
            check(self.body.is_empty(), "the framework's answer has a body");
            return complaints;
        }
        check(self.header("content-type") == Some("application/problem+json"), "it is no problem+json");
        check(self.header("cache-control") == Some("no-store"), "it may be cached");
        check(self.header("x-request-id").is_some_and(|id| (8..=64).contains(&id.len())), "there is no X-Request-Id");
        check(
            self.status != 401 || self.header("www-authenticate").is_some_and(|w| w.starts_with("bearer ")),
            "401 without WWW-Authenticate",
        );
        check(self.status != 405 || self.header("allow").is_some(), "405 without Allow");
        if self.body.is_empty() {
            return complaints;
        }
        let json = &self.json;
        check(json["code"] == code, "it has another code");
        check(json["status"] == self.status, "the document has another status");
        check(json["request_id"].as_str() == self.header("x-request-id"), "the document has another request id");
        check(json["instance"].as_str().is_some_and(|i| i.starts_with("urn:noshi:request:")), "it has no instance");
        check(json["type"].as_str().is_some_and(|t| t.ends_with(code)), "its type is another");
        check(json["title"].is_string() && json["retryable"].is_boolean(), "it has no title, or no retryable");
        check(json["money_moved"] == "no", "it does not say that no money has moved");
        complaints
    }
}

/// Sends these bytes on a connection of their own and reads until the service closes it. The connection stays open on
/// our side, or is half closed after the last byte.
pub(crate) async fn exchange(app: &App, bytes: &[u8], half_close: bool) -> Vec<u8> {
    talk(app.base.trim_start_matches("http://"), &with_key(bytes, &app.key), half_close).await
}

pub(crate) async fn talk(address: &str, bytes: &[u8], half_close: bool) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    let writing = async {
        // The service may answer and close before it has read everything: that is no error of the test's.
        drop(to.write_all(bytes).await);
        if half_close {
            drop(to.shutdown().await);
        }
        // Dropping would close it; it is kept until the answer is there.
        std::future::pending::<()>().await;
    };
    let reading = async {
        // A reset after the answer is an end like any other.
        drop(from.read_to_end(&mut answer).await);
    };
    let ended = tokio::time::timeout(PATIENCE, async {
        tokio::select! { () = writing => {}, () = reading => {} }
    });
    assert!(ended.await.is_ok(), "the connection was not closed: {}", String::from_utf8_lossy(bytes));
    answer
}
