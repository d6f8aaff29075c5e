//! Relays of TCP on loopback: one that counts what a service says to PostgreSQL, and one that is a proxy for TLS to the gateway.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::failure::{Doing, Failure};

/// The longest head of a request to the proxy.
const HEAD_MAX: usize = 4096;
const BUFFER: usize = 64 * 1024;

/// What went over the wire, all connections together.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    statements: AtomicU64,
    prepared: AtomicU64,
    transactions: AtomicU64,
    round_trips: AtomicU64,
}

/// [`Wire`] at an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Statements that the server was asked to execute (Execute and Query messages).
    pub(crate) statements: u64,
    /// Statements that it was asked to prepare (Parse).
    pub(crate) prepared: u64,
    /// Transactions, with the statements that are one by themselves. What only asks whether the server is there is none.
    pub(crate) transactions: u64,
    /// Times that the client sent after the server had: what a client sends in one go, however much, is one.
    pub(crate) round_trips: u64,
}

impl Wire {
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            statements: self.statements.load(Ordering::Acquire),
            prepared: self.prepared.load(Ordering::Acquire),
            transactions: self.transactions.load(Ordering::Acquire),
            round_trips: self.round_trips.load(Ordering::Acquire),
        }
    }

    /// `executed`: whether the connection has a statement in a transaction that has not ended.
    fn client_says(&self, kind: u8, executed: &mut bool) {
        match kind {
            b'E' | b'Q' => {
                *executed = true;
                self.statements.fetch_add(1, Ordering::AcqRel);
            }
            b'P' => {
                self.prepared.fetch_add(1, Ordering::AcqRel);
            }
            _ => {}
        }
    }

    fn server_says(&self, kind: u8, first: u8, executed: &mut bool) {
        if kind == b'Z' && first == b'I' && std::mem::take(executed) {
            self.transactions.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Cuts a stream into messages: a letter, four bytes of length, which count themselves, and the rest. Those before a client has
/// said who it is have no letter.
struct Messages {
    lettered: bool,
    /// What is there of the next message's head, and the first byte behind it.
    head: Vec<u8>,
    /// How much of the message at hand is still to come.
    rest: usize,
}

/// The protocol's number in the message that says who a client is: version 3.
const STARTUP_MAJOR: [u8; 2] = [0, 3];

impl Messages {
    const fn new(lettered: bool) -> Self {
        Self { lettered, head: Vec::new(), rest: 0 }
    }

    /// Calls `each` with the letter of each message and its first byte (0 if it has none).
    fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(u8, u8)) {
        while let Some((first, after)) = bytes.split_first() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest = self.rest.saturating_sub(skipped);
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            bytes = after;
            self.end_of_head(&mut each);
        }
    }

    fn end_of_head(&mut self, each: &mut impl FnMut(u8, u8)) {
        let at = usize::from(self.lettered);
        let Some(length) = self.head.get(at..at.saturating_add(4)) else { return };
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let body = length.saturating_sub(4);
        // Of a message with a letter its first byte is looked at; of one without, the protocol's number.
        let wanted = if self.lettered { body.min(1) } else { body.min(4) };
        let seen = self.head.get(at.saturating_add(4)..).unwrap_or_default();
        if seen.len() < wanted {
            return;
        }
        if self.lettered {
            each(self.head.first().copied().unwrap_or_default(), seen.first().copied().unwrap_or_default());
        } else if seen.starts_with(&STARTUP_MAJOR) {
            self.lettered = true;
        }
        self.rest = body.saturating_sub(wanted);
        self.head.clear();
    }
}

/// A relay, while it runs.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Relay {
    /// To a server of PostgreSQL. It counts into `wire`.
    pub(crate) async fn counting(to: String, wire: Arc<Wire>) -> Result<Self, Failure> {
        Self::listen(move |client| {
            let (to, wire) = (to.clone(), Arc::clone(&wire));
            async move {
                if let Ok(server) = TcpStream::connect(&to).await {
                    count(client, server, &wire).await;
                }
            }
        })
        .await
    }

    /// A proxy that connects to one place, whichever it is asked for.
    pub(crate) async fn proxy(to: String) -> Result<Self, Failure> {
        Self::listen(move |client| {
            let to = to.clone();
            async move {
                // A connection that breaks is its client's affair.
                drop(tunnel(client, &to).await);
            }
        })
        .await
    }

    async fn listen<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.doing("a relay")?;
        let address = listener.local_addr().doing("a relay")?;
        let accepting = tokio::spawn(async move {
            while let Ok((client, _from)) = listener.accept().await {
                drop(client.set_nodelay(true));
                tokio::spawn(serve(client));
            }
        });
        Ok(Self { address, accepting })
    }
}

async fn tunnel(mut client: TcpStream, to: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
        head.push(client.read_u8().await?);
    }
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn count(mut client: TcpStream, mut server: TcpStream, wire: &Wire) {
    drop(server.set_nodelay(true));
    let (mut from_client, mut from_server) = (Messages::new(false), Messages::new(true));
    let (mut asked, mut answered) = (vec![0_u8; BUFFER], vec![0_u8; BUFFER]);
    let (mut servers_turn, mut executed) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(bytes) = received(read, &asked) else { return };
                if !servers_turn {
                    wire.round_trips.fetch_add(1, Ordering::AcqRel);
                    servers_turn = true;
                }
                from_client.take(bytes, |kind, _first| wire.client_says(kind, &mut executed));
                if server.write_all(bytes).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Some(bytes) = received(read, &answered) else { return };
                servers_turn = false;
                // The one answer without a form: whether TLS is spoken. The bench asks no server for it but through this relay.
                let bare = bytes == b"N" && !from_client.lettered;
                if !bare {
                    from_server.take(bytes, |kind, first| wire.server_says(kind, first, &mut executed));
                }
                if client.write_all(bytes).await.is_err() { return }
            }
        }
    }
}

fn received(read: std::io::Result<usize>, buffer: &[u8]) -> Option<&[u8]> {
    let count = read.ok().filter(|count| *count > 0)?;
    buffer.get(..count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

    fn message(letter: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[letter], length.as_slice(), body].concat()
    }

    fn startup() -> Vec<u8> {
        let tls = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let who = [&[0, 0, 0, 13, 0, 3, 0, 0], b"user\0".as_slice()].concat();
        [tls.as_slice(), &who].concat()
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let stream = [startup(), message(b'P', b"SELECT 1"), message(b'S', b""), message(b'E', b"\0\0\0\0\0")].concat();
        for size in 1..=stream.len() {
            let (mut messages, mut seen) = (Messages::new(false), Vec::new());
            stream.chunks(size).for_each(|piece| messages.take(piece, |kind, _first| seen.push(kind)));
            assert_eq!(seen, b"PSE", "in pieces of {size}");
        }
    }

    /// A server that answers each message but Parse with "ready", in the state that the message's first byte names.
    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut client, _from) = listener.accept().await.unwrap();
            let (mut buffer, mut messages) = (vec![0; 1024], Messages::new(false));
            while let Ok(count) = client.read(&mut buffer).await {
                if count == 0 {
                    return;
                }
                let mut answer = Vec::new();
                messages.take(&buffer[..count], |kind, state| {
                    if kind != b'P' {
                        answer.extend(message(b'Z', &[state]));
                    }
                });
                if client.write_all(&answer).await.is_err() {
                    return;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn what_is_sent_in_one_go_is_one_round_trip_and_a_question_without_a_statement_is_no_transaction() {
        let wire = Arc::new(Wire::default());
        let relay = Relay::counting(server().await, Arc::clone(&wire)).await.unwrap();
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let mut answer = vec![0; 1024];
        client
            .write_all(&[startup(), message(b'Q', b"T"), message(b'E', b"T"), message(b'Q', b"I")].concat())
            .await
            .unwrap();
        client.read_exact(&mut answer[..18]).await.unwrap();
        assert_eq!(wire.counted(), Counted { statements: 3, prepared: 0, transactions: 1, round_trips: 1 });
        // In two pieces, the second of which is sent when the first is through.
        client.write_all(&message(b'P', b"I")).await.unwrap();
        let through = async {
            while wire.counted().prepared == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, through).await.unwrap();
        client.write_all(&message(b'S', b"I")).await.unwrap();
        client.read_exact(&mut answer[..6]).await.unwrap();
        assert_eq!(wire.counted(), Counted { statements: 3, prepared: 1, transactions: 1, round_trips: 2 });
    }

    #[tokio::test]
    async fn the_proxy_hands_on_what_comes_behind_the_head() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::proxy(listener.local_addr().unwrap().to_string()).await.unwrap();
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        client.write_all(b"CONNECT amazon:443 HTTP/1.1\r\nHost: amazon\r\n\r\nhello").await.unwrap();
        let (mut server, _from) = listener.accept().await.unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}
