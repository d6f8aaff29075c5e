//! What the replicas share of an account: its request rate, its breaker, and whose turn it is to ask what one of them
//! asks for all. All three live in one row of the database ([`limiter`]); of several accounts of one partner the first one's
//! row has the rate of all.

use std::{sync::Arc, time::Duration};

use super::{Breaker, Lately, Metrics, Rate, Turns, limiter};
use crate::{
    ambient::Ambient,
    store::{Store, StoreError},
};

/// The row of one account, and what reaches it.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) account: String,
    pub(super) store: Store,
    pub(super) ambient: Ambient,
}

impl Shared {
    pub(super) fn now_us(&self) -> i64 {
        self.ambient.now().timestamp_micros()
    }
}

/// How fast requests may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRate {
    /// So many a second; 0 is unlimited.
    pub per_second: u32,
    /// The account in whose row the slots lie: the account itself, or one of the same partner. Amazon counts the requests of a
    /// partner, however many accounts our settings make of it.
    pub account: String,
    /// How many accounts of the settings are that partner.
    pub accounts: usize,
}

/// The three of one account, and how long Amazon takes to answer it.
pub struct Quota {
    pub(super) rate: Rate,
    pub(super) calls: Lately,
    pub(super) breaker: Breaker,
    pub(super) turns: Turns,
    shared: Shared,
}

impl Quota {
    /// Of an account that may send at this rate.
    #[must_use]
    pub fn new(account: &str, rate: RequestRate, store: Store, ambient: Ambient, metrics: Arc<Metrics>) -> Self {
        let shared = Shared { account: account.to_owned(), store, ambient };
        let (breaker, turns) = (Breaker::new(shared.clone()), Turns::new(shared.clone(), &rate));
        let rate = Rate::new(shared.clone(), rate, breaker.clone(), metrics);
        Self { rate, calls: Lately::default(), breaker, turns, shared }
    }

    /// Makes the rows. Nothing else here works without them.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        self.rate.prepare().await?;
        self.turns.prepare().await?;
        limiter::ensure(&self.shared.store, &self.shared.account).await
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
