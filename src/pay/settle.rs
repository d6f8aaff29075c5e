//! Payments that need a person: what they are, and what the person found out. Nothing here calls Amazon.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{follow::FollowsPayments, kind::PaymentKind, model::Payment, sql, timeline::PaymentEntry};
use crate::{
    audit::{AuditAction, Deed, Scribe},
    engine::schedule::{self, Resolution},
    kernel::{AmazonPayId, Money, PaymentId},
    store::{Store, StoreError},
};

/// Why a decision was not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaySettleError {
    /// No such payment.
    #[error("there is no such payment")]
    NotFound,
    /// It needs no person.
    #[error("the payment is {0}; only one that needs attention is settled by hand")]
    InvalidState(&'static str),
    /// The id is not that of such a payment.
    #[error("that is no id of a {kind} there: it must be of the {environment} environment, and {known}")]
    OtherId {
        /// What it is.
        kind: &'static str,
        /// Where it was made.
        environment: &'static str,
        /// What is known of its id.
        known: String,
    },
    /// Another payment has that id.
    #[error("that is Amazon's id of {0}")]
    Taken(PaymentId),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a person found out about a payment.
#[derive(Debug, Clone)]
pub(crate) enum PaymentFinding {
    /// Amazon made it, under this id of Amazon's.
    Made(AmazonPayId),
    /// Amazon did not make it, and will not.
    NotMade,
}

/// A payment that needs a person, as an operator looks for it at Amazon.
#[derive(Debug, Clone)]
pub(crate) struct WaitingPayment {
    pub(crate) id: PaymentId,
    pub(crate) kind: &'static str,
    /// Why.
    pub(crate) why: &'static str,
    pub(crate) value: Money,
    pub(crate) account: String,
    /// The key that Amazon knows it by, which derives from the caller's.
    pub(crate) pay_key: String,
    /// Amazon's id of what it is made against.
    pub(crate) against: String,
    /// When the caller asked for it.
    pub(crate) asked_at: DateTime<Utc>,
    /// Since when it needs a person.
    pub(crate) since: DateTime<Utc>,
}

/// Every payment that needs a person, oldest first; 1,000 at most.
pub(crate) async fn list(store: &Store) -> Result<Vec<WaitingPayment>, StoreError> {
    let found = sql::attention(&mut store.snapshot().await?).await?;
    let waiting = found.into_iter().map(|payment| WaitingPayment {
        id: payment.id,
        kind: payment.kind.as_str(),
        why: payment.order.stage.attention().map_or("unknown", |why| why.as_str()),
        value: payment.value,
        account: payment.account,
        pay_key: payment.pay_key.as_str().to_owned(),
        against: payment.against.to_string(),
        asked_at: payment.order.created_at,
        since: payment.order.updated_at,
    });
    Ok(waiting.collect())
}

/// Who writes it down, and who acts on it.
#[derive(Clone, Copy)]
pub(crate) struct PaySettlers<'a> {
    pub(crate) scribe: &'a Scribe,
    pub(crate) follower: &'a dyn FollowsPayments,
}

/// Writes down what a person found out about a payment, and why; answers its status. It is final afterwards.
pub(crate) async fn settle(
    store: &Store,
    id: PaymentId,
    finding: PaymentFinding,
    reason: String,
    by: PaySettlers<'_>,
    now: DateTime<Utc>,
) -> Result<&'static str, PaySettleError> {
    let mut tx = store.begin().await?;
    let mut payment = sql::lock(&mut tx, id).await?.ok_or(PaySettleError::NotFound)?;
    let before = payment.status();
    let resolution = match &finding {
        PaymentFinding::Made(_) => Resolution::Issued,
        PaymentFinding::NotMade => Resolution::NotBought,
    };
    payment.order = schedule::resolve(payment.order, resolution, now).ok_or(PaySettleError::InvalidState(before))?;
    if let PaymentFinding::Made(remote_id) = &finding {
        check_id(&payment, remote_id)?;
        // Amazon made one of them only: the other one was not paid, or was made under another id.
        if let Some(other) = sql::held::of_remote(&mut tx, payment.kind, remote_id).await?.filter(|other| *other != id)
        {
            return Err(PaySettleError::Taken(other));
        }
    }
    if let PaymentFinding::Made(remote_id) = finding {
        (payment.remote_id, payment.last_error) = (Some(remote_id), None);
    }
    let entry = PaymentEntry::settled(&payment, reason);
    if !sql::save(&mut tx, &mut payment, Some(&entry), now).await? {
        return Err(StoreError::Unconfirmed.into());
    }
    let followed = by.follower.settled(&mut tx, &payment, now).await?;
    // The reason stands in the timeline.
    let details = json!({"from": before, "to": payment.status()});
    let deed = Deed { action: AuditAction::PaymentSettled, subject: &id.to_string(), details };
    by.scribe.write(&mut tx, deed, now).await?;
    let committed = tx.commit(payment).await?;
    followed.committed();
    Ok(committed.get().status())
}

/// By this id the payment is read and given back later, so it must be its own.
fn check_id(payment: &Payment, id: &AmazonPayId) -> Result<(), PaySettleError> {
    let suffix = match payment.kind {
        PaymentKind::Charge | PaymentKind::Capture => "-C",
        PaymentKind::Refund => "-R",
    };
    // A capture has the id of the charge that it takes.
    let known =
        payment.remote_id.as_ref().or_else(|| (payment.kind == PaymentKind::Capture).then_some(&payment.against));
    let named = known.is_none_or(|known| known == id);
    let there = id.environment().is_none_or(|of| of == payment.environment);
    if named && there && id.as_str().contains(suffix) {
        return Ok(());
    }
    let known = known.map_or_else(|| format!("have {suffix} in it"), |known| format!("is {known}"));
    Err(PaySettleError::OtherId { kind: payment.kind.as_str(), environment: payment.environment.as_str(), known })
}
