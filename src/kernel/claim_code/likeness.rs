//! Whether free text holds what can be a claim code, in any clothes.
//!
//! Amazon's codes are 14 or 15 capital letters and digits in groups of 4-6-4 or 4-6-5, drawn at random. So are some order
//! numbers: `SHOP-202611-0001`. What tells them apart is chance. Of a million codes three have nothing but digits behind
//! the first group, and of a hundred thousand two are letters and then seven digits or more. Such text passes, and
//! everything else of the shape is refused:
//!
//! | text | refused | passes |
//! |---|---|---|
//! | groups with hyphens, or any dash | every one | with digits only behind the first group: `2026-112601-0042` |
//! | groups with blanks, dots, slashes … | capitals, or a group of letters and digits | words: `this should work` |
//! | 14 or 15 characters without groups | capitals, or letters and digits | words; `ORDER123456789`; mixed case |
//!
//! Letters may be small or full width, and characters that nobody sees may stand between them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The lengths of a code's groups; the last one may have one character more.
const GROUPS: [usize; 3] = [4, 6, 4];
/// The characters of a code: 14 or 15.
const LENGTH: usize = 14;
/// Separators between two groups at most.
const SEPARATORS_MAX: usize = 3;
/// Digits behind letters, or before them, that make a text without groups a number of somebody's.
const NUMBER_DIGITS: usize = 7;

/// What a character is to a reader of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glyph {
    /// A letter or digit of ASCII, as it was written.
    Sign(u8),
    /// Any dash.
    Dash,
    /// A blank, a dot, a slash: what a hand puts between groups.
    Gap,
    /// Anything else ends a code.
    Other,
}

/// Whether free text holds what can be a claim code. Such text is refused, because everything a caller writes is stored.
#[must_use]
pub fn may_hold_claim_code(text: &str) -> bool {
    let glyphs: Vec<Glyph> = text.nfkd().filter(|c| !is_unseen(*c)).map(glyph).collect();
    (0..glyphs.len()).any(|at| {
        let rest = glyphs.get(at..).unwrap_or_default();
        let begins = at.checked_sub(1).and_then(|before| glyphs.get(before)).is_none_or(|before| !before.is_sign());
        grouped(rest).is_some_and(|found| found.is_suspect(begins)) || (begins && is_bare_code(rest))
    })
}

impl Glyph {
    const fn is_sign(self) -> bool {
        matches!(self, Self::Sign(_))
    }
}

/// Characters that change nothing that a reader sees: accents of a decomposed letter, and all that has no width.
fn is_unseen(c: char) -> bool {
    is_combining_mark(c)
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e0fff}')
}

fn glyph(c: char) -> Glyph {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => u8::try_from(c).map_or(Glyph::Other, Glyph::Sign),
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' => {
            Glyph::Dash
        }
        '\u{2e3a}' | '\u{2e3b}' | '\u{301c}' | '\u{3030}' | '\u{30a0}' | '\u{30fc}' | '\u{2500}' | '~' => Glyph::Dash,
        '_' | '.' | ',' | ':' | ';' | '/' | '\\' | '|' | '+' | '*' | '=' | '\u{b7}' | '\u{2022}' => Glyph::Gap,
        _ if c.is_whitespace() => Glyph::Gap,
        _ => Glyph::Other,
    }
}

/// Three groups of a code's lengths.
struct Grouped {
    signs: Vec<u8>,
    /// Dashes alone stand between them.
    dashes: bool,
    /// Nothing follows that belongs to the last group.
    ends: bool,
}

fn grouped(glyphs: &[Glyph]) -> Option<Grouped> {
    let (mut signs, mut dashes, mut at) = (Vec::with_capacity(LENGTH), true, 0_usize);
    for length in GROUPS {
        if at > 0 {
            let between = glyphs.get(at..)?.iter().take_while(|glyph| matches!(glyph, Glyph::Dash | Glyph::Gap));
            let between: Vec<Glyph> = between.copied().collect();
            if between.is_empty() || between.len() > SEPARATORS_MAX {
                return None;
            }
            // `ABCD - EFGHJK` has dashes, too.
            dashes &= between.contains(&Glyph::Dash);
            at = at.checked_add(between.len())?;
        }
        let end = at.checked_add(length)?;
        signs.extend(signs_of(glyphs.get(at..end)?)?);
        at = end;
    }
    let after: Vec<bool> = glyphs.get(at..)?.iter().take(2).map(|glyph| glyph.is_sign()).collect();
    Some(Grouped { signs, dashes, ends: after != [true, true] })
}

/// The signs, where all of them are some.
fn signs_of(glyphs: &[Glyph]) -> Option<Vec<u8>> {
    let sign = |glyph: &Glyph| if let Glyph::Sign(sign) = glyph { Some(*sign) } else { None };
    glyphs.iter().map(sign).collect()
}

impl Grouped {
    fn is_suspect(&self, begins: bool) -> bool {
        let (first, rest) = self.signs.split_at_checked(GROUPS[0]).unwrap_or_default();
        if rest.iter().all(u8::is_ascii_digit) {
            return false;
        }
        if self.dashes {
            return true;
        }
        let (second, third) = rest.split_at_checked(GROUPS[1]).unwrap_or_default();
        let mixed = [first, second, third].into_iter().any(|group| has_letter(group) && has_digit(group));
        let capitals = has_letter(&self.signs) && !self.signs.iter().any(u8::is_ascii_lowercase);
        begins && self.ends && one_case(&self.signs) && (mixed || capitals)
    }
}

/// Whether a run of signs that begins here is a code without its groups.
fn is_bare_code(glyphs: &[Glyph]) -> bool {
    let run: Vec<Glyph> = glyphs.iter().take_while(|glyph| glyph.is_sign()).take(LENGTH + 2).copied().collect();
    let Some(signs) = signs_of(&run).filter(|signs| matches!(signs.len(), LENGTH | 15)) else { return false };
    if !one_case(&signs) || !has_letter(&signs) || is_number(&signs) {
        return false;
    }
    has_digit(&signs) || signs.iter().all(u8::is_ascii_uppercase)
}

/// Letters with one block of digits before or behind them, and digits behind a first group: somebody's number.
fn is_number(signs: &[u8]) -> bool {
    let digits = signs.iter().filter(|sign| sign.is_ascii_digit()).count();
    let turns =
        signs.windows(2).filter(|pair| matches!(pair, [one, next] if one.is_ascii_digit() != next.is_ascii_digit()));
    let behind = signs.get(GROUPS[0]..).unwrap_or_default();
    behind.iter().all(u8::is_ascii_digit) || (digits >= NUMBER_DIGITS && turns.count() == 1)
}

fn has_letter(signs: &[u8]) -> bool {
    signs.iter().any(u8::is_ascii_alphabetic)
}

fn has_digit(signs: &[u8]) -> bool {
    signs.iter().any(u8::is_ascii_digit)
}

fn one_case(signs: &[u8]) -> bool {
    !(signs.iter().any(u8::is_ascii_lowercase) && signs.iter().any(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_numbers_and_words_pass() {
        for text in [
            "SHOP-202611-0001",
            "2026-112601-0042",
            "ORD1-202611-00017",
            "order 2026-112601-0042 of 2026",
            "order-2026-000123",
            "0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10",
            "114-1234567-1234567",
            "ORDER123456789",
            "CUSTOMER1234567",
            "SHOP20261126001",
            "20261126SUMMER",
            "20261126235959",
            "490154203237518",
            "NO9386011117947",
            "cus_NffrFeUfNV2Hib",
            "reconciliation",
            "acknowledgement",
            "this should work",
            "sent 202611 late",
            "Paid 112601 once",
            "GB82WEST12345698765432",
            "01J9ZQ4Y7N8M2K3P5R6S7T8V9W",
            "9f86d081884c7d659a2feaa0c55ad015",
            "コード-202611-0001",
            "",
        ] {
            assert!(!may_hold_claim_code(text), "{text}");
        }
    }

    /// One code in the clothes that a hand or a program may put it in.
    fn clothed(code: &str) -> Vec<String> {
        let wide = |c: char| char::from_u32(u32::from(c) + 0xFEE0).unwrap();
        let bare = code.replace('-', "");
        let mut all = vec![
            code.to_owned(),
            code.to_lowercase(),
            code.chars().map(wide).collect(),
            code.to_lowercase().chars().map(wide).collect(),
            code.replace('-', " - "),
            code.replace('-', "\u{ad}-"),
            code.chars().flat_map(|c| [c, '\u{200b}']).collect(),
            format!("see {code}, please"),
            format!("x{code}"),
            format!("{{\"note\":\"{code}\"}}"),
            bare.clone(),
            bare.chars().map(wide).collect(),
            bare.chars().flat_map(|c| [c, '\u{2060}']).collect(),
            format!("({bare})"),
        ];
        all.extend("‐‑‒–—―−－﹣ー〜".chars().map(|dash| code.replace('-', &dash.to_string())));
        all.extend([" ", "\u{a0}", "\u{3000}", ".", "_", "/", "  "].map(|gap| code.replace('-', gap)));
        all
    }

    #[test]
    fn a_code_is_recognised_in_any_clothes() {
        for code in
            ["AB12-CD34EF-GH56", "AB12-CD34EF-GH567", "A2B3-C4D5E6-F7G8", "ABCD-EFGHJK-LMNP", "2X4Y-7KQM5T-9ZRW9"]
        {
            for text in clothed(code) {
                assert!(may_hold_claim_code(&text), "{text}");
            }
        }
        // An accent that joins the last letter would leave the shape to the database, which refuses it.
        assert!(may_hold_claim_code("ABCD-EFGHJK-LMNP\u{301}"));
        assert!(may_hold_claim_code("abcd-123456-lmnp9"));
        assert!(may_hold_claim_code("SHOP-202611-0001 ABCD-EFGHJK-LMNP"), "beside an order number");
    }

    proptest! {
        /// The database's checks are the last line: what they refuse must be refused here, with a problem.
        #[test]
        fn what_the_database_refuses_is_refused_here(text in "[a-c0-1-]{0,20}[A-C0-1]{4}-[A-C0-9]{6}-[a-b0-9]{4}[a-c0-1-]{0,4}") {
            let refused = text.as_bytes().windows(16).any(|window| {
                let sign = |at: &usize| window.get(*at).is_some_and(u8::is_ascii_alphanumeric);
                let shape = window[4] == b'-' && window[11] == b'-' && (0..16).filter(|at| *at != 4 && *at != 11).all(|at| sign(&at));
                let tail = window[5..].iter().all(|b| b.is_ascii_digit() || *b == b'-');
                shape && !tail
            });
            prop_assert!(!refused || may_hold_claim_code(&text), "{}", text);
        }

        /// How many codes would pass, of an alphabet without what readers confuse.
        #[test]
        fn a_random_code_is_recognised(code in "[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{6}-[A-HJ-NP-Z2-9]{4,5}") {
            prop_assert!(may_hold_claim_code(&code));
            prop_assert!(may_hold_claim_code(&code.to_lowercase()));
        }
    }
}
