//! Where an account's key pair lies, to be read again while the service runs: replacing a Secret exchanges the pair.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{check, source};

/// The files of an account's key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The AWS access key's id.
    pub access_key_id: PathBuf,
    /// The AWS access key's secret.
    pub secret_access_key: PathBuf,
}

impl KeyFiles {
    /// The id and the secret as they are now, read as the settings read them at the start. Blocks on the file system.
    ///
    /// # Errors
    /// What is wrong with which file, without any of it.
    pub fn read(&self) -> Result<(SecretString, SecretString), String> {
        let read = |path: &PathBuf, parse: fn(&str) -> Result<SecretString, String>| {
            source::read_secret(path).and_then(|text| parse(&text)).map_err(|why| format!("{}: {why}", path.display()))
        };
        Ok((read(&self.access_key_id, check::access_key_id)?, read(&self.secret_access_key, check::secret_access_key)?))
    }
}
