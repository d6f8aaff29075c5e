//! The frame of every REST handler: bodies, headers, pages, problem documents, and the one log line of a request.
//!
//! A handler checks in a fixed order, so that the same request is always refused for the same reason: first the API key
//! (`identity::Principal`), then the shape of the body, then the idempotency key, then what the request means.

pub(crate) mod accept;
pub mod body;
mod code;
pub(crate) mod connection;
pub(crate) mod forget;
pub(crate) mod framing;
pub(crate) mod headers;
pub mod key_limits;
pub(crate) mod let_in;
mod metrics;
pub(crate) mod observe;
pub(crate) mod openapi;
pub(crate) mod paging;
pub(crate) mod prefer;
pub(crate) mod problem;
mod retry_after;
pub(crate) mod routing;
pub(crate) mod stranger_lines;
pub(crate) mod value;

use std::{sync::Arc, time::Duration};

pub use code::Code;
pub(crate) use code::Retry;
use key_limits::KeyLimits;
pub(crate) use metrics::Metrics;
pub(crate) use problem::Problem;
use stranger_lines::StrangerLines;

use crate::{
    ambient::Ambient,
    lifecycle::{Tasks, workplaces::Workplaces},
    store::Store,
    telemetry::trace::Traces,
};

/// What every handler needs besides its slice's service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    /// Where database work runs.
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Arc<Metrics>,
    /// Begins the trace of each request, or continues the caller's.
    pub(crate) traces: Traces,
    /// How many requests are worked on at once.
    pub(crate) workplaces: Workplaces,
    /// What one API key may ask of this replica.
    pub(crate) limits: KeyLimits,
    /// Which lines of requests without a good key are written.
    pub(crate) stranger_lines: StrangerLines,
    /// How long a body may take.
    pub(crate) body_timeout: Duration,
}

impl Http {
    /// Runs a use case on the main runtime. A handler's own runtime ends with its worker thread, and would end a database
    /// connection that was opened there.
    ///
    /// # Errors
    /// The use case's own error as a problem; `internal` when it ended without an answer.
    pub(crate) async fn run<T, E, F>(&self, work: F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        Problem: From<E>,
    {
        self.tasks.run(work).await.map_err(|_lost| Problem::new(Code::INTERNAL))?.map_err(Problem::from)
    }
}
