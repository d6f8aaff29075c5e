//! What a request asks for. It is read strictly: an unknown field, a missing one and a value of another form are refused by name.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use rust_decimal::Decimal;
use serde_json::Value;

use super::refusal::PayRefused;
use super::route::PayCall;
use crate::sandbox::market;

mod button;

pub(super) use self::button::ButtonWish;

pub(super) const IDEMPOTENCY_KEY: &str = "x-amz-pay-idempotency-key";
const SIMULATION_CODE: &str = "x-amz-pay-simulation-code";
const KEY_CHARACTERS_MAX: usize = 32;
const REASON_CHARACTERS_MAX: usize = 255;
const DESCRIPTOR_CHARACTERS_MAX: usize = 16;
/// Amazon's pages for v2 name no length; these are safe with any that were reported.
const METADATA: [(&str, usize); 4] =
    [("merchantReferenceId", 256), ("merchantStoreName", 50), ("noteToBuyer", 255), ("customInformation", 4_096)];

/// An amount of money.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PayPrice {
    pub(super) amount: Decimal,
    pub(super) currency: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PayWish {
    CreateCharge(ChargeWish),
    GetCharge(String),
    Capture {
        id: String,
        price: PayPrice,
    },
    CancelCharge(String),
    CreateRefund {
        charge_id: String,
        price: PayPrice,
    },
    GetRefund(String),
    GetPermission(String),
    ClosePermission {
        id: String,
        cancel_pending: bool,
    },
    GetSession(String),
    /// The amount must be the session's.
    CompleteSession {
        id: String,
        price: PayPrice,
    },
}

/// A charge that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChargeWish {
    pub(super) permission_id: String,
    pub(super) price: PayPrice,
    pub(super) capture_now: bool,
    pub(super) may_wait: bool,
    pub(super) metadata: Value,
}

/// A request that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PayOrder {
    /// The idempotency key, and what a repetition must be equal to.
    pub(super) key: Option<(String, Value)>,
    pub(super) simulation: Option<String>,
    pub(super) wish: PayWish,
}

impl PayOrder {
    pub(super) fn read(
        call: PayCall,
        id: Option<String>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, PayRefused> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let simulation = header(SIMULATION_CODE);
        let id = id.unwrap_or_default();
        let reads = match call {
            PayCall::GetCharge => Some(PayWish::GetCharge(id.clone())),
            PayCall::GetRefund => Some(PayWish::GetRefund(id.clone())),
            PayCall::GetChargePermission => Some(PayWish::GetPermission(id.clone())),
            PayCall::GetCheckoutSession => Some(PayWish::GetSession(id.clone())),
            PayCall::CreateCharge
            | PayCall::CaptureCharge
            | PayCall::CancelCharge
            | PayCall::CreateRefund
            | PayCall::CloseChargePermission
            | PayCall::CompleteCheckoutSession => None,
        };
        if let Some(wish) = reads {
            return Ok(Self { key: None, simulation, wish });
        }
        let whole: Value = serde_json::from_slice(body)
            .map_err(|error| PayRefused::bad("InvalidRequestFormat", format!("the body is no JSON: {error}")))?;
        let key = match call {
            PayCall::CreateCharge | PayCall::CaptureCharge | PayCall::CreateRefund => {
                let asked = serde_json::json!([call.name(), id, whole]);
                Some((idempotency_key(header(IDEMPOTENCY_KEY))?, asked))
            }
            PayCall::GetCharge
            | PayCall::CancelCharge
            | PayCall::GetRefund
            | PayCall::GetChargePermission
            | PayCall::CloseChargePermission
            | PayCall::GetCheckoutSession
            | PayCall::CompleteCheckoutSession => None,
        };
        let mut body = PayFields::of(whole, "")?;
        let wish = body.wish(call, id)?;
        body.none_left()?;
        Ok(Self { key, simulation, wish })
    }
}

fn idempotency_key(sent: Option<String>) -> Result<String, PayRefused> {
    let key = sent.ok_or_else(|| PayRefused::bad("MissingHeader", format!("{IDEMPOTENCY_KEY} is missing")))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.is_empty() {
        return Err(PayRefused::bad("MissingHeaderValue", format!("{IDEMPOTENCY_KEY} is empty")));
    }
    if key.len() > KEY_CHARACTERS_MAX || !key.bytes().all(plain) {
        let message = format!("{IDEMPOTENCY_KEY} must be at most {KEY_CHARACTERS_MAX} of A-Z, a-z, 0-9, - and _");
        return Err(PayRefused::bad("InvalidHeaderValue", message));
    }
    Ok(key)
}

/// The members of an object that were not looked at yet.
struct PayFields {
    left: BTreeMap<String, Value>,
    /// What stands in front of their names.
    of: String,
}

impl PayFields {
    fn of(value: Value, of: &str) -> Result<Self, PayRefused> {
        let left = serde_json::from_value(value)
            .map_err(|_error| PayRefused::bad("InvalidRequestFormat", format!("{of} must be an object")))?;
        Ok(Self { left, of: of.to_owned() })
    }

    fn wish(&mut self, call: PayCall, id: String) -> Result<PayWish, PayRefused> {
        Ok(match call {
            PayCall::CreateCharge => PayWish::CreateCharge(self.charge()?),
            PayCall::CaptureCharge => {
                let price = self.price("captureAmount")?;
                self.descriptor(&price, true)?;
                PayWish::Capture { id, price }
            }
            PayCall::CancelCharge => {
                self.reason("cancellationReason")?;
                PayWish::CancelCharge(id)
            }
            PayCall::CreateRefund => {
                let (charge_id, price) = (self.text("chargeId")?, self.price("refundAmount")?);
                self.descriptor(&price, true)?;
                PayWish::CreateRefund { charge_id, price }
            }
            PayCall::CloseChargePermission => {
                self.reason("closureReason")?;
                PayWish::ClosePermission { id, cancel_pending: self.flag("cancelPendingCharges")? }
            }
            PayCall::CompleteCheckoutSession => {
                let price = self.price("chargeAmount")?;
                // The whole order's, where it is more than what is asked for now.
                self.left.remove("totalOrderAmount");
                PayWish::CompleteSession { id, price }
            }
            PayCall::GetCheckoutSession => PayWish::GetSession(id),
            PayCall::GetCharge => PayWish::GetCharge(id),
            PayCall::GetRefund => PayWish::GetRefund(id),
            PayCall::GetChargePermission => PayWish::GetPermission(id),
        })
    }

    fn charge(&mut self) -> Result<ChargeWish, PayRefused> {
        let permission_id = self.text("chargePermissionId")?;
        let price = self.price("chargeAmount")?;
        let capture_now = self.flag("captureNow")?;
        let may_wait = self.flag("canHandlePendingAuthorization")?;
        self.descriptor(&price, capture_now)?;
        let metadata = self.metadata()?;
        // Of a saved wallet, of a solution provider and of the browser: taken, and of no effect here.
        for name in ["chargeInitiator", "channel", "providerMetadata", "webCheckoutDetails", "platformId"] {
            self.left.remove(name);
        }
        Ok(ChargeWish { permission_id, price, capture_now, may_wait, metadata })
    }

    fn metadata(&mut self) -> Result<Value, PayRefused> {
        let Some(value) = self.optional("merchantMetadata") else { return Ok(Value::Null) };
        let mut fields = Self::of(value.clone(), "merchantMetadata.")?;
        for (name, characters_max) in METADATA {
            let text = fields.optional_text(name)?;
            if text.is_some_and(|text| text.chars().count() > characters_max) {
                return Err(fields.invalid(name, &format!("must have at most {characters_max} characters")));
            }
        }
        fields.none_left()?;
        Ok(value)
    }

    /// What the buyer's bank shows. It needs a capture, and in Japan there is none: a fixed text is shown.
    fn descriptor(&mut self, price: &PayPrice, captures: bool) -> Result<(), PayRefused> {
        let Some(text) = self.optional_text("softDescriptor")? else { return Ok(()) };
        if text.chars().count() > DESCRIPTOR_CHARACTERS_MAX {
            return Err(self.invalid("softDescriptor", "must have at most 16 characters"));
        }
        if !captures || price.currency == "JPY" {
            let message = "softDescriptor needs captureNow, and is not available in Japan";
            return Err(PayRefused::bad("InvalidParameterCombination", message));
        }
        Ok(())
    }

    fn reason(&mut self, name: &str) -> Result<(), PayRefused> {
        let text = self.text(name)?;
        if text.chars().count() > REASON_CHARACTERS_MAX {
            return Err(self.invalid(name, &format!("must have at most {REASON_CHARACTERS_MAX} characters")));
        }
        Ok(())
    }

    /// An amount is text, or a number as some of the libraries' samples have it.
    fn price(&mut self, name: &str) -> Result<PayPrice, PayRefused> {
        let value = self.optional(name).ok_or_else(|| self.missing(name))?;
        let mut fields = Self::of(value, &format!("{}{name}.", self.of))?;
        let currency = fields.text("currencyCode")?;
        let amount = match fields.optional("amount").ok_or_else(|| fields.missing("amount"))? {
            Value::String(text) => text,
            number @ Value::Number(_) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        };
        fields.none_left()?;
        let read = price(&amount, &currency);
        read.ok_or_else(|| fields.invalid("amount", &format!("is no amount of {currency} above zero: {amount:?}")))
    }

    fn flag(&mut self, name: &str) -> Result<bool, PayRefused> {
        match self.optional(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.invalid(name, "must be true or false")),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, PayRefused> {
        let text = self.optional_text(name)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| self.missing(name))
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>, PayRefused> {
        match self.optional(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be text")),
        }
    }

    /// Absent and `null` are the same: several of the libraries write `null`.
    fn optional(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn none_left(&self) -> Result<(), PayRefused> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(PayRefused::bad("UnrecognizedField", format!("there is no field {}{name}", self.of))),
        }
    }

    fn missing(&self, name: &str) -> PayRefused {
        PayRefused::bad("MissingParameterValue", format!("{}{name} is missing", self.of))
    }

    fn invalid(&self, name: &str, problem: &str) -> PayRefused {
        PayRefused::bad("InvalidParameterValue", format!("{}{name} {problem}", self.of))
    }
}

/// The amount, where it is above zero and no finer than the currency; yen have no decimals, not even zeros.
pub(super) fn price(amount: &str, currency: &str) -> Option<PayPrice> {
    let known = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    let digits = amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = Decimal::from_str_exact(amount).ok().filter(|amount| *amount > Decimal::ZERO)?;
    let fine = amount.scale() <= market::fraction_digits(currency);
    (known && digits && fine).then(|| PayPrice { amount, currency: currency.to_owned() })
}

#[cfg(test)]
mod tests;
