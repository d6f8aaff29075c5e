//! One HTTP exchange of the demo with the service, and its text as the demo shows it.

use std::net::SocketAddr;

use hyper::Request;
use serde_json::Value;

use super::{DemoError, loopback};

/// The bytes of an answer that are read at most. Every answer in the demo is shorter.
const ANSWER_MAX: usize = 1024 * 1024;

/// A request of the demo.
pub(super) struct DemoRequest<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) body: Option<Value>,
}

/// An answer, read to its end.
pub(super) struct DemoAnswer {
    pub(super) status: u16,
    pub(super) json: Value,
    /// The exchange as text; the API key is left out.
    pub(super) shown: String,
}

impl DemoAnswer {
    /// The text at a JSON Pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }
}

/// Asks the service over a connection of its own.
pub(super) async fn exchange(address: SocketAddr, key: &str, asked: DemoRequest<'_>) -> Result<DemoAnswer, DemoError> {
    let body = asked.body.as_ref().map(|body| format!("{body:#}"));
    let mut request = Request::builder().method(asked.method).uri(asked.path);
    let mut shown = format!("> {} {}\n> Authorization: Bearer nsk_…\n", asked.method, asked.path);
    request = request.header("Authorization", format!("Bearer {key}"));
    if let Some(key) = asked.idempotency_key {
        request = request.header("Idempotency-Key", key);
        shown.push_str(&format!("> Idempotency-Key: {key}\n"));
    }
    if let Some(body) = &body {
        request = request.header("Content-Type", "application/json");
        shown.push_str("> Content-Type: application/json\n>\n");
        body.lines().for_each(|line| shown.push_str(&format!("> {line}\n")));
    }
    let (head, bytes) = loopback::exchange(address, request, body.unwrap_or_default(), ANSWER_MAX).await?;
    shown.push_str(&format!("< {}\n", head.status));
    for name in ["location", "retry-after", "cache-control", "x-request-id"] {
        if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
            shown.push_str(&format!("< {name}: {value}\n"));
        }
    }
    let json: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    shown.push_str("<\n");
    format!("{json:#}").lines().for_each(|line| shown.push_str(&format!("< {line}\n")));
    Ok(DemoAnswer { status: head.status.as_u16(), json, shown })
}
