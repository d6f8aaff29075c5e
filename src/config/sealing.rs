//! The keys that seal what a reward acts on: each has an id, and lies in a file of its own.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use secrecy::SecretBox;
use sha2::{Digest, Sha256};
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::source::{Section, read_secret};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Keys that may be listed.
const KEYS_MAX: usize = 16;
/// Characters of a key's id. Fewer than any claim code has: the id is stored.
const KEY_ID_LENGTH_MAX: usize = 10;

/// The keys. The first one seals. Without a key nothing can be sealed, and a kind that seals its target cannot be used.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// All of them open.
    pub keys: Vec<SealingKey>,
}

/// A key and its name.
#[derive(Debug, Clone)]
pub struct SealingKey {
    /// Stands in each row that it seals.
    pub id: KeyId,
    /// The file that it was read from.
    pub file: PathBuf,
    /// Its bytes.
    pub key: Arc<SecretBox<[u8; KEY_BYTES]>>,
}

/// A key's id: 1 to 10 characters of a-z, 0-9 and inner hyphens, like `2026-11`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no key's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {KEY_ID_LENGTH_MAX} of a-z 0-9 -, and begin with a letter or a digit")]
pub struct MalformedKeyId;

impl FromStr for KeyId {
    type Err = MalformedKeyId;

    fn from_str(text: &str) -> Result<Self, MalformedKeyId> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=KEY_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('-');
        fits.then(|| Self(text.to_owned())).ok_or(MalformedKeyId)
    }
}

/// Reads the section.
pub(super) fn sealing(mut section: Section<'_>) -> Sealing {
    let read: Vec<(SealingKey, KeySum)> = section.tables("keys", sealing_key);
    let (keys, sums): (Vec<SealingKey>, Vec<KeySum>) = read.into_iter().unzip();
    if keys.len() > KEYS_MAX {
        section.refuse("keys", &format!("lists more than {KEYS_MAX} keys"));
    }
    let twice = |(at, key): &(usize, &SealingKey)| keys.iter().take(*at).any(|other| other.id == key.id);
    if let Some((_at, key)) = keys.iter().enumerate().find(twice) {
        section.refuse("keys", &format!("lists the id {} twice", key.id));
    }
    let with_sums = || keys.iter().zip(&sums);
    let twins = with_sums().enumerate().find_map(|(at, (copy, sum))| {
        let (original, _sum) = with_sums().take(at).find(|(_key, other)| *other == sum)?;
        Some((original, copy))
    });
    if let Some((original, copy)) = twins {
        let why = format!("lists the same bytes as {} and as {}: one of the files is a copy", original.id, copy.id);
        section.refuse("keys", &why);
    }
    Sealing { keys }
}

/// Equal for equal keys, and nothing else of them.
type KeySum = [u8; 32];

fn sealing_key(table: &Table) -> Result<(SealingKey, KeySum), String> {
    let text = |name: &str| {
        let value = table.get(name).and_then(Value::as_str);
        value.ok_or_else(|| format!("each key must have an id and a file, in quotes; one has no {name}"))
    };
    if table.keys().any(|name| name != "id" && name != "file") {
        return Err("a key has an id and a file and nothing else".to_owned());
    }
    let id: KeyId = text("id")?.parse().map_err(|why: MalformedKeyId| format!("a key's id {why}"))?;
    let file = PathBuf::from(text("file")?);
    let read = read_secret(&file).and_then(|text| key_bytes(&text));
    let (key, sum) = read.map_err(|why| format!("the file of the key {id} {why}"))?;
    Ok((SealingKey { id, file, key: Arc::new(key) }, sum))
}

/// 32 bytes as `openssl rand -hex 32` or `openssl rand -base64 32` writes them.
fn key_bytes(text: &str) -> Result<(SecretBox<[u8; KEY_BYTES]>, KeySum), String> {
    let form = if text.len() == 2 * KEY_BYTES { HEXLOWER_PERMISSIVE } else { BASE64 };
    let wrong = || format!("must hold {KEY_BYTES} random bytes, in hex or base64");
    let bytes = Zeroizing::new(form.decode(text.as_bytes()).map_err(|_malformed| wrong())?);
    // What nobody has drawn: a key of one byte repeated stands for a placeholder that was never replaced.
    if bytes.len() != KEY_BYTES || bytes.iter().all(|byte| bytes.first() == Some(byte)) {
        return Err(wrong());
    }
    let sum = Sha256::digest(bytes.as_slice()).into();
    Ok((SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| key.copy_from_slice(&bytes)), sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shorter_than_any_claim_code() {
        for text in ["2026-11", "a", "2026-11-26", "0"] {
            assert_eq!(text.parse::<KeyId>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "A", "2026_11", "2026-11-26b", "ä", "a b"] {
            assert_eq!(text.parse::<KeyId>(), Err(MalformedKeyId), "{text}");
        }
    }

    #[test]
    fn a_key_is_32_bytes_that_somebody_drew() {
        let hex: String = (0..32).map(|byte: u8| format!("{byte:02x}")).collect();
        let base64 = BASE64.encode(&(0..32).collect::<Vec<u8>>());
        for text in [&hex, &hex.to_uppercase(), &base64] {
            assert!(key_bytes(text).is_ok(), "{text}");
        }
        let short = BASE64.encode(&(0..31).collect::<Vec<u8>>());
        for text in
            ["", &"0".repeat(64), &"A".repeat(43), &short, &"0a".repeat(31), &format!("{hex} "), &"x".repeat(64)]
        {
            assert!(key_bytes(text).is_err(), "{text}");
        }
    }
}
