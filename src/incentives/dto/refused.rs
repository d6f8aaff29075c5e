//! What Amazon refused, as the problems that callers read.

use std::time::Duration;

use crate::{
    engine::{Action, Stage},
    http::{
        Code, Problem,
        problem::{MoneyMoved, Upstream},
    },
    incentives::{model::Reward, problems, retry::Lapse},
    provider::incentives::ErrorType,
};

/// What Amazon refused for good, in our words. A refusal that can be cured is paced.
pub(crate) fn refusal(reward: &Reward, pace: Duration) -> Problem {
    let problem = refused_as(reward);
    let is_paced = problem.code() == Code::ACCOUNT_PROBLEM;
    if is_paced { problem.retry_after(pace) } else { problem }
}

/// The same for a reward that the settings do not allow to be tried again.
pub(crate) fn lapsed(reward: &Reward, why: &Lapse) -> Problem {
    about(reward, problems::LAPSED).detail(why.to_string())
}

fn refused_as(reward: &Reward) -> Problem {
    let error = reward.last_error.as_ref();
    let (code, kind) = error.map_or(("", None), |error| (error.code.as_str(), error.error_type.as_deref()));
    let problem = match (code, kind) {
        ("F300", _) if reward.order.stage == (Stage::Refused { retryable: false }) => {
            return about(reward, problems::LAPSED)
                .detail("nothing was bought, and its id cannot be used again: ask with another Idempotency-Key");
        }
        ("F300", Some("InsufficientFunds")) => problems::INSUFFICIENT_FUNDS,
        // Our words for keys that Amazon turns away.
        ("F300" | "signature" | "access_key", _) => Code::ACCOUNT_PROBLEM,
        (
            "F200",
            Some("MaxAmountExceeded" | "AmountBelowMinThreshold" | "InvalidAmountValue" | "NegativeOrZeroAmount"),
        ) => Code::AMOUNT_OUT_OF_RANGE,
        ("F200", Some("FractionalAmountNotAllowed")) => Code::AMOUNT_PRECISION,
        ("F200", Some("CurrencyCodeMismatch" | "InvalidCurrencyInMarketplace")) => Code::CURRENCY_NOT_SUPPORTED,
        ("F200", _) => Code::UPSTREAM_REJECTED,
        _ => Code::DEPENDENCY_UNAVAILABLE,
    };
    about(reward, problem)
}

/// A problem with what Amazon last said of the reward.
fn about(reward: &Reward, problem: Code) -> Problem {
    let error = reward.last_error.as_ref();
    let (code, kind) = error.map_or(("", None), |error| (error.code.as_str(), error.error_type.as_deref()));
    let blamed = kind.and_then(ErrorType::from_word).and_then(|word| reward.kind.spec().blamed(word));
    let problem = match blamed {
        Some(field) => Problem::new(problem).field(field.pointer, "refused", field.expected),
        None => Problem::new(problem),
    };
    problem.reward(reward.id).money(MoneyMoved::No).upstream(Upstream {
        operation: reward.kind.spec().operation(Action::Forward),
        error_code: code.to_owned(),
        error_type: kind.map(str::to_owned),
    })
}
