//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! The export never holds up the work that it reports. Spans wait in a bounded queue, and a full queue loses them. If
//! the collector is down, hangs or answers nonsense, the export tries a few times and then loses the batch. Every lost
//! span is counted. At a stop the export sends what is in the queue, within [`FINISH`]. Its own requests are in no
//! trace.
//!
//! It is not the SDK's exporter, which runs on a thread outside our runtime, reads the environment instead of `config`,
//! is global to the process, and does not report how many spans it dropped.

use std::{io, pin::pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Counters, Sink, SpanRecord, otlp};

/// The most spans that wait: those of a few seconds of full load.
const QUEUE_MAX: usize = 4096;
/// The most spans of one request, as in the SDKs.
const BATCH_MAX: usize = 512;
/// How long the export gathers spans before it sends them.
const GATHER: Duration = Duration::from_secs(1);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a whole request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// Waits between tries. Meanwhile spans gather in the queue.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How long a stop waits for what is in the queue.
pub const FINISH: Duration = Duration::from_secs(2);
/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where spans are sent, and which resource they come from.
pub struct ExportOptions {
    /// The whole address, with the path.
    pub url: String,
    /// Names and values of the resource's attributes.
    pub resource: Vec<(String, String)>,
}

/// Why the export cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The address is not a URL.
    #[error("the collector's address cannot be read")]
    Address(#[source] hyper::http::uri::InvalidUri),
    /// The collector's certificate cannot be checked without root certificates.
    #[error("the machine's root certificates cannot be read")]
    Roots(#[source] io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The export, before it runs.
pub struct Export {
    queue: mpsc::Receiver<SpanRecord>,
    /// The spans that are being sent.
    batch: Vec<SpanRecord>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    resource: Resource,
    counters: Counters,
    /// The last batch was lost. A row of lost batches is logged once.
    failing: bool,
}

/// Why the collector did not take a batch.
#[derive(Clone, Copy)]
enum ExportFailure {
    Unreachable,
    Timeout,
    Status(u16),
}

impl ExportFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
        }
    }

    const fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            Self::Unreachable | Self::Timeout => None,
        }
    }

    /// Whether another try may help (OTLP 1.x, retryable response codes).
    const fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Status(429 | 502 | 503 | 504))
    }
}

impl Export {
    /// An export, and the sink that feeds it.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn new(options: ExportOptions, counters: Counters) -> Result<(Self, Sink), ExportError> {
        let url: Uri = options.url.parse().map_err(ExportError::Address)?;
        let client = Client::builder(TokioExecutor::new()).build(connector(url.scheme_str() == Some("https"))?);
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let sink = Sink { queue, lost: counters.queue_full.clone() };
        let resource = otlp::resource(options.resource);
        let export = Self { queue: waiting, batch: Vec::new(), client, url, resource, counters, failing: false };
        Ok((export, sink))
    }

    /// Sends spans until `stop`, then those that are left, for at most [`FINISH`].
    pub async fn run(mut self, stop: CancellationToken) {
        {
            let mut work = pin!(self.hand_over(&stop));
            let over = tokio::select! {
                () = &mut work => true,
                () = stop.cancelled() => false,
            };
            if over || tokio::time::timeout(FINISH, work).await.is_ok() {
                return;
            }
        }
        self.queue.close();
        let left = self.queue.len().saturating_add(self.batch.len());
        self.counters.queue_full.inc_by(u64::try_from(left).unwrap_or(u64::MAX));
        tracing::warn!(traces.spans = left, "spans were lost at the stop");
    }

    /// Returns when the last sink is dropped, or after `stop` when the queue is empty.
    async fn hand_over(&mut self, stop: &CancellationToken) {
        while self.gather(stop).await {
            self.deliver(stop).await;
        }
    }

    /// Waits for a span, and then a little longer for more.
    async fn gather(&mut self, stop: &CancellationToken) -> bool {
        let first = tokio::select! {
            biased;
            count = self.queue.recv_many(&mut self.batch, BATCH_MAX) => count,
            () = stop.cancelled() => 0,
        };
        let more = async {
            while let Some(room) = BATCH_MAX.checked_sub(self.batch.len()).filter(|room| *room > 0) {
                if self.queue.recv_many(&mut self.batch, room).await == 0 {
                    return;
                }
            }
        };
        if first > 0 {
            tokio::select! {
                () = more => {}
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => {}
            }
        }
        first > 0
    }

    /// Sends the batch, or loses it after a few tries. Once the process stops there is one try.
    async fn deliver(&mut self, stop: &CancellationToken) {
        let count = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        let body = Bytes::from(otlp::request(&self.resource, &self.batch));
        let mut pauses = RETRY_PAUSES.iter();
        let sent = loop {
            let sent = self.post(body.clone()).await;
            let again = matches!(&sent, Err(failure) if failure.may_pass()) && !stop.is_cancelled();
            let Some(pause) = pauses.next().filter(|_pause| again) else { break sent };
            tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                () = stop.cancelled() => {}
            }
        };
        self.batch.clear();
        match sent {
            Ok(refused) => {
                let refused = refused.min(count);
                self.counters.refused.inc_by(refused);
                self.counters.exported.inc_by(count.saturating_sub(refused));
                if self.failing {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(failure) => {
                self.counters.not_sent.inc_by(count);
                if !self.failing {
                    let (why, status) = (failure.as_str(), failure.status());
                    tracing::warn!(
                        traces.error = why,
                        http.response.status_code = status,
                        "the collector takes no spans; they are lost until it does"
                    );
                }
            }
        }
        self.failing = sent.is_err();
    }

    /// Sends one request. Returns how many of its spans the collector refused.
    async fn post(&self, body: Bytes) -> Result<u64, ExportFailure> {
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, concat!("noshi/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_never| ExportFailure::Unreachable)?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|_error| ExportFailure::Unreachable)?;
            let status = answer.status();
            let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            if !status.is_success() {
                return Err(ExportFailure::Status(status.as_u16()));
            }
            // The status has accepted the request. An answer that cannot be read does not change that.
            Ok(bytes.map_or(0, |bytes| otlp::refused(&bytes.to_bytes())))
        };
        tokio::time::timeout(REQUEST, exchange).await.unwrap_or(Err(ExportFailure::Timeout))
    }
}

/// Connects by plain TCP or by TLS, as the address says. It uses no proxy and follows no redirect.
fn connector(tls: bool) -> Result<HttpsConnector<HttpConnector>, ExportError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    http.set_nodelay(true);
    let provider = Arc::new(ring::default_provider());
    let builder = HttpsConnectorBuilder::new();
    if tls {
        let builder = builder.with_provider_and_native_roots(provider).map_err(ExportError::Roots)?;
        return Ok(builder.https_only().enable_http1().wrap_connector(http));
    }
    // A plain connection needs no root certificates, and the machine may have none.
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(ExportError::Tls)?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Ok(builder.with_tls_config(config).https_or_http().enable_http1().wrap_connector(http))
}
