//! Amazon's records, page by page: which page to ask for next, and what a page says of each id.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{
    kernel::{CreationRequestId, claim_code::looks_like_claim_code, idempotency::CREATION_REQUEST_ID_LEN_MAX},
    provider::incentives::{ActivityKind, ActivityPage, ActivityRecord},
};

/// The report has another number of records than it says: it changed while it was read, or it ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the report does not have as many records as it says")]
pub(crate) struct Incomplete;

/// Walks the pages. Amazon's documents do not say whether `pageIndex` counts pages or records, and known clients contradict
/// each other. The second page decides: if it is the first page moved on by one record, the index counts records. The
/// number of records that Amazon announces must be reached exactly.
#[derive(Default)]
pub(crate) struct PageCursor {
    /// The first page, until the second one decides.
    first: Vec<ActivityRecord>,
    pages: u64,
    received: u64,
    total: Option<u64>,
    by_record: Option<bool>,
}

impl PageCursor {
    /// The index to ask for next; `None` once all records have arrived.
    pub(crate) fn next(&self) -> Option<u64> {
        match self.total {
            Some(total) if self.received >= total => None,
            Some(_) | None if self.by_record == Some(true) => Some(self.received),
            Some(_) | None => Some(self.pages),
        }
    }

    /// Takes the page that was asked for; `false` if it only repeats the first one, moved on by a record.
    pub(crate) fn take(&mut self, page: &ActivityPage) -> Result<bool, Incomplete> {
        let (count, first) = (u64::try_from(page.records.len()).unwrap_or(u64::MAX), self.total.is_none());
        let total = *self.total.get_or_insert(page.total);
        if total != page.total || (count == 0 && total > 0) {
            return Err(Incomplete);
        }
        if first {
            self.first.clone_from(&page.records);
        } else if self.by_record.is_none() {
            let overlap = self.first.get(1..).filter(|rest| !rest.is_empty() && page.records.starts_with(rest));
            self.by_record = Some(overlap.is_some());
            self.first = Vec::new();
            if self.by_record == Some(true) {
                // The page holds one new record. The next request, by record number, brings it again.
                return Ok(false);
            }
        }
        self.pages = self.pages.saturating_add(1);
        self.received = self.received.saturating_add(count);
        if self.received > total { Err(Incomplete) } else { Ok(true) }
    }
}

/// What Amazon's records say of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// In minor units.
    pub(crate) amount_minor: Option<i64>,
    pub(crate) canceled_at: Option<DateTime<Utc>>,
    /// It is a physical card's activation, not a code's creation.
    pub(crate) activated: bool,
}

/// What a page of records says of each id.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By the id as [`stored_id`] gives it.
    pub(crate) seen: BTreeMap<String, Seen>,
    /// Records of any kind, replays and refusals included.
    pub(crate) records: i64,
    /// It lists activations of physical cards.
    pub(crate) lists_activations: bool,
    /// The instants of the first and the last record.
    pub(crate) span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Batch {
    /// Adds a record. A replay (`isRealOp` is false) and a mock id bought nothing, and are only counted.
    pub(crate) fn add(&mut self, record: &ActivityRecord, partner_id: &str) {
        self.records = self.records.saturating_add(1);
        let (first, last) = self.span.unwrap_or((record.at, record.at));
        self.span = Some((first.min(record.at), last.max(record.at)));
        let mock = CreationRequestId::from_stored(record.request_id.clone()).is_mock();
        if !record.is_real || mock {
            return;
        }
        self.lists_activations |= matches!(record.kind, ActivityKind::Activation | ActivityKind::Deactivation);
        let key = stored_id(&record.request_id, partner_id);
        match record.kind {
            ActivityKind::Creation | ActivityKind::Activation => {
                let seen = self.seen.entry(key).or_default();
                seen.activated |= record.kind == ActivityKind::Activation;
                let again = seen.created_at.is_some_and(|at| at != record.at);
                let amount = record.value.map_or(0, crate::kernel::Money::minor);
                // Two real creates of one id, at different instants, are two cards.
                let before = if again { seen.amount_minor.unwrap_or(0) } else { 0 };
                seen.amount_minor = Some(before.saturating_add(amount));
                seen.created_at = seen.created_at.or(Some(record.at));
            }
            ActivityKind::Cancellation | ActivityKind::Deactivation => {
                let seen = self.seen.entry(key).or_default();
                seen.activated |= record.kind == ActivityKind::Deactivation;
                seen.canceled_at = seen.canceled_at.or(Some(record.at));
            }
            ActivityKind::Other => {}
        }
    }
}

/// An id as it may be stored. An id that begins with the partner id, as Amazon demands, is stored as it is. Anything else
/// in a report's column of ids could be a claim code, so only its hash is stored, behind the partner id and a `#`.
pub(crate) fn stored_id(request_id: &str, partner_id: &str) -> String {
    let rest = request_id.strip_prefix(partner_id).unwrap_or_default();
    let charset = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let plain = !rest.is_empty() && request_id.len() <= CREATION_REQUEST_ID_LEN_MAX && request_id.bytes().all(charset);
    if plain && !looks_like_claim_code(request_id) {
        return request_id.to_owned();
    }
    let hash = HEXLOWER.encode(&Sha256::digest(request_id));
    format!("{partner_id}#{}", hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Currency, Money};

    fn record(id: &str, second: i64, kind: ActivityKind, minor: i64) -> ActivityRecord {
        let at = DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
        let value = (kind == ActivityKind::Creation).then(|| Money::from_minor(minor, Currency::Usd));
        ActivityRecord { request_id: id.to_owned(), kind, is_real: true, at, value }
    }

    /// All records that a walk over this report collects, where an index counts pages of three, or records.
    fn walk(report: &[ActivityRecord], by_record: bool) -> Result<Vec<ActivityRecord>, Incomplete> {
        let (mut cursor, mut all) = (PageCursor::default(), Vec::new());
        while let Some(index) = cursor.next() {
            let index = usize::try_from(index).unwrap();
            let skip = if by_record { index } else { index * 3 };
            let records: Vec<_> = report.iter().skip(skip).take(3).cloned().collect();
            if cursor.take(&ActivityPage { records: records.clone(), total: u64::try_from(report.len()).unwrap() })? {
                all.extend(records);
            }
        }
        Ok(all)
    }

    #[test]
    fn all_pages_come_whichever_way_they_are_counted() {
        for count in 0..20 {
            let report: Vec<_> = (0..count).map(|n| record("AwssbA", n, ActivityKind::Creation, 1)).collect();
            for by_record in [false, true] {
                assert_eq!(walk(&report, by_record).unwrap(), report, "{count} {by_record}");
            }
        }
    }

    #[test]
    fn a_report_that_changes_or_ends_early_is_not_believed() {
        let one = record("AwssbA", 0, ActivityKind::Creation, 1);
        let page = |records: usize, total| ActivityPage { records: vec![one.clone(); records], total };
        let mut cursor = PageCursor::default();
        cursor.take(&page(2, 4)).unwrap();
        assert_eq!(cursor.take(&page(2, 5)), Err(Incomplete), "another total");
        let mut cursor = PageCursor::default();
        cursor.take(&page(2, 4)).unwrap();
        assert_eq!(cursor.take(&page(0, 4)), Err(Incomplete), "it ends early");
        assert_eq!(PageCursor::default().take(&page(3, 2)), Err(Incomplete), "more than it says");
        let mut cursor = PageCursor::default();
        cursor.take(&page(0, 0)).unwrap();
        assert_eq!(cursor.next(), None, "nothing happened");
    }

    #[test]
    fn real_operations_are_gathered_by_id_and_nothing_else() {
        let mut batch = Batch::default();
        let replay = ActivityRecord { is_real: false, ..record("AwssbA", 9, ActivityKind::Creation, 777) };
        for record in [
            record("AwssbA", 1, ActivityKind::Creation, 500),
            record("AwssbA", 1, ActivityKind::Creation, 500),
            replay,
            record("AwssbA", 5, ActivityKind::Cancellation, 0),
            record("F0000", 2, ActivityKind::Creation, 100),
            record("AwssbB", 3, ActivityKind::Other, 0),
            record("AwssbC", 3, ActivityKind::Creation, 200),
            record("AwssbC", 8, ActivityKind::Creation, 200),
        ] {
            batch.add(&record, "Awssb");
        }
        let ids: Vec<&str> = batch.seen.keys().map(String::as_str).collect();
        assert_eq!((ids, batch.records), (vec!["AwssbA", "AwssbC"], 8));
        let a = batch.seen["AwssbA"];
        assert_eq!(
            (a.amount_minor, a.canceled_at.is_some()),
            (Some(500), true),
            "a record that comes twice counts once"
        );
        assert_eq!(batch.seen["AwssbC"].amount_minor, Some(400), "two cards under one id");
        let (first, last) = batch.span.unwrap();
        assert_eq!((last - first).num_seconds(), 8);
    }

    #[test]
    fn activations_are_gathered_like_creations_and_known_from_them() {
        let mut batch = Batch::default();
        batch.add(&record("AwssbA", 1, ActivityKind::Creation, 500), "Awssb");
        assert!(!batch.lists_activations);
        let activation = |id, second| ActivityRecord {
            value: Some(Money::from_minor(700, Currency::Usd)),
            ..record(id, second, ActivityKind::Activation, 0)
        };
        batch.add(&ActivityRecord { is_real: false, ..activation("AwssbB", 2) }, "Awssb");
        assert!(!batch.lists_activations, "a replay bought nothing");
        batch.add(&activation("AwssbB", 2), "Awssb");
        batch.add(&record("AwssbB", 9, ActivityKind::Deactivation, 0), "Awssb");
        let (a, b) = (batch.seen["AwssbA"], batch.seen["AwssbB"]);
        assert_eq!((a.activated, b.activated, batch.lists_activations), (false, true, true));
        assert_eq!((b.amount_minor, b.created_at.is_some(), b.canceled_at.is_some()), (Some(700), true, true));
    }

    #[test]
    fn what_does_not_begin_with_the_partner_id_is_stored_as_a_hash() {
        assert_eq!(stored_id("Awssb-order_1", "Awssb"), "Awssb-order_1");
        for other in [
            "ABCD-EFGHJK-LMNP",
            "ABCDEFGHJKLMNP",
            "Awssb",
            "Awssb=!&",
            "AwssbABCD-EFGHJK-LMNP",
            &format!("Awssb{}", "x".repeat(40)),
        ] {
            let stored = stored_id(other, "Awssb");
            assert!(stored.starts_with("Awssb#") && stored.len() == 38, "{other}: {stored}");
            assert_ne!(stored, stored_id("another", "Awssb"));
        }
    }
}
