//! Who calls: one API key in one `Authorization` header, looked up on every request, so that a revocation holds at once.

use actix_web::{HttpMessage, HttpRequest, http::header, web};
use chrono::{DateTime, Utc};

use super::keys::{ApiKey, KeyLookups, Presented};
use super::refusals::{self, KeyRefusal, KeyRefusals, TurnedAway};
use super::{Caller, Scope, Scopes, problems};
use crate::audit::AuditActor;
use crate::http::{
    Http, Problem,
    connection::Connection,
    headers,
    observe::{Asker, continue_trace},
};
use crate::kernel::{ApiKeyId, ClientId, ProgramId};
use crate::lifecycle::workplaces;

/// Compared with when there is no such key, so that a wrong id and a wrong secret take the same way.
const NO_KEY: [u8; 32] = [0; 32];

/// What a refused key is answered with (RFC 6750, 3).
const INVALID_TOKEN: &str = "Bearer realm=\"noshi\", error=\"invalid_token\"";

/// The client behind a request.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) client: ClientId,
    pub(crate) client_name: String,
    pub(crate) key: ApiKeyId,
    pub(crate) key_name: String,
    pub(crate) scopes: Scopes,
    /// The only program that it may charge, when it is bound to one.
    pub(crate) program: Option<ProgramId>,
}

impl Principal {
    /// Whose things the key deals with.
    pub(crate) fn caller(&self) -> Caller {
        Caller::of_key(self.client, self.key, &self.scopes, self.program.clone())
    }

    /// In whose name the audit records what this request does.
    pub(crate) fn actor(&self, request: &HttpRequest) -> AuditActor {
        let peer = request.peer_addr().map(|peer| peer.ip());
        AuditActor::ApiKey { client: self.client, key: self.key, peer }
    }

    /// The client behind this request, whose key must have this scope.
    ///
    /// # Errors
    /// `unauthorized` for no key, several, a malformed, unknown, expired or revoked one, all alike;
    /// `rate-limited`, whatever the request is; `insufficient-scope`; `dependency-unavailable` when keys cannot be looked up.
    pub(crate) async fn of(http: &Http, request: &HttpRequest, scope: Scope) -> Result<Self, Problem> {
        let principal = Self::of_any_scope(http, request).await?;
        if !principal.scopes.allow(scope) {
            let challenge = format!("Bearer realm=\"noshi\", error=\"insufficient_scope\", scope=\"{scope}\"");
            return Err(Problem::new(problems::INSUFFICIENT_SCOPE)
                .challenge(challenge)
                .detail(format!("the key has no scope {scope}")));
        }
        Ok(principal)
    }

    /// The client behind this request, whatever its key may do.
    ///
    /// # Errors
    /// `unauthorized` and `dependency-unavailable`, as [`Principal::of`]; `rate-limited`.
    pub(crate) async fn of_any_scope(http: &Http, request: &HttpRequest) -> Result<Self, Problem> {
        let value = headers::only(request, header::AUTHORIZATION)
            .map_err(|_several| refused(http, request, KeyRefusal::Malformed, None))?
            .ok_or_else(|| refused(http, request, KeyRefusal::Absent, None))?;
        Self::of_text(http, request, bearer(value)).await
    }

    /// The client behind the text of a key, however the caller sent it.
    ///
    /// # Errors
    /// As [`Principal::of_any_scope`].
    pub(crate) async fn of_text(http: &Http, request: &HttpRequest, text: Option<&str>) -> Result<Self, Problem> {
        let presented = text.and_then(Presented::parse);
        let presented = presented.ok_or_else(|| refused(http, request, KeyRefusal::Malformed, None))?;
        let (store, id, lookups) = (http.store.clone(), presented.id, lookups(request));
        let found = http.run(async move { lookups.find(store, id).await }).await?;
        let genuine = presented.matches(found.as_ref().map_or(&NO_KEY, |key| &key.secret_sha256));
        Self::enter(http, request, found, genuine)
    }

    /// The client behind a key that proved to be good before, in a session that is still open. It is looked up again, so that a session
    /// ends with its key.
    ///
    /// # Errors
    /// As [`Principal::of_any_scope`].
    pub(crate) async fn of_session(http: &Http, request: &HttpRequest, id: ApiKeyId) -> Result<Self, Problem> {
        let (store, lookups) = (http.store.clone(), lookups(request));
        let found = http.run(async move { lookups.find(store, id).await }).await?;
        Self::enter(http, request, found, true)
    }

    fn enter(http: &Http, request: &HttpRequest, found: Option<ApiKey>, genuine: bool) -> Result<Self, Problem> {
        let key = found.ok_or_else(|| refused(http, request, KeyRefusal::Unknown, None))?;
        if let Some(reason) = not_good(&key, genuine, http.ambient.now()) {
            return Err(refused(http, request, reason, Some(key.id)));
        }
        request.extensions_mut().insert(Asker { client: key.client, key: key.id });
        Connection::of(request).know(key.id);
        workplaces::belongs_to(key.id);
        continue_trace(request);
        http.limits.enter(request, key.id, &http.ambient)?;
        Ok(Self {
            client: key.client,
            client_name: key.client_name,
            key: key.id,
            key_name: key.name,
            scopes: key.scopes,
            program: key.program,
        })
    }
}

/// The port's look-ups; where it has none, those of this request alone.
fn lookups(request: &HttpRequest) -> KeyLookups {
    request.app_data::<web::Data<KeyLookups>>().map(|lookups| lookups.get_ref().clone()).unwrap_or_default()
}

/// Counts and logs a key that is turned away. The caller hears the same, whatever the reason.
fn refused(http: &Http, request: &HttpRequest, reason: KeyRefusal, key: Option<ApiKeyId>) -> Problem {
    if let Some(refusals) = request.app_data::<web::Data<KeyRefusals>>() {
        refusals.count(reason);
    }
    let peer = request.peer_addr().map(|peer| peer.ip());
    let line = refusals::log(TurnedAway { reason, key, peer }, &http.stranger_lines, http.ambient.monotonic());
    request.extensions_mut().insert(line);
    Problem::new(problems::UNAUTHORIZED).challenge(INVALID_TOKEN)
}

/// Why a key that is there opens nothing.
fn not_good(key: &ApiKey, genuine: bool, now: DateTime<Utc>) -> Option<KeyRefusal> {
    if !genuine {
        return Some(KeyRefusal::WrongSecret);
    }
    if key.is_active(now) {
        return None;
    }
    Some(if key.revoked_at.is_some() { KeyRefusal::Revoked } else { KeyRefusal::Expired })
}

/// The token of `Bearer TOKEN` (RFC 6750, 2.1; the scheme in any case, RFC 9110, 11.1).
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}
