//! Problem documents (RFC 9457): one code per cause, stable, listed in the README.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::{kernel::RewardId, store::StoreError};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $retryable:literal, $title:literal;)+) => {
        /// The causes. Codes are added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code),+ } }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status),+ } }

            /// Whether the same request with the same key can succeed later.
            #[must_use]
            pub const fn retryable(self) -> bool { match self { $(Self::$variant => $retryable),+ } }

            const fn title(self) -> &'static str { match self { $(Self::$variant => $title),+ } }
        }
    };
}

codes! {
    /// The request is malformed.
    InvalidRequest = "invalid-request", 400, false, "The request is malformed";
    /// There is no idempotency key.
    KeyMissing = "idempotency-key-missing", 400, false, "The Idempotency-Key header is missing";
    /// The idempotency key is malformed.
    KeyInvalid = "idempotency-key-invalid", 400, false, "The Idempotency-Key header is malformed";
    /// There is no valid API key.
    Unauthorized = "unauthorized", 401, false, "A valid API key is required";
    /// The account's funds are used up.
    InsufficientFunds = "insufficient-funds", 402, true, "The account has insufficient funds";
    /// The API key lacks a scope.
    InsufficientScope = "insufficient-scope", 403, false, "The API key lacks a scope";
    /// The program is not the caller's.
    ProgramForbidden = "program-forbidden", 403, false, "The API key may not charge this program";
    /// The program takes no new rewards.
    ProgramSuspended = "program-suspended", 403, true, "The program is suspended";
    /// A budget is used up.
    BudgetExceeded = "budget-exceeded", 403, true, "A budget is used up";
    /// A limit is used up.
    LimitExceeded = "limit-exceeded", 403, false, "A limit is used up";
    /// There is no such thing, or it is not the caller's.
    NotFound = "not-found", 404, false, "Not found";
    /// The resource does not know the method.
    MethodNotAllowed = "method-not-allowed", 405, false, "The method is not allowed here";
    /// Too slow.
    RequestTimeout = "request-timeout", 408, true, "The request's body did not arrive in time";
    /// The window for cancels is closed.
    CancelWindowClosed = "cancel-window-closed", 409, false, "The cancel window is closed";
    /// The recipient has claimed it.
    AlreadyClaimed = "already-claimed", 409, false, "Amazon does not permit the cancel; the code is probably claimed";
    /// The state does not allow it.
    InvalidState = "invalid-state", 409, false, "The reward's state does not allow it";
    /// The external id names another reward.
    ExternalIdConflict = "external-id-conflict", 409, false, "The external_id names another reward";
    /// Another program has the id.
    ProgramConflict = "program-conflict", 409, false, "There is a program of that id";
    /// A reconciliation of the account is under way.
    ReconciliationRunning = "reconciliation-running", 409, true, "A reconciliation of the account is under way";
    /// The reward was canceled.
    Gone = "gone", 410, false, "The reward is canceled";
    /// The body is too large.
    PayloadTooLarge = "payload-too-large", 413, false, "The request's body is too large";
    /// The body is not plain JSON.
    UnsupportedMediaType = "unsupported-media-type", 415, false, "The request's body must be plain application/json";
    /// The key was used for another request.
    IdempotencyMismatch = "idempotency-mismatch", 422, false, "The Idempotency-Key was used for another request";
    /// The amount is outside the limits.
    AmountOutOfRange = "amount-out-of-range", 422, false, "The amount is outside the account's limits";
    /// The amount has the wrong number of decimals.
    AmountPrecision = "amount-precision", 422, false, "The amount does not have the currency's decimal places";
    /// No account deals in the currency.
    CurrencyNotSupported = "currency-not-supported", 422, false, "No account deals in this currency";
    /// Amazon refused the request for good.
    UpstreamRejected = "upstream-rejected", 422, false, "Amazon refused the request";
    /// Too much of ours is in flight.
    QuotaExceeded = "quota-exceeded", 429, true, "Too many requests are in flight";
    /// Amazon's rate is used up.
    UpstreamBusy = "upstream-busy", 429, true, "Amazon's request rate is used up";
    /// Our mistake.
    Internal = "internal", 500, true, "Something went wrong here";
    /// Amazon refuses the account.
    AccountProblem = "account-problem", 503, true, "Amazon refuses the account; an operator must act";
    /// A thing that we need is not there.
    DependencyUnavailable = "dependency-unavailable", 503, true, "A service that is needed does not answer";
}

/// Whether money has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MoneyMoved {
    /// Nothing was bought or given back by this request.
    No,
    /// The reward stands bought.
    Yes,
    /// Not known; the same key will tell.
    Unknown,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, Serialize)]
pub struct FieldError {
    /// JSON Pointer into the body.
    pub pointer: String,
    /// A stable word.
    pub code: &'static str,
    /// In plain words; never the value itself.
    pub detail: &'static str,
}

/// What Amazon said.
#[derive(Debug, Clone, Serialize)]
pub struct Upstream {
    /// Amazon's operation.
    pub operation: &'static str,
    /// Amazon's errorCode.
    pub error_code: String,
    /// Amazon's errorType, where we know the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
}

/// A refusal, as its caller sees it. Says nothing of our insides.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: Option<String>,
    money_moved: MoneyMoved,
    errors: Vec<FieldError>,
    upstream: Option<Upstream>,
    reward_id: Option<RewardId>,
    cancelable_until: Option<DateTime<Utc>>,
    allow: Option<&'static str>,
    scope: Option<&'static str>,
    retry_at: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    instance: String,
    code: &'static str,
    retryable: bool,
    money_moved: MoneyMoved,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a Upstream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelable_until: Option<String>,
}

impl Problem {
    /// A problem of this cause, where no money has moved.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self(Box::new(Parts {
            code,
            detail: None,
            money_moved: MoneyMoved::No,
            errors: Vec::new(),
            upstream: None,
            reward_id: None,
            cancelable_until: None,
            allow: None,
            scope: None,
            retry_at: None,
        }))
    }

    /// Says more. Never put a value of the caller's or of Amazon's in.
    #[must_use]
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.0.detail = Some(text.into());
        self
    }

    /// One part of the body is wrong.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, code: &'static str, detail: &'static str) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), code, detail });
        self
    }

    /// Whether money has moved.
    #[must_use]
    pub fn money(mut self, moved: MoneyMoved) -> Self {
        self.0.money_moved = moved;
        self
    }

    /// What Amazon said.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.0.upstream = Some(upstream);
        self
    }

    /// Which reward it is about.
    #[must_use]
    pub fn reward(mut self, id: RewardId) -> Self {
        self.0.reward_id = Some(id);
        self
    }

    /// When the window closed.
    #[must_use]
    pub fn cancelable_until(mut self, until: Option<DateTime<Utc>>) -> Self {
        self.0.cancelable_until = until;
        self
    }

    /// Which methods the resource knows.
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Which scope is lacking.
    #[must_use]
    pub fn scope(mut self, scope: &'static str) -> Self {
        self.0.scope = Some(scope);
        self
    }

    /// When the same request can succeed.
    #[must_use]
    pub fn retry_at(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.0.retry_at = at;
        self
    }

    /// The cause.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The type's URI: the registered one where there is one, else ours.
    fn kind(&self) -> String {
        if self.0.code == Code::QuotaExceeded {
            return "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned();
        }
        format!("urn:noshi:problem:{}", self.0.code.as_str())
    }

    /// The answer to the request of this id.
    #[must_use]
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = HttpResponse::build(status);
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(methods) = self.0.allow {
            answer.insert_header((header::ALLOW, methods));
        }
        if self.0.code == Code::Unauthorized {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"noshi\", error=\"invalid_token\""));
        }
        if let Some(scope) = self.0.scope {
            let challenge = format!("Bearer realm=\"noshi\", error=\"insufficient_scope\", scope=\"{scope}\"");
            answer.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(at) = self.0.retry_at {
            // An HTTP-date (RFC 9110, 10.2.3): the next midnight is no number of seconds that stays true on its way.
            let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.insert_header((header::RETRY_AFTER, date));
        }
        if matches!(status.as_u16(), 429 | 503) {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.json(Document {
            kind: self.kind(),
            title: self.0.code.title(),
            status: self.0.code.status(),
            detail: self.0.detail.as_deref(),
            instance: format!("urn:noshi:request:{request_id}"),
            code: self.0.code.as_str(),
            retryable: self.0.code.retryable(),
            money_moved: self.0.money_moved,
            request_id,
            errors: &self.0.errors,
            upstream: self.0.upstream.as_ref(),
            reward_id: self.0.reward_id.map(|id| id.to_string()),
            cancelable_until: self.0.cancelable_until.map(timestamp),
        })
    }
}

/// An instant as our callers read it: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.as_str())
    }
}

impl std::error::Error for Problem {}

/// `observe` renders it again with the request's id; this is for what never gets there.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.respond("unknown")
    }
}

/// The store's troubles are ours: logged here once with their chain, and the caller is told to try again.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Database { .. } | StoreError::Unconfirmed => Code::DependencyUnavailable,
            StoreError::Busy => Code::QuotaExceeded,
            StoreError::Migrate(_)
            | StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::Open(_)
            | StoreError::Randomness(_) => Code::Internal,
        };
        tracing::error!(error = %crate::kernel::Chain(&error), "the store failed a request");
        Self::new(code)
    }
}
