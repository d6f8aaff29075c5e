//! The activity report: what Amazon did for a partner, record by record, and the operation that reads it.
//!
//! The report lists a replay as a success with `isRealOp` false, with the first card's id and the amount that the
//! replay asked for. A cancel has no amount, and a refused create has no card. Amazon's sandbox was recorded like this
//! in 2014. Where no recording exists, the code says which choice it makes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::answer::GatewayAnswer;
use super::book::{Card, CardState, Product};
use super::errors::{self, AgcodError};
use super::fields::{AmountMember, BadBody, Fields};
use super::money;

/// The most records of one page.
pub(super) const PAGE_RECORDS_MAX: usize = 1_000;

/// The call that a record reports.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ActivityType {
    /// A create.
    GCCreation,
    /// A cancel.
    GCCancellation,
    /// A physical card was activated. The word is ours: no such record is known.
    GCActivation,
    /// It was deactivated. As above.
    GCDeactivation,
}

impl ActivityType {
    /// The member of the call that has its id.
    fn request_id(self) -> &'static str {
        match self {
            Self::GCCreation | Self::GCCancellation => "creationRequestId",
            Self::GCActivation | Self::GCDeactivation => "activationRequestId",
        }
    }

    fn is_of_physical_card(self) -> bool {
        match self {
            Self::GCCreation | Self::GCCancellation => false,
            Self::GCActivation | Self::GCDeactivation => true,
        }
    }
}

/// One record of the report.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// The partner who called.
    pub partner_id: String,
    /// The request id of the call.
    pub request_id: String,
    /// The call that the record reports.
    pub activity_type: ActivityType,
    /// The errorType of a refused call.
    pub failure_code: Option<String>,
    /// When, on the sandbox clock.
    pub at: DateTime<Utc>,
    /// The amount that a create asked for. Decimal text in JSON.
    #[serde(with = "money::text_or_none")]
    pub amount: Option<Decimal>,
    /// The currency that a create asked for.
    pub currency: Option<String>,
    /// The card's id, of a physical card its number; `None` where the call was refused.
    pub gc_id: Option<String>,
    /// Whether the call changed the book: a first create or a first cancel.
    pub real_op: bool,
}

/// Every record, oldest first, and how the report behaves.
#[derive(Default)]
pub(super) struct Journal {
    records: Mutex<Vec<Activity>>,
    disabled: AtomicBool,
    paged_by_record: AtomicBool,
}

impl Journal {
    /// The journal of a book that was read from its file. The file does not keep replays and refusals.
    pub(super) fn of(cards: &[Card]) -> Self {
        let mut records: Vec<Activity> = cards.iter().flat_map(real_operations).collect();
        records.sort_by_key(|record| record.at);
        Self { records: Mutex::new(records), ..Self::default() }
    }

    /// Begins anew with these cards.
    pub(super) fn restart(&self, cards: &[Card]) {
        *self.records() = Self::of(cards).records().clone();
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Vec<Activity>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enabled(&self) -> bool {
        !self.disabled.load(Ordering::SeqCst)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.disabled.store(!enabled, Ordering::SeqCst);
    }

    pub(super) fn set_paged_by_record(&self, by_record: bool) {
        self.paged_by_record.store(by_record, Ordering::SeqCst);
    }

    /// Lists the result of a call that buys or gives back. A call that the front end refused is not listed.
    pub(super) fn note(
        &self,
        partner_id: &str,
        activity_type: ActivityType,
        body: &[u8],
        outcome: (&GatewayAnswer, bool),
        at: DateTime<Utc>,
    ) {
        let (answer, real_op) = outcome;
        let Ok(fields) = Fields::read(body) else { return };
        let Ok(Some(request_id)) = fields.text(activity_type.request_id()) else { return };
        let (failure_code, gc_id) = match answer {
            GatewayAnswer::Card(card) => (None, Some(card.gc_id.clone())),
            GatewayAnswer::Canceled { gc_id, .. } => (None, Some(gc_id.clone())),
            GatewayAnswer::Refused { refusal, .. } => (Some(refusal.error_type.to_string()), None),
            GatewayAnswer::OfKind(_) => (None, fields.text("cardNumber").ok().flatten()),
            GatewayAnswer::Funds { .. }
            | GatewayAnswer::Plain { .. }
            | GatewayAnswer::Page(_)
            | GatewayAnswer::Front { .. }
            | GatewayAnswer::Unread { .. } => return,
        };
        let value = fields.object("value").ok().flatten();
        let amount = value.as_ref().and_then(|value| match value.amount("amount") {
            Ok(AmountMember::Number(amount)) => Some(amount),
            Ok(AmountMember::Absent | AmountMember::Null) | Err(_) => None,
        });
        let currency = value.and_then(|value| value.text("currencyCode").ok().flatten());
        let partner_id = partner_id.to_owned();
        let record =
            Activity { partner_id, request_id, activity_type, failure_code, at, amount, currency, gc_id, real_op };
        self.records().push(record);
    }

    /// One page of the report, or why there is none.
    pub(super) fn page(&self, partner_id: &str, asked: &Asked) -> Result<Page, AgcodError> {
        if !self.enabled() {
            return Err(errors::ACTIVITY_PAGE_DISABLED);
        }
        let within = |record: &&Activity| {
            record.partner_id == partner_id
                && (asked.start..=asked.end).contains(&record.at)
                && (asked.show_no_ops || record.real_op)
        };
        let records = self.records();
        let total = records.iter().filter(within).count();
        // Clients contradict each other: a page number, or the number of the first record. A page number is the
        // default.
        let by_record = self.paged_by_record.load(Ordering::SeqCst);
        let first = if by_record { asked.page_index } else { asked.page_index.saturating_mul(asked.page_size) };
        let records = records.iter().filter(within).skip(first).take(asked.page_size).cloned().collect();
        Ok(Page { request_id: asked.request_id.clone(), page_index: asked.page_index, total, records })
    }
}

/// The records of a card: its create and its cancel.
fn real_operations(card: &Card) -> impl Iterator<Item = Activity> {
    let record = |activity_type, at, value: Option<(Decimal, String)>| {
        let (amount, currency) = value.unzip();
        Activity {
            partner_id: card.partner_id.clone(),
            request_id: card.creation_request_id.clone(),
            activity_type,
            failure_code: None,
            at,
            amount,
            currency,
            gc_id: Some(card.gc_id.clone()),
            real_op: true,
        }
    };
    let value = Some((card.amount, card.currency.clone()));
    let listed = match card.product {
        Product::GiftCode => Some((ActivityType::GCCreation, ActivityType::GCCancellation)),
        Product::PhysicalCard => Some((ActivityType::GCActivation, ActivityType::GCDeactivation)),
        Product::BalanceLoad => None,
    };
    let canceled_at = card.canceled_at.filter(|_at| card.state == CardState::Refunded);
    let records = listed.map(|(bought, given_back)| {
        [Some(record(bought, card.created_at, value)), canceled_at.map(|at| record(given_back, at, None))]
    });
    records.into_iter().flatten().flatten()
}

/// What a call asks for.
#[derive(Debug)]
pub(super) struct Asked {
    request_id: Option<String>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    page_index: usize,
    page_size: usize,
    show_no_ops: bool,
}

/// Why a page cannot be asked for.
pub(super) enum NotAsked {
    Body(BadBody),
    Refused(AgcodError),
}

impl From<BadBody> for NotAsked {
    fn from(bad: BadBody) -> Self {
        Self::Body(bad)
    }
}

impl From<AgcodError> for NotAsked {
    fn from(refusal: AgcodError) -> Self {
        Self::Refused(refusal)
    }
}

impl Asked {
    /// Reads a call's members. No recording shows which refusal Amazon gives to which mistake, so each mistake gets the
    /// refusal that its name suggests.
    pub(super) fn read(fields: &Fields) -> Result<Self, NotAsked> {
        let start = instant(fields.text("utcStartDate")?, errors::INVALID_START_DATE)?;
        let end = instant(fields.text("utcEndDate")?, errors::INVALID_END_DATE)?;
        if start > end {
            return Err(errors::START_DATE_AFTER_END_DATE.into());
        }
        let page_index = whole(fields.amount("pageIndex")?).ok_or(errors::INVALID_PAGE_INDEX)?;
        let page_size = whole(fields.amount("pageSize")?).filter(|size| *size > 0).ok_or(errors::INVALID_PAGE_SIZE)?;
        if page_size > PAGE_RECORDS_MAX {
            return Err(errors::MAX_PAGE_SIZE_EXCEEDED.into());
        }
        let show_no_ops = fields.flag("showNoOps")?;
        Ok(Self { request_id: fields.text("requestId")?, start, end, page_index, page_size, show_no_ops })
    }
}

fn instant(text: Option<String>, missing: AgcodError) -> Result<DateTime<Utc>, AgcodError> {
    let text = text.ok_or(missing)?;
    // Amazon's sample code sends no zone: `2013-06-01T23:10:10`.
    let in_utc = |_error| text.parse::<NaiveDateTime>().map(|at| at.and_utc());
    DateTime::parse_from_rfc3339(&text)
        .map(|at| at.to_utc())
        .or_else(in_utc)
        .map_err(|_error| errors::INVALID_DATE_FORMAT)
}

fn whole(amount: AmountMember) -> Option<usize> {
    match amount {
        AmountMember::Number(number) if number.is_integer() => usize::try_from(number).ok(),
        AmountMember::Number(_) | AmountMember::Absent | AmountMember::Null => None,
    }
}

/// One page of the report, as it is answered.
#[derive(Clone, Debug)]
pub(super) struct Page {
    request_id: Option<String>,
    page_index: usize,
    total: usize,
    records: Vec<Activity>,
}

impl Page {
    /// The page's body: shape and order of members as recorded.
    pub(super) fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        let records = self.records.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        serde_json::to_vec(&PageBody {
            card_activity_list: records,
            page_index: self.page_index,
            request_id: self.request_id.as_deref(),
            status: "SUCCESS",
            total: self.total,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageBody<'a> {
    card_activity_list: Vec<RecordBody<'a>>,
    page_index: usize,
    request_id: Option<&'a str>,
    status: &'static str,
    #[serde(rename = "totalNumberOfTransactionsInRequestedTimeFrame")]
    total: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordBody<'a> {
    activity_status: &'static str,
    activity_time: String,
    activity_type: ActivityType,
    card_number: Option<&'a str>,
    card_value: Option<super::answer::ValueMember<'a>>,
    failure_code: Option<&'a str>,
    gc_id: Option<&'a str>,
    is_real_op: &'static str,
    partner_id: &'a str,
    request_id: &'a str,
}

fn shown(record: &Activity) -> Result<RecordBody<'_>, serde_json::Error> {
    let card_value = match (record.amount, record.currency.as_deref()) {
        (Some(amount), Some(currency)) => Some(super::answer::ValueMember::of(amount, currency)?),
        (Some(_) | None, Some(_) | None) => None,
    };
    let physical = record.activity_type.is_of_physical_card();
    Ok(RecordBody {
        activity_status: if record.failure_code.is_none() { "Success" } else { "Failed" },
        activity_time: record.at.format("%a %b %d %H:%M:%S UTC %Y").to_string(),
        activity_type: record.activity_type,
        card_number: record.gc_id.as_deref().filter(|_number| physical),
        card_value,
        failure_code: record.failure_code.as_deref(),
        gc_id: record.gc_id.as_deref().filter(|_id| !physical),
        is_real_op: if record.real_op { "true" } else { "false" },
        partner_id: &record.partner_id,
        request_id: &record.request_id,
    })
}
