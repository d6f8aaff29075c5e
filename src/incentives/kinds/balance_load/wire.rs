//! The members of a load's requests and answers.
//!
//! Amazon publishes the names of the three operations, and little of their members where it could be read (`PROTOCOL.md` 3.7). So all of
//! them stand here, each with what it rests on. Where the specification that comes with a contract says otherwise, this file is what to
//! change, with the sandbox's own (`sandbox/kinds/balance_load.rs`); the id's member is named once more in
//! `provider/incentives/wire.rs`, and a test holds the two together.
//!
//! - *documented*: read in a page of Amazon's.
//! - *reported*: seen in one client's fragment of a validation (`account{id, type}`, `partnerId`, `amount{currencyCode, value}`,
//!   `timestamp`, `transactionSource`).
//! - *assumed*: by the pattern of Amazon's other operations. A wrong guess is refused or not understood: nothing is proven by it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::account::NamedAccount;
use crate::{
    kernel::Money,
    provider::incentives::{Field, object, text},
};

/// `account.type` of a barcode. *Reported.*
pub(super) const TYPE_BARCODE: u8 = 1;
/// Of a phone number. *Assumed.*
pub(super) const TYPE_PHONE: u8 = 2;
/// Of the id that Login with Amazon returns. *Assumed.*
pub(super) const TYPE_ACCOUNT_ID: u8 = 3;

/// `loadStatus` of a load that stands, and of one that was voided. *Assumed.*
const LOADED: &str = "Loaded";
const VOIDED: &str = "Voided";

/// A validation, a load or a void. The order of the members is the order of the bytes, and a replay sends the same bytes.
///
/// That a void names the account and the amount of its load is *documented*; that it has the load's own members for that is *assumed*.
#[derive(Serialize)]
pub(super) struct LoadRequest<'a> {
    /// *Assumed*, after `activationRequestId`. That a void names the id of its load is *documented*. A validation has none: *reported*.
    #[serde(rename = "loadBalanceRequestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// *Documented.*
    #[serde(rename = "partnerId")]
    partner_id: &'a str,
    /// *Reported.*
    account: RequestAccount<'a>,
    /// *Reported.*
    amount: RequestAmount,
    /// Seconds since 1970. *Reported.* The instant at which the reward was made, so that it is the same in each replay.
    timestamp: i64,
}

/// Both members are *reported*: a text, and a number.
#[derive(Serialize)]
struct RequestAccount<'a> {
    id: &'a str,
    r#type: u8,
}

#[derive(Serialize)]
struct RequestAmount {
    /// *Reported.*
    #[serde(rename = "currencyCode")]
    currency_code: &'static str,
    /// A whole number of minor units: the fragment has 4000 with USD, which is above the largest load of any market as dollars, and
    /// Amazon's page types the member `Long`. *Assumed*, therefore. An account should load its smallest amount first.
    value: i64,
}

#[derive(Deserialize)]
struct LoadSuccess<'a> {
    /// *Assumed*: Amazon's other operations repeat the id.
    #[serde(borrow, rename = "loadBalanceRequestId")]
    request_id: Field<'a>,
    /// *Assumed*: the request's.
    #[serde(borrow)]
    account: Field<'a>,
    /// *Assumed*: the request's.
    #[serde(borrow)]
    amount: Field<'a>,
    /// *Assumed.* Where it is absent, nothing is said of whether the load still stands.
    #[serde(borrow, rename = "loadStatus")]
    load_status: Field<'a>,
}

#[derive(Deserialize)]
struct ShownAccount<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    r#type: Field<'a>,
}

#[derive(Deserialize)]
struct ShownAmount<'a> {
    #[serde(borrow, rename = "currencyCode")]
    currency_code: Field<'a>,
    #[serde(borrow)]
    value: Field<'a>,
}

/// What a success shows of this load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadSight {
    /// All as asked, and it stands.
    Loaded,
    /// All as asked, and it was voided.
    Voided,
    /// All as asked; whether it still stands is not said.
    Unsaid,
    /// All as asked, in a state that we do not know.
    Odd,
    /// Another load than was asked for.
    Mismatch,
}

/// What is asked for, and what a success must be about.
pub(super) struct AskedLoad<'a> {
    pub(super) request_id: &'a str,
    pub(super) partner_id: &'a str,
    pub(super) account: NamedAccount<'a>,
    pub(super) value: Money,
    pub(super) made_at: DateTime<Utc>,
}

impl<'a> LoadRequest<'a> {
    /// A load or its void.
    pub(super) fn of(asked: &AskedLoad<'a>) -> Self {
        Self {
            request_id: Some(asked.request_id),
            partner_id: asked.partner_id,
            account: RequestAccount { id: asked.account.name, r#type: asked.account.way.number },
            amount: RequestAmount { currency_code: asked.value.currency().code(), value: asked.value.minor() },
            timestamp: asked.made_at.timestamp(),
        }
    }

    /// A validation.
    pub(super) fn of_validation(asked: &AskedLoad<'a>) -> Self {
        Self { request_id: None, ..Self::of(asked) }
    }
}

impl AskedLoad<'_> {
    /// What the success of a load or a void shows; `None` when it does not say enough. It must name our id, our account and our amount:
    /// an answer that leaves one of them out could be about anything.
    pub(super) fn read(&self, success: &RawValue) -> Option<LoadSight> {
        let success: LoadSuccess<'_> = object(success)?;
        let ours = text(success.request_id)? == self.request_id;
        let (account, amount) = (self.names(success.account?)?, self.is_worth(success.amount?)?);
        if !(ours && account && amount) {
            return Some(LoadSight::Mismatch);
        }
        let Some(status) = success.load_status else { return Some(LoadSight::Unsaid) };
        match &*text(Some(status))? {
            LOADED => Some(LoadSight::Loaded),
            VOIDED => Some(LoadSight::Voided),
            _ => Some(LoadSight::Odd),
        }
    }

    /// Whether the success of a validation is about this load, as far as it says; `None` when it is about another.
    pub(super) fn is_valid(&self, success: &RawValue) -> Option<()> {
        let success: LoadSuccess<'_> = object(success)?;
        let account = success.account.is_none_or(|account| self.names(account) == Some(true));
        let amount = success.amount.is_none_or(|amount| self.is_worth(amount) == Some(true));
        (account && amount).then_some(())
    }

    fn names(&self, account: &RawValue) -> Option<bool> {
        let account: ShownAccount<'_> = object(account)?;
        // A number in the request, and a text in an answer, are the same type.
        let number = self.account.way.number.to_string();
        let same_type = account.r#type.is_none_or(|shown| shown.get().trim_matches('"') == number);
        Some(text(account.id)? == self.account.name && same_type)
    }

    fn is_worth(&self, amount: &RawValue) -> Option<bool> {
        let amount: ShownAmount<'_> = object(amount)?;
        let same_currency = text(amount.currency_code)? == self.value.currency().code();
        let number = amount.value?.get();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let minor: i64 = whole.parse().ok()?;
        let is_whole = fraction.bytes().all(|digit| digit == b'0');
        fraction.bytes().all(|digit| digit.is_ascii_digit()).then_some(())?;
        Some(same_currency && is_whole && minor == self.value.minor())
    }
}
