//! Metrics of balances and reconciliations, all set from the database.

use prometheus::{GaugeVec, IntGaugeVec};

use super::{
    reconciliation::days::{OpenDay, OpenDayStatus},
    runway::Runway,
};
use crate::{
    kernel::Money,
    telemetry::metrics::{Registry, seconds},
};

const OF_MONEY: [&str; 2] = ["account", "currency"];

/// The gauges. A gauge of a balance has a series once Amazon has reported the balance, a gauge of a reconciliation once a period
/// was reconciled, and every other one once the database was read: until then a zero would be a guess.
pub(crate) struct Metrics {
    available_funds: GaugeVec,
    available_funds_updated: GaugeVec,
    available_funds_reported: GaugeVec,
    reserved_funds: GaugeVec,
    low_threshold: GaugeVec,
    runway: GaugeVec,
    unexplained: GaugeVec,
    reconciliation: ReconciliationGauges,
}

struct ReconciliationGauges {
    difference: GaugeVec,
    unmatched: IntGaugeVec,
    last_success: GaugeVec,
    open_days: IntGaugeVec,
}

impl ReconciliationGauges {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
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
            open_days: registry.int_gauge_vec(
                "reconciliation_backlog",
                "Days that no finished reconciliation covers and no person accepted: due, failing (tried again later), \
                 or out_of_reach of Amazon's report.",
                &["account", "status"],
            )?,
        })
    }
}

impl Metrics {
    /// Registers the gauges.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
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
            available_funds_reported: registry.gauge_vec(
                "available_funds_reported_timestamp_seconds",
                "Amazon's own time of that balance, by our clock, if Amazon gave one. Older than the question when the \
                 answer lags.",
                &["account"],
            )?,
            reserved_funds: registry.gauge_vec(
                "reserved_funds",
                "Value of rewards whose purchase is not proven yet, in major units.",
                &OF_MONEY,
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
            unexplained: registry.gauge_vec(
                "balance_unexplained",
                "What the ledger says is there and Amazon does not, in major units, below zero. Zero is the only \
                 good value.",
                &OF_MONEY,
            )?,
            reconciliation: ReconciliationGauges::new(registry)?,
        })
    }

    /// Takes the balances off the page: what the database said of them is too old.
    pub(super) fn retract_balances(&self) {
        for gauges in [
            &self.available_funds,
            &self.available_funds_updated,
            &self.available_funds_reported,
            &self.reserved_funds,
            &self.low_threshold,
            &self.runway,
            &self.unexplained,
        ] {
            gauges.reset();
        }
    }

    /// Takes the reconciliations off the page: what the database said of them is too old.
    pub(super) fn retract_reconciliations(&self) {
        let ReconciliationGauges { difference, unmatched, last_success, open_days } = &self.reconciliation;
        for gauges in [difference, last_success] {
            gauges.reset();
        }
        for counts in [unmatched, open_days] {
            counts.reset();
        }
    }

    /// Sets the balance that Amazon reported, and its dates.
    pub(super) fn funds(&self, account: &str, available: Money, dates: BalanceDates) {
        self.available_funds.with_label_values(&[account, available.currency().code()]).set(available.to_gauge());
        set_or_remove(&self.available_funds_updated, &[account], dates.asked);
        set_or_remove(&self.available_funds_reported, &[account], dates.reported);
    }

    /// Sets how many days of an account are not reconciled, by what is the matter with them.
    pub(super) fn open_days(&self, account: &str, days: &[OpenDay]) {
        for status in OpenDayStatus::ALL {
            let count = days.iter().filter(|day| day.status == *status).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.reconciliation.open_days.with_label_values(&[account, status.as_str()]).set(count);
        }
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
            set_or_remove(&self.runway, &[account, currency, outlook], length);
        }
    }

    /// Sets the result of an account's newest reconciled period: the difference, how many cards only we know and only
    /// Amazon knows, and when it was reconciled (seconds since 1970), as far as that is known.
    pub(super) fn reconciled(&self, account: &str, difference: Money, ours: i64, theirs: i64, at: Option<i64>) {
        self.reconciliation
            .difference
            .with_label_values(&[account, difference.currency().code()])
            .set(difference.to_gauge());
        self.reconciliation.unmatched.with_label_values(&[account, "ours"]).set(ours);
        self.reconciliation.unmatched.with_label_values(&[account, "theirs"]).set(theirs);
        set_or_remove(&self.reconciliation.last_success, &[account], at);
    }
}

/// How old a balance is, in seconds since 1970, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct BalanceDates {
    /// When we asked.
    pub(super) asked: Option<i64>,
    /// Amazon's own time of the balance.
    pub(super) reported: Option<i64>,
}

/// Sets a gauge of seconds, or takes its series away: an old figure would look like a new one.
fn set_or_remove(gauge: &GaugeVec, labels: &[&str], value: Option<i64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(seconds(value)),
        // Removing a series that does not exist is harmless.
        None => drop(gauge.remove_label_values(labels)),
    }
}
