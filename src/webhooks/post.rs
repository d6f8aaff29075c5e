//! Sends one message, once. What comes of it is a status or a word: nothing of the URL's path or query, of the body or of a
//! header is logged or part of an error, because receivers put secrets there.
//!
//! The address is looked at on each attempt, after the name was looked up and before anything connects: a name that meant a public
//! address when the endpoint was made may mean a private one now.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::{
    Client, ClientBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect, retry,
};
use strum::{EnumString, IntoStaticStr, VariantArray};
use tokio::net::lookup_host;

use super::endpoint_url::{EndpointUrl, Reachable};
use crate::{
    kernel::word_methods,
    provider::{incentives::install_tls_provider, transport::causes},
};

/// How long a name may be looked up and a connection be made, its TLS included: what cannot be reached in this time is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an attempt may take, its answer included. Standard Webhooks 1.0 asks for 15 to 30 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// So much of an answer's body is read and thrown away, because a connection is used again only when its answer has ended.
const BODY_BYTES_READ_MAX: usize = 4 * 1024;
/// What a receiver may ask for at most: one that is wrong about itself is asked again the next day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Idle connections to one receiver, and how long each is kept: below the five seconds after which common servers close one.
const IDLE_CONNECTIONS_MAX: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// What is sent. All of it is fixed when the attempt begins.
pub struct WebhookMessage<'a> {
    /// The message's id: the same in each attempt.
    pub id: &'a str,
    /// When this attempt was signed.
    pub at: DateTime<Utc>,
    /// JSON.
    pub body: &'a str,
    /// What [`signature`](super::signature) made of the three.
    pub signature: &'a str,
}

/// What came of an attempt.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// The receiver has answered. Of its answer nothing else is kept.
    Answered {
        /// The status. Of a redirection, too: none is followed.
        status: u16,
        /// How long the receiver wants to be left alone (`Retry-After`), a day at most.
        retry_after: Option<Duration>,
    },
    /// There was no answer. The receiver may have the message.
    NotDelivered(PostFault),
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PostFault {
    /// It took too long to connect, or to answer.
    Timeout,
    /// No connection was made.
    Connect,
    /// The receiver's certificate or its TLS is not accepted.
    Tls,
    /// The settings allow no message to the address, or to any that the name means now.
    AddressRefused,
    /// The name means no address.
    NameNotFound,
    /// The connection ended without an answer.
    ConnectionLost,
}
word_methods!(PostFault);

/// There is no HTTP client to send with: the machine's certificates cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of webhooks cannot be made")]
pub struct NoPoster(#[source] reqwest::Error);

/// Sends messages. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Poster {
    client: Client,
    reachable: Reachable,
}

/// Looks a name up.
type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Passes on the addresses of a name that messages may go to.
struct AllowedAddresses {
    look_up: LookUp,
    reachable: Reachable,
}

/// Why a name was passed on without an address. The HTTP library carries it as the cause of its own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NoAddress {
    #[error("the name means no address")]
    NotFound,
    #[error("the name means no address that is allowed")]
    Refused,
}

/// What an attempt may take.
#[derive(Clone, Copy)]
struct PostLimits {
    connect: Duration,
    attempt: Duration,
}

impl Poster {
    /// Sends to what the settings allow.
    ///
    /// # Errors
    /// [`NoPoster`] when the machine's certificates cannot be read.
    pub fn new(reachable: Reachable) -> Result<Self, NoPoster> {
        let limits = PostLimits { connect: CONNECT_TIMEOUT, attempt: ATTEMPT_TIMEOUT };
        let client = builder(reachable, limits, Arc::new(system_look_up)).build().map_err(NoPoster)?;
        Ok(Self { client, reachable })
    }

    /// Sends a message once.
    pub async fn post(&self, url: &EndpointUrl, message: &WebhookMessage<'_>) -> PostOutcome {
        // The HTTP library asks for the addresses of names alone. The settings may have changed since the URL was taken.
        let refused = url.address().is_some_and(|address| !self.reachable.allows(address))
            || (url.is_plain() && !self.reachable.plain_http);
        if refused {
            return PostOutcome::NotDelivered(PostFault::AddressRefused);
        }
        match self.send(url, message).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let retry_after = retry_after(&response, message.at);
                drain(response).await;
                PostOutcome::Answered { status, retry_after }
            }
            Err(error) => PostOutcome::NotDelivered(fault(&error)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a message leaves")]
    async fn send(&self, url: &EndpointUrl, message: &WebhookMessage<'_>) -> reqwest::Result<Response> {
        let request = self.client.post(url.url().clone()).header(CONTENT_TYPE, "application/json");
        let request = request.header("webhook-id", message.id).header("webhook-timestamp", message.at.timestamp());
        request.header("webhook-signature", message.signature).body(message.body.to_owned()).send().await
    }
}

/// The library's defaults follow redirections, never time out, and take a proxy from the environment. Each line switches one of
/// them off, as `provider/transport.rs` does.
#[expect(clippy::disallowed_methods, reason = "this is the one place where the HTTP client of webhooks is made")]
fn builder(reachable: Reachable, limits: PostLimits, look_up: LookUp) -> ClientBuilder {
    install_tls_provider();
    Client::builder()
        .connect_timeout(limits.connect)
        .timeout(limits.attempt)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .https_only(!reachable.plain_http)
        .referer(false)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("noshi/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(AllowedAddresses { look_up, reachable })
}

fn system_look_up(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    // The port is the URL's.
    Box::pin(async move { Ok(lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
}

impl Resolve for AllowedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, reachable) = ((self.look_up)(name.as_str().to_owned()), self.reachable);
        Box::pin(async move {
            let found = found.await.map_err(|_error| NoAddress::NotFound)?;
            if found.is_empty() {
                return Err(NoAddress::NotFound.into());
            }
            let allowed = found.into_iter().filter(|address| reachable.allows(*address));
            let allowed: Vec<SocketAddr> = allowed.map(|address| SocketAddr::new(address, 0)).collect();
            if allowed.is_empty() {
                return Err(NoAddress::Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Reads what is left of an answer, up to a bound of bytes and the attempt's own of time. A connection whose answer has not ended
/// by then is closed.
async fn drain(mut response: Response) {
    let mut left = BODY_BYTES_READ_MAX;
    while let Ok(Some(part)) = response.chunk().await {
        match left.checked_sub(part.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Why there was no answer. What our own resolver and TLS said is found among the causes, whatever the library makes of it.
fn fault(error: &reqwest::Error) -> PostFault {
    for cause in causes(error) {
        match cause.downcast_ref() {
            Some(NoAddress::NotFound) => return PostFault::NameNotFound,
            Some(NoAddress::Refused) => return PostFault::AddressRefused,
            None => {}
        }
        if cause.is::<rustls::Error>() {
            return PostFault::Tls;
        }
    }
    if error.is_timeout() {
        PostFault::Timeout
    } else if error.is_connect() || error.is_builder() {
        // Neither has sent a byte. A request that cannot be built is one whose id is no header's value.
        PostFault::Connect
    } else {
        PostFault::ConnectionLost
    }
}

/// `Retry-After` in seconds or as an HTTP-date (RFC 9110, 10.2.3). Of a date, what was left of it when the attempt began.
fn retry_after(response: &Response, at: DateTime<Utc>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_date) => {
            let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
            // One that has passed asks for nothing.
            date.signed_duration_since(at).to_std().unwrap_or_default()
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}
