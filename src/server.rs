//! The two servers: the API for callers, and the admin port for probes, Prometheus and the log's filter, which is never
//! public.

mod describe;
mod door;
mod listen;
mod log_filter;
mod metrics;
mod page;
mod port;
mod tls;

use std::{io, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse,
    http::{StatusCode, header},
    middleware::{DefaultHeaders, from_fn},
    web,
};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

pub use self::{describe::openapi, tls::TlsError};
use self::{
    door::{Door, attend, attend_admin},
    page::metrics_page,
    port::{PortSettings, bind},
};
pub(crate) use self::{
    metrics::Metrics,
    port::BoundServer,
    tls::{ApiTls, TlsTerms, Validity, terms},
};
use crate::{
    accounts,
    audit::AuditWatch,
    batches::{self, Batches},
    config,
    console::{Console, ConsoleParts},
    events,
    http::{
        Code, Http, Problem,
        forget::forget,
        framing,
        let_in::{HEALTH, let_in},
        observe::observe,
        paging::no_query,
        problem::timestamp,
        routing::{not_found, read, resource},
    },
    identity::{self, AdminToken, Principal, Scope, endings::KeyEndings, keys::KeyLookups, refusals::KeyRefusals},
    incentives::{self, Rewards, http::FundsCheck},
    kernel::Chain,
    ledger::{self, Ledger},
    membership::{self, Memberships},
    pay::{self, Payments},
    store::{
        StoreError,
        clock::ServerClock,
        migrate::{Schema, schema},
    },
    telemetry::LogFilter,
    treasury::{self, Balances, Reconciliations},
    webhooks::{self, Webhooks},
};

/// What handlers of both servers share.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) http: Http,
    pub(crate) rewards: Rewards,
    pub(crate) payments: Payments,
    pub(crate) balances: Balances,
    pub(crate) ledger: Ledger,
    pub(crate) keys: KeyEndings,
    pub(crate) refusals: KeyRefusals,
    /// The database server's clock, where there is one to go by.
    pub(crate) clock: Option<ServerClock>,
    pub(crate) reconciliations: Reconciliations,
    pub(crate) audit: AuditWatch,
    pub(crate) webhooks: Webhooks,
    pub(crate) batches: Batches,
    pub(crate) memberships: Memberships,
    pub(crate) log: LogFilter,
    pub(crate) admin_token: AdminToken,
    pub(crate) metrics: Arc<Metrics>,
}

/// The admin port: few ask there, and not for long.
const ADMIN_CONNECTIONS_MAX: usize = 64;
const ADMIN_DRAIN: Duration = Duration::from_secs(1);
const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const ADMIN_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Binds the API.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn api(state: &AppState, settings: &config::ServerSettings, tls: Option<ApiTls>) -> io::Result<BoundServer> {
    let (http, rewards, balances, reconciliations) = (
        web::Data::new(state.http.clone()),
        web::Data::new(state.rewards.clone()),
        web::Data::new(state.balances.clone()),
        web::Data::new(state.reconciliations.clone()),
    );
    let ledger = web::Data::new(state.ledger.clone());
    let accounts = web::Data::new(state.rewards.accounts().clone());
    let funds = web::Data::new(funds_check(&state.balances));
    let refusals = web::Data::new(state.refusals.clone());
    let lookups = web::Data::new(KeyLookups::default());
    let webhooks = web::Data::new(state.webhooks.clone());
    let batches = web::Data::new(state.batches.clone());
    let memberships = web::Data::new(state.memberships.clone());
    let payments = web::Data::new(state.payments.clone());
    let sells = !state.payments.accounts().is_empty();
    let port = PortSettings {
        listen: settings.listen,
        workers: settings.workers,
        connections_max: settings.connections_max,
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        unread_timeout: settings.unread_timeout,
        drain_timeout: settings.drain_timeout,
        tls,
    };
    let door = Door::new(port.connections_max, port.unread_timeout, state.metrics.door.of_port("api"));
    bind(&port, &door, move || {
        App::new()
            .app_data(http.clone())
            .app_data(rewards.clone())
            .app_data(funds.clone())
            .app_data(refusals.clone())
            .app_data(lookups.clone())
            .app_data(balances.clone())
            .app_data(ledger.clone())
            .app_data(accounts.clone())
            .app_data(reconciliations.clone())
            .app_data(webhooks.clone())
            .app_data(batches.clone())
            .app_data(payments.clone())
            .app_data(memberships.clone())
            .wrap(from_fn(observe))
            .wrap(from_fn(let_in))
            .wrap(from_fn(framing::frame))
            .wrap(from_fn(attend))
            .wrap(from_fn(forget))
            .configure(treasury::http::routes)
            .configure(treasury::reconciliation::http::routes)
            .configure(incentives::http::routes)
            .configure(ledger::http::routes)
            .configure(events::http::routes)
            .configure(accounts::http::routes)
            .configure(webhooks::http::routes)
            .configure(batches::http::routes)
            .configure(|config| {
                if sells {
                    pay::http::routes(config);
                    membership::http::routes(config);
                }
            })
            .service(resource("/v1/ping", "GET, HEAD", [read().to(ping)]))
            .service(resource(HEALTH, "GET, HEAD", [read().to(healthz)]))
            .configure(describe::routes)
            .default_service(web::to(not_found))
    })
}

/// Binds the admin port.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn admin(state: &AppState, settings: &config::ServerSettings) -> io::Result<BoundServer> {
    let port = PortSettings {
        listen: settings.admin_listen,
        workers: 1,
        connections_max: ADMIN_CONNECTIONS_MAX,
        head_timeout: ADMIN_HEAD_TIMEOUT,
        idle_timeout: ADMIN_IDLE_TIMEOUT,
        unread_timeout: settings.unread_timeout,
        drain_timeout: ADMIN_DRAIN,
        tls: None,
    };
    let door = Door::new(port.connections_max, port.unread_timeout, state.metrics.door.of_port("admin"));
    let console = settings.console.then(|| Console::new(console_parts(state)));
    let state = web::Data::new(state.clone());
    bind(&port, &door, move || {
        let console = console.clone();
        App::new()
            .app_data(state.clone())
            .wrap(DefaultHeaders::new().add((header::CACHE_CONTROL, "no-store")))
            .wrap(from_fn(framing::frame))
            .wrap(from_fn(attend_admin))
            .wrap(from_fn(forget))
            .service(resource("/livez", "GET, HEAD", [read().to(livez)]))
            .service(resource("/readyz", "GET, HEAD", [read().to(readyz)]))
            .service(resource("/metrics", "GET, HEAD", [read().to(metrics_page)]))
            .configure(log_filter::routes)
            .configure(|config| console.into_iter().for_each(|console| console.routes(config)))
            .default_service(web::to(not_found))
    })
}

fn console_parts(state: &AppState) -> ConsoleParts {
    ConsoleParts {
        http: state.http.clone(),
        rewards: state.rewards.clone(),
        balances: state.balances.clone(),
        ledger: state.ledger.clone(),
        refusals: state.refusals.clone(),
        reconciliations: state.reconciliations.clone(),
        webhooks: state.webhooks.clone(),
        batches: state.batches.clone(),
    }
}

/// Lets the slice of rewards look at balances, which lie above it.
fn funds_check(balances: &Balances) -> FundsCheck {
    let balances = balances.clone();
    FundsCheck(Arc::new(move |account, value| {
        let balances = balances.clone();
        Box::pin(async move { balances.covers(&account, value).await })
    }))
}

/// Every scope that a key may have, in the order in which they are shown.
#[must_use]
pub fn scopes() -> Vec<Scope> {
    [
        incentives::scopes::SCOPES,
        treasury::scopes::OF_BALANCES,
        events::scopes::SCOPES,
        ledger::scopes::SCOPES,
        treasury::scopes::OF_RECONCILIATIONS,
        identity::caller::SCOPES,
        accounts::scopes::SCOPES,
        webhooks::scopes::SCOPES,
        identity::caller::LATER_SCOPES,
        pay::scopes::SCOPES,
        membership::scopes::SCOPES,
    ]
    .concat()
}

/// Every code that a problem document may have.
pub fn problem_codes() -> impl Iterator<Item = Code> {
    let slices = [
        identity::problems::CODES,
        ledger::problems::CODES,
        incentives::problems::CODES,
        treasury::problems::CODES,
        webhooks::problems::CODES,
        batches::problems::CODES,
        pay::problems::CODES,
        membership::problems::CODES,
    ];
    Code::OF_HTTP.iter().chain(Code::OF_PRODUCTS).chain(slices.into_iter().flatten()).copied()
}

/// The operations that are of no slice.
#[derive(OpenApi)]
#[openapi(paths(ping), tags((name = "general", description = "The service itself")))]
struct GeneralApi;

#[derive(Serialize, ToSchema)]
struct Ping {
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The versions of the API that it speaks.
    #[schema(example = json!(["v1"]))]
    api_versions: [&'static str; 1],
    /// The key's client.
    #[schema(example = "shop")]
    client: String,
    /// Its id.
    key_id: String,
    /// Its name.
    #[schema(example = "checkout")]
    key_name: String,
    /// What it may do.
    #[schema(example = json!(["rewards:write", "rewards:read"]))]
    scopes: Vec<String>,
    /// The time of the service.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    now: String,
}

/// Ask who the caller is
#[utoipa::path(
    get,
    path = "/v1/ping",
    operation_id = "ping",
    tag = "general",
    security(("api_key" = [])),
    responses((status = 200, description = "Who the key is", body = Ping)),
    extensions(("x-problems" = json!([])))
)]
async fn ping(http: web::Data<Http>, request: actix_web::HttpRequest) -> Result<HttpResponse, Problem> {
    let principal = Principal::of_any_scope(&http, &request).await?;
    no_query(&request)?;
    Ok(HttpResponse::Ok().json(Ping {
        version: env!("CARGO_PKG_VERSION"),
        api_versions: ["v1"],
        client: principal.client_name,
        key_id: principal.key.to_string(),
        key_name: principal.key_name,
        scopes: principal.scopes.iter().map(str::to_owned).collect(),
        now: timestamp(http.ambient.now()),
    }))
}

/// Answers a balancer on the API port. It asks nothing: nobody needs a key here. Whether the service is ready, the admin port knows.
async fn healthz(http: web::Data<Http>) -> HttpResponse {
    if http.tasks.stopping().is_cancelled() { unready("draining") } else { livez().await }
}

/// Answers whenever the process runs. It asks nothing else, or an outage of the database would restart every replica.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Ready while the database answers and takes writes, its schema is ours, our clock agrees with its clock, and the process is not stopping.
/// Amazon is not asked: when it is away, all replicas would be taken out together.
async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    let Http { store, tasks, .. } = &state.http;
    if tasks.stopping().is_cancelled() {
        return unready("draining");
    }
    let store = store.clone();
    if store.refuses_writes() {
        return unready("the database takes no writes");
    }
    match tasks.run(async move { schema(&store).await }).await {
        Ok(Ok(Schema::Current | Schema::Ahead)) => match state.clock.as_ref().and_then(ServerClock::trouble) {
            None => match state.rewards.accounts().stranded() {
                None => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n"),
                Some(account) => unready(&format!(
                    "Amazon refuses the key pair of the account {account} that lies in the files here"
                )),
            },
            Some(why) => unready(why),
        },
        Ok(Ok(Schema::Older)) => unready("the database must be migrated"),
        Ok(Ok(Schema::Newer)) => unready("the database is too new for this program"),
        Ok(Err(error)) => {
            tracing::warn!(error = %Chain(&error), "not ready");
            unready(&match error {
                StoreError::Lost(_) => "the database was removed or replaced".to_owned(),
                StoreError::Session(why) => why.to_string(),
                StoreError::Database { .. }
                | StoreError::Away { .. }
                | StoreError::Migrate(_)
                | StoreError::NotOwner
                | StoreError::Inconsistent { .. }
                | StoreError::Unconfirmed
                | StoreError::Unmet
                | StoreError::Busy
                | StoreError::TooCostly { .. }
                | StoreError::Schema(_)
                | StoreError::Open(_)
                | StoreError::Unaudited
                | StoreError::Together(_)
                | StoreError::Randomness(_) => "the database does not answer".to_owned(),
            })
        }
        Err(_lost) => unready("stopping"),
    }
}

fn unready(why: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
        .content_type("text/plain; charset=utf-8")
        .body(format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_scopes_are_those_of_every_release_in_their_order() {
        let scopes = scopes();
        let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let promised = "rewards:write rewards:read rewards:cancel claim_codes:reveal balances:read ledger:read \
                        programs:read programs:write reconciliations:write clients:all key_pairs:read key_pairs:write \
                        webhooks:read webhooks:write rewards:all pay:read pay:write pay:refund \
                        membership:read membership:write";
        assert_eq!(words.join(" "), promised);
        let given: Vec<&str> =
            scopes.iter().filter(|scope| scope.is_by_default()).map(|scope| scope.as_str()).collect();
        assert_eq!(
            given,
            ["rewards:write", "rewards:read", "rewards:cancel", "programs:read"],
            "what a new key has by itself"
        );
    }

    #[test]
    fn every_problem_code_is_gathered_once() {
        let gathered: Vec<&str> = problem_codes().map(Code::as_str).collect();
        assert_eq!(gathered.iter().collect::<BTreeSet<_>>().len(), gathered.len(), "{gathered:?}");
        let sources = [
            include_str!("identity/problems.rs"),
            include_str!("incentives/problems.rs"),
            include_str!("ledger/problems.rs"),
            include_str!("treasury/problems.rs"),
            include_str!("webhooks/problems.rs"),
            include_str!("batches/problems.rs"),
            include_str!("pay/problems.rs"),
            include_str!("membership/problems.rs"),
        ];
        let made: usize = sources.iter().map(|source| source.matches(": Code =").count()).sum();
        let of_all = include_str!("http/code.rs").matches(": Self =").count();
        assert_eq!(made + of_all, gathered.len(), "a code is in no list");
        assert!(problem_codes().all(|code| (400..600).contains(&code.status())));
    }
}
