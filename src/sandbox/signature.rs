//! Verification of AWS Signature Version 4, with code of its own.
//!
//! It shares no code with a signer: it builds the canonical form from the request as it arrived. It demands everything
//! that Amazon states, and leaves free what real clients vary: which optional headers they sign, blanks after commas,
//! the case of header names, and the port of the host, which Amazon's own hosts do without.

mod authorization;
mod canonical;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use self::authorization::Authorization;
use super::market::Group;

/// How far `x-amz-date` may be from the signature clock, either way.
pub(super) const SKEW_MINUTES_MAX: i64 = 5;

const SERVICE: &str = "AGCODService";
const TERMINATOR: &str = "aws4_request";
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A request as far as its signature covers it.
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    /// The path, already normalised: `//Op` is signed as `/Op`.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// A signature that holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct ValidSignature {
    pub(super) key_id: String,
    pub(super) region: String,
}

/// Why a signature was refused. Its `Display` is the message on the wire.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Rejection {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("{0}")]
    Scope(String),
    #[error("Signature expired: {date} is now earlier than {limit} ({now} - {SKEW_MINUTES_MAX} min.)")]
    Expired { date: String, limit: String, now: String },
    #[error("Signature not yet current: {date} is still later than {limit} ({now} + {SKEW_MINUTES_MAX} min.)")]
    NotYetCurrent { date: String, limit: String, now: String },
    /// The two texts are what the caller can compare with its own: no secret is in them.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request \
         should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
    )]
    Mismatch { canonical: String, to_sign: String },
}

impl Rejection {
    /// The exception's name, for `x-amzn-ErrorType`.
    pub(super) fn exception(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Scope(_) | Self::Expired { .. } | Self::NotYetCurrent { .. } | Self::Mismatch { .. } => {
                "InvalidSignatureException"
            }
        }
    }

    /// The answer to a date that is too old, as of now.
    pub(super) fn expired(date: &str, now: DateTime<Utc>) -> Self {
        let limit = now.checked_sub_signed(TimeDelta::minutes(SKEW_MINUTES_MAX)).unwrap_or(now);
        Self::Expired { date: date.to_owned(), limit: stamp(limit), now: stamp(now) }
    }

    fn not_yet_current(date: &str, now: DateTime<Utc>) -> Self {
        let limit = now.checked_add_signed(TimeDelta::minutes(SKEW_MINUTES_MAX)).unwrap_or(now);
        Self::NotYetCurrent { date: date.to_owned(), limit: stamp(limit), now: stamp(now) }
    }
}

/// Checks a request's signature. `secret_of` knows the secret of each access key; `now` is the signature clock.
///
/// The order of the checks is: complete, known key, our scope, fresh date, matching signature. So a caller without the
/// secret learns only that its signature is wrong.
pub(super) fn verify(
    presented: &SignedRequest<'_>,
    secret_of: impl Fn(&str) -> Option<String>,
    now: DateTime<Utc>,
) -> Result<ValidSignature, Rejection> {
    let header = match single(presented.headers, "authorization")? {
        Some(header) if !header.trim().is_empty() => header,
        Some(_) | None => return Err(Rejection::Missing),
    };
    let authorization = Authorization::parse(header)?;
    let host = single(presented.headers, "host")?.unwrap_or_default();
    let Some(date) = single(presented.headers, "x-amz-date")?.map(str::trim) else {
        return Err(Rejection::Incomplete(
            "Authorization header requires existence of a 'X-Amz-Date' header.".to_owned(),
        ));
    };
    let dated = parse_date(date)?;
    demand_signed_headers(presented, &authorization)?;
    let secret = secret_of(authorization.key_id).ok_or(Rejection::UnknownKey)?;
    // No partner has a session token, so a token belongs to another service.
    if presented.headers.contains_key("x-amz-security-token") {
        return Err(Rejection::UnknownKey);
    }
    demand_scope(&authorization, host, date)?;
    let age = now.signed_duration_since(dated);
    if age > TimeDelta::minutes(SKEW_MINUTES_MAX) {
        return Err(Rejection::expired(date, now));
    }
    if age < TimeDelta::minutes(-SKEW_MINUTES_MAX) {
        return Err(Rejection::not_yet_current(date, now));
    }
    let of_host = |host: &str| {
        let canonical = canonical::request(presented, &authorization.signed_headers, host);
        let to_sign = to_sign(&authorization, date, &canonical.text);
        let expected = signature(&secret, &authorization, &to_sign);
        let holds = canonical.whole && bool::from(expected.as_bytes().ct_eq(authorization.signature.as_bytes()));
        (holds, canonical, to_sign)
    };
    let (holds, canonical, to_sign) = of_host(host);
    if holds || without_port(host).is_some_and(|name| of_host(name).0) {
        Ok(ValidSignature { key_id: authorization.key_id.to_owned(), region: authorization.region.to_owned() })
    } else {
        Err(Rejection::Mismatch { canonical: String::from_utf8_lossy(&canonical.text).into_owned(), to_sign })
    }
}

/// The host's name where a port stands behind it. Some signers leave the port out: Amazon's own hosts have none.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = host.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// The text of a header that must not come twice: a proxy and a server might believe different ones.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Rejection::Incomplete(format!("Header '{name}' must not be sent more than once.")));
    }
    let unreadable = |_| Rejection::Incomplete(format!("Header '{name}' must be plain ASCII."));
    first.map(|value| value.to_str().map_err(unreadable)).transpose()
}

fn parse_date(date: &str) -> Result<DateTime<Utc>, Rejection> {
    let wrong = || Rejection::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date}'."));
    // chrono also accepts shorter numbers than the pattern has, so the length is checked first.
    if date.len() != "20260105T093000Z".len() {
        return Err(wrong());
    }
    NaiveDateTime::parse_from_str(date, DATE_FORMAT).map(|naive| naive.and_utc()).map_err(|_error| wrong())
}

fn stamp(instant: DateTime<Utc>) -> String {
    instant.format(DATE_FORMAT).to_string()
}

fn demand_signed_headers(presented: &SignedRequest<'_>, authorization: &Authorization<'_>) -> Result<(), Rejection> {
    let signed = |name: &str| authorization.signed_headers.contains(&name);
    let names = presented.headers.keys().map(hyper::header::HeaderName::as_str);
    let amazon = names.filter(|name| name.starts_with("x-amz-") && !decides_nothing(presented, name));
    for name in ["host", "x-amz-date"].into_iter().chain(amazon) {
        if !signed(name) {
            return Err(Rejection::Incomplete(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
        }
    }
    Ok(())
}

/// Whether a header repeats what the signature covers elsewhere: the target of an operation that the path names, and the
/// hash of the body. Several signers in wide use sign the host and the date alone, and send these two beside them.
fn decides_nothing(presented: &SignedRequest<'_>, name: &str) -> bool {
    match name {
        // A target that names another operation than the path has been refused before.
        "x-amz-target" => presented.path != "/",
        "x-amz-content-sha256" => {
            let hash = HEXLOWER.encode(&Sha256::digest(presented.body));
            presented.headers.get_all(name).iter().all(|value| value.as_bytes() == hash.as_bytes())
        }
        _ => false,
    }
}

fn demand_scope(authorization: &Authorization<'_>, host: &str, date: &str) -> Result<(), Rejection> {
    let Authorization { region, service, terminator, .. } = authorization;
    let region_fits = match Group::of_host(host) {
        Some(group) => group.region() == *region,
        None => Group::of_region(region).is_some(),
    };
    let problem = if !region_fits {
        format!("Credential should be scoped to a valid region, not '{region}'. ")
    } else if *service != SERVICE {
        format!("Credential should be scoped to correct service: '{SERVICE}'. ")
    } else if *terminator != TERMINATOR {
        format!("Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. ")
    } else if date.get(..8) != Some(authorization.date) {
        let (scope, day) = (authorization.date, date.get(..8).unwrap_or_default());
        format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != \
             '{day}', from '{date}'."
        )
    } else {
        return Ok(());
    };
    Err(Rejection::Scope(problem))
}

fn to_sign(authorization: &Authorization<'_>, date: &str, canonical: &[u8]) -> String {
    let Authorization { region, date: day, .. } = authorization;
    let hash = HEXLOWER.encode(&Sha256::digest(canonical));
    format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{SERVICE}/{TERMINATOR}\n{hash}")
}

fn signature(secret: &str, authorization: &Authorization<'_>, to_sign: &str) -> String {
    let Authorization { region, date: day, .. } = authorization;
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [*day, region, SERVICE, TERMINATOR] {
        key = hmac(&key, part.as_bytes());
    }
    HEXLOWER.encode(&hmac(&key, to_sign.as_bytes()))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length, so there is no failure to report; an empty tag would match no signature.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        },
    )
}

#[cfg(test)]
mod tests;
