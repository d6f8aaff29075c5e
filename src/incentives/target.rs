//! What a reward acts on, in its row: written in the transaction that records the intent, read before it is sent, wiped by
//! the update that makes the outcome final (`rewards.save`). No list and no other look at rewards reads it.

use crate::{
    config::KeyId,
    kernel::RewardId,
    sealing::{Fingerprint, Sealed},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_optional, row, statements},
};

statements! {
    KEEP = Sql::same(
        "rewards.keep_target",
        "UPDATE rewards SET target_sealed = $3, target_key = $4, target_fingerprint = $5 WHERE id = $1 AND version = $2",
    );
    KEPT = Sql::same(
        "rewards.kept_target",
        "SELECT target_sealed, target_key, target_fingerprint FROM rewards WHERE id = $1",
    );
}

row! {
    struct TargetRow { target_sealed: Option<Vec<u8>>, target_key: Option<String>, target_fingerprint: Option<Vec<u8>> }
}

/// What a row keeps of a target.
#[derive(Clone)]
pub struct Kept {
    /// The target, until the outcome is final.
    pub sealed: Option<Sealed>,
    /// Says whether a request that comes again is the same.
    pub fingerprint: Fingerprint,
}

/// Keeps a target in the row of a reward at this version; `false` when the row has changed since.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn keep(
    tx: &mut Tx,
    (id, version): (RewardId, i64),
    sealed: &Sealed,
    fingerprint: &Fingerprint,
) -> Result<bool, StoreError> {
    let rows = execute!(
        tx,
        KEEP,
        id.uuid(),
        version,
        sealed.as_bytes(),
        sealed.key().as_str(),
        fingerprint.as_bytes().as_slice()
    )?;
    Ok(rows == 1)
}

/// What the row keeps, if it ever kept something.
///
/// # Errors
/// [`StoreError`] from the database; `Inconsistent` for what no program of ours writes.
pub async fn kept(tx: &mut Tx, id: RewardId) -> Result<Option<Kept>, StoreError> {
    fetch_optional!(TargetRow, tx, KEPT, id.uuid())?.map_or(Ok(None), Kept::read)
}

/// The same, read outside any transaction.
///
/// # Errors
/// As [`kept`].
pub async fn peek(snapshot: &mut Snapshot, id: RewardId) -> Result<Option<Kept>, StoreError> {
    fetch_optional!(TargetRow, snapshot, KEPT, id.uuid())?.map_or(Ok(None), Kept::read)
}

impl Kept {
    fn read(row: TargetRow) -> Result<Option<Self>, StoreError> {
        let bad = |column| StoreError::Inconsistent { table: "rewards", column };
        let Some(bytes) = row.target_fingerprint else { return Ok(None) };
        let fingerprint = Fingerprint::from_stored(bytes.try_into().map_err(|_length| bad("target_fingerprint"))?);
        let sealed = match (row.target_key, row.target_sealed) {
            (Some(key), Some(bytes)) => {
                let key: KeyId = key.parse().map_err(|_malformed| bad("target_key"))?;
                Some(Sealed::from_stored(key, bytes))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(bad("target_sealed")),
        };
        Ok(Some(Self { sealed, fingerprint }))
    }
}
