//! Keys that end soon, counted: an operator hears of it before a caller is answered 401.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::IntGaugeVec;

use crate::{
    ambient::Ambient,
    store::{Sql, Store, StoreError, fetch_all, row, statements},
    telemetry::metrics::Registry,
};

/// How long before its end a key is counted, and how long after it.
const BEFORE: TimeDelta = TimeDelta::days(14);
const AFTER: TimeDelta = TimeDelta::days(7);
/// Whoever makes a key for less time has its end in mind.
const LIFE_MIN: TimeDelta = TimeDelta::days(30);
/// Keys that are counted.
const COUNTED_MAX: i64 = 1_000;
const ENDING: &str = "ending";
const ENDED: &str = "ended";

statements! {
    /// A key whose successor is in use ends as it should.
    KEYS_ENDING = Sql::same(
        "api_keys.ending",
        "SELECT k.created_at, k.expires_at FROM api_keys k WHERE k.revoked_at IS NULL AND k.expires_at > $1 AND k.expires_at < $2 \
         AND NOT EXISTS (SELECT 1 FROM api_keys s WHERE s.replaces = k.id AND s.revoked_at IS NULL) \
         ORDER BY k.expires_at DESC LIMIT $3",
    );
}

row! {
    struct EndingRow { created_at: DateTime<Utc>, expires_at: DateTime<Utc> }
}

/// The gauges of keys. They name neither a client nor a key: `noshi keys list` does.
pub(crate) struct Metrics {
    ending: IntGaugeVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ending: registry.int_gauge_vec(
                "api_keys_ending",
                "Keys without a successor that end within 14 days, or ended within the last 7.",
                &["state"],
            )?,
        })
    }

    fn show(&self, state: &str, count: usize) {
        self.ending.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Looks how many keys end.
#[derive(Clone)]
pub(crate) struct KeyEndings {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) metrics: Arc<Metrics>,
}

impl KeyEndings {
    /// Sets the gauges from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let mut snapshot = self.store.snapshot().await?;
        let keys = fetch_all!(EndingRow, snapshot, KEYS_ENDING, now - AFTER, now + BEFORE, COUNTED_MAX)?;
        let lasting = keys.iter().filter(|key| key.expires_at - key.created_at > LIFE_MIN);
        let (ending, ended): (Vec<_>, Vec<_>) = lasting.partition(|key| key.expires_at > now);
        self.metrics.show(ENDING, ending.len());
        self.metrics.show(ENDED, ended.len());
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.metrics.ending.reset();
    }
}
