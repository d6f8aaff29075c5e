//! The control: everything that a test or a person does to the sandbox from outside the API.
//!
//! The control port calls these same methods.

use std::io;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::book::{BookError, Card};
use super::clock::MOVED_SECONDS_MAX;
use super::fault::{FaultRule, ScriptedFault};
use super::money;
use super::record::Received;
use super::world::World;

/// Why the control did not do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No account has that partner id.
    #[error("there is no account of partner {0:?}")]
    UnknownPartner(String),
    /// Funds cannot be negative.
    #[error("funds must not be negative, not {0}")]
    NegativeFunds(Decimal),
    /// The clock would be moved too far.
    #[error("a clock may be at most {MOVED_SECONDS_MAX} seconds off")]
    ClockOutOfRange,
    /// The fault rule makes no sense.
    #[error("{0}")]
    Rule(String),
    /// The book file could not be written.
    #[error("the change could not be written to the book file")]
    Unwritten(#[source] io::Error),
    /// The sandbox has been stopped.
    #[error("the sandbox has been stopped")]
    Stopped,
}

impl From<BookError> for ControlError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Write(error) => Self::Unwritten(error),
            BookError::Closed => Self::Stopped,
            BookError::UnknownPartner(partner_id) => Self::UnknownPartner(partner_id),
            BookError::ClockOutOfRange => Self::ClockOutOfRange,
            BookError::Overflow => Self::Rule("the amount does not fit".to_owned()),
        }
    }
}

/// The two clocks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Clocks {
    /// The sandbox clock: what cards are dated by.
    pub now: DateTime<Utc>,
    /// How far it is ahead of real time.
    pub offset_seconds: i64,
    /// How far the clock that judges signatures is ahead of real time.
    pub signature_skew_seconds: i64,
}

/// What a partner has left.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PartnerFunds {
    /// Whose.
    pub partner_id: String,
    /// In the account's currency; decimal text in JSON.
    #[serde(with = "money::text")]
    pub amount: Decimal,
}

/// A handle on a running sandbox. Cheap to clone; outlives a stop, but can change nothing then.
#[derive(Clone)]
pub struct Control {
    pub(super) world: Arc<World>,
}

impl Control {
    /// Every card that exists, in the order of creation.
    #[must_use]
    pub fn book(&self) -> Vec<Card> {
        self.world.book.cards()
    }

    /// What the gateway received, oldest first; the last 100,000 requests.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.world.record.list()
    }

    /// Forgets what was received. Sequence numbers go on.
    pub fn clear_requests(&self) {
        self.world.record.clear();
    }

    /// Adds a fault rule behind those in force.
    pub fn script(&self, rule: FaultRule) -> Result<(), ControlError> {
        self.script_all(vec![rule])
    }

    /// Adds several fault rules, or none if one of them makes no sense.
    pub fn script_all(&self, rules: Vec<FaultRule>) -> Result<(), ControlError> {
        self.world.faults.script(rules).map_err(ControlError::Rule)
    }

    /// The fault rules in force and what they have done.
    #[must_use]
    pub fn faults(&self) -> Vec<ScriptedFault> {
        self.world.faults.list()
    }

    /// Drops every fault rule.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Both clocks.
    #[must_use]
    pub fn clock(&self) -> Clocks {
        let clock = &self.world.clock;
        Clocks {
            now: clock.now(),
            offset_seconds: clock.offset_seconds(),
            signature_skew_seconds: clock.signature_skew_seconds(),
        }
    }

    /// Moves the sandbox clock on, or back with a negative number. Signatures do not feel it.
    pub fn advance_clock(&self, seconds: i64) -> Result<(), ControlError> {
        Ok(self.world.book.move_clock(&self.world.clock, seconds)?)
    }

    /// Sets how far the clock that judges signatures is ahead of real time; 0 to set it right.
    pub fn set_signature_skew(&self, seconds: i64) -> Result<(), ControlError> {
        if !(-MOVED_SECONDS_MAX..=MOVED_SECONDS_MAX).contains(&seconds) {
            return Err(ControlError::ClockOutOfRange);
        }
        self.world.clock.set_signature_skew_seconds(seconds);
        Ok(())
    }

    /// Accepts an access key no more, as when its owner has made it inactive in the portal.
    pub fn revoke_key(&self, key_id: &str) {
        self.world.revoked_keys.write().unwrap_or_else(PoisonError::into_inner).insert(key_id.to_owned());
    }

    /// What a partner has left.
    pub fn funds(&self, partner_id: &str) -> Result<Decimal, ControlError> {
        Ok(self.world.book.funds(partner_id)?)
    }

    /// What every partner has left, by partner id.
    #[must_use]
    pub fn all_funds(&self) -> Vec<PartnerFunds> {
        let funds = self.world.book.all_funds();
        funds.into_iter().map(|(partner_id, amount)| PartnerFunds { partner_id, amount }).collect()
    }

    /// Sets what a partner has left.
    pub fn set_funds(&self, partner_id: &str, amount: Decimal) -> Result<(), ControlError> {
        if amount < Decimal::ZERO {
            return Err(ControlError::NegativeFunds(amount));
        }
        Ok(self.world.book.set_funds(partner_id, amount)?)
    }

    /// The activity report, oldest record first.
    #[must_use]
    pub fn activity(&self) -> Vec<Activity> {
        self.world.journal.records().clone()
    }

    /// Changes what the report lists: records that only Amazon has, others left out or told differently. Cards and funds
    /// stay as they are.
    pub fn edit_activity(&self, edit: impl FnOnce(&mut Vec<Activity>)) {
        edit(&mut self.world.journal.records());
    }

    /// Whether the partners may read the report.
    #[must_use]
    pub fn activity_enabled(&self) -> bool {
        self.world.journal.enabled()
    }

    /// Switches the report on or off, as Amazon does per partner.
    pub fn set_activity_enabled(&self, enabled: bool) {
        self.world.journal.set_enabled(enabled);
    }

    /// Whether `pageIndex` counts records instead of pages: clients of Amazon's contradict each other.
    pub fn page_activity_by_record(&self, by_record: bool) {
        self.world.journal.set_paged_by_record(by_record);
    }

    /// Whether the rate limit holds.
    #[must_use]
    pub fn throttle(&self) -> bool {
        self.world.throttle.enabled()
    }

    /// Switches the rate limit on or off.
    pub fn set_throttle(&self, enabled: bool) {
        self.world.throttle.set_enabled(enabled);
    }
}
