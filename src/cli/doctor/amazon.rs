//! What Amazon says to a signed question for an account's funds, in plain words.

use std::time::Duration;

use super::{Diagnosis, Trouble};
use crate::{
    accounts::{Account, Purpose, Wanted},
    kernel::{AuthRejection, NotSent, UnknownReason},
    provider::incentives::{ErrorType, Exchange, Family, Funds, Outcome, Refusal},
};

/// How long the question may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(4);
/// Nobody asks but an operator.
const LOOK: Wanted = Wanted { purpose: Purpose::Look, caller: None };
/// Amazon refuses what was signed more than minutes ago. `Date` has whole seconds, and the call takes some.
const SKEW_SECONDS: u64 = 30;

/// What to do about a key pair that Amazon does not take, wherever that is found.
pub(in crate::cli) const WRONG_PAIR: &str = "compare it with Amazon's portal";

/// Amazon was not asked, because the database comes first.
pub(super) fn not_asked() -> Trouble {
    Trouble {
        what: "was not asked".to_owned(),
        why: "all replicas share its rate in the database, which cannot be used".to_owned(),
        way_out: "solve what is broken above, and ask the doctor again".to_owned(),
    }
}

/// Asks Amazon for the account's funds, with the pair that purchases are signed with.
pub(super) async fn findings(account: &Account) -> Vec<Diagnosis> {
    let place = format!("accounts.{}", account.id());
    let busy = || {
        vec![Diagnosis::warning(
            &place,
            Trouble {
                what: "Amazon was not asked: its rate left no room within seconds".to_owned(),
                why: "whether it takes the key pair is not known".to_owned(),
                way_out: "ask the doctor again".to_owned(),
            },
        )]
    };
    if !account.turns().take_question().await {
        return busy();
    }
    let Ok(_departure) = account.rate().departure(LOOK, SLOT_PATIENCE).await else { return busy() };
    let exchange = account.client().get_available_funds().await;
    let mut findings: Vec<Diagnosis> = of_clock(&place, &exchange).into_iter().collect();
    findings.push(of_answer(&place, account, &exchange));
    findings
}

/// Compares our clock with Amazon's `Date`.
fn of_clock<T>(place: &str, exchange: &Exchange<T>) -> Option<Diagnosis> {
    let ahead = exchange.signed_at.signed_duration_since(exchange.server_date?).num_seconds();
    if ahead.unsigned_abs() < SKEW_SECONDS {
        return Some(Diagnosis::well(place, "our clock is Amazon's".to_owned()));
    }
    let (seconds, way) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
    Some(Diagnosis::warning(
        place,
        Trouble {
            what: format!("our clock is {seconds} s {way} Amazon's"),
            why: "Amazon refuses what is signed by a wrong clock, and the 15 minutes of a cancel are counted by it"
                .to_owned(),
            way_out: "run NTP on this machine; with PostgreSQL, on the server's, whose clock the replicas follow"
                .to_owned(),
        },
    ))
}

fn of_answer(place: &str, account: &Account, exchange: &Exchange<Funds>) -> Diagnosis {
    match &exchange.outcome {
        Outcome::Proven(funds) => of_funds(place, account, funds),
        Outcome::Refused(refusal) => Diagnosis::broken(place, of_refusal(*refusal, account)),
        Outcome::AuthRejected(why) => Diagnosis::broken(place, of_rejection(*why)),
        Outcome::NotSent(why) => Diagnosis::broken(place, of_not_sent(*why, account)),
        Outcome::Unknown(UnknownReason::Throttled) => Diagnosis::warning(place, Trouble {
            what: "Amazon answers that it is asked too often".to_owned(),
            why: "somebody else uses the partner's rate, or requests_per_second is more than the contract allows".to_owned(),
            way_out: "ask the doctor again in a minute; look for another service under the same partner id".to_owned(),
        }),
        Outcome::Unknown(reason) => Diagnosis::broken(place, Trouble {
            what: format!("Amazon gave no answer that can be understood ({})", reason.as_str()),
            why: "a purchase would end the same way: unresolved, and asked for again until it is proven".to_owned(),
            way_out: "ask the doctor again; if it stays, look for a proxy or a firewall on the way, then for Amazon's status".to_owned(),
        }),
    }
}

fn of_funds(place: &str, account: &Account, funds: &Funds) -> Diagnosis {
    let (funds, currency) = (funds.amount, funds.amount.currency());
    match account.funding().low_balance.filter(|low| funds.minor() < low.minor()) {
        None => Diagnosis::well(place, format!("Amazon takes the key pair; funds {funds} {currency}")),
        Some(low) => Diagnosis::warning(
            place,
            Trouble {
                what: format!("Amazon takes the key pair; funds {funds} {currency} are below low_balance {low}"),
                why: "once they are used up, every new reward is refused".to_owned(),
                way_out: "send funds to Amazon".to_owned(),
            },
        ),
    }
}

/// Amazon turned the call away before it looked at it.
fn of_rejection(why: AuthRejection) -> Trouble {
    let (what, way_out) = match why {
        AuthRejection::Signature => (
            "Amazon refuses the signature: the secret is not that of the access key, or something on the way changes requests",
            format!("secret_access_key: {WRONG_PAIR}; then look for a proxy on the way"),
        ),
        AuthRejection::ClockSkew => (
            "Amazon refuses the time of the signature: our clock is wrong by minutes",
            "run NTP on this machine; with PostgreSQL, on the server's, whose clock the replicas follow".to_owned(),
        ),
        AuthRejection::AccessKey => (
            "Amazon does not know the access key, or it is inactive, or it belongs to another environment or region",
            format!("access_key_id, environment and marketplace: {WRONG_PAIR}"),
        ),
    };
    Trouble { what: what.to_owned(), why: NOTHING_SOLD.to_owned(), way_out }
}

const NOTHING_SOLD: &str = "every purchase of this account fails in the same way";

/// What some of Amazon's words mean for an account, and what helps.
struct RefusalWords {
    error_types: &'static [ErrorType],
    what: &'static str,
    way_out: &'static str,
}

const REFUSALS: [RefusalWords; 6] = [
    RefusalWords {
        error_types: &[ErrorType::InvalidPartnerId, ErrorType::InvalidPartnerIdInput, ErrorType::UnknownCustomer],
        what: "the partner id is not that of the key pair",
        way_out: "partner_id, environment and marketplace: compare them with Amazon's portal",
    },
    RefusalWords {
        error_types: &[ErrorType::InvalidAwsAccessKeyId, ErrorType::InvalidAccessKey],
        what: "the access key is not one of this account",
        way_out: "access_key_id and partner_id: compare them with Amazon's portal",
    },
    RefusalWords {
        error_types: &[ErrorType::AccessDenied, ErrorType::OperationNotPermitted, ErrorType::ActiveContractNotFound],
        what: "the account has no contract for this, or not in this marketplace and environment",
        way_out: "compare marketplace and environment with the contract; then ask Amazon's partner support",
    },
    RefusalWords {
        error_types: &[ErrorType::CustomerAccountBlocked, ErrorType::BlockedCustomer, ErrorType::AccountHasProblems],
        what: "the account is blocked or has problems",
        way_out: "ask Amazon's partner support",
    },
    RefusalWords {
        error_types: &[ErrorType::InsufficientFunds],
        what: "the account cannot pay",
        way_out: "send funds to Amazon",
    },
    RefusalWords {
        error_types: &[ErrorType::IssuanceCapExceeded, ErrorType::CustomerSurpassedDailyVelocityLimit],
        what: "a limit of the contract is used up",
        way_out: "wait for its next period, or ask Amazon's partner support for more",
    },
];

fn of_refusal(refusal: Refusal, account: &Account) -> Trouble {
    let Refusal { family, error_type } = refusal;
    let words = REFUSALS.iter().find(|words| words.error_types.contains(&error_type));
    let (what, way_out) = match (words, family) {
        (Some(words), _) => (words.what, words.way_out.to_owned()),
        (None, Family::F200) => (
            "Amazon calls the question invalid",
            format!("partner_id {}: compare it with Amazon's portal", account.partner_id()),
        ),
        (None, Family::F300) => ("the account has a problem at Amazon", "ask Amazon's partner support".to_owned()),
    };
    Trouble {
        what: format!("Amazon refuses ({} {}): {what}", family.as_str(), error_type.as_str()),
        why: NOTHING_SOLD.to_owned(),
        way_out,
    }
}

/// No byte of the question has left.
fn of_not_sent(why: NotSent, account: &Account) -> Trouble {
    let host = account.client().endpoint().base_url();
    let (what, way_out) = match why {
        NotSent::Connect => (
            format!("no connection to {host} comes about"),
            "look at https_proxy if the account has one, at DNS, at the firewall or the NetworkPolicy (port 443 out, or the \
             proxy's), and at the route",
        ),
        NotSent::Certificate => (
            format!("the certificate that {host} shows is not trusted, is for another name, or does not hold now"),
            "look for a proxy that opens TLS, at the root certificates of this machine, and at its clock",
        ),
        NotSent::Build => (
            "the question cannot be signed".to_owned(),
            "compare access_key_id and secret_access_key with Amazon's portal",
        ),
        NotSent::Quota => ("Amazon's rate left no room in time".to_owned(), "ask the doctor again"),
        NotSent::Database => {
            ("the database gave no slot of Amazon's rate".to_owned(), "solve what is wrong with the database first")
        }
        NotSent::Sealed => {
            ("a sealed target cannot be opened".to_owned(), "compare sealing.keys: `noshi check --targets`")
        }
    };
    Trouble { what, why: NOTHING_SOLD.to_owned(), way_out: way_out.to_owned() }
}
