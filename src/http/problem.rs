//! Problem documents (RFC 9457): one code per cause, stable, listed in `API.md`.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::code::{Code, Retry};
use crate::{
    kernel::{PaymentId, RewardId},
    store::StoreError,
};

/// Whether money has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MoneyMoved {
    /// Nothing was bought or given back by this request.
    No,
    /// The reward stands bought.
    Yes,
    /// Not known. A retry with the same key shows it.
    Unknown,
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// JSON Pointer (RFC 6901) into the body.
    #[schema(example = "/value/amount")]
    pub(crate) pointer: String,
    /// A stable word.
    #[schema(example = "precision")]
    pub(crate) code: &'static str,
    /// What was expected; never the value itself.
    #[schema(example = "must have exactly the currency's decimal places")]
    pub(crate) detail: Cow<'static, str>,
}

/// What Amazon said.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Upstream {
    /// Amazon's operation.
    #[schema(example = "CreateGiftCard")]
    pub(crate) operation: &'static str,
    /// Amazon's `errorCode`, or a word of ours where Amazon gave no usable answer.
    #[schema(example = "F200")]
    pub(crate) error_code: String,
    /// Amazon's errorType, where we know the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) error_type: Option<String>,
}

/// A refusal, as its caller sees it. Says nothing of our insides.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: Option<String>,
    money_moved: MoneyMoved,
    errors: Vec<FieldError>,
    upstream: Option<Upstream>,
    reward_id: Option<RewardId>,
    payment_id: Option<PaymentId>,
    cancelable_until: Option<DateTime<Utc>>,
    allow: Option<&'static str>,
    challenge: Option<String>,
    retry_at: Option<DateTime<Utc>>,
    retry_after: Option<Duration>,
    /// The same request cannot succeed, although others of this code can.
    in_vain: bool,
    violated: Option<&'static str>,
}

/// A problem document (RFC 9457). Decide by `code`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// What leads to a page about the code; of `quota-exceeded` and `rate-limited` the registered one.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient-funds")]
    kind: String,
    /// The code in plain words.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 402)]
    status: u16,
    /// What is special about this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
    /// The request.
    #[schema(example = "urn:noshi:request:01990000000070008000000000000000")]
    instance: String,
    /// The cause: a stable word.
    #[schema(example = "insufficient-funds")]
    code: &'static str,
    /// Whether the same request with the same key can succeed later.
    retryable: bool,
    /// When: `now`, `later`, `after_funding`, `after_operator` or `never`; more may come.
    #[schema(value_type = String, example = "after_funding")]
    retry: Retry,
    /// Whether money has moved.
    money_moved: MoneyMoved,
    /// As `X-Request-Id`.
    #[schema(example = "01990000000070008000000000000000")]
    request_id: &'a str,
    /// What is wrong with single parts of the request.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// What Amazon said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    upstream: Option<&'a Upstream>,
    /// Which reward it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rwd_01990000000070008000000000000000")]
    reward_id: Option<String>,
    /// Which charge or refund of Amazon Pay it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "pmt_01990000000070008000000000000000")]
    payment_id: Option<String>,
    /// Since when it is too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    cancelable_until: Option<String>,
    /// Which policies of `RateLimit-Policy` it violates.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    violated: Option<[&'static str; 1]>,
}

impl Problem {
    /// A problem of this cause, where no money has moved.
    #[must_use]
    pub(crate) fn new(code: Code) -> Self {
        Self(Box::new(Parts {
            code,
            detail: None,
            money_moved: MoneyMoved::No,
            errors: Vec::new(),
            upstream: None,
            reward_id: None,
            payment_id: None,
            cancelable_until: None,
            allow: None,
            challenge: None,
            retry_at: None,
            retry_after: None,
            in_vain: false,
            violated: None,
        }))
    }

    /// What was said besides the title.
    #[must_use]
    pub(crate) fn said(&self) -> Option<&str> {
        self.0.detail.as_deref().or_else(|| self.0.errors.first().map(|error| error.detail.as_ref()))
    }

    /// Says more. Never put a value of the caller's or of Amazon's in.
    #[must_use]
    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.0.detail = Some(text.into());
        self
    }

    /// One part of the body is wrong.
    #[must_use]
    pub(crate) fn field(
        mut self,
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), code, detail: detail.into() });
        self
    }

    /// Whether money has moved.
    #[must_use]
    pub(crate) fn money(mut self, moved: MoneyMoved) -> Self {
        self.0.money_moved = moved;
        self
    }

    /// What Amazon said.
    #[must_use]
    pub(crate) fn upstream(mut self, upstream: Upstream) -> Self {
        self.0.upstream = Some(upstream);
        self
    }

    /// Which reward it is about.
    #[must_use]
    pub(crate) fn reward(mut self, id: RewardId) -> Self {
        self.0.reward_id = Some(id);
        self
    }

    /// Which charge or refund of Amazon Pay it is about.
    #[must_use]
    pub(crate) fn payment(mut self, id: PaymentId) -> Self {
        self.0.payment_id = Some(id);
        self
    }

    #[must_use]
    pub(crate) fn cancelable_until(mut self, until: Option<DateTime<Utc>>) -> Self {
        self.0.cancelable_until = until;
        self
    }

    /// Which methods the resource knows.
    #[must_use]
    pub(crate) fn allow(mut self, methods: &'static str) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// What the caller must authenticate with (`WWW-Authenticate`).
    #[must_use]
    pub(crate) fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.0.challenge = Some(challenge.into());
        self
    }

    /// Says that the same request cannot succeed later, whatever its code says of others.
    #[must_use]
    pub(crate) fn in_vain(mut self, whether: bool) -> Self {
        self.0.in_vain = whether;
        self
    }

    /// Which of the policies in `RateLimit-Policy` it violates.
    #[must_use]
    pub(super) fn violates(mut self, policy: &'static str) -> Self {
        self.0.violated = Some(policy);
        self
    }

    /// When the same request can succeed.
    #[must_use]
    pub(crate) fn retry_at(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.0.retry_at = at;
        self
    }

    /// How long the caller waits at least before the same request can succeed. 429 and 503 say a second if nothing else is
    /// known. [`retry_after`](super::retry_after) spreads callers on top of it.
    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// When the same request can succeed.
    #[must_use]
    pub(crate) fn retry(&self) -> Retry {
        if self.0.in_vain { Retry::Never } else { self.0.code.retry() }
    }

    /// How long that takes at least, where it is known.
    #[must_use]
    pub(crate) fn pause(&self, now: DateTime<Utc>) -> Option<Duration> {
        let until = self.0.retry_at.and_then(|at| at.signed_duration_since(now).to_std().ok());
        self.0.retry_after.or(until)
    }

    /// What is wrong with parts of the request.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The type's URI: the registered one where there is one, else ours.
    fn kind(&self) -> String {
        if [Code::QUOTA_EXCEEDED, Code::RATE_LIMITED].contains(&self.0.code) {
            return "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned();
        }
        format!("/problems/{}", self.0.code.as_str())
    }

    /// The answer to the request of this id.
    #[must_use]
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = HttpResponse::build(status);
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(methods) = self.0.allow {
            answer.insert_header((header::ALLOW, methods));
        }
        if let Some(challenge) = &self.0.challenge {
            answer.insert_header((header::WWW_AUTHENTICATE, challenge.as_str()));
        }
        if let Some(at) = self.0.retry_at {
            // `observe`, which knows what time it is, makes seconds of it.
            let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.insert_header((header::RETRY_AFTER, date));
        }
        let wait = self.0.retry_after.or_else(|| matches!(status.as_u16(), 429 | 503).then_some(Duration::ZERO));
        if let Some(wait) = wait {
            // Whole seconds, rounded up: whoever comes back then is not too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        answer.json(self.document(request_id))
    }

    pub(super) fn document<'a>(&'a self, request_id: &'a str) -> Document<'a> {
        Document {
            kind: self.kind(),
            title: self.0.code.title(),
            status: self.0.code.status(),
            detail: self.0.detail.as_deref(),
            instance: format!("urn:noshi:request:{request_id}"),
            code: self.0.code.as_str(),
            retryable: self.0.code.retryable() && !self.0.in_vain,
            retry: self.retry(),
            money_moved: self.0.money_moved,
            request_id,
            errors: &self.0.errors,
            upstream: self.0.upstream.as_ref(),
            reward_id: self.0.reward_id.map(|id| id.to_string()),
            payment_id: self.0.payment_id.map(|id| id.to_string()),
            cancelable_until: self.0.cancelable_until.map(timestamp),
            violated: self.0.violated.map(|policy| [policy]),
        }
    }
}

/// An instant as our callers read it: RFC 3339, UTC, milliseconds.
#[must_use]
pub(crate) fn timestamp(at: DateTime<Utc>) -> String {
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

/// A failure of the store is ours. It is logged here once, with its chain, and the caller gets an answer that can be
/// retried.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error.of_each() {
            StoreError::Database { .. }
            | StoreError::TooCostly { .. }
            | StoreError::Away { .. }
            | StoreError::Unconfirmed
            | StoreError::Unmet
            | StoreError::Lost(_)
            | StoreError::Session(_) => Code::DEPENDENCY_UNAVAILABLE,
            StoreError::Busy => Code::QUOTA_EXCEEDED,
            StoreError::Unaudited => Code::AUDIT_UNAVAILABLE,
            StoreError::Migrate(_)
            | StoreError::NotOwner
            | StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::Open(_)
            | StoreError::Together(_)
            | StoreError::Randomness(_) => Code::INTERNAL,
        };
        let chain = crate::kernel::Chain(&error);
        // Whoever asks for too much is refused: nothing has failed.
        if matches!(error.of_each(), StoreError::Busy) {
            tracing::warn!(error = %chain, "the store refused a request");
        } else {
            tracing::error!(error = %chain, "the store failed a request");
        }
        let problem = Self::new(code);
        if matches!(error.of_each(), StoreError::TooCostly { .. }) {
            return problem.detail("the answer took too long to find: ask for less, or for a shorter time");
        }
        if matches!(error, StoreError::Unaudited) {
            return problem
                .detail("what is done by hand is recorded, and the service has no key for that: nothing was done");
        }
        if error.is_loss() {
            return problem.detail("the service's database was removed or replaced: an operator must act");
        }
        problem
    }
}
