//! The JSON bodies: what is sent, byte for byte, and what is read (`PROTOCOL.md`).
//!
//! Reading borrows from the answer's buffer, so that a claim code is copied once, into its own type. Every field is
//! optional and is kept as raw text until it is asked for: one odd field cannot hide the others.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::activity::{self, ActivityPage};
use super::members::CreateMembers;
use crate::kernel::{CardId, ClaimCode, CreationRequestId, Currency, Money, UnknownReason};

/// Bytes of the longest answer that is read, where the operation says no other; most of Amazon's have a few hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the longest request that we write; each has a few hundred.
const REQUEST_BYTES: usize = 1024;

/// An operation of the Incentives API, and how it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    name: &'static str,
    answer_bytes_max: usize,
    timeout: Option<Duration>,
}

impl Operation {
    pub(super) const CREATE_GIFT_CARD: Self = Self::named("CreateGiftCard");
    pub(super) const CANCEL_GIFT_CARD: Self = Self::named("CancelGiftCard");
    pub(super) const GET_AVAILABLE_FUNDS: Self = Self::named("GetAvailableFunds");
    /// A page of 1,000 records has half a million bytes, and nobody waits for it.
    pub(super) const GET_GIFT_CARD_ACTIVITY_PAGE: Self = Self {
        answer_bytes_max: 2 * 1024 * 1024,
        timeout: Some(Duration::from_secs(30)),
        ..Self::named("GetGiftCardActivityPage")
    };

    /// The operation of this name. Its answers are short, and come within the account's usual time.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self { name, answer_bytes_max: ANSWER_BYTES_MAX, timeout: None }
    }

    /// Its name, as metrics, timelines and problems have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The path of its URL, which is also the canonical URI of its signature.
    pub(super) fn path(self) -> String {
        format!("/{}", self.name)
    }

    /// Bytes of the longest answer that is read.
    pub(super) const fn answer_bytes_max(self) -> usize {
        self.answer_bytes_max
    }

    /// How long a call may take where it is not the account's usual time.
    pub(super) const fn timeout(self) -> Option<Duration> {
        self.timeout
    }

    /// The value of `x-amz-target`.
    pub(super) fn target(self) -> String {
        format!("com.amazonaws.agcod.AGCODService.{}", self.name)
    }
}

/// What GetAvailableFunds answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    /// The balance; negative when the account owes.
    pub amount: Money,
    /// Amazon's time of it, where it is written in a form that we know.
    pub as_of: Option<DateTime<Utc>>,
}

/// A request that has no JSON form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateRequest<'a> {
    creation_request_id: &'a str,
    partner_id: &'a str,
    value: RequestValue,
}

/// The value of a card in a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestValue {
    currency_code: &'static str,
    /// The number as text: a float would change it.
    amount: Box<RawValue>,
}

impl RequestValue {
    /// This value, as Amazon reads it.
    ///
    /// # Errors
    /// [`Unwritable`] when the amount has no JSON form.
    pub fn of(value: Money) -> Result<Self, Unwritable> {
        let amount = RawValue::from_string(value.to_string()).map_err(|_error| Unwritable)?;
        Ok(Self { currency_code: value.currency().code(), amount })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelRequest<'a> {
    creation_request_id: &'a str,
    partner_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FundsRequest<'a> {
    partner_id: &'a str,
}

/// The body of CreateGiftCard. The order of the fields is the order of the bytes, and a replay must send the same
/// bytes: do not reorder.
pub(super) fn create_body(
    partner_id: &str,
    id: &CreationRequestId,
    value: Money,
    members: Option<&CreateMembers>,
) -> Result<Vec<u8>, Unwritable> {
    let request = CreateRequest { creation_request_id: id.as_str(), partner_id, value: RequestValue::of(value)? };
    let mut body = body(&request)?;
    if let Some(members) = members {
        members.add_to(&mut body);
    }
    Ok(body)
}

/// The body of CancelGiftCard. `gcId` is optional and not sent: we do not keep it (`PROTOCOL.md`).
pub(super) fn cancel_body(partner_id: &str, id: &CreationRequestId) -> Result<Vec<u8>, Unwritable> {
    body(&CancelRequest { creation_request_id: id.as_str(), partner_id })
}

/// The body of GetAvailableFunds.
pub(super) fn funds_body(partner_id: &str) -> Result<Vec<u8>, Unwritable> {
    body(&FundsRequest { partner_id })
}

/// The bytes of a request. What a reward acts on may be in them: they are written where they stay.
pub(super) fn body(request: &impl Serialize) -> Result<Vec<u8>, Unwritable> {
    let mut body = Vec::with_capacity(REQUEST_BYTES);
    serde_json::to_writer(&mut body, request).map_err(|_error| Unwritable)?;
    Ok(body)
}

/// A field as it stands in the body; absent and `null` are the same.
pub type Field<'a> = Option<&'a RawValue>;

/// The fields of every operation's answer and of every refusal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(borrow)]
    pub(super) status: Field<'a>,
    #[serde(borrow)]
    creation_request_id: Field<'a>,
    #[serde(borrow)]
    activation_request_id: Field<'a>,
    #[serde(borrow)]
    status_check_request_id: Field<'a>,
    #[serde(borrow)]
    load_balance_request_id: Field<'a>,
    #[serde(borrow)]
    pub(super) gc_claim_code: Field<'a>,
    #[serde(borrow)]
    gc_id: Field<'a>,
    #[serde(borrow)]
    card_info: Field<'a>,
    #[serde(borrow)]
    available_funds: Field<'a>,
    #[serde(borrow)]
    timestamp: Field<'a>,
    #[serde(borrow)]
    card_activity_list: Field<'a>,
    #[serde(borrow, rename = "totalNumberOfTransactionsInRequestedTimeFrame")]
    activity_total: Field<'a>,
    #[serde(borrow)]
    agcod_response: Field<'a>,
    #[serde(borrow)]
    pub(super) error_code: Field<'a>,
    #[serde(borrow)]
    pub(super) error_type: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow, rename = "Message")]
    capital_message: Field<'a>,
    #[serde(borrow, rename = "__type")]
    pub(super) exception: Field<'a>,
}

/// `cardInfo`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CardInfo<'a> {
    /// Of a physical card.
    #[serde(borrow)]
    pub card_number: Field<'a>,
    /// How the card stands, in a word of Amazon's.
    #[serde(borrow)]
    pub card_status: Field<'a>,
    #[serde(borrow)]
    value: Field<'a>,
}

/// `value` and `availableFunds`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount<'a> {
    #[serde(borrow)]
    currency_code: Field<'a>,
    #[serde(borrow)]
    amount: Field<'a>,
}

/// How an amount in an answer compares with the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is that one.
    Same,
    /// It is another.
    Other,
    /// A part is missing or is not of its type.
    Unreadable,
}

impl<'a> Body<'a> {
    /// Reads a body. Serde's own error is dropped: it quotes what it read.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, UnknownReason> {
        serde_json::from_slice::<&RawValue>(bytes)
            .map_err(|_error| UnknownReason::NotJson)
            .and_then(|raw| object(raw).ok_or(UnknownReason::WrongShape))
    }

    /// The answer inside a refusal.
    pub(super) fn agcod_response(&self) -> Option<Self> {
        self.agcod_response.and_then(object)
    }

    /// The id that the answer names, whatever the operation calls it.
    pub(super) fn request_id(&self) -> Option<Cow<'a, str>> {
        let of_cards = self.creation_request_id.or(self.activation_request_id).or(self.status_check_request_id);
        text(of_cards.or(self.load_balance_request_id))
    }

    /// Whether this is a refusal, whatever its status says.
    pub(super) fn is_refusal(&self) -> bool {
        self.agcod_response.is_some() || self.error_code.is_some()
    }

    /// Amazon's message. It decides between causes and is never passed on.
    pub(super) fn message(&self) -> Option<Cow<'a, str>> {
        text(self.message).or_else(|| text(self.capital_message))
    }

    pub(super) fn card_info(&self) -> Option<CardInfo<'a>> {
        self.card_info.and_then(object)
    }

    /// The balance, when it is in the account's currency.
    pub(super) fn funds(&self, currency: Currency) -> Option<Funds> {
        let amount: Amount<'_> = self.available_funds.and_then(object)?;
        let as_of = text(self.timestamp).and_then(|text| timestamp(&text));
        amount.money(currency).map(|amount| Funds { amount, as_of })
    }

    /// A page of the activity report, when every record of it is in the account's currency.
    pub(super) fn activity(&self, currency: Currency) -> Option<ActivityPage> {
        activity::page(self.card_activity_list, self.activity_total, currency)
    }

    /// The claim code, when there is a usable one. Read from the buffer itself: unescaping would leave a copy behind,
    /// and a code has nothing to escape.
    pub(super) fn claim_code(&self) -> Option<ClaimCode> {
        let quoted = self.gc_claim_code?.get();
        ClaimCode::parse(quoted.strip_prefix('"')?.strip_suffix('"')?)
    }
}

impl Body<'_> {
    /// Amazon's id of the card, read from the buffer itself as a claim code is.
    pub(super) fn card_id(&self) -> Option<CardId> {
        let quoted = self.gc_id?.get();
        CardId::parse(quoted.strip_prefix('"')?.strip_suffix('"')?)
    }
}

impl<'a> CardInfo<'a> {
    /// What it is worth.
    #[must_use]
    pub fn value(&self) -> Option<Amount<'a>> {
        self.value.and_then(object)
    }
}

impl Amount<'_> {
    /// The amount, when it is one of this currency.
    pub(super) fn money(&self, currency: Currency) -> Option<Money> {
        text(self.currency_code).filter(|code| code == currency.code())?;
        Money::from_amazon_number(self.amount?.get(), currency).ok()
    }

    /// Compares by value, never by text (`PROTOCOL.md`).
    #[must_use]
    pub fn compare(&self, asked: Money) -> Comparison {
        let (Some(currency), Some(number)) = (text(self.currency_code), self.amount) else {
            return Comparison::Unreadable;
        };
        let number = number.get();
        if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Comparison::Unreadable;
        }
        // A number that is no amount of the currency (half a cent) is another amount, not an unreadable one.
        if currency == asked.currency().code() && Money::from_amazon_number(number, asked.currency()) == Ok(asked) {
            return Comparison::Same;
        }
        Comparison::Other
    }
}

/// The id that a body names, for the tests of those who write one.
#[cfg(test)]
pub fn named_request_id(body: &[u8]) -> Option<String> {
    Body::read(body).ok()?.request_id().map(Cow::into_owned)
}

/// A field's text; `None` when it is not a string.
#[must_use]
pub fn text(field: Field<'_>) -> Option<Cow<'_, str>> {
    let raw = field?.get();
    serde_json::from_str(raw).map(Cow::Borrowed).or_else(|_error| serde_json::from_str(raw).map(Cow::Owned)).ok()
}

/// A field's object. Serde would also take an array for a struct, by position; Amazon never means that.
#[must_use]
pub fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    if raw.get().starts_with('{') { serde_json::from_str(raw.get()).ok() } else { None }
}

/// Amazon documents one form and sends another (`PROTOCOL.md`).
fn timestamp(text: &str) -> Option<DateTime<Utc>> {
    ["%Y%m%dT%H%M%SZ", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::incentives::NewMembers;

    fn id() -> CreationRequestId {
        CreationRequestId::from_stored("AwssbMZXW6YTBOI".to_owned())
    }

    #[test]
    fn the_bytes_of_each_request_are_pinned_for_ever() {
        let create = create_body("Awssb", &id(), Money::from_minor(2500, Currency::Usd), None).unwrap();
        assert_eq!(
            String::from_utf8(create).unwrap(),
            r#"{"creationRequestId":"AwssbMZXW6YTBOI","partnerId":"Awssb","value":{"currencyCode":"USD","amount":25.00}}"#
        );
        let yen = create_body("Awssb", &id(), Money::from_minor(500, Currency::Jpy), None).unwrap();
        assert!(String::from_utf8(yen).unwrap().ends_with(r#""value":{"currencyCode":"JPY","amount":500}}"#));
        assert_eq!(
            String::from_utf8(cancel_body("Awssb", &id()).unwrap()).unwrap(),
            r#"{"creationRequestId":"AwssbMZXW6YTBOI","partnerId":"Awssb"}"#
        );
        assert_eq!(String::from_utf8(funds_body("Awssb").unwrap()).unwrap(), r#"{"partnerId":"Awssb"}"#);
    }

    #[test]
    fn the_further_members_of_a_create_are_sent_as_they_were_written() {
        let value = Money::from_minor(2500, Currency::Usd);
        let till = RawValue::from_string(r#"{"sourceId":"till-7"}"#.to_owned()).unwrap();
        let new = NewMembers {
            program_id: Some("PROG123"),
            product_type: Some("bookPV"),
            external_reference: Some("caf\u{e9} \"42\""),
            transaction_source: Some(&till),
        };
        let members = CreateMembers::write(&new).unwrap().unwrap();
        let stored = CreateMembers::from_stored(members.as_json().to_owned()).unwrap();
        assert_eq!((stored.product_type().as_deref(), stored.transaction_source()), (Some("bookPV"), Some(till.get())));
        let body = String::from_utf8(create_body("Awssb", &id(), value, Some(&stored)).unwrap()).unwrap();
        let plain = String::from_utf8(create_body("Awssb", &id(), value, None).unwrap()).unwrap();
        let more = r#","programId":"PROG123","productType":"bookPV","externalReference":"caf\u{e9} \"42\"","transactionSource":{"sourceId":"till-7"}}"#;
        assert_eq!(body, format!("{}{}", plain.strip_suffix('}').unwrap(), more.replace("\\u{e9}", "\u{e9}")));
        // Also what only a later version writes.
        let later = CreateMembers::from_stored(r#"{"later":[1, 2]}"#.to_owned()).unwrap();
        let body = String::from_utf8(create_body("Awssb", &id(), value, Some(&later)).unwrap()).unwrap();
        assert!(body.ends_with(r#""amount":25.00},"later":[1, 2]}"#), "{body}");
        assert!(CreateMembers::write(&NewMembers::default()).unwrap().is_none());
        for other in ["", "{}", "[]", "7", r#"{"a":1"#, r#" {"a":1}"#, r#"{"a":1} "#, r#"{"a":1},{"b":2}"#] {
            assert!(CreateMembers::from_stored(other.to_owned()).is_none(), "{other}");
        }
    }

    #[test]
    fn large_and_small_amounts_are_written_to_the_last_digit() {
        for (minor, number) in [(1, "0.01"), (999_999_999_999_999_999, "9999999999999999.99"), (10, "0.10")] {
            let body = create_body("Awssb", &id(), Money::from_minor(minor, Currency::Usd), None).unwrap();
            assert!(String::from_utf8(body).unwrap().ends_with(&format!("\"amount\":{number}}}}}")));
        }
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        assert_eq!(Body::read(br#"["SUCCESS"]"#).err(), Some(UnknownReason::WrongShape));
        assert!(Body::read(br#"{"cardInfo":["Fulfilled"]}"#).unwrap().card_info().is_none());
    }

    #[test]
    fn one_odd_field_does_not_hide_the_others() {
        let body =
            Body::read(br#"{"status":7,"cardInfo":"x","errorCode":"F200","new":{"a":[1]},"Message":"a\nb"}"#).unwrap();
        assert_eq!(text(body.status), None);
        assert!(body.card_info().is_none());
        assert_eq!(text(body.error_code).as_deref(), Some("F200"));
        assert_eq!(body.message().as_deref(), Some("a\nb"));
    }

    #[test]
    fn a_field_that_occurs_twice_is_not_read() {
        assert_eq!(Body::read(br#"{"status":"SUCCESS","status":"FAILURE"}"#).err(), Some(UnknownReason::WrongShape));
    }

    #[test]
    fn both_of_amazons_timestamps_are_read_and_others_are_tolerated() {
        let at = timestamp("20220610T085450Z").unwrap();
        assert_eq!(timestamp("2022-06-10 08:54:50"), Some(at));
        assert_eq!(at.timestamp(), 1_654_851_290);
        for other in ["", "yesterday", "Thu Jun 10 14:59:59 UTC 2032", "2022-06-10"] {
            assert_eq!(timestamp(other), None, "{other}");
        }
    }
}
