//! Exchanging a key for its successor: both are good for some days, so that no call of the caller's fails meanwhile.

use chrono::{DateTime, Days, Utc};
use serde_json::json;

use super::{Expiry, KeysError, MadeKey, second};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, Deed, Scribe},
    identity::keys::{self, ApiKey, mint},
    kernel::ApiKeyId,
    ledger::programs,
    store::Store,
};

/// What is to become of a key.
pub(super) struct Rotation {
    pub(super) id: ApiKeyId,
    /// For how many days it goes on.
    pub(super) overlap: u64,
    /// For how long its successor is good.
    pub(super) expires: Expiry,
}

/// A key and its successor.
pub(super) struct Rotated {
    pub(super) made: MadeKey,
    old: ApiKeyId,
    old_end: DateTime<Utc>,
}

impl Rotated {
    pub(super) fn old_line(&self) -> String {
        format!("{} ends {}", self.old, second(self.old_end))
    }
}

/// Makes the successor of an active key that has none, and gives the old one its end.
pub(super) async fn rotate(
    store: &Store,
    ambient: &Ambient,
    rotation: Rotation,
    scribe: &Scribe,
) -> Result<Rotated, KeysError> {
    let Rotation { id, overlap, expires } = rotation;
    let now = ambient.now();
    let mut tx = store.begin().await?;
    // Of two rotations of one key at once, the second one waits here, and then finds the successor that the first one made.
    scribe.wait_turn(&mut tx).await?;
    let all = keys::list_on(&mut tx).await?;
    let active = |key: &&ApiKey| key.is_active(now);
    let old = all.iter().find(|key| key.id == id).filter(active).ok_or(KeysError::Unknown)?;
    if let Some(successor) = all.iter().filter(active).find(|key| key.replaces == Some(id)) {
        return Err(KeysError::Succeeded(successor.id));
    }
    let minted = mint(ambient)?;
    let new = ApiKey {
        id: minted.id,
        secret_sha256: minted.secret_sha256,
        created_at: now,
        expires_at: expires.end(now),
        replaces: Some(id),
        ..old.clone()
    };
    let planned = now.checked_add_days(Days::new(overlap)).unwrap_or(now);
    let old_end = old.expires_at.map_or(planned, |end| end.min(planned));
    keys::insert(&mut tx, &new).await?;
    keys::end_at(&mut tx, id, old_end).await?;
    programs::succeed(&mut tx, id, new.id, now).await?;
    let (successor, end) = (new.id.to_string(), new.expires_at.map(second));
    let details = json!({"successor": successor, "ends_at": second(old_end), "successor_expires_at": end});
    let deed = Deed { action: AuditAction::KeyRotated, subject: &id.to_string(), details };
    scribe.write(&mut tx, deed, now).await?;
    tx.commit(()).await?;
    Ok(Rotated { made: MadeKey { text: minted.text.to_string(), id: new.id, end: new.expires_at }, old: id, old_end })
}
