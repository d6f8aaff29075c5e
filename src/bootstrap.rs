//! Settings → store → clients → services → servers and background loops, and the way back. The only place that sees
//! everything.
//!
//! [`start_with`] is the order of a start, and [`Service::run_until`] that of a stop. `services` builds what serves,
//! `accounts` the partner accounts below it, and `loops` lists what runs in the background.

mod accounts;
mod clock;
mod exporting;
mod filter;
mod kinds;
mod loops;
mod metrics;
mod pay;
mod restoring;
mod services;
mod watch;

use std::{io, net::SocketAddr};

use actix_web::dev::ServerHandle;
use tokio::{runtime::Handle, task::JoinHandle};

use self::{exporting::Exporting, loops::Loops, metrics::AllMetrics, services::Ground};
use crate::{
    accounts::Accounts,
    ambient::{Ambient, NoRandomness},
    audit::{AuditActor, Scribe},
    config::{self, DatabaseKind, Settings},
    incentives::{restore_note, retention::Retention},
    kernel::Chain,
    lifecycle::Tasks,
    provider::{incentives, login::LoginUnbuilt},
    sealing::{Keyring, SealingError},
    server::{self, ApiTls, AppState, BoundServer, TlsError},
    store::{
        self, Store, StoreError, TimeLimits,
        clock::{ClockError, align},
        migrate::{Schema, migrate, schema},
    },
    telemetry::{LogControls, LogFilter, LostLines, trace::Traces},
    treasury::Reconciliations,
};

pub use kinds::{SealingKeyUses, key_uses, load_settings};
pub use pay::SellerUnbuilt;
pub(crate) use pay::notice_gate;
pub use restoring::note_restore;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings name no account.
    #[error("the settings name no account: add an [accounts.NAME] section")]
    NoAccounts,
    /// The database cannot be opened, or fails.
    #[error("the database is not usable")]
    Store(#[from] StoreError),
    /// The schema is older than this program's.
    #[error("the database must be migrated first: run `noshi migrate`")]
    SchemaOlder,
    /// A later version of the program has migrated the database, and this one would not understand it.
    #[error("the database was migrated by a later version of this program, and this one is too old for it")]
    SchemaNewer,
    /// The database was restored from a back-up that is older than Amazon remembers ids, and no reconciliation covers
    /// the gap.
    #[error(
        "account {0}: the restored back-up is older than `rewards.replay_age_limit_days`: run `noshi reconcile` for the days since it first"
    )]
    RestoredTooOld(String),
    /// The database server's clock could not be read. Without it the process could only guess which windows are open
    /// and which leases have run out.
    #[error("the clock cannot be aligned with the database's")]
    Clock(#[from] ClockError),
    /// The API's port cannot speak TLS.
    #[error("the TLS files of the API's port cannot be used")]
    Tls(#[from] TlsError),
    /// An account deals in a kind that there is not.
    #[error("accounts.{account}.kinds lists a kind that this program does not know; it knows {known}")]
    UnknownKind {
        /// The account.
        account: String,
        /// The words of the kinds, one after the other.
        known: String,
    },
    /// An account deals in a kind that acts on something, and nothing can be sealed.
    #[error("accounts.{account}.kinds lists {kind}, which acts on something: list a key in sealing.keys")]
    NoSealingKey {
        /// The account.
        account: String,
        /// The kind.
        kind: &'static str,
    },
    /// The keys that seal cannot be used.
    #[error("the sealing keys cannot be used")]
    Sealing(#[from] SealingError),
    /// An account's client cannot be built.
    #[error("account {0}: its client cannot be built")]
    Client(String, #[source] incentives::BuildError),
    /// Nobody can ask Login with Amazon for an account.
    #[error("account {0}: its client of Login with Amazon cannot be built")]
    Login(String, #[source] LoginUnbuilt),
    /// An account's gateway is not on this machine.
    #[error("account {0}: its sandbox gateway is not a loopback address")]
    Gateway(String),
    /// The client of a seller's account cannot be built.
    #[error("pay.{0}: its client cannot be built")]
    Seller(String, #[source] SellerUnbuilt),
    /// A metric cannot be registered.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    /// The operating system has no random bytes to give.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Spans cannot be exported.
    #[cfg(feature = "otlp")]
    #[error("the export of spans cannot be set up")]
    Export(#[source] crate::telemetry::trace::export::ExportError),
    /// A server cannot listen on its port.
    #[error("cannot listen on {address} (server.{setting}){}", taken(.address, .source))]
    Listen {
        /// The key of the settings that says where.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

/// What helps where another process listens already.
fn taken(address: &SocketAddr, source: &io::Error) -> String {
    if source.kind() != io::ErrorKind::AddrInUse {
        return String::new();
    }
    format!(
        ": another process listens there; `ss -ltnp 'sport = :{}'` names it: end it, or set another address",
        address.port()
    )
}

/// The running service.
pub struct Service {
    state: AppState,
    api: Running,
    admin: Running,
    tasks: Tasks,
    loops: Loops,
    exporting: Option<Exporting>,
    store: Store,
    settings: config::ServerSettings,
}

/// A server that is running, and its task.
struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    ended: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Spawns the server on the main runtime.
    fn start(bound: BoundServer, tasks: &Tasks) -> Self {
        Self { address: bound.address, handle: bound.handle, ended: tasks.spawn(bound.server) }
    }

    async fn stop(self, graceful: bool) {
        self.handle.stop(graceful).await;
        match self.ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %Chain(&error), "a server ended badly"),
            // The error's text may quote a panic, so it is not logged.
            Err(_panicked) => tracing::error!("a server's task ended badly"),
        }
    }
}

/// Why the database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// To serve it, which one process may do where it is a file.
    Serve,
    /// To migrate it, whether it is there or not.
    Migrate,
    /// To use what is there.
    Use,
}

/// Opens the database of the settings. A file that is not there is made only for whoever migrates it next.
///
/// # Errors
/// [`StoreError`].
pub async fn open_store(settings: &config::StoreSettings, why: Opening) -> Result<Store, StoreError> {
    let options = store::StoreOptions {
        url: settings.url.secret().clone(),
        connections_max: settings.connections_max,
        time_limits: if why == Opening::Serve { TimeLimits::Service } else { TimeLimits::Operator },
        lock_wait: settings.lock_wait,
        exclusive: why == Opening::Serve && settings.url.kind() == DatabaseKind::Sqlite,
        create: match why {
            Opening::Serve => settings.migrate_on_start && settings.create_on_start,
            Opening::Migrate => true,
            Opening::Use => false,
        },
    };
    Store::open(&options).await
}

/// Opens the migrated database of the settings for a command, and the clock that its rows go by.
///
/// # Errors
/// [`StartError`].
pub async fn open_with_clock(settings: &config::StoreSettings) -> Result<(Store, Ambient), StartError> {
    let (store, ambient) = (open_store(settings, Opening::Use).await?, Ambient::system());
    check_schema(&store).await?;
    align(&store, &ambient).await?;
    Ok((store, ambient))
}

/// Writes into the audit in the name of this actor.
///
/// # Errors
/// [`StartError::Sealing`] when a key of the settings cannot be used.
pub fn scribe(settings: &Settings, actor: AuditActor) -> Result<Scribe, StartError> {
    Ok(Scribe::new(Keyring::new(&settings.sealing)?.audit_keys(), actor))
}

async fn check_schema(store: &Store) -> Result<(), StartError> {
    match schema(store).await? {
        Schema::Current => Ok(()),
        Schema::Ahead => {
            tracing::warn!("a later version has migrated the database; this one can live with it");
            Ok(())
        }
        Schema::Older => Err(StartError::SchemaOlder),
        Schema::Newer => Err(StartError::SchemaNewer),
    }
}

/// Refuses a start on a back-up that is too old. A key that was lost with the back-up looks new, and Amazon may have
/// forgotten the id of its card: a retry would buy a second one.
async fn check_age(state: &AppState, settings: &Settings) -> Result<(), StartError> {
    let now = state.http.ambient.now();
    for account in state.rewards.accounts().iter() {
        let uncovered = state.reconciliations.uncovered(account.id()).await?;
        if uncovered.is_some_and(|from| restore_note::is_too_old(from, settings.rewards.replay_age_limit, now)) {
            return Err(StartError::RestoredTooOld(account.id().to_owned()));
        }
        if let Some(from) = uncovered {
            tracing::warn!(
                account = account.id(),
                database.lost_from = %from,
                "the database is a restored one; until the days since are reconciled no refusal is taken as proof"
            );
        }
    }
    Ok(())
}

/// Starts the service. When this returns, the service listens and recovers. It must run on the multi-threaded main
/// runtime.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(settings: &Settings, ambient: Ambient) -> Result<Service, StartError> {
    start_with(settings, ambient, LogControls::fixed(&settings.log)).await
}

/// The same for a process whose log belongs to the service: an operator can change the log's filter by the admin port.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start_with(settings: &Settings, ambient: Ambient, log: LogControls) -> Result<Service, StartError> {
    if settings.accounts.is_empty() {
        return Err(StartError::NoAccounts);
    }
    let store = open_store(&settings.store, Opening::Serve).await?;
    if settings.store.migrate_on_start {
        migrate(&store).await?;
    }
    check_schema(&store).await?;
    let tasks = Tasks::on(Handle::current());
    let metrics = AllMetrics::new(settings, log.lost)?;
    let (traces, exporting) = exporting::begin(settings, &ambient, metrics.spans.clone(), &tasks)?;
    let scribe = scribe(settings, AuditActor::service())?;
    let ground = Ground { settings, store, ambient, tasks, metrics, traces, scribe };
    let state = services::assemble(&ground, log.filter).await?;
    if let Some(clock) = &state.clock {
        clock.align().await?;
    }
    check_age(&state, settings).await?;
    if settings.store.url.kind() == DatabaseKind::Sqlite {
        take_leases_over(&state).await?;
    }
    // What cannot be written down stops no sale.
    if let Err(error) = state.audit.started(&settings.by_name()).await {
        tracing::error!(error = %Chain(&error), "the start is not recorded in the audit");
    }
    let Ground { store, tasks, metrics, .. } = ground;
    let tls = settings
        .server
        .tls
        .as_ref()
        .map(|files| ApiTls::load(files, &state.http.ambient, &state.metrics))
        .transpose()?;
    let listen = |setting, address| move |source| StartError::Listen { setting, address, source };
    let api = server::api(&state, &settings.server, tls.clone()).map_err(listen("listen", settings.server.listen))?;
    let admin =
        server::admin(&state, &settings.server).map_err(listen("admin_listen", settings.server.admin_listen))?;
    let (api, admin) = (Running::start(api, &tasks), Running::start(admin, &tasks));
    let loops = loops::start(&state, settings, &metrics.store, tls).await?;
    tracing::info!(api = %api.address, admin = %admin.address, "noshi is serving");
    Ok(Service { state, api, admin, tasks, loops, exporting, store, settings: settings.server.clone() })
}

/// Makes due at once what the process before had leased. Only on SQLite, where this process is the only one.
async fn take_leases_over(state: &AppState) -> Result<(), StoreError> {
    state.batches.abandon().await?;
    state.memberships.abandon().await?;
    let payments = state.payments.courier().abandon_leases().await?;
    if payments > 0 {
        tracing::info!(
            payments.abandoned = payments,
            "payments were in flight when the last process ended; they are sent again"
        );
    }
    let abandoned = state.rewards.courier().abandon_leases().await?;
    if abandoned > 0 {
        tracing::info!(
            rewards.abandoned = abandoned,
            "rewards were in flight when the last process ended; they are replayed"
        );
    }
    Ok(())
}

/// What a command needs to reconcile: the service's own parts, without servers and background loops. The database must
/// be migrated.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn reconciler(settings: &Settings) -> Result<(Reconciliations, Store), StartError> {
    let (state, store) = assembled(settings).await?;
    Ok((state.reconciliations, store))
}

/// The partner accounts of the settings, for a command that asks Amazon: without servers and background loops. The database
/// must be migrated.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn partner_accounts(settings: &Settings) -> Result<(Accounts, Store), StartError> {
    let (state, store) = assembled(settings).await?;
    Ok((state.rewards.accounts().clone(), store))
}

/// What archives settled rewards, and the clock that they go by, for a command. The database must be migrated.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn retention(settings: &Settings) -> Result<(Retention, Store, Ambient), StartError> {
    let (state, store) = assembled(settings).await?;
    Ok((state.rewards.retention(), store, state.http.ambient))
}

async fn assembled(settings: &Settings) -> Result<(AppState, Store), StartError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let (tasks, metrics) = (Tasks::on(Handle::current()), AllMetrics::new(settings, LostLines::default())?);
    let traces = Traces::silent(ambient.clone());
    let scribe = scribe(settings, AuditActor::command(None))?;
    let ground = Ground { settings, store, ambient, tasks, metrics, traces, scribe };
    let state = services::assemble(&ground, LogFilter::fixed(&settings.log.filter)).await?;
    loops::start_slots(&state).await?;
    Ok((state, ground.store))
}

impl Service {
    /// The address of the API.
    #[must_use]
    pub const fn api_address(&self) -> SocketAddr {
        self.api.address
    }

    /// The address of probes and metrics.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// The database, for a test or a demo that runs the service in its own process.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `stop` resolves, then drains. First the process reports that it is not ready. Then it accepts no
    /// more connections, and every accepted request and every money task runs to its end. Then it closes the database.
    /// Returns whether all went well. Work that did not end in time is durable, and the next start takes it up. A
    /// background loop that ends by itself stops the process: a fresh process is better than one that recovers nothing.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> bool {
        let Self { state, api, admin, tasks, mut loops, exporting, store, settings } = self;
        let whole = tokio::select! {
            () = stop => true,
            ended = loops.first_end() => {
                tracing::error!(loop.name = ended, "a loop ended by itself; stopping");
                false
            }
        };
        tracing::info!("stopping: not ready any more");
        tasks.begin_stop();
        tokio::time::sleep(settings.drain_delay).await;
        tracing::info!("stopping: waiting for what was accepted");
        let began = state.http.ambient.monotonic();
        api.stop(true).await;
        admin.stop(false).await;
        let ended = tasks.wait(settings.drain_timeout.saturating_sub(began.elapsed())).await;
        if !ended {
            tracing::warn!(tasks.running = tasks.running(), "not everything ended in time; the next start takes it up");
        }
        loops.end();
        if let Err(error) = state.audit.print_head().await {
            tracing::warn!(error = %Chain(&error), "the audit's head could not be read");
        }
        drop(state);
        store.close().await;
        if let Some(exporting) = exporting {
            exporting.finish().await;
        }
        tracing::info!("stopped");
        whole && ended
    }
}
