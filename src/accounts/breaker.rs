//! The breaker of an account: while it is open, new rewards are refused before a row is made, in all replicas.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    limiter,
    quota::{Shared, micros},
};
use crate::kernel::{Chain, horizon::STRAY_US, word_methods};

/// Why a breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum BreakerCause {
    /// The account's funds are used up.
    Funds,
    /// Amazon refuses the account.
    Account,
}
word_methods!(BreakerCause);

/// A breaker that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenBreaker {
    pub(crate) cause: BreakerCause,
    /// From this instant on one request may try whether the account works again.
    pub(crate) until_us: i64,
}

/// The breaker of one account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Breaker {
    shared: Shared,
    /// As the row was last read.
    seen: Arc<Mutex<Option<OpenBreaker>>>,
}

impl Breaker {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, seen: Arc::default() }
    }

    /// How the breaker is open, if it is. Another replica's change is seen after a second at most.
    #[must_use]
    pub(crate) fn open_now(&self) -> Option<OpenBreaker> {
        *self.lock()
    }

    /// Opens the breaker for `pause`.
    pub(crate) async fn open(&self, cause: BreakerCause, pause: Duration) {
        let until_us = self.shared.now_us().saturating_add(micros(pause));
        self.see(Some(OpenBreaker { cause, until_us }));
        let Shared { store, account, .. } = &self.shared;
        if let Err(error) = limiter::open_breaker(store, account, cause, until_us).await {
            tracing::error!(account, error = %Chain(&error), "a breaker could not be kept");
        }
    }

    /// Closes the breaker, after a request succeeded. Returns whether it was open.
    pub(crate) async fn close(&self) -> bool {
        if self.lock().take().is_none() {
            return false;
        }
        limiter::close_breaker(&self.shared.store, &self.shared.account).await.unwrap_or(false)
    }

    /// Whether this request may pass the open breaker, to try the account: one may every `pause`, over all replicas.
    pub(crate) async fn allow_probe(&self, open: OpenBreaker, pause: Duration) -> bool {
        let now = self.shared.now_us();
        let next = now.saturating_add(micros(pause));
        if open.until_us > now && open.until_us <= next.saturating_add(STRAY_US) {
            return false;
        }
        limiter::allow_probe(&self.shared.store, &self.shared.account, now, next).await.unwrap_or(false)
    }

    /// Takes over what the row says.
    pub(super) fn see(&self, open: Option<OpenBreaker>) {
        *self.lock() = open;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OpenBreaker>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
