//! The use cases: issue, get, list, events, cancel, reveal, validate.
//!
//! Everything that touches money or the database is spawned on the main runtime and the caller waits for it: a client
//! that hangs up stops nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, Semaphore, oneshot};
use uuid::Uuid;

use super::{
    drive::{Attempt, DriveError, Driven},
    machine::{self, Card, Event, Facts, Rejected, State},
    model::{Command, Kind, OnUnresolved, Reward},
    sql::{self, EventRow, Filter},
    timeline::Entry,
};
use crate::{
    amazon::{Account, Accounts, Exchange},
    ambient::Ambient,
    kernel::{
        CardProof, Chain, ClaimCode, ClientId, CreationRequestId, Currency, Environment, Intent, Money, Outcome,
        Refusal, RewardId,
    },
    lifecycle::{Lost, Tasks},
    metrics::{KeyUse, Metrics},
    store::{Committed, Store, StoreError},
};

/// How often a code is shown again at most, by whatever way.
const SHOWINGS_MAX: i64 = 100;

/// The use cases of rewards. Cheap to clone.
#[derive(Clone)]
pub struct Rewards {
    parts: Arc<Parts>,
}

/// What the use cases are built from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Time and randomness.
    pub ambient: Ambient,
    /// The accounts of the settings.
    pub accounts: Accounts,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where money work runs.
    pub tasks: Tasks,
    /// Limits.
    pub settings: Limits,
    /// Wakes the worker; carries nothing.
    pub wake: Arc<Notify>,
    /// Requests that may be in flight at once; one more is refused.
    pub room: Arc<Semaphore>,
}

/// Limits of the settings, as durations.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a lease holds: longer than any attempt.
    pub lease: Duration,
    /// How long a caller waits at most.
    pub answer_within: Duration,
    /// How long after its first send a reward may be replayed: Amazon forgetting the id would buy a second card.
    pub replay_age: Duration,
    /// How long the same key shows the code again.
    pub redelivery: Duration,
    /// How often a code is shown again by the same key.
    pub redelivery_max: u32,
}

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

/// Why a cancel was refused.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// No such reward of this client's.
    #[error("no such reward")]
    NotFound,
    /// The window closed at this instant.
    #[error("the cancel window is closed")]
    WindowClosed {
        /// When it closed.
        until: Option<DateTime<Utc>>,
    },
    /// Amazon says that it cannot be canceled: it was claimed.
    #[error("the reward cannot be canceled any more")]
    NotPermitted(RewardId),
    /// The state does not allow it.
    #[error("the reward's state does not allow it")]
    InvalidState(State),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer; it is durable if it began.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a code was not shown.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// No such reward of this client's.
    #[error("no such reward")]
    NotFound,
    /// It was canceled, or is being.
    #[error("the reward is canceled")]
    Gone(State),
    /// It has no code to show (yet).
    #[error("the reward's state does not allow it")]
    InvalidState(State),
    /// It was shown too often.
    #[error("the code was shown too often")]
    TooOften,
    /// Too old to be replayed safely.
    #[error("the reward is too old to be shown again")]
    TooOld,
    /// Amazon did not prove the card now; nothing has changed.
    #[error("Amazon gave no usable answer")]
    Unavailable {
        /// Amazon's rate is used up.
        throttled: bool,
    },
    /// Amazon refuses the account.
    #[error("Amazon refused")]
    Refused(Refusal),
    /// Too much is in flight.
    #[error("too many requests are in flight")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a code is shown again.
#[derive(Debug, Clone)]
enum Showing {
    /// The same key was sent again.
    Redelivery,
    /// Someone asked for it, for this reason.
    Reveal(String),
}

impl Rewards {
    /// Puts the use cases together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    pub(super) fn store(&self) -> &Store {
        &self.parts.store
    }

    pub(super) fn ambient(&self) -> &Ambient {
        &self.parts.ambient
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    pub(super) fn settings(&self) -> &Limits {
        &self.parts.settings
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.parts.accounts
    }

    /// Where its work runs.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.parts.tasks
    }

    /// What wakes the worker.
    #[must_use]
    pub fn wake(&self) -> &Notify {
        &self.parts.wake
    }

    /// The account that made the reward. An account whose partner id was changed is another account: replaying there
    /// would buy a second card.
    pub(super) fn account_of(&self, reward: &Reward) -> Option<&Account> {
        self.parts.accounts.get(&reward.account).filter(|account| {
            let id = reward.creation_request_id.as_str();
            id.starts_with(account.partner_id()) || account.environment() == Environment::Sandbox
        })
    }

    /// Issues a reward, or tells the state of the one that this key named before. Waits for the outcome as long as the
    /// caller has patience and the settings allow; the work goes on after that.
    ///
    /// # Errors
    /// [`IssueError`]: nothing was sent to Amazon. A refusal of Amazon's is a `failed` reward, not an error.
    pub async fn issue(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
    ) -> Result<Issued, IssueError> {
        let started = self.ambient().monotonic();
        let permit = Arc::clone(&self.parts.room).try_acquire_owned().map_err(|_full| IssueError::Busy)?;
        let (this, (tell, told)) = (self.clone(), oneshot::channel());
        let mut job = self.tasks().spawn(async move {
            let _permit = permit;
            this.issue_now(client, command, tell).await
        });
        let wait = self.left(started).min(patience.unwrap_or(Duration::MAX));
        if let Ok(ended) = tokio::time::timeout(wait, &mut job).await {
            return ended.map_err(|_panicked| Lost)?;
        }
        // The outcome is not there yet. What is recorded is the answer; what is not recorded is waited for.
        match tokio::time::timeout(self.left(started), told).await {
            Ok(Ok(reward)) => Ok(Issued { reward, code: None, replayed: false }),
            Ok(Err(_nothing_new)) => match tokio::time::timeout(self.left(started), job).await {
                Ok(ended) => ended.map_err(|_panicked| Lost)?,
                Err(_elapsed) => Err(IssueError::Late),
            },
            Err(_elapsed) => Err(IssueError::Late),
        }
    }

    /// How much of the caller's time is left.
    fn left(&self, started: Instant) -> Duration {
        self.settings().answer_within.saturating_sub(started.elapsed())
    }

    /// T1, then the drive. Tells what was recorded as soon as it is.
    async fn issue_now(
        &self,
        client: ClientId,
        command: Command,
        tell: oneshot::Sender<Reward>,
    ) -> Result<Issued, IssueError> {
        let (attempt, replayed) = match self.record(client, &command).await? {
            Recorded::New(attempt) => (attempt, false),
            Recorded::Again(attempt) => (attempt, true),
            Recorded::Known(reward) => return self.known(reward).await,
        };
        self.metrics().key_used(if replayed { KeyUse::Replayed } else { KeyUse::New });
        // A caller who does not wait any more is not there to be told.
        drop(tell.send(attempt.get().reward.clone()));
        Ok(self.driven(attempt, replayed).await)
    }

    /// Drives, and answers with the reward as it was last committed, whatever came of it.
    async fn driven(&self, attempt: Committed<Attempt>, replayed: bool) -> Issued {
        let reward = attempt.get().reward.clone();
        match self.drive(attempt).await {
            Ok(Driven { reward, code }) => {
                if reward.due_at.is_some() {
                    self.wake().notify_one();
                }
                Issued { reward, code, replayed }
            }
            Err(error) => {
                tracing::warn!(
                    reward.id = %reward.id,
                    error = %Chain(&error),
                    "a drive ended without a committed outcome; recovery takes it up"
                );
                Issued { reward, code: None, replayed }
            }
        }
    }

    /// T1: one transaction that inserts the intent, leased and about to be sent, or finds the one that is there.
    ///
    /// The idempotency key comes before everything that settings can change: a retry finds its reward although the
    /// account's limits are others now, or another account deals in the currency as well.
    async fn record(&self, client: ClientId, command: &Command) -> Result<Recorded, IssueError> {
        let now = self.ambient().now();
        let intent = Intent::derive(client, &command.key);
        let drafted = match self.draft(client, command, intent, now) {
            // What is refused takes no part in the queue of those who write, unless its key is known.
            Err(refused) if sql::peek_intent(&mut self.store().snapshot().await?, &intent).await?.is_none() => {
                return Err(refused);
            }
            drafted => drafted,
        };
        let mut tx = self.store().begin().await?;
        let refused = match drafted {
            Ok((mut reward, token)) => {
                if sql::insert(&mut tx, &mut reward, &Entry::with_attempt("reward.received", 1)).await? {
                    return Ok(Recorded::New(tx.commit(Attempt { reward, token }).await?));
                }
                IssueError::ExternalIdConflict
            }
            Err(refused) => refused,
        };
        let Some(known) = sql::by_intent(&mut tx, &intent).await? else { return Err(refused) };
        if !known.is_of(command) {
            self.metrics().key_used(KeyUse::Mismatch);
            return Err(IssueError::Mismatch);
        }
        // A refusal that can be cured is tried again, with the same id. Anything else answers for itself.
        let next = match machine::step(known.facts, Event::Begin, now) {
            Ok(next) if known.facts.state == State::Failed => next,
            Ok(_) | Err(_) => return Ok(Recorded::Known(known)),
        };
        let (mut again, token) = (known.clone(), self.ambient().token().map_err(StoreError::from)?);
        self.apply(&mut again, &next, Some(token), now)?;
        let entry = Entry::with_attempt("attempt.sent", again.attempts);
        if !sql::save(&mut tx, &mut again, &[entry], now).await? {
            return Ok(Recorded::Known(known));
        }
        Ok(Recorded::Again(tx.commit(Attempt { reward: again, token }).await?))
    }

    /// The reward of a command that is new, leased.
    fn draft(
        &self,
        client: ClientId,
        command: &Command,
        intent: Intent,
        now: DateTime<Utc>,
    ) -> Result<(Reward, Uuid), IssueError> {
        let account = self.validate(command)?;
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
            kind: command.kind,
            value: command.value,
            external_id: command.external_id.clone(),
            metadata: command.metadata_json(),
            facts: Facts {
                state: State::Issuing,
                ambiguous: false,
                cancel_requested: false,
                cancel_if_unresolved: command.on_unresolved == OnUnresolved::Cancel,
                cancel_doubt: false,
                cancel_failure: None,
                retryable: false,
                first_send_at: Some(now),
            },
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
        };
        Ok((reward, token))
    }

    /// The key named this reward before: its present state, and its code again while that is allowed.
    async fn known(&self, reward: Reward) -> Result<Issued, IssueError> {
        let open = reward.due_at.is_some();
        self.metrics().key_used(if open { KeyUse::InProgress } else { KeyUse::Replayed });
        let since = reward.issued_at.unwrap_or(reward.created_at);
        let age = self.ambient().now().signed_duration_since(since).to_std().unwrap_or_default();
        let allowed = reward.deliveries < i64::from(self.settings().redelivery_max) && age < self.settings().redelivery;
        if reward.facts.state != State::Issued || !allowed {
            return Ok(Issued { reward, code: None, replayed: true });
        }
        match self.show_again(reward.clone(), Showing::Redelivery).await {
            Ok((reward, code)) => Ok(Issued { reward, code: Some(code), replayed: true }),
            Err(RevealError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(reward.id = %reward.id, error = %Chain(&error), "a code could not be shown again");
                let reward = self.find_now(reward.client, reward.id).await?.unwrap_or(reward);
                Ok(Issued { reward, code: None, replayed: true })
            }
        }
    }

    fn choose_account(&self, command: &Command) -> Result<&Account, IssueError> {
        let currency = command.value.currency();
        if let Some(id) = &command.account {
            let account = self.parts.accounts.get(id).ok_or(IssueError::UnknownAccount)?;
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
    pub fn validate(&self, command: &Command) -> Result<&Account, IssueError> {
        let account = self.choose_account(command)?;
        check_value(account, command.value)?;
        Ok(account)
    }

    /// A reward of this client's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn find(&self, client: ClientId, id: RewardId) -> Result<Option<Reward>, StoreError> {
        self.find_now(client, id).await
    }

    async fn find_now(&self, client: ClientId, id: RewardId) -> Result<Option<Reward>, StoreError> {
        let found = sql::peek(&mut self.store().snapshot().await?, id).await?;
        Ok(found.filter(|reward| reward.client == client))
    }

    /// A page of this client's rewards, newest first.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn list(&self, client: ClientId, filter: &Filter) -> Result<Vec<Reward>, StoreError> {
        sql::list(&mut self.store().snapshot().await?, client, filter).await
    }

    /// A reward's timeline; `None` when it is not this client's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn events(&self, client: ClientId, id: RewardId) -> Result<Option<Vec<EventRow>>, StoreError> {
        let mut snapshot = self.store().snapshot().await?;
        match sql::peek(&mut snapshot, id).await?.filter(|reward| reward.client == client) {
            Some(reward) => sql::events_of(&mut snapshot, reward.id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Cancels a reward, or says that it will be canceled as soon as its existence is proven.
    ///
    /// # Errors
    /// [`CancelError`]; the reward is as it was.
    pub async fn cancel(&self, client: ClientId, id: RewardId, reason: String) -> Result<Reward, CancelError> {
        let started = self.ambient().monotonic();
        let this = self.clone();
        let job = self.tasks().spawn(async move { this.cancel_now(client, id, reason).await });
        match tokio::time::timeout(self.left(started), job).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panicked)) => Err(Lost.into()),
            Err(_elapsed) => {
                let this = self.clone();
                let found = self.tasks().run(async move { this.find_now(client, id).await }).await??;
                found.ok_or(CancelError::NotFound)
            }
        }
    }

    async fn cancel_now(&self, client: ClientId, id: RewardId, reason: String) -> Result<Reward, CancelError> {
        let now = self.ambient().now();
        let mut tx = self.store().begin().await?;
        let before =
            sql::lock(&mut tx, id).await?.filter(|reward| reward.client == client).ok_or(CancelError::NotFound)?;
        let until = before.facts.first_send_at.map(crate::kernel::window::cancelable_until);
        let next = machine::step(before.facts, Event::CancelAsked, now).map_err(|rejected| match rejected {
            Rejected::WindowClosed => CancelError::WindowClosed { until },
            Rejected::InvalidState => CancelError::InvalidState(before.facts.state),
        })?;
        if next.facts == before.facts {
            // Asked before: nothing to write, and whoever holds the lease goes on.
            return Ok(before);
        }
        let token = self.ambient().token().map_err(StoreError::from)?;
        let mut reward = before.clone();
        // An attempt that is in flight keeps its lease and sees the wish when it settles.
        let in_flight = before.lease.is_some();
        if in_flight {
            reward.facts = next.facts;
        } else {
            let drive = next.facts.state == State::Canceling;
            self.apply(&mut reward, &next, drive.then_some(token), now)?;
        }
        let entry = Entry::with_reason("cancel.requested", reason);
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(StoreError::Unconfirmed.into());
        }
        let committed = tx.commit(reward).await?;
        self.tell(&before, committed.get());
        if in_flight || committed.get().lease != Some(token) {
            self.wake().notify_one();
            return Ok(committed.into_inner());
        }
        let answer = self.driven(committed.map(|reward| Attempt { reward, token }), false).await.reward;
        cancel_answer(answer)
    }

    /// Shows an issued reward's code again, by asking Amazon.
    ///
    /// # Errors
    /// [`RevealError`]; nothing was bought.
    pub async fn reveal(
        &self,
        client: ClientId,
        id: RewardId,
        reason: String,
    ) -> Result<(Reward, ClaimCode), RevealError> {
        let permit = Arc::clone(&self.parts.room).try_acquire_owned().map_err(|_full| RevealError::Busy)?;
        let this = self.clone();
        let work = async move {
            let _permit = permit;
            let reward = this.find_now(client, id).await?.ok_or(RevealError::NotFound)?;
            match reward.facts.state {
                State::Issued => this.show_again(reward, Showing::Reveal(reason)).await,
                state @ (State::Canceled | State::Canceling) => Err(RevealError::Gone(state)),
                state @ (State::Pending
                | State::Issuing
                | State::Unresolved
                | State::Failed
                | State::NeedsAttention) => Err(RevealError::InvalidState(state)),
            }
        };
        self.tasks().run(work).await?
    }

    /// Replays the create of an issued reward as a pure read, and hands the code over only after the showing is
    /// committed and the reward is still issued.
    async fn show_again(&self, reward: Reward, showing: Showing) -> Result<(Reward, ClaimCode), RevealError> {
        let account = self.account_of(&reward).ok_or(RevealError::InvalidState(reward.facts.state))?;
        let now = self.ambient().now();
        let age = reward.facts.first_send_at.and_then(|sent| now.signed_duration_since(sent).to_std().ok());
        if age.is_none_or(|age| age >= self.settings().replay_age) {
            return Err(RevealError::TooOld);
        }
        if reward.deliveries >= SHOWINGS_MAX {
            return Err(RevealError::TooOften);
        }
        let started = self.ambient().monotonic();
        let exchange = account.client().create_gift_card(&reward.creation_request_id, reward.value).await;
        self.observe(&reward.account, &exchange, "CreateGiftCard", started.elapsed());
        let (card, code) = match exchange.outcome {
            Outcome::Proven(CardProof::Fulfilled(code)) => (Card::Fulfilled, Some(code)),
            Outcome::Proven(CardProof::Refunded) => (Card::Refunded, None),
            Outcome::Proven(CardProof::OddStatus) => (Card::Odd, None),
            Outcome::Proven(CardProof::Mismatch) => (Card::Mismatch, None),
            Outcome::Refused(refusal) => return Err(RevealError::Refused(refusal)),
            Outcome::Ambiguous(doubt) => {
                return Err(RevealError::Unavailable { throttled: doubt == crate::kernel::Doubt::Throttled });
            }
            Outcome::TurnedAway(_) | Outcome::NotSent(_) => return Err(RevealError::Unavailable { throttled: false }),
        };
        let shown = self.note_showing(&reward, card, showing).await?;
        let state = shown.facts.state;
        code.map(|code| (shown, code)).ok_or(RevealError::InvalidState(state))
    }

    async fn note_showing(&self, seen: &Reward, card: Card, showing: Showing) -> Result<Reward, RevealError> {
        let now = self.ambient().now();
        let mut tx = self.store().begin().await?;
        let before = sql::lock(&mut tx, seen.id).await?.ok_or(RevealError::NotFound)?;
        let state = before.facts.state;
        if state != State::Issued {
            // Canceled meanwhile: the code stays here.
            return Err(RevealError::Gone(state));
        }
        let next = machine::step(before.facts, Event::Seen(card), now)
            .map_err(|_rejected| RevealError::InvalidState(state))?;
        let mut reward = before.clone();
        self.apply(&mut reward, &next, None, now)?;
        let entry = if next.deliver {
            reward.deliveries = reward.deliveries.saturating_add(1);
            match showing {
                Showing::Redelivery => Entry::new("claim_code.redelivered"),
                Showing::Reveal(reason) => Entry::with_reason("claim_code.revealed", reason),
            }
        } else {
            Entry::new("reward.needs_attention")
        };
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(StoreError::Unconfirmed.into());
        }
        let reward = tx.commit(reward).await?.into_inner();
        self.tell(&before, &reward);
        Ok(reward)
    }

    /// Counts a call to Amazon and what its answer says of the clocks.
    pub(super) fn observe<T>(&self, account: &str, exchange: &Exchange<T>, operation: &str, took: Duration) {
        let outcome = (exchange.outcome.class(), exchange.outcome.reason());
        self.metrics().upstream(account, operation, outcome, took);
        if let Some(theirs) = exchange.server_date {
            let skew = theirs.signed_duration_since(exchange.signed_at).num_milliseconds();
            self.metrics().clock_skew(account, skew);
        }
        if outcome.0 != "proven" {
            tracing::warn!(
                account,
                upstream.operation = operation,
                upstream.outcome = outcome.0,
                upstream.error = outcome.1,
                upstream.status = exchange.http_status,
                "a call to Amazon was not proven"
            );
        }
    }
}

enum Recorded {
    New(Committed<Attempt>),
    Again(Committed<Attempt>),
    Known(Reward),
}

fn check_value(account: &Account, value: Money) -> Result<(), IssueError> {
    let (minimum, maximum) = (account.minimum(), account.maximum());
    if value.minor() < minimum.minor() || value.minor() > maximum.minor() {
        return Err(IssueError::AmountOutOfRange { minimum, maximum });
    }
    Ok(())
}

/// A cancel that ended back at `issued` is a refusal to its caller.
fn cancel_answer(reward: Reward) -> Result<Reward, CancelError> {
    use super::machine::CancelFailure;
    match (reward.facts.state, reward.facts.cancel_failure) {
        (State::Issued, Some(CancelFailure::TooLate)) => {
            let until = reward.facts.first_send_at.map(crate::kernel::window::cancelable_until);
            Err(CancelError::WindowClosed { until })
        }
        (State::Issued, Some(CancelFailure::NotPermitted)) => Err(CancelError::NotPermitted(reward.id)),
        _ => Ok(reward),
    }
}

/// The kinds that an account can sell.
pub const KINDS: &[Kind] = Kind::ALL;

impl From<DriveError> for StoreError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Store(error) => error,
            DriveError::LeaseLost | DriveError::NoAccount => Self::Unconfirmed,
        }
    }
}
