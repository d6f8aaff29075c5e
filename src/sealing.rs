//! What a reward acts on (a card number, a barcode, an account id), sealed at rest: after a crash the same bytes must be
//! sent again, and nobody who reads the database may learn them.
//!
//! A [`Target`] is in clear in one variable. A [`Sealed`] one opens with the key that its row names, and in its own row
//! alone: row, kind and key are part of what is authenticated. A [`Fingerprint`] says whether a request that comes again
//! names the same target, also after the sealed one was wiped. Nothing here quotes a target or a key.
//!
//! From each listed key five are derived: one that seals, one that fingerprints targets, one that fingerprints the ids of
//! cards at Amazon, so that another card than the expected one is noticed, one that fingerprints the access tokens of shoppers,
//! so that a token that comes again is recognised, and one that chains the records of the audit. A fingerprint carries the mark
//! of its key, so it can be compared as long as that key is listed, whichever seals by then.

mod audit_keys;
mod key_use;

use std::fmt;

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    ambient::{Ambient, NoRandomness},
    config::{KeyId, Sealing, SealingKey},
    kernel::CardId,
};

pub use audit_keys::AuditKeys;
pub use key_use::SealingKeyUse;

/// The first byte of everything sealed: which way it was sealed. No text begins with it.
const FORMAT: u8 = 1;
/// Characters of the longest target.
pub const TARGET_LENGTH_MAX: usize = 384;
/// Bytes of a fingerprint, of which so many are the mark of its key.
const FINGERPRINT_BYTES: usize = 32;
const MARK_BYTES: usize = 4;

/// What a key is derived for. A change of a word makes another key.
const TO_SEAL: &[u8] = b"noshi target seal 1";
const TO_FINGERPRINT: &[u8] = b"noshi target fingerprint 1";
const TO_MARK: &[u8] = b"noshi target key mark 1";
const TO_FINGERPRINT_CARDS: &[u8] = b"noshi card fingerprint 1";
const TO_FINGERPRINT_TOKENS: &[u8] = b"noshi access token fingerprint 1";
const TO_CHAIN_AUDIT: &[u8] = b"noshi audit chain 1";

/// Why a target was not sealed, or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The settings list no key.
    #[error("no sealing key is listed in the settings")]
    NoKey,
    /// The key that sealed it is not listed.
    #[error("the sealing key {0} is not listed in the settings")]
    NotListed(KeyId),
    /// The key is another one than sealed it, or the bytes, their row or their kind were changed.
    #[error("what the key {0} sealed does not open: another key has its id, or the row was changed")]
    Unopened(KeyId),
    /// A library refused what cannot be refused.
    #[error("the key {0} cannot seal")]
    Unsealed(KeyId),
    /// No nonce.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// What a reward acts on, in clear. Wiped from memory when dropped; it cannot be printed, logged, serialised, compared or
/// copied, and a test counts where it is taken out.
pub struct Target(Zeroizing<String>);

impl Target {
    /// Takes 1 to [`TARGET_LENGTH_MAX`] bytes. `None` for anything else: what a target looks like is for its kind to say.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        (1..=TARGET_LENGTH_MAX).contains(&text.len()).then_some(Self(text))
    }

    /// The text itself, for the body that is sent to Amazon.
    #[must_use]
    pub fn in_clear(&self) -> &str {
        &self.0
    }
}

/// The row that a target belongs to. It opens in no other.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The row's id.
    pub row: Uuid,
    /// Its kind's word.
    pub kind: &'static str,
}

impl Place {
    /// The id has its length and a kind's word ends before the NUL: whatever follows, no two places read alike.
    fn followed_by(self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.row.as_bytes().as_slice(), self.kind.as_bytes(), b"\0", bytes].concat())
    }
}

/// A sealed target as its row keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key: KeyId,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Read back from its row.
    #[must_use]
    pub const fn from_stored(key: KeyId, bytes: Vec<u8>) -> Self {
        Self { key, bytes }
    }

    /// The key that opens it.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.key
    }

    /// Format, nonce, text and tag.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({})", self.key)
    }
}

/// The keyed hash of a target, of a card's id or of a token, in its place, behind the mark of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// Read back from its row.
    #[must_use]
    pub const fn from_stored(bytes: [u8; FINGERPRINT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; FINGERPRINT_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Whether a target is the one that a fingerprint was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// It is.
    Same,
    /// It is another.
    Different,
    /// The fingerprint's key is not listed.
    Unknown,
}

/// What is derived from a listed key.
struct Key {
    id: KeyId,
    seals: LessSafeKey,
    fingerprints: hmac::Key,
    fingerprints_cards: hmac::Key,
    fingerprints_tokens: hmac::Key,
    chains_audit: hmac::Key,
    mark: [u8; MARK_BYTES],
}

/// The keys of the settings: the first seals, all open.
pub struct Keyring {
    keys: Vec<Key>,
}

impl Keyring {
    /// Derives what is used from what is listed.
    ///
    /// # Errors
    /// [`SealingError::Unsealed`] when the library refuses a key.
    pub fn new(settings: &Sealing) -> Result<Self, SealingError> {
        settings.keys.iter().map(Key::derive).collect::<Result<_, _>>().map(|keys| Self { keys })
    }

    /// The keys that chain the audit's records, in the same order.
    #[must_use]
    pub fn audit_keys(&self) -> AuditKeys {
        AuditKeys::new(self.keys.iter().map(|key| (key.id.clone(), key.chains_audit.clone())).collect())
    }

    /// Whether anything can be sealed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn first(&self) -> Result<&Key, SealingError> {
        self.keys.first().ok_or(SealingError::NoKey)
    }

    /// Seals a target for its place. The nonce is drawn: a key seals fewer rewards by far than the 2^32 that random nonces
    /// are good for.
    ///
    /// # Errors
    /// [`SealingError`] without a key or without randomness.
    pub fn seal(&self, target: &Target, place: Place, ambient: &Ambient) -> Result<Sealed, SealingError> {
        let key = self.first()?;
        let mut nonce = [0; NONCE_LEN];
        ambient.fill_random(&mut nonce)?;
        // Becomes ciphertext where it stands; wiped where that fails.
        let mut text = Zeroizing::new(target.0.as_bytes().to_vec());
        let tag = key
            .seals
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.followed_by(key.id.as_str().as_bytes()).as_slice()),
                &mut text,
            )
            .map_err(|_unspecified| SealingError::Unsealed(key.id.clone()))?;
        let bytes = [&[FORMAT], nonce.as_slice(), text.as_slice(), tag.as_ref()].concat();
        Ok(Sealed { key: key.id.clone(), bytes })
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`SealingError::NotListed`] names the key that the settings lack. [`SealingError::Unopened`]: not sealed by this key,
    /// or not for this place, or not whole.
    pub fn open(&self, sealed: &Sealed, place: Place) -> Result<Target, SealingError> {
        let key = self.keys.iter().find(|key| key.id == sealed.key);
        let key = key.ok_or_else(|| SealingError::NotListed(sealed.key.clone()))?;
        key.open(&sealed.bytes, place).ok_or_else(|| SealingError::Unopened(sealed.key.clone()))
    }

    /// The fingerprint of a target in its place, by the key that seals. Of the same target in two rows there are two: the
    /// database does not show who gave the same card twice.
    ///
    /// # Errors
    /// [`SealingError::NoKey`].
    pub fn fingerprint(&self, target: &Target, place: Place) -> Result<Fingerprint, SealingError> {
        self.first().map(|key| key.fingerprint(target, place))
    }

    /// Whether a target is the one that the fingerprint was made of, in constant time.
    #[must_use]
    pub fn compare(&self, fingerprint: &Fingerprint, target: &Target, place: Place) -> Sameness {
        self.compare_by(fingerprint, |key| key.fingerprint(target, place))
    }

    /// The fingerprint of Amazon's id of the card that a row bought, by the key that seals; `None` where none is listed.
    #[must_use]
    pub fn fingerprint_card(&self, card: &CardId, place: Place) -> Option<Fingerprint> {
        self.keys.first().map(|key| key.fingerprint_card(card, place))
    }

    /// Whether a card is the one that the fingerprint was made of, in constant time.
    #[must_use]
    pub fn compare_card(&self, fingerprint: &Fingerprint, card: &CardId, place: Place) -> Sameness {
        self.compare_by(fingerprint, |key| key.fingerprint_card(card, place))
    }

    /// The fingerprint of the access token, by its digest, that a row was made by, by the key that seals.
    ///
    /// # Errors
    /// [`SealingError::NoKey`].
    pub fn fingerprint_token(&self, digest: &[u8; 32], place: Place) -> Result<Fingerprint, SealingError> {
        self.first().map(|key| key.fingerprint_token(digest, place))
    }

    /// Whether an access token is the one that the fingerprint was made of, in constant time.
    #[must_use]
    pub fn compare_token(&self, fingerprint: &Fingerprint, digest: &[u8; 32], place: Place) -> Sameness {
        self.compare_by(fingerprint, |key| key.fingerprint_token(digest, place))
    }

    fn compare_by(&self, fingerprint: &Fingerprint, made: impl Fn(&Key) -> Fingerprint) -> Sameness {
        let marked = |key: &&Key| fingerprint.0.starts_with(&key.mark);
        let Some(key) = self.keys.iter().find(marked) else { return Sameness::Unknown };
        let same = made(key).0.ct_eq(&fingerprint.0);
        if bool::from(same) { Sameness::Same } else { Sameness::Different }
    }
}

impl Key {
    fn derive(listed: &SealingKey) -> Result<Self, SealingError> {
        let refused = |_unspecified| SealingError::Unsealed(listed.id.clone());
        #[expect(clippy::disallowed_methods, reason = "the keys that seal are derived here")]
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(listed.key.expose_secret());
        let seals = root.expand(&[TO_SEAL], &CHACHA20_POLY1305).map_err(refused)?;
        let fingerprints = root.expand(&[TO_FINGERPRINT], hmac::HMAC_SHA256).map_err(refused)?;
        let fingerprints = hmac::Key::from(fingerprints);
        let fingerprints_cards = root.expand(&[TO_FINGERPRINT_CARDS], hmac::HMAC_SHA256).map_err(refused)?;
        let fingerprints_cards = hmac::Key::from(fingerprints_cards);
        let fingerprints_tokens = root.expand(&[TO_FINGERPRINT_TOKENS], hmac::HMAC_SHA256).map_err(refused)?;
        let fingerprints_tokens = hmac::Key::from(fingerprints_tokens);
        let chains_audit = hmac::Key::from(root.expand(&[TO_CHAIN_AUDIT], hmac::HMAC_SHA256).map_err(refused)?);
        let mut mark = [0; MARK_BYTES];
        for (to, from) in mark.iter_mut().zip(hmac::sign(&fingerprints, TO_MARK).as_ref()) {
            *to = *from;
        }
        let seals = LessSafeKey::new(UnboundKey::from(seals));
        let id = listed.id.clone();
        Ok(Self { id, seals, fingerprints, fingerprints_cards, fingerprints_tokens, chains_audit, mark })
    }

    fn open(&self, bytes: &[u8], place: Place) -> Option<Target> {
        let (nonce, text) = bytes.strip_prefix(&[FORMAT])?.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let place = place.followed_by(self.id.as_str().as_bytes());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.seals.open_in_place(nonce, Aad::from(place.as_slice()), &mut text).ok()?;
        Target::new(Zeroizing::new(str::from_utf8(opened).ok()?.to_owned()))
    }

    fn fingerprint(&self, target: &Target, place: Place) -> Fingerprint {
        self.marked(&self.fingerprints, &place.followed_by(target.0.as_bytes()))
    }

    fn fingerprint_card(&self, card: &CardId, place: Place) -> Fingerprint {
        self.marked(&self.fingerprints_cards, &place.followed_by(card.to_be_hashed().as_bytes()))
    }

    fn fingerprint_token(&self, digest: &[u8; 32], place: Place) -> Fingerprint {
        self.marked(&self.fingerprints_tokens, &place.followed_by(digest))
    }

    /// Without the key's id: a key that is listed under another name still compares.
    fn marked(&self, hashes: &hmac::Key, text: &[u8]) -> Fingerprint {
        let hash = hmac::sign(hashes, text);
        let mut bytes = [0; FINGERPRINT_BYTES];
        for (to, from) in bytes.iter_mut().zip(self.mark.iter().chain(hash.as_ref())) {
            *to = *from;
        }
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests;
