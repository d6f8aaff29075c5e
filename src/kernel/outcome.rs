//! What came of a call to Amazon. An [`Outcome`] is not a `Result`: "we do not know" is a third answer, and `?` would
//! hide it.
//!
//! Nothing here quotes an answer's body: a body can hold a claim code.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{ClaimCode, word_methods};

/// What is known after one attempt.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Amazon answered, and the answer is complete and makes sense.
    Proven(T),
    /// Amazon refused the operation itself (F200, F300): on a first attempt nothing was done.
    Refused(Refusal),
    /// Amazon rejected our credentials or signature before it looked at the operation (403): this attempt did nothing.
    AuthRejected(AuthRejection),
    /// It is proven that no byte of the request reached Amazon.
    NotSent(NotSent),
    /// Anything else: the operation may have been done. Replay the same bytes with the same id.
    Unknown(UnknownReason),
}

impl<T> Outcome<T> {
    /// The same outcome with another proof.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Proven(proof) => Outcome::Proven(f(proof)),
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::AuthRejected(why) => Outcome::AuthRejected(why),
            Self::NotSent(why) => Outcome::NotSent(why),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }

    /// The outcome's class as a metric label.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Proven(_) => "proven",
            Self::Refused(_) => "refused",
            Self::AuthRejected(_) => "turned_away",
            Self::NotSent(_) => "not_sent",
            Self::Unknown(_) => "ambiguous",
        }
    }

    /// What exactly it was, as a metric label and for the timeline: a word of ours or Amazon's errorCode, never free text.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Proven(_) => "none",
            Self::Refused(refusal) => refusal.family.as_str(),
            Self::AuthRejected(why) => why.as_str(),
            Self::NotSent(why) => why.as_str(),
            Self::Unknown(reason) => reason.as_str(),
        }
    }
}

/// What a complete, sensible answer to CreateGiftCard shows. `SUCCESS` alone is not deliverable
/// (`agcod-reference.md` 4.2).
pub enum CardProof {
    /// The card is live and id, amount and currency are all as asked.
    Fulfilled(ClaimCode),
    /// The card was canceled: `RefundedToPurchaser`. Its code is dead and was dropped.
    Refunded,
    /// The card has a status that is neither (`Expired` or one that we do not know).
    OddStatus,
    /// Another id, amount or currency than asked: never delivered, whatever its status.
    Mismatch,
}

/// The families of definite refusals (`agcod-reference.md` 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// F200: the request is invalid; repeating it unchanged is pointless.
    F200,
    /// F300: the account has a problem (access, contract, funds); it can be cured.
    F300,
}

impl Family {
    /// Amazon's errorCode.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F200 => "F200",
            Self::F300 => "F300",
        }
    }
}

/// A definite refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Decides everything: `errorType` may contradict it (`GeneralError` occurs in three families).
    pub family: Family,
    /// Which of the family, as far as we know the word.
    pub error_type: ErrorType,
}

impl Refusal {
    /// Whether the same request can succeed later: the account's problems can be cured, a bad request cannot.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.family {
            Family::F200 => false,
            Family::F300 => true,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in the store, in metrics and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The value that this word names.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    };
}
pub(crate) use words;

/// Amazon's `errorType`, as far as we know the word (`agcod-reference.md` 5.4). A closed set on purpose: what Amazon
/// writes there is not stored as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
pub enum ErrorType {
    /// The account cannot pay.
    InsufficientFunds,
    /// The account has problems.
    AccountHasProblems,
    /// Not permitted; also the answer to the cancel of an unknown id.
    OperationNotPermitted,
    /// The contract's cap is used up.
    IssuanceCapExceeded,
    /// The daily velocity limit is used up.
    CustomerSurpassedDailyVelocityLimit,
    /// No contract.
    ActiveContractNotFound,
    /// The account is blocked.
    CustomerAccountBlocked,
    /// Blocked, older word.
    BlockedCustomer,
    /// Unknown customer.
    UnknownCustomer,
    /// The access key is not valid for the account.
    InvalidAwsAccessKeyId,
    /// The access key is not valid, other word.
    InvalidAccessKey,
    /// No access.
    AccessDenied,
    /// Wrong partner id.
    InvalidPartnerId,
    /// Partner id missing.
    InvalidPartnerIdInput,
    /// Request body missing.
    InvalidRequestInput,
    /// Card number missing.
    InvalidCardNumberInput,
    /// Request id missing.
    InvalidRequestIdInput,
    /// Amount missing.
    InvalidAmountInput,
    /// Amount not above zero.
    InvalidAmountValue,
    /// Amount not above zero, other word.
    NegativeOrZeroAmount,
    /// Currency missing.
    InvalidCurrencyCodeInput,
    /// Currency of another marketplace.
    InvalidCurrencyInMarketplace,
    /// Currency other than the account's.
    CurrencyCodeMismatch,
    /// Amount above the maximum.
    MaxAmountExceeded,
    /// Amount below the minimum.
    AmountBelowMinThreshold,
    /// The currency has no fractions.
    FractionalAmountNotAllowed,
    /// Another amount under the same id.
    RequestedDenominationMismatch,
    /// The id is too long.
    RequestIdTooLong,
    /// The id does not start with the partner id.
    RequestIdMustStartWithPartnerName,
    /// The gcId is not the request's.
    InvalidGCIdInput,
    /// The 15 minutes are over.
    CancelRequestArrivedAfterTimeLimit,
    /// The card cannot be refunded (claimed).
    GcNotReadyForRefund,
    /// The partner may not read the activity report. Amazon writes `API` in front of it; see `ErrorType::from_amazon`.
    #[strum(serialize = "GetGiftCardActivityPageIsDisabled")]
    ActivityPageDisabled,
    /// A date of the report's period cannot be read.
    InvalidDateFormat,
    /// The report's first date is missing or not allowed.
    InvalidStartDate,
    /// The report's last date is missing or not allowed.
    InvalidEndDate,
    /// The report's dates are the wrong way round.
    StartDateAfterEndDate,
    /// There is no such page.
    InvalidPageIndex,
    /// A page has at least one record.
    InvalidPageSize,
    /// A page has at most 1,000 records.
    MaxPageSizeExceeded,
    /// A physical card's word, which a mock id answers.
    CardAlreadyActivatedWithDifferentRequestId,
    /// The word that says nothing.
    GeneralError,
    /// A word that is not in this list, or none.
    Other,
}

impl ErrorType {
    /// The type that Amazon's word names. One of its words begins with `API`, which no column of ours takes: so many
    /// capitals could be a claim code's.
    #[must_use]
    pub fn from_amazon(word: &str) -> Self {
        Self::from_word(word.strip_prefix("API").unwrap_or(word)).unwrap_or(Self::Other)
    }
}

/// Why we know that nothing reached Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NotSent {
    /// No connection: refused, DNS, TLS, or the connect time-out.
    Connect,
    /// The request could not be built or signed.
    Build,
    /// There was no slot of Amazon's rate in time.
    Quota,
}

/// Why Amazon rejected a request before it looked at the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AuthRejection {
    /// The signature does not match: wrong secret, or something on the way changed the request.
    Signature,
    /// The signature's time is too far from Amazon's clock.
    ClockSkew,
    /// The access key or token is not valid.
    AccessKey,
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum UnknownReason {
    /// No complete answer within the time limit.
    Timeout,
    /// The connection ended before or inside the answer.
    ConnectionLost,
    /// The answer is larger than the cap.
    TooLarge,
    /// The answer is not JSON, is labelled as something else, or is cut.
    NotJson,
    /// JSON, but not the operation's answer.
    WrongShape,
    /// SUCCESS without a usable claim code.
    NoClaimCode,
    /// F100: Amazon's internal error.
    #[strum(serialize = "F100")]
    F100,
    /// F400 or status RESEND: Amazon asks to send it again.
    #[strum(serialize = "F400")]
    Resend,
    /// F500: unknown error.
    #[strum(serialize = "F500")]
    F500,
    /// Over the allowed rate. Probably nothing was done; treated as unknown because nobody promises it.
    Throttled,
    /// A 5xx without an answer that we know.
    ServerError,
    /// A redirect: never followed.
    Redirect,
    /// A refusal that is in no list: unknown errorCode or status.
    Unlisted,
    /// The process died or lost its lease before the outcome was written.
    Interrupted,
}

word_methods!(ErrorType, NotSent, AuthRejection, UnknownReason);
