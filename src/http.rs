//! What handlers are made of: who calls, what they sent, what they are told when it is refused, and the one log line.
//!
//! A handler opens the call in a fixed order, so that errors are stable: the caller's key, then the shape of the body,
//! then the idempotency key, then everything that has a meaning.

pub mod body;
pub mod headers;
mod metrics;
pub mod observe;
pub(crate) mod paging;
pub mod problem;
pub mod routing;
mod unread;

use std::{sync::Arc, time::Duration};

pub use metrics::Metrics;
pub use problem::{Code, Problem};

use crate::{ambient::Ambient, lifecycle::Tasks, store::Store, telemetry::trace::Traces};

/// What every handler needs besides its slice's service. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    /// Looks API keys up.
    pub store: Store,
    /// Time.
    pub ambient: Ambient,
    /// Where database work runs.
    pub tasks: Tasks,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// Begins the trace of each request, or goes on with its caller's.
    pub traces: Traces,
    /// How long a body may take.
    pub body_timeout: Duration,
}

impl Http {
    /// Runs a use case on the main runtime. A handler's own runtime ends with its worker, and what was begun there, a
    /// database connection included, would end with it.
    ///
    /// # Errors
    /// The use case's own error as a problem; `internal` when it ended without an answer.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        Problem: From<E>,
    {
        self.tasks.run(work).await.map_err(|_lost| Problem::new(Code::INTERNAL))?.map_err(Problem::from)
    }
}
