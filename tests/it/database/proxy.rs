//! A wire between the service and PostgreSQL that can be cut at a commit of one's choice: a COMMIT, or a statement that is a
//! transaction by itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Which transaction's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The intent's.
    Intent,
    /// The outcome's.
    Outcome,
    /// That of the wish to cancel.
    Wish,
}

impl Moment {
    /// What a transaction of this kind has written into the timeline.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Intent => b"reward.received",
            Self::Outcome => b"reward.issued",
            Self::Wish => b"cancel.requested",
        }
    }
}

/// How far the commit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server never has it, and rolls back.
    BeforeTheServer,
    /// The server has done it and says so; nobody hears.
    BeforeTheAnswer,
    /// The server has it; the wire is cut while it works.
    Meanwhile,
}

/// Cuts what it is told to cut, once each time.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    armed: Mutex<Option<(Moment, Cut)>>,
    struck: AtomicUsize,
    round_trips: AtomicUsize,
    statements: AtomicUsize,
    /// Held while a message is passed on, and until the answer has come where it is not to be heard: of two requests of one key
    /// the one that is cut is the first at the server, too.
    turn: tokio::sync::Mutex<()>,
}

impl Plan {
    fn take(&self, seen: &[u8]) -> Option<Cut> {
        let mut armed = self.armed.lock().unwrap();
        let (moment, cut) = (*armed)?;
        if !contains(seen, moment.mark()) {
            return None;
        }
        *armed = None;
        self.struck.fetch_add(1, Ordering::Relaxed);
        Some(cut)
    }
}

impl Proxy {
    /// Listens, and passes everything on to the server.
    pub(super) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, plan) = (listener.local_addr().unwrap(), Arc::new(Plan::default()));
        let own = Arc::clone(&plan);
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        drop(tokio::spawn(async move {
            while let Ok((client, _from)) = listener.accept().await {
                drop(tokio::spawn(relay(client, server, Arc::clone(&own))));
            }
        }));
        Self { address, plan }
    }

    /// The next commit of this kind is cut so.
    pub(super) fn arm(&self, moment: Moment, cut: Cut) {
        *self.plan.armed.lock().unwrap() = Some((moment, cut));
    }

    /// How many answers of the server were waited for until now.
    pub(super) fn round_trips(&self) -> usize {
        self.plan.round_trips.load(Ordering::Relaxed)
    }

    /// How many statements the server was asked to execute.
    pub(super) fn statements(&self) -> usize {
        self.plan.statements.load(Ordering::Relaxed)
    }

    /// How many were cut.
    pub(super) fn struck(&self) -> usize {
        self.plan.struck.load(Ordering::Relaxed)
    }
}

/// Counts messages of one kind in what one side says: its kind, four bytes of length, which count themselves, and the rest.
struct Messages {
    /// That the server is ready for the next statement is said once for each time that the client waited.
    kinds: &'static [u8],
    /// What comes before the first message with a kind.
    prelude: Prelude,
    /// Bytes of a message's head that came so far.
    head: Vec<u8>,
    /// Bytes of the message that are still to come.
    rest: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prelude {
    /// The server may say in one byte, without a head, that it speaks without TLS.
    OfServer,
    /// The client may ask for TLS, and says who it is, in messages that have no kind.
    OfClient,
    Over,
}

impl Messages {
    const HEAD: usize = 5;
    /// Of the message that asks for TLS.
    const ASKS_FOR_TLS: usize = 8;

    fn of_server() -> Self {
        Self { kinds: b"Z", prelude: Prelude::OfServer, head: Vec::new(), rest: 0 }
    }

    /// The statements that the server is asked to execute.
    fn of_client() -> Self {
        Self { kinds: b"EQ", prelude: Prelude::OfClient, head: Vec::new(), rest: 0 }
    }

    fn count(&mut self, mut said: &[u8]) -> usize {
        let mut found = 0;
        if self.prelude == Prelude::OfServer {
            self.prelude = Prelude::Over;
            said = said.strip_prefix(b"N").unwrap_or(said);
        }
        while !said.is_empty() {
            let skipped = self.rest.min(said.len());
            (self.rest, said) = (self.rest - skipped, &said[skipped..]);
            let whole = if self.prelude == Prelude::OfClient { Self::HEAD - 1 } else { Self::HEAD };
            let taken = if self.rest == 0 { (whole - self.head.len()).min(said.len()) } else { 0 };
            self.head.extend_from_slice(&said[..taken]);
            said = &said[taken..];
            if self.head.len() == whole {
                let length = u32::from_be_bytes(self.head[whole - 4..].try_into().unwrap());
                self.rest = usize::try_from(length).unwrap() - 4;
                if self.prelude == Prelude::OfClient {
                    let asks = self.rest + 4 == Self::ASKS_FOR_TLS;
                    self.prelude = if asks { Prelude::OfClient } else { Prelude::Over };
                } else {
                    found += usize::from(self.kinds.contains(&self.head[0]));
                }
                self.head.clear();
            }
        }
        found
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Returns, and so closes both ends, when either has closed or the wire is cut.
async fn relay(mut client: TcpStream, server: SocketAddr, plan: Arc<Plan>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut asked, mut ready) = (Messages::of_client(), Messages::of_server());
    // What the client has said since BEGIN; `None` outside a transaction.
    let mut seen: Option<Vec<u8>> = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &up[..read]) else { return };
                plan.statements.fetch_add(asked.count(said), Ordering::Relaxed);
                let turn = plan.turn.lock().await;
                if contains(said, b"BEGIN\0") {
                    seen = Some(Vec::new());
                }
                if let Some(seen) = &mut seen {
                    seen.extend_from_slice(said);
                }
                // Each is a message of its own: the driver waits for the answers to all that went before.
                let (cut, done): (_, &[u8]) = match seen.take() {
                    Some(seen) if contains(said, b"COMMIT\0") => (plan.take(&seen), b"COMMIT\0"),
                    Some(_) if contains(said, b"ROLLBACK\0") => (None, b""),
                    Some(so_far) => {
                        seen = Some(so_far);
                        (None, b"")
                    }
                    None => (plan.take(said), b"SELECT "),
                };
                if cut == Some(Cut::BeforeTheServer) || server.write_all(said).await.is_err() {
                    return;
                }
                if cut == Some(Cut::BeforeTheAnswer) {
                    let read = server.read(&mut down).await.unwrap();
                    assert!(contains(&down[..read], done), "the server did not commit");
                }
                drop(turn);
                if cut.is_some() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &down[..read]) else { return };
                plan.round_trips.fetch_add(ready.count(said), Ordering::Relaxed);
                if client.write_all(said).await.is_err() {
                    return;
                }
            }
        }
    }
}
