//! An Amazon Incentives (AGCOD) gateway on loopback, for demos and tests.
//!
//! It speaks the wire protocol to any client in any language: it verifies Signature Version 4, keeps a book of cards and
//! funds, is idempotent by request id, closes the cancel window on a clock that can be moved, limits the rate, knows
//! Amazon's mock ids, and fails on demand in every way that a network can.
//!
//! It shares no code with the client that it tests, and imports nothing of it: one mistake in both would hide itself.
//! It is no place for secrets. Cards are worth nothing, and the book, the book file and the control port all show claim
//! codes; it listens on loopback only.
//!
//! Where Amazon's behaviour is not known, the choice is stated where it is made. What it cannot do: XML, the activation
//! and balance-load operations, minimum amounts.
//!
//! ```no_run
//! # use noshi::sandbox::{AccessKey, PartnerAccount, Sandbox, SandboxOptions};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let key = AccessKey { id: "AKID".to_owned(), secret: "SECRET".to_owned() };
//! let funds = 1_000.into();
//! let (partner_id, currency) = ("Awssb".to_owned(), Some("USD".to_owned()));
//! let account = PartnerAccount { partner_id, keys: vec![key], currency, funds };
//! let sandbox = Sandbox::start(SandboxOptions::on_any_port(vec![account])).await?;
//! let gateway = sandbox.gateway_addr();
//! // … call it …
//! assert_eq!(sandbox.control().book().len(), 1, "cards bought at {gateway}");
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```

mod activity;
mod answer;
mod book;
mod chance;
mod clock;
mod control;
mod control_port;
mod delivery;
mod distort;
mod errors;
mod fault;
mod fields;
mod file;
mod gateway;
mod market;
mod mock;
mod money;
mod operations;
mod record;
mod server;
mod signature;
mod socket;
mod throttle;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::activity::{Activity, ActivityType};
pub use self::book::{Card, CardState};
pub use self::control::{Clocks, Control, ControlError, PartnerFunds};
pub use self::fault::{Fault, FaultRule, Operation, ScriptedFault};
pub use self::file::BookFileError;
pub use self::record::Received;

use self::world::World;

/// How long a stop lets exchanges under way come to their end.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How to run a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where AGCOD clients connect; loopback, port 0 for any.
    pub listen: SocketAddr,
    /// Where the control listens; loopback, port 0 for any.
    pub control_listen: SocketAddr,
    /// The partners; at least one.
    pub accounts: Vec<PartnerAccount>,
    /// Where to keep the book over restarts; in memory only if absent. The file holds claim codes (worth nothing) and
    /// what it says of funds and of the clock overrides these options.
    pub book_file: Option<PathBuf>,
    /// Whether the rate limit holds.
    pub throttle: bool,
}

impl SandboxOptions {
    /// Both ports on any free port of 127.0.0.1, the book in memory, the rate limit on.
    #[must_use]
    pub fn on_any_port(accounts: Vec<PartnerAccount>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen: any, control_listen: any, accounts, book_file: None, throttle: true }
    }
}

/// A partner's account.
#[derive(Clone, Debug)]
pub struct PartnerAccount {
    /// Amazon's name for the partner; every request id must start with it.
    pub partner_id: String,
    /// The keys that may sign for it; several, as during a rotation.
    pub keys: Vec<AccessKey>,
    /// The only currency of its cards; if absent, that of the host's marketplace (USD, EUR or JPY).
    pub currency: Option<String>,
    /// What it can spend at the start.
    pub funds: Decimal,
}

/// A key pair. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct AccessKey {
    /// Sent with each request.
    pub id: String,
    /// Never sent.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxStartError {
    /// The sandbox is for this machine only.
    #[error("the sandbox listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The accounts make no sense.
    #[error("{0}")]
    Accounts(String),
    /// An address could not be had.
    #[error("the sandbox could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The book file could not be used.
    #[error(transparent)]
    BookFile(#[from] BookFileError),
}

/// A running sandbox. Dropping it stops it without waiting; [`Sandbox::stop`] waits.
pub struct Sandbox {
    gateway_addr: SocketAddr,
    control_addr: SocketAddr,
    world: Arc<World>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Sandbox");
        shown
            .field("gateway_addr", &self.gateway_addr)
            .field("control_addr", &self.control_addr)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts a sandbox. Both ports answer when this returns.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxStartError> {
        check_accounts(&options.accounts).map_err(SandboxStartError::Accounts)?;
        let (gateway_listener, gateway_addr) = listen(options.listen).await?;
        let (control_listener, control_addr) = listen(options.control_listen).await?;
        let opening_funds: BTreeMap<String, Decimal> =
            options.accounts.iter().map(|account| (account.partner_id.clone(), account.funds)).collect();
        let (book, clock_offset_seconds) = book::Book::open(opening_funds, options.book_file.as_deref())?;
        let clock = clock::Clock::default();
        clock.set_offset_seconds(clock_offset_seconds);
        let world = Arc::new(World {
            accounts: options.accounts,
            revoked_keys: RwLock::default(),
            clock,
            chance: chance::Chance::new(),
            journal: activity::Journal::of(&book.cards()),
            book,
            throttle: throttle::Throttle::new(options.throttle),
            faults: fault::FaultBoard::default(),
            record: record::RequestLog::default(),
            stopping: CancellationToken::new(),
            leaving: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let gateway = gateway::Gateway { world: Arc::clone(&world) };
        let control_port = control_port::ControlPort { control: Control { world: Arc::clone(&world) } };
        world.tasks.spawn(server::accept(gateway_listener, Arc::clone(&world), gateway));
        world.tasks.spawn(server::accept(control_listener, Arc::clone(&world), control_port));
        Ok(Self { gateway_addr, control_addr, world })
    }

    /// Where AGCOD clients connect.
    #[must_use]
    pub fn gateway_addr(&self) -> SocketAddr {
        self.gateway_addr
    }

    /// Where the control listens.
    #[must_use]
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// The control, without the port.
    #[must_use]
    pub fn control(&self) -> Control {
        Control { world: Arc::clone(&self.world) }
    }

    /// Stops: accepts nothing more, finishes work that was begun, closes every connection, and lets go of the book file.
    /// Exchanges under way have a second; those that only wait for a fault's delay end at once, without an answer.
    pub async fn stop(self) {
        let world = &self.world;
        world.stopping.cancel();
        world.tasks.close();
        if tokio::time::timeout(STOP_GRACE, world.tasks.wait()).await.is_err() {
            tracing::debug!("some connections did not end by themselves");
        }
        world.leaving.cancel();
        world.tasks.wait().await;
        world.book.close();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.world.stopping.cancel();
        self.world.leaving.cancel();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxStartError> {
    if !address.ip().is_loopback() {
        return Err(SandboxStartError::NotLoopback(address));
    }
    let failed = |source| SandboxStartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn check_accounts(accounts: &[PartnerAccount]) -> Result<(), String> {
    if accounts.is_empty() {
        return Err("the sandbox needs at least one account".to_owned());
    }
    let (mut partner_ids, mut key_ids) = (BTreeSet::new(), BTreeSet::new());
    for account in accounts {
        let partner_id = &account.partner_id;
        if partner_id.is_empty() || !partner_ids.insert(partner_id) {
            return Err(format!("each partner id must be given once, and not be empty: {partner_id:?}"));
        }
        if account.funds < Decimal::ZERO {
            return Err(format!("the funds of partner {partner_id} must not be negative"));
        }
        if let Some(currency) = account.currency.as_deref()
            && !market::Group::ALL.iter().any(|group| group.currencies().contains(&currency))
        {
            return Err(format!("no marketplace sells in {currency:?}, the currency of partner {partner_id}"));
        }
        if account.keys.is_empty() {
            return Err(format!("partner {partner_id} needs at least one access key"));
        }
        for key in &account.keys {
            if key.id.is_empty() || key.secret.is_empty() || !key_ids.insert(&key.id) {
                return Err(format!("each access key needs an id of its own and a secret: {:?}", key.id));
            }
        }
    }
    Ok(())
}
