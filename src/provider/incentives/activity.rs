//! The activity report: what Amazon did for the account, record by record (`PROTOCOL.md`).
//!
//! A card's own number is not read, so no `gcId` leaves here. A record that cannot be read makes its page unreadable,
//! because a report with holes in it proves nothing.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::wire::{self, Amount, Field, Unwritable, object, text};
use crate::kernel::{Currency, Money, word_methods};

/// Records of the largest page (`PROTOCOL.md`).
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Characters of the longest request id that is read; Amazon allows 40.
const REQUEST_ID_LEN_MAX: usize = 128;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ActivityKind {
    /// A card was bought.
    #[strum(serialize = "GCCreation")]
    Creation,
    /// A card was given back.
    #[strum(serialize = "GCCancellation")]
    Cancellation,
    /// A physical card was activated. That Amazon calls it so is assumed, here and below.
    #[strum(serialize = "GCActivation")]
    Activation,
    /// A physical card was deactivated.
    #[strum(serialize = "GCDeactivation")]
    Deactivation,
    /// Something that we do not do, or by a word that we do not know.
    Other,
}
word_methods!(ActivityKind);

/// One record of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRecord {
    /// The request id of the call, as it was sent; not always one of ours.
    pub request_id: String,
    /// What it is about.
    pub kind: ActivityKind,
    /// Whether it succeeded and changed something: a replay, a second cancel and a refusal did not (`isRealOp`).
    pub is_real: bool,
    /// When, by Amazon's clock, in whole seconds.
    pub at: DateTime<Utc>,
    /// The value of a creation or an activation. What gives back has none.
    pub value: Option<Money>,
}

/// One page of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityPage {
    /// Its records.
    pub records: Vec<ActivityRecord>,
    /// How many there are on all pages of the same question.
    pub total: u64,
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityQuery {
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// Which page, or from which record on: clients of Amazon's contradict each other. From 0.
    pub page_index: u64,
    /// Names the question to Amazon, so that its support can find it. No two questions have the same.
    pub id: Uuid,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageRequest<'a> {
    partner_id: &'a str,
    request_id: String,
    utc_start_date: String,
    utc_end_date: String,
    page_index: u64,
    page_size: usize,
    /// With them, as every known client asks: whether the total counts them otherwise is not known.
    show_no_ops: bool,
}

/// The body of GetGiftCardActivityPage. Its `requestId` is only echoed.
pub(super) fn page_body(partner_id: &str, query: &ActivityQuery) -> Result<Vec<u8>, Unwritable> {
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    wire::body(&PageRequest {
        partner_id,
        request_id: format!("{partner_id}{}", query.id.simple()),
        utc_start_date: instant(query.from),
        utc_end_date: instant(query.to),
        page_index: query.page_index,
        page_size: PAGE_RECORDS_MAX,
        show_no_ops: true,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordFields<'a> {
    #[serde(borrow)]
    activity_status: Field<'a>,
    #[serde(borrow)]
    activity_time: Field<'a>,
    #[serde(borrow)]
    activity_type: Field<'a>,
    #[serde(borrow)]
    card_value: Field<'a>,
    #[serde(borrow)]
    is_real_op: Field<'a>,
    #[serde(borrow)]
    request_id: Field<'a>,
}

/// Reads a page's list and its total; `None` when any of it makes no sense, or is of another currency than the account's.
pub(super) fn page(list: Field<'_>, total: Field<'_>, currency: Currency) -> Option<ActivityPage> {
    let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(list?.get()).ok()?;
    if list.len() > PAGE_RECORDS_MAX {
        return None;
    }
    let records = list.into_iter().map(|raw| record(object(raw)?, currency)).collect::<Option<Vec<_>>>()?;
    Some(ActivityPage { records, total: total?.get().parse().ok()? })
}

fn record(raw: RecordFields<'_>, currency: Currency) -> Option<ActivityRecord> {
    let request_id = text(raw.request_id).filter(|id| (1..=REQUEST_ID_LEN_MAX).contains(&id.len()))?.into_owned();
    let kind = ActivityKind::from_word(&text(raw.activity_type)?).unwrap_or(ActivityKind::Other);
    let succeeded = match &*text(raw.activity_status)? {
        "Success" => true,
        "Failed" => false,
        _ => return None,
    };
    // A string, as recorded; a real boolean is understood as well.
    let real = match text(raw.is_real_op).as_deref().or(raw.is_real_op.map(|raw| raw.get()))? {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    let at = time(&text(raw.activity_time)?)?;
    let is_real = succeeded && real;
    let value = raw.card_value.and_then(object::<Amount<'_>>).and_then(|value| value.money(currency));
    let kind = match (kind, value) {
        (ActivityKind::Creation, None) if is_real => return None,
        // Its form is not known either.
        (ActivityKind::Activation, None) => ActivityKind::Other,
        (kind, _) => kind,
    };
    Some(ActivityRecord { request_id, kind, is_real, at, value })
}

/// A record's time: as Java prints dates (`Mon Sep 22 16:39:07 UTC 2014`), always in UTC, or as RFC 3339 says.
#[must_use]
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    let java = NaiveDateTime::parse_from_str(text, "%a %b %d %H:%M:%S UTC %Y").map(|at| at.and_utc());
    java.or_else(|_error| DateTime::parse_from_rfc3339(text).map(|at| at.to_utc())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    /// As recorded in 2014 (`PROTOCOL.md`).
    const RECORDED: &str = r#"{"activityStatus":"Success","activityTime":"Mon Sep 22 16:39:07 UTC 2014","activityType":"GCCreation",
        "cardNumber":null,"cardValue":{"amount":10.0,"currencyCode":"GBP"},"failureCode":null,"gcId":"AXXXXXXXXXXXXX",
        "isRealOp":"true","partnerId":"Xxxxx","requestId":"Xxxxx123456"}"#;

    fn read(records: &[String]) -> Option<ActivityPage> {
        let list = RawValue::from_string(format!("[{}]", records.join(","))).unwrap();
        let total = RawValue::from_string("36".to_owned()).unwrap();
        page(Some(&list), Some(&total), Currency::Gbp)
    }

    #[test]
    fn a_recorded_page_is_read() {
        let page = read(&[RECORDED.to_owned()]).unwrap();
        assert_eq!(page.total, 36);
        let record = &page.records[0];
        assert_eq!(
            (record.request_id.as_str(), record.kind, record.is_real),
            ("Xxxxx123456", ActivityKind::Creation, true)
        );
        assert_eq!(record.value, Some(Money::from_minor(1000, Currency::Gbp)));
        assert_eq!(record.at.to_rfc3339(), "2014-09-22T16:39:07+00:00");
    }

    #[test]
    fn a_replay_a_refusal_and_a_cancel_are_distinguished() {
        let replay = read(&[RECORDED.replace(r#""isRealOp":"true""#, r#""isRealOp":"false""#)]).unwrap();
        assert!(!replay.records[0].is_real);
        let refused = read(&[RECORDED.replace("Success", "Failed")]).unwrap();
        assert!(!refused.records[0].is_real);
        let cancel =
            RECORDED.replace("GCCreation", "GCCancellation").replace(r#"{"amount":10.0,"currencyCode":"GBP"}"#, "null");
        let cancel = read(&[cancel]).unwrap();
        assert_eq!((cancel.records[0].kind, cancel.records[0].value), (ActivityKind::Cancellation, None));
        let activation = RECORDED.replace("GCCreation", "GCActivation");
        let valueless = activation.replace(r#"{"amount":10.0,"currencyCode":"GBP"}"#, "null");
        for (record, kind) in [
            (activation, ActivityKind::Activation),
            (valueless, ActivityKind::Other),
            (RECORDED.replace("GCCreation", "GCDeactivation"), ActivityKind::Deactivation),
            (RECORDED.replace("GCCreation", "ActivateGiftCard"), ActivityKind::Other),
        ] {
            assert_eq!(read(&[record]).unwrap().records[0].kind, kind);
        }
    }

    #[test]
    fn a_record_that_makes_no_sense_makes_its_page_unreadable() {
        for (from, to) in [
            ("10.0", "10.005"),
            ("\"GBP\"", "\"USD\""),
            ("Success", "Sucess"),
            ("UTC 2014", "PDT 2014"),
            (r#""isRealOp":"true""#, r#""isRealOp":"yes""#),
            (r#""requestId":"Xxxxx123456""#, r#""requestId":null"#),
        ] {
            let broken = RECORDED.replace(from, to);
            assert_ne!(broken, RECORDED);
            assert_eq!(read(&[RECORDED.to_owned(), broken]), None, "{to}");
        }
        assert_eq!(read(&vec![RECORDED.to_owned(); PAGE_RECORDS_MAX + 1]), None);
    }

    #[test]
    fn the_question_is_asked_as_recorded() {
        let at = |text: &str| time(text).unwrap();
        let (from, to) = (at("2014-09-01T00:00:00Z"), at("2014-09-30T00:00:00Z"));
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let body = page_body("Xxxxx", &ActivityQuery { from, to, page_index: 2, id }).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"partnerId":"Xxxxx","requestId":"Xxxxx0123456789abcdef0123456789abcdef","utcStartDate":"2014-09-01T00:00:00Z","utcEndDate":"2014-09-30T00:00:00Z","pageIndex":2,"pageSize":1000,"showNoOps":true}"#
        );
    }
}
