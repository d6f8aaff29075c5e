//! The operator's pages, on the admin port: search for a reward, read what became of it, cancel it, have its code shown; balances, months,
//! budgets. Off unless `server.console` is set.
//!
//! Whoever comes logs in with an API key, and sees and does what the key may. A page calls the use cases that the API calls, in process:
//! there is no second way to money, and what is done names the key in the timeline as ever. The only table of this room is that of its
//! sessions.
//!
//! A new page is a file here, a template, its words in each language, a row in [`page::NAVIGATION`] and a route below.

mod assets;
mod balances;
mod login;
mod month;
mod overview;
mod page;
mod programs;
mod reward;
mod search;
pub mod sessions;
mod visitor;
mod words;

use std::sync::Arc;

use actix_web::{
    http::header::{self, HeaderName},
    middleware::{DefaultHeaders, from_fn},
    web,
};

use self::assets::Assets;
use crate::{
    http::{
        Http,
        observe::observe,
        routing::{read, resource},
    },
    identity::refusals::KeyRefusals,
    incentives::Rewards,
    ledger::Ledger,
    treasury::Balances,
};

/// Nothing but what this port serves, no script or style within a page, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What the pages work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    http: Http,
    rewards: Rewards,
    balances: Balances,
    ledger: Ledger,
    refusals: KeyRefusals,
    assets: Arc<Assets>,
}

impl Console {
    pub(crate) fn new(
        http: &Http,
        rewards: &Rewards,
        balances: &Balances,
        ledger: &Ledger,
        refusals: &KeyRefusals,
    ) -> Self {
        Self {
            http: http.clone(),
            rewards: rewards.clone(),
            balances: balances.clone(),
            ledger: ledger.clone(),
            refusals: refusals.clone(),
            assets: Arc::new(Assets::new()),
        }
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
            .service(resource("", "GET, HEAD", [read().to(overview::show)]))
            .service(resource("/login", "GET, HEAD, POST", [read().to(login::form), web::post().to(login::enter)]))
            .service(resource("/logout", "POST", [web::post().to(login::leave)]))
            .service(resource("/language", "POST", [web::post().to(login::speak)]))
            .service(resource("/rewards", "GET, HEAD", [read().to(search::show)]))
            .service(resource("/rewards/{id}", "GET, HEAD", [read().to(reward::show)]))
            .service(resource("/rewards/{id}/cancel", "POST", [web::post().to(reward::cancel)]))
            .service(resource("/rewards/{id}/reveal", "POST", [web::post().to(reward::reveal::show)]))
            .service(resource("/balances", "GET, HEAD", [read().to(balances::show)]))
            .service(resource("/months/{account}/{month}", "GET, HEAD", [read().to(month::show)]))
            .service(resource("/programs", "GET, HEAD", [read().to(programs::show)]))
            .default_service(web::to(page::nowhere))
            .wrap(from_fn(observe))
            // Around all: `observe` makes a new answer of a problem.
            .wrap(headers());
        config.service(pages);
    }
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
