//! Rewards on the wire: what callers send, and what they see. The one place where a claim code becomes text of an
//! answer.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpResponse, http::header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    check::Checked,
    issue::Issued,
    kind::{Given, Kind},
    model::{Command, OnUnresolved, Reward},
    problems,
    retry::Lapse,
};
use crate::{
    engine::{Action, AttentionReason, ReversalFailure, Sight, Stage, State},
    events::timeline::EntryRow,
    http::{
        Code, Problem,
        body::{SecretTexts, Texts},
        problem::{MoneyMoved, Upstream, timestamp},
    },
    identity::Principal,
    kernel::{
        ClaimCode, Currency, IdempotencyKey, Money, ProgramId, claim_code::may_hold_claim_code, money::MoneyError,
    },
    ledger,
    provider::incentives::{CreateMembers, ErrorType},
    sealing::Target,
};

/// Characters of the longest `external_id`.
const EXTERNAL_ID_LEN_MAX: usize = 128;
/// Entries of the largest `metadata`.
const METADATA_ENTRIES_MAX: usize = 16;
/// Bytes of a metadata name and of a metadata value.
const METADATA_NAME_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 100;
/// Characters of the longest reason.
const REASON_LEN_MAX: usize = 200;

/// The body of `POST /v1/rewards`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueBody {
    program_id: Option<String>,
    account_id: Option<String>,
    kind: String,
    value: ValueBody,
    external_id: Option<String>,
    metadata: Option<Texts>,
    on_unresolved: Option<String>,
    target: Option<SecretTexts>,
    transaction_source: Option<SecretTexts>,
    product_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueBody {
    amount: String,
    currency_code: String,
}

/// The body of a cancel or a reveal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    reason: String,
}

fn invalid(pointer: &str, detail: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail)
}

fn unknown_kind() -> Problem {
    let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    invalid("/kind", "not a kind of reward").detail(format!("expected: {}", known.join(" or ")))
}

/// Text that is stored and shown as it is: bounded and printable.
fn printable(text: String, pointer: &str, max: usize) -> Result<String, Problem> {
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(invalid(pointer, "empty, too long, or with control characters"));
    }
    Ok(text)
}

/// A text of the caller's can be a claim code in the wrong place.
pub(crate) fn may_be_code(pointer: &str) -> Problem {
    invalid(pointer, "looks like a claim code, which must not be stored")
}

/// A text of the caller's repeats what the reward acts on.
pub(crate) fn repeats_target(pointer: &str) -> Problem {
    invalid(pointer, "repeats the target, which must not be stored in the clear")
}

impl IssueBody {
    /// The command of this caller, checked for shape. The service checks what needs the accounts, and what a key that was used
    /// before is not asked.
    ///
    /// # Errors
    /// The problem that names the field; `program-forbidden` for a program that the caller's key is not bound to.
    pub(crate) fn into_command(self, key: IdempotencyKey, principal: &Principal) -> Result<Command, Problem> {
        let kind = Kind::from_word(&self.kind).ok_or_else(unknown_kind)?;
        let Self { target, transaction_source, product_type, .. } = self;
        let mut given = Given { target, transaction_source, product_type };
        let asked = kind.spec().asked(&mut given).map_err(|wrong| invalid(wrong.pointer, wrong.expected))?;
        let aim = kind.spec().aim(given).map_err(|wrong| invalid(wrong.pointer, wrong.expected))?;
        let on_unresolved = match self.on_unresolved.as_deref() {
            None => OnUnresolved::Keep,
            Some(word) => OnUnresolved::from_word(word).ok_or_else(|| invalid("/on_unresolved", "keep or cancel"))?,
        };
        let external_id =
            self.external_id.map(|text| printable(text, "/external_id", EXTERNAL_ID_LEN_MAX)).transpose()?;
        let metadata = self.metadata.map(|Texts(map)| check_metadata(map)).transpose()?;
        let named = self.program_id.map(|text| text.parse::<ProgramId>()).transpose();
        let named = named.map_err(|_malformed| invalid("/program_id", "not a program's id"))?;
        let program = match (named, &principal.program) {
            (Some(named), Some(own)) if named != *own => return Err(Problem::new(ledger::problems::PROGRAM_FORBIDDEN)),
            (named, own) => named.or_else(|| own.clone()),
        };
        let (account, asked_by, value) = (self.account_id, principal.key, self.value.into_money()?);
        Ok(Command { key, account, kind, value, program, asked_by, external_id, metadata, on_unresolved, aim, asked })
    }
}

impl ValueBody {
    fn into_money(self) -> Result<Money, Problem> {
        let currency: Currency = self.currency_code.parse().map_err(|_unknown| {
            Problem::new(problems::CURRENCY_NOT_SUPPORTED).field(
                "/value/currency_code",
                "unknown",
                "not a currency of ours",
            )
        })?;
        let money = Money::parse(&self.amount, currency).map_err(|error| match error {
            MoneyError::NotDecimal => invalid("/value/amount", "not a plain decimal number"),
            MoneyError::Precision => Problem::new(problems::AMOUNT_PRECISION).field(
                "/value/amount",
                "precision",
                "must have exactly the currency's decimal places",
            ),
            MoneyError::Overflow => {
                Problem::new(problems::AMOUNT_OUT_OF_RANGE).field("/value/amount", "range", "too large to be counted")
            }
        })?;
        if money.minor() == 0 {
            return Err(Problem::new(problems::AMOUNT_OUT_OF_RANGE).field(
                "/value/amount",
                "range",
                "must be above zero",
            ));
        }
        Ok(money)
    }
}

fn check_metadata(map: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    if map.len() > METADATA_ENTRIES_MAX {
        return Err(invalid("/metadata", "at most 16 entries"));
    }
    for (name, value) in &map {
        let fits = !name.is_empty() && name.len() <= METADATA_NAME_MAX && value.len() <= METADATA_VALUE_MAX;
        if !fits || name.chars().chain(value.chars()).any(char::is_control) {
            return Err(invalid("/metadata", "names of 1 to 40 bytes, values of up to 100, no control characters"));
        }
    }
    if serde_json::json!(map).to_string().len() > 2048 {
        return Err(invalid("/metadata", "at most 2048 bytes as JSON"));
    }
    Ok(map)
}

impl ReasonBody {
    /// The reason, checked.
    ///
    /// # Errors
    /// The problem that names the field.
    pub(crate) fn into_reason(self) -> Result<String, Problem> {
        let reason = printable(self.reason, "/reason", REASON_LEN_MAX)?;
        if may_hold_claim_code(&reason) { Err(may_be_code("/reason")) } else { Ok(reason) }
    }
}

/// The body of a check.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckBody {
    target: Option<SecretTexts>,
    transaction_source: Option<SecretTexts>,
}

impl CheckBody {
    /// What the reward acts on, where the caller brings it again.
    ///
    /// # Errors
    /// The problem that names the field.
    pub(crate) fn into_target(self, kind: Kind) -> Result<Option<Target>, Problem> {
        let Self { target, transaction_source } = self;
        if target.is_none() && transaction_source.is_none() {
            return Ok(None);
        }
        let given = Given { target, transaction_source, product_type: None };
        kind.spec().target(given).map_err(|wrong| invalid(wrong.pointer, wrong.expected))
    }
}

/// What Amazon said of a reward when it was asked for a check.
#[derive(Serialize)]
pub(crate) struct CheckedView<'a> {
    reward: RewardView<'a>,
    /// In our words; more may come.
    shown: &'static str,
    checked_at: String,
}

impl<'a> CheckedView<'a> {
    #[must_use]
    pub(crate) fn new(checked: &'a Checked) -> Self {
        Self {
            reward: RewardView::new(&checked.reward, None),
            shown: match checked.sight {
                Sight::Live | Sight::Unattributed => "active",
                Sight::Absent | Sight::Reversed => "inactive",
                Sight::Mismatch => "mismatch",
                Sight::Odd => "odd",
            },
            checked_at: timestamp(checked.at),
        }
    }
}

/// An amount on the wire.
#[derive(Serialize)]
pub(crate) struct ValueView {
    amount: String,
    currency_code: &'static str,
}

impl From<Money> for ValueView {
    fn from(money: Money) -> Self {
        Self { amount: money.to_string(), currency_code: money.currency().code() }
    }
}

#[derive(Serialize)]
struct ErrorView<'a> {
    error_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
}

/// A reward on the wire.
#[derive(Serialize)]
pub(crate) struct RewardView<'a> {
    id: String,
    status: &'static str,
    kind: &'static str,
    value: ValueView,
    account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_id: Option<&'a str>,
    creation_request_id: &'a str,
    on_unresolved: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_ending: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelable_until: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorView<'a>>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canceled_at: Option<String>,
}

impl<'a> RewardView<'a> {
    /// The reward, with its code only where a caller gives one.
    #[must_use]
    pub(crate) fn new(reward: &'a Reward, code: Option<&'a ClaimCode>) -> Self {
        let (order, stage) = (&reward.order, &reward.order.stage);
        let cancelable_until = match stage {
            Stage::Sending(_) | Stage::Unproven(_) | Stage::Proven(_) | Stage::Reversing(_) => {
                reward.cancelable_until()
            }
            Stage::Pending | Stage::Refused { .. } | Stage::Reversed(_) | Stage::Attention(_) => None,
        };
        Self {
            id: reward.id.to_string(),
            status: order.state().as_str(),
            kind: reward.kind.as_str(),
            value: reward.value.into(),
            account_id: &reward.account,
            program_id: reward.budget.as_ref().map(|budget| budget.program.as_str()),
            creation_request_id: reward.creation_request_id.as_str(),
            on_unresolved: OnUnresolved::from(order.on_unproven).as_str(),
            product_type: reward.members.as_ref().and_then(CreateMembers::product_type),
            target_ending: reward.target_ending.map(|ending| ending.to_string()),
            claim_code: code.map(ClaimCode::expose),
            external_id: reward.external_id.as_deref(),
            metadata: reward.metadata.clone().and_then(|json| RawValue::from_string(json).ok()),
            cancelable_until: cancelable_until.map(timestamp),
            cancel_requested: stage.reversal_wanted(),
            cancel_failure: stage.reversal_failure().map(ReversalFailure::as_str),
            attention: stage.attention().map(AttentionReason::as_str),
            last_error: reward
                .last_error
                .as_ref()
                .map(|error| ErrorView { error_code: &error.code, error_type: error.error_type.as_deref() }),
            created_at: timestamp(order.created_at),
            updated_at: timestamp(order.updated_at),
            issued_at: stage.proven_at().map(timestamp),
            canceled_at: stage.reversed_at().map(timestamp),
        }
    }
}

/// An entry of a timeline on the wire.
#[derive(Serialize)]
pub(crate) struct EventView {
    seq: i64,
    at: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<RawValue>>,
}

impl From<EntryRow> for EventView {
    fn from(row: EntryRow) -> Self {
        let detail = row.detail.and_then(|json| RawValue::from_string(json).ok());
        Self { seq: row.seq, at: timestamp(row.at), kind: row.kind, detail }
    }
}

/// Whether nothing more will happen to a reward by itself.
#[must_use]
pub(crate) const fn is_final(state: State) -> bool {
    match state {
        State::Issued | State::Failed | State::Canceled => true,
        State::Pending | State::Issuing | State::Unresolved | State::Canceling | State::NeedsAttention => false,
    }
}

/// The answer to an issue. 201 says "issued now", and has the code where the kind has one; whatever else is final is 200.
///
/// # Errors
/// A `failed` reward answers as the problem that it ended in; where that is the account's, with the `pace` of other tries.
pub(crate) fn issued(answer: &Issued, pace: Duration) -> Result<HttpResponse, Problem> {
    let Issued { reward, code, replayed } = answer;
    if reward.state() == State::Failed {
        return Err(refusal(reward, pace));
    }
    let state = reward.state();
    let mut response = if !is_final(state) {
        HttpResponse::Accepted()
    } else if state == State::Issued && !replayed && (code.is_some() || !reward.kind.rules().has_receipt) {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    if !is_final(state) {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    if *replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response.insert_header((header::LOCATION, format!("/v1/rewards/{}", reward.id)));
    Ok(response.json(RewardView::new(reward, code.as_ref())))
}

/// What Amazon refused for good, in our words. A refusal that can be cured is paced.
pub(crate) fn refusal(reward: &Reward, pace: Duration) -> Problem {
    let problem = refused_as(reward);
    let is_paced = problem.code() == problems::ACCOUNT_PROBLEM;
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
        ("F300" | "signature" | "access_key", _) => problems::ACCOUNT_PROBLEM,
        (
            "F200",
            Some("MaxAmountExceeded" | "AmountBelowMinThreshold" | "InvalidAmountValue" | "NegativeOrZeroAmount"),
        ) => problems::AMOUNT_OUT_OF_RANGE,
        ("F200", Some("FractionalAmountNotAllowed")) => problems::AMOUNT_PRECISION,
        ("F200", Some("CurrencyCodeMismatch" | "InvalidCurrencyInMarketplace")) => problems::CURRENCY_NOT_SUPPORTED,
        ("F200", _) => problems::UPSTREAM_REJECTED,
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
