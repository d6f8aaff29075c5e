//! The sellers' accounts that the settings name.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    kernel::{Currency, Environment, Money, NoticeTopic},
    provider::{pay::PayDriver, sns::SnsClient},
};

/// A seller's account at Amazon Pay.
pub struct PayAccount {
    /// Its name in the settings.
    pub id: String,
    /// Sandbox or production.
    pub environment: Environment,
    /// What buyers pay in.
    pub currency: Currency,
    /// The largest charge.
    pub charge_maximum: Money,
    /// Amazon's id of the seller, for pages.
    pub merchant_id: Option<String>,
    /// Amazon's id of the seller's page.
    pub store_id: Option<String>,
    /// The way to Amazon.
    pub client: PayDriver,
    /// What takes its notifications, where the settings name their topic.
    pub notices: Option<NoticeGate>,
}

/// What an account's notifications are taken by.
pub struct NoticeGate {
    /// Where they are published.
    pub topic: NoticeTopic,
    /// Amazon's id of the seller whose they are.
    pub seller: String,
    /// Proves that SNS signed them.
    pub sns: SnsClient,
}

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub struct PayAccounts(Arc<BTreeMap<String, PayAccount>>);

/// No account can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPayAccount {
    /// There is none of that name.
    Unknown,
    /// Several are paid in this currency.
    Several,
    /// None is paid in this currency.
    Currency,
}

impl PayAccounts {
    /// These.
    #[must_use]
    pub fn new(accounts: impl IntoIterator<Item = PayAccount>) -> Self {
        Self(Arc::new(accounts.into_iter().map(|account| (account.id.clone(), account)).collect()))
    }

    /// The account of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&PayAccount> {
        self.0.get(id)
    }

    /// Whether the settings name none: then nothing of Amazon Pay is served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every account, by name.
    pub fn iter(&self) -> impl Iterator<Item = &PayAccount> {
        self.0.values()
    }

    /// The account that is meant where no amount says its currency: the named one, or the only one.
    pub(super) fn choose_any(&self, named: Option<&str>) -> Result<&PayAccount, NoPayAccount> {
        if let Some(id) = named {
            return self.get(id).ok_or(NoPayAccount::Unknown);
        }
        let mut all = self.iter();
        match (all.next(), all.next()) {
            (Some(account), None) => Ok(account),
            (Some(_), Some(_)) => Err(NoPayAccount::Several),
            (None, _) => Err(NoPayAccount::Unknown),
        }
    }

    /// The account that is meant: the named one, or the only one that is paid in this currency.
    pub(crate) fn choose(&self, named: Option<&str>, currency: Currency) -> Result<&PayAccount, NoPayAccount> {
        if let Some(id) = named {
            let account = self.get(id).ok_or(NoPayAccount::Unknown)?;
            return if account.currency == currency { Ok(account) } else { Err(NoPayAccount::Currency) };
        }
        let mut fitting = self.iter().filter(|account| account.currency == currency);
        match (fitting.next(), fitting.next()) {
            (Some(account), None) => Ok(account),
            (Some(_), Some(_)) => Err(NoPayAccount::Several),
            (None, _) => Err(NoPayAccount::Currency),
        }
    }
}
