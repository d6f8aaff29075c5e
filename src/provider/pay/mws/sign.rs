//! Signature Version 2: HMAC-SHA256 over method, host, path and the sorted parameters (`PROTOCOL.md`). The time of signing is given.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// What RFC 3986 leaves as it is: a blank is `%20`, never `+`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Characters of an access key's id. Those that were seen have 20.
const ACCESS_KEY_ID_CHARACTERS_MAX: usize = 64;
/// Characters of a seller's id. Those that were seen have 13 or 14.
const SELLER_ID_CHARACTERS_MAX: usize = 32;

/// What the API's version is called. It did not change in the generation's life.
pub(super) const VERSION: &str = "2013-01-01";

/// Why a text is no part of a seller's key. It quotes nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MwsKeyProblem {
    /// The id of the access key has another form.
    #[error("the access key's id must be 1 to {ACCESS_KEY_ID_CHARACTERS_MAX} ASCII letters and digits")]
    AccessKeyId,
    /// The seller's id has another form.
    #[error("the seller's id must be 1 to {SELLER_ID_CHARACTERS_MAX} ASCII letters and digits")]
    SellerId,
    /// There is no secret.
    #[error("the access key's secret must not be empty")]
    NoSecret,
}

/// A seller's access key. Cheap to clone. Its secret never leaves it, and it cannot be printed.
#[derive(Clone)]
pub struct MwsKey {
    seller_id: String,
    access_key_id: String,
    secret: Arc<hmac::Key>,
}

impl MwsKey {
    /// Reads the secret once. Its text can be dropped then.
    ///
    /// # Errors
    /// [`MwsKeyProblem`] names the part that has another form.
    #[expect(clippy::disallowed_methods, reason = "the key of the signature is made of the secret here, once")]
    pub fn new(seller_id: &str, access_key_id: &str, secret: &SecretString) -> Result<Self, MwsKeyProblem> {
        let is_plain = |text: &str, characters_max: usize| {
            (1..=characters_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !is_plain(access_key_id, ACCESS_KEY_ID_CHARACTERS_MAX) {
            return Err(MwsKeyProblem::AccessKeyId);
        }
        if !is_plain(seller_id, SELLER_ID_CHARACTERS_MAX) {
            return Err(MwsKeyProblem::SellerId);
        }
        let secret = secret.expose_secret().as_bytes();
        if secret.is_empty() {
            return Err(MwsKeyProblem::NoSecret);
        }
        Ok(Self {
            seller_id: seller_id.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)),
        })
    }
}

/// Prints no part: the ids name the seller at Amazon.
impl fmt::Debug for MwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MwsKey([REDACTED])")
    }
}

/// The form that is sent for these parameters of an operation: the common ones are added, and the signature stands last.
pub(super) fn signed_form(
    host: &str,
    path: &str,
    action: &str,
    parameters: Vec<(String, String)>,
    key: &MwsKey,
    at: DateTime<Utc>,
) -> String {
    let mut all: BTreeMap<String, String> = parameters.into_iter().collect();
    for (name, value) in [
        ("AWSAccessKeyId", key.access_key_id.as_str()),
        ("Action", action),
        ("SellerId", key.seller_id.as_str()),
        ("SignatureMethod", "HmacSHA256"),
        ("SignatureVersion", "2"),
        ("Version", VERSION),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    all.insert("Timestamp".to_owned(), at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let query = canonical_query(&all);
    let signature = signature(&string_to_sign(host, path, &query), &key.secret);
    format!("{query}&Signature={}", encoded(&signature))
}

/// Sorted by the bytes of the names, so that `AWSAccessKeyId` stands before `Action`.
fn canonical_query(parameters: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

fn string_to_sign(host: &str, path: &str, query: &str) -> String {
    format!("POST\n{}\n{path}\n{query}", host.to_ascii_lowercase())
}

fn signature(to_sign: &str, secret: &hmac::Key) -> String {
    BASE64.encode(hmac::sign(secret, to_sign.as_bytes()).as_ref())
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests;
