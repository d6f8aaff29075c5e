//! What is sent: ids, value and times. The body of a delivery is made of what never changes, so it is the same at every attempt.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{deliveries::WebhookDelivery, event::TEST};
use crate::{
    events::outbox,
    http::problem::timestamp,
    incentives::sql::brief::{RewardBrief, brief},
    kernel::{PaymentId, RewardId},
    pay::sql::brief::{PaymentBrief, payment_brief},
    store::{Read, StoreError},
};

/// A message (Standard Webhooks 1.0). Its headers are `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookMessage)]
pub(super) struct MessageBody<'a> {
    /// What happened; more types may come.
    #[serde(rename = "type")]
    #[schema(example = "reward.issued")]
    event_type: &'a str,
    /// When it happened.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    timestamp: String,
    /// What it is about. Ask the API for more.
    data: MessageData<'a>,
}

/// What a message is about.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum MessageData<'a> {
    Reward(RewardData<'a>),
    Payment(PaymentData<'a>),
    Named(NamedData<'a>),
}

/// What happened to a reward. The claim code is nowhere in it.
#[derive(Serialize, ToSchema)]
struct RewardData<'a> {
    /// The reward.
    #[schema(example = "rwd_0190000000007000800000000000002a")]
    reward_id: String,
    /// Its place in the reward's timeline.
    #[schema(example = 3)]
    sequence: Option<i64>,
    /// The caller's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "order-4711")]
    external_id: Option<&'a str>,
    /// The program that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "prg_spring")]
    program_id: Option<&'a str>,
    /// The partner account.
    #[schema(example = "us")]
    account_id: &'a str,
    /// The kind of reward.
    #[schema(example = "gift_code")]
    kind: &'a str,
    /// What it is worth.
    value: MessageValue,
}

/// What happened to a charge or a refund of Amazon Pay. Nothing of the buyer is in it.
#[derive(Serialize, ToSchema)]
struct PaymentData<'a> {
    /// The charge, or the refund.
    #[schema(example = "pmt_01990000000070008000000000000000")]
    payment_id: String,
    /// Its place in the timeline of that.
    #[schema(example = 2)]
    sequence: Option<i64>,
    /// The caller's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "fee-2026-11")]
    external_id: Option<&'a str>,
    /// The account that is paid, or pays back.
    #[schema(example = "shop")]
    account_id: &'a str,
    /// `charge` or `refund`.
    #[schema(example = "charge")]
    kind: &'a str,
    /// What was asked for. A capture may have taken less: read the charge.
    value: MessageValue,
}

#[derive(Serialize, ToSchema)]
struct MessageValue {
    /// A decimal number with the currency's places.
    #[schema(example = "25.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
}

/// What happened to a program, an account, a client or the database.
#[derive(Serialize, ToSchema)]
struct NamedData<'a> {
    /// What it is about.
    #[schema(example = "prg_spring")]
    subject: &'a str,
    /// What `GET /v1/events` has as `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    details: Option<&'a RawValue>,
}

/// What a delivery is about, as its row names it.
pub(super) fn subject_of_named(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// The body of a delivery; `None` when what it is about is no longer there.
pub(super) async fn body(on: &mut impl Read, delivery: &WebhookDelivery) -> Result<Option<String>, StoreError> {
    let name = delivery.subject.split_once(':').map_or(delivery.subject.as_str(), |(_kind, name)| name);
    if let Ok(id) = delivery.subject.parse::<RewardId>() {
        let found = brief(on, &[id]).await?;
        return Ok(found.first().and_then(|reward| of_reward(delivery, reward)));
    }
    if let Ok(id) = delivery.subject.parse::<PaymentId>() {
        let found = payment_brief(on, id).await?;
        return Ok(found.and_then(|payment| of_payment(delivery, &payment)));
    }
    let Some(fact) = delivery.fact else {
        return Ok(written(delivery, MessageData::Named(NamedData { subject: name, details: None })));
    };
    let found = outbox::find(on, fact).await?;
    let details = found.map(|fact| fact.data.and_then(|data| RawValue::from_string(data).ok()));
    Ok(details.and_then(|details| {
        written(delivery, MessageData::Named(NamedData { subject: name, details: details.as_deref() }))
    }))
}

fn of_reward(delivery: &WebhookDelivery, reward: &RewardBrief) -> Option<String> {
    let data = RewardData {
        reward_id: reward.id.to_string(),
        sequence: delivery.sequence,
        external_id: reward.external_id.as_deref(),
        program_id: reward.program.as_ref().map(crate::kernel::ProgramId::as_str),
        account_id: &reward.account,
        kind: &reward.kind,
        value: MessageValue { amount: reward.value.to_string(), currency_code: reward.value.currency().code() },
    };
    written(delivery, MessageData::Reward(data))
}

fn of_payment(delivery: &WebhookDelivery, payment: &PaymentBrief) -> Option<String> {
    let data = PaymentData {
        payment_id: payment.id.to_string(),
        sequence: delivery.sequence,
        external_id: payment.external_id.as_deref(),
        account_id: &payment.account,
        kind: payment.kind.as_str(),
        value: MessageValue { amount: payment.value.to_string(), currency_code: payment.value.currency().code() },
    };
    written(delivery, MessageData::Payment(data))
}

fn written(delivery: &WebhookDelivery, data: MessageData<'_>) -> Option<String> {
    let message = MessageBody { event_type: &delivery.event_type, timestamp: timestamp(delivery.happened_at), data };
    serde_json::to_string(&message).ok()
}

/// The type of a test, and what it is about. The token gives each test a subject of its own, so that tests do not wait for each other.
pub(super) fn test_of(endpoint: &str, token: &str) -> (&'static str, String) {
    (TEST, subject_of_named(&format!("test_{token}"), endpoint))
}
