//! Gauges about the whole service, set from the database on each scrape: every replica shows the same.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{Gauge, GaugeVec, IntGaugeVec};

use super::{Metrics, room::Room, seconds};
use crate::kernel::Money;

/// States of a reward that are gauges; finished ones are counters.
const OPEN_STATES: [&str; 5] = ["pending", "issuing", "unresolved", "canceling", "needs_attention"];

const BUDGET: [&str; 3] = ["program", "currency", "window"];

/// A whole program's budget in one window.
#[derive(Debug, Clone)]
pub struct Budget {
    /// The program.
    pub program: String,
    /// `day`, `month` or `total`.
    pub window: &'static str,
    /// The hard limit, where one is set.
    pub limit: Option<Money>,
    /// Spent.
    pub used: Money,
    /// Held for purchases on their way.
    pub reserved: Money,
}

impl Budget {
    fn labels(&self) -> [String; 3] {
        [self.program.clone(), self.used.currency().code().to_owned(), self.window.to_owned()]
    }
}

/// A gauge of a set of labels that changes, and the labels that it has.
struct Changing {
    gauges: GaugeVec,
    shown: Mutex<BTreeSet<[String; 3]>>,
}

impl Changing {
    const fn new(gauges: GaugeVec) -> Self {
        Self { gauges, shown: Mutex::new(BTreeSet::new()) }
    }

    /// Shows these, and nothing that was shown before and is not among them.
    fn show(&self, now: impl Iterator<Item = ([String; 3], Money)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for (labels, value) in now {
            self.gauges.with_label_values(&labels).set(value.to_gauge());
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in gone {
            drop(self.gauges.remove_label_values(&labels));
        }
    }
}

/// Read from the database.
pub(super) struct Whole {
    rewards_in_state: IntGaugeVec,
    oldest_unresolved: GaugeVec,
    available_funds: GaugeVec,
    available_funds_updated: GaugeVec,
    reserved_funds: GaugeVec,
    breaker_open: IntGaugeVec,
    budget_limit: Changing,
    budget_used: Changing,
    budget_reserved: Changing,
    snapshot: Gauge,
}

impl Whole {
    pub(super) fn new(room: &Room<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            rewards_in_state: room
                .counts(("rewards_in_state", "Unfinished rewards of the whole service."), &["account", "state"])?,
            oldest_unresolved: room.gauges(
                ("oldest_unresolved_age_seconds", "Age of the oldest unproven outcome of the whole service."),
                &["account"],
            )?,
            available_funds: room.gauges(
                ("available_funds", "What Amazon last said the account can spend, in major units."),
                &["account", "currency"],
            )?,
            available_funds_updated: room.gauges(
                (
                    "available_funds_updated_timestamp_seconds",
                    "When Amazon said so. A stale balance looks healthy: alert on its age.",
                ),
                &["account"],
            )?,
            reserved_funds: room.gauges(
                ("reserved_funds", "Value of rewards whose purchase is not proven yet, in major units."),
                &["account", "currency"],
            )?,
            breaker_open: room.counts(
                ("breaker_open", "1 while new rewards are refused because Amazon refuses the account."),
                &["account", "reason"],
            )?,
            budget_limit: Changing::new(room.gauges(
                ("budget_limit", "Hard limit of a whole program's budget, in major units, where one is set."),
                &BUDGET,
            )?),
            budget_used: Changing::new(
                room.gauges(("budget_used", "What a program has spent in the window, in major units."), &BUDGET)?,
            ),
            budget_reserved: Changing::new(room.gauges(
                ("budget_reserved", "What a program holds for purchases on their way, in major units."),
                &BUDGET,
            )?),
            snapshot: room.gauge((
                "database_snapshot_timestamp_seconds",
                "When the gauges of the whole service were last read from the database.",
            ))?,
        })
    }

    /// Every child whose labels are known, at zero. Balances have none before Amazon has said one.
    pub(super) fn prepare(&self, accounts: &[(&str, &str)]) -> Result<(), prometheus::Error> {
        for (account, currency) in accounts {
            for state in OPEN_STATES {
                self.rewards_in_state.get_metric_with_label_values(&[account, state])?;
            }
            self.oldest_unresolved.get_metric_with_label_values(&[account])?;
            self.reserved_funds.get_metric_with_label_values(&[account, currency])?;
        }
        Ok(())
    }
}

impl Metrics {
    /// What Amazon said an account can spend, and when (seconds since 1970).
    pub fn funds(&self, account: &str, available: Money, at: i64) {
        let labels = [account, available.currency().code()];
        self.whole.available_funds.with_label_values(&labels).set(available.to_gauge());
        self.whole.available_funds_updated.with_label_values(&[account]).set(seconds(at));
    }

    /// What is reserved for unproven purchases.
    pub fn reserved(&self, account: &str, value: Money) {
        let labels = [account, value.currency().code()];
        self.whole.reserved_funds.with_label_values(&labels).set(value.to_gauge());
    }

    /// How many rewards of an account are in an unfinished state.
    pub fn in_state(&self, account: &str, state: &str, rewards: i64) {
        self.whole.rewards_in_state.with_label_values(&[account, state]).set(rewards);
    }

    /// Whether new rewards of the account are refused for this reason.
    pub fn breaker(&self, account: &str, reason: &str, open: bool) {
        self.whole.breaker_open.with_label_values(&[account, reason]).set(i64::from(open));
    }

    /// Sets every unfinished state of an account to zero, before those that have rewards are set.
    pub fn clear_states(&self, account: &str) {
        OPEN_STATES.iter().for_each(|state| self.in_state(account, state, 0));
        self.oldest_unresolved(account, 0);
    }

    /// Age in seconds of the oldest unproven outcome.
    pub fn oldest_unresolved(&self, account: &str, age: i64) {
        self.whole.oldest_unresolved.with_label_values(&[account]).set(seconds(age));
    }

    /// The budgets of the programs that are shown, all of them: what was shown before and is not among them goes.
    pub fn budgets(&self, now: &[Budget]) {
        now.iter().for_each(|budget| self.rewards.expect_program(&budget.program));
        self.whole.budget_used.show(now.iter().map(|budget| (budget.labels(), budget.used)));
        self.whole.budget_reserved.show(now.iter().map(|budget| (budget.labels(), budget.reserved)));
        self.whole.budget_limit.show(now.iter().filter_map(|budget| Some((budget.labels(), budget.limit?))));
    }

    /// The gauges of the whole service are as of this second.
    pub fn snapshot(&self, at: i64) {
        self.whole.snapshot.set(seconds(at));
    }
}
