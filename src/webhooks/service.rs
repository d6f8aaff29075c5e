//! The use cases of endpoints: make, change, rotate, delete, and have events sent again.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    deliver::KEPT_FOR,
    deliveries::{self, DeliveryState, WebhookDelivery},
    endpoint_url::{EndpointUrl, Reachable},
    endpoints::{self, DisabledWhy, EndpointState, WebhookEndpoint},
    event::EventFilter,
    fan_out,
    message::test_of,
    metrics::Metrics,
    post::{NoPoster, Poster},
    secret::{EndpointSecret, NoEndpointSecret},
};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, AuditActor, Deed, Scribe},
    events::{scopes::LEDGER_READ, stream},
    identity::{Caller, Scope, Scopes},
    incentives::scopes::REWARDS_READ,
    kernel::WebhookEndpointId,
    lifecycle::Tasks,
    pay::scopes::PAY_READ,
    sealing::{Keyring, Place, Sealed, SealingError, Target},
    store::{Store, StoreError, Tx},
};

/// Endpoints of one client.
pub(super) const ENDPOINTS_MAX: usize = 20;
/// Deliveries of one step of a replay, and of one request.
const REPLAY_STEP: i64 = 200;
const REPLAY_STEPS_MAX: usize = 50;
/// What the seal of a secret is bound to besides its row.
const SEALED_FOR: &str = "webhook_secret";

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) tasks: Tasks,
    /// Seals the secrets of endpoints.
    pub(crate) keyring: Arc<Keyring>,
    /// Made at the first message: who has no endpoint pays for no client.
    pub(crate) poster: Arc<OnceLock<Poster>>,
    /// Where endpoints may be.
    pub(crate) reachable: Reachable,
    pub(crate) metrics: Arc<Metrics>,
    /// Writes down who changes an endpoint.
    pub(crate) scribe: Scribe,
}

/// Why an endpoint was not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// There is no such endpoint or delivery, or it is another's.
    #[error("there is no such endpoint")]
    NotFound,
    /// The client has an endpoint at this address.
    #[error("the client has an endpoint with this URL: {0}")]
    Taken(WebhookEndpointId),
    /// The client has as many as it may have.
    #[error("the client has {ENDPOINTS_MAX} endpoints, the most that it may have")]
    TooMany,
    /// The endpoint is disabled.
    #[error("the endpoint is disabled")]
    Disabled,
    /// The key may not see what the endpoint would hear.
    #[error("the key lacks the scope {0}, which whoever hears these events needs")]
    Scope(Scope),
    /// Nothing can be sealed.
    #[error("the settings list no sealing key")]
    NotSetUp,
    /// A secret was not made or sealed.
    #[error(transparent)]
    Sealing(SealingError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SealingError> for WebhookError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::NoKey => Self::NotSetUp,
            SealingError::NotListed(_)
            | SealingError::Unopened(_)
            | SealingError::Unsealed(_)
            | SealingError::Randomness(_) => Self::Sealing(error),
        }
    }
}

/// Why a secret does not sign.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretUnread {
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error(transparent)]
    Malformed(#[from] NoEndpointSecret),
}

/// Who changes an endpoint, and what its key may see.
pub(super) struct EndpointAsker {
    pub(super) actor: AuditActor,
    pub(super) scopes: Scopes,
}

impl EndpointAsker {
    /// Whether the key may see what such an endpoint hears: the scopes that reading it by the API takes.
    fn check(&self, heard: &EventFilter) -> Result<(), WebhookError> {
        let needed = [
            (heard.hears_of_rewards(), REWARDS_READ),
            (heard.hears_of_others(), LEDGER_READ),
            (heard.hears_of_payments(), PAY_READ),
        ];
        let lacking = needed.into_iter().find(|(is_needed, scope)| *is_needed && !self.scopes.allow(*scope));
        lacking.map_or(Ok(()), |(_needed, scope)| Err(WebhookError::Scope(scope)))
    }
}

/// What an endpoint is to be.
#[derive(Debug, Default)]
pub(super) struct EndpointChange {
    pub(super) url: Option<EndpointUrl>,
    pub(super) description: Option<Option<String>>,
    pub(super) event_types: Option<EventFilter>,
    pub(super) state: Option<EndpointState>,
}

impl EndpointChange {
    const fn is_empty(&self) -> bool {
        let Self { url, description, event_types, state } = self;
        url.is_none() && description.is_none() && event_types.is_none() && state.is_none()
    }
}

/// An endpoint that was made, or has another secret.
pub(super) struct WithSecret {
    pub(super) endpoint: WebhookEndpoint,
    /// It is shown once.
    pub(super) secret: EndpointSecret,
}

/// What a request for a replay came to.
pub(super) struct Replayed {
    pub(super) deliveries: u64,
    /// Where the next request goes on; `None` when all were looked at.
    pub(super) next: Option<i64>,
}

impl Webhooks {
    pub(super) fn open_secret(&self, id: WebhookEndpointId, sealed: &Sealed) -> Result<EndpointSecret, SecretUnread> {
        let text = self.keyring.open(sealed, place(id))?;
        Ok(EndpointSecret::parse(text.in_clear())?)
    }

    /// What sends messages; made at the first one.
    pub(super) fn poster(&self) -> Result<&Poster, NoPoster> {
        match self.poster.get() {
            Some(poster) => Ok(poster),
            None => Poster::new(self.reachable).map(|made| self.poster.get_or_init(|| made)),
        }
    }

    fn new_secret(&self, id: WebhookEndpointId) -> Result<(EndpointSecret, Sealed), WebhookError> {
        if self.keyring.is_empty() {
            return Err(WebhookError::NotSetUp);
        }
        let secret = EndpointSecret::draw(&self.ambient).map_err(SealingError::from)?;
        let clear: Zeroizing<String> = secret.in_clear();
        // A secret is not empty, and shorter than a target may be.
        let target = Target::new(clear).ok_or(WebhookError::NotSetUp)?;
        let sealed = self.keyring.seal(&target, place(id), &self.ambient)?;
        Ok((secret, sealed))
    }

    /// Those of the caller's client that the caller may see.
    pub(crate) async fn list(&self, caller: &Caller) -> Result<Vec<WebhookEndpoint>, WebhookError> {
        let all = endpoints::of_client(&mut self.store.question().await?, caller.client).await?;
        Ok(all.into_iter().filter(|endpoint| is_of(endpoint, caller)).collect())
    }

    /// The endpoint, if the caller may see it.
    pub(super) async fn find(&self, caller: &Caller, id: WebhookEndpointId) -> Result<WebhookEndpoint, WebhookError> {
        let found = endpoints::find(&mut self.store.question().await?, id).await?;
        found.filter(|endpoint| is_of(endpoint, caller)).ok_or(WebhookError::NotFound)
    }

    /// Makes an endpoint for the caller's client. It hears of what the caller sees.
    pub(super) async fn create(
        &self,
        caller: &Caller,
        by: EndpointAsker,
        url: EndpointUrl,
        description: Option<String>,
        event_types: EventFilter,
    ) -> Result<WithSecret, WebhookError> {
        by.check(&event_types)?;
        let (by, now) = (by.actor, self.ambient.now());
        let id = WebhookEndpointId::new(self.ambient.row_id(now).map_err(SealingError::from)?);
        let (secret, sealed) = self.new_secret(id)?;
        let mut tx = self.begin(&by).await?;
        let free = self.check_room(&mut tx, caller, &url, None).await;
        tx = tx.or_undo(free).await?;
        // What can still be committed with such an id is heard.
        let given = stream::given(&mut tx).await?;
        let since = stream::settled(&mut tx, given).await?;
        fan_out::begin_behind(&mut tx, since).await?;
        let endpoint = WebhookEndpoint {
            id,
            client: caller.client,
            program: caller.bound_to().cloned(),
            everyone: caller.is_operator(),
            url: url.as_str().to_owned(),
            description,
            event_types,
            since,
            state: EndpointState::Enabled,
            disabled_why: None,
            secret: sealed,
            old_secret: None,
            failures: 0,
            failing_since: None,
            created_at: now,
            updated_at: now,
        };
        endpoints::insert(&mut tx, &endpoint).await?;
        record(&mut tx, &self.scribe.of(by), AuditAction::WebhookEndpointCreated, &endpoint, now).await?;
        tx.commit(()).await?;
        Ok(WithSecret { endpoint, secret })
    }

    /// Changes an endpoint. One that is enabled again is sent what waits.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        by: EndpointAsker,
        id: WebhookEndpointId,
        change: EndpointChange,
    ) -> Result<WebhookEndpoint, WebhookError> {
        let now = self.ambient.now();
        let tx = self.begin(&by.actor).await?;
        let (known, tx) = Self::known(tx, caller, id).await?;
        // The key that sets the URL must be allowed to read all that the endpoint receives.
        let may = by
            .check(&known.event_types)
            .and_then(|()| change.event_types.as_ref().map_or(Ok(()), |types| by.check(types)));
        let (mut tx, by) = (tx.or_undo(may).await?, by.actor);
        let mut wanted = known.clone();
        if let Some(url) = &change.url {
            let free = self.check_room(&mut tx, caller, url, Some(id)).await;
            tx = tx.or_undo(free).await?;
            url.as_str().clone_into(&mut wanted.url);
        }
        if change.is_empty() {
            tx.undo().await;
            return Ok(known);
        }
        wanted.description = change.description.unwrap_or(wanted.description);
        wanted.event_types = change.event_types.unwrap_or(wanted.event_types);
        endpoints::change(&mut tx, &wanted, now).await?;
        match change.state {
            Some(EndpointState::Enabled) => {
                endpoints::enable(&mut tx, id, now).await?;
                deliveries::hurry(&mut tx, id, now).await?;
            }
            Some(EndpointState::Disabled) => {
                endpoints::disable(&mut tx, id, DisabledWhy::Asked, now).await?;
            }
            None => {}
        }
        let changed = endpoints::find(&mut tx, id).await?.ok_or(WebhookError::NotFound)?;
        record(&mut tx, &self.scribe.of(by), AuditAction::WebhookEndpointChanged, &changed, now).await?;
        tx.commit(()).await?;
        Ok(changed)
    }

    /// Gives an endpoint another secret. The old one signs as well for a while.
    pub(super) async fn rotate(
        &self,
        caller: &Caller,
        by: EndpointAsker,
        id: WebhookEndpointId,
        overlap: TimeDelta,
    ) -> Result<WithSecret, WebhookError> {
        let now = self.ambient.now();
        let (secret, sealed) = self.new_secret(id)?;
        let tx = self.begin(&by.actor).await?;
        let (known, tx) = Self::known(tx, caller, id).await?;
        let (mut tx, by) = (tx.or_undo(by.check(&known.event_types)).await?, by.actor);
        let old_until = now.checked_add_signed(overlap).filter(|until| *until > now);
        endpoints::rotate(&mut tx, id, &sealed, old_until, now).await?;
        let endpoint = endpoints::find(&mut tx, id).await?.ok_or(WebhookError::NotFound)?;
        record(&mut tx, &self.scribe.of(by), AuditAction::WebhookSecretRotated, &endpoint, now).await?;
        tx.commit(()).await?;
        Ok(WithSecret { endpoint, secret })
    }

    /// Deletes an endpoint, and what waits for it.
    pub(super) async fn delete(
        &self,
        caller: &Caller,
        by: AuditActor,
        id: WebhookEndpointId,
    ) -> Result<(), WebhookError> {
        let now = self.ambient.now();
        let tx = self.begin(&by).await?;
        let (known, mut tx) = Self::known(tx, caller, id).await?;
        endpoints::delete(&mut tx, id, now).await?;
        record(&mut tx, &self.scribe.of(by), AuditAction::WebhookEndpointDeleted, &known, now).await?;
        tx.commit(()).await?;
        Ok(())
    }

    /// Sends a test to an endpoint, before what waits for it.
    pub(super) async fn test(&self, caller: &Caller, id: WebhookEndpointId) -> Result<WebhookDelivery, WebhookError> {
        let token = self.ambient.token().map_err(SealingError::from)?;
        let (known, tx) = Self::known(self.store.begin().await?, caller, id).await?;
        let enabled = if known.state == EndpointState::Enabled { Ok(()) } else { Err(WebhookError::Disabled) };
        let mut tx = tx.or_undo(enabled).await?;
        let (event_type, subject) = test_of(&id.to_string(), &token.simple().to_string());
        endpoints::resume(&mut tx, id, self.ambient.now()).await?;
        let made = deliveries::insert_test(&mut tx, id, event_type, &subject, self.ambient.now()).await?;
        Ok(tx.commit(made).await?.into_inner())
    }

    /// The deliveries of an endpoint, newest first.
    pub(crate) async fn deliveries(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        state: Option<DeliveryState>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<WebhookDelivery>, WebhookError> {
        let mut snapshot = self.store.question().await?;
        let found = endpoints::find(&mut snapshot, id).await?;
        found.filter(|endpoint| is_of(endpoint, caller)).ok_or(WebhookError::NotFound)?;
        Ok(deliveries::page(&mut snapshot, id, state, before, limit).await?)
    }

    /// Has a delivery sent again at once, whatever became of it.
    pub(crate) async fn redeliver(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        delivery: i64,
    ) -> Result<WebhookDelivery, WebhookError> {
        let (_known, mut tx) = Self::known(self.store.begin().await?, caller, id).await?;
        let found = deliveries::redeliver(&mut tx, id, delivery, self.ambient.now()).await?;
        let mut tx = tx.or_undo(found.as_ref().map(|_found| ()).ok_or(WebhookError::NotFound)).await?;
        endpoints::resume(&mut tx, id, self.ambient.now()).await?;
        let again = tx.commit(found).await?.into_inner();
        again.ok_or(WebhookError::NotFound)
    }

    /// Has what was delivered or given up since this instant sent again, in its order; at most so many at once.
    pub(super) async fn replay(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        from: DateTime<Utc>,
        behind: Option<i64>,
    ) -> Result<Replayed, WebhookError> {
        self.find(caller, id).await?;
        let mut next = match behind {
            Some(behind) => Some(behind.saturating_add(1)),
            None => deliveries::first_since(&mut self.store.question().await?, from).await?,
        };
        let mut replayed = 0_u64;
        for _ in 0..REPLAY_STEPS_MAX {
            let Some(first) = next else { break };
            let mut tx = self.store.begin_as("webhooks.replay").await?;
            let step = deliveries::replay(&mut tx, id, first, REPLAY_STEP, self.ambient.now()).await?;
            tx.commit(()).await?;
            replayed = replayed.saturating_add(step.replayed);
            next = step.last.map(|last| last.saturating_add(1));
        }
        Ok(Replayed { deliveries: replayed, next: next.map(|next| next.saturating_sub(1)) })
    }

    /// The earliest instant that a replay reaches back to.
    pub(super) fn kept_since(&self) -> DateTime<Utc> {
        self.ambient.now().checked_sub_signed(KEPT_FOR).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Sets the gauges from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let counts = endpoints::counts(&mut snapshot).await?;
        let oldest = match counts.is_empty() {
            true => None,
            false => {
                let waits = deliveries::oldest(&mut snapshot).await?;
                [waits, fan_out::behind_since(&mut snapshot).await?].into_iter().flatten().min()
            }
        };
        self.metrics.show(oldest, self.ambient.now(), &counts);
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.metrics.retract();
    }

    /// A transaction that changes an endpoint. It has the audit's turn, so that no two of them decide at once.
    async fn begin(&self, by: &AuditActor) -> Result<Tx, StoreError> {
        let mut tx = self.store.begin().await?;
        self.scribe.of(by.clone()).wait_turn(&mut tx).await?;
        Ok(tx)
    }

    /// The endpoint as this transaction sees it, if the caller may see it.
    async fn known(mut tx: Tx, caller: &Caller, id: WebhookEndpointId) -> Result<(WebhookEndpoint, Tx), WebhookError> {
        let found = endpoints::find(&mut tx, id).await?.filter(|endpoint| is_of(endpoint, caller));
        let tx = tx.or_undo(found.as_ref().map(|_found| ()).ok_or(WebhookError::NotFound)).await?;
        Ok((found.ok_or(WebhookError::NotFound)?, tx))
    }

    /// Whether the client may have an endpoint there.
    async fn check_room(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        url: &EndpointUrl,
        but: Option<WebhookEndpointId>,
    ) -> Result<(), WebhookError> {
        let own = endpoints::of_client(tx, caller.client).await?;
        let others = || own.iter().filter(|endpoint| Some(endpoint.id) != but);
        // Do not show the id of an endpoint that the caller may not see.
        if let Some(same) = others().find(|endpoint| endpoint.url == url.as_str() && is_of(endpoint, caller)) {
            return Err(WebhookError::Taken(same.id));
        }
        if others().count() >= ENDPOINTS_MAX { Err(WebhookError::TooMany) } else { Ok(()) }
    }
}

/// Writes a change of an endpoint into the audit.
pub(super) async fn record(
    tx: &mut Tx,
    scribe: &Scribe,
    action: AuditAction,
    endpoint: &WebhookEndpoint,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let details = json!({
        "client_id": endpoint.client.to_string(), "host": endpoint.host(), "event_types": endpoint.event_types.words(),
        "state": endpoint.state.as_str(), "everyone": endpoint.everyone,
    });
    let subject = endpoint.id.to_string();
    scribe.write(tx, Deed { action, subject: &subject, details }, now).await
}

const fn place(id: WebhookEndpointId) -> Place {
    Place { row: id.uuid(), kind: SEALED_FOR }
}

/// Whether the caller sees and changes this endpoint. One that hears of everybody is for whoever sees everybody's, and one of a program for
/// whoever deals with that program: else a key that may see little could have more sent to itself.
fn is_of(endpoint: &WebhookEndpoint, caller: &Caller) -> bool {
    endpoint.client == caller.client
        && (!endpoint.everyone || caller.is_operator())
        && caller.bound_to().is_none_or(|own| endpoint.program.as_ref() == Some(own))
}
