//! Metrics of the accounts' key pairs.

use prometheus::{GaugeVec, IntGaugeVec};

use super::{KeySlot, KeyState};
use crate::telemetry::metrics::{Registry, seconds};

const DAY_SECONDS: i64 = 24 * 3600;

/// How old the pairs are, how old they may become, and how they stand.
pub(crate) struct KeyGauges {
    created: GaugeVec,
    age_max: GaugeVec,
    state: IntGaugeVec,
}

impl KeyGauges {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(in crate::accounts) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            created: registry.gauge_vec(
                "credential_created_timestamp_seconds",
                "When the account's AWS key was made, as the settings say, or came to a replica.",
                &["account", "slot"],
            )?,
            age_max: registry.gauge_vec(
                "credential_age_max_seconds",
                "How old the account's AWS key may become, as the settings say.",
                &["account"],
            )?,
            state: registry.int_gauge_vec(
                "credential_state",
                "1 for the state of the account's AWS key in this slot.",
                &["account", "slot", "state"],
            )?,
        })
    }

    /// When the key in a slot of an account was made (seconds since 1970); `None` where nobody knows.
    pub(crate) fn created(&self, account: &str, slot: KeySlot, at: Option<i64>) {
        let labels = [account, slot.as_str()];
        match at {
            Some(at) => self.created.with_label_values(&labels).set(seconds(at)),
            // It fails where there is none.
            None => drop(self.created.remove_label_values(&labels)),
        }
    }

    /// How many days old the account's key may become.
    pub(crate) fn days_max(&self, account: &str, days: u32) {
        self.age_max.with_label_values(&[account]).set(seconds(i64::from(days).saturating_mul(DAY_SECONDS)));
    }

    /// How the key in a slot of an account stands.
    pub(crate) fn state(&self, account: &str, slot: KeySlot, state: KeyState) {
        for one in KeyState::ALL {
            let labels = [account, slot.as_str(), one.as_str()];
            self.state.with_label_values(&labels).set(i64::from(*one == state));
        }
    }
}
