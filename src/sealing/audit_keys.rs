//! The keys that chain the records of the audit: one derived from each listed sealing key.

use std::fmt;

use ring::hmac;

use crate::config::KeyId;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// The keys, by the ids of the sealing keys that they derive from. The first one hashes new records.
#[derive(Clone, Default)]
pub struct AuditKeys(Vec<(KeyId, hmac::Key)>);

impl AuditKeys {
    pub(super) const fn new(keys: Vec<(KeyId, hmac::Key)>) -> Self {
        Self(keys)
    }

    /// The key that hashes new records; `None` where the settings list none.
    #[must_use]
    pub fn first(&self) -> Option<&KeyId> {
        self.0.first().map(|(id, _key)| id)
    }

    /// The keyed hash (HMAC-SHA-256) by the key of this id; `None` where it is not listed.
    #[must_use]
    pub fn hash(&self, id: &str, bytes: &[u8]) -> Option<[u8; HASH_BYTES]> {
        let (_id, key) = self.0.iter().find(|(listed, _key)| listed.as_str() == id)?;
        hmac::sign(key, bytes).as_ref().try_into().ok()
    }
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _key)| id.as_str())).finish()
    }
}
