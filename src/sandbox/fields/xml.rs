//! Reads the members of an XML request: `<CreateGiftCardRequest><creationRequestId>…</creationRequestId>…`. Elements may
//! come in any order, with a declaration, comments, a namespace and blanks around them.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{BadBody, Fields, Member};

/// The deepest nesting that is read. Amazon's requests have three levels.
const DEPTH_MAX: usize = 16;

/// An element that is open.
struct Element {
    name: String,
    text: String,
    members: HashMap<String, Member>,
}

impl Element {
    fn open(start: &BytesStart<'_>) -> Self {
        let name = start.local_name().as_ref().to_owned();
        Self { name, text: String::new(), members: HashMap::new() }
    }

    /// What it is to the element around it. The text between its elements is the printer's.
    fn close(self) -> Member {
        if self.members.is_empty() {
            Member::Text(self.text)
        } else {
            Member::Elements(Fields { root: None, members: self.members })
        }
    }
}

/// Reads a document. A document type is refused: entities of its own could make a short document endless.
pub(super) fn read(text: &str) -> Result<Fields, BadBody> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().map_err(not_xml)? {
            Event::Start(start) => {
                if open.len() >= DEPTH_MAX {
                    return Err(BadBody::NotXml);
                }
                open.push(Element::open(&start));
            }
            Event::Empty(start) => match open.last_mut() {
                Some(around) => {
                    let element = Element::open(&start);
                    around.members.insert(element.name, Member::Text(String::new()));
                }
                None => return finished(Element::open(&start), reader),
            },
            Event::End(_) => {
                let element = open.pop().ok_or(BadBody::NotXml)?;
                match open.last_mut() {
                    Some(around) => {
                        let name = element.name.clone();
                        around.members.insert(name, element.close());
                    }
                    None => return finished(element, reader),
                }
            }
            Event::Text(text) => note(&mut open, &text)?,
            Event::CData(text) => note(&mut open, &text)?,
            Event::GeneralRef(reference) => note(&mut open, &resolved(&reference)?)?,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::DocType(_) | Event::Eof => return Err(BadBody::NotXml),
        }
    }
}

/// Adds text to the innermost element. Outside of all of them only blanks may stand.
fn note(open: &mut [Element], text: &str) -> Result<(), BadBody> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(BadBody::NotXml),
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, BadBody> {
    if let Some(character) = reference.resolve_char_ref().map_err(not_xml)? {
        return Ok(character.to_string());
    }
    resolve_predefined_entity(reference).map(str::to_owned).ok_or(BadBody::NotXml)
}

/// The document's root, behind which only blanks and comments may stand.
fn finished(root: Element, mut reader: Reader<&[u8]>) -> Result<Fields, BadBody> {
    loop {
        match reader.read_event().map_err(not_xml)? {
            Event::Eof => return Ok(Fields { root: Some(root.name), members: root.members }),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Text(text) if text.trim().is_empty() => {}
            Event::Start(_)
            | Event::End(_)
            | Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Decl(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => return Err(BadBody::NotXml),
        }
    }
}

fn not_xml<E>(_error: E) -> BadBody {
    BadBody::NotXml
}
