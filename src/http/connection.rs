//! What is known of the connection that a request came by: whether anybody has shown a key on it, and whether it is being
//! served. The server's door makes one of these for each connection, and sends those away first that nobody has shown a key on.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use actix_web::HttpRequest;
use futures_util::task::AtomicWaker;

use crate::kernel::ApiKeyId;

/// Bytes of a request that was refused unread which its sender may go on sending.
const REST_MAX: usize = 1024 * 1024;

/// A connection of a caller's. All clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_known: AtomicBool,
    /// The last good key that was shown on it.
    key: Mutex<Option<ApiKeyId>>,
    is_served: AtomicBool,
    is_closing: AtomicBool,
    leaves_a_body: AtomicBool,
    begun: AtomicU64,
    ended: AtomicU64,
    more: AtomicUsize,
    /// The task that reads and writes it.
    task: AtomicWaker,
}

impl Connection {
    /// The one that a request came by. A request that came by no door, as in a test of a handler, has one of its own.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request.conn_data::<Self>().cloned().unwrap_or_default()
    }

    /// Somebody has shown this good key on it.
    pub(crate) fn know(&self, key: ApiKeyId) {
        *self.0.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        self.0.is_known.store(true, Ordering::Release);
    }

    /// The key that was shown on it last; `None` where that was no good, and where none was.
    pub(super) fn key(&self) -> Option<ApiKeyId> {
        self.is_known().then(|| *self.0.key.lock().unwrap_or_else(PoisonError::into_inner)).flatten()
    }

    /// The last key that was shown on it is no good.
    pub(crate) fn forget(&self) {
        self.0.is_known.store(false, Ordering::Release);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Acquire)
    }

    /// A request's head has been read.
    pub(crate) fn begin(&self) {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        self.0.is_served.store(true, Ordering::Release);
    }

    /// Its answer has been made, to the last byte.
    pub(crate) fn end(&self) {
        self.0.is_served.store(false, Ordering::Release);
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn is_served(&self) -> bool {
        self.0.is_served.load(Ordering::Acquire)
    }

    /// How many requests have begun on it.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }

    /// How many answers have been made on it.
    pub(crate) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Acquire)
    }

    /// It ends behind the answer. What is left of the request may come meanwhile, so that the answer is not lost in a reset.
    pub(crate) fn close_behind_answer(&self) {
        self.0.is_closing.store(true, Ordering::Release);
        self.expect_more(REST_MAX);
    }

    /// The request was answered before its body was read, and the rest of it may still be coming.
    pub(crate) fn leave_a_body(&self) {
        self.0.leaves_a_body.store(true, Ordering::Release);
    }

    pub(crate) fn leaves_a_body(&self) -> bool {
        self.0.leaves_a_body.load(Ordering::Acquire)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.0.is_closing.load(Ordering::Acquire)
    }

    /// So many bytes more may come before the answer than a request usually has: those of a file.
    pub(crate) fn expect_more(&self, bytes: usize) {
        self.0.more.store(bytes, Ordering::Release);
        self.wake();
    }

    /// From now on this is whom [`Connection::wake`] wakes.
    pub(crate) fn attended_by(&self, task: &Waker) {
        self.0.task.register(task);
    }

    pub(crate) fn wake(&self) {
        self.0.task.wake();
    }

    /// How many more may come. Asking takes them.
    pub(crate) fn take_more(&self) -> usize {
        self.0.more.swap(0, Ordering::AcqRel)
    }
}
