//! What callers see of rewards. The one place where a claim code becomes text of an answer.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    engine::{AttentionReason, ReversalFailure, Sight, Stage},
    events::timeline::EntryRow,
    http::{problem::timestamp, value::ValueView},
    incentives::{
        check::Checked,
        model::{OnUnresolved, Reward},
    },
    kernel::ClaimCode,
    provider::incentives::CreateMembers,
};

/// What Amazon said of a reward when it was asked for a check.
#[derive(Serialize, ToSchema)]
#[schema(as = Checked)]
pub(crate) struct CheckedView<'a> {
    /// The reward as it is now.
    reward: RewardView<'a>,
    /// `active`, `inactive`, `mismatch` or `odd`; more may come.
    #[schema(example = "active")]
    shown: &'static str,
    /// When Amazon answered.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    checked_at: String,
}

impl<'a> CheckedView<'a> {
    #[must_use]
    pub(crate) fn new(checked: &'a Checked, client: Option<&'a str>) -> Self {
        Self {
            reward: RewardView::new(&checked.reward, None).of_client(client),
            shown: match checked.sight {
                Sight::Live | Sight::Unattributed => "active",
                Sight::Absent | Sight::Reversed => "inactive",
                Sight::Mismatch => "mismatch",
                Sight::Odd | Sight::Undecided | Sight::Declined => "odd",
            },
            checked_at: timestamp(checked.at),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = LastError)]
struct ErrorView<'a> {
    /// Amazon's `errorCode`, or a word of ours where Amazon gave no usable answer.
    #[schema(example = "F200")]
    error_code: &'a str,
    /// Amazon's `errorType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "MaxAmountExceeded")]
    error_type: Option<&'a str>,
}

/// A reward on the wire.
#[derive(Serialize, ToSchema)]
#[schema(
    as = Reward,
    example = json!({
        "id": "rwd_01990000000070008000000000000000", "status": "issued", "kind": "gift_code",
        "value": {"amount": "25.00", "currency_code": "USD"}, "account_id": "us",
        "creation_request_id": "AwssbAbCdEfGhIjKlMnOpQrStUvWxYz0123456", "on_unresolved": "keep",
        "claim_code": "ABCD-EFGHJK-LMNP", "external_id": "order-4711", "metadata": {"campaign": "welcome"},
        "cancelable_until": "2026-11-28T09:44:50.000Z", "created_at": "2026-11-28T09:30:00.000Z",
        "updated_at": "2026-11-28T09:30:00.412Z", "issued_at": "2026-11-28T09:30:00.412Z"
    })
)]
pub(crate) struct RewardView<'a> {
    /// Its id.
    #[schema(example = "rwd_01990000000070008000000000000000")]
    id: String,
    /// Whose it is: the name of a client. Shown to a key with `rewards:all` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "shop")]
    client: Option<&'a str>,
    /// `pending`, `issuing`, `unresolved`, `issued`, `failed`, `canceling`, `canceled` or `needs_attention`; more may come.
    #[schema(example = "issued")]
    status: &'static str,
    /// What was bought.
    #[schema(example = "gift_code")]
    kind: &'static str,
    /// What it is worth.
    value: ValueView,
    /// Which account pays.
    #[schema(example = "us")]
    account_id: &'a str,
    /// The program that it is charged to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "prg_spring")]
    program_id: Option<&'a str>,
    /// Amazon's id of it (`creationRequestId`).
    #[schema(example = "AwssbAbCdEfGhIjKlMnOpQrStUvWxYz0123456")]
    creation_request_id: &'a str,
    /// What becomes of an unknown outcome.
    #[schema(example = "keep")]
    on_unresolved: &'static str,
    /// The product of a voucher.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    product_type: Option<String>,
    /// The last four digits of what it acts on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "5358")]
    target_ending: Option<String>,
    /// The code: in the answers to issue and reveal alone. It is a bearer code, and stored nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ABCD-EFGHJK-LMNP")]
    claim_code: Option<&'a str>,
    /// The caller's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "order-4711")]
    external_id: Option<&'a str>,
    /// The caller's texts by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<Box<RawValue>>,
    /// Until when a cancel is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    cancelable_until: Option<String>,
    /// `true` where a cancel is wanted and not proven; else left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    cancel_requested: bool,
    /// Why it could not be canceled: `too_late`, `not_permitted`; more may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "too_late")]
    cancel_failure: Option<&'static str>,
    /// Why a person must decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cancel_failed")]
    attention: Option<&'static str>,
    /// What Amazon last refused it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<ErrorView<'a>>,
    /// When the request was recorded.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    updated_at: String,
    /// When Amazon proved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    issued_at: Option<String>,
    /// When Amazon proved that it is canceled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    canceled_at: Option<String>,
    /// When it was archived: its timeline and its metadata are gone since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2027-11-28T09:30:00.000Z")]
    archived_at: Option<String>,
}

impl<'a> RewardView<'a> {
    /// The same, with whose it is.
    #[must_use]
    pub(crate) fn of_client(self, name: Option<&'a str>) -> Self {
        Self { client: name, ..self }
    }

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
            client: None,
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
            archived_at: reward.archived_at.map(timestamp),
        }
    }
}

/// An entry of a timeline on the wire.
#[derive(Serialize, ToSchema)]
#[schema(
    as = TimelineEntry,
    example = json!({
        "seq": 2, "at": "2026-11-28T09:30:00.412Z", "kind": "reward.issued",
        "detail": {"attempt": 1, "operation": "CreateGiftCard", "outcome": "proven", "duration_ms": 398}
    })
)]
pub(crate) struct EventView {
    /// Counted from 1 in each timeline.
    #[schema(example = 1)]
    seq: i64,
    /// When.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    at: String,
    /// What happened, such as `reward.issued`; more may come.
    #[schema(example = "reward.issued")]
    kind: String,
    /// What there is to say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    detail: Option<Box<RawValue>>,
}

impl From<EntryRow> for EventView {
    fn from(row: EntryRow) -> Self {
        let detail = row.detail.and_then(|json| RawValue::from_string(json).ok());
        Self { seq: row.seq, at: timestamp(row.at), kind: row.kind, detail }
    }
}
