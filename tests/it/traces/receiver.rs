//! An OpenTelemetry collector of the tests' own: takes OTLP over HTTP, reads the protobuf, keeps everything, and fails when
//! it is told to.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value},
    trace::v1::{Span as Proto, SpanFlags},
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::wait::found;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes what it is handed.
    Takes,
    /// Takes it after more than half a second, unless whoever hands it over has gone by then.
    Slow,
    /// Takes all but so many.
    Refuses(i64),
    /// Answers with this status, and takes nothing.
    Status(u16),
    /// Says that all is well in words that are none of the protocol's, without end.
    Babbles,
    /// Reads the request and never answers.
    Hangs,
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for the first of a trace.
    pub(crate) parent: String,
    pub(crate) remote_parent: bool,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Traces and spans.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) failed: bool,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    requests: usize,
}

/// The collector. It ends with its value.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    kept: Arc<Mutex<Kept>>,
    job: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, kept) = (Arc::new(Mutex::new(Mood::Takes)), Arc::<Mutex<Kept>>::default());
        let (its_mood, its_kept) = (Arc::clone(&mood), Arc::clone(&kept));
        #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
        let job = tokio::spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let (mood, kept) = (Arc::clone(&its_mood), Arc::clone(&its_kept));
                let answer = service_fn(move |request| take(request, Arc::clone(&mood), Arc::clone(&kept)));
                #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
                drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer)));
            }
        });
        Self { address, mood, kept, job }
    }

    /// What settings call it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Every span that arrived so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// Every byte that arrived so far: bodies, and heads.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap().bytes.clone()
    }

    /// How often it was asked, whatever it answered.
    pub(crate) fn requests(&self) -> usize {
        self.kept.lock().unwrap().requests
    }

    /// Waits for spans by a sign of them.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        found(what, async || {
            let spans = self.spans();
            is(&spans).then_some(spans)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.job.abort();
    }
}

async fn take(
    request: Request<Incoming>,
    mood: Arc<Mutex<Mood>>,
    kept: Arc<Mutex<Kept>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let (body, mood) = (body.to_bytes(), *mood.lock().unwrap());
    if mood == Mood::Slow {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!((&head.method, head.uri.path()), (&Method::POST, "/v1/traces"));
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    {
        let mut kept = kept.lock().unwrap();
        kept.requests += 1;
        kept.bytes.extend_from_slice(format!("{head:?}").as_bytes());
        kept.bytes.extend_from_slice(&body);
        if matches!(mood, Mood::Takes | Mood::Slow | Mood::Refuses(_)) {
            let spans = ExportTraceServiceRequest::decode(body).unwrap();
            kept.spans.extend(read(spans));
        }
    }
    let answer = |status: u16, kind: &str, body: Vec<u8>| {
        Response::builder().status(status).header("content-type", kind).body(Full::new(Bytes::from(body))).unwrap()
    };
    let said = |rejected_spans| {
        let partial = ExportTracePartialSuccess { rejected_spans, ..ExportTracePartialSuccess::default() };
        ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    Ok(match mood {
        Mood::Takes | Mood::Slow => answer(200, "application/x-protobuf", Vec::new()),
        Mood::Refuses(count) => answer(200, "application/x-protobuf", said(count)),
        Mood::Status(status) => answer(status, "text/plain", b"no".to_vec()),
        Mood::Babbles => answer(200, "text/html", vec![b'<'; 300_000]),
        Mood::Hangs => std::future::pending().await,
    })
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: KeyValue| {
        let value = match pair.value.unwrap().value.unwrap() {
            any_value::Value::StringValue(text) => text,
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::BoolValue(flag) => flag.to_string(),
            other @ (any_value::Value::ArrayValue(_)
            | any_value::Value::BytesValue(_)
            | any_value::Value::DoubleValue(_)
            | any_value::Value::KvlistValue(_)
            | any_value::Value::StringValueStrindex(_)) => panic!("{}: {other:?}", pair.key),
        };
        (pair.key, value)
    };
    attributes.into_iter().map(text).collect()
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(of_resource.resource.unwrap().attributes);
        for of_scope in of_resource.scope_spans {
            assert_eq!(of_scope.scope.unwrap().name, "noshi");
            spans.extend(of_scope.spans.into_iter().map(|span| of(span, &resource)));
        }
    }
    spans
}

fn of(span: Proto, resource: &BTreeMap<String, String>) -> Span {
    assert!(span.events.is_empty() && span.trace_state.is_empty(), "{span:?}");
    let (known, remote) = (SpanFlags::ContextHasIsRemoteMask as u32, SpanFlags::ContextIsRemoteMask as u32);
    assert_eq!(span.flags & (known | 1), known | 1, "sampled, and whether the parent is remote is said");
    let status = span.status.unwrap();
    assert_eq!(status.message, "", "a failure is told by its word alone");
    Span {
        name: span.name,
        kind: span.kind,
        trace: HEXLOWER.encode(&span.trace_id),
        id: HEXLOWER.encode(&span.span_id),
        parent: HEXLOWER.encode(&span.parent_span_id),
        remote_parent: span.flags & remote != 0,
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        attributes: texts(span.attributes),
        links: span.links.iter().map(|to| (HEXLOWER.encode(&to.trace_id), HEXLOWER.encode(&to.span_id))).collect(),
        failed: status.code == 2,
        resource: resource.clone(),
    }
}
