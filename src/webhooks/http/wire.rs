//! What callers send and see of endpoints and deliveries.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::{
    deliveries::{DeliveryState, WebhookDelivery},
    endpoint_url::{EndpointUrl, Reachable},
    endpoints::{EndpointState, WebhookEndpoint},
    event::{EVENT_TYPES, EventFilter},
    secret::EndpointSecret,
    service::{EndpointChange, Replayed},
};
use crate::{
    http::{Code, Problem, paging::bad_query, problem::timestamp, routing::nothing_of},
    kernel::{calendar::is_storable, claim_code::looks_like_claim_code},
};

/// Characters of the longest description.
const DESCRIPTION_MAX: usize = 200;
/// For how long an old secret signs beside its successor, in hours.
const OVERLAP_HOURS: u32 = 24;
const OVERLAP_HOURS_MAX: u32 = 7 * 24;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEndpointRequest)]
pub(super) struct EndpointBody {
    /// Where messages are sent: `https`, a public host, no user, no password, no fragment; at most 2,048 bytes.
    #[schema(example = "https://hooks.example.com/noshi")]
    pub(super) url: String,
    /// For people.
    #[schema(max_length = 200, example = "Points service")]
    pub(super) description: Option<String>,
    /// The types of events that are sent; all where it is left out or empty.
    #[schema(example = json!(["reward.issued", "reward.canceled"]))]
    pub(super) event_types: Option<Vec<String>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEndpointChange)]
pub(super) struct EndpointChangeBody {
    /// Where messages are sent from now on, also those that wait.
    #[schema(example = "https://hooks.example.com/noshi")]
    url: Option<String>,
    /// For people; an empty one is removed.
    #[schema(max_length = 200, example = "Points service")]
    description: Option<String>,
    /// The types of events that are sent from now on; all where it is empty.
    #[schema(example = json!(["reward.issued", "reward.canceled"]))]
    event_types: Option<Vec<String>>,
    /// `disabled`: events wait. `enabled`: what waits is sent.
    #[schema(example = "enabled")]
    state: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookSecretRotation)]
pub(super) struct RotationBody {
    /// For how many hours the old secret signs, too: 24 where it is left out. 0 ends it at once.
    #[schema(minimum = 0, maximum = 168, example = 24)]
    overlap_hours: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookReplayRequest)]
pub(super) struct ReplayBody {
    /// Events since this instant are sent again, at most 30 days back.
    #[schema(format = DateTime, example = "2026-11-28T09:00:00Z")]
    from: String,
    /// Where to go on: the `next_cursor` of the answer before.
    #[schema(example = "4711")]
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// `pending`, `delivered` or `failed`.
    #[param(example = "failed")]
    pub(super) state: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    pub(super) cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<String>,
}

/// Where a client listens.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(super) struct EndpointView {
    /// Its id.
    #[schema(example = "whe_0190000000007000800000000000002a")]
    id: String,
    /// Where messages are sent.
    #[schema(example = "https://hooks.example.com/noshi")]
    url: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Points service")]
    description: Option<String>,
    /// The types of events that are sent; all where it is empty.
    #[schema(example = json!(["reward.issued", "reward.canceled"]))]
    event_types: Vec<String>,
    /// The program whose events alone are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "prg_spring")]
    program_id: Option<String>,
    /// `enabled` or `disabled`.
    #[schema(example = "enabled")]
    state: &'static str,
    /// Why it is disabled: `asked`, `gone` (the receiver answered 410) or `failing` (nothing was delivered for five days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "gone")]
    disabled_why: Option<&'static str>,
    /// Failed attempts since the last one that was taken.
    #[schema(example = 0)]
    failures: i64,
    /// When the first of them was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    failing_since: Option<String>,
    /// Until when the secret before the last one signs, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    old_secret_until: Option<String>,
    /// When it was made.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    created_at: String,
    /// When it was changed last.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    updated_at: String,
}

/// An endpoint with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(super) struct SecretView {
    /// The endpoint.
    #[serde(flatten)]
    endpoint: EndpointView,
    /// What its messages are signed with (Standard Webhooks): keep it where you keep passwords.
    #[schema(example = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")]
    secret: String,
}

/// An event on its way to an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryView {
    /// Its id.
    #[schema(example = "whd_4711")]
    id: String,
    /// The `webhook-id` of its message: the same at each attempt. It begins with the event's id in `GET /v1/events`.
    #[schema(example = "evt_42_1795858200123")]
    message_id: String,
    /// The type of the event.
    #[serde(rename = "type")]
    #[schema(example = "reward.issued")]
    event_type: String,
    /// What it is about: a reward's id, or a kind and a name as in `program:prg_spring`. Events about one subject are sent in their order.
    #[schema(example = "rwd_0190000000007000800000000000002a")]
    subject: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    state: &'static str,
    /// Attempts since the event was queued, redelivered or replayed.
    #[schema(example = 1)]
    attempts: i64,
    /// When it is sent next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    next_attempt_at: Option<String>,
    /// What the receiver answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 204)]
    last_status: Option<i64>,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "timeout")]
    last_failure: Option<String>,
    /// When the event happened.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    happened_at: String,
    /// When it was delivered or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    done_at: Option<String>,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
pub(super) struct ReplayView {
    /// How many events.
    #[schema(example = 120)]
    deliveries: u64,
    /// There are more: ask again with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "4711")]
    next_cursor: Option<String>,
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail.into())
}

pub(super) fn url(text: &str, reachable: Reachable) -> Result<EndpointUrl, Problem> {
    EndpointUrl::parse(text, reachable).map_err(|fault| invalid("/url", fault.to_string()))
}

pub(super) fn description(text: Option<String>) -> Result<Option<String>, Problem> {
    let bad = |text: &str| {
        text.chars().count() > DESCRIPTION_MAX || text.chars().any(char::is_control) || looks_like_claim_code(text)
    };
    match text {
        Some(text) if bad(&text) => Err(invalid(
            "/description",
            "at most 200 characters, no control characters, and not shaped like a claim code",
        )),
        other => Ok(other.filter(|text| !text.is_empty())),
    }
}

pub(super) fn event_types(words: &[String]) -> Result<EventFilter, Problem> {
    EventFilter::of(words).map_err(|unknown| {
        invalid(&format!("/event_types/{}", unknown.at), format!("one of {}", EVENT_TYPES.join(", ")))
    })
}

impl EndpointChangeBody {
    pub(super) fn into_change(self, reachable: Reachable) -> Result<EndpointChange, Problem> {
        let state = self
            .state
            .map(|word| EndpointState::from_word(&word).ok_or_else(|| invalid("/state", "enabled or disabled")));
        Ok(EndpointChange {
            url: self.url.map(|text| url(&text, reachable)).transpose()?,
            description: self.description.map(|text| description(Some(text))).transpose()?,
            event_types: self.event_types.map(|words| event_types(&words)).transpose()?,
            state: state.transpose()?,
        })
    }
}

impl RotationBody {
    pub(super) fn hours(self) -> Result<u32, Problem> {
        let hours = self.overlap_hours.unwrap_or(OVERLAP_HOURS);
        if hours <= OVERLAP_HOURS_MAX { Ok(hours) } else { Err(invalid("/overlap_hours", "0 to 168")) }
    }
}

impl ReplayBody {
    /// From when on, and behind which delivery.
    pub(super) fn read(self, kept_since: DateTime<Utc>) -> Result<(DateTime<Utc>, Option<i64>), Problem> {
        let from = DateTime::parse_from_rfc3339(&self.from).map(|at| at.to_utc()).ok();
        let from = from.filter(|at| *at >= kept_since && is_storable(at.date_naive()));
        let from =
            from.ok_or_else(|| invalid("/from", "an instant as in 2026-11-28T09:00:00Z, at most 30 days ago"))?;
        let behind = self.cursor.map(|text| {
            let read = text.parse::<i64>().ok().filter(|at| *at >= 0);
            read.ok_or_else(|| invalid("/cursor", "the next_cursor of an answer"))
        });
        Ok((from, behind.transpose()?))
    }
}

pub(super) fn state(word: Option<String>) -> Result<Option<DeliveryState>, Problem> {
    let read = |word: String| {
        DeliveryState::from_word(&word).ok_or_else(|| bad_query("state", "pending, delivered or failed"))
    };
    word.map(read).transpose()
}

/// The number of a delivery's id.
pub(super) fn delivery_number(id: &str) -> Result<i64, Problem> {
    let number = id.strip_prefix("whd_").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| nothing_of("no id: expected whd_ and a number, as an answer has it"))
}

impl From<WebhookEndpoint> for EndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types.words().to_vec(),
            program_id: endpoint.program.map(|program| program.to_string()),
            state: endpoint.state.as_str(),
            disabled_why: endpoint.disabled_why.map(|why| why.as_str()),
            failures: endpoint.failures,
            failing_since: endpoint.failing_since.map(timestamp),
            old_secret_until: endpoint.old_secret.map(|(_sealed, until)| timestamp(until)),
            created_at: timestamp(endpoint.created_at),
            updated_at: timestamp(endpoint.updated_at),
        }
    }
}

impl SecretView {
    pub(super) fn new(endpoint: WebhookEndpoint, secret: &EndpointSecret) -> Self {
        Self { endpoint: endpoint.into(), secret: secret.in_clear().to_string() }
    }
}

impl From<WebhookDelivery> for DeliveryView {
    fn from(delivery: WebhookDelivery) -> Self {
        let next = (delivery.state == DeliveryState::Pending).then(|| timestamp(delivery.due_at));
        Self {
            id: format!("whd_{}", delivery.id),
            message_id: delivery.message_id(),
            event_type: delivery.event_type,
            subject: delivery.subject,
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            next_attempt_at: next,
            last_status: delivery.last_status,
            last_failure: delivery.last_failure,
            happened_at: timestamp(delivery.happened_at),
            done_at: delivery.done_at.map(timestamp),
        }
    }
}

impl From<Replayed> for ReplayView {
    fn from(replayed: Replayed) -> Self {
        Self { deliveries: replayed.deliveries, next_cursor: replayed.next.map(|next| next.to_string()) }
    }
}
