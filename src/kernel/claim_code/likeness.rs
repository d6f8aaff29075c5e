//! Whether free text holds what can be a claim code, in any clothes.
//!
//! Amazon's codes are 14 or 15 capital letters and digits in groups of 4-6-4 or 4-6-5, drawn at random. So are some order
//! numbers: `SHOP-202611-0001`. What tells them apart is chance. Of a million codes three have nothing but digits behind
//! the first group, and of a hundred thousand five are letters and then six digits or more. Such text passes, and
//! everything else of the shape is refused:
//!
//! | text | refused | passes |
//! |---|---|---|
//! | groups with hyphens, or any dash | every one | with digits only behind the first group: `2026-112601-0042` |
//! | one of the hyphens is missing | capitals and digits | words, small letters, a longer chain: `AB12-CD34EF-0042-17` |
//! | groups with blanks, dots, slashes … | capitals, or a group of letters and digits | words: `this should work` |
//! | each character by itself | capitals, or letters and digits | small letters, digits |
//! | 14 or 15 characters without groups | capitals, or letters and digits | words; `ORDER123456789`; mixed case |
//!
//! A code in capitals may be glued to a word of small letters. Letters may be small, full width or of another script that looks
//! the same, characters that nobody sees may stand between them, and the text may be percent-encoded.

use crate::kernel::glyphs::{self, Glyph};

/// The lengths of a code's groups; the last one may have one character more.
const GROUPS: [usize; 3] = [4, 6, 4];
/// The characters of a code: 14 or 15.
const LENGTH: usize = 14;
/// The first group alone, or the last one, of a code that lacks a hyphen.
const SHORT_GROUP: usize = 4;
/// Separators between two groups at most.
const SEPARATORS_MAX: usize = 3;
/// Digits behind letters, or before them, that make a text without groups a number of somebody's.
const NUMBER_DIGITS: usize = 6;

/// Whether free text holds what can be a claim code. Such text is refused, because everything a caller writes is stored.
#[must_use]
pub fn may_hold_claim_code(text: &str) -> bool {
    glyphs::layers(text).any(|plain| holds(&plain))
}

fn holds(text: &str) -> bool {
    let glyphs = glyphs::read(text);
    let has_one = |at: usize| {
        let (before, rest) = glyphs.split_at_checked(at).unwrap_or_default();
        let before = before.last().copied().unwrap_or(Glyph::Other);
        let begins_run = !before.is_sign();
        let begins_word = rest.first().is_none_or(|first| is_word_end(before, *first));
        grouped(rest).is_some_and(|found| found.is_suspect(begins_word))
            || (begins_run && (is_bare_code(rest) || (before != Glyph::Dash && lacks_a_hyphen(rest))))
    };
    (0..glyphs.len()).any(has_one) || is_spelled(&glyphs)
}

/// Whether one word ends and another one begins between two characters: where one of them belongs to no word, and where small
/// letters meet what is none.
fn is_word_end(one: Glyph, next: Glyph) -> bool {
    !one.is_sign() || !next.is_sign() || one.is_small() != next.is_small()
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
            let between = separators(glyphs.get(at..)?)?;
            // `ABCD - EFGHJK` has dashes, too.
            dashes &= between.contains(&Glyph::Dash);
            at = at.checked_add(between.len())?;
        }
        let end = at.checked_add(length)?;
        signs.extend(signs_of(glyphs.get(at..end)?)?);
        at = end;
    }
    let at_end = |at: usize| {
        let of = |at: usize| glyphs.get(at).copied().unwrap_or(Glyph::Other);
        is_word_end(of(at), of(at.saturating_add(1)))
    };
    // The last group may have one more.
    Some(Grouped { signs, dashes, ends: at_end(at.saturating_sub(1)) || at_end(at) })
}

/// What stands between two groups, if it is little enough.
fn separators(glyphs: &[Glyph]) -> Option<&[Glyph]> {
    let count = glyphs.iter().take_while(|glyph| glyph.is_separator()).count();
    glyphs.get(..count).filter(|between| (1..=SEPARATORS_MAX).contains(&between.len()))
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

/// The run of signs that begins here.
fn run(glyphs: &[Glyph]) -> Vec<u8> {
    let signs = glyphs.iter().copied().take_while(|glyph| glyph.is_sign());
    signs_of(&signs.collect::<Vec<_>>()).unwrap_or_default()
}

fn has_length(signs: &[u8]) -> bool {
    matches!(signs.len(), LENGTH | 15)
}

/// Whether a run of signs that begins here is a code without its groups, perhaps glued to words of small letters.
fn is_bare_code(glyphs: &[Glyph]) -> bool {
    let run = run(glyphs);
    let glued: Vec<u8> = String::from_utf8_lossy(&run).trim_matches(|c: char| c.is_ascii_lowercase()).bytes().collect();
    (has_length(&run) && is_random(&run))
        || (has_length(&glued) && has_digit(&glued) && is_capital(&glued) && is_random(&glued))
}

/// Whether two groups begin here of a code that lacks its first or its last hyphen, and nothing else belongs to them.
fn lacks_a_hyphen(glyphs: &[Glyph]) -> bool {
    let mut signs = run(glyphs);
    let short_first = signs.len() == SHORT_GROUP;
    let rest = glyphs.get(signs.len()..).unwrap_or_default();
    let Some(between) = separators(rest).filter(|between| between.contains(&Glyph::Dash)) else { return false };
    let behind = rest.get(between.len()..).unwrap_or_default();
    let last = run(behind);
    let fits = short_first || matches!(last.len(), SHORT_GROUP | 5);
    let goes_on = behind.get(last.len()) == Some(&Glyph::Dash);
    signs.extend(last);
    fits && !goes_on && has_length(&signs) && has_digit(&signs) && is_capital(&signs) && is_random(&signs)
}

/// Whether as many characters as a code has stand here each by itself, with something between them.
fn is_spelled(glyphs: &[Glyph]) -> bool {
    let has_code = |spelled: &[u8]| spelled.windows(LENGTH).any(is_random);
    let mut spelled = Vec::new();
    for chunk in glyphs.chunk_by(|one, next| one.is_sign() == next.is_sign()) {
        let goes_on = match chunk {
            [Glyph::Sign(sign)] => {
                spelled.push(*sign);
                true
            }
            between => separators(between).is_some_and(|found| found.len() == between.len()),
        };
        if !goes_on {
            if has_code(&spelled) {
                return true;
            }
            spelled.clear();
        }
    }
    has_code(&spelled)
}

/// Whether a code may read so, and a word or somebody's number does not.
fn is_random(signs: &[u8]) -> bool {
    one_case(signs) && has_letter(signs) && !is_number(signs) && (has_digit(signs) || is_capital(signs))
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

fn is_capital(signs: &[u8]) -> bool {
    !signs.iter().any(u8::is_ascii_lowercase)
}

fn one_case(signs: &[u8]) -> bool {
    is_capital(signs) || !signs.iter().any(u8::is_ascii_uppercase)
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
            "CUSTOMER123456",
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

    /// The same codes, mistyped, spelled, encoded, or in letters of another script.
    fn disguised(code: &str) -> Vec<String> {
        let (bare, (start, last)) = (code.replace('-', ""), code.rsplit_once('-').unwrap());
        let spelled = |text: &str, between: &str| text.chars().map(String::from).collect::<Vec<_>>().join(between);
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let alike = |from: &str, to: &str| -> String {
            let like =
                |c: char| from.chars().zip(to.chars()).find(|(ours, _)| *ours == c).map_or(c, |(_, theirs)| theirs);
            code.chars().map(like).collect()
        };
        let mut all = vec![
            code.replacen('-', "", 1),
            format!("{start}{last}"),
            format!("my code: {}!", code.replacen('-', "", 1)),
            format!("{start}{last}").replace('-', " – "),
            format!("code{bare}"),
            format!("{bare}please"),
            format!("my{bare}is"),
            format!("code{}", code.replace('-', " ")),
            format!("{}thanks", code.replace('-', "/")),
            spelled(&bare, " "),
            spelled(&bare, ". "),
            spelled(code, " "),
            format!("it is {}, I think", spelled(&bare, "-")),
            code.replace('-', "%2D"),
            encoded(code),
            encoded(&encoded(&bare)),
            encoded(&encoded(&code.to_lowercase())),
            alike("ABCEHKMPTXY", "АВСЕНКМРТХУ"),
            alike("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ"),
            code.replace('-', "\u{2800}"),
        ];
        let unseen = [
            '\u{200d}',
            '\u{34f}',
            '\u{fe0f}',
            '\u{180b}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{ffa0}',
            '\u{17b4}',
            '\u{e0041}',
        ];
        all.extend(unseen.map(|nothing| code.chars().flat_map(|c| [c, nothing]).collect::<String>()));
        all
    }

    #[test]
    fn a_code_is_recognised_that_was_mistyped_spelled_encoded_or_written_in_another_script() {
        for code in ["AB12-CD34EF-GH56", "A2B3-C4D5E6-F7G8H", "2X4Y-7KQM5T-9ZRW9"] {
            for text in disguised(code) {
                assert!(may_hold_claim_code(&text), "{text}");
            }
        }
    }

    #[test]
    fn what_a_shop_writes_passes() {
        for text in [
            "checkout-7d9f8c6b5f-x2x4q",
            "B08N5WRWNW",
            "ASIN B08N5WRWNW",
            "ISBN 978-3-16-148410-0",
            "GIFT-CERTIFICATE",
            "SHOP-2026112601",
            "TXN-2026-AB12CD34EF-0001",
            "DE89370400440532013000",
            "1Z 999 AA1 01 2345 6784",
            "100% of 20 %20 discount",
            "%E3%82%B3%E3%83%BC%E3%83%89",
            "Тест оплаты заказа",
            "Подарок для сотрудника",
            "a b c d e f g h i j k l m n o p",
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
            "2026-11-26T23:59:59.123Z",
            "customer@example.com",
        ] {
            assert!(!may_hold_claim_code(text), "{text}");
        }
    }

    proptest! {
        /// Ids of programs and numbers of shops, as they are drawn or counted.
        #[test]
        fn no_ordinary_id_is_taken_for_a_code(
            id in prop_oneof![
                "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
                "[0-9A-F]{8}-[0-9A-F]{4}-7[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}",
                "01[0-9A-HJKMNP-TV-Z]{24}",
                "([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})",
                "[A-Z]{2,8}[-_/ ]?(20[0-9]{6}|[0-9]{4,12})([-_/][0-9]{1,8})?",
                "[a-z]{3,12}-[a-z0-9]{8,10}-[a-z0-9]{5}",
                "[1-9][0-9]{2}-[0-9]{7}-[0-9]{7}",
                "[a-z]{2,6}_[0-9]{6,20}",
                "[A-Z]{2}[0-9]{2}[A-Z]{4}[0-9]{14}",
                "[a-z]{2,10}\\.[a-z]{2,10}@[a-z]{3,12}\\.(com|de|jp)",
                "#?[0-9]{1,20}",
                "B0[0-9][A-Z0-9]{7}",
            ],
            around in prop_oneof![Just(("", "")), Just(("order ", "")), Just(("", " of the shop")), Just(("(", ")"))],
        ) {
            let text = format!("{}{id}{}", around.0, around.1);
            prop_assert!(!may_hold_claim_code(&text), "{}", text);
        }

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
