//! Prints an answer as XML, out of its JSON: two blanks a level, no declaration, no element for what is null.
//!
//! Root and order of the successes are those of Amazon's documents. Of a refusal a client reads `errorType` and `Message`
//! below the root; the root's name was never seen, and is ours. So are the elements of a list.

use std::collections::BTreeMap;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde_json::value::RawValue;

/// The members that have a place of their own; others stand behind them by their name.
const ORDER: [&str; 18] = [
    "gcClaimCode",
    "cardInfo",
    "availableFunds",
    "value",
    "currencyCode",
    "amount",
    "cardNumber",
    "cardStatus",
    "expirationDate",
    "gcId",
    "creationRequestId",
    "gcExpirationDate",
    "agcodResponse",
    "status",
    "timestamp",
    "errorCode",
    "errorType",
    "message",
];

/// Why an answer could not be printed: its JSON is not the gateway's own.
#[derive(Debug, thiserror::Error)]
pub(in crate::sandbox) enum PrintError {
    #[error("the answer's members")]
    Json(#[from] serde_json::Error),
    #[error("the answer's elements")]
    Write(#[from] std::io::Error),
}

/// The document with this root, in this namespace.
pub(super) fn printed_in(namespace: Option<&str>, root: &str, json: &[u8]) -> Result<Vec<u8>, PrintError> {
    let whole: &RawValue = serde_json::from_slice(json)?;
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let mut start = BytesStart::new(root);
    start.extend_attributes(namespace.map(|namespace| ("xmlns", namespace)));
    writer.write_event(Event::Start(start))?;
    members(&mut writer, whole.get())?;
    writer.write_event(Event::End(BytesEnd::new(root)))?;
    Ok(writer.into_inner())
}

fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &RawValue) -> Result<(), PrintError> {
    let json = value.get();
    if json == "null" {
        return Ok(());
    }
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    match json.as_bytes().first() {
        Some(b'{') => members(writer, json)?,
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            items.into_iter().try_for_each(|item| element(writer, "member", item))?;
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(json)?;
            let text: String = text.chars().filter(|character| is_of_xml(*character)).collect();
            writer.write_event(Event::Text(BytesText::new(&text)))?;
        }
        Some(_) | None => writer.write_event(Event::Text(BytesText::new(json)))?,
    }
    writer.write_event(Event::End(BytesEnd::new(name)))?;
    Ok(())
}

fn members(writer: &mut Writer<Vec<u8>>, json: &str) -> Result<(), PrintError> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
    let place = |name: &str| ORDER.iter().position(|listed| *listed == name).unwrap_or(ORDER.len());
    // `__type` is of JSON alone: the root's name says it here.
    let mut members: Vec<(String, &RawValue)> =
        members.into_iter().filter(|(name, _value)| !name.starts_with("__")).collect();
    members.sort_by_key(|(name, _value)| place(name));
    members.into_iter().try_for_each(|(name, value)| {
        let name = if name == "message" { "Message" } else { &name };
        element(writer, name, value)
    })
}

/// XML cannot hold the other control characters, however they are written.
fn is_of_xml(character: char) -> bool {
    !character.is_control() || matches!(character, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_their_places_and_what_is_null_has_none() {
        let json = br#"{"status":"SUCCESS","zebra":1.50,"gcClaimCode":"A&B<\u0001","cardInfo":{"__type":"x",
            "value":{"amount":25.0,"currencyCode":"USD"},"cardNumber":null},"list":[{"a":"1"},{"a":"2"}]}"#;
        let expected = "<R>\n  <gcClaimCode>A&amp;B&lt;</gcClaimCode>\n  <cardInfo>\n    <value>\n      \
                        <currencyCode>USD</currencyCode>\n      <amount>25.0</amount>\n    </value>\n  </cardInfo>\n  \
                        <status>SUCCESS</status>\n  <list>\n    <member>\n      <a>1</a>\n    </member>\n    <member>\n      \
                        <a>2</a>\n    </member>\n  </list>\n  <zebra>1.50</zebra>\n</R>";
        assert_eq!(String::from_utf8(printed_in(None, "R", json).unwrap()).unwrap(), expected);
    }
}
