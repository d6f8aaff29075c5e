//! The partners and their key pairs, as Amazon's portal manages them: a key is active or not, and only one that is not can
//! be deleted. All of it can change while the gateway serves.

mod entry;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rust_decimal::Decimal;
use serde::Serialize;

use super::market;
use super::members::is_word;
use super::money;

pub use self::entry::{KeyEntry, PartnerEntry, PartnersFile, PartnersFileError};

/// Characters of the longest partner id. Amazon's have five.
const PARTNER_ID_CHARACTERS_MAX: usize = 8;

/// What an account's funds are in, when it names no currency: those of the three hosts.
const CURRENCIES_OF_HOSTS: [&str; 3] = ["USD", "EUR", "JPY"];

/// The longest word in a contract: a program's.
const WORD_CHARACTERS_MAX: usize = 100;

/// A partner's account.
#[derive(Clone, Debug, Default)]
pub struct PartnerAccount {
    /// Amazon's id of the partner. Every request id must start with it.
    pub partner_id: String,
    /// The keys that may sign for the partner. During a rotation there are several.
    pub keys: Vec<AccessKey>,
    /// The only currency of its cards. When absent, the currency of the host's marketplace (USD, EUR or JPY).
    pub currency: Option<String>,
    /// The funds at the start: in its currency, or in each of the three.
    pub funds: Decimal,
    /// What its contract says.
    pub terms: PartnerTerms,
}

impl PartnerAccount {
    /// The currencies that it has funds in.
    pub(super) fn currencies(&self) -> Vec<&str> {
        self.currency.as_deref().map_or_else(|| CURRENCIES_OF_HOSTS.to_vec(), |currency| vec![currency])
    }
}

/// What a partner's contract says. What is absent is as Amazon's pages say it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PartnerTerms {
    /// The smallest value of a card. Decimal text in JSON.
    #[serde(with = "money::text_or_none")]
    pub minimum: Option<Decimal>,
    /// The largest value of a card. Decimal text in JSON.
    #[serde(with = "money::text_or_none")]
    pub maximum: Option<Decimal>,
    /// Requests in any second, over all operations.
    pub requests_per_second: Option<usize>,
    /// Requests in a day (UTC) of the sandbox clock, over all operations. Amazon publishes no such figure.
    pub requests_per_day: Option<usize>,
    /// Of a reseller, the programs that Amazon has approved: each create names one.
    pub program_ids: Option<Vec<String>>,
    /// The products of vouchers that the contract allows; any where it does not say.
    pub product_types: Option<Vec<String>>,
}

/// A key pair. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct AccessKey {
    /// Sent with each request.
    pub id: String,
    /// Never sent.
    pub secret: String,
    /// Whether it signs.
    pub active: bool,
}

impl AccessKey {
    /// A key that signs.
    #[must_use]
    pub fn active(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), active: true }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, secret: _, active } = self;
        formatter.debug_struct("AccessKey").field("id", id).field("active", active).finish_non_exhaustive()
    }
}

/// A key as it is shown: without its secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ShownKey {
    /// Its id.
    pub id: String,
    /// Whether it signs.
    pub active: bool,
}

/// What is wrong with an account.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct AccountError(pub(super) String);

/// Every partner.
pub(super) struct Partners {
    listed: RwLock<Vec<Arc<PartnerAccount>>>,
}

impl Partners {
    /// The partners of these accounts, or what is wrong with them.
    pub(super) fn of(accounts: Vec<PartnerAccount>) -> Result<Self, AccountError> {
        if accounts.is_empty() {
            return Err(AccountError("the sandbox needs at least one account".to_owned()));
        }
        let partners = Self { listed: RwLock::default() };
        for account in accounts {
            if partners.named(&account.partner_id).is_some() {
                return Err(AccountError(format!("partner {} is there twice", account.partner_id)));
            }
            partners.put(account)?;
        }
        Ok(partners)
    }

    pub(super) fn all(&self) -> Vec<Arc<PartnerAccount>> {
        self.listed().clone()
    }

    pub(super) fn named(&self, partner_id: &str) -> Option<Arc<PartnerAccount>> {
        self.listed().iter().find(|account| account.partner_id == partner_id).cloned()
    }

    /// The account that an access key belongs to.
    pub(super) fn of_key(&self, key_id: &str) -> Option<Arc<PartnerAccount>> {
        self.listed().iter().find(|account| account.keys.iter().any(|key| key.id == key_id)).cloned()
    }

    /// The secret of an access key that signs.
    pub(super) fn secret_of(&self, key_id: &str) -> Option<String> {
        let listed = self.listed();
        let key = listed.iter().flat_map(|account| &account.keys).find(|key| key.id == key_id && key.active)?;
        Some(key.secret.clone())
    }

    /// Adds an account, or replaces the partner's; or says what is wrong with it.
    pub(super) fn put(&self, account: PartnerAccount) -> Result<(), AccountError> {
        self.change(|_listed| Ok(account), |_account| Ok(()))
    }

    /// Makes an account out of those that there are, has it kept, and puts it into force. Nobody changes one meanwhile.
    pub(super) fn change<E: From<AccountError>>(
        &self,
        make: impl FnOnce(&[Arc<PartnerAccount>]) -> Result<PartnerAccount, E>,
        keep: impl FnOnce(&PartnerAccount) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        let account = make(&listed)?;
        let place = listed.iter().position(|one| one.partner_id == account.partner_id);
        let others = listed.iter().filter(|one| one.partner_id != account.partner_id);
        let taken: BTreeSet<&str> = others.flat_map(|one| one.keys.iter().map(|key| key.id.as_str())).collect();
        check(&account, &taken).map_err(AccountError)?;
        keep(&account)?;
        let account = Arc::new(account);
        match place.and_then(|place| listed.get_mut(place)) {
            Some(known) => *known = account,
            None => listed.push(account),
        }
        Ok(())
    }

    fn listed(&self) -> RwLockReadGuard<'_, Vec<Arc<PartnerAccount>>> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with an account, if anything. Other partners have the taken keys.
fn check(account: &PartnerAccount, taken: &BTreeSet<&str>) -> Result<(), String> {
    let PartnerAccount { partner_id, keys, currency, funds, terms } = account;
    // Amazon's have five characters, the first in upper case; clients in the field have ids with digits as well.
    let capital = partner_id.starts_with(|first: char| first.is_ascii_uppercase());
    let fits = partner_id.len() <= PARTNER_ID_CHARACTERS_MAX;
    if !capital || !fits || !partner_id.chars().all(|character| character.is_ascii_alphanumeric()) {
        let shown: String = partner_id.chars().take(64).collect();
        return Err(format!(
            "partner_id must be at most {PARTNER_ID_CHARACTERS_MAX} letters and digits and begin with a capital letter, as \
             Amazon's Awssb does: {shown:?}"
        ));
    }
    if let Some(currency) = currency.as_deref()
        && !market::Group::ALL.iter().any(|group| group.currencies().contains(&currency))
    {
        return Err(format!("no marketplace sells in {currency:?}, the currency of partner {partner_id}"));
    }
    if *funds < Decimal::ZERO {
        return Err(format!("the funds of partner {partner_id} must not be negative"));
    }
    for currency in account.currencies() {
        if funds.normalize().scale() > market::fraction_digits(currency) {
            return Err(format!("the funds of partner {partner_id} have a smaller unit than {currency}: {funds}"));
        }
    }
    if [terms.minimum, terms.maximum].into_iter().flatten().any(|amount| amount <= Decimal::ZERO) {
        return Err(format!("minimum and maximum of partner {partner_id} must be above zero"));
    }
    if let (Some(minimum), Some(maximum)) = (terms.minimum, terms.maximum)
        && minimum > maximum
    {
        return Err(format!("the minimum of partner {partner_id} is above its maximum: {minimum} and {maximum}"));
    }
    let quotas = [("requests_per_second", terms.requests_per_second), ("requests_per_day", terms.requests_per_day)];
    if let Some((name, _zero)) = quotas.iter().find(|(_name, quota)| *quota == Some(0)) {
        return Err(format!("{name} of partner {partner_id} must be at least 1"));
    }
    for words in [&terms.program_ids, &terms.product_types].into_iter().flatten() {
        if words.is_empty() || !words.iter().all(|word| is_word(word, WORD_CHARACTERS_MAX)) {
            return Err(format!(
                "program_ids and product_types of partner {partner_id} list letters and digits: {words:?}"
            ));
        }
    }
    let mut ids = BTreeSet::new();
    for key in keys {
        let signs = |character: char| character.is_ascii_graphic() && !matches!(character, '/' | ',');
        if key.id.is_empty() || !key.id.chars().all(signs) || key.secret.is_empty() {
            return Err(format!(
                "an access key needs a secret, and an id without blanks, slashes and commas: {:?}",
                key.id
            ));
        }
        if taken.contains(key.id.as_str()) {
            return Err(format!("another partner has the access key {:?}", key.id));
        }
        if !ids.insert(&key.id) {
            return Err(format!("partner {partner_id} has the access key {:?} twice", key.id));
        }
    }
    if keys.is_empty() {
        return Err(format!("partner {partner_id} needs at least one access key"));
    }
    Ok(())
}
