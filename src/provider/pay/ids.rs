//! What a call is named by: our idempotency key and reference, and Amazon's ids, which are opaque.

/// Characters of the longest idempotency key that Amazon takes.
const KEY_CHARACTERS_MAX: usize = 32;
/// Characters of the longest of Amazon's ids that we take. The known ones have 19 to 28.
const ID_CHARACTERS_MAX: usize = 64;
/// Characters of our reference that are known to be kept. Amazon Pay's pages for v2 name no limit.
const REFERENCE_CHARACTERS_MAX: usize = 50;

/// Whether it is made of what a path and a header take as they are.
fn is_plain(text: &str, characters_max: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=characters_max).contains(&text.len()) && text.bytes().all(plain)
}

/// A text of a fixed form. None is made without being checked.
macro_rules! checked_text {
    ($($(#[$about:meta])* $name:ident: $check:expr;)+) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash)]
            pub struct $name(String);

            impl $name {
                /// The text, when it is one.
                #[must_use]
                pub fn parse(text: &str) -> Option<Self> {
                    let check: fn(&str) -> bool = $check;
                    check(text).then(|| Self(text.to_owned()))
                }

                /// The text.
                #[must_use]
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(&self.0)
                }
            }
        )+
    };
}
pub(super) use checked_text;

/// Whether it can be an id of Amazon's.
pub(super) fn is_amazons(text: &str) -> bool {
    is_plain(text, ID_CHARACTERS_MAX)
}

checked_text! {
    /// The idempotency key of a call that creates: Amazon keeps the first answer to it without end, and answers the same again.
    PayKey: |text| is_plain(text, KEY_CHARACTERS_MAX);
    /// Amazon's id of a charge permission, the buyer's standing or single consent.
    AmazonPermissionId: |text| is_plain(text, ID_CHARACTERS_MAX);
    /// Amazon's id of a charge. Nothing is cut out of it: a recurring charge's begins with another id than its permission's.
    AmazonChargeId: |text| is_plain(text, ID_CHARACTERS_MAX);
    /// Amazon's id of a checkout session.
    AmazonSessionId: |text| is_plain(text, ID_CHARACTERS_MAX);
    /// Amazon's id of a refund.
    AmazonRefundId: |text| is_plain(text, ID_CHARACTERS_MAX);
    /// Our own reference of a charge (`merchantReferenceId`): it comes back in answers, reports and mails. A person may edit it at
    /// Amazon, so it proves nothing.
    PayReference: |text| is_plain(text, REFERENCE_CHARACTERS_MAX);
    /// What Amazon's sandbox is asked to simulate (`x-amz-pay-simulation-code`).
    SimulationCode: |text| is_plain(text, ID_CHARACTERS_MAX) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_at_most_32_characters_that_amazon_takes() {
        for text in ["a", "0123456789abcdef0123456789abcdef", "A-b_9"] {
            assert_eq!(PayKey::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "0123456789abcdef0123456789abcdef0", "a b", "a.b", "a\n", "é", "a/b"] {
            assert_eq!(PayKey::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_id_of_amazons_cannot_leave_its_place_in_the_path() {
        assert!(AmazonChargeId::parse("P03-0000001-0000002-C000003").is_some());
        for text in ["", "..", "a/b", "a?b", "a%2fb", "a#b", &"x".repeat(65)] {
            assert_eq!(AmazonChargeId::parse(text), None, "{text:?}");
        }
    }
}
