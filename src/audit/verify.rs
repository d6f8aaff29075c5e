//! Whether every record follows the one before, and is as it was written.

use std::{collections::BTreeMap, fmt};

use super::{AuditHash, AuditHead, AuditRecord, sql};
use crate::{
    sealing::AuditKeys,
    store::{Store, StoreError},
};

/// The first record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// The number of the record.
    pub sequence: i64,
    /// What is wrong with it.
    pub misfit: Misfit,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// How a record does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Another number was to follow: records are gone, or one is there twice.
    Number,
    /// It follows another record than the one before it.
    Previous,
    /// Its own hash is another one.
    Hash,
    /// Its hash is not keyed, and those before were.
    Unkeyed,
    /// The key of its hash is not listed in the settings.
    UnknownKey,
    /// It is not the record that the head names.
    Head,
    /// The chain ends before the record that the head names.
    Cut,
}

impl Misfit {
    const fn words(self) -> &'static str {
        match self {
            Self::Number => "has a number that is out of order",
            Self::Previous => "does not follow the record before it",
            Self::Hash => "was changed",
            Self::Unkeyed => "is not keyed, and those before it are",
            Self::UnknownKey => "is hashed by a key that the settings do not list",
            Self::Head => "differs from the head that was kept",
            Self::Cut => "is the last one: those behind it are cut off",
        }
    }
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, misfit, expected, found } = self;
        write!(f, "record {sequence} {}: expected {expected}, found {found}", misfit.words())
    }
}

/// Hashes of records that were the newest once, by their number, kept where the database's owner cannot write.
pub type KeptHeads = BTreeMap<i64, AuditHash>;

/// Looks at one record after the other, and remembers the last.
#[derive(Debug)]
pub struct Verifier<'a> {
    keys: &'a AuditKeys,
    kept: KeptHeads,
    last: AuditHead,
    keyed: bool,
    /// Records whose hash has no key.
    unkeyed: i64,
}

/// What was looked at, and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeAudit {
    /// The newest record.
    pub head: AuditHead,
    /// Records whose hash has no key: who could write the database could have written them.
    pub unkeyed: i64,
}

impl<'a> Verifier<'a> {
    /// Begins before the first record. `kept`: heads that the chain must have.
    #[must_use]
    pub const fn new(keys: &'a AuditKeys, kept: KeptHeads) -> Self {
        let last = AuditHead { sequence: 0, hash: AuditHash::NONE };
        Self { keys, kept, last, keyed: false, unkeyed: 0 }
    }

    /// Looks at the next record.
    ///
    /// # Errors
    /// [`AuditFault`] where it does not fit.
    pub fn take(&mut self, record: &AuditRecord) -> Result<(), AuditFault> {
        let fault = |misfit, expected: String, found: String| {
            Err(AuditFault { sequence: record.sequence, misfit, expected, found })
        };
        let next = self.last.sequence.saturating_add(1);
        if record.sequence != next {
            return fault(Misfit::Number, next.to_string(), record.sequence.to_string());
        }
        if record.previous != self.last.hash {
            return fault(Misfit::Previous, self.last.hash.to_string(), record.previous.to_string());
        }
        match &record.hash_key {
            None if self.keyed => {
                return fault(Misfit::Unkeyed, "the id of a sealing key".to_owned(), "none".to_owned());
            }
            None => self.unkeyed = self.unkeyed.saturating_add(1),
            Some(_key) => self.keyed = true,
        }
        let Some(expected) = record.expected_hash(self.keys) else {
            let found = record.hash_key.as_deref().unwrap_or_default().escape_debug().to_string();
            return fault(Misfit::UnknownKey, "a key of sealing.keys".to_owned(), found);
        };
        if record.hash != expected {
            return fault(Misfit::Hash, expected.to_string(), record.hash.to_string());
        }
        if let Some(kept) = self.kept.get(&record.sequence).filter(|kept| **kept != record.hash) {
            return fault(Misfit::Head, kept.to_string(), record.hash.to_string());
        }
        self.last = AuditHead { sequence: record.sequence, hash: record.hash };
        Ok(())
    }

    /// The end of the records.
    ///
    /// # Errors
    /// [`AuditFault`] where a head that was kept lies behind it.
    pub fn end(self) -> Result<WholeAudit, AuditFault> {
        let Self { kept, last, unkeyed, .. } = self;
        if let Some((newest, _hash)) = kept.last_key_value().filter(|(kept, _hash)| **kept > last.sequence) {
            let (expected, found) = (format!("record {newest}"), "none".to_owned());
            return Err(AuditFault { sequence: last.sequence, misfit: Misfit::Cut, expected, found });
        }
        Ok(WholeAudit { head: last, unkeyed })
    }
}

/// Looks at every record, a page at a time.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn verify(
    store: &Store,
    keys: &AuditKeys,
    kept: KeptHeads,
) -> Result<Result<WholeAudit, AuditFault>, StoreError> {
    let mut verifier = Verifier::new(keys, kept);
    loop {
        let page = sql::after(&mut store.snapshot().await?, verifier.last.sequence).await?;
        if page.is_empty() {
            return Ok(verifier.end());
        }
        for record in &page {
            if let Err(fault) = verifier.take(record) {
                return Ok(Err(fault));
            }
        }
    }
}
