//! The accounts that the settings name: who pays, in which currency, within which limits, over which client.

use std::{collections::BTreeMap, sync::Arc};

use chrono_tz::Tz;

use super::{Breaker, KeyPairs, Lately, Metrics, Quota, Rate, Turns};
use crate::{
    config::{Ceilings, CreateSettings},
    kernel::{Currency, Environment, Marketplace, Money},
    lifecycle::Tasks,
    provider::{incentives::Client, login::LoginClient},
    store::StoreError,
};

/// One Amazon partner account.
pub struct Account {
    terms: Terms,
    client: Client,
    login: Option<LoginClient>,
    quota: Quota,
    /// `None` where the key pair does not lie in files: then it is the same until a restart.
    key_pairs: Option<KeyPairs>,
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
    /// What a create says besides its value; the use cases of rewards write it.
    pub create: CreateSettings,
    /// What may be bought with it; the use cases of rewards check it.
    pub limits: CardLimits,
    /// What may be bought with it on a day; the ledger counts it.
    pub ceilings: Ceilings,
    /// How it is paid for; treasury warns by it.
    pub funding: FundingPolicy,
    /// Whether it is asked for each reward whether that could be bought, where its kind has an operation for it.
    pub validates: bool,
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
        Self { terms, client, login: None, quota, key_pairs: None }
    }

    /// The same, and shoppers may sign in to it.
    #[must_use]
    pub fn with_login(self, login: Option<LoginClient>) -> Self {
        Self { login, ..self }
    }

    /// The same, and its key pair is exchanged while the service runs.
    #[must_use]
    pub fn with_key_pairs(self, key_pairs: Option<KeyPairs>) -> Self {
        Self { key_pairs, ..self }
    }

    /// The account's name in the settings and to our callers.
    #[must_use]
    pub(crate) fn id(&self) -> &str {
        &self.terms.id
    }

    /// The zone in which the account's days and months begin.
    #[must_use]
    pub(crate) const fn time_zone(&self) -> Tz {
        self.terms.time_zone
    }

    #[must_use]
    pub(crate) const fn funding(&self) -> FundingPolicy {
        self.terms.funding
    }

    /// The words of the kinds that the account deals in.
    #[must_use]
    pub(crate) fn kinds(&self) -> &[&'static str] {
        &self.terms.kinds
    }

    #[must_use]
    pub(crate) const fn create(&self) -> &CreateSettings {
        &self.terms.create
    }

    #[must_use]
    pub(crate) fn partner_id(&self) -> &str {
        &self.terms.partner_id
    }

    #[must_use]
    pub(crate) const fn marketplace(&self) -> Marketplace {
        self.terms.marketplace
    }

    #[must_use]
    pub(crate) const fn environment(&self) -> Environment {
        self.terms.environment
    }

    /// Whether Amazon's own sandbox serves it, not ours on loopback.
    #[must_use]
    pub(crate) fn is_at_amazons_sandbox(&self) -> bool {
        self.terms.environment == Environment::Sandbox && !self.client.endpoint().is_loopback()
    }

    #[must_use]
    pub(crate) const fn currency(&self) -> Currency {
        self.terms.marketplace.currency()
    }

    /// The smallest card that the account may buy.
    #[must_use]
    pub(crate) const fn minimum(&self) -> Money {
        self.terms.limits.minimum
    }

    /// The largest card that the account may buy.
    #[must_use]
    pub(crate) const fn maximum(&self) -> Money {
        self.terms.limits.maximum
    }

    #[must_use]
    pub(crate) const fn ceilings(&self) -> Ceilings {
        self.terms.ceilings
    }

    /// Makes the row that the replicas share. The account can be used after this.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        self.quota.prepare().await
    }

    #[must_use]
    pub(crate) fn metrics(&self) -> &Metrics {
        self.quota.rate.metrics()
    }

    #[must_use]
    pub(crate) const fn rate(&self) -> &Rate {
        &self.quota.rate
    }

    #[must_use]
    pub(crate) const fn breaker(&self) -> &Breaker {
        &self.quota.breaker
    }

    /// How long Amazon has taken lately to answer a purchase.
    #[must_use]
    pub(crate) const fn calls(&self) -> &Lately {
        &self.quota.calls
    }

    /// Which replica asks for the balance, and for the activity report.
    #[must_use]
    pub(crate) const fn turns(&self) -> &Turns {
        &self.quota.turns
    }

    /// Whether this replica signs with a pair of its own, because it does not hold the one in force: what Amazon says of its
    /// signatures says nothing of the account.
    #[must_use]
    pub(crate) fn signs_alone(&self) -> bool {
        self.key_pairs.as_ref().is_some_and(KeyPairs::is_out_of_step)
    }

    /// Its key pairs, where they lie in files.
    #[must_use]
    pub(crate) const fn key_pairs(&self) -> Option<&KeyPairs> {
        self.key_pairs.as_ref()
    }

    #[must_use]
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Who asks Login with Amazon for it, where it has a client id there.
    #[must_use]
    pub(crate) const fn login(&self) -> Option<&LoginClient> {
        self.login.as_ref()
    }

    /// Whether it is asked first whether a reward could be bought.
    #[must_use]
    pub(crate) const fn validates(&self) -> bool {
        self.terms.validates
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

    #[must_use]
    pub(crate) fn get(&self, id: &str) -> Option<&Account> {
        self.0.get(id)
    }

    /// Sets the gauges of the breakers.
    pub(crate) fn publish(&self) {
        for account in self.iter() {
            account.metrics().breaker(account.id(), account.breaker().open_now().map(|open| open.cause));
        }
    }

    /// Takes the gauges of the breakers off the page.
    pub(crate) fn retract(&self) {
        for account in self.iter() {
            account.metrics().retract_breakers();
        }
    }

    /// The account of which Amazon refuses the key pair that this replica signs with, while another is in force.
    pub(crate) fn stranded(&self) -> Option<&str> {
        let stranded = |account: &&Account| account.key_pairs().is_some_and(KeyPairs::is_stranded);
        self.iter().find(stranded).map(Account::id)
    }

    /// Writes a row durably, as it is: while the database takes no writes this fails.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn prove_writes(&self) -> Result<(), StoreError> {
        match self.iter().next() {
            Some(account) => account.rate().prove_writes().await,
            None => Ok(()),
        }
    }

    /// Looks after an account's key pairs until the process stops.
    pub(crate) async fn watch_key_pairs(&self, id: &str, tasks: &Tasks) {
        if let Some((account, key_pairs)) = self.get(id).and_then(|account| Some((account, account.key_pairs()?))) {
            key_pairs.watch(account, tasks).await;
        }
    }

    /// Each account, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.values()
    }
}
