//! The Amazon accounts that exist here: whose balances are loaded, and who signs in with Login with Amazon.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// The accounts that there are from the start. Of the last one the barcode is not valid any more.
const AT_THE_START: RangeInclusive<u128> = 0..=10;
const NOT_ACTIVE: u128 = 10;
/// The barcode of the first.
const FIRST_BARCODE: u128 = 851_000_000_000_000_000_000_000_000_000;
const BARCODE_DIGITS: usize = 30;
/// Numbers of this range belong to nobody.
const FIRST_PHONE: u128 = 12_065_550_100;
/// What the id of an account begins with.
const USER_ID: &str = "amzn1.account.";

/// An Amazon account. Its balance is what the book says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shopper {
    /// The id that Login with Amazon returns.
    pub user_id: String,
    /// 30 digits.
    #[serde(default)]
    pub barcode: Option<String>,
    /// As E.164 has it: `+` and digits.
    #[serde(default)]
    pub phone: Option<String>,
    /// Whether it can be loaded.
    #[serde(default = "active")]
    pub active: bool,
}

const fn active() -> bool {
    true
}

/// What names an account.
#[derive(Clone, Copy)]
pub(super) enum ShopperName<'a> {
    Barcode(&'a str),
    Phone(&'a str),
    UserId(&'a str),
}

impl Shopper {
    fn of(number: u128) -> Self {
        Self {
            user_id: format!("{USER_ID}AGSANDBOX{number:015}"),
            barcode: Some(FIRST_BARCODE.saturating_add(number).to_string()),
            phone: Some(format!("+{}", FIRST_PHONE.saturating_add(number))),
            active: number != NOT_ACTIVE,
        }
    }

    fn is(&self, named: ShopperName<'_>) -> bool {
        match named {
            ShopperName::Barcode(barcode) => self.barcode.as_deref() == Some(barcode),
            ShopperName::Phone(phone) => self.phone.as_deref() == Some(phone),
            ShopperName::UserId(user_id) => self.user_id == user_id,
        }
    }

    fn names(&self) -> impl Iterator<Item = ShopperName<'_>> {
        let barcode = self.barcode.as_deref().map(ShopperName::Barcode);
        let phone = self.phone.as_deref().map(ShopperName::Phone);
        [barcode, phone, Some(ShopperName::UserId(&self.user_id))].into_iter().flatten()
    }

    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<String> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Self { user_id, barcode, phone, .. } = self;
        if user_id.strip_prefix(USER_ID).is_none_or(str::is_empty) {
            return Some(format!("user_id must begin with {USER_ID}: {user_id:?}"));
        }
        if barcode.as_deref().is_some_and(|barcode| barcode.len() != BARCODE_DIGITS || !digits(barcode)) {
            return Some(format!("barcode must have {BARCODE_DIGITS} digits: {barcode:?}"));
        }
        if phone.as_deref().is_some_and(|phone| !phone.strip_prefix('+').is_some_and(digits)) {
            return Some(format!("phone must be + and digits: {phone:?}"));
        }
        None
    }
}

/// Every account.
pub(super) struct Shoppers {
    known: Mutex<Vec<Shopper>>,
}

impl Default for Shoppers {
    fn default() -> Self {
        Self { known: Mutex::new(AT_THE_START.map(Shopper::of).collect()) }
    }
}

impl Shoppers {
    pub(super) fn all(&self) -> Vec<Shopper> {
        self.known().clone()
    }

    /// Adds accounts; none, with the reason, where one of them cannot be one or has a name that another has.
    pub(super) fn plant(&self, shoppers: Vec<Shopper>) -> Result<(), String> {
        let mut known = self.known();
        let mut all = known.clone();
        for shopper in shoppers {
            if let Some(problem) = shopper.problem() {
                return Err(problem);
            }
            if shopper.names().any(|name| all.iter().any(|other| other.is(name))) {
                return Err(format!("there is an account of that user_id, barcode or phone already: {shopper:?}"));
            }
            all.push(shopper);
        }
        *known = all;
        Ok(())
    }

    pub(super) fn find(&self, named: ShopperName<'_>) -> Option<Shopper> {
        self.known().iter().find(|shopper| shopper.is(named)).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Shopper>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
