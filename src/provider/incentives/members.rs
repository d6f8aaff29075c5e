//! What a create says besides its id, its partner and its value (`PROTOCOL.md` 3.2): written once, kept as the bytes that it was
//! written as, and put into each attempt as it is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{Field, Unwritable, object, text};

/// A till, as it names itself. What it leaves out is not sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionSource<'a> {
    /// The till.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source_id: &'a str,
    /// Whose it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub institution_id: &'a str,
    /// What else there is to say.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source_details: &'a str,
}

/// The members of a new create. Their order is that of the bytes.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMembers<'a> {
    /// The program of a reseller that Amazon has approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_id: Option<&'a str>,
    /// The product of a voucher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_type: Option<&'a str>,
    /// A text that Amazon's portal shows with the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<&'a str>,
    /// The till that prints the code, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_source: Option<&'a RawValue>,
}

/// The members of a create, as JSON; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMembers(String);

/// Those that a caller names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedMembers<'a> {
    #[serde(borrow)]
    product_type: Field<'a>,
    #[serde(borrow)]
    transaction_source: Field<'a>,
}

impl CreateMembers {
    /// These members; `None` where there is none of them.
    ///
    /// # Errors
    /// [`Unwritable`] when they have no JSON form.
    pub fn write(members: &NewMembers<'_>) -> Result<Option<Self>, Unwritable> {
        let json = serde_json::to_string(members).map_err(|_error| Unwritable)?;
        Ok((json != "{}").then_some(Self(json)))
    }

    /// Read back from its row; `None` for what [`Self::write`] does not write.
    #[must_use]
    pub fn from_stored(json: String) -> Option<Self> {
        let is_object = serde_json::from_str::<&RawValue>(&json).is_ok_and(|raw| raw.get() == json);
        (is_object && json.starts_with("{\"")).then_some(Self(json))
    }

    /// As its row keeps them.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The product of a voucher.
    #[must_use]
    pub fn product_type(&self) -> Option<String> {
        text(self.named()?.product_type).map(std::borrow::Cow::into_owned)
    }

    /// The till, as JSON.
    #[must_use]
    pub fn transaction_source(&self) -> Option<&str> {
        self.named()?.transaction_source.map(RawValue::get)
    }

    fn named(&self) -> Option<NamedMembers<'_>> {
        serde_json::from_str::<&RawValue>(&self.0).ok().and_then(object)
    }

    /// Puts them behind the other members of a request's object.
    pub(super) fn add_to(&self, body: &mut Vec<u8>) {
        if body.pop() == Some(b'}') {
            body.push(b',');
            body.extend(self.0.bytes().skip(1));
        }
    }
}
