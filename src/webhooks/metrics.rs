//! What is counted of webhooks. No label names an endpoint or its client.

use chrono::{DateTime, Utc};
use prometheus::{IntCounterVec, IntGaugeVec};
use strum::{IntoStaticStr, VariantArray};

use super::endpoints::{DisabledWhy, EndpointState};
use crate::telemetry::metrics::{Registry, at_zero};

/// What became of one attempt, of one that was not made, or of a delivery that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum AttemptOutcome {
    /// The receiver took it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It was the last attempt.
    Failed,
    /// The receiver wants no more.
    Gone,
    /// It was not sent for a reason of ours.
    NotSent,
    /// It was removed before anybody took it.
    Expired,
}

impl AttemptOutcome {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The metrics.
pub(crate) struct Metrics {
    deliveries: IntCounterVec,
    oldest: IntGaugeVec,
    endpoints: IntGaugeVec,
    disabled: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let deliveries = registry.counter_vec(
            "webhook_deliveries_total",
            "Attempts to deliver an event to an endpoint of a client, by what became of them.",
            &["outcome"],
        )?;
        let disabled = registry.counter_vec(
            "webhook_endpoints_disabled_total",
            "Endpoints that the service disabled, by reason: their receivers want no more, or take nothing for days.",
            &["why"],
        )?;
        Ok(Self {
            deliveries: at_zero(deliveries, AttemptOutcome::VARIANTS.iter().map(|outcome| [outcome.as_str()]))?,
            oldest: registry.int_gauge_vec(
                "webhook_oldest_pending_age_seconds",
                "For how long the oldest event waits that an enabled endpoint has not taken; 0 when none waits.",
                &[],
            )?,
            endpoints: registry.int_gauge_vec("webhook_endpoints", "Endpoints of clients, by state.", &["state"])?,
            disabled: at_zero(disabled, [DisabledWhy::Gone, DisabledWhy::Failing].map(|why| [why.as_str()]))?,
        })
    }

    pub(super) fn attempted(&self, outcome: AttemptOutcome) {
        self.deliveries.with_label_values(&[outcome.as_str()]).inc();
    }

    pub(super) fn disabled(&self, why: DisabledWhy) {
        self.disabled.with_label_values(&[why.as_str()]).inc();
    }

    pub(super) fn expired(&self, deliveries: usize) {
        let deliveries = u64::try_from(deliveries).unwrap_or(u64::MAX);
        self.deliveries.with_label_values(&[AttemptOutcome::Expired.as_str()]).inc_by(deliveries);
    }

    pub(super) fn show(&self, oldest: Option<DateTime<Utc>>, now: DateTime<Utc>, counts: &[(EndpointState, i64)]) {
        self.oldest
            .with_label_values::<&str>(&[])
            .set(oldest.map_or(0, |at| now.signed_duration_since(at).num_seconds().max(0)));
        for state in EndpointState::VARIANTS {
            let count = counts.iter().find(|(counted, _count)| counted == state).map_or(0, |(_state, count)| *count);
            self.endpoints.with_label_values(&[state.as_str()]).set(count);
        }
    }

    pub(super) fn retract(&self) {
        self.endpoints.reset();
        self.oldest.reset();
    }
}
