//! What the payload of a merchant's button says.

use serde_json::Value;

use super::{PayFields, PayPrice};
use crate::sandbox::pay::refusal::PayRefused;

/// A button, as far as this sandbox knows buttons: the amount is in it, and the buyer comes back once, to the result's page.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sandbox::pay) struct ButtonWish {
    pub(in crate::sandbox::pay) store_id: String,
    pub(in crate::sandbox::pay) return_url: String,
    pub(in crate::sandbox::pay) recurs: bool,
    pub(in crate::sandbox::pay) price: PayPrice,
    pub(in crate::sandbox::pay) metadata: Value,
}

impl ButtonWish {
    /// Reads it as strictly as a request.
    pub(in crate::sandbox::pay) fn read(payload: &str) -> Result<Self, PayRefused> {
        let whole: Value = serde_json::from_str(payload)
            .map_err(|error| PayRefused::bad("InvalidRequestFormat", format!("the payload is no JSON: {error}")))?;
        let mut fields = PayFields::of(whole, "")?;
        let wish = fields.button()?;
        fields.none_left()?;
        Ok(wish)
    }
}

impl PayFields {
    fn button(&mut self) -> Result<ButtonWish, PayRefused> {
        let store_id = self.text("storeId")?;
        let return_url = self.return_url()?;
        let recurs = self.recurs()?;
        let price = self.details()?;
        let metadata = self.metadata()?;
        // Of the buyer's address: taken, and of no effect here.
        for name in ["scopes", "deliverySpecifications", "addressDetails"] {
            self.left.remove(name);
        }
        Ok(ButtonWish { store_id, return_url, recurs, price, metadata })
    }

    fn return_url(&mut self) -> Result<String, PayRefused> {
        let mut web = self.part("webCheckoutDetails")?;
        let (url, mode) = (web.text("checkoutResultReturnUrl")?, web.text("checkoutMode")?);
        if mode != "ProcessOrder" {
            return Err(web.invalid("checkoutMode", "must be ProcessOrder: this sandbox has no page for a review"));
        }
        web.left.remove("checkoutCancelUrl");
        web.none_left()?;
        Ok(url)
    }

    fn recurs(&mut self) -> Result<bool, PayRefused> {
        let word = self.optional_text("chargePermissionType")?;
        let metadata = self.optional("recurringMetadata");
        match (word.as_deref(), metadata) {
            (None | Some("OneTime"), None) => Ok(false),
            (Some("Recurring"), Some(metadata)) => {
                let mut metadata = Self::of(metadata, "recurringMetadata.")?;
                metadata.frequency()?;
                if metadata.left.get("amount").is_some_and(|amount| !amount.is_null()) {
                    metadata.price("amount")?;
                }
                metadata.left.remove("amount");
                metadata.none_left()?;
                Ok(true)
            }
            (Some("Recurring"), None) => Err(self.missing("recurringMetadata")),
            (None | Some("OneTime"), Some(_)) => {
                Err(PayRefused::bad("InvalidParameterCombination", "recurringMetadata needs Recurring"))
            }
            (Some(_), _) => Err(self.invalid("chargePermissionType", "must be OneTime or Recurring")),
        }
    }

    fn frequency(&mut self) -> Result<(), PayRefused> {
        let mut frequency = self.part("frequency")?;
        let (unit, value) = (frequency.text("unit")?, frequency.text("value")?);
        if !["Year", "Month", "Week", "Day", "Variable"].contains(&unit.as_str()) {
            return Err(frequency.invalid("unit", "must be Year, Month, Week, Day or Variable"));
        }
        // That of Variable is 0.
        if value.parse::<u16>().is_ok_and(|value| (value == 0) == (unit == "Variable")) {
            return frequency.none_left();
        }
        Err(frequency.invalid("value", "must be a whole number, 0 for Variable and above it for the others"))
    }

    fn details(&mut self) -> Result<PayPrice, PayRefused> {
        let mut details = self.part("paymentDetails")?;
        let (intent, price) = (details.text("paymentIntent")?, details.price("chargeAmount")?);
        if intent != "Confirm" {
            return Err(details.invalid("paymentIntent", "must be Confirm: this sandbox charges nothing at a session"));
        }
        for name in ["totalOrderAmount", "presentmentCurrency", "canHandlePendingAuthorization", "allowOvercharge"] {
            details.left.remove(name);
        }
        details.none_left()?;
        Ok(price)
    }

    fn part(&mut self, name: &str) -> Result<Self, PayRefused> {
        let value = self.optional(name).ok_or_else(|| self.missing(name))?;
        Self::of(value, &format!("{}{name}.", self.of))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        json!({
            "storeId": "amzn1.application-oa2-client.0000",
            "webCheckoutDetails": {"checkoutResultReturnUrl": "https://shop.example/done", "checkoutMode": "ProcessOrder"},
            "chargePermissionType": "Recurring",
            "recurringMetadata": {"frequency": {"unit": "Month", "value": "1"}, "amount": {"amount": "980", "currencyCode": "JPY"}},
            "paymentDetails": {"paymentIntent": "Confirm", "chargeAmount": {"amount": "980", "currencyCode": "JPY"}},
            "merchantMetadata": {"merchantReferenceId": "4711"},
        })
    }

    #[test]
    fn a_button_is_read_whole() {
        let read = ButtonWish::read(&whole().to_string()).unwrap();
        assert!(read.recurs && read.return_url == "https://shop.example/done" && read.price.currency == "JPY");
        assert_eq!(read.metadata["merchantReferenceId"], "4711");
    }

    #[test]
    fn what_a_button_lacks_or_has_too_much_is_named() {
        let cases: [(&str, Value, &str); 9] = [
            ("/storeId", Value::Null, "storeId"),
            ("/webCheckoutDetails/checkoutMode", json!("Review"), "webCheckoutDetails.checkoutMode"),
            ("/webCheckoutDetails/checkoutResultReturnUrl", Value::Null, "checkoutResultReturnUrl"),
            ("/chargePermissionType", json!("Often"), "chargePermissionType"),
            ("/recurringMetadata", Value::Null, "recurringMetadata"),
            ("/recurringMetadata/frequency/unit", json!("Moon"), "recurringMetadata.frequency.unit"),
            ("/recurringMetadata/frequency/value", json!("0"), "recurringMetadata.frequency.value"),
            ("/paymentDetails/paymentIntent", json!("Authorize"), "paymentDetails.paymentIntent"),
            ("/paymentDetails/chargeAmount/amount", json!("980.50"), "paymentDetails.chargeAmount.amount"),
        ];
        for (place, value, named) in cases {
            let mut payload = whole();
            *payload.pointer_mut(place).unwrap() = value;
            let refused = ButtonWish::read(&payload.to_string()).unwrap_err();
            assert!(refused.message.contains(named), "{place}: {}", refused.message);
        }
        let mut payload = whole();
        payload["color"] = json!("gold");
        assert!(ButtonWish::read(&payload.to_string()).unwrap_err().message.contains("color"));
        assert_eq!(ButtonWish::read("{").unwrap_err().reason, "InvalidRequestFormat");
    }
}
