//! What stays of a reward's metadata.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::kernel::Intent;

/// Of an archived reward's metadata, behind its intent: equal metadata of two rewards give two digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MetadataDigest([u8; 32]);

impl MetadataDigest {
    /// Of the metadata as it was stored.
    #[must_use]
    pub fn of(intent: &Intent, metadata: &str) -> Self {
        Self(Sha256::new().chain_update(intent.as_bytes()).chain_update(metadata.as_bytes()).finalize().into())
    }

    /// As the row has it.
    #[must_use]
    pub const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As digits.
    #[must_use]
    pub fn hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

/// It says nothing about what it is of, and a log has no use for it.
impl fmt::Debug for MetadataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_this_rewards_metadata_and_of_no_other() {
        let (one, other) = (Intent::from_stored([1; 20]), Intent::from_stored([2; 20]));
        let digest = MetadataDigest::of(&one, "{\"a\":\"b\"}");
        assert_eq!(digest, MetadataDigest::of(&one, "{\"a\":\"b\"}"));
        assert_ne!(digest, MetadataDigest::of(&one, "{\"a\":\"c\"}"));
        assert_ne!(digest, MetadataDigest::of(&other, "{\"a\":\"b\"}"));
    }
}
