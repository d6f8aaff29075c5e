//! Batches and their items in the database.
//!
//! `BY_ID` locks nothing. What changes a batch asks for its state in the same statement, and an item is written by whoever took it up last, by
//! `claims`. The one exception is `DONE`: there is a reward, and whoever knows of it writes it down.

mod rows;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use self::rows::{BatchItemRow, BatchRow, OpenCountRow, OutcomeCountRow, OutcomeRow};
use super::model::{BatchItem, BatchItemState, BatchState, ItemOutcome, ItemRefusal, RewardBatch};
use crate::{
    kernel::{ApiKeyId, BatchId, ClientId, Intent, ProgramId, RewardId},
    store::{InstantRow, Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, statements},
};

macro_rules! columns {
    () => {
        "b.id, b.client_id, b.api_key_id, b.program_id, b.account, b.name, b.intent, b.digest, b.items, b.state, b.waiting_for, b.resume_at, \
         b.setbacks, b.moved_at, b.created_at, b.ended_at, b.emptied_at"
    };
}

macro_rules! item_columns {
    () => {
        "i.place, i.external_id, i.kind, i.amount_minor, i.currency, i.metadata, i.state, i.reward_id, i.refused_code, \
         i.refused_pointer, i.claims"
    };
}

/// Items are claimed in their order. Another replica may be taking some: they are left to it.
macro_rules! claimed {
    ($first:literal, $by:literal, $which:literal, $last:literal) => {
        concat!(
            "UPDATE batch_items SET state = 'started', due_at = $4, claims = claims + 1 WHERE batch_id = $1 AND due_at <= $2 AND place ",
            $first,
            "SELECT d.place FROM batch_items d",
            $by,
            " WHERE d.batch_id = $1 AND d.due_at IS NOT NULL AND d.due_at <= $2",
            $which,
            " AND EXISTS (SELECT 1 FROM batches b WHERE b.id = $1 AND b.state IN ('running', 'canceled')) ORDER BY d.due_at, d.place LIMIT $3",
            $last,
            " RETURNING place, external_id, kind, amount_minor, currency, metadata, state, reward_id, refused_code, refused_pointer, claims"
        )
    };
}

pub mod ends;

statements! {
    INSERT = Sql::same(
        "batches.insert",
        "INSERT INTO batches (id, client_id, api_key_id, program_id, account, name, intent, digest, items, state, setbacks, moved_at, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'running', 0, $10, $10, $10) ON CONFLICT (intent) DO NOTHING",
    );
    /// All items of a batch: `$3` is a JSON array of arrays.
    INSERT_ITEMS = Sql::each(
        "batch_items.insert",
        "INSERT INTO batch_items (batch_id, place, external_id, kind, amount_minor, currency, metadata, state, due_at, claims) \
         SELECT $1, key, json_extract(value, '$[0]'), json_extract(value, '$[1]'), CAST(json_extract(value, '$[2]') AS INTEGER), \
         json_extract(value, '$[3]'), json_extract(value, '$[4]'), 'waiting', $2, 0 FROM json_each($3)",
        "INSERT INTO batch_items (batch_id, place, external_id, kind, amount_minor, currency, metadata, state, due_at, claims) \
         SELECT $1, one.at - 1, one.value ->> 0, one.value ->> 1, CAST(one.value ->> 2 AS BIGINT), one.value ->> 3, one.value ->> 4, 'waiting', \
         $2, 0 FROM json_array_elements(CAST($3 AS JSON)) WITH ORDINALITY AS one (value, at)",
    );
    BY_ID = Sql::same("batches.by_id", concat!("SELECT ", columns!(), " FROM batches b WHERE b.id = $1"));
    BY_INTENT = Sql::same("batches.by_intent", concat!("SELECT ", columns!(), " FROM batches b WHERE b.intent = $1"));
    PAGE_OF_CLIENT = Sql::same(
        "batches.page_of_client",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.client_id = $1 AND b.id < $2 ORDER BY b.id DESC LIMIT $3"
        ),
    );
    PAGE_OF_PROGRAM = Sql::same(
        "batches.page_of_program",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.client_id = $1 AND b.program_id = $4 AND b.id < $2 ORDER BY b.id DESC LIMIT $3"
        ),
    );
    PAGE_NAMED = Sql::same(
        "batches.page_named",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.client_id = $1 AND b.name = $5 AND b.id < $2 \
             AND (CAST($4 AS TEXT) IS NULL OR b.program_id = CAST($4 AS TEXT)) ORDER BY b.id DESC LIMIT $3"
        ),
    );
    PAGE = Sql::same(
        "batches.page",
        concat!("SELECT ", columns!(), " FROM batches b WHERE b.id < $1 ORDER BY b.id DESC LIMIT $2"),
    );
    OPEN_OF_CLIENT = Sql::each(
        "batches.open_of_client",
        "SELECT 'open' AS state, COUNT(*) AS count FROM batches b INDEXED BY batches_open WHERE b.ended_at IS NULL AND b.client_id = $1",
        "SELECT 'open' AS state, COUNT(*) AS count FROM batches b WHERE b.ended_at IS NULL AND b.client_id = $1",
    );
    /// Those of which something may be begun, or taken up again.
    READY = Sql::each(
        "batches.ready",
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b INDEXED BY batches_open WHERE b.ended_at IS NULL AND b.state IN ('running', 'canceled') \
             AND (b.resume_at IS NULL OR b.resume_at <= $1) AND EXISTS (SELECT 1 FROM batch_items i INDEXED BY batch_items_due \
             WHERE i.batch_id = b.id AND i.due_at IS NOT NULL AND i.due_at <= $1) AND b.id > $2 ORDER BY b.id LIMIT $3"
        ),
        concat!(
            "SELECT ",
            columns!(),
            " FROM batches b WHERE b.ended_at IS NULL AND b.state IN ('running', 'canceled') \
             AND (b.resume_at IS NULL OR b.resume_at <= $1) AND EXISTS (SELECT 1 FROM batch_items i \
             WHERE i.batch_id = b.id AND i.due_at IS NOT NULL AND i.due_at <= $1) AND b.id > $2 ORDER BY b.id LIMIT $3"
        ),
    );
    /// On PostgreSQL the list is made once: as a subquery it may be asked for each row, and takes others each time.
    CLAIM = Sql::each(
        "batch_items.claim",
        claimed!("IN (", " INDEXED BY batch_items_due", "", ")"),
        claimed!("= ANY (ARRAY(", "", "", " FOR UPDATE OF d SKIP LOCKED))"),
    );
    /// Those that Amazon refused before. A new one would be another reward that counts under the day's ceilings.
    CLAIM_REFUSED = Sql::each(
        "batch_items.claim_refused",
        claimed!("IN (", " INDEXED BY batch_items_due", " AND d.reward_id IS NOT NULL", ")"),
        claimed!("= ANY (ARRAY(", "", " AND d.reward_id IS NOT NULL", " FOR UPDATE OF d SKIP LOCKED))"),
    );
    /// On SQLite one process serves the file: what is taken up at its start was taken up by one that is dead.
    ABANDON = Sql::each(
        "batch_items.abandon",
        "UPDATE batch_items SET due_at = $1 WHERE state = 'started' AND due_at IS NOT NULL AND batch_id IN (SELECT b.id FROM batches b \
         INDEXED BY batches_open WHERE b.ended_at IS NULL)",
        "UPDATE batch_items SET due_at = $1 WHERE state = 'started' AND due_at IS NOT NULL AND batch_id IN (SELECT b.id FROM batches b \
         WHERE b.ended_at IS NULL)",
    );
    DONE = Sql::same(
        "batch_items.done",
        "UPDATE batch_items SET state = 'done', due_at = NULL, reward_id = $3, refused_code = NULL, refused_pointer = NULL \
         WHERE batch_id = $1 AND place = $2",
    );
    REFUSE = Sql::same(
        "batch_items.refuse",
        "UPDATE batch_items SET state = 'refused', due_at = NULL, refused_code = $4, refused_pointer = $5 \
         WHERE batch_id = $1 AND place = $2 AND claims = $3 AND state = 'started'",
    );
    CANCEL_ONE = Sql::same(
        "batch_items.cancel_one",
        "UPDATE batch_items SET state = 'canceled', due_at = NULL WHERE batch_id = $1 AND place = $2 AND claims = $3 AND state = 'started'",
    );
    /// It is to be tried again. Of a canceled batch that is found out when it is taken up.
    PUT_BACK = Sql::same(
        "batch_items.put_back",
        "UPDATE batch_items SET state = 'waiting', due_at = $4, reward_id = COALESCE($5, reward_id) \
         WHERE batch_id = $1 AND place = $2 AND claims = $3 AND state = 'started'",
    );
    /// Whoever sees it first counts: others of the batch may have been under way.
    HOLD_UP = Sql::same(
        "batches.hold_up",
        "UPDATE batches SET waiting_for = $2, resume_at = $3, setbacks = setbacks + 1 \
         WHERE id = $1 AND state = 'running' AND (resume_at IS NULL OR resume_at <= $4)",
    );
    /// Seldom changes the row: many items of one batch would wait for it.
    MOVED = Sql::same(
        "batches.moved",
        "UPDATE batches SET moved_at = $2, waiting_for = NULL, resume_at = NULL, setbacks = 0 \
         WHERE id = $1 AND (waiting_for IS NOT NULL OR moved_at < $3)",
    );
    PAUSE = Sql::same(
        "batches.pause",
        "UPDATE batches SET state = 'paused', waiting_for = NULL, resume_at = NULL, setbacks = 0, updated_at = $2 WHERE id = $1 AND state = 'running'",
    );
    RESUME = Sql::same(
        "batches.resume",
        "UPDATE batches SET state = 'running', api_key_id = $2, waiting_for = NULL, resume_at = NULL, setbacks = 0, moved_at = $3, \
         updated_at = $3 WHERE id = $1 AND state IN ('running', 'paused')",
    );
    CANCEL = Sql::same(
        "batches.cancel",
        "UPDATE batches SET state = 'canceled', waiting_for = NULL, resume_at = NULL, updated_at = $2 \
         WHERE id = $1 AND state IN ('running', 'paused')",
    );
    /// What has a reward already, that Amazon refused, stays that.
    CANCEL_ITEMS = Sql::same(
        "batch_items.cancel",
        "UPDATE batch_items SET state = CASE WHEN reward_id IS NULL THEN 'canceled' ELSE 'done' END, due_at = NULL \
         WHERE batch_id = $1 AND state = 'waiting'",
    );
    COUNTS = Sql::same(
        "batch_items.counts",
        "SELECT i.state, r.state AS reward_state, COUNT(*) AS count FROM batch_items i LEFT JOIN rewards r ON r.id = i.reward_id \
         WHERE i.batch_id = $1 GROUP BY i.state, r.state",
    );
    ITEMS = Sql::same(
        "batch_items.page",
        concat!(
            "SELECT ",
            item_columns!(),
            ", r.state AS reward_state FROM batch_items i LEFT JOIN rewards r ON r.id = i.reward_id \
             WHERE i.batch_id = $1 AND i.place > $2 ORDER BY i.place LIMIT $3"
        ),
    );
    /// The service's figures: how many items wait, and how many are under way.
    OPEN_ITEMS = Sql::each(
        "batch_items.open",
        "SELECT i.state, COUNT(*) AS count FROM batches b INDEXED BY batches_open CROSS JOIN batch_items i INDEXED BY batch_items_due \
         WHERE b.ended_at IS NULL AND i.batch_id = b.id AND i.due_at IS NOT NULL GROUP BY i.state",
        "SELECT i.state, COUNT(*) AS count FROM batches b CROSS JOIN batch_items i \
         WHERE b.ended_at IS NULL AND i.batch_id = b.id AND i.due_at IS NOT NULL GROUP BY i.state",
    );
    OPEN_BATCHES = Sql::each(
        "batches.open",
        "SELECT state, COUNT(*) AS count FROM batches INDEXED BY batches_open WHERE ended_at IS NULL GROUP BY state",
        "SELECT state, COUNT(*) AS count FROM batches WHERE ended_at IS NULL GROUP BY state",
    );
    /// Since when a batch has not come on, although nothing holds it up that ends by itself or by money.
    STALLED = Sql::each(
        "batches.stalled",
        "SELECT MIN(b.moved_at) AS at FROM batches b INDEXED BY batches_open WHERE b.ended_at IS NULL AND b.state = 'running' \
         AND COALESCE(b.waiting_for, '') NOT IN ('insufficient-funds', 'ceiling-reached', 'budget-exceeded', 'program-suspended') \
         AND EXISTS (SELECT 1 FROM batch_items i INDEXED BY batch_items_due WHERE i.batch_id = b.id \
         AND i.due_at IS NOT NULL)",
        "SELECT MIN(b.moved_at) AS at FROM batches b WHERE b.ended_at IS NULL AND b.state = 'running' \
         AND COALESCE(b.waiting_for, '') NOT IN ('insufficient-funds', 'ceiling-reached', 'budget-exceeded', 'program-suspended') \
         AND EXISTS (SELECT 1 FROM batch_items i WHERE i.batch_id = b.id AND i.due_at IS NOT NULL)",
    );
}

/// How many items came to what.
pub type OutcomeCounts = Vec<(ItemOutcome, i64)>;

/// Writes a batch with its items; `false` where its key was used before, and nothing was written.
pub(super) async fn insert(tx: &mut Tx, batch: &RewardBatch, items: &[BatchItem]) -> Result<bool, StoreError> {
    let RewardBatch { id, client, asked_by, program, account, name, intent, digest, items: count, created_at, .. } =
        batch;
    let (program, digest) = (program.as_ref().map(|id| id.as_str().to_owned()), digest.as_slice());
    let intent = intent.as_bytes().as_slice();
    let (client, key, account, name) = (client.uuid(), asked_by.uuid(), account.as_str(), name.as_deref());
    let new = execute!(tx, INSERT, id.uuid(), client, key, program, account, name, intent, digest, count, created_at)?;
    if new == 0 {
        return Ok(false);
    }
    let one = |item: &BatchItem| {
        let value = item.value;
        json!([item.external_id, item.kind, value.minor(), value.currency().code(), item.metadata])
    };
    let listed = serde_json::Value::Array(items.iter().map(one).collect()).to_string();
    execute!(tx, INSERT_ITEMS, id.uuid(), created_at, listed)?;
    Ok(true)
}

/// The batch of this id.
pub(super) async fn find(on: &mut impl Read, id: BatchId) -> Result<Option<RewardBatch>, StoreError> {
    fetch_optional!(BatchRow, on, BY_ID, id.uuid())?.map(RewardBatch::try_from).transpose()
}

/// The batch of this key.
pub(super) async fn find_intent(on: &mut impl Read, intent: &Intent) -> Result<Option<RewardBatch>, StoreError> {
    fetch_optional!(BatchRow, on, BY_INTENT, intent.as_bytes().as_slice())?.map(RewardBatch::try_from).transpose()
}

/// A page of batches before this one, newest first: of a client, of these perhaps those of a program or a name; `None`: of every client.
pub(super) async fn page(
    on: &mut impl Read,
    client: Option<ClientId>,
    program: Option<&ProgramId>,
    name: Option<&str>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<RewardBatch>, StoreError> {
    let program = program.map(ProgramId::as_str);
    let rows = match (client.map(ClientId::uuid), program, name) {
        (Some(client), _, Some(name)) => fetch_all!(BatchRow, on, PAGE_NAMED, client, before, limit, program, name)?,
        (Some(client), Some(_), None) => fetch_all!(BatchRow, on, PAGE_OF_PROGRAM, client, before, limit, program)?,
        (Some(client), None, None) => fetch_all!(BatchRow, on, PAGE_OF_CLIENT, client, before, limit)?,
        (None, _, _) => fetch_all!(BatchRow, on, PAGE, before, limit)?,
    };
    rows.into_iter().map(RewardBatch::try_from).collect()
}

/// How many batches of a client have not ended.
pub(super) async fn open_of_client(on: &mut impl Read, client: ClientId) -> Result<i64, StoreError> {
    Ok(fetch_optional!(OpenCountRow, on, OPEN_OF_CLIENT, client.uuid())?.map_or(0, |row| row.count))
}

/// Those of which something may be begun, or taken up again, behind this one and then from the first on.
pub(super) async fn ready(
    on: &mut impl Read,
    now: DateTime<Utc>,
    behind: Uuid,
    limit: i64,
) -> Result<Vec<RewardBatch>, StoreError> {
    let mut rows = fetch_all!(BatchRow, on, READY, now, behind, limit)?;
    if i64::try_from(rows.len()).is_ok_and(|found| found < limit) {
        let first = fetch_all!(BatchRow, on, READY, now, Uuid::nil(), limit)?;
        rows.extend(first.into_iter().take_while(|row| row.id <= behind));
    }
    Ok(rows.into_iter().filter_map(readable).collect())
}

/// One that cannot be read holds up no other.
fn readable(row: BatchRow) -> Option<RewardBatch> {
    RewardBatch::try_from(row).inspect_err(|error| tracing::error!(error = %error, "a batch cannot be read")).ok()
}

/// Which items are taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimOrder {
    /// Whichever is next.
    Any,
    /// One that Amazon refused before, where there is one.
    RefusedFirst,
}

/// Takes items up until this instant, in their order.
pub(super) async fn claim(
    tx: &mut Tx,
    id: BatchId,
    now: DateTime<Utc>,
    limit: usize,
    order: ClaimOrder,
    until: DateTime<Utc>,
) -> Result<Vec<BatchItem>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = match order {
        ClaimOrder::RefusedFirst => fetch_all!(BatchItemRow, tx, CLAIM_REFUSED, id.uuid(), now, limit, until)?,
        ClaimOrder::Any => Vec::new(),
    };
    if rows.is_empty() {
        rows = fetch_all!(BatchItemRow, tx, CLAIM, id.uuid(), now, limit, until)?;
    }
    let mut items: Vec<BatchItem> = rows.into_iter().map(BatchItem::try_from).collect::<Result<_, _>>()?;
    items.sort_by_key(|item| item.position);
    Ok(items)
}

/// Makes due at once what is taken up.
pub(super) async fn abandon(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, ABANDON, now)
}

/// There is a reward.
pub(super) async fn done(tx: &mut Tx, id: BatchId, item: &BatchItem, reward: RewardId) -> Result<(), StoreError> {
    execute!(tx, DONE, id.uuid(), item.position, reward.uuid()).map(drop)
}

/// It cannot be bought.
pub(super) async fn refuse(tx: &mut Tx, id: BatchId, item: &BatchItem, why: &ItemRefusal) -> Result<(), StoreError> {
    let (code, pointer) = (why.code.as_str(), why.pointer.as_deref());
    execute!(tx, REFUSE, id.uuid(), item.position, item.claims, code, pointer).map(drop)
}

/// Its batch was canceled before it was begun.
pub(super) async fn cancel_one(tx: &mut Tx, id: BatchId, item: &BatchItem) -> Result<(), StoreError> {
    execute!(tx, CANCEL_ONE, id.uuid(), item.position, item.claims).map(drop)
}

/// Has it tried again from this instant on.
pub(super) async fn put_back(
    tx: &mut Tx,
    id: BatchId,
    item: &BatchItem,
    due_at: DateTime<Utc>,
    reward: Option<RewardId>,
) -> Result<(), StoreError> {
    let reward = reward.map(RewardId::uuid);
    execute!(tx, PUT_BACK, id.uuid(), item.position, item.claims, due_at, reward).map(drop)
}

/// Has a batch wait for what this problem is about; `false` where it waits already.
pub(super) async fn hold_up(
    tx: &mut Tx,
    id: BatchId,
    waiting_for: &str,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, HOLD_UP, id.uuid(), waiting_for, until, now)? == 1)
}

/// The batch came on.
pub(super) async fn moved(
    tx: &mut Tx,
    id: BatchId,
    now: DateTime<Utc>,
    unless_since: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, MOVED, id.uuid(), now, unless_since).map(drop)
}

/// Has it wait; `false` where it does not run.
pub(super) async fn pause(tx: &mut Tx, id: BatchId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(tx, PAUSE, id.uuid(), now)? == 1)
}

/// Has it go on at once, by this key; `false` where it has ended or was canceled.
pub(super) async fn resume(tx: &mut Tx, id: BatchId, by: ApiKeyId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(tx, RESUME, id.uuid(), by.uuid(), now)? == 1)
}

/// Nothing more of it is begun; `false` where it has ended or was canceled.
pub(super) async fn cancel(tx: &mut Tx, id: BatchId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if execute!(tx, CANCEL, id.uuid(), now)? == 0 {
        return Ok(false);
    }
    execute!(tx, CANCEL_ITEMS, id.uuid()).map(|_items| true)
}

/// What became of its items.
pub(super) async fn counts(on: &mut impl Read, id: BatchId) -> Result<OutcomeCounts, StoreError> {
    let mut counts = OutcomeCounts::new();
    for row in fetch_all!(OutcomeCountRow, on, COUNTS, id.uuid())? {
        let outcome = row.outcome()?;
        match counts.iter_mut().find(|(counted, _count)| *counted == outcome) {
            Some((_outcome, count)) => *count = count.saturating_add(row.count),
            None => counts.push((outcome, row.count)),
        }
    }
    Ok(counts)
}

/// A page of its items, behind this one.
pub(super) async fn items(
    on: &mut impl Read,
    id: BatchId,
    behind: i64,
    limit: i64,
) -> Result<Vec<(BatchItem, ItemOutcome)>, StoreError> {
    fetch_all!(OutcomeRow, on, ITEMS, id.uuid(), behind, limit)?.into_iter().map(OutcomeRow::read).collect()
}

/// How many items of open batches wait, and how many were handed over; how many batches are open, by state.
pub(super) async fn figures(on: &mut impl Read) -> Result<BatchFigures, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "batches", column };
    let of_items = fetch_all!(OpenCountRow, on, OPEN_ITEMS)?;
    let of_batches = fetch_all!(OpenCountRow, on, OPEN_BATCHES)?;
    let item = |row: OpenCountRow| BatchItemState::from_word(&row.state).map(|state| (state, row.count));
    let batch = |row: OpenCountRow| BatchState::from_word(&row.state).map(|state| (state, row.count));
    Ok(BatchFigures {
        items: of_items.into_iter().map(|row| item(row).ok_or_else(|| bad("state"))).collect::<Result<_, _>>()?,
        batches: of_batches.into_iter().map(|row| batch(row).ok_or_else(|| bad("state"))).collect::<Result<_, _>>()?,
        stalled_since: fetch_optional!(InstantRow, on, STALLED)?.and_then(|row| row.at),
    })
}

/// What the metrics show.
pub(super) struct BatchFigures {
    pub(super) items: Vec<(BatchItemState, i64)>,
    pub(super) batches: Vec<(BatchState, i64)>,
    /// Since when the batch has not come on that has not for the longest time, although nothing holds it up.
    pub(super) stalled_since: Option<DateTime<Utc>>,
}
