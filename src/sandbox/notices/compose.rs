//! What a message says, and the envelope around it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{NewNoticeReceiver, NoticeGeneration, Outgoing};
use crate::sandbox::world::World;

/// How something stands that notifications are sent about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::sandbox) struct NoticeState {
    pub(in crate::sandbox) merchant_id: String,
    /// Amazon's word for what it is: `CHARGE`, `REFUND`, `CHARGE_PERMISSION`, or in MWS the notification's type.
    pub(in crate::sandbox) kind: &'static str,
    pub(in crate::sandbox) id: String,
    /// The consent, or in MWS the order.
    pub(in crate::sandbox) under: String,
    /// In MWS: the seller's reference id.
    pub(in crate::sandbox) reference: String,
    pub(in crate::sandbox) state: String,
}

/// Under which certificate a message is signed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NoticeCertificate {
    /// SNS's.
    #[default]
    Good,
    /// SNS's, which held in 2014.
    Expired,
    /// Another's.
    OfAnother,
    /// None lies there.
    Missing,
}

/// A message that a test sends itself. What is left out is as SNS has it.
#[derive(Clone, Debug, Default)]
pub struct NoticeDraft {
    /// What is published.
    pub message: String,
    /// `Notification` when left out.
    pub kind: Option<String>,
    /// SNS's id of it; a new one when left out.
    pub message_id: Option<String>,
    /// Where it is published; the receiver's topic when left out.
    pub topic: Option<String>,
    /// A subject.
    pub subject: Option<String>,
    /// `1` or `2`; the receiver's when left out.
    pub signature_version: Option<String>,
    /// The certificate.
    pub certificate: NoticeCertificate,
    /// Where the certificate is said to lie; where it does when left out.
    pub certificate_url: Option<String>,
    /// Of a subscription: its token.
    pub token: Option<String>,
}

/// A message whose envelope is closed.
pub(super) struct Closed {
    pub(super) message_id: String,
    pub(super) body: String,
    pub(super) topic: String,
}

/// Puts a draft into an envelope, and signs it.
pub(super) fn close(world: &World, receiver: &NewNoticeReceiver, draft: NoticeDraft) -> Result<Closed, String> {
    let signer = world.notices.signer(world)?;
    let address = world.front;
    let message_id = draft.message_id.unwrap_or_else(|| world.chance.request_id());
    let topic = draft.topic.unwrap_or_else(|| receiver.topic());
    let kind = draft.kind.unwrap_or_else(|| "Notification".to_owned());
    let version = draft.signature_version.unwrap_or_else(|| receiver.signature_version.clone());
    let timestamp = world.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let subscribe_url = draft
        .token
        .as_ref()
        .map(|token| format!("http://{address}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}"));
    let mut signed = format!("Message\n{}\nMessageId\n{message_id}\n", draft.message);
    if let (true, Some(subject)) = (kind == "Notification", &draft.subject) {
        signed.push_str(&format!("Subject\n{subject}\n"));
    }
    if let Some(url) = &subscribe_url {
        signed.push_str(&format!("SubscribeURL\n{url}\n"));
    }
    signed.push_str(&format!("Timestamp\n{timestamp}\n"));
    if let Some(token) = &draft.token {
        signed.push_str(&format!("Token\n{token}\n"));
    }
    signed.push_str(&format!("TopicArn\n{topic}\nType\n{kind}\n"));
    let here = || format!("http://{address}{}", signer.path(draft.certificate));
    let mut envelope = json!({
        "Type": kind, "MessageId": message_id, "TopicArn": topic, "Message": draft.message, "Timestamp": timestamp,
        "SignatureVersion": version, "Signature": signer.sign(&version, &signed),
        "SigningCertURL": draft.certificate_url.unwrap_or_else(here),
        "UnsubscribeURL": format!("http://{address}/?Action=Unsubscribe"),
    });
    for (name, value) in [("Subject", draft.subject), ("SubscribeURL", subscribe_url), ("Token", draft.token)] {
        if let (Some(value), Some(members)) = (value, envelope.as_object_mut()) {
            members.insert(name.to_owned(), Value::String(value));
        }
    }
    Ok(Closed { message_id, body: envelope.to_string(), topic })
}

/// A message about something that changed.
pub(super) fn about(world: &World, receiver: &NewNoticeReceiver, state: &NoticeState) -> Result<Outgoing, String> {
    let message = match receiver.generation {
        NoticeGeneration::CheckoutV2 => of_checkout(world, state),
        NoticeGeneration::Mws => of_mws(world, receiver, state),
    };
    let closed = close(world, receiver, NoticeDraft { message, ..NoticeDraft::default() })?;
    Ok(outgoing(receiver, closed, state.id.clone(), "Notification", world.clock.now()))
}

pub(super) fn outgoing(
    receiver: &NewNoticeReceiver,
    closed: Closed,
    about: String,
    kind: &'static str,
    due: DateTime<Utc>,
) -> Outgoing {
    Outgoing {
        message_id: closed.message_id,
        merchant_id: receiver.merchant_id.clone(),
        about,
        url: receiver.url.clone(),
        topic: closed.topic,
        kind,
        body: closed.body,
        due: Some(due),
        status: "waiting",
        attempts: 0,
        answer: None,
        is_under_way: false,
    }
}

fn of_checkout(world: &World, state: &NoticeState) -> String {
    let NoticeState { merchant_id, kind, id, under, .. } = state;
    json!({
        "MerchantID": merchant_id, "ObjectType": kind, "ObjectId": id, "ChargePermissionId": under,
        "NotificationType": "STATE_CHANGE", "NotificationId": world.chance.request_id(), "NotificationVersion": "V2",
    })
    .to_string()
}

pub(super) fn of_mws(world: &World, receiver: &NewNoticeReceiver, state: &NoticeState) -> String {
    json!({
        "NotificationReferenceId": world.chance.request_id(), "NotificationType": state.kind, "SellerId": state.merchant_id,
        "MarketplaceID": receiver.marketplace_id, "ReleaseEnvironment": "Sandbox", "Version": "2013-01-01",
        "Timestamp": world.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true), "NotificationData": xml(state),
    })
    .to_string()
}

/// Objects stand in the notification as Amazon's samples have them, as far as a receiver needs them. Names and mail addresses of buyers, which
/// some of Amazon's carry, are not among it.
fn xml(state: &NoticeState) -> String {
    let NoticeState { kind, id, under, reference, state, .. } = state;
    let standing = |name: &str| format!("<{name}><State>{state}</State></{name}>");
    let (root, around, inside) = match *kind {
        "PaymentAuthorize" => (
            "AuthorizationNotification",
            "AuthorizationDetails",
            format!(
                "<AmazonAuthorizationId>{id}</AmazonAuthorizationId><AuthorizationReferenceId>{reference}</AuthorizationReferenceId>{}",
                standing("AuthorizationStatus")
            ),
        ),
        "PaymentCapture" => (
            "CaptureNotification",
            "CaptureDetails",
            format!(
                "<AmazonCaptureId>{id}</AmazonCaptureId><CaptureReferenceId>{reference}</CaptureReferenceId>{}",
                standing("CaptureStatus")
            ),
        ),
        "PaymentRefund" => (
            "RefundNotification",
            "RefundDetails",
            format!(
                "<AmazonRefundId>{id}</AmazonRefundId><RefundReferenceId>{reference}</RefundReferenceId>{}",
                standing("RefundStatus")
            ),
        ),
        "BillingAgreementNotification" => (
            "BillingAgreementNotification",
            "BillingAgreement",
            format!("<AmazonBillingAgreementId>{id}</AmazonBillingAgreementId>{}", standing("BillingAgreementStatus")),
        ),
        "OrderReferenceNotification" => (
            "OrderReferenceNotification",
            "OrderReference",
            format!("<AmazonOrderReferenceId>{id}</AmazonOrderReferenceId>{}", standing("OrderReferenceStatus")),
        ),
        _ => (
            "ChargebackNotification",
            "ChargebackDetails",
            format!(
                "<AmazonChargebackId>{id}</AmazonChargebackId><AmazonOrderReferenceId>{under}</AmazonOrderReferenceId>\
                 <AmazonCaptureReferenceId>{reference}</AmazonCaptureReferenceId><ChargebackState>RECEIVED</ChargebackState>"
            ),
        ),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root} xmlns=\"https://mws.amazonservices.com/ipn/OffAmazonPayments/2013-01-01\">\
         <{around}>{inside}</{around}></{root}>"
    )
}
