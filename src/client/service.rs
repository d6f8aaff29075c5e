//! Asks the service: one request, and again where that is safe.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::ProblemReply;
use crate::{ambient::Ambient, provider::incentives::install_tls_provider};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The service answers within ten seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request is tried again before the command gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first rest where the service names none.
const REST: Duration = Duration::from_millis(500);
/// An answer is no longer than this: a page has 200 rewards at most.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

const JSON: &str = "application/json";

/// Why a service is not asked, or was not heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("the service's address is a URL such as https://gifts.example.com, without a query")]
    Url,
    #[error(
        "plain http would show the API key to everyone on the way: use https, or say --plain-http inside a network of your own"
    )]
    PlainHttp,
    #[error("an id has characters, and is neither . nor ..")]
    Segment,
    #[error("the API key is no header's value")]
    Key,
    #[error("the HTTP client cannot be made")]
    NoClient(#[source] reqwest::Error),
    /// No connection was made, at any try.
    #[error("no answer from {0}: no connection was made, so nothing was done")]
    Unreached(String, #[source] reqwest::Error),
    /// What was asked may have been done.
    #[error("no answer from {0}: what was asked may have been done")]
    Unheard(String, #[source] reqwest::Error),
    #[error("the answer is not what this client knows: is another release served there?")]
    Odd(#[source] Option<serde_json::Error>),
    #[error("the service refused\n  {0}")]
    Refused(Box<ProblemReply>),
}

/// A service, and the key that it is asked with.
pub(crate) struct ServiceClient {
    http: Client,
    base: Url,
    key: HeaderValue,
    ambient: Ambient,
}

/// A request.
pub(crate) struct Ask<'a> {
    method: Method,
    /// Segments, each encoded by itself: an id that somebody typed is never another route.
    path: &'a [&'a str],
    query: Vec<(&'a str, String)>,
    idempotency_key: Option<&'a str>,
    body: Option<String>,
    repeatable: bool,
}

/// A good answer.
pub(crate) struct ServiceReply {
    pub(crate) status: u16,
    /// How long to wait before the next question about the same thing.
    pub(crate) retry_after: Option<Duration>,
    /// It may hold a claim code.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl<'a> Ask<'a> {
    /// Reads `/v1/…`.
    pub(crate) fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, query: Vec::new(), idempotency_key: None, body: None, repeatable: true }
    }

    /// Changes something that may be changed once only: sent again only where it did not arrive, or was refused before anything was done.
    pub(crate) fn post(path: &'a [&'a str], body: &serde_json::Value) -> Self {
        let body = Some(body.to_string());
        Self { method: Method::POST, body, repeatable: false, ..Self::get(path) }
    }

    /// Removes something.
    pub(crate) fn delete(path: &'a [&'a str]) -> Self {
        Self { method: Method::DELETE, repeatable: false, ..Self::get(path) }
    }

    /// The same under a key: twice is once.
    pub(crate) fn once_for(self, key: &'a str) -> Self {
        Self { idempotency_key: Some(key), repeatable: true, ..self }
    }

    /// Twice is once for the service, without a key.
    pub(crate) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// With the parts of a query that have a value.
    pub(crate) fn query(mut self, parts: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Self {
        self.query.extend(parts.into_iter().filter_map(|(name, value)| Some((name, value?))));
        self
    }
}

impl ServiceReply {
    /// What it says.
    ///
    /// # Errors
    /// [`ServiceError::Odd`].
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ServiceError> {
        serde_json::from_slice(&self.body).map_err(|error| ServiceError::Odd(Some(error)))
    }
}

impl ServiceClient {
    /// The service at this address. `plain_http`: also without TLS to another machine.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was asked.
    pub(crate) fn new(url: &str, key: &SecretString, plain_http: bool) -> Result<Self, ServiceError> {
        let mut base = Url::parse(url).map_err(|_error| ServiceError::Url)?;
        let known = matches!(base.scheme(), "http" | "https") && base.host_str().is_some_and(|host| !host.is_empty());
        let bare = base.query().is_none()
            && base.fragment().is_none()
            && base.username().is_empty()
            && base.password().is_none();
        if !known || !bare {
            return Err(ServiceError::Url);
        }
        if base.scheme() == "http" && !plain_http && !is_loopback(&base) {
            return Err(ServiceError::PlainHttp);
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        let http = builder(&base).build().map_err(ServiceError::NoClient)?;
        Ok(Self { http, base, key: bearer(key)?, ambient: Ambient::system() })
    }

    /// Asks. What did not arrive, or is refused for a while, is asked again for half a minute; what may have been done only where
    /// twice is once.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<ServiceReply, ServiceError> {
        // The library would leave such a segment out, and ask for something else.
        if ask.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(ServiceError::Segment);
        }
        let until = self.ambient.monotonic() + PATIENCE;
        let (mut rest, mut is_reached) = (REST, false);
        loop {
            let (failed, wait) = match self.send(ask).await {
                Ok(response) => match heard(response, &self.base).await {
                    Ok(reply) => return Ok(reply),
                    Err((ServiceError::Refused(refusal), asked_for))
                        if refusal.passes() && (ask.repeatable || refusal.did_nothing()) =>
                    {
                        (ServiceError::Refused(refusal), asked_for.unwrap_or(rest))
                    }
                    Err((unheard @ ServiceError::Unheard(..), _)) if ask.repeatable => (unheard, rest),
                    Err((error, _)) => return Err(error),
                },
                Err(error) if error.is_connect() && !is_reached => {
                    (ServiceError::Unreached(self.origin(), error.without_url()), rest)
                }
                Err(error) if error.is_connect() || ask.repeatable => (self.unheard(error), rest),
                Err(error) => return Err(self.unheard(error)),
            };
            is_reached |= !matches!(failed, ServiceError::Unreached(..));
            if !self.pause(Some(wait), until).await {
                return Err(failed);
            }
            rest = rest.saturating_mul(2);
        }
    }

    /// Waits as long as an answer asks for, unless that is after `until`: then `false`.
    pub(crate) async fn pause(&self, asked_for: Option<Duration>, until: Instant) -> bool {
        let rest = asked_for.unwrap_or(REST).max(REST);
        let there_is_time = self.ambient.monotonic() + rest <= until;
        if there_is_time {
            tokio::time::sleep(rest).await;
        }
        there_is_time
    }

    /// Lets some time pass.
    pub(crate) async fn rest(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// The instant after this time.
    pub(crate) fn after(&self, time: Duration) -> Instant {
        self.ambient.monotonic() + time
    }

    /// What the machine's clock shows.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.ambient.now()
    }

    fn unheard(&self, error: reqwest::Error) -> ServiceError {
        ServiceError::Unheard(self.origin(), error.without_url())
    }

    fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a command asks a service")]
    async fn send(&self, ask: &Ask<'_>) -> reqwest::Result<Response> {
        self.request(ask).send().await
    }

    fn request(&self, ask: &Ask<'_>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.http.request(ask.method.clone(), url);
        request = request.header(AUTHORIZATION, self.key.clone()).header(ACCEPT, JSON);
        if let Some(key) = ask.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        match &ask.body {
            Some(body) => request.header(CONTENT_TYPE, JSON).body(body.clone()),
            None => request,
        }
    }
}

/// A request that this client makes, without what its library would do by itself: follow a redirection with the key, send a
/// purchase twice, take a proxy from the environment.
#[expect(clippy::disallowed_methods, reason = "this is the one place where the HTTP client of commands is made")]
fn builder(base: &Url) -> reqwest::ClientBuilder {
    install_tls_provider();
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .referer(false)
        .tcp_nodelay(true)
        .user_agent(concat!("noshi-cli/", env!("CARGO_PKG_VERSION")));
    // Without TLS the machine's certificates are not read: a container may have none.
    if base.scheme() == "http" { builder.tls_certs_only([]) } else { builder.https_only(true) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The header that presents the key. It is not shown where a request is printed.
#[expect(clippy::disallowed_methods, reason = "it is presented to the service")]
fn bearer(key: &SecretString) -> Result<HeaderValue, ServiceError> {
    let text = Zeroizing::new(format!("Bearer {}", key.expose_secret()));
    let mut value = HeaderValue::from_str(&text).map_err(|_error| ServiceError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A good answer, or why it is none and how long the service wants to be left alone.
async fn heard(mut response: Response, base: &Url) -> Result<ServiceReply, (ServiceError, Option<Duration>)> {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match response.chunk().await {
            Ok(Some(part)) if part.len() > ANSWER_BYTES_MAX.saturating_sub(body.len()) => {
                return Err((ServiceError::Odd(None), None));
            }
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => break,
            Err(error) => {
                let from = base.origin().ascii_serialization();
                return Err((ServiceError::Unheard(from, error.without_url()), None));
            }
        }
    }
    if status.is_success() {
        return Ok(ServiceReply { status: status.as_u16(), retry_after, body });
    }
    Err((ServiceError::Refused(Box::new(refusal(status, &body))), retry_after))
}

fn refusal(status: StatusCode, body: &[u8]) -> ProblemReply {
    let read: Option<ProblemReply> = serde_json::from_slice(body).ok();
    read.filter(|read| read.status == status.as_u16()).unwrap_or_else(|| ProblemReply::of_status(status.as_u16()))
}

#[cfg(test)]
mod tests;
