//! The parameters of a request, out of its form.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use rust_decimal::Decimal;

use super::refusal::MwsRefused;

/// What an answer shows of money.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MwsPrice {
    pub(super) amount: Decimal,
    pub(super) currency: String,
}

/// The parameters, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MwsForm(BTreeMap<String, String>);

impl MwsForm {
    pub(super) fn read(body: &str) -> Result<Self, MwsRefused> {
        let mut parameters = BTreeMap::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| MwsRefused::bad(format!("{pair} has no value")))?;
            if parameters.insert(decoded(name)?, decoded(value)?).is_some() {
                return Err(MwsRefused::bad(format!("{name} is there twice")));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// An empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, MwsRefused> {
        self.text(name).ok_or_else(|| MwsRefused::bad(format!("{name} is missing")))
    }

    /// A text of no more than so many characters.
    pub(super) fn short(&self, name: &str, characters_max: usize) -> Result<Option<&str>, MwsRefused> {
        match self.text(name) {
            Some(text) if text.chars().count() > characters_max => {
                Err(MwsRefused::bad(format!("{name} has more than {characters_max} characters")))
            }
            text => Ok(text),
        }
    }

    /// A seller's own id: up to 32 letters, digits, `-` and `_`.
    pub(super) fn reference(&self, name: &str) -> Result<&str, MwsRefused> {
        let text = self.need(name)?;
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if plain && text.len() <= 32 { Ok(text) } else { Err(MwsRefused::bad(format!("{name} has another form"))) }
    }

    pub(super) fn flag(&self, name: &str, unset: bool) -> Result<bool, MwsRefused> {
        match self.text(name) {
            None => Ok(unset),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(MwsRefused::bad(format!("{name} must be true or false"))),
        }
    }

    /// An amount above nothing. Yen have no decimals.
    pub(super) fn price(&self, name: &str) -> Result<MwsPrice, MwsRefused> {
        let currency = self.need(&format!("{name}.CurrencyCode"))?.to_owned();
        let amount = Decimal::from_str_exact(self.need(&format!("{name}.Amount"))?).unwrap_or_default();
        let decimals = if currency == "JPY" { 0 } else { 2 };
        if amount <= Decimal::ZERO || amount.scale() > decimals {
            return Err(MwsRefused::bad(format!("{name}.Amount must be an amount above zero of the currency")));
        }
        Ok(MwsPrice { amount, currency })
    }

    /// Minutes that Amazon may take: 0, or a multiple of 5 up to 1440.
    pub(super) fn timeout(&self) -> Result<u32, MwsRefused> {
        let minutes = self.text("TransactionTimeout").unwrap_or("1440").parse().ok();
        let allowed = minutes.filter(|minutes: &u32| *minutes <= 1440 && minutes.is_multiple_of(5));
        allowed.ok_or_else(|| MwsRefused::bad("TransactionTimeout must be 0, or a multiple of 5 up to 1440"))
    }

    /// What a repetition must have the same of: all but what each signature has its own of.
    pub(super) fn asked(&self) -> BTreeMap<String, String> {
        let own = ["Timestamp", "Signature", "AWSAccessKeyId"];
        let kept = self.0.iter().filter(|(name, _value)| !own.contains(&name.as_str()));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// A plus sign is a blank in a form, although no signer of Amazon's sends one so.
fn decoded(text: &str) -> Result<String, MwsRefused> {
    let blanks = text.replace('+', "%20");
    let text = percent_decode_str(&blanks).decode_utf8().ok();
    text.map(std::borrow::Cow::into_owned).ok_or_else(|| MwsRefused::bad("a parameter is no UTF-8"))
}
