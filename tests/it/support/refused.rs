//! What a caller is answered when Amazon refuses a create for good. Written down a second time on purpose: the service
//! has a table of its own.

/// Status and code of our problem for an errorCode and an errorType of Amazon's.
pub(crate) fn expected(error_code: &str, error_type: &str) -> (u16, &'static str) {
    match (error_code, error_type) {
        ("F300", "InsufficientFunds") => (402, "insufficient-funds"),
        ("F300", _) => (503, "account-problem"),
        (_, "MaxAmountExceeded" | "AmountBelowMinThreshold" | "InvalidAmountValue" | "NegativeOrZeroAmount") => {
            (422, "amount-out-of-range")
        }
        (_, "FractionalAmountNotAllowed") => (422, "amount-precision"),
        (_, "CurrencyCodeMismatch" | "InvalidCurrencyInMarketplace") => (422, "currency-not-supported"),
        _ => (422, "upstream-rejected"),
    }
}

/// The mock ids that Amazon's sandbox refuses for good, with their errorCode and errorType.
pub(crate) const MOCKS: [(&str, (&str, &str)); 11] = [
    ("F2003", ("F200", "InvalidAmountInput")),
    ("F2004", ("F200", "InvalidAmountValue")),
    ("F2005", ("F200", "InvalidCurrencyCodeInput")),
    ("F2010", ("F200", "CardAlreadyActivatedWithDifferentRequestId")),
    ("F2015", ("F200", "MaxAmountExceeded")),
    ("F2016", ("F200", "CurrencyCodeMismatch")),
    ("F2017", ("F200", "FractionalAmountNotAllowed")),
    ("F2047", ("F200", "CancelRequestArrivedAfterTimeLimit")),
    ("F3003", ("F300", "InsufficientFunds")),
    ("F3005", ("F300", "GeneralError")),
    ("F3010", ("F300", "CustomerSurpassedDailyVelocityLimit")),
];
