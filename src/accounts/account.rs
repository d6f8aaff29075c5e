//! The accounts that the settings name: who pays, in which currency, within which limits, over which client.

use std::{collections::BTreeMap, sync::Arc};

use chrono_tz::Tz;

use super::Quota;
use crate::kernel::{Currency, Environment, Marketplace, Money};
use crate::provider::incentives::Client;

/// One Amazon partner account.
pub struct Account {
    id: String,
    partner_id: String,
    marketplace: Marketplace,
    environment: Environment,
    minimum: Money,
    maximum: Money,
    time_zone: Tz,
    low_balance: Option<Money>,
    funding_lead_days: u32,
    client: Client,
    quota: Quota,
}

/// What an account is made of besides its client.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its name in the settings.
    pub id: String,
    /// Amazon's name for it.
    pub partner_id: String,
    /// The country whose cards it buys.
    pub marketplace: Marketplace,
    /// Sandbox or production.
    pub environment: Environment,
    /// The smallest card.
    pub minimum: Money,
    /// The largest card.
    pub maximum: Money,
    /// Where its days and months begin.
    pub time_zone: Tz,
    /// Below this its balance is low.
    pub low_balance: Option<Money>,
    /// How many business days money takes to arrive.
    pub funding_lead_days: u32,
}

impl Account {
    /// An account over a client that signs for it and a quota that paces it.
    #[must_use]
    pub fn new(terms: Terms, client: Client, quota: Quota) -> Self {
        Self {
            id: terms.id,
            partner_id: terms.partner_id,
            marketplace: terms.marketplace,
            environment: terms.environment,
            minimum: terms.minimum,
            maximum: terms.maximum,
            time_zone: terms.time_zone,
            low_balance: terms.low_balance,
            funding_lead_days: terms.funding_lead_days,
            client,
            quota,
        }
    }

    /// Its name in the settings, and to our callers.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its days and months begin.
    #[must_use]
    pub const fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// Below this its balance is low; `None` when nobody wants to hear.
    #[must_use]
    pub const fn low_balance(&self) -> Option<Money> {
        self.low_balance
    }

    /// How many business days money takes to arrive.
    #[must_use]
    pub const fn funding_lead_days(&self) -> u32 {
        self.funding_lead_days
    }

    /// Amazon's name for it.
    #[must_use]
    pub fn partner_id(&self) -> &str {
        &self.partner_id
    }

    /// The country whose cards it buys.
    #[must_use]
    pub const fn marketplace(&self) -> Marketplace {
        self.marketplace
    }

    /// Sandbox or production.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// The currency of its cards.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.marketplace.currency()
    }

    /// The smallest card it may buy.
    #[must_use]
    pub const fn minimum(&self) -> Money {
        self.minimum
    }

    /// The largest card it may buy.
    #[must_use]
    pub const fn maximum(&self) -> Money {
        self.maximum
    }

    /// When it may send.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The way to Amazon.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

/// Every account of the settings. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<BTreeMap<String, Account>>);

impl Accounts {
    /// These accounts, by their ids.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self(Arc::new(accounts.into_iter().map(|account| (account.id.clone(), account)).collect()))
    }

    /// The account of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Account> {
        self.0.get(id)
    }

    /// Each account, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.values()
    }
}
