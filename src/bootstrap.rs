//! Settings → store → clients → services → servers and background tasks, and the way back. The only place that sees everything.

mod clock;
mod exporting;
mod kinds;
mod metrics;
mod restoring;

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::dev::ServerHandle;
use chrono::NaiveTime;
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle};

use exporting::Exporting;
use metrics::AllMetrics;

use crate::{
    accounts::{
        self, Account, Accounts, CardLimits, FundingPolicy, Quota, Terms,
        key_pairs::{self, Watched},
    },
    ambient::Ambient,
    config::{self, DatabaseKind, Settings},
    engine::recover::recover,
    http::Http,
    incentives::{
        Rewards,
        courier::{CourierLimits, CourierParts},
        restore_note,
    },
    kernel::Chain,
    ledger::Ledger,
    lifecycle::Tasks,
    provider::incentives::{self, Client, ClientSettings, Credentials, Endpoint, Timeouts},
    sealing::{Keyring, SealingError},
    server::{self, AppState, BoundServer},
    store::{
        self, Store, StoreError,
        clock::{ClockError, ServerClock, align},
        migrate::{Schema, migrate, schema},
    },
    telemetry::{LogFilter, trace::Traces},
    treasury::{Balances, Reconciliations, balances::BalanceDependencies, reconciliation::ReconciliationDependencies},
};

pub use kinds::{check_kinds, sealed_by};
pub use restoring::note_restore;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings name no account.
    #[error("the settings name no account: add an [accounts.NAME] section")]
    NoAccounts,
    /// The database.
    #[error("the database is not usable")]
    Store(#[from] StoreError),
    /// The schema is not this program's.
    #[error("the database must be migrated first: run `noshi migrate`")]
    SchemaOlder,
    /// A later program has migrated the database, to what this one would not understand.
    #[error("the database was migrated by a later version of this program, and this one is too old for it")]
    SchemaNewer,
    /// The database was restored from a back-up that is older than ids may be replayed, and not reconciled since.
    #[error(
        "account {0}: the restored back-up is older than `rewards.replay_age_limit_days`: run `noshi reconcile` for the days since it first"
    )]
    RestoredTooOld(String),
    /// The database server's clock was not learnt: whose window is open and whose lease has run out would be guesses.
    #[error("the clock cannot be aligned with the database's")]
    Clock(#[from] ClockError),
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
    /// An account's gateway is not on this machine.
    #[error("account {0}: its sandbox gateway is not a loopback address")]
    Gateway(String),
    /// Metrics.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    /// Spans cannot be exported.
    #[cfg(feature = "otlp")]
    #[error("the export of spans cannot be set up")]
    Export(#[source] crate::telemetry::trace::export::ExportError),
    /// A port cannot be had.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
}

/// The running service.
pub struct Service {
    state: AppState,
    api: Running,
    admin: Running,
    tasks: Tasks,
    background: Vec<JoinHandle<()>>,
    dispatchers: Vec<JoinHandle<()>>,
    exporting: Option<Exporting>,
    store: Store,
    settings: config::ServerSettings,
}

/// A server at work.
struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    ended: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Serves on the main runtime.
    fn start(bound: BoundServer, tasks: &Tasks) -> Self {
        Self { address: bound.address, handle: bound.handle, ended: tasks.spawn(bound.server) }
    }

    async fn stop(self, graceful: bool) {
        self.handle.stop(graceful).await;
        match self.ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %Chain(&error), "a server ended badly"),
            // Its text may hold that of a panic.
            Err(_panicked) => tracing::error!("a server's task ended badly"),
        }
    }
}

/// Opens the database of the settings.
///
/// # Errors
/// [`StoreError`].
pub async fn open_store(settings: &config::StoreSettings, exclusive: bool) -> Result<Store, StoreError> {
    let exclusive = exclusive && settings.url.kind() == DatabaseKind::Sqlite;
    let options = store::StoreOptions {
        url: settings.url.secret().clone(),
        connections_max: settings.connections_max,
        exclusive,
    };
    Store::open(&options).await
}

/// Opens the database of the settings for a command that writes, and the clock that its rows go by.
///
/// # Errors
/// [`StartError`].
pub async fn open_with_clock(settings: &config::StoreSettings) -> Result<(Store, Ambient), StartError> {
    let (store, ambient) = (open_store(settings, false).await?, Ambient::system());
    align(&store, &ambient).await?;
    Ok((store, ambient))
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

/// A key that was lost with an old back-up looks new, however old its card is. Amazon may have forgotten those.
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

/// Starts the service: it listens and recovers when this returns. Must run on the multi-threaded main runtime.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(settings: &Settings, ambient: Ambient) -> Result<Service, StartError> {
    start_with(settings, ambient, LogFilter::fixed(&settings.log.filter)).await
}

/// The same for a process whose log is the service's own: its filter can be changed by the admin port.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start_with(settings: &Settings, ambient: Ambient, log: LogFilter) -> Result<Service, StartError> {
    if settings.accounts.is_empty() {
        return Err(StartError::NoAccounts);
    }
    let store = open_store(&settings.store, true).await?;
    if settings.store.migrate_on_start {
        migrate(&store).await?;
    }
    check_schema(&store).await?;
    let tasks = Tasks::on(Handle::current());
    let metrics = AllMetrics::new(settings)?;
    let (traces, exporting) = exporting::begin(settings, &ambient, metrics.spans.clone(), &tasks)?;
    let state = assemble(settings, (&ambient, &store, &tasks), metrics, (traces, log)).await?;
    if let Some(clock) = &state.clock {
        clock.align().await?;
    }
    check_age(&state, settings).await?;
    if settings.store.url.kind() == DatabaseKind::Sqlite {
        let abandoned = state.rewards.courier().abandon_leases().await?;
        if abandoned > 0 {
            tracing::info!(
                rewards.abandoned = abandoned,
                "rewards were in flight when the last process ended; they are replayed"
            );
        }
    }
    let listen = |address| move |error| StartError::Listen(address, error);
    let api = server::api(&state, &settings.server).map_err(listen(settings.server.listen))?;
    let admin = server::admin(&state, &settings.server).map_err(listen(settings.server.admin_listen))?;
    let (api, admin) = (Running::start(api, &tasks), Running::start(admin, &tasks));
    let dispatchers = start_dispatchers(&state, &tasks).await?;
    let background = start_background(&state, &ambient, settings, &tasks);
    tracing::info!(api = %api.address, admin = %admin.address, "noshi is serving");
    Ok(Service {
        state,
        api,
        admin,
        tasks,
        background,
        dispatchers,
        exporting,
        store,
        settings: settings.server.clone(),
    })
}

async fn assemble(
    settings: &Settings,
    (ambient, store, tasks): (&Ambient, &Store, &Tasks),
    metrics: AllMetrics,
    (traces, log): (Traces, LogFilter),
) -> Result<AppState, StartError> {
    let restored = restore_note::last(&mut store.snapshot().await?).await?;
    let accounts = Accounts::new(
        settings
            .accounts
            .iter()
            .map(|(id, account)| build_account(id, account, settings, (ambient, store, &metrics.accounts)))
            .collect::<Result<Vec<_>, _>>()?,
    );
    let limits = &settings.rewards;
    let keyring = Keyring::new(&settings.sealing)?;
    let parts = CourierParts {
        store: store.clone(),
        ambient: ambient.clone(),
        accounts: accounts.clone(),
        metrics: metrics.incentives,
        tasks: tasks.clone(),
        limits: CourierLimits {
            lease: limits.lease,
            upstream_timeout: limits.upstream_timeout,
            breaker: limits.breaker,
            answer_within: limits.answer_within,
            replay_while_waited: limits.replay_while_waited,
            replay_age: limits.replay_age_limit,
            redelivery: limits.redelivery,
            redelivery_max: limits.redelivery_max,
        },
        wake: Arc::new(Notify::new()),
        traces: traces.clone(),
        keyring,
    };
    let rewards = Rewards::new(parts, limits.in_flight_max, restored);
    let ledger =
        Ledger { store: store.clone(), ambient: ambient.clone(), accounts: accounts.clone(), metrics: metrics.ledger };
    let reconciliations = Reconciliations::new(ReconciliationDependencies {
        store: store.clone(),
        ambient: ambient.clone(),
        accounts: accounts.clone(),
        metrics: Arc::clone(&metrics.treasury),
        tasks: tasks.clone(),
        page_spacing: settings.reconciliation.page_spacing,
    });
    let balances = Balances::new(BalanceDependencies {
        store: store.clone(),
        ambient: ambient.clone(),
        accounts,
        metrics: Arc::clone(&metrics.treasury),
        poll: settings.balances.poll,
        stale_after: settings.balances.stale_after,
    });
    let clock = ServerClock::of(store, ambient, &metrics.store);
    let http = Http {
        store: store.clone(),
        ambient: ambient.clone(),
        tasks: tasks.clone(),
        metrics: metrics.http,
        traces,
        body_timeout: settings.server.body_timeout,
    };
    Ok(AppState { http, rewards, balances, ledger, reconciliations, clock, log, metrics: metrics.server })
}

fn build_account(
    id: &str,
    account: &config::AccountSettings,
    settings: &Settings,
    (ambient, store, metrics): (&Ambient, &Store, &Arc<accounts::Metrics>),
) -> Result<Account, StartError> {
    if let Some(date) = account.access_key_created {
        metrics.credential_created(id, date.and_time(NaiveTime::MIN).and_utc().timestamp());
    }
    let endpoint = match account.sandbox_gateway {
        Some(address) => {
            Endpoint::loopback(account.marketplace, address).map_err(|_remote| StartError::Gateway(id.to_owned()))?
        }
        None => Endpoint::amazon(account.marketplace, account.environment),
    };
    let client = ClientSettings {
        endpoint,
        partner_id: account.partner_id.clone(),
        credentials: Credentials::new(account.access_key_id.clone(), account.secret_access_key.clone()),
        timeouts: Timeouts { total: settings.rewards.upstream_timeout, ..Timeouts::default() },
    };
    let clock = ambient.clone();
    let client = Client::new(client, move || clock.now()).map_err(|error| StartError::Client(id.to_owned(), error))?;
    let terms = Terms {
        id: id.to_owned(),
        partner_id: account.partner_id.clone(),
        marketplace: account.marketplace,
        environment: account.environment,
        time_zone: account.time_zone,
        kinds: kinds::kinds_of(id, account, &settings.sealing)?,
        limits: CardLimits { minimum: account.reward_minimum, maximum: account.reward_maximum },
        funding: FundingPolicy { low_balance: account.low_balance, lead_days: account.funding_lead_days },
    };
    let quota = Quota::new(id, account.requests_per_second, store.clone(), ambient.clone(), Arc::clone(metrics));
    Ok(Account::new(terms, client, quota))
}

/// What a command needs to reconcile: the service's own parts, without servers and background
/// tasks. The database must be migrated.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn reconciler(settings: &Settings) -> Result<(Reconciliations, Store), StartError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    check_schema(&store).await?;
    let tasks = Tasks::on(Handle::current());
    let nobody = (Traces::silent(ambient.clone()), LogFilter::fixed(&settings.log.filter));
    let state = assemble(settings, (&ambient, &store, &tasks), AllMetrics::new(settings)?, nobody).await?;
    drop(start_dispatchers(&state, &tasks).await?);
    Ok((state.reconciliations, store))
}

/// Starts the dispatchers that hand out the slots of each account's rate.
async fn start_dispatchers(state: &AppState, tasks: &Tasks) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let mut dispatchers = Vec::new();
    for account in state.rewards.accounts().iter() {
        account.prepare().await?;
        dispatchers.push(tasks.attend(account.rate().clone().dispatch()));
    }
    Ok(dispatchers)
}

/// Starts the tasks that no request waits for. None of them ends before the process stops.
fn start_background(state: &AppState, ambient: &Ambient, settings: &Settings, tasks: &Tasks) -> Vec<JoinHandle<()>> {
    let (rewards, poll) = (&state.rewards, settings.rewards.recovery_poll);
    let recovery = tasks.spawn(recover(rewards.courier().clone(), tasks.clone(), rewards.wake(), poll));
    let wiping = tasks.spawn(rewards.courier().clone().wipe_targets_until_stopped(poll));
    let (balances, own) = (state.balances.clone(), tasks.clone());
    let mut background = vec![recovery, wiping, tasks.spawn(async move { balances.poll_until(own).await })];
    for (account, settings) in &settings.accounts {
        if let Some(files) = settings.key_files.clone() {
            let watched = Watched { account: account.clone(), files, dated: settings.access_key_created.is_some() };
            let accounts = state.rewards.accounts().clone();
            background.push(tasks.spawn(key_pairs::run(watched, accounts, ambient.clone(), tasks.clone())));
        }
    }
    background.extend(state.clock.clone().map(|clock| tasks.spawn(clock::run(clock, tasks.clone()))));
    if settings.reconciliation.daily {
        let (reconciliations, hour) = (state.reconciliations.clone(), settings.reconciliation.hour);
        background.push(tasks.spawn(async move { reconciliations.daily_until_stopped(hour).await }));
    }
    background
}

impl Service {
    /// Where the API listens.
    #[must_use]
    pub const fn api_address(&self) -> SocketAddr {
        self.api.address
    }

    /// Where probes and metrics are.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// The database, for those who started the service in their own process.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `stop` resolves, then drains: the process is not ready, then it accepts no connection, then every
    /// accepted request and every money task runs to its end, then the database is closed. Returns whether all went well.
    /// Work that did not end in time is durable, and the next start takes it up. A background task that ends by itself
    /// stops the process: a fresh process is better than one that recovers nothing.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> bool {
        let Self { state, api, admin, tasks, mut background, mut dispatchers, exporting, store, settings } = self;
        // Without its dispatcher an account sends nothing, so that one is watched like a background task.
        let watched = background.iter_mut().chain(&mut dispatchers);
        let whole = tokio::select! {
            () = stop => true,
            _ended = futures_util::future::select_all(watched) => {
                tracing::error!("a loop ended by itself; stopping");
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
        dispatchers.iter().for_each(JoinHandle::abort);
        drop(state);
        store.close().await;
        if let Some(exporting) = exporting {
            exporting.finish().await;
        }
        tracing::info!("stopped");
        whole && ended
    }
}
