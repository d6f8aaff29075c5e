//! The balance of each account: what Amazon last said, what is reserved for purchases not proven yet, how old it is, and
//! how long it lasts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::Metrics;
use super::runway::Runway;
use super::standing::{self, StateRow};
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    engine::State,
    incentives::sql::{Unfinished, unfinished},
    kernel::{Currency, Money},
    lifecycle::Tasks,
    store::{Snapshot, Sql, Store, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// An older observation never replaces a newer one, whichever replica made it.
    UPSERT = Sql::same(
        "balances.upsert",
        "INSERT INTO balances (account, currency, available_minor, as_of) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (account) DO UPDATE SET currency = excluded.currency, available_minor = excluded.available_minor, \
         as_of = excluded.as_of WHERE balances.as_of < excluded.as_of",
    );
    OBSERVED = Sql::same(
        "balance_observations.insert",
        "INSERT INTO balance_observations (account, hour, as_of, currency, available_minor) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (account, hour, as_of) DO NOTHING",
    );
    YOUNGEST = Sql::same("balances.youngest", "SELECT MAX(as_of) AS at FROM balances");
    ALL = Sql::same("balances.all", "SELECT account, currency, available_minor, as_of FROM balances");
}

row! {
    struct YoungestRow { at: Option<DateTime<Utc>> }
}

row! {
    struct BalanceRow { account: String, currency: String, available_minor: i64, as_of: DateTime<Utc> }
}

/// How often to look whether much was spent since the last observation, and how often to ask then.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// Much is one part in so many of what is left above the low balance.
const BURST_SHARE: i64 = 20;

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
    /// How long it lasts from `as_of` on, when it is not known not to be: a week of spending is needed to say so.
    pub runway: Runway,
    /// What the ledger says is there and Amazon did not, at `as_of`; zero, or below.
    pub unexplained: Money,
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

    /// Asks Amazon for every account's balance, again and again until the process stops: once in the settings' period,
    /// and soon after much was spent. What another replica has asked meanwhile counts.
    pub async fn poll_until(&self, tasks: Tasks) {
        let mut last = None::<Instant>;
        while !tasks.stopping().is_cancelled() {
            let round = async {
                let all = last.is_none_or(|last| last.elapsed() >= self.parts.poll);
                if all {
                    last = Some(self.parts.ambient.monotonic());
                }
                for account in self.parts.accounts.iter() {
                    if all {
                        self.ask(account, self.parts.poll).await;
                    } else if self.much_was_spent(account).await.unwrap_or(false) {
                        self.ask(account, LOOK).await;
                    }
                }
                tokio::time::sleep(LOOK).await;
            };
            // A read: a stop need not wait for it.
            tokio::select! {
                () = tasks.stopping().cancelled() => {}
                () = round => {}
            }
        }
    }

    /// Asks for an account's balance now, unless that was done a moment ago. Whether Amazon answered shows in `as_of`.
    pub async fn refresh(&self, account: &str) {
        if let Some(account) = self.parts.accounts.get(account) {
            self.ask(account, LOOK).await;
        }
    }

    async fn much_was_spent(&self, account: &Account) -> Result<bool, StoreError> {
        let mut snapshot = self.parts.store.snapshot().await?;
        let of = (account.id(), account.currency().code());
        let Some(state) = standing::state(&mut snapshot, of).await? else { return Ok(false) };
        let spent = standing::spent_since(&mut snapshot, of, state.last_entry).await?;
        let known = fetch_all!(BalanceRow, snapshot, ALL)?.into_iter().find(|row| row.account == account.id());
        let low = account.funding().low_balance.map_or(0, Money::minor);
        let left = known.map_or(0, |row| row.available_minor).saturating_sub(low);
        Ok(spent > 0 && spent.saturating_mul(BURST_SHARE) >= left)
    }

    /// What it is built from.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
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
        let mut all = Vec::new();
        for account in self.parts.accounts.iter() {
            let state = standing::state(&mut snapshot, (account.id(), account.currency().code())).await?;
            all.push(self.balance(account, (&rows, &open), state.as_ref(), now));
        }
        Ok(all)
    }

    /// Whether the last known balance of an account, less what is reserved, covers a value; `None` when it is stale.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn covers(&self, account: &str, value: Money) -> Result<Option<bool>, StoreError> {
        let found = self.all().await?.into_iter().find(|balance| balance.account == account && !balance.stale);
        let free = found.and_then(|balance| balance.available?.checked_sub(balance.reserved));
        Ok(free.map(|free| free.minor() >= value.minor()))
    }

    fn balance(
        &self,
        account: &Account,
        (rows, open): (&[BalanceRow], &[Unfinished]),
        state: Option<&StateRow>,
        now: DateTime<Utc>,
    ) -> Balance {
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
            runway: Runway {
                median: state.and_then(|state| state.runway_seconds),
                pessimistic: state.and_then(|state| state.runway_pessimistic_seconds),
            },
            unexplained: Money::from_minor(state.map_or(0, |state| state.state().missing.saturating_neg()), currency),
        }
    }

    /// Sets the gauges that speak for the whole service from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn publish(&self) -> Result<(), StoreError> {
        let metrics = &self.parts.metrics;
        let balances = self.all().await?;
        for balance in balances {
            metrics.reserved(&balance.account, balance.reserved);
            metrics.unexplained(&balance.account, balance.unexplained);
            metrics.runway(&balance.account, balance.currency.code(), balance.runway);
            if let (Some(available), Some(as_of)) = (balance.available, balance.as_of) {
                metrics.funds(&balance.account, available, as_of.timestamp());
            }
            let account = self.parts.accounts.get(&balance.account);
            if let Some(low) = account.and_then(|account| account.funding().low_balance) {
                metrics.low_threshold(&balance.account, low);
            }
        }
        Ok(())
    }
}

/// Writes what Amazon said, unless something newer is known. Whoever writes it holds the account until the transaction
/// ends.
pub(super) async fn keep(
    tx: &mut Tx,
    account: &str,
    available: Money,
    as_of: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (currency, hour) = (available.currency().code(), as_of.timestamp().div_euclid(3600));
    if execute!(tx, UPSERT, account, currency, available.minor(), as_of)? != 1 {
        return Ok(false);
    }
    execute!(tx, OBSERVED, account, hour, as_of, currency, available.minor())?;
    Ok(true)
}

/// When Amazon last said what an account can spend.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(YoungestRow, snapshot, YOUNGEST)?.and_then(|row| row.at))
}
