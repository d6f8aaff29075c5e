//! The till at which a reward is bought, as a request names it: `transaction_source`.

use zeroize::Zeroizing;

use super::kind::WrongField;
use crate::{http::body::SecretTexts, provider::incentives::TransactionSource};

const NO_SOURCE: WrongField = WrongField {
    pointer: "/transaction_source",
    expected: "an object with any of source_id, institution_id and source_details, and nothing else",
};

/// What a till says of itself: the member here, the longest, and what is expected there.
const MEMBERS: [(&str, usize, WrongField); 3] = [
    ("source_id", 40, member("/transaction_source/source_id", "1 to 40 bytes without control characters")),
    ("institution_id", 40, member("/transaction_source/institution_id", "1 to 40 bytes without control characters")),
    ("source_details", 200, member("/transaction_source/source_details", "1 to 200 bytes without control characters")),
];

const fn member(pointer: &'static str, expected: &'static str) -> WrongField {
    WrongField { pointer, expected }
}

/// A till. What it leaves out is empty.
#[derive(Default)]
pub struct Till([Zeroizing<String>; MEMBERS.len()]);

impl Till {
    /// Bytes of the longest one, a byte before each part included.
    pub const BYTES_MAX: usize = 283;

    /// The till of a request.
    ///
    /// # Errors
    /// [`WrongField`] names the member.
    pub fn read(mut source: SecretTexts) -> Result<Self, WrongField> {
        let mut till = Self::default();
        for (part, (name, longest, wrong)) in till.0.iter_mut().zip(MEMBERS) {
            let Some(text) = source.take(name) else { continue };
            if !(1..=longest).contains(&text.len()) || text.chars().any(char::is_control) {
                return Err(wrong);
            }
            *part = text;
        }
        let says_nothing = till.parts().concat().is_empty();
        if says_nothing || !source.is_empty() { Err(NO_SOURCE) } else { Ok(till) }
    }

    /// Its parts in their order.
    #[must_use]
    pub fn parts(&self) -> [&str; MEMBERS.len()] {
        self.0.each_ref().map(|part| part.as_str())
    }

    /// As Amazon reads it.
    #[must_use]
    pub fn source(&self) -> TransactionSource<'_> {
        let [source_id, institution_id, source_details] = self.parts();
        TransactionSource { source_id, institution_id, source_details }
    }
}
