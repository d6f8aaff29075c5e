//! What bodies of every product have in common: amounts, and texts that are kept as they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Code, Problem};
use crate::kernel::{Currency, Money, money::MoneyError};

/// An amount as a caller sends it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ValueRequest)]
pub(crate) struct ValueBody {
    /// A decimal number with exactly the currency's decimal places, above zero.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: String,
}

impl ValueBody {
    /// The amount. `pointer` says where it stands in the body.
    ///
    /// # Errors
    /// The problem that names the field.
    pub(crate) fn into_money(self, pointer: &str) -> Result<Money, Problem> {
        let (of_currency, of_amount) = (format!("{pointer}/currency_code"), format!("{pointer}/amount"));
        let currency: Currency = self.currency_code.parse().map_err(|_unknown| {
            Problem::new(Code::CURRENCY_NOT_SUPPORTED).field(of_currency, "unknown", "not a currency of ours")
        })?;
        let example = Money::from_minor(12_i64.saturating_mul(10_i64.saturating_pow(currency.exponent())), currency);
        let money = Money::parse(&self.amount, currency).map_err(|error| match error {
            MoneyError::NotDecimal => {
                Problem::new(Code::INVALID_REQUEST).field(of_amount.as_str(), "invalid", "not a plain decimal number")
            }
            MoneyError::Precision => Problem::new(Code::AMOUNT_PRECISION).field(
                of_amount.as_str(),
                "precision",
                format!(
                    "must have exactly the currency's decimal places: {}, as in {currency} {example}",
                    currency.exponent()
                ),
            ),
            MoneyError::Overflow => {
                Problem::new(Code::AMOUNT_OUT_OF_RANGE).field(of_amount.as_str(), "range", "too large to be counted")
            }
        })?;
        if money.minor() == 0 {
            return Err(Problem::new(Code::AMOUNT_OUT_OF_RANGE).field(
                of_amount.as_str(),
                "range",
                "must be above zero",
            ));
        }
        Ok(money)
    }
}

/// Text that is stored and shown as it is: bounded and printable.
///
/// # Errors
/// The problem that names the field.
pub(crate) fn printable(text: String, pointer: &str, max: usize) -> Result<String, Problem> {
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(Problem::new(Code::INVALID_REQUEST).field(
            pointer,
            "invalid",
            "empty, too long, or with control characters",
        ));
    }
    Ok(text)
}

/// An amount on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Value)]
pub(crate) struct ValueView {
    /// A decimal number with the currency's decimal places.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
}

impl From<Money> for ValueView {
    fn from(money: Money) -> Self {
        Self { amount: money.to_string(), currency_code: money.currency().code() }
    }
}
