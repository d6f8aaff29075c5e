//! Metrics of balances and reconciliations, all set from the database.

use prometheus::{GaugeVec, IntGaugeVec};

use super::runway::Runway;
use crate::{
    kernel::Money,
    telemetry::metrics::{Registry, at_zero, seconds},
};

const OF_MONEY: [&str; 2] = ["account", "currency"];

/// The gauges. A gauge of a balance has a series once Amazon has reported the balance, and a gauge of a reconciliation
/// once a period was reconciled: until then a zero would be a guess.
pub(crate) struct Metrics {
    available_funds: GaugeVec,
    available_funds_updated: GaugeVec,
    reserved_funds: GaugeVec,
    low_threshold: GaugeVec,
    runway: GaugeVec,
    unexplained: GaugeVec,
    difference: GaugeVec,
    unmatched: IntGaugeVec,
    last_success: GaugeVec,
}

impl Metrics {
    /// Registers the gauges. `accounts` are the (account, currency) pairs of the settings.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry, accounts: &[(&str, &str)]) -> Result<Self, prometheus::Error> {
        let each = || accounts.iter().map(|(account, currency)| [*account, *currency]);
        Ok(Self {
            available_funds: registry.gauge_vec(
                "available_funds",
                "What Amazon last said the account can spend, in major units.",
                &OF_MONEY,
            )?,
            available_funds_updated: registry.gauge_vec(
                "available_funds_updated_timestamp_seconds",
                "When Amazon said so. A stale balance looks healthy: alert on its age.",
                &["account"],
            )?,
            reserved_funds: at_zero(
                registry.gauge_vec(
                    "reserved_funds",
                    "Value of rewards whose purchase is not proven yet, in major units.",
                    &OF_MONEY,
                )?,
                each(),
            )?,
            low_threshold: registry.gauge_vec(
                "funds_low_threshold",
                "Below this the balance is low, by the settings; in major units.",
                &OF_MONEY,
            )?,
            runway: registry.gauge_vec(
                "funds_runway_seconds",
                "How long the funds last by what was spent in the last weeks: as likely as not, and at worst. \
                 Not there with less than a week of spending, or when they last longer than 400 days.",
                &["account", "currency", "outlook"],
            )?,
            unexplained: at_zero(
                registry.gauge_vec(
                    "balance_unexplained",
                    "What the ledger says is there and Amazon does not, in major units, below zero. Zero is the only \
                     good value.",
                    &OF_MONEY,
                )?,
                each(),
            )?,
            difference: registry.gauge_vec(
                "reconciliation_difference",
                "What Amazon lists beyond what we hold, in the newest reconciled period, in major units. Zero is the \
                 only good value.",
                &OF_MONEY,
            )?,
            unmatched: registry.int_gauge_vec(
                "reconciliation_unmatched",
                "Cards of that period that only one side knows.",
                &["account", "side"],
            )?,
            last_success: registry.gauge_vec(
                "reconciliation_last_success_timestamp_seconds",
                "When that period was reconciled. Alert on its age.",
                &["account"],
            )?,
        })
    }

    /// Sets the balance that Amazon reported, and when it did (seconds since 1970).
    pub(super) fn funds(&self, account: &str, available: Money, at: i64) {
        self.available_funds.with_label_values(&[account, available.currency().code()]).set(available.to_gauge());
        self.available_funds_updated.with_label_values(&[account]).set(seconds(at));
    }

    /// Sets the value that is reserved for unproven purchases.
    pub(super) fn reserved(&self, account: &str, value: Money) {
        self.reserved_funds.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// Sets the balance below which an account's balance is low.
    pub(super) fn low_threshold(&self, account: &str, value: Money) {
        self.low_threshold.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// Sets the part of the balance that nothing explains: zero, or below when Amazon reports too little.
    pub(super) fn unexplained(&self, account: &str, value: Money) {
        self.unexplained.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// Sets how long an account's funds last, as far as that is known.
    pub(super) fn runway(&self, account: &str, currency: &str, runway: Runway) {
        for (outlook, length) in [("median", runway.median), ("pessimistic", runway.pessimistic)] {
            let labels = [account, currency, outlook];
            match length {
                Some(length) => self.runway.with_label_values(&labels).set(seconds(length)),
                // An old figure would look like a new one. Removing a series that does not exist is harmless.
                None => drop(self.runway.remove_label_values(&labels)),
            }
        }
    }

    /// Sets the result of an account's newest reconciled period: the difference, how many cards only we know and only
    /// Amazon knows, and when it was reconciled (seconds since 1970).
    pub(super) fn reconciled(&self, account: &str, difference: Money, ours: i64, theirs: i64, at: i64) {
        self.difference.with_label_values(&[account, difference.currency().code()]).set(difference.to_gauge());
        self.unmatched.with_label_values(&[account, "ours"]).set(ours);
        self.unmatched.with_label_values(&[account, "theirs"]).set(theirs);
        self.last_success.with_label_values(&[account]).set(seconds(at));
    }
}
