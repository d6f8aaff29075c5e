//! The signature AMZN-PAY-RSASSA-PSS-V2 over the exact bytes that are sent (`PROTOCOL.md`). The time of signing is given.

use chrono::{DateTime, Utc};
use data_encoding::{BASE64, HEXLOWER};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{
    ids::{PayKey, SimulationCode},
    key::MerchantKey,
};
use crate::kernel::PayRegion;

pub(super) const ALGORITHM: &str = "AMZN-PAY-RSASSA-PSS-V2";
/// What is sent, and what is asked for in return.
const JSON: &str = "application/json";

/// The request could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PayUnsigned;

/// What is signed, apart from the body.
#[derive(Clone, Copy)]
pub(super) struct PayHead<'a> {
    pub(super) method: &'a str,
    /// The path as it is sent. No call of ours has a query.
    pub(super) path: &'a str,
    pub(super) region: PayRegion,
    pub(super) key: Option<&'a PayKey>,
    pub(super) simulation: Option<&'a SimulationCode>,
    pub(super) at: DateTime<Utc>,
}

/// A signed call's headers, and the text that was signed.
pub(super) struct PaySigned {
    pub(super) headers: HeaderMap,
    /// Amazon's refusal of a signature quotes its own, and the two can be compared.
    pub(super) to_sign: String,
}

/// Signs a call. Every header that we set is signed.
pub(super) fn signed(head: PayHead<'_>, body: &[u8], merchant: &MerchantKey) -> Result<PaySigned, PayUnsigned> {
    let named = headers(head);
    let to_sign = to_sign(&canonical(head, &named, body));
    let signature = merchant.sign(to_sign.as_bytes()).ok_or(PayUnsigned)?;
    let authorization = format!(
        "{ALGORITHM} PublicKeyId={}, SignedHeaders={}, Signature={}",
        merchant.public_key_id(),
        names(&named),
        BASE64.encode(&signature)
    );
    let mut headers = HeaderMap::with_capacity(named.len().saturating_add(1));
    for (name, value) in named {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).map_err(|_error| PayUnsigned)?);
    }
    let mut value = HeaderValue::from_str(&authorization).map_err(|_error| PayUnsigned)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(PaySigned { headers, to_sign })
}

/// The headers that are sent and signed, sorted by name. No value has a blank at an end or two in a row.
fn headers(head: PayHead<'_>) -> Vec<(&'static str, String)> {
    let mut named = vec![("accept", JSON.to_owned()), ("content-type", JSON.to_owned())];
    named.push(("x-amz-pay-date", head.at.format("%Y%m%dT%H%M%SZ").to_string()));
    named.push(("x-amz-pay-host", head.region.host().to_owned()));
    named.extend(head.key.map(|key| ("x-amz-pay-idempotency-key", key.as_str().to_owned())));
    named.push(("x-amz-pay-region", head.region.as_str().to_owned()));
    named.extend(head.simulation.map(|code| ("x-amz-pay-simulation-code", code.as_str().to_owned())));
    named
}

fn names(named: &[(&'static str, String)]) -> String {
    named.iter().map(|(name, _value)| *name).collect::<Vec<_>>().join(";")
}

/// The canonical request. Its third line is the query, which is empty.
fn canonical(head: PayHead<'_>, named: &[(&'static str, String)], body: &[u8]) -> String {
    let lines: String = named.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let hash = HEXLOWER.encode(&Sha256::digest(body));
    format!("{}\n{}\n\n{lines}\n{}\n{hash}", head.method, head.path, names(named))
}

fn to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", HEXLOWER.encode(&Sha256::digest(canonical)))
}

/// What is signed of a text that no request carries: a button's payload.
pub(super) fn of_text(text: &str) -> String {
    to_sign(text)
}

#[cfg(test)]
mod tests;
