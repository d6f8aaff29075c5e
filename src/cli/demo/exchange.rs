//! One HTTP exchange with the service, as it goes over the wire, for showing.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::DemoError;

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) body: Option<Value>,
}

/// An answer, read to its end.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) json: Value,
    /// The exchange as text; the API key is left out.
    pub(super) shown: String,
}

impl Told {
    /// The text at a JSON Pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }
}

/// Asks the service over a connection of its own.
pub(super) async fn exchange(address: SocketAddr, key: &str, ask: Ask<'_>) -> Result<Told, DemoError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await.map_err(DemoError::Http)?;
    let body = ask.body.as_ref().map(|body| format!("{body:#}"));
    let mut request = Request::builder().method(ask.method).uri(ask.path).header("Host", address.to_string());
    let mut shown = format!("> {} {}\n> Authorization: Bearer nsk_…\n", ask.method, ask.path);
    request = request.header("Authorization", format!("Bearer {key}"));
    if let Some(key) = ask.idempotency_key {
        request = request.header("Idempotency-Key", key);
        shown.push_str(&format!("> Idempotency-Key: {key}\n"));
    }
    if let Some(body) = &body {
        request = request.header("Content-Type", "application/json");
        shown.push_str("> Content-Type: application/json\n>\n");
        body.lines().for_each(|line| shown.push_str(&format!("> {line}\n")));
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|_error| DemoError::Step("a request can be built"))?;
    let talk = async move {
        let answer = sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
    };
    let (told, _connection) = tokio::join!(talk, connection);
    let (head, bytes) = told.map_err(DemoError::Http)?;
    shown.push_str(&format!("< {}\n", head.status));
    for name in ["location", "retry-after", "cache-control", "x-request-id"] {
        if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
            shown.push_str(&format!("< {name}: {value}\n"));
        }
    }
    let json: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    shown.push_str("<\n");
    format!("{json:#}").lines().for_each(|line| shown.push_str(&format!("< {line}\n")));
    Ok(Told { status: head.status.as_u16(), json, shown })
}
