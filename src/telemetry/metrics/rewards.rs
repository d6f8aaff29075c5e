//! What this process has done with rewards.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{CounterVec, IntCounter, IntCounterVec};

use super::{Metrics, room::Room};
use crate::kernel::Money;

const FINAL_STATES: [&str; 4] = ["issued", "failed", "canceled", "needs_attention"];
const RESOLUTIONS: [&str; 4] = ["kept", "canceled", "not_created", "needs_attention"];

/// The program of a reward that has none.
const NO_PROGRAM: &str = "none";
/// The programs beyond the bound, together. A program's id begins with `prg_`, so neither word is one.
const OTHER_PROGRAMS: &str = "other";
/// Programs that have series of their own: operators make programs, at most 1,000 are shown, and each has a dozen series.
pub const PROGRAMS_MAX: usize = 200;

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
    unrecorded: IntCounter,
    budget_refusals: IntCounterVec,
    programs: Mutex<BTreeSet<String>>,
}

impl Rewards {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        let by_status = ["account", "program", "currency", "status"];
        Ok(Self {
            finished: room
                .counters(("rewards_total", "Rewards that reached a final state in this process."), &by_status)?,
            value: room.sums(("reward_value_total", "Value of those rewards, in major units."), &by_status)?,
            resolutions: room.counters(("resolutions_total", "How unproven outcomes ended."), &["outcome"])?,
            idempotent: room
                .counters(("idempotent_requests_total", "Requests by what their key named."), &["result"])?,
            lease_lost: room.counter(("lease_lost_total", "Outcomes that came after another worker took over."))?,
            unrecorded: room.counter((
                "requests_unrecorded_total",
                "Orders that were turned away because the database failed or was late.",
            ))?,
            budget_refusals: room.counters(
                (
                    "budget_refusals_total",
                    "Rewards refused because a budget of the program, or of a key in it, is used up.",
                ),
                &["program"],
            )?,
            programs: Mutex::default(),
        })
    }

    /// Every child whose labels are known, at zero.
    pub(super) fn prepare(&self, accounts: &[(&str, &str)]) -> Result<(), prometheus::Error> {
        for (account, currency) in accounts {
            for status in FINAL_STATES {
                self.finished.get_metric_with_label_values(&[account, NO_PROGRAM, currency, status])?;
                self.value.get_metric_with_label_values(&[account, NO_PROGRAM, currency, status])?;
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

    /// The label of a program: its id while there is room, so that whoever makes programs does not make series without
    /// end.
    fn label<'p>(&self, program: Option<&'p str>) -> &'p str {
        let Some(program) = program else { return NO_PROGRAM };
        let mut known = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(program) || (known.len() < PROGRAMS_MAX && known.insert(program.to_owned())) {
            program
        } else {
            OTHER_PROGRAMS
        }
    }

    /// Makes a program's counter of refusals before the first one: an alert on a series that begins at 1 sees nothing.
    pub(super) fn expect_program(&self, program: &str) {
        drop(self.budget_refusals.with_label_values(&[self.label(Some(program))]));
    }
}

impl Metrics {
    /// A reward reached a final state.
    pub fn finished(&self, account: &str, program: Option<&str>, value: Money, status: &str) {
        let labels = [account, self.rewards.label(program), value.currency().code(), status];
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

    /// A reward did not fit into a budget of its program.
    pub fn budget_refused(&self, program: &str) {
        self.rewards.budget_refusals.with_label_values(&[self.rewards.label(Some(program))]).inc();
    }

    /// The database failed, or took so long, that a caller was turned away.
    pub fn unrecorded(&self) {
        self.rewards.unrecorded.inc();
    }

    /// An outcome came after another worker had taken over.
    pub fn lease_lost(&self) {
        self.rewards.lease_lost.inc();
    }
}
