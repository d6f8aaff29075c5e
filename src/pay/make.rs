//! Making a payment: the transaction that records the intent, the drive, and the answer to a key that was used before.

use std::time::{Duration, Instant};

use super::{
    account::{NoPayAccount, PayAccount},
    courier::PayCourier,
    kind::PaymentKind,
    model::{HeldSum, Make, Payment, PaymentCommand},
    refundable::{NotRefundable, refundable},
    sql,
    timeline::PaymentEntry,
    wait,
};
use crate::{
    engine::{self, OnUnproven, Waiter, schedule},
    failpoint,
    identity::Caller,
    kernel::{Chain, Environment, Intent, Money, PaymentId},
    lifecycle::Lost,
    provider::pay::SimulationCode,
    store::{Committed, StoreError},
    telemetry::trace,
};

/// The answer to a command.
pub(crate) struct Made {
    /// The payment as committed.
    pub(crate) payment: Payment,
    /// The key was used before.
    pub(crate) replayed: bool,
}

/// This request sent nothing to Amazon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayError {
    /// The key was used for another command.
    #[error("the key names another payment")]
    Mismatch {
        /// That one.
        payment: PaymentId,
        /// The first member that differs.
        pointer: &'static str,
    },
    /// There is no account of that name.
    #[error("there is no such account")]
    UnknownAccount,
    /// Several accounts are paid in the currency.
    #[error("several accounts are paid in this currency")]
    AmbiguousAccount,
    /// No account is paid in it.
    #[error("no account is paid in this currency")]
    Currency,
    /// More than the account's settings allow.
    #[error("at most {0}")]
    TooMuch(Money),
    /// The consent is of the other environment than the account.
    #[error("the consent is of the other environment")]
    OtherEnvironment(Environment),
    /// Something is to be simulated, and the account is not of the sandbox; or the word is none.
    #[error("nothing can be simulated")]
    Simulation,
    /// The sandbox of the account's generation cannot play that.
    #[error("the account's sandbox does not play that")]
    NoSuchPlay,
    /// The charge was made in Checkout v2, and the account is of MWS now.
    #[error("the charge is of the other generation")]
    OtherGeneration,
    /// There is no such charge of this caller's.
    #[error("there is no such charge")]
    NoCharge,
    /// The charge is not paid.
    #[error("the charge is {status}")]
    NotPaid {
        /// What it is.
        status: &'static str,
        /// It may still be paid.
        may_be: bool,
    },
    /// There is no such charge of this caller's, in the path.
    #[error("there is no such charge")]
    NotFound,
    /// The charge holds no money that could be taken or given back.
    #[error("the charge is {status}")]
    NotHeld {
        /// What it is.
        status: &'static str,
        /// It may still hold some.
        may_be: bool,
    },
    /// More than the charge holds, or another currency.
    #[error("the charge holds {0}")]
    TooMuchHeld(Money),
    /// No more than this is left of the charge.
    #[error("{0} are left")]
    NotRefundable(Money),
    /// The account of the charge is not in the settings any more, or is of another environment now.
    #[error("the account of the charge is gone")]
    AccountGone,
    /// The charge has had as many refunds as it may.
    #[error("too many refunds")]
    TooManyRefunds,
    /// A refusal to give money back, soon after a restored back-up: the charge or the refund of then may be lost with it.
    #[error(transparent)]
    LostPerhaps(Box<PayError>),
    /// The caller's time is over, and it is not known whether anything was recorded.
    #[error("the time is over")]
    Late,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Makes payments. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MakePayment {
    courier: PayCourier,
}

/// What the transaction of a new payment writes.
struct PaymentDraft<'a> {
    account: &'a PayAccount,
    against: crate::kernel::AmazonPayId,
    parent: Option<PaymentId>,
    may_wait: bool,
    is_held: bool,
}

impl MakePayment {
    pub(super) const fn new(courier: PayCourier) -> Self {
        Self { courier }
    }

    /// Makes a payment, or answers with the one that this key named before. Waits for the outcome as long as the caller has patience
    /// and the service allows since the request `arrived`; the work goes on after that.
    ///
    /// # Errors
    /// [`PayError`]: this request sent nothing to Amazon. A decline is a payment, not an error.
    pub(crate) async fn run(
        &self,
        caller: Caller,
        command: PaymentCommand,
        patience: Option<Duration>,
        arrived: Instant,
    ) -> Result<Made, PayError> {
        let this = self.clone();
        wait::answered(&self.courier, patience, arrived, |waiter| async move {
            Box::pin(this.carry_out(caller, command, waiter)).await
        })
        .await
    }

    /// The idempotency key comes before everything that settings can change: a retry finds its payment whatever they say now.
    async fn carry_out(
        &self,
        caller: Caller,
        command: PaymentCommand,
        waiter: Waiter<Payment>,
    ) -> Result<Made, PayError> {
        let courier = &self.courier;
        let intent = Intent::derive(caller.client, &command.key);
        if let Some(known) = self.find(&intent).await? {
            return self.known(known, &command, &waiter).await;
        }
        let recorded = self.record(&caller, &command, intent).await;
        let Some(attempt) = recorded.map_err(|why| self.in_doubt(why))? else {
            // Another request of this key was faster.
            let known = self.find(&intent).await?.ok_or(StoreError::Unconfirmed)?;
            return self.known(known, &command, &waiter).await;
        };
        attempt.get().trace_on();
        failpoint::pass("pay", "after_t1");
        let ran = engine::carry(courier, attempt, None, Some(&waiter)).await;
        if let Some(error) = &ran.error {
            tracing::warn!(payment.id = %ran.row.id, error = %Chain(error), "the outcome of a payment is not confirmed");
        }
        Ok(Made { payment: courier.carried(ran.end, ran.row, &waiter), replayed: false })
    }

    async fn find(&self, intent: &Intent) -> Result<Option<Payment>, StoreError> {
        sql::of_intent(&mut self.courier.store.snapshot().await?, intent).await
    }

    async fn known(
        &self,
        payment: Payment,
        command: &PaymentCommand,
        waiter: &Waiter<Payment>,
    ) -> Result<Made, PayError> {
        payment.trace_on();
        if let Some(pointer) = payment.differs_in(command) {
            return Err(PayError::Mismatch { payment: payment.id, pointer });
        }
        waiter.publish_known(&payment);
        self.courier.hasten(&payment).await;
        Ok(Made { payment, replayed: true })
    }

    /// One transaction that inserts the intent, leased and about to be sent; `None` where the key is not new.
    async fn record(
        &self,
        caller: &Caller,
        command: &PaymentCommand,
        intent: Intent,
    ) -> Result<Option<Committed<Payment>>, PayError> {
        let courier = &self.courier;
        let charge = match command.make {
            Make::Charge { .. } | Make::Hold { .. } => None,
            Make::Refund(id) => Some(id),
        };
        failpoint::pass("pay", "before_t1");
        let mut tx = courier.store.begin_as("payment.accept").await?;
        // Under the charge's lock: what refunds beside this one ask for is counted.
        let charge = match charge {
            Some(id) => {
                let found = sql::lock(&mut tx, id).await?.filter(|found| found.is_of_caller(caller));
                // Another request of this key may have been recorded meanwhile: it must not count against itself.
                if sql::of_intent(&mut tx, &intent).await?.is_some() {
                    tx.commit(()).await?;
                    return Ok(None);
                }
                let found = found.filter(|found| found.kind == PaymentKind::Charge).ok_or(PayError::NoCharge)?;
                let (refunds, returned) = sql::returned(&mut tx, &found).await?;
                Some((found, refunds, returned))
            }
            None => None,
        };
        let draft = match (&command.make, &charge) {
            (Make::Charge { account, consent, may_wait } | Make::Hold { account, consent, may_wait }, _) => {
                let account = self.account_for_charge(account.as_deref(), command.value)?;
                if consent.environment().is_some_and(|of| of != account.environment) {
                    return Err(PayError::OtherEnvironment(account.environment));
                }
                let is_held = matches!(command.make, Make::Hold { .. });
                PaymentDraft { account, against: consent.clone(), parent: None, may_wait: *may_wait, is_held }
            }
            (Make::Refund(_), Some((charge, refunds, returned))) => {
                self.for_refund(charge, *refunds, *returned, command.value)?
            }
            (Make::Refund(_), None) => return Err(PayError::NoCharge),
        };
        check_simulation(command.simulation.as_deref(), &draft)?;
        let mut payment = self.draft(caller, command, intent, draft)?;
        let entry = PaymentEntry::received(payment.kind, command.asked_by);
        let new = sql::insert(&mut tx, &mut payment, &entry).await?;
        failpoint::pass("pay", "in_t1");
        // Also where nothing was inserted: what this transaction ran into may itself not be committed yet.
        let committed = tx.commit(payment).await?;
        Ok(new.then_some(committed))
    }

    /// Soon after a restored back-up nobody knows what was given back.
    fn in_doubt(&self, why: PayError) -> PayError {
        let of_refund = matches!(
            why,
            PayError::NoCharge | PayError::NotPaid { .. } | PayError::NotRefundable(_) | PayError::TooManyRefunds
        );
        let lost = of_refund && self.courier.is_row_lost(self.courier.ambient.now());
        if lost { PayError::LostPerhaps(Box::new(why)) } else { why }
    }

    fn account_for_charge(&self, named: Option<&str>, value: Money) -> Result<&PayAccount, PayError> {
        let account = self.courier.accounts.choose(named, value.currency()).map_err(|no| match no {
            NoPayAccount::Unknown => PayError::UnknownAccount,
            NoPayAccount::Several => PayError::AmbiguousAccount,
            NoPayAccount::Currency => PayError::Currency,
        })?;
        if value.minor() > account.charge_maximum.minor() {
            return Err(PayError::TooMuch(account.charge_maximum));
        }
        Ok(account)
    }

    fn for_refund(
        &self,
        charge: &Payment,
        refunds: i64,
        returned: Money,
        value: Money,
    ) -> Result<PaymentDraft<'_>, PayError> {
        let not_paid = || PayError::NotPaid { status: charge.status(), may_be: charge.may_be_paid() };
        let taken = charge.taken().ok_or_else(not_paid)?;
        let against = charge.remote_id.clone().ok_or_else(not_paid)?;
        refundable(taken, returned, refunds, value).map_err(|no| match no {
            NotRefundable::Left(left) => PayError::NotRefundable(left),
            NotRefundable::TooMany => PayError::TooManyRefunds,
        })?;
        let account = self.courier.account_of(charge).ok_or(PayError::AccountGone)?;
        if !account.client.knows(against.as_str()) {
            return Err(PayError::OtherGeneration);
        }
        // Amazon decides about each refund later.
        Ok(PaymentDraft { account, against, parent: Some(charge.id), may_wait: true, is_held: false })
    }

    fn draft(
        &self,
        caller: &Caller,
        command: &PaymentCommand,
        intent: Intent,
        draft: PaymentDraft<'_>,
    ) -> Result<Payment, StoreError> {
        let (courier, PaymentDraft { account, against, parent, may_wait, is_held }) = (&self.courier, draft);
        let now = courier.ambient.now();
        Ok(Payment {
            id: PaymentId::new(courier.ambient.row_id(now)?),
            client: caller.client,
            intent,
            account: account.id.clone(),
            environment: account.environment,
            kind: if parent.is_some() { PaymentKind::Refund } else { PaymentKind::Charge },
            pay_key: account.client.key(&intent),
            against,
            parent,
            value: command.value,
            external_id: command.external_id.clone(),
            may_wait,
            simulation: command.simulation.clone(),
            order: schedule::begin(OnUnproven::Keep, courier.is_row_lost(now), courier.lease()?, now),
            remote_id: None,
            decline: None,
            last_error: None,
            events: 0,
            trace: trace::current(),
            holding: is_held.then(HeldSum::default),
            charged_back_at: None,
        })
    }
}

/// Nothing is simulated with a buyer's money.
fn check_simulation(code: Option<&str>, draft: &PaymentDraft<'_>) -> Result<(), PayError> {
    let Some(code) = code else { return Ok(()) };
    let code = SimulationCode::parse(code).filter(|_code| draft.account.environment == Environment::Sandbox);
    let code = code.ok_or(PayError::Simulation)?;
    if draft.account.client.simulates(draft.parent.is_some(), &code) { Ok(()) } else { Err(PayError::NoSuchPlay) }
}
