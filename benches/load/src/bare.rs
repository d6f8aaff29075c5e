//! The bare path: two durable commits and the signed call, nothing else. What Noshi is compared with.
//!
//! It has no keys, budgets, ledger, timeline, recovery or limits, and one table. What it does have is as good as we know how: one
//! writer that commits together what waits, warm connections to the gateway, the libraries that Noshi has.

mod amazon;
mod postgres;
mod sqlite;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    failure::{Doing, Failure},
    gateway::minor,
};

/// As many threads as Noshi's `server.workers`.
const WORKERS: usize = 2;
/// How long a caller's connection may idle: as Noshi's `server.idle_timeout_seconds`.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long it waits for callers when it is ended. None is there then.
const STOP_SECONDS: u64 = 1;
/// Writes that may wait, and that are committed together at most.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
/// Connections that write to PostgreSQL: while one waits for its commit, the other takes what has come.
const WRITERS: usize = 2;

/// The options of the bare path.
#[derive(Debug, Args)]
pub(crate) struct BareArguments {
    /// Where it is asked.
    #[arg(long)]
    listen: SocketAddr,
    /// `sqlite://FILE` or `postgres://…`.
    #[arg(long)]
    store: String,
    /// Host and port of the gateway.
    #[arg(long)]
    gateway: String,
    /// The proxy that leads to the gateway by TLS.
    #[arg(long)]
    proxy: Option<SocketAddr>,
}

/// What is to be written, and who waits until it is durable.
struct Write {
    what: What,
    done: oneshot::Sender<bool>,
}

enum What {
    /// Before the call.
    Intent { id: i64, key: String, minor: i64 },
    /// After it.
    Outcome { id: i64, card: String },
}

/// What the workers share.
struct Shared {
    writes: mpsc::Sender<Write>,
    next: AtomicI64,
}

#[derive(Deserialize)]
struct Asked {
    kind: String,
    value: AskedValue,
}

#[derive(Deserialize)]
struct AskedValue {
    amount: String,
    currency_code: String,
}

#[derive(Serialize)]
struct Answered<'a> {
    id: i64,
    status: &'static str,
    claim_code: &'a str,
}

/// Serves until it is ended.
pub(crate) fn run(arguments: BareArguments) -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(serve(arguments))
}

async fn serve(arguments: BareArguments) -> Result<(), Failure> {
    let (writes, waiting) = mpsc::channel(QUEUE);
    if let Some(path) = arguments.store.strip_prefix("sqlite://") {
        sqlite::begin(path, waiting)?;
    } else {
        postgres::begin(&arguments.store, WRITERS, waiting).await?;
    }
    let shared = web::Data::from(Arc::new(Shared { writes, next: AtomicI64::new(1) }));
    let (gateway, proxy) = (arguments.gateway, arguments.proxy);
    let app = move || {
        // A client for each worker: its connections are served by the thread that uses them.
        let amazon = amazon::Amazon::new(&gateway, proxy).ok().map(web::Data::new);
        let app = App::new().app_data(shared.clone()).route("/v1/rewards", web::post().to(issue));
        match amazon {
            Some(amazon) => app.app_data(amazon),
            None => app,
        }
    };
    let server = HttpServer::new(app)
        .workers(WORKERS)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(STOP_SECONDS)
        .bind(arguments.listen)
        .doing("listening")?;
    server.run().await.doing("serving")
}

async fn issue(
    shared: web::Data<Shared>,
    amazon: web::Data<amazon::Amazon>,
    request: HttpRequest,
    asked: web::Bytes,
) -> HttpResponse {
    let Some((key, minor)) = read(&request, &asked) else { return HttpResponse::BadRequest().finish() };
    let id = shared.next.fetch_add(1, Ordering::AcqRel);
    if !shared.durable(What::Intent { id, key, minor }).await {
        return HttpResponse::Conflict().finish();
    }
    let Ok(card) = amazon.buy(id, minor).await else { return HttpResponse::BadGateway().finish() };
    if !shared.durable(What::Outcome { id, card: card.gc_id }).await {
        return HttpResponse::InternalServerError().finish();
    }
    HttpResponse::Created().json(Answered { id, status: "issued", claim_code: &card.gc_claim_code })
}

fn read(request: &HttpRequest, body: &[u8]) -> Option<(String, i64)> {
    let key = request.headers().get("idempotency-key")?.to_str().ok()?.to_owned();
    let asked: Asked = serde_json::from_slice(body).ok()?;
    let plain = asked.kind == "gift_code" && asked.value.currency_code == "USD";
    let minor = minor(&asked.value.amount).and_then(|minor| i64::try_from(minor).ok()).filter(|_minor| plain)?;
    Some((key, minor))
}

impl Shared {
    /// Whether it is on the disk.
    async fn durable(&self, what: What) -> bool {
        let (done, committed) = oneshot::channel();
        self.writes.send(Write { what, done }).await.is_ok() && committed.await.unwrap_or(false)
    }
}

/// What waits, beginning with the first.
fn batch(first: Write, waiting: &mut mpsc::Receiver<Write>) -> Vec<Write> {
    let mut batch = vec![first];
    while let Some(more) = (batch.len() < BATCH).then(|| waiting.try_recv().ok()).flatten() {
        batch.push(more);
    }
    batch
}

/// Answers everybody of a batch. One that hung up waits no more.
fn answer(batch: Vec<Write>, committed: bool) {
    for write in batch {
        let (Ok(()) | Err(_)) = write.done.send(committed);
    }
}
