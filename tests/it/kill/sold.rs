//! What is bought: a gift code, the activation of a card, the load of an account.

use noshi::sandbox::Operation;
use serde_json::{Value, json};

use crate::support::{App, Shape, order};

/// What is bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sold {
    #[default]
    Code,
    Card,
    Load,
}

impl Sold {
    pub(crate) const ALL: [Self; 3] = [Self::Code, Self::Card, Self::Load];

    /// The operation that buys it.
    pub(crate) const fn forward(self) -> &'static str {
        match self {
            Self::Code => "CreateGiftCard",
            Self::Card => "ActivateGiftCard",
            Self::Load => "LoadAmazonBalance",
        }
    }

    pub(crate) fn operation(self) -> Operation {
        Operation::named(self.forward()).unwrap()
    }

    /// What it acts on; each card is activated once.
    pub(crate) fn target(self, app: &App, number: usize) -> Option<String> {
        match self {
            Self::Code => None,
            Self::Card => {
                let cards = app.control.cards();
                let mut open = cards.iter().filter(|card| card.denomination.is_none());
                Some(open.nth(number).unwrap_or_else(|| panic!("there are not {number} cards")).card_number.clone())
            }
            Self::Load => {
                let able = app.control.shoppers().into_iter().filter(|shopper| shopper.active);
                let barcodes: Vec<String> = able.filter_map(|shopper| shopper.barcode).collect();
                Some(barcodes[number % barcodes.len()].clone())
            }
        }
    }

    /// The body of a request for it.
    pub(crate) fn order(self, target: Option<&str>, amount: &str) -> Value {
        let value = json!({"amount": amount, "currency_code": "USD"});
        match self {
            Self::Code => order(amount),
            Self::Card => json!({"kind": "card_activation", "value": value, "target": {"card_number": target}}),
            Self::Load => json!({"kind": "balance_load", "value": value, "target": {"barcode": target}}),
        }
    }
}

/// A service that sells all of them; the folder holds the key of what is sealed.
pub(crate) fn selling_all() -> (tempfile::TempDir, Shape) {
    let (folder, shape) = crate::loads::sealed();
    (folder, shape.with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"card_activation\", \"balance_load\"]"))
}
