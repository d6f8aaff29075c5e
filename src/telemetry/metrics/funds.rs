//! What is known of an account's funds besides their sum. Set from the database, so that all replicas show the same.

use prometheus::GaugeVec;

use super::{Metrics, room::Room, seconds};
use crate::{kernel::Money, treasury::runway::Runway};

const OF_MONEY: [&str; 2] = ["account", "currency"];

/// The gauges.
pub(super) struct Funds {
    low_threshold: GaugeVec,
    runway: GaugeVec,
    unexplained: GaugeVec,
}

impl Funds {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            low_threshold: room.gauges(
                ("funds_low_threshold", "Below this the balance is low, by the settings; in major units."),
                &OF_MONEY,
            )?,
            runway: room.gauges(
                (
                    "funds_runway_seconds",
                    "How long the funds last by what was spent in the last weeks: as likely as not, and at worst. \
                     Not there with less than a week of spending, or when they last longer than 400 days.",
                ),
                &["account", "currency", "outlook"],
            )?,
            unexplained: room.gauges(
                (
                    "balance_unexplained",
                    "What the ledger says is there and Amazon does not, in major units, below zero. Zero is the only \
                     good value.",
                ),
                &OF_MONEY,
            )?,
        })
    }

    /// A shortage is zero until one is found.
    pub(super) fn prepare(&self, accounts: &[(&str, &str)]) -> Result<(), prometheus::Error> {
        for (account, currency) in accounts {
            self.unexplained.get_metric_with_label_values(&[account, currency])?;
        }
        Ok(())
    }
}

impl Metrics {
    /// Below which balance an account's is low.
    pub fn low_threshold(&self, account: &str, value: Money) {
        self.funds.low_threshold.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// What the ledger says is there and Amazon does not: zero, or below.
    pub fn unexplained(&self, account: &str, value: Money) {
        self.funds.unexplained.with_label_values(&[account, value.currency().code()]).set(value.to_gauge());
    }

    /// How long an account's funds last, as far as that is known.
    pub fn runway(&self, account: &str, currency: &str, runway: Runway) {
        for (outlook, said) in [("median", runway.median), ("pessimistic", runway.pessimistic)] {
            let labels = [account, currency, outlook];
            match said {
                Some(said) => self.funds.runway.with_label_values(&labels).set(seconds(said)),
                // An old figure would look like a new one. Not there is no error.
                None => drop(self.funds.runway.remove_label_values(&labels)),
            }
        }
    }
}
