//! The sandbox's randomness: card ids, claim codes and request ids, in the shapes that Amazon's sandbox was seen to
//! use.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Letters and digits that readers do not confuse on paper.
const CLAIM_CODE_ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const GC_ID_ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DIGITS: &[u8] = b"0123456789";

/// A seeded generator behind a lock.
pub(super) struct Chance {
    rng: Mutex<StdRng>,
}

impl Chance {
    #[expect(
        clippy::disallowed_methods,
        reason = "the sandbox is a separate program and draws its own randomness: here"
    )]
    pub(super) fn new() -> Self {
        Self { rng: Mutex::new(rand::make_rng()) }
    }

    /// A claim code: 4-6-4 upper-case alphanumerics.
    pub(super) fn claim_code(&self) -> String {
        let groups = [4, 6, 4].map(|length| self.draw(CLAIM_CODE_ALPHABET, length));
        groups.join("-")
    }

    /// A card id: sixteen digits for Japanese cards, else `A` and thirteen alphanumerics.
    pub(super) fn gc_id(&self, currency: &str) -> String {
        if currency == "JPY" { self.draw(DIGITS, 16) } else { format!("A{}", self.draw(GC_ID_ALPHABET, 13)) }
    }

    /// The id of an access key: `AKIA` and sixteen upper-case alphanumerics.
    pub(super) fn access_key_id(&self) -> String {
        format!("AKIA{}", self.draw(CLAIM_CODE_ALPHABET, 16))
    }

    /// The secret of an access key: forty characters.
    pub(super) fn secret_access_key(&self) -> String {
        self.draw(SECRET_ALPHABET, 40)
    }

    /// A number below this one; 0 of none.
    pub(super) fn below(&self, end: u64) -> u64 {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.next_u64().checked_rem(end).unwrap_or_default()
    }

    /// A random UUID (version 4) for `x-amzn-RequestId`.
    pub(super) fn request_id(&self) -> String {
        let (high, low) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            (rng.next_u64(), rng.next_u64())
        };
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0x0fff,
            ((low >> 48) & 0x3fff) | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// So many digits.
    pub(super) fn digits(&self, count: usize) -> String {
        self.draw(DIGITS, count)
    }

    /// A generator of its own, for whoever needs much.
    pub(super) fn generator(&self) -> StdRng {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        StdRng::from_rng(&mut *rng)
    }

    fn draw(&self, alphabet: &[u8], length: usize) -> String {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        (0..length).filter_map(|_| alphabet.choose(&mut *rng).copied().map(char::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shapes_that_were_recorded() {
        let chance = Chance::new();
        let lengths: Vec<usize> = chance.claim_code().split('-').map(str::len).collect();
        assert_eq!(lengths, [4, 6, 4]);
        assert_eq!(chance.gc_id("USD").len(), 14);
        assert!(chance.gc_id("JPY").bytes().all(|byte| byte.is_ascii_digit()));
        let lengths: Vec<usize> = chance.request_id().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
