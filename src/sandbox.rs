//! An Amazon Incentives (AGCOD) gateway on loopback, for demos and tests.
//!
//! It speaks the wire protocol to any client in any language: it verifies Signature Version 4, keeps a book of cards
//! and funds, is idempotent by request id, closes the cancel window on a clock that can be moved, limits the rate,
//! knows Amazon's mock ids, and fails on demand in every way that a network can.
//!
//! It shares no code with the client that it tests: a mistake in shared code would hide itself. It keeps no secrets.
//! Its cards are worth nothing, and its book, its book file and its control port show claim codes, so it listens on
//! loopback unless it is told otherwise.
//!
//! Where Amazon's behaviour is not known, the code says which choice it makes.
//!
//! ```no_run
//! # use noshi::sandbox::{AccessKey, PartnerAccount, Sandbox, SandboxOptions};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = vec![AccessKey::active("AKID", "SECRET")];
//! let (partner_id, currency) = ("Awssb".to_owned(), Some("USD".to_owned()));
//! let account = PartnerAccount { partner_id, keys, currency, funds: 1_000.into(), ..PartnerAccount::default() };
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
mod certificate;
mod chance;
mod clock;
mod control;
mod errors;
mod fault;
mod fields;
mod file;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod guide;
mod kinds;
mod latency;
mod login;
mod market;
mod members;
mod mock;
mod money;
mod mws;
mod notices;
mod operations;
mod partners;
mod pay;
mod record;
mod shoppers;
mod signature;
mod throttle;
mod world;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::activity::{Activity, ActivityType};
pub use self::book::{Card, CardState, Product};
pub use self::certificate::CertificateError;
pub use self::control::{Clocks, Control, ControlError, PartnerFunds, ShownPartner};
pub use self::fault::{Fault, FaultRule, Operation, ScriptedFault};
pub use self::file::BookFileError;
pub use self::front::RequestLines;
pub use self::kinds::{OfKind, PhysicalCard};
pub use self::latency::{Latency, LatencyProfile};
pub use self::login::{NewToken, PlantedToken};
pub use self::members::{CardMembers, CardSource};
pub use self::mws::{
    MwsAction, MwsBuyerAct, NewMwsAgreement, NewMwsOrder, NewMwsSeller, ShownMwsAuthorization, ShownMwsCapture,
    ShownMwsConsent, ShownMwsRefund, ShownMwsSeller,
};
pub use self::notices::{
    NewNoticeReceiver, NoticeAct, NoticeCertificate, NoticeDraft, NoticeGeneration, ShownNotice, ShownNoticeReceiver,
};
pub use self::partners::{
    AccessKey, KeyEntry, PartnerAccount, PartnerEntry, PartnerTerms, PartnersFile, PartnersFileError, ShownKey,
};
pub use self::pay::{
    ConsentAct, NewConsent, NewPayMerchant, PayCall, PaySettlement, PressedButton, SellerAct, SessionAct, ShownCharge,
    ShownConsent, ShownPayMerchant, ShownRefund, ShownSession,
};
pub use self::record::Received;
pub use self::shoppers::Shopper;

use self::certificate::Secured;
use self::world::World;

/// How long a client may take to send the body of a request, where the options say nothing else.
pub const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a stop lets exchanges under way come to their end.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How to run a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The address for AGCOD clients, port 0 for any free port.
    pub listen: SocketAddr,
    /// The address of the control port, port 0 for any free port.
    pub control_listen: SocketAddr,
    /// The partners' accounts, at least one.
    pub accounts: Vec<PartnerAccount>,
    /// The file that keeps the book over restarts. Without one the book is in memory only. The file holds claim codes,
    /// which are worth nothing. Its funds and its clock override these options.
    pub book_file: Option<PathBuf>,
    /// Whether the rate limit holds.
    pub throttle: bool,
    /// Which requests have a line in the log.
    pub lines: RequestLines,
    /// How long answers take.
    pub latency: Latency,
    /// Whether an address that other machines reach may be listened on.
    pub beyond_loopback: bool,
    /// With this the gateway speaks TLS. The control port never does.
    pub tls: Option<TlsSettings>,
    /// How long a client may take to send the body of a request.
    pub body_time: Duration,
}

/// Where the gateway's certificate is, and for whom.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The folder of the CA's certificate, and of the gateway's with its key.
    pub folder: PathBuf,
    /// Further names that it is for, besides Amazon's hosts and localhost.
    pub names: Vec<String>,
}

impl SandboxOptions {
    /// Both ports on any free port of 127.0.0.1, the book in memory, the rate limit on.
    #[must_use]
    pub fn on_any_port(accounts: Vec<PartnerAccount>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (book_file, throttle, beyond_loopback, tls) = (None, true, false, None);
        let (latency, lines, body_time) = (Latency::default(), RequestLines::default(), BODY_TIME);
        Self {
            listen: any,
            control_listen: any,
            accounts,
            book_file,
            throttle,
            lines,
            latency,
            beyond_loopback,
            tls,
            body_time,
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxStartError {
    /// The address is not on loopback.
    #[error("the sandbox listens on loopback unless told otherwise, not on {0}")]
    NotLoopback(SocketAddr),
    /// The accounts contradict each other, or are incomplete.
    #[error("{0}")]
    Accounts(String),
    /// The sandbox could not listen on an address.
    #[error("the sandbox could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The book file could not be used.
    #[error(transparent)]
    BookFile(#[from] BookFileError),
    /// There is no certificate to speak TLS with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A running sandbox. Dropping it stops it without waiting; [`Sandbox::stop`] waits.
pub struct Sandbox {
    gateway_addr: SocketAddr,
    control_addr: SocketAddr,
    ca_file: Option<PathBuf>,
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
        let partners =
            partners::Partners::of(options.accounts).map_err(|error| SandboxStartError::Accounts(error.to_string()))?;
        let addresses = [options.listen, options.control_listen];
        if let Some(address) = addresses.into_iter().find(|address| !address.ip().is_loopback())
            && !options.beyond_loopback
        {
            return Err(SandboxStartError::NotLoopback(address));
        }
        let (gateway_listener, gateway_addr) = listen(options.listen).await?;
        let (control_listener, control_addr) = listen(options.control_listen).await?;
        let (book, clock_offset_seconds) = book::Book::open(&partners, options.book_file.as_deref())?;
        let clock = clock::Clock::default();
        let secured = options.tls.map(|tls| certificate::secure(&tls, clock.signature_now())).transpose()?;
        clock.set_offset_seconds(clock_offset_seconds);
        let world = Arc::new(World {
            partners,
            clock,
            chance: chance::Chance::new(),
            journal: activity::Journal::of(&book.cards()),
            book,
            deck: kinds::Deck::default(),
            shoppers: shoppers::Shoppers::default(),
            tokens: login::Tokens::default(),
            mws: mws::MwsOffice::default(),
            pay: pay::PayOffice::default(),
            notices: notices::NoticeOffice::default(),
            front: gateway_addr,
            pace: latency::Pace::of(options.latency).map_err(SandboxStartError::Accounts)?,
            throttle: throttle::Throttle::new(options.throttle),
            faults: fault::FaultBoard::default(),
            record: record::RequestLog::default(),
            lines: options.lines,
            body_time: options.body_time,
            stopping: CancellationToken::new(),
            leaving: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let gateway = front::Gateway { world: Arc::clone(&world) };
        let control_port = control::ControlPort { control: Control { world: Arc::clone(&world) } };
        let (ca_file, tls) = match secured {
            Some(Secured { ca_file, acceptor }) => (Some(ca_file), Some(acceptor)),
            None => (None, None),
        };
        world.tasks.spawn(front::accept(gateway_listener, Arc::clone(&world), gateway, tls));
        world.tasks.spawn(front::accept(control_listener, Arc::clone(&world), control_port, None));
        Ok(Self { gateway_addr, control_addr, ca_file, world })
    }

    /// The address for AGCOD clients.
    #[must_use]
    pub fn gateway_addr(&self) -> SocketAddr {
        self.gateway_addr
    }

    /// The address of the control port.
    #[must_use]
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// The file of the CA certificate that clients must trust, where the gateway speaks TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The control as methods, without its port.
    #[must_use]
    pub fn control(&self) -> Control {
        Control { world: Arc::clone(&self.world) }
    }

    /// Stops the sandbox: it accepts no more connections, finishes the work that it began, closes every connection, and
    /// releases the book file. Exchanges under way have a second. An exchange that waits for a fault's delay ends at
    /// once, without an answer.
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
    let failed = |source| SandboxStartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
