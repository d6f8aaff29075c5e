//! What the gateway received and how it answered: the witness that tests ask.

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
    /// The last part of the path, known or not.
    pub operation: String,
    /// The `Host` header as sent.
    pub host: String,
    /// As the body says; none if it does not say or could not be read.
    pub partner_id: Option<String>,
    /// As the body says.
    pub creation_request_id: Option<String>,
    /// The body as text, capped.
    pub body: String,
    /// Whether the signature was found to be right. A fault may have answered otherwise.
    pub signature_accepted: bool,
    /// The fault that struck it.
    pub fault: Option<Fault>,
    /// The status of the answer; none while there is no answer, and for ever if there was none.
    pub http_status: Option<u16>,
    /// The answer's `errorCode`.
    pub error_code: Option<String>,
    /// The answer's `errorType`, or the exception of an answer of the front end.
    pub error_type: Option<String>,
    /// Whether it changed the book: a first create or a first cancel.
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
    /// Notes an arrival and gives it its number.
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

    /// Adds to a note what became of it. A request that was forgotten meanwhile stays so.
    pub(super) fn amend(&self, sequence: u64, change: impl FnOnce(&mut Received)) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(place) = pages.requests.binary_search_by_key(&sequence, |received| received.sequence)
            && let Some(received) = pages.requests.get_mut(place)
        {
            change(received);
        }
    }

    pub(super) fn list(&self) -> Vec<Received> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).requests.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).requests.clear();
    }
}
