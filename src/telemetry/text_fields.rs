//! Fields of the text format: `name=value`. Every character that could break a line or drive a terminal is escaped.
//!
//! The format of `tracing-subscriber` escapes a few characters in the message, but no line feed, and nothing in other
//! fields.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::{
    field::MakeExt,
    fmt::{
        FormatFields,
        format::{Writer, debug_fn},
    },
};

/// Formats the fields of events and spans.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        if field.name() != "message" {
            // `r#type` is printed as `type`.
            write!(writer, "{}=", field.name().trim_start_matches("r#"))?;
        }
        write!(Visible { writer }, "{value:?}")
    })
    .delimited(" ")
}

/// The text as a terminal and a person can read it: a character that is not plain is escaped as in a Rust literal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut plain, c| {
        if is_hidden(c) {
            plain.extend(c.escape_default())
        } else {
            plain.push(c)
        }
        plain
    })
}

/// Passes text on. A character that is not plain is escaped as in a Rust literal.
struct Visible<'writer, 'out> {
    writer: &'writer mut Writer<'out>,
}

impl Write for Visible<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if is_hidden(c) { write!(self.writer, "{}", c.escape_default()) } else { self.writer.write_char(c) }
        })
    }
}

/// Control characters, the two separators that some readers end a line at, and the marks that turn the direction of
/// text.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}
