//! Payments that are due, locked to be leased.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{PaymentRow, known_kinds};
use crate::{
    engine::recover::FreeHands,
    pay::model::Payment,
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

/// Of an account, due, and of none of these owners. States and kinds are named: this version would lease what it cannot carry.
macro_rules! due {
    (sqlite $account:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM payments WHERE ",
            $account,
            " AND due_at <= $1 AND state IN ('pending', 'issuing', 'unresolved', 'canceling') \
             AND kind IN (SELECT value FROM json_each($4)) AND client_id NOT IN (SELECT unhex(value) FROM json_each($5)) \
             ORDER BY due_at LIMIT $2"
        )
    };
    (postgres $account:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM payments WHERE ",
            $account,
            " AND due_at <= $1 AND state IN ('pending', 'issuing', 'unresolved', 'canceling') \
             AND kind = ANY (ARRAY(SELECT json_array_elements_text(CAST($4 AS JSON)))) \
             AND client_id <> ALL (ARRAY(SELECT CAST(json_array_elements_text(CAST($5 AS JSON)) AS UUID))) \
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
    };
}

statements! {
    /// The accounts are JSON. For each one question at the head of the index, however much is due.
    LANES = Sql::each(
        "payments.due_accounts",
        "SELECT accounts.value AS account FROM json_each($2) AS accounts WHERE \
         (SELECT p.id FROM payments p WHERE p.account = accounts.value AND p.due_at <= $1 ORDER BY p.due_at LIMIT 1) IS NOT NULL",
        "SELECT accounts.value AS account FROM json_array_elements_text(CAST($2 AS JSON)) AS accounts (value) WHERE \
         (SELECT p.id FROM payments p WHERE p.account = accounts.value AND p.due_at <= $1 ORDER BY p.due_at LIMIT 1) IS NOT NULL",
    );
    DUE = Sql::each("payments.due", due!(sqlite "account = $3"), due!(postgres "account = $3"));
    /// Of accounts that are not in this list, as JSON.
    DUE_OF_STRANGERS = Sql::each(
        "payments.due_of_strangers",
        due!(sqlite "account NOT IN (SELECT value FROM json_each($3))"),
        due!(postgres "account <> ALL (ARRAY(SELECT json_array_elements_text(CAST($3 AS JSON))))"),
    );
    RECALL = Sql::same(
        "payments.recall",
        "UPDATE payments SET due_at = $1 WHERE due_at > $2 AND state IN ('pending', 'issuing', 'unresolved', 'canceling')",
    );
    PARK = Sql::same("payments.park", "UPDATE payments SET due_at = $2 WHERE id = $1 AND due_at IS NOT NULL");
}

row! {
    struct PaymentLaneRow { account: String }
}

/// Those of these accounts in which something is due.
pub(crate) async fn accounts(
    snapshot: &mut Snapshot,
    accounts: &[&str],
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(PaymentLaneRow, snapshot, LANES, now, json!(accounts).to_string())?;
    Ok(rows.into_iter().map(|row| row.account).collect())
}

/// Moves the due time of a row, whatever is in it: one that cannot be read must not stand before the others each time.
pub(crate) async fn park(tx: &mut Tx, id: Uuid, until: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, PARK, id, until).map(|_rows| ())
}

/// What was found due.
#[derive(Default)]
pub(crate) struct FoundPayments {
    pub(crate) payments: Vec<Payment>,
    /// Those that cannot be read.
    pub(crate) unreadable: Vec<(Uuid, StoreError)>,
}

impl FoundPayments {
    fn of(rows: Vec<PaymentRow>) -> Self {
        let mut found = Self::default();
        for row in rows {
            let id = row.id;
            match Payment::try_from(row) {
                Ok(payment) => found.payments.push(payment),
                Err(error) => found.unreadable.push((id, error)),
            }
        }
        found
    }
}

fn limits(free: &FreeHands) -> (i64, String) {
    let owners = json!(free.except.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string();
    (i64::try_from(free.limit).unwrap_or(i64::MAX), owners)
}

/// Payments of an account that are due, longest due first; on PostgreSQL those that another replica holds are passed over.
pub(crate) async fn find(
    tx: &mut Tx,
    account: &str,
    free: &FreeHands,
    now: DateTime<Utc>,
) -> Result<FoundPayments, StoreError> {
    let (limit, owners) = limits(free);
    Ok(FoundPayments::of(fetch_all!(PaymentRow, tx, DUE, now, limit, account, known_kinds(), owners)?))
}

/// The same of accounts that are none of these.
pub(crate) async fn find_strangers(
    tx: &mut Tx,
    accounts: &[&str],
    free: &FreeHands,
    now: DateTime<Utc>,
) -> Result<FoundPayments, StoreError> {
    let ((limit, owners), known) = (limits(free), json!(accounts).to_string());
    Ok(FoundPayments::of(fetch_all!(PaymentRow, tx, DUE_OF_STRANGERS, now, limit, known, known_kinds(), owners)?))
}

/// Makes due at once what would be due after `horizon` only. Returns how many that were.
pub(crate) async fn recall(tx: &mut Tx, now: DateTime<Utc>, horizon: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, RECALL, now, horizon)
}
