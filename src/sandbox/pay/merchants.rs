//! The merchants, by the public keys that they registered, as in Amazon's Seller Central.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// What stands in front of an RSA key in the usual form of a public key (SubjectPublicKeyInfo).
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A merchant's public key that is to be registered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPayMerchant {
    /// Amazon's id of the merchant. Keys of one merchant share idempotency keys, permissions and rates.
    pub merchant_id: String,
    /// The id of the key. With `SANDBOX-` in front its requests need no environment in the path.
    pub public_key_id: String,
    /// The key, as `openssl pkey -pubout` writes it.
    pub public_key: String,
}

/// A key that was registered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ShownPayMerchant {
    /// Amazon's id of the merchant.
    pub merchant_id: String,
    /// The id of the key.
    pub public_key_id: String,
}

/// A key as signatures are verified with it.
#[derive(Clone, Debug)]
pub(super) struct PayVerifier {
    pub(super) merchant_id: String,
    pub(super) names_sandbox: bool,
    pub(super) pkcs1: Vec<u8>,
}

/// Every key, by its id.
#[derive(Default)]
pub(in crate::sandbox) struct Merchants {
    keys: Mutex<BTreeMap<String, PayVerifier>>,
}

impl Merchants {
    pub(super) fn key(&self, public_key_id: &str) -> Option<PayVerifier> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(public_key_id).cloned()
    }

    pub(in crate::sandbox) fn all(&self) -> Vec<ShownPayMerchant> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |(public_key_id, key): (&String, &PayVerifier)| ShownPayMerchant {
            merchant_id: key.merchant_id.clone(),
            public_key_id: public_key_id.clone(),
        };
        keys.iter().map(shown).collect()
    }

    /// Adds a key, or replaces the one of that id.
    pub(in crate::sandbox) fn register(&self, new: NewPayMerchant) -> Result<(), String> {
        let NewPayMerchant { merchant_id, public_key_id, public_key } = new;
        if merchant_id.is_empty() || public_key_id.is_empty() || public_key_id.contains([',', ' ']) {
            return Err("merchant_id and public_key_id must not be empty, nor have a comma or a blank".to_owned());
        }
        let upper = public_key_id.to_ascii_uppercase();
        if upper.starts_with("LIVE") {
            return Err("a key that is live has no place in a sandbox".to_owned());
        }
        let pkcs1 =
            rsa_key(&public_key).ok_or("public_key must be an RSA key in PEM, as openssl pkey -pubout writes it")?;
        let key = PayVerifier { merchant_id, names_sandbox: upper.starts_with("SANDBOX"), pkcs1 };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(public_key_id, key);
        Ok(())
    }
}

/// The RSA key in its own form (PKCS#1), out of PEM.
fn rsa_key(pem: &str) -> Option<Vec<u8>> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (text, _end) = rest.split_once("-----END")?;
    let text: String = text.split_ascii_whitespace().collect();
    let der = BASE64.decode(text.as_bytes()).ok()?;
    match label {
        "RSA PUBLIC KEY" => Some(der),
        "PUBLIC KEY" => {
            let place = der.windows(RSA_ALGORITHM.len()).position(|window| window == RSA_ALGORITHM)?;
            let bits = der.get(place.checked_add(RSA_ALGORITHM.len())?..)?;
            // A bit string: its tag, its length, and how many bits are unused, which are none.
            let (tag, length) = (bits.first()?, bits.get(1)?);
            let lengths = if *length < 0x80 { 0 } else { usize::from(length & 0x7f) };
            let start = lengths.checked_add(2)?;
            let unused = bits.get(start)?;
            (*tag == 0x03 && *unused == 0).then(|| bits.get(start.checked_add(1)?..).map(<[u8]>::to_vec))?
        }
        _ => None,
    }
}
