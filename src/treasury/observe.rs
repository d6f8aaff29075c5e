//! One observation of a balance: the question to Amazon, what the answer means for the ledger, and the alarms.
//!
//! Everything that follows from an answer is one transaction, and of two replicas only one writes it. The account's row
//! in `treasury` counts observations, and a replica that finds another observation in between books nothing. A replica
//! that dies in the middle blocks no other: the right to ask is an instant, and the next question starts from the
//! ledger as it is then.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{
    Balances,
    balances::{ReportedBalance, record_balance, thin_out},
    deposits::{Assessment, Sighting, amazons_instant},
    position::{self, LedgerPosition, TreasuryRow},
    runway::{HISTORY, History, Runway},
    value_date, windows,
};
use crate::{
    accounts::{Account, Purpose, Wanted},
    events::{Named, outbox},
    incentives::sql::unproven::unproven,
    kernel::{Chain, Money, horizon::is_stray},
    ledger::{
        floor::{self, ReportedFunds},
        journal::{self, Posting},
        movements::{DEPOSIT, OPENING},
        totals::{self, LedgerKey, Spending},
    },
    provider::incentives::Outcome,
    store::{Committed, StoreError, Tx},
};

/// How long a question may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);
/// Nobody asks but the service.
const LOOK: Wanted = Wanted { purpose: Purpose::Look, caller: None };

/// The ledger before the question.
struct Before {
    /// The version of the account's row in `treasury`.
    version: i64,
    position: LedgerPosition,
    /// What was let in and is not on the way, in minor units: Amazon's answer has deducted it.
    deducted: i64,
}

/// What Amazon answered, and when.
#[derive(Debug, Clone, Copy)]
struct FundsAnswer {
    available: Money,
    /// When we asked, by our clock.
    asked_at: DateTime<Utc>,
    /// When Amazon answered, by its clock.
    answered_at: Option<DateTime<Utc>>,
    /// Amazon's own time of the balance, by its clock.
    reported_at: Option<DateTime<Utc>>,
}

impl FundsAnswer {
    /// Amazon's own time of the balance lies in its future: it says nothing.
    fn believed(self) -> Self {
        let now = self.answered_at.unwrap_or(self.asked_at);
        Self { reported_at: self.reported_at.filter(|at| !is_stray(*at, now)), ..self }
    }

    /// What it says of the account's floor.
    fn funds(&self, before: &Before, confirm: TimeDelta) -> ReportedFunds {
        let Self { available, asked_at, answered_at, reported_at } = *self;
        let speaks_of = amazons_instant(answered_at, reported_at);
        ReportedFunds { deducted: before.deducted, available, asked_at, answered_at, speaks_of, confirm }
    }

    /// By our clock: as long before the question as Amazon says that the balance is older than its answer.
    fn by_our_clock(&self) -> ReportedBalance {
        let lag = self.reported_at.map(|at| {
            let now = self.answered_at.unwrap_or(self.asked_at);
            now.signed_duration_since(at).max(TimeDelta::zero())
        });
        let reported_at = lag.and_then(|lag| self.asked_at.checked_sub_signed(lag));
        ReportedBalance { available: self.available, as_of: self.asked_at, reported_at }
    }
}

/// What Amazon answered, and what was spent in the last weeks.
struct Observation {
    answer: FundsAnswer,
    spending: Spending,
}

/// The result of an observation.
struct ObservationResult {
    assessment: Assessment,
    /// More is missing than the observation before had found.
    newly_missing: bool,
}

/// What came of a wish to know a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    /// Amazon reported it.
    Now,
    /// A replica asked a moment ago.
    Lately,
    /// Amazon was not asked, or did not report it, or the report could not be kept.
    InVain,
}

impl Balances {
    /// Asks Amazon for an account's balance, unless a replica did so within `every`.
    pub(super) async fn observe_balance(&self, account: &Account, every: Duration) -> Observed {
        // Amazon allows one question a second, over all replicas. What another replica has learnt is in the database.
        let may_ask = account.turns().take_funds(every).await;
        if !may_ask {
            return Observed::Lately;
        }
        let before = match self.before(account).await {
            Ok(before) => before,
            Err(error) => {
                log_not_recorded(account, &error);
                return Observed::InVain;
            }
        };
        let Ok(_departure) = account.rate().departure(LOOK, SLOT_PATIENCE).await else { return Observed::InVain };
        let deps = self.deps();
        let asked_at = deps.ambient.now();
        let breaker_changes = account.breaker().changes();
        let started = deps.ambient.monotonic();
        let exchange = account.client().get_available_funds().await;
        let (class, reason) = (exchange.outcome.class(), exchange.outcome.reason());
        account.metrics().upstream(account.id(), "GetAvailableFunds", class, reason, started.elapsed());
        match exchange.outcome {
            Outcome::Proven(funds) => {
                if let Some(questions) = self.silences().ends(account.id()) {
                    tracing::warn!(
                        account = account.id(),
                        upstream.in_vain = questions,
                        "Amazon says the balance again"
                    );
                }
                if account.breaker().funded(funds.amount.minor(), breaker_changes).await {
                    tracing::info!(
                        account = account.id(),
                        "funds have come: what was refused for want of them can be tried"
                    );
                }
                let answer = FundsAnswer {
                    available: funds.amount,
                    asked_at,
                    answered_at: exchange.server_date,
                    reported_at: funds.as_of,
                };
                match self.record(account, &before, answer.believed()).await {
                    Ok(()) => Observed::Now,
                    Err(error) => {
                        log_not_recorded(account, &error);
                        Observed::InVain
                    }
                }
            }
            Outcome::Refused(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                if self.silences().begins(account.id(), deps.ambient.monotonic()) {
                    tracing::warn!(
                        account = account.id(),
                        upstream.outcome = class,
                        upstream.error = reason,
                        "Amazon did not say the balance; until it does, nothing more is logged of that"
                    );
                }
                Observed::InVain
            }
        }
    }

    async fn before(&self, account: &Account) -> Result<Before, StoreError> {
        let (deps, key) = (self.deps(), LedgerKey::of(account));
        if totals::advance(&deps.store, &deps.ambient, key).await? {
            thin_out(&deps.store, account.id(), deps.ambient.now()).await?;
        }
        let mut snapshot = deps.store.snapshot().await?;
        // The version first: a booking between the two reads makes this observation useless, not wrong.
        let version = position::treasury(&mut snapshot, key).await?.map_or(0, |row| row.version);
        let position = position::read(&mut snapshot, key).await?;
        let let_in = floor::let_in(&mut snapshot, account).await?;
        let on_the_way = unproven(&mut snapshot, account.id(), key.currency).await?;
        Ok(Before { version, position, deducted: let_in.saturating_sub(on_the_way) })
    }

    async fn record(&self, account: &Account, before: &Before, answer: FundsAnswer) -> Result<(), StoreError> {
        let deps = self.deps();
        let hours = i64::try_from(HISTORY).unwrap_or(0);
        let spending = totals::spending(&mut deps.store.snapshot().await?, LedgerKey::of(account), hours).await?;
        let observation = Observation { answer, spending };
        let (now, confirm) = (deps.ambient.now(), deps.confirm);
        let writer = ObservationWriter { account, observation: &observation, now, confirm };
        let mut tx = deps.store.begin().await?;
        if !record_balance(&mut tx, account.id(), &answer.by_our_clock(), now).await? {
            return Ok(());
        }
        let result = writer.write(&mut tx, before).await?;
        // Where another observation was written meanwhile, a replica without a floor may have taken the row away, and what was let in
        // before is counted in no row any more.
        if result.is_some() {
            floor::cover(&mut tx, account, &answer.funds(before, confirm)).await?;
        }
        let result = tx.commit(result).await.map(Committed::into_inner)?;
        log_result(account, result, answer.available);
        Ok(())
    }
}

fn log_not_recorded(account: &Account, error: &StoreError) {
    tracing::error!(account = account.id(), error = %Chain(error), "a balance could not be kept");
}

fn log_result(account: &Account, result: Option<ObservationResult>, available: Money) {
    let Some(ObservationResult { assessment, newly_missing }) = result else { return };
    let money = |minor| Money::from_minor(minor, available.currency());
    if assessment.opening != 0 {
        tracing::info!(account = account.id(), ledger.amount = %money(assessment.opening), "the ledger's opening was booked");
    }
    if assessment.deposit != 0 {
        tracing::info!(account = account.id(), ledger.amount = %money(assessment.deposit), "a deposit was found and booked");
    }
    if newly_missing {
        tracing::error!(
            account = account.id(),
            ledger.amount = %money(assessment.state.missing),
            "funds are missing at Amazon that the ledger does not explain"
        );
    }
}

/// Writes what follows from an observation: bookings, events, alarms.
struct ObservationWriter<'a> {
    account: &'a Account,
    observation: &'a Observation,
    now: DateTime<Utc>,
    /// How long observations must agree before anything follows from them.
    confirm: TimeDelta,
}

impl ObservationWriter<'_> {
    /// Writes all of it; `None` if another observation was written since `before`.
    async fn write(&self, tx: &mut Tx, before: &Before) -> Result<Option<ObservationResult>, StoreError> {
        let key = LedgerKey::of(self.account);
        let Some(mut row) = position::prepare_treasury(tx, key).await? else { return Ok(None) };
        if row.version != before.version {
            return Ok(None);
        }
        let after = position::read_in(tx, key).await?;
        let result = self.weigh(tx, &mut row, before, &after).await?;
        row.last_entry = after.last_entry;
        self.alarms(tx, &mut row, after.sums.on_the_way()).await?;
        // This transaction wrote the account's balance first, so no other observation can have come in between.
        if position::save(tx, key, &row).await? { Ok(result) } else { Err(StoreError::Unconfirmed) }
    }

    /// Weighs the observation with those before it, and books what they agree on; `None` if it means nothing for the
    /// ledger.
    async fn weigh(
        &self,
        tx: &mut Tx,
        row: &mut TreasuryRow,
        before: &Before,
        after: &LedgerPosition,
    ) -> Result<Option<ObservationResult>, StoreError> {
        // Amazon's sandbox always says 0, whatever is bought there.
        if self.account.is_at_amazons_sandbox() {
            return Ok(None);
        }
        let (key, answer, state) = (LedgerKey::of(self.account), &self.observation.answer, row.booking_state());
        let seen = Sighting {
            available: answer.available.minor(),
            before: &before.position,
            after,
            asked_at: answer.asked_at,
            answered_at: answer.answered_at,
            reported_at: answer.reported_at,
        };
        let verdict = state.weigh(windows::of(tx, key).await?, &seen, self.confirm);
        windows::keep(tx, key, verdict.window.as_ref()).await?;
        let assessment = verdict.assessment;
        let result = ObservationResult { assessment, newly_missing: assessment.state.missing > state.missing };
        self.book(tx, &result).await?;
        row.set_booking_state(assessment.state);
        Ok(Some(result))
    }

    async fn event(&self, tx: &mut Tx, kind: &'static str, mut data: serde_json::Value) -> Result<(), StoreError> {
        if let Some(data) = data.as_object_mut() {
            data.insert("available".to_owned(), json!(self.observation.answer.available.to_string()));
            data.insert("currency_code".to_owned(), json!(self.observation.answer.available.currency().code()));
            data.insert("as_of".to_owned(), json!(self.observation.answer.asked_at));
        }
        outbox::write(tx, kind, Named::Account(self.account.id()), Some(&data), self.now).await
    }

    /// Books the opening and the deposit, and reports a deposit and newly missing money.
    async fn book(&self, tx: &mut Tx, result: &ObservationResult) -> Result<(), StoreError> {
        let ObservationResult { assessment, newly_missing } = result;
        let money = |minor| Money::from_minor(minor, self.observation.answer.available.currency());
        for (movement, minor) in [(&OPENING, assessment.opening), (&DEPOSIT, assessment.deposit)] {
            journal::write(tx, &Posting::new(movement, self.account.id(), money(minor)), self.now).await?;
        }
        if assessment.deposit > 0 {
            self.event(tx, "funds.deposit_detected", json!({"amount": money(assessment.deposit).to_string()})).await?;
        }
        if *newly_missing {
            let amount = money(assessment.state.missing.saturating_neg()).to_string();
            self.event(tx, "balance.unexplained", json!({"amount": amount})).await?;
        }
        Ok(())
    }

    /// Reports each alarm once, when its line is crossed. For the runway, what is on the way counts as spent.
    async fn alarms(&self, tx: &mut Tx, row: &mut TreasuryRow, on_the_way: i64) -> Result<(), StoreError> {
        let (account, available) = (self.account, self.observation.answer.available);
        let threshold = account.funding().low_balance;
        let low = threshold.is_some_and(|threshold| available.minor() < threshold.minor());
        if low && !row.low {
            let threshold = threshold.map(|threshold| threshold.to_string());
            self.event(tx, "balance.low", json!({"threshold": threshold})).await?;
        }
        let (as_of, days) = (self.observation.answer.asked_at, account.funding().lead_days);
        let lead_time = value_date::funding_lead_time(as_of, days, account.time_zone());
        let runway = self.runway(available.minor().saturating_sub(on_the_way));
        let short = runway.pessimistic.is_some_and(|seconds| TimeDelta::seconds(seconds) < lead_time);
        if short && !row.short {
            let data = json!({
                "runway_seconds": runway.median,
                "runway_pessimistic_seconds": runway.pessimistic,
                "funding_lead_seconds": lead_time.num_seconds(),
            });
            self.event(tx, "balance.runway_short", data).await?;
        }
        (row.low, row.short) = (low, short);
        (row.runway_seconds, row.runway_pessimistic_seconds) = (runway.median, runway.pessimistic);
        Ok(())
    }

    fn runway(&self, funds: i64) -> Runway {
        let Spending { by_hour, end } = &self.observation.spending;
        let history = History { spent: by_hour, end: *end };
        history
            .runway(funds, self.observation.answer.asked_at.timestamp())
            .unwrap_or(Runway { median: None, pessimistic: None })
    }
}
