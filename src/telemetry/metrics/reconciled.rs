//! What the newest reconciled period of each account came to. They have no children before one was reconciled: a difference
//! that nobody has looked for is not zero.

use prometheus::{GaugeVec, IntGaugeVec};

use super::{Metrics, room::Room, seconds};
use crate::kernel::Money;

/// The gauges.
pub(super) struct Reconciled {
    difference: GaugeVec,
    unmatched: IntGaugeVec,
    last_success: GaugeVec,
}

impl Reconciled {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            difference: room.gauges(
                (
                    "reconciliation_difference",
                    "What Amazon lists beyond what we hold, in the newest reconciled period, in major units. Zero is the \
                     only good value.",
                ),
                &["account", "currency"],
            )?,
            unmatched: room.counts(
                ("reconciliation_unmatched", "Cards of that period that only one side knows."),
                &["account", "side"],
            )?,
            last_success: room.gauges(
                ("reconciliation_last_success_timestamp_seconds", "When that period was reconciled. Alert on its age."),
                &["account"],
            )?,
        })
    }
}

impl Metrics {
    /// What the newest reconciled period of an account came to, how many cards of it only we and only Amazon know, and when
    /// it was reconciled (seconds since 1970).
    pub fn reconciled(&self, account: &str, difference: Money, (ours, theirs): (i64, i64), at: i64) {
        let labels = [account, difference.currency().code()];
        self.reconciled.difference.with_label_values(&labels).set(difference.to_gauge());
        self.reconciled.unmatched.with_label_values(&[account, "ours"]).set(ours);
        self.reconciled.unmatched.with_label_values(&[account, "theirs"]).set(theirs);
        self.reconciled.last_success.with_label_values(&[account]).set(seconds(at));
    }
}
