//! Reads the `Authorization` header: algorithm, credential, signed headers, signature.

use super::Rejection;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The parts of the header.
#[derive(Debug)]
pub(super) struct Authorization<'h> {
    pub(super) key_id: &'h str,
    pub(super) date: &'h str,
    pub(super) region: &'h str,
    pub(super) service: &'h str,
    pub(super) terminator: &'h str,
    /// Lower-case names, sorted, each once.
    pub(super) signed_headers: Vec<&'h str>,
    pub(super) signature: &'h str,
}

impl<'h> Authorization<'h> {
    /// Reads the header. Blanks around the commas are optional, and the order of the three parts is free.
    pub(super) fn parse(header: &'h str) -> Result<Self, Rejection> {
        let header = header.trim();
        let (algorithm, rest) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", short(algorithm))));
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let slot = match part.split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => signed_headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                Some(_) | None => {
                    return Err(incomplete("Authorization header holds a part that is not known.".to_owned()));
                }
            };
            if slot.is_some() {
                return Err(incomplete("Authorization header holds a part twice.".to_owned()));
            }
        }
        let part = |found: Option<&'h str>, name: &str| {
            found
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let scope: Vec<&str> = part(credential, "Credential")?.split('/').collect();
        let [key_id, date, region, service, terminator] = *scope.as_slice() else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
                    .to_owned(),
            ));
        };
        let signed_headers: Vec<&str> = part(signed_headers, "SignedHeaders")?.split(';').collect();
        let ascending = signed_headers.is_sorted_by(|one, next| one < next);
        if !ascending || signed_headers.iter().any(|name| name.is_empty() || name.contains(char::is_uppercase)) {
            return Err(incomplete("SignedHeaders must be lower-case names, sorted, each once.".to_owned()));
        }
        let signature = part(signature, "Signature")?;
        Ok(Self { key_id, date, region, service, terminator, signed_headers, signature })
    }
}

fn incomplete(message: String) -> Rejection {
    Rejection::Incomplete(message)
}

/// The part of a client's text that a message may repeat.
fn short(text: &str) -> String {
    text.chars().take(32).collect()
}
