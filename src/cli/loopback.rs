//! How a command asks a service on this machine: one HTTP exchange over a connection of its own.

use std::{io, net::SocketAddr};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Bytes,
    client::conn::http1,
    http::{request, response},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoopbackError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no whole HTTP answer")]
    Exchange(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the request, and reads the answer to its end: at most `answer_max` bytes.
pub(super) async fn exchange(
    address: SocketAddr,
    request: request::Builder,
    body: String,
    answer_max: usize,
) -> Result<(response::Parts, Bytes), LoopbackError> {
    let broken = |error: hyper::Error| LoopbackError::Exchange(error.into());
    let stream = TcpStream::connect(address).await.map_err(LoopbackError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = request.header("Host", address.to_string()).body(Full::new(Bytes::from(body)));
    let request = request.map_err(|error| LoopbackError::Exchange(error.into()))?;
    let talk = async move {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, answer_max).collect().await.map_err(LoopbackError::Exchange)?;
        Ok((head, body.to_bytes()))
    };
    let (answered, _connection) = tokio::join!(talk, connection);
    answered
}
