//! What follows from a payment, for rooms above: it is written in the transaction that settles the payment, so that neither is without the other.

use std::{future::Future, pin::Pin};

use chrono::{DateTime, Utc};

use super::model::Payment;
use crate::store::{StoreError, Tx};

/// Work within a payment's transaction.
pub(crate) type PaymentFollowed<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Whoever acts on what became of payments.
pub(crate) trait FollowsPayments: Send + Sync {
    /// The payment was saved as it is now. It may come again, and it may be nobody's.
    fn settled<'a>(&'a self, tx: &'a mut Tx, payment: &'a Payment, now: DateTime<Utc>) -> PaymentFollowed<'a>;
}
