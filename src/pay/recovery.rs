//! Payments that are due: how they are leased, and how they are carried when nobody waits.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    account::PayAccount,
    courier::PayCourier,
    kind::PaymentKind,
    model::Payment,
    sql::{
        self,
        due::{self, FoundPayments},
    },
    timeline::{PaymentEntry, VoidWish},
};
use crate::{
    engine::{
        self, Drive, Effects, Order, Wake,
        recover::{FreeHands, Recoverable},
        run::Start,
        schedule::{self, Moment},
    },
    kernel::{Chain, horizon::horizon},
    store::{Committed, StoreError, Tx},
    telemetry::trace::{self, Attribute},
};

/// How long a payment rests that cannot be taken up.
const REST: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// How often held money is looked at that Amazon may have given back by itself, and has not.
const LOOK_EVERY: TimeDelta = TimeDelta::hours(1);

/// How often payments of accounts that the settings do not name are looked for, and due times that are stray. No index leads to them.
const ROUND_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Takes up the payments that are due. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PayRecovery {
    courier: PayCourier,
    round_at: Arc<Mutex<Option<DateTime<Utc>>>>,
}

/// Payments that share the hands of the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PayLane {
    /// Those of an account.
    Account(String),
    /// Charges that hold a buyer's money, which Amazon gives back by itself in the end.
    Held,
    /// Those of accounts that the settings do not name. Nothing is sent for them: they wait for the account, or for a person.
    Strangers,
}

/// What becomes of a due payment.
enum TakenUp {
    /// It is leased, and will be carried.
    Leased(Box<Payment>),
    /// It came to its end.
    Ended { before: Box<Payment>, after: Box<Payment> },
    /// It rests, or somebody else was faster.
    Left,
}

impl Recoverable for PayRecovery {
    type Row = Payment;
    type Lane = PayLane;

    fn lanes(&self) -> Vec<PayLane> {
        let accounts = self.courier.accounts.iter().map(|account| PayLane::Account(account.id.clone()));
        accounts.chain([PayLane::Held, PayLane::Strangers]).collect()
    }

    async fn due_lanes(&self) -> Result<Vec<PayLane>, StoreError> {
        let now = self.courier.ambient.now();
        let round = self.is_time_for_a_round(now);
        if round && let Err(error) = self.recall(now).await {
            tracing::error!(error = %Chain(&error), "stray due times of payments could not be looked for");
        }
        let ids = self.account_ids();
        let mut lanes: Vec<PayLane> = Vec::new();
        if !ids.is_empty() {
            let mut snapshot = self.courier.store.snapshot().await?;
            let due = due::accounts(&mut snapshot, &ids, now).await?;
            lanes.extend(due.into_iter().map(PayLane::Account));
            lanes.extend(sql::held::is_any_lapsed(&mut snapshot, now).await?.then_some(PayLane::Held));
        }
        lanes.extend(round.then_some(PayLane::Strangers));
        Ok(lanes)
    }

    async fn claim_due(&self, lane: &PayLane, free: &FreeHands) -> Result<Vec<Committed<Payment>>, StoreError> {
        let now = self.courier.ambient.now();
        if *lane == PayLane::Held {
            return self.claim_held(free, now).await;
        }
        match self.claim_together(lane, free, now).await {
            Err(error) if error.is_about_the_row() => {
                tracing::warn!(error = %Chain(&error), "a due payment cannot be written; each is taken up by itself");
                self.claim_singly(lane, free, now).await
            }
            claimed => claimed,
        }
    }

    fn owner(payment: &Payment) -> Uuid {
        payment.client.uuid()
    }

    /// In a trace of its own: who waited had an answer.
    async fn recover(&self, attempt: Committed<Payment>) {
        let courier = &self.courier;
        let span = courier.traces.resume("payment.recover", attempt.get().trace);
        let carried = async {
            if attempt.get().order.lease.is_none() {
                return self.look(attempt.into_inner()).await;
            }
            let ran = engine::carry(courier, attempt, None, None).await;
            if !courier.report_end(ran.end, &ran.row) {
                trace::note(Attribute::Error("not_settled"));
            }
        };
        span.scope(carried).await;
    }

    /// A loop that has ended ends the process; one that stands still lets the age of what is unproven grow, which is watched.
    fn heartbeat(&self) {}
}

impl PayRecovery {
    pub(super) fn new(courier: PayCourier) -> Self {
        Self { courier, round_at: Arc::default() }
    }

    fn account_ids(&self) -> Vec<&str> {
        self.courier.accounts.iter().map(|account: &PayAccount| account.id.as_str()).collect()
    }

    /// Also after the clock was set back.
    fn is_time_for_a_round(&self, now: DateTime<Utc>) -> bool {
        let mut last = self.round_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| now < last || now.signed_duration_since(last) >= ROUND_EVERY);
        if is_time {
            *last = Some(now);
        }
        is_time
    }

    /// Makes due at once what was to wait for an instant that a clock wrote while it was ahead.
    async fn recall(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let lease = TimeDelta::from_std(self.courier.limits().lease).unwrap_or_default();
        let farthest = PaymentKind::rules(true, true).longest_wait().checked_add(&lease).unwrap_or(lease);
        let mut tx = self.courier.store.begin().await?;
        let recalled = due::recall(&mut tx, now, horizon(now, farthest)).await?;
        tx.commit(()).await?;
        if recalled > 0 {
            tracing::warn!(
                recovery.recalled = recalled,
                "payments were to wait for an instant that a clock wrote while it was ahead; they are due now"
            );
        }
        Ok(())
    }

    async fn find(
        &self,
        tx: &mut Tx,
        lane: &PayLane,
        free: &FreeHands,
        now: DateTime<Utc>,
    ) -> Result<FoundPayments, StoreError> {
        match lane {
            PayLane::Account(id) => due::find(tx, id, free, now).await,
            PayLane::Held | PayLane::Strangers => due::find_strangers(tx, &self.account_ids(), free, now).await,
        }
    }

    /// Held money that Amazon may have given back by itself, to be looked at.
    async fn claim_held(&self, free: &FreeHands, now: DateTime<Utc>) -> Result<Vec<Committed<Payment>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let next = now.checked_add_signed(LOOK_EVERY).unwrap_or(now);
        let lapsed = sql::held::take_lapsed(&mut tx, &self.account_ids(), free.limit, now, next).await?;
        Ok(tx.commit(lapsed).await?.each().collect())
    }

    /// Asks Amazon whether it still holds the money of a charge.
    async fn look(&self, charge: Payment) {
        let courier = &self.courier;
        let drive = Drive::look(charge.order, *charge.rules(), courier.limits());
        let ran = engine::run(courier, drive, Start::Read(charge), &VoidWish::default(), None).await;
        if let Some(error) = &ran.error {
            tracing::warn!(payment.id = %ran.row.id, error = %Chain(error), "what a look showed is not written down");
        }
    }

    /// All of a lane that there are hands for, in one transaction.
    async fn claim_together(
        &self,
        lane: &PayLane,
        free: &FreeHands,
        now: DateTime<Utc>,
    ) -> Result<Vec<Committed<Payment>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let FoundPayments { payments, unreadable } = self.find(&mut tx, lane, free, now).await?;
        let (mut leased, mut ended) = (Vec::new(), Vec::new());
        for before in payments {
            match self.take_up(&mut tx, before, now).await? {
                TakenUp::Leased(payment) => leased.push(*payment),
                TakenUp::Ended { before, after } => ended.push((before, after)),
                TakenUp::Left => {}
            }
        }
        let committed = tx.commit(leased).await?;
        ended.iter().for_each(|(before, after)| self.courier.report(before, after));
        for (id, error) in unreadable {
            self.park(id, &error, now).await;
        }
        Ok(committed.each().collect())
    }

    /// The same with a transaction for each: one of them cannot be written, and must not hold up the others.
    async fn claim_singly(
        &self,
        lane: &PayLane,
        free: &FreeHands,
        now: DateTime<Utc>,
    ) -> Result<Vec<Committed<Payment>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        let FoundPayments { payments, .. } = self.find(&mut tx, lane, free, now).await?;
        tx.undo().await;
        let mut attempts = Vec::new();
        for due in payments {
            let id = due.id;
            match self.claim_one(due, now).await {
                Ok(leased) => attempts.extend(leased),
                Err(error) if error.is_about_the_row() => self.park(id.uuid(), &error, now).await,
                Err(error) => {
                    tracing::warn!(payment.id = %id, error = %Chain(&error), "a due payment was not taken up");
                    break;
                }
            }
        }
        Ok(attempts)
    }

    async fn claim_one(&self, due: Payment, now: DateTime<Utc>) -> Result<Option<Committed<Payment>>, StoreError> {
        let mut tx = self.courier.store.begin().await?;
        // Nothing is locked since it was found: what another replica has taken up is left to it.
        let same = sql::lock(&mut tx, due.id).await?.filter(|row| row.order.version == due.order.version);
        let Some(before) = same else { return Ok(None) };
        match self.take_up(&mut tx, before, now).await? {
            TakenUp::Leased(payment) => tx.commit(*payment).await.map(Some),
            TakenUp::Ended { before, after } => {
                let after = tx.commit(*after).await?;
                self.courier.report(&before, after.get());
                Ok(None)
            }
            TakenUp::Left => tx.commit(()).await.map(|_rests| None),
        }
    }

    /// Leases one due payment, or gives it up when its time is over.
    async fn take_up(&self, tx: &mut Tx, before: Payment, now: DateTime<Utc>) -> Result<TakenUp, StoreError> {
        let courier = &self.courier;
        let (rules, limits) = (before.rules(), courier.limits());
        let moment = Moment { now, ..courier.moment(None) };
        let believed = courier.believed(&before, now);
        let Ok((mut order, mut wake)) = schedule::take_up(believed, courier.lease()?, limits.replay_age, rules, moment)
        else {
            tracing::error!(payment.id = %before.id, payment.status = before.status(), "a due payment knows no next step");
            return Ok(TakenUp::Left);
        };
        if wake == Wake::Now && courier.account_of(&before).is_none() {
            tracing::error!(
                payment.id = %before.id, payment.account = before.account,
                "the account of a due payment is not in the settings, or is of another environment"
            );
            // No try is possible, so none is counted: time alone decides.
            let Some(given_up) = schedule::give_up(believed, rules, moment) else {
                let due_at = Some(schedule::after(now, REST));
                sql::save(tx, &mut before.with(Order { due_at, ..believed }), None, now).await?;
                return Ok(TakenUp::Left);
            };
            (order, wake) = given_up;
        }
        let mut payment = before.with(order);
        let entry = match wake {
            Wake::Now => PaymentEntry::attempt(order.attempts),
            Wake::Never | Wake::Backoff | Wake::At(_) => PaymentEntry::given_up(&payment),
        };
        if !sql::save(tx, &mut payment, Some(&entry), now).await? {
            return Ok(TakenUp::Left);
        }
        Ok(match wake {
            Wake::Now => TakenUp::Leased(Box::new(payment)),
            Wake::Never | Wake::Backoff | Wake::At(_) => {
                TakenUp::Ended { before: Box::new(before), after: Box::new(payment) }
            }
        })
    }

    /// Lets a row rest that cannot be taken up, in its row where that can be written.
    async fn park(&self, id: Uuid, why: &StoreError, now: DateTime<Utc>) {
        tracing::error!(payment.id = %id, error = %Chain(why), "a due payment can be neither taken up nor given up; it rests");
        let kept = async {
            let mut tx = self.courier.store.begin().await?;
            due::park(&mut tx, id, schedule::after(now, REST)).await?;
            tx.commit(()).await.map(|_done| ())
        };
        if let Err(error) = kept.await {
            tracing::error!(payment.id = %id, error = %Chain(&error), "a due payment cannot be made to rest");
        }
    }
}
