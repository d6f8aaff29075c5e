//! A gauge whose set of labels changes while the process runs.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::GaugeVec;

/// The gauge, and the labels that it has now.
pub(crate) struct DynamicGauge<const N: usize> {
    gauges: GaugeVec,
    shown: Mutex<BTreeSet<[String; N]>>,
}

impl<const N: usize> DynamicGauge<N> {
    pub(crate) const fn new(gauges: GaugeVec) -> Self {
        Self { gauges, shown: Mutex::new(BTreeSet::new()) }
    }

    /// Sets these values, and removes every other series.
    pub(crate) fn show(&self, values: impl Iterator<Item = ([String; N], f64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for (labels, value) in values {
            self.gauges.with_label_values(&labels).set(value);
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in gone {
            drop(self.gauges.remove_label_values(&labels));
        }
    }
}
