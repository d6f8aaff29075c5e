//! The XML inside a notification of MWS: which object it names. Its namespace is another than that of answers, so names are local.

use super::xml::XmlNode;
use crate::{
    kernel::{AmazonPayId, PaymentKey},
    provider::pay::notice::{NoticeKind, id},
};

/// Characters of a key of ours, of a-f and 0-9.
const KEY_LENGTH: usize = 32;

/// What is named in it.
pub(in crate::provider::pay) struct NamedInNotice {
    pub(in crate::provider::pay) kind: NoticeKind,
    pub(in crate::provider::pay) object: Option<AmazonPayId>,
    pub(in crate::provider::pay) consent: Option<AmazonPayId>,
    pub(in crate::provider::pay) key: Option<PaymentKey>,
}

impl Default for NamedInNotice {
    fn default() -> Self {
        Self { kind: NoticeKind::Other, object: None, consent: None, key: None }
    }
}

impl NamedInNotice {
    /// Reads it; `None` where it is not what the notification's type says. Of a type that we do not know nothing is read.
    pub(in crate::provider::pay) fn read(notification_type: &str, data: &str) -> Option<Self> {
        let (kind, around, object, reference) = match notification_type {
            "PaymentAuthorize" => {
                (NoticeKind::Charge, "AuthorizationDetails", "AmazonAuthorizationId", "AuthorizationReferenceId")
            }
            "PaymentCapture" => (NoticeKind::Capture, "CaptureDetails", "AmazonCaptureId", "CaptureReferenceId"),
            "PaymentRefund" => (NoticeKind::Refund, "RefundDetails", "AmazonRefundId", "RefundReferenceId"),
            "OrderReferenceNotification" => (NoticeKind::Consent, "OrderReference", "AmazonOrderReferenceId", ""),
            "BillingAgreementNotification" => (NoticeKind::Consent, "BillingAgreement", "AmazonBillingAgreementId", ""),
            // With blanks, on the wire.
            "Chargeback Detailed Notification" | "ChargebackNotification" => {
                (NoticeKind::ChargeBack, "ChargebackDetails", "", "AmazonCaptureReferenceId")
            }
            _ => return Some(Self::default()),
        };
        let root = XmlNode::document(data.as_bytes()).ok()?;
        let details = root.child(around)?;
        let text = |name: &str| details.text(&[name]);
        let object_is_named = object.is_empty() || text(object).is_some();
        let key = text(reference).and_then(key);
        // A charge-back of a capture that was made elsewhere is of none of ours, whatever else was paid under that order.
        let is_elsewhere = kind == NoticeKind::ChargeBack && key.is_none() && text(reference).is_some();
        let consent = if is_elsewhere { None } else { id(text("AmazonOrderReferenceId")) };
        object_is_named.then(|| Self { kind, object: id(text(object)), consent, key })
    }
}

/// A reference id that is a key of ours.
fn key(text: &str) -> Option<PaymentKey> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == KEY_LENGTH && text.bytes().all(hex)).then(|| PaymentKey::from_stored(text.to_owned()))
}
