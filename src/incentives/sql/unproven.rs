//! What an account's rewards are worth of which it is not known whether they were bought.

use crate::{
    kernel::Currency,
    store::{Snapshot, Sql, StoreError, fetch_optional, row, statements},
};

macro_rules! may_be_unbought {
    () => {
        "(state IN ('pending', 'issuing', 'unresolved') OR unproven_since IS NOT NULL AND state <> 'canceling')"
    };
}

statements! {
    /// What a person looks at may be proven. What was adopted is, and what is being canceled.
    UNPROVEN = Sql::same(
        "rewards.unproven",
        concat!(
            "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM (SELECT amount_minor FROM rewards \
             WHERE account = $1 AND currency = $2 AND due_at IS NOT NULL AND ",
            may_be_unbought!(),
            " UNION ALL SELECT amount_minor FROM rewards WHERE account = $1 AND currency = $2 AND state = 'needs_attention' \
             AND due_at IS NULL AND ",
            may_be_unbought!(),
            ") AS unproven"
        ),
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
