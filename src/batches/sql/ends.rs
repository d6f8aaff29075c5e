//! The end of batches in the database: which have nothing left to begin, what of those is taken up again, and what is old.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{readable, rows::BatchRow};
use crate::{
    batches::model::RewardBatch,
    kernel::BatchId,
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, statements},
};

/// A batch of which nothing is left to begin, and no reward is still being carried.
macro_rules! is_over {
    () => {
        "NOT EXISTS (SELECT 1 FROM batch_items i WHERE i.batch_id = batches.id AND i.due_at IS NOT NULL) \
         AND NOT EXISTS (SELECT 1 FROM batch_items i CROSS JOIN rewards r WHERE i.batch_id = batches.id AND r.id = i.reward_id \
         AND r.due_at IS NOT NULL)"
    };
}

statements! {
    /// Some that may be over: with nothing left to begin.
    EXHAUSTED = Sql::each(
        "batches.exhausted",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b INDEXED BY batches_open WHERE b.ended_at IS NULL AND b.id > $1 AND NOT EXISTS (SELECT 1 FROM batch_items i \
             INDEXED BY batch_items_due WHERE i.batch_id = b.id AND i.due_at IS NOT NULL) ORDER BY b.id LIMIT $2"
        ),
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.ended_at IS NULL AND b.id > $1 AND NOT EXISTS (SELECT 1 FROM batch_items i \
             WHERE i.batch_id = b.id AND i.due_at IS NOT NULL) ORDER BY b.id LIMIT $2"
        ),
    );
    /// What Amazon refused after it was handed over, and may not refuse again, is taken up again. One that lapsed would be found so for ever.
    TAKE_UP_AGAIN = Sql::same(
        "batch_items.take_up_again",
        "UPDATE batch_items SET state = 'waiting', due_at = $2 WHERE batch_id = $1 AND state = 'done' AND claims < 20 AND EXISTS \
         (SELECT 1 FROM rewards r WHERE r.id = batch_items.reward_id AND r.state = 'failed' AND r.retryable) \
         AND EXISTS (SELECT 1 FROM batches b WHERE b.id = $1 AND b.state = 'running' AND b.ended_at IS NULL)",
    );
    FINISH = Sql::same(
        "batches.finish",
        concat!(
            "UPDATE batches SET state = CASE WHEN state = 'canceled' THEN 'canceled' ELSE 'finished' END, waiting_for = NULL, resume_at = NULL, \
             ended_at = $2, updated_at = $2 WHERE id = $1 AND ended_at IS NULL AND ",
            is_over!()
        ),
    );
    AGED = Sql::same(
        "batches.aged",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.ended_at IS NOT NULL AND b.emptied_at IS NULL AND b.ended_at < $1 ORDER BY b.ended_at LIMIT 1"
        ),
    );
    EMPTY = Sql::same(
        "batches.empty",
        "UPDATE batches SET emptied_at = $2, updated_at = $2 WHERE id = $1 AND emptied_at IS NULL AND ended_at IS NOT NULL",
    );
    REMOVE_ITEMS = Sql::same("batch_items.remove", "DELETE FROM batch_items WHERE batch_id = $1");
}

/// Some of which nothing is left to begin, behind this one; and the last that was looked at.
pub(in crate::batches) async fn exhausted(
    on: &mut impl Read,
    behind: Uuid,
    limit: i64,
) -> Result<(Vec<RewardBatch>, Option<Uuid>), StoreError> {
    let rows = fetch_all!(BatchRow, on, EXHAUSTED, behind, limit)?;
    let last = rows.last().map(|row| row.id);
    Ok((rows.into_iter().filter_map(readable).collect(), last))
}

/// Takes up again what Amazon refused after it was handed over; says whether there is some.
pub(in crate::batches) async fn take_up_again(
    tx: &mut Tx,
    id: BatchId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, TAKE_UP_AGAIN, id.uuid(), now)? > 0)
}

/// Ends a batch if nothing is left to do; says whether it did.
pub(in crate::batches) async fn finish(tx: &mut Tx, id: BatchId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(tx, FINISH, id.uuid(), now)? == 1)
}

/// One that ended before this instant and has its items still.
pub(in crate::batches) async fn aged(
    on: &mut impl Read,
    before: DateTime<Utc>,
) -> Result<Option<RewardBatch>, StoreError> {
    fetch_optional!(BatchRow, on, AGED, before)?.map(RewardBatch::try_from).transpose()
}

/// Removes the items of a batch that has ended.
pub(in crate::batches) async fn empty(tx: &mut Tx, id: BatchId, now: DateTime<Utc>) -> Result<(), StoreError> {
    if execute!(tx, EMPTY, id.uuid(), now)? == 1 {
        execute!(tx, REMOVE_ITEMS, id.uuid())?;
    }
    Ok(())
}
