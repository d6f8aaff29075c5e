//! Reads a request's body: JSON or XML, members in any order, amounts from their text.

mod xml;

use std::borrow::Cow;
use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::money;

/// Why a body could not be read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum BadBody {
    /// An empty body, or the literal `null`.
    Null,
    /// Neither JSON nor XML.
    NotJson,
    /// It begins like XML and is none.
    NotXml,
    /// JSON of another shape. The text is that of Amazon's front end.
    Unexpected(String),
    /// A member of this name that is not what it must be, such as an amount that is `null`, or a number that does not fit.
    /// `{"Message":null}` was recorded as the answer to `null`.
    MalformedValue(String),
}

/// An amount member. Amazon answers an explicit `null` and a missing member differently.
pub(super) enum AmountMember {
    Absent,
    Null,
    Number(Decimal),
}

/// A member's value.
#[derive(Clone, Debug)]
enum Member {
    Json(Box<RawValue>),
    /// The text of an XML element. XML does not tell a number from a text.
    Text(String),
    /// An XML element that holds others.
    Elements(Fields),
}

/// The members of a JSON object or of an XML element.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    /// The name of the XML document's root.
    root: Option<String>,
    members: HashMap<String, Member>,
}

impl Fields {
    /// Reads a body. Its first character tells XML from JSON: clients label XML as a form, or as nothing at all.
    pub(super) fn read(body: &[u8]) -> Result<Self, BadBody> {
        let text = decoded(body)?;
        let text = text.trim();
        if text.is_empty() || text == "null" {
            return Err(BadBody::Null);
        }
        if text.starts_with('<') {
            return xml::read(text);
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        Self::of(whole)
    }

    fn of(value: &RawValue) -> Result<Self, BadBody> {
        if !value.get().starts_with('{') {
            return Err(unexpected(value));
        }
        let members: HashMap<String, Box<RawValue>> = serde_json::from_str(value.get()).map_err(not_json)?;
        let members = members.into_iter().map(|(name, value)| (name, Member::Json(value))).collect();
        Ok(Self { root: None, members })
    }

    /// The name of the root, if the body is XML.
    pub(super) fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// A text member. The service treats an absent, a null and an empty one alike: `None`.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, BadBody> {
        let text = match self.present(name) {
            None => return Ok(None),
            Some(Member::Text(text)) => text.clone(),
            Some(Member::Elements(_)) => return Err(malformed(name)),
            Some(Member::Json(value)) if !value.get().starts_with('"') => return Err(unexpected(value)),
            Some(Member::Json(value)) => serde_json::from_str(value.get()).map_err(not_json)?,
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A boolean member. Absent and null are false. Amazon's own sample sends the word as JSON text.
    pub(super) fn flag(&self, name: &str) -> Result<bool, BadBody> {
        match self.present(name) {
            None => Ok(false),
            Some(Member::Json(value)) => match value.get().trim_matches('"') {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(unexpected(value)),
            },
            Some(Member::Text(word)) => match word.trim() {
                "true" => Ok(true),
                "false" | "" => Ok(false),
                _ => Err(malformed(name)),
            },
            Some(Member::Elements(_)) => Err(malformed(name)),
        }
    }

    /// An object member. `None` if it is absent or null.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, BadBody> {
        match self.present(name) {
            None => Ok(None),
            Some(Member::Json(value)) => Self::of(value).map(Some),
            Some(Member::Elements(fields)) => Ok(Some(fields.clone())),
            Some(Member::Text(text)) if text.trim().is_empty() => Ok(None),
            Some(Member::Text(_)) => Err(malformed(name)),
        }
    }

    /// An amount member.
    pub(super) fn amount(&self, name: &str) -> Result<AmountMember, BadBody> {
        let text = match self.members.get(name) {
            None => return Ok(AmountMember::Absent),
            Some(Member::Json(value)) if value.get() == "null" => return Ok(AmountMember::Null),
            Some(Member::Json(value)) if !is_number(value.get()) => return Err(unexpected(value)),
            Some(Member::Json(value)) => value.get(),
            Some(Member::Text(text)) if text.trim().is_empty() => return Ok(AmountMember::Absent),
            Some(Member::Text(text)) if is_number(text.trim()) => text.trim(),
            Some(Member::Text(_) | Member::Elements(_)) => return Err(malformed(name)),
        };
        money::from_json_number(text).map(AmountMember::Number).ok_or_else(|| malformed(name))
    }

    fn present(&self, name: &str) -> Option<&Member> {
        let there = |member: &&Member| !matches!(member, Member::Json(value) if value.get() == "null");
        self.members.get(name).filter(there)
    }
}

/// The marks that some encoders put before a text.
const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LITTLE: &[u8] = b"\xff\xfe";
const UTF_16_BIG: &[u8] = b"\xfe\xff";

/// A body as text: UTF-8, with or without a mark, or UTF-16 with one, as readers of JSON and XML take it.
fn decoded(body: &[u8]) -> Result<Cow<'_, str>, BadBody> {
    let not_text = || if is_xml(body) { BadBody::NotXml } else { BadBody::NotJson };
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_text| rest.is_empty()).map(Cow::Owned).ok_or_else(not_text)
    };
    if let Some(bytes) = body.strip_prefix(UTF_16_LITTLE) {
        wide(bytes, u16::from_le_bytes)
    } else if let Some(bytes) = body.strip_prefix(UTF_16_BIG) {
        wide(bytes, u16::from_be_bytes)
    } else {
        let text = str::from_utf8(body.strip_prefix(UTF_8).unwrap_or(body));
        text.map(Cow::Borrowed).map_err(|_not_utf8| not_text())
    }
}

/// Whether a body begins like XML, in whatever encoding.
pub(super) fn is_xml(body: &[u8]) -> bool {
    let body = [UTF_8, UTF_16_LITTLE, UTF_16_BIG].into_iter().find_map(|mark| body.strip_prefix(mark)).unwrap_or(body);
    body.iter().find(|byte| !byte.is_ascii_whitespace() && **byte != 0) == Some(&b'<')
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn malformed(name: &str) -> BadBody {
    BadBody::MalformedValue(name.to_owned())
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
    }

    /// Encoders of several languages write a mark, or UTF-16.
    #[test]
    fn a_body_is_read_in_each_encoding_that_readers_know_by_its_mark() {
        let xml = "<CreateGiftCardRequest><partnerId>Awss\u{e9}</partnerId></CreateGiftCardRequest>";
        for text in [r#"{"partnerId":"Awss\u00e9"}"#, r#"{"partnerId":"Awssé"}"#, xml] {
            let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
            let little = [UTF_16_LITTLE, &wide(u16::to_le_bytes)].concat();
            let big = [UTF_16_BIG, &wide(u16::to_be_bytes)].concat();
            for body in [text.as_bytes().to_vec(), [UTF_8, text.as_bytes()].concat(), little, big] {
                let fields = Fields::read(&body).unwrap_or_else(|bad| panic!("{bad:?}: {body:?}"));
                assert_eq!(fields.text("partnerId").unwrap().as_deref(), Some("Awss\u{e9}"), "{body:?}");
                assert_eq!(is_xml(&body), text.starts_with('<'), "{body:?}");
            }
        }
        assert_eq!(Fields::read(b"<a>caf\xe9</a>").unwrap_err(), BadBody::NotXml, "Latin-1");
        assert_eq!(Fields::read(b"\xff\xfe{\0}").unwrap_err(), BadBody::NotJson, "half a unit");
        assert_eq!(Fields::read(UTF_8).unwrap_err(), BadBody::Null);
    }

    #[test]
    fn xml_is_read_as_json_is_in_any_dress() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <!-- as some printers do --> <a:CreateGiftCardRequest xmlns:a="http://internal.amazon.com/coral/">
              <value><amount> 25.50 </amount><currencyCode>USD</currencyCode></value>
              <a:partnerId>Aws<![CDATA[sb]]></a:partnerId><externalReference>a &amp; b &#233;</externalReference>
              <programId/><showNoOps>true</showNoOps>
            </a:CreateGiftCardRequest> <!-- end -->"#;
        let fields = Fields::read(body).unwrap();
        assert_eq!(fields.root(), Some("CreateGiftCardRequest"));
        assert_eq!(fields.text("partnerId").unwrap().as_deref(), Some("Awssb"));
        assert_eq!(fields.text("externalReference").unwrap().as_deref(), Some("a & b \u{e9}"));
        assert_eq!((fields.text("programId").unwrap(), fields.text("absent").unwrap()), (None, None));
        assert!(fields.flag("showNoOps").unwrap());
        let value = fields.object("value").unwrap().unwrap();
        assert!(matches!(value.amount("amount"), Ok(AmountMember::Number(amount)) if amount == Decimal::new(255, 1)));
        assert!(matches!(fields.amount("partnerId"), Err(BadBody::MalformedValue(name)) if name == "partnerId"));
        assert!(matches!(fields.amount("programId"), Ok(AmountMember::Absent)));
    }

    #[test]
    fn what_begins_like_xml_and_is_none_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        for body in [
            "<CreateGiftCardRequest>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<a>&made;</a>",
            "<!DOCTYPE a [<!ENTITY made 'up'>]><a>&made;</a>",
            "<",
            &deep,
        ] {
            assert_eq!(Fields::read(body.as_bytes()).unwrap_err(), BadBody::NotXml, "{body}");
        }
    }
}
