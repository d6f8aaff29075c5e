//! The operations.

use strum::{EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// An operation of MWS.
#[derive(Clone, Copy, Debug, EnumIter, EnumString, Eq, Hash, IntoStaticStr, PartialEq)]
#[expect(missing_docs, reason = "the variants are the operations' names themselves")]
pub enum MwsAction {
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

impl MwsAction {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The operation of that exact name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Every operation.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Whether it only reads.
    pub(super) const fn reads(self) -> bool {
        matches!(
            self,
            Self::GetOrderReferenceDetails
                | Self::GetAuthorizationDetails
                | Self::GetCaptureDetails
                | Self::GetRefundDetails
                | Self::GetBillingAgreementDetails
        )
    }
}
