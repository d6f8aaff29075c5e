//! The files of an account's key pair, which are read again while the service runs: replacing a Kubernetes Secret exchanges
//! the pair.

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
