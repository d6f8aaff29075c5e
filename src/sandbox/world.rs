//! The state that the gateway and the control share.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PartnerAccount;
use super::activity::Journal;
use super::book::Book;
use super::chance::Chance;
use super::clock::Clock;
use super::fault::FaultBoard;
use super::record::RequestLog;
use super::throttle::Throttle;

/// The sandbox's whole state.
pub(super) struct World {
    pub(super) accounts: Vec<PartnerAccount>,
    /// Access keys that were revoked.
    pub(super) revoked_keys: RwLock<BTreeSet<String>>,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) book: Book,
    pub(super) journal: Journal,
    pub(super) throttle: Throttle,
    pub(super) faults: FaultBoard,
    pub(super) record: RequestLog,
    /// Canceled when the sandbox stops: every wait ends.
    pub(super) stopping: CancellationToken,
    /// Canceled a second later: connections that are still open are closed.
    pub(super) leaving: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl World {
    /// The account that an access key belongs to.
    pub(super) fn account_of_key(&self, key_id: &str) -> Option<&PartnerAccount> {
        self.accounts.iter().find(|account| account.keys.iter().any(|key| key.id == key_id))
    }

    fn is_revoked(&self, key_id: &str) -> bool {
        self.revoked_keys.read().unwrap_or_else(PoisonError::into_inner).contains(key_id)
    }

    /// The secret of an access key that was not revoked.
    pub(super) fn secret_of_key(&self, key_id: &str) -> Option<&str> {
        let mut keys = self.accounts.iter().flat_map(|account| &account.keys);
        keys.find(|key| key.id == key_id && !self.is_revoked(key_id)).map(|key| key.secret.as_str())
    }
}
