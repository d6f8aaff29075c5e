//! What the newest reconciled period of each account came to. They have no children before one was reconciled: a difference
//! that nobody has looked for is not zero.

use prometheus::{GaugeVec, IntGaugeVec, core::Collector};

use super::{gauges, opts, seconds};
use crate::kernel::Money;

/// The gauges.
pub(super) struct Reconciled {
    difference: GaugeVec,
    unmatched: IntGaugeVec,
    last_success: GaugeVec,
}

impl Reconciled {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            difference: gauges(
                (
                    "reconciliation_difference",
                    "What Amazon lists beyond what we hold, in the newest reconciled period, in major units. Zero is the \
                     only good value.",
                ),
                &["account", "currency"],
            )?,
            unmatched: IntGaugeVec::new(
                opts("reconciliation_unmatched", "Cards of that period that only one side knows."),
                &["account", "side"],
            )?,
            last_success: gauges(
                ("reconciliation_last_success_timestamp_seconds", "When that period was reconciled. Alert on its age."),
                &["account"],
            )?,
        })
    }

    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 3] {
        [Box::new(self.difference.clone()), Box::new(self.unmatched.clone()), Box::new(self.last_success.clone())]
    }

    pub(super) fn set(&self, account: &str, difference: Money, (ours, theirs): (i64, i64), at: i64) {
        let labels = [account, difference.currency().code()];
        self.difference.with_label_values(&labels).set(difference.to_gauge());
        self.unmatched.with_label_values(&[account, "ours"]).set(ours);
        self.unmatched.with_label_values(&[account, "theirs"]).set(theirs);
        self.last_success.with_label_values(&[account]).set(seconds(at));
    }
}
