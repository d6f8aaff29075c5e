//! Reads a CSV file of Amazon's portal, for partners whose activity report Amazon has switched off.
//!
//! Amazon publishes no layout of the file. The reader finds columns by their names, in any order, whatever the case,
//! blanks and hyphens: the operation's own names, and common ones. It never looks into other columns: one of them may
//! hold the claim code. An error names the row and the column, never the value.
//!
//! [`COLUMNS`] has the names.
//!
//! The columns are separated by commas, semicolons or tabs. The text is UTF-8, or UTF-16 as spreadsheets save "Unicode
//! text". Of other encodings that extend ASCII the columns above can be read, whatever the others hold.
//!
//! The caller pushes chunks, so that a file of any length needs a few kilobytes of memory, and a megabyte or two while
//! amounts wait for one that shows how they are written.

pub(crate) mod preview;
mod text;

use std::mem;

use chrono::{DateTime, NaiveDateTime, Utc};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use self::text::PortalText;
use super::amount::{self, AmountReading, DecimalMark, OpenAmount};
use crate::{
    kernel::{Currency, Money, calendar::is_storable, claim_code::looks_like_claim_code},
    provider::incentives::{ActivityKind, ActivityRecord, activity},
};

/// Bytes of the longest file.
pub(crate) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of the longest row, and of the header while it arrives.
const ROW_BYTES_MAX: usize = 8 * 1024;
/// Columns of the widest file.
const COLUMNS_MAX: usize = 64;
/// Rows whose amounts wait at most for one that shows how they are written.
const OPEN_ROWS_MAX: usize = 10_000;

/// Rows that cannot be read and are listed; the others are counted.
const UNREAD_LISTED: usize = 10;
/// Characters of the longest column's name that is shown.
const NAME_LENGTH_MAX: usize = 40;

/// Why a file is not one of the portal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    #[error("the file has no column for the {0}; its name may be {names}", names = names_of(.0))]
    NoColumn(&'static str),
    #[error("the file has two columns for the {0}")]
    TwoColumns(&'static str),
    #[error("row {row}: the {column} cannot be read")]
    Value {
        /// The header is row 1.
        row: u64,
        column: &'static str,
    },
    #[error(
        "row {row}: the amount can be {point} or {comma}: say which mark stands before decimals, by `--decimal point` or `comma` of the command, or `decimal` in the query"
    )]
    TwoReadings { row: u64, point: Money, comma: Money },
    #[error("row {0}: the amount is not written with the decimal mark of the others, or of `decimal`")]
    OtherMark(u64),
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

/// A column of the file, and the names that it may have.
pub(crate) struct ColumnNames {
    pub(crate) what: &'static str,
    pub(crate) names: &'static [&'static str],
    /// What stands in it, where its name does not say so.
    pub(crate) note: &'static str,
}

const REQUEST_ID: ColumnNames =
    ColumnNames { what: "request id", names: &["request id", "creation request id"], note: "needed" };
const TIME: ColumnNames = ColumnNames {
    what: "time",
    names: &["activity time", "activity date", "transaction time", "transaction date", "time", "date", "timestamp"],
    note: "needed; UTC",
};
const KIND: ColumnNames = ColumnNames {
    what: "type",
    names: &["activity type", "transaction type", "operation", "type"],
    note: "needed; create…, issu… or purchase…; cancel…, refund… or void…; others are skipped",
};
const AMOUNT: ColumnNames = ColumnNames {
    what: "amount",
    names: &["amount", "card value", "value"],
    note: "needed; decimal point or comma; may be empty for a cancel",
};
const CURRENCY: ColumnNames =
    ColumnNames { what: "currency", names: &["currency", "currency code"], note: "must be the account's" };
const STATUS: ColumnNames = ColumnNames {
    what: "status",
    names: &["activity status", "status"],
    note: "success…, succeed…, complete… or fail…",
};
const REAL: ColumnNames =
    ColumnNames { what: "real operation", names: &["is real op"], note: "true or false; without it every row counts" };

/// The columns that are read, in any order, whatever the case, blanks and hyphens of their names.
pub(crate) const COLUMNS: [ColumnNames; 7] = [REQUEST_ID, TIME, KIND, AMOUNT, CURRENCY, STATUS, REAL];

/// Rows that cannot be read.
#[derive(Debug, Default)]
struct UnreadRows {
    count: u64,
    first: Vec<CsvError>,
}

fn names_of(what: &str) -> String {
    COLUMNS.iter().find(|column| column.what == what).map_or_else(String::new, |column| column.names.join(", "))
}

impl Columns {
    fn of(header: &[String]) -> Result<Self, CsvError> {
        let find = |column: &ColumnNames| {
            let is_it = |name: &String| column.names.iter().any(|known| plain(known) == *name);
            let mut found = header.iter().enumerate().filter(|(_at, name)| is_it(name));
            let first = found.next().map(|(at, _name)| at);
            if found.next().is_some() { Err(CsvError::TwoColumns(column.what)) } else { Ok(first) }
        };
        let need = |column: &ColumnNames| find(column)?.ok_or(CsvError::NoColumn(column.what));
        Ok(Self {
            request_id: need(&REQUEST_ID)?,
            time: need(&TIME)?,
            kind: need(&KIND)?,
            amount: need(&AMOUNT)?,
            currency: find(&CURRENCY)?,
            status: find(&STATUS)?,
            real: find(&REAL)?,
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
    /// Which mark stands before decimals, once that is known.
    mark: Option<DecimalMark>,
    /// Records whose amounts wait for that, with their rows.
    open: Vec<(u64, ActivityRecord, OpenAmount)>,
    text: PortalText,
    /// The text before the end of the header, which decides the delimiter.
    head: Option<Vec<u8>>,
    core: Reader,
    row: Vec<u8>,
    ends: Vec<usize>,
    row_length: usize,
    fields: usize,
    rows: u64,
    bytes: u64,
    columns: Option<Columns>,
    /// Names of the columns that are not looked at.
    others: Vec<String>,
    /// Where rows that cannot be read are listed; without it the first one ends the reading.
    unread: Option<UnreadRows>,
}

impl PortalCsvReader {
    /// A reader for a file of an account with this currency. The mark is that before decimals, where the operator says it.
    pub(crate) fn new(currency: Currency, mark: Option<DecimalMark>) -> Self {
        Self {
            currency,
            mark,
            open: Vec::new(),
            text: PortalText::new(),
            head: Some(Vec::new()),
            core: Reader::new(),
            row: vec![0; ROW_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            row_length: 0,
            fields: 0,
            rows: 0,
            bytes: 0,
            columns: None,
            others: Vec::new(),
            unread: None,
        }
    }

    /// Takes the next chunk, and hands each record that ends in it to `each`.
    pub(crate) fn take(&mut self, chunk: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.bytes > FILE_BYTES_MAX {
            return Err(CsvError::TooLong);
        }
        let text = self.text.take(chunk, false);
        self.take_text(&text, each)
    }

    fn take_text(&mut self, text: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        let Some(mut head) = self.head.take() else {
            return if text.is_empty() { Ok(()) } else { self.feed(text, each) };
        };
        head.extend_from_slice(text);
        if !head.contains(&b'\n') && head.len() <= ROW_BYTES_MAX {
            self.head = Some(head);
            return Ok(());
        }
        self.begin(&head, each)
    }

    /// Takes the end of the file.
    pub(crate) fn finish(mut self, each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        self.end(each)
    }

    fn end(&mut self, each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
        let rest = self.text.take(&[], true);
        self.take_text(&rest, each)?;
        if let Some(head) = self.head.take() {
            self.begin(&head, each)?;
        }
        self.feed(&[], each)?;
        // A file without a header may have lost its rows, so it is refused.
        if self.columns.is_none() {
            return Err(CsvError::NoColumn("request id"));
        }
        mem::take(&mut self.open)
            .iter()
            .try_for_each(|(row, _record, amount)| self.unless_listed(undecided(*row, *amount)))
    }

    /// Lists an error of a row, or ends the reading with it.
    fn unless_listed(&mut self, error: CsvError) -> Result<(), CsvError> {
        let Some(unread) = &mut self.unread else { return Err(error) };
        unread.count = unread.count.saturating_add(1);
        if unread.first.len() < UNREAD_LISTED {
            unread.first.push(error);
        }
        Ok(())
    }

    /// Finds the delimiter in the header line.
    fn begin(&mut self, head: &[u8], each: &mut impl FnMut(ActivityRecord)) -> Result<(), CsvError> {
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
                self.others = self.names_of_others(&header);
            }
            Some(columns) => {
                let settled = match self.record(&columns) {
                    Ok(Some((record, amount))) => self.settle(record, amount, each),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                settled.or_else(|error| self.unless_listed(error))?;
            }
        }
        Ok(())
    }

    /// How the columns are called that are not looked at; what can be a claim code is not repeated.
    fn names_of_others(&self, header: &[String]) -> Vec<String> {
        let is_known =
            |name: &String| COLUMNS.iter().any(|column| column.names.iter().any(|known| plain(known) == *name));
        let others = header.iter().enumerate().filter(|(_at, name)| !is_known(name) && !name.is_empty());
        let shown = others.map(|(at, name)| {
            let hidden = name.len() > NAME_LENGTH_MAX || self.field(at).is_none_or(looks_like_claim_code);
            if hidden { format!("column {} (its name is hidden)", at.saturating_add(1)) } else { name.clone() }
        });
        shown.collect()
    }

    /// Hands a record on once its amount is known.
    fn settle(
        &mut self,
        record: ActivityRecord,
        amount: Option<AmountReading>,
        each: &mut impl FnMut(ActivityRecord),
    ) -> Result<(), CsvError> {
        match amount {
            None => each(record),
            Some(AmountReading::Open(amount)) if self.open.len() < OPEN_ROWS_MAX => {
                self.open.push((self.rows, record, amount));
            }
            Some(AmountReading::Open(amount)) => return Err(undecided(self.rows, amount)),
            Some(AmountReading::One { value, shows }) => {
                if shows.is_some() && self.mark.is_some() && shows != self.mark {
                    return Err(CsvError::OtherMark(self.rows));
                }
                self.mark = self.mark.or(shows);
                each(ActivityRecord { value: Some(value), ..record });
            }
        }
        let Some(mark) = self.mark else { return Ok(()) };
        for (row, record, amount) in mem::take(&mut self.open) {
            match amount.by(mark) {
                Some(value) => each(ActivityRecord { value: Some(value), ..record }),
                None => self.unless_listed(CsvError::Value { row, column: "amount" })?,
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

    /// The record of a row, without its amount; `None` if the row is empty.
    fn record(&self, columns: &Columns) -> Result<Option<(ActivityRecord, Option<AmountReading>)>, CsvError> {
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
        let mut read = None;
        if matches!(kind, ActivityKind::Creation | ActivityKind::Activation) && is_real {
            let currency = optional(columns.currency, self.currency.code()).ok_or_else(|| bad("currency"))?;
            if !currency.eq_ignore_ascii_case(self.currency.code()) {
                return Err(bad("currency"));
            }
            let amount = self.field(columns.amount).ok_or_else(|| bad("amount"))?;
            read = Some(amount::read(amount, self.currency).ok_or_else(|| bad("amount"))?);
        }
        let record = ActivityRecord { request_id: request_id.to_owned(), kind, is_real, at, value: None };
        Ok(Some((record, read)))
    }
}

/// An amount that nothing in the file decides about.
fn undecided(row: u64, amount: OpenAmount) -> CsvError {
    match (amount.by(DecimalMark::Point), amount.by(DecimalMark::Comma)) {
        (Some(point), Some(comma)) => CsvError::TwoReadings { row, point, comma },
        _ => CsvError::Value { row, column: "amount" },
    }
}

fn kind(text: &str) -> ActivityKind {
    let text = plain(text);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["load"]) {
        // A balance that is loaded is no card, whatever else the word says.
        ActivityKind::Other
    } else if says(&["deactivat"]) {
        ActivityKind::Deactivation
    } else if says(&["activat"]) {
        ActivityKind::Activation
    } else if says(&["cancel", "refund", "void"]) {
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
    let at = activity::time(text).or_else(|| {
        let text = text.trim_end_matches("UTC").trim_end();
        ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|at| at.and_utc())
    });
    at.filter(|at| is_storable(at.date_naive()))
}

#[cfg(test)]
mod tests;
