//! A merchant's key: the id that Amazon gave it, and the RSA key that signs.

use std::{fmt, sync::Arc};

use ring::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};

use crate::kernel::Environment;

/// What an operator does who has no key that can be used.
const MAKE_ONE: &str = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out FILE";
/// Characters of the longest public key id that we take; Amazon's have 24, and the environment's name in front of it.
const PUBLIC_KEY_ID_CHARACTERS_MAX: usize = 64;

/// Why a text is no merchant's key. It quotes nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerchantKeyProblem {
    /// The public key id has another form.
    #[error("the public key id must be 1 to {PUBLIC_KEY_ID_CHARACTERS_MAX} ASCII letters, digits, - and _")]
    PublicKeyId,
    /// There is no private key in it.
    #[error(
        "this is no private key in PEM, as PKCS#8 (BEGIN PRIVATE KEY) or PKCS#1 (BEGIN RSA PRIVATE KEY); `{MAKE_ONE}` makes one"
    )]
    NotPem,
    /// It is in the format of ssh-keygen.
    #[error(
        "this is an OPENSSH file, not PKCS#8 or PKCS#1: `ssh-keygen -p -m PKCS8 -f FILE` rewrites it, and `{MAKE_ONE}` makes a new key"
    )]
    OpenSsh,
    /// It is locked with a passphrase.
    #[error("this key is encrypted: `openssl pkey -in FILE -out NEWFILE` writes it without its passphrase")]
    Encrypted,
    /// It is an RSA key of fewer than 2048 bits.
    #[error("this RSA key is too short, Amazon Pay's have 2048 bits: `{MAKE_ONE}` makes one")]
    TooShort,
    /// It is a key of another algorithm, or is damaged.
    #[error("this is no RSA key that can sign: `{MAKE_ONE}` makes one")]
    NotRsa,
}

/// A merchant's key. Cheap to clone. Its private part never leaves it, and it cannot be printed.
#[derive(Clone)]
pub struct MerchantKey {
    public_key_id: String,
    pair: Arc<RsaKeyPair>,
}

impl MerchantKey {
    /// Reads the private key once. Its text can be dropped then.
    ///
    /// # Errors
    /// [`MerchantKeyProblem`] says what the text is instead, and which command makes a key.
    pub fn new(public_key_id: &str, pem: &SecretString) -> Result<Self, MerchantKeyProblem> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let sized = (1..=PUBLIC_KEY_ID_CHARACTERS_MAX).contains(&public_key_id.len());
        if !sized || !public_key_id.bytes().all(plain) {
            return Err(MerchantKeyProblem::PublicKeyId);
        }
        Ok(Self { public_key_id: public_key_id.to_owned(), pair: Arc::new(read(pem)?) })
    }

    /// The environment that the id names. Older ids name none.
    #[must_use]
    pub fn environment(&self) -> Option<Environment> {
        let begins = |word: &str| {
            self.public_key_id.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
        };
        if begins("SANDBOX") { Some(Environment::Sandbox) } else { begins("LIVE").then_some(Environment::Production) }
    }

    /// The id, as the signature names it.
    pub(super) fn public_key_id(&self) -> &str {
        &self.public_key_id
    }

    /// The signature over these bytes: RSASSA-PSS with SHA-256, MGF1 with SHA-256, and a salt of 32 bytes. A second one differs.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    /// The public key in its PKCS#1 form, for tests that verify.
    #[cfg(test)]
    pub(super) fn public_key(&self) -> &[u8] {
        self.pair.public().as_ref()
    }
}

/// Prints neither part: the id names the merchant at Amazon.
impl fmt::Debug for MerchantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MerchantKey([REDACTED])")
    }
}

#[expect(clippy::disallowed_methods, reason = "the key is read out of its text here, once")]
fn read(pem: &SecretString) -> Result<RsaKeyPair, MerchantKeyProblem> {
    let text = pem.expose_secret();
    if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return Err(MerchantKeyProblem::OpenSsh);
    }
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(MerchantKeyProblem::Encrypted);
    }
    // The parser's own error is dropped: it quotes what it read.
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_error| MerchantKeyProblem::NotPem)?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err(MerchantKeyProblem::NotRsa),
    };
    pair.map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => MerchantKeyProblem::TooShort,
        _ => MerchantKeyProblem::NotRsa,
    })
}

#[cfg(test)]
pub(super) mod tests;
