//! Finds canaries in bytes, in every form that a log or a store may give them.

use std::collections::{BTreeSet, HashMap};

use data_encoding::{BASE32, BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// A way to write a canary.
pub(super) type Form = (&'static str, fn(&str) -> Vec<u8>);

/// Every form that is searched for.
pub(super) const FORMS: [Form; 18] = [
    ("it is", |text| text.as_bytes().to_vec()),
    ("without hyphens", |text| text.replace('-', "").into_bytes()),
    ("lower-case", |text| text.to_lowercase().into_bytes()),
    ("lower-case without hyphens", |text| text.to_lowercase().replace('-', "").into_bytes()),
    ("upper-case", |text| text.to_uppercase().into_bytes()),
    ("reversed", |text| text.chars().rev().collect::<String>().into_bytes()),
    ("base64", |text| core(&BASE64.encode(text.as_bytes()), 0)),
    ("base64 one byte in", |text| core(&BASE64.encode(format!("x{text}").as_bytes()), 1)),
    ("base64 two bytes in", |text| core(&BASE64.encode(format!("xy{text}").as_bytes()), 2)),
    ("base64url", |text| core(&BASE64URL.encode(text.as_bytes()), 0)),
    ("base32", |text| BASE32.encode(text.as_bytes()).trim_end_matches('=').as_bytes().split_last().unwrap().1.to_vec()),
    ("hex", |text| HEXLOWER.encode(text.as_bytes()).into_bytes()),
    ("upper-case hex", |text| HEXUPPER.encode(text.as_bytes()).into_bytes()),
    ("decimal bytes", |text| decimal(text, ", ")),
    ("close decimal bytes", |text| decimal(text, ",")),
    ("spaced decimal bytes", |text| decimal(text, " ")),
    ("percent", |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>().into_bytes()),
    ("UTF-16", |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
];

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

/// Bytes of the piece by which a pattern is looked up.
const KEY: usize = 8;
const SLOTS: usize = 1 << 20;

struct Pattern {
    bytes: Vec<u8>,
    canary: String,
    form: &'static str,
}

/// A canary that was found, with what stands around it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) form: &'static str,
    canary: String,
    around: String,
}

impl std::fmt::Display for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {} in …{}…", self.canary, self.form, self.around)
    }
}

/// Looks for many patterns at once: eight bytes at a time into a bit set, and only where that says so into a map.
pub(super) struct Scanner {
    canaries: usize,
    patterns: Vec<Pattern>,
    by_key: HashMap<u64, Vec<usize>>,
    seen: Vec<bool>,
}

fn key(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<KEY>().map(|chunk| u64::from_le_bytes(*chunk))
}

fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44) as usize
}

impl Scanner {
    pub(super) fn new(canaries: &[String]) -> Self {
        let distinct: BTreeSet<&String> = canaries.iter().collect();
        let mut scanner =
            Self { canaries: distinct.len(), patterns: Vec::new(), by_key: HashMap::new(), seen: vec![false; SLOTS] };
        let mut known = BTreeSet::new();
        for canary in distinct {
            for (form, write) in FORMS {
                let bytes = write(canary);
                if known.insert(bytes.clone()) {
                    let key = key(&bytes).unwrap_or_else(|| panic!("{canary} is too short to be a canary"));
                    scanner.seen[slot(key)] = true;
                    scanner.by_key.entry(key).or_default().push(scanner.patterns.len());
                    scanner.patterns.push(Pattern { bytes, canary: canary.clone(), form });
                }
            }
        }
        scanner
    }

    pub(super) fn canaries(&self) -> usize {
        self.canaries
    }

    pub(super) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// What was found, each pattern once.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<Hit> {
        let (mut known, mut found) = (BTreeSet::new(), Vec::new());
        for (at, window) in bytes.windows(KEY).enumerate() {
            let Some(key) = key(window).filter(|key| self.seen[slot(*key)]) else { continue };
            for index in self.by_key.get(&key).into_iter().flatten() {
                let Pattern { bytes: pattern, canary, form } = &self.patterns[*index];
                if bytes[at..].starts_with(pattern) && known.insert(*index) {
                    let around = &bytes[at.saturating_sub(120)..(at + pattern.len() + 40).min(bytes.len())];
                    let around = String::from_utf8_lossy(around).into_owned();
                    found.push(Hit { form, canary: canary.clone(), around });
                }
            }
        }
        found
    }
}

#[test]
fn every_form_of_a_canary_is_found_wherever_it_stands() {
    let canaries = ["AB12-CD34EF-GH56".to_owned(), "canary+secret/access+key/0123456789abcdef".to_owned()];
    let scanner = Scanner::new(&canaries);
    for canary in &canaries {
        for (form, write) in FORMS {
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
