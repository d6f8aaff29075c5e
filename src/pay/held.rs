//! Held money: what an authorized charge holds is taken by a capture, once, or given back.
//!
//! Both are decided under the lock of the charge's row, so of a capture and a void at once one is recorded, and the other one refused.
//! A capture is an effect of its own: its key derives from the charge's, and from how many captures of it came to nothing before. To give
//! back is the reverse of the charge itself.

use std::time::{Duration, Instant};

use super::{
    courier::PayCourier,
    kind::{CaptureStatus, PaymentKind},
    make::{Made, PayError},
    model::Payment,
    sql,
    timeline::{PaymentEntry, VoidWish},
    wait,
};
use crate::{
    engine::{self, Drive, Effects, End, OnUnproven, Stage, Waiter, Wisher, run::Start, schedule},
    failpoint,
    identity::Caller,
    kernel::{ApiKeyId, Chain, Money, PaymentId},
    store::{Committed, StoreError},
    telemetry::trace,
};

/// What the intents of captures are derived by.
const CAPTURE: &str = "capture";

/// Takes held money, and gives it back. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HeldMoney {
    courier: PayCourier,
}

/// Who asks, and for which charge.
pub(crate) struct HeldAsk {
    pub(crate) caller: Caller,
    /// The charge.
    pub(crate) charge: PaymentId,
    /// The API key.
    pub(crate) asked_by: ApiKeyId,
}

/// What a transaction found of a capture.
enum Recorded {
    /// It is new, leased, and about to be sent.
    New(Box<Committed<Payment>>),
    /// There is one already.
    Known,
}

impl HeldMoney {
    pub(super) const fn new(courier: PayCourier) -> Self {
        Self { courier }
    }

    /// Takes `value` of what the charge holds, or all of it. Answers with the charge.
    ///
    /// # Errors
    /// [`PayError`]: this request took nothing.
    pub(crate) async fn capture(
        &self,
        ask: HeldAsk,
        value: Option<Money>,
        patience: Option<Duration>,
        arrived: Instant,
    ) -> Result<Made, PayError> {
        let (this, charge) = (self.clone(), ask.charge);
        let made = wait::answered(&self.courier, patience, arrived, |waiter| async move {
            Box::pin(this.carry_capture(ask, value, waiter)).await
        })
        .await?;
        Ok(Made { payment: self.peek(charge).await?, ..made })
    }

    async fn peek(&self, charge: PaymentId) -> Result<Payment, PayError> {
        let found = sql::peek(&mut self.courier.store.snapshot().await?, charge).await?;
        found.ok_or(PayError::NotFound)
    }

    async fn carry_capture(
        &self,
        ask: HeldAsk,
        value: Option<Money>,
        waiter: Waiter<Payment>,
    ) -> Result<Made, PayError> {
        let courier = &self.courier;
        let charge = ask.charge;
        let attempt = match self.record(&ask, value).await? {
            Recorded::New(attempt) => *attempt,
            Recorded::Known => {
                let payment = self.peek(charge).await?;
                waiter.publish_known(&payment);
                return Ok(Made { payment, replayed: true });
            }
        };
        attempt.get().trace_on();
        failpoint::pass("capture", "after_t1");
        let ran = engine::carry(courier, attempt, None, Some(&waiter)).await;
        if let Some(error) = &ran.error {
            tracing::warn!(payment.id = %ran.row.id, error = %Chain(error), "the outcome of a capture is not confirmed");
        }
        Ok(Made { payment: courier.carried(ran.end, ran.row, &waiter), replayed: false })
    }

    /// One transaction, under the lock of the charge: a charge has one capture that came to something.
    async fn record(&self, ask: &HeldAsk, value: Option<Money>) -> Result<Recorded, PayError> {
        let courier = &self.courier;
        failpoint::pass("capture", "before_t1");
        let mut tx = courier.store.begin_as("payment.capture").await?;
        let charge = sql::lock(&mut tx, ask.charge).await?;
        let charge = charge.filter(|found| found.kind == PaymentKind::Charge && found.is_of_caller(&ask.caller));
        let charge = charge.ok_or(PayError::NotFound)?;
        if charge.capture().is_some() {
            let taken = charge.holding.and_then(|holding| holding.captured_minor);
            if value.is_some_and(|value| Some(value.minor()) != taken || value.currency() != charge.value.currency()) {
                return Err(PayError::Mismatch { payment: charge.id, pointer: "/value" });
            }
            tx.commit(()).await?;
            return Ok(Recorded::Known);
        }
        let value = held(&charge, value)?;
        let mut capture = self.draft(&charge, value, sql::held::tries(&mut tx, charge.id).await?)?;
        let entry = PaymentEntry::received(PaymentKind::Capture, ask.asked_by);
        let new = sql::insert(&mut tx, &mut capture, &entry).await?;
        failpoint::pass("capture", "in_t1");
        let committed = tx.commit(capture).await?;
        // The row of another charge has the key that derives from this one's: no two charges have one key.
        if new { Ok(Recorded::New(Box::new(committed))) } else { Err(StoreError::Unconfirmed.into()) }
    }

    fn draft(&self, charge: &Payment, value: Money, tries: i64) -> Result<Payment, PayError> {
        let stored = StoreError::from;
        let courier = &self.courier;
        let against = charge.remote_id.clone().ok_or_else(|| not_held(charge))?;
        let account = courier.account_of(charge).ok_or(PayError::AccountGone)?;
        let now = courier.ambient.now();
        let intent = charge.intent.part(CAPTURE, tries);
        Ok(Payment {
            id: PaymentId::new(courier.ambient.row_id(now).map_err(stored)?),
            intent,
            kind: PaymentKind::Capture,
            pay_key: account.client.key(&intent),
            against,
            parent: Some(charge.id),
            value,
            external_id: None,
            may_wait: true,
            simulation: None,
            order: schedule::begin(OnUnproven::Keep, courier.is_row_lost(now), courier.lease()?, now),
            remote_id: None,
            decline: None,
            last_error: None,
            events: 0,
            trace: trace::current(),
            holding: None,
            charged_back_at: None,
            ..charge.clone()
        })
    }

    /// Has what the charge holds given back. Answers with the charge: what is not decided yet is given back once it is.
    ///
    /// # Errors
    /// [`PayError`]: this request gave nothing back.
    pub(crate) async fn void(&self, ask: HeldAsk, reason: String, arrived: Instant) -> Result<Made, PayError> {
        let this = self.clone();
        wait::answered(&self.courier, None, arrived, |waiter| async move {
            Box::pin(this.carry_void(ask, reason, waiter)).await
        })
        .await
    }

    async fn carry_void(&self, ask: HeldAsk, reason: String, waiter: Waiter<Payment>) -> Result<Made, PayError> {
        let courier = &self.courier;
        let found = sql::peek(&mut courier.store.snapshot().await?, ask.charge).await?;
        let found = found.filter(|found| found.kind == PaymentKind::Charge && found.is_of_caller(&ask.caller));
        let found = found.ok_or(PayError::NotFound)?;
        found.trace_on();
        if found.holding.is_none() || found.capture().is_some() {
            return Err(not_held(&found));
        }
        let (rules, lease) = (*found.rules(), courier.lease()?);
        let drive = Drive::reverse(found.order, lease.token, Wisher::Present, rules, courier.limits());
        let wish = VoidWish { reason: Some(reason), key: Some(ask.asked_by) };
        let ran = engine::run(courier, drive, Start::Read(found), &wish, Some(&waiter)).await;
        match ran.end {
            End::Unchanged => Ok(Made { payment: ran.row, replayed: true }),
            End::Rejected(_) => Err(not_held(&ran.row)),
            End::Recorded => {
                courier.wake.notify_one();
                Ok(Made { payment: ran.row, replayed: false })
            }
            End::Unconfirmed if ran.answer.is_none() => Err(ran.error.unwrap_or(StoreError::Unconfirmed).into()),
            // A capture was faster.
            End::LeaseLost if ran.answer.is_none() => Err(not_held(&self.peek(ask.charge).await?)),
            end @ (End::Settled { .. }
            | End::NotShown
            | End::ShownTooOften
            | End::LeaseLost
            | End::Unheard
            | End::TooOld
            | End::Unsendable
            | End::Unconfirmed) => Ok(Made { payment: courier.carried(end, ran.row, &waiter), replayed: false }),
        }
    }
}

fn not_held(charge: &Payment) -> PayError {
    let waits = charge.holding.is_some() && charge.capture() != Some(CaptureStatus::Paid) && charge.may_be_paid();
    PayError::NotHeld { status: charge.status(), may_be: waits }
}

/// What is taken of the charge: a part of what it holds, or all of it.
fn held(charge: &Payment, asked: Option<Money>) -> Result<Money, PayError> {
    let is_held = charge.holding.is_some() && matches!(charge.order.stage, Stage::Proven(_));
    if !is_held {
        return Err(not_held(charge));
    }
    let value = asked.unwrap_or(charge.value);
    let fits = value.currency() == charge.value.currency() && value.minor() <= charge.value.minor();
    if fits { Ok(value) } else { Err(PayError::TooMuchHeld(charge.value)) }
}
