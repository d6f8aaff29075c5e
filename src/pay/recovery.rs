//! Payments that are due: how they are leased, and how they are carried when nobody waits.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    account::PayAccount,
    courier::PayCourier,
    kind::PaymentKind,
    model::Payment,
    sql::{self, due},
    timeline::PaymentEntry,
};
use crate::{
    engine::{
        self, Effects, Order, Wake,
        recover::{FreeHands, Recoverable},
        schedule::{self, Moment},
    },
    kernel::Chain,
    store::{Committed, StoreError, Tx},
    telemetry::trace::{self, Attribute},
};

/// How long a payment rests that cannot be taken up.
const REST: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Takes up the payments that are due. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PayRecovery {
    courier: PayCourier,
}

impl Recoverable for PayRecovery {
    type Row = Payment;
    /// An account.
    type Lane = String;

    fn lanes(&self) -> Vec<String> {
        self.courier.accounts.iter().map(|account| account.id.clone()).collect()
    }

    async fn due_lanes(&self) -> Result<Vec<String>, StoreError> {
        let ids: Vec<&str> = self.courier.accounts.iter().map(|account: &PayAccount| account.id.as_str()).collect();
        due::accounts(&mut self.courier.store.snapshot().await?, &ids, self.courier.ambient.now()).await
    }

    async fn claim_due(&self, lane: &String, free: &FreeHands) -> Result<Vec<Committed<Payment>>, StoreError> {
        let now = self.courier.ambient.now();
        let mut tx = self.courier.store.begin().await?;
        let (found, unreadable) = due::find(&mut tx, lane, free, now).await?;
        let (mut leased, mut ended) = (Vec::new(), Vec::new());
        for before in found {
            match self.take_up(&mut tx, before, now).await? {
                Some((_before, payment, Wake::Now)) => leased.push(payment),
                Some((before, payment, _ended)) => ended.push((before, payment)),
                None => {}
            }
        }
        for (id, error) in unreadable {
            tracing::error!(payment.id = %id, error = %Chain(&error), "a due payment cannot be read; it rests. A later version may know it");
            due::park(&mut tx, id, schedule::after(now, REST)).await?;
        }
        let committed = tx.commit(leased).await?;
        ended.iter().for_each(|(before, after)| self.courier.report(before, after));
        Ok(committed.each().collect())
    }

    fn owner(payment: &Payment) -> Uuid {
        payment.client.uuid()
    }

    /// In a trace of its own: who waited had an answer.
    async fn recover(&self, attempt: Committed<Payment>) {
        let courier = &self.courier;
        let span = courier.traces.resume("payment.recover", attempt.get().trace);
        let carried = async {
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
    pub(super) const fn new(courier: PayCourier) -> Self {
        Self { courier }
    }

    /// Leases one due payment, or gives it up when its time is over: what it was, what it is, and what wakes it.
    async fn take_up(
        &self,
        tx: &mut Tx,
        before: Payment,
        now: DateTime<Utc>,
    ) -> Result<Option<(Payment, Payment, Wake)>, StoreError> {
        let courier = &self.courier;
        let (rules, limits) = (PaymentKind::rules(before.remote_id.is_some()), courier.limits());
        let moment = Moment { now, ..courier.moment(None) };
        let taken = schedule::take_up(before.order, courier.lease()?, limits.replay_age, rules, moment);
        let Ok((order, wake)) = taken else {
            tracing::error!(payment.id = %before.id, payment.status = before.status(), "a due payment knows no next step");
            return Ok(None);
        };
        if wake == Wake::Now && courier.account_of(&before).is_none() {
            tracing::error!(
                payment.id = %before.id, payment.account = before.account, "the account of a due payment is of another environment now"
            );
            let due_at = Some(schedule::after(now, REST));
            sql::save(tx, &mut before.with(Order { due_at, ..before.order }), None, now).await?;
            return Ok(None);
        }
        let mut payment = before.with(order);
        let entry =
            if wake == Wake::Now { PaymentEntry::attempt(order.attempts) } else { PaymentEntry::given_up(before.kind) };
        let saved = sql::save(tx, &mut payment, Some(&entry), now).await?;
        Ok(saved.then_some((before, payment, wake)))
    }
}
