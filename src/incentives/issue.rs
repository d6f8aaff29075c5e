//! Issuing: T1, the drive, and what a key that was used before is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    Rewards,
    cancel::CancelError,
    charge::ChargeError,
    drive::Attempt,
    machine::{self, Event, Facts, State},
    model::{Command, OnUnresolved, Reward},
    reveal::Showing,
    sql,
    timeline::Entry,
    waiter::{Caller, Told},
};
use crate::{
    accounts::{Account, NoSlot, Priority, limiter::Breaker},
    failpoint,
    kernel::{Chain, ClaimCode, ClientId, CreationRequestId, Currency, Environment, Intent, Money, RewardId},
    ledger::journal::Booked,
    lifecycle::Lost,
    store::{Committed, StoreError},
    telemetry::{metrics::KeyUse, trace},
};

/// The answer to an issue.
pub struct Issued {
    /// The reward as committed.
    pub reward: Reward,
    /// Its code, when this answer hands it over.
    pub code: Option<ClaimCode>,
    /// The key was used before.
    pub replayed: bool,
}

/// Why an issue was refused before anything was sent.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key was used for another command.
    #[error("the idempotency key was used for another request")]
    Mismatch,
    /// The external id names another reward.
    #[error("the external id is taken")]
    ExternalIdConflict,
    /// No account of this id.
    #[error("there is no account of that id")]
    UnknownAccount,
    /// Several accounts could pay.
    #[error("several accounts deal in this currency")]
    AmbiguousAccount,
    /// No account deals in the currency.
    #[error("no account deals in the currency")]
    Currency(Currency),
    /// Outside the account's limits.
    #[error("the amount is outside the account's limits")]
    AmountOutOfRange {
        /// The smallest.
        minimum: Money,
        /// The largest.
        maximum: Money,
    },
    /// Too much is in flight.
    #[error("too many requests are in flight")]
    Busy,
    /// The program, or one of its budgets, does not allow it; nothing was recorded.
    #[error(transparent)]
    Charge(#[from] ChargeError),
    /// The account is known not to work; nothing was recorded.
    #[error("Amazon refuses the account")]
    Refused(Breaker),
    /// Amazon's rate is used up for longer than the caller waits; nothing was recorded.
    #[error(transparent)]
    NoSlot(#[from] NoSlot),
    /// The database took so long that it is not known whether the request was recorded.
    #[error("the request was not recorded in time")]
    Late,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer; it is durable if it began.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// What is left of the caller's time for recording once there is a slot.
pub(super) const RECORD_MARGIN: Duration = Duration::from_millis(500);
/// How long an answer waits for the wish to cancel to be recorded.
const WITHDRAW: Duration = Duration::from_millis(400);
/// Waits between tries to record it: the caller has been told, and nobody else knows of the wish.
const WITHDRAW_PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

/// What T1 came to.
pub(super) enum Recorded {
    /// The intent is recorded, leased and about to be sent.
    Attempt(Committed<Attempt>),
    /// The key named this reward before.
    Known(Reward),
}

fn check_value(account: &Account, value: Money) -> Result<(), IssueError> {
    let (minimum, maximum) = (account.minimum(), account.maximum());
    if value.minor() < minimum.minor() || value.minor() > maximum.minor() {
        return Err(IssueError::AmountOutOfRange { minimum, maximum });
    }
    Ok(())
}

fn tell_withdrawn(id: RewardId, ended: Result<Reward, CancelError>) {
    if let Err(error) = ended {
        tracing::warn!(reward.id = %id, error = %Chain(&error), "a reward that nobody waits for was not canceled");
    }
}

impl Rewards {
    /// Issues a reward, or tells the state of the one that this key named before. Waits for the outcome as long as the
    /// caller has patience and the settings allow since the request `arrived`; the work goes on after that.
    ///
    /// # Errors
    /// [`IssueError`]: nothing was sent to Amazon. A refusal of Amazon's is a `failed` reward, not an error.
    pub async fn issue(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
        arrived: Instant,
    ) -> Result<Issued, IssueError> {
        let ended = self.issue_in_time(client, command, patience, arrived).await;
        if let Err(IssueError::Late | IssueError::Store(_)) = &ended {
            self.metrics().unrecorded();
        }
        ended
    }

    async fn issue_in_time(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
        started: Instant,
    ) -> Result<Issued, IssueError> {
        let permit = Arc::clone(&self.parts.room).try_acquire_owned().map_err(|_full| IssueError::Busy)?;
        let wait = self.left(started).min(patience.unwrap_or(Duration::MAX));
        let (caller, mut hears) = Caller::new(self.ambient().monotonic() + wait);
        let this = self.clone();
        let mut job = self.tasks().spawn(async move {
            let _permit = permit;
            this.issue_now(client, command, started, caller).await
        });
        if let Ok(ended) = tokio::time::timeout(wait, &mut job).await {
            return ended.map_err(|_panicked| Lost)?;
        }
        // The outcome is not there yet. What is recorded is the answer; what is not recorded is waited for.
        let told = tokio::time::timeout(self.left(started), hears.wait_for(Option::is_some)).await;
        match told.map(|told| told.ok().and_then(|told| told.clone())) {
            Ok(Some(Told { reward, replayed })) => {
                if !replayed {
                    self.withdraw(&reward).await;
                }
                Ok(Issued { reward, code: None, replayed })
            }
            Ok(None) => job.await.map_err(|_panicked| Lost)?,
            Err(_elapsed) => {
                self.withdraw_later(job);
                Err(IssueError::Late)
            }
        }
    }

    /// The caller stops waiting without a code. Who asked for `on_unresolved: cancel` pays the customer otherwise now, so
    /// the wish to cancel is recorded before the answer leaves. Only for the request that bought: one that repeats it may
    /// be impatient with a card whose code was handed over long ago.
    async fn withdraw(&self, reward: &Reward) {
        if !reward.facts.cancel_if_unresolved {
            return;
        }
        let (this, client, id) = (self.clone(), reward.client, reward.id);
        let job = self.tasks().spawn(async move {
            let reason = "not proven while the caller waited";
            let (nobody, _hears) = Caller::new(this.ambient().monotonic());
            for pause in WITHDRAW_PAUSES {
                match this.cancel_now(client, id, reason.to_owned(), &nobody).await {
                    Err(CancelError::Store(error)) => {
                        tracing::warn!(reward.id = %id, error = %Chain(&error), "a wish to cancel was not recorded; once more");
                        tokio::time::sleep(pause).await;
                    }
                    ended => return tell_withdrawn(id, ended),
                }
            }
            tell_withdrawn(id, this.cancel_now(client, id, reason.to_owned(), &nobody).await);
        });
        drop(tokio::time::timeout(WITHDRAW, job).await);
    }

    /// The same where it is not even known whether the request was recorded.
    fn withdraw_later(&self, job: JoinHandle<Result<Issued, IssueError>>) {
        let this = self.clone();
        drop(self.tasks().spawn(async move {
            if let Ok(Ok(issued)) = job.await
                && !issued.replayed
            {
                this.withdraw(&issued.reward).await;
            }
        }));
    }

    /// T1, then the drive. Tells what was recorded as soon as it is.
    ///
    /// The idempotency key comes before everything that settings can change: a retry finds its reward although the
    /// account's limits are others now, or another account deals in the currency as well.
    async fn issue_now(
        &self,
        client: ClientId,
        command: Command,
        started: Instant,
        caller: Caller,
    ) -> Result<Issued, IssueError> {
        let intent = Intent::derive(client, &command.key);
        let recorded = match self.peek_intent(&intent).await? {
            Some(known) => self.seen_before(known, client, &command, started).await,
            None => self.record(client, &command, intent, started).await,
        };
        let recorded = recorded.inspect_err(|error| self.count_refusal(&command, error))?;
        match recorded {
            Recorded::Attempt(attempt) => {
                let (reward, code) = self.driven(attempt, &caller).await;
                Ok(Issued { reward, code, replayed: false })
            }
            Recorded::Known(reward) => {
                caller.tell_known(&reward);
                Ok(self.known(reward).await)
            }
        }
    }

    fn count_refusal(&self, command: &Command, error: &IssueError) {
        // Only a program that exists has budgets: the label is never the caller's own text.
        if let (IssueError::Charge(ChargeError::Budget(_)), Some(program)) = (error, &command.program) {
            self.metrics().budget_refused(program.as_str());
        }
    }

    async fn peek_intent(&self, intent: &Intent) -> Result<Option<Reward>, StoreError> {
        sql::peek_intent(&mut self.store().snapshot().await?, intent).await
    }

    /// Lets a new reward in: the account works as far as we know, and there is a slot of Amazon's rate while the caller
    /// waits. Otherwise no row is made.
    async fn admit(&self, account: &Account, started: Instant) -> Result<(), IssueError> {
        if let Some((why, until_us)) = account.quota().breaker()
            && !account.quota().probe(until_us, self.settings().breaker).await
        {
            return Err(IssueError::Refused(why));
        }
        let patience = self.left(started).saturating_sub(RECORD_MARGIN);
        Ok(account.quota().slot(Priority::Ordinary, patience).await?)
    }

    /// T1: one transaction that inserts the intent, leased and about to be sent.
    async fn record(
        &self,
        client: ClientId,
        command: &Command,
        intent: Intent,
        started: Instant,
    ) -> Result<Recorded, IssueError> {
        let account = self.validate(command).await?;
        self.admit(account, started).await?;
        let now = self.ambient().now();
        let (mut reward, token) = self.draft(client, (account, command), intent, now)?;
        reward.facts.ambiguous = self.is_in_doubt(account.id()).await?;
        failpoint::pass("issue", "before_t1");
        let mut tx = self.store().begin_as("reward.accept").await?;
        let new = sql::insert(&mut tx, &mut reward, &Entry::with_attempt("reward.received", 1)).await?;
        if new
            && let Some(charge) = &reward.charge
            && let Err(refused) = self.reserve(&mut tx, (account, &reward), charge, now).await
        {
            // A budget that is used up may be asked for often.
            tx.undo().await;
            return Err(refused);
        }
        failpoint::pass("issue", "in_t1");
        if failpoint::seeded("B1") {
            drop(account.client().create_gift_card(&reward.creation_request_id, reward.value).await);
        }
        // Also where nothing was inserted: what this transaction ran into may itself not be committed yet, and nobody is
        // answered from what may still vanish.
        let committed = tx.commit(Attempt { reward, token, has_slot: true }).await?;
        failpoint::pass("issue", "after_t1");
        if new {
            committed.get().reward.trace_on();
            self.metrics().key_used(KeyUse::New);
            return Ok(Recorded::Attempt(committed));
        }
        match self.peek_intent(&intent).await? {
            Some(known) => self.seen_before(known, client, command, started).await,
            None => Err(IssueError::ExternalIdConflict),
        }
    }

    /// There is a reward of this key: the caller's, or one that is theirs as this key proves.
    async fn seen_before(
        &self,
        known: Reward,
        client: ClientId,
        command: &Command,
        started: Instant,
    ) -> Result<Recorded, IssueError> {
        known.trace_on();
        if known.client == ClientId::ADOPTED {
            return self.reclaim(known, client, command, started).await;
        }
        self.again(known, command, started).await
    }

    /// The key was used before: for this command, or the request is refused. A refusal of Amazon's that can be cured is
    /// tried again, with the same id, where the settings still allow it; anything else answers for itself.
    async fn again(&self, known: Reward, command: &Command, started: Instant) -> Result<Recorded, IssueError> {
        if !known.is_of(command) {
            self.metrics().key_used(KeyUse::Mismatch);
            return Err(IssueError::Mismatch);
        }
        self.metrics().key_used(if known.due_at.is_some() { KeyUse::InProgress } else { KeyUse::Replayed });
        let fitting = self.account_of(&known).filter(|account| check_value(account, known.value).is_ok());
        let Some(account) = fitting.filter(|_account| known.facts.state == State::Failed && known.facts.retryable)
        else {
            return Ok(Recorded::Known(known));
        };
        // The caller says that it is cured: this one may try, whatever the breaker says.
        account.quota().slot(Priority::Ordinary, self.left(started).saturating_sub(RECORD_MARGIN)).await?;
        let now = self.ambient().now();
        let in_doubt = self.is_in_doubt(account.id()).await?;
        let mut tx = self.store().begin_as("reward.retry").await?;
        let mut reward = sql::lock(&mut tx, known.id).await?.unwrap_or(known);
        reward.facts.ambiguous |= in_doubt;
        let token = self.ambient().token().map_err(StoreError::from)?;
        let begun = match machine::step(reward.facts, Event::Begin, now) {
            Ok(next) if reward.facts.state == State::Failed => {
                reward.charge = Self::charge(account, command, now).or(reward.charge);
                if let Some(charge) = &reward.charge {
                    self.reserve(&mut tx, (account, &reward), charge, now).await?;
                }
                self.apply(&mut reward, &next, Some(token), now)?;
                let entry = Entry::with_attempt("attempt.sent", reward.attempts);
                sql::save(&mut tx, &mut reward, &[entry], now).await?
            }
            // Someone else was quicker.
            Ok(_) | Err(_) => false,
        };
        let committed = tx.commit(Attempt { reward, token, has_slot: true }).await?;
        // A second try after a cured refusal is no replay to its caller: what it brings is bought just now.
        Ok(if begun { Recorded::Attempt(committed) } else { Recorded::Known(committed.into_inner().reward) })
    }

    /// The reward of a command that is new, leased.
    fn draft(
        &self,
        client: ClientId,
        (account, command): (&Account, &Command),
        intent: Intent,
        now: DateTime<Utc>,
    ) -> Result<(Reward, Uuid), IssueError> {
        let mock = match account.environment() {
            Environment::Sandbox => CreationRequestId::mock(&command.key),
            Environment::Production => None,
        };
        let token = self.ambient().token().map_err(StoreError::from)?;
        let lease = TimeDelta::from_std(self.settings().lease).unwrap_or(TimeDelta::seconds(30));
        let reward = Reward {
            id: RewardId::new(self.ambient().row_id(now).map_err(StoreError::from)?),
            client,
            intent,
            creation_request_id: mock.unwrap_or_else(|| CreationRequestId::derive(account.partner_id(), &intent)),
            account: account.id().to_owned(),
            marketplace: account.marketplace(),
            environment: account.environment(),
            kind: command.kind,
            value: command.value,
            external_id: command.external_id.clone(),
            metadata: command.metadata_json(),
            facts: Facts {
                state: State::Issuing,
                ambiguous: false,
                cancel_requested: false,
                cancel_if_unresolved: command.on_unresolved == OnUnresolved::Cancel,
                refusals: 0,
                cancel_doubt: false,
                cancel_failure: None,
                retryable: false,
                first_send_at: Some(now),
            },
            charge: Self::charge(account, command, now),
            booked: Booked::None,
            attention: None,
            last_error: None,
            attempts: 1,
            deliveries: 0,
            events: 0,
            version: 1,
            lease: Some(token),
            due_at: now.checked_add_signed(lease),
            created_at: now,
            updated_at: now,
            unproven_since: Some(now),
            issued_at: None,
            canceled_at: None,
            trace: trace::current(),
        };
        Ok((reward, token))
    }

    /// The key named this reward before: its present state, and its code again while that is allowed.
    async fn known(&self, reward: Reward) -> Issued {
        let since = reward.issued_at.unwrap_or(reward.created_at);
        let age = self.ambient().now().signed_duration_since(since).to_std().unwrap_or_default();
        if reward.facts.state != State::Issued || age >= self.settings().redelivery {
            return Issued { reward, code: None, replayed: true };
        }
        match self.show_again(reward.clone(), Showing::Redelivery).await {
            Ok((reward, code)) => Issued { reward, code: Some(code), replayed: true },
            Err(error) => {
                tracing::warn!(reward.id = %reward.id, error = %Chain(&error), "a code could not be shown again");
                let found = self.find_now(reward.client, reward.id).await.ok().flatten();
                Issued { reward: found.unwrap_or(reward), code: None, replayed: true }
            }
        }
    }

    async fn choose_account(&self, command: &Command) -> Result<&Account, IssueError> {
        let currency = command.value.currency();
        let of_program = self.account_of_program(command).await?;
        if of_program.is_some() && command.account.is_some() && of_program != command.account {
            return Err(ChargeError::OtherAccount.into());
        }
        if let Some(id) = of_program.or_else(|| command.account.clone()) {
            let account = self.parts.accounts.get(&id).ok_or(IssueError::UnknownAccount)?;
            return (account.currency() == currency).then_some(account).ok_or(IssueError::Currency(currency));
        }
        let mut fitting = self.parts.accounts.iter().filter(|account| account.currency() == currency);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(IssueError::AmbiguousAccount),
            (None, _) => Err(IssueError::Currency(currency)),
        }
    }

    /// Checks a command as [`Rewards::issue`] would, and reserves nothing.
    ///
    /// # Errors
    /// [`IssueError`] as an issue would answer it.
    pub async fn validate(&self, command: &Command) -> Result<&Account, IssueError> {
        let account = self.choose_account(command).await?;
        check_value(account, command.value)?;
        self.look_at_budgets(account, command).await?;
        Ok(account)
    }
}
