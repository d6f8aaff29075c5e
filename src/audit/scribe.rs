//! Who writes the records, and in whose name.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{AuditAction, AuditActor, AuditHash, AuditRecord, sql};
use crate::{
    failpoint,
    kernel::claim_code::looks_like_claim_code,
    sealing::AuditKeys,
    store::{StoreError, Tx},
};

/// What was done, to what.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// What was done.
    pub action: AuditAction,
    /// To what: an id, or the name of an account.
    pub subject: &'a str,
    /// What else is to be known: no secret, and nothing that the timeline or the ledger holds.
    pub details: Value,
}

/// Writes the records of one actor. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scribe {
    keys: Arc<AuditKeys>,
    actor: Arc<AuditActor>,
}

impl Scribe {
    /// Writes in the name of this actor.
    #[must_use]
    pub fn new(keys: AuditKeys, actor: AuditActor) -> Self {
        Self { keys: Arc::new(keys), actor: Arc::new(actor) }
    }

    /// The same in the name of another.
    #[must_use]
    pub fn of(&self, actor: AuditActor) -> Self {
        Self { keys: Arc::clone(&self.keys), actor: Arc::new(actor) }
    }

    /// The keys of the settings.
    #[must_use]
    pub fn keys(&self) -> &AuditKeys {
        &self.keys
    }

    /// Holds up every other writer of the audit until the end of the transaction. [`Scribe::write`] does so, too; a transaction
    /// that locks rows behind its first record does it before, so that no two wait for each other.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn wait_turn(&self, tx: &mut Tx) -> Result<(), StoreError> {
        sql::lock(tx).await
    }

    /// Writes the record of a deed that has to be done in any case, because money or safety hangs on it: where the audit is keyed,
    /// and no key is listed, the log says that there is no record. Returns whether there is one.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn write_or_log(&self, tx: &mut Tx, deed: Deed<'_>, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let (action, subject) = (deed.action.as_str(), deed.subject.to_owned());
        match self.write(tx, deed, now).await {
            Err(StoreError::Unaudited) => {
                tracing::error!(
                    audit.action = action,
                    audit.subject = subject,
                    error = %StoreError::Unaudited,
                    "not recorded in the audit"
                );
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// Writes the record of a deed, in the deed's own transaction.
    ///
    /// # Errors
    /// [`StoreError`] from the database; [`StoreError::Unaudited`] where the audit is keyed, and no key is listed.
    pub async fn write(&self, tx: &mut Tx, deed: Deed<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        failpoint::pass("audit", "before_record");
        sql::lock(tx).await?;
        let newest = sql::newest(tx).await?;
        let key = self.keys.first();
        if key.is_none() && newest.as_ref().is_some_and(|newest| newest.hash_key.is_some()) {
            return Err(StoreError::Unaudited);
        }
        let (before, previous) = newest.map_or((0, AuditHash::NONE), |newest| (newest.sequence, newest.hash));
        let mut record = AuditRecord {
            sequence: before.saturating_add(1),
            at_us: now.timestamp_micros(),
            actor: storable(self.actor.json().to_string()),
            action: deed.action.as_str().to_owned(),
            subject: deed.subject.to_owned(),
            details: storable(deed.details.to_string()),
            hash_key: key.map(|key| key.as_str().to_owned()),
            previous,
            hash: AuditHash::NONE,
        };
        record.hash = record.expected_hash(&self.keys).ok_or(StoreError::Unaudited)?;
        sql::insert(tx, &record).await?;
        failpoint::pass("audit", "after_record");
        Ok(())
    }
}

/// A name of a machine may have the shape of a claim code, which no column takes.
fn storable(text: String) -> String {
    if looks_like_claim_code(&text) { text.replace('-', "_") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_whose_name_looks_like_a_code_can_be_written_down() {
        assert_eq!(storable("noshi-backup-8f7g2".to_owned()), "noshi_backup_8f7g2");
        assert_eq!(storable("noshi-0".to_owned()), "noshi-0");
    }
}
