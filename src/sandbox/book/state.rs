//! The book as a whole: taken out of one sandbox, and put into another.

use std::collections::HashMap;

use super::{Book, BookError, Card, Shelf, Storage};
use crate::sandbox::clock::{Clock, MOVED_SECONDS_MAX};
use crate::sandbox::file::BookEntry;

impl Book {
    /// Everything as a book file has it, but for the partners: every card, what each partner has left, and the clock.
    pub(in crate::sandbox) fn state(&self, clock: &Clock) -> Vec<BookEntry> {
        let shelf = self.lock();
        let cards = shelf.cards.iter().map(|card| {
            let funds = shelf.funds_of(&card.partner_id, &card.currency).unwrap_or_default();
            BookEntry::Card { card: card.clone(), funds }
        });
        let funds = shelf.funds.iter().flat_map(|(partner_id, funds)| {
            funds.iter().map(|(currency, amount)| BookEntry::Funds {
                partner_id: partner_id.clone(),
                currency: Some(currency.clone()),
                amount: *amount,
            })
        });
        let clock = BookEntry::Clock { offset_seconds: clock.offset_seconds() };
        cards.chain(funds).chain([clock]).collect()
    }

    /// Puts a state in the place of the book. If one entry makes no sense, nothing changes. Gives the cards.
    pub(in crate::sandbox) fn load(&self, clock: &Clock, entries: Vec<BookEntry>) -> Result<Vec<Card>, BookError> {
        let mut shelf = self.lock();
        let mut loaded = Shelf {
            cards: Vec::new(),
            places: HashMap::new(),
            activations: HashMap::new(),
            funds: shelf.funds.clone(),
            storage: Storage::Memory,
        };
        let mut offset = clock.offset_seconds();
        for entry in entries.iter().cloned() {
            match entry {
                BookEntry::Clock { offset_seconds } => offset = offset_seconds,
                BookEntry::Card { card, funds } => {
                    loaded.funds_of(&card.partner_id, &card.currency)?;
                    loaded.set(&card.partner_id, &card.currency, funds);
                    loaded.put(card);
                }
                BookEntry::Funds { partner_id, currency: Some(currency), amount } => {
                    loaded.funds_of(&partner_id, &currency)?;
                    loaded.set(&partner_id, &currency, amount);
                }
                BookEntry::Funds { currency: None, .. } | BookEntry::Partner { .. } | BookEntry::Reset => {
                    return Err(BookError::NotOfState);
                }
            }
        }
        if !(-MOVED_SECONDS_MAX..=MOVED_SECONDS_MAX).contains(&offset) {
            return Err(BookError::ClockOutOfRange);
        }
        let whole: Vec<BookEntry> = std::iter::once(BookEntry::Reset).chain(entries).collect();
        shelf.write_all(&whole)?;
        shelf.cards = loaded.cards;
        shelf.places = loaded.places;
        shelf.activations = loaded.activations;
        shelf.funds = loaded.funds;
        clock.set_offset_seconds(offset);
        Ok(shelf.cards.clone())
    }
}
