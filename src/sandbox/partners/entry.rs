//! A partner as people write it: in a file of partners, at the control port, and in the book file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{AccessKey, PartnerAccount, PartnerTerms};
use crate::sandbox::market;
use crate::sandbox::money;

/// What a partner can spend at first, where nothing else is said.
const FUNDS: u32 = 100_000;

/// A partner.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerEntry {
    /// Amazon's id of the partner.
    pub partner_id: String,
    /// The code of its marketplace, which settles the currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketplace: Option<String>,
    /// Its currency. With neither this nor the marketplace it has USD, EUR and JPY, by host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What it can spend at first, in each of its currencies. Decimal text.
    #[serde(default, with = "money::text_or_none", skip_serializing_if = "Option::is_none")]
    pub funds: Option<Decimal>,
    /// The smallest value of a card, where the contract says another than Amazon's pages. Decimal text.
    #[serde(default, with = "money::text_or_none", skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Decimal>,
    /// The largest value of a card. Decimal text.
    #[serde(default, with = "money::text_or_none", skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Decimal>,
    /// Requests in any second, over all operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<usize>,
    /// Requests in a day (UTC) of the sandbox clock, over all operations. Amazon publishes no such figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<usize>,
    /// Of a reseller, the programs that Amazon has approved: each create names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_ids: Option<Vec<String>>,
    /// The products of vouchers that the contract allows; any where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_types: Option<Vec<String>>,
    /// Its key pairs, at least one.
    pub keys: Vec<KeyEntry>,
}

/// A key pair. Sandbox keys open sandboxes only.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Whether it signs; it does unless this says otherwise.
    #[serde(default = "active")]
    pub active: bool,
}

const fn active() -> bool {
    true
}

/// A file of partners.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartnersFile {
    /// The partners, at least one.
    pub partners: Vec<PartnerEntry>,
}

/// Why a file of partners could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PartnersFileError {
    /// It could not be read.
    #[error("the file of partners {} could not be read", path.display())]
    Io {
        /// Where it was looked for.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// It is not what was expected.
    #[error("the file of partners {}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

impl PartnersFile {
    /// The accounts of a file: JSON if its name ends with `.json`, else TOML.
    pub fn read(path: &Path) -> Result<Vec<PartnerAccount>, PartnersFileError> {
        let io_failed = |source| PartnersFileError::Io { path: path.to_owned(), source };
        let content = |problem| PartnersFileError::Content { path: path.to_owned(), problem };
        let text = fs::read_to_string(path).map_err(io_failed)?;
        let is_json = path.extension().is_some_and(|end| end == "json");
        let file: Self = if is_json {
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?
        } else {
            // The error's message alone: its picture of the line would show a secret that stands there.
            toml::from_str(&text).map_err(|error| content(placed(&error, &text)))?
        };
        file.partners.into_iter().map(|entry| entry.account().map_err(content)).collect()
    }
}

/// What is wrong and in which line, without the line.
fn placed(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before.map(|before| before.matches('\n').count().saturating_add(1)) {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

impl PartnerEntry {
    /// The account, or what is wrong with the entry.
    pub fn account(self) -> Result<PartnerAccount, String> {
        let Self { partner_id, marketplace, currency, funds, keys, .. } = self;
        let Self { minimum, maximum, requests_per_second, requests_per_day, program_ids, product_types, .. } = self;
        let of_marketplace = match marketplace.as_deref() {
            Some(code) => Some(market::currency_of_marketplace(code).ok_or_else(|| {
                format!("marketplace of partner {partner_id} must be one of {}, not {code:?}", market::marketplaces())
            })?),
            None => None,
        };
        if let (Some(of_marketplace), Some(currency)) = (of_marketplace, currency.as_deref())
            && of_marketplace != currency
        {
            return Err(format!("partner {partner_id}: its marketplace sells in {of_marketplace}, not in {currency}"));
        }
        Ok(PartnerAccount {
            partner_id,
            keys: keys.into_iter().map(|KeyEntry { id, secret, active }| AccessKey { id, secret, active }).collect(),
            currency: of_marketplace.map(str::to_owned).or(currency),
            funds: funds.unwrap_or_else(|| FUNDS.into()),
            terms: PartnerTerms { minimum, maximum, requests_per_second, requests_per_day, program_ids, product_types },
        })
    }

    /// The entry of an account, secrets and all: for the book file.
    pub(in crate::sandbox) fn of(account: &PartnerAccount) -> Self {
        let PartnerAccount { partner_id, keys, currency, funds, terms } = account.clone();
        Self {
            partner_id,
            marketplace: None,
            currency,
            funds: Some(funds),
            minimum: terms.minimum,
            maximum: terms.maximum,
            requests_per_second: terms.requests_per_second,
            requests_per_day: terms.requests_per_day,
            program_ids: terms.program_ids,
            product_types: terms.product_types,
            keys: keys.into_iter().map(|AccessKey { id, secret, active }| KeyEntry { id, secret, active }).collect(),
        }
    }
}
