//! What a notification of Amazon Pay says, of either generation: what it is about, and whose it is. It is a doorbell. Of what it says of
//! states and amounts nothing is read: those are read at Amazon, by the ids that it names (`PROTOCOL.md`).

use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid, Variant};

use super::mws::notice::NamedInNotice;
use crate::kernel::{AmazonPayId, Environment, PaymentKey};

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A charge; in MWS an authorization.
    Charge,
    /// A capture. Checkout v2 reports it as a charge.
    Capture,
    /// A refund.
    Refund,
    /// What a buyer consented to.
    Consent,
    /// The buyer's bank took a charge back, or asks for that.
    ChargeBack,
    /// Of a kind that says nothing to us, or a sample of Seller Central's.
    Other,
}

/// A notification, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayNotice {
    /// Amazon's id of it; a text that is no UUID is kept as one that derives from it.
    pub reference: Uuid,
    /// Amazon's id of the seller.
    pub seller: String,
    /// The environment, where it says so.
    pub environment: Option<Environment>,
    /// What it is about.
    pub kind: NoticeKind,
    /// Amazon's id of that.
    pub object: Option<AmazonPayId>,
    /// Amazon's id of the consent, where it is named beside.
    pub consent: Option<AmazonPayId>,
    /// The key of ours that it was made under: MWS names it.
    pub key: Option<PaymentKey>,
}

/// It is no notification of Amazon Pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no notification of Amazon Pay: {0}")]
pub struct NotANotice(pub &'static str);

/// A truth, as it comes: `true`, or `"true"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Truth {
    Plain(bool),
    Text(String),
    Other(IgnoredAny),
}

/// The members of both generations. Amazon's pages write them with a small letter and its messages with a capital one.
#[derive(Deserialize)]
struct NoticeBody {
    #[serde(rename = "NotificationType", alias = "notificationType")]
    notification_type: Option<String>,
    #[serde(rename = "NotificationReferenceId")]
    reference_id: Option<String>,
    #[serde(rename = "SellerId")]
    seller_id: Option<String>,
    #[serde(rename = "ReleaseEnvironment")]
    release_environment: Option<String>,
    #[serde(rename = "NotificationData")]
    data: Option<String>,
    #[serde(rename = "IsSample")]
    is_sample: Option<Truth>,
    #[serde(rename = "NotificationVersion", alias = "notificationVersion")]
    version: Option<String>,
    #[serde(rename = "NotificationId", alias = "notificationId")]
    notification_id: Option<String>,
    #[serde(rename = "MerchantID", alias = "merchantID", alias = "merchantId", alias = "MerchantId")]
    merchant_id: Option<String>,
    #[serde(rename = "ObjectType", alias = "objectType")]
    object_type: Option<String>,
    #[serde(rename = "ObjectId", alias = "objectId")]
    object_id: Option<String>,
    #[serde(rename = "ChargePermissionId", alias = "chargePermissionId")]
    charge_permission_id: Option<String>,
}

impl PayNotice {
    /// Reads the text that was published.
    ///
    /// # Errors
    /// [`NotANotice`].
    pub fn read(text: &str) -> Result<Self, NotANotice> {
        // Serde's own error is dropped: it quotes what it read.
        let body: NoticeBody = serde_json::from_str(text).map_err(|_error| NotANotice("its members"))?;
        if body.version.is_some() { body.of_checkout() } else { body.of_mws() }
    }
}

impl NoticeBody {
    fn of_checkout(self) -> Result<PayNotice, NotANotice> {
        let object_type = needed(self.object_type, "ObjectType")?;
        let object = id(self.object_id.as_deref());
        let consent = id(self.charge_permission_id.as_deref());
        let kind = match object_type.as_str() {
            "CHARGE" => NoticeKind::Charge,
            "REFUND" => NoticeKind::Refund,
            "CHARGE_PERMISSION" => NoticeKind::Consent,
            "CHARGEBACK" => NoticeKind::ChargeBack,
            _ => NoticeKind::Other,
        };
        if kind != NoticeKind::Other && self.object_id.is_none() {
            return Err(NotANotice("ObjectId"));
        }
        Ok(PayNotice {
            reference: reference(&needed(self.notification_id, "NotificationId")?),
            seller: needed(self.merchant_id, "MerchantID")?,
            environment: object.as_ref().or(consent.as_ref()).and_then(AmazonPayId::environment),
            kind,
            object,
            consent,
            key: None,
        })
    }

    fn of_mws(self) -> Result<PayNotice, NotANotice> {
        let environment = match needed(self.release_environment, "ReleaseEnvironment")?.as_str() {
            word if word.eq_ignore_ascii_case("Sandbox") => Environment::Sandbox,
            word if word.eq_ignore_ascii_case("Live") => Environment::Production,
            _ => return Err(NotANotice("ReleaseEnvironment")),
        };
        let is_sample = match &self.is_sample {
            Some(Truth::Plain(whether)) => *whether,
            Some(Truth::Text(text)) => text.eq_ignore_ascii_case("true"),
            Some(Truth::Other(_)) | None => false,
        };
        let (named, data) =
            (needed(self.notification_type, "NotificationType")?, needed(self.data, "NotificationData")?);
        // A sample's ids are all zeros.
        let NamedInNotice { kind, object, consent, key } = if is_sample {
            NamedInNotice::default()
        } else {
            NamedInNotice::read(&named, &data).ok_or(NotANotice("NotificationData"))?
        };
        Ok(PayNotice {
            reference: reference(&needed(self.reference_id, "NotificationReferenceId")?),
            seller: needed(self.seller_id, "SellerId")?,
            environment: Some(environment),
            kind,
            object,
            consent,
            key,
        })
    }
}

fn needed(member: Option<String>, name: &'static str) -> Result<String, NotANotice> {
    member.filter(|text| !text.is_empty()).ok_or(NotANotice(name))
}

/// An id of another form names nothing that we have.
pub(super) fn id(text: Option<&str>) -> Option<AmazonPayId> {
    text?.trim().parse().ok()
}

fn reference(text: &str) -> Uuid {
    let plain = Uuid::try_parse(text).ok().filter(|id| id.get_variant() == Variant::RFC4122);
    plain.unwrap_or_else(|| {
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
        Builder::from_custom_bytes(bytes).into_uuid()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mws(kind: &str, data: &str) -> Value {
        json!({
            "NotificationReferenceId": "32d195c3-a829-4222-b1e2-14ab28909513", "NotificationType": kind, "SellerId": "A1SELLER",
            "MarketplaceID": "A1MARKET", "ReleaseEnvironment": "Sandbox", "Version": "2013-01-01", "Timestamp": "2026-11-29T03:55:00Z",
            "NotificationData": data
        })
    }

    fn read(value: &Value) -> Result<PayNotice, NotANotice> {
        PayNotice::read(&value.to_string())
    }

    #[test]
    fn each_kind_of_mws_names_its_object() {
        let of = |kind: &str, data: &str| read(&mws(kind, data)).unwrap();
        let key = "0123456789abcdef0123456789abcdef";
        for (word, root, details, names, kind) in [
            (
                "PaymentAuthorize",
                "AuthorizationNotification",
                "AuthorizationDetails",
                ["AmazonAuthorizationId", "AuthorizationReferenceId"],
                NoticeKind::Charge,
            ),
            (
                "PaymentCapture",
                "CaptureNotification",
                "CaptureDetails",
                ["AmazonCaptureId", "CaptureReferenceId"],
                NoticeKind::Capture,
            ),
            (
                "PaymentRefund",
                "RefundNotification",
                "RefundDetails",
                ["AmazonRefundId", "RefundReferenceId"],
                NoticeKind::Refund,
            ),
        ] {
            let [object, reference] = names;
            let xml = format!(
                "<?xml version=\"1.0\"?><{root} xmlns=\"https://x\"><{details}><{object}>S03-1234567-1234567-A123456</{object}>\
                 <{reference}>{key}</{reference}></{details}></{root}>"
            );
            let notice = of(word, &xml);
            assert_eq!((notice.kind, notice.environment), (kind, Some(Environment::Sandbox)), "{word}");
            assert_eq!(notice.object, id(Some("S03-1234567-1234567-A123456")), "{word}");
            assert_eq!(notice.key.unwrap().as_str(), key, "{word}");
        }
        for (word, xml) in [
            (
                "OrderReferenceNotification",
                "<OrderReferenceNotification><OrderReference><AmazonOrderReferenceId>S03-1234567-1234567</AmazonOrderReferenceId></OrderReference></OrderReferenceNotification>",
            ),
            (
                "BillingAgreementNotification",
                "<BillingAgreementNotification><BillingAgreement><AmazonBillingAgreementId>S03-1234567-1234567</AmazonBillingAgreementId></BillingAgreement></BillingAgreementNotification>",
            ),
        ] {
            let notice = of(word, xml);
            assert_eq!((notice.kind, notice.object), (NoticeKind::Consent, id(Some("S03-1234567-1234567"))), "{word}");
        }
        let charge_back = format!(
            "<ChargebackNotification><ChargebackDetails><AmazonChargebackId>A2EXAMPLE1234</AmazonChargebackId>\
             <AmazonOrderReferenceId>S03-1234567-1234567</AmazonOrderReferenceId><AmazonCaptureReferenceId>{key}</AmazonCaptureReferenceId>\
             </ChargebackDetails></ChargebackNotification>"
        );
        let notice = of("Chargeback Detailed Notification", &charge_back);
        assert_eq!((notice.kind, notice.object), (NoticeKind::ChargeBack, None));
        assert_eq!(notice.key.unwrap().as_str(), key);
        assert_eq!(of("ProviderCredit", "<a/>").kind, NoticeKind::Other);
    }

    #[test]
    fn a_charge_back_of_a_capture_that_was_made_elsewhere_names_no_consent() {
        let of = |reference: &str| {
            let data = format!(
                "<ChargebackNotification><ChargebackDetails>{reference}<AmazonOrderReferenceId>S03-1234567-1234567</AmazonOrderReferenceId>\
                 </ChargebackDetails></ChargebackNotification>"
            );
            read(&mws("Chargeback Detailed Notification", &data)).unwrap()
        };
        let elsewhere = of("<AmazonCaptureReferenceId>seller-central-1</AmazonCaptureReferenceId>");
        assert_eq!((elsewhere.key, elsewhere.consent), (None, None));
        assert_eq!(of("").consent, id(Some("S03-1234567-1234567")), "one that names no capture at all");
    }

    #[test]
    fn a_sample_says_nothing_whatever_is_in_it() {
        for word in [json!(true), json!("true"), json!("TRUE")] {
            let mut sample = mws("PaymentAuthorize", "no xml");
            sample["IsSample"] = word;
            let notice = read(&sample).unwrap();
            assert_eq!((notice.kind, notice.object, notice.key), (NoticeKind::Other, None, None));
        }
        let mut no_sample = mws("PaymentAuthorize", "no xml");
        no_sample["IsSample"] = json!("false");
        assert!(read(&no_sample).is_err());
    }

    #[test]
    fn checkout_v2_names_its_object_in_either_spelling() {
        for (object_type, object, kind) in [
            ("CHARGE", "S03-1234567-1234567-C123456", NoticeKind::Charge),
            ("REFUND", "S03-1234567-1234567-R123456", NoticeKind::Refund),
            ("CHARGE_PERMISSION", "S03-1234567-1234567", NoticeKind::Consent),
            ("CHARGEBACK", "S03-1234567-1234567-B123456", NoticeKind::ChargeBack),
            ("SOMETHING_NEW", "S03-1234567-1234567", NoticeKind::Other),
        ] {
            let large = json!({
                "MerchantID": "A1SELLER", "ObjectType": object_type, "ObjectId": object, "ChargePermissionId": "S03-1234567-1234567",
                "NotificationType": "STATE_CHANGE", "NotificationId": "an id of no known form", "NotificationVersion": "V2"
            });
            let small = json!({
                "merchantId": "A1SELLER", "objectType": object_type, "objectId": object, "chargePermissionId": "S03-1234567-1234567",
                "notificationType": "ATTRIBUTE_CHANGE", "notificationId": "an id of no known form", "notificationVersion": "V2"
            });
            let notice = read(&large).unwrap();
            assert_eq!(notice, read(&small).unwrap());
            assert_eq!((notice.kind, notice.environment), (kind, Some(Environment::Sandbox)));
            assert_eq!(notice.object, id(Some(object)));
            assert_eq!(notice.reference, reference("an id of no known form"));
        }
    }

    #[test]
    fn what_lacks_a_member_is_no_notification() {
        let whole = mws("ProviderCredit", "<a/>");
        for name in
            ["NotificationReferenceId", "NotificationType", "SellerId", "ReleaseEnvironment", "NotificationData"]
        {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&without), Err(NotANotice(name)));
        }
        let whole = json!({
            "MerchantID": "A1", "ObjectType": "CHARGE", "ObjectId": "S03-1234567-1234567-C123456", "NotificationId": "1", "NotificationVersion": "V2"
        });
        for name in ["MerchantID", "ObjectType", "ObjectId", "NotificationId"] {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&without), Err(NotANotice(name)));
        }
        for text in ["", "[]", "{}", "a text", "{\"NotificationType\":7}"] {
            assert!(PayNotice::read(text).is_err(), "{text}");
        }
    }
}
