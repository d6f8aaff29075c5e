//! Reads a file of the portal and keeps nothing of it but counts: whether it can be read is known before a run is begun.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::{CsvError, PortalCsvReader, UnreadRows};
use crate::{
    http::problem::timestamp,
    kernel::Currency,
    provider::incentives::{ActivityKind, ActivityRecord},
    treasury::reconciliation::amount::DecimalMark,
};

/// What a row is about, by the word that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum RowKind {
    Activated,
    Bought,
    Deactivated,
    GivenBack,
    /// A run skips it.
    Other,
}

impl RowKind {
    const fn of(kind: ActivityKind) -> Self {
        match kind {
            ActivityKind::Creation => Self::Bought,
            ActivityKind::Cancellation => Self::GivenBack,
            ActivityKind::Activation => Self::Activated,
            ActivityKind::Deactivation => Self::Deactivated,
            ActivityKind::Other => Self::Other,
        }
    }

    /// What people read.
    const fn text(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::Bought => "bought",
            Self::Deactivated => "deactivated",
            Self::GivenBack => "given back",
            Self::Other => "of another type (skipped)",
        }
    }
}

/// What the rows that can be read say.
#[derive(Debug, Default)]
struct RowCounts {
    kinds: BTreeMap<RowKind, u64>,
    /// Failed, or no real operation.
    without_effect: u64,
    outside: u64,
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// A file that is being looked at.
pub(crate) struct Preview {
    reader: PortalCsvReader,
    days: (NaiveDate, NaiveDate),
    counts: RowCounts,
}

/// What a file holds.
pub(crate) struct PreviewReport {
    currency: Currency,
    counts: RowCounts,
    unread: UnreadRows,
    others: Vec<String>,
}

impl Preview {
    /// Of a file for these days, both included.
    pub(crate) fn new(currency: Currency, mark: Option<DecimalMark>, days: (NaiveDate, NaiveDate)) -> Self {
        let mut reader = PortalCsvReader::new(currency, mark);
        reader.unread = Some(UnreadRows::default());
        Self { reader, days, counts: RowCounts::default() }
    }

    /// Takes the next chunk.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), CsvError> {
        let Self { reader, days, counts } = self;
        reader.take(chunk, &mut |record| counts.add(&record, *days))
    }

    /// Takes the end of the file.
    pub(crate) fn finish(mut self) -> Result<PreviewReport, CsvError> {
        let Self { reader, days, counts } = &mut self;
        reader.end(&mut |record| counts.add(&record, *days))?;
        Ok(PreviewReport {
            currency: self.reader.currency,
            counts: self.counts,
            unread: self.reader.unread.unwrap_or_default(),
            others: self.reader.others,
        })
    }
}

impl RowCounts {
    fn add(&mut self, record: &ActivityRecord, days: (NaiveDate, NaiveDate)) {
        let count = self.kinds.entry(RowKind::of(record.kind)).or_default();
        *count = count.saturating_add(1);
        self.without_effect = self.without_effect.saturating_add(u64::from(!record.is_real));
        let day = record.at.date_naive();
        self.outside = self.outside.saturating_add(u64::from(day < days.0 || day > days.1));
        let (first, last) = self.span.unwrap_or((record.at, record.at));
        self.span = Some((first.min(record.at), last.max(record.at)));
    }
}

impl PreviewReport {
    /// Whether a run could read every row.
    pub(crate) const fn is_readable(&self) -> bool {
        self.unread.count == 0
    }

    /// All rows but the header and the empty ones.
    fn rows(&self) -> u64 {
        self.counts.kinds.values().fold(self.unread.count, |sum, count| sum.saturating_add(*count))
    }
}

/// The report for programs.
#[derive(Serialize, ToSchema)]
#[schema(as = FilePreview)]
pub(crate) struct PreviewView {
    /// Whether a run could read every row.
    readable: bool,
    /// Rows of the file.
    rows: u64,
    /// Of the rows that can be read.
    types: BTreeMap<&'static str, u64>,
    /// Rows that failed, or are no real operation.
    without_effect: u64,
    /// The first instant.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    first_at: Option<String>,
    /// The last one.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    last_at: Option<String>,
    /// Rows outside `from` and `to`.
    other_days: u64,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// Columns that no run reads.
    columns_not_read: Vec<String>,
    /// Rows that cannot be read.
    unreadable: u64,
    /// Why, for the first of them. The text names rows and columns, never a value.
    first_unreadable: Vec<String>,
}

impl From<PreviewReport> for PreviewView {
    fn from(report: PreviewReport) -> Self {
        let (readable, rows) = (report.is_readable(), report.rows());
        let PreviewReport { currency, counts, unread, others } = report;
        let (first_at, last_at) = counts.span.unzip();
        Self {
            readable,
            rows,
            types: counts.kinds.into_iter().map(|(kind, count)| (kind.into(), count)).collect(),
            without_effect: counts.without_effect,
            first_at: first_at.map(timestamp),
            last_at: last_at.map(timestamp),
            other_days: counts.outside,
            currency_code: currency.code(),
            columns_not_read: others,
            unreadable: unread.count,
            first_unreadable: unread.first.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { currency, counts, unread, others } = self;
        writeln!(f, "rows           {}", self.rows())?;
        for (kind, count) in &counts.kinds {
            writeln!(f, "  {}: {count}", kind.text())?;
        }
        writeln!(f, "  failed, or no real operation: {}", counts.without_effect)?;
        if let Some((first, last)) = counts.span {
            let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC");
            writeln!(f, "times          {} to {}", time(first), time(last))?;
        }
        writeln!(f, "other days     {} rows lie outside --from and --to", counts.outside)?;
        writeln!(f, "currency       {currency}")?;
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        writeln!(f, "not looked at  {others}")?;
        writeln!(f, "unreadable     {}", unread.count)?;
        for error in &unread.first {
            writeln!(f, "  {error}")?;
        }
        f.write_str("Nothing was stored.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8], chunk: usize) -> Result<String, CsvError> {
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        let mut preview = Preview::new(Currency::Eur, None, (day(1), day(2)));
        for chunk in bytes.chunks(chunk) {
            preview.take(chunk)?;
        }
        preview.finish().map(|report| report.to_string())
    }

    const GERMAN: &str = "Date;Type;Request ID;Claim Code;Amount;Currency;Status;K\u{e4}ufer\r\n\
        2026-11-01 10:00:00;Create;AwssbA;ABCD-EFGHJK-LMNP;1.025,50;EUR;Success;J\u{fc}rgen\r\n\
        2026-11-02 10:00:00;Cancel;AwssbA;ABCD-EFGHJK-LMNP;;EUR;Success;\r\n\
        yesterday;Create;AwssbB;ABCD-EFGHJK-LMNP;5,00;EUR;Success;\r\n\
        2026-11-03 10:00:00;Create;AwssbC;ABCD-EFGHJK-LMNP;5,00;USD;Success;\r\n\
        2026-11-03 11:00:00;Create;AwssbD;ABCD-EFGHJK-LMNP;5,00;EUR;Failed;\r\n;;;;;;;\r\n";
    const SAYS: &str = "rows           5\n  bought: 2\n  given back: 1\n  failed, or no real operation: 1\n\
        times          2026-11-01 10:00:00 UTC to 2026-11-03 11:00:00 UTC\n\
        other days     1 rows lie outside --from and --to\ncurrency       EUR\n\
        not looked at  claimcode, kufer\nunreadable     2\n  row 4: the time cannot be read\n  \
        row 5: the currency cannot be read\nNothing was stored.";

    #[test]
    fn a_german_spreadsheet_is_counted_in_every_encoding_and_bad_rows_are_listed() {
        let marked = format!("\u{feff}{GERMAN}");
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| marked.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
        let files = [GERMAN.into(), marked.clone().into_bytes(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)];
        for (at, file) in files.iter().enumerate() {
            for chunk in [1, 7, 4096] {
                assert_eq!(look(file, chunk).as_deref(), Ok(SAYS), "{at}, {chunk}");
            }
        }
    }

    #[test]
    fn amounts_that_nothing_decides_are_listed_and_the_first_ten_suffice() {
        let row = "2026-11-01 10:00:00;Create;A;1.000\n";
        let said = look(format!("date;type;request id;amount\n{}", row.repeat(12)).as_bytes(), 9).unwrap();
        assert!(said.contains("\nunreadable     12\n  row 2: the amount can be 1.00 or 1000.00"), "{said}");
        assert_eq!(said.matches("  row ").count(), 10, "{said}");
    }

    #[test]
    fn a_file_without_its_columns_is_refused_and_a_name_shaped_like_a_code_is_not_shown() {
        assert_eq!(look(b"date;type;amount\n", 5), Err(CsvError::NoColumn("request id")));
        let said = look(b"date;type;request id;amount;ABCD-EFGHJK-LMNP\n", 5).unwrap();
        assert!(said.contains("not looked at  column 5 (its name is hidden)\n"), "{said}");
    }
}
