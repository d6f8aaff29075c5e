//! Who looks at a page: an open session, its key, and the language. And whether a form was sent by a page of ours.

use actix_web::{
    HttpMessage, HttpRequest,
    http::{
        Uri,
        header::{self, HeaderName},
    },
    web,
};

use super::{
    Console,
    sessions::{self, SessionHash, SessionToken},
    words::Language,
};
use crate::{
    http::{Code, Problem, body::FormFields, headers},
    identity::{Caller, Principal, Scope},
    store::StoreError,
};

pub(super) const SESSION_COOKIE: &str = "noshi_console";
pub(super) const LANGUAGE_COOKIE: &str = "noshi_console_language";
/// The field of each form that shows whose page it was on.
pub(super) const PROOF_FIELD: &str = "proof";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why somebody is not shown a page.
pub(super) enum Halt {
    /// There is no open session.
    NotLoggedIn,
    /// The key may not.
    NoScope(Scope),
    /// Anything else.
    Refused(Problem),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Somebody who is logged in.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) principal: Principal,
    pub(super) token: SessionToken,
}

impl Visitor {
    /// Whoever has an open session whose key is still good.
    pub(super) async fn of(console: &Console, request: &HttpRequest) -> Result<Self, Halt> {
        let token = cookie(request, SESSION_COOKIE).and_then(SessionToken::parse).ok_or(Halt::NotLoggedIn)?;
        let (http, hash) = (&console.http, SessionHash::from(&token));
        let (store, now) = (http.store.clone(), http.ambient.now());
        let key = http.run(async move { sessions::find(&store, hash, now).await }).await?;
        let principal = Principal::of_session(http, request, key.ok_or(Halt::NotLoggedIn)?).await;
        let principal = principal
            .map_err(|refused| if refused.code().status() == 401 { Halt::NotLoggedIn } else { refused.into() })?;
        let visitor = Self { principal, token };
        request.extensions_mut().insert(visitor.clone());
        Ok(visitor)
    }

    /// The same, whose key must have this scope.
    pub(super) async fn with(console: &Console, request: &HttpRequest, scope: Scope) -> Result<Self, Halt> {
        let visitor = Self::of(console, request).await?;
        visitor.must(scope)?;
        Ok(visitor)
    }

    /// Whoever sends a form that was on a page of their own session.
    pub(super) async fn sending(
        console: &Console,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<(Self, FormFields), Halt> {
        check_origin(request)?;
        let visitor = Self::of(console, request).await?;
        let form = console.http.form(request, payload).await?;
        if visitor.token.proves(form.value(PROOF_FIELD)) { Ok((visitor, form)) } else { Err(forged().into()) }
    }

    /// Whether the key has this scope.
    ///
    /// # Errors
    /// [`Halt::NoScope`] where it has not.
    pub(super) fn must(&self, scope: Scope) -> Result<(), Halt> {
        if self.may(scope) { Ok(()) } else { Err(Halt::NoScope(scope)) }
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.principal.scopes.allow(scope)
    }

    pub(super) fn caller(&self) -> Caller {
        self.principal.caller()
    }
}

fn forged() -> Problem {
    Problem::new(Code::FORBIDDEN)
        .detail("the form is not of a page that was shown in this session: load the page again")
}

/// Whether a page of this port sent the request. A browser says so of each form, at least by one of the two.
///
/// # Errors
/// `forbidden` where another site did, or nobody says who.
pub(super) fn check_origin(request: &HttpRequest) -> Result<(), Problem> {
    let one = |name| headers::only(request, name).map_err(|headers::NotOne| forged());
    let (site, origin, host) = (one(FETCH_SITE)?, one(header::ORIGIN)?, one(header::HOST)?);
    let is_ours = |origin: &str| {
        let origin = origin.parse::<Uri>().ok();
        origin.as_ref().and_then(Uri::authority).is_some_and(|authority| Some(authority.as_str()) == host)
    };
    let is_said = site.is_some() || origin.is_some();
    let agree = site.is_none_or(|site| site == "same-origin") && origin.is_none_or(is_ours);
    if is_said && agree { Ok(()) } else { Err(forged()) }
}

/// The value of a cookie that came once.
pub(super) fn cookie<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    let header = headers::only(request, header::COOKIE).ok()??;
    let mut values = header.split(';').filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    let (_name, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// The language that was chosen, or else the first of the browser's that the console speaks.
pub(super) fn language(request: &HttpRequest) -> Language {
    if let Some(chosen) = cookie(request, LANGUAGE_COOKIE).and_then(Language::from_word) {
        return chosen;
    }
    let wished = headers::only(request, header::ACCEPT_LANGUAGE).ok().flatten().unwrap_or_default();
    let tags = wished.split(',').filter_map(|tag| tag.trim().split([';', '-']).next());
    tags.filter_map(Language::from_word).next().unwrap_or(Language::English)
}
