//! Codes of problems: a stable word for each cause.

use serde::Serialize;

use super::problem::Problem;

/// One cause of refusals: a stable word with its status. Codes are added, never renamed. Those here belong to HTTP
/// itself, or to every product; each slice has its own in `problems.rs`, and `server` gathers them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    word: &'static str,
    status: u16,
    retry: Retry,
    title: &'static str,
}

/// When the same request with the same key can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Retry {
    /// At once.
    Now,
    /// After `Retry-After`, or a while.
    Later,
    /// Once the account has more funds at Amazon.
    AfterFunding,
    /// Once an operator of the service has acted.
    AfterOperator,
    /// Another request is needed.
    Never,
}

impl Code {
    pub(crate) const INVALID_REQUEST: Self =
        Self::new("invalid-request", 400, Retry::Never, "The request is malformed");
    pub(crate) const IDEMPOTENCY_KEY_MISSING: Self =
        Self::new("idempotency-key-missing", 400, Retry::Never, "The Idempotency-Key header is missing");
    pub(crate) const IDEMPOTENCY_KEY_INVALID: Self =
        Self::new("idempotency-key-invalid", 400, Retry::Never, "The Idempotency-Key header is malformed");
    pub(crate) const FORBIDDEN: Self = Self::new("forbidden", 403, Retry::Never, "This is not allowed here");
    pub(crate) const NOT_FOUND: Self = Self::new("not-found", 404, Retry::Never, "Not found");
    pub(crate) const METHOD_NOT_ALLOWED: Self =
        Self::new("method-not-allowed", 405, Retry::Never, "The method is not allowed here");
    pub(crate) const REQUEST_TIMEOUT: Self =
        Self::new("request-timeout", 408, Retry::Now, "The request's body did not arrive in time");
    pub(crate) const INVALID_STATE: Self =
        Self::new("invalid-state", 409, Retry::Never, "The state of what is asked about does not allow it");
    pub(crate) const PAYLOAD_TOO_LARGE: Self =
        Self::new("payload-too-large", 413, Retry::Never, "The request's body is too large");
    pub(crate) const UNSUPPORTED_MEDIA_TYPE: Self =
        Self::new("unsupported-media-type", 415, Retry::Never, "The request's body must be plain application/json");
    pub(crate) const QUOTA_EXCEEDED: Self =
        Self::new("quota-exceeded", 429, Retry::Later, "Too many requests are in flight");
    pub(crate) const RATE_LIMITED: Self =
        Self::new("rate-limited", 429, Retry::Later, "The API key asks more of the service than it may");
    pub(crate) const INTERNAL: Self = Self::new("internal", 500, Retry::Later, "Something went wrong here");
    pub(crate) const DEPENDENCY_UNAVAILABLE: Self =
        Self::new("dependency-unavailable", 503, Retry::Later, "A service that is needed does not answer");
    pub(crate) const AUDIT_UNAVAILABLE: Self =
        Self::new("audit-unavailable", 503, Retry::AfterOperator, "The audit takes no record; an operator must act");
    pub(crate) const OVERLOADED: Self =
        Self::new("overloaded", 503, Retry::Later, "The service is asked for more than it can do");

    /// All that belong to HTTP itself.
    pub(crate) const OF_HTTP: &[Self] = &[
        Self::INVALID_REQUEST,
        Self::IDEMPOTENCY_KEY_MISSING,
        Self::IDEMPOTENCY_KEY_INVALID,
        Self::FORBIDDEN,
        Self::NOT_FOUND,
        Self::METHOD_NOT_ALLOWED,
        Self::REQUEST_TIMEOUT,
        Self::INVALID_STATE,
        Self::PAYLOAD_TOO_LARGE,
        Self::UNSUPPORTED_MEDIA_TYPE,
        Self::QUOTA_EXCEEDED,
        Self::RATE_LIMITED,
        Self::INTERNAL,
        Self::DEPENDENCY_UNAVAILABLE,
        Self::AUDIT_UNAVAILABLE,
        Self::OVERLOADED,
    ];

    // What every product that moves money at Amazon may answer.
    pub(crate) const IDEMPOTENCY_MISMATCH: Self =
        Self::new("idempotency-mismatch", 422, Retry::Never, "The Idempotency-Key was used for another request");
    pub(crate) const AMOUNT_OUT_OF_RANGE: Self =
        Self::new("amount-out-of-range", 422, Retry::Never, "The amount is outside the account's limits");
    pub(crate) const AMOUNT_PRECISION: Self =
        Self::new("amount-precision", 422, Retry::Never, "The amount does not have the currency's decimal places");
    pub(crate) const CURRENCY_NOT_SUPPORTED: Self =
        Self::new("currency-not-supported", 422, Retry::Never, "No account deals in this currency");
    pub(crate) const UPSTREAM_REJECTED: Self =
        Self::new("upstream-rejected", 422, Retry::Never, "Amazon refused the request");
    pub(crate) const UPSTREAM_BUSY: Self =
        Self::new("upstream-busy", 429, Retry::Later, "Amazon's request rate is used up");
    pub(crate) const ACCOUNT_PROBLEM: Self =
        Self::new("account-problem", 503, Retry::AfterOperator, "Amazon refuses the account; an operator must act");

    /// All that belong to every product.
    pub(crate) const OF_PRODUCTS: &[Self] = &[
        Self::IDEMPOTENCY_MISMATCH,
        Self::AMOUNT_OUT_OF_RANGE,
        Self::AMOUNT_PRECISION,
        Self::CURRENCY_NOT_SUPPORTED,
        Self::UPSTREAM_REJECTED,
        Self::UPSTREAM_BUSY,
        Self::ACCOUNT_PROBLEM,
    ];

    pub(crate) const fn new(word: &'static str, status: u16, retry: Retry, title: &'static str) -> Self {
        Self { word, status, retry, title }
    }

    /// The word itself, as `code` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.word
    }

    #[must_use]
    pub(crate) const fn status(self) -> u16 {
        self.status
    }

    /// When the same request with the same key can succeed.
    #[must_use]
    pub(super) const fn retry(self) -> Retry {
        self.retry
    }

    /// In plain words, for people.
    #[must_use]
    pub(crate) const fn title(self) -> &'static str {
        self.title
    }

    /// Whether the same request with the same key can succeed later.
    #[must_use]
    pub(crate) const fn retryable(self) -> bool {
        !matches!(self.retry, Retry::Never)
    }

    /// A document of this code, as the description of the API shows it.
    pub(super) fn example(self) -> serde_json::Value {
        serde_json::json!(Problem::new(self).document("01990000000070008000000000000000"))
    }
}
