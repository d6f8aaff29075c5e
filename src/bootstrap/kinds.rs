//! The kinds that the accounts of the settings deal in, and the keys that seal what they act on.

use std::path::Path;

use super::{Opening, StartError, check_schema, open_store};
use crate::{
    config::{AccountSettings, ConfigError, KnownKind, Sealing, Settings},
    incentives::{
        kind::Kind,
        target::{self, SealedBy},
    },
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

/// Which keys sealed the targets that rewards still hold.
///
/// # Errors
/// [`StartError`].
pub async fn sealed_by(settings: &Settings) -> Result<Vec<SealedBy>, StartError> {
    let store = open_store(&settings.store, Opening::Use).await?;
    check_schema(&store).await?;
    let sealed = target::sealed_by(&mut store.snapshot().await?).await?;
    store.close().await;
    Ok(sealed)
}
