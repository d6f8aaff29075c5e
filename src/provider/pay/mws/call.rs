//! What is asked of MWS: each operation of the two guides, with the parameters that they name.

use crate::{
    kernel::Money,
    provider::pay::ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey, PayReference, checked_text},
};

checked_text! {
    /// Amazon's id of a capture: what a refund is made against.
    MwsCaptureId: |text| crate::provider::pay::ids::is_amazons(text);
}

/// What a seller says of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsOrderDetails {
    /// The order reference.
    pub order: AmazonPermissionId,
    /// How much in all. `SetOrderReferenceDetails` needs it.
    pub total: Option<Money>,
    /// For the buyer's mails: up to 1,024 characters.
    pub seller_note: Option<String>,
    /// The seller's own number.
    pub seller_order_id: Option<PayReference>,
    /// The shop, where it is not the account's name.
    pub store_name: Option<String>,
    /// For the seller's reports: up to 1,024 characters.
    pub custom_information: Option<String>,
}

/// What a seller says of a billing agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsAgreementDetails {
    /// The billing agreement.
    pub agreement: AmazonPermissionId,
    /// For the buyer's mails, and what Amazon's sandbox simulates of a validation: up to 1,024 characters.
    pub seller_note: Option<String>,
    /// The seller's own number.
    pub seller_agreement_id: Option<PayReference>,
    /// The shop, where it is not the account's name.
    pub store_name: Option<String>,
    /// For the seller's reports: up to 1,024 characters.
    pub custom_information: Option<String>,
}

/// Money that is to be held, of an order or of a billing agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsAuthorize {
    /// The order reference, or the billing agreement.
    pub consent: AmazonPermissionId,
    /// The authorization's reference id: under it Amazon makes it once.
    pub key: PayKey,
    /// How much.
    pub amount: Money,
    /// Amazon may decide within a day. Otherwise it decides within the call.
    pub may_wait: bool,
    /// The money is taken with it.
    pub capture_now: bool,
    /// For the buyer's mail, and what Amazon's sandbox simulates: up to 255 characters.
    pub note: Option<String>,
    /// For the buyer's statement: up to 16 characters, only with `capture_now`.
    pub soft_descriptor: Option<String>,
    /// The seller's own number of the order that an authorization on a billing agreement makes.
    pub seller_order_id: Option<PayReference>,
}

/// Money that was held and is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsCapture {
    /// Of which authorization.
    pub authorization: AmazonChargeId,
    /// The capture's reference id: under it Amazon makes it once.
    pub key: PayKey,
    /// How much.
    pub amount: Money,
    /// For the buyer's mail, and what Amazon's sandbox simulates: up to 255 characters.
    pub note: Option<String>,
    /// For the buyer's statement: up to 16 characters.
    pub soft_descriptor: Option<String>,
}

/// Money that was taken and is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsRefund {
    /// Of which capture.
    pub capture: MwsCaptureId,
    /// The refund's reference id: under it Amazon makes it once.
    pub key: PayKey,
    /// How much.
    pub amount: Money,
    /// For the buyer's mail, and what Amazon's sandbox simulates: up to 255 characters.
    pub note: Option<String>,
    /// For the buyer's statement: up to 16 characters.
    pub soft_descriptor: Option<String>,
}

/// An order that is to be made of a billing agreement. Amazon names no key of it: it is never sent twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MwsNewOrder {
    /// The billing agreement.
    pub agreement: AmazonPermissionId,
    /// How much; with it the order is confirmed at once.
    pub total: Option<Money>,
    /// The order has the agreement's address.
    pub inherit_shipping_address: bool,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the operations' names themselves; `PROTOCOL.md` says what each does")]
pub enum MwsCall {
    SetOrderReferenceDetails(MwsOrderDetails),
    SetOrderAttributes(MwsOrderDetails),
    ConfirmOrderReference(AmazonPermissionId),
    GetOrderReferenceDetails(AmazonPermissionId),
    Authorize(MwsAuthorize),
    GetAuthorizationDetails(AmazonChargeId),
    Capture(MwsCapture),
    GetCaptureDetails(MwsCaptureId),
    Refund(MwsRefund),
    GetRefundDetails(AmazonRefundId),
    CloseAuthorization(AmazonChargeId, String),
    CancelOrderReference(AmazonPermissionId, String),
    CloseOrderReference(AmazonPermissionId, String),
    GetServiceStatus,
    GetBillingAgreementDetails(AmazonPermissionId),
    SetBillingAgreementDetails(MwsAgreementDetails),
    ConfirmBillingAgreement(AmazonPermissionId),
    ValidateBillingAgreement(AmazonPermissionId),
    AuthorizeOnBillingAgreement(MwsAuthorize),
    CreateOrderReferenceForId(MwsNewOrder),
    CloseBillingAgreement(AmazonPermissionId, String),
}
