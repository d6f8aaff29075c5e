//! The token that a shopper got, and who the shopper is. Both are wiped from memory when dropped; neither can be printed, logged,
//! serialised, compared or copied.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::kernel::glyphs::repeats;

/// What an access token begins with.
const TOKEN_PREFIX: &str = "Atza|";
/// Bytes of the longest token; Amazon's have a few hundred, and up to 2,048 by its documents.
const TOKEN_BYTES_MAX: usize = 2_048;
/// What the id of an account begins with.
const SHOPPER_ID_PREFIX: &str = "amzn1.account.";
/// Bytes of the longest id.
const SHOPPER_ID_BYTES_MAX: usize = 128;

/// An access token of Login with Amazon, as a caller sent it.
pub struct AccessToken(SecretString);

impl AccessToken {
    /// Takes any text: whether it is a token, its use shows. As a page hands it over it may be URL-encoded, and is decoded once.
    #[must_use]
    pub fn new(text: &Zeroizing<String>) -> Self {
        Self(decoded_once(text).unwrap_or_else(|| SecretString::from(text.as_str())))
    }

    /// A hash of it, so that one that comes again is recognised. Whoever keeps it keeps it keyed.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "its hash is made here")]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret().as_bytes()).into()
    }

    /// Whether a text repeats it, whatever stands between its letters and digits.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a text that is stored is compared with it here")]
    pub fn is_repeated_in(&self, text: &str) -> bool {
        let token = self.0.expose_secret();
        repeats(text, token.strip_prefix(TOKEN_PREFIX).unwrap_or(token))
    }

    /// The header that presents it; `None` when it is no token.
    #[expect(clippy::disallowed_methods, reason = "it is presented here")]
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = self.0.expose_secret();
        let sized = text.len() > TOKEN_PREFIX.len() && text.len() <= TOKEN_BYTES_MAX;
        if !sized || !text.starts_with(TOKEN_PREFIX) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::from_str(text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// The text decoded, if it is URL-encoded as a whole. A token has no `%` of its own.
fn decoded_once(text: &str) -> Option<SecretString> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?);
    }
    str::from_utf8(&bytes).ok().map(SecretString::from)
}

/// The id of the Amazon account of whoever signed in.
pub struct ShopperId(Zeroizing<String>);

impl ShopperId {
    /// Takes what has the form of one.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        let rest = text.strip_prefix(SHOPPER_ID_PREFIX)?;
        let sized = !rest.is_empty() && text.len() <= SHOPPER_ID_BYTES_MAX;
        (sized && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(Self(text))
    }

    /// The id itself, for the target that it becomes.
    #[must_use]
    pub fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<String> {
        let header = AccessToken::new(&Zeroizing::new(text.to_owned())).header()?;
        assert!(header.is_sensitive());
        Some(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_is_decoded_once_and_presented_as_it_is() {
        for text in ["Atza|IQEB+a/b=", "Atza%7CIQEB%2Ba%2Fb%3D", "Atza%7cIQEB+a/b="] {
            assert_eq!(header(text).as_deref(), Some("Atza|IQEB+a/b="), "{text}");
        }
        assert_eq!(header("Atza%257CIQEB"), None, "decoded once, not twice");
    }

    #[test]
    fn what_is_no_token_is_presented_to_nobody() {
        let long = format!("Atza|{}", "a".repeat(TOKEN_BYTES_MAX));
        for text in ["", "Atza|", "IQEB", "Bearer Atza|a", "Atza|a b", "Atza|a\r\nHost: x", "Atza|é", &long] {
            assert_eq!(header(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_same_token_has_the_same_digest_however_it_was_encoded() {
        let digest = |text: &str| AccessToken::new(&Zeroizing::new(text.to_owned())).digest();
        assert_eq!(digest("Atza|a+b"), digest("Atza%7Ca%2Bb"));
        assert_ne!(digest("Atza|a+b"), digest("Atza|a+c"));
    }

    #[test]
    fn a_text_that_repeats_a_token_is_found() {
        let token = AccessToken::new(&Zeroizing::new("Atza|IwEBa+b/c".to_owned()));
        for text in ["Atza|IwEBa+b/c", "token IwEBa+b/c.", "Atza%7CIwEBa%2Bb%2Fc", "I w E B a b c"] {
            assert!(token.is_repeated_in(text), "{text}");
        }
        for text in ["", "Atza|", "IwEBa+b", "order 7"] {
            assert!(!token.is_repeated_in(text), "{text}");
        }
    }

    #[test]
    fn an_account_id_is_letters_and_digits_behind_amazons_words() {
        let id = |text: &str| ShopperId::new(Zeroizing::new(text.to_owned())).is_some();
        assert!(id("amzn1.account.K2LI23KL2LK2"));
        let long = format!("amzn1.account.{}", "A".repeat(SHOPPER_ID_BYTES_MAX));
        for text in ["", "amzn1.account.", "K2LI23KL2LK2", "amzn1.account.A B", "amzn1.account.A\u{1f}B", &long] {
            assert!(!id(text), "{text:?}");
        }
    }
}
