//! Verification of AMZN-PAY-RSASSA-PSS-V2, with code of its own: it builds the canonical request from what arrived.
//!
//! It demands what Amazon states, and leaves free what Amazon's own libraries vary: further signed headers, the date's two forms, the
//! region's case, and whether the simulation code is signed.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use data_encoding::{BASE64, HEXLOWER};
use hyper::StatusCode;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::PayArrival;
use super::authorization::{ALGORITHM, PayAuthorization};
use super::merchants::Merchants;
use super::refusal::PayRefused;

/// How far `x-amz-pay-date` may be off, either way. Amazon publishes no figure.
const PAY_SKEW_MINUTES_MAX: i64 = 15;
/// What each request has, and signs.
const DEMANDED: [&str; 5] = ["accept", "content-type", "x-amz-pay-date", "x-amz-pay-host", "x-amz-pay-region"];
/// What is signed where it is sent.
const SIGNED_IF_SENT: [&str; 1] = ["x-amz-pay-idempotency-key"];
const REGIONS: [&str; 4] = ["jp", "na", "us", "eu"];

/// Whose a signature is.
#[derive(Debug)]
pub(super) struct PaySigner {
    pub(super) merchant_id: String,
    /// Whether the key's id names the sandbox.
    pub(super) names_sandbox: bool,
}

/// The order of the checks is: complete, known key, fresh date, matching signature.
pub(super) fn verify(arrival: &PayArrival, merchants: &Merchants, now: DateTime<Utc>) -> Result<PaySigner, PayRefused> {
    let unauthorized =
        || PayRefused::of(StatusCode::UNAUTHORIZED, "UnauthorizedAccess", "the request has no Authorization");
    let authorization = PayAuthorization::parse(single(arrival, "authorization")?.ok_or_else(unauthorized)?)?;
    for name in DEMANDED {
        if single(arrival, name)?.is_none_or(|value| value.trim().is_empty()) {
            return Err(PayRefused::bad("MissingHeader", format!("{name} is missing")));
        }
    }
    let region = single(arrival, "x-amz-pay-region")?.unwrap_or_default().trim().to_ascii_lowercase();
    if !REGIONS.contains(&region.as_str()) {
        return Err(PayRefused::bad("InvalidHeaderValue", format!("there is no region {region}")));
    }
    let if_sent = SIGNED_IF_SENT.into_iter().filter(|name| arrival.headers.contains_key(*name));
    for name in DEMANDED.into_iter().chain(if_sent) {
        if !authorization.signed_headers.contains(&name) {
            return Err(forbidden("InvalidRequestSignature", format!("{name} must be one of the SignedHeaders")));
        }
    }
    // Whether Amazon answers 401 or 403 here is not published.
    let key = merchants
        .key(authorization.public_key_id)
        .ok_or_else(|| forbidden("InvalidAuthentication", "there is no such PublicKeyId".to_owned()))?;
    let dated = date(single(arrival, "x-amz-pay-date")?.unwrap_or_default().trim())?;
    if now.signed_duration_since(dated).abs() > TimeDelta::minutes(PAY_SKEW_MINUTES_MAX) {
        let message = format!("the date is more than {PAY_SKEW_MINUTES_MAX} minutes off");
        return Err(forbidden("InvalidRequestSignature", message));
    }
    let to_sign = to_sign(&canonical(arrival, &authorization.signed_headers)?);
    if !holds(&key.pkcs1, &to_sign, authorization.signature) {
        let message = format!("Unable to verify signature, signing String [{to_sign}]");
        return Err(forbidden("InvalidRequestSignature", message));
    }
    Ok(PaySigner { merchant_id: key.merchant_id, names_sandbox: key.names_sandbox })
}

/// Whose a button is. Neither a method, nor a path, nor a header is signed with it, and it does not age.
pub(super) fn of_button(
    public_key_id: &str,
    payload: &str,
    signature: &str,
    merchants: &Merchants,
) -> Result<PaySigner, PayRefused> {
    let unknown = || forbidden("InvalidAuthentication", "there is no such PublicKeyId".to_owned());
    let key = merchants.key(public_key_id).ok_or_else(unknown)?;
    let to_sign = to_sign(payload);
    let wrong = || {
        let message = format!("Unable to verify signature, signing String [{to_sign}]");
        forbidden("InvalidRequestSignature", message)
    };
    holds(&key.pkcs1, &to_sign, signature).then_some(()).ok_or_else(wrong)?;
    Ok(PaySigner { merchant_id: key.merchant_id, names_sandbox: key.names_sandbox })
}

fn holds(pkcs1: &[u8], to_sign: &str, signature: &str) -> bool {
    let signature = BASE64.decode(signature.as_bytes()).unwrap_or_default();
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, pkcs1).verify(to_sign.as_bytes(), &signature).is_ok()
}

fn forbidden(reason: &str, message: String) -> PayRefused {
    PayRefused::of(StatusCode::FORBIDDEN, reason, message)
}

/// The text of a header that must not come twice.
fn single<'a>(arrival: &'a PayArrival, name: &str) -> Result<Option<&'a str>, PayRefused> {
    let mut values = arrival.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(PayRefused::bad("InvalidHeaderValue", format!("{name} was sent more than once")));
    }
    let unreadable = |_| PayRefused::bad("InvalidHeaderValue", format!("{name} must be plain ASCII"));
    first.map(|value| value.to_str().map_err(unreadable)).transpose()
}

/// `20260102T030405Z`, or `2026-01-02T03:04:05Z` as one of the libraries writes it.
fn date(text: &str) -> Result<DateTime<Utc>, PayRefused> {
    let forms = ["%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SZ"];
    // chrono also takes numbers that are shorter than the pattern's.
    let whole =
        |form: &&str| NaiveDateTime::parse_from_str(text, form).ok().filter(|at| at.format(form).to_string() == text);
    let read = forms.iter().find_map(whole);
    read.map(|naive| naive.and_utc())
        .ok_or_else(|| PayRefused::bad("InvalidHeaderValue", "x-amz-pay-date must be YYYYMMDDThhmmssZ".to_owned()))
}

fn canonical(arrival: &PayArrival, signed_headers: &[&str]) -> Result<String, PayRefused> {
    let mut lines = vec![arrival.method.as_str().to_owned(), arrival.path.clone(), query(&arrival.query)];
    for name in signed_headers {
        let value = single(arrival, name)?
            .ok_or_else(|| forbidden("InvalidRequestSignature", format!("{name} is signed, and was not sent")))?;
        let folded: Vec<&str> = value.split_ascii_whitespace().collect();
        lines.push(format!("{name}:{}", folded.join(" ")));
    }
    lines.extend([String::new(), signed_headers.join(";"), HEXLOWER.encode(&Sha256::digest(&arrival.body))]);
    Ok(lines.join("\n"))
}

/// What arrived is encoded already.
fn query(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn to_sign(canonical: &str) -> String {
    format!("{ALGORITHM}\n{}", HEXLOWER.encode(&Sha256::digest(canonical)))
}

#[cfg(test)]
mod tests;
