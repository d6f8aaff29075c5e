//! The sellers, by their access keys.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A seller's key that is to be registered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMwsSeller {
    /// Amazon's id of the seller.
    pub seller_id: String,
    /// The id of the access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

/// A key that was registered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ShownMwsSeller {
    /// Amazon's id of the seller.
    pub seller_id: String,
    /// The id of the access key.
    pub access_key_id: String,
}

/// Every key, by its id: the seller's id and the secret.
#[derive(Default)]
pub(in crate::sandbox) struct Sellers {
    keys: Mutex<BTreeMap<String, (String, String)>>,
}

impl Sellers {
    pub(super) fn key(&self, access_key_id: &str) -> Option<(String, String)> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(access_key_id).cloned()
    }

    pub(in crate::sandbox) fn all(&self) -> Vec<ShownMwsSeller> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |(access_key_id, (seller_id, _secret)): (&String, &(String, String))| ShownMwsSeller {
            seller_id: seller_id.clone(),
            access_key_id: access_key_id.clone(),
        };
        keys.iter().map(shown).collect()
    }

    /// Adds a key, or replaces the one of that id.
    pub(in crate::sandbox) fn register(&self, new: NewMwsSeller) -> Result<(), String> {
        let NewMwsSeller { seller_id, access_key_id, secret_access_key } = new;
        if [&seller_id, &access_key_id, &secret_access_key].iter().any(|text| text.is_empty()) {
            return Err("seller_id, access_key_id and secret_access_key must not be empty".to_owned());
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(access_key_id, (seller_id, secret_access_key));
        Ok(())
    }
}
