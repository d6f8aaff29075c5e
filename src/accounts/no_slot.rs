//! Why a request has no slot of Amazon's rate.

use std::time::Duration;

use crate::kernel::NotSent;

/// There is no slot in time; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// Others have them all.
    #[error("Amazon's request rate is used up")]
    UsedUp {
        /// After this long there is room again, if nobody else comes.
        retry_after: Duration,
    },
    /// The database, where slots are taken, gives none.
    #[error("the database gives no slot of Amazon's request rate")]
    NoDatabase,
}

impl From<NoSlot> for NotSent {
    fn from(none: NoSlot) -> Self {
        match none {
            NoSlot::UsedUp { .. } => Self::Quota,
            NoSlot::NoDatabase => Self::Database,
        }
    }
}
