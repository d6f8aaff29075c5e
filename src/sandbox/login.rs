//! Login with Amazon, as far as a server needs it: whose an access token is, and for which client it was made. No browser signs in
//! here: tokens are planted on the control port.
//!
//! The token comes in the header `x-amz-access-token`, as Amazon's own libraries send it, or in `Authorization: bearer`. The token's
//! information also takes it as the query's `access_token`, as Amazon's guide still has it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use super::answer::GatewayAnswer;
use super::fault::Operation;
use super::world::World;

/// Where Amazon serves it, by region, and beside each its sandbox.
pub(super) const HOSTS: [&str; 8] = [
    "api.amazon.com",
    "api.sandbox.amazon.com",
    "api.amazon.co.uk",
    "api.sandbox.amazon.co.uk",
    "api.amazon.de",
    "api.sandbox.amazon.de",
    "api.amazon.co.jp",
    "api.sandbox.amazon.co.jp",
];

/// What every access token begins with.
const TOKEN: &str = "Atza|";
/// How long a token is good, as Amazon's are.
const EXPIRES_IN_SECONDS: i64 = 3_600;

/// A token that is to be planted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The token itself; one is made when it is absent.
    #[serde(default)]
    pub access_token: Option<String>,
    /// The client that it is made for: what `aud` says.
    pub client_id: String,
    /// The account that signed in.
    pub user_id: String,
    /// How long it is good, on the sandbox clock; negative for one that has expired.
    #[serde(default = "expires_in_seconds")]
    pub expires_in_seconds: i64,
}

const fn expires_in_seconds() -> i64 {
    EXPIRES_IN_SECONDS
}

/// A token that was planted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PlantedToken {
    /// The token.
    pub access_token: String,
    /// The client that it was made for.
    pub client_id: String,
    /// The account that signed in.
    pub user_id: String,
    /// When it expires, on the sandbox clock.
    pub expires_at: DateTime<Utc>,
}

/// Every token.
#[derive(Default)]
pub(super) struct Tokens {
    planted: Mutex<Vec<PlantedToken>>,
}

impl Tokens {
    pub(super) fn all(&self) -> Vec<PlantedToken> {
        self.planted().clone()
    }

    pub(super) fn plant(&self, token: PlantedToken) -> Result<(), String> {
        let PlantedToken { access_token, client_id, user_id, .. } = &token;
        if access_token.is_empty() || client_id.is_empty() || user_id.is_empty() {
            return Err("access_token, client_id and user_id must not be empty".to_owned());
        }
        let mut planted = self.planted();
        planted.retain(|other| other.access_token != token.access_token);
        planted.push(token);
        Ok(())
    }

    fn find(&self, text: &str) -> Option<PlantedToken> {
        self.planted().iter().find(|token| token.access_token == text).cloned()
    }

    fn planted(&self) -> MutexGuard<'_, Vec<PlantedToken>> {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a call plants.
pub(super) fn planted(world: &World, wanted: NewToken) -> PlantedToken {
    let NewToken { access_token, client_id, user_id, expires_in_seconds } = wanted;
    let made = || format!("{TOKEN}{}{}", world.chance.request_id(), world.chance.request_id()).replace('-', "");
    let lasts = TimeDelta::try_seconds(expires_in_seconds).unwrap_or(TimeDelta::MAX);
    let expires_at = world.clock.now().checked_add_signed(lasts).unwrap_or(DateTime::<Utc>::MAX_UTC);
    PlantedToken { access_token: access_token.unwrap_or_else(made), client_id, user_id, expires_at }
}

#[derive(Serialize)]
struct TokenInfoBody<'a> {
    iss: &'static str,
    user_id: &'a str,
    aud: &'a str,
    app_id: &'static str,
    exp: i64,
    iat: i64,
}

#[derive(Serialize)]
struct ProfileBody<'a> {
    user_id: &'a str,
    name: &'static str,
    email: &'static str,
}

#[derive(Serialize)]
struct LoginRefusal<'a> {
    error: &'a str,
    error_description: &'a str,
    request_id: String,
}

/// Answers a call of Login with Amazon.
pub(super) fn answer(world: &World, operation: Operation, headers: &HeaderMap, query: &str) -> GatewayAnswer {
    let now = world.clock.now();
    let Some(text) = presented(operation, headers, query) else {
        return refused(world, "invalid_request", "The request is missing a required parameter : access_token");
    };
    let token = world.tokens.find(&text).filter(|token| token.expires_at > now);
    let Some(token) = token else {
        return refused(world, "invalid_token", "The access token is malformed, unknown, revoked or expired");
    };
    let exp = token.expires_at.signed_duration_since(now).num_seconds();
    let PlantedToken { client_id, user_id, .. } = &token;
    let shown = if operation == Operation::TokenInfo {
        let iat = now.timestamp().saturating_sub(EXPIRES_IN_SECONDS.saturating_sub(exp));
        let (iss, app_id) = ("https://www.amazon.com", "amzn1.application.sandbox");
        to_raw_value(&TokenInfoBody { iss, user_id, aud: client_id, app_id, exp, iat })
    } else {
        to_raw_value(&ProfileBody { user_id, name: "Sandbox Shopper", email: "shopper@sandbox.example" })
    };
    shown.map_or(
        GatewayAnswer::Unread { status: StatusCode::INTERNAL_SERVER_ERROR, message: None, member: None },
        |json| GatewayAnswer::Plain { status: StatusCode::OK, reason: None, json },
    )
}

/// The token of a request. A query's is encoded.
fn presented(operation: Operation, headers: &HeaderMap, query: &str) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || {
        let (scheme, token) = header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    };
    if let Some(text) = header("x-amz-access-token").or_else(bearer).filter(|text| !text.is_empty()) {
        return Some(text.to_owned());
    }
    if operation != Operation::TokenInfo {
        return None;
    }
    let of_query = query.split('&').find_map(|pair| pair.strip_prefix("access_token="))?;
    decoded(of_query).filter(|text| !text.is_empty())
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn refused(world: &World, error: &str, error_description: &str) -> GatewayAnswer {
    let body = to_raw_value(&LoginRefusal { error, error_description, request_id: world.chance.request_id() });
    let status = StatusCode::BAD_REQUEST;
    match body {
        Ok(json) => GatewayAnswer::Plain { status, reason: None, json },
        Err(_unprinted) => GatewayAnswer::Unread { status, message: None, member: None },
    }
}
