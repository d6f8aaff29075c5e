//! What goes wrong in the use cases, as the problems that callers read.

use crate::{
    http::{Code, Problem, problem::MoneyMoved},
    pay::{make::PayError, problems},
};

impl From<PayError> for Problem {
    fn from(error: PayError) -> Self {
        let field = |pointer: &'static str, code, expected: &'static str| {
            Self::new(Code::INVALID_REQUEST).field(pointer, code, expected)
        };
        match error {
            PayError::Mismatch { payment, pointer } => {
                let expected = "what the request of then had: send that, or another Idempotency-Key";
                Self::new(Code::IDEMPOTENCY_MISMATCH).field(pointer, "different", expected).payment(payment)
            }
            PayError::UnknownAccount => field("/account_id", "unknown", "there is no account of that id"),
            PayError::AmbiguousAccount => {
                field("/account_id", "required", "several accounts are paid in this currency; say which")
            }
            PayError::Currency => Self::new(Code::CURRENCY_NOT_SUPPORTED).field(
                "/value/currency_code",
                "unsupported",
                "the currency of an account at Amazon Pay",
            ),
            PayError::TooMuch(most) => Self::new(Code::AMOUNT_OUT_OF_RANGE)
                .detail(format!("at most {most} {}", most.currency()))
                .field("/value/amount", "range", "outside the account's limits"),
            PayError::OtherEnvironment(environment) => {
                field("/consent_id", "environment", "a consent of the account's environment")
                    .detail(format!("the account is of the {} environment", environment.as_str()))
            }
            PayError::Simulation => {
                field("/simulation", "unsupported", "nothing: the account is of the production environment")
            }
            PayError::NoSuchPlay => {
                field("/simulation", "unsupported", "a word that the sandbox of the account's driver plays")
            }
            PayError::OtherGeneration => Self::new(Code::ACCOUNT_PROBLEM)
                .detail("the charge was made in Checkout v2, and the account's driver is mws: MWS does not know it"),
            PayError::NoCharge => field("/charge_id", "unknown", "there is no charge of that id"),
            PayError::NotPaid { status, may_be } => Self::new(undecided(may_be))
                .detail(format!("the charge is {status}; only one that is paid can be given back")),
            PayError::NotFound => Self::new(Code::NOT_FOUND),
            PayError::NotHeld { status, may_be } => Self::new(undecided(may_be))
                .detail(format!("the charge is {status}; only one that is authorized can be captured or canceled")),
            PayError::TooMuchHeld(held) => Self::new(Code::AMOUNT_OUT_OF_RANGE)
                .detail(format!("the charge holds {held} {}", held.currency()))
                .field("/value/amount", "range", "at most what the charge holds, in its currency"),
            PayError::NotRefundable(left) => Self::new(problems::NOT_REFUNDABLE)
                .detail(format!("{left} {} can still be given back", left.currency()))
                .field("/value/amount", "range", "more than what is left of the charge"),
            PayError::TooManyRefunds => Self::new(problems::NOT_REFUNDABLE)
                .detail("Amazon takes ten refunds of a charge, and there were as many"),
            PayError::AccountGone => Self::new(Code::ACCOUNT_PROBLEM)
                .detail("the account that was paid is not in the settings now, or is of another environment"),
            PayError::LostPerhaps(why) => Self::from(*why).money(MoneyMoved::Unknown),
            PayError::Late => Self::new(Code::DEPENDENCY_UNAVAILABLE).money(MoneyMoved::Unknown),
            // The work may have begun. A retry with the same key shows it.
            PayError::Store(error) => Self::from(error).money(MoneyMoved::Unknown),
            PayError::Lost(lost) => Self::from(lost).money(MoneyMoved::Unknown),
        }
    }
}

/// What refuses a request for the state of its charge. A charge that is not decided may allow the same request later.
const fn undecided(may_be: bool) -> Code {
    if may_be { problems::PAYMENT_UNDECIDED } else { Code::INVALID_STATE }
}
