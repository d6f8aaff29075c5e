//! Amazon Pay, as its merchants, buyers and banks see it.

use super::{Control, ControlError};
use crate::sandbox::pay::{
    ConsentAct, NewConsent, NewPayMerchant, PaySettlement, PressedButton, SellerAct, SessionAct, ShownCharge,
    ShownConsent, ShownPayMerchant, ShownRefund, ShownSession,
};

impl Control {
    /// The public keys that merchants registered.
    #[must_use]
    pub fn pay_merchants(&self) -> Vec<ShownPayMerchant> {
        self.world.pay.merchants.all()
    }

    /// Registers a merchant's public key, or replaces the one of that id.
    pub fn register_pay_merchant(&self, new: NewPayMerchant) -> Result<(), ControlError> {
        self.world.pay.merchants.register(new).map_err(ControlError::Rule)
    }

    /// Every charge permission, oldest first.
    #[must_use]
    pub fn pay_permissions(&self) -> Vec<ShownConsent> {
        self.world.pay.book.shown_consents(self.world.clock.now())
    }

    /// Makes a charge permission, as a buyer's consent does, and returns its id.
    pub fn consent(&self, new: NewConsent) -> Result<String, ControlError> {
        let world = &self.world;
        world.pay.book.consent(new, world.clock.now(), &world.chance).map_err(ControlError::Rule)
    }

    /// Suspends, mends or closes a charge permission.
    pub fn act_on_consent(&self, act: ConsentAct) -> Result<(), ControlError> {
        self.world.pay.book.act(act, self.world.clock.now()).map_err(ControlError::Rule)
    }

    /// Every charge, oldest first.
    #[must_use]
    pub fn charges(&self) -> Vec<ShownCharge> {
        self.world.pay.book.shown_charges(self.world.clock.now())
    }

    /// Does to a charge what its merchant's own staff does in Seller Central.
    pub fn act_on_charge(&self, act: &SellerAct) -> Result<(), ControlError> {
        self.world.pay.book.act_as_seller(act, self.world.clock.now()).map_err(ControlError::Rule)
    }

    /// Every refund, oldest first.
    #[must_use]
    pub fn refunds(&self) -> Vec<ShownRefund> {
        self.world.pay.book.shown_refunds(self.world.clock.now())
    }

    /// Declines a pending authorization, capture or refund.
    pub fn decline_pending(&self, settlement: &PaySettlement) -> Result<(), ControlError> {
        self.world.pay.book.decline(settlement, self.world.clock.now()).map_err(ControlError::Rule)
    }

    /// A buyer presses a merchant's button and agrees.
    pub fn press_button(&self, pressed: &PressedButton) -> Result<ShownSession, ControlError> {
        let world = &self.world;
        let opened = world.pay.press(pressed, world.clock.now(), &world.chance);
        opened.map_err(|refused| ControlError::Rule(format!("{}: {}", refused.reason, refused.message)))
    }

    /// A buyer goes back from Amazon's page.
    pub fn act_on_session(&self, act: SessionAct) -> Result<(), ControlError> {
        self.world.pay.book.act_on_session(act, self.world.clock.now()).map_err(ControlError::Rule)
    }

    /// Every checkout session, oldest first.
    #[must_use]
    pub fn pay_sessions(&self) -> Vec<ShownSession> {
        self.world.pay.book.shown_sessions(self.world.clock.now())
    }
}
