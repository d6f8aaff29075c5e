//! The balance of each account: what Amazon last said, what is reserved for purchases not proven yet, and how old it is.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    amazon::{Account, Accounts, Priority},
    ambient::Ambient,
    kernel::{Currency, Money, Outcome},
    lifecycle::Tasks,
    metrics::Metrics,
    reward::{
        machine::State,
        sql::{Unfinished, unfinished},
    },
    store::{Sql, Store, StoreError, execute, fetch_all, limiter::Breaker, row, statements},
};

statements! {
    /// An older observation never replaces a newer one, whichever replica made it.
    UPSERT = Sql::same(
        "balances.upsert",
        "INSERT INTO balances (account, currency, available_minor, as_of) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (account) DO UPDATE SET currency = excluded.currency, available_minor = excluded.available_minor, \
         as_of = excluded.as_of WHERE balances.as_of < excluded.as_of",
    );
    ALL = Sql::same("balances.all", "SELECT account, currency, available_minor, as_of FROM balances");
}

row! {
    struct BalanceRow { account: String, currency: String, available_minor: i64, as_of: DateTime<Utc> }
}

/// How long a question may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);

/// The balance of one account.
#[derive(Debug, Clone)]
pub struct Balance {
    /// The account.
    pub account: String,
    /// Its currency.
    pub currency: Currency,
    /// What Amazon last said can be spent; `None` before it said anything.
    pub available: Option<Money>,
    /// When it said so, by our clock.
    pub as_of: Option<DateTime<Utc>>,
    /// The value of rewards whose purchase is not proven yet: some of it may be in `available` still.
    pub reserved: Money,
    /// Too old to be trusted, or never known.
    pub stale: bool,
}

/// Reads and keeps balances. Cheap to clone.
#[derive(Clone)]
pub struct Balances {
    parts: Arc<Parts>,
}

/// What it is built from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Time.
    pub ambient: Ambient,
    /// The accounts of the settings.
    pub accounts: Accounts,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// How often the balance is asked for.
    pub poll: Duration,
    /// From which age on it is stale.
    pub stale_after: Duration,
}

impl Balances {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Asks Amazon for every account's balance, again and again until the process stops. One call per account and round:
    /// far below Amazon's one a second.
    pub async fn poll_until(&self, tasks: Tasks) {
        while !tasks.stopping().is_cancelled() {
            let round = async {
                for account in self.parts.accounts.iter() {
                    self.refresh(account).await;
                }
                tokio::time::sleep(self.parts.poll).await;
            };
            // A read: a stop need not wait for it.
            tokio::select! {
                () = tasks.stopping().cancelled() => {}
                () = round => {}
            }
        }
    }

    async fn refresh(&self, account: &Account) {
        // Amazon allows one question a second, over all replicas; what another one has learnt is in the database.
        let quota = account.quota();
        if !quota.may_ask_funds(self.parts.poll).await || quota.slot(Priority::Ordinary, SLOT_PATIENCE).await.is_err() {
            return;
        }
        // The instant before the call: the balance is at least as old as that.
        let as_of = self.parts.ambient.now();
        let started = self.parts.ambient.monotonic();
        let exchange = account.client().get_available_funds().await;
        let outcome = (exchange.outcome.class(), exchange.outcome.reason());
        self.parts.metrics.upstream(account.id(), "GetAvailableFunds", outcome, started.elapsed());
        match exchange.outcome {
            Outcome::Proven(funds) => {
                if let Err(error) = self.keep(account, funds.amount, as_of).await {
                    tracing::error!(account = account.id(), error = %crate::kernel::Chain(&error), "a balance could not be kept");
                }
            }
            Outcome::Refused(_) | Outcome::TurnedAway(_) | Outcome::NotSent(_) | Outcome::Ambiguous(_) => {
                tracing::warn!(
                    account = account.id(),
                    upstream.outcome = outcome.0,
                    upstream.error = outcome.1,
                    "Amazon did not say the balance"
                );
            }
        }
    }

    async fn keep(&self, account: &Account, available: Money, as_of: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.parts.store.begin().await?;
        let currency = available.currency().code();
        execute!(tx, UPSERT, account.id(), currency, available.minor(), as_of)?;
        tx.commit(()).await?;
        Ok(())
    }

    /// The balance of every account of the settings.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn all(&self) -> Result<Vec<Balance>, StoreError> {
        let mut snapshot = self.parts.store.snapshot().await?;
        let rows = fetch_all!(BalanceRow, snapshot, ALL)?;
        let open = unfinished(&mut snapshot).await?;
        let now = self.parts.ambient.now();
        Ok(self.parts.accounts.iter().map(|account| self.balance(account, &rows, &open, now)).collect())
    }

    fn balance(&self, account: &Account, rows: &[BalanceRow], open: &[Unfinished], now: DateTime<Utc>) -> Balance {
        let currency = account.currency();
        let known = rows.iter().find(|row| row.account == account.id() && row.currency == currency.code());
        let age = known.map(|row| now.signed_duration_since(row.as_of).num_seconds());
        let limit = i64::try_from(self.parts.stale_after.as_secs()).unwrap_or(i64::MAX);
        let reserved = open
            .iter()
            .filter(|open| {
                open.account == account.id() && open.state != State::Canceling && open.value.currency() == currency
            })
            .try_fold(Money::from_minor(0, currency), |sum, open| sum.checked_add(open.value));
        Balance {
            account: account.id().to_owned(),
            currency,
            available: known.map(|row| Money::from_minor(row.available_minor, currency)),
            as_of: known.map(|row| row.as_of),
            reserved: reserved.unwrap_or(Money::from_minor(i64::MAX, currency)),
            // One from the future is a clock gone wrong.
            stale: age.is_none_or(|age| age > limit || age < -limit),
        }
    }

    /// Sets the gauges that speak for the whole service from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn publish(&self) -> Result<(), StoreError> {
        let metrics = &self.parts.metrics;
        let balances = self.all().await?;
        let open = unfinished(&mut self.parts.store.snapshot().await?).await?;
        let now = self.parts.ambient.now();
        for balance in balances {
            metrics.reserved(&balance.account, balance.reserved);
            if let (Some(available), Some(as_of)) = (balance.available, balance.as_of) {
                metrics.funds(&balance.account, available, as_of.timestamp());
            }
            let breaker = self.parts.accounts.get(&balance.account).and_then(|account| account.quota().breaker());
            for why in Breaker::ALL {
                metrics.breaker(&balance.account, why.as_str(), breaker.is_some_and(|(open, _until)| open == *why));
            }
            metrics.clear_states(&balance.account);
            let mut oldest = 0;
            for open in open.iter().filter(|open| open.account == balance.account) {
                metrics.in_state(&open.account, open.state.as_str(), open.rewards);
                let age = open.unproven_since.map_or(0, |since| now.signed_duration_since(since).num_seconds());
                oldest = oldest.max(age);
            }
            metrics.oldest_unresolved(&balance.account, oldest);
        }
        Ok(())
    }
}
