//! What a sealing key is still needed for.

use crate::config::KeyId;

/// How many things in the database need a sealing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingKeyUse {
    /// The key's id.
    pub key: KeyId,
    /// How many.
    pub count: i64,
}
