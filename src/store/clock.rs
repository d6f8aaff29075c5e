//! The PostgreSQL server's clock, which all replicas follow: they read it, correct their own clock by it, and watch the
//! difference.
//!
//! This file has the one statement that reads a database's clock. Its result corrects [`Ambient`] (`kernel::clock` has the
//! arithmetic), and every instant in a row comes from there. While the database does not answer, our clock goes on by
//! itself: a node drifts by milliseconds in an hour.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Backend, Metrics, Sql, Store, StoreError, fetch_optional, row, statements};
use crate::{
    ambient::Ambient,
    kernel::clock::{self, ClockReading, Correction, SKEW_MAX_US},
};

statements! {
    /// On SQLite the statement is never run: its clock is the node's own.
    READ = Sql::each(
        "clock.read",
        "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS at_us",
        "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT AS at_us",
    );
}

row! {
    struct ClockRow { at_us: i64 }
}

/// Readings of one round. The best one counts; the first one is slow, because it prepares the statement.
const READINGS: usize = 5;
/// How long a round may take, the wait for a dead connection included.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// Microseconds for which a round is trusted. After that a replica is not ready.
const BELIEVED_FOR_US: i64 = 60_000_000;

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The database did not answer.
    #[error("the database's clock cannot be read")]
    Store(#[from] StoreError),
    /// Every answer took so long that its clock reading is too uncertain.
    #[error("the database takes more than a second to tell its clock")]
    Slow,
}

/// The result of a round, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aligned {
    /// The server's clock minus the node's wall clock.
    pub node_off: i64,
    /// How far our clock was moved, and how far it is still off.
    pub correction: Correction,
}

/// Aligns our clock with the server's, once. `None` without a server's clock: on SQLite, and for a clock that tests move.
///
/// # Errors
/// [`ClockError`]; the clock goes on as before.
pub async fn align(store: &Store, ambient: &Ambient) -> Result<Option<Aligned>, ClockError> {
    if store.backend() == Backend::Sqlite || !ambient.may_follow() {
        return Ok(None);
    }
    let round = tokio::time::timeout(ROUND_MAX, read(store, ambient));
    let readings = round.await.map_err(|_elapsed| ClockError::Slow)??;
    let estimate = clock::best(&readings).ok_or(ClockError::Slow)?;
    let correction = clock::correct(ambient.followed(), estimate);
    ambient.follow(correction.offset);
    let by_node = ambient.node_clock().timestamp_micros().saturating_sub(ambient.boot_micros());
    Ok(Some(Aligned { node_off: estimate.offset.saturating_sub(by_node), correction }))
}

async fn read(store: &Store, ambient: &Ambient) -> Result<Vec<ClockReading>, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut readings = Vec::with_capacity(READINGS);
    for _ in 0..READINGS {
        let asked = ambient.boot_micros();
        let row = fetch_optional!(ClockRow, snapshot, READ)?;
        let answered = ambient.boot_micros();
        let row = row.ok_or(StoreError::Inconsistent { table: "clock", column: "at_us" })?;
        readings.push(ClockReading { asked, theirs: row.at_us, answered });
    }
    Ok(readings)
}

/// Keeps our clock aligned with the server's, and knows whether it could. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct ServerClock {
    store: Store,
    ambient: Ambient,
    metrics: Arc<Metrics>,
    last: Arc<Mutex<Option<Last>>>,
}

/// The last successful round, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: i64,
    residual: i64,
    node_off: i64,
}

impl ServerClock {
    /// The clock of this database's server; `None` if there is none to follow.
    #[must_use]
    pub fn of(store: &Store, ambient: &Ambient, metrics: &Arc<Metrics>) -> Option<Self> {
        let follows = store.backend() == Backend::Postgres && ambient.may_follow();
        follows.then(|| Self {
            store: store.clone(),
            ambient: ambient.clone(),
            metrics: Arc::clone(metrics),
            last: Arc::default(),
        })
    }

    /// Runs one round, and reports changes.
    ///
    /// # Errors
    /// [`ClockError`]; the clock goes on as before.
    pub async fn align(&self) -> Result<(), ClockError> {
        let Some(aligned) = align(&self.store, &self.ambient).await? else { return Ok(()) };
        let Aligned { node_off, correction: Correction { step, residual, .. } } = aligned;
        self.metrics.database_clock(node_off, residual);
        let now = Last { at: self.ambient.boot_micros(), residual, node_off };
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        log_changes(before, now, step);
        Ok(())
    }

    /// Why this replica must not be ready because of its clock, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        trouble(last, self.ambient.boot_micros())
    }
}

fn trouble(last: Option<Last>, now: i64) -> Option<&'static str> {
    match last {
        Some(Last { residual, .. }) if is_off(residual) => Some("the clock is more than 2 s from the database's"),
        Some(Last { at, .. }) if now.saturating_sub(at) <= BELIEVED_FOR_US => None,
        Some(_) | None => Some("the clock was not compared with the database's for a minute"),
    }
}

const fn is_off(difference: i64) -> bool {
    difference.saturating_abs() > SKEW_MAX_US
}

/// Logs what a person should know, each once, not every round.
fn log_changes(before: Option<Last>, now: Last, step: i64) {
    let micros = now.node_off;
    if is_off(micros) && !before.is_some_and(|before| is_off(before.node_off)) {
        tracing::warn!(
            clock.node_off_us = micros,
            "the node's clock is not the database's; the database's holds: check NTP"
        );
    }
    if is_off(step) {
        tracing::error!(clock.step_us = step, "the database's clock has jumped ahead, and ours with it");
    }
    let held = |last: &Last| is_off(last.residual);
    match (before.is_some_and(|before| held(&before)), held(&now)) {
        (false, true) => tracing::error!(
            clock.residual_us = now.residual,
            "the database's clock has gone back; ours has not, or cancel windows would open again: not ready until they \
             agree, or until a restart takes the database's clock as it is"
        ),
        (true, false) => tracing::info!("the database's clock and ours agree again"),
        (true, true) | (false, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_or_was_not_compared_for_a_minute_is_trouble() {
        let last = |at, residual| Some(Last { at, residual, node_off: 240_000_000 });
        assert_eq!(trouble(last(0, 0), BELIEVED_FOR_US), None, "a node 4 minutes off that is corrected is ready");
        assert_eq!(trouble(last(0, SKEW_MAX_US), 0), None);
        for residual in [-SKEW_MAX_US - 1, SKEW_MAX_US + 1] {
            assert!(trouble(last(0, residual), 0).is_some_and(|why| why.contains("2 s")));
        }
        for late in [trouble(last(0, 0), BELIEVED_FOR_US + 1), trouble(None, 0)] {
            assert!(late.is_some_and(|why| why.contains("a minute")));
        }
    }
}
