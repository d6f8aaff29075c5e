//! A wire between the service and PostgreSQL that can be cut at a COMMIT of one's choice.

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

/// Which transaction's COMMIT.
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

/// How far the COMMIT has come.
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

    /// The next COMMIT of this kind is cut so.
    pub(super) fn arm(&self, moment: Moment, cut: Cut) {
        *self.plan.armed.lock().unwrap() = Some((moment, cut));
    }

    /// How many were cut.
    pub(super) fn struck(&self) -> usize {
        self.plan.struck.load(Ordering::Relaxed)
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Returns, and so closes both ends, when either has closed or the wire is cut.
async fn relay(mut client: TcpStream, server: SocketAddr, plan: Arc<Plan>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    // What the client has said since BEGIN.
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &up[..read]) else { return };
                if contains(said, b"BEGIN\0") {
                    seen.clear();
                }
                seen.extend_from_slice(said);
                // A message of its own: the driver waits for the answers to all that went before.
                let cut = if contains(said, b"COMMIT\0") { plan.take(&seen) } else { None };
                if cut == Some(Cut::BeforeTheServer) || server.write_all(said).await.is_err() {
                    return;
                }
                if cut == Some(Cut::BeforeTheAnswer) {
                    let read = server.read(&mut down).await.unwrap();
                    assert!(contains(&down[..read], b"COMMIT\0"), "the server did not commit");
                }
                if cut.is_some() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Some(said) = read.ok().filter(|read| *read > 0).map(|read| &down[..read]) else { return };
                if client.write_all(said).await.is_err() {
                    return;
                }
            }
        }
    }
}
