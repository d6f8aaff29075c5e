//! Notes a restore. The database's youngest instant comes from every room that writes one whenever it works.

use chrono::{DateTime, Utc};

use crate::{
    ambient::Ambient,
    audit::Scribe,
    events::outbox,
    identity::keys,
    incentives::restore_note::{self, LostFrom, RestoreNote, RestoreNoteError},
    store::{Store, StoreError},
    treasury::balances,
};

/// Notes that the database was restored. What was written from the operator's instant on is lost. If the operator names
/// no instant, what was written after the database's youngest instant is lost.
///
/// # Errors
/// [`RestoreNoteError`]; nothing is noted then.
pub async fn note_restore(
    store: &Store,
    ambient: &Ambient,
    stated: Option<DateTime<Utc>>,
    scribe: &Scribe,
) -> Result<RestoreNote, RestoreNoteError> {
    let lost_from = match stated {
        Some(at) => LostFrom::Stated(at),
        None => LostFrom::Youngest(youngest(store).await?),
    };
    restore_note::write(store, ambient, lost_from, scribe).await
}

async fn youngest(store: &Store) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let signs = [
        restore_note::youngest(&mut snapshot).await?,
        balances::youngest(&mut snapshot).await?,
        outbox::youngest(&mut snapshot).await?,
        keys::youngest(&mut snapshot).await?,
    ];
    Ok(signs.into_iter().flatten().max())
}
