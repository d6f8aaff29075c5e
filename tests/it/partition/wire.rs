//! A wire between a replica and one of those it depends on, which can be cut in the ways in which networks are cut.
//!
//! It runs over loopback ports and needs no rights: a packet filter or a network namespace needs root. What is not the
//! same there: a connect into a silent cut succeeds here, since the kernel answers it, and is never heard of again.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Everything passes.
    Whole,
    /// Nothing passes, and nobody is told. What was said meanwhile arrives when the wire is whole again, as TCP repeats
    /// it: also requests that nobody waits for any more.
    Stalled,
    /// What the replica says arrives, the answers do not before the wire is whole again.
    Deaf,
    /// Connections are reset, and new ones refused.
    Refused,
    /// Nothing passes, and the connections of that time never come to life again: a router has forgotten them, or
    /// another machine has taken the server's address.
    Lost,
}

/// A wire, and who listens at its near end.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    flow: watch::Sender<Flow>,
    /// Bound and never listening: whoever connects while the wire refuses is refused, and nobody else gets the port.
    _held: TcpSocket,
}

impl Wire {
    pub(super) fn to(server: SocketAddr) -> Self {
        let held = bound("127.0.0.1:0".parse().unwrap());
        let address = held.local_addr().unwrap();
        let (flow, told) = watch::channel(Flow::Whole);
        let listener = bound(address).listen(128).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        drop(tokio::spawn(listen(listener, address, server, told)));
        Self { address, flow, _held: held }
    }

    pub(super) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn listen(first: TcpListener, address: SocketAddr, server: SocketAddr, mut flow: watch::Receiver<Flow>) {
    let mut listener = Some(first);
    loop {
        let now = *flow.borrow_and_update();
        match (now, &listener) {
            (Flow::Refused, _) => listener = None,
            (_, None) => {
                listener = Some(bound(address).listen(128).unwrap());
                continue;
            }
            (Flow::Whole | Flow::Deaf, Some(open)) => {
                tokio::select! {
                    accepted = open.accept() => {
                        let Ok((client, _from)) = accepted else { continue };
                        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
                        drop(tokio::spawn(relay(client, server, flow.clone())));
                    }
                    changed = flow.changed() => if changed.is_err() { return },
                }
                continue;
            }
            // Who connects now waits in the kernel's queue.
            (Flow::Stalled | Flow::Lost, Some(_)) => {}
        }
        if flow.changed().await.is_err() {
            return;
        }
    }
}

/// Passes on in both directions until both have ended, or the wire refuses.
async fn relay(mut client: TcpStream, server: SocketAddr, flow: watch::Receiver<Flow>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let mut own = flow.clone();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pass(from_client, to_server, flow.clone(), |flow| matches!(flow, Flow::Whole | Flow::Deaf));
        let down = pass(from_server, to_client, flow, |flow| flow == Flow::Whole);
        tokio::select! {
            _both = async { tokio::join!(up, down) } => None,
            over = own.wait_for(|flow| matches!(flow, Flow::Refused | Flow::Lost)) => over.ok().map(|flow| *flow),
        }
    };
    match ended {
        Some(Flow::Lost) => std::future::pending().await,
        Some(_refused) => {
            client.set_zero_linger().unwrap();
            server.set_zero_linger().unwrap();
        }
        None => {}
    }
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut flow: watch::Receiver<Flow>,
    passes: fn(Flow) -> bool,
) {
    let mut bytes = vec![0; 65_536];
    loop {
        // A half that has ended passes its end on when the wire lets it.
        let read = from.read(&mut bytes).await.unwrap_or(0);
        if flow.wait_for(|flow| passes(*flow)).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            drop(to.shutdown().await);
            return;
        }
    }
}
