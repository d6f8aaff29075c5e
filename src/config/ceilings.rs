//! Ceilings of an account: what may be bought with it, whatever programs allow.

use super::{check::amount, source::Section};
use crate::kernel::{Currency, Money};

/// The settings of it that are amounts.
pub(super) const AMOUNTS: [&str; 3] = ["client_day_maximum", "account_day_maximum", "funds_floor"];
/// What lifts a ceiling, said outright.
const UNLIMITED: &str = "unlimited";
/// Of the largest reward: what one client may spend on a day, and all clients together.
const CLIENT_DAY_REWARDS_OF_MAXIMUM: i64 = 5;
const ACCOUNT_DAY_REWARDS_OF_MAXIMUM: i64 = 20;
/// Rewards of one client on a day.
const CLIENT_DAY_REWARDS: u32 = 2_000;

/// What may be bought with an account. `None`: as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// By one client on one of the account's days.
    pub client_day_maximum: Option<Money>,
    /// How many rewards by one client on a day.
    pub client_day_rewards: Option<u32>,
    /// By all clients on a day.
    pub account_day_maximum: Option<Money>,
    /// What is left of the funds, on whatever day.
    pub funds_floor: Option<Money>,
}

/// Reads an account's part of it. `largest` is its largest reward. Where nobody reports what funds are left, none can be kept.
pub(super) fn read(section: &mut Section<'_>, largest: Money, reports_funds: bool) -> Ceilings {
    let currency = largest.currency();
    let of_largest = |times: i64| Money::from_minor(largest.minor().saturating_mul(times), currency);
    let client_day = section.text("client_day_maximum", |text| ceiling(text, currency));
    let account_day = section.text("account_day_maximum", |text| ceiling(text, currency));
    let ceilings = Ceilings {
        client_day_maximum: client_day.unwrap_or_else(|| Some(of_largest(CLIENT_DAY_REWARDS_OF_MAXIMUM))),
        client_day_rewards: section.text("client_day_rewards", count).unwrap_or(Some(CLIENT_DAY_REWARDS)),
        account_day_maximum: account_day.unwrap_or_else(|| Some(of_largest(ACCOUNT_DAY_REWARDS_OF_MAXIMUM))),
        funds_floor: section.text("funds_floor", |text| amount(text, currency)),
    };
    for (key, most) in
        [("client_day_maximum", ceilings.client_day_maximum), ("account_day_maximum", ceilings.account_day_maximum)]
    {
        if most.is_some_and(|most| most.minor() < largest.minor()) {
            section.refuse(key, "is less than one reward: reward_maximum");
        }
    }
    if ceilings.funds_floor.is_some() && !reports_funds {
        section.refuse("funds_floor", "cannot be kept at Amazon's sandbox: it reports funds of 0, whatever is bought");
    }
    ceilings
}

fn ceiling(text: &str, currency: Currency) -> Result<Option<Money>, String> {
    if text == UNLIMITED {
        return Ok(None);
    }
    amount(text, currency).map(Some).map_err(|why| format!("{why}; or {UNLIMITED}"))
}

fn count(text: &str) -> Result<Option<u32>, String> {
    if text == UNLIMITED {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| format!("must be a number of rewards in quotes, like \"2000\", or {UNLIMITED}"))
}

/// A ceiling as the settings write it.
pub(super) fn written(ceiling: Option<impl ToString>) -> String {
    ceiling.map_or_else(|| UNLIMITED.to_owned(), |most| most.to_string())
}
