//! An answer's XML as a tree of elements, by local names: the namespaces of answers and notifications differ, and the prefixes are
//! Amazon's to choose.

use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

/// The deepest nesting that is read. Amazon's answers have seven levels.
const DEPTH_MAX: usize = 16;

/// It is no XML that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotMwsXml;

/// An element, its text, and the elements in it. Attributes say nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct XmlNode {
    name: String,
    text: String,
    children: Vec<XmlNode>,
}

impl XmlNode {
    fn open(start: &BytesStart<'_>) -> Self {
        Self { name: start.local_name().as_ref().to_owned(), ..Self::default() }
    }

    /// The document's root. A document type is refused, and so are entities of its own: they could make a short document endless.
    pub(super) fn document(bytes: &[u8]) -> Result<Self, NotMwsXml> {
        let text = std::str::from_utf8(bytes).map_err(not_xml)?;
        let mut reader = Reader::from_str(text);
        let (mut open, mut root): (Vec<Self>, Option<Self>) = (Vec::new(), None);
        loop {
            match reader.read_event().map_err(not_xml)? {
                Event::Start(start) if open.len() < DEPTH_MAX => open.push(Self::open(&start)),
                Event::Empty(start) => put(Self::open(&start), &mut open, &mut root)?,
                Event::End(_) => {
                    let closed = open.pop().ok_or(NotMwsXml)?;
                    put(closed, &mut open, &mut root)?;
                }
                Event::Text(text) => note(&mut open, &text)?,
                Event::CData(text) => note(&mut open, &text)?,
                Event::GeneralRef(reference) => note(&mut open, &resolved(&reference)?)?,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Start(_) | Event::DocType(_) => return Err(NotMwsXml),
                Event::Eof if open.is_empty() => return root.ok_or(NotMwsXml),
                Event::Eof => return Err(NotMwsXml),
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first element of this name in it.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of this path.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The text at the end of this path, without blanks around it. An empty text is none.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|node| node.text.trim()).filter(|text| !text.is_empty())
    }

    /// The texts of a list, whatever its items are called: `member` in answers, `Id` in notifications.
    pub(super) fn texts(&self, path: &[&str]) -> impl Iterator<Item = &str> {
        let items = self.at(path).map(|list| list.children.as_slice()).unwrap_or_default();
        items.iter().map(|item| item.text.trim())
    }

    pub(super) fn items(&self, path: &[&str]) -> &[Self] {
        self.at(path).map(|list| list.children.as_slice()).unwrap_or_default()
    }
}

/// A closed element belongs to the one around it. Beside the root there is no other.
fn put(closed: XmlNode, open: &mut [XmlNode], root: &mut Option<XmlNode>) -> Result<(), NotMwsXml> {
    match open.last_mut() {
        Some(around) => around.children.push(closed),
        None if root.is_none() => *root = Some(closed),
        None => return Err(NotMwsXml),
    }
    Ok(())
}

/// Adds text to the innermost element. Outside of all of them only blanks may stand.
fn note(open: &mut [XmlNode], text: &str) -> Result<(), NotMwsXml> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(NotMwsXml),
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, NotMwsXml> {
    if let Some(character) = reference.resolve_char_ref().map_err(not_xml)? {
        return Ok(character.to_string());
    }
    resolve_predefined_entity(reference).map(str::to_owned).ok_or(NotMwsXml)
}

fn not_xml<E>(_error: E) -> NotMwsXml {
    NotMwsXml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_local_names() {
        let xml = "<?xml version=\"1.0\"?><a:Answer xmlns:a=\"http://x\"><!-- c --><b:In x='1'><Text> T&amp;&#49;\n</Text>\
                   <List><member>one</member><member>two</member></List><None/></b:In></a:Answer>";
        let root = XmlNode::document(xml.as_bytes()).unwrap();
        assert_eq!((root.name(), root.text(&["In", "Text"])), ("Answer", Some("T&1")));
        assert_eq!(root.texts(&["In", "List"]).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!((root.text(&["In", "None"]), root.text(&["In", "Away", "Text"])), (None, None));
    }

    #[test]
    fn what_is_no_document_of_amazons_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        for xml in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "{\"a\":1}",
            "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "<a>&unknown;</a>",
            "<a>&#xFFFFFFFF;</a>",
            &deep,
        ] {
            assert_eq!(XmlNode::document(xml.as_bytes()), Err(NotMwsXml), "{xml}");
        }
        assert_eq!(XmlNode::document(b"<a>\xff</a>"), Err(NotMwsXml));
    }
}
