//! The HTTP client: signs a request, sends it once, reads the answer within limits, and hands the reply to `classify`.
//!
//! One [`PayClient`] per merchant. It logs nothing, and what it returns holds no text of Amazon's but ids.

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
    ClientBuilder, Method, Response,
    header::{CONTENT_TYPE, HeaderMap, HeaderName},
};
use zeroize::Zeroizing;

use super::{
    classify::{self, PayAnswer, PayNoReply, PayReply},
    endpoint::PayEndpoint,
    ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey, SimulationCode},
    key::MerchantKey,
    outcome::{ChargeSeen, PayDoubt, PayOutcome, PermissionSeen, RefundSeen},
    sign::{self, PayHead, PaySigned, PayUnsigned},
    wire::{self, ChargeAsked, PayUnwritable},
};
use crate::{
    failpoint,
    kernel::{Environment, HttpsProxy, Money, NotSent},
    lifecycle::workplaces::outside,
    provider::transport::{self, Cut, Reach},
};

/// Bytes of the longest answer that is read; Amazon's have some thousand.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of the longest request id of Amazon's that is kept.
const REQUEST_ID_CHARACTERS_MAX: usize = 64;
const X_AMZ_PAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-pay-request-id");

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayTimeouts {
    /// Name look-up, connection and TLS handshake.
    pub connect: Duration,
    /// A charge, a capture or a refund, from the start of the call to the last byte of the answer. Amazon asks a bank meanwhile.
    pub money: Duration,
    /// Any other call.
    pub other: Duration,
}

impl Default for PayTimeouts {
    fn default() -> Self {
        let [connect, money, other] = [2, 20, 10].map(Duration::from_secs);
        Self { connect, money, other }
    }
}

/// What the client needs to know of a merchant.
#[derive(Debug, Clone)]
pub struct PaySettings {
    /// Where the calls go.
    pub endpoint: PayEndpoint,
    /// What they are signed with.
    pub key: MerchantKey,
    /// How long they may take.
    pub timeouts: PayTimeouts,
    /// Through whom Amazon is reached; a stand-in on this machine is reached directly.
    pub https_proxy: Option<HttpsProxy>,
}

/// Why there is no client, or why a key is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PayBuildError {
    /// The key is of the other environment.
    #[error("the public key id begins with {}, and the endpoint is {}", .key.as_str(), .endpoint.as_str())]
    Environment {
        /// The environment that the key's id names.
        key: Environment,
        /// The endpoint's.
        endpoint: Environment,
    },
    /// The HTTP client could not be made, for example because the machine has no root certificates.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// Nothing is simulated with real money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a simulation code is for the sandbox alone, and this client's key is live")]
pub struct LiveKey;

/// Amazon's id of a call, for its support. What has another form is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmazonPayRequestId(String);

impl AmazonPayRequestId {
    /// Takes the header's value when it is one.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let sized = (1..=REQUEST_ID_CHARACTERS_MAX).contains(&value.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (sized && value.bytes().all(plain)).then(|| Self(value.to_owned()))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AmazonPayRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the operations' names themselves")]
pub enum PayOperation {
    CreateCharge,
    GetCharge,
    CaptureCharge,
    CancelCharge,
    CreateRefund,
    GetRefund,
    GetChargePermission,
    CloseChargePermission,
    GetCheckoutSession,
    CompleteCheckoutSession,
}

impl PayOperation {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::CreateCharge,
        Self::GetCharge,
        Self::CaptureCharge,
        Self::CancelCharge,
        Self::CreateRefund,
        Self::GetRefund,
        Self::GetChargePermission,
        Self::CloseChargePermission,
        Self::GetCheckoutSession,
        Self::CompleteCheckoutSession,
    ];

    /// Its name, as metrics and timelines have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateCharge => "CreateCharge",
            Self::GetCharge => "GetCharge",
            Self::CaptureCharge => "CaptureCharge",
            Self::CancelCharge => "CancelCharge",
            Self::CreateRefund => "CreateRefund",
            Self::GetRefund => "GetRefund",
            Self::GetChargePermission => "GetChargePermission",
            Self::CloseChargePermission => "CloseChargePermission",
            Self::GetCheckoutSession => "GetCheckoutSession",
            Self::CompleteCheckoutSession => "CompleteCheckoutSession",
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::CreateCharge | Self::CaptureCharge | Self::CreateRefund | Self::CompleteCheckoutSession => {
                Method::POST
            }
            Self::GetCharge | Self::GetRefund | Self::GetChargePermission | Self::GetCheckoutSession => Method::GET,
            Self::CancelCharge | Self::CloseChargePermission => Method::DELETE,
        }
    }

    const fn timeout(self, timeouts: PayTimeouts) -> Duration {
        match self {
            Self::CreateCharge | Self::CaptureCharge | Self::CreateRefund | Self::CompleteCheckoutSession => {
                timeouts.money
            }
            Self::GetCharge
            | Self::CancelCharge
            | Self::GetRefund
            | Self::GetChargePermission
            | Self::CloseChargePermission
            | Self::GetCheckoutSession => timeouts.other,
        }
    }
}

/// One call and what came of it.
#[must_use]
#[derive(Debug, Clone)]
pub struct PayExchange<T> {
    /// What is known now.
    pub outcome: PayOutcome<T>,
    /// Amazon's id of the call.
    pub request_id: Option<AmazonPayRequestId>,
    /// Our clock when the call was signed.
    pub signed_at: DateTime<Utc>,
    /// The answer's HTTP status, also where its body did not arrive.
    pub http_status: Option<u16>,
    /// Where Amazon refuses the signature and quotes its own string to sign: whether that is ours. If it is, the key is the wrong one.
    /// If not, something changed the request on its way.
    pub signed_the_same: Option<bool>,
}

/// A merchant's client. Cheap to clone; clones share their connections and the key.
#[derive(Clone)]
pub struct PayClient {
    inner: Arc<Inner>,
    simulation: Option<SimulationCode>,
}

struct Inner {
    http: reqwest::Client,
    settings: PaySettings,
    /// What the next call is signed with; at first the settings'.
    key: RwLock<MerchantKey>,
    /// How many calls Amazon turned away for what they were signed with.
    rejections: AtomicU64,
    base_url: String,
    now: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

/// What is asked of Amazon.
struct PayAsk<'a> {
    operation: PayOperation,
    /// Behind the version.
    path: String,
    key: Option<&'a PayKey>,
    body: Result<Vec<u8>, PayUnwritable>,
}

/// What is read from an answer's head.
#[derive(Default)]
struct PayAnswerHead {
    status: Option<u16>,
    content_type: Option<String>,
    request_id: Option<AmazonPayRequestId>,
}

impl PayClient {
    /// A client for the merchant. `now` is the clock that signs; it is read once per call.
    ///
    /// # Errors
    /// [`PayBuildError`] when the key is of another environment than the endpoint, or TLS cannot be set up.
    pub fn new(
        settings: PaySettings,
        now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
    ) -> Result<Self, PayBuildError> {
        fits(&settings.key, &settings.endpoint)?;
        let http = http_builder(&settings).and_then(ClientBuilder::build).map_err(PayBuildError::Http)?;
        let inner = Inner {
            http,
            base_url: settings.endpoint.base_url(),
            key: RwLock::new(settings.key.clone()),
            rejections: AtomicU64::new(0),
            settings,
            now: Box::new(now),
        };
        Ok(Self { inner: Arc::new(inner), simulation: None })
    }

    /// The same client, whose calls ask Amazon's sandbox to simulate something.
    ///
    /// # Errors
    /// [`LiveKey`] with a client of the production environment.
    pub fn simulating(&self, code: SimulationCode) -> Result<Self, LiveKey> {
        if self.endpoint().environment() != Environment::Sandbox {
            return Err(LiveKey);
        }
        Ok(Self { inner: Arc::clone(&self.inner), simulation: Some(code) })
    }

    /// Signs every call from now on with another key of the same merchant. Amazon's idempotency keys belong to the merchant.
    ///
    /// # Errors
    /// [`PayBuildError::Environment`].
    pub fn sign_with(&self, key: MerchantKey) -> Result<(), PayBuildError> {
        fits(&key, self.endpoint())?;
        *self.inner.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// How many calls Amazon has turned away for the key, the signature or the account.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.inner.rejections.load(Ordering::Relaxed)
    }

    /// The endpoint that the calls go to.
    #[must_use]
    pub fn endpoint(&self) -> &PayEndpoint {
        &self.inner.settings.endpoint
    }

    /// Makes the charge of this key, or, if it was made, shows Amazon's first answer again. A repetition asks for the same.
    ///
    /// An amount in a currency that the region does not take is not sent.
    pub async fn create_charge(&self, key: &PayKey, asked: &ChargeAsked) -> PayExchange<ChargeSeen> {
        let body = self.taken(asked.amount).and_then(|_taken| wire::create_charge(asked));
        let ask = PayAsk { operation: PayOperation::CreateCharge, path: "charges".to_owned(), key: Some(key), body };
        self.exchange(ask, |reply| classify::created_charge(reply, asked, self.environment())).await
    }

    /// Reads a charge.
    pub async fn get_charge(&self, id: &AmazonChargeId) -> PayExchange<ChargeSeen> {
        let (path, body) = (format!("charges/{id}"), Ok(Vec::new()));
        let ask = PayAsk { operation: PayOperation::GetCharge, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_charge(reply, id, self.environment())).await
    }

    /// Takes the money of an authorized charge, all or a part, once.
    pub async fn capture_charge(&self, key: &PayKey, id: &AmazonChargeId, amount: Money) -> PayExchange<ChargeSeen> {
        let body = self.taken(amount).and_then(wire::capture);
        let (operation, path) = (PayOperation::CaptureCharge, format!("charges/{id}/capture"));
        let ask = PayAsk { operation, path, key: Some(key), body };
        self.exchange(ask, |reply| classify::captured(reply, id, amount, self.environment())).await
    }

    /// Gives back what a charge holds and has not taken. The reason is for people.
    pub async fn cancel_charge(&self, id: &AmazonChargeId, reason: &str) -> PayExchange<ChargeSeen> {
        let (path, body) = (format!("charges/{id}/cancel"), wire::cancel_charge(reason));
        let ask = PayAsk { operation: PayOperation::CancelCharge, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_charge(reply, id, self.environment())).await
    }

    /// Makes the refund of this key, or, if it was made, shows Amazon's first answer again.
    pub async fn create_refund(&self, key: &PayKey, charge: &AmazonChargeId, amount: Money) -> PayExchange<RefundSeen> {
        let body = self.taken(amount).and_then(|taken| wire::create_refund(charge, taken));
        let ask = PayAsk { operation: PayOperation::CreateRefund, path: "refunds".to_owned(), key: Some(key), body };
        self.exchange(ask, |reply| classify::created_refund(reply, charge, amount, self.environment())).await
    }

    /// Reads a refund.
    pub async fn get_refund(&self, id: &AmazonRefundId) -> PayExchange<RefundSeen> {
        let (path, body) = (format!("refunds/{id}"), Ok(Vec::new()));
        let ask = PayAsk { operation: PayOperation::GetRefund, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_refund(reply, id, self.environment())).await
    }

    /// Reads a charge permission.
    pub async fn get_charge_permission(&self, id: &AmazonPermissionId) -> PayExchange<PermissionSeen> {
        let (path, body) = (format!("chargePermissions/{id}"), Ok(Vec::new()));
        let ask = PayAsk { operation: PayOperation::GetChargePermission, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_permission(reply, id, self.environment())).await
    }

    /// Ends a charge permission, and with `cancel_pending` what is pending under it. The reason is for people.
    pub async fn close_charge_permission(
        &self,
        id: &AmazonPermissionId,
        reason: &str,
        cancel_pending: bool,
    ) -> PayExchange<PermissionSeen> {
        let (path, body) = (format!("chargePermissions/{id}/close"), wire::close_permission(reason, cancel_pending));
        let ask = PayAsk { operation: PayOperation::CloseChargePermission, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_permission(reply, id, self.environment())).await
    }

    fn environment(&self) -> Environment {
        self.endpoint().environment()
    }

    fn taken(&self, amount: Money) -> Result<Money, PayUnwritable> {
        let takes = self.endpoint().region().takes(amount.currency());
        if takes { Ok(amount) } else { Err(PayUnwritable) }
    }

    async fn exchange<T>(&self, ask: PayAsk<'_>, classify: impl Fn(PayReply<'_>) -> PayOutcome<T>) -> PayExchange<T> {
        // The one reading of the clock: `x-amz-pay-date` and the caller's record agree by design.
        let signed_at = (self.inner.now)();
        let operation = ask.operation;
        let mut head = PayAnswerHead::default();
        let (received, to_sign) = match self.sign(ask, signed_at) {
            Ok((path, signed, body)) => {
                let received = outside(self.send(operation, &path, signed.headers, body, &mut head)).await;
                (received, Some(signed.to_sign))
            }
            Err(no_reply) => (Err(no_reply), None),
        };
        let reply = match (&received, head.status) {
            (Ok(body), Some(status)) => Ok(PayAnswer { status, content_type: head.content_type.as_deref(), body }),
            (Ok(_), None) => Err(PayNoReply::Unknown(PayDoubt::ConnectionLost)),
            (Err(no_reply), _) => Err(*no_reply),
        };
        let outcome = classify(reply);
        if matches!(outcome, PayOutcome::TurnedAway(_)) {
            self.inner.rejections.fetch_add(1, Ordering::Relaxed);
        }
        let signed_the_same = to_sign.and_then(|to_sign| classify::quotes(reply, &to_sign));
        let PayAnswerHead { status: http_status, request_id, .. } = head;
        PayExchange { outcome, request_id, signed_at, http_status, signed_the_same }
    }

    fn sign(&self, ask: PayAsk<'_>, at: DateTime<Utc>) -> Result<(String, PaySigned, Bytes), PayNoReply> {
        let unbuilt = PayNoReply::NotSent(NotSent::Build);
        let body = Bytes::from(ask.body.map_err(|PayUnwritable| unbuilt)?);
        let endpoint = self.endpoint();
        let merchant = self.inner.key.read().unwrap_or_else(PoisonError::into_inner).clone();
        let path = format!("{}/{}", endpoint.path_prefix(merchant.environment().is_some()), ask.path);
        let method = ask.operation.method();
        let head = PayHead {
            method: method.as_str(),
            path: &path,
            region: endpoint.region(),
            key: ask.key,
            simulation: self.simulation.as_ref(),
            at,
        };
        let signed = sign::signed(head, &body, &merchant).map_err(|PayUnsigned| unbuilt)?;
        Ok((path, signed, body))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a call to Amazon Pay leaves")]
    async fn send(
        &self,
        operation: PayOperation,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        head: &mut PayAnswerHead,
    ) -> Result<Zeroizing<Vec<u8>>, PayNoReply> {
        let url = format!("{}{path}", self.inner.base_url);
        let mut request = self.inner.http.request(operation.method(), url).headers(headers);
        request = request.timeout(operation.timeout(self.inner.settings.timeouts));
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| unsent(&error))?;
        *head = PayAnswerHead::read(&response);
        failpoint::pass("head", operation.as_str());
        transport::body(response, ANSWER_BYTES_MAX).await.map_err(|cut| match cut {
            Cut::TooLong => PayNoReply::Unknown(PayDoubt::TooLarge),
            Cut::Broken(error) => PayNoReply::Unknown(lost(&error)),
        })
    }
}

impl PayAnswerHead {
    fn read(response: &Response) -> Self {
        let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        Self {
            status: Some(response.status().as_u16()),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            request_id: text(X_AMZ_PAY_REQUEST_ID).and_then(AmazonPayRequestId::parse),
        }
    }
}

/// A key that names its environment names the endpoint's.
fn fits(key: &MerchantKey, endpoint: &PayEndpoint) -> Result<(), PayBuildError> {
    match key.environment() {
        Some(named) if named != endpoint.environment() => {
            Err(PayBuildError::Environment { key: named, endpoint: endpoint.environment() })
        }
        Some(_) | None => Ok(()),
    }
}

fn http_builder(settings: &PaySettings) -> reqwest::Result<ClientBuilder> {
    let amazon = || Reach::Amazon { proxy: settings.https_proxy.clone() };
    let reach = if settings.endpoint.is_loopback() { Reach::Loopback } else { amazon() };
    transport::builder(&reach, settings.timeouts.connect, settings.timeouts.money)
}

/// Why there was no answer. A connect time-out is both `is_connect` and `is_timeout`. Only the first proves that nothing
/// was sent, so it is tested first.
pub(super) fn unsent(error: &reqwest::Error) -> PayNoReply {
    if error.is_connect() {
        return PayNoReply::NotSent(transport::unconnected(error));
    }
    if error.is_builder() {
        return PayNoReply::NotSent(NotSent::Build);
    }
    PayNoReply::Unknown(lost(error))
}

pub(super) fn lost(error: &reqwest::Error) -> PayDoubt {
    if error.is_timeout() { PayDoubt::Timeout } else { PayDoubt::ConnectionLost }
}

mod sessions;
#[cfg(test)]
mod tests;
