//! What the use cases stand on, and the plain reads. `issue`, `cancel` and `reveal` have files of their own.
//!
//! Everything that touches money or the database is spawned on the main runtime and the caller waits for it: a client
//! that hangs up stops nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore};

use super::{
    course,
    model::{Kind, Reward},
    restored::Restored,
    sql::{self, EventRow, Filter},
};
use crate::{
    accounts::{Account, Accounts, limiter::Breaker},
    ambient::Ambient,
    kernel::{
        CardProof, ClientId, CreationRequestId, Environment, Outcome, Refusal, RewardId,
        outcome::{ErrorType, Family},
    },
    lifecycle::Tasks,
    provider::incentives::Exchange,
    store::{Store, StoreError},
    telemetry::{
        metrics::Metrics,
        trace::{self, Attribute, Span, Traces},
    },
};

/// The use cases of rewards. Cheap to clone.
#[derive(Clone)]
pub struct Rewards {
    pub(super) parts: Arc<Parts>,
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
    /// The last restore of the database, if there was one.
    pub restored: Option<Restored>,
    /// Wakes the worker; carries nothing.
    pub wake: Arc<Notify>,
    /// Requests that may be in flight at once; one more is refused.
    pub room: Arc<Semaphore>,
    /// Begins the traces of recoveries.
    pub traces: Traces,
}

/// Limits of the settings, as durations.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a lease holds: longer than any attempt.
    pub lease: Duration,
    /// How long a call to Amazon may take.
    pub upstream_timeout: Duration,
    /// How long new rewards are refused after a refusal of the account; nothing for never.
    pub breaker: Duration,
    /// How long a caller waits at most.
    pub answer_within: Duration,
    /// Whether an attempt without a proven outcome is repeated while its caller still waits.
    pub replay_while_waited: bool,
    /// How long after its first send a reward may be replayed: Amazon forgetting the id would buy a second card.
    pub replay_age: Duration,
    /// How long the same key shows the code again.
    pub redelivery: Duration,
    /// How often a code is shown again by the same key.
    pub redelivery_max: u32,
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

    /// Whether Amazon may have forgotten the reward's id by now: replaying it would buy a second card.
    pub(super) fn is_too_old(&self, reward: &Reward, now: DateTime<Utc>) -> bool {
        course::is_too_old(reward, self.settings().replay_age, now)
    }

    /// How much of a caller's time is left.
    pub(super) fn left(&self, started: Instant) -> Duration {
        self.settings().answer_within.saturating_sub(started.elapsed())
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

    /// The account that made the reward, if it is still that account. Under another partner id, marketplace or environment
    /// the reward's id is unknown, and replaying it would buy a card.
    pub(super) fn account_of(&self, reward: &Reward) -> Option<&Account> {
        let (id, own) = (&reward.creation_request_id, &reward.intent);
        // Whose it is, is not proven: nothing is sent for it.
        if reward.client == ClientId::ADOPTED {
            return None;
        }
        self.parts.accounts.get(&reward.account).filter(|account| {
            let place = (account.marketplace(), account.environment()) == (reward.marketplace, reward.environment);
            let mock = reward.environment == Environment::Sandbox && id.is_mock();
            place && (mock || *id == CreationRequestId::derive(account.partner_id(), own))
        })
    }

    /// A reward of this client's.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn find(&self, client: ClientId, id: RewardId) -> Result<Option<Reward>, StoreError> {
        self.find_now(client, id).await
    }

    pub(super) async fn find_now(&self, client: ClientId, id: RewardId) -> Result<Option<Reward>, StoreError> {
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

    /// Learns from an answer to a create whether new rewards have a chance: a refusal of the account, its funds used up or
    /// its keys not valid, refuses them before a row is made; a success takes them again.
    pub(super) async fn learn(&self, account: &Account, id: &CreationRequestId, outcome: &Outcome<CardProof>) {
        if id.is_mock() || self.settings().breaker.is_zero() {
            return;
        }
        let why = match outcome {
            Outcome::Proven(_) => {
                if account.quota().clear().await {
                    tracing::info!(account = account.id(), "the account works again; new rewards are taken");
                }
                return;
            }
            Outcome::Refused(Refusal { family: Family::F300, error_type: ErrorType::InsufficientFunds }) => {
                Breaker::Funds
            }
            Outcome::Refused(Refusal { family: Family::F300, .. }) | Outcome::AuthRejected(_) => Breaker::Account,
            Outcome::Refused(Refusal { family: Family::F200, .. }) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                return;
            }
        };
        tracing::error!(
            account = account.id(),
            upstream.breaker = why.as_str(),
            "Amazon refuses the account; new rewards are refused"
        );
        account.quota().trip(why, self.settings().breaker).await;
    }

    /// The span of a call to Amazon about a reward.
    pub(super) fn call(account: &Account, reward: &Reward, operation: &'static str) -> Span {
        let span = trace::call(operation);
        if span.context().is_some() {
            span.set(Attribute::Method("POST"));
            span.set(Attribute::Server(account.client().endpoint().host()));
            span.set(Attribute::Reward(reward.id));
            span.set(Attribute::Attempt(reward.attempts));
            span.set(Attribute::CreationRequestId(reward.creation_request_id.clone()));
        }
        span
    }

    /// Counts a call to Amazon and what its answer says of the clocks, and ends its span.
    pub(super) fn observe<T>(
        &self,
        account: &str,
        exchange: &Exchange<T>,
        operation: &str,
        took: Duration,
        span: Span,
    ) {
        let outcome = (exchange.outcome.class(), exchange.outcome.reason());
        span.set(Attribute::Outcome(outcome.0));
        if let Some(status) = exchange.http_status {
            span.set(Attribute::Status(status));
        }
        if outcome.0 != "proven" {
            span.set(Attribute::Error(outcome.1));
        }
        drop(span);
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

/// The kinds that an account can sell.
pub const KINDS: &[Kind] = Kind::ALL;
