//! Reads a request's body: JSON only, members in any order, amounts from their text.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::money;

/// Why a body could not be read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum BadBody {
    /// An empty body, or the literal `null`.
    Null,
    /// XML, which the real service speaks as well.
    Xml,
    /// Not JSON.
    NotJson,
    /// JSON of another shape. The text is that of Amazon's front end.
    Unexpected(String),
    /// An amount that is `null`, or a number that does not fit. `{"Message":null}` was recorded as the answer to
    /// `null`.
    MalformedValue,
}

/// An amount member. Amazon answers an explicit `null` and a missing member differently.
pub(super) enum AmountMember {
    Absent,
    Null,
    Number(Decimal),
}

/// The members of a JSON object.
#[derive(Debug)]
pub(super) struct Fields(HashMap<String, Box<RawValue>>);

impl Fields {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, BadBody> {
        let text = str::from_utf8(body).map_err(not_json)?.trim();
        if text.is_empty() || text == "null" {
            return Err(BadBody::Null);
        }
        if text.starts_with('<') {
            return Err(BadBody::Xml);
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        Self::of(whole)
    }

    fn of(value: &RawValue) -> Result<Self, BadBody> {
        if !value.get().starts_with('{') {
            return Err(unexpected(value));
        }
        serde_json::from_str(value.get()).map(Self).map_err(not_json)
    }

    /// A text member. The service treats an absent, a null and an empty one alike: `None`.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, BadBody> {
        let Some(value) = self.present(name) else { return Ok(None) };
        if !value.get().starts_with('"') {
            return Err(unexpected(value));
        }
        let text: String = serde_json::from_str(value.get()).map_err(not_json)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A boolean member. Absent and null are false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, BadBody> {
        match self.present(name).map(RawValue::get) {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => self.present(name).map_or(Ok(false), |value| Err(unexpected(value))),
        }
    }

    /// An object member. `None` if it is absent or null.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, BadBody> {
        self.present(name).map(Self::of).transpose()
    }

    /// An amount member.
    pub(super) fn amount(&self, name: &str) -> Result<AmountMember, BadBody> {
        let Some(value) = self.0.get(name) else { return Ok(AmountMember::Absent) };
        match value.get() {
            "null" => Ok(AmountMember::Null),
            number if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                money::from_json_number(number).map(AmountMember::Number).ok_or(BadBody::MalformedValue)
            }
            _ => Err(unexpected(value)),
        }
    }

    fn present(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(AsRef::as_ref).filter(|value| value.get() != "null")
    }
}

fn not_json<E>(_error: E) -> BadBody {
    BadBody::NotJson
}

fn unexpected(value: &RawValue) -> BadBody {
    let class = match value.get().chars().next() {
        Some('"') => "java.lang.String",
        Some('[') => "java.util.ArrayList",
        Some('{') => "java.util.LinkedHashMap",
        Some('t' | 'f') => "java.lang.Boolean",
        Some(_) | None => "java.lang.Double",
    };
    BadBody::Unexpected(format!("class {class} is not an expected Json type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_a_json_string_is_told_apart_from_one_that_is_no_json() {
        let twice_encoded = Fields::read(br#""{\"partnerId\":\"Awssb\"}""#).unwrap_err();
        assert_eq!(
            twice_encoded,
            BadBody::Unexpected("class java.lang.String is not an expected Json type".to_owned())
        );
        assert_eq!(Fields::read(b"{nope").unwrap_err(), BadBody::NotJson);
        assert_eq!(Fields::read(b" null ").unwrap_err(), BadBody::Null);
        assert_eq!(Fields::read(b"<CreateGiftCardRequest/>").unwrap_err(), BadBody::Xml);
    }
}
