//! The accounts that the settings name: who pays, in which currency, within which limits, over which client.

use std::{collections::BTreeMap, sync::Arc};

use chrono_tz::Tz;

use super::{Breaker, Metrics, Quota, Rate, Turns};
use crate::{
    kernel::{Currency, Environment, Marketplace, Money},
    provider::incentives::Client,
    store::StoreError,
};

/// One Amazon partner account.
pub struct Account {
    terms: Terms,
    client: Client,
    quota: Quota,
}

/// What the settings say of an account, its client apart.
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
    /// Where its days and months begin.
    pub time_zone: Tz,
    /// What it sells: the words of the products' kinds. The catalog shows them.
    pub kinds: Vec<&'static str>,
    /// What may be bought with it; the use cases of rewards check it.
    pub limits: CardLimits,
    /// How it is paid for; treasury warns by it.
    pub funding: FundingPolicy,
}

/// The smallest and the largest card.
#[derive(Debug, Clone, Copy)]
pub struct CardLimits {
    /// The smallest.
    pub minimum: Money,
    /// The largest.
    pub maximum: Money,
}

/// When the account's money runs low, and how fast more arrives.
#[derive(Debug, Clone, Copy)]
pub struct FundingPolicy {
    /// The balance is low below this; `None` when no one wants a warning.
    pub low_balance: Option<Money>,
    /// How many business days money takes to arrive.
    pub lead_days: u32,
}

impl Account {
    /// An account over a client that signs for it, and what the replicas share of it.
    #[must_use]
    pub const fn new(terms: Terms, client: Client, quota: Quota) -> Self {
        Self { terms, client, quota }
    }

    /// Its name in the settings, and to our callers.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.terms.id
    }

    /// Where its days and months begin.
    #[must_use]
    pub const fn time_zone(&self) -> Tz {
        self.terms.time_zone
    }

    /// How it is paid for.
    #[must_use]
    pub const fn funding(&self) -> FundingPolicy {
        self.terms.funding
    }

    /// The words of the kinds that it sells.
    #[must_use]
    pub fn kinds(&self) -> &[&'static str] {
        &self.terms.kinds
    }

    /// Amazon's name for it.
    #[must_use]
    pub fn partner_id(&self) -> &str {
        &self.terms.partner_id
    }

    /// The country whose cards it buys.
    #[must_use]
    pub const fn marketplace(&self) -> Marketplace {
        self.terms.marketplace
    }

    /// Sandbox or production.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.terms.environment
    }

    /// The currency of its cards.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.terms.marketplace.currency()
    }

    /// The smallest card it may buy.
    #[must_use]
    pub const fn minimum(&self) -> Money {
        self.terms.limits.minimum
    }

    /// The largest card it may buy.
    #[must_use]
    pub const fn maximum(&self) -> Money {
        self.terms.limits.maximum
    }

    /// Makes the row in which the replicas meet. Before the account is used.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.quota.prepare().await
    }

    /// Counts what it is used for.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Metrics {
        self.quota.rate.metrics()
    }

    /// When it may send.
    #[must_use]
    pub const fn rate(&self) -> &Rate {
        &self.quota.rate
    }

    /// Whether it takes new rewards.
    #[must_use]
    pub const fn breaker(&self) -> &Breaker {
        &self.quota.breaker
    }

    /// Which replica asks for the balance, and for the activity report.
    #[must_use]
    pub const fn turns(&self) -> &Turns {
        &self.quota.turns
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
        Self(Arc::new(accounts.into_iter().map(|account| (account.terms.id.clone(), account)).collect()))
    }

    /// The account of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Account> {
        self.0.get(id)
    }

    /// Sets the gauges of the breakers.
    pub(crate) fn publish(&self) {
        for account in self.iter() {
            account.metrics().breaker(account.id(), account.breaker().open_now().map(|open| open.cause));
        }
    }

    /// Each account, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.values()
    }
}
