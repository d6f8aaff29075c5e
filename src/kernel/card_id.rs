//! Amazon's own id of a card (`gcId`). We keep a keyed fingerprint of it alone: with the id and the request's id a card can be
//! canceled.

use zeroize::Zeroizing;

/// Characters of the longest id that is read; Amazon's have 14.
const CARD_ID_LENGTH_MAX: usize = 64;

/// A card's id at Amazon. Wiped from memory when dropped; it cannot be printed, logged, serialised, compared or copied.
pub struct CardId(Zeroizing<String>);

impl CardId {
    /// Takes 1 to 64 ASCII letters and digits. `None` for anything else: an id that we do not know how to read says nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sized = (1..=CARD_ID_LENGTH_MAX).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (sized && plain).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The id itself, for its fingerprint.
    #[must_use]
    pub fn to_be_hashed(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        CardId: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone, Copy, PartialEq
    );

    #[test]
    fn amazons_ids_are_read_and_nothing_else() {
        for good in ["AXXXXXXXXXXXXX", "A2QVLJG6WEPIUF", "1"] {
            assert_eq!(CardId::parse(good).unwrap().to_be_hashed(), good);
        }
        for bad in ["", "ABCD-EFGHJK-LMNP", "A B", "\u{e9}", &"A".repeat(65)] {
            assert!(CardId::parse(bad).is_none(), "{bad}");
        }
    }
}
