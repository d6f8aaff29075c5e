//! Login with Amazon, the server's part (`incentives/kinds/balance_load.rs`): whose an access token is. A shopper signs in on the
//! caller's page, and the page hands us the token that Amazon made for it.
//!
//! A token of another client is worth nothing here, however good it is: whoever runs a page that asks shoppers to sign in could
//! present the tokens of its own visitors. So the token's information is asked for first, and it must name *our* client (`aud`)
//! before anything else is read. Then the profile says who it is, and must say what the information said.
//!
//! The token is sent in the header `x-amz-access-token`, to both: since March 2021 Amazon's own libraries do so, because a query
//! stands in logs. Amazon's guide still shows the query for the token's information; nothing here sends it.
//!
//! It is asked as Amazon's other APIs are ([`super::transport`]): over TLS, no redirect, no retry, bounded in time and bytes. It logs
//! nothing, and what it returns holds no text of Amazon's but the account's id.

mod shopper;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::transport::{self, Cut, Reach};
use crate::{
    ambient::Ambient,
    kernel::{
        HttpsProxy, LoginHost, UnknownReason,
        outcome::{self, RefusalCode},
    },
    lifecycle::workplaces::outside,
};

pub use shopper::{AccessToken, ShopperId};

/// Bytes of the longest answer that is read; Amazon's have a few hundred.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-amz-access-token");

/// How long a call may take. Two are made while a caller waits, and the purchase comes after them.
const CONNECT: Duration = Duration::from_secs(1);
const TOTAL: Duration = Duration::from_secs(2);

/// A call of Login with Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginCall {
    /// For whom a token was made.
    TokenInfo,
    /// Who signed in.
    Profile,
}

impl LoginCall {
    /// Both.
    pub const ALL: [Self; 2] = [Self::TokenInfo, Self::Profile];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenInfo => "tokeninfo",
            Self::Profile => "profile",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::TokenInfo => "/auth/o2/tokeninfo",
            Self::Profile => "/user/profile",
        }
    }
}

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct LoginSettings {
    /// Our client id at Login with Amazon: the only one whose tokens are taken.
    pub client_id: String,
    /// Where the calls go.
    pub host: LoginHost,
    /// A stand-in on this machine in its place.
    pub stand_in: Option<SocketAddr>,
    /// Through whom they go; to a stand-in they go directly.
    pub https_proxy: Option<HttpsProxy>,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is no access token.
    #[error("it is no access token of Login with Amazon")]
    Malformed,
    /// Amazon does not know it, or does not any more.
    #[error("Login with Amazon does not take it: it is unknown, revoked or expired")]
    Refused,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It was made for another client.
    #[error("it was made for another client id than the account's")]
    Foreign,
}

/// Why nobody is known to have signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// Login with Amazon is away, or answers what makes no sense.
    #[error("Login with Amazon gives no usable answer")]
    Away,
}

impl RefusalCode for BadToken {
    fn code(&self) -> &'static str {
        "token"
    }
}

/// What came of a call to Login with Amazon. It does nothing there, so whatever is not proven may be asked again.
pub type LoginOutcome<T> = outcome::Outcome<T, BadToken>;

/// A call and what came of it, for whoever counts them.
pub struct Heard {
    /// Which.
    pub call: LoginCall,
    /// What came of it, without what it showed.
    pub outcome: LoginOutcome<()>,
    /// How long it took.
    pub took: Duration,
}

/// The HTTP client cannot be made, for example because the machine has no root certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built")]
pub struct LoginUnbuilt(#[from] reqwest::Error);

/// Asks Login with Amazon. Cheap to clone.
#[derive(Clone)]
pub struct LoginClient(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    client_id: String,
    base_url: String,
    ambient: Ambient,
}

/// The token's information. Other members are of no concern.
#[derive(Deserialize)]
struct TokenInfo {
    aud: String,
    #[serde(deserialize_with = "wiped")]
    user_id: Zeroizing<String>,
    /// Seconds that are left.
    exp: i64,
}

#[derive(Deserialize)]
struct Profile {
    #[serde(deserialize_with = "wiped")]
    user_id: Zeroizing<String>,
}

/// A text that names a shopper.
fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

#[derive(Deserialize)]
struct LoginRefused {
    error: String,
}

impl LoginClient {
    /// A client for one client id.
    ///
    /// # Errors
    /// [`LoginUnbuilt`].
    pub fn new(settings: LoginSettings, ambient: Ambient) -> Result<Self, LoginUnbuilt> {
        let amazon = Reach::Amazon { proxy: settings.https_proxy };
        let reach = if settings.stand_in.is_some() { Reach::Loopback } else { amazon };
        let http = transport::builder(&reach, CONNECT, TOTAL)?.build()?;
        let base_url = settings
            .stand_in
            .map_or_else(|| format!("https://{}", settings.host.as_str()), |address| format!("http://{address}"));
        Ok(Self(Arc::new(Inner { http, client_id: settings.client_id, base_url, ambient })))
    }

    /// Who signed in and got this token, if it was made for our client. `heard` counts each call.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn shopper(&self, token: &AccessToken, mut heard: impl FnMut(Heard)) -> Result<ShopperId, LoginError> {
        let header = token.header().ok_or(BadToken::Malformed)?;
        let info: TokenInfo = self.ask(LoginCall::TokenInfo, &header, &mut heard).await?;
        if info.aud != self.0.client_id {
            return Err(BadToken::Foreign.into());
        }
        if info.exp <= 0 {
            return Err(BadToken::Expired.into());
        }
        let profile: Profile = self.ask(LoginCall::Profile, &header, &mut heard).await?;
        if profile.user_id != info.user_id {
            return Err(LoginError::Away);
        }
        ShopperId::new(profile.user_id).ok_or(LoginError::Away)
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        call: LoginCall,
        token: &HeaderValue,
        heard: &mut impl FnMut(Heard),
    ) -> Result<T, LoginError> {
        let started = self.0.ambient.monotonic();
        let outcome = self.exchange(call, token).await;
        let took = self.0.ambient.monotonic().saturating_duration_since(started);
        let (outcome, answer) = match outcome {
            LoginOutcome::Proven(shown) => (LoginOutcome::Proven(()), Ok(shown)),
            LoginOutcome::Refused(bad) => (LoginOutcome::Refused(bad), Err(bad.into())),
            LoginOutcome::AuthRejected(why) => (LoginOutcome::AuthRejected(why), Err(LoginError::Away)),
            LoginOutcome::NotSent(why) => (LoginOutcome::NotSent(why), Err(LoginError::Away)),
            LoginOutcome::Unknown(reason) => (LoginOutcome::Unknown(reason), Err(LoginError::Away)),
        };
        heard(Heard { call, outcome, took });
        answer
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place from which a call to Login with Amazon leaves"
    )]
    async fn exchange<T: for<'de> Deserialize<'de>>(&self, call: LoginCall, token: &HeaderValue) -> LoginOutcome<T> {
        let url = format!("{}{}", self.0.base_url, call.path());
        let request = self.0.http.get(url).header(ACCEPT, "application/json").header(ACCESS_TOKEN, token.clone());
        let response = match outside(request.send()).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return LoginOutcome::NotSent(transport::unconnected(&error)),
            Err(error) if error.is_timeout() => return LoginOutcome::Unknown(UnknownReason::Timeout),
            Err(_lost) => return LoginOutcome::Unknown(UnknownReason::ConnectionLost),
        };
        let status = response.status().as_u16();
        let label = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_json = label.to_ascii_lowercase().starts_with("application/json");
        match (outside(transport::body(response, ANSWER_BYTES_MAX)).await, is_json) {
            (Ok(body), true) => understood(status, &body),
            (Ok(_), false) => LoginOutcome::Unknown(unknown(status)),
            (Err(Cut::TooLong), _) => LoginOutcome::Unknown(UnknownReason::TooLarge),
            (Err(Cut::Broken(error)), _) if error.is_timeout() => LoginOutcome::Unknown(UnknownReason::Timeout),
            (Err(Cut::Broken(_)), _) => LoginOutcome::Unknown(UnknownReason::ConnectionLost),
        }
    }
}

/// Reads any answer, for the fuzzer and for property tests.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(status: u16, body: &[u8]) {
    drop(understood::<TokenInfo>(status, body));
    drop(understood::<Profile>(status, body));
}

fn understood<T: for<'de> Deserialize<'de>>(status: u16, body: &[u8]) -> LoginOutcome<T> {
    match status {
        // Serde's own error is dropped: it quotes what it read.
        200 => {
            serde_json::from_slice(body).map_or(LoginOutcome::Unknown(UnknownReason::WrongShape), LoginOutcome::Proven)
        }
        400 | 401 | 403 if is_about_the_token(body) => LoginOutcome::Refused(BadToken::Refused),
        _ => LoginOutcome::Unknown(unknown(status)),
    }
}

/// Why an answer that is none of Login with Amazon's says nothing.
const fn unknown(status: u16) -> UnknownReason {
    match status {
        200 => UnknownReason::NotJson,
        300..400 => UnknownReason::Redirect,
        429 => UnknownReason::Throttled,
        500.. => UnknownReason::ServerError,
        _ => UnknownReason::Unlisted,
    }
}

/// Whether an error is the token's. Any other, a server's own for one, says nothing of it.
fn is_about_the_token(body: &[u8]) -> bool {
    let known = ["invalid_token", "expired_token", "invalid_request", "insufficient_scope"];
    serde_json::from_slice::<LoginRefused>(body).is_ok_and(|refused| known.contains(&refused.error.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_says_nothing_of_the_token() {
        for (status, body) in [
            (200, "[]"),
            (200, "{}"),
            (302, "{\"error\":\"invalid_token\"}"),
            (400, "{\"error\":\"ServerError\"}"),
            (404, "{\"error\":\"invalid_token\"}"),
            (429, "{}"),
            (500, "{\"error\":\"invalid_token\"}"),
        ] {
            let outcome = understood::<Profile>(status, body.as_bytes());
            assert!(matches!(outcome, LoginOutcome::Unknown(_)), "{status} {body}");
        }
        let refused = understood::<Profile>(400, br#"{"error":"invalid_token","error_description":"x"}"#);
        assert!(matches!(refused, LoginOutcome::Refused(BadToken::Refused)));
        assert!(matches!(understood::<Profile>(200, br#"{"user_id":"a","more":1}"#), LoginOutcome::Proven(_)));
    }

    #[test]
    fn only_words_about_the_token_refuse_it() {
        for word in ["invalid_token", "expired_token", "invalid_request", "insufficient_scope"] {
            assert!(is_about_the_token(format!("{{\"error\":\"{word}\",\"error_description\":\"x\"}}").as_bytes()));
        }
        for body in ["{\"error\":\"ServerError\"}", "{\"error\":7}", "{}", "[]", "invalid_token", ""] {
            assert!(!is_about_the_token(body.as_bytes()), "{body}");
        }
    }
}
