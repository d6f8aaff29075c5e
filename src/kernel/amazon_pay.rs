//! Amazon Pay's words that several rooms share: regions, Amazon's ids, and the key of a payment.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Currency, Environment, Intent};

/// Where a merchant's account with Amazon Pay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayRegion {
    /// Japan.
    Jp,
    /// The United States.
    Na,
    /// The European Union, and the United Kingdom.
    Eu,
}

impl PayRegion {
    /// Every region.
    pub const ALL: [Self; 3] = [Self::Jp, Self::Na, Self::Eu];

    /// The value of `x-amz-pay-region`, and the word in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jp => "jp",
            Self::Na => "na",
            Self::Eu => "eu",
        }
    }

    /// The region of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|region| region.as_str() == word)
    }

    /// The host, of both environments.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Jp => "pay-api.amazon.jp",
            Self::Na => "pay-api.amazon.com",
            Self::Eu => "pay-api.amazon.eu",
        }
    }

    /// The script that shows the button on a page (Amazon Pay, "Add the button").
    #[must_use]
    pub const fn script_url(self) -> &'static str {
        match self {
            Self::Jp => "https://static-fe.payments-amazon.com/checkout.js",
            Self::Na => "https://static-na.payments-amazon.com/checkout.js",
            Self::Eu => "https://static-eu.payments-amazon.com/checkout.js",
        }
    }

    /// The currencies of charges there. Europe's accounts charge in more than one.
    #[must_use]
    pub const fn currencies(self) -> &'static [Currency] {
        match self {
            Self::Jp => &[Currency::Jpy],
            Self::Na => &[Currency::Usd],
            Self::Eu => &[Currency::Eur, Currency::Gbp],
        }
    }

    /// Whether a charge there may be in this currency.
    #[must_use]
    pub fn takes(self, currency: Currency) -> bool {
        self.currencies().contains(&currency)
    }
}

/// The text is not an id of Amazon Pay's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of Amazon Pay")]
pub struct MalformedPayId;

/// Amazon's id of a consent, a charge or a refund: `P03-1234567-1234567`, and `-C123456` behind it for what was made on it. Nothing is read
/// out of it but whether it is of the sandbox.
///
/// Another form is refused, so that no column can hold a claim code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AmazonPayId(String);

impl AmazonPayId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is of the sandbox, where its first letter says so: `S` and `C` are, `P` and `B` are not.
    #[must_use]
    pub fn environment(&self) -> Option<Environment> {
        match self.0.as_bytes().first() {
            Some(b'S' | b'C') => Some(Environment::Sandbox),
            Some(b'P' | b'B') => Some(Environment::Production),
            Some(_) | None => None,
        }
    }
}

impl fmt::Display for AmazonPayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters behind `-C` at most. Six were seen.
const SUFFIX_DIGITS_MAX: usize = 11;

impl FromStr for AmazonPayId {
    type Err = MalformedPayId;

    fn from_str(text: &str) -> Result<Self, MalformedPayId> {
        fn digits(part: Option<&str>, length: usize) -> bool {
            part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))
        }
        let mut parts = text.split('-');
        let letter = |part: &str| part.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        let head = parts.next().filter(|head| letter(head) && digits(head.get(1..), 2)).is_some();
        let order = head && digits(parts.next(), 7) && digits(parts.next(), 7);
        let suffix = parts.next().is_none_or(|suffix| {
            let number = suffix.get(1..).unwrap_or_default();
            letter(suffix) && (1..=SUFFIX_DIGITS_MAX).contains(&number.len()) && digits(Some(number), number.len())
        });
        if order && suffix && parts.next().is_none() { Ok(Self(text.to_owned())) } else { Err(MalformedPayId) }
    }
}

/// The topic that an account's notifications are published on: in full (`arn:aws:sns:…`), or its name alone, which Amazon makes of the
/// marketplace's id and the seller's. Neither is a secret, and anybody with an account at AWS can publish on a topic of that name: a name alone
/// means that of [`AMAZON_PAY_AT_AWS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeTopic(String);

/// The accounts at AWS under which Amazon Pay publishes, as notifications that others have shown name them.
const AMAZON_PAY_AT_AWS: [&str; 2] = ["291180941288", "598607868003"];
/// Characters of the longest topic.
const TOPIC_LENGTH_MAX: usize = 255;

impl NoticeTopic {
    /// The topic of this text, if it ends with the seller's id. That a message is signed shows that SNS sent it for somebody; that its topic
    /// is this one, that it was for us.
    #[must_use]
    pub fn of_seller(text: &str, seller: &str) -> Option<Self> {
        let name = text.rsplit(':').next().unwrap_or_default();
        let parts = text.split(':').count();
        let form = parts == 1 || parts == 6 && text.starts_with("arn:aws");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
        // The marketplace's id is before it: a name that is the seller's alone anybody may choose.
        let names = !seller.is_empty() && name.len() > seller.len() && name.ends_with(seller);
        (form && names && text.len() <= TOPIC_LENGTH_MAX && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a message that was published on this topic, whose name is this, is one of the account's.
    #[must_use]
    pub fn is(&self, topic: &str, name: &str) -> bool {
        if self.0.contains(':') {
            return self.0 == topic;
        }
        let account = topic.split(':').nth(4).unwrap_or_default();
        self.0 == name && AMAZON_PAY_AT_AWS.contains(&account)
    }
}

/// The key under which Amazon makes a payment at most once, for ever: 32 characters of a-f and 0-9.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PaymentKey(String);

impl PaymentKey {
    /// The key of an intent. It derives, so that after a restored back-up the same caller's retry still names the same payment.
    #[must_use]
    pub fn derive(intent: &Intent) -> Self {
        Self::derive_as(b"noshi/pay/v1\0", intent)
    }

    /// The same in MWS. It is another, so that what is unproven in the one generation is never made a second time in the other.
    #[must_use]
    pub fn derive_in_mws(intent: &Intent) -> Self {
        Self::derive_as(b"noshi/pay/mws/v1\0", intent)
    }

    fn derive_as(purpose: &[u8], intent: &Intent) -> Self {
        let digest = Sha256::new().chain_update(purpose).chain_update(intent.as_bytes()).finalize();
        Self(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// One that the store kept.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{ClientId, IdempotencyKey};

    #[test]
    fn an_id_has_amazons_form() {
        for good in ["C03-3398114-4303294", "P01-1234567-1234567-C123456", "S02-0000000-0000001-R000001"] {
            assert_eq!(good.parse::<AmazonPayId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "C03",
            "C03-3398114",
            "c03-3398114-4303294",
            "C03-339811-4303294",
            "C03-3398114-4303294-",
            "C03-3398114-4303294-C",
            "C03-3398114-4303294-c123456",
            "C03-3398114-4303294-C123456-1",
            "AB12-CD34EF-GH56",
            "C03-3398114-4303294-C123456789012",
            "C03-3398114-43032é",
            "C03-3398114-4303294 ",
        ] {
            assert_eq!(bad.parse::<AmazonPayId>(), Err(MalformedPayId), "{bad}");
        }
    }

    #[test]
    fn a_topic_is_of_the_seller_in_full_or_by_its_name() {
        let arn = "arn:aws:sns:us-east-1:291180941288:A1MARKETA1SELLER";
        let full = NoticeTopic::of_seller(arn, "A1SELLER").unwrap();
        assert!(full.is(arn, "A1MARKETA1SELLER"));
        assert!(!full.is("arn:aws:sns:us-east-1:666666666666:A1MARKETA1SELLER", "A1MARKETA1SELLER"));
        let name = NoticeTopic::of_seller("A1MARKETA1SELLER", "A1SELLER").unwrap();
        assert!(name.is(arn, "A1MARKETA1SELLER") && !name.is(arn, "A1MARKETA1SELLER2"));
        assert!(
            !name.is("arn:aws:sns:us-east-1:666666666666:A1MARKETA1SELLER", "A1MARKETA1SELLER"),
            "a stranger's topic"
        );
        for bad in [
            "",
            "A1SELLER",
            "A1MARKETA1OTHER",
            "a b A1SELLER",
            "x:A1MARKETA1SELLER",
            "arn:aws:sns:us-east-1:291180941288:A1SELLER",
        ] {
            assert_eq!(NoticeTopic::of_seller(bad, "A1SELLER"), None, "{bad}");
        }
        assert_eq!(NoticeTopic::of_seller("A1MARKET", ""), None);
    }

    #[test]
    fn the_first_letter_says_whether_it_is_of_the_sandbox() {
        let of = |text: &str| text.parse::<AmazonPayId>().unwrap().environment();
        for text in ["S03-1234567-1234567", "C03-1234567-1234567"] {
            assert_eq!(of(text), Some(Environment::Sandbox));
        }
        for text in ["P03-1234567-1234567", "B03-1234567-1234567"] {
            assert_eq!(of(text), Some(Environment::Production));
        }
        assert_eq!(of("X03-1234567-1234567"), None);
    }

    /// Never changed: a key that came out otherwise would charge a buyer twice.
    #[test]
    fn a_key_derives_from_the_intent_for_ever() {
        let intent = Intent::derive(ClientId::of_name("shop"), &IdempotencyKey::parse("fee-2026-11").unwrap());
        let key = PaymentKey::derive(&intent);
        assert_eq!(key.as_str().len(), 32);
        assert_eq!(key.as_str(), "4d654b8e86026c58ca5bd8779d54b73a");
        assert_ne!(
            PaymentKey::derive(&Intent::derive(
                ClientId::of_name("other"),
                &IdempotencyKey::parse("fee-2026-11").unwrap()
            )),
            key
        );
    }
}
