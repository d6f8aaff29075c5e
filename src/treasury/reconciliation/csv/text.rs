//! The text of a portal's file, whatever a spreadsheet encoded it in: UTF-16 and UTF-8, with a mark at its beginning or
//! without. Other encodings that extend ASCII pass for UTF-8; what is malformed then becomes U+FFFD.

use std::mem;

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// The file's text, whatever it is encoded in.
pub(super) enum PortalText {
    /// Too few bytes have come to see that.
    Begins(Vec<u8>),
    Goes(Box<Decoder>),
}

impl PortalText {
    /// Before the first byte.
    pub(super) const fn new() -> Self {
        Self::Begins(Vec::new())
    }

    /// The text of the next bytes, as UTF-8.
    pub(super) fn take(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let (decoder, bytes) = match self {
            Self::Begins(begun) => {
                begun.extend_from_slice(bytes);
                if begun.len() < 2 && !last {
                    return Vec::new();
                }
                let begun = mem::take(begun);
                *self = Self::Goes(Box::new(encoding(&begun).new_decoder()));
                return self.take(&begun, last);
            }
            Self::Goes(decoder) => (decoder, bytes),
        };
        let mut text = String::with_capacity(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or_default());
        // There is room for all of it, and what is malformed becomes U+FFFD.
        let (_end, _read, _malformed) = decoder.decode_to_string(bytes, &mut text, last);
        text.into_bytes()
    }
}

/// What a file without a mark at its beginning is encoded in; the decoder obeys the mark. The names of columns are ASCII.
fn encoding(begun: &[u8]) -> &'static Encoding {
    match begun {
        [_, 0, ..] => UTF_16LE,
        [0, _, ..] => UTF_16BE,
        _ => UTF_8,
    }
}
