//! The courier of payments: what the engine needs of this product. It commits changes of payments, sends what is due to Amazon, and
//! reports what happened.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::{
    account::{PayAccount, PayAccounts},
    answer::PaymentAnswer,
    follow::{AfterCommit, FollowsPayments},
    kind::PayErrand,
    metrics::PayMetrics,
    model::Payment,
    sql,
    timeline::{PaymentEntry, VoidWish},
};
use crate::{
    ambient::Ambient,
    engine::{
        Action, Drive, DriveLimits, Effects, End, Event, Order, Rules, Sight, State, Waiter,
        drive::{Change, DatedEvent, Milestone},
        run::Written,
        schedule::{self, Lease, Moment},
    },
    failpoint,
    kernel::Chain,
    lifecycle::Tasks,
    provider::pay::SimulationCode,
    store::{Committed, Store, StoreError, Tx},
    telemetry::trace::{self, Attribute, Traces},
};

/// How long a lease holds: a connection, a call of 20 seconds, and its settling.
const LEASE: Duration = Duration::from_secs(45);
/// How long a caller waits at most. Amazon comes to a decision within 15 seconds where it must.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long after its first send a payment may be asked for again. Amazon keeps the answer to a key without end; after this long a person
/// has looked.
const REPLAY_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The courier. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PayCourier(Arc<PayParts>);

/// What the courier works with.
pub(crate) struct PayParts {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) accounts: PayAccounts,
    pub(crate) metrics: Arc<PayMetrics>,
    /// Where money work runs.
    pub(crate) tasks: Tasks,
    /// Wakes the recovery; carries nothing.
    pub(crate) wake: Arc<Notify>,
    /// Begins the traces of recoveries.
    pub(crate) traces: Traces,
    /// When the database was last restored from a back-up, and from when on that knows nothing.
    pub(crate) restored: Option<Restored>,
    /// Acts on what becomes of payments.
    pub(crate) follower: Arc<dyn FollowsPayments>,
}

/// A restore of the database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restored {
    /// From when on the database knows nothing.
    pub(crate) lost_from: DateTime<Utc>,
    /// When it was restored.
    pub(crate) at: DateTime<Utc>,
}

impl std::ops::Deref for PayCourier {
    type Target = PayParts;

    fn deref(&self) -> &PayParts {
        &self.0
    }
}

impl PayCourier {
    /// A courier with these parts.
    pub(crate) fn new(parts: PayParts) -> Self {
        Self(Arc::new(parts))
    }

    /// A lease that begins now, under a token of its own.
    pub(super) fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease { token: self.ambient.token()?, holds: LEASE })
    }

    /// How much of a caller's time is left.
    pub(super) fn left(arrived: Instant) -> Duration {
        ANSWER_WITHIN.saturating_sub(arrived.elapsed())
    }

    /// The account that made the payment, if it is still in the same environment, and of the same generation until Amazon has named the
    /// payment: elsewhere its key is unknown, and the payment would be made a second time.
    pub(super) fn account_of(&self, payment: &Payment) -> Option<&PayAccount> {
        let account = self.accounts.get(&payment.account)?;
        let is_its_key = payment.remote_id.is_some() || account.client.key(&payment.intent) == payment.pay_key;
        (account.environment == payment.environment && is_its_key).then_some(account)
    }

    /// Whether a key without a row may be one whose row was lost with a restored back-up: its payment may be made.
    pub(super) fn is_row_lost(&self, now: DateTime<Utc>) -> bool {
        let age = |restored: Restored| now.signed_duration_since(restored.at).to_std().unwrap_or_default();
        self.restored.is_some_and(|restored| age(restored) < REPLAY_AGE)
    }

    /// The order of a row, as it is to be believed: what was under way in a back-up may have gone on since.
    pub(super) fn believed(&self, payment: &Payment, now: DateTime<Utc>) -> Order {
        match self.restored.filter(|restored| payment.order.updated_at < restored.at) {
            Some(restored) => schedule::mark_uncertain(payment.order, restored.lost_from, now),
            None => payment.order,
        }
    }

    /// What a caller who waited is answered: the payment as it was last committed, whatever came of its drive.
    pub(super) fn carried(&self, end: End, payment: Payment, waiter: &Waiter<Payment>) -> Payment {
        if !self.report_end(end, &payment) {
            return waiter.latest().unwrap_or(payment);
        }
        if payment.order.due_at.is_some() {
            self.wake.notify_one();
        }
        payment
    }

    /// Whether a drive ended with an outcome whose commit was confirmed. One that did not is logged.
    pub(super) fn report_end(&self, end: End, payment: &Payment) -> bool {
        if matches!(end, End::Settled { .. }) {
            trace::note(Attribute::State(payment.status()));
            return true;
        }
        let what = "a drive of a payment ended without a committed outcome; recovery takes it up";
        tracing::warn!(payment.id = %payment.id, payment.drive = end.as_str(), "{what}");
        false
    }

    /// One call to Amazon, traced and counted.
    async fn call(&self, payment: &Payment, action: impl Fn(DateTime<Utc>) -> Action) -> Option<PaymentAnswer> {
        let account = self.account_of(payment)?;
        let asked_at = self.ambient.now();
        // While a row is leased it is due when the lease ends: whoever slept over that has lost it.
        if payment.order.lease.is_some() && payment.order.due_at.is_some_and(|ends_at| ends_at <= asked_at) {
            return None;
        }
        let (spec, action) = (payment.spec(), action(asked_at));
        // A code is for what makes a payment: Amazon refuses it with a read.
        let client = match payment.simulation.as_deref().filter(|_code| action == Action::Forward) {
            // Where the account is not of the sandbox any more nothing is sent.
            Some(code) => account.client.simulating(SimulationCode::parse(code)?).ok()?,
            None => account.client.clone(),
        };
        let span = trace::call(spec.operation(action));
        let started = self.ambient.monotonic();
        let mut answer = spec.call(PayErrand { client: &client, payment, action, asked_at }).await;
        answer.call.took = started.elapsed();
        span.set(Attribute::Outcome(answer.call.class));
        if let Some(status) = answer.call.http_status {
            span.set(Attribute::Status(status));
        }
        drop(span);
        self.metrics.called(account.id.as_str(), &answer);
        // The doubt is a restored back-up's alone: whatever was lost with it arrived long ago, and Amazon answers a key for ever as the
        // first time. So a decline now says that nothing was made.
        let decisive = answer.decline.is_some() && payment.order.attempts == 1 && payment.order.stage.is_in_doubt();
        if decisive && matches!(answer.event.event, Event::Refused(_)) {
            answer.event.event = Event::Seen(Sight::Declined);
        }
        if let Some(error) = answer.error {
            tracing::warn!(
                payment.id = %payment.id, payment.account = payment.account, upstream.operation = answer.call.operation,
                upstream.outcome = answer.call.class, upstream.error = error, upstream.status = answer.call.http_status,
                "a call to Amazon Pay did not make what was asked for"
            );
        }
        Some(answer)
    }

    /// The row as the change makes it, and the timeline's entry for it.
    async fn write(
        &self,
        row: &Payment,
        change: Change,
        answer: Option<&PaymentAnswer>,
        wish: &VoidWish,
    ) -> Result<Written<Payment>, StoreError> {
        // What is taken, or is being taken, can neither be given back so, nor be judged by a look that left before.
        if row.capture().is_some() {
            return Ok(Written::Conflict(None));
        }
        let mut payment = row.with(change.order);
        let answered = matches!(change.milestone, Milestone::Settled { .. } | Milestone::Shown { .. });
        if let Some(answer) = answer.filter(|_answer| answered) {
            payment.learn(answer);
        }
        payment.plan_look(change.order.updated_at);
        let ([before, within, after], what) = match change.milestone {
            Milestone::Settled { .. } | Milestone::Shown { .. } => {
                (["before_t2", "in_t2", "after_t2"], "payment.settle")
            }
            Milestone::Sent => (["before_replay", "in_replay", "after_replay"], "payment.replay"),
            Milestone::ReversalWanted => (["before_wish", "in_wish", "after_wish"], "payment.void"),
        };
        failpoint::pass("pay", before);
        let entry = PaymentEntry::of_change(&payment, &change, answer, wish);
        let mut tx = self.store.begin_as(what).await?;
        if !sql::save(&mut tx, &mut payment, Some(&entry), change.order.updated_at).await? {
            return conflict(tx, row).await;
        }
        let followed = if answered {
            self.follower.settled(&mut tx, &payment, change.order.updated_at).await?
        } else {
            AfterCommit::default()
        };
        failpoint::pass("pay", within);
        let committed = tx.commit(payment).await?;
        followed.committed();
        failpoint::pass("pay", after);
        self.report(row, committed.get());
        Ok(Written::Done(committed))
    }

    /// Counts and logs a change once it is committed.
    pub(super) fn report(&self, before: &Payment, after: &Payment) {
        let (from, to) = (before.state(), after.state());
        if from == to {
            return;
        }
        if matches!(to, State::Issued | State::Failed | State::NeedsAttention | State::Canceled) {
            self.metrics.finished(after);
        }
        if to == State::NeedsAttention {
            let attention = after.order.stage.attention().map(|why| why.as_str());
            tracing::error!(
                payment.id = %after.id, payment.account = after.account, payment.attention = attention, "a payment needs a person"
            );
        } else {
            tracing::info!(
                payment.id = %after.id, payment.account = after.account, payment.kind = after.kind.as_str(),
                payment.status = after.status(), "a payment is {}", after.status()
            );
        }
    }

    /// Makes a payment due now whose next look is far away, because somebody asks for it.
    pub(super) async fn hasten(&self, payment: &Payment) {
        let (order, now) = (&payment.order, self.ambient.now());
        let rested =
            now < order.updated_at || now.signed_duration_since(order.updated_at) >= chrono::TimeDelta::seconds(1);
        let is_far = order.due_at.is_some_and(|due| due.signed_duration_since(now) > chrono::TimeDelta::seconds(1));
        let waits =
            matches!(payment.state(), State::Unresolved | State::Pending | State::Canceling) && order.lease.is_none();
        if !(waits && rested && is_far && self.account_of(payment).is_some()) {
            return;
        }
        let hastened = async {
            let mut tx = self.store.begin_as("payment.hasten").await?;
            let hastened = sql::hasten(&mut tx, payment, now).await?;
            tx.commit(hastened).await.map(Committed::into_inner)
        };
        match hastened.await {
            Ok(true) => self.wake.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(payment.id = %payment.id, error = %Chain(&error), "a payment was not hastened");
            }
        }
    }

    /// On SQLite one process serves the file, so whatever is leased at its start was leased by a process that is dead.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn abandon_leases(&self) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let rows = sql::abandon_all(&mut tx, self.ambient.now()).await?;
        tx.commit(rows).await.map(Committed::into_inner)
    }
}

/// The row that somebody else has changed, committed before it is used: nobody is answered from what may still vanish.
async fn conflict(mut tx: Tx, row: &Payment) -> Result<Written<Payment>, StoreError> {
    let found = sql::lock(&mut tx, row.id).await?;
    Ok(Written::Conflict(match found {
        Some(found) => Some(tx.commit(found).await?),
        None => None,
    }))
}

impl Effects for PayCourier {
    type Row = Payment;
    type Answer = PaymentAnswer;
    type Receipt = ();
    type Turn = ();
    type Note = VoidWish;

    fn order(row: &Payment) -> Order {
        row.order
    }

    fn rules(row: &Payment) -> &'static Rules {
        row.rules()
    }

    fn limits(&self) -> DriveLimits {
        DriveLimits { lease: LEASE, replay_age: REPLAY_AGE }
    }

    fn event(answer: &PaymentAnswer) -> DatedEvent {
        answer.event
    }

    fn take_receipt(_answer: &mut PaymentAnswer) -> Option<()> {
        None
    }

    fn moment(&self, waiter: Option<&Waiter<Payment>>) -> Moment {
        let left = waiter.map(|waiter| waiter.patience(self.ambient.monotonic())).unwrap_or_default();
        let patience = if self.tasks.stopping().is_cancelled() { Duration::ZERO } else { left };
        Moment {
            now: self.ambient.now(),
            // Only the jitter hangs on it.
            draw: self.ambient.draw().unwrap_or(u32::MAX / 2),
            patience,
            awaited: !left.is_zero(),
        }
    }

    async fn commit(
        &self,
        row: &Payment,
        change: Change,
        answer: Option<&PaymentAnswer>,
        wish: &VoidWish,
    ) -> Result<Written<Payment>, StoreError> {
        self.write(row, change, answer, wish).await.inspect_err(|error| {
            tracing::warn!(payment.id = %row.id, error = %Chain(error), "a change of a payment was not confirmed");
        })
    }

    async fn send(&self, attempt: &Committed<Payment>, drive: &Drive, _turn: Option<()>) -> Option<PaymentAnswer> {
        failpoint::pass("pay", "before_send");
        let answer = self.call(attempt.get(), |now| drive.action(now)).await;
        failpoint::pass("pay", "after_answer");
        answer
    }

    async fn read(&self, row: &Payment, _wish: &VoidWish) -> Option<PaymentAnswer> {
        self.call(row, |_now| Action::Read).await
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    async fn hold(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.tasks.stopping().cancelled() => {}
        }
    }
}
