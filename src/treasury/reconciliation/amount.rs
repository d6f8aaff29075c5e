//! Reads amounts as spreadsheets of many countries write them: `1,000.00`, `1.000,00`, `1 000,00`, `1'000.00`.
//!
//! A mark before three digits (`1.000`) groups thousands in one country and begins the decimals in another. Such an
//! amount is read as the other amounts of its file are written, or as the operator says. Without either it stays open,
//! and nothing is guessed.

use clap::ValueEnum;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::kernel::{Currency, Money};

/// Which mark stands before the decimals of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecimalMark {
    /// `1,000.00`
    Point,
    /// `1.000,00`
    Comma,
}

impl DecimalMark {
    const fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }

    const fn sign(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }
}

/// An amount whose one mark may group or begin the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenAmount {
    point: Option<Money>,
    comma: Option<Money>,
}

impl OpenAmount {
    /// What it is where this mark stands before the decimals; `None` where it is no amount then.
    pub(super) const fn by(self, mark: DecimalMark) -> Option<Money> {
        match mark {
            DecimalMark::Point => self.point,
            DecimalMark::Comma => self.comma,
        }
    }
}

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AmountReading {
    One {
        value: Money,
        /// Which mark stands before the decimals, where the text shows it.
        shows: Option<DecimalMark>,
    },
    Open(OpenAmount),
}

/// Reads an amount that is not negative; `None` if it is none.
pub(super) fn read(text: &str, currency: Currency) -> Option<AmountReading> {
    let text: String = text.trim().chars().map(plain).collect();
    if text.contains(['e', 'E']) {
        return one(Money::from_amazon_number(&text, currency).ok()?, None);
    }
    let value = |whole: &str, fraction: &str| {
        Money::from_amazon_number(&format!("{whole}.{fraction}0"), currency).ok().filter(|value| value.minor() >= 0)
    };
    let neutral = text.chars().find(|c| matches!(c, ' ' | '\''));
    let Some((at, sign)) = text.char_indices().rev().find(|(_at, c)| matches!(c, '.' | ',')) else {
        return one(value(&ungrouped(&text, neutral)?, "")?, None);
    };
    let mark = if sign == DecimalMark::Point.sign() { DecimalMark::Point } else { DecimalMark::Comma };
    let (whole, fraction) = (text.get(..at)?, text.get(at.checked_add(1)?..)?);
    if !digits(fraction) {
        return None;
    }
    if whole.contains(sign) {
        // It is there twice, so it groups.
        return one(value(&ungrouped(&text, Some(sign))?, "")?, Some(mark.other()));
    }
    let other = mark.other().sign();
    if let Some(group) = if whole.contains(other) { Some(other) } else { neutral } {
        return one(value(&ungrouped(whole, Some(group))?, fraction)?, Some(mark));
    }
    if !digits(whole) {
        return None;
    }
    let decimal = value(whole, fraction);
    if fraction.len() != 3 || whole.len() > 3 || whole.starts_with('0') {
        return one(decimal?, Some(mark));
    }
    let grouped = value(&format!("{whole}{fraction}"), "");
    Some(AmountReading::Open(match mark {
        DecimalMark::Point => OpenAmount { point: decimal, comma: grouped },
        DecimalMark::Comma => OpenAmount { point: grouped, comma: decimal },
    }))
}

fn one(value: Money, shows: Option<DecimalMark>) -> Option<AmountReading> {
    (value.minor() >= 0).then_some(AmountReading::One { value, shows })
}

/// A character as it is compared: full-width digits and marks are digits and marks, and so on.
fn plain(c: char) -> char {
    match c {
        '．' => '.',
        '，' => ',',
        '’' | '＇' => '\'',
        '０'..='９' => {
            u32::from(c).checked_sub(u32::from('０')).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
        }
        _ if c.is_whitespace() => ' ',
        _ => c,
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The digits of a whole number, whose groups of three this character separates.
fn ungrouped(text: &str, group: Option<char>) -> Option<String> {
    let Some(group) = group else { return digits(text).then(|| text.to_owned()) };
    let mut groups = text.split(group);
    let first = groups.next().filter(|first| digits(first) && first.len() <= 3 && !first.starts_with('0'))?;
    let mut whole = first.to_owned();
    for next in groups {
        if !digits(next) || next.len() != 3 {
            return None;
        }
        whole.push_str(next);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str, currency: Currency) -> Option<(i64, Option<DecimalMark>)> {
        match read(text, currency)? {
            AmountReading::One { value, shows } => Some((value.minor(), shows)),
            AmountReading::Open(_) => panic!("{text} is open"),
        }
    }

    #[test]
    fn an_amount_is_read_as_its_country_writes_it() {
        use DecimalMark::{Comma, Point};
        for (text, wanted) in [
            ("25", (2500, None)),
            ("25.5", (2550, Some(Point))),
            ("25,5", (2550, Some(Comma))),
            ("25.00", (2500, Some(Point))),
            ("1000.0", (100_000, Some(Point))),
            ("1000.000", (100_000, Some(Point))),
            ("0.500", (50, Some(Point))),
            ("1e3", (100_000, None)),
            ("1,234.56", (123_456, Some(Point))),
            ("1.234,56", (123_456, Some(Comma))),
            ("1,234,567", (123_456_700, Some(Point))),
            ("1.234.567", (123_456_700, Some(Comma))),
            ("1.234.567,89", (123_456_789, Some(Comma))),
            ("1 000", (100_000, None)),
            ("1\u{a0}000,00", (100_000, Some(Comma))),
            ("1\u{202f}000,00", (100_000, Some(Comma))),
            ("1'000.00", (100_000, Some(Point))),
            ("1’000’000.00", (100_000_000, Some(Point))),
            ("２５．００", (2500, Some(Point))),
            ("  25.00\u{a0}", (2500, Some(Point))),
        ] {
            assert_eq!(minor(text, Currency::Eur), Some(wanted), "{text}");
        }
        assert_eq!(minor("1000.0", Currency::Jpy), Some((1000, Some(Point))));
    }

    #[test]
    fn a_mark_before_three_digits_stays_open() {
        for (text, currency, point, comma) in [
            ("1.000", Currency::Eur, Some(100), Some(100_000)),
            ("1,000", Currency::Usd, Some(100_000), Some(100)),
            ("999,000", Currency::Usd, Some(99_900_000), Some(99_900)),
            ("1,000", Currency::Jpy, Some(1000), Some(1)),
            ("25.555", Currency::Usd, None, Some(2_555_500)),
        ] {
            let Some(AmountReading::Open(open)) = read(text, currency) else { panic!("{text}") };
            let read = |mark| open.by(mark).map(Money::minor);
            assert_eq!((read(DecimalMark::Point), read(DecimalMark::Comma)), (point, comma), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_read() {
        for text in [
            "",
            "-25.00",
            "−25.00",
            "+25.00",
            "(25.00)",
            "25.00-",
            "-1e3",
            "$25.00",
            "25 EUR",
            "25.",
            ".5",
            ",",
            "1,00,000",
            "10,00.00",
            "1.000,000.00",
            "1 00",
            "0.000.000",
            "1 000'000",
            "25.5.5",
            "1,000.5,5",
            "٢٥",
            "²5",
            "five",
            "ABCD-EFGHJK-LMNP",
            "1.0x",
            "25 .00",
            "99999999999999999999999999",
        ] {
            assert_eq!(read(text, Currency::Eur), None, "{text}");
        }
        assert_eq!(read("25.50", Currency::Jpy), None);
    }
}
