//! Where a command that works through the API finds the service, and its key: never as an argument, which every user of the machine sees.

use std::path::Path;

use secrecy::SecretString;

use super::source;

const URL: &str = "NOSHI_URL";
const API_KEY: &str = "NOSHI_API_KEY";
const API_KEY_FILE: &str = "NOSHI_API_KEY_FILE";

/// What the environment says of a service.
#[derive(Debug, Default)]
pub(crate) struct ServiceVariables {
    /// `NOSHI_URL`.
    pub(crate) url: Option<String>,
    api_key: Option<SecretString>,
    api_key_file: Option<String>,
}

/// Why there is no key to ask a service with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoApiKey {
    #[error("no API key: name its file with --api-key-file or NOSHI_API_KEY_FILE, or set NOSHI_API_KEY")]
    Nowhere,
    #[error("both NOSHI_API_KEY and NOSHI_API_KEY_FILE are set: unset one")]
    Both,
    #[error("the API key's file {0}: {1}")]
    File(String, String),
}

impl ServiceVariables {
    /// Reads the environment of the process.
    pub(crate) fn read() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is a home of reading the environment")]
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { url: set(URL), api_key: set(API_KEY).map(SecretString::from), api_key_file: set(API_KEY_FILE) }
    }

    /// The key: of the file that is named, or else of the environment.
    ///
    /// # Errors
    /// [`NoApiKey`].
    pub(crate) fn api_key(self, file: Option<&Path>) -> Result<SecretString, NoApiKey> {
        let read = |path: &Path| {
            let text = source::read_secret(path).map_err(|why| NoApiKey::File(path.display().to_string(), why))?;
            Ok(SecretString::from(text.trim().to_owned()))
        };
        match (file, self.api_key, self.api_key_file) {
            (Some(file), _, _) => read(file),
            (None, Some(_), Some(_)) => Err(NoApiKey::Both),
            (None, Some(key), None) => Ok(key),
            (None, None, Some(file)) => read(Path::new(&file)),
            (None, None, None) => Err(NoApiKey::Nowhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_comes_first_and_two_keys_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "nsk_of_file\n").unwrap();
        let both = || ServiceVariables {
            url: None,
            api_key: Some("nsk_of_variable".to_owned().into()),
            api_key_file: Some(file.display().to_string()),
        };
        let text = |key: Result<SecretString, NoApiKey>| {
            #[expect(clippy::disallowed_methods, reason = "the test compares it")]
            key.map(|key| secrecy::ExposeSecret::expose_secret(&key).to_owned()).map_err(|error| error.to_string())
        };
        assert_eq!(text(both().api_key(Some(&file))), Ok("nsk_of_file".to_owned()));
        assert!(matches!(both().api_key(None), Err(NoApiKey::Both)));
        let of_file = ServiceVariables { api_key: None, ..both() };
        assert_eq!(text(of_file.api_key(None)), Ok("nsk_of_file".to_owned()));
        let of_variable = ServiceVariables { api_key_file: None, ..both() };
        assert_eq!(text(of_variable.api_key(None)), Ok("nsk_of_variable".to_owned()));
        let nothing = ServiceVariables::default().api_key(None);
        assert!(matches!(nothing, Err(NoApiKey::Nowhere)));
        let missing = ServiceVariables::default().api_key(Some(Path::new("/nowhere/key")));
        assert!(matches!(missing, Err(NoApiKey::File(..))));
    }
}
