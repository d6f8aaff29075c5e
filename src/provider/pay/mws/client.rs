//! The HTTP client: signs a form, sends it once, reads the answer within limits. And the calls that both generations have, made of the
//! operations of this one.
//!
//! One [`MwsClient`] per seller. It logs nothing, and what it returns holds no text of Amazon's but ids.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use reqwest::{
    ClientBuilder,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use zeroize::Zeroizing;

use super::{
    ask::MwsOperation,
    call::{MwsAuthorize, MwsCall, MwsCapture, MwsCaptureId, MwsRefund},
    classify, neutral,
    seen::{MwsAuthorizationSeen, MwsCaptureSeen, MwsSeen},
    sign::{self, MwsKey, VERSION},
    simulation::{self, Simulated},
};
use crate::{
    failpoint,
    kernel::{Environment, HttpsProxy, Money, NotSent, PayRegion},
    lifecycle::workplaces::outside,
    provider::{
        pay::{
            classify::{PayAnswer, PayNoReply},
            client::{AmazonPayRequestId, LiveKey, PayBuildError, PayExchange, PayTimeouts, lost, unsent},
            endpoint::PayEndpoint,
            ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey, SimulationCode},
            outcome::{ChargeSeen, PayDoubt, PayOutcome, PermissionSeen, RefundSeen},
            wire::ChargeAsked,
        },
        transport::{self, Cut, Reach},
    },
};

/// Bytes of the longest answer that is read; Amazon's have some thousand.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
const X_MWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-mws-request-id");

/// What the client needs to know of a seller.
#[derive(Debug, Clone)]
pub struct MwsSettings {
    /// Where the calls go.
    pub endpoint: PayEndpoint,
    /// What they are signed with.
    pub key: MwsKey,
    /// How long they may take.
    pub timeouts: PayTimeouts,
    /// Through whom Amazon is reached; a stand-in on this machine is reached directly.
    pub https_proxy: Option<HttpsProxy>,
}

/// A seller's client. Cheap to clone; clones share their connections and the key.
#[derive(Clone)]
pub struct MwsClient {
    inner: Arc<MwsInner>,
    simulation: Option<SimulationCode>,
}

struct MwsInner {
    http: reqwest::Client,
    settings: MwsSettings,
    /// How many calls Amazon turned away for what they were signed with.
    rejections: AtomicU64,
    url: String,
    path: String,
    user_agent: HeaderValue,
    now: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

/// What a buyer consented to: the first letter of its id says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MwsConsent {
    Order,
    Agreement,
}

impl MwsConsent {
    /// `None` for an id of the other environment, which Amazon answers with a fault of its own for ever, and for any other letter.
    fn of(id: &AmazonPermissionId, environment: Environment) -> Option<Self> {
        match (id.as_str().as_bytes().first()?, environment) {
            (b'S', Environment::Sandbox) | (b'P', Environment::Production) => Some(Self::Order),
            (b'C', Environment::Sandbox) | (b'B', Environment::Production) => Some(Self::Agreement),
            _ => None,
        }
    }
}

/// Amazon's host of a region.
const fn host(region: PayRegion) -> &'static str {
    match region {
        PayRegion::Jp => "mws.amazonservices.jp",
        PayRegion::Na => "mws.amazonservices.com",
        PayRegion::Eu => "mws-eu.amazonservices.com",
    }
}

impl MwsClient {
    /// A client for the seller. `now` is the clock that signs; it is read once per call.
    ///
    /// # Errors
    /// [`PayBuildError`] when TLS cannot be set up.
    pub fn new(
        settings: MwsSettings,
        now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
    ) -> Result<Self, PayBuildError> {
        let amazon = || Reach::Amazon { proxy: settings.https_proxy.clone() };
        let reach = if settings.endpoint.is_loopback() { Reach::Loopback } else { amazon() };
        let (connect, total) = (settings.timeouts.connect, settings.timeouts.money);
        let http =
            transport::builder(&reach, connect, total).and_then(ClientBuilder::build).map_err(PayBuildError::Http)?;
        let folder = match settings.endpoint.environment() {
            Environment::Sandbox => "OffAmazonPayments_Sandbox",
            Environment::Production => "OffAmazonPayments",
        };
        // Without a slash at the end: one would be signed.
        let path = format!("/{folder}/{VERSION}");
        let url = format!("{}{path}", settings.endpoint.base_url_of(host(settings.endpoint.region())));
        // Amazon refuses one of another form.
        let agent = format!("noshi/{} (Language=Rust; Platform={})", env!("CARGO_PKG_VERSION"), std::env::consts::OS);
        let user_agent = HeaderValue::from_str(&agent).unwrap_or(HeaderValue::from_static("noshi/0 (Language=Rust)"));
        let (now, rejections) = (Box::new(now), AtomicU64::new(0));
        let inner = MwsInner { http, settings, rejections, url, path, user_agent, now };
        Ok(Self { inner: Arc::new(inner), simulation: None })
    }

    /// The same client, whose calls ask Amazon's sandbox to simulate something.
    ///
    /// # Errors
    /// [`LiveKey`] with a client of the production environment.
    pub fn simulating(&self, code: SimulationCode) -> Result<Self, LiveKey> {
        if self.environment() != Environment::Sandbox {
            return Err(LiveKey);
        }
        Ok(Self { inner: Arc::clone(&self.inner), simulation: Some(code) })
    }

    /// Whether a charge, or a refund, can be simulated so.
    #[must_use]
    pub fn simulates(refund: bool, code: &SimulationCode) -> bool {
        let of = if refund { Simulated::Refund } else { Simulated::Authorization };
        simulation::note(of, code).is_some()
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

    /// Makes the charge of this key: an authorization, and with `capture_now` its capture. A repetition asks for the same.
    ///
    /// An amount in a currency that the region does not take is not sent, nor a consent of the other environment.
    pub async fn create_charge(&self, key: &PayKey, asked: &ChargeAsked) -> PayExchange<ChargeSeen> {
        let Some(call) = self.authorization(key, asked) else { return self.unbuilt() };
        let made = self.ask(&call).await;
        self.with_capture(made).await
    }

    /// Reads a charge: its authorization, and its capture where it has one.
    pub async fn get_charge(&self, id: &AmazonChargeId) -> PayExchange<ChargeSeen> {
        let read = self.ask(&MwsCall::GetAuthorizationDetails(id.clone())).await;
        self.with_capture(read).await
    }

    /// Takes the money of an authorized charge, all or a part, once.
    pub async fn capture_charge(&self, key: &PayKey, id: &AmazonChargeId, amount: Money) -> PayExchange<ChargeSeen> {
        let (Some(note), true) = (self.note(Simulated::Capture), self.takes(amount)) else { return self.unbuilt() };
        let (authorization, key) = (id.clone(), key.clone());
        let taken =
            self.ask(&MwsCall::Capture(MwsCapture { authorization, key, amount, note, soft_descriptor: None })).await;
        // The capture names no authorization.
        self.then_read(taken, id).await
    }

    /// Gives back what a charge holds and has not taken. The reason is for people.
    pub async fn cancel_charge(&self, id: &AmazonChargeId, reason: &str) -> PayExchange<ChargeSeen> {
        let closed = self.ask(&MwsCall::CloseAuthorization(id.clone(), reason.to_owned())).await;
        self.then_read(closed, id).await
    }

    /// Makes the refund of this key. It needs the id of the charge's capture, which is read first: when that comes to nothing, nothing of
    /// the refund was sent.
    pub async fn create_refund(&self, key: &PayKey, charge: &AmazonChargeId, amount: Money) -> PayExchange<RefundSeen> {
        let (Some(note), true) = (self.note(Simulated::Refund), self.takes(amount)) else { return self.unbuilt() };
        let read = self.ask(&MwsCall::GetAuthorizationDetails(charge.clone())).await;
        let PayOutcome::Seen(MwsSeen::Authorization(MwsAuthorizationSeen { captures, .. })) = &read.outcome else {
            return turned(read, |_seen| PayOutcome::Unknown(PayDoubt::WrongShape));
        };
        let capture = captures.first().cloned();
        // What is refunded was paid, so an authorization without a capture is another than was meant.
        let Some(capture) = capture else { return turned(read, |_seen| PayOutcome::Unknown(PayDoubt::Mismatch)) };
        let asked = MwsRefund { capture, key: key.clone(), amount, note, soft_descriptor: None };
        turned(self.ask(&MwsCall::Refund(asked)).await, refund)
    }

    /// Reads a refund.
    pub async fn get_refund(&self, id: &AmazonRefundId) -> PayExchange<RefundSeen> {
        turned(self.ask(&MwsCall::GetRefundDetails(id.clone())).await, refund)
    }

    /// Reads what a buyer consented to: an order reference, or a billing agreement.
    pub async fn get_charge_permission(&self, id: &AmazonPermissionId) -> PayExchange<PermissionSeen> {
        let call = match MwsConsent::of(id, self.environment()) {
            Some(MwsConsent::Order) => MwsCall::GetOrderReferenceDetails(id.clone()),
            Some(MwsConsent::Agreement) => MwsCall::GetBillingAgreementDetails(id.clone()),
            None => return self.unbuilt(),
        };
        turned(self.ask(&call).await, |seen| match permission(seen) {
            Some(seen) => PayOutcome::Seen(seen),
            None => PayOutcome::Unknown(PayDoubt::WrongShape),
        })
    }

    /// Ends what a buyer consented to. With `cancel_pending` an order is canceled, and with it what is held for it; a billing agreement
    /// has no such choice. The reason is for people.
    pub async fn close_charge_permission(
        &self,
        id: &AmazonPermissionId,
        reason: &str,
        cancel_pending: bool,
    ) -> PayExchange<PermissionSeen> {
        let Some(note) = self.note(Simulated::End) else { return self.unbuilt() };
        let reason = note.unwrap_or_else(|| reason.to_owned());
        let call = match MwsConsent::of(id, self.environment()) {
            Some(MwsConsent::Order) if cancel_pending => MwsCall::CancelOrderReference(id.clone(), reason),
            Some(MwsConsent::Order) => MwsCall::CloseOrderReference(id.clone(), reason),
            Some(MwsConsent::Agreement) => MwsCall::CloseBillingAgreement(id.clone(), reason),
            None => return self.unbuilt(),
        };
        let closed = self.ask(&call).await;
        if matches!(closed.outcome, PayOutcome::Seen(_)) {
            return after_done(self.get_charge_permission(id).await);
        }
        turned(closed, |_seen| PayOutcome::Unknown(PayDoubt::WrongShape))
    }

    /// One call of any operation. Each is sent exactly once.
    pub async fn ask(&self, call: &MwsCall) -> PayExchange<MwsSeen> {
        // The one reading of the clock: `Timestamp` and the caller's record agree by design.
        let signed_at = (self.inner.now)();
        let settings = &self.inner.settings;
        let (operation, mut head) = (call.operation(), MwsAnswerHead::default());
        let received = match call.parameters() {
            Ok(parameters) => {
                let (host, path) = (host(settings.endpoint.region()), self.inner.path.as_str());
                let form = sign::signed_form(host, path, operation.as_str(), parameters, &settings.key, signed_at);
                outside(self.send(operation, form, &mut head)).await
            }
            Err(_unwritable) => Err(PayNoReply::NotSent(NotSent::Build)),
        };
        let reply = match (&received, head.status) {
            (Ok(body), Some(status)) => Ok(PayAnswer { status, content_type: None, body }),
            (Ok(_), None) => Err(PayNoReply::Unknown(PayDoubt::ConnectionLost)),
            (Err(no_reply), _) => Err(*no_reply),
        };
        let outcome = classify::outcome(reply, call, self.environment());
        if matches!(outcome, PayOutcome::TurnedAway(_)) {
            self.inner.rejections.fetch_add(1, Ordering::Relaxed);
        }
        let MwsAnswerHead { status: http_status, request_id } = head;
        PayExchange { outcome, request_id, signed_at, http_status, signed_the_same: None }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a call to MWS leaves")]
    async fn send(
        &self,
        operation: MwsOperation,
        form: String,
        head: &mut MwsAnswerHead,
    ) -> Result<Zeroizing<Vec<u8>>, PayNoReply> {
        let inner = &self.inner;
        let timeouts = inner.settings.timeouts;
        let request = inner
            .http
            .post(&inner.url)
            // What is signed is Amazon's host, also before a stand-in.
            .header(HOST, HeaderValue::from_static(host(inner.settings.endpoint.region())))
            .header(CONTENT_TYPE, FORM)
            .header(USER_AGENT, inner.user_agent.clone())
            .timeout(if operation.asks_a_bank() { timeouts.money } else { timeouts.other })
            .body(form);
        let response = request.send().await.map_err(|error| unsent(&error))?;
        let id = response.headers().get(X_MWS_REQUEST_ID).and_then(|value| value.to_str().ok());
        head.request_id = id.and_then(AmazonPayRequestId::parse);
        head.status = Some(response.status().as_u16());
        failpoint::pass("head", operation.as_str());
        transport::body(response, ANSWER_BYTES_MAX).await.map_err(|cut| match cut {
            Cut::TooLong => PayNoReply::Unknown(PayDoubt::TooLarge),
            Cut::Broken(error) => PayNoReply::Unknown(lost(&error)),
        })
    }

    fn environment(&self) -> Environment {
        self.endpoint().environment()
    }

    fn takes(&self, amount: Money) -> bool {
        self.endpoint().region().takes(amount.currency())
    }

    /// The note that asks for what is to be simulated, which may be nothing; `None` where this cannot be.
    fn note(&self, of: Simulated) -> Option<Option<String>> {
        match &self.simulation {
            Some(code) => simulation::note(of, code).map(Some),
            None => Some(None),
        }
    }

    /// On an order, or on a billing agreement.
    fn authorization(&self, key: &PayKey, asked: &ChargeAsked) -> Option<MwsCall> {
        let ChargeAsked { permission, amount, capture_now, may_wait, reference } = asked;
        let consent = MwsConsent::of(permission, self.environment())?;
        let authorize = MwsAuthorize {
            consent: permission.clone(),
            key: key.clone(),
            amount: self.takes(*amount).then_some(*amount)?,
            may_wait: *may_wait,
            capture_now: *capture_now,
            note: self.note(Simulated::Authorization)?,
            soft_descriptor: None,
            seller_order_id: (consent == MwsConsent::Agreement).then(|| reference.clone()),
        };
        Some(match consent {
            MwsConsent::Order => MwsCall::Authorize(authorize),
            MwsConsent::Agreement => MwsCall::AuthorizeOnBillingAgreement(authorize),
        })
    }

    /// The charge whose authorization an answer shows. Where its capture cannot be read, the charge is as if it were being captured.
    async fn with_capture(&self, exchange: PayExchange<MwsSeen>) -> PayExchange<ChargeSeen> {
        let PayOutcome::Seen(MwsSeen::Authorization(MwsAuthorizationSeen { captures, .. })) = &exchange.outcome else {
            return turned(exchange, |_seen| PayOutcome::Unknown(PayDoubt::WrongShape));
        };
        let captures = captures.as_slice();
        // An authorization has one capture at most.
        let capture = match captures {
            [id] => self.capture(id).await,
            _ => None,
        };
        turned(exchange, |seen| match seen {
            MwsSeen::Authorization(seen) => PayOutcome::Seen(neutral::charge(seen, capture.as_ref())),
            MwsSeen::Order(_)
            | MwsSeen::Agreement(_)
            | MwsSeen::Capture(_)
            | MwsSeen::Refund(_)
            | MwsSeen::Validation(_)
            | MwsSeen::Health(_)
            | MwsSeen::Done => PayOutcome::Unknown(PayDoubt::WrongShape),
        })
    }

    async fn capture(&self, id: &MwsCaptureId) -> Option<MwsCaptureSeen> {
        let read = self.ask(&MwsCall::GetCaptureDetails(id.clone())).await;
        if let PayOutcome::Seen(MwsSeen::Capture(seen)) = read.outcome { Some(seen) } else { None }
    }

    /// The charge as it is after a call that shows none.
    async fn then_read(&self, done: PayExchange<MwsSeen>, id: &AmazonChargeId) -> PayExchange<ChargeSeen> {
        if matches!(done.outcome, PayOutcome::Seen(_)) {
            return after_done(self.get_charge(id).await);
        }
        turned(done, |_seen| PayOutcome::Unknown(PayDoubt::WrongShape))
    }

    /// Nothing is sent: what is asked for has no form in this generation, or is of the other environment.
    fn unbuilt<T>(&self) -> PayExchange<T> {
        PayExchange {
            outcome: PayOutcome::NotSent(NotSent::Build),
            request_id: None,
            signed_at: (self.inner.now)(),
            http_status: None,
            signed_the_same: None,
        }
    }
}

/// What is read from an answer's head.
#[derive(Default)]
struct MwsAnswerHead {
    status: Option<u16>,
    request_id: Option<AmazonPayRequestId>,
}

/// The same exchange, with what was seen judged once more.
fn turned<T>(exchange: PayExchange<MwsSeen>, judge: impl FnOnce(MwsSeen) -> PayOutcome<T>) -> PayExchange<T> {
    let PayExchange { outcome, request_id, signed_at, http_status, signed_the_same } = exchange;
    PayExchange { outcome: outcome.and_then(judge), request_id, signed_at, http_status, signed_the_same }
}

/// What a read shows of what was done just before it. Whatever else the read comes to says nothing of that, not even that nothing was sent: it
/// stays unknown, and is sent again.
fn after_done<T>(read: PayExchange<T>) -> PayExchange<T> {
    let outcome = match read.outcome {
        seen @ PayOutcome::Seen(_) => seen,
        PayOutcome::Unknown(doubt) if doubt != PayDoubt::Throttled => PayOutcome::Unknown(doubt),
        PayOutcome::Unknown(_)
        | PayOutcome::Declined(_)
        | PayOutcome::Conflict(_)
        | PayOutcome::KeyConflict
        | PayOutcome::Missing
        | PayOutcome::Rejected(_)
        | PayOutcome::TurnedAway(_)
        | PayOutcome::NotSent(_) => PayOutcome::Unknown(PayDoubt::Unlisted),
    };
    PayExchange { outcome, ..read }
}

fn refund(seen: MwsSeen) -> PayOutcome<RefundSeen> {
    if let MwsSeen::Refund(seen) = seen {
        PayOutcome::Seen(neutral::refund(seen))
    } else {
        PayOutcome::Unknown(PayDoubt::WrongShape)
    }
}

fn permission(seen: MwsSeen) -> Option<PermissionSeen> {
    match seen {
        MwsSeen::Order(seen) => Some(neutral::of_order(seen)),
        MwsSeen::Agreement(seen) => Some(neutral::of_agreement(seen)),
        MwsSeen::Authorization(_)
        | MwsSeen::Capture(_)
        | MwsSeen::Refund(_)
        | MwsSeen::Validation(_)
        | MwsSeen::Health(_)
        | MwsSeen::Done => None,
    }
}
