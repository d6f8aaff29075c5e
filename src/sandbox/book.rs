//! The book: every card that was ever created here, and each partner's funds.
//!
//! One lock covers look-up, card, funds and file. So each change is whole: the file has it before any reader sees it. A
//! create and a cancel are idempotent by (partner, creation request id), as at Amazon.

mod state;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::clock::{Clock, MOVED_SECONDS_MAX};
use super::file::{BookEntry, BookFile, BookFileError};
use super::members::CardMembers;
use super::money;
use super::partners::{PartnerAccount, PartnerEntry, Partners};

/// How long after its creation a card can be canceled.
pub(super) const CANCEL_WINDOW_SECONDS: i64 = 15 * 60;

/// Whether a card is worth anything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    /// Bought and paid.
    Live,
    /// Canceled; the money went back to the partner.
    Refunded,
}

/// What the card is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// A code that was made when it was bought.
    #[default]
    GiftCode,
    /// The activation of a card that was printed before.
    PhysicalCard,
    /// A load of the balance of an Amazon account.
    BalanceLoad,
}

impl Product {
    fn is_gift_code(&self) -> bool {
        *self == Self::GiftCode
    }
}

/// A card of the book.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The partner who bought it.
    pub partner_id: String,
    /// The request that created it.
    pub creation_request_id: String,
    /// Amazon's id of the card; of a physical card its number, of a load the account as it was named.
    pub gc_id: String,
    /// The code that a customer would type in. It is worth nothing.
    pub claim_code: String,
    /// The card's value. Decimal text in JSON.
    #[serde(with = "money::text")]
    pub amount: Decimal,
    /// The currency's ISO 4217 code.
    pub currency: String,
    /// Whether the card is live or refunded.
    pub state: CardState,
    /// When it was created, on the sandbox clock.
    pub created_at: DateTime<Utc>,
    /// When it was canceled, on the sandbox clock.
    pub canceled_at: Option<DateTime<Utc>>,
    /// What it is. Books of earlier sandboxes hold gift codes alone, and do not say so.
    #[serde(default, skip_serializing_if = "Product::is_gift_code")]
    pub product: Product,
    /// What its create said besides.
    #[serde(default, skip_serializing_if = "CardMembers::is_empty")]
    pub members: CardMembers,
}

/// The result of a create.
pub(super) enum Created {
    New(Card),
    Existing(Card),
    /// The physical card is active under another request id.
    Taken,
    InsufficientFunds,
}

/// Which card is to be canceled.
pub(super) struct CancelOrder<'a> {
    pub(super) partner_id: &'a str,
    pub(super) request_id: &'a str,
    pub(super) product: Product,
    /// The card's id, where the request names it.
    pub(super) gc_id: Option<&'a str>,
}

/// The result of a cancel.
pub(super) enum Canceled {
    Now(Card),
    Already(Card),
    Unknown,
    WrongGcId,
    TooLate,
}

/// Why the book could not make a change.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    #[error("the change could not be written to the book file")]
    Write(#[from] io::Error),
    #[error("the sandbox has been stopped")]
    Closed,
    #[error("there is no account of partner {0:?}")]
    UnknownPartner(String),
    #[error("partner {partner_id} has no funds in {currency}")]
    UnknownCurrency { partner_id: String, currency: String },
    #[error("the amount does not fit")]
    Overflow,
    #[error("the clock would be moved too far")]
    ClockOutOfRange,
    #[error("a state has cards, funds with their currency, and the clock; nothing else")]
    NotOfState,
}

/// What each partner has left in each of its currencies.
pub(super) type Purses = BTreeMap<String, BTreeMap<String, Decimal>>;

enum Storage {
    Memory,
    File(BookFile),
    Closed,
}

/// Cards and funds behind one lock.
pub(super) struct Book {
    shelf: Mutex<Shelf>,
}

struct Shelf {
    /// In the order of creation.
    cards: Vec<Card>,
    /// The place of each card in `cards`, by partner and request id.
    places: HashMap<String, HashMap<String, usize>>,
    /// The place of the last activation of each physical card, by its number.
    activations: HashMap<String, usize>,
    /// By partner, then by currency.
    funds: Purses,
    storage: Storage,
}

impl Book {
    /// Opens the book of these partners. What the file says of partners, funds and the clock overrides what they say.
    /// Returns the clock's offset as well, which the file keeps.
    pub(super) fn open(partners: &Partners, path: Option<&Path>) -> Result<(Self, i64), BookFileError> {
        let mut shelf = Shelf {
            cards: Vec::new(),
            places: HashMap::new(),
            activations: HashMap::new(),
            funds: Purses::new(),
            storage: Storage::Memory,
        };
        partners.all().iter().for_each(|account| shelf.fund(account));
        let mut clock_offset_seconds = 0;
        if let Some(path) = path {
            let (file, entries) = BookFile::open(path)?;
            for entry in entries {
                match entry {
                    BookEntry::Reset => {
                        shelf.cards.clear();
                        shelf.places.clear();
                        shelf.activations.clear();
                    }
                    BookEntry::Clock { offset_seconds } => clock_offset_seconds = offset_seconds,
                    BookEntry::Partner { partner } => {
                        let wrong = |problem| BookFileError::Partner { problem };
                        let account = partner.account().map_err(wrong)?;
                        shelf.fund(&account);
                        partners.put(account).map_err(|error| wrong(error.to_string()))?;
                    }
                    BookEntry::Funds { partner_id, currency, amount } => {
                        let funds = shelf.funds_read(&partner_id)?;
                        match currency {
                            Some(currency) => drop(funds.insert(currency, amount)),
                            None => funds.values_mut().for_each(|left| *left = amount),
                        }
                    }
                    BookEntry::Card { card, funds } => {
                        shelf.funds_read(&card.partner_id)?.insert(card.currency.clone(), funds);
                        shelf.put(card);
                    }
                }
            }
            shelf.storage = Storage::File(file);
        }
        Ok((Self { shelf: Mutex::new(shelf) }, clock_offset_seconds))
    }

    /// Buys the card, unless the partner has a card of that request id. Then it returns the card that exists, also for
    /// another amount or currency, and charges nothing.
    pub(super) fn create(&self, wanted: Card) -> Result<Created, BookError> {
        let mut shelf = self.lock();
        if let Some(card) = shelf.find(&wanted.partner_id, &wanted.creation_request_id) {
            return Ok(Created::Existing(card.clone()));
        }
        if wanted.product == Product::PhysicalCard && shelf.active(&wanted.gc_id).is_some() {
            return Ok(Created::Taken);
        }
        let funds = shelf.funds_of(&wanted.partner_id, &wanted.currency)?;
        if funds < wanted.amount {
            return Ok(Created::InsufficientFunds);
        }
        let left = funds.checked_sub(wanted.amount).ok_or(BookError::Overflow)?;
        shelf.write_card(wanted.clone(), left)?;
        Ok(Created::New(wanted))
    }

    /// Cancels a card within [`CANCEL_WINDOW_SECONDS`] of its creation. A repeated cancel of a canceled card succeeds
    /// at any time and changes nothing.
    pub(super) fn cancel(&self, request: CancelOrder<'_>, now: DateTime<Utc>) -> Result<Canceled, BookError> {
        let CancelOrder { partner_id, request_id, product, gc_id } = request;
        let mut shelf = self.lock();
        let found = shelf.find(partner_id, request_id).filter(|card| card.product == product);
        let Some(card) = found.cloned() else { return Ok(Canceled::Unknown) };
        if gc_id.is_some_and(|gc_id| gc_id != card.gc_id) {
            return Ok(Canceled::WrongGcId);
        }
        match card.state {
            CardState::Refunded => return Ok(Canceled::Already(card)),
            CardState::Live => {}
        }
        if now.signed_duration_since(card.created_at) > TimeDelta::seconds(CANCEL_WINDOW_SECONDS) {
            return Ok(Canceled::TooLate);
        }
        let funds = shelf.funds_of(partner_id, &card.currency)?.checked_add(card.amount).ok_or(BookError::Overflow)?;
        let refunded = Card { state: CardState::Refunded, canceled_at: Some(now), ..card };
        shelf.write_card(refunded.clone(), funds)?;
        Ok(Canceled::Now(refunded))
    }

    /// The activation of the physical card of this number that holds now.
    pub(super) fn active(&self, number: &str) -> Option<Card> {
        self.lock().active(number).cloned()
    }

    /// What the partner bought under this request id.
    pub(super) fn named(&self, partner_id: &str, request_id: &str) -> Option<Card> {
        self.lock().find(partner_id, request_id).cloned()
    }

    /// Every card, in the order of creation.
    pub(super) fn cards(&self) -> Vec<Card> {
        self.lock().cards.clone()
    }

    pub(super) fn card_count(&self) -> usize {
        self.lock().cards.len()
    }

    /// The funds of each partner.
    pub(super) fn all_funds(&self) -> Purses {
        self.lock().funds.clone()
    }

    pub(super) fn funds(&self, partner_id: &str, currency: &str) -> Result<Decimal, BookError> {
        self.lock().funds_of(partner_id, currency)
    }

    pub(super) fn set_funds(&self, partner_id: &str, currency: &str, amount: Decimal) -> Result<(), BookError> {
        let mut shelf = self.lock();
        shelf.funds_of(partner_id, currency)?;
        // Where there is one currency only, the entry is the one that earlier versions read as well.
        let several = shelf.funds.get(partner_id).is_some_and(|funds| funds.len() > 1);
        let named = several.then(|| currency.to_owned());
        shelf.write(&BookEntry::Funds { partner_id: partner_id.to_owned(), currency: named, amount })?;
        shelf.set(partner_id, currency, amount);
        Ok(())
    }

    /// Keeps a partner that was added or changed. What it has left in a currency that it had stays.
    pub(super) fn keep_partner(&self, account: &PartnerAccount) -> Result<(), BookError> {
        let mut shelf = self.lock();
        shelf.write(&BookEntry::Partner { partner: PartnerEntry::of(account) })?;
        shelf.fund(account);
        Ok(())
    }

    /// Moves the sandbox clock, after the file has the move. The book's lock keeps two moves apart, so both count.
    pub(super) fn move_clock(&self, clock: &Clock, seconds: i64) -> Result<(), BookError> {
        let mut shelf = self.lock();
        let offset_seconds = clock
            .offset_seconds()
            .checked_add(seconds)
            .filter(|offset| (-MOVED_SECONDS_MAX..=MOVED_SECONDS_MAX).contains(offset))
            .ok_or(BookError::ClockOutOfRange)?;
        shelf.write(&BookEntry::Clock { offset_seconds })?;
        clock.set_offset_seconds(offset_seconds);
        Ok(())
    }

    /// Releases the file, so that another sandbox may open it. The book refuses every later change.
    pub(super) fn close(&self) {
        self.lock().storage = Storage::Closed;
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // A thread that panicked with the lock has written a whole change or none: see `write_card`.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn find(&self, partner_id: &str, request_id: &str) -> Option<&Card> {
        let place = self.places.get(partner_id)?.get(request_id)?;
        self.cards.get(*place)
    }

    fn active(&self, number: &str) -> Option<&Card> {
        let card = self.cards.get(*self.activations.get(number)?)?;
        Some(card).filter(|card| card.state == CardState::Live)
    }

    fn funds_of(&self, partner_id: &str, currency: &str) -> Result<Decimal, BookError> {
        let funds = self.funds.get(partner_id).ok_or_else(|| BookError::UnknownPartner(partner_id.to_owned()))?;
        let unknown =
            || BookError::UnknownCurrency { partner_id: partner_id.to_owned(), currency: currency.to_owned() };
        funds.get(currency).copied().ok_or_else(unknown)
    }

    /// The funds of a partner that an entry of the file names.
    fn funds_read(&mut self, partner_id: &str) -> Result<&mut BTreeMap<String, Decimal>, BookFileError> {
        let unknown = || BookFileError::UnknownPartner { partner_id: partner_id.to_owned() };
        self.funds.get_mut(partner_id).ok_or_else(unknown)
    }

    /// Gives a partner its opening funds in every currency in which it has none yet.
    fn fund(&mut self, account: &PartnerAccount) {
        let funds = self.funds.entry(account.partner_id.clone()).or_default();
        for currency in account.currencies() {
            funds.entry(currency.to_owned()).or_insert(account.funds);
        }
    }

    fn set(&mut self, partner_id: &str, currency: &str, amount: Decimal) {
        self.funds.entry(partner_id.to_owned()).or_default().insert(currency.to_owned(), amount);
    }

    fn put(&mut self, card: Card) {
        let places = self.places.entry(card.partner_id.clone()).or_default();
        match places.get(&card.creation_request_id).and_then(|place| self.cards.get_mut(*place)) {
            Some(known) => *known = card,
            None => {
                places.insert(card.creation_request_id.clone(), self.cards.len());
                if card.product == Product::PhysicalCard {
                    self.activations.insert(card.gc_id.clone(), self.cards.len());
                }
                self.cards.push(card);
            }
        }
    }

    /// Writes a card and the funds after it as one entry, and only then changes both in memory.
    fn write_card(&mut self, card: Card, funds: Decimal) -> Result<(), BookError> {
        self.write(&BookEntry::Card { card: card.clone(), funds })?;
        self.set(&card.partner_id, &card.currency, funds);
        self.put(card);
        Ok(())
    }

    fn write(&mut self, entry: &BookEntry) -> Result<(), BookError> {
        self.write_all(std::slice::from_ref(entry))
    }

    fn write_all(&mut self, entries: &[BookEntry]) -> Result<(), BookError> {
        match &mut self.storage {
            Storage::Memory => Ok(()),
            Storage::File(file) => Ok(file.append(entries)?),
            Storage::Closed => Err(BookError::Closed),
        }
    }
}

#[cfg(test)]
mod tests;
