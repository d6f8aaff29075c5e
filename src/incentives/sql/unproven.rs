//! What an account's rewards are worth of which it is not known whether they were bought.

use crate::{
    kernel::Currency,
    store::{Snapshot, Sql, StoreError, fetch_optional, row, statements},
};

statements! {
    /// What a person looks at may be proven. What was adopted is, and what is being canceled.
    UNPROVEN = Sql::same(
        "rewards.unproven",
        "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM rewards \
         WHERE account = $1 AND currency = $2 AND (due_at IS NOT NULL OR state = 'needs_attention') \
         AND (state IN ('pending', 'issuing', 'unresolved') OR unproven_since IS NOT NULL AND state <> 'canceling')",
    );
}

row! {
    struct UnprovenRow { amount_minor: i64 }
}

/// In minor units.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn unproven(snapshot: &mut Snapshot, account: &str, currency: Currency) -> Result<i64, StoreError> {
    let row = fetch_optional!(UnprovenRow, snapshot, UNPROVEN, account, currency.code())?;
    Ok(row.map_or(0, |row| row.amount_minor))
}
