//! A reconciliation and what it found, as the rest of the program sees them.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    compare::{Class, TheirState},
    period::Period,
};
use crate::{
    engine::order,
    kernel::{Currency, Money, ReconciliationId, RewardId, word_methods},
};

/// Where Amazon's side came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// GetGiftCardActivityPage.
    Amazon,
    /// A file of the portal.
    Csv,
}

/// How far a reconciliation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Under way.
    Running,
    /// Done: what it found holds.
    Finished,
    /// Ended without a result; nothing of it holds.
    Failed,
}
word_methods!(Source, State);

/// What a reconciliation counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Ids on which both sides agree.
    pub matched: i64,
    /// Findings of that class.
    pub ours_only: i64,
    /// Findings of that class.
    pub theirs_only: i64,
    /// Findings of that class.
    pub amount_differs: i64,
    /// Findings of that class.
    pub state_differs: i64,
    /// Rewards whose outcome is open: no findings.
    pub unproven: i64,
    /// What the edge of the period kept from being compared.
    pub unchecked: i64,
    /// Rows that were made for cards that only Amazon knew.
    pub adopted: i64,
    /// The value of live cards as we hold it, in minor units.
    pub ours_minor: i64,
    /// The value of live cards as Amazon lists it, in minor units.
    pub theirs_minor: i64,
}

impl Tally {
    /// How many findings there are.
    #[must_use]
    pub const fn findings(&self) -> i64 {
        self.ours_only
            .saturating_add(self.theirs_only)
            .saturating_add(self.amount_differs)
            .saturating_add(self.state_differs)
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// Names it.
    pub id: ReconciliationId,
    /// Whose cards.
    pub account: String,
    /// Their currency.
    pub currency: Currency,
    /// Where Amazon's side came from.
    pub source: Source,
    /// Begun by the service itself.
    pub daily: bool,
    /// What is compared.
    pub period: Period,
    /// How far it has come.
    pub state: State,
    /// Why it failed: a word.
    pub failure: Option<String>,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Records of Amazon's that were read, replays and refusals included.
    pub records: i64,
    /// What it counted.
    pub tally: Tally,
}

impl Reconciliation {
    /// What Amazon lists beyond what we hold. Zero is the only good value.
    #[must_use]
    pub const fn difference(&self) -> Money {
        Money::from_minor(self.tally.theirs_minor.saturating_sub(self.tally.ours_minor), self.currency)
    }

    /// Whether both sides agree.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.state == State::Finished && self.tally.findings() == 0 && self.difference().minor() == 0
    }
}

/// A finding, or a reward whose outcome is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place in the run, from 1.
    pub seq: i64,
    /// What it is.
    pub class: Class,
    /// Amazon's id, as stored.
    pub request_id: String,
    /// Our reward of it; of a card that only Amazon knew, the row that was made.
    pub reward: Option<RewardId>,
    /// Where our reward stands.
    pub ours_state: Option<order::State>,
    /// What became of the card, as Amazon lists it.
    pub theirs_state: Option<TheirState>,
    /// Our amount in minor units.
    pub ours_minor: Option<i64>,
    /// Amazon's.
    pub theirs_minor: Option<i64>,
    /// When Amazon made the card, else when we sent the request.
    pub at: DateTime<Utc>,
}
