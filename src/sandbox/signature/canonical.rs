//! The canonical request: the one spelling of a request that both sides hash.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::SignedRequest;

/// A canonical request.
pub(super) struct Canonical {
    pub(super) text: Vec<u8>,
    /// Whether every header that was signed has arrived. One that has not stands empty here, and matches no signature.
    pub(super) whole: bool,
}

/// Builds the canonical request from what arrived, for this spelling of the host.
pub(super) fn request(presented: &SignedRequest<'_>, signed_headers: &[&str], host: &str) -> Canonical {
    let mut whole = true;
    let mut canonical = Vec::with_capacity(512);
    for line in [presented.method, presented.path, query(presented.query).as_str()] {
        canonical.extend_from_slice(line.as_bytes());
        canonical.push(b'\n');
    }
    for name in signed_headers {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        let mut values = presented.headers.get_all(*name).iter().peekable();
        whole &= values.peek().is_some();
        while let Some(value) = values.next() {
            fold_blanks(if *name == "host" { host.as_bytes() } else { value.as_bytes() }, &mut canonical);
            if values.peek().is_some() {
                canonical.push(b',');
            }
        }
        canonical.push(b'\n');
    }
    canonical.push(b'\n');
    canonical.extend_from_slice(signed_headers.join(";").as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(HEXLOWER.encode(&Sha256::digest(presented.body)).as_bytes());
    Canonical { text: canonical, whole }
}

/// Trims a header's value and makes each inner run of blanks one blank.
fn fold_blanks(value: &[u8], into: &mut Vec<u8>) {
    let words = value.split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            into.push(b' ');
        }
        into.extend_from_slice(word);
    }
}

/// The parameters, sorted, each with its equals sign. The service has no parameters, but the answer about the signature
/// must be right for a client that sends one.
fn query(query: &str) -> String {
    let mut parameters: Vec<(&str, &str)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .collect();
    parameters.sort_unstable();
    let printed: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    printed.join("&")
}
