//! Questions that one replica asks for all: which of them may ask now.

use std::time::Duration;

use super::{
    limiter,
    quota::{Shared, micros},
};
use crate::store::StoreError;

/// The turns of one account.
pub(crate) struct Turns {
    shared: Shared,
}

impl Turns {
    pub(super) const fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Takes the turn to ask for the balance: no replica has asked for `every`, nor in the last second.
    pub(crate) async fn take_funds(&self, every: Duration) -> bool {
        // A little less than the period, or the poll that comes just in time would be a period late.
        let every = every.saturating_sub(every / 10);
        limiter::take_funds(&self.shared.store, &self.shared.account, self.shared.now_us(), micros(every))
            .await
            .unwrap_or(false)
    }

    /// Takes the turn to ask for a page of the activity report: once in `every` over all replicas.
    ///
    /// # Errors
    /// [`StoreError`] from the database: without it nothing may be sent.
    pub(crate) async fn take_activity(&self, every: Duration) -> Result<bool, StoreError> {
        limiter::take_activity(&self.shared.store, &self.shared.account, self.shared.now_us(), micros(every)).await
    }
}
