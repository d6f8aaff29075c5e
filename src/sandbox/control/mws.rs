//! MWS, as its sellers, buyers and banks see it.

use super::{Control, ControlError};
use crate::sandbox::mws::{
    MwsBuyerAct, NewMwsAgreement, NewMwsOrder, NewMwsSeller, ShownMwsAuthorization, ShownMwsCapture, ShownMwsConsent,
    ShownMwsRefund, ShownMwsSeller,
};

impl Control {
    /// The access keys of sellers.
    #[must_use]
    pub fn mws_sellers(&self) -> Vec<ShownMwsSeller> {
        self.world.mws.sellers.all()
    }

    /// Registers a seller's access key, or replaces the one of that id.
    pub fn register_mws_seller(&self, new: NewMwsSeller) -> Result<(), ControlError> {
        self.world.mws.sellers.register(new).map_err(ControlError::Rule)
    }

    /// Every order reference and billing agreement, oldest first.
    #[must_use]
    pub fn mws_consents(&self) -> Vec<ShownMwsConsent> {
        self.world.mws.book.shown_consents(self.world.clock.now())
    }

    /// Makes an order reference, as a buyer's page does, and returns its id.
    pub fn mws_order(&self, new: NewMwsOrder) -> Result<String, ControlError> {
        let world = &self.world;
        world.mws.book.order(new, world.clock.now(), &world.chance).map_err(ControlError::Rule)
    }

    /// Makes a billing agreement, as a buyer's page does, and returns its id.
    pub fn mws_agreement(&self, new: NewMwsAgreement) -> Result<String, ControlError> {
        let world = &self.world;
        world.mws.book.agreement(new, world.clock.now(), &world.chance).map_err(ControlError::Rule)
    }

    /// Agrees to, suspends, mends or closes an order or an agreement.
    pub fn act_in_mws(&self, act: MwsBuyerAct) -> Result<(), ControlError> {
        self.world.mws.book.act(act, self.world.clock.now()).map_err(ControlError::Rule)
    }

    /// Every authorization, oldest first.
    #[must_use]
    pub fn mws_authorizations(&self) -> Vec<ShownMwsAuthorization> {
        self.world.mws.book.shown_authorizations(self.world.clock.now())
    }

    /// Every capture, oldest first.
    #[must_use]
    pub fn mws_captures(&self) -> Vec<ShownMwsCapture> {
        self.world.mws.book.shown_captures(self.world.clock.now())
    }

    /// Every refund, oldest first.
    #[must_use]
    pub fn mws_refunds(&self) -> Vec<ShownMwsRefund> {
        self.world.mws.book.shown_mws_refunds(self.world.clock.now())
    }
}
