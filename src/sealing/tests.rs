//! What sealing promises, and that nothing else opens it.

use std::sync::Arc;

use secrecy::SecretBox;
use sha2::{Digest, Sha256};

use super::*;
use crate::{config::KEY_BYTES, kernel::Chain};

const CANARY: &str = "6035700000001234567";
const PLACE: Place = Place { row: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001), kind: "card_activation" };

/// `CANARY` in `PLACE`, sealed and fingerprinted by the key of 32 sevens: written down by another
/// implementation (RFC 8439, RFC 5869) when these forms were new.
const SEALED_BEFORE: &str =
    "01000102030405060708090a0b57514f4ae3181608330ff5e027e964069c50d7a147b8cbb17951b50b98c0e73d1e88ba";
const FINGERPRINT_BEFORE: &str = "3b1642dfd794f4fdab3356d890a8bde1ce29b02e39d67101423333c9dab207e2";

/// Fails to compile when a type has one of these traits: the trait's parameter is ambiguous then.
macro_rules! has_none_of {
    ($type:ty: $($name:ident = $has:path),+) => {$(
        #[test]
        fn $name() {
            trait AmbiguousIfIt<A> { fn has() {} }
            impl<T: ?Sized> AmbiguousIfIt<()> for T {}
            struct Has;
            impl<T: ?Sized + $has> AmbiguousIfIt<Has> for T {}
            <$type as AmbiguousIfIt<_>>::has();
        }
    )+};
}

has_none_of! { Target:
    a_target_is_not_debugged = fmt::Debug, a_target_is_not_displayed = fmt::Display, a_target_is_not_cloned = Clone,
    a_target_is_not_serialised = serde::Serialize, a_target_is_not_compared = PartialEq, a_target_is_no_text = AsRef<str>
}
has_none_of! { Keyring: a_keyring_is_not_debugged = fmt::Debug, a_keyring_is_not_cloned = Clone }

fn target(text: &str) -> Target {
    Target::new(Zeroizing::new(text.to_owned())).unwrap()
}

fn keyring(keys: &[(&str, u8)]) -> Keyring {
    let key = |(id, byte): &(&str, u8)| SealingKey {
        file: std::path::PathBuf::new(),
        id: id.parse().unwrap(),
        key: Arc::new(SecretBox::new(Box::new([*byte; KEY_BYTES]))),
    };
    Keyring::new(&Sealing { keys: keys.iter().map(key).collect() }).unwrap()
}

fn sealed(keyring: &Keyring) -> Sealed {
    keyring.seal(&target(CANARY), PLACE, &Ambient::movable(1)).unwrap()
}

/// Fails when the error says more than the key's id.
fn said(error: SealingError) -> String {
    let text = format!("{} {error:?}", Chain(&error));
    assert!(!text.contains(CANARY), "{text}");
    text
}

fn refusal(keyring: &Keyring, sealed: &Sealed, place: Place) -> SealingError {
    keyring.open(sealed, place).err().expect("it opened")
}

#[test]
fn what_was_sealed_opens_in_its_place_and_shows_nothing() {
    let ring = keyring(&[("2026-11", 7)]);
    let sealed = sealed(&ring);
    assert_eq!(ring.open(&sealed, PLACE).unwrap().in_clear(), CANARY);
    assert_eq!(sealed.key().as_str(), "2026-11");
    assert_eq!(sealed.as_bytes().len(), 1 + 12 + CANARY.len() + 16);
    assert_eq!(sealed.as_bytes().first(), Some(&FORMAT));
    assert!(!sealed.as_bytes().windows(4).any(|some| CANARY.as_bytes().windows(4).any(|of| of == some)));
    assert_eq!(format!("{sealed:?}"), "Sealed(2026-11)");
}

#[test]
fn two_targets_are_never_sealed_alike() {
    let (ring, ambient) = (keyring(&[("a", 7)]), Ambient::movable(1));
    let (one, two) =
        (ring.seal(&target(CANARY), PLACE, &ambient).unwrap(), ring.seal(&target(CANARY), PLACE, &ambient));
    assert_ne!(one.as_bytes(), two.unwrap().as_bytes(), "the nonce was the same");
}

#[test]
fn a_target_has_a_length() {
    for (length, fits) in [(0, false), (1, true), (TARGET_LENGTH_MAX, true), (TARGET_LENGTH_MAX + 1, false)] {
        assert_eq!(Target::new(Zeroizing::new("x".repeat(length))).is_some(), fits, "{length}");
    }
}

#[test]
fn another_row_kind_or_key_opens_nothing() {
    let ring = keyring(&[("a", 7), ("b", 8)]);
    let sealed = sealed(&ring);
    let elsewhere = Place { row: Uuid::from_u128(2), ..PLACE };
    let otherwise = Place { kind: "balance_load", ..PLACE };
    for place in [elsewhere, otherwise] {
        assert!(said(refusal(&ring, &sealed, place)).contains("key a sealed does not open"), "{place:?}");
    }
    let moved = Sealed::from_stored("b".parse().unwrap(), sealed.as_bytes().to_vec());
    said(refusal(&ring, &moved, PLACE));
    // Another key under the same id.
    said(refusal(&keyring(&[("a", 8)]), &sealed, PLACE));
    // The same key under another id.
    let renamed = Sealed::from_stored("c".parse().unwrap(), sealed.as_bytes().to_vec());
    said(refusal(&keyring(&[("c", 7)]), &renamed, PLACE));
}

#[test]
fn no_bit_can_be_changed_and_no_byte_be_taken_away() {
    let ring = keyring(&[("a", 7)]);
    let whole = sealed(&ring).as_bytes().to_vec();
    for at in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let flipped = Sealed::from_stored("a".parse().unwrap(), flipped);
        assert!(matches!(refusal(&ring, &flipped, PLACE), SealingError::Unopened(_)), "bit {at}");
    }
    for length in 0..whole.len() {
        let cut = Sealed::from_stored("a".parse().unwrap(), whole[..length].to_vec());
        assert!(matches!(refusal(&ring, &cut, PLACE), SealingError::Unopened(_)), "{length} bytes");
    }
    let longer = Sealed::from_stored("a".parse().unwrap(), [&whole[..], &[0]].concat());
    assert!(matches!(refusal(&ring, &longer, PLACE), SealingError::Unopened(_)));
}

#[test]
fn a_key_that_is_not_listed_is_named() {
    let sealed = sealed(&keyring(&[("2026-05", 7)]));
    let error = refusal(&keyring(&[("2026-11", 8)]), &sealed, PLACE);
    assert_eq!(error.to_string(), "the sealing key 2026-05 is not listed in the settings");
    let none = keyring(&[]);
    assert!(none.is_empty());
    assert!(matches!(none.seal(&target(CANARY), PLACE, &Ambient::movable(1)), Err(SealingError::NoKey)));
    assert!(matches!(none.fingerprint(&target(CANARY), PLACE), Err(SealingError::NoKey)));
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let (before, after) = (keyring(&[("old", 7)]), keyring(&[("new", 8), ("old", 7)]));
    let of_before = sealed(&before);
    assert_eq!(after.open(&of_before, PLACE).unwrap().in_clear(), CANARY);
    assert_eq!(sealed(&after).key().as_str(), "new");
}

#[test]
fn a_fingerprint_outlasts_a_change_of_keys_while_its_key_is_listed() {
    let before = keyring(&[("old", 7)]);
    let fingerprint = before.fingerprint(&target(CANARY), PLACE).unwrap();
    let stored = Fingerprint::from_stored(*fingerprint.as_bytes());
    for ring in [before, keyring(&[("new", 8), ("old", 7)])] {
        assert_eq!(ring.compare(&stored, &target(CANARY), PLACE), Sameness::Same);
        assert_eq!(ring.compare(&stored, &target("6035700000001234568"), PLACE), Sameness::Different);
        let elsewhere = Place { row: Uuid::from_u128(2), ..PLACE };
        assert_eq!(ring.compare(&stored, &target(CANARY), elsewhere), Sameness::Different);
    }
    assert_eq!(keyring(&[("new", 8)]).compare(&stored, &target(CANARY), PLACE), Sameness::Unknown);
    assert_eq!(keyring(&[]).compare(&stored, &target(CANARY), PLACE), Sameness::Unknown);
}

#[test]
fn a_fingerprint_does_not_show_that_two_rows_have_the_same_target() {
    let ring = keyring(&[("a", 7)]);
    let elsewhere = Place { row: Uuid::from_u128(2), ..PLACE };
    let of = |place| ring.fingerprint(&target(CANARY), place).unwrap();
    assert_ne!(of(PLACE).as_bytes()[MARK_BYTES..], of(elsewhere).as_bytes()[MARK_BYTES..]);
    assert_eq!(of(PLACE).as_bytes(), of(PLACE).as_bytes());
}

/// The forms at rest are frozen: what an earlier build wrote must open, and compare, in every later one.
#[test]
fn what_an_earlier_build_sealed_opens() {
    let ring = keyring(&[("2026-11", 7)]);
    let bytes = data_encoding::HEXLOWER.decode(SEALED_BEFORE.as_bytes()).unwrap();
    let sealed = Sealed::from_stored("2026-11".parse().unwrap(), bytes);
    assert_eq!(ring.open(&sealed, PLACE).unwrap().in_clear(), CANARY);
    let bytes = data_encoding::HEXLOWER.decode(FINGERPRINT_BEFORE.as_bytes()).unwrap();
    let fingerprint = Fingerprint::from_stored(bytes.try_into().unwrap());
    assert_eq!(ring.compare(&fingerprint, &target(CANARY), PLACE), Sameness::Same);
}

/// Of the digest of `Atza|canary`, by the key of 32 sevens; as above, by another implementation.
const TOKEN_FINGERPRINT_BEFORE: &str = "3b1642dfc5ede0be6f3c423a7742244c0b85c04407117fdfe4f9e7a93a825786";

#[test]
fn a_token_is_recognised_in_its_place_alone_and_is_no_target() {
    let ring = keyring(&[("2026-11", 7)]);
    let digest: [u8; 32] = Sha256::digest(b"Atza|canary").into();
    let made = ring.fingerprint_token(&digest, PLACE).unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(made.as_bytes()), TOKEN_FINGERPRINT_BEFORE);
    assert_eq!(ring.compare_token(&made, &digest, PLACE), Sameness::Same);
    let other: [u8; 32] = Sha256::digest(b"Atza|canarz").into();
    assert_eq!(ring.compare_token(&made, &other, PLACE), Sameness::Different);
    let elsewhere = Place { row: Uuid::nil(), ..PLACE };
    assert_eq!(ring.compare_token(&made, &digest, elsewhere), Sameness::Different);
    assert_eq!(keyring(&[("2026-12", 8)]).compare_token(&made, &digest, PLACE), Sameness::Unknown);
    assert!(matches!(keyring(&[]).fingerprint_token(&digest, PLACE), Err(SealingError::NoKey)));
}
