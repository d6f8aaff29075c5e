//! The sellers' accounts at Amazon Pay, each with the client that signs for it.

use super::{StartError, services::Ground};
use crate::{
    ambient::Ambient,
    config::{PayAccountSettings, PayDriverSettings},
    pay::{NoticeGate, PayAccount, PayAccounts},
    provider::{
        pay::{
            MerchantKey, MerchantKeyProblem, PayBuildError, PayClient, PayDriver, PayEndpoint, PaySettings,
            PayStandInBeyondLoopback, PayTimeouts,
            mws::{MwsClient, MwsKey, MwsKeyProblem, MwsSettings},
        },
        sns::{SnsClient, SnsSettings, SnsUnbuilt},
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
    /// A part of the access key of MWS is none.
    #[error("access key")]
    AccessKey(#[from] MwsKeyProblem),
    /// The client itself.
    #[error(transparent)]
    Client(#[from] PayBuildError),
    /// What proves its notifications.
    #[error(transparent)]
    Notifications(#[from] SnsUnbuilt),
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
    let (timeouts, https_proxy, clock) = (PayTimeouts::default(), settings.https_proxy.clone(), ground.ambient.clone());
    let (merchant_id, store_id) = match &settings.driver {
        PayDriverSettings::CheckoutV2 { merchant_id, store_id, .. } => (merchant_id.clone(), store_id.clone()),
        PayDriverSettings::Mws { seller_id, .. } => (Some(seller_id.clone()), None),
    };
    let client = match &settings.driver {
        PayDriverSettings::CheckoutV2 { public_key_id, private_key, .. } => {
            let key = MerchantKey::new(public_key_id, private_key).map_err(|source| unbuilt(source.into()))?;
            let settings = PaySettings { endpoint, key, timeouts, https_proxy };
            PayClient::new(settings, move || clock.now()).map(PayDriver::CheckoutV2)
        }
        PayDriverSettings::Mws { seller_id, access_key_id, secret_access_key, .. } => {
            let key = MwsKey::new(seller_id, access_key_id, secret_access_key);
            let key = key.map_err(|source| unbuilt(source.into()))?;
            let settings = MwsSettings { endpoint, key, timeouts, https_proxy };
            MwsClient::new(settings, move || clock.now()).map(PayDriver::Mws)
        }
    };
    let client = client.map_err(|source| unbuilt(source.into()))?;
    let notices = notice_gate(settings, &ground.ambient).map_err(|source| unbuilt(source.into()))?;
    Ok(PayAccount {
        id: id.to_owned(),
        environment: settings.environment,
        currency: settings.currency,
        charge_maximum: settings.charge_maximum,
        merchant_id,
        store_id,
        client,
        notices,
    })
}

/// What takes the account's notifications. With a stand-in for Amazon their certificates are the stand-in's, and nobody else's.
///
/// # Errors
/// [`SnsUnbuilt`].
pub(crate) fn notice_gate(settings: &PayAccountSettings, ambient: &Ambient) -> Result<Option<NoticeGate>, SnsUnbuilt> {
    let seller = match &settings.driver {
        PayDriverSettings::CheckoutV2 { merchant_id, .. } => merchant_id.as_ref(),
        PayDriverSettings::Mws { seller_id, .. } => Some(seller_id),
    };
    let Some((topic, seller)) = settings.notification_topic.clone().zip(seller) else { return Ok(None) };
    let of_sns = SnsSettings { stand_in: settings.sandbox_gateway, https_proxy: settings.https_proxy.clone() };
    let sns = SnsClient::new(of_sns, ambient.clone())?;
    Ok(Some(NoticeGate { topic, seller: seller.to_owned(), sns }))
}
