//! The use cases of payments, and the plain reads.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    account::PayAccounts,
    checkout::Checkout,
    courier::{PayCourier, PayParts},
    held::HeldMoney,
    kind::PaymentKind,
    make::MakePayment,
    model::Payment,
    notices::PayNotices,
    recovery::PayRecovery,
    sql::{self, list::PaymentPage},
};
use crate::{
    events::{
        Subject,
        timeline::{self, EntryRow, TimelineOrder},
    },
    identity::Caller,
    kernel::{ClientId, IdempotencyKey, Intent, PaymentId},
    store::StoreError,
};

/// The use cases of payments. Cheap to clone.
#[derive(Clone)]
pub struct Payments {
    courier: PayCourier,
    /// Makes payments.
    pub(crate) make: MakePayment,
    /// Takes held money, and gives it back.
    pub(crate) held: HeldMoney,
}

impl Payments {
    /// The use cases over one courier.
    pub(crate) fn new(parts: PayParts) -> Self {
        let courier = PayCourier::new(parts);
        Self { make: MakePayment::new(courier.clone()), held: HeldMoney::new(courier.clone()), courier }
    }

    /// What carries the payments to Amazon.
    pub(crate) const fn courier(&self) -> &PayCourier {
        &self.courier
    }

    /// What takes up the payments that are due.
    pub(crate) fn recovery(&self) -> PayRecovery {
        PayRecovery::new(self.courier.clone())
    }

    /// What takes notifications.
    pub(crate) fn notices(&self) -> PayNotices {
        PayNotices::new(self.courier.clone())
    }

    /// Consents of buyers.
    pub(crate) fn checkout(&self) -> Checkout {
        Checkout::new(self.courier.clone())
    }

    /// The sellers' accounts.
    pub(crate) fn accounts(&self) -> &PayAccounts {
        &self.courier.accounts
    }

    /// Wakes the recovery.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.courier.wake)
    }

    /// A payment of this caller's and of this kind, for somebody who waits for it: the next look at one that is not decided is brought
    /// about.
    pub(crate) async fn ask_for(
        &self,
        caller: &Caller,
        kind: PaymentKind,
        id: PaymentId,
    ) -> Result<Option<Payment>, StoreError> {
        let found = sql::peek(&mut self.courier.store.snapshot().await?, id).await?;
        let found = found.filter(|payment| payment.kind == kind && payment.is_of_caller(caller));
        if let Some(payment) = &found {
            self.courier.hasten(payment).await;
        }
        Ok(found)
    }

    /// The payment that this client's key named.
    pub(crate) async fn known(&self, client: ClientId, key: &IdempotencyKey) -> Result<Option<Payment>, StoreError> {
        sql::of_intent(&mut self.courier.store.snapshot().await?, &Intent::derive(client, key)).await
    }

    /// A page of this caller's payments, newest first. A key that is bound to a program has none.
    pub(crate) async fn list(&self, caller: &Caller, asked: &PaymentPage) -> Result<Vec<Payment>, StoreError> {
        if caller.bound_to().is_some() {
            return Ok(Vec::new());
        }
        sql::list::list(&mut self.courier.store.question().await?, caller.client, asked).await
    }

    /// A page of a payment's timeline, oldest first: the entries behind this place. `None` when the payment is not this caller's.
    pub(crate) async fn events(
        &self,
        caller: &Caller,
        kind: PaymentKind,
        id: PaymentId,
        from: Option<i64>,
        limit: i64,
    ) -> Result<Option<Vec<EntryRow>>, StoreError> {
        let mut snapshot = self.courier.store.question().await?;
        match sql::peek(&mut snapshot, id).await?.filter(|found| found.kind == kind && found.is_of_caller(caller)) {
            Some(payment) => {
                let subject = Subject::Payment(payment.id);
                timeline::page(&mut snapshot, subject, TimelineOrder::Oldest, from, limit).await.map(Some)
            }
            None => Ok(None),
        }
    }
}
