//! A record, the bytes that are hashed of it, and what it does.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{kernel::word_methods, sealing::AuditKeys};

/// What is hashed first: another form of the record has another word.
const FORM: &[u8] = b"noshi audit record 1";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
pub enum AuditAction {
    /// An API key was made.
    #[strum(serialize = "key.created")]
    KeyCreated,
    /// The successor of an API key was made.
    #[strum(serialize = "key.rotated")]
    KeyRotated,
    /// An API key was revoked.
    #[strum(serialize = "key.revoked")]
    KeyRevoked,
    /// A program was made.
    #[strum(serialize = "program.created")]
    ProgramCreated,
    /// A program has another name.
    #[strum(serialize = "program.renamed")]
    ProgramRenamed,
    /// A program was given to a client.
    #[strum(serialize = "program.owned")]
    ProgramOwned,
    /// A program takes new rewards again.
    #[strum(serialize = "program.resumed")]
    ProgramResumed,
    /// A program takes no new rewards.
    #[strum(serialize = "program.suspended")]
    ProgramSuspended,
    /// A program has other limits.
    #[strum(serialize = "program.limits_set")]
    ProgramLimitsSet,
    /// A person decided about a reward.
    #[strum(serialize = "reward.settled")]
    RewardSettled,
    /// A person decided about a payment.
    #[strum(serialize = "payment.settled")]
    PaymentSettled,
    /// A person had the reward of a paid period asked for anew.
    #[strum(serialize = "membership.reward_asked_again")]
    MembershipRewardAskedAgain,
    /// A person confirmed that an endpoint is subscribed to a topic of Amazon's.
    #[strum(serialize = "subscription.confirmed")]
    SubscriptionConfirmed,
    /// A person corrected an account's funds.
    #[strum(serialize = "ledger.adjusted")]
    LedgerAdjusted,
    /// A person accepted that days stay without a reconciliation.
    #[strum(serialize = "reconciliation.days_accepted")]
    ReconciliationDaysAccepted,
    /// Another key pair of Amazon's is in force.
    #[strum(serialize = "key_pair.activated")]
    KeyPairActivated,
    /// The database is a restored back-up.
    #[strum(serialize = "database.restored")]
    DatabaseRestored,
    /// The service started, with these settings.
    #[strum(serialize = "service.started")]
    ServiceStarted,
    /// The log's filter was changed.
    #[strum(serialize = "log_filter.changed")]
    LogFilterChanged,
    /// Somebody began a pass that archives settled rewards.
    #[strum(serialize = "rewards.archived")]
    RewardsArchived,
    /// A batch was paused.
    #[strum(serialize = "batch.paused")]
    BatchPaused,
    /// A batch goes on, by the key of whoever resumed it.
    #[strum(serialize = "batch.resumed")]
    BatchResumed,
    /// What is left of a batch is not bought.
    #[strum(serialize = "batch.canceled")]
    BatchCanceled,
    /// A client listens at a new endpoint.
    #[strum(serialize = "webhook_endpoint.created")]
    WebhookEndpointCreated,
    /// An endpoint was changed.
    #[strum(serialize = "webhook_endpoint.changed")]
    WebhookEndpointChanged,
    /// An endpoint was deleted.
    #[strum(serialize = "webhook_endpoint.deleted")]
    WebhookEndpointDeleted,
    /// An endpoint has another secret.
    #[strum(serialize = "webhook_secret.rotated")]
    WebhookSecretRotated,
}
word_methods!(AuditAction);

/// The hash of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHash(pub [u8; 32]);

impl AuditHash {
    /// What stands before the first record.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the 64 hexadecimal digits of a head")]
pub struct MalformedHash;

impl FromStr for AuditHash {
    type Err = MalformedHash;

    fn from_str(text: &str) -> Result<Self, MalformedHash> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_malformed| MalformedHash)?;
        bytes.try_into().map(Self).map_err(|_length| MalformedHash)
    }
}

/// The newest record of an audit, by its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; 0 where there is none.
    pub sequence: i64,
    /// Its hash.
    pub hash: AuditHash,
}

/// A record as the database keeps it. The words are kept as they were read: they are hashed as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number: 1, 2, 3, without a hole.
    pub sequence: i64,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Who, as JSON.
    pub actor: String,
    /// The word of an [`AuditAction`]; a later program may know more of them.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// What else is to be known, as JSON.
    pub details: String,
    /// The sealing key that the hash's key derives from.
    pub hash_key: Option<String>,
    /// The hash of the record before.
    pub previous: AuditHash,
    /// Its own.
    pub hash: AuditHash,
}

impl AuditRecord {
    /// What the hash must be; `None` where its key is not listed.
    #[must_use]
    pub fn expected_hash(&self, keys: &AuditKeys) -> Option<AuditHash> {
        let bytes = self.hashed();
        match &self.hash_key {
            Some(id) => keys.hash(id, &bytes).map(AuditHash),
            None => Some(AuditHash(Sha256::digest(&bytes).into())),
        }
    }

    /// Each text behind its length: no two records give the same bytes.
    fn hashed(&self) -> Vec<u8> {
        let mut bytes = Vec::from(FORM);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.at_us.to_be_bytes());
        bytes.extend(self.previous.0);
        let key = self.hash_key.as_deref().unwrap_or_default();
        for text in [&self.actor, &self.action, &self.subject, &self.details, key] {
            bytes.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }
}
