//! What this process has done with rewards.

use prometheus::{CounterVec, IntCounter, IntCounterVec};

use super::{Metrics, room::Room};
use crate::kernel::Money;

const FINAL_STATES: [&str; 4] = ["issued", "failed", "canceled", "needs_attention"];
const RESOLUTIONS: [&str; 4] = ["kept", "canceled", "not_created", "needs_attention"];

/// What became of a request that named an idempotency key.
#[derive(Debug, Clone, Copy)]
pub enum KeyUse {
    /// The key was new.
    New,
    /// The key's reward is final or answers for itself.
    Replayed,
    /// The key's reward is still being worked on.
    InProgress,
    /// The key was used for another command.
    Mismatch,
}

impl KeyUse {
    const ALL: [Self; 4] = [Self::New, Self::Replayed, Self::InProgress, Self::Mismatch];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replayed => "replayed",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
        }
    }
}

/// Counted in this process.
pub(super) struct Rewards {
    finished: IntCounterVec,
    value: CounterVec,
    resolutions: IntCounterVec,
    idempotent: IntCounterVec,
    lease_lost: IntCounter,
}

impl Rewards {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        let by_status = ["account", "currency", "status"];
        Ok(Self {
            finished: room
                .counters(("rewards_total", "Rewards that reached a final state in this process."), &by_status)?,
            value: room.sums(("reward_value_total", "Value of those rewards, in major units."), &by_status)?,
            resolutions: room.counters(("resolutions_total", "How unproven outcomes ended."), &["outcome"])?,
            idempotent: room
                .counters(("idempotent_requests_total", "Requests by what their key named."), &["result"])?,
            lease_lost: room.counter(("lease_lost_total", "Outcomes that came after another worker took over."))?,
        })
    }

    /// Every child whose labels are known, at zero.
    pub(super) fn prepare(&self, accounts: &[(&str, &str)]) -> Result<(), prometheus::Error> {
        for (account, currency) in accounts {
            for status in FINAL_STATES {
                self.finished.get_metric_with_label_values(&[account, currency, status])?;
                self.value.get_metric_with_label_values(&[account, currency, status])?;
            }
        }
        for result in KeyUse::ALL {
            self.idempotent.get_metric_with_label_values(&[result.as_str()])?;
        }
        for outcome in RESOLUTIONS {
            self.resolutions.get_metric_with_label_values(&[outcome])?;
        }
        Ok(())
    }
}

impl Metrics {
    /// A reward reached a final state.
    pub fn finished(&self, account: &str, value: Money, status: &str) {
        let labels = [account, value.currency().code(), status];
        self.rewards.finished.with_label_values(&labels).inc();
        self.rewards.value.with_label_values(&labels).inc_by(value.to_gauge());
    }

    /// An unproven outcome was proven, or was given up.
    pub fn resolved(&self, outcome: &str) {
        self.rewards.resolutions.with_label_values(&[outcome]).inc();
    }

    /// What a request's key named.
    pub fn key_used(&self, how: KeyUse) {
        self.rewards.idempotent.with_label_values(&[how.as_str()]).inc();
    }

    /// An outcome came after another worker had taken over.
    pub fn lease_lost(&self) {
        self.rewards.lease_lost.inc();
    }
}
