//! What came of a call to Amazon. An [`Outcome`] is not a `Result`: "we do not know" is a third answer, and `?` would
//! hide it.
//!
//! Nothing here quotes an answer's body: a body can hold a claim code.

use super::ClaimCode;

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
    pub const fn reason(&self) -> &'static str {
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

words! {
    /// Amazon's `errorType`, as far as we know the word (`agcod-reference.md` 5.4). A closed set on purpose: what Amazon
    /// writes there is not stored as text.
    ErrorType {
        /// The account cannot pay.
        InsufficientFunds = "InsufficientFunds",
        /// The account has problems.
        AccountHasProblems = "AccountHasProblems",
        /// Not permitted; also the answer to the cancel of an unknown id.
        OperationNotPermitted = "OperationNotPermitted",
        /// The contract's cap is used up.
        IssuanceCapExceeded = "IssuanceCapExceeded",
        /// The daily velocity limit is used up.
        CustomerSurpassedDailyVelocityLimit = "CustomerSurpassedDailyVelocityLimit",
        /// No contract.
        ActiveContractNotFound = "ActiveContractNotFound",
        /// The account is blocked.
        CustomerAccountBlocked = "CustomerAccountBlocked",
        /// Blocked, older word.
        BlockedCustomer = "BlockedCustomer",
        /// Unknown customer.
        UnknownCustomer = "UnknownCustomer",
        /// The access key is not valid for the account.
        InvalidAwsAccessKeyId = "InvalidAwsAccessKeyId",
        /// The access key is not valid, other word.
        InvalidAccessKey = "InvalidAccessKey",
        /// No access.
        AccessDenied = "AccessDenied",
        /// Wrong partner id.
        InvalidPartnerId = "InvalidPartnerId",
        /// Partner id missing.
        InvalidPartnerIdInput = "InvalidPartnerIdInput",
        /// Request body missing.
        InvalidRequestInput = "InvalidRequestInput",
        /// Card number missing.
        InvalidCardNumberInput = "InvalidCardNumberInput",
        /// Request id missing.
        InvalidRequestIdInput = "InvalidRequestIdInput",
        /// Amount missing.
        InvalidAmountInput = "InvalidAmountInput",
        /// Amount not above zero.
        InvalidAmountValue = "InvalidAmountValue",
        /// Amount not above zero, other word.
        NegativeOrZeroAmount = "NegativeOrZeroAmount",
        /// Currency missing.
        InvalidCurrencyCodeInput = "InvalidCurrencyCodeInput",
        /// Currency of another marketplace.
        InvalidCurrencyInMarketplace = "InvalidCurrencyInMarketplace",
        /// Currency other than the account's.
        CurrencyCodeMismatch = "CurrencyCodeMismatch",
        /// Amount above the maximum.
        MaxAmountExceeded = "MaxAmountExceeded",
        /// Amount below the minimum.
        AmountBelowMinThreshold = "AmountBelowMinThreshold",
        /// The currency has no fractions.
        FractionalAmountNotAllowed = "FractionalAmountNotAllowed",
        /// Another amount under the same id.
        RequestedDenominationMismatch = "RequestedDenominationMismatch",
        /// The id is too long.
        RequestIdTooLong = "RequestIdTooLong",
        /// The id does not start with the partner id.
        RequestIdMustStartWithPartnerName = "RequestIdMustStartWithPartnerName",
        /// The gcId is not the request's.
        InvalidGCIdInput = "InvalidGCIdInput",
        /// The 15 minutes are over.
        CancelRequestArrivedAfterTimeLimit = "CancelRequestArrivedAfterTimeLimit",
        /// The card cannot be refunded (claimed).
        GcNotReadyForRefund = "GcNotReadyForRefund",
        /// The partner may not read the activity report. Amazon writes `API` in front of it; see `ErrorType::from_amazon`.
        ActivityPageDisabled = "GetGiftCardActivityPageIsDisabled",
        /// A date of the report's period cannot be read.
        InvalidDateFormat = "InvalidDateFormat",
        /// The report's first date is missing or not allowed.
        InvalidStartDate = "InvalidStartDate",
        /// The report's last date is missing or not allowed.
        InvalidEndDate = "InvalidEndDate",
        /// The report's dates are the wrong way round.
        StartDateAfterEndDate = "StartDateAfterEndDate",
        /// There is no such page.
        InvalidPageIndex = "InvalidPageIndex",
        /// A page has at least one record.
        InvalidPageSize = "InvalidPageSize",
        /// A page has at most 1,000 records.
        MaxPageSizeExceeded = "MaxPageSizeExceeded",
        /// A physical card's word, which a mock id answers.
        CardAlreadyActivatedWithDifferentRequestId = "CardAlreadyActivatedWithDifferentRequestId",
        /// The word that says nothing.
        GeneralError = "GeneralError",
        /// A word that is not in this list, or none.
        Other = "Other",
    }
}

impl ErrorType {
    /// The type that Amazon's word names. One of its words begins with `API`, which no column of ours takes: so many
    /// capitals could be a claim code's.
    #[must_use]
    pub fn from_amazon(word: &str) -> Self {
        Self::from_word(word.strip_prefix("API").unwrap_or(word)).unwrap_or(Self::Other)
    }
}

words! {
    /// Why we know that nothing reached Amazon.
    NotSent {
        /// No connection: refused, DNS, TLS, or the connect time-out.
        Connect = "connect",
        /// The request could not be built or signed.
        Build = "build",
        /// There was no slot of Amazon's rate in time.
        Quota = "quota",
    }
}

words! {
    /// Why Amazon rejected a request before it looked at the operation.
    AuthRejection {
        /// The signature does not match: wrong secret, or something on the way changed the request.
        Signature = "signature",
        /// The signature's time is too far from Amazon's clock.
        ClockSkew = "clock_skew",
        /// The access key or token is not valid.
        AccessKey = "access_key",
    }
}

words! {
    /// Why an outcome is unknown.
    UnknownReason {
        /// No complete answer within the time limit.
        Timeout = "timeout",
        /// The connection ended before or inside the answer.
        ConnectionLost = "connection_lost",
        /// The answer is larger than the cap.
        TooLarge = "too_large",
        /// The answer is not JSON, is labelled as something else, or is cut.
        NotJson = "not_json",
        /// JSON, but not the operation's answer.
        WrongShape = "wrong_shape",
        /// SUCCESS without a usable claim code.
        NoClaimCode = "no_claim_code",
        /// F100: Amazon's internal error.
        F100 = "F100",
        /// F400 or status RESEND: Amazon asks to send it again.
        Resend = "F400",
        /// F500: unknown error.
        F500 = "F500",
        /// Over the allowed rate. Probably nothing was done; treated as unknown because nobody promises it.
        Throttled = "throttled",
        /// A 5xx without an answer that we know.
        ServerError = "server_error",
        /// A redirect: never followed.
        Redirect = "redirect",
        /// A refusal that is in no list: unknown errorCode or status.
        Unlisted = "unlisted",
        /// The process died or lost its lease before the outcome was written.
        Interrupted = "interrupted",
    }
}
