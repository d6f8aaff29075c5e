//! What follows from a payment, for rooms above: it is written in the transaction that settles the payment, so that neither is without the other.

use std::{future::Future, pin::Pin};

use chrono::{DateTime, Utc};

use super::{model::Payment, sql};
use crate::{
    kernel::PaymentId,
    store::{StoreError, Tx},
};

/// What is to be done once a payment's transaction is committed. A transaction that is undone does it with none.
#[must_use = "what was written is committed before this is done"]
#[derive(Default)]
pub(crate) struct AfterCommit(Option<Box<dyn FnOnce() + Send>>);

impl AfterCommit {
    /// This.
    pub(crate) fn of(done: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    /// The transaction is committed.
    pub(crate) fn committed(self) {
        if let Some(done) = self.0 {
            done();
        }
    }
}

/// Work within a payment's transaction.
pub(crate) type PaymentFollowed<'a> = Pin<Box<dyn Future<Output = Result<AfterCommit, StoreError>> + Send + 'a>>;

/// Whoever acts on what became of payments.
pub(crate) trait FollowsPayments: Send + Sync {
    /// The payment was saved as it is now. It may come again, and it may be nobody's.
    fn settled<'a>(&'a self, tx: &'a mut Tx, payment: &'a Payment, now: DateTime<Utc>) -> PaymentFollowed<'a>;
}

/// How much of a charge was, or may still be, given back: in minor units of its currency. What Amazon refused to give back is not among it.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn asked_back(tx: &mut Tx, charge: PaymentId) -> Result<i64, StoreError> {
    sql::asked_back(tx, charge).await
}
