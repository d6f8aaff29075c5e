//! Around every request: its id, its one log line (of a refused stranger's one a minute), its metric, and its problem document.
//! Never a body or a header's value.
//!
//! A body that no handler read must not keep its connection. When an answer leaves before its request's body has ended,
//! actix closes the connection; but a chunked body whose reader was dropped it reads on to its end, without a limit of time
//! or bytes. So a request without a key could keep a connection for ever. The body's reader is therefore kept until the
//! answer has left: actix then closes here too.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        ConnectionType,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{self, Bytes},
};
use chrono::{DateTime, Utc};
use futures_util::Stream;

use super::{
    Code, Http, Problem, headers,
    key_limits::KeyStanding,
    retry_after,
    stranger_lines::{LineOf, RefusedFor, Stranger},
};
use crate::{
    kernel::{ApiKeyId, ClientId, TraceContext, claim_code::may_hold_claim_code},
    telemetry::trace::{self, Attribute},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Whose key a request brought: identity notes it once the key has proved to be one, whatever it may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) client: ClientId,
    pub(crate) key: ApiKeyId,
}

/// The middleware. All that is done for a request is in the scope of its span, which ends when the answer is ready.
///
/// # Errors
/// What another middleware refuses; what a handler refuses becomes an answer here.
pub(crate) async fn observe(
    http: web::Data<Http>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let span = http.traces.request();
    span.scope(observed(http, request, next)).await
}

/// Continues the caller's trace, when the header names one, once and as the standard wants it; else the trace is a new one, and
/// nothing is refused (W3C Trace Context, 4.3). Its `tracestate` is dropped: nothing is passed on, and it is the caller's text.
/// Identity does this once the key has proved to be one: a stranger could make every request recorded, or put lines of the log
/// into another's trace.
pub(crate) fn continue_trace(request: &HttpRequest) {
    let theirs: Option<TraceContext> =
        headers::only(request, TRACEPARENT).ok().flatten().and_then(|text| text.parse().ok());
    theirs.into_iter().for_each(trace::continue_from);
}

async fn observed(
    http: web::Data<Http>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = http.ambient.monotonic();
    let id = request_id(&http, &request);
    let method = request.method().as_str().to_owned();
    let reader = keep_reader(&mut request);
    // The request must not be cloned here: the router needs it to itself, or it panics.
    let mut answer = render(next.call(request).await?.map_into_boxed_body(), &id);
    let standing = answer.request().extensions().get::<KeyStanding>().copied();
    if let Some(standing) = standing {
        standing.show(answer.headers_mut());
    }
    finish_head(&http, &mut answer, &id, || http.ambient.draw().unwrap_or_default());
    let took = started.elapsed();
    let route = answer.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let status = answer.status().as_u16();
    let method = known_method(&method);
    http.metrics.request(method, &route, status, took);
    trace::name(|| format!("{method} {route}"));
    trace::note(Attribute::Method(method));
    trace::note(Attribute::Route(route.clone()));
    trace::note(Attribute::Status(status));
    let (millis, running) = (took.as_millis(), http.tasks.running());
    let asker = answer.request().extensions().get::<Asker>().copied();
    let peer = answer.request().peer_addr().map(|peer| peer.ip());
    if let Some(left_out) = line_of(&http, answer.request(), status) {
        tracing::info!(
            client.id = asker.map(|asker| display(asker.client)), api_key.id = asker.map(|asker| display(asker.key)),
            network.peer.address = peer.map(display), http.request.id = id, http.request.method = method, http.route = route, http.response.status_code = status,
            duration_ms = %millis, tasks.running = running, requests.left_out = left_out, "request"
        );
    }
    Ok(with_answer(answer, reader))
}

/// What the head of every answer says. `draw` spreads those who are to come back.
pub(super) fn finish_head(http: &Http, answer: &mut ServiceResponse<BoxBody>, id: &str, draw: impl FnOnce() -> u32) {
    let head = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        head.insert(REQUEST_ID, value);
    }
    // Nothing here is for a cache: a reward changes, and a code must not lie around.
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    spread_callers(head, http.ambient.now(), draw);
    // The server stops soon, and a request on a connection that closes gets no answer: clients drop this connection now.
    if http.tasks.stopping().is_cancelled() {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// Whether a request has its line, and in it how many like it had none; `None` for no line. Whoever shows no good key and is refused
/// could fill the disk: such lines are one a minute. So are those of failures: while the database is away no key can be looked up, and a
/// stranger can ask as often as ever.
fn line_of(http: &Http, request: &HttpRequest, status: u16) -> Option<Option<u64>> {
    let extensions = request.extensions();
    match extensions.get::<LineOf>() {
        Some(LineOf::Written) => return Some(None),
        Some(LineOf::LeftOut) => return None,
        None => {}
    }
    if extensions.get::<Asker>().is_some() || status < 400 {
        return Some(None);
    }
    let who = Stranger { key: None, peer: request.peer_addr().map(|peer| peer.ip()) };
    let left_out = http.stranger_lines.is_due(RefusedFor::Status(status), who, http.ambient.monotonic())?;
    Some(Some(left_out))
}

/// Whoever is asked to come back later comes at a time of their own.
fn spread_callers(head: &mut HeaderMap, now: DateTime<Utc>, draw: impl FnOnce() -> u32) {
    let Some(needed) = head.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()) else { return };
    let spread = retry_after::spread(needed, now, draw());
    if let Some(value) = spread.and_then(|text| HeaderValue::from_str(&text).ok()) {
        head.insert(header::RETRY_AFTER, value);
    }
}

/// Renders a handler's problem with the request's id.
fn render(answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem = answer
        .response()
        .error()
        .map(|error| error.as_error::<Problem>().cloned().unwrap_or_else(|| from_framework(error)));
    if let Some(code) = problem.as_ref().map(Problem::code).filter(|code| code.status() >= 500) {
        trace::note(Attribute::Error(code.as_str()));
    }
    match problem {
        Some(problem) => answer.into_response(problem.respond(id)),
        None => answer,
    }
}

/// What the framework refuses by itself. Its own texts may quote the input.
fn from_framework(error: &Error) -> Problem {
    match error.as_response_error().status_code().as_u16() {
        404 => Problem::new(Code::NOT_FOUND),
        408 => Problem::new(Code::REQUEST_TIMEOUT),
        413 => Problem::new(Code::PAYLOAD_TOO_LARGE),
        400..=499 => Problem::new(Code::INVALID_REQUEST),
        _ => Problem::new(Code::INTERNAL),
    }
}

/// The id of a request: the caller's, where it is 8 to 64 safe characters, else one of ours.
pub(super) fn request_id(http: &Http, request: &ServiceRequest) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let theirs = headers::only(request.request(), REQUEST_ID).ok().flatten();
    // It is logged: a claim code in its place is not taken.
    let usable = |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(safe) && !may_hold_claim_code(id);
    match theirs.filter(usable) {
        Some(id) => id.to_owned(),
        None => http.ambient.token().map_or_else(|_none| "unknown".to_owned(), |token| token.simple().to_string()),
    }
}

/// Methods are the caller's text: a label must be one of few.
pub(super) fn known_method(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("OTHER")
}

/// The reader of a request's body: one half is the handler's, one stays with the answer.
#[derive(Clone)]
struct Reader(Rc<RefCell<Payload>>);

/// Hands the handler a reader of the body and keeps another.
fn keep_reader(request: &mut ServiceRequest) -> Reader {
    let reader = Reader(Rc::new(RefCell::new(request.take_payload())));
    request.set_payload(Payload::Stream { payload: Box::pin(reader.clone()) });
    reader
}

/// Ties the reader to the answer's end.
fn with_answer(answer: ServiceResponse<BoxBody>, reader: Reader) -> ServiceResponse<BoxBody> {
    answer.map_body(|_head, body| BoxBody::new(AnswerBody { body, _reader: reader }))
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nobody polls it within its own poll, so that it is never borrowed twice.
        self.0.try_borrow_mut().map_or(Poll::Ready(None), |mut payload| Pin::new(&mut *payload).poll_next(cx))
    }
}

struct AnswerBody {
    body: BoxBody,
    _reader: Reader,
}

impl MessageBody for AnswerBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
