//! Charges whose money is held, and their captures. A capture's row is its own; the charge that it takes is what callers see, so each change
//! of a capture is written into the charge, too: how it stands, and the timeline's entry.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::PaymentRow;
use crate::{
    engine::Stage,
    events::{
        Subject,
        timeline::{self, Fact},
    },
    kernel::{AmazonPayId, Chain, PaymentId},
    pay::{
        kind::{CaptureStatus, PaymentKind},
        model::Payment,
        timeline::PaymentEntry,
    },
    provider::pay::DeclineKind,
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// The version goes on: whoever judges the charge by what it read before the capture judges anew.
    TAKE = Sql::same(
        "payments.take",
        "UPDATE payments SET capture_status = $2, captured_minor = $3, decline = $4, error_code = $5, look_at = $6, updated_at = $7, \
         events = events + 1, version = version + 1 WHERE id = $1 RETURNING events",
    );
    /// The captures that were asked for, the failed ones too.
    TRIES = Sql::same(
        "payments.captures",
        "SELECT COUNT(*) AS tries FROM payments WHERE parent_id = $1 AND kind = 'capture'",
    );
    OF_REMOTE = Sql::same(
        "payments.of_remote",
        "SELECT id FROM payments WHERE remote_id = $1 AND kind = $2 ORDER BY id LIMIT 1",
    );
    /// Held money of these accounts, as JSON, that Amazon may have given back by itself.
    LAPSED = Sql::each(
        "payments.lapsed",
        concat!("SELECT ", columns!(), " FROM payments WHERE look_at <= $1 AND account IN (SELECT value FROM json_each($2)) \
         ORDER BY look_at LIMIT $3"),
        concat!("SELECT ", columns!(), " FROM payments WHERE look_at <= $1 \
         AND account = ANY (ARRAY(SELECT json_array_elements_text(CAST($2 AS JSON)))) ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED"),
    );
    ANY_LAPSED = Sql::same(
        "payments.any_lapsed",
        "SELECT id FROM payments WHERE look_at <= $1 ORDER BY look_at LIMIT 1",
    );
    LOOK_LATER = Sql::same(
        "payments.look_later",
        "UPDATE payments SET look_at = $3 WHERE id = $1 AND look_at = $2",
    );
}

row! {
    struct CaptureNotedRow { events: i64 }
}

row! {
    struct PaymentIdRow { id: Uuid }
}

row! {
    struct TriesRow { tries: i64 }
}

/// How a charge stands by its capture. A capture that came to nothing leaves the charge as it was.
const fn status_of(capture: &Payment) -> Option<CaptureStatus> {
    match capture.order.stage {
        Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) => Some(CaptureStatus::Capturing),
        Stage::Proven(_) => Some(CaptureStatus::Paid),
        Stage::Refused { .. } | Stage::Reversed(_) if capture.decline.is_some() => Some(CaptureStatus::Declined),
        Stage::Refused { .. } | Stage::Reversed(_) => None,
        Stage::Reversing(_) | Stage::Attention(_) => Some(CaptureStatus::NeedsAttention),
    }
}

/// Writes how a capture stands into its charge, with the entry.
pub(super) async fn show_in_charge(
    tx: &mut Tx,
    capture: &Payment,
    entry: &PaymentEntry,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(charge) = capture.parent else { return Ok(()) };
    let status = status_of(capture);
    let taken = status.map(|_status| capture.value.minor());
    // What was not taken may not be held any more: that is looked at.
    let look_at = status.is_none().then_some(now);
    let error = capture.last_error.as_deref();
    let decline = capture.decline.map(DeclineKind::as_str);
    let taken = fetch_optional!(
        CaptureNotedRow,
        tx,
        TAKE,
        charge.uuid(),
        status.map(CaptureStatus::as_str),
        taken,
        decline,
        error,
        look_at,
        now
    )?;
    let seq = taken.ok_or(StoreError::Unconfirmed)?.events;
    let fact = Fact {
        subject: Subject::Payment(charge),
        seq,
        client: capture.client,
        account: &capture.account,
        kind: entry.kind,
        data: entry.detail_json(),
    };
    timeline::write(tx, fact, now).await
}

/// How many captures of a charge were asked for so far.
pub(in crate::pay) async fn tries(tx: &mut Tx, charge: PaymentId) -> Result<i64, StoreError> {
    Ok(fetch_optional!(TriesRow, tx, TRIES, charge.uuid())?.map_or(0, |row| row.tries))
}

/// The payment of this kind that has this id of Amazon's.
pub(in crate::pay) async fn of_remote(
    tx: &mut Tx,
    kind: PaymentKind,
    id: &AmazonPayId,
) -> Result<Option<PaymentId>, StoreError> {
    Ok(fetch_optional!(PaymentIdRow, tx, OF_REMOTE, id.as_str(), kind.as_str())?.map(|row| PaymentId::new(row.id)))
}

/// Whether Amazon may have given back by itself what a charge holds.
pub(in crate::pay) async fn is_any_lapsed(snapshot: &mut Snapshot, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(fetch_optional!(PaymentIdRow, snapshot, ANY_LAPSED, now)?.is_some_and(|row| !row.id.is_nil()))
}

/// Charges of these accounts whose money Amazon may have given back by itself. The next look at each is planned for `next` with that: a
/// worker that dies over one leaves it to the next look.
pub(in crate::pay) async fn take_lapsed(
    tx: &mut Tx,
    accounts: &[&str],
    limit: usize,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
) -> Result<Vec<Payment>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = fetch_all!(PaymentRow, tx, LAPSED, now, json!(accounts).to_string(), limit)?;
    let mut taken = Vec::new();
    for row in rows {
        let (id, planned) = (row.id, row.look_at);
        if execute!(tx, LOOK_LATER, id, planned, next)? != 1 {
            continue;
        }
        match Payment::try_from(row) {
            Ok(payment) => taken.push(payment),
            Err(error) => {
                let id = PaymentId::new(id);
                tracing::error!(payment.id = %id, error = %Chain(&error), "a charge that holds money cannot be read");
            }
        }
    }
    Ok(taken)
}
