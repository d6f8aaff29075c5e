//! The table of records: written at its end, and read from its beginning.

use super::{AuditHash, AuditHead, AuditRecord};
use crate::{
    sealing::SealingKeyUse,
    store::{Read, Sql, Store, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

/// Records read at once: what a reader holds in memory.
pub const PAGE: i64 = 50;

statements! {
    /// One writer at a time, so that no two records follow the same one. SQLite has one writer anyway. A row to lock would need the
    /// right to update it, which the role that serves has not.
    LOCK = Sql::each(
        "audit_records.lock",
        "SELECT 1",
        "SELECT pg_advisory_xact_lock(hashtextextended('noshi audit_records', 0))",
    );
    INSERT = Sql::same(
        "audit_records.insert",
        "INSERT INTO audit_records (sequence, at_us, actor, action, subject, details, hash_key, previous_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    NEWEST = Sql::same(
        "audit_records.newest",
        "SELECT sequence, at_us, actor, action, subject, details, hash_key, previous_hash, hash FROM audit_records \
         ORDER BY sequence DESC LIMIT 1",
    );
    NEWEST_OF = Sql::same(
        "audit_records.newest_of",
        "SELECT sequence, at_us, actor, action, subject, details, hash_key, previous_hash, hash FROM audit_records \
         WHERE action = $1 ORDER BY sequence DESC LIMIT $2",
    );
    AFTER = Sql::same(
        "audit_records.after",
        "SELECT sequence, at_us, actor, action, subject, details, hash_key, previous_hash, hash FROM audit_records \
         WHERE sequence > $1 ORDER BY sequence LIMIT $2",
    );
    // As many rows as there are keys.
    HASHED_BY = Sql::same(
        "audit_records.hashed_by",
        "SELECT hash_key, COUNT(*) AS records FROM audit_records WHERE hash_key IS NOT NULL GROUP BY hash_key ORDER BY hash_key",
    );
    // As many rows as there are actions.
    COUNTS = Sql::same(
        "audit_records.counts",
        "SELECT action, COUNT(*) AS records FROM audit_records GROUP BY action",
    );
}

row! {
    struct AuditRow {
        sequence: i64, at_us: i64, actor: String, action: String, subject: String, details: String,
        hash_key: Option<String>, previous_hash: Vec<u8>, hash: Vec<u8>,
    }
}

row! {
    struct HashedByRow { hash_key: String, records: i64 }
}

row! {
    struct ActionCountRow { action: String, records: i64 }
}

impl From<AuditRow> for AuditRecord {
    fn from(row: AuditRow) -> Self {
        // What is no hash fits no record: the one who verifies says so, with the record's number.
        let hash = |bytes: Vec<u8>| AuditHash(bytes.try_into().unwrap_or([0; 32]));
        let AuditRow { sequence, at_us, actor, action, subject, details, hash_key, previous_hash, hash: own } = row;
        let (previous, hash) = (hash(previous_hash), hash(own));
        Self { sequence, at_us, actor, action, subject, details, hash_key, previous, hash }
    }
}

pub(super) async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(tx, LOCK).map(|_rows| ())
}

pub(super) async fn insert(tx: &mut Tx, record: &AuditRecord) -> Result<(), StoreError> {
    execute!(
        tx,
        INSERT,
        record.sequence,
        record.at_us,
        record.actor.as_str(),
        record.action.as_str(),
        record.subject.as_str(),
        record.details.as_str(),
        record.hash_key.as_deref(),
        record.previous.0.as_slice(),
        record.hash.0.as_slice()
    )
    // A trigger that swallows the row would part the act and its record.
    .and_then(|rows| if rows == 1 { Ok(()) } else { Err(StoreError::Unconfirmed) })
}

/// The newest record.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn newest(on: &mut impl Read) -> Result<Option<AuditRecord>, StoreError> {
    Ok(fetch_optional!(AuditRow, on, NEWEST)?.map(AuditRecord::from))
}

/// The newest records of an action, newest first.
pub(super) async fn newest_of(on: &mut impl Read, action: &str, most: i64) -> Result<Vec<AuditRecord>, StoreError> {
    Ok(fetch_all!(AuditRow, on, NEWEST_OF, action, most)?.into_iter().map(AuditRecord::from).collect())
}

/// The records that follow this number, a page of them.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn after(on: &mut impl Read, sequence: i64) -> Result<Vec<AuditRecord>, StoreError> {
    Ok(fetch_all!(AuditRow, on, AFTER, sequence, PAGE)?.into_iter().map(AuditRecord::from).collect())
}

/// How many records there are of each action.
pub(super) async fn counts(on: &mut impl Read) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(fetch_all!(ActionCountRow, on, COUNTS)?.into_iter().map(|row| (row.action, row.records)).collect())
}

/// Which sealing keys the hashes of the records are keyed by.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn hashed_by(on: &mut impl Read) -> Result<Vec<SealingKeyUse>, StoreError> {
    let read = |row: HashedByRow| match row.hash_key.parse() {
        Ok(key) => Ok(SealingKeyUse { key, count: row.records }),
        Err(_malformed) => Err(StoreError::Inconsistent { table: "audit_records", column: "hash_key" }),
    };
    fetch_all!(HashedByRow, on, HASHED_BY)?.into_iter().map(read).collect()
}

/// The head of the audit.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn head(store: &Store) -> Result<AuditHead, StoreError> {
    let newest = newest(&mut store.snapshot().await?).await?;
    let none = AuditHead { sequence: 0, hash: AuditHash::NONE };
    Ok(newest.map_or(none, |newest| AuditHead { sequence: newest.sequence, hash: newest.hash }))
}
