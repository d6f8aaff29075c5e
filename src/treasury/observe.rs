//! One observation of a balance: the question, what it means for the ledger, and the alarms it raises.
//!
//! Everything that follows from it is one transaction, and of two replicas only one writes it: the account's row counts
//! observations, and who finds that another came in between books nothing. When a replica dies in the middle nothing is
//! held: the right to ask is an instant, and the next question starts from the ledger as it stands.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::runway::{History, Runway};
use super::value_date;
use super::{
    Balances,
    balances::keep,
    deposits::{Verdict, excess},
    standing::{self, Standing, StateRow},
    totals,
};
use crate::{
    accounts::{Account, Priority},
    events::{Named, outbox},
    kernel::{Chain, Money},
    ledger::journal::{self, Kind, Movement},
    provider::incentives::Outcome,
    store::{Committed, StoreError, Tx},
};

/// How long a question may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);

/// What was known before the question.
struct Before {
    version: i64,
    standing: Standing,
}

/// What Amazon said, and what was spent lately.
struct Answer {
    available: Money,
    /// The instant before the call: the balance is at least as old as that.
    as_of: DateTime<Utc>,
    /// Each hour's spending, and the hour that follows the last.
    spending: (Vec<i64>, i64),
}

/// What an observation came to.
struct Found {
    verdict: Verdict,
    /// More is missing than was known.
    newly_missing: bool,
}

impl Balances {
    /// Asks for an account's balance, unless a replica did so within `every`.
    pub(super) async fn ask(&self, account: &Account, every: Duration) {
        // Amazon allows one question a second, over all replicas; what another one has learnt is in the database.
        let may_ask = account.turns().take_funds(every).await;
        if !may_ask || account.rate().slot(Priority::Ordinary, SLOT_PATIENCE).await.is_err() {
            return;
        }
        let before = match self.before(account).await {
            Ok(before) => before,
            Err(error) => return unkept(account, &error),
        };
        let parts = self.parts();
        let as_of = parts.ambient.now();
        let started = parts.ambient.monotonic();
        let exchange = account.client().get_available_funds().await;
        let outcome = (exchange.outcome.class(), exchange.outcome.reason());
        account.metrics().upstream(account.id(), "GetAvailableFunds", outcome, started.elapsed());
        match exchange.outcome {
            Outcome::Proven(funds) => {
                if let Err(error) = self.learn(account, &before, (funds.amount, as_of)).await {
                    unkept(account, &error);
                }
            }
            Outcome::Refused(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                tracing::warn!(
                    account = account.id(),
                    upstream.outcome = outcome.0,
                    upstream.error = outcome.1,
                    "Amazon did not say the balance"
                );
            }
        }
    }

    async fn before(&self, account: &Account) -> Result<Before, StoreError> {
        let (parts, of) = (self.parts(), (account.id(), account.currency().code()));
        totals::advance((&parts.store, &parts.ambient), of).await?;
        let mut snapshot = parts.store.snapshot().await?;
        // The version first: whoever books between the two reads makes this observation useless, not wrong.
        let version = standing::state(&mut snapshot, of).await?.map_or(0, |state| state.version);
        let standing = standing::read(&mut snapshot, account.id(), account.currency()).await?;
        Ok(Before { version, standing })
    }

    async fn learn(
        &self,
        account: &Account,
        before: &Before,
        (available, as_of): (Money, DateTime<Utc>),
    ) -> Result<(), StoreError> {
        let (parts, of) = (self.parts(), (account.id(), account.currency().code()));
        let spending = totals::spending(&mut parts.store.snapshot().await?, of).await?;
        let answer = Answer { available, as_of, spending };
        let now = parts.ambient.now();
        let mut tx = parts.store.begin().await?;
        if !keep(&mut tx, account.id(), available, as_of).await? {
            return Ok(());
        }
        let found = observe(&mut tx, account, (before, &answer), now).await?;
        let found = tx.commit(found).await.map(Committed::into_inner)?;
        tell(account, found, available);
        Ok(())
    }
}

fn unkept(account: &Account, error: &StoreError) {
    tracing::error!(account = account.id(), error = %Chain(error), "a balance could not be kept");
}

/// What of it people should hear.
fn tell(account: &Account, found: Option<Found>, available: Money) {
    let Some(Found { verdict, newly_missing }) = found else { return };
    let money = |minor| Money::from_minor(minor, available.currency());
    if verdict.opening != 0 {
        tracing::info!(account = account.id(), ledger.amount = %money(verdict.opening), "the ledger's opening was booked");
    }
    if verdict.deposit != 0 {
        tracing::info!(account = account.id(), ledger.amount = %money(verdict.deposit), "a deposit was found and booked");
    }
    if newly_missing {
        tracing::error!(
            account = account.id(),
            ledger.amount = %money(verdict.state.missing),
            "funds are missing at Amazon that the ledger does not explain"
        );
    }
}

/// Writes what follows from an observation; `None` when another one came in between.
async fn observe(
    tx: &mut Tx,
    account: &Account,
    (before, answer): (&Before, &Answer),
    now: DateTime<Utc>,
) -> Result<Option<Found>, StoreError> {
    let of = (account.id(), account.currency().code());
    let Some(mut row) = standing::state_in(tx, of).await? else { return Ok(None) };
    if row.version != before.version {
        return Ok(None);
    }
    let after = standing::read_in(tx, account.id(), account.currency()).await?;
    let judge = |excess| row.state().judge(excess, after.sums.adjustments);
    let news = News { account, answer, now };
    let verdict = excess(answer.available.minor(), &before.standing, &after).map(judge);
    let found = verdict.map(|verdict| Found { verdict, newly_missing: verdict.state.missing > row.state().missing });
    if let Some(found) = &found {
        news.book(tx, found).await?;
        row.learn(found.verdict.state);
    }
    row.last_entry = after.last_entry;
    news.alarms(tx, &mut row, after.sums.on_the_way()).await?;
    // The account's balance was written first in this transaction, so nobody can have come in between.
    if standing::save(tx, of, &row).await? { Ok(found) } else { Err(StoreError::Unconfirmed) }
}

/// What an observation is told with.
struct News<'a> {
    account: &'a Account,
    answer: &'a Answer,
    now: DateTime<Utc>,
}

impl News<'_> {
    async fn event(&self, tx: &mut Tx, kind: &'static str, mut data: serde_json::Value) -> Result<(), StoreError> {
        if let Some(data) = data.as_object_mut() {
            data.insert("available".to_owned(), json!(self.answer.available.to_string()));
            data.insert("currency_code".to_owned(), json!(self.answer.available.currency().code()));
            data.insert("as_of".to_owned(), json!(self.answer.as_of));
        }
        outbox::write(tx, kind, Named::Account(self.account.id()), Some(&data), self.now).await
    }

    /// Writes the opening and the deposit, and says what is missing beyond what was.
    async fn book(&self, tx: &mut Tx, Found { verdict, newly_missing }: &Found) -> Result<(), StoreError> {
        let money = |minor| Money::from_minor(minor, self.answer.available.currency());
        for (kind, minor) in [(Kind::Opening, verdict.opening), (Kind::Deposit, verdict.deposit)] {
            let movement = Movement {
                account: self.account.id(),
                value: money(minor),
                kind,
                reward: None,
                program: None,
                note: None,
                made_by: None,
            };
            journal::write(tx, &movement, self.now).await?;
        }
        if verdict.deposit > 0 {
            self.event(tx, "funds.deposit_detected", json!({"amount": money(verdict.deposit).to_string()})).await?;
        }
        if *newly_missing {
            let amount = money(verdict.state.missing.saturating_neg()).to_string();
            self.event(tx, "balance.unexplained", json!({"amount": amount})).await?;
        }
        Ok(())
    }

    /// Sounds an alarm when its line is crossed, once; what is on the way counts as spent for the runway.
    async fn alarms(&self, tx: &mut Tx, row: &mut StateRow, on_the_way: i64) -> Result<(), StoreError> {
        let available = self.answer.available;
        let threshold = self.account.funding().low_balance;
        let low = threshold.is_some_and(|threshold| available.minor() < threshold.minor());
        if low && !row.low {
            let threshold = threshold.map(|threshold| threshold.to_string());
            self.event(tx, "balance.low", json!({"threshold": threshold})).await?;
        }
        let lead = value_date::lead(self.answer.as_of, self.account.funding().lead_days, self.account.time_zone());
        let runway = self.runway(available.minor().saturating_sub(on_the_way));
        let short = runway.pessimistic.is_some_and(|seconds| TimeDelta::seconds(seconds) < lead);
        if short && !row.short {
            let (median, worst) = (runway.median, runway.pessimistic);
            let lead = lead.num_seconds();
            let data =
                json!({"runway_seconds": median, "runway_pessimistic_seconds": worst, "funding_lead_seconds": lead});
            self.event(tx, "balance.runway_short", data).await?;
        }
        (row.low, row.short) = (low, short);
        (row.runway_seconds, row.runway_pessimistic_seconds) = (runway.median, runway.pessimistic);
        Ok(())
    }

    fn runway(&self, funds: i64) -> Runway {
        let (spent, end) = &self.answer.spending;
        let history = History { spent, end: *end };
        history.runway(funds, self.answer.as_of.timestamp()).unwrap_or(Runway { median: None, pessimistic: None })
    }
}
