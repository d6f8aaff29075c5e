//! A receiver of webhooks: a real socket that keeps what it was sent, and answers as the test says.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::wait;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) line: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn event_type(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With this status and these lines of the head.
    Status(u16, String),
    /// Not at all: the connection stays open.
    Hang,
    /// The connection is closed.
    Close,
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    script: VecDeque<Reply>,
    usual: Option<Reply>,
}

/// The receiver. It stops when it is dropped.
pub(crate) struct Receiver {
    port: u16,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Receiver {
    /// One that takes everything.
    #[expect(clippy::disallowed_methods, reason = "the receiver is no part of the service")]
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks?token=open-sesame", self.port)
    }

    /// The next requests are answered so.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().script.extend(replies);
    }

    /// Every request that no script is for is answered so.
    pub(crate) fn always(&self, reply: Reply) {
        self.state.lock().unwrap().usual = Some(reply);
    }

    /// What was sent, in its order.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.state.lock().unwrap().sent.clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().sent.len()
    }

    /// Waits for so many requests.
    pub(crate) async fn until(&self, count: usize) -> Vec<Sent> {
        wait::until(&format!("{count} messages"), async || self.sent().len() >= count).await;
        self.sent()
    }
}

pub(crate) fn status(status: u16) -> Reply {
    Reply::Status(status, String::new())
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(sent) = read(&mut stream).await {
        let reply = {
            let mut state = state.lock().unwrap();
            state.sent.push(sent);
            let usual = state.usual.clone().unwrap_or_else(|| status(204));
            state.script.pop_front().unwrap_or(usual)
        };
        match reply {
            Reply::Status(status, lines) => {
                let answer = format!("HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n{lines}\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Hang => tokio::time::sleep(Duration::from_secs(3600)).await,
            Reply::Close => return,
        }
    }
}

/// The next request of a connection; `None` when there is none.
async fn read(stream: &mut TcpStream) -> Option<Sent> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, fields) = head.split_once("\r\n").unwrap();
            let fields = fields.split("\r\n").filter_map(|field| field.split_once(": "));
            let headers: BTreeMap<String, String> =
                fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(Sent { line: line.to_owned(), headers, body: body.to_owned() });
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    }
}
