//! The metrics page. Gauges about the whole service are read from the database whenever it is asked for, slice by slice.
//!
//! Dashboards and alerts take the maximum over all replicas. So what one replica cannot read any more must leave its page: else the
//! balance or the month of before stays the whole service's figure for as long as that replica lives. It stays for a minute, because a
//! question that the database lost would leave a gap in each panel and begin each alert's waiting time anew.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use actix_web::{HttpResponse, http::header, web};
use chrono::{DateTime, TimeDelta, Utc};
use strum::VariantArray;

use super::AppState;
use crate::{
    http::{Code, Problem},
    kernel::Chain,
    store::StoreError,
    telemetry::metrics::CONTENT_TYPE,
};

/// For so long gauges are shown after they were read. Prometheus asks four times a minute, by our ServiceMonitor.
const SHOWN_FOR: TimeDelta = TimeDelta::seconds(60);

/// What is read and shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub(super) enum GaugesOf {
    Rewards,
    Payments,
    Balances,
    Ledger,
    Keys,
    Reconciliations,
    Webhooks,
    Batches,
    Memberships,
}

impl GaugesOf {
    async fn publish(self, state: &AppState) -> Result<(), StoreError> {
        match self {
            Self::Rewards => state.rewards.publish().await,
            Self::Payments => state.payments.publish().await,
            Self::Balances => state.balances.publish().await,
            Self::Ledger => state.ledger.publish().await,
            Self::Keys => state.keys.publish().await,
            Self::Reconciliations => state.reconciliations.publish().await,
            Self::Webhooks => state.webhooks.publish().await,
            Self::Batches => state.batches.publish().await,
            Self::Memberships => state.memberships.publish().await,
        }
    }

    fn retract(self, state: &AppState) {
        match self {
            Self::Rewards => state.rewards.retract(),
            Self::Payments => state.payments.retract(),
            Self::Balances => state.balances.retract(),
            Self::Ledger => state.ledger.retract(),
            Self::Keys => state.keys.retract(),
            Self::Reconciliations => state.reconciliations.retract(),
            Self::Webhooks => state.webhooks.retract(),
            Self::Batches => state.batches.retract(),
            Self::Memberships => state.memberships.retract(),
        }
    }
}

/// When the gauges of each slice were last read.
#[derive(Default)]
pub(super) struct LastRead(Mutex<BTreeMap<GaugesOf, DateTime<Utc>>>);

impl LastRead {
    fn note(&self, gauges: GaugesOf, at: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(gauges, at);
    }

    /// Those that are too old to be shown, or were never read. An instant ahead of now was noted by a clock that was ahead.
    fn outdated(&self, now: DateTime<Utc>) -> Vec<GaugesOf> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &DateTime<Utc>| (TimeDelta::zero()..=SHOWN_FOR).contains(&now.signed_duration_since(*at));
        GaugesOf::VARIANTS.iter().filter(|gauges| !read.get(gauges).is_some_and(is_recent)).copied().collect()
    }
}

/// Answers with the page.
pub(super) async fn metrics_page(state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let (reader, as_of) = (state.get_ref().clone(), state.http.ambient.now());
    match state.http.tasks.run(async move { publish(&reader, as_of).await }).await {
        Ok(Ok(())) => state.metrics.snapshot(as_of.timestamp()),
        Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the service's gauges are not fresh"),
        Err(_stopping) => {}
    }
    for gauges in state.metrics.last_read.outdated(state.http.ambient.now()) {
        gauges.retract(&state);
    }
    // When the database is away, the process's own metrics are still worth having.
    let text = state.metrics.page().map_err(|_error| Problem::new(Code::INTERNAL))?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(text))
}

/// Reads the gauges of each slice. A row that cannot be read keeps its own slice from being shown, and no other; of a database that
/// does not answer, nothing more is asked in this round.
async fn publish(state: &AppState, as_of: DateTime<Utc>) -> Result<(), StoreError> {
    let mut all = Ok(());
    for gauges in GaugesOf::VARIANTS {
        match gauges.publish(state).await {
            Ok(()) => state.metrics.last_read.note(*gauges, as_of),
            Err(error) => {
                let is_about_the_row = error.is_about_the_row();
                all = all.and(Err(error));
                if !is_about_the_row {
                    break;
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_shown_for_a_minute_after_they_were_read() {
        let (read, now) = (LastRead::default(), DateTime::UNIX_EPOCH);
        assert_eq!(read.outdated(now), GaugesOf::VARIANTS, "before the first reading there is nothing to show");
        for gauges in GaugesOf::VARIANTS {
            read.note(*gauges, now);
        }
        assert_eq!((read.outdated(now), read.outdated(now + SHOWN_FOR)), (Vec::new(), Vec::new()));
        let later = now + SHOWN_FOR + TimeDelta::microseconds(1);
        read.note(GaugesOf::Ledger, later);
        let others = GaugesOf::VARIANTS.iter().copied().filter(|gauges| *gauges != GaugesOf::Ledger);
        assert_eq!(read.outdated(later), others.collect::<Vec<_>>(), "each by itself");
        assert_eq!(read.outdated(now), [GaugesOf::Ledger], "what a clock noted that was ahead");
    }
}
