//! A run and its findings, as the rest of the program sees them.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    compare::{Class, TheirState},
    period::RunPeriod,
};
use crate::{
    engine::order,
    kernel::{Currency, Money, ReconciliationId, RewardId, word_methods},
};

/// Where Amazon's side came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// The operation GetGiftCardActivityPage.
    Amazon,
    /// A file of the portal.
    Csv,
}

/// How far a reconciliation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// Under way.
    Running,
    /// Done, and its result is valid.
    Finished,
    /// Ended without a result.
    Failed,
}
word_methods!(Source, RunState);

/// What a reconciliation counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Ids on which both sides agree.
    pub(crate) matched: i64,
    pub(crate) ours_only: i64,
    pub(crate) theirs_only: i64,
    pub(crate) amount_differs: i64,
    pub(crate) state_differs: i64,
    /// Rewards that are open: no findings.
    pub(crate) unproven: i64,
    /// Ids of which the edge of the period hides one side.
    pub(crate) unchecked: i64,
    /// Rows that the run made for cards that only Amazon knew.
    pub(crate) adopted: i64,
    /// The value of live cards as we hold it, in minor units.
    pub(crate) ours_minor: i64,
    /// The value of live cards as Amazon lists it, in minor units.
    pub(crate) theirs_minor: i64,
}

impl Tally {
    pub(crate) const fn findings(&self) -> i64 {
        self.ours_only
            .saturating_add(self.theirs_only)
            .saturating_add(self.amount_differs)
            .saturating_add(self.state_differs)
    }
}

/// A run: one account, some days, both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reconciliation {
    pub(crate) id: ReconciliationId,
    pub(crate) account: String,
    pub(crate) currency: Currency,
    pub(crate) source: Source,
    /// The service itself began it.
    pub(crate) daily: bool,
    pub(crate) period: RunPeriod,
    pub(crate) state: RunState,
    /// The word of its `RunError`.
    pub(crate) failure: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Amazon's records that were read, replays and refusals included.
    pub(crate) records: i64,
    pub(crate) tally: Tally,
}

impl Reconciliation {
    /// Amazon's value minus ours. Zero is the only good value.
    pub(crate) const fn difference(&self) -> Money {
        Money::from_minor(self.tally.theirs_minor.saturating_sub(self.tally.ours_minor), self.currency)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.state == RunState::Finished && self.tally.findings() == 0 && self.difference().minor() == 0
    }
}

/// A finding, or an open reward that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its place in the run, from 1.
    pub(crate) seq: i64,
    pub(crate) class: Class,
    /// As `fetch::stored_id` gives it.
    pub(crate) request_id: String,
    /// Our reward; for a card that only Amazon knew, the row that the run made.
    pub(crate) reward: Option<RewardId>,
    pub(crate) ours_state: Option<order::State>,
    /// What became of the card, as Amazon lists it.
    pub(crate) theirs_state: Option<TheirState>,
    /// In minor units, as is `theirs_minor`.
    pub(crate) ours_minor: Option<i64>,
    pub(crate) theirs_minor: Option<i64>,
    /// When Amazon made the card, or, if Amazon does not list it, when we sent the request.
    pub(crate) at: DateTime<Utc>,
}
