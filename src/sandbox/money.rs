//! Amounts: JSON number text to decimal and back. No amount is ever a binary float.

use rust_decimal::Decimal;
use serde_json::value::RawValue;

/// The decimal that a JSON number spells (`5`, `5.0`, `12.34`, `1e3`); none if it does not fit exactly.
pub(super) fn from_json_number(text: &str) -> Option<Decimal> {
    let exact = if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
    exact.ok().map(|amount| amount.normalize())
}

/// Prints an amount as Amazon does, which is Java's way: at least one digit after the point, also for yen (`1000.0`,
/// `25.5`).
pub(super) fn printed(amount: Decimal) -> String {
    let mut amount = amount.normalize();
    if amount.scale() == 0 {
        amount.rescale(1);
    }
    amount.to_string()
}

/// Prints an amount as a JSON number, in the same way.
pub(super) fn to_json_number(amount: Decimal) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(printed(amount))
}

/// Amounts as decimal text, for the control port and the book file.
pub(super) mod text {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::sandbox) fn serialize<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&amount.normalize())
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(deserializer)?;
        Decimal::from_str_exact(&text).map_err(|error| de::Error::custom(format!("{text:?} is not an amount: {error}")))
    }
}

/// The same where there may be none.
pub(super) mod text_or_none {
    use rust_decimal::Decimal;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::sandbox) fn serialize<S: Serializer>(
        amount: &Option<Decimal>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => super::text::serialize(amount, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Decimal>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            Decimal::from_str_exact(&text)
                .map_err(|error| de::Error::custom(format!("{text:?} is not an amount: {error}")))
        };
        text.map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_printed_as_java_prints_them() {
        for (read, shown) in
            [("1000", "1000.0"), ("25.50", "25.5"), ("25.00", "25.0"), ("0.01", "0.01"), ("1e3", "1000.0")]
        {
            assert_eq!(printed(from_json_number(read).unwrap()), shown);
        }
        assert_eq!(from_json_number("1e99"), None);
    }
}
