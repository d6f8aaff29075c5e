//! Finds canaries in bytes, in every form that a log, a store or a person may give them.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE32, BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// A way to write a canary.
pub(super) type Form = (&'static str, fn(&str) -> Vec<u8>);

/// Every form that is searched for as it stands; capitals and small letters are the same.
const BARE: [Form; 23] = [
    ("it is", |text| text.as_bytes().to_vec()),
    ("without hyphens", |text| text.replace('-', "").into_bytes()),
    ("lower-case", |text| text.to_lowercase().into_bytes()),
    ("lower-case without hyphens", |text| text.to_lowercase().replace('-', "").into_bytes()),
    ("upper-case", |text| text.to_uppercase().into_bytes()),
    ("reversed", |text| text.chars().rev().collect::<String>().into_bytes()),
    ("with blanks", |text| text.replace('-', " ").into_bytes()),
    ("with blanks around its hyphens", |text| text.replace('-', " - ").into_bytes()),
    ("with a blank behind each character", |text| behind_each(text, " ")),
    ("base64", |text| core(&BASE64.encode(text.as_bytes()), 0)),
    ("base64 one byte in", |text| core(&BASE64.encode(format!("x{text}").as_bytes()), 1)),
    ("base64 two bytes in", |text| core(&BASE64.encode(format!("xy{text}").as_bytes()), 2)),
    ("base64url", |text| core(&BASE64URL.encode(text.as_bytes()), 0)),
    ("base32", |text| BASE32.encode(text.as_bytes()).trim_end_matches('=').as_bytes().split_last().unwrap().1.to_vec()),
    ("hex", |text| HEXLOWER.encode(text.as_bytes()).into_bytes()),
    ("upper-case hex", |text| HEXUPPER.encode(text.as_bytes()).into_bytes()),
    ("hex without hyphens", |text| HEXLOWER.encode(text.replace('-', "").as_bytes()).into_bytes()),
    ("decimal bytes", |text| decimal(text, ", ")),
    ("close decimal bytes", |text| decimal(text, ",")),
    ("spaced decimal bytes", |text| decimal(text, " ")),
    ("percent", |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>().into_bytes()),
    ("percent where a URL needs it", |text| {
        text.replace('-', "%2D").replace('+', "%2B").replace('/', "%2F").into_bytes()
    }),
    ("UTF-16", |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
];

/// Clothes that are taken off before the search ([`undressed`]).
const WORN: [Form; 11] = [
    ("full width", |text| wide(text).into_bytes()),
    ("full width without hyphens", |text| wide(&text.replace('-', "")).into_bytes()),
    ("full width, lower-case", |text| wide(&text.to_lowercase()).into_bytes()),
    ("with en dashes", |text| text.replace('-', "\u{2013}").into_bytes()),
    ("with minus signs", |text| text.replace('-', "\u{2212}").into_bytes()),
    ("with hyphens that do not break", |text| text.replace('-', "\u{2011}").into_bytes()),
    ("with blanks that do not break", |text| text.replace('-', "\u{a0}").into_bytes()),
    ("with zero-width characters", |text| behind_each(text, "\u{200b}")),
    ("with zero-width joiners, without hyphens", |text| behind_each(&text.replace('-', ""), "\u{2060}")),
    ("full width, as JSON may escape it", |text| {
        wide(text).encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>().into_bytes()
    }),
    ("with zero-width characters, as `Debug` escapes them", |text| behind_each(text, "\\u{200b}")),
];

/// Every form.
pub(super) fn forms() -> impl Iterator<Item = Form> {
    BARE.into_iter().chain(WORN)
}

/// The characters that depend on the text alone, wherever it begins within a longer one.
fn core(encoded: &str, shift: usize) -> Vec<u8> {
    let characters = encoded.trim_end_matches('=');
    // One character back from the end: it may carry bits of what follows.
    let from = if shift == 0 { 0 } else { shift + 1 };
    characters.as_bytes().get(from..characters.len() - 1).unwrap().to_vec()
}

fn decimal(text: &str, between: &str) -> Vec<u8> {
    text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(between).into_bytes()
}

/// Not at its end, where the next character may be another's.
fn behind_each(text: &str, what: &str) -> Vec<u8> {
    text.chars().map(String::from).collect::<Vec<_>>().join(what).into_bytes()
}

/// How far the full-width forms of ASCII stand behind it.
const WIDE: u32 = 0xFEE0;

fn wide(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { char::from_u32(u32::from(c) + WIDE).unwrap() } else { c }).collect()
}

/// The lines that wear clothes, without them: full-width characters and dashes of all kinds become ASCII, blanks of all kinds
/// become one, and what nobody sees goes. `\u200b` and `\u{200b}` are read as what they stand for. Empty where no line does.
fn undressed(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_ascii() && !String::from_utf8_lossy(line).contains("\\u") {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let mut rest = line.as_ref();
        while let Some(next) = rest.chars().next() {
            let (seen, length) = escaped(rest).unwrap_or((next, next.len_utf8()));
            plain.extend(bare(seen).map(|c| u8::try_from(c).unwrap()));
            rest = rest.split_at(length).1;
        }
        plain.push(b'\n');
    }
    plain
}

/// A character that is written as an escape, and the length of that. What was escaped twice has more backslashes.
fn escaped(text: &str) -> Option<(char, usize)> {
    let digits = text.trim_start_matches('\\').strip_prefix('u').filter(|_| text.starts_with('\\'))?;
    let (hex, around) = match digits.strip_prefix('{') {
        Some(inner) => (inner.split_once('}')?.0, "{}".len()),
        None => (digits.get(..4)?, 0),
    };
    let length = text.len() - digits.len() + hex.len() + around;
    Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, length))
}

/// What a character is without its clothes; a mark that stands for nothing where it is no ASCII.
fn bare(c: char) -> Option<char> {
    match c {
        '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{30fc}' | '\u{301c}' => {
            Some('-')
        }
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => Some(' '),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - WIDE),
        _ if c.is_ascii() => Some(c),
        _ => Some('\u{1}'),
    }
}

/// A canary that was found, with what stands around it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    pub(super) form: &'static str,
    pub(super) canary: String,
    around: String,
}

impl std::fmt::Display for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {} in …{}…", self.canary, self.form, self.around)
    }
}

/// Looks for many patterns at once.
pub(crate) struct Scanner {
    canaries: Vec<String>,
    /// Which canary a pattern is, and in which form.
    patterns: Vec<(usize, &'static str)>,
    automaton: AhoCorasick,
}

impl Scanner {
    pub(crate) fn new(canaries: &[String]) -> Self {
        let distinct: BTreeSet<&String> = canaries.iter().collect();
        let canaries: Vec<String> = distinct.into_iter().cloned().collect();
        let (mut known, mut texts, mut patterns) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (at, canary) in canaries.iter().enumerate() {
            for (form, write) in BARE {
                let bytes = write(canary);
                assert!(bytes.len() >= SHORTEST, "{canary} is too short to be a canary");
                if known.insert(bytes.to_ascii_lowercase()) {
                    texts.push(bytes);
                    patterns.push((at, form));
                }
            }
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(texts).unwrap();
        Self { canaries, patterns, automaton }
    }

    pub(super) fn canaries(&self) -> usize {
        self.canaries.len()
    }

    pub(super) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// What was found, each pattern once.
    pub(crate) fn find(&self, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = self.find_bare(bytes);
        hits.extend(self.find_bare(&undressed(bytes)));
        hits
    }

    /// How often the canaries stand there, whatever the form.
    pub(super) fn count(&self, bytes: &[u8]) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for found in self.automaton.find_overlapping_iter(bytes) {
            let (canary, _form) = self.patterns[found.pattern().as_usize()];
            *counts.entry(self.canaries[canary].as_str()).or_default() += 1;
        }
        counts
    }

    fn find_bare(&self, bytes: &[u8]) -> Vec<Hit> {
        let (mut known, mut hits) = (BTreeSet::new(), Vec::new());
        for found in self.automaton.find_overlapping_iter(bytes) {
            if known.insert(found.pattern()) {
                let (canary, form) = self.patterns[found.pattern().as_usize()];
                let around = &bytes[found.start().saturating_sub(120)..(found.end() + 40).min(bytes.len())];
                let around = String::from_utf8_lossy(around).into_owned();
                hits.push(Hit { form, canary: self.canaries[canary].clone(), around });
            }
        }
        hits
    }
}

/// Bytes of the shortest pattern: a shorter one could stand anywhere by chance.
const SHORTEST: usize = 8;

#[test]
fn every_form_of_a_canary_is_found_wherever_it_stands() {
    let canaries = ["AB12-CD34EF-GH56".to_owned(), "canary+secret/access+key/0123456789abcdef".to_owned()];
    let scanner = Scanner::new(&canaries);
    for canary in &canaries {
        for (form, write) in forms() {
            let written = write(canary);
            for noise in [&b""[..], b"xx", b"\x00\xff{\"a\":\""] {
                let text = [noise, &written, noise].concat();
                assert!(!scanner.find(&text).is_empty(), "{canary} as {form}");
            }
            let cut = &written[..written.len() - 3];
            assert!(scanner.find(cut).is_empty() || form.contains("base"), "{form}: a part is not the whole");
        }
        // Within a longer text that was encoded as a whole.
        for before in ["", "a", "ab", "abc", "Bearer "] {
            let text = format!("{before}{canary} and more");
            for encoded in
                [BASE64.encode(text.as_bytes()), format!("{:?}", text.as_bytes()), HEXLOWER.encode(text.as_bytes())]
            {
                assert!(!scanner.find(encoded.as_bytes()).is_empty(), "{encoded}");
            }
        }
    }
    assert!(scanner.find(b"AB12-CD34EF-GH57 and AB12CD34EFGH5").is_empty());
}
