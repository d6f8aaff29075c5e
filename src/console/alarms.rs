//! What a person should look at, in plain words: as far as it is at hand, and as the key may see it.

use uuid::Uuid;

use super::{Console, batches, keys, visitor::Visitor, words::Words};
use crate::{
    accounts::{self, BreakerCause, KeyState},
    http::Problem,
    identity::{self, caller::CLIENTS_ALL},
    incentives, treasury,
    webhooks::{self, endpoints::EndpointState},
};

/// Campaigns that are looked through: the newest.
const BATCHES_MAX: i64 = 50;
/// A balance that lasts no longer than this, at worst, is low.
const LOW_SECONDS: i64 = 7 * 24 * 3600;

/// One of them.
pub(super) struct Alarm {
    pub(super) text: String,
    /// Where there is more to see.
    pub(super) href: String,
}

impl Alarm {
    fn new(text: &str, of: &str, href: impl Into<String>) -> Self {
        Self { text: text.replace("{}", of), href: href.into() }
    }
}

pub(super) async fn all(console: &Console, visitor: &Visitor, words: &Words) -> Result<Vec<Alarm>, Problem> {
    let mut all = Vec::new();
    if visitor.may(treasury::scopes::BALANCES_READ) {
        all.extend(of_accounts(console, words).await?);
    }
    if visitor.may(webhooks::scopes::WEBHOOKS_READ) {
        all.extend(of_webhooks(console, visitor, words).await?);
    }
    if visitor.may(incentives::scopes::REWARDS_READ) {
        all.extend(of_batches(console, visitor, words).await?);
    }
    all.extend(of_keys(console, visitor, words).await?);
    Ok(all)
}

async fn of_accounts(console: &Console, words: &Words) -> Result<Vec<Alarm>, Problem> {
    let place = "/console/balances";
    let refused = console.rewards.accounts().iter().filter_map(|account| {
        let text = match account.breaker().open_now()?.cause {
            BreakerCause::Funds => words.alarm_funds,
            BreakerCause::Account => words.alarm_account,
        };
        Some(Alarm::new(text, account.id(), place))
    });
    let mut all: Vec<Alarm> = refused.collect();
    let balances = console.balances.clone();
    for balance in console.http.run(async move { balances.all().await }).await? {
        if balance.stale {
            all.push(Alarm::new(words.alarm_stale, &balance.account, place));
        }
        if balance.runway.pessimistic.is_some_and(|seconds| seconds < LOW_SECONDS) {
            all.push(Alarm::new(words.alarm_low, &balance.account, place));
        }
    }
    Ok(all)
}

async fn of_webhooks(console: &Console, visitor: &Visitor, words: &Words) -> Result<Vec<Alarm>, Problem> {
    let (service, caller) = (console.webhooks.clone(), visitor.caller());
    let endpoints = console.http.run(async move { service.list(&caller).await }).await?.into_iter();
    let disabled = endpoints.filter(|endpoint| endpoint.state == EndpointState::Disabled);
    let alarm = |endpoint: webhooks::endpoints::WebhookEndpoint| {
        Alarm::new(words.alarm_webhook, &endpoint.host().unwrap_or_default(), "/console/webhooks")
    };
    Ok(disabled.map(alarm).collect())
}

async fn of_batches(console: &Console, visitor: &Visitor, words: &Words) -> Result<Vec<Alarm>, Problem> {
    let (service, caller) = (console.batches.clone(), visitor.caller());
    let newest = console.http.run(async move { service.list(&caller, None, Uuid::max(), BATCHES_MAX).await }).await?;
    let waiting = newest.iter().filter_map(|batch| {
        let why = batches::waits(batch, words)?;
        let text = words.alarm_batch.replace("{why}", &why);
        Some(Alarm::new(&text, &batches::name(batch), format!("/console/batches/{}", batch.id)))
    });
    Ok(waiting.collect())
}

async fn of_keys(console: &Console, visitor: &Visitor, words: &Words) -> Result<Vec<Alarm>, Problem> {
    let (now, own) = (console.http.ambient.now(), visitor.principal.key);
    let is_operator = visitor.may(CLIENTS_ALL) && visitor.caller().is_operator();
    let store = console.http.store.clone();
    let known = console.http.run(async move {
        if is_operator {
            identity::keys::list(&store).await
        } else {
            Ok(identity::keys::find(&store, own).await?.into_iter().collect())
        }
    });
    let place = if is_operator { "/console/keys" } else { "/console" };
    let soon = known.await?.into_iter().filter(|key| keys::ends_soon(key, now));
    let alarm = |key: identity::keys::ApiKey| {
        let left = key.expires_at.map(|end| keys::ahead(end, now, words)).unwrap_or_default();
        Alarm::new(&words.alarm_key.replace("{left}", &left), &format!("{} ({})", key.name, key.client_name), place)
    };
    let mut all: Vec<Alarm> = soon.map(alarm).collect();
    if is_operator && visitor.may(accounts::scopes::KEY_PAIRS_READ) {
        let refused = keys::pairs(console).await?.into_iter().filter(|(_of, slot)| slot.state == KeyState::Refused);
        all.extend(refused.map(|(account, _slot)| Alarm::new(words.alarm_pair, &account, place)));
    }
    Ok(all)
}
