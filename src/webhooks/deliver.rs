//! The worker: it passes facts on, sends what is due, and removes what is old.
//!
//! Each replica runs one. It takes a delivery by moving its due time, and skips rows that another replica is taking. After a crash the delivery
//! becomes due again: an event may be sent twice, under the same id, and a crash loses none. What became of an attempt is written only while
//! the delivery has not been taken again.
//!
//! While an endpoint fails, a replica sends it one event at a time, after pauses that grow with the time for which it has failed. One that has
//! failed for days is disabled, and its events wait. A limit for each client keeps room for the others. Endpoints take turns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::Notify;

use super::{
    deliveries::{self, DeliveryState, Settlement, WebhookDelivery},
    endpoint_url::EndpointUrl,
    endpoints::{self, DisabledWhy, WebhookEndpoint},
    event::DISABLED,
    fan_out::{self, FanOutStep},
    message,
    metrics::AttemptOutcome,
    post::{PostFault, PostOutcome, WebhookMessage},
    schedule::{self, DeliveryVerdict},
    secret::{EndpointSecret, signature},
    service::Webhooks,
};
use crate::{
    events::{Named, outbox},
    failpoint,
    kernel::{Chain, ClientId, WebhookEndpointId},
    store::{StoreError, Tx},
};

/// How long a stop waits for what is on its way: a receiver that answers at all has answered by then. What has not is sent again, once the time is
/// over for which it was taken.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Between two looks at the database.
const POLL: Duration = Duration::from_secs(1);
/// Windows of facts that are passed on between two looks at what is due.
const STEPS_AT_ONCE: usize = 10;
/// What ends within this time is followed by one look.
const GATHER: Duration = Duration::from_millis(10);
/// For how long a delivery is taken: longer than an attempt may take.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Deliveries on their way at once from this replica: in all, to one client, to one endpoint, and to one that fails.
const SENDING_MAX: usize = 64;
const SENDING_TO_CLIENT_MAX: usize = 16;
const SENDING_TO_ONE_MAX: usize = 8;
const SENDING_TO_FAILING_MAX: usize = 1;
/// The pause of an endpoint that fails: a part of the time for which it has failed, within these, or as long as its receiver asks.
const PAUSE_MIN: TimeDelta = TimeDelta::seconds(5);
const PAUSE_MAX: TimeDelta = TimeDelta::minutes(15);
const PAUSE_PART: i32 = 4;
/// An endpoint that has failed for so long is disabled. Failures that lie further apart than the second have nothing to do with each other.
const FAILING_MAX: TimeDelta = TimeDelta::days(5);
const QUIET: TimeDelta = TimeDelta::days(2);
/// What cannot be sent for a reason of ours is tried again after this.
const PUT_BACK_FOR: TimeDelta = TimeDelta::minutes(10);
/// For how long deliveries are kept since they were to be sent last, in whatever state.
pub(super) const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// How often old ones are removed, and how many in one transaction.
const SWEEP_EVERY: TimeDelta = TimeDelta::minutes(1);
const SWEPT_AT_ONCE: usize = 500;

/// What is on its way from this replica.
#[derive(Default)]
struct OnTheWay {
    by_endpoint: Mutex<BTreeMap<(ClientId, WebhookEndpointId), usize>>,
    ended: Notify,
}

/// One delivery on its way.
struct Sending {
    all: Arc<OnTheWay>,
    endpoint: (ClientId, WebhookEndpointId),
}

impl OnTheWay {
    /// How many more may be sent to this endpoint now.
    fn room(&self, endpoint: &WebhookEndpoint) -> usize {
        let on_the_way = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = |of: &dyn Fn(&(ClientId, WebhookEndpointId)) -> bool| -> usize {
            on_the_way.iter().filter(|(which, _count)| of(which)).map(|(_which, count)| *count).sum()
        };
        let most = if endpoint.failures > 0 { SENDING_TO_FAILING_MAX } else { SENDING_TO_ONE_MAX };
        let left = SENDING_MAX.saturating_sub(counted(&|_any| true));
        let of_client = SENDING_TO_CLIENT_MAX.saturating_sub(counted(&|(client, _id)| *client == endpoint.client));
        left.min(of_client).min(most.saturating_sub(counted(&|(_client, id)| *id == endpoint.id)))
    }

    fn begin(self: &Arc<Self>, endpoint: &WebhookEndpoint) -> Sending {
        let endpoint = (endpoint.client, endpoint.id);
        let mut on_the_way = self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let own = on_the_way.entry(endpoint).or_default();
        *own = own.saturating_add(1);
        Sending { all: Arc::clone(self), endpoint }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut on_the_way = self.all.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = on_the_way.get_mut(&self.endpoint) {
            *own = own.saturating_sub(1);
        }
        on_the_way.retain(|_endpoint, own| *own > 0);
        self.all.ended.notify_one();
    }
}

impl Webhooks {
    /// Delivers until the process stops. What is on its way then is waited for with the other tasks, for [`STOP_GRACE`].
    pub(crate) async fn deliver_until_stopped(self) {
        let on_the_way = Arc::new(OnTheWay::default());
        let (mut swept, mut served) = (None, None);
        while !self.tasks.stopping().is_cancelled() {
            // What is due is sent also while no fact can be passed on.
            let step = self.pass_on().await.unwrap_or_else(|error| {
                tracing::warn!(error = %Chain(&error), "facts could not be passed on to endpoints; tried again");
                FanOutStep::Idle
            });
            let mut hidden = false;
            if step != FanOutStep::NobodyListens {
                hidden = self.send_due(&on_the_way, &mut served).await.unwrap_or_else(|error| {
                    tracing::warn!(error = %Chain(&error), "webhooks could not be sent; tried again");
                    false
                });
            }
            let now = self.ambient.now();
            if swept.is_none_or(|at| now.signed_duration_since(at).abs() >= SWEEP_EVERY) {
                swept = Some(now);
                if let Err(error) = self.sweep(now).await {
                    tracing::warn!(error = %Chain(&error), "old deliveries of webhooks could not be removed; tried again");
                }
            }
            tokio::select! {
                () = self.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(if hidden || step == FanOutStep::Moved { GATHER } else { POLL }) => {}
                () = on_the_way.ended.notified() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// Passes facts on that wait: some of many, so that what is due is sent between.
    async fn pass_on(&self) -> Result<FanOutStep, StoreError> {
        let mut step = FanOutStep::Idle;
        for _ in 0..STEPS_AT_ONCE {
            step = fan_out::step(&self.store, &self.ambient).await?;
            if step != FanOutStep::Moved || self.tasks.stopping().is_cancelled() {
                break;
            }
        }
        Ok(step)
    }

    /// Sends what is due, as far as there is room. Whoever was served last comes last. Answers whether something may be due that was not seen.
    async fn send_due(
        &self,
        on_the_way: &Arc<OnTheWay>,
        served: &mut Option<WebhookEndpointId>,
    ) -> Result<bool, StoreError> {
        let mut hidden = false;
        let mut ready = endpoints::ready(&mut self.store.snapshot().await?, self.ambient.now()).await?;
        let behind = ready.iter().position(|endpoint| Some(endpoint.id) > *served).unwrap_or(0);
        ready.rotate_left(behind);
        for endpoint in ready {
            let (room, id) = (on_the_way.room(&endpoint), endpoint.id);
            if self.tasks.stopping().is_cancelled() {
                break;
            }
            if room > 0 {
                hidden |= self.send_some(endpoint, room, on_the_way).await?;
                *served = Some(id);
            }
        }
        Ok(hidden)
    }

    /// Sends some to this endpoint. Answers whether others had stood before what is due, so that it is worth another look.
    async fn send_some(
        &self,
        endpoint: WebhookEndpoint,
        room: usize,
        on_the_way: &Arc<OnTheWay>,
    ) -> Result<bool, StoreError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("webhooks.claim").await?;
        let taken = deliveries::claim(&mut tx, endpoint.id, now, room, after(now, LEASE)).await?;
        let deferred = if taken.len() < room { deliveries::defer(&mut tx, endpoint.id, now).await? } else { 0 };
        tx.commit(()).await?;
        failpoint::pass("webhooks", "claimed");
        let endpoint = Arc::new(endpoint);
        for delivery in taken {
            let (webhooks, endpoint, sending) = (self.clone(), Arc::clone(&endpoint), on_the_way.begin(&endpoint));
            drop(self.tasks.spawn(async move {
                if let Err(error) = webhooks.attempt(&endpoint, &delivery).await {
                    tracing::warn!(
                        webhooks.endpoint = %endpoint.id,
                        webhooks.delivery = delivery.id,
                        error = %Chain(&error),
                        "what became of a delivery could not be written; it is sent again"
                    );
                }
                drop(sending);
            }));
        }
        Ok(deferred > 0)
    }

    async fn attempt(&self, endpoint: &WebhookEndpoint, delivery: &WebhookDelivery) -> Result<(), StoreError> {
        let body = message::body(&mut self.store.snapshot().await?, delivery).await?;
        let Some(body) = body else {
            tracing::error!(
                webhooks.delivery = delivery.id,
                "there is nothing to send any more: what the event is about is missing"
            );
            return self.put_back(None, delivery, "subject_missing").await;
        };
        let now = self.ambient.now();
        let Some(secrets) = self.secrets(endpoint, now) else {
            return self.put_back(Some(endpoint), delivery, "secret_sealed").await;
        };
        let outcome = match EndpointUrl::parse(&endpoint.url, self.reachable) {
            // The settings have changed since it was made.
            Err(_refused) => PostOutcome::NotDelivered(PostFault::AddressRefused),
            Ok(url) => {
                let id = delivery.message_id();
                let secrets: Vec<&EndpointSecret> = secrets.iter().collect();
                let signature = signature(&secrets, &id, now, body.as_bytes());
                let poster = match self.poster() {
                    Ok(poster) => poster,
                    Err(error) => {
                        tracing::error!(error = %Chain(&error), "no message can be sent to any endpoint; events wait");
                        return self.put_back(Some(endpoint), delivery, "no_client").await;
                    }
                };
                let message = WebhookMessage { id: &id, at: now, body: &body, signature: &signature };
                tokio::select! {
                    outcome = poster.post(&url, &message) => outcome,
                    () = self.stop_is_due() => return Ok(()),
                }
            }
        };
        failpoint::pass("webhooks", "sent");
        self.settle(endpoint, delivery, &outcome).await
    }

    /// Resolves when the process stops and has waited long enough.
    async fn stop_is_due(&self) {
        self.tasks.stopping().cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    }

    /// The secrets that sign now, the newest first. One whose key is not listed is left out; `None` where that is the newest.
    fn secrets(&self, endpoint: &WebhookEndpoint, now: DateTime<Utc>) -> Option<Vec<EndpointSecret>> {
        let open = |sealed| {
            self.open_secret(endpoint.id, sealed).inspect_err(|error| {
                tracing::error!(webhooks.endpoint = %endpoint.id, error = %Chain(error), "what signs the messages to an endpoint does not open");
            })
        };
        let newest = open(&endpoint.secret).ok()?;
        let old = endpoint.old_secret.iter().filter(|(_sealed, until)| *until > now);
        Some(std::iter::once(newest).chain(old.filter_map(|(sealed, _until)| open(sealed).ok())).collect())
    }

    /// Has it wait for a while, for a reason of ours; where the reason is the endpoint's, all else that waits for the endpoint, too.
    async fn put_back(
        &self,
        paused: Option<&WebhookEndpoint>,
        delivery: &WebhookDelivery,
        why: &'static str,
    ) -> Result<(), StoreError> {
        let until = after(self.ambient.now(), PUT_BACK_FOR);
        let mut tx = self.store.begin_as("webhooks.put_back").await?;
        deliveries::put_back(&mut tx, delivery, until, why).await?;
        if let Some(endpoint) = paused {
            endpoints::pause(&mut tx, endpoint.id, until).await?;
        }
        tx.commit(()).await?;
        self.metrics.attempted(AttemptOutcome::NotSent);
        Ok(())
    }

    async fn settle(
        &self,
        endpoint: &WebhookEndpoint,
        delivery: &WebhookDelivery,
        outcome: &PostOutcome,
    ) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let attempt = u32::try_from(delivery.attempts.saturating_add(1)).unwrap_or(u32::MAX);
        let verdict = schedule::after(attempt, outcome, self.ambient.draw().unwrap_or(0));
        let (settled, counted) = settlement(verdict, outcome, now);
        let mut tx = self.store.begin_as("webhooks.settle").await?;
        let is_ours = deliveries::settle(&mut tx, delivery, &settled).await?;
        // Where it was taken again, whoever took it decides about the endpoint.
        if !is_ours {
            tx.undo().await;
            return Ok(());
        }
        if settled.state != DeliveryState::Pending {
            deliveries::release(&mut tx, endpoint.id, &delivery.subject, now).await?;
        }
        let disabled = match verdict {
            DeliveryVerdict::Delivered => {
                if endpoint.failures > 0 {
                    endpoints::succeeded(&mut tx, endpoint.id).await?;
                }
                None
            }
            DeliveryVerdict::Gone => {
                endpoints::disable_gone(&mut tx, endpoint.id, &endpoint.url, now).await?.then_some(DisabledWhy::Gone)
            }
            DeliveryVerdict::Again(_) | DeliveryVerdict::GivenUp => {
                self.failed(&mut tx, endpoint, outcome, now).await?
            }
        };
        if let Some(why) = disabled {
            let data = json!({"endpoint_id": endpoint.id.to_string(), "why": why.as_str()});
            outbox::write(&mut tx, DISABLED, Named::Client(&endpoint.client.to_string()), Some(&data), now).await?;
        }
        tx.commit(()).await?;
        failpoint::pass("webhooks", "settled");
        self.metrics.attempted(counted);
        if let Some(why) = disabled {
            self.metrics.disabled(why);
            tracing::warn!(webhooks.endpoint = %endpoint.id, webhooks.why = why.as_str(), "an endpoint was disabled; its events wait");
        }
        Ok(())
    }

    /// Notes that the endpoint failed: it pauses, or is disabled.
    async fn failed(
        &self,
        tx: &mut Tx,
        endpoint: &WebhookEndpoint,
        outcome: &PostOutcome,
        now: DateTime<Utc>,
    ) -> Result<Option<DisabledWhy>, StoreError> {
        if endpoints::disable_failing(tx, endpoint.id, before(now, FAILING_MAX), now).await? {
            return Ok(Some(DisabledWhy::Failing));
        }
        let failing = endpoint.failing_since.map_or(TimeDelta::zero(), |since| now.signed_duration_since(since));
        let pause = failing.checked_div(PAUSE_PART).unwrap_or(PAUSE_MAX).clamp(PAUSE_MIN, PAUSE_MAX);
        let pause = pause.max(schedule::asked(outcome));
        endpoints::failed(tx, endpoint.id, now, after(now, pause), before(now, QUIET)).await?;
        Ok(None)
    }

    /// Removes what is old, and what is left of deleted endpoints.
    async fn sweep(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let until = before(now, KEPT_FOR);
        loop {
            let mut tx = self.store.begin_as("webhooks.sweep").await?;
            let swept = deliveries::remove_aged(&mut tx, until, SWEPT_AT_ONCE).await?;
            let of_deleted = deliveries::remove_of_deleted(&mut tx, SWEPT_AT_ONCE).await?;
            endpoints::remove(&mut tx).await?;
            tx.commit(()).await?;
            self.metrics.expired(swept.pending);
            let rest = u64::try_from(SWEPT_AT_ONCE).unwrap_or(u64::MAX) > of_deleted;
            if (swept.all < SWEPT_AT_ONCE && rest) || self.tasks.stopping().is_cancelled() {
                return Ok(());
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// What a delivery becomes by an attempt, and how that is counted.
fn settlement(verdict: DeliveryVerdict, outcome: &PostOutcome, now: DateTime<Utc>) -> (Settlement, AttemptOutcome) {
    let (status, failure) = match outcome {
        PostOutcome::Answered { status, .. } => (Some(i64::from(*status)), None),
        PostOutcome::NotDelivered(fault) => (None, Some(fault.as_str())),
    };
    let done = |state| Settlement { state, due_at: now, status, failure, done_at: Some(now) };
    let pending = |due_at| Settlement { state: DeliveryState::Pending, due_at, status, failure, done_at: None };
    match verdict {
        DeliveryVerdict::Delivered => (done(DeliveryState::Delivered), AttemptOutcome::Delivered),
        // It waits with all others, until somebody enables the endpoint.
        DeliveryVerdict::Gone => (pending(now), AttemptOutcome::Gone),
        DeliveryVerdict::GivenUp => (done(DeliveryState::Failed), AttemptOutcome::Failed),
        DeliveryVerdict::Again(pause) => (pending(after(now, pause)), AttemptOutcome::Retried),
    }
}

/// An instant so much earlier.
fn before(now: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    now.checked_sub_signed(by).unwrap_or(DateTime::UNIX_EPOCH)
}

/// An instant so much later.
fn after(now: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(pause).unwrap_or(now)
}
