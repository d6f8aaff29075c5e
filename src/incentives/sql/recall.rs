//! Rewards whose due time was written by a clock that was ahead.

use chrono::{DateTime, Utc};

use super::known_kinds;
use crate::store::{Sql, StoreError, Tx, execute, statements};

/// States and kinds are those of `DUE`, for the same reason.
macro_rules! stray {
    ($database:ident $by:literal) => {
        concat!(
            "SELECT id FROM rewards",
            $by,
            " WHERE due_at > $2 AND state IN ('pending', 'issuing', 'unresolved', 'canceling')",
            is_known!($database "$3")
        )
    };
}

statements! {
    /// Beside another replica that does the same, each takes the rows that the other has not.
    RECALL = Sql::each(
        "rewards.recall",
        concat!("UPDATE rewards SET due_at = $1 WHERE id IN (", stray!(sqlite " INDEXED BY rewards_due"), ")"),
        concat!("UPDATE rewards SET due_at = $1 WHERE id IN (", stray!(postgres ""), " FOR UPDATE SKIP LOCKED)"),
    );
}

/// Makes due at once what would be due after `horizon` only. Returns how many that were.
pub(in crate::incentives) async fn recall(
    tx: &mut Tx,
    now: DateTime<Utc>,
    horizon: DateTime<Utc>,
) -> Result<u64, StoreError> {
    execute!(tx, RECALL, now, horizon, known_kinds())
}
