//! The kinds that the accounts of the settings deal in, and the keys that seal what they act on.

use std::path::Path;

use super::{StartError, open_with_clock};
use crate::{
    audit,
    config::{AccountSettings, ConfigError, KnownKind, Sealing, Settings},
    incentives::{kind::Kind, target},
    sealing::SealingKeyUse,
    webhooks::endpoints,
};

/// What an account deals in. [`load_settings`] has compared the words already. Settings that were read without it are refused
/// here, before a request of such a kind fails.
pub(super) fn kinds_of(
    id: &str,
    account: &AccountSettings,
    sealing: &Sealing,
) -> Result<Vec<&'static str>, StartError> {
    let known = || Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ");
    let kind = |word: &String| {
        let unknown = || StartError::UnknownKind { account: id.to_owned(), known: known() };
        let kind = Kind::from_word(word).ok_or_else(unknown)?;
        if kind.spec().acts() && sealing.keys.is_empty() {
            return Err(StartError::NoSealingKey { account: id.to_owned(), kind: kind.as_str() });
        }
        Ok(kind.as_str())
    };
    account.kinds.iter().map(kind).collect()
}

/// Reads the settings of the program, as [`Settings::load`] does. A mistake in the kinds of an account is listed with all
/// others.
///
/// # Errors
/// [`ConfigError`] lists everything that is wrong.
pub fn load_settings(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    let known = |kind: &Kind| KnownKind { word: kind.as_str(), acts: kind.spec().acts() };
    let kinds: Vec<KnownKind> = Kind::ALL.iter().map(known).collect();
    Settings::load_for(&kinds, path, environment)
}

/// What the sealing keys are still needed for.
pub struct SealingKeyUses {
    /// Targets that rewards hold.
    pub targets: Vec<SealingKeyUse>,
    /// Secrets of webhooks that sign now.
    pub secrets: Vec<SealingKeyUse>,
    /// Records of the audit that cannot be verified without it.
    pub records: Vec<SealingKeyUse>,
}

/// What the sealing keys are still needed for.
///
/// # Errors
/// [`StartError`].
pub async fn key_uses(settings: &Settings) -> Result<SealingKeyUses, StartError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let mut snapshot = store.snapshot().await?;
    let uses = SealingKeyUses {
        targets: target::sealed_by(&mut snapshot).await?,
        secrets: endpoints::sealed_by(&mut snapshot, ambient.now()).await?,
        records: audit::sql::hashed_by(&mut snapshot).await?,
    };
    drop(snapshot);
    store.close().await;
    Ok(uses)
}
