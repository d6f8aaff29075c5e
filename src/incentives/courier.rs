//! The courier: what the engine needs of this product. It commits changes of rewards, sends what is due to Amazon, and
//! reports what happened.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::{
    answer::{Answer, without_slot},
    kind::{Errand, Validation},
    metrics::Metrics,
    model::Reward,
    sql,
    standing::answer_type,
    target,
    timeline::{self, Note},
};
use crate::{
    accounts::{Account, Accounts, Departure, NoSlot, Purpose, Slot, Wanted},
    ambient::Ambient,
    engine::{
        self, Action, Drive, Effects, End, Event, Order, Rules, Sight, Stage, State, Waiter,
        drive::{Change, DatedEvent, Milestone},
        run::Written,
        schedule::{Lease, Moment},
    },
    failpoint,
    kernel::{Chain, ClaimCode, ClientId, CreationRequestId, Environment, NotSent},
    lifecycle::Tasks,
    sealing::{Keyring, Sameness, Target},
    store::{Committed, Store, StoreError},
    telemetry::trace::{self, Attribute, Span, Traces},
};

mod points;
mod record;
mod validation;

use points::Failpoints;
use record::{conflict, transaction};

/// What is left of a lease for connecting and settling.
const SETTLE_MARGIN: Duration = Duration::from_secs(6);

/// Limits of the settings, as durations.
#[derive(Debug, Clone, Copy)]
pub struct CourierLimits {
    /// How long a lease holds: longer than any attempt.
    pub lease: Duration,
    /// How long a call to Amazon may take.
    pub upstream_timeout: Duration,
    /// How long new rewards are refused after a refusal of the account; zero for never.
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
    /// How long after its last change a settled reward is archived; `None` for never.
    pub retention: Option<Duration>,
}

/// The courier. Cheap to clone.
#[derive(Clone)]
pub struct Courier(Arc<CourierParts>);

/// What the courier works with.
pub struct CourierParts {
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
    pub limits: CourierLimits,
    /// Wakes the recovery; carries nothing.
    pub wake: Arc<Notify>,
    /// Begins the traces of recoveries.
    pub traces: Traces,
    /// Seals what rewards act on, and opens it to be sent.
    pub keyring: Keyring,
}

impl std::ops::Deref for Courier {
    type Target = CourierParts;

    fn deref(&self) -> &CourierParts {
        &self.0
    }
}

impl Courier {
    /// A courier with these parts.
    #[must_use]
    pub fn new(parts: CourierParts) -> Self {
        Self(Arc::new(parts))
    }

    /// A lease that begins now, under a token of its own.
    pub(super) fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease { token: self.ambient.token()?, holds: self.limits.lease })
    }

    /// How much of a caller's time is left.
    pub(super) fn left(&self, arrived: Instant) -> Duration {
        self.limits.answer_within.saturating_sub(arrived.elapsed())
    }

    /// The account that made the reward, if it is still that account. Under another partner id, marketplace or environment
    /// the reward's id is unknown, and replaying it would buy a card.
    pub(super) fn account_of(&self, reward: &Reward) -> Option<&Account> {
        let (id, own) = (&reward.creation_request_id, &reward.intent);
        // Whose it is, is not proven: nothing is sent for it.
        if reward.client == ClientId::ADOPTED {
            return None;
        }
        self.accounts.get(&reward.account).filter(|account| {
            let place = (account.marketplace(), account.environment()) == (reward.marketplace, reward.environment);
            let mock = reward.environment == Environment::Sandbox && id.is_mock();
            place && (mock || *id == CreationRequestId::derive(account.partner_id(), own))
        })
    }

    /// What a caller who waited is answered: the reward as it was last committed, whatever came of its drive.
    pub(super) fn carried(&self, end: End, reward: Reward, waiter: &Waiter<Reward>) -> Reward {
        if !self.report_end(end, &reward) {
            return waiter.latest().unwrap_or(reward);
        }
        if reward.order.due_at.is_some() {
            self.wake.notify_one();
        }
        reward
    }

    /// Whether a drive ended with an outcome whose commit was confirmed. One that did not is logged and counted.
    pub(super) fn report_end(&self, end: End, reward: &Reward) -> bool {
        if matches!(end, End::Settled { .. }) {
            trace::note(Attribute::State(reward.state().as_str()));
            return true;
        }
        let what = if end == End::LeaseLost {
            self.metrics.lease_lost.inc();
            "an outcome came after another worker had taken over; it delivers nothing"
        } else if end == End::Unheard {
            "the database did not confirm an outcome, but has committed it; it delivers nothing"
        } else {
            "a drive ended without a committed outcome; recovery takes it up"
        };
        tracing::warn!(
            reward.id = %reward.id, reward.trace_id = reward.trace_id(), reward.drive = end.as_str(), "{what}"
        );
        false
    }

    /// How long a leased reward may wait for a slot: the call and its settling must fit into the lease as well.
    fn slot_patience(&self) -> Duration {
        self.limits.lease.saturating_sub(self.limits.upstream_timeout).saturating_sub(SETTLE_MARGIN)
    }

    /// One call to Amazon, traced and counted. It leaves in its turn, and `action` decides at the last instant what is sent.
    /// What the answer says of the account, that it is throttled or refused, holds for the next call as well.
    async fn call(
        &self,
        account: &Account,
        reward: &Reward,
        mut turn: CallTurn,
        action: impl Fn(DateTime<Utc>) -> Action,
    ) -> Answer {
        let spec = reward.kind.spec();
        let target = match (&turn.target, spec.acts()) {
            (Some(given), _) => Some(Arc::clone(given)),
            (None, true) => match self.target_of(reward).await {
                Ok(kept) => Some(Arc::new(kept)),
                Err(_alarmed) => {
                    let now = self.ambient.now();
                    return Answer::unsent(NotSent::Sealed, action(now), now);
                }
            },
            (None, false) => None,
        };
        let target = target.as_deref();
        if let Some(ended) = self.validate(account, reward, &mut turn, target).await {
            return ended;
        }
        let leg = Leg { target, validation: None };
        let (mut answer, action) = self.exchange(account, reward, turn, leg, &action).await;
        self.recognize(reward, &mut answer);
        self.learn(account, reward, action, &answer).await;
        answer
    }

    /// One exchange with Amazon, and what it was for.
    async fn exchange(
        &self,
        account: &Account,
        reward: &Reward,
        turn: CallTurn,
        leg: Leg<'_>,
        action: &impl Fn(DateTime<Utc>) -> Action,
    ) -> (Answer, Action) {
        let _departure = match self.departure(account, turn).await {
            Ok(departure) => departure,
            Err(none) => return without_slot(none, action, self.ambient.now()),
        };
        // Read right before the call: a process that stood still must not send a cancel that was in time when it was
        // committed.
        let asked_at = self.ambient.now();
        let action = action(asked_at);
        // While a row is leased it is due when the lease ends: whoever slept over that has lost it, whatever slot came after.
        if reward.order.lease.is_some() && reward.order.due_at.is_some_and(|ends_at| ends_at <= asked_at) {
            return (Answer::unsent(NotSent::Quota, action, asked_at), action);
        }
        let (spec, Leg { target, validation }) = (reward.kind.spec(), leg);
        let operation = validation.map_or_else(|| spec.operation(action), |validation| validation.operation);
        let span = span_of(account, reward, operation);
        let started = self.ambient.monotonic();
        let errand = Errand { client: account.client(), reward, target, action, asked_at };
        let mut answer = match validation {
            Some(validation) => (validation.ask)(errand).await,
            None => spec.call(errand).await,
        };
        let took = started.elapsed();
        if let Some(call) = &mut answer.call {
            call.took = took;
        }
        self.observe(account, &answer, span);
        (answer, action)
    }

    /// Compares the card that an answer shows with the one that answers showed before. Another card under the same id is not
    /// what was bought: its code is handed to nobody.
    fn recognize(&self, reward: &Reward, answer: &mut Answer) {
        let Some(card) = answer.card.take() else { return };
        if !matches!(answer.event.event, Event::Seen(Sight::Live | Sight::Reversed)) {
            return;
        }
        let place = target::place_of(reward);
        match &reward.card {
            Some(known) if self.keyring.compare_card(known, &card, place) == Sameness::Different => {
                tracing::error!(reward.id = %reward.id, reward.account = reward.account, "Amazon shows another card than before");
                (answer.event.event, answer.code) = (Event::Seen(Sight::Mismatch), None);
            }
            Some(_) => {}
            None => answer.fingerprint = self.keyring.fingerprint_card(&card, place),
        }
    }

    /// The right to send now: by the slot in hand, or, where that has gone stale, by a fresh one.
    async fn departure(&self, account: &Account, turn: CallTurn) -> Result<Departure, NoSlot> {
        match turn.slot.and_then(|slot| slot.spend(self.ambient.monotonic())) {
            Some(departure) => Ok(departure),
            None => account.rate().departure(turn.wanted, turn.patience).await,
        }
    }

    /// Counts a call to Amazon and what its answer says of the clocks, and ends its span.
    fn observe(&self, account: &Account, answer: &Answer, span: Span) {
        let Some(call) = &answer.call else { return };
        let (class, reason) = (answer.outcome.class(), answer.outcome.reason());
        span.set(Attribute::Outcome(class));
        if let Some(status) = call.http_status {
            span.set(Attribute::Status(status));
        }
        if class != "proven" {
            span.set(Attribute::Error(reason));
        }
        drop(span);
        account.metrics().upstream(account.id(), call.operation, class, reason, call.took);
        if let Some((theirs, ours)) = call.clocks {
            account.metrics().clock_skew(account.id(), theirs.signed_duration_since(ours).num_milliseconds());
        }
        if class != "proven" {
            tracing::warn!(
                account = account.id(),
                upstream.operation = call.operation,
                upstream.outcome = class,
                upstream.error = reason,
                upstream.error_type = answer_type(&answer.outcome),
                upstream.status = call.http_status,
                "a call to Amazon was not proven"
            );
        }
    }

    /// The row as the change makes it, and the timeline's entry for it.
    async fn write(
        &self,
        row: &Reward,
        change: Change,
        answer: Option<&Answer>,
        note: &Note,
    ) -> Result<Written<Reward>, StoreError> {
        let points = Failpoints::of(row, change.milestone);
        points.pass(points.before);
        let entry = timeline::of_change(&change, answer, note);
        let mut reward = row.with(change.order);
        if reward.card.is_none() {
            reward.card = answer.and_then(|answer| answer.fingerprint.clone());
        }
        match (change.order.stage, answer.and_then(Answer::error)) {
            (Stage::Proven(_) | Stage::Reversed(_), None) => reward.last_error = None,
            (_, Some(error)) if matches!(change.milestone, Milestone::Settled { .. }) => {
                reward.last_error = Some(error)
            }
            (_, _) => {}
        }
        let name = transaction(change.milestone);
        let mut tx = self.store.begin_joined(name, row.id.uuid().as_bytes()).await?;
        let saved = sql::save(&mut tx, &mut reward, &[entry], change.order.updated_at).await;
        if matches!(saved, Err(StoreError::Unmet)) {
            return conflict(self.store.begin_as(name).await?, row.id).await;
        }
        if !saved? {
            return conflict(tx, row.id).await;
        }
        points.pass(points.inside);
        let committed = match tx.commit(reward).await {
            Err(StoreError::Unmet) => return conflict(self.store.begin_as(name).await?, row.id).await,
            committed => committed?,
        };
        points.pass(points.after);
        self.report(row, committed.get());
        Ok(Written::Done(committed))
    }
}

impl Effects for Courier {
    type Row = Reward;
    type Answer = Answer;
    type Receipt = ClaimCode;
    type Turn = Slot;
    type Note = Note;

    fn order(row: &Reward) -> Order {
        row.order
    }

    fn rules(row: &Reward) -> &'static Rules {
        row.kind.rules()
    }

    fn limits(&self) -> engine::DriveLimits {
        engine::DriveLimits { lease: self.limits.lease, replay_age: self.limits.replay_age }
    }

    fn event(answer: &Answer) -> DatedEvent {
        answer.event
    }

    fn take_receipt(answer: &mut Answer) -> Option<ClaimCode> {
        answer.code.take()
    }

    fn moment(&self, waiter: Option<&Waiter<Reward>>) -> Moment {
        let replays = self.limits.replay_while_waited && !self.tasks.stopping().is_cancelled();
        let left = waiter.map(|waiter| waiter.patience(self.ambient.monotonic())).unwrap_or_default();
        Moment {
            now: self.ambient.now(),
            // Only the jitter hangs on it.
            draw: self.ambient.draw().unwrap_or(u32::MAX / 2),
            patience: if replays { left } else { Duration::ZERO },
            awaited: !left.is_zero(),
        }
    }

    async fn commit(
        &self,
        row: &Reward,
        change: Change,
        answer: Option<&Answer>,
        note: &Note,
    ) -> Result<Written<Reward>, StoreError> {
        self.write(row, change, answer, note).await.inspect_err(|error| {
            tracing::warn!(reward.id = %row.id, error = %Chain(error), "a change of a reward was not confirmed");
        })
    }

    async fn send(&self, attempt: &Committed<Reward>, drive: &Drive, slot: Option<Slot>) -> Option<Answer> {
        let reward = attempt.get();
        let account = self.account_of(reward)?;
        let in_window = reward.cancelable_until().is_some_and(|until| self.ambient.now() < until);
        let cancels = reward.order.stage.reversal_wanted() && in_window;
        let purpose = if cancels { Purpose::Cancel } else { Purpose::Recovery };
        let wanted = Wanted { purpose, caller: Some(reward.client) };
        let points = Failpoints::of_call(reward);
        points.pass("before_send");
        let turn = CallTurn { slot, wanted, patience: self.slot_patience(), target: None };
        let answer = self.call(account, reward, turn, |now| drive.action(now)).await;
        points.pass("after_answer");
        Some(answer)
    }

    async fn read(&self, row: &Reward, note: &Note) -> Option<Answer> {
        let account = self.account_of(row)?;
        let patience = self.limits.answer_within.saturating_sub(self.limits.upstream_timeout);
        let wanted = Wanted { purpose: Purpose::Look, caller: Some(row.client) };
        failpoint::pass("show", "before_read");
        let turn = CallTurn { slot: None, wanted, patience, target: note.target.clone() };
        let answer = self.call(account, row, turn, |_now| Action::Read).await;
        failpoint::pass("show", "after_read");
        Some(answer)
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    async fn hold(&self, pause: Duration) {
        failpoint::pass("held", "pause");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.tasks.stopping().cancelled() => {}
        }
    }
}

/// A call's turn at Amazon's rate.
struct CallTurn {
    /// The slot that was taken before, if one was.
    slot: Option<Slot>,
    /// How another one is waited for, and how long.
    wanted: Wanted,
    patience: Duration,
    /// What the reward acts on, where it is in hand already.
    target: Option<Arc<Target>>,
}

/// What an exchange is about.
struct Leg<'a> {
    /// What the reward acts on, in the clear.
    target: Option<&'a Target>,
    /// The question before a purchase, where it is that.
    validation: Option<Validation>,
}

/// The span of a call to Amazon about a reward.
fn span_of(account: &Account, reward: &Reward, operation: &'static str) -> Span {
    let span = trace::call(operation);
    if span.context().is_some() {
        span.set(Attribute::Method("POST"));
        span.set(Attribute::Server(account.client().endpoint().host()));
        span.set(Attribute::Reward(reward.id));
        span.set(Attribute::Attempt(reward.order.attempts));
        span.set(Attribute::CreationRequestId(reward.creation_request_id.clone()));
    }
    span
}
