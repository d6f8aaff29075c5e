//! Which of Amazon's two formats an answer has.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE};

use crate::sandbox::fields::is_xml;

/// JSON or XML.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sandbox) enum Format {
    Json,
    Xml,
}

impl Format {
    /// The format of the answer to a request. `Accept` decides: JSON where it names JSON; the format of the request where
    /// it takes anything, or is absent; else XML, as Amazon's sample code asks for it by `charset=UTF-8`.
    pub(in crate::sandbox) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let accept = text(ACCEPT).to_ascii_lowercase();
        if accept.contains("json") {
            Self::Json
        } else if accept.is_empty() || (accept.contains("*/*") && !accept.contains("xml")) {
            Self::of_request(text(CONTENT_TYPE), body)
        } else {
            Self::Xml
        }
    }

    fn of_request(content_type: &str, body: &[u8]) -> Self {
        let says_xml = content_type.to_ascii_lowercase().contains("xml");
        if is_xml(body) || (body.trim_ascii_start().is_empty() && says_xml) { Self::Xml } else { Self::Json }
    }

    pub(in crate::sandbox) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn accept_decides_and_leaves_it_to_the_request_where_it_takes_anything() {
        let (json, xml, nothing): (&[u8], &[u8], &[u8]) = (b" {}", b"\n<a/>", b"");
        for (accept, content_type, body, expected) in [
            (Some("application/json"), "application/xml", xml, Format::Json),
            (Some("application/x-amz-json-1.1"), "", json, Format::Json),
            (Some("charset=UTF-8"), "charset=UTF-8", xml, Format::Xml),
            (Some("application/xml"), "application/json", json, Format::Xml),
            (Some("*/*"), "application/json", json, Format::Json),
            (Some("*/*"), "application/x-www-form-urlencoded", xml, Format::Xml),
            (Some("application/xml, */*"), "", json, Format::Xml),
            (None, "", json, Format::Json),
            (None, "", xml, Format::Xml),
            (None, "application/xml", nothing, Format::Xml),
            (None, "", b"\xef\xbb\xbf<a/>", Format::Xml),
            (None, "application/xml", b"\xff\xfe<\0a\0/\0>\0", Format::Xml),
            (None, "", nothing, Format::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Format::of(&headers, body), expected, "{accept:?} {content_type:?}");
        }
    }
}
