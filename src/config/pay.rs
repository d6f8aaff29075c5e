//! Sellers' accounts at Amazon Pay. Without one, nothing of Amazon Pay is served.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use secrecy::SecretString;

use super::{
    check::amount,
    source::{RawSettings, Section},
    way::{WayToAmazon, environment, named, way_to_amazon},
};
use crate::kernel::{Currency, Environment, HttpsProxy, Money, NoticeTopic, PayRegion};

/// Characters of the longest public key id: Amazon's have 24, with the environment's name before them.
const PUBLIC_KEY_ID_LENGTH_MAX: usize = 64;
/// Characters of the longest id of a seller or a page.
const ID_LENGTH_MAX: usize = 128;

/// A seller's account.
#[derive(Debug, Clone)]
pub struct PayAccountSettings {
    /// Where it is.
    pub region: PayRegion,
    /// Sandbox or production.
    pub environment: Environment,
    /// A stand-in for Amazon Pay on this machine; sandbox only.
    pub sandbox_gateway: Option<SocketAddr>,
    /// Through which Amazon Pay is reached.
    pub https_proxy: Option<HttpsProxy>,
    /// Which generation it is of, and what it signs with.
    pub driver: PayDriverSettings,
    /// The topic of its notifications; without it none is taken.
    pub notification_topic: Option<NoticeTopic>,
    /// What buyers pay in.
    pub currency: Currency,
    /// The largest charge.
    pub charge_maximum: Money,
}

/// A generation of Amazon Pay, and what is signed with in it.
#[derive(Debug, Clone)]
pub enum PayDriverSettings {
    /// Checkout v2.
    CheckoutV2 {
        /// Amazon's name for the public key.
        public_key_id: String,
        /// The private key, as PEM.
        private_key: SecretString,
        /// Where that lies, if it lies in a file.
        private_key_file: Option<PathBuf>,
        /// Amazon's id of the seller; the page's button needs it.
        merchant_id: Option<String>,
        /// Amazon's id of the seller's page ("store id"), `amzn1.application-oa2-client.…`; the button needs it.
        store_id: Option<String>,
    },
    /// MWS, the generation before.
    Mws {
        /// Amazon's id of the seller.
        seller_id: String,
        /// The id of the access key.
        access_key_id: String,
        /// Its secret.
        secret_access_key: SecretString,
        /// Where that lies, if it lies in a file.
        secret_access_key_file: Option<PathBuf>,
    },
}

/// What each driver signs with.
const KEYS: [(&str, [&str; 3]); 2] = [
    ("checkout_v2", ["public_key_id", "private_key", ""]),
    ("mws", ["seller_id", "access_key_id", "secret_access_key"]),
];

/// Reads them.
pub(super) fn accounts(source: &mut RawSettings) -> BTreeMap<String, PayAccountSettings> {
    let mut accounts = BTreeMap::new();
    for id in source.names_under("pay") {
        named(source, "pay", &id);
        let Some(account) = account(source.section(&format!("pay.{id}"))) else { continue };
        accounts.insert(id, account);
    }
    accounts
}

/// Reads an account; `None` if anything about it is wrong.
fn account(mut section: Section<'_>) -> Option<PayAccountSettings> {
    for key in ["region", "environment"] {
        section.require(key);
    }
    let environment = section.text("environment", environment);
    let region = section.text("region", |text| {
        let known = PayRegion::ALL.iter().map(|region| region.as_str()).collect::<Vec<_>>().join(" ");
        PayRegion::from_word(text).ok_or_else(|| format!("must be one of {known}"))
    });
    let WayToAmazon { sandbox_gateway, https_proxy } = way_to_amazon(&mut section, environment);
    let driver = driver(&mut section, environment);
    let notification_topic = section.text("notification_topic", |text| topic(text, driver.as_ref()));
    let Some(region) = region else {
        section.skip(&["currency", "charge_maximum"]);
        return None;
    };
    let currency = section.text("currency", |text| {
        let known = region.currencies().iter().map(|currency| currency.code()).collect::<Vec<_>>().join(" or ");
        let currency = text.parse().ok().filter(|currency| region.currencies().contains(currency));
        currency.ok_or_else(|| format!("must be {known}, as buyers of the region pay"))
    });
    let currency = currency.or_else(|| region.currencies().first().copied())?;
    let charge_maximum = section.text("charge_maximum", |text| amount(text, currency)).unwrap_or(largest(currency));
    Some(PayAccountSettings {
        region,
        environment: environment?,
        sandbox_gateway,
        https_proxy,
        driver: driver?,
        notification_topic: notification_topic.flatten(),
        currency,
        charge_maximum,
    })
}

/// Reads the driver, and what that one signs with. Keys of the other one are unknown words.
fn driver(section: &mut Section<'_>, environment: Option<Environment>) -> Option<PayDriverSettings> {
    let named = section.text("driver", |text| {
        let known = KEYS.iter().find(|(word, _keys)| *word == text);
        known.copied().ok_or_else(|| "must be one of checkout_v2 mws".to_owned())
    });
    let (word, keys) = named.or(KEYS.first().copied())?;
    for key in keys.into_iter().filter(|key| !key.is_empty()) {
        section.require(key);
    }
    // Its form is looked at where it is used: what a key is, the provider knows.
    let secret = |text: &str| {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(SecretString::from(text)) }
    };
    if word == "mws" {
        let seller_id = section.text("seller_id", |text| plain_id(text, "as Seller Central shows it"));
        let access_key_id = section.text("access_key_id", |text| plain_id(text, "as Seller Central shows it"));
        let secret_access_key_file = section.file_of("secret_access_key");
        let secret_access_key = section.secret("secret_access_key", secret);
        return Some(PayDriverSettings::Mws {
            seller_id: seller_id?,
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            secret_access_key_file,
        });
    }
    let public_key_id = section.text("public_key_id", public_key_id);
    if let (Some(environment), Some(named)) = (environment, public_key_id.as_deref().and_then(environment_of))
        && environment != named
    {
        section.refuse("public_key_id", &format!("is of a key of the {} environment", named.as_str()));
    }
    let private_key_file = section.file_of("private_key");
    let private_key = section.secret("private_key", secret);
    let merchant_id = section.text("merchant_id", |text| page_id(text, "as A1EXAMPLEEXAMPLE"));
    let store_id = section.text("store_id", |text| page_id(text, "as amzn1.application-oa2-client.…"));
    Some(PayDriverSettings::CheckoutV2 {
        public_key_id: public_key_id?,
        private_key: private_key?,
        private_key_file,
        merchant_id,
        store_id,
    })
}

/// The topic, which must be the seller's. Where the driver is wrong, that is said, and this is not looked at.
fn topic(text: &str, driver: Option<&PayDriverSettings>) -> Result<Option<NoticeTopic>, String> {
    let seller = match driver {
        None => return Ok(None),
        Some(PayDriverSettings::Mws { seller_id, .. }) => Some(seller_id),
        Some(PayDriverSettings::CheckoutV2 { merchant_id, .. }) => merchant_id.as_ref(),
    };
    let seller = seller.ok_or("needs merchant_id: notifications of another merchant are refused by it")?;
    let topic = NoticeTopic::of_seller(text, seller);
    let form =
        "must be the marketplace's id and the seller's, one behind the other, or the topic in full: arn:aws:sns:…";
    topic.map(Some).ok_or_else(|| form.to_owned())
}

fn plain_id(text: &str, how: &str) -> Result<String, String> {
    let plain = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { Ok(text.to_owned()) } else { Err(format!("must be 1 to 32 letters and digits, {how}")) }
}

/// What Amazon takes at most: 10,000,000 yen, and 150,000 elsewhere.
fn largest(currency: Currency) -> Money {
    let whole: i64 = if currency == Currency::Jpy { 10_000_000 } else { 150_000 };
    Money::from_minor(whole.saturating_mul(10_i64.saturating_pow(currency.exponent())), currency)
}

fn public_key_id(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && (1..=PUBLIC_KEY_ID_LENGTH_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {PUBLIC_KEY_ID_LENGTH_MAX} letters, digits, - and _, as Seller Central shows it"))
    }
}

/// An id of Amazon's that a page shows to everybody.
fn page_id(text: &str, example: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain && (1..=ID_LENGTH_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {ID_LENGTH_MAX} letters, digits, -, _ and ., as Seller Central shows it: {example}"))
    }
}

/// The environment that an id of a key names. Older ids name none.
fn environment_of(public_key_id: &str) -> Option<Environment> {
    let begins = |word: &str| public_key_id.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if begins("SANDBOX") { Some(Environment::Sandbox) } else { begins("LIVE").then_some(Environment::Production) }
}
