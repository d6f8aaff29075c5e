//! The file of a campaign, and the uploads that are made of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What the service takes at once: so many items, in so many bytes with room for what stands around them.
const ITEMS_MAX: usize = 1000;
const BYTES_MAX: usize = 1000 * 1000;
/// A column of this prefix is a text of the metadata.
const METADATA: &str = "metadata.";
/// Faults that are named at once.
const FAULTS_SHOWN: usize = 20;

/// Why nothing of a file was sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileFault {
    #[error("{0}: cannot be read")]
    Read(PathBuf, #[source] csv::Error),
    #[error("{0}: the text is not UTF-8: save it as \"CSV UTF-8\"")]
    Encoding(PathBuf),
    #[error(
        "{0}: the first line names the columns: external_id, amount, currency_code, and perhaps kind and metadata.NAME; {1}"
    )]
    Heads(PathBuf, String),
    #[error("{0}: nothing was sent\n{1}")]
    Rows(PathBuf, String),
}

/// What is of every item.
#[derive(Debug, Default)]
pub(super) struct CampaignTerms {
    pub(super) name: Option<String>,
    pub(super) account: Option<String>,
    pub(super) program: Option<String>,
}

/// A batch as it is sent. The same rows have the same key, so a command that runs again finds its batches.
pub(super) struct CampaignPart {
    pub(super) key: String,
    pub(super) body: Value,
    pub(super) items: u64,
    /// The line of the file that each item came from.
    lines: Vec<u64>,
}

impl CampaignPart {
    /// What the service points at in the body, as a person finds it in the file; `None` where it is in no row.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        let of_item = pointer.strip_prefix("/items/")?;
        let (at, member) = of_item.split_once('/').unwrap_or((of_item, ""));
        let line = self.lines.get(at.parse::<usize>().ok()?)?;
        let column = member.strip_prefix("value/").unwrap_or(member).replace('/', ".");
        Some(if column.is_empty() { format!("line {line}") } else { format!("line {line}, {column}") })
    }
}

/// A row as an item, and its line.
struct CampaignRow {
    line: u64,
    item: Value,
}

/// A column.
enum CampaignColumn {
    ExternalId,
    Amount,
    Currency,
    Kind,
    Metadata(String),
}

/// What separates the columns: a spreadsheet writes semicolons where a comma is the decimal sign, and some write tabs.
fn delimiter(bytes: &[u8]) -> u8 {
    let heads = bytes.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| heads.iter().filter(|byte| *byte == delimiter).count();
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// Counts lines. The CSV reader's own count stands before the end of the line before where that is CR and LF, and before empty lines.
struct LineCount<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl LineCount<'_> {
    /// The line of a record. They are asked for in order.
    fn of(&mut self, record: &csv::StringRecord) -> u64 {
        let from = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.at);
        let ends = self.bytes.iter().skip(from).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let begins = from.saturating_add(ends);
        let passed = self.bytes.get(self.at..begins).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        self.at = begins;
        self.line = self.line.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        self.line
    }
}

/// Reads a file and makes uploads of it. Every row is looked at first.
pub(super) fn uploads(path: &Path, common: &CampaignTerms) -> Result<Vec<CampaignPart>, FileFault> {
    let fault = |error: csv::Error| {
        let is_of_text = matches!(error.kind(), csv::ErrorKind::Utf8 { .. });
        if is_of_text { FileFault::Encoding(path.to_owned()) } else { FileFault::Read(path.to_owned(), error) }
    };
    let bytes = fs::read(path).map_err(|error| fault(error.into()))?;
    let mut reader = csv::ReaderBuilder::new();
    let mut reader =
        reader.trim(csv::Trim::All).flexible(true).delimiter(delimiter(&bytes)).from_reader(bytes.as_slice());
    let columns = columns(reader.headers().map_err(fault)?).map_err(|why| FileFault::Heads(path.to_owned(), why))?;
    let (mut rows, mut first_line, mut faults) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut lines = LineCount { bytes: &bytes, at: 0, line: 1 };
    for record in reader.records() {
        let record = record.map_err(fault)?;
        let line = lines.of(&record);
        if record.len() != columns.len() {
            faults.push(format!("  line {line}: it has {} cells, and the first line {}", record.len(), columns.len()));
            continue;
        }
        let item = item(&columns, &record);
        for missing in ["/external_id", "/value/amount", "/value/currency_code"] {
            if item.pointer(missing).and_then(Value::as_str).is_none_or(str::is_empty) {
                faults.push(format!(
                    "  line {line}: {} is empty",
                    missing.trim_start_matches("/value").trim_start_matches('/')
                ));
            }
        }
        if item.pointer("/value/amount").and_then(Value::as_str).is_some_and(|amount| amount.contains(',')) {
            faults.push(format!(
                "  line {line}: amount has a comma: write it with a point, and no sign between thousands"
            ));
        }
        let id = item.pointer("/external_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(first) = first_line.get(&id).filter(|_first| !id.is_empty()) {
            faults.push(format!("  line {line}: external_id is that of line {first}"));
        } else {
            first_line.insert(id, line);
        }
        rows.push(CampaignRow { line, item });
    }
    if rows.is_empty() && faults.is_empty() {
        faults.push("  it has no rows".to_owned());
    }
    if !faults.is_empty() {
        faults.truncate(FAULTS_SHOWN);
        return Err(FileFault::Rows(path.to_owned(), faults.join("\n")));
    }
    Ok(cut(rows, common))
}

fn columns(heads: &csv::StringRecord) -> Result<Vec<CampaignColumn>, String> {
    let mut columns = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        if heads.iter().take(at).any(|before| before == head) {
            return Err(format!("{head:?} is there twice"));
        }
        columns.push(match head {
            "external_id" => CampaignColumn::ExternalId,
            "amount" => CampaignColumn::Amount,
            "currency_code" => CampaignColumn::Currency,
            "kind" => CampaignColumn::Kind,
            other => match other.strip_prefix(METADATA) {
                Some(name) if !name.is_empty() => CampaignColumn::Metadata(name.to_owned()),
                Some(_) | None => return Err(format!("{other:?} is none of them")),
            },
        });
    }
    for needed in ["external_id", "amount", "currency_code"] {
        if !heads.iter().any(|head| head == needed) {
            return Err(format!("{needed} is missing"));
        }
    }
    Ok(columns)
}

/// A row as the service takes it. An empty cell of a column that may be left out is left out.
fn item(columns: &[CampaignColumn], record: &csv::StringRecord) -> Value {
    let (mut item, mut value, mut metadata) = (Map::new(), Map::new(), Map::new());
    for (column, cell) in columns.iter().zip(record) {
        let text = json!(cell);
        match column {
            CampaignColumn::ExternalId => drop(item.insert("external_id".to_owned(), text)),
            CampaignColumn::Amount => drop(value.insert("amount".to_owned(), text)),
            CampaignColumn::Currency => drop(value.insert("currency_code".to_owned(), text)),
            CampaignColumn::Kind if cell.is_empty() => {}
            CampaignColumn::Kind => drop(item.insert("kind".to_owned(), text)),
            CampaignColumn::Metadata(_) if cell.is_empty() => {}
            CampaignColumn::Metadata(name) => drop(metadata.insert(name.clone(), text)),
        }
    }
    item.insert("value".to_owned(), Value::Object(value));
    if !metadata.is_empty() {
        item.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Value::Object(item)
}

/// Cuts the rows into uploads.
fn cut(rows: Vec<CampaignRow>, common: &CampaignTerms) -> Vec<CampaignPart> {
    let (mut uploads, mut part, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    for row in rows {
        let length = row.item.to_string().len();
        if part.len() == ITEMS_MAX || (bytes.saturating_add(length) > BYTES_MAX && !part.is_empty()) {
            uploads.push(upload(std::mem::take(&mut part), common));
            bytes = 0;
        }
        bytes = bytes.saturating_add(length).saturating_add(1);
        part.push(row);
    }
    uploads.push(upload(part, common));
    uploads
}

fn upload(rows: Vec<CampaignRow>, common: &CampaignTerms) -> CampaignPart {
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let (lines, items) = rows.into_iter().map(|row| (row.line, row.item)).unzip();
    let mut body = Map::new();
    for (name, text) in [("name", &common.name), ("account_id", &common.account), ("program_id", &common.program)] {
        body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
    }
    body.insert("items".to_owned(), Value::Array(items));
    let body = Value::Object(body);
    let digest = Sha256::digest(body.to_string());
    let digest = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
    CampaignPart { key: format!("\"noshi-batch-{digest}\""), body, items: count, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: impl AsRef<[u8]>) -> Result<Vec<CampaignPart>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("campaign.csv");
        std::fs::write(&path, text).unwrap();
        uploads(&path, &CampaignTerms { name: Some("spring".to_owned()), ..CampaignTerms::default() })
            .map_err(|fault| fault.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn rows_become_items_and_the_same_rows_the_same_key() {
        let text =
            "external_id,amount,currency_code,metadata.row,kind\n4711,25.00,USD,1,\n 4712 ,\"10.00\",USD,,gift_code\n";
        let [first] = &of(text).unwrap()[..] else { panic!("one upload") };
        let expected = json!({"name": "spring", "items": [
            {"external_id": "4711", "value": {"amount": "25.00", "currency_code": "USD"}, "metadata": {"row": "1"}},
            {"external_id": "4712", "value": {"amount": "10.00", "currency_code": "USD"}, "kind": "gift_code"},
        ]});
        assert_eq!((&first.body, first.items), (&expected, 2));
        assert_eq!(of(text).unwrap()[0].key, first.key);
        assert_ne!(of(text.replace("25.00", "26.00")).unwrap()[0].key, first.key);
    }

    #[test]
    fn a_spreadsheets_semicolons_tabs_and_byte_order_mark_change_nothing() {
        let text = "external_id,amount,currency_code,metadata.note\n4711,25.00,USD,\"a, b; c\"\n";
        let expected = of(text).unwrap().remove(0).body;
        assert_eq!(expected.pointer("/items/0/metadata/note").unwrap(), "a, b; c");
        let plain = "external_id,amount,currency_code,metadata.note\n4711,25.00,USD,NOTE\n";
        for delimiter in [",", ";", "\t"] {
            let text = plain.replace(',', delimiter).replace("NOTE", "\"a, b; c\"");
            for text in [text.clone(), format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
                assert_eq!(of(&text).unwrap()[0].body, expected, "{text:?}");
            }
        }
        let quoted = "\u{feff}\"external_id\";\"amount\";\"currency_code\"\r\n\"4711\";\"25.00\";\"USD\"\r\n";
        assert_eq!(of(quoted).unwrap()[0].items, 1);
    }

    #[test]
    fn what_the_service_points_at_is_named_by_its_line() {
        let text = "external_id,amount,currency_code,metadata.row\n1,1.00,USD,\"two\nlines\"\n\n2,2.00,USD,x\n";
        let [part] = &of(text).unwrap()[..] else { panic!("one upload") };
        for (pointer, place) in [
            ("/items/0/external_id", Some("line 2, external_id")),
            ("/items/1/value/amount", Some("line 5, amount")),
            ("/items/1/metadata/row", Some("line 5, metadata.row")),
            ("/items/1", Some("line 5")),
            ("/items/2/value", None),
            ("/items/x", None),
            ("/name", None),
        ] {
            assert_eq!(part.place(pointer).as_deref(), place, "{pointer}");
        }
    }

    #[test]
    fn many_rows_are_cut_by_number_and_by_bytes_and_none_is_lost() {
        let rows = |count: usize, id: &dyn Fn(usize) -> String| {
            let rows: String = (0..count).map(|at| format!("{},1.00,USD\n", id(at))).collect();
            of(format!("external_id,amount,currency_code\n{rows}")).unwrap()
        };
        let sizes = |uploads: Vec<CampaignPart>| uploads.iter().map(|one| one.items).collect::<Vec<_>>();
        assert_eq!(sizes(rows(2500, &|at| at.to_string())), [1000, 1000, 500]);
        assert_eq!(sizes(rows(1000, &|at| at.to_string())), [1000]);
        let long = rows(900, &|at| format!("{at:0>2000}"));
        assert!(long.len() == 2 && long.iter().all(|one| one.body.to_string().len() < 1024 * 1024));
        assert_eq!(sizes(long).iter().sum::<u64>(), 900);
    }

    #[test]
    fn what_cannot_be_bought_is_named_by_its_line_and_nothing_is_sent() {
        let heads = "external_id,amount,currency_code";
        for (text, said) in [
            ("external_id,amount\n1,2\n".to_owned(), "currency_code is missing"),
            (format!("{heads},colour\n1,2,USD,red\n"), "\"colour\" is none of them"),
            (format!("{heads},amount\n1,2,USD,3\n"), "\"amount\" is there twice"),
            (
                format!("{heads}\n1,2.00,USD\n,2.00,USD\n3,,USD\n1,2.00,USD\n"),
                "line 3: external_id is empty\n  line 4: amount is empty\n  line 5: external_id is that of line 2",
            ),
            (format!("{heads}\n"), "it has no rows"),
            (format!("{heads}\r\n1,2,USD\r\n1,2\r\n"), "  line 3: it has 2 cells, and the first line 3"),
            (
                format!("{}\n1;2,00;USD\n2;1.000,00;USD\n", heads.replace(',', ";")),
                "line 2: amount has a comma: write it with a point, and no sign between thousands\n  line 3: amount has a comma",
            ),
        ] {
            let why = of(&text).map(|uploads| uploads.len()).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        let utf16: Vec<u8> =
            format!("\u{feff}{heads}\n1,2.00,USD\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin = format!("{heads},metadata.name\n1,2.00,USD,J").bytes().chain([0xfc, b'r', b'g', b'\n']).collect();
        for bytes in [utf16, latin] {
            let why = of(bytes).map(|uploads| uploads.len()).unwrap_err();
            assert_eq!(why, "FILE: the text is not UTF-8: save it as \"CSV UTF-8\"");
        }
    }
}
