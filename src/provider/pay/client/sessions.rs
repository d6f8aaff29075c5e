//! Checkout sessions, and the button that a buyer begins one with.

use super::{PayAsk, PayClient, PayExchange, PayOperation, PoisonError};
use crate::{
    kernel::Money,
    provider::pay::{
        button::{self, ButtonAsked, SignedButton},
        classify,
        ids::AmazonSessionId,
        outcome::SessionSeen,
        wire,
    },
};

impl PayClient {
    /// Reads a checkout session.
    pub async fn get_checkout_session(&self, id: &AmazonSessionId) -> PayExchange<SessionSeen> {
        let (path, body) = (format!("checkoutSessions/{id}"), Ok(Vec::new()));
        let ask = PayAsk { operation: PayOperation::GetCheckoutSession, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_session(reply, id, self.environment())).await
    }

    /// Takes up what the buyer agreed to in a session: it becomes a charge permission. Amazon takes no idempotency key here: of one that is
    /// completed already it says so, and [`get_checkout_session`](Self::get_checkout_session) shows what came of it.
    pub async fn complete_checkout_session(&self, id: &AmazonSessionId, amount: Money) -> PayExchange<SessionSeen> {
        let body = self.taken(amount).and_then(wire::complete_session);
        let (operation, path) = (PayOperation::CompleteCheckoutSession, format!("checkoutSessions/{id}/complete"));
        let ask = PayAsk { operation, path, key: None, body };
        self.exchange(ask, |reply| classify::seen_session(reply, id, self.environment())).await
    }

    /// A button for a page. `None` where the amount is in a currency that the region does not take.
    #[must_use]
    pub fn button(&self, asked: &ButtonAsked<'_>) -> Option<SignedButton> {
        self.taken(asked.amount).ok()?;
        let merchant = self.inner.key.read().unwrap_or_else(PoisonError::into_inner).clone();
        button::signed(asked, &merchant)
    }

    /// The id of the public key that calls and buttons are signed with now.
    #[must_use]
    pub fn public_key_id(&self) -> String {
        self.inner.key.read().unwrap_or_else(PoisonError::into_inner).public_key_id().to_owned()
    }
}
