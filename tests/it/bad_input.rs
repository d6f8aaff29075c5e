//! Bad requests, as data: one table a class. Every one is refused with exactly its status and code, nothing that the
//! caller wrote comes back, nothing is recorded, nothing is sent to Amazon, and the next honest request is answered.

pub(crate) mod access;
mod bodies;
mod framing;
mod headers;
mod ids;
mod json;
mod money;
mod shapes;
mod slow;
mod text;
pub(crate) mod wire;

use self::wire::{Draft, Reply, exchange};
use crate::support::{App, Backend, Shape};

/// Put wherever a caller's text could come back. Lower case, so that it also passes for a field's name.
const CANARY: &str = "zqcanary";

/// A bad request and what must come of it.
struct Case {
    name: String,
    bytes: Vec<u8>,
    /// No more bytes will come: what is missing stays missing.
    half_close: bool,
    /// Zero: the connection is closed without an answer.
    status: u16,
    /// The answer may be lost: the framework closes while bytes are still on their way, and the reset overtakes it.
    or_closed: bool,
    /// Empty: the framework answers, before any code of ours runs, with an empty body.
    code: &'static str,
}

impl Case {
    fn new(name: impl Into<String>, draft: &Draft, status: u16, code: &'static str) -> Self {
        Self::raw(name, draft.bytes(), status, code)
    }

    fn raw(name: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Self {
        Self { name: name.into(), bytes: bytes.into(), half_close: false, status, or_closed: false, code }
    }

    fn half_closed(mut self) -> Self {
        self.half_close = true;
        self
    }

    fn or_closed(mut self) -> Self {
        self.or_closed = true;
        self
    }

    /// What is wrong with the answer; empty when nothing is.
    fn judge(&self, answer: &[u8]) -> Vec<String> {
        let replies = Reply::all(answer, self.bytes.starts_with(b"HEAD "));
        let (status, mut complaints) = match replies.as_slice() {
            [] => (0, Vec::new()),
            [reply] => (reply.status, reply.complaints(self.code)),
            several => (0, vec![format!("{} answers", several.len())]),
        };
        if status != self.status && !(status == 0 && self.or_closed) {
            complaints.push(format!("{status} instead of {}", self.status));
        }
        if status >= 500 {
            complaints.push("the service is to blame".to_owned());
        }
        complaints
    }
}

/// A service whose time-outs are short, so that a stalled request does not stall the test.
async fn service(backend: Backend) -> App {
    let shape =
        Shape::default().with("NOSHI__SERVER__HEAD_TIMEOUT_SECONDS", 1).with("NOSHI__SERVER__BODY_TIMEOUT_SECONDS", 1);
    App::shaped(backend, Shape { sells: true, ..shape }).await
}

/// Sends every case, with an honest request after each; fails with everything that went wrong.
async fn refuse_all(backend: Backend, class: &str, least: usize, cases: Vec<Case>) {
    let app = service(backend).await;
    let honest = Draft::get("/v1/ping").bytes();
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = exchange(&app, &case.bytes, case.half_close).await;
        let complaints = case.judge(&answer);
        if !complaints.is_empty() {
            wrong.push(format!(
                "{class}: {}: {}\n{}",
                case.name,
                complaints.join("; "),
                String::from_utf8_lossy(&answer)
            ));
        }
        let after = Reply::all(&exchange(&app, &honest, false).await, false);
        assert_eq!(after.first().map(|reply| reply.status), Some(200), "after {class}: {}", case.name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
    assert!(cases.len() >= least, "{class} has only {} cases", cases.len());
    nothing_happened(&app).await;
    can_still_sell(&app).await;
    app.end().await;
}

/// No reward, and no request to Amazon that could buy or give back.
async fn nothing_happened(app: &App) {
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 0);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM reward_events").await, 0);
    assert!(app.received("Create").is_empty() && app.received("Cancel").is_empty());
}

/// The order that the cases were made from is a good one, and what [`nothing_happened`] counts would have counted it.
async fn can_still_sell(app: &App) {
    let sold = Reply::all(&exchange(app, &Draft::issue().bytes(), false).await, false);
    assert_eq!(sold.first().map(|reply| reply.status), Some(201), "{sold:?}");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 1);
    assert_eq!(app.received("Create").len(), 1);
}
