//! Where the window of an account is kept: observations that differ from the ledger, until they have agreed for some
//! minutes. It stands in the database, so that any replica goes on with it.

use chrono::{DateTime, Utc};

use super::deposits::{BalanceWindow, Excess, Standing};
use crate::{
    ledger::totals::LedgerKey,
    store::{Sql, StoreError, Tx, execute, fetch_optional, row, statements},
};

statements! {
    OF = Sql::same(
        "balance_windows.of",
        "SELECT since, amazon_since, least_minor, most_minor, expected_minor, on_the_way_minor, opening_minor, \
         deposits_minor, adjustments_minor, reserved_minor, canceled_minor FROM balance_windows \
         WHERE account = $1 AND currency = $2",
    );
    KEEP = Sql::same(
        "balance_windows.keep",
        "INSERT INTO balance_windows (account, currency, since, amazon_since, least_minor, most_minor, expected_minor, \
         on_the_way_minor, opening_minor, deposits_minor, adjustments_minor, reserved_minor, canceled_minor) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (account, currency) DO UPDATE SET \
         since = excluded.since, amazon_since = excluded.amazon_since, least_minor = excluded.least_minor, \
         most_minor = excluded.most_minor, expected_minor = excluded.expected_minor, \
         on_the_way_minor = excluded.on_the_way_minor, opening_minor = excluded.opening_minor, \
         deposits_minor = excluded.deposits_minor, adjustments_minor = excluded.adjustments_minor, \
         reserved_minor = excluded.reserved_minor, canceled_minor = excluded.canceled_minor",
    );
    CLOSE = Sql::same("balance_windows.close", "DELETE FROM balance_windows WHERE account = $1 AND currency = $2");
}

row! {
    struct WindowRow {
        since: DateTime<Utc>, amazon_since: Option<DateTime<Utc>>, least_minor: i64, most_minor: i64, expected_minor: i64,
        on_the_way_minor: i64, opening_minor: i64, deposits_minor: i64, adjustments_minor: i64, reserved_minor: i64,
        canceled_minor: i64,
    }
}

/// The account's window, if one is open.
pub(super) async fn of(tx: &mut Tx, key: LedgerKey<'_>) -> Result<Option<BalanceWindow>, StoreError> {
    let row = fetch_optional!(WindowRow, tx, OF, key.account, key.currency.code())?;
    Ok(row.map(|row| BalanceWindow {
        since: row.since,
        amazon_since: row.amazon_since,
        excess: Excess { least: row.least_minor, most: row.most_minor, latest: row.most_minor },
        before: Standing {
            expected: row.expected_minor,
            on_the_way: row.on_the_way_minor,
            opening: row.opening_minor,
            deposits: row.deposits_minor,
            adjustments: row.adjustments_minor,
            reserved: row.reserved_minor,
            canceled: row.canceled_minor,
        },
    }))
}

/// Keeps the window for the next observation, or closes it.
pub(super) async fn keep(tx: &mut Tx, key: LedgerKey<'_>, window: Option<&BalanceWindow>) -> Result<(), StoreError> {
    let (account, currency) = (key.account, key.currency.code());
    let Some(BalanceWindow { since, amazon_since, before, excess }) = window else {
        return execute!(tx, CLOSE, account, currency).map(|_rows| ());
    };
    execute!(
        tx,
        KEEP,
        account,
        currency,
        *since,
        *amazon_since,
        excess.least,
        excess.most,
        before.expected,
        before.on_the_way,
        before.opening,
        before.deposits,
        before.adjustments,
        before.reserved,
        before.canceled
    )
    .map(|_one| ())
}
