//! Money: minor units with a currency, checked arithmetic, decimal text at the edges. Never a float.
#![deny(clippy::arithmetic_side_effects)]

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Digits before the decimal point accepted from a caller. Far above any card, far below overflow.
const MAJOR_DIGITS_MAX: usize = 12;

/// A currency that Amazon's marketplaces deal in (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the variants are the ISO 4217 codes themselves")]
pub enum Currency {
    Aed,
    Aud,
    Cad,
    Egp,
    Eur,
    Gbp,
    Jpy,
    Mxn,
    Pln,
    Sar,
    Sek,
    Sgd,
    Try,
    Usd,
    Zar,
}

impl Currency {
    /// Every currency, in the order of their codes.
    pub const ALL: [Self; 15] = [
        Self::Aed,
        Self::Aud,
        Self::Cad,
        Self::Egp,
        Self::Eur,
        Self::Gbp,
        Self::Jpy,
        Self::Mxn,
        Self::Pln,
        Self::Sar,
        Self::Sek,
        Self::Sgd,
        Self::Try,
        Self::Usd,
        Self::Zar,
    ];

    /// The ISO 4217 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Aed => "AED",
            Self::Aud => "AUD",
            Self::Cad => "CAD",
            Self::Egp => "EGP",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Jpy => "JPY",
            Self::Mxn => "MXN",
            Self::Pln => "PLN",
            Self::Sar => "SAR",
            Self::Sek => "SEK",
            Self::Sgd => "SGD",
            Self::Try => "TRY",
            Self::Usd => "USD",
            Self::Zar => "ZAR",
        }
    }

    /// Digits after the decimal point (ISO 4217 exponent).
    #[must_use]
    pub const fn exponent(self) -> u32 {
        match self {
            Self::Jpy => 0,
            Self::Aed
            | Self::Aud
            | Self::Cad
            | Self::Egp
            | Self::Eur
            | Self::Gbp
            | Self::Mxn
            | Self::Pln
            | Self::Sar
            | Self::Sek
            | Self::Sgd
            | Self::Try
            | Self::Usd
            | Self::Zar => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text names no currency that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a currency code of an Amazon marketplace")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        Self::ALL.into_iter().find(|currency| currency.code() == text).ok_or(UnknownCurrency)
    }
}

/// Why a text is not an amount of this currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number: digits, and one point where the currency has minor units.
    #[error("not a decimal amount")]
    NotDecimal,
    /// More or fewer digits after the point than the currency has.
    #[error("the amount must have exactly the currency's number of decimal places")]
    Precision,
    /// Too large to be counted.
    #[error("the amount is too large")]
    Overflow,
}

/// An amount of money: a whole number of the currency's minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// `minor` units of `currency`.
    #[must_use]
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Minor units: cents, or yen.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Reads an amount as our callers write it: unsigned, no leading zeros, exactly the currency's decimal places.
    ///
    /// # Errors
    /// [`MoneyError`] says what is wrong with the text.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (major, fraction) = text.split_once('.').map_or((text, None), |(major, fraction)| (major, Some(fraction)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(major) || fraction.is_some_and(|part| !digits(part)) || (major.len() > 1 && major.starts_with('0')) {
            return Err(MoneyError::NotDecimal);
        }
        let places = fraction.map_or(0, str::len);
        if u32::try_from(places) != Ok(currency.exponent()) {
            return Err(MoneyError::Precision);
        }
        if major.len() > MAJOR_DIGITS_MAX {
            return Err(MoneyError::Overflow);
        }
        let joined = format!("{major}{}", fraction.unwrap_or_default());
        joined.parse().map(|minor| Self { minor, currency }).map_err(|_error| MoneyError::Overflow)
    }

    /// Reads an amount as Amazon writes it: a JSON number, often with decimals that the currency does not have
    /// (`1000.0` for yen; `PROTOCOL.md`). Compared by value, never by text.
    ///
    /// # Errors
    /// [`MoneyError`] when it is no number, or has a value between two minor units.
    pub fn from_amazon_number(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimal = Decimal::from_str_exact(text)
            .or_else(|_error| Decimal::from_scientific(text))
            .map_err(|_error| MoneyError::NotDecimal)?;
        let scale = Decimal::from(10_i64.checked_pow(currency.exponent()).ok_or(MoneyError::Overflow)?);
        let minor = decimal.checked_mul(scale).ok_or(MoneyError::Overflow)?;
        if !minor.fract().is_zero() {
            return Err(MoneyError::Precision);
        }
        i64::try_from(minor.trunc()).map(|minor| Self { minor, currency }).map_err(|_error| MoneyError::Overflow)
    }

    /// The sum, when both are of one currency and it can be counted.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        self.minor.checked_add(other.minor).map(|minor| Self { minor, currency: self.currency })
    }

    /// The difference, when both are of one currency and it can be counted.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        self.minor.checked_sub(other.minor).map(|minor| Self { minor, currency: self.currency })
    }

    /// Major units for a gauge. The one place where money becomes a float: metrics know nothing else, and no decision
    /// is made on the result.
    #[must_use]
    pub fn to_gauge(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

/// Decimal text with exactly the currency's decimal places; it is also the JSON number that Amazon is sent, so that the
/// bytes of a replay never differ.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.minor.unsigned_abs().to_string();
        let sign = if self.minor < 0 { "-" } else { "" };
        let places = usize::try_from(self.currency.exponent()).unwrap_or(0);
        if places == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
        let (major, fraction) = padded.split_at(padded.len().saturating_sub(places));
        write!(f, "{sign}{major}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_has_exactly_the_decimal_places_of_its_currency() {
        assert_eq!(Money::parse("25.00", Currency::Usd).unwrap().minor(), 2500);
        assert_eq!(Money::parse("500", Currency::Jpy).unwrap().minor(), 500);
        assert_eq!(Money::parse("0.01", Currency::Usd).unwrap().minor(), 1);
        for (text, currency) in
            [("25", Currency::Usd), ("25.0", Currency::Usd), ("25.000", Currency::Usd), ("5.0", Currency::Jpy)]
        {
            assert_eq!(Money::parse(text, currency), Err(MoneyError::Precision), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_decimal_text_is_refused() {
        for text in [
            "", ".", "-1.00", "+1.00", "1e2", "1,00", " 1.00", "1.00 ", "01.00", "1.0x", "0x10", "NaN", "١.٠٠",
            "1..00", "1.00.00",
        ] {
            assert!(Money::parse(text, Currency::Usd).is_err(), "{text}");
        }
        assert_eq!(Money::parse("1234567890123.00", Currency::Usd), Err(MoneyError::Overflow));
    }

    #[test]
    fn amazons_numbers_are_compared_by_value() {
        for text in ["1000", "1000.0", "1000.00", "1e3", "1.0E3"] {
            assert_eq!(Money::from_amazon_number(text, Currency::Jpy).unwrap().minor(), 1000, "{text}");
        }
        assert_eq!(Money::from_amazon_number("25.5", Currency::Usd).unwrap().minor(), 2550);
        assert_eq!(Money::from_amazon_number("0.001", Currency::Usd), Err(MoneyError::Precision));
        for text in ["", "null", "\"5\"", "1e400", "five"] {
            assert!(Money::from_amazon_number(text, Currency::Usd).is_err(), "{text}");
        }
    }

    #[test]
    fn money_of_two_currencies_does_not_add() {
        let (yen, dollar) = (Money::from_minor(1, Currency::Jpy), Money::from_minor(1, Currency::Usd));
        assert_eq!(yen.checked_add(dollar), None);
        assert_eq!(Money::from_minor(i64::MAX, Currency::Usd).checked_add(dollar), None);
        assert_eq!(dollar.checked_sub(dollar), Some(Money::from_minor(0, Currency::Usd)));
    }

    proptest! {
        #[test]
        fn text_and_minor_units_agree(minor in 0_i64..1_000_000_000_000, at in 0_usize..15) {
            let money = Money::from_minor(minor, Currency::ALL[at]);
            prop_assert_eq!(Money::parse(&money.to_string(), money.currency()), Ok(money));
            prop_assert_eq!(Money::from_amazon_number(&money.to_string(), money.currency()), Ok(money));
        }
    }
}
