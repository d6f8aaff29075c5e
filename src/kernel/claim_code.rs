//! The claim code: money in text form. It lives in one variable of one request.

mod likeness;

use zeroize::Zeroizing;

pub use likeness::may_hold_claim_code;

/// Characters of the longest claim code accepted from Amazon.
pub const CLAIM_CODE_LEN_MAX: usize = 32;
/// Characters of the shortest claim code accepted from Amazon (its mock code has 14).
pub const CLAIM_CODE_LEN_MIN: usize = 8;

/// A gift card's claim code. Wiped from memory when dropped.
///
/// The type cannot be printed, logged, serialised, compared or copied; the one way in is [`ClaimCode::parse`]
/// and the one way out is [`ClaimCode::expose`], called by the writer of the answer that hands the code over.
pub struct ClaimCode(Zeroizing<String>);

impl ClaimCode {
    /// Takes a code as Amazon sent it: 8 to 32 upper-case letters, digits and inner hyphens.
    ///
    /// Amazon documents 4-6-4 and 4-6-5 groups and its sandbox's mock answers 4-4-4, so the
    /// groups are not checked. `None` means that the text is not a code and must not be handed over.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sized = (CLAIM_CODE_LEN_MIN..=CLAIM_CODE_LEN_MAX).contains(&text.len());
        let charset = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        (sized && charset && edges).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The code itself. Each call site is a place where a secret leaves its type: there are few, and a test counts them.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether an id or a name is shaped like a claim code (4-6-4 or 4-6-5 with hyphens, any case). It is refused at the edge,
/// because it is stored, and the database refuses the same. For free text there is [`may_hold_claim_code`].
#[must_use]
pub fn looks_like_claim_code(text: &str) -> bool {
    text.as_bytes().windows(16).any(|window| {
        window.iter().enumerate().all(|(at, byte)| match at {
            4 | 11 => *byte == b'-',
            _ => byte.is_ascii_alphanumeric(),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{borrow, fmt, hash, ops};

    use super::*;

    // What the type's documentation promises. It fails to compile where one of them is implemented.
    static_assertions::assert_not_impl_any!(
        ClaimCode: fmt::Debug, fmt::Display, tracing::Value, serde::Serialize, Clone, Copy, PartialEq, PartialOrd,
        hash::Hash, ops::Deref<Target = str>, AsRef<str>, AsRef<[u8]>, borrow::Borrow<str>, Into<String>
    );

    #[test]
    fn codes_of_every_documented_shape_are_taken() {
        for text in ["ABCD-EFGHJK-LMNP", "ABCD-EFGHJK-LMNPQ", "ZYXW-VUTS-RQPO", "ABCDEFGHJKLMNP"] {
            assert_eq!(ClaimCode::parse(text).unwrap().expose(), text);
        }
    }

    #[test]
    fn what_is_not_a_code_is_not_handed_over() {
        for text in ["", "null", "abcd-efghjk-lmnp", "ABCD EFGHJK", "-ABCDEFGH", "ABCDEFGH-", "ABC", &"A".repeat(33)] {
            assert!(ClaimCode::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn free_text_with_a_code_inside_is_recognised() {
        assert!(looks_like_claim_code("see ABCD-EFGHJK-LMNP please"));
        assert!(looks_like_claim_code("abcd-123456-lmnp9"));
        for innocent in ["order-2026-000123", "0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10", "ABCD-EFGHJK", ""] {
            assert!(!looks_like_claim_code(innocent), "{innocent}");
        }
    }
}
