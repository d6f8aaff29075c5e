//! The way to Amazon Pay of one account: by Checkout v2, or by MWS, the generation before. Both make, read and end the same things, and say
//! what came of it in the same words.

use super::{
    client::{LiveKey, PayClient, PayExchange},
    ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey, SimulationCode},
    mws::MwsClient,
    outcome::{ChargeSeen, PayOutcome, PermissionSeen, RefundSeen},
    wire::ChargeAsked,
};
use crate::kernel::{Intent, Money, PaymentKey};

/// Where in an id of either generation the letter of its kind stands: behind the 19 characters of the order's, and a hyphen.
const LETTER_AT: usize = 20;

/// The way of one account. Cheap to clone.
#[derive(Clone)]
pub enum PayDriver {
    /// Checkout v2.
    CheckoutV2(PayClient),
    /// MWS.
    Mws(MwsClient),
}

impl PayDriver {
    /// Its word in the settings.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::CheckoutV2(_) => "checkout_v2",
            Self::Mws(_) => "mws",
        }
    }

    /// The client of Checkout v2, where it is that: the older generation has neither sessions nor signed buttons.
    #[must_use]
    pub const fn checkout_v2(&self) -> Option<&PayClient> {
        match self {
            Self::CheckoutV2(client) => Some(client),
            Self::Mws(_) => None,
        }
    }

    /// The key of an intent. It is another in each generation: what is unproven in the one is unknown to the other, and would be made a
    /// second time there.
    #[must_use]
    pub fn key(&self, intent: &Intent) -> PaymentKey {
        match self {
            Self::CheckoutV2(_) => PaymentKey::derive(intent),
            Self::Mws(_) => PaymentKey::derive_in_mws(intent),
        }
    }

    /// Whether a charge of this id can be dealt with. Checkout v2 knows those of MWS under ids of its own, and MWS none of Checkout v2.
    #[must_use]
    pub fn knows(&self, charge: &str) -> bool {
        match self {
            Self::CheckoutV2(_) => true,
            Self::Mws(_) => charge.as_bytes().get(LETTER_AT) == Some(&b'A'),
        }
    }

    /// Whether a charge, or a refund, can be simulated so.
    #[must_use]
    pub fn simulates(&self, refund: bool, code: &SimulationCode) -> bool {
        match self {
            Self::CheckoutV2(_) => true,
            Self::Mws(_) => MwsClient::simulates(refund, code),
        }
    }

    /// The same way, whose calls ask Amazon's sandbox to simulate something.
    ///
    /// # Errors
    /// [`LiveKey`] in the production environment.
    pub fn simulating(&self, code: SimulationCode) -> Result<Self, LiveKey> {
        match self {
            Self::CheckoutV2(client) => client.simulating(code).map(Self::CheckoutV2),
            Self::Mws(client) => client.simulating(code).map(Self::Mws),
        }
    }

    /// Makes the charge of this key, or, if it was made, shows it again. A repetition asks for the same.
    pub async fn create_charge(&self, key: &PayKey, asked: &ChargeAsked) -> PayExchange<ChargeSeen> {
        match self {
            Self::CheckoutV2(client) => client.create_charge(key, asked).await,
            Self::Mws(client) => client.create_charge(key, asked).await,
        }
    }

    /// Reads a charge.
    pub async fn get_charge(&self, id: &AmazonChargeId) -> PayExchange<ChargeSeen> {
        match self {
            Self::CheckoutV2(client) => client.get_charge(&in_checkout(id)).await,
            Self::Mws(client) => client.get_charge(id).await,
        }
    }

    /// Takes the money of an authorized charge, all or a part, once.
    pub async fn capture_charge(&self, key: &PayKey, id: &AmazonChargeId, amount: Money) -> PayExchange<ChargeSeen> {
        match self {
            Self::CheckoutV2(client) => client.capture_charge(key, &in_checkout(id), amount).await,
            Self::Mws(client) => client.capture_charge(key, id, amount).await,
        }
    }

    /// Gives back what a charge holds and has not taken. The reason is for people.
    pub async fn cancel_charge(&self, id: &AmazonChargeId, reason: &str) -> PayExchange<ChargeSeen> {
        match self {
            Self::CheckoutV2(client) => client.cancel_charge(&in_checkout(id), reason).await,
            Self::Mws(client) => client.cancel_charge(id, reason).await,
        }
    }

    /// Makes the refund of this key, or, if it was made, shows it again.
    pub async fn create_refund(&self, key: &PayKey, charge: &AmazonChargeId, amount: Money) -> PayExchange<RefundSeen> {
        match self {
            Self::CheckoutV2(client) => {
                let there = in_checkout(charge);
                under(charge, &there, client.create_refund(key, &there, amount).await)
            }
            Self::Mws(client) => client.create_refund(key, charge, amount).await,
        }
    }

    /// Reads a refund of this charge.
    pub async fn get_refund(&self, id: &AmazonRefundId, charge: &AmazonChargeId) -> PayExchange<RefundSeen> {
        match self {
            Self::CheckoutV2(client) => under(charge, &in_checkout(charge), client.get_refund(id).await),
            Self::Mws(client) => client.get_refund(id).await,
        }
    }

    /// Reads what a buyer consented to.
    pub async fn get_charge_permission(&self, id: &AmazonPermissionId) -> PayExchange<PermissionSeen> {
        match self {
            Self::CheckoutV2(client) => client.get_charge_permission(id).await,
            Self::Mws(client) => client.get_charge_permission(id).await,
        }
    }

    /// Ends what a buyer consented to, and with `cancel_pending` what is pending under it. The reason is for people.
    pub async fn close_charge_permission(
        &self,
        id: &AmazonPermissionId,
        reason: &str,
        cancel_pending: bool,
    ) -> PayExchange<PermissionSeen> {
        match self {
            Self::CheckoutV2(client) => client.close_charge_permission(id, reason, cancel_pending).await,
            Self::Mws(client) => client.close_charge_permission(id, reason, cancel_pending).await,
        }
    }
}

/// The id of a charge in Checkout v2: that of an authorization of MWS with a `C` in the place of its `A` (Amazon's page for those who
/// change over).
fn in_checkout(id: &AmazonChargeId) -> AmazonChargeId {
    let mut text: Vec<char> = id.as_str().chars().collect();
    if let Some(letter) = text.get_mut(LETTER_AT).filter(|letter| **letter == 'A') {
        *letter = 'C';
    }
    AmazonChargeId::parse(&text.into_iter().collect::<String>()).unwrap_or_else(|| id.clone())
}

/// The same refund, of the charge as our row names it.
fn under(
    charge: &AmazonChargeId,
    there: &AmazonChargeId,
    exchange: PayExchange<RefundSeen>,
) -> PayExchange<RefundSeen> {
    let PayExchange { outcome, request_id, signed_at, http_status, signed_the_same } = exchange;
    let outcome = outcome.and_then(|seen| {
        let same = seen.charge.as_ref() == Some(there);
        PayOutcome::Seen(RefundSeen { charge: if same { Some(charge.clone()) } else { seen.charge.clone() }, ..seen })
    });
    PayExchange { outcome, request_id, signed_at, http_status, signed_the_same }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_of_mws_is_a_charge_of_checkout_v2_under_another_letter() {
        let id = |text: &str| AmazonChargeId::parse(text).unwrap();
        assert_eq!(in_checkout(&id("P03-1234567-1234567-A123456")), id("P03-1234567-1234567-C123456"));
        assert_eq!(in_checkout(&id("P03-1234567-1234567-C123456")), id("P03-1234567-1234567-C123456"));
        assert_eq!(in_checkout(&id("A03-1234567-1234567")), id("A03-1234567-1234567"));
    }
}
