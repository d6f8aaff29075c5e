//! A door before the sandbox that can be shut: while it is, connections are refused (U1), and its port stays ours.
//!
//! Each connection carries one request, so that a door that is shut meets the next one for certain.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};

/// How often one door can be opened.
const OPENINGS: usize = 4;
/// How long a head may take: whoever connects and says nothing holds up those who come after.
const HEAD: Duration = Duration::from_millis(500);

pub(super) struct Front {
    pub(super) address: SocketAddr,
    gateway: OnceLock<SocketAddr>,
    /// Bound to the port and not listening: it is refused there, and no one else can have it.
    closed: Mutex<VecDeque<TcpSocket>>,
    shut: watch::Sender<bool>,
    /// Requests of the operation that may still pass before it shuts by itself.
    passes: AtomicUsize,
    operation: &'static str,
}

impl Front {
    /// Shut. `operation` is the one that is counted.
    pub(super) fn new(operation: &'static str) -> Arc<Self> {
        let bound = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(address).unwrap();
            socket
        };
        let first = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = first.local_addr().unwrap();
        let mut closed = VecDeque::from([first]);
        closed.extend((1..OPENINGS).map(|_| bound(address)));
        Arc::new(Self {
            address,
            gateway: OnceLock::new(),
            closed: Mutex::new(closed),
            shut: watch::Sender::new(true),
            passes: AtomicUsize::new(usize::MAX),
            operation,
        })
    }

    /// Where it leads.
    pub(super) fn lead_to(&self, gateway: SocketAddr) {
        self.gateway.set(gateway).unwrap();
    }

    /// Lets everyone in, until it is shut.
    pub(super) fn open(self: &Arc<Self>) {
        if !*self.shut.borrow() {
            return;
        }
        self.passes.store(usize::MAX, Ordering::SeqCst);
        self.listen();
    }

    /// Lets so many requests of the operation in, and shuts with the last of them.
    pub(super) fn open_for(self: &Arc<Self>, requests: usize) {
        self.passes.store(requests, Ordering::SeqCst);
        if requests > 0 && *self.shut.borrow() {
            self.listen();
        }
    }

    fn listen(self: &Arc<Self>) {
        let socket = self.closed.lock().unwrap().pop_front().expect("a door opens four times");
        let listener = socket.listen(1024).unwrap();
        self.shut.send_replace(false);
        let this = Arc::clone(self);
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        drop(tokio::spawn(async move { this.let_in(listener).await }));
    }

    /// Shuts; returns when nobody gets in any more.
    pub(super) async fn shut(&self) {
        self.passes.store(0, Ordering::SeqCst);
        // The one who listens has to notice: a visitor of ours.
        while !*self.shut.borrow() {
            drop(TcpStream::connect(self.address).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn let_in(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((mut client, _from)) = listener.accept().await else { break };
            let head = tokio::time::timeout(HEAD, read_head(&mut client)).await.unwrap_or_default();
            let counted = contains(&head, self.operation.as_bytes());
            let left = self.passes.load(Ordering::SeqCst);
            if left == 0 {
                break;
            }
            let last = counted && left == 1;
            if counted && left != usize::MAX {
                self.passes.fetch_sub(1, Ordering::SeqCst);
            }
            let gateway = *self.gateway.get().unwrap();
            if last {
                // Before the request goes on: when it is answered nobody listens any more.
                drop(listener);
                self.shut.send_replace(true);
                return relay(client, head, gateway).await;
            }
            #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
            drop(tokio::spawn(relay(client, head, gateway)));
        }
        drop(listener);
        self.shut.send_replace(true);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What has arrived by the time the head is whole.
async fn read_head(client: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !contains(&head, b"\r\n\r\n") {
        if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
            break;
        }
    }
    head
}

/// One request and its answer, or whatever comes in its place; a reset is passed on as a reset.
async fn relay(mut client: TcpStream, head: Vec<u8>, gateway: SocketAddr) {
    let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { return };
    let Ok(mut server) = TcpStream::connect(gateway).await else { return };
    // Not a header that is signed.
    let said = [&head[..end], b"\r\nConnection: close", &head[end..]].concat();
    if server.write_all(&said).await.is_err() {
        return;
    }
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Some(count) = read.ok().filter(|count| *count > 0) else { return };
                if server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => match read {
                Ok(0) => return,
                Ok(count) => {
                    if client.write_all(&down[..count]).await.is_err() {
                        return;
                    }
                }
                Err(_reset) => return client.set_zero_linger().unwrap_or_default(),
            }
        }
    }
}
