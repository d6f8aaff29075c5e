//! What goes wrong in the use cases, as the problems that callers read.

use crate::{
    http::{Code, Problem},
    membership::{
        consent::NoConsent,
        problems::{CONSENT_NOT_USABLE, CONSENT_TAKEN, REFERENCE_TAKEN},
        service::MembershipError,
    },
    pay::account::NoPayAccount,
};

impl From<MembershipError> for Problem {
    fn from(error: MembershipError) -> Self {
        let said = error.to_string();
        match error {
            MembershipError::NotFound => Self::new(Code::NOT_FOUND),
            MembershipError::Mismatch => Self::new(Code::IDEMPOTENCY_MISMATCH).detail("the key named something else"),
            MembershipError::ReferenceTaken(id) => Self::new(REFERENCE_TAKEN)
                .detail(format!("{id} has this reference"))
                .field("/reference", "taken", "a reference that names no membership yet"),
            MembershipError::ConsentTaken(by) => {
                let by = by.map_or_else(|| "another membership".to_owned(), |id| id.to_string());
                Self::new(CONSENT_TAKEN)
                    .detail(format!("{by} is charged by this consent, or it is being closed"))
                    .field("/consent_id", "taken", "a consent that serves no membership yet")
            }
            MembershipError::NoPlan(why) => {
                Self::new(Code::INVALID_REQUEST).detail(said).field("/plan_id", "plan", why)
            }
            MembershipError::InvalidState(_) => Self::new(Code::INVALID_STATE).detail(said),
            MembershipError::NoSeller(no) => seller(no),
            MembershipError::TooMuch(most) => Self::new(Code::AMOUNT_OUT_OF_RANGE)
                .detail(format!("at most {most} {}", most.currency()))
                .field("/price/amount", "range", "outside the limits of the account at Amazon Pay"),
            MembershipError::Simulation => Self::new(Code::INVALID_REQUEST).field(
                "/simulation",
                "unsupported",
                "a word of Amazon's sandbox, for an account of the sandbox",
            ),
            MembershipError::Reward(error) => error.into(),
            MembershipError::Consent(no) => consent(&no),
            MembershipError::Calendar => {
                Self::new(Code::INVALID_REQUEST).field("/period", "range", "a period that ends before the year 10000")
            }
            MembershipError::Lost(lost) => lost.into(),
            MembershipError::Store(error) => error.into(),
        }
    }
}

fn seller(no: NoPayAccount) -> Problem {
    let field =
        |code, expected: &'static str| Problem::new(Code::INVALID_REQUEST).field("/pay_account_id", code, expected);
    match no {
        NoPayAccount::Unknown => field("unknown", "there is no account of that id"),
        NoPayAccount::Several => field("required", "several accounts are paid in this currency; say which"),
        NoPayAccount::Currency => Problem::new(Code::CURRENCY_NOT_SUPPORTED).field(
            "/price/currency_code",
            "unsupported",
            "the currency of an account at Amazon Pay",
        ),
    }
}

fn consent(no: &NoConsent) -> Problem {
    let unusable = |code, expected: String| Problem::new(CONSENT_NOT_USABLE).field("/consent_id", code, expected);
    match no {
        NoConsent::Unknown => unusable("unknown", "Amazon knows no charge permission of this id".to_owned()),
        NoConsent::OtherEnvironment => unusable("environment", "a consent of the account's environment".to_owned()),
        NoConsent::Once => unusable("once", "a charge permission for charges that recur".to_owned()),
        NoConsent::Limit { allows, price } => {
            let (of_consent, of_plan) = (allows.currency(), price.currency());
            unusable("limit", format!("at least {price} {of_plan} a month: this one allows {allows} {of_consent}"))
        }
        NoConsent::Blocked(why) => unusable("blocked", format!("the buyer must act at Amazon first: {why}")),
        NoConsent::Over(why) => unusable("ended", format!("a consent that has not ended: {why}")),
        NoConsent::NotSaid => {
            Problem::new(Code::DEPENDENCY_UNAVAILABLE).detail("Amazon did not say how the buyer's consent stands")
        }
        NoConsent::TurnedAway => {
            Problem::new(Code::ACCOUNT_PROBLEM).detail("Amazon does not take the account at Amazon Pay, or its key")
        }
    }
}
