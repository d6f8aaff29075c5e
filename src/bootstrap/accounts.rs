//! The partner accounts of the settings, each with the client that signs for it.

use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime};

use super::{StartError, kinds::kinds_of, services::Ground};
use crate::{
    accounts::{
        Account, Accounts, CardLimits, FundingPolicy, KeyPairSettings, KeyPairs, KeySlot, KeyState, Quota, RequestRate,
        SlotSettings, Terms,
    },
    config::AccountSettings,
    provider::{
        incentives::{Client, ClientSettings, Credentials, Endpoint, Timeouts},
        login::{LoginClient, LoginSettings},
    },
    store::StoreError,
};

/// Builds every account of the settings.
///
/// # Errors
/// [`StartError`] for the first account that cannot be built.
pub(super) fn build(ground: &Ground<'_>) -> Result<Accounts, StartError> {
    let accounts = ground.settings.accounts.iter().map(|(id, settings)| build_one(id, settings, ground));
    accounts.collect::<Result<Vec<_>, _>>().map(Accounts::new)
}

fn build_one(id: &str, settings: &AccountSettings, ground: &Ground<'_>) -> Result<Account, StartError> {
    let metrics = &ground.metrics.accounts;
    metrics.keys().created(id, KeySlot::Primary, settings.access_key_created.map(seconds));
    metrics.keys().days_max(id, settings.key_exchange.days_max);
    // Where it lies in files, `KeyPairs` says it. Our own sandbox asks for no new keys.
    if settings.sandbox_gateway.is_none() {
        metrics.keys().state(id, KeySlot::Primary, KeyState::InForce);
    }
    let client = build_client(id, settings, ground)?;
    let terms = Terms {
        id: id.to_owned(),
        partner_id: settings.partner_id.clone(),
        marketplace: settings.marketplace,
        environment: settings.environment,
        time_zone: settings.time_zone,
        kinds: kinds_of(id, settings, &ground.settings.sealing)?,
        create: settings.create.clone(),
        limits: CardLimits { minimum: settings.reward_minimum, maximum: settings.reward_maximum },
        ceilings: settings.ceilings,
        funding: FundingPolicy { low_balance: settings.low_balance, lead_days: settings.funding_lead_days },
        validates: settings.validate_loads,
    };
    let (store, ambient) = (ground.store.clone(), ground.ambient.clone());
    let rate = rate_of(settings, ground);
    let quota = Quota::new(id, rate, store, ambient, Arc::clone(metrics));
    let key_pairs = build_key_pairs(settings, ground)?;
    let account = Account::new(terms, client, quota).with_login(build_login(id, settings, ground)?);
    Ok(account.with_key_pairs(key_pairs))
}

/// The key pairs of an account whose first pair lies in files.
fn build_key_pairs(settings: &AccountSettings, ground: &Ground<'_>) -> Result<Option<KeyPairs>, StartError> {
    let Some(files) = settings.key_files.clone() else { return Ok(None) };
    let primary = SlotSettings { files, made_at: settings.access_key_created.map(seconds) };
    let made_at = settings.key_exchange.second_created.map(seconds);
    let second = settings.key_exchange.second.clone().map(|files| SlotSettings { files, made_at });
    let slots = KeyPairSettings { primary, second, by_hand: settings.key_exchange.by_hand };
    let replica = ground.ambient.token()?;
    let (store, ambient, scribe) = (ground.store.clone(), ground.ambient.clone(), ground.scribe.clone());
    Ok(Some(KeyPairs::new(slots, credentials(settings), replica, store, ambient, scribe)))
}

fn credentials(settings: &AccountSettings) -> Credentials {
    Credentials::new(settings.access_key_id.clone(), settings.secret_access_key.clone())
}

/// The beginning of a day, in seconds since 1970.
fn seconds(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp()
}

/// Signs with each account's pair in force, as far as it is held here.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn adopt_key_pairs(accounts: &Accounts) -> Result<(), StoreError> {
    for account in accounts.iter() {
        if let Some(key_pairs) = account.key_pairs() {
            key_pairs.adopt(account).await?;
        }
    }
    Ok(())
}

/// Who asks Login with Amazon for the account, if it has a client id there.
fn build_login(id: &str, settings: &AccountSettings, ground: &Ground<'_>) -> Result<Option<LoginClient>, StartError> {
    let Some(client_id) = settings.login_client_id.clone() else { return Ok(None) };
    let login = LoginSettings {
        client_id,
        host: settings.login_host,
        stand_in: settings.sandbox_gateway,
        https_proxy: settings.https_proxy.clone(),
    };
    let client = LoginClient::new(login, ground.ambient.clone());
    client.map(Some).map_err(|error| StartError::Login(id.to_owned(), error))
}

/// The rate of all accounts of this one's partner. It lies in the first one's row.
fn rate_of(account: &AccountSettings, ground: &Ground<'_>) -> RequestRate {
    let of_partner = ground.settings.accounts.iter().filter(|(_id, other)| other.is_of_the_same_partner(account));
    let ids: Vec<&String> = of_partner.map(|(id, _account)| id).collect();
    let first = ids.first().map(|id| (*id).clone()).unwrap_or_default();
    RequestRate { per_second: account.requests_per_second, account: first, accounts: ids.len() }
}

fn build_client(id: &str, settings: &AccountSettings, ground: &Ground<'_>) -> Result<Client, StartError> {
    let endpoint = match settings.sandbox_gateway {
        Some(address) => {
            Endpoint::loopback(settings.marketplace, address).map_err(|_remote| StartError::Gateway(id.to_owned()))?
        }
        None => Endpoint::amazon(settings.marketplace, settings.environment),
    };
    let client = ClientSettings {
        endpoint,
        partner_id: settings.partner_id.clone(),
        credentials: credentials(settings),
        https_proxy: settings.https_proxy.clone(),
        timeouts: Timeouts { total: ground.settings.rewards.upstream_timeout, ..Timeouts::default() },
    };
    let clock = ground.ambient.clone();
    Client::new(client, move || clock.now()).map_err(|error| StartError::Client(id.to_owned(), error))
}
