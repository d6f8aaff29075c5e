//! The token of the admin port: whoever presents it may change the running process.

use actix_web::{HttpRequest, http::header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{principal::bearer, problems};
use crate::http::{Code, Problem, headers};

/// What a refused token is answered with.
const CHALLENGE: &str = "Bearer realm=\"noshi-admin\", error=\"invalid_token\"";
const NOT_SET: &str = "server.admin_token is not set, so that nothing can be changed here";

/// The token of the settings, or that there is none. Only its hash is kept.
#[derive(Clone)]
pub(crate) struct AdminToken(Option<[u8; 32]>);

impl AdminToken {
    /// Keeps the hash of the token of the settings.
    #[expect(clippy::disallowed_methods, reason = "it is hashed, to be compared with what is presented")]
    pub(crate) fn new(token: Option<&SecretString>) -> Self {
        Self(token.map(|token| Sha256::digest(token.expose_secret().as_bytes()).into()))
    }

    /// Whether this request presents it. Takes the same time for every wrong token.
    ///
    /// # Errors
    /// `forbidden` where there is none; `unauthorized`.
    pub(crate) fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let expected = self.0.ok_or_else(|| Problem::new(Code::FORBIDDEN).detail(NOT_SET))?;
        let value = headers::only(request, header::AUTHORIZATION).ok().flatten();
        let presented: Option<[u8; 32]> = value.and_then(bearer).map(|token| Sha256::digest(token).into());
        if presented.is_some_and(|presented| presented.ct_eq(&expected).into()) {
            return Ok(());
        }
        Err(Problem::new(problems::UNAUTHORIZED).detail("the admin token is required").challenge(CHALLENGE))
    }
}
