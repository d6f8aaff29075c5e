//! The sellers' accounts at Amazon Pay, each with the client that signs for it.

use super::{StartError, services::Ground};
use crate::{
    config::PayAccountSettings,
    pay::{PayAccount, PayAccounts},
    provider::pay::{
        MerchantKey, MerchantKeyProblem, PayBuildError, PayClient, PayEndpoint, PaySettings, PayStandInBeyondLoopback,
        PayTimeouts,
    },
};

/// Why a seller's account has no client.
#[derive(Debug, thiserror::Error)]
pub enum SellerUnbuilt {
    /// What stands in for Amazon is not on this machine.
    #[error("sandbox_gateway")]
    Gateway(#[from] PayStandInBeyondLoopback),
    /// The private key is none.
    #[error("private_key")]
    Key(#[from] MerchantKeyProblem),
    /// The client itself.
    #[error(transparent)]
    Client(#[from] PayBuildError),
}

/// Builds every account of the settings.
///
/// # Errors
/// [`StartError`] for the first account that cannot be built.
pub(super) fn build(ground: &Ground<'_>) -> Result<PayAccounts, StartError> {
    let accounts = ground.settings.pay.iter().map(|(id, settings)| build_one(id, settings, ground));
    accounts.collect::<Result<Vec<_>, _>>().map(PayAccounts::new)
}

fn build_one(id: &str, settings: &PayAccountSettings, ground: &Ground<'_>) -> Result<PayAccount, StartError> {
    let unbuilt = |source| StartError::Seller(id.to_owned(), source);
    let endpoint = match settings.sandbox_gateway {
        Some(address) => PayEndpoint::loopback(settings.region, address).map_err(|source| unbuilt(source.into()))?,
        None => PayEndpoint::amazon(settings.region, settings.environment),
    };
    let key =
        MerchantKey::new(&settings.public_key_id, &settings.private_key).map_err(|source| unbuilt(source.into()))?;
    let of_client =
        PaySettings { endpoint, key, timeouts: PayTimeouts::default(), https_proxy: settings.https_proxy.clone() };
    let clock = ground.ambient.clone();
    let client = PayClient::new(of_client, move || clock.now()).map_err(|source| unbuilt(source.into()))?;
    Ok(PayAccount {
        id: id.to_owned(),
        environment: settings.environment,
        currency: settings.currency,
        charge_maximum: settings.charge_maximum,
        merchant_id: settings.merchant_id.clone(),
        store_id: settings.store_id.clone(),
        client,
    })
}
