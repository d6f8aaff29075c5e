//! Metrics of the ledger, and of programs and their budgets.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus::{GaugeVec, IntCounterVec};

use super::moved::Moved;
use crate::{
    kernel::Money,
    telemetry::metrics::{DynamicGauge, Registry},
};

const BUDGET: [&str; 3] = ["program", "currency", "window"];
const MOVED: [&str; 3] = ["account", "currency", "window"];
/// The program of a reward that has none.
pub(crate) const NO_PROGRAM: &str = "none";
/// The programs beyond the bound, together. A program's id begins with `prg_`, so neither word is one.
const OTHER_PROGRAMS: &str = "other";
/// Programs that have series of their own: operators make programs, at most 1,000 are shown, and each has a dozen series.
pub(super) const PROGRAMS_MAX: usize = 200;

/// A whole program's budget in one window.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) program: String,
    /// `day`, `month` or `total`.
    pub(super) window: &'static str,
    /// The hard limit, where one is set.
    pub(super) limit: Option<Money>,
    pub(super) used: Money,
    /// Held for purchases on their way.
    pub(super) reserved: Money,
}

impl Budget {
    fn labels(&self) -> [String; 3] {
        [self.program.clone(), self.used.currency().code().to_owned(), self.window.to_owned()]
    }
}

/// What was moved, as far as the database was asked: until then a zero would be a guess.
struct MovedGauges {
    issued: GaugeVec,
    canceled: GaugeVec,
    net: GaugeVec,
    released: GaugeVec,
}

impl MovedGauges {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            issued: registry.gauge_vec(
                "ledger_issued",
                "Value of the rewards that were issued, by the ledger, in major units: in the last hour, and in the day, the \
                 month and the last month of the account's time zone.",
                &MOVED,
            )?,
            canceled: registry.gauge_vec(
                "ledger_canceled",
                "Value of the rewards that were canceled in these windows, in major units, whenever they were issued.",
                &MOVED,
            )?,
            net: registry.gauge_vec("ledger_net", "What was issued less what was canceled, in major units.", &MOVED)?,
            released: registry.gauge_vec(
                "ledger_released",
                "Value that was reserved and bought nothing, in the last hour, in major units.",
                &MOVED,
            )?,
        })
    }
}

/// What the ledger holds is set from the database; refusals are counted in this process.
pub struct Metrics {
    moved: MovedGauges,
    limit: DynamicGauge<3>,
    used: DynamicGauge<3>,
    reserved: DynamicGauge<3>,
    refusals: IntCounterVec,
    held: GaugeVec,
    /// The programs that have series of their own.
    programs: Mutex<BTreeSet<String>>,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            moved: MovedGauges::new(registry)?,
            limit: DynamicGauge::new(registry.gauge_vec(
                "budget_limit",
                "Hard limit of a whole program's budget, in major units, where one is set.",
                &BUDGET,
            )?),
            used: DynamicGauge::new(registry.gauge_vec(
                "budget_used",
                "What a program has spent in the window, in major units.",
                &BUDGET,
            )?),
            reserved: DynamicGauge::new(registry.gauge_vec(
                "budget_reserved",
                "What a program holds for purchases on their way, in major units.",
                &BUDGET,
            )?),
            refusals: registry.counter_vec(
                "budget_refusals_total",
                "Rewards refused because a budget of the program, or of a key in it, is used up.",
                &["program"],
            )?,
            held: registry.gauge_vec(
                "feed_held_seconds",
                "Age of the first row that a feed does not show yet, because one with a smaller id can still be committed.",
                &["feed"],
            )?,
            programs: Mutex::default(),
        })
    }

    /// The label of a program. The first programs have their ids; later ones share a word, so that an operator who makes
    /// many programs does not make series without end.
    pub(crate) fn program_label<'p>(&self, program: Option<&'p str>) -> &'p str {
        let Some(program) = program else { return NO_PROGRAM };
        let mut known = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(program) || (known.len() < PROGRAMS_MAX && known.insert(program.to_owned())) {
            program
        } else {
            OTHER_PROGRAMS
        }
    }

    /// Takes off the page what was read from the database: it is too old.
    pub(super) fn retract(&self) {
        let MovedGauges { issued, canceled, net, released } = &self.moved;
        for gauges in [issued, canceled, net, released, &self.held] {
            gauges.reset();
        }
        for budgets in [&self.limit, &self.used, &self.reserved] {
            budgets.show(std::iter::empty());
        }
    }

    /// What was moved in an account's windows.
    pub(super) fn moved(&self, account: &str, windows: &[Moved]) {
        for Moved { window, issued, canceled, released } in windows {
            let labels = [account, issued.currency().code(), window.as_str()];
            let net = issued.minor().saturating_sub(canceled.minor());
            self.moved.issued.with_label_values(&labels).set(issued.to_gauge());
            self.moved.canceled.with_label_values(&labels).set(canceled.to_gauge());
            self.moved.net.with_label_values(&labels).set(Money::from_minor(net, issued.currency()).to_gauge());
            if let Some(released) = released {
                self.moved.released.with_label_values(&labels).set(released.to_gauge());
            }
        }
    }

    /// How long the next row of a feed has waited to be shown; no time when none waits.
    pub(super) fn feed_held(&self, feed: &str, waited: Duration) {
        self.held.with_label_values(&[feed]).set(waited.as_secs_f64());
    }

    /// A reward did not fit into a budget of its program.
    pub(crate) fn budget_refused(&self, program: &str) {
        self.refusals.with_label_values(&[self.program_label(Some(program))]).inc();
    }

    /// The budgets of the programs that are shown, all of them: the series of every other program are removed.
    pub(super) fn budgets(&self, now: &[Budget]) {
        for budget in now {
            // The counter begins before the first refusal: an alert on a series that begins at 1 sees nothing.
            drop(self.refusals.with_label_values(&[self.program_label(Some(&budget.program))]));
        }
        self.used.show(now.iter().map(|budget| (budget.labels(), budget.used.to_gauge())));
        self.reserved.show(now.iter().map(|budget| (budget.labels(), budget.reserved.to_gauge())));
        self.limit.show(now.iter().filter_map(|budget| Some((budget.labels(), budget.limit?.to_gauge()))));
    }
}
