//! The control: what a test or a person does to the sandbox outside Amazon's API. The control port calls these methods.

mod mws;
mod notices;
mod page;
mod partners;
mod pay;
mod port;
mod routes;

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::book::{BookError, Card};
use super::clock::MOVED_SECONDS_MAX;
use super::fault::{FaultRule, ScriptedFault};
use super::file::BookEntry;
use super::kinds::PhysicalCard;
use super::latency::Latency;
use super::login::{self, NewToken, PlantedToken};
use super::market;
use super::money;
use super::partners::AccountError;
use super::record::Received;
use super::shoppers::Shopper;
use super::world::World;

pub use self::partners::ShownPartner;
pub(super) use self::port::ControlPort;

/// Why the control refused a call. The sandbox is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No account has that partner id.
    #[error("there is no account of partner {0:?}")]
    UnknownPartner(String),
    /// The partner has no funds in that currency.
    #[error("partner {partner_id} has no funds in {currency}")]
    UnknownCurrency {
        /// The partner.
        partner_id: String,
        /// The currency.
        currency: String,
    },
    /// The partner has funds in several currencies, and the call names none.
    #[error("currency must be one of {0}: the partner has funds in each of them")]
    WhichCurrency(String),
    /// Yen have no fractions.
    #[error("{currency} has no unit as small as {amount} has")]
    TooFine {
        /// The currency.
        currency: String,
        /// The amount.
        amount: Decimal,
    },
    /// No partner has an access key of that id.
    #[error("there is no access key {0:?}")]
    UnknownKey(String),
    /// A key that signs cannot be deleted.
    #[error("the access key {0:?} is active: deactivate it first")]
    ActiveKey(String),
    /// The partner or the key is incomplete, or contradicts the others.
    #[error("{0}")]
    Partner(String),
    /// Funds cannot be negative.
    #[error("funds must not be negative, not {0}")]
    NegativeFunds(Decimal),
    /// The clock would be moved too far.
    #[error("a clock may be at most {MOVED_SECONDS_MAX} seconds off")]
    ClockOutOfRange,
    /// The latency or the state makes no sense.
    #[error("{0}")]
    Setting(String),
    /// The fault rule, the card, the account or the token makes no sense.
    #[error("{0}")]
    Rule(String),
    /// The book file could not be written.
    #[error("the change could not be written to the book file")]
    Unwritten(#[source] io::Error),
    /// The sandbox has been stopped.
    #[error("the sandbox has been stopped")]
    Stopped,
}

impl From<AccountError> for ControlError {
    fn from(error: AccountError) -> Self {
        Self::Partner(error.0)
    }
}

impl From<BookError> for ControlError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Write(error) => Self::Unwritten(error),
            BookError::Closed => Self::Stopped,
            BookError::UnknownPartner(partner_id) => Self::UnknownPartner(partner_id),
            BookError::UnknownCurrency { partner_id, currency } => Self::UnknownCurrency { partner_id, currency },
            BookError::ClockOutOfRange => Self::ClockOutOfRange,
            BookError::NotOfState => Self::Setting(BookError::NotOfState.to_string()),
            BookError::Overflow => Self::Rule("the amount does not fit".to_owned()),
        }
    }
}

/// Both clocks of the sandbox.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Clocks {
    /// The sandbox clock: what cards are dated by.
    pub now: DateTime<Utc>,
    /// How far the sandbox clock is ahead of real time.
    pub offset_seconds: i64,
    /// How far the clock that judges signatures is ahead of real time.
    pub signature_skew_seconds: i64,
}

/// A partner's funds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PartnerFunds {
    /// The partner's id.
    pub partner_id: String,
    /// The currency.
    pub currency: String,
    /// What is left. Decimal text in JSON.
    #[serde(with = "money::text")]
    pub amount: Decimal,
}

fn check_funds(currency: &str, amount: Decimal) -> Result<(), ControlError> {
    if amount < Decimal::ZERO {
        return Err(ControlError::NegativeFunds(amount));
    }
    if amount.normalize().scale() > market::fraction_digits(currency) {
        return Err(ControlError::TooFine { currency: currency.to_owned(), amount });
    }
    Ok(())
}

/// A handle on a running sandbox. Cheap to clone. After a stop it can read the sandbox and change nothing.
#[derive(Clone)]
pub struct Control {
    pub(super) world: Arc<World>,
}

impl Control {
    /// Every card, in the order of creation.
    #[must_use]
    pub fn book(&self) -> Vec<Card> {
        self.world.book.cards()
    }

    /// How many cards there are.
    pub(super) fn card_count(&self) -> usize {
        self.world.book.card_count()
    }

    /// The last so many requests, newest first, without their bodies.
    pub(super) fn last_requests(&self, most: usize) -> Vec<Received> {
        self.world.record.last(most)
    }

    /// The physical cards that exist.
    #[must_use]
    pub fn cards(&self) -> Vec<PhysicalCard> {
        self.world.deck.cards()
    }

    /// Adds physical cards. If one of them cannot be a card, adds none. They are forgotten when the sandbox stops; their
    /// activations are in the book.
    pub fn plant_cards(&self, cards: Vec<PhysicalCard>) -> Result<(), ControlError> {
        self.world.deck.plant(cards).map_err(ControlError::Rule)
    }

    /// The Amazon accounts that exist.
    #[must_use]
    pub fn shoppers(&self) -> Vec<Shopper> {
        self.world.shoppers.all()
    }

    /// Adds Amazon accounts. If one of them cannot be one, adds none. They are forgotten when the sandbox stops; their loads are in
    /// the book.
    pub fn plant_shoppers(&self, shoppers: Vec<Shopper>) -> Result<(), ControlError> {
        self.world.shoppers.plant(shoppers).map_err(ControlError::Rule)
    }

    /// The access tokens of Login with Amazon.
    #[must_use]
    pub fn tokens(&self) -> Vec<PlantedToken> {
        self.world.tokens.all()
    }

    /// Adds an access token, or replaces the one of that text. Tokens are forgotten when the sandbox stops.
    pub fn plant_token(&self, token: NewToken) -> Result<PlantedToken, ControlError> {
        let token = login::planted(&self.world, token);
        self.world.tokens.plant(token.clone()).map_err(ControlError::Rule)?;
        Ok(token)
    }

    /// The last 100,000 requests that the gateway received, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.world.record.list()
    }

    /// Forgets the requests. Sequence numbers go on.
    pub fn clear_requests(&self) {
        self.world.record.clear();
    }

    /// Adds a fault rule behind those in force.
    pub fn script(&self, rule: FaultRule) -> Result<(), ControlError> {
        self.script_all(vec![rule])
    }

    /// Adds several fault rules. If one of them is invalid, adds none.
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

    /// Moves the sandbox clock on, or back with a negative number. The clock of signatures stays.
    pub fn advance_clock(&self, seconds: i64) -> Result<(), ControlError> {
        Ok(self.world.book.move_clock(&self.world.clock, seconds)?)
    }

    /// Sets how far the clock that judges signatures is ahead of real time. With 0 it is right.
    pub fn set_signature_skew(&self, seconds: i64) -> Result<(), ControlError> {
        if !(-MOVED_SECONDS_MAX..=MOVED_SECONDS_MAX).contains(&seconds) {
            return Err(ControlError::ClockOutOfRange);
        }
        self.world.clock.set_signature_skew_seconds(seconds);
        Ok(())
    }

    /// The funds of a partner that has one currency.
    pub fn funds(&self, partner_id: &str) -> Result<Decimal, ControlError> {
        self.funds_in(partner_id, &self.only_currency(partner_id)?)
    }

    /// A partner's funds in a currency.
    pub fn funds_in(&self, partner_id: &str, currency: &str) -> Result<Decimal, ControlError> {
        Ok(self.world.book.funds(partner_id, currency)?)
    }

    /// Every partner's funds, by partner id and currency.
    #[must_use]
    pub fn all_funds(&self) -> Vec<PartnerFunds> {
        let funds = self.world.book.all_funds().into_iter().flat_map(|(partner_id, funds)| {
            funds.into_iter().map(move |(currency, amount)| PartnerFunds {
                partner_id: partner_id.clone(),
                currency,
                amount,
            })
        });
        funds.collect()
    }

    /// Sets the funds of a partner that has one currency.
    pub fn set_funds(&self, partner_id: &str, amount: Decimal) -> Result<(), ControlError> {
        self.set_funds_in(partner_id, &self.only_currency(partner_id)?, amount)
    }

    /// Sets a partner's funds in a currency.
    pub fn set_funds_in(&self, partner_id: &str, currency: &str, amount: Decimal) -> Result<(), ControlError> {
        check_funds(currency, amount)?;
        Ok(self.world.book.set_funds(partner_id, currency, amount)?)
    }

    fn only_currency(&self, partner_id: &str) -> Result<String, ControlError> {
        let unknown = || ControlError::UnknownPartner(partner_id.to_owned());
        let account = self.world.partners.named(partner_id).ok_or_else(unknown)?;
        match account.currencies().as_slice() {
            [currency] => Ok((*currency).to_owned()),
            several => Err(ControlError::WhichCurrency(several.join(", "))),
        }
    }

    /// The activity report, oldest record first.
    #[must_use]
    pub fn activity(&self) -> Vec<Activity> {
        self.world.journal.records().clone()
    }

    /// Changes the report: a test adds records that only Amazon has, removes others or falsifies them. Cards and funds
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

    /// Makes `pageIndex` count records instead of pages. Amazon's own clients contradict each other about it.
    pub fn page_activity_by_record(&self, by_record: bool) {
        self.world.journal.set_paged_by_record(by_record);
    }

    /// Everything as a book file has it, but for the partners.
    pub(super) fn state(&self) -> Vec<BookEntry> {
        self.world.book.state(&self.world.clock)
    }

    /// Puts a state in the place of cards, funds and clock. The report begins anew with its cards.
    pub(super) fn load_state(&self, state: Vec<BookEntry>) -> Result<(), ControlError> {
        for entry in &state {
            match entry {
                BookEntry::Card { card, funds } => {
                    check_funds(&card.currency, card.amount).and_then(|()| check_funds(&card.currency, *funds))?;
                }
                BookEntry::Funds { currency: Some(currency), amount, .. } => check_funds(currency, *amount)?,
                BookEntry::Funds { currency: None, .. }
                | BookEntry::Reset
                | BookEntry::Partner { .. }
                | BookEntry::Clock { .. } => {}
            }
        }
        let cards = self.world.book.load(&self.world.clock, state)?;
        self.world.journal.restart(&cards);
        Ok(())
    }

    /// How long answers take.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.world.pace.get()
    }

    /// Sets how long answers take.
    pub fn set_latency(&self, latency: Latency) -> Result<(), ControlError> {
        self.world.pace.set(latency).map_err(ControlError::Setting)
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
