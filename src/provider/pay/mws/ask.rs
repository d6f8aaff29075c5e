//! The parameters of a call, as a form has them. What Amazon could not take is not written.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::call::{MwsAgreementDetails, MwsAuthorize, MwsCall, MwsCapture, MwsNewOrder, MwsOrderDetails, MwsRefund};
use crate::{
    kernel::{Money, word_methods},
    provider::pay::wire::PayUnwritable,
};

/// Characters of the longest note of an order, a billing agreement, or its end.
const ORDER_NOTE_CHARACTERS_MAX: usize = 1024;
/// Characters of the longest note of what moves money, or of an authorization's end.
const MONEY_NOTE_CHARACTERS_MAX: usize = 255;
/// Characters of the longest word for a buyer's statement.
const SOFT_DESCRIPTOR_CHARACTERS_MAX: usize = 16;
/// How long Amazon may take to decide where nobody waits, in minutes. It is Amazon's own longest.
const WAIT_MINUTES: &str = "1440";

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[expect(missing_docs, reason = "the variants are the operations' names themselves")]
pub enum MwsOperation {
    SetOrderReferenceDetails,
    SetOrderAttributes,
    ConfirmOrderReference,
    GetOrderReferenceDetails,
    Authorize,
    GetAuthorizationDetails,
    Capture,
    GetCaptureDetails,
    Refund,
    GetRefundDetails,
    CloseAuthorization,
    CancelOrderReference,
    CloseOrderReference,
    GetServiceStatus,
    GetBillingAgreementDetails,
    SetBillingAgreementDetails,
    ConfirmBillingAgreement,
    ValidateBillingAgreement,
    AuthorizeOnBillingAgreement,
    CreateOrderReferenceForId,
    CloseBillingAgreement,
}
word_methods!(MwsOperation);

impl MwsOperation {
    /// Whether Amazon asks a bank meanwhile, which takes up to its own 13 seconds.
    pub(super) const fn asks_a_bank(self) -> bool {
        matches!(
            self,
            Self::Authorize
                | Self::AuthorizeOnBillingAgreement
                | Self::Capture
                | Self::Refund
                | Self::ValidateBillingAgreement
        )
    }
}

/// Parameters that are being written.
struct MwsParameters(Vec<(String, String)>);

type WrittenParameters = Result<MwsParameters, PayUnwritable>;

impl MwsParameters {
    fn of(name: &str, value: impl ToString) -> Self {
        Self(vec![(name.to_owned(), value.to_string())])
    }

    fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// A text that may be absent. An empty one is none, and one that is too long is not sent.
    fn text(self, name: impl Into<String>, value: Option<&str>, characters_max: usize) -> WrittenParameters {
        match value.map(|text| (text, text.chars().count())) {
            None | Some((_, 0)) => Ok(self),
            Some((text, characters)) if characters <= characters_max => Ok(self.with(name, text)),
            Some(_) => Err(PayUnwritable),
        }
    }

    fn note(self, name: impl Into<String>, value: Option<&str>) -> WrittenParameters {
        self.text(name, value, ORDER_NOTE_CHARACTERS_MAX)
    }

    /// Nothing, and less, cannot be ordered, held, taken or given back. Yen have no decimals.
    fn money(self, name: &str, money: Money) -> WrittenParameters {
        if money.minor() <= 0 {
            return Err(PayUnwritable);
        }
        let currency = money.currency().code();
        Ok(self.with(format!("{name}.Amount"), money).with(format!("{name}.CurrencyCode"), currency))
    }
}

impl MwsCall {
    /// Which operation it is.
    #[must_use]
    pub const fn operation(&self) -> MwsOperation {
        match self {
            Self::SetOrderReferenceDetails(_) => MwsOperation::SetOrderReferenceDetails,
            Self::SetOrderAttributes(_) => MwsOperation::SetOrderAttributes,
            Self::ConfirmOrderReference(_) => MwsOperation::ConfirmOrderReference,
            Self::GetOrderReferenceDetails(_) => MwsOperation::GetOrderReferenceDetails,
            Self::Authorize(_) => MwsOperation::Authorize,
            Self::GetAuthorizationDetails(_) => MwsOperation::GetAuthorizationDetails,
            Self::Capture(_) => MwsOperation::Capture,
            Self::GetCaptureDetails(_) => MwsOperation::GetCaptureDetails,
            Self::Refund(_) => MwsOperation::Refund,
            Self::GetRefundDetails(_) => MwsOperation::GetRefundDetails,
            Self::CloseAuthorization(..) => MwsOperation::CloseAuthorization,
            Self::CancelOrderReference(..) => MwsOperation::CancelOrderReference,
            Self::CloseOrderReference(..) => MwsOperation::CloseOrderReference,
            Self::GetServiceStatus => MwsOperation::GetServiceStatus,
            Self::GetBillingAgreementDetails(_) => MwsOperation::GetBillingAgreementDetails,
            Self::SetBillingAgreementDetails(_) => MwsOperation::SetBillingAgreementDetails,
            Self::ConfirmBillingAgreement(_) => MwsOperation::ConfirmBillingAgreement,
            Self::ValidateBillingAgreement(_) => MwsOperation::ValidateBillingAgreement,
            Self::AuthorizeOnBillingAgreement(_) => MwsOperation::AuthorizeOnBillingAgreement,
            Self::CreateOrderReferenceForId(_) => MwsOperation::CreateOrderReferenceForId,
            Self::CloseBillingAgreement(..) => MwsOperation::CloseBillingAgreement,
        }
    }

    /// Its own parameters. A repetition has the same.
    pub(super) fn parameters(&self) -> Result<Vec<(String, String)>, PayUnwritable> {
        let (order, agreement) = ("AmazonOrderReferenceId", "AmazonBillingAgreementId");
        let authorization = "AmazonAuthorizationId";
        let form = match self {
            Self::SetOrderReferenceDetails(details) if details.total.is_none() => return Err(PayUnwritable),
            Self::SetOrderReferenceDetails(details) => order_details(details, "OrderReferenceAttributes")?,
            Self::SetOrderAttributes(details) => order_details(details, "OrderAttributes")?,
            Self::ConfirmOrderReference(id) | Self::GetOrderReferenceDetails(id) => MwsParameters::of(order, id),
            Self::Authorize(asked) => authorize(asked, order)?,
            Self::AuthorizeOnBillingAgreement(asked) => {
                let form = authorize(asked, agreement)?;
                match &asked.seller_order_id {
                    Some(id) => form.with("SellerOrderAttributes.SellerOrderId", id),
                    None => form,
                }
            }
            Self::GetAuthorizationDetails(id) => MwsParameters::of(authorization, id),
            Self::Capture(asked) => capture(asked)?,
            Self::GetCaptureDetails(id) => MwsParameters::of("AmazonCaptureId", id),
            Self::Refund(asked) => refund(asked)?,
            Self::GetRefundDetails(id) => MwsParameters::of("AmazonRefundId", id),
            Self::CloseAuthorization(id, reason) => {
                MwsParameters::of(authorization, id).text("ClosureReason", Some(reason), MONEY_NOTE_CHARACTERS_MAX)?
            }
            Self::CancelOrderReference(id, reason) => {
                MwsParameters::of(order, id).note("CancelationReason", Some(reason))?
            }
            Self::CloseOrderReference(id, reason) => {
                MwsParameters::of(order, id).note("ClosureReason", Some(reason))?
            }
            Self::GetServiceStatus => MwsParameters(Vec::new()),
            Self::GetBillingAgreementDetails(id)
            | Self::ConfirmBillingAgreement(id)
            | Self::ValidateBillingAgreement(id) => MwsParameters::of(agreement, id),
            Self::SetBillingAgreementDetails(details) => agreement_details(details)?,
            Self::CreateOrderReferenceForId(asked) => new_order(asked)?,
            Self::CloseBillingAgreement(id, reason) => {
                MwsParameters::of(agreement, id).note("ClosureReason", Some(reason))?
            }
        };
        Ok(form.0)
    }
}

fn order_details(details: &MwsOrderDetails, prefix: &str) -> WrittenParameters {
    let MwsOrderDetails { order, total, seller_note, seller_order_id, store_name, custom_information } = details;
    let mut form = MwsParameters::of("AmazonOrderReferenceId", order);
    if let Some(total) = total {
        form = form.money(&format!("{prefix}.OrderTotal"), *total)?;
    }
    if let Some(id) = seller_order_id {
        form = form.with(format!("{prefix}.SellerOrderAttributes.SellerOrderId"), id);
    }
    form.note(format!("{prefix}.SellerNote"), seller_note.as_deref())?
        .note(format!("{prefix}.SellerOrderAttributes.StoreName"), store_name.as_deref())?
        .note(format!("{prefix}.SellerOrderAttributes.CustomInformation"), custom_information.as_deref())
}

fn agreement_details(details: &MwsAgreementDetails) -> WrittenParameters {
    let MwsAgreementDetails { agreement, seller_note, seller_agreement_id, store_name, custom_information } = details;
    let (prefix, own) = ("BillingAgreementAttributes", "BillingAgreementAttributes.SellerBillingAgreementAttributes");
    let mut form = MwsParameters::of("AmazonBillingAgreementId", agreement);
    if let Some(id) = seller_agreement_id {
        form = form.with(format!("{own}.SellerBillingAgreementId"), id);
    }
    let form = form
        .note(format!("{prefix}.SellerNote"), seller_note.as_deref())?
        .note(format!("{own}.StoreName"), store_name.as_deref())?
        .note(format!("{own}.CustomInformation"), custom_information.as_deref())?;
    // Amazon asks for one at least.
    if form.0.len() > 1 { Ok(form) } else { Err(PayUnwritable) }
}

fn authorize(asked: &MwsAuthorize, consent: &str) -> WrittenParameters {
    let MwsAuthorize { amount, may_wait, capture_now, .. } = asked;
    if asked.soft_descriptor.is_some() && !capture_now {
        return Err(PayUnwritable);
    }
    MwsParameters::of(consent, &asked.consent)
        .with("AuthorizationReferenceId", &asked.key)
        .money("AuthorizationAmount", *amount)?
        .with("TransactionTimeout", if *may_wait { WAIT_MINUTES } else { "0" })
        .with("CaptureNow", capture_now)
        .text("SellerAuthorizationNote", asked.note.as_deref(), MONEY_NOTE_CHARACTERS_MAX)?
        .text("SoftDescriptor", asked.soft_descriptor.as_deref(), SOFT_DESCRIPTOR_CHARACTERS_MAX)
}

fn capture(asked: &MwsCapture) -> WrittenParameters {
    MwsParameters::of("AmazonAuthorizationId", &asked.authorization)
        .with("CaptureReferenceId", &asked.key)
        .money("CaptureAmount", asked.amount)?
        .text("SellerCaptureNote", asked.note.as_deref(), MONEY_NOTE_CHARACTERS_MAX)?
        .text("SoftDescriptor", asked.soft_descriptor.as_deref(), SOFT_DESCRIPTOR_CHARACTERS_MAX)
}

fn refund(asked: &MwsRefund) -> WrittenParameters {
    MwsParameters::of("AmazonCaptureId", &asked.capture)
        .with("RefundReferenceId", &asked.key)
        .money("RefundAmount", asked.amount)?
        .text("SellerRefundNote", asked.note.as_deref(), MONEY_NOTE_CHARACTERS_MAX)?
        .text("SoftDescriptor", asked.soft_descriptor.as_deref(), SOFT_DESCRIPTOR_CHARACTERS_MAX)
}

fn new_order(asked: &MwsNewOrder) -> WrittenParameters {
    let form = MwsParameters::of("Id", &asked.agreement)
        .with("IdType", "BillingAgreement")
        .with("InheritShippingAddress", asked.inherit_shipping_address)
        .with("ConfirmNow", asked.total.is_some());
    match asked.total {
        Some(total) => form.money("OrderReferenceAttributes.OrderTotal", total),
        None => Ok(form),
    }
}

#[cfg(test)]
mod tests;
