//! Whether everybody agrees about what was bought: the callers, the service's database and the gateway's book.

use std::collections::{BTreeMap, HashSet};

use crate::{
    database::Books,
    drive::{MINOR, Tally},
    failure::Failure,
    gateway::Sold,
};

/// What the callers heard, all loads of a pass together.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    issued: u64,
    /// Answers without a code, by status: the rewards may have been bought.
    others: BTreeMap<String, u64>,
    codes: Vec<u64>,
    refusal: Option<String>,
}

impl Heard {
    /// Adds what came of a load.
    pub(crate) fn add(&mut self, tally: &Tally) {
        for (status, count) in &tally.answers {
            if status == "201" {
                self.issued += count;
            } else {
                *self.others.entry(status.clone()).or_default() += count;
            }
        }
        self.codes.extend(&tally.codes);
        self.refusal = self.refusal.take().or_else(|| tally.refusal.clone());
    }

    /// How many.
    pub(crate) fn issued(&self) -> u64 {
        self.issued
    }

    /// What is wrong, if anything: each 201 has a code of its own, each code is a card's, and each card is a reward that the
    /// service has as issued, to the cent.
    pub(crate) fn agree(&self, books: &Books, sold: &Sold) -> Result<(), Failure> {
        let own: HashSet<u64> = self.codes.iter().copied().collect();
        let mut wrong = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        check(self.issued > 0, "nothing was bought".to_owned());
        let codes = self.codes.len();
        check(u64::try_from(codes) == Ok(self.issued), format!("{} answers 201, and {codes} codes", self.issued));
        check(own.len() == codes, format!("{codes} codes, and {} different ones", own.len()));
        check(own.is_subset(&sold.codes), "a caller has the code of no card".to_owned());
        check(
            books.issued == sold.cards && books.minor == sold.minor,
            format!(
                "the service has {} rewards of {} cents, the gateway {} cards of {}",
                books.issued, books.minor, sold.cards, sold.minor
            ),
        );
        check(sold.minor == sold.cards * MINOR, format!("{} cards are worth {} cents", sold.cards, sold.minor));
        let unsure: u64 = self.others.values().sum();
        let most = self.issued + unsure;
        check(
            (self.issued..=most).contains(&books.issued),
            format!("{} answers 201 and {:?} others, and {} rewards", self.issued, self.others, books.issued),
        );
        check(
            books.others <= unsure,
            format!("{} rewards are not issued, and {unsure} answers were other than 201", books.others),
        );
        if wrong.is_empty() { Ok(()) } else { Err(self.failure(&wrong)) }
    }

    fn failure(&self, wrong: &[String]) -> Failure {
        let refusal = self.refusal.as_deref().map(|text| format!("; the first refusal: {text}")).unwrap_or_default();
        Failure::new(format!("the books disagree: {}{refusal}", wrong.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(codes: &[u64]) -> Heard {
        Heard {
            issued: u64::try_from(codes.len()).unwrap(),
            others: BTreeMap::new(),
            codes: codes.to_vec(),
            refusal: None,
        }
    }

    fn books(issued: u64) -> Books {
        Books { issued, minor: issued * MINOR, others: 0 }
    }

    fn sold(codes: &[u64]) -> Sold {
        let cards = u64::try_from(codes.len()).unwrap();
        Sold { cards, minor: cards * MINOR, codes: codes.iter().copied().collect() }
    }

    #[test]
    fn books_that_agree_are_well() {
        heard(&[1, 2]).agree(&books(2), &sold(&[1, 2])).unwrap();
        // Of an answer that did not come the card may be there, or not.
        let unsure = |codes: &[u64]| Heard { others: BTreeMap::from([("connection".to_owned(), 1)]), ..heard(codes) };
        unsure(&[1, 2]).agree(&books(2), &sold(&[1, 2])).unwrap();
        unsure(&[1, 2]).agree(&books(3), &sold(&[1, 2, 3])).unwrap();
        unsure(&[1, 2]).agree(&Books { others: 1, ..books(2) }, &sold(&[1, 2])).unwrap();
    }

    #[test]
    fn whatever_is_amiss_is_said() {
        let wrong = |heard: &Heard, books: &Books, sold: &Sold| heard.agree(books, sold).unwrap_err().to_string();
        let two = sold(&[1, 2]);
        assert!(wrong(&heard(&[]), &books(0), &sold(&[])).contains("nothing was bought"));
        assert!(wrong(&heard(&[1, 1]), &books(2), &two).contains("1 different"));
        assert!(wrong(&heard(&[1, 3]), &books(2), &two).contains("no card"));
        assert!(wrong(&heard(&[1, 2]), &books(3), &two).contains("3 rewards"));
        assert!(wrong(&heard(&[1]), &books(2), &two).contains("1 answers 201"));
        assert!(wrong(&heard(&[1, 2]), &Books { minor: 199, ..books(2) }, &two).contains("199"));
        assert!(wrong(&heard(&[1, 2]), &Books { others: 1, ..books(2) }, &two).contains("not issued"));
        assert!(wrong(&Heard { issued: 2, ..heard(&[1]) }, &books(2), &two).contains("1 codes"));
        assert!(
            wrong(&heard(&[1, 2]), &Books { minor: 100, ..books(2) }, &Sold { minor: 100, ..two })
                .contains("worth 100")
        );
    }
}
