//! The refusals of the service: error code, error type and message as recorded from Amazon's sandbox. Where no message
//! was recorded, it is the error type in words.

use std::borrow::Cow;

use hyper::StatusCode;

/// The status of every refusal of the service, whatever its family: 400 was recorded for F200 and F300, and the one
/// published model of the service declares it for all five families.
pub(super) const REFUSAL_STATUS: StatusCode = StatusCode::BAD_REQUEST;

/// A refusal in Amazon's words: the members beside `agcodResponse`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct AgcodError {
    pub(super) code: Cow<'static, str>,
    pub(super) error_type: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
}

impl AgcodError {
    const fn new(code: &'static str, error_type: &'static str, message: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), error_type: Cow::Borrowed(error_type), message: Cow::Borrowed(message) }
    }

    /// A refusal that a fault asks for: the known message of that type, or the type itself.
    pub(super) fn scripted(code: &str, error_type: &str) -> Self {
        let known = KNOWN.iter().find(|refusal| refusal.error_type == error_type);
        Self {
            code: Cow::Owned(code.to_owned()),
            error_type: Cow::Owned(error_type.to_owned()),
            message: known.map_or_else(|| Cow::Owned(error_type.to_owned()), |refusal| refusal.message.clone()),
        }
    }

    /// `RESEND` for the temporary family, else `FAILURE`.
    pub(super) fn status(&self) -> &'static str {
        if self.code == "F400" { "RESEND" } else { "FAILURE" }
    }
}

pub(super) const GENERAL_ERROR_F100: AgcodError = AgcodError::new("F100", "GeneralError", "General Error");
pub(super) const GENERAL_ERROR_F300: AgcodError = AgcodError::new("F300", "GeneralError", "General Error");
pub(super) const GENERAL_ERROR_F500: AgcodError = AgcodError::new("F500", "GeneralError", "General Error");
pub(super) const INVALID_REQUEST_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidRequestInput", "Request body is null");
pub(super) const INVALID_CARD_NUMBER_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidCardNumberInput", "Card number can't be null or empty");
pub(super) const INVALID_PARTNER_ID_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidPartnerIdInput", "Partner Id can't be null or empty");
pub(super) const INVALID_REQUEST_ID_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidRequestIdInput", "Request Id can't be null or empty");
pub(super) const REQUEST_ID_TOO_LONG: AgcodError =
    AgcodError::new("F200", "RequestIdTooLong", "Request Id Too Long, Max allowed length is 40");
pub(super) const REQUEST_ID_MUST_START_WITH_PARTNER_NAME: AgcodError =
    AgcodError::new("F200", "RequestIdMustStartWithPartnerName", "Request Id Must Start With Partner Name");
pub(super) const INVALID_AMOUNT_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidAmountInput", "Amount can't be null");
pub(super) const INVALID_AMOUNT_VALUE: AgcodError =
    AgcodError::new("F200", "InvalidAmountValue", "Amount must be larger than 0");
pub(super) const INVALID_CURRENCY_CODE_INPUT: AgcodError =
    AgcodError::new("F200", "InvalidCurrencyCodeInput", "Currency Code can't be null or empty");
pub(super) const INVALID_CURRENCY_IN_MARKETPLACE: AgcodError =
    AgcodError::new("F200", "InvalidCurrencyInMarketplace", "Invalid Currency In Marketplace");
pub(super) const CURRENCY_CODE_MISMATCH: AgcodError =
    AgcodError::new("F200", "CurrencyCodeMismatch", "Currency Code Mismatch");
pub(super) const FRACTIONAL_AMOUNT_NOT_ALLOWED: AgcodError =
    AgcodError::new("F200", "FractionalAmountNotAllowed", "Fractional Amount Not Allowed");
pub(super) const MAX_AMOUNT_EXCEEDED: AgcodError = AgcodError::new("F200", "MaxAmountExceeded", "Max Amount Exceeded");
pub(super) const AMOUNT_BELOW_MIN_THRESHOLD: AgcodError =
    AgcodError::new("F200", "AmountBelowMinThreshold", "Amount Below Min Threshold");
/// No refusal of a program or a product was ever recorded: the types are of Amazon's list, the choice is ours.
pub(super) const INVALID_PROGRAM_ID: AgcodError = AgcodError::new("F300", "InvalidProgramId", "Invalid Program Id");
pub(super) const PROGRAM_ID_NOT_PRESENT: AgcodError =
    AgcodError::new("F200", "ProgramIdNotPresent", "Program Id Not Present");
pub(super) const BAD_INPUT: AgcodError = AgcodError::new("F300", "BadInput", "Bad Input");
pub(super) const EXTERNAL_REFERENCE_TOO_LONG: AgcodError =
    AgcodError::new("F200", "ExternalReferenceTooLong", "External Reference Too Long");
pub(super) const INVALID_GC_ID_INPUT: AgcodError = AgcodError::new("F200", "InvalidGCIdInput", "Invalid GC Id Input");
pub(super) const CARD_ALREADY_ACTIVATED_WITH_DIFFERENT_REQUEST_ID: AgcodError = AgcodError::new(
    "F200",
    "CardAlreadyActivatedWithDifferentRequestId",
    "The card was already activated with a different request id",
);
pub(super) const CANCEL_REQUEST_ARRIVED_AFTER_TIME_LIMIT: AgcodError = AgcodError::new(
    "F200",
    "CancelRequestArrivedAfterTimeLimit",
    "Cancellation cannot be processed as too much time has elapsed since creation",
);
pub(super) const INSUFFICIENT_FUNDS: AgcodError = AgcodError::new("F300", "InsufficientFunds", "Insufficient Funds");
pub(super) const OPERATION_NOT_PERMITTED: AgcodError =
    AgcodError::new("F300", "OperationNotPermitted", "Operation Not Permitted");
/// The body names a partner that the signing key does not belong to. No such answer was ever recorded. Of the listed
/// types, `InvalidPartnerId` names the wrong field and keeps secret whether another partner has that id.
pub(super) const INVALID_PARTNER_ID: AgcodError = AgcodError::new("F300", "InvalidPartnerId", "Invalid Partner Id");
pub(super) const CUSTOMER_SURPASSED_DAILY_VELOCITY_LIMIT: AgcodError =
    AgcodError::new("F300", "CustomerSurpassedDailyVelocityLimit", "Customer has exceeded daily velocity limit");
pub(super) const INVALID_DATE_FORMAT: AgcodError = AgcodError::new("F200", "InvalidDateFormat", "Invalid Date Format");
pub(super) const INVALID_START_DATE: AgcodError = AgcodError::new("F200", "InvalidStartDate", "Invalid Start Date");
pub(super) const INVALID_END_DATE: AgcodError = AgcodError::new("F200", "InvalidEndDate", "Invalid End Date");
pub(super) const START_DATE_AFTER_END_DATE: AgcodError =
    AgcodError::new("F200", "StartDateAfterEndDate", "Start Date After End Date");
pub(super) const INVALID_PAGE_INDEX: AgcodError = AgcodError::new("F200", "InvalidPageIndex", "Invalid Page Index");
pub(super) const INVALID_PAGE_SIZE: AgcodError = AgcodError::new("F200", "InvalidPageSize", "Invalid Page Size");
pub(super) const MAX_PAGE_SIZE_EXCEEDED: AgcodError =
    AgcodError::new("F200", "MaxPageSizeExceeded", "Max Page Size Exceeded");
/// Its family was never recorded. Other refusals of what an account may not do are F300.
pub(super) const ACTIVITY_PAGE_DISABLED: AgcodError =
    AgcodError::new("F300", "APIGetGiftCardActivityPageIsDisabled", "API Get Gift Card Activity Page Is Disabled");
pub(super) const SYSTEM_TEMPORARILY_UNAVAILABLE: AgcodError =
    AgcodError::new("F400", "SystemTemporarilyUnavailable", "System Temporarily Unavailable");

const KNOWN: &[AgcodError] = &[
    GENERAL_ERROR_F100,
    INVALID_REQUEST_INPUT,
    INVALID_CARD_NUMBER_INPUT,
    INVALID_PARTNER_ID_INPUT,
    INVALID_REQUEST_ID_INPUT,
    REQUEST_ID_TOO_LONG,
    REQUEST_ID_MUST_START_WITH_PARTNER_NAME,
    INVALID_AMOUNT_INPUT,
    INVALID_AMOUNT_VALUE,
    INVALID_CURRENCY_CODE_INPUT,
    INVALID_CURRENCY_IN_MARKETPLACE,
    CURRENCY_CODE_MISMATCH,
    FRACTIONAL_AMOUNT_NOT_ALLOWED,
    MAX_AMOUNT_EXCEEDED,
    AMOUNT_BELOW_MIN_THRESHOLD,
    INVALID_PROGRAM_ID,
    PROGRAM_ID_NOT_PRESENT,
    BAD_INPUT,
    EXTERNAL_REFERENCE_TOO_LONG,
    INVALID_GC_ID_INPUT,
    CARD_ALREADY_ACTIVATED_WITH_DIFFERENT_REQUEST_ID,
    CANCEL_REQUEST_ARRIVED_AFTER_TIME_LIMIT,
    INSUFFICIENT_FUNDS,
    OPERATION_NOT_PERMITTED,
    INVALID_DATE_FORMAT,
    INVALID_START_DATE,
    INVALID_END_DATE,
    START_DATE_AFTER_END_DATE,
    INVALID_PAGE_INDEX,
    INVALID_PAGE_SIZE,
    MAX_PAGE_SIZE_EXCEEDED,
    ACTIVITY_PAGE_DISABLED,
    INVALID_PARTNER_ID,
    CUSTOMER_SURPASSED_DAILY_VELOCITY_LIMIT,
    SYSTEM_TEMPORARILY_UNAVAILABLE,
];
