//! Amazon Pay's reason codes, as far as we know the words: of refusals, of states, and of permissions.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::word_methods;

/// A reason code. A closed set on purpose: what Amazon writes there is not stored as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[expect(missing_docs, reason = "the variants are Amazon's words themselves; `PROTOCOL.md` says what each asks for")]
pub enum PayReason {
    // Of a request.
    InvalidHeaderValue,
    InvalidRequest,
    InvalidParameterValue,
    InvalidRequestFormat,
    MissingHeader,
    MissingHeaderValue,
    MissingParameterValue,
    UnrecognizedField,
    InvalidParameterCombination,
    CurrencyMismatch,
    #[strum(serialize = "InvalidAPIVersion")]
    InvalidApiVersion,
    InvalidSandboxSimulationSpecified,
    DuplicateIdempotencyKey,
    AmountMismatch,
    UnsupportedOperation,
    RequestNotSupported,
    #[strum(serialize = "TLSVersionNotSupported")]
    TlsVersionNotSupported,
    ResourceNotFound,
    // Of a key or an account.
    UnauthorizedAccess,
    InvalidAuthentication,
    InvalidAccountStatus,
    InvalidRequestSignature,
    InvalidAuthorizationToken,
    // Of Amazon's service.
    RequestTimeout,
    TooManyRequests,
    InternalServerError,
    ServiceUnavailable,
    ProcessingFailure,
    // Of a limit.
    TransactionAmountExceeded,
    PeriodicAmountExceeded,
    TransactionCountExceeded,
    // Of a decline.
    SoftDeclined,
    HardDeclined,
    AmazonRejected,
    TransactionTimedOut,
    PaymentMethodNotAllowed,
    #[strum(serialize = "MFANotCompleted")]
    MfaNotCompleted,
    CheckoutSessionCanceled,
    // Of a state that does not allow the call.
    InvalidChargePermissionStatus,
    InvalidChargeStatus,
    ChargePermissionNotModifiable,
    InvalidCheckoutSessionStatus,
    // Of a charge's or a permission's end.
    ExpiredUnused,
    Expired,
    MerchantCanceled,
    MerchantClosed,
    BuyerCanceled,
    BuyerClosed,
    AmazonCanceled,
    AmazonClosed,
    ChargePermissionCanceled,
    // Of a permission that cannot be charged now.
    PaymentMethodInvalid,
    PaymentMethodDeleted,
    PaymentMethodExpired,
    PaymentMethodNotSet,
    BillingAddressDeleted,
    #[strum(serialize = "MFAFailed")]
    MfaFailed,
    ChargeInProgress,
    AmountNotSet,
    // Of the generation before (MWS): of a request.
    InvalidAddress,
    CurrencyUnsupported,
    AmbiguousToken,
    InvalidAddressConsentToken,
    DuplicateRequest,
    DuplicateReferenceId,
    TransactionAlreadyProcessed,
    InvalidBillingAgreementId,
    InvalidOrderReferenceId,
    InvalidTransactionId,
    // Of it: of a key, an account or a clock.
    AccessDenied,
    InvalidAccessKeyId,
    SignatureDoesNotMatch,
    UnauthorizedSolutionProvider,
    MissingAuthenticationToken,
    RequestExpired,
    UserAgentHeaderMalformed,
    // Of it: of Amazon's service.
    InternalError,
    InputStreamDisconnected,
    RequestThrottled,
    QuotaExceeded,
    // Of it: of a state that does not allow the call.
    BillingAgreementConstraintsExist,
    ConstraintsExist,
    PaymentMethodNotUpdated,
    BillingAgreementNotModifiable,
    OrderReferenceNotModifiable,
    CaptureNotRefundable,
    InvalidAuthorizationStatus,
    OrderReferenceCountExceeded,
    InvalidBillingAgreementStatus,
    InvalidOrderReferenceStatus,
    InvalidCancelAttempt,
    InvalidCloseAttempt,
    // Of it: of a state.
    InvalidPaymentMethod,
    ValidationTimedOut,
    Stale,
    SellerClosed,
    SellerCanceled,
    OrderReferenceCanceled,
    MaxAmountCharged,
    MaxAuthorizationsCaptured,
    MaxAuthorizationsProcessed,
    MaxCapturesProcessed,
    MaxAmountRefunded,
    MaxRefundsProcessed,
    // Of it: what keeps a consent from being confirmed.
    ShippingAddressNotSet,
    PaymentPlanNotSet,
    BuyerConsentNotSet,
    BuyerEqualsSeller,
    /// A word that is not in this list, or none.
    Other,
}

impl PayReason {
    /// The reason that Amazon's word names.
    #[must_use]
    pub fn from_amazon(word: &str) -> Self {
        Self::from_word(word).unwrap_or(Self::Other)
    }
}

word_methods!(PayReason);
