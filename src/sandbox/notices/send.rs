//! One message on its way: an HTTP request of its own, over plain TCP.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Outgoing;

/// How long SNS waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The address of a URL of plain HTTP, and its path.
pub(super) fn address_of(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/')?;
    let (address, path) = rest.split_at_checked(at)?;
    let plain = |byte: u8| byte.is_ascii_graphic();
    (address.contains(':') && path.bytes().all(plain)).then_some((address, path))
}

/// What the receiver answers; `None` where it does not.
pub(super) async fn post(message: &Outgoing) -> Option<u16> {
    let (address, path) = address_of(&message.url)?;
    tokio::time::timeout(ANSWER_WITHIN, exchange(address, path, message)).await.ok().flatten()
}

async fn exchange(address: &str, path: &str, message: &Outgoing) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::post(path)
        .header(HOST, address)
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "text/plain; charset=UTF-8")
        .header("x-amz-sns-message-type", message.kind)
        .header("x-amz-sns-message-id", message.message_id.as_str())
        .header("x-amz-sns-topic-arn", message.topic.as_str())
        .body(Full::new(Bytes::from(message.body.clone())))
        .ok()?;
    let asked = async move { sender.send_request(request).await };
    // The connection is driven by the same task: it ends with the answer.
    let (answer, _ended) = tokio::join!(asked, connection);
    answer.ok().map(|answer| answer.status().as_u16())
}
