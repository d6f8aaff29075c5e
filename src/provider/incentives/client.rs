//! The HTTP client: signs a request, sends it once, reads the answer within limits, and hands the reply to `classify`.
//!
//! One [`Client`] per account. It logs nothing, and what it returns holds no text of Amazon's but the request id.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use hyper::body::Bytes;
use reqwest::{
    ClientBuilder, Response,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName},
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    activity::{self, ActivityPage, ActivityQuery},
    classify::{self, NoReply, Reply, SeenCard, WholeAnswer},
    endpoint::Endpoint,
    members::CreateMembers,
    refusal::Outcome,
    sign::{self, CredentialScope, Credentials},
    skew::Skew,
    wire::{self, Funds, Operation, Unwritable},
};
use crate::{
    failpoint,
    kernel::{
        AuthRejection, CreationRequestId, HttpsProxy, Money, NotSent, UnknownReason, idempotency::PARTNER_ID_LEN_MAX,
    },
    lifecycle::workplaces::outside,
    provider::transport::{self, Cut, Reach},
};

const X_AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const X_AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name look-up, connection and TLS handshake.
    pub connect: Duration,
    /// From the start of the call to the last byte of the answer's body.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), total: Duration::from_secs(6) }
    }
}

/// What the client needs to know about an account.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where its calls go.
    pub endpoint: Endpoint,
    /// Its partner id at Amazon.
    pub partner_id: String,
    /// Its key pair.
    pub credentials: Credentials,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Through whom Amazon is reached; a stand-in on this machine is reached directly.
    pub https_proxy: Option<HttpsProxy>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The partner id is empty, too long or not alphanumeric (`PROTOCOL.md`).
    #[error("the partner id must be 1 to {PARTNER_ID_LEN_MAX} ASCII letters and digits")]
    PartnerId,
    /// The HTTP client could not be made, for example because the machine has no root certificates.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// Amazon's id of a call, for its support: a UUID with its hyphens. What is none may be anything, a claim code for one, and is
/// not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmznRequestId(String);

impl AmznRequestId {
    /// Takes the header's value when it is one.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let id = Uuid::try_parse(value).ok()?;
        // The parser also takes other forms.
        value.eq_ignore_ascii_case(&id.hyphenated().to_string()).then(|| Self(value.to_owned()))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AmznRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One call and what came of it.
#[must_use]
pub struct Exchange<T> {
    /// What is known now.
    pub outcome: Outcome<T>,
    /// Amazon's id of the call.
    pub request_id: Option<AmznRequestId>,
    /// Amazon's clock when it answered.
    pub server_date: Option<DateTime<Utc>>,
    /// Our clock when the call was signed, uncorrected.
    pub signed_at: DateTime<Utc>,
    /// The answer's HTTP status, also where its body did not arrive.
    pub http_status: Option<u16>,
}

impl<T> Exchange<T> {
    /// The same exchange with another proof.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Exchange<U> {
        let Self { outcome, request_id, server_date, signed_at, http_status } = self;
        Exchange { outcome: outcome.map(f), request_id, server_date, signed_at, http_status }
    }
}

/// An account's client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    settings: ClientSettings,
    /// What the next call is signed with; at first the settings'.
    credentials: RwLock<Credentials>,
    /// How many calls Amazon turned away for what they were signed with.
    rejections: AtomicU64,
    base_url: String,
    skew: Skew,
    now: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

/// The answer's body, wiped when dropped, or why there is none.
type ReceivedBody = Result<Zeroizing<Vec<u8>>, NoReply>;

/// What is read from an answer's head.
#[derive(Default)]
struct Head {
    status: Option<u16>,
    content_type: Option<String>,
    exception: Option<String>,
    request_id: Option<AmznRequestId>,
    server_date: Option<DateTime<Utc>>,
}

impl Client {
    /// A client for the account. `now` is the clock that signs; it is read once per call.
    ///
    /// # Errors
    /// [`BuildError`] when the partner id cannot be one, or TLS cannot be set up.
    pub fn new(
        settings: ClientSettings,
        now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        let partner_id = &settings.partner_id;
        let sized = (1..=PARTNER_ID_LEN_MAX).contains(&partner_id.len());
        if !sized || !partner_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(BuildError::PartnerId);
        }
        let http = http_builder(&settings).and_then(ClientBuilder::build).map_err(BuildError::Http)?;
        let base_url = settings.endpoint.base_url();
        let credentials = RwLock::new(settings.credentials.clone());
        let rejections = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner {
            http,
            settings,
            credentials,
            rejections,
            base_url,
            skew: Skew::default(),
            now: Box::new(now),
        })))
    }

    /// What calls are signed with now.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.0.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs every call from now on with another pair of the same partner. Amazon's request ids belong to the partner, so
    /// a replay under the new pair finds what was bought under the old one.
    pub fn sign_with(&self, credentials: Credentials) {
        *self.0.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    /// How many calls Amazon has turned away for the key pair that they were signed with; questions about another pair apart.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.0.rejections.load(Ordering::Relaxed)
    }

    /// The endpoint that the calls go to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.settings.endpoint
    }

    /// Buys the card with this id, or, if it exists, reads it: the same id finds the same card.
    ///
    /// A value in another currency than the marketplace's is not sent. A replay brings the `members` that the first attempt had.
    pub async fn create_gift_card(
        &self,
        id: &CreationRequestId,
        value: Money,
        members: Option<&CreateMembers>,
    ) -> Exchange<SeenCard> {
        let body = if value.currency() == self.endpoint().currency() {
            wire::create_body(&self.0.settings.partner_id, id, value, members)
        } else {
            Err(Unwritable)
        };
        self.exchange(Operation::CREATE_GIFT_CARD, body, |reply| classify::create(reply, id, value)).await
    }

    /// Cancels the card with this id, when it exists, is at most 15 minutes old, and is not claimed.
    pub async fn cancel_gift_card(&self, id: &CreationRequestId) -> Exchange<()> {
        let body = wire::cancel_body(&self.0.settings.partner_id, id);
        self.exchange(Operation::CANCEL_GIFT_CARD, body, |reply| classify::cancel(reply, id)).await
    }

    /// Calls an operation that one kind of reward alone has, about the reward of this id. The request is the kind's, and so is what a success shows: `read`
    /// is given the object of an answer that is a success and nothing else, and says `None` when it does not understand it.
    pub async fn call<T>(
        &self,
        operation: Operation,
        id: &CreationRequestId,
        request: Result<impl Serialize, Unwritable>,
        read: impl Fn(&RawValue) -> Option<T>,
    ) -> Exchange<T> {
        let body = request.and_then(|request| wire::body(&request));
        self.exchange(operation, body, |reply| classify::own(reply, id, &read)).await
    }

    /// Amazon's id of the partner, which every request names.
    #[must_use]
    pub fn partner_id(&self) -> &str {
        &self.0.settings.partner_id
    }

    /// Reads the account's balance. Amazon allows one such call per second over all replicas.
    pub async fn get_available_funds(&self) -> Exchange<Funds> {
        let body = wire::funds_body(&self.0.settings.partner_id);
        let currency = self.endpoint().currency();
        self.exchange(Operation::GET_AVAILABLE_FUNDS, body, |reply| classify::funds(reply, currency)).await
    }

    /// The same, signed with a pair that nothing else is signed with: whether Amazon takes it.
    pub async fn get_available_funds_with(&self, pair: &Credentials) -> Exchange<Funds> {
        let body = wire::funds_body(&self.0.settings.partner_id);
        let currency = self.endpoint().currency();
        self.exchange_with(pair, Operation::GET_AVAILABLE_FUNDS, body, |reply| classify::funds(reply, currency)).await
    }

    /// Reads a page of the activity report. Amazon allows one such call per minute over all replicas.
    pub async fn get_gift_card_activity_page(&self, query: ActivityQuery) -> Exchange<ActivityPage> {
        let body = activity::page_body(&self.0.settings.partner_id, &query);
        let currency = self.endpoint().currency();
        self.exchange(Operation::GET_GIFT_CARD_ACTIVITY_PAGE, body, |reply| classify::activity(reply, currency)).await
    }

    /// One call, signed with the pair in use.
    async fn exchange<T>(
        &self,
        operation: Operation,
        body: Result<Vec<u8>, Unwritable>,
        classify: impl Fn(Reply<'_>) -> Outcome<T>,
    ) -> Exchange<T> {
        let pair = self.credentials();
        let exchange = self.exchange_with(&pair, operation, body, classify).await;
        // A pair that was exchanged meanwhile is of no interest any more.
        let is_in_use = || self.credentials().shares(&pair) == (true, true);
        if matches!(exchange.outcome, Outcome::AuthRejected(why) if why.is_of_the_keys()) && is_in_use() {
            self.0.rejections.fetch_add(1, Ordering::Relaxed);
        }
        exchange
    }

    /// One call. The request's bytes are wiped after it; the HTTP library's own buffers are out of our reach. If Amazon
    /// rejects it because our clock is wrong, the call is sent once more, signed with Amazon's time: the first one did
    /// nothing, because Amazon rejected it before it looked at the operation.
    async fn exchange_with<T>(
        &self,
        pair: &Credentials,
        operation: Operation,
        body: Result<Vec<u8>, Unwritable>,
        classify: impl Fn(Reply<'_>) -> Outcome<T>,
    ) -> Exchange<T> {
        let body = body.map(|body| Bytes::from_owner(Zeroizing::new(body)));
        let (first, stamp) = self.attempt(pair, operation, body.clone(), &classify).await;
        let refused = matches!(first.outcome, Outcome::AuthRejected(AuthRejection::ClockSkew));
        match first.server_date.filter(|_theirs| refused) {
            Some(theirs) if self.0.skew.correct(theirs, (self.0.now)(), stamp) => {
                self.attempt(pair, operation, body, &classify).await.0
            }
            Some(_) | None => first,
        }
    }

    /// One call, and the instant that it was stamped with.
    async fn attempt<T>(
        &self,
        pair: &Credentials,
        operation: Operation,
        body: Result<Bytes, Unwritable>,
        classify: &impl Fn(Reply<'_>) -> Outcome<T>,
    ) -> (Exchange<T>, DateTime<Utc>) {
        // The one reading of the clock: the credential scope, `x-amz-date` and the caller's record agree by design.
        let signed_at = (self.0.now)();
        let stamp = self.0.skew.corrected(signed_at);
        let mut head = Head::default();
        let received = match self.sign(pair, operation, body, stamp) {
            Ok((headers, body)) => outside(self.send(operation, headers, body, &mut head)).await,
            Err(no_reply) => Err(no_reply),
        };
        let reply = match (&received, head.status) {
            (Ok(body), Some(status)) => Ok(WholeAnswer {
                status,
                content_type: head.content_type.as_deref(),
                exception: head.exception.as_deref(),
                body,
            }),
            (Ok(_), None) => Err(NoReply::Unknown(UnknownReason::ConnectionLost)),
            (Err(no_reply), _) => Err(*no_reply),
        };
        let outcome = classify(reply);
        let Head { status: http_status, request_id, server_date, .. } = head;
        (Exchange { outcome, request_id, server_date, signed_at, http_status }, stamp)
    }

    fn sign(
        &self,
        pair: &Credentials,
        operation: Operation,
        body: Result<Bytes, Unwritable>,
        at: DateTime<Utc>,
    ) -> Result<(HeaderMap, Bytes), NoReply> {
        let endpoint = &self.0.settings.endpoint;
        let body = body.map_err(|Unwritable| NoReply::NotSent(NotSent::Build))?;
        let scope = CredentialScope { host: endpoint.host(), region: endpoint.region(), operation, at };
        sign::signed_headers(scope, &body, pair)
            .map(|headers| (headers, body))
            .map_err(|sign::Unsigned| NoReply::NotSent(NotSent::Build))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a call leaves")]
    async fn send(&self, operation: Operation, headers: HeaderMap, body: Bytes, head: &mut Head) -> ReceivedBody {
        let url = format!("{}{}", self.0.base_url, operation.path());
        let mut request = self.0.http.post(url).headers(headers).body(body);
        if let Some(longer) = operation.timeout() {
            request = request.timeout(longer);
        }
        let sent = request.send().await;
        let response = sent.map_err(|error| unsent(&error))?;
        *head = Head::read(&response);
        failpoint::pass("head", &operation.path());
        transport::body(response, operation.answer_bytes_max()).await.map_err(|cut| match cut {
            Cut::TooLong => NoReply::Unknown(UnknownReason::TooLarge),
            Cut::Broken(error) => NoReply::Unknown(lost(&error)),
        })
    }
}

impl Head {
    fn read(response: &Response) -> Self {
        let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        Self {
            status: Some(response.status().as_u16()),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            exception: text(X_AMZN_ERROR_TYPE).map(str::to_owned),
            request_id: text(X_AMZN_REQUEST_ID).and_then(AmznRequestId::parse),
            server_date: text(DATE)
                .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
                .map(|date| date.with_timezone(&Utc)),
        }
    }
}

fn http_builder(settings: &ClientSettings) -> reqwest::Result<ClientBuilder> {
    let amazon = || Reach::Amazon { proxy: settings.https_proxy.clone() };
    let reach = if settings.endpoint.is_loopback() { Reach::Loopback } else { amazon() };
    transport::builder(&reach, settings.timeouts.connect, settings.timeouts.total)
}

/// Why there was no answer. A connect time-out is both `is_connect` and `is_timeout`. Only the first proves that nothing
/// was sent, so it is tested first.
fn unsent(error: &reqwest::Error) -> NoReply {
    if error.is_connect() {
        return NoReply::NotSent(transport::unconnected(error));
    }
    if error.is_builder() {
        return NoReply::NotSent(NotSent::Build);
    }
    NoReply::Unknown(lost(error))
}

/// Why an answer did not arrive whole. The library's `is_decode` is no help: a time-out inside the body sets it, too.
fn lost(error: &reqwest::Error) -> UnknownReason {
    if error.is_timeout() { UnknownReason::Timeout } else { UnknownReason::ConnectionLost }
}

#[cfg(test)]
mod tests;
