//! How the Incentives API refuses: a family, which decides, and a type, which says more (`PROTOCOL.md`).

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::{
    outcome::{self, RefusalCode},
    word_methods,
};

/// What came of a call to the Incentives API.
pub type Outcome<T> = outcome::Outcome<T, Refusal>;

/// The families of definite refusals (`PROTOCOL.md`).
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

impl RefusalCode for Refusal {
    fn code(&self) -> &'static str {
        self.family.as_str()
    }
}

/// Amazon's `errorType`, as far as we know the word (`PROTOCOL.md`). A closed set on purpose: what Amazon
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
    /// Another id has activated the card. Amazon's sandbox answers this word.
    CardAlreadyActivatedWithDifferentRequestId,
    /// The same, as Amazon's list has it.
    CardActivatedWithDifferentRequestId,
    /// The id has activated the card with another value.
    CardActivatedWithDifferentDenomination,
    /// There is no such card.
    CardNotFound,
    /// There is no card of that number.
    CardNumberNotFound,
    /// The number has too few digits.
    CardNumberTooShort,
    /// The checksum is not the number's.
    CardNumberCheckSumError,
    /// The card may not be activated.
    ActivationNotAllowed,
    /// The card may not be deactivated (any more).
    DeactivationNotAllowed,
    /// No activation has this id.
    NonExistingActivationRequestId,
    /// The id is another card's activation.
    WrongActivationRequestId,
    /// The id is used for another card.
    ActivationRequestIdAlreadyBeenUsed,
    /// A reseller's create names no program.
    ProgramIdNotPresent,
    /// There is no such program of the partner's.
    InvalidProgramId,
    /// Amazon has not approved the program.
    ProgramIsNotApproved,
    /// The reference has more than 100 characters.
    ExternalReferenceTooLong,
    /// There is no Amazon account of that barcode, phone number or id. This word and the next two are our sandbox's: Amazon's own
    /// list for loads is not published.
    AccountNotFound,
    /// The account, or the barcode, cannot be loaded (any more).
    AccountNotActive,
    /// No account is named.
    InvalidAccountInput,
    /// The word that says nothing.
    GeneralError,
    /// A word that is not in this list, or none.
    Other,
}

impl ErrorType {
    /// The type that Amazon's word names. Amazon writes `API` in front of one of them. No column of ours takes that
    /// word: so many capitals in a row could be a claim code.
    #[must_use]
    pub fn from_amazon(word: &str) -> Self {
        Self::from_word(word.strip_prefix("API").unwrap_or(word)).unwrap_or(Self::Other)
    }
}

word_methods!(ErrorType);
