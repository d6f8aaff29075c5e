//! API keys: 256 random bits behind a public id, shown once, kept as a hash, compared in constant time.
//!
//! The text is `nsk_<key id, 32 hex digits>_<secret, 52 characters of base 32>`.

use data_encoding::{BASE32_NOPAD, Specification};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    ambient::{Ambient, NoRandomness},
    kernel::ApiKeyId,
};

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Characters of a key's text: prefix, id, underscore, secret.
pub const KEY_TEXT_LEN: usize = 4 + 32 + 1 + 52;

/// A new key. Its text exists only here and where it is shown.
pub struct Minted {
    /// Names it.
    pub id: ApiKeyId,
    /// What the caller will send; shown once.
    pub text: Zeroizing<String>,
    /// What the store keeps.
    pub secret_sha256: [u8; 32],
}

/// Makes a key.
///
/// # Errors
/// [`NoRandomness`] when the operating system has none to give.
pub fn mint(ambient: &Ambient) -> Result<Minted, NoRandomness> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    ambient.fill_random(secret.as_mut_slice())?;
    let id = ApiKeyId::new(ambient.row_id(ambient.now())?);
    let word = Zeroizing::new(BASE32_NOPAD.encode(secret.as_slice()).to_ascii_lowercase());
    let text = Zeroizing::new(format!("nsk_{}_{}", id.uuid().simple(), word.as_str()));
    Ok(Minted { id, secret_sha256: hash(&word), text })
}

/// A key as a caller presented it: which it claims to be, and the hash of its secret.
pub struct Presented {
    /// The id it claims.
    pub id: ApiKeyId,
    secret_sha256: [u8; 32],
}

impl Presented {
    /// Reads a key's text; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != KEY_TEXT_LEN {
            return None;
        }
        let (id, secret) = text.strip_prefix("nsk_")?.split_once('_')?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if id.len() != 32 || !id.bytes().all(lower_hex) || !is_base32(secret) {
            return None;
        }
        Some(Self { id: ApiKeyId::new(Uuid::try_parse(id).ok()?), secret_sha256: hash(secret) })
    }

    /// Whether it is the key whose hash the store keeps. Takes the same time for every answer.
    #[must_use]
    pub fn matches(&self, stored: &[u8; 32]) -> bool {
        self.secret_sha256.ct_eq(stored).into()
    }
}

fn is_base32(secret: &str) -> bool {
    let mut lower = Specification::new();
    lower.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    lower.encoding().is_ok_and(|encoding| encoding.decode(secret.as_bytes()).is_ok())
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_is_recognised_and_another_is_not() {
        let ambient = Ambient::system();
        let (one, two) = (mint(&ambient).unwrap(), mint(&ambient).unwrap());
        assert_eq!(one.text.len(), KEY_TEXT_LEN);
        let presented = Presented::parse(&one.text).unwrap();
        assert_eq!(presented.id, one.id);
        assert!(presented.matches(&one.secret_sha256));
        assert!(!presented.matches(&two.secret_sha256));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_looking_it_up() {
        let key = mint(&Ambient::system()).unwrap().text;
        for text in [
            "",
            "nsk_",
            &key.to_uppercase(),
            key.strip_prefix('n').unwrap(),
            &format!("{}x", key.as_str()),
            &key.replace('_', "-"),
        ] {
            assert!(Presented::parse(text).is_none(), "{text}");
        }
    }
}
