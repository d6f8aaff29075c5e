//! Rewards on the wire: what callers send. `view` is what they see, `refused` what Amazon refused.

mod item;
mod refused;
mod view;

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpResponse, http::header};
use serde::Deserialize;
use utoipa::ToSchema;

pub(crate) use self::{
    item::BatchItemBody,
    refused::{lapsed, refusal},
    view::{CheckedView, EventView, RewardView},
};
use super::{
    issue::Issued,
    kind::{Given, Kind},
    model::{Command, OnUnresolved},
};
use crate::{
    accounts::Purpose,
    engine::State,
    http::{
        Code, Problem,
        body::{SecretTexts, Texts},
        value::{ValueBody, printable},
    },
    identity::Principal,
    kernel::{IdempotencyKey, ProgramId, claim_code::may_hold_claim_code},
    ledger,
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
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = RewardRequest,
    example = json!({
        "kind": "gift_code", "value": {"amount": "25.00", "currency_code": "USD"}, "external_id": "order-4711",
        "metadata": {"campaign": "welcome"}
    })
)]
pub(crate) struct IssueBody {
    /// The program to charge; the one that the key is bound to where it is left out.
    #[schema(example = "prg_spring")]
    program_id: Option<String>,
    /// Which account pays; needed where several deal in the currency.
    #[schema(example = "us")]
    account_id: Option<String>,
    /// What to buy: `gift_code`, `card_activation` or `balance_load`. The catalog lists what each account deals in.
    #[schema(example = "gift_code")]
    kind: String,
    /// What it is worth.
    value: ValueBody,
    /// Your own reference, unique for the client.
    #[schema(min_length = 1, max_length = 128, example = "order-4711")]
    external_id: Option<String>,
    /// Up to 16 texts by name: names of 1 to 40 bytes, values of up to 100, 2,048 bytes as JSON.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Texts>,
    /// `keep` (default), or `cancel`: what was not proven while the caller waited is canceled as soon as it is proven.
    #[schema(example = "keep")]
    on_unresolved: Option<String>,
    /// What to act on, where the kind acts on something: `card_number` (19 digits) of a `card_activation`; one of `barcode` (30 digits), `phone`
    /// (E.164), `account_id` and `access_token` of a `balance_load`. Sealed at rest, and in no answer.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    target: Option<SecretTexts>,
    /// The till, for kinds that are bought at one: `source_id` and `institution_id` (1 to 40 bytes each), `source_details` (1 to 200).
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    transaction_source: Option<SecretTexts>,
    /// Of a voucher: one of the products that the account's contract names.
    product_type: Option<String>,
}

/// The body of a cancel or a reveal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason, example = json!({"reason": "the customer returned the order"}))]
pub(crate) struct ReasonBody {
    /// Why, for the timeline. Text that can be a claim code is refused.
    #[schema(min_length = 1, max_length = 200, example = "the customer returned the order")]
    reason: String,
}

fn invalid(pointer: &str, detail: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail)
}

fn unknown_kind() -> Problem {
    let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    invalid("/kind", "not a kind of reward").detail(format!("expected: {}", known.join(" or ")))
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
        let (account, asked_by, value) = (self.account_id, principal.key, self.value.into_money("/value")?);
        Ok(Command {
            key,
            account,
            kind,
            value,
            program,
            asked_by,
            external_id,
            metadata,
            on_unresolved,
            aim,
            asked,
            purpose: Purpose::Purchase,
        })
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
        checked_reason(self.reason)
    }
}

/// The reason of a cancel or a reveal, checked.
///
/// # Errors
/// The problem that names the field.
pub(crate) fn checked_reason(text: String) -> Result<String, Problem> {
    let reason = printable(text, "/reason", REASON_LEN_MAX)?;
    if may_hold_claim_code(&reason) { Err(may_be_code("/reason")) } else { Ok(reason) }
}

/// The body of a check.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckRequest)]
pub(crate) struct CheckBody {
    /// What the reward acts on, once it was wiped: as the request had it.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    target: Option<SecretTexts>,
    /// The till, as the request had it.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
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
