//! The HTTP client of every one of Amazon's APIs, and how an answer's body is read.

use std::{error::Error, io, time::Duration};

use reqwest::{Proxy, Response, redirect, retry};
use rustls::crypto::{CryptoProvider, ring};
use zeroize::Zeroizing;

use crate::kernel::{HttpsProxy, NotSent};

/// Idle connections kept to a host: as many as calls are commonly on their way at once. A call without one pays a TLS handshake within
/// its few seconds, and most of its cost here.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// How long a connection may idle: below the five seconds after which common servers close one. Amazon publishes no
/// figure. A connection that is closed while we write gives a false `connection_lost`, which a replay heals, so this
/// need not be perfect, only rare.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Room for an answer that does not say how long it is. One about a card has a few hundred bytes.
const BODY_ROOM_BYTES: usize = 2 * 1024;

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// A host of Amazon's, over TLS.
    Amazon {
        /// Through whom: it looks the name up, opens the connection and sees nothing but TLS.
        proxy: Option<HttpsProxy>,
    },
    /// A stand-in on this machine: it speaks plain HTTP, needs no trust in anyone, and no root certificates on the machine.
    Loopback,
}

/// Why a body did not arrive whole.
pub(super) enum Cut {
    /// It is longer than the cap.
    TooLong,
    /// The connection, or the time, ended.
    Broken(reqwest::Error),
}

/// Sees to it that TLS has a cryptography provider in this process: ring, unless one is installed already. Without one,
/// the HTTP library panics. May be called any number of times.
pub fn install_tls_provider() {
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster: then theirs is the provider.
        drop(ring::default_provider().install_default());
    }
}

/// The library's defaults follow a 307 with the same POST ten times, never time out, and take a proxy from the
/// environment. Each line switches one of them off. A proxy of the settings is for `https` alone, so that it is only ever asked
/// to connect; the names of hosts that the environment exempts (`NO_PROXY`) are not read either.
///
/// # Errors
/// When the proxy's address is no URL to the library.
#[expect(clippy::disallowed_methods, reason = "this is the one place where an HTTP client is made")]
pub(super) fn builder(reach: &Reach, connect: Duration, total: Duration) -> reqwest::Result<reqwest::ClientBuilder> {
    install_tls_provider();
    let builder = reqwest::Client::builder()
        .connect_timeout(connect)
        .timeout(total)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .https_only(matches!(reach, Reach::Amazon { .. }))
        .referer(false)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("noshi/", env!("CARGO_PKG_VERSION")));
    Ok(match reach {
        Reach::Amazon { proxy: Some(proxy) } => builder.proxy(Proxy::https(proxy.to_string())?),
        Reach::Amazon { proxy: None } => builder,
        Reach::Loopback => builder.tls_certs_only([]),
    })
}

/// Why there was no connection: no byte of the request was sent. A proxy that is away or refuses is one way to have none.
pub(super) fn unconnected(error: &reqwest::Error) -> NotSent {
    if distrusts(error) { NotSent::Certificate } else { NotSent::Connect }
}

/// Whether the connection was given up because of the certificate that was shown. A time-out or a reset of the handshake is none of
/// it: only TLS's own verdict is.
fn distrusts(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// The error, and what it was made from, one after the other.
pub(crate) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |one| {
        let one = *one;
        // An error of the operating system's type that was made from another hides that one: its source is that one's.
        match one.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => one.source(),
        }
    })
}

/// The body, up to the cap, wiped when dropped; the HTTP library's own buffers are out of our reach.
pub(super) async fn body(mut response: Response, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Cut> {
    let said = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Zeroizing::new(Vec::with_capacity(said.unwrap_or(BODY_ROOM_BYTES).min(bytes_max)));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if chunk.len() > bytes_max.saturating_sub(body.len()) => return Err(Cut::TooLong),
            Ok(Some(chunk)) => append(&mut body, &chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Cut::Broken(error)),
        }
    }
}

/// A buffer that is too small is wiped and gives way to one of twice its size: `Vec` would grow and leave a copy behind. It
/// does not begin with the cap, because each byte of room is wiped at the end, filled or not.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len().saturating_add(chunk.len());
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(body.capacity().saturating_mul(2))));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_outgrows_its_room_is_whole_and_its_buffer_never_moves_by_itself() {
        let (mut body, mut whole) = (Zeroizing::new(Vec::with_capacity(3)), Vec::new());
        for piece in [b"{\"a\"".as_slice(), b":", b"", &[b'1'; 5000], b"}"] {
            let before = (body.as_ptr(), body.capacity());
            let fits = body.capacity() - body.len() >= piece.len();
            append(&mut body, piece);
            whole.extend_from_slice(piece);
            assert_eq!(*body, whole);
            assert!(!fits || (body.as_ptr(), body.capacity()) == before, "what fits stays where it is");
        }
    }
}
