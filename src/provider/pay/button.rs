//! What a page's button carries: a payload, and our signature over its bytes (`PROTOCOL.md`).

use data_encoding::BASE64;
use reqwest::Url;
use serde::Serialize;

use super::{
    key::MerchantKey,
    sign,
    wire::{self, PriceOut},
};
use crate::kernel::{Environment, Money};

/// Bytes of the longest address of a page. Amazon publishes no figure.
const PAGE_BYTES_MAX: usize = 2_048;

/// An address of a page that Amazon sends a buyer's browser to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageUrl(String);

impl PageUrl {
    /// Takes an address by HTTPS; in the sandbox also one of this machine by HTTP, as Amazon does.
    #[must_use]
    pub fn parse(text: &str, environment: Environment) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|_url| text.len() <= PAGE_BYTES_MAX)?;
        let host = url.host_str()?;
        let here = environment == Environment::Sandbox && ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        let safe = url.scheme() == "https" || (here && url.scheme() == "http");
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        (safe && bare).then(|| Self(url.into()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a buyer is to agree to.
#[derive(Debug, Clone, Copy)]
pub struct ButtonAsked<'a> {
    /// The page's own id at Amazon ("store id").
    pub store_id: &'a str,
    /// Where Amazon sends the buyer's browser afterwards.
    pub result_url: &'a PageUrl,
    /// Where it sends a buyer who goes back.
    pub cancel_url: Option<&'a PageUrl>,
    /// The amount that the buyer sees.
    pub amount: Money,
    /// How often it is charged; `None` for one order.
    pub every: Option<ButtonInterval>,
    /// Our reference, for people.
    pub reference: Option<&'a str>,
}

/// How often a buyer is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ButtonInterval {
    /// Amazon's word for the unit: `Year`, `Month`, `Week`, `Day` or `Variable`.
    pub unit: &'static str,
    /// How many of them; 0 for `Variable`.
    pub count: u16,
}

/// A button as a page needs it. The page hands the payload over byte for byte: a payload that is written anew has another signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedButton {
    /// JSON.
    pub payload: String,
    /// Base64.
    pub signature: String,
    /// What the signature is.
    pub algorithm: &'static str,
    /// The key that it is made with.
    pub public_key_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ButtonOut<'a> {
    store_id: &'a str,
    web_checkout_details: WebOut<'a>,
    charge_permission_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurring_metadata: Option<RecurringOut>,
    payment_details: DetailsOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_metadata: Option<ReferenceOut<'a>>,
}

/// The buyer makes one trip to Amazon, and comes back to a result: the amount is in the button.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebOut<'a> {
    checkout_result_return_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkout_cancel_url: Option<&'a str>,
    checkout_mode: &'static str,
}

#[derive(Serialize)]
struct RecurringOut {
    frequency: FrequencyOut,
    amount: PriceOut,
}

#[derive(Serialize)]
struct FrequencyOut {
    unit: &'static str,
    value: String,
}

/// Nothing is charged at the session: a charge is an effect of its own, under its own key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsOut {
    payment_intent: &'static str,
    charge_amount: PriceOut,
    can_handle_pending_authorization: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceOut<'a> {
    merchant_reference_id: &'a str,
}

/// Writes and signs a button. It does not age, and is bound to no buyer: the page binds the return by a state of its own.
pub(super) fn signed(asked: &ButtonAsked<'_>, merchant: &MerchantKey) -> Option<SignedButton> {
    let price = || PriceOut::of(asked.amount).ok();
    let recurring_metadata = match asked.every {
        None => None,
        Some(ButtonInterval { unit, count }) => {
            Some(RecurringOut { frequency: FrequencyOut { unit, value: count.to_string() }, amount: price()? })
        }
    };
    let payload = wire::written(&ButtonOut {
        store_id: asked.store_id,
        web_checkout_details: WebOut {
            checkout_result_return_url: asked.result_url.as_str(),
            checkout_cancel_url: asked.cancel_url.map(PageUrl::as_str),
            checkout_mode: "ProcessOrder",
        },
        charge_permission_type: if asked.every.is_some() { "Recurring" } else { "OneTime" },
        recurring_metadata,
        payment_details: DetailsOut {
            payment_intent: "Confirm",
            charge_amount: price()?,
            can_handle_pending_authorization: false,
        },
        merchant_metadata: asked.reference.map(|merchant_reference_id| ReferenceOut { merchant_reference_id }),
    });
    let payload = String::from_utf8(payload.ok()?).ok()?;
    let signature = BASE64.encode(&merchant.sign(sign::of_text(&payload).as_bytes())?);
    let public_key_id = merchant.public_key_id().to_owned();
    Some(SignedButton { payload, signature, algorithm: sign::ALGORITHM, public_key_id })
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::{kernel::Currency, provider::pay::key::tests::rsa_pem};

    #[test]
    fn the_text_that_is_signed_is_that_of_the_published_vector() {
        let payload =
            r#"{"storeId":"amzn1.application-oa2-client.0000","merchantMetadata":{"merchantStoreName":"野師堂"}}"#;
        let hash = "bcdb15e96f6ad10b6bb06a91799b2f87eb639571ec0ac3b2dbdfd51b69295372";
        assert_eq!(sign::of_text(payload), format!("AMZN-PAY-RSASSA-PSS-V2\n{hash}"));
    }

    #[test]
    fn a_page_is_reached_by_https_and_in_the_sandbox_also_on_this_machine() {
        let taken = |text: &str, environment| PageUrl::parse(text, environment).is_some();
        for text in ["https://shop.example/done", "https://shop.example:8443/done?state=1"] {
            assert!(taken(text, Environment::Production) && taken(text, Environment::Sandbox), "{text}");
        }
        for text in ["http://localhost:3000/done", "http://127.0.0.1/done", "http://[::1]:3000/"] {
            assert!(!taken(text, Environment::Production) && taken(text, Environment::Sandbox), "{text}");
        }
        for text in [
            "",
            "/done",
            "http://shop.example/",
            "javascript:alert(1)",
            "https://a:b@shop.example/",
            "https://shop.example/#a",
        ] {
            assert!(!taken(text, Environment::Sandbox), "{text}");
        }
        assert!(!taken(&format!("https://shop.example/{}", "x".repeat(2_048)), Environment::Sandbox));
    }

    #[test]
    fn the_signature_is_over_the_bytes_that_are_handed_out() {
        let merchant = MerchantKey::new("SANDBOX-AEXAMPLE", &rsa_pem().into()).unwrap();
        let asked = ButtonAsked {
            store_id: "amzn1.application-oa2-client.0000",
            result_url: &PageUrl::parse("https://shop.example/done?state=1", Environment::Production).unwrap(),
            cancel_url: None,
            amount: Money::from_minor(980, Currency::Jpy),
            every: Some(ButtonInterval { unit: "Month", count: 1 }),
            reference: Some("member-4711"),
        };
        let button = signed(&asked, &merchant).unwrap();
        let verifies = |text: &str| {
            let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, merchant.public_key());
            let signature = BASE64.decode(button.signature.as_bytes()).unwrap();
            key.verify(sign::of_text(text).as_bytes(), &signature).is_ok()
        };
        assert!(verifies(&button.payload) && !verifies(&button.payload.replace("980", "981")));
        assert!(
            button.payload.contains(r#""chargeAmount":{"amount":"980","currencyCode":"JPY"}"#),
            "{}",
            button.payload
        );
        assert!(button.payload.contains(r#""frequency":{"unit":"Month","value":"1"}"#));
        let once = signed(&ButtonAsked { every: None, reference: None, ..asked }, &merchant).unwrap();
        assert!(
            once.payload.contains("OneTime") && !once.payload.contains("recurring") && !once.payload.contains("null")
        );
    }
}
