//! What goes wrong in the use cases, as the problems that callers read.

use std::time::Duration;

use crate::{
    accounts::{BreakerCause, NoSlot, Paced},
    http::{
        Code, Problem,
        problem::{MoneyMoved, Upstream, timestamp},
    },
    incentives::{
        admission::BudgetError,
        asking::AskError,
        cancel::CancelError,
        check::CheckError,
        dto::{lapsed, may_be_code, refusal, repeats_target},
        issue_error::IssueError,
        problems,
        reveal::RevealError,
    },
    kernel::NotSent,
    ledger::{self, budget::PROGRAM, ceilings::CeilingReached, floor::FloorReached},
    lifecycle::Lost,
    provider::{
        incentives::Family,
        login::{BadToken, LoginError},
    },
};

/// Nobody who waits will see it end.
const DISTRUSTED: &str = "the certificate that was shown in Amazon's place is not trusted, is for another name, or does not hold now: an operator must act";

/// After the next report of Amazon's, where the funds are not known or have come to their floor.
const ASKED_SOON: Duration = Duration::from_secs(2);
const FUNDED_SOON: Duration = Duration::from_mins(1);

/// The caller has to know that the key did name a reward, and how to find it.
const UNRECOGNIZED: &str = "the Idempotency-Key was used before, and it is not known whether the token is the shopper's of then: read the \
                            reward by its id, or send the token of then";

/// The log names the key.
const SEALED: &str =
    "what the reward acts on was sealed by a key that is not listed now: an operator must list it again";

impl From<Lost> for Problem {
    fn from(_lost: Lost) -> Self {
        Self::new(Code::INTERNAL)
    }
}

impl From<NoSlot> for Problem {
    fn from(none: NoSlot) -> Self {
        match none {
            NoSlot::UsedUp { retry_after } => Self::new(Code::UPSTREAM_BUSY).retry_after(retry_after),
            // What is read may look healthy.
            NoSlot::NoDatabase => Self::new(Code::DEPENDENCY_UNAVAILABLE)
                .detail("the service's database takes no writes now: nothing was sent to Amazon"),
        }
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Mismatch { reward, pointer } => {
                let expected = "what the request of then had: send that, or another Idempotency-Key";
                let problem = Self::new(Code::IDEMPOTENCY_MISMATCH).field(pointer, "different", expected);
                // A key may be bound to a program, and sees no reward of another.
                if pointer == "/program_id" { problem } else { problem.reward(reward) }
            }
            IssueError::ExternalIdConflict => Self::new(problems::EXTERNAL_ID_CONFLICT),
            IssueError::Unawaited => Self::new(Code::INVALID_REQUEST)
                .detail(
                    "Prefer: respond-async (or wait=0) and on_unresolved: cancel exclude each other: what is not proven \
                     while you wait is canceled, and you do not wait. Leave one of them out",
                )
                .field("/on_unresolved", "conflict", "keep, or a request that waits for its outcome"),
            IssueError::MayBeCode { pointer } => may_be_code(pointer),
            IssueError::RepeatsTarget { pointer } => repeats_target(pointer),
            IssueError::UnknownAccount => {
                Self::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id")
            }
            IssueError::AmbiguousAccount => Self::new(Code::INVALID_REQUEST).field(
                "/account_id",
                "required",
                "several accounts deal in this currency; say which",
            ),
            IssueError::KindNotSold { sold } => Self::new(Code::INVALID_REQUEST)
                .detail(format!("expected, of what the account deals in: {}", sold.join(" or ")))
                .field("/kind", "unsupported", "the account does not deal in this kind"),
            IssueError::NotOfAccount { field, expected } => {
                let problem = Self::new(Code::INVALID_REQUEST).field(field.pointer, "unsupported", field.expected);
                if expected.is_empty() { problem } else { problem.detail(format!("expected: {}", expected.join(" or "))) }
            }
            IssueError::NoLogin => Self::new(Code::INVALID_REQUEST).field(
                "/target/access_token",
                "unsupported",
                "a barcode, phone or account_id: the account has no client id at Login with Amazon",
            ),
            IssueError::NotSignedIn(LoginError::Token(bad)) => {
                let (word, expected) = bad_token(bad);
                Self::new(Code::UPSTREAM_REJECTED).detail(bad.to_string()).field(
                    "/target/access_token",
                    word,
                    expected,
                )
            }
            // Nothing was recorded, and nothing sent.
            IssueError::NotSignedIn(LoginError::Away) => {
                Self::new(Code::DEPENDENCY_UNAVAILABLE).detail("Login with Amazon gives no usable answer")
            }
            IssueError::Unrecognized { reward, why } => unrecognized(why).reward(reward).money(MoneyMoved::Unknown),
            IssueError::NotReclaimed(why) => Self::from(*why).money(MoneyMoved::Unknown),
            IssueError::Currency(currency) => Self::new(Code::CURRENCY_NOT_SUPPORTED)
                .detail(format!("no account of this request deals in {currency}")),
            IssueError::AmountOutOfRange { minimum, maximum } => Self::new(Code::AMOUNT_OUT_OF_RANGE)
                .detail(format!("from {minimum} to {maximum} {}", maximum.currency()))
                .field("/value/amount", "range", "outside the account's limits"),
            IssueError::Budget(refused) => refused.into(),
            IssueError::Ceiling(reached) => ceiling(&reached),
            IssueError::Floor(reached) => floor(&reached),
            IssueError::Busy => Self::new(Code::QUOTA_EXCEEDED),
            IssueError::NoSlot(none) => none.into(),
            IssueError::Refused(paced) => account_refused(&paced),
            IssueError::NotYet { reward, retry_after } => refusal(&reward, retry_after).retry_after(retry_after),
            IssueError::Lapsed { reward, why } => lapsed(&reward, &why),
            // The reward of then may be this one. Only the target's key shows it, and an operator must list that again.
            IssueError::TargetUnknown => {
                Self::new(Code::DEPENDENCY_UNAVAILABLE).detail(SEALED).money(MoneyMoved::Unknown)
            }
            IssueError::Unsealed(_) => Self::new(Code::DEPENDENCY_UNAVAILABLE),
            IssueError::Late => Self::new(Code::DEPENDENCY_UNAVAILABLE).money(MoneyMoved::Unknown),
            // The work may have begun. A retry with the same key shows it.
            IssueError::Store(error) => Self::from(error).money(MoneyMoved::Unknown),
            IssueError::Lost(lost) => Self::from(lost).money(MoneyMoved::Unknown),
        }
    }
}

/// As Amazon refuses the account now.
fn account_refused(paced: &Paced) -> Problem {
    let code = match paced.cause {
        BreakerCause::Funds => problems::INSUFFICIENT_FUNDS,
        BreakerCause::Account => Code::ACCOUNT_PROBLEM,
    };
    Problem::new(code).retry_after(paced.retry_after)
}

/// Never Amazon's refusal: the load of then may stand.
fn unrecognized(why: LoginError) -> Problem {
    let problem = match why {
        LoginError::Token(bad) => {
            let (word, expected) = bad_token(bad);
            Problem::new(Code::INVALID_REQUEST).field("/target/access_token", word, expected)
        }
        LoginError::Away => Problem::new(Code::DEPENDENCY_UNAVAILABLE),
    };
    problem.detail(UNRECOGNIZED)
}

/// What is wrong with an access token, and what is expected in its place.
const fn bad_token(bad: BadToken) -> (&'static str, &'static str) {
    match bad {
        BadToken::Malformed => ("malformed", "an access token of Login with Amazon: it begins with Atza|"),
        BadToken::Refused => ("refused", "an access token that Login with Amazon takes"),
        BadToken::Expired => ("expired", "an access token that has not expired"),
        BadToken::Foreign => ("foreign", "an access token that was made for the account's client id"),
    }
}

fn ceiling(reached: &CeilingReached) -> Problem {
    let name = reached.ceiling.as_str();
    let until = reached.ends_at.map_or_else(String::new, |end| format!(", until {}", timestamp(end)));
    Problem::new(ledger::problems::CEILING_REACHED)
        .detail(format!("{name} of the account{until}"))
        .retry_at(reached.ends_at)
}

/// As Amazon's own refusal for want of funds: the same cures it.
fn floor(reached: &FloorReached) -> Problem {
    if !reached.known {
        let detail = "Amazon has not reported the account's funds within a day, and a floor of them is kept";
        return Problem::new(Code::DEPENDENCY_UNAVAILABLE).detail(detail.to_owned()).retry_after(ASKED_SOON);
    }
    let detail = format!("the account keeps its last {} {}: funds_floor", reached.floor, reached.floor.currency());
    Problem::new(problems::INSUFFICIENT_FUNDS).detail(detail).retry_after(FUNDED_SOON)
}

impl From<BudgetError> for Problem {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Forbidden => Self::new(ledger::problems::PROGRAM_FORBIDDEN),
            BudgetError::Suspended => Self::new(ledger::problems::PROGRAM_SUSPENDED),
            BudgetError::OtherAccount => Self::new(Code::INVALID_REQUEST).field(
                "/account_id",
                "conflict",
                "the program is charged to another account",
            ),
            BudgetError::RewardTooLarge(most) => Self::new(problems::LIMIT_EXCEEDED)
                .detail(format!("a reward may be worth at most {most} {}", most.currency())),
            BudgetError::Exceeded(exceeded) => {
                let whose = if exceeded.holder == PROGRAM { "the program's" } else { "the API key's" };
                let span = exceeded.period.as_str();
                let larger = if exceeded.never_fits { "the reward is larger than " } else { "" };
                Self::new(ledger::problems::BUDGET_EXCEEDED)
                    .detail(format!("{larger}{whose} budget ({span})"))
                    .in_vain(exceeded.never_fits)
                    .retry_at(exceeded.resets_at)
            }
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::new(Code::NOT_FOUND),
            CancelError::RepeatsTarget => repeats_target("/reason"),
            CancelError::WindowClosed { until } => {
                Self::new(problems::CANCEL_WINDOW_CLOSED).cancelable_until(until).money(MoneyMoved::Yes)
            }
            CancelError::NotPermitted(id) => Self::new(problems::ALREADY_CLAIMED).reward(id).money(MoneyMoved::Yes),
            CancelError::InvalidState(state) => {
                Self::new(Code::INVALID_STATE).detail(format!("the reward is {}", state.as_str()))
            }
            CancelError::Store(error) => Self::from(error).money(MoneyMoved::Unknown),
            CancelError::Lost(lost) => Self::from(lost).money(MoneyMoved::Unknown),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::NotAsked => Self::new(Code::INVALID_STATE)
                .detail("Amazon has no operation that asks for a reward of this kind without buying it"),
            CheckError::NotKept => Self::new(Code::INVALID_STATE)
                .detail("what the reward acts on is not kept any more: send it again, as in the request that made the reward")
                .field("/target", "required", "what the reward was made for"),
            CheckError::OtherTarget => Self::new(Code::INVALID_REQUEST).field(
                "/target",
                "mismatch",
                "not what the reward was made for; a transaction_source belongs to it",
            ),
            CheckError::TargetUnknown => Self::new(Code::DEPENDENCY_UNAVAILABLE).detail(SEALED),
            CheckError::TooOften { retry_after } => Self::new(Code::QUOTA_EXCEEDED)
                .detail("Amazon was asked about this reward too often in the last minute")
                .retry_after(retry_after),
            CheckError::Elsewhere => Self::new(Code::DEPENDENCY_UNAVAILABLE),
            CheckError::Ask(error) => error.into(),
        }
    }
}

impl From<RevealError> for Problem {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::NotFound => Self::new(Code::NOT_FOUND),
            RevealError::Gone(state) => Self::new(problems::GONE).detail(format!("the reward is {}", state.as_str())),
            RevealError::InvalidState(state) => {
                Self::new(Code::INVALID_STATE).detail(format!("the reward is {}", state.as_str()))
            }
            RevealError::NoCode => Self::new(Code::INVALID_STATE).detail("a reward of this kind has no code"),
            RevealError::TooOften => Self::new(problems::LIMIT_EXCEEDED).detail("the code was shown again too often"),
            RevealError::HourUsedUp(left) => Self::new(problems::REVEAL_LIMIT_REACHED).retry_after(left),
            RevealError::TooOld => Self::new(Code::INVALID_STATE)
                .detail("the reward is too old to be shown again: Amazon may have forgotten its id"),
            // The code was shown before: what Amazon refuses now, it may show to the next question.
            RevealError::Ask(AskError::Refused { operation, refusal }) if refusal.family == Family::F200 => {
                let (error_code, error_type) =
                    (refusal.family.as_str().to_owned(), refusal.error_type.as_str().to_owned());
                Self::new(Code::DEPENDENCY_UNAVAILABLE).upstream(Upstream {
                    operation,
                    error_code,
                    error_type: Some(error_type),
                })
            }
            RevealError::Ask(error) => error.into(),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Unusable { operation, reason } => {
                let problem = Self::new(Code::DEPENDENCY_UNAVAILABLE);
                let problem = match reason {
                    word if word == NotSent::Certificate.as_str() => problem.detail(DISTRUSTED),
                    word if word == NotSent::Sealed.as_str() => problem.detail(SEALED),
                    _ => problem,
                };
                problem.upstream(Upstream { operation, error_code: reason.to_owned(), error_type: None })
            }
            AskError::Late => Self::new(Code::DEPENDENCY_UNAVAILABLE),
            AskError::Throttled => Self::new(Code::UPSTREAM_BUSY),
            AskError::NoDatabase => NoSlot::NoDatabase.into(),
            AskError::TurnedAway { operation, why } => {
                let error_code = why.as_str().to_owned();
                Self::new(Code::ACCOUNT_PROBLEM).upstream(Upstream { operation, error_code, error_type: None })
            }
            AskError::Refused { operation, refusal } => {
                let code = match refusal.family {
                    Family::F200 => Code::UPSTREAM_REJECTED,
                    Family::F300 => Code::ACCOUNT_PROBLEM,
                };
                Self::new(code).upstream(Upstream {
                    operation,
                    error_code: refusal.family.as_str().to_owned(),
                    error_type: Some(refusal.error_type.as_str().to_owned()),
                })
            }
            AskError::Busy => Self::new(Code::QUOTA_EXCEEDED),
            AskError::Store(error) => error.into(),
            AskError::Lost(lost) => lost.into(),
        }
    }
}
