//! Reads a CSV file of Amazon's portal, for partners whose activity report Amazon has switched off.
//!
//! Amazon publishes no layout of the file. The reader finds columns by their names, in any order, whatever the case,
//! blanks and hyphens: the operation's own names, and common ones. It never looks into other columns: one of them may
//! hold the claim code. An error names the row and the column, never the value.
//!
//! | column | needed | names |
//! |---|---|---|
//! | request id | yes | request id, creation request id |
//! | time, UTC | yes | activity time, activity date, transaction time, transaction date, time, date, timestamp |
//! | type | yes | activity type, transaction type, operation, type: create…, issu… or purchase…; cancel…, refund… or void…; others are skipped |
//! | amount | yes | amount, card value, value; may be empty for a cancel |
//! | currency | no | currency, currency code; must be the account's |
//! | status | no | activity status, status: success…, succeed…, complete… or fail… |
//! | real | no | is real op: true or false; without it every row counts |
//!
//! The caller pushes chunks, so that a file of any length needs a few kilobytes of memory.

use chrono::{DateTime, NaiveDateTime, Utc};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::{
    kernel::{Currency, Money},
    provider::incentives::{ActivityKind, ActivityRecord, activity},
};

/// Bytes of the longest file.
pub(crate) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of the longest row, and of the header while it arrives.
const ROW_BYTES_MAX: usize = 8 * 1024;
/// Columns of the widest file.
const COLUMNS_MAX: usize = 64;

/// Why a file is not one of the portal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    #[error("the file has no column for the {0}")]
    NoColumn(&'static str),
    #[error("the file has two columns for the {0}")]
    TwoColumns(&'static str),
    #[error("row {row}: the {column} cannot be read")]
    Value {
        /// The header is row 1.
        row: u64,
        column: &'static str,
    },
    #[error("row {0} is longer than {ROW_BYTES_MAX} bytes or has more than {COLUMNS_MAX} columns")]
    Row(u64),
    #[error("the file is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
}

#[derive(Debug, Clone, Copy)]
struct Columns {
    request_id: usize,
    time: usize,
    kind: usize,
    amount: usize,
    currency: Option<usize>,
    status: Option<usize>,
    real: Option<usize>,
}

impl Columns {
    fn of(header: &[String]) -> Result<Self, CsvError> {
        let find = |what: &'static str, names: &[&str]| {
            let mut found = header.iter().enumerate().filter(|(_at, name)| names.contains(&name.as_str()));
            let first = found.next().map(|(at, _name)| at);
            if found.next().is_some() { Err(CsvError::TwoColumns(what)) } else { Ok(first) }
        };
        let need = |what: &'static str, names: &[&str]| find(what, names)?.ok_or(CsvError::NoColumn(what));
        let times = ["activitytime", "activitydate", "transactiontime", "transactiondate", "time", "date", "timestamp"];
        Ok(Self {
            request_id: need("request id", &["requestid", "creationrequestid"])?,
            time: need("time", &times)?,
            kind: need("type", &["activitytype", "transactiontype", "operation", "type"])?,
            amount: need("amount", &["amount", "cardvalue", "value"])?,
            currency: find("currency", &["currency", "currencycode"])?,
            status: find("status", &["activitystatus", "status"])?,
            real: find("real operation", &["isrealop"])?,
        })
    }
}

/// A column's name as it is compared: letters and digits only, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Reads a file chunk by chunk.
pub(crate) struct PortalCsvReader {
    currency: Currency,
    /// The bytes before the end of the header, which decides the delimiter.
    head: Option<Vec<u8>>,
    core: Reader,
    row: Vec<u8>,
    ends: Vec<usize>,
    row_length: usize,
    fields: usize,
    rows: u64,
    bytes: u64,
    columns: Option<Columns>,
}

impl PortalCsvReader {
    /// A reader for a file of an account with this currency.
    pub(crate) fn new(currency: Currency) -> Self {
        Self {
            currency,
            head: Some(Vec::new()),
            core: Reader::new(),
            row: vec![0; ROW_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            row_length: 0,
            fields: 0,
            rows: 0,
            bytes: 0,
            columns: None,
        }
    }

    /// Takes the next chunk, and hands each record that ends in it to `each`.
    pub(crate) fn take(&mut self, chunk: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.bytes > FILE_BYTES_MAX {
            return Err(CsvError::TooLong);
        }
        let Some(mut head) = self.head.take() else { return self.feed(chunk, each) };
        head.extend_from_slice(chunk);
        if !head.contains(&b'\n') && head.len() <= ROW_BYTES_MAX {
            self.head = Some(head);
            return Ok(());
        }
        self.begin(&head, each)
    }

    /// Takes the end of the file.
    pub(crate) fn finish(mut self, each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        if let Some(head) = self.head.take() {
            self.begin(&head, each)?;
        }
        self.feed(&[], each)?;
        // A file without a header may have lost its rows, so it is refused.
        if self.columns.is_none() { Err(CsvError::NoColumn("request id")) } else { Ok(()) }
    }

    /// Finds the delimiter in the header line.
    fn begin(&mut self, head: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        let head = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head);
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
        let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|delimiter| (count(*delimiter), *delimiter == b','));
        self.core = ReaderBuilder::new().delimiter(delimiter.unwrap_or(b',')).build();
        if head.is_empty() { Ok(()) } else { self.feed(head, each) }
    }

    fn feed(&mut self, mut input: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        loop {
            let row = self.row.get_mut(self.row_length..).unwrap_or_default();
            let ends = self.ends.get_mut(self.fields..).unwrap_or_default();
            let (result, read, written, ended) = self.core.read_record(input, row, ends);
            input = input.get(read..).unwrap_or_default();
            self.row_length = self.row_length.saturating_add(written);
            self.fields = self.fields.saturating_add(ended);
            match result {
                ReadRecordResult::Record => {
                    self.rows = self.rows.saturating_add(1);
                    self.end_row(each)?;
                    (self.row_length, self.fields) = (0, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(CsvError::Row(self.rows.saturating_add(1)));
                }
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
            }
        }
    }

    fn end_row(&mut self, each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        match self.columns {
            None => {
                let header: Vec<String> =
                    (0..self.fields).map(|at| plain(self.field(at).unwrap_or_default())).collect();
                self.columns = Some(Columns::of(&header)?);
            }
            Some(columns) => {
                if let Some(record) = self.record(&columns)? {
                    each(record);
                }
            }
        }
        Ok(())
    }

    /// A field's text; `None` if the row is shorter, or the field is not UTF-8.
    fn field(&self, at: usize) -> Option<&str> {
        if at >= self.fields {
            return None;
        }
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        let bytes = self.row.get(start..*self.ends.get(at)?)?;
        str::from_utf8(bytes).ok().map(str::trim)
    }

    fn record(&self, columns: &Columns) -> Result<Option<ActivityRecord>, CsvError> {
        // A file that was saved by a spreadsheet ends with empty rows.
        if (0..self.fields).all(|at| self.field(at) == Some("")) {
            return Ok(None);
        }
        let bad = |column| CsvError::Value { row: self.rows, column };
        let request_id = self.field(columns.request_id).filter(|id| !id.is_empty()).ok_or_else(|| bad("request id"))?;
        let kind = kind(self.field(columns.kind).ok_or_else(|| bad("type"))?);
        let at = self.field(columns.time).and_then(time).ok_or_else(|| bad("time"))?;
        let optional = |column: Option<usize>, default| column.map_or(Some(default), |at| self.field(at));
        let succeeded = optional(columns.status, "success").and_then(succeeded).ok_or_else(|| bad("status"))?;
        let real = match plain(optional(columns.real, "true").ok_or_else(|| bad("real operation"))?).as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(bad("real operation")),
        };
        let is_real = succeeded && real;
        let mut value = None;
        if kind == ActivityKind::Creation && is_real {
            let currency = optional(columns.currency, self.currency.code()).ok_or_else(|| bad("currency"))?;
            if !currency.eq_ignore_ascii_case(self.currency.code()) {
                return Err(bad("currency"));
            }
            let amount = self.field(columns.amount).ok_or_else(|| bad("amount"))?;
            value = Some(Money::from_amazon_number(amount, self.currency).map_err(|_error| bad("amount"))?);
        }
        Ok(Some(ActivityRecord { request_id: request_id.to_owned(), kind, is_real, at, value }))
    }
}

fn kind(text: &str) -> ActivityKind {
    let text = plain(text);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["cancel", "refund", "void"]) {
        ActivityKind::Cancellation
    } else if says(&["creat", "issu", "purchase"]) {
        ActivityKind::Creation
    } else {
        ActivityKind::Other
    }
}

fn succeeded(text: &str) -> Option<bool> {
    let text = plain(text);
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if starts(&["success", "succeed", "complete"]) {
        return Some(true);
    }
    starts(&["fail"]).then_some(false)
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    activity::time(text).or_else(|| {
        let text = text.trim_end_matches("UTC").trim_end();
        ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|at| at.and_utc())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in(text: &[u8], chunk: usize) -> Result<Vec<ActivityRecord>, CsvError> {
        let (mut reader, mut records) = (PortalCsvReader::new(Currency::Usd), Vec::new());
        for chunk in text.chunks(chunk) {
            reader.take(chunk, &mut |record| records.push(record))?;
        }
        reader.finish(&mut |record| records.push(record))?;
        Ok(records)
    }

    fn read(text: &str) -> Result<Vec<ActivityRecord>, CsvError> {
        read_in(text.as_bytes(), 7)
    }

    const FILE: &str = "Activity Time,Activity Type,Request ID,Claim Code,Card Value,Currency Code,Status,isRealOp\r\n\
        Mon Sep 22 16:39:07 UTC 2014,GCCreation,AwssbA,ABCD-EFGHJK-LMNP,25.5,USD,Success,true\r\n\
        2014-09-22 16:40:00,GCCancellation,AwssbA,ABCD-EFGHJK-LMNP,,,Success,TRUE\r\n\
        2014-09-22T16:41:00Z,GCCreation,\"Awssb\"\"B\",,1,USD,Failed,true\r\n,,,,,,,\r\n";

    #[test]
    fn columns_are_found_by_name_and_chunks_may_end_anywhere() {
        let records = read(FILE).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(
            (records[0].request_id.as_str(), records[0].value),
            ("AwssbA", Some(Money::from_minor(2550, Currency::Usd)))
        );
        assert_eq!((records[1].kind, records[1].is_real), (ActivityKind::Cancellation, true));
        assert_eq!((records[2].request_id.as_str(), records[2].is_real), ("Awssb\"B", false));
        for chunk in 1..40 {
            assert_eq!(read_in(FILE.as_bytes(), chunk).unwrap(), records, "{chunk}");
        }
        let semicolons = format!("\u{feff}{}", FILE.replace(',', ";"));
        assert_eq!(read(&semicolons).unwrap(), records);
    }

    #[test]
    fn without_status_currency_and_real_every_row_counts() {
        let records =
            read("date;operation;creation-request-id;amount\n2026-11-01 00:00:00;Create;AwssbA;5.00\n").unwrap();
        assert!(records[0].is_real);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_row_and_column_and_never_quoted() {
        for (from, to, column) in [
            ("25.5", "ABCD-EFGHJK-LMNP", "amount"),
            ("25.5", "25.555", "amount"),
            (",USD,Success,true", ",EUR,Success,true", "currency"),
            ("Mon Sep 22 16:39:07 UTC 2014", "yesterday", "time"),
            ("USD,Success,true\r\n2014", "USD,Perhaps,true\r\n2014", "status"),
            ("Success,true\r\n2014", "Success,maybe\r\n2014", "real operation"),
            ("GCCreation,AwssbA", "GCCreation,", "request id"),
        ] {
            let broken = FILE.replacen(from, to, 1);
            assert_ne!(broken, FILE, "{to}");
            let error = read(&broken).unwrap_err();
            assert_eq!(error, CsvError::Value { row: 2, column }, "{to}");
            assert!(!error.to_string().contains("ABCD"), "{error}");
        }
        assert_eq!(read("a,b,c\n1,2,3\n"), Err(CsvError::NoColumn("request id")));
        assert_eq!(read(""), Err(CsvError::NoColumn("request id")));
        assert_eq!(read("request id,RequestId,time,type,amount\n"), Err(CsvError::TwoColumns("request id")));
        let endless = format!("request id,time,type,amount\n\"{}", "x".repeat(2 * ROW_BYTES_MAX));
        assert_eq!(read(&endless), Err(CsvError::Row(2)));
    }
}
