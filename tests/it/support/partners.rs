//! More partner accounts than the usual one: for faults that a whole account meets, not one reward.

use std::net::SocketAddr;

use noshi::{
    kernel::{CreationRequestId, IdempotencyKey, Intent, Marketplace},
    sandbox::{AccessKey, Control, PartnerAccount},
};
use rust_decimal::Decimal;

use super::{App, SECRET_ACCESS_KEY, Shape, seller};

/// A partner account of the sandbox's and of the settings.
#[derive(Clone)]
pub(crate) struct Partner {
    /// Amazon's name for it, in letters and digits; our name for it is the same in lower case.
    pub(crate) id: String,
    /// Where its calls go, if not straight to the sandbox.
    pub(crate) gateway: Option<SocketAddr>,
}

impl Partner {
    fn key_id(&self) -> String {
        format!("AKIDCANARY{}", self.id)
    }
}

impl Shape {
    pub(super) fn all_funds(&self) -> Decimal {
        Decimal::from(self.funds) * Decimal::from(1 + self.partners.len())
    }
}

impl App {
    /// Amazon's id of the usual client's key, paid by this partner account.
    pub(crate) fn amazon_id_of(&self, partner: &str, key: &str) -> String {
        let key = IdempotencyKey::parse(key).unwrap();
        CreationRequestId::derive(partner, &Intent::derive(self.client, &key)).to_string()
    }
}

/// The currency of every account of a test.
pub(super) fn currency(shape: &Shape) -> String {
    let marketplace: Marketplace = shape.marketplace.parse().unwrap();
    marketplace.currency().code().to_owned()
}

/// What the sandbox knows of them.
pub(super) fn accounts(shape: &Shape) -> impl Iterator<Item = PartnerAccount> {
    shape.partners.iter().map(|partner| PartnerAccount {
        partner_id: partner.id.clone(),
        keys: vec![AccessKey::active(partner.key_id(), SECRET_ACCESS_KEY)],
        currency: Some(currency(shape)),
        funds: shape.funds.into(),
        ..PartnerAccount::default()
    })
}

/// What the settings say of them.
pub(super) fn environment(shape: &Shape, sandbox: &str) -> Vec<(String, String)> {
    let of_one = |partner: &Partner| {
        let gateway = partner.gateway.map_or_else(|| sandbox.to_owned(), |address| address.to_string());
        [
            ("PARTNER_ID", partner.id.clone()),
            ("MARKETPLACE", shape.marketplace.to_owned()),
            ("ENVIRONMENT", "sandbox".to_owned()),
            ("SANDBOX_GATEWAY", gateway),
            ("ACCESS_KEY_ID", partner.key_id()),
            ("SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("REQUESTS_PER_SECOND", "0".to_owned()),
        ]
        .map(|(name, value)| (format!("NOSHI__ACCOUNTS__{}__{name}", partner.id.to_uppercase()), value))
    };
    let seller = shape.sells.then(|| seller::environment(sandbox, shape.mws));
    shape.partners.iter().flat_map(of_one).chain(seller.into_iter().flatten()).collect()
}

/// Makes known to the sandbox whom it is not started with.
pub(super) fn register(shape: &Shape, control: &Control) {
    if shape.sells {
        seller::register(control);
    }
}
