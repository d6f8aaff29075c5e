//! What is counted of batches. No label names a batch or its client.

use chrono::{DateTime, Utc};
use prometheus::{IntCounterVec, IntGaugeVec};
use strum::{IntoStaticStr, VariantArray};

use super::{
    model::{BatchItemState, BatchState},
    sql::BatchFigures,
};
use crate::telemetry::metrics::{Registry, at_zero};

/// What became of an item that was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ItemTurn {
    /// There is a reward.
    Done,
    /// It cannot be bought.
    Refused,
    /// It waits again.
    PutBack,
    /// Its batch was canceled before it was begun.
    Canceled,
}

/// The metrics.
pub(crate) struct Metrics {
    turns: IntCounterVec,
    items: IntGaugeVec,
    batches: IntGaugeVec,
    stalled: IntGaugeVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let turns = registry.counter_vec(
            "batch_item_turns_total",
            "Items of batches that were taken up, by what became of them.",
            &["outcome"],
        )?;
        Ok(Self {
            turns: at_zero(turns, ItemTurn::VARIANTS.iter().map(|turn| [<&'static str>::from(*turn)]))?,
            items: registry.int_gauge_vec("batch_items", "Items of open batches that are not done, by state.", &["state"])?,
            batches: registry.int_gauge_vec("batches_open", "Batches that have not ended, by state.", &["state"])?,
            stalled: registry.int_gauge_vec(
                "batch_stalled_age_seconds",
                "For how long a batch has not come on, though it waits for no funds, ceiling, budget or suspended program; 0 when there is none.",
                &[],
            )?,
        })
    }

    pub(super) fn turned(&self, turn: ItemTurn) {
        self.turns.with_label_values(&[<&'static str>::from(turn)]).inc();
    }

    pub(super) fn show(&self, figures: &BatchFigures, now: DateTime<Utc>) {
        for state in [BatchItemState::Waiting, BatchItemState::Started] {
            let count =
                figures.items.iter().find(|(counted, _count)| *counted == state).map_or(0, |(_state, count)| *count);
            self.items.with_label_values(&[state.as_str()]).set(count);
        }
        for state in BatchState::ALL.iter().filter(|state| **state != BatchState::Finished) {
            let count =
                figures.batches.iter().find(|(counted, _count)| counted == state).map_or(0, |(_state, count)| *count);
            self.batches.with_label_values(&[state.as_str()]).set(count);
        }
        let age = figures.stalled_since.map_or(0, |since| now.signed_duration_since(since).num_seconds().max(0));
        self.stalled.with_label_values::<&str>(&[]).set(age);
    }

    pub(super) fn retract(&self) {
        self.items.reset();
        self.batches.reset();
        self.stalled.reset();
    }
}
