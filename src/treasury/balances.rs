//! The balance of each account: what Amazon last reported, what is reserved for purchases that are not proven yet, how
//! old the report is, and how long the balance lasts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Metrics,
    metrics::BalanceDates,
    observe::Observed,
    position::{self, TreasuryRow},
    runway::Runway,
    silence::Silences,
};
use crate::{
    accounts::{Account, Accounts},
    ambient::Ambient,
    engine::State,
    incentives::sql::{Unfinished, unfinished},
    kernel::{
        Currency, Money,
        horizon::{horizon, is_stray},
    },
    ledger::{
        floor,
        totals::{self, LedgerKey},
    },
    lifecycle::Tasks,
    store::{InstantRow, Snapshot, Sql, Store, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// An older observation never replaces a newer one, whichever replica made it. One from after $5 was made by a clock
    /// that was ahead: any other replaces it.
    UPSERT = Sql::same(
        "balances.upsert",
        "INSERT INTO balances (account, currency, available_minor, as_of, reported_at, reported_for) \
         VALUES ($1, $2, $3, $4, $6, $4) ON CONFLICT (account) DO UPDATE SET currency = excluded.currency, \
         available_minor = excluded.available_minor, as_of = excluded.as_of, reported_at = excluded.reported_at, \
         reported_for = excluded.reported_for WHERE balances.as_of < excluded.as_of OR balances.as_of > $5",
    );
    OBSERVED = Sql::same(
        "balance_observations.insert",
        "INSERT INTO balance_observations (account, hour, as_of, currency, available_minor, reported_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, hour, as_of) DO NOTHING",
    );
    HISTORY = Sql::same(
        "balance_observations.history",
        "SELECT as_of, available_minor FROM balance_observations \
         WHERE account = $1 AND currency = $2 AND hour >= $3 ORDER BY account, hour, as_of",
    );
    YOUNGEST = Sql::same("balances.youngest", "SELECT MAX(as_of) AS at FROM balances");
    THIN = Sql::same(
        "balance_observations.thin",
        "DELETE FROM balance_observations WHERE account = $1 AND (hour < $2 OR hour < $3 AND EXISTS \
         (SELECT 1 FROM balance_observations AS earlier WHERE earlier.account = balance_observations.account \
         AND earlier.hour = balance_observations.hour AND earlier.as_of < balance_observations.as_of))",
    );
    /// Of a row that the release before has written, Amazon's own time is not known.
    ALL = Sql::same(
        "balances.all",
        "SELECT account, currency, available_minor, as_of, CASE WHEN reported_for = as_of THEN reported_at END \
         AS reported_at FROM balances",
    );
}

row! {
    struct BalanceRow {
        account: String, currency: String, available_minor: i64, as_of: DateTime<Utc>, reported_at: Option<DateTime<Utc>>,
    }
}

row! {
    struct ObservedRow { as_of: DateTime<Utc>, available_minor: i64 }
}

/// How often to check whether much was spent since the last observation. If much was spent, Amazon is asked as often.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Spending counts as much from this fraction of what is left above the low balance on: one in so many.
const BURST_SHARE: i64 = 20;

/// Hours for which every observation is kept, and hours for which one observation an hour is kept.
const KEEP_ALL: i64 = 48;
const KEEP_ONE: i64 = 400 * 24;

/// The balance of one account.
#[derive(Debug, Clone)]
pub(crate) struct Balance {
    pub(crate) account: String,
    pub(crate) currency: Currency,
    /// What Amazon last reported as available; `None` before the first report.
    pub(crate) available: Option<Money>,
    /// The instant of that report, by our clock.
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// Amazon's own time of it, by our clock, if Amazon gave one.
    pub(crate) reported_at: Option<DateTime<Utc>>,
    /// `as_of` does not lie in the future, so it can be believed.
    pub(crate) dated: bool,
    /// The value of rewards whose purchase is not proven yet. Amazon may have deducted some of it from `available`.
    pub(crate) reserved: Money,
    /// The report is too old to be trusted, or there is none.
    pub(crate) stale: bool,
    /// Estimated time until the balance is used up, from `as_of`. `None` with less than a week of spending.
    pub(crate) runway: Runway,
    /// Reported minus expected balance at `as_of`, as far as nothing explains it: zero, or negative.
    pub(crate) unexplained: Money,
}

/// A balance as Amazon reported it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportedBalance {
    pub(super) available: Money,
    /// The instant before the call, by our clock: the balance is at most that new.
    pub(super) as_of: DateTime<Utc>,
    /// Amazon's own time of it, by our clock.
    pub(super) reported_at: Option<DateTime<Utc>>,
}

/// Observes balances, and keeps and shows them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Balances {
    deps: Arc<BalanceDependencies>,
    /// When a caller's last question about each account came to nothing.
    in_vain: Arc<Mutex<BTreeMap<String, DateTime<Utc>>>>,
    silences: Arc<Silences>,
}

/// What [`Balances`] works with.
pub(crate) struct BalanceDependencies {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Arc<Metrics>,
    /// How often Amazon is asked.
    pub(crate) poll: Duration,
    /// The age at which a report is stale.
    pub(crate) stale_after: Duration,
    /// How long observations must agree before a deposit is booked.
    pub(crate) confirm: TimeDelta,
}

impl Balances {
    pub(crate) fn new(deps: BalanceDependencies) -> Self {
        Self { deps: Arc::new(deps), in_vain: Arc::default(), silences: Arc::default() }
    }

    /// Asks Amazon for every account's balance until the process stops: once in each poll period, and soon after much
    /// was spent. An observation by another replica counts.
    pub(crate) async fn poll_until(&self, tasks: Tasks) {
        let mut last = None::<Instant>;
        while !tasks.stopping().is_cancelled() {
            let round = async {
                let all = last.is_none_or(|last| last.elapsed() >= self.deps.poll);
                if all {
                    last = Some(self.deps.ambient.monotonic());
                }
                for account in self.deps.accounts.iter() {
                    if all {
                        let _observed = self.observe_balance(account, self.deps.poll).await;
                    } else if self.is_wanted_soon(account).await.unwrap_or(false) {
                        let _observed = self.observe_balance(account, CHECK_EVERY).await;
                    }
                }
                tokio::time::sleep(CHECK_EVERY).await;
            };
            // An observation may be cut off by a stop: it has only read.
            tokio::select! {
                () = tasks.stopping().cancelled() => {}
                () = round => {}
            }
        }
    }

    /// Asks for an account's balance now, unless a replica did so a moment ago. `None` for an account that the settings do
    /// not name. Where Amazon did not report it, the last known balance is stale, however young it is, until a later report.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn refresh(&self, account: &str) -> Result<Option<Balance>, StoreError> {
        let Some(asked) = self.deps.accounts.get(account) else { return Ok(None) };
        let observed = self.observe_balance(asked, CHECK_EVERY).await;
        let in_vain = self.asked_in_vain(account, observed);
        let known = self.all_on(self.deps.store.snapshot().await?).await?;
        let known = known.into_iter().find(|balance| balance.account == account);
        let missed = |known: &Balance| in_vain.is_some_and(|at| known.as_of.is_none_or(|as_of| as_of < at));
        Ok(known.map(|known| Balance { stale: known.stale || missed(&known), ..known }))
    }

    /// When the last question about an account came to nothing, after this one. Whoever asks again within two seconds asks
    /// nobody, and knows no more.
    fn asked_in_vain(&self, account: &str, observed: Observed) -> Option<DateTime<Utc>> {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if observed == Observed::InVain {
            in_vain.insert(account.to_owned(), self.deps.ambient.now());
        }
        // One from the future was written while the clock was ahead.
        in_vain.get(account).copied().filter(|at| *at <= self.deps.ambient.now())
    }

    /// Whether the next report should not wait for its time: much was spent, or nothing can be bought before it. Where Amazon does not
    /// say the balance, it is asked less and less often.
    async fn is_wanted_soon(&self, account: &Account) -> Result<bool, StoreError> {
        if !self.silences.may_ask(account.id(), self.deps.ambient.monotonic()) {
            return Ok(false);
        }
        let floor = account.ceilings().funds_floor;
        if floor.is_some() {
            let mut snapshot = self.deps.store.snapshot().await?;
            if floor::is_unknown(&mut snapshot, account, self.deps.ambient.now()).await? {
                return Ok(true);
            }
        }
        self.much_was_spent(account).await
    }

    async fn much_was_spent(&self, account: &Account) -> Result<bool, StoreError> {
        let mut snapshot = self.deps.store.snapshot().await?;
        let key = LedgerKey::of(account);
        let Some(row) = position::treasury(&mut snapshot, key).await? else { return Ok(false) };
        let spent = totals::spent_since(&mut snapshot, key, row.last_entry).await?;
        let known = fetch_all!(BalanceRow, snapshot, ALL)?.into_iter().find(|row| row.account == account.id());
        let lines = [account.funding().low_balance, account.ceilings().funds_floor];
        let low = lines.into_iter().flatten().map(Money::minor).max().unwrap_or(0);
        let left = known.map_or(0, |row| row.available_minor).saturating_sub(low);
        Ok(spent > 0 && spent.saturating_mul(BURST_SHARE) >= left)
    }

    pub(super) fn silences(&self) -> &Silences {
        &self.silences
    }

    pub(super) fn deps(&self) -> &BalanceDependencies {
        &self.deps
    }

    /// The balance of every account of the settings.
    pub(crate) async fn all(&self) -> Result<Vec<Balance>, StoreError> {
        self.all_on(self.deps.store.question().await?).await
    }

    async fn all_on(&self, mut snapshot: Snapshot) -> Result<Vec<Balance>, StoreError> {
        let rows = fetch_all!(BalanceRow, snapshot, ALL)?;
        let open = unfinished(&mut snapshot).await?;
        let now = self.deps.ambient.now();
        let mut all = Vec::new();
        for account in self.deps.accounts.iter() {
            let key = LedgerKey::of(account);
            let treasury = position::treasury(&mut snapshot, key).await?;
            let reported = rows.iter().find(|row| row.account == account.id() && row.currency == key.currency.code());
            all.push(self.balance(account, reported, treasury.as_ref(), reserved(account, &open), now));
        }
        Ok(all)
    }

    /// What Amazon reported of an account since then, in minor units, oldest first: one an hour, and all of the last two days.
    pub(crate) async fn history(
        &self,
        account: &str,
        currency: Currency,
        since: DateTime<Utc>,
    ) -> Result<Vec<(DateTime<Utc>, i64)>, StoreError> {
        let mut snapshot = self.deps.store.question().await?;
        let hour = since.timestamp().div_euclid(3600);
        let rows = fetch_all!(ObservedRow, snapshot, HISTORY, account, currency.code(), hour)?;
        Ok(rows.into_iter().map(|row| (row.as_of, row.available_minor)).collect())
    }

    /// Whether the last known balance of an account, less what is reserved, covers a value; `None` when it is stale.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn covers(&self, account: &str, value: Money) -> Result<Option<bool>, StoreError> {
        let all = self.all_on(self.deps.store.snapshot().await?).await?;
        let found = all.into_iter().find(|balance| balance.account == account && !balance.stale);
        let free = found.and_then(|balance| balance.available?.checked_sub(balance.reserved));
        Ok(free.map(|free| free.minor() >= value.minor()))
    }

    fn balance(
        &self,
        account: &Account,
        reported: Option<&BalanceRow>,
        treasury: Option<&TreasuryRow>,
        reserved: Money,
        now: DateTime<Utc>,
    ) -> Balance {
        let currency = account.currency();
        // The age of a report from the future is not known: a clock was ahead.
        let dated = reported.filter(|row| !is_stray(row.as_of, now));
        // Amazon's own time of a balance is not counted: it may be that of the last change of it.
        let age = dated.map(|row| now.signed_duration_since(row.as_of).num_seconds());
        let limit = i64::try_from(self.deps.stale_after.as_secs()).unwrap_or(i64::MAX);
        let missing = treasury.map_or(0, |row| row.booking_state().missing);
        Balance {
            account: account.id().to_owned(),
            currency,
            available: reported.map(|row| Money::from_minor(row.available_minor, currency)),
            as_of: reported.map(|row| row.as_of),
            reported_at: reported.and_then(|row| row.reported_at),
            dated: dated.is_some(),
            reserved,
            stale: age.is_none_or(|age| age > limit),
            runway: Runway {
                median: treasury.and_then(|row| row.runway_seconds),
                pessimistic: treasury.and_then(|row| row.runway_pessimistic_seconds),
            },
            unexplained: Money::from_minor(missing.saturating_neg(), currency),
        }
    }

    /// Sets the gauges of accounts, which speak for the whole service, from the database.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let metrics = &self.deps.metrics;
        // Whatever callers ask, the metrics go on.
        let balances = self.all_on(self.deps.store.snapshot().await?).await?;
        for balance in balances {
            metrics.reserved(&balance.account, balance.reserved);
            metrics.unexplained(&balance.account, balance.unexplained);
            metrics.runway(&balance.account, balance.currency.code(), balance.runway);
            if let (Some(available), Some(as_of)) = (balance.available, balance.as_of) {
                let reported_at = balance.reported_at.filter(|_at| balance.dated);
                let dates = BalanceDates {
                    asked: balance.dated.then(|| as_of.timestamp()),
                    reported: reported_at.map(|at| at.timestamp()),
                };
                metrics.funds(&balance.account, available, dates);
            }
            let account = self.deps.accounts.get(&balance.account);
            if let Some(low) = account.and_then(|account| account.funding().low_balance) {
                metrics.low_threshold(&balance.account, low);
            }
        }
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.deps.metrics.retract_balances();
    }
}

/// The value of an account's rewards whose purchase is not proven yet. A reward that is being canceled is proven.
fn reserved(account: &Account, open: &[Unfinished]) -> Money {
    let currency = account.currency();
    let is_reserved = |reward: &&Unfinished| {
        reward.account == account.id() && reward.state != State::Canceling && reward.value.currency() == currency
    };
    open.iter()
        .filter(is_reserved)
        .try_fold(Money::from_minor(0, currency), |sum, reward| sum.checked_add(reward.value))
        .unwrap_or(Money::from_minor(i64::MAX, currency))
}

/// Deletes observations: all that are older than [`KEEP_ONE`], and all but one an hour that are older than
/// [`KEEP_ALL`].
pub(super) async fn thin_out(store: &Store, account: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let hour = now.timestamp().div_euclid(3600);
    let mut tx = store.begin().await?;
    execute!(tx, THIN, account, hour.saturating_sub(KEEP_ONE), hour.saturating_sub(KEEP_ALL))?;
    tx.commit(()).await.map(|_done| ())
}

/// Writes what Amazon reported, unless something newer is known. From here to the end of the transaction no other
/// transaction can write an observation of the account.
pub(super) async fn record_balance(
    tx: &mut Tx,
    account: &str,
    reported: &ReportedBalance,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let ReportedBalance { available, as_of, reported_at } = *reported;
    let (currency, hour) = (available.currency().code(), as_of.timestamp().div_euclid(3600));
    let ahead = horizon(now, TimeDelta::zero());
    if execute!(tx, UPSERT, account, currency, available.minor(), as_of, ahead, reported_at)? != 1 {
        return Ok(false);
    }
    execute!(tx, OBSERVED, account, hour, as_of, currency, available.minor(), reported_at)?;
    Ok(true)
}

/// When Amazon last said what an account can spend.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, snapshot, YOUNGEST)?.and_then(|row| row.at))
}
