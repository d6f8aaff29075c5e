//! Accepts connections and serves HTTP/1 on them, for the gateway and the control port alike.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::socket::{Socket, Switch, Wire};
use crate::sandbox::world::World;

/// The most open connections of one port. Further ones wait to be accepted.
pub(super) const CONNECTIONS_MAX: usize = 4_096;

/// How long to wait after `accept` failed, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take for its part of the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a client may take for the head of a request. So long a connection may also be idle: longer than clients keep theirs.
const HEAD_MAX: Duration = Duration::from_secs(120);

/// A whole answer in memory.
pub(in crate::sandbox) type Answered = Response<Full<Bytes>>;

/// Answers requests of one port.
pub(in crate::sandbox) trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request, or leaves a script on the connection's switch.
    fn handle(self, request: Request<Incoming>, switch: Arc<Switch>) -> impl Future<Output = Answered> + Send;
}

/// Accepts connections until the sandbox stops.
pub(in crate::sandbox) async fn accept<H: Handler>(
    listener: TcpListener,
    world: Arc<World>,
    handler: H,
    tls: Option<TlsAcceptor>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = world.stopping.cancelled() => return,
            accepted = next(&listener, &room) => accepted,
        };
        match accepted {
            Some((stream, place)) => {
                let connection = converse(stream, place, Arc::clone(&world), handler.clone(), tls.clone());
                world.tasks.spawn(connection);
            }
            None => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "the sandbox could not accept a connection");
            None
        }
    }
}

/// The connection as the port speaks, after the handshake where there is one. A client that breaks it off has its line: most
/// often it does not trust the certificate, or speaks plain HTTP.
async fn secured(stream: TcpStream, tls: Option<TlsAcceptor>, world: &World) -> Option<Wire> {
    let Some(acceptor) = tls else { return Some(Wire::Plain(stream)) };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)) => shaken,
        () = world.stopping.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => Some(Wire::Secured(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::info!("refused a connection that came to no agreement on TLS: {error}");
            None
        }
        Err(_elapsed) => {
            tracing::info!("refused a connection that did not speak TLS in time");
            None
        }
    }
}

/// Header names have Amazon's case, so that a client that compares case fails here and not in production.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    builder
}

/// The whole body of a request, within its limits of bytes and time; else how that is refused.
pub(in crate::sandbox) async fn whole_body(
    body: Incoming,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, (StatusCode, String)> {
    let read = tokio::time::timeout(time, Limited::new(body, bytes_max).collect()).await;
    match read.map(|read| read.map(Collected::to_bytes)) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, format!("The body must be at most {bytes_max} bytes long")))
        }
        Ok(Err(_broken)) => Err((StatusCode::BAD_REQUEST, "The body did not come to its end".to_owned())),
        Err(_elapsed) => {
            Err((StatusCode::REQUEST_TIMEOUT, format!("The body did not come within {} ms", time.as_millis())))
        }
    }
}

/// Serves one connection to its end.
async fn converse<H: Handler>(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    world: Arc<World>,
    handler: H,
    tls: Option<TlsAcceptor>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let Some(wire) = secured(stream, tls, &world).await else { return };
    let switch = Arc::new(Switch::default());
    let socket = TokioIo::new(Socket::new(wire, Arc::clone(&switch)));
    let service = service_fn(move |request| {
        let answer = handler.clone().handle(request, Arc::clone(&switch));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = std::pin::pin!(builder().serve_connection(socket, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = world.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = world.leaving.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the sandbox ended early");
    }
    drop(place);
}
