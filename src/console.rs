//! The operator's pages, on the admin port: search for a reward, read what became of it, cancel it, have its code shown; balances and
//! what they were, months, budgets, campaigns, webhooks, reconciliations, the ages of keys. Off unless `server.console` is set.
//!
//! Whoever comes logs in with an API key, and sees and does what the key may. A page calls the use cases that the API calls, in process:
//! there is no second way to money, and what is done names the key in the timeline as ever. The only table of this room is that of its
//! sessions.
//!
//! A new page is a file here, a template, its words in each language, a row in [`page::NAVIGATION`] and a route below.

mod account;
mod alarms;
mod assets;
mod balances;
mod batches;
mod chart;
mod keys;
mod login;
mod month;
mod overview;
mod page;
mod paging;
mod programs;
mod reconciliations;
mod reward;
mod search;
pub mod sessions;
mod visitor;
mod webhooks;
mod words;

use std::{ops::Deref, sync::Arc};

use actix_web::{
    Resource, Route,
    http::header::{self, HeaderName},
    middleware::{DefaultHeaders, from_fn},
    web,
};

use self::assets::Assets;
use crate::{
    batches::Batches,
    http::{
        Http,
        observe::observe,
        routing::{read, resource},
    },
    identity::refusals::KeyRefusals,
    incentives::Rewards,
    ledger::Ledger,
    treasury::{Balances, Reconciliations},
    webhooks::Webhooks,
};

/// Nothing but what this port serves, no script or style within a page, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What the pages work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    parts: ConsoleParts,
    assets: Arc<Assets>,
}

/// The use cases that the pages call.
#[derive(Clone)]
pub(crate) struct ConsoleParts {
    pub(crate) http: Http,
    pub(crate) rewards: Rewards,
    pub(crate) balances: Balances,
    pub(crate) ledger: Ledger,
    pub(crate) refusals: KeyRefusals,
    pub(crate) reconciliations: Reconciliations,
    pub(crate) webhooks: Webhooks,
    pub(crate) batches: Batches,
}

impl Deref for Console {
    type Target = ConsoleParts;

    fn deref(&self) -> &ConsoleParts {
        &self.parts
    }
}

impl Console {
    pub(crate) fn new(parts: ConsoleParts) -> Self {
        Self { parts, assets: Arc::new(Assets::new()) }
    }

    /// Adds the pages.
    pub(crate) fn routes(self, config: &mut web::ServiceConfig) {
        let (http, refusals) = (web::Data::new(self.http.clone()), web::Data::new(self.refusals.clone()));
        let console = web::Data::new(self);
        // Before the scope, and outside of `observe`: these may be kept by the browser.
        let asset = resource("/console/assets/{name}", "GET, HEAD", [read().to(assets::asset)]);
        config.service(asset.app_data(console.clone()).wrap(headers()));
        let pages = web::scope("/console")
            .app_data(http)
            .app_data(refusals)
            .app_data(console)
            .service(page_at("", "GET, HEAD", [read().to(overview::show)]))
            .service(page_at("/login", "GET, HEAD, POST", [read().to(login::form), web::post().to(login::enter)]))
            .service(page_at("/logout", "POST", [web::post().to(login::leave)]))
            .service(page_at("/language", "POST", [web::post().to(login::speak)]))
            .service(page_at("/rewards", "GET, HEAD", [read().to(search::show)]))
            .service(page_at("/rewards/{id}", "GET, HEAD", [read().to(reward::show)]))
            .service(page_at("/rewards/{id}/cancel", "POST", [web::post().to(reward::cancel)]))
            .service(page_at("/rewards/{id}/reveal", "POST", [web::post().to(reward::reveal::show)]))
            .service(page_at("/balances", "GET, HEAD", [read().to(balances::show)]))
            .service(page_at("/balances/{account}", "GET, HEAD", [read().to(account::show)]))
            .service(page_at("/months/{account}/{month}.csv", "GET, HEAD", [read().to(month::sheet)]))
            .service(page_at("/months/{account}/{month}.journal", "GET, HEAD", [read().to(month::hledger)]))
            .service(page_at("/months/{account}/{month}.beancount", "GET, HEAD", [read().to(month::beancount)]))
            .service(page_at("/months/{account}/{month}", "GET, HEAD", [read().to(month::show)]))
            .service(page_at("/programs", "GET, HEAD", [read().to(programs::show)]))
            .service(page_at("/batches", "GET, HEAD", [read().to(batches::list)]))
            .service(page_at(
                "/batches/{id}",
                "GET, HEAD, POST",
                [read().to(batches::show), web::post().to(batches::change)],
            ))
            .service(page_at("/reconciliations", "GET, HEAD", [read().to(reconciliations::list)]))
            .service(page_at("/reconciliations/{id}", "GET, HEAD", [read().to(reconciliations::show)]))
            .service(page_at("/webhooks", "GET, HEAD", [read().to(webhooks::show)]))
            .service(page_at(
                "/webhooks/{id}/deliveries/{delivery}/redeliver",
                "POST",
                [web::post().to(webhooks::redeliver)],
            ))
            .service(page_at("/keys", "GET, HEAD", [read().to(keys::show)]))
            .default_service(web::to(page::nowhere))
            .wrap(from_fn(observe))
            // Around all: `observe` makes a new answer of a problem.
            .wrap(headers());
        config.service(pages);
    }
}

/// A page and its forms. Any other method leads to a page that says so.
fn page_at(path: &str, allowed: &'static str, routes: impl IntoIterator<Item = Route>) -> Resource {
    let refuse = move |console, request| page::wrong_method(console, request, allowed);
    resource(path, allowed, routes).default_service(web::to(refuse))
}

/// What the head of each answer says. A page's own address goes to this port alone: with `no-referrer` a browser would say of no form
/// where it comes from.
fn headers() -> DefaultHeaders {
    let same_origin = "same-origin";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, same_origin))
        .add((HeaderName::from_static("cross-origin-opener-policy"), same_origin))
        .add((HeaderName::from_static("cross-origin-resource-policy"), same_origin))
}
