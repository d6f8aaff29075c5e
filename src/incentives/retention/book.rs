//! How far the retention has come, and what it does to rows.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::model::Reward, MetadataDigest, RetentionStanding};
use crate::{
    kernel::Intent,
    store::{InstantRow, Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

/// Nothing will happen to such a row by itself, and its last change lies before the parameter.
macro_rules! settled {
    ($by:literal) => {
        concat!(
            "rewards.state IN ('issued', 'failed', 'canceled') AND rewards.due_at IS NULL AND rewards.lease_token IS NULL \
             AND rewards.target_key IS NULL AND rewards.archived_at IS NULL AND rewards.updated_at <= ",
            $by
        )
    };
}

macro_rules! candidate {
    ($from:literal) => {
        concat!(
            "SELECT rewards.id, rewards.intent, rewards.kind, rewards.version, rewards.metadata, \
             rewards.archived_at IS NOT NULL AS archived, (",
            settled!("$3"),
            ") AS settled FROM ",
            $from
        )
    };
}

/// `updated_at` stays: it says when the reward was changed, and this is no change of it.
macro_rules! emptied {
    ($digest:literal, $from:literal) => {
        concat!(
            "UPDATE rewards SET archived_at = $2, metadata = NULL, metadata_digest = COALESCE(",
            $digest,
            ", rewards.metadata_digest), trace_context = NULL, card_fingerprint = NULL, retryable_version = \
             CASE WHEN rewards.retryable_version = rewards.version THEN rewards.version + 1 ELSE rewards.retryable_version END, \
             version = rewards.version + 1 FROM ",
            $from,
            " AND ",
            settled!("$3"),
            " RETURNING rewards.id AS id"
        )
    };
}

statements! {
    /// A lease that ends beyond `$4` was written by a clock that was ahead.
    TAKE = Sql::same(
        "retention.take",
        "UPDATE retention SET lease_token = $1, lease_until = $2 WHERE id = 1 \
         AND (lease_token IS NULL OR lease_token = $1 OR lease_until <= $3 OR lease_until > $4)",
    );
    RELEASE = Sql::same(
        "retention.release",
        "UPDATE retention SET lease_token = NULL, lease_until = NULL WHERE id = 1 AND lease_token = $1",
    );
    ADVANCE = Sql::same(
        "retention.advance",
        "UPDATE retention SET through = COALESCE($2, through), archived = archived + $3 WHERE id = 1 AND lease_token = $1",
    );
    BOOK = Sql::same("retention.book", "SELECT through, archived FROM retention WHERE id = 1");
    WALK = Sql::same(
        "rewards.to_archive",
        concat!(candidate!("rewards WHERE rewards.id > $1 AND rewards.id < $4"), " ORDER BY rewards.id LIMIT $2"),
    );
    WAITING = Sql::same(
        "retention_waiting.next",
        concat!(
            candidate!(
                "(SELECT reward_id FROM retention_waiting WHERE reward_id > $1 ORDER BY reward_id LIMIT $2) AS waiting \
                 CROSS JOIN rewards WHERE rewards.id = waiting.reward_id"
            ),
            " ORDER BY waiting.reward_id"
        ),
    );
    ARCHIVE = Sql::each(
        "rewards.archive",
        emptied!(
            "unhex(page.value ->> 'digest')",
            "json_each($1) AS page WHERE rewards.id = unhex(page.value ->> 'id') AND rewards.version = page.value ->> 'version'"
        ),
        emptied!(
            "decode(page.digest, 'hex')",
            "jsonb_to_recordset(CAST($1 AS JSONB)) AS page (id UUID, version BIGINT, digest TEXT) \
             WHERE rewards.id = page.id AND rewards.version = page.version"
        ),
    );
    PUT_DOWN = Sql::each(
        "retention_waiting.put_down",
        "INSERT INTO retention_waiting (reward_id) SELECT unhex(value) FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
        "INSERT INTO retention_waiting (reward_id) SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID) \
         ON CONFLICT DO NOTHING",
    );
    PASS_ON = Sql::each(
        "retention_waiting.pass_on",
        "DELETE FROM retention_waiting WHERE reward_id IN (SELECT unhex(value) FROM json_each($1))",
        "DELETE FROM retention_waiting WHERE reward_id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID)))",
    );
    /// For a row that this transaction has just saved at this version. Its metadata comes back where the caller has brought it.
    REVIVE = Sql::same(
        "rewards.revive",
        "UPDATE rewards SET archived_at = NULL, metadata = COALESCE($3, metadata), \
         metadata_digest = CASE WHEN $3 IS NULL THEN metadata_digest END WHERE id = $1 AND version = $2",
    );
    COUNT_WAITING = Sql::same("retention_waiting.count", "SELECT COUNT(*) AS rewards FROM retention_waiting");
    NEXT_AT = Sql::same("rewards.next_to_archive", "SELECT created_at AS at FROM rewards WHERE id > $1 ORDER BY id LIMIT 1");
}

row! {
    struct BookRow { through: Option<Uuid>, archived: i64 }
}

row! {
    struct CandidateRow {
        id: Uuid, intent: Vec<u8>, kind: String, version: i64, metadata: Option<String>, archived: bool, settled: bool,
    }
}

row! {
    struct ArchivedRow { id: Uuid }
}

row! {
    struct WaitingRow { rewards: i64 }
}

/// A reward that the retention looks at.
pub(super) struct ArchiveCandidate {
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) archived: bool,
    pub(super) settled: bool,
    version: i64,
    digest: Option<MetadataDigest>,
}

/// Where the retention looks.
#[derive(Clone, Copy)]
pub(super) enum ToLookAt {
    /// At what the walk has put down, behind this one.
    Waiting { behind: Uuid },
    /// Behind the last one that it has looked at, and before this one.
    Walk { before: Uuid },
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "rewards", column }
}

/// Ids as both databases read them.
pub(in crate::incentives) fn listed(ids: &[Uuid]) -> String {
    json!(ids.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

/// Takes or extends the lease; `false` where another process holds it.
pub(super) async fn take(
    tx: &mut Tx,
    token: Uuid,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
    longest: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, TAKE, token, until, now, longest)? == 1)
}

/// Gives the lease back, if this token holds it.
pub(super) async fn release(tx: &mut Tx, token: Uuid) -> Result<(), StoreError> {
    execute!(tx, RELEASE, token).map(drop)
}

/// Notes how far the walk has come, and how many were archived. The lease was taken in this transaction.
pub(super) async fn advance(tx: &mut Tx, token: Uuid, through: Option<Uuid>, archived: i64) -> Result<(), StoreError> {
    match execute!(tx, ADVANCE, token, through, archived)? {
        1 => Ok(()),
        _ => Err(StoreError::Inconsistent { table: "retention", column: "lease_token" }),
    }
}

/// The next rewards, in the order of their ids.
pub(super) async fn find(
    tx: &mut Tx,
    look: ToLookAt,
    settled_by: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<ArchiveCandidate>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match look {
        ToLookAt::Waiting { behind } => fetch_all!(CandidateRow, tx, WAITING, behind, limit, settled_by)?,
        ToLookAt::Walk { before } => {
            let book = fetch_optional!(BookRow, tx, BOOK)?;
            let through = book.and_then(|book| book.through).unwrap_or(Uuid::nil());
            fetch_all!(CandidateRow, tx, WALK, through, limit, settled_by, before)?
        }
    };
    rows.into_iter().map(ArchiveCandidate::try_from).collect()
}

impl TryFrom<CandidateRow> for ArchiveCandidate {
    type Error = StoreError;

    fn try_from(row: CandidateRow) -> Result<Self, StoreError> {
        let CandidateRow { id, intent, kind, version, metadata, archived, settled } = row;
        let intent = Intent::from_stored(intent.try_into().map_err(|_bytes| bad("intent"))?);
        let digest = metadata.map(|metadata| MetadataDigest::of(&intent, &metadata));
        Ok(Self { id, kind, archived, settled, version, digest })
    }
}

/// Empties the rows of these, as far as they are as they were found. Returns which they are.
pub(super) async fn archive(
    tx: &mut Tx,
    ripe: &[&ArchiveCandidate],
    settled_by: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let page = ripe.iter().map(|one| {
        json!({"id": one.id.simple().to_string(), "version": one.version, "digest": one.digest.map(MetadataDigest::hex)})
    });
    let page = Value::from_iter(page).to_string();
    let rows = fetch_all!(ArchivedRow, tx, ARCHIVE, page, now, settled_by)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Puts down what the walk passes without archiving it.
pub(super) async fn put_down(tx: &mut Tx, ids: &[Uuid]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    execute!(tx, PUT_DOWN, listed(ids)).map(drop)
}

/// Takes what was archived from what was put down.
pub(super) async fn pass_on(tx: &mut Tx, ids: &[Uuid]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    execute!(tx, PASS_ON, listed(ids)).map(drop)
}

/// Something happened to an archived reward, and this transaction has just saved it. So it is archived no more, and is put down, because
/// the walk has passed it: what is written about it now leaves in its turn.
pub(in crate::incentives) async fn follow(tx: &mut Tx, reward: &mut Reward) -> Result<(), StoreError> {
    match execute!(tx, REVIVE, reward.id.uuid(), reward.order.version, reward.metadata.as_deref())? {
        1 => reward.archived_at = None,
        _ => return Err(bad("version")),
    }
    if reward.metadata.is_some() {
        reward.metadata_digest = None;
    }
    put_down(tx, &[reward.id.uuid()]).await
}

/// How far the retention has come.
pub(in crate::incentives) async fn standing(snapshot: &mut Snapshot) -> Result<RetentionStanding, StoreError> {
    let book = fetch_optional!(BookRow, snapshot, BOOK)?.unwrap_or(BookRow { through: None, archived: 0 });
    let waiting = fetch_optional!(WaitingRow, snapshot, COUNT_WAITING)?.map_or(0, |row| row.rewards);
    let next = fetch_optional!(InstantRow, snapshot, NEXT_AT, book.through.unwrap_or(Uuid::nil()))?;
    Ok(RetentionStanding { archived: book.archived, waiting, next_at: next.and_then(|row| row.at) })
}
