//! The door of a port: how many connections there may be, who has to leave when places run out, and what one of them may
//! hold.
//!
//! Whoever has shown no key is a *stranger*. Strangers have half of the places at most: the one who came first leaves when
//! another comes. So nobody can keep callers out by opening connections and sending nothing, and a stranger's head has less
//! time the more of them there are. Callers may have all places.
//!
//! What a connection holds is bounded ([`Guarded`]): the bytes of a request before it is answered, and the time that an answer
//! waits for its reader. `memory` computes what all of them hold together.

mod guarded;
mod memory;
mod metrics;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING},
    },
    middleware::Next,
    web::Bytes,
};

pub(crate) use self::metrics::DoorMetrics;
pub(super) use self::{
    guarded::Guarded,
    memory::{ANSWER_BUFFER_BYTES, SOCKET_BUFFER_BYTES},
    metrics::PortMetrics,
};
use crate::http::connection::Connection;

/// Refusals behind which the rest of any body may still be coming.
const LEAVE_A_BODY: [StatusCode; 3] =
    [StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNSUPPORTED_MEDIA_TYPE];

/// The door of one port. All clones are the same.
#[derive(Clone)]
pub(super) struct Door(Arc<Inner>);

struct Inner {
    strangers_max: usize,
    unread_max: Duration,
    strangers: Mutex<Strangers>,
    metrics: PortMetrics,
}

/// The strangers who are in, in the order in which they came.
#[derive(Default)]
struct Strangers {
    next: u64,
    inside: BTreeMap<u64, Arc<Visit>>,
}

impl Strangers {
    /// Who has to leave for another: the first whose connection ends behind an answer that is made, or else behind one that is being
    /// written (a page for whoever asks, which its reader may take as slowly as they like), or else the first who is not being
    /// answered, or else the first of all.
    fn take_first(&mut self) -> Option<Arc<Visit>> {
        let first = |may: fn(&Connection) -> bool| {
            self.inside.iter().find(|(_number, visit)| may(&visit.connection)).map(|(number, _visit)| *number)
        };
        let number = first(|connection| connection.is_closing() && !connection.is_served())
            .or_else(|| first(Connection::is_closing))
            .or_else(|| first(|connection| !connection.is_served()))
            .or_else(|| first(|_any| true))?;
        self.inside.remove(&number)
    }
}

/// A connection that is in.
#[derive(Default)]
struct Visit {
    connection: Connection,
    must_leave: AtomicBool,
}

impl Door {
    /// Strangers have half of the places; an answer waits so long for its reader.
    pub(super) fn new(connections_max: usize, unread_max: Duration, metrics: PortMetrics) -> Self {
        let strangers_max = connections_max.div_ceil(2);
        Self(Arc::new(Inner { strangers_max, unread_max, strangers: Mutex::default(), metrics }))
    }

    /// Lets a connection in as a stranger's. One who came before may have to leave for it.
    pub(super) fn enter(&self) -> Guest {
        let visit = Arc::new(Visit::default());
        let mut strangers = self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = strangers.next;
        strangers.next = number.wrapping_add(1);
        let mut is_full = strangers.inside.len() >= self.0.strangers_max;
        if is_full {
            // Whoever has shown a key and waits for an answer is no stranger any more.
            strangers.inside.retain(|_number, visit| !visit.connection.is_known());
            is_full = strangers.inside.len() >= self.0.strangers_max;
        }
        let first = if is_full { strangers.take_first() } else { None };
        strangers.inside.insert(number, Arc::clone(&visit));
        self.0.metrics.strangers(strangers.inside.len());
        drop(strangers);
        if let Some(first) = first {
            first.must_leave.store(true, Ordering::Release);
            first.connection.wake();
        }
        Guest { door: self.clone(), number, visit, counts_as_stranger: true }
    }

    fn is_no_stranger(&self, number: u64) {
        let mut strangers = self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.inside.remove(&number);
        self.0.metrics.strangers(strangers.inside.len());
    }
}

/// A connection that is in. It leaves when this is dropped.
pub(super) struct Guest {
    door: Door,
    number: u64,
    visit: Arc<Visit>,
    counts_as_stranger: bool,
}

impl Guest {
    /// What handlers know of it.
    pub(super) fn connection(&self) -> &Connection {
        &self.visit.connection
    }

    /// Resolves when it has to leave.
    pub(super) async fn has_to_leave(&mut self) {
        poll_fn(|cx| if self.must_leave(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// No connection of TLS came about.
    pub(super) fn shook_no_hands(&self) {
        self.door.0.metrics.no_handshake();
    }

    /// Whether it has to leave; if not yet, the task is woken when it has to. Who has shown a key meanwhile stays.
    fn must_leave(&mut self, cx: &Context<'_>) -> bool {
        self.connection().attended_by(cx.waker());
        if self.counts_as_stranger && self.connection().is_known() {
            self.counts_as_stranger = false;
            self.door.is_no_stranger(self.number);
        }
        let leaves = self.counts_as_stranger && self.visit.must_leave.load(Ordering::Acquire);
        if leaves {
            self.door.0.metrics.crowded_out();
        }
        leaves
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.counts_as_stranger {
            self.door.is_no_stranger(self.number);
        }
    }
}

/// The middleware of the API's port, outermost: notes on the connection that it is being served, and closes it behind the
/// answer to whoever has shown no key on it. Only callers may idle.
///
/// # Errors
/// What another middleware refuses.
pub(super) async fn attend(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let connection = Connection::of(request.request());
    connection.begin();
    let served = Served(connection.clone());
    // Behind an answer that closes the connection nothing is done (RFC 9112, 9.6); the framework has read ahead.
    if connection.is_closing() {
        let unread = request.into_response(HttpResponse::ServiceUnavailable().force_close().finish());
        return Ok(unread.map_body(|_head, body| BoxBody::new(ServedBody { body, _served: served })));
    }
    let is_long = has_long_body(request.headers());
    let mut answer = next.call(request).await?.map_into_boxed_body();
    if answer.status() == StatusCode::UNAUTHORIZED {
        connection.forget();
    }
    // Whoever is refused before a long body was read goes on sending it: nothing that comes is a request.
    let leaves_a_body = LEAVE_A_BODY.contains(&answer.status()) || is_long && !answer.status().is_success();
    if !connection.is_known() || leaves_a_body {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        connection.close_behind_answer();
    }
    if leaves_a_body {
        connection.leave_a_body();
    }
    Ok(answer.map_body(|_head, body| BoxBody::new(ServedBody { body, _served: served })))
}

/// Whether more may come than is read of a request before its answer. A body in chunks gives no length; only JSON is known to be
/// short.
fn has_long_body(headers: &HeaderMap) -> bool {
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    (headers.contains_key(TRANSFER_ENCODING) && !is_json)
        || length.is_some_and(|length: usize| length > guarded::REQUEST_BYTES_MAX)
}

/// The same for the admin port, which knows no keys.
///
/// # Errors
/// What another middleware refuses.
pub(super) async fn attend_admin(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let connection = Connection::of(request.request());
    connection.begin();
    let served = Served(connection);
    let answer = next.call(request).await?.map_into_boxed_body();
    Ok(answer.map_body(|_head, body| BoxBody::new(ServedBody { body, _served: served })))
}

/// A request that is being answered, until this is dropped.
struct Served(Connection);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// An answer's body, for as long as it is being made.
struct ServedBody {
    body: BoxBody,
    _served: Served,
}

impl MessageBody for ServedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

#[cfg(test)]
mod tests;
