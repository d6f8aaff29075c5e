//! One key, one Amazon id, for ever: how a caller's `Idempotency-Key` becomes Amazon's `creationRequestId`.

use std::fmt;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use super::ClientId;

/// Characters of the longest `Idempotency-Key` (Stripe's limit, which callers know).
pub const KEY_LEN_MAX: usize = 255;
/// Bytes of an [`Intent`]: 160 bits, exactly 32 characters of base 32.
pub const INTENT_BYTES: usize = 20;
/// Characters that Amazon allows in a `creationRequestId` (`PROTOCOL.md`).
pub const CREATION_REQUEST_ID_LEN_MAX: usize = 40;
/// Characters of the longest partner id that leaves room for an intent.
pub const PARTNER_ID_LEN_MAX: usize = CREATION_REQUEST_ID_LEN_MAX - 32;

/// Why a header value is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing in it.
    #[error("the key is empty")]
    Empty,
    /// More than [`KEY_LEN_MAX`] characters.
    #[error("the key is longer than 255 characters")]
    TooLong,
    /// A character that is not printable ASCII.
    #[error("the key has a character that is not printable ASCII")]
    NotPrintable,
    /// It starts as a structured-field string but does not end as one (RFC 9651, 3.3.3).
    #[error("the key is not a well-formed quoted string")]
    Quoting,
}

/// A caller's idempotency key: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header's value. `"abc"` (a structured-field string, as the IETF draft asks) and `abc` (as Stripe's
    /// callers send it) are the same key.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong.
    pub fn parse(value: &str) -> Result<Self, KeyError> {
        let value = value.trim_matches(|c| c == ' ' || c == '\t');
        let key = match value.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None => value.to_owned(),
        };
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if !key.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return Err(KeyError::NotPrintable);
        }
        if key.len() > KEY_LEN_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(Self(key))
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The inside of a structured-field string whose opening quote is already taken.
fn unquote(rest: &str) -> Result<String, KeyError> {
    let mut key = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            Some('"') => break,
            Some('\\') => match chars.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) | None => return Err(KeyError::Quoting),
            },
            Some(other) => key.push(other),
            None => return Err(KeyError::Quoting),
        }
    }
    if chars.next().is_some() {
        return Err(KeyError::Quoting);
    }
    Ok(key)
}

/// The fingerprint of (client, idempotency key): what makes two requests the same intent.
///
/// Derived, not random: after a restored back-up the same caller's retry still maps to the same Amazon id, so it finds
/// the card that it bought. The store keeps this and not the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Intent([u8; INTENT_BYTES]);

impl Intent {
    /// The intent of this client's key.
    #[must_use]
    pub fn derive(client: ClientId, key: &IdempotencyKey) -> Self {
        let digest = Sha256::new()
            .chain_update(b"noshi/intent/v1\0")
            .chain_update(client.uuid().as_bytes())
            .chain_update(key.as_str())
            .finalize();
        let mut bytes = [0; INTENT_BYTES];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// What follows from an intent without a key of its own: so often the same part of it, as its `number`th try.
    #[must_use]
    pub fn part(&self, part: &str, number: i64) -> Self {
        let digest = Sha256::new()
            .chain_update(b"noshi/intent-part/v1\0")
            .chain_update(self.0)
            .chain_update(number.to_be_bytes())
            .chain_update(part)
            .finalize();
        let mut bytes = [0; INTENT_BYTES];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// An intent that the store kept.
    #[must_use]
    pub const fn from_stored(bytes: [u8; INTENT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as the store keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; INTENT_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32.encode(&self.0))
    }
}

/// Amazon's `creationRequestId`: what makes a replayed create find the card instead of buying another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CreationRequestId(String);

impl CreationRequestId {
    /// Partner id, then the intent in base 32: at most 40 characters, alphanumeric, starts with the partner id.
    #[must_use]
    pub fn derive(partner_id: &str, intent: &Intent) -> Self {
        Self(format!("{partner_id}{}", BASE32.encode(intent.as_bytes())))
    }

    /// One of Amazon's mock ids (`F` and four digits; `PROTOCOL.md`), sent as it is. Sandbox accounts only: the
    /// caller decides that.
    #[must_use]
    pub fn mock(key: &IdempotencyKey) -> Option<Self> {
        Some(Self(key.as_str().to_owned())).filter(Self::is_mock)
    }

    /// Whether it is one of Amazon's mock ids.
    #[must_use]
    pub fn is_mock(&self) -> bool {
        self.0.strip_prefix('F').is_some_and(|rest| rest.len() == 4 && rest.bytes().all(|b| b.is_ascii_digit()))
    }

    /// The intent that this id was derived from under this partner id; `None` when it is not one of ours.
    #[must_use]
    pub fn intent(&self, partner_id: &str) -> Option<Intent> {
        let digits = self.0.strip_prefix(partner_id)?;
        let bytes = BASE32.decode(digits.as_bytes()).ok()?;
        bytes.try_into().ok().map(Intent)
    }

    /// An id that the store kept.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CreationRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    #[test]
    fn the_quoted_and_the_bare_form_are_the_same_key() {
        assert_eq!(key("\"abc-1\""), key("abc-1"));
        assert_eq!(key(r#""a\"b\\c""#).as_str(), r#"a"b\c"#);
    }

    #[test]
    fn a_malformed_key_is_refused_for_its_reason() {
        for (value, error) in [
            ("", KeyError::Empty),
            ("\"\"", KeyError::Empty),
            ("   ", KeyError::Empty),
            ("\"open", KeyError::Quoting),
            ("\"a\"b", KeyError::Quoting),
            ("\"a\\nb\"", KeyError::Quoting),
            ("\"a\", \"b\"", KeyError::Quoting),
            ("caf\u{e9}", KeyError::NotPrintable),
            ("a\u{7f}", KeyError::NotPrintable),
        ] {
            assert_eq!(IdempotencyKey::parse(value), Err(error), "{value}");
        }
        assert_eq!(IdempotencyKey::parse(&"k".repeat(256)), Err(KeyError::TooLong));
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
    }

    #[test]
    fn the_amazon_id_of_a_key_is_pinned_for_ever() {
        // Changing this derivation would buy second cards for keys that were already used.
        let client = ClientId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        let id = CreationRequestId::derive("Awssb", &Intent::derive(client, &key("order-1")));
        assert_eq!(id.as_str(), "AwssbKD2L4PZJGQUB3RMZ2XYIVPOCVKFPPTZJ");
    }

    #[test]
    fn an_amazon_id_tells_its_intent_and_a_strangers_tells_none() {
        let client = ClientId::new(Uuid::from_u128(7));
        let intent = Intent::derive(client, &key("order-1"));
        let id = CreationRequestId::derive("Awssb", &intent);
        assert_eq!(id.intent("Awssb"), Some(intent));
        assert_eq!(id.intent("Other"), None);
        for stranger in ["AwssbMZXW6YTBOI", "Awssb", "F0000", "", "Awssb0000000000000000000000000000000!"] {
            assert_eq!(CreationRequestId::from_stored(stranger.to_owned()).intent("Awssb"), None, "{stranger}");
        }
    }

    #[test]
    fn only_a_mock_id_is_taken_as_one() {
        assert_eq!(CreationRequestId::mock(&key("F2047")).unwrap().as_str(), "F2047");
        for text in ["f2047", "F204", "F20470", "F20a7", "order-1"] {
            assert!(CreationRequestId::mock(&key(text)).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amazon_id_fits_amazons_rules(text in "[ -~]{1,255}", client in any::<u128>(), partner in "[A-Z][A-Za-z0-9]{0,7}") {
            prop_assume!(!text.trim().is_empty() && !text.trim().starts_with('"'));
            let id = CreationRequestId::derive(&partner, &Intent::derive(ClientId::new(Uuid::from_u128(client)), &key(&text)));
            prop_assert!(id.as_str().len() <= CREATION_REQUEST_ID_LEN_MAX);
            prop_assert!(id.as_str().starts_with(&partner));
            prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }
}
