//! The files of an account's key pair, which are read again while the service runs: replacing a Kubernetes Secret exchanges
//! the pair.

use std::path::PathBuf;

use chrono::NaiveDate;
use secrecy::SecretString;

use super::{
    check,
    source::{self, Section},
};

/// The files of an account's key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The AWS access key's id.
    pub access_key_id: PathBuf,
    /// The AWS access key's secret.
    pub secret_access_key: PathBuf,
}

impl KeyFiles {
    /// The same for files that may be missing: `None` when both are.
    ///
    /// # Errors
    /// As [`KeyFiles::read`].
    pub fn read_if_there(&self) -> Result<Option<(SecretString, SecretString)>, String> {
        let missing = |path: &PathBuf| path.try_exists().is_ok_and(|there| !there);
        if missing(&self.access_key_id) && missing(&self.secret_access_key) { Ok(None) } else { self.read().map(Some) }
    }

    /// Reads the id and the secret, as the settings read them at the start. Blocks on the file system.
    ///
    /// # Errors
    /// The file and what is wrong with it, without its content.
    pub fn read(&self) -> Result<(SecretString, SecretString), String> {
        let read = |path: &PathBuf, parse: fn(&str) -> Result<SecretString, String>| {
            source::read_secret(path).and_then(|text| parse(&text)).map_err(|why| format!("{}: {why}", path.display()))
        };
        Ok((read(&self.access_key_id, check::access_key_id)?, read(&self.secret_access_key, check::secret_access_key)?))
    }
}

/// How an account's key pair is exchanged for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExchange {
    /// The files of a second pair, which may be missing: only where the first pair is in files, too.
    pub second: Option<KeyFiles>,
    /// When the second pair's key was made.
    pub second_created: Option<NaiveDate>,
    /// How many days a key may be in use, as Amazon's contract says.
    pub days_max: u32,
    /// An operator puts a new pair in force, not the service.
    pub by_hand: bool,
}

/// Reads how an account whose pair lies in the `first` files exchanges it. The second pair's files are read while the service runs.
pub(super) fn key_exchange(section: &mut Section<'_>, first: Option<&KeyFiles>) -> KeyExchange {
    // Amazon's setup guide; a contract may say less.
    let days_max = section.number("access_key_days", 180, 40..=3650);
    let mut path = |key| section.text(key, |text| Ok(PathBuf::from(text)));
    let (id, secret) = (path("second_access_key_id_file"), path("second_secret_access_key_file"));
    let created = section.text("second_access_key_created", check::date);
    let by_hand = section.flag("activate_keys_by_hand").unwrap_or(false);
    match (&id, &secret) {
        (None, None) if created.is_some() => {
            section.refuse("second_access_key_created", "is set without a second pair")
        }
        (None, None) => {}
        (Some(_), None) => {
            section.refuse("second_secret_access_key_file", "is required: the second pair's other half is set")
        }
        (None, Some(_)) => {
            section.refuse("second_access_key_id_file", "is required: the second pair's other half is set")
        }
        (Some(_), Some(_)) if first.is_none() => {
            let why = "needs the first pair in files as well: access_key_id_file and secret_access_key_file";
            section.refuse("second_access_key_id_file", why);
        }
        (Some(_), Some(_)) => {}
    }
    if by_hand && first.is_none() {
        section
            .refuse("activate_keys_by_hand", "needs the pair in files: access_key_id_file and secret_access_key_file");
    }
    let second = id.zip(secret).map(|(access_key_id, secret_access_key)| KeyFiles { access_key_id, secret_access_key });
    KeyExchange { second, second_created: created, days_max, by_hand }
}
