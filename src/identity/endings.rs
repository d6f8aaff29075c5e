//! Keys that end soon, as gauges: whoever gave one out hears of it before its holder is answered 401.

use std::sync::Arc;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    ambient::Ambient,
    kernel::ApiKeyId,
    store::{Sql, Store, StoreError, fetch_all, row, statements},
    telemetry::metrics::{DynamicGauge, Registry, seconds},
};

/// How long before its end a key is shown, and how long after it.
const BEFORE: TimeDelta = TimeDelta::days(30);
const AFTER: TimeDelta = TimeDelta::days(7);
/// Keys that have series of their own.
const SHOWN_MAX: i64 = 100;

statements! {
    /// A key whose successor is in use ends as it should.
    ENDING = Sql::same(
        "api_keys.ending",
        "SELECT k.id, c.name AS client_name, k.expires_at FROM api_keys k JOIN clients c ON c.id = k.client_id \
         WHERE k.revoked_at IS NULL AND k.expires_at > $1 AND k.expires_at < $2 \
         AND NOT EXISTS (SELECT 1 FROM api_keys s WHERE s.replaces = k.id AND s.revoked_at IS NULL) \
         ORDER BY k.expires_at LIMIT $3",
    );
}

row! {
    struct EndingRow { id: Uuid, client_name: String, expires_at: chrono::DateTime<chrono::Utc> }
}

/// The gauges of keys.
pub(crate) struct Metrics {
    ends: DynamicGauge<2>,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ends: DynamicGauge::new(registry.gauge_vec(
                "api_key_expires_timestamp_seconds",
                "When a key without a successor ends: from 30 days before until 7 days after.",
                &["client", "key"],
            )?),
        })
    }
}

/// Looks which keys end.
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
        let keys = fetch_all!(EndingRow, snapshot, ENDING, now - AFTER, now + BEFORE, SHOWN_MAX)?;
        let series = keys.into_iter().map(|key| {
            let labels = [key.client_name, ApiKeyId::new(key.id).to_string()];
            (labels, seconds(key.expires_at.timestamp()))
        });
        self.metrics.ends.show(series);
        Ok(())
    }
}
