//! Where settings come from: a flat map of dotted keys, the environment over the file. [`Section`] takes values out of it.
//!
//! Written by hand, because serde stops at the first mistake and quotes the wrong value. This reader collects all mistakes,
//! and none of its texts holds a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs::File,
    io::Read,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{Table, Value};
use zeroize::Zeroizing;

/// What the names of our environment variables begin with.
pub(super) const PREFIX: &str = "NOSHI__";

/// What separates sections and key in them.
const SEPARATOR: &str = "__";

/// What a secret's key ends with where its value is the path of a file.
const FILE_SUFFIX: &str = "_file";

/// Letters that are wrong, missing, too many or swapped in a name that is still taken for another.
const MISSPELT_STEPS_MAX: usize = 3;

/// OpenTelemetry's own variables that stand in where a setting is not set (its specification, SDK environment variables).
pub(super) const STANDARD: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// The longest secret read from a file, and the longest settings file: a wrong path may name anything.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A value, and where it was set.
struct SetValue {
    value: Value,
    origin: String,
    from_environment: bool,
}

impl SetValue {
    /// The text of a variable. A variable holds only text, so numbers and flags are parsed from it.
    fn variable(&self) -> Option<&str> {
        self.value.as_str().filter(|_text| self.from_environment)
    }
}

/// Everything set and not taken yet, and the mistakes found so far.
#[derive(Default)]
pub(super) struct RawSettings {
    entries: BTreeMap<String, SetValue>,
    standard: BTreeMap<String, String>,
    empty_tables: BTreeSet<String>,
    /// Every key that was asked for, set or not: what a misspelt name may have meant.
    known: BTreeSet<String>,
    mistakes: Vec<String>,
}

impl RawSettings {
    /// Adds the keys of a TOML file.
    pub(super) fn add_file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let text = match read_limited(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(why) => return self.mistakes.push(format!("{origin}: {why}")),
        };
        self.add_text(&text, &origin);
    }

    /// Adds the keys of a TOML text.
    pub(super) fn add_text(&mut self, text: &str, origin: &str) {
        match text.parse::<Table>() {
            Ok(table) => self.flatten("", table, origin),
            // The parser's own error quotes the line, which may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count().saturating_add(1);
                self.mistakes.push(format!("{origin}: is not TOML at line {line}"));
            }
        }
    }

    fn flatten(&mut self, prefix: &str, table: Table, origin: &str) {
        for (name, value) in table {
            // A quoted name with a dot in it would look like a section and a key.
            if !name.bytes().all(is_name_byte) {
                self.mistakes.push(format!("{prefix}{name:?}: no such setting ({origin})"));
                continue;
            }
            let key = format!("{prefix}{name}");
            match value {
                Value::Table(inner) if inner.is_empty() => {
                    self.empty_tables.insert(key);
                }
                Value::Table(inner) => self.flatten(&format!("{key}."), inner, origin),
                value @ (Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_)) => {
                    self.entries.insert(key, SetValue { value, origin: origin.to_owned(), from_environment: false });
                }
            }
        }
    }

    /// Adds the variables that begin with [`PREFIX`]; they win over the file. Keeps those that are [`STANDARD`].
    pub(super) fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some(path) = name.strip_prefix(PREFIX) else {
                // The OpenTelemetry specification treats an empty variable as not set.
                if STANDARD.contains(&name.as_str()) && !value.is_empty() {
                    self.standard.insert(name, value);
                }
                continue;
            };
            // Capitals only: otherwise two variables could name one key.
            if !path.bytes().all(|byte| is_name_byte(byte.to_ascii_lowercase()) && !byte.is_ascii_lowercase()) {
                self.mistakes.push(format!("{name:?}: no such setting (environment)"));
                continue;
            }
            let key = path.to_ascii_lowercase().replace(SEPARATOR, ".");
            let entry = SetValue { value: Value::String(value), origin: name, from_environment: true };
            self.entries.insert(key, entry);
        }
    }

    /// The names of the tables in a section.
    pub(super) fn names_under(&self, section: &str) -> BTreeSet<String> {
        let prefix = format!("{section}.");
        let filled = self.entries.keys().filter_map(|key| key.strip_prefix(&prefix)?.split_once('.'));
        let empty = self.empty_tables.iter().filter_map(|key| key.strip_prefix(&prefix));
        filled.map(|(name, _key)| name).chain(empty.filter(|name| !name.contains('.'))).map(str::to_owned).collect()
    }

    /// The section with this dotted name.
    pub(super) fn section(&mut self, name: &str) -> Section<'_> {
        self.empty_tables.remove(name);
        Section { prefix: format!("{name}."), source: self }
    }

    /// One of the [`STANDARD`] variables as `parse` reads it; `None` if it is not set, or wrong. The text of an error must not
    /// quote it.
    pub(super) fn standard<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let parsed = parse(self.standard.get(name)?);
        parsed.map_err(|why| self.refuse(name, &why)).ok()
    }

    /// Records a mistake that concerns no single value.
    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        self.mistakes.push(format!("{key}: {why}"));
    }

    /// Records each value that was not taken as a mistake: most likely its name is misspelt.
    pub(super) fn refuse_what_is_left(&mut self) {
        self.empty_tables.remove("accounts");
        self.empty_tables.remove("pay");
        for (key, entry) in std::mem::take(&mut self.entries) {
            let meant = meant(&key, &self.known);
            self.mistakes.push(format!("{key}: no such setting{meant} ({})", entry.origin));
        }
        for key in std::mem::take(&mut self.empty_tables) {
            let sections = self.known.iter().filter_map(|known| Some(known.rsplit_once('.')?.0));
            self.mistakes.push(format!("{key}: no such section{}", nearest(&key, sections)));
        }
    }

    /// Whether something is wrong with this key.
    pub(super) fn has_mistake(&self, key: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.strip_prefix(key).is_some_and(|rest| rest.starts_with(": ")))
    }

    pub(super) fn into_mistakes(self) -> Vec<String> {
        self.mistakes
    }
}

/// What a key that nobody asked for may have meant, as the end of a sentence: a key, or else its section.
fn meant(key: &str, known: &BTreeSet<String>) -> String {
    let meant = nearest(key, known.iter().map(String::as_str));
    let section = key.split('.').next().unwrap_or_default();
    // The tables of accounts have the operator's names, so that nothing in it is known before one is set.
    let sections = known.iter().filter_map(|known| known.split('.').next()).chain(["accounts", "pay"]);
    if meant.is_empty() && sections.clone().all(|known| known != section) { nearest(section, sections) } else { meant }
}

/// The known name that a misspelt one is most like, as the end of a sentence; nothing when none is like it.
fn nearest<'k>(misspelt: &str, known: impl Iterator<Item = &'k str>) -> String {
    let steps = known.map(|known| (strsim::damerau_levenshtein(misspelt, known), known));
    // Of a short name one letter in three may be wrong: any two of them are a few steps apart.
    let most = MISSPELT_STEPS_MAX.min(misspelt.len().div_ceil(3));
    let meant = steps.min().filter(|(steps, _known)| *steps <= most);
    meant.map_or_else(String::new, |(_steps, known)| format!("; did you mean {known}?"))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

/// Takes the values of one section. A mistake is recorded, and reading goes on.
pub(super) struct Section<'source> {
    source: &'source mut RawSettings,
    prefix: String,
}

impl Section<'_> {
    fn take(&mut self, key: &str) -> Option<SetValue> {
        let key = format!("{}{key}", self.prefix);
        let entry = self.source.entries.remove(&key);
        self.source.known.insert(key);
        entry
    }

    fn refuse_entry(&mut self, key: &str, why: &str, origin: &str) {
        self.source.mistakes.push(format!("{}{key}: {why} ({origin})", self.prefix));
    }

    /// Records a mistake of this section.
    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        self.source.mistakes.push(format!("{}{key}: {why}", self.prefix));
    }

    /// Records a mistake unless the key, or its `_file`, is set.
    pub(super) fn require(&mut self, key: &str) {
        let key = format!("{}{key}", self.prefix);
        if !self.source.entries.contains_key(&key) && !self.source.entries.contains_key(&format!("{key}{FILE_SUFFIX}"))
        {
            self.source.refuse(&key, "is required");
        }
    }

    /// Takes keys away that cannot be read because of another mistake.
    pub(super) fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// The text of a key as `parse` reads it; `None` if it is not set, or wrong. The text of an error must not quote it.
    pub(super) fn text<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.take(key)?;
        // A number would have lost leading zeros or decimal places.
        let text = entry.value.as_str().ok_or_else(|| "must be text, in quotes".to_owned());
        let parsed = text.and_then(parse);
        parsed.map_err(|why| self.refuse_entry(key, &why, &entry.origin)).ok()
    }

    /// Whether the key is set, and was not read yet.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.source.entries.contains_key(&format!("{}{key}", self.prefix))
    }

    /// The file that holds a secret, if a file does.
    pub(super) fn file_of(&self, key: &str) -> Option<PathBuf> {
        let entry = self.source.entries.get(&format!("{}{key}{FILE_SUFFIX}", self.prefix))?;
        entry.value.as_str().map(PathBuf::from)
    }

    /// Like [`Section::text`], but the value may also be in the file that `key_file` names. One newline at the end of the file
    /// is not part of the value.
    pub(super) fn secret<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let file_key = format!("{key}{FILE_SUFFIX}");
        let Some(file) = self.take(&file_key) else { return self.text(key, parse) };
        if self.take(key).is_some() {
            self.refuse_entry(&file_key, &format!("is set as well as {key}; set one of them"), &file.origin);
            return None;
        }
        let Value::String(path) = &file.value else {
            self.refuse_entry(&file_key, "must be the path of a file, in quotes", &file.origin);
            return None;
        };
        let parsed = read_secret(Path::new(path)).and_then(|text| parse(&text));
        parsed.map_err(|why| self.refuse_entry(&file_key, &why, &file.origin)).ok()
    }

    /// The tables of a list, each as `parse` reads it; none where it is not set. A variable holds the list as TOML. `parse`
    /// must not quote a value.
    pub(super) fn tables<T>(&mut self, key: &str, parse: impl Fn(&Table) -> Result<T, String>) -> Vec<T> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let listed = entry.variable().and_then(|text| format!("list = {text}").parse::<Table>().ok()?.remove("list"));
        let tables = listed.as_ref().unwrap_or(&entry.value).as_array().map(|list| list.iter().map(Value::as_table));
        let Some(tables) = tables.and_then(|tables| tables.collect::<Option<Vec<&Table>>>()) else {
            self.refuse_entry(key, "must be a list of tables, like [{ id = \"a\", file = \"b\" }]", &entry.origin);
            return Vec::new();
        };
        let mut parsed = Vec::new();
        for table in tables {
            match parse(table) {
                Ok(value) => parsed.push(value),
                Err(why) => self.refuse_entry(key, &why, &entry.origin),
            }
        }
        parsed
    }

    /// The texts of a list; `None` where it is not set, or wrong. A variable holds the list as TOML.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let entry = self.take(key)?;
        let listed = entry.variable().and_then(|text| format!("list = {text}").parse::<Table>().ok()?.remove("list"));
        let texts = listed.as_ref().unwrap_or(&entry.value).as_array().map(|list| list.iter().map(Value::as_str));
        let texts = texts.and_then(|texts| texts.map(|text| text.map(str::to_owned)).collect());
        if texts.is_none() {
            self.refuse_entry(key, "must be a list of texts, like [\"a\", \"b\"]", &entry.origin);
        }
        texts
    }

    /// A whole number inside its limits; the default if it is not set.
    pub(super) fn number<T>(&mut self, key: &str, default: T, limits: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(entry) = self.take(key) else { return default };
        let number = entry.value.as_integer().or_else(|| entry.variable()?.parse().ok());
        match number.and_then(|number| T::try_from(number).ok()).filter(|number| limits.contains(number)) {
            Some(number) => number,
            None => {
                let why = format!("must be a whole number from {} to {}", limits.start(), limits.end());
                self.refuse_entry(key, &why, &entry.origin);
                default
            }
        }
    }

    /// A number of seconds inside its limits.
    pub(super) fn seconds(&mut self, key: &str, default: u64, limits: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(key, default, limits))
    }

    /// A decimal number, as `parse` reads its text; `None` if it is not set, or wrong.
    pub(super) fn decimal<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.take(key)?;
        let text = match &entry.value {
            Value::Float(number) => Ok(number.to_string()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::String(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                entry.variable().map(str::to_owned).ok_or_else(|| "must be a number, without quotes".to_owned())
            }
        };
        let parsed = text.and_then(|text| parse(&text));
        parsed.map_err(|why| self.refuse_entry(key, &why, &entry.origin)).ok()
    }

    /// A flag, if it is set.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let entry = self.take(key)?;
        let flag = entry.value.as_bool().or_else(|| entry.variable()?.parse().ok());
        if flag.is_none() {
            self.refuse_entry(key, "must be true or false", &entry.origin);
        }
        flag
    }
}

/// A secret's file, without the newline that editors put at its end.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = Zeroizing::new(read_limited(path, SECRET_BYTES_MAX)?);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

/// The whole text of a file, without the mark that some editors put at the beginning of UTF-8. An error quotes nothing of
/// it.
fn read_limited(path: &Path, bytes_max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).map_or(true, |length| length > bytes_max) {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|_error| "is not UTF-8".to_owned())
}
