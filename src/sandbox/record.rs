//! The log of what the gateway received and how it answered. Tests read it as a witness.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// How many requests are remembered; older ones are forgotten.
pub(super) const REQUESTS_MAX: usize = 100_000;
/// How many characters of a body are remembered.
pub(super) const BODY_CHARACTERS_MAX: usize = 4_096;

/// A request as the gateway saw it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Received {
    /// When it had arrived whole, on the sandbox clock.
    pub at: DateTime<Utc>,
    /// Counts up from 1 and never restarts while the sandbox runs.
    pub sequence: u64,
    /// The last part of the path, known or not. A call of Login with Amazon is `tokeninfo` or `profile`; its token is not kept.
    pub operation: String,
    /// The `Host` header as sent.
    pub host: String,
    /// The partner that the body names, if it names one and can be read; of Amazon Pay the id of the key.
    pub partner_id: Option<String>,
    /// The request id that the body names, whatever the operation calls it; of Amazon Pay the idempotency key, or the id of what the
    /// call is about.
    pub creation_request_id: Option<String>,
    /// The body as text, cut to [`BODY_CHARACTERS_MAX`] characters.
    pub body: String,
    /// Whether the signature is valid. A fault may have answered the opposite.
    pub signature_accepted: bool,
    /// The fault that struck it.
    pub fault: Option<Fault>,
    /// The status of the answer. `None` before the answer, or if the client got none.
    pub http_status: Option<u16>,
    /// The answer's `errorCode`, or `reasonCode`.
    pub error_code: Option<String>,
    /// The answer's `errorType`, or the exception of an answer of the front end.
    pub error_type: Option<String>,
    /// Whether the call changed the book: a first create or a first cancel. Not kept of Amazon Pay.
    pub real_op: bool,
}

/// The last [`REQUESTS_MAX`] requests.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    last_sequence: u64,
    requests: VecDeque<Received>,
}

impl RequestLog {
    /// Adds a request and returns its sequence number.
    pub(super) fn open(&self, received: Received) -> u64 {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = pages.last_sequence.saturating_add(1);
        pages.last_sequence = sequence;
        if pages.requests.len() >= REQUESTS_MAX {
            pages.requests.pop_front();
        }
        pages.requests.push_back(Received { sequence, ..received });
        sequence
    }

    /// Adds the answer to a request. A request that was forgotten meanwhile stays forgotten.
    pub(super) fn amend<T>(&self, sequence: u64, change: impl FnOnce(&mut Received) -> T) -> Option<T> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let place = pages.requests.binary_search_by_key(&sequence, |received| received.sequence).ok()?;
        pages.requests.get_mut(place).map(change)
    }

    pub(super) fn list(&self) -> Vec<Received> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).requests.iter().cloned().collect()
    }

    /// The last so many, newest first, without their bodies.
    pub(super) fn last(&self, most: usize) -> Vec<Received> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let bare = |received: &Received| Received { body: String::new(), ..received.clone() };
        pages.requests.iter().rev().take(most).map(bare).collect()
    }

    pub(super) fn clear(&self) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).requests.clear();
    }
}
