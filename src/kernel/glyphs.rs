//! What a reader sees in a text, whatever clothes its letters and digits wear: small letters or full-width ones, letters of another
//! script that look the same, characters without width between them, percent-encoding.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::skeleton;
use zeroize::Zeroizing;

/// How often a text may be encoded one over the other.
const ENCODINGS_MAX: usize = 3;

/// What a character is to a reader of codes and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyph {
    /// A letter or digit of ASCII, or what looks like it, in its case.
    Sign(u8),
    /// Any dash.
    Dash,
    /// A blank, a dot, a slash: what a hand puts between groups.
    Gap,
    /// Anything else ends a code.
    Other,
}

impl Glyph {
    /// A letter or a digit.
    pub const fn is_sign(self) -> bool {
        matches!(self, Self::Sign(_))
    }

    /// What stands between groups.
    pub const fn is_separator(self) -> bool {
        matches!(self, Self::Dash | Self::Gap)
    }

    /// A small letter.
    pub fn is_small(self) -> bool {
        matches!(self, Self::Sign(sign) if sign.is_ascii_lowercase())
    }
}

/// The text, and what it decodes to, and that again.
pub fn layers(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let decoded = |plain: &Cow<'_, str>| {
        let decoded = percent_decode_str(plain).decode_utf8_lossy().into_owned();
        (decoded != **plain).then_some(Cow::Owned(decoded))
    };
    std::iter::successors(Some(Cow::Borrowed(text)), decoded).take(ENCODINGS_MAX.saturating_add(1))
}

/// What stands in a text.
#[must_use]
pub fn read(text: &str) -> Vec<Glyph> {
    text.nfkd().filter(|c| !is_unseen(*c)).flat_map(look_of).collect()
}

/// Whether a text repeats a secret of letters and digits, whatever stands between them.
#[must_use]
pub fn repeats(text: &str, secret: &str) -> bool {
    let signs = |text: &str| -> Vec<u8> {
        let sign = |glyph| if let Glyph::Sign(sign) = glyph { Some(sign.to_ascii_lowercase()) } else { None };
        read(text).into_iter().filter_map(sign).collect()
    };
    let secret = Zeroizing::new(signs(secret));
    let holds = |plain: &str| signs(plain).windows(secret.len()).any(|window| window == secret.as_slice());
    !secret.is_empty() && layers(text).any(|plain| holds(&plain))
}

/// Whether a spreadsheet may take a text for a formula: what is blank or unseen before it is no hindrance, and its first sign may be
/// full width.
fn begins_formula(text: &str) -> bool {
    let shown = |c: &char| !c.is_whitespace() && !c.is_control() && !is_unseen(*c);
    text.nfkd().find(shown).is_some_and(|first| matches!(first, '=' | '+' | '-' | '@' | '|' | '%' | '\u{2212}'))
}

/// The text as a cell of a file that a spreadsheet opens: one that it would take for a formula stands behind an apostrophe.
#[must_use]
pub fn tame(text: &str) -> Cow<'_, str> {
    if begins_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Characters that change nothing that a reader sees: accents of a decomposed letter, and all that has no width.
fn is_unseen(c: char) -> bool {
    is_combining_mark(c)
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// What a character is, or what those are that it looks like.
fn look_of(c: char) -> Vec<Glyph> {
    let own = glyph(c);
    if own != Glyph::Other || c.is_ascii() {
        return vec![own];
    }
    let in_case = |like: char| if c.is_uppercase() { like.to_ascii_uppercase() } else { like };
    skeleton(c.encode_utf8(&mut [0; 4])).map(|like| glyph(in_case(like))).collect()
}

fn glyph(c: char) -> Glyph {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => u8::try_from(c).map_or(Glyph::Other, Glyph::Sign),
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' => {
            Glyph::Dash
        }
        '\u{2e3a}' | '\u{2e3b}' | '\u{301c}' | '\u{3030}' | '\u{30a0}' | '\u{30fc}' | '\u{2500}' | '~' => Glyph::Dash,
        '_' | '.' | ',' | ':' | ';' | '/' | '\\' | '|' | '+' | '*' | '=' | '\u{b7}' | '\u{2022}' | '\u{2800}' => {
            Glyph::Gap
        }
        _ if c.is_whitespace() => Glyph::Gap,
        _ => Glyph::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_takes_for_a_formula_is_recognised_in_any_clothes() {
        for text in
            ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r\n@x", "\u{a0}+1", "\u{3000}\u{ff1d}1", "\u{200b}=1"]
                .into_iter()
                .chain([
                    "\u{ff1d}1",
                    "\u{ff0b}1",
                    "\u{ff0d}1",
                    "\u{ff20}x",
                    "\u{fe66}1",
                    "\u{feff}=1",
                    "\u{2212}1",
                    "|cmd",
                    "%0",
                ])
        {
            assert!(begins_formula(text), "{text:?}");
        }
        for text in ["", " ", "one=1", "1-1", "\u{ff11}\u{ff1d}1", "a@b", "'=1"] {
            assert!(!begins_formula(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_that_repeats_a_number_is_recognised_in_any_clothes() {
        let number = "1400000005567585";
        for text in [
            "1400000005567585",
            "card 1400000005567585358, sold twice",
            "1400 0000 0556 7585",
            "1400-0000-0556-7585-358",
            "1 4 0 0 0 0 0 0 0 5 5 6 7 5 8 5",
            "\u{ff11}\u{ff14}\u{ff10}\u{ff10}0000\u{200b}05567585",
            "1400%2D0000%2D0556%2D7585",
            "n=14000000055675%2538%2535",
            "1400/0000\\0556|7585",
        ] {
            assert!(repeats(text, number), "{text}");
        }
        for text in ["", "140000000556758", "1400000005567586", "5857655000000041", "order 14 of 2026"] {
            assert!(!repeats(text, number), "{text}");
        }
        assert!(repeats("see AMZN1.account.ae2x", "amzn1.account.AE2X"));
        assert!(!repeats("anything", "") && !repeats("anything", "- -"));
    }
}
