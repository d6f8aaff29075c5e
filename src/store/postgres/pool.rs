//! Connections that wait for their next use.
//!
//! The driver's own pool asks a connection whether it is alive whenever one is taken and given back: ten of the 24 round trips that a
//! reward took. Here it is asked only where it may have gone: after a second without use, or after another connection of the pool has
//! broken. What breaks between two uses that follow each other closely fails one statement, as it would within one use.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::{Connection, PgConnection};

use super::{ConnectionRules, SessionError, link::in_time};

/// A connection that was used within this time is not asked whether it is alive.
const FRESH: Duration = Duration::from_secs(1);
/// How long a connection may take to say that it is alive. Whoever asks has time left for a new one.
const ALIVE_WITHIN: Duration = Duration::from_millis(500);
/// A connection is replaced at this age or a little later, so that a server's memory for it, and an address that was looked up once, do
/// not grow old.
const AGE_MIN: Duration = Duration::from_secs(1_500);
/// How much later than the one that was made before it, so that they are not all replaced at once…
const AGE_STEP_SECONDS: u64 = 97;
/// …and at most.
const AGE_SPREAD_SECONDS: u64 = 600;

/// Makes connections, and looks at them before they are used again.
#[derive(Debug)]
pub(super) struct Connections {
    rules: ConnectionRules,
    /// How often one of them has broken.
    pub(super) broken: AtomicU64,
    made: AtomicU64,
}

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) connection: PgConnection,
    /// How often one had broken when this one was last known to be alive.
    broken_before: u64,
    age_max: Duration,
}

impl Connections {
    pub(super) const fn new(rules: ConnectionRules) -> Self {
        Self { rules, broken: AtomicU64::new(0), made: AtomicU64::new(0) }
    }
}

impl Manager for Connections {
    type Type = Pooled;
    type Error = SessionError;

    async fn create(&self) -> Result<Pooled, SessionError> {
        let broken_before = self.broken.load(Ordering::Acquire);
        // On the heap, here and below: whoever takes a connection has all of this in its future, and seldom needs it.
        let connection = Box::pin(self.rules.connect()).await?;
        let later =
            self.made.fetch_add(1, Ordering::AcqRel).wrapping_mul(AGE_STEP_SECONDS).rem_euclid(AGE_SPREAD_SECONDS);
        Ok(Pooled { connection, broken_before, age_max: AGE_MIN.saturating_add(Duration::from_secs(later)) })
    }

    async fn recycle(&self, pooled: &mut Pooled, metrics: &Metrics) -> RecycleResult<SessionError> {
        if metrics.age() > pooled.age_max {
            return Err(RecycleError::message("it has grown old"));
        }
        let broken = self.broken.load(Ordering::Acquire);
        if metrics.last_used() > FRESH || pooled.broken_before != broken {
            let alive = Box::pin(in_time(ALIVE_WITHIN, pooled.connection.ping())).await;
            alive.map_err(|error| {
                // Those that were used a moment ago are asked as well from now on.
                self.broken.fetch_add(1, Ordering::AcqRel);
                SessionError::refused(error)
            })?;
        }
        pooled.broken_before = broken;
        Ok(())
    }
}
