//! Tasks that outlive their caller, and the order in which a process stops.
//!
//! actix runs handlers on single-threaded runtimes of its own. It drops a handler whose client resets the connection, and
//! when it stops, it kills what was spawned there. So money work is spawned here, on the main runtime, and a stop waits
//! for it.

pub(crate) mod workplaces;

use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::trace;

/// Work ended without an answer: it panicked, or the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work ended without an answer")]
pub struct Lost;

/// Spawns and counts the tasks that a stop must wait for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Tasks on the given runtime: the main one, captured before any server starts.
    #[must_use]
    pub fn on(runtime: Handle) -> Self {
        Self { runtime, tracker: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Runs `work` to its end, whether or not anything waits for it, as a part of the current trace.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(trace::carry(work), &self.runtime)
    }

    /// Runs `service` for as long as the process runs. A stop does not wait for it.
    pub fn attend<F>(&self, service: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(service)
    }

    /// Runs `work` to its end and waits for it. The work goes on when the future that waits is dropped.
    ///
    /// # Errors
    /// [`Lost`] when the work panicked or its runtime has gone.
    pub async fn run<F>(&self, work: F) -> Result<F::Output, Lost>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(workplaces::carry(work)).await.map_err(|_panicked| Lost)
    }

    /// Becomes cancelled when the process begins to drain: readiness turns false, loops take no new work.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Begins the drain.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until every task has ended, at most `limit`. Returns whether all did. What is left is durable, and the next
    /// start takes it up.
    pub async fn wait(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ambient::Ambient, telemetry::trace::Traces};

    #[tokio::test]
    async fn spawned_work_is_a_part_of_the_trace_that_spawned_it() {
        let tasks = Tasks::on(Handle::current());
        let span = Traces::silent(Ambient::movable(1)).request();
        let spawned = span.scope(async { tasks.spawn(async { trace::current() }).await.unwrap() }).await;
        assert_eq!(spawned, span.context());
        assert_eq!(tasks.run(async { trace::current() }).await, Ok(None), "nor is anything else");
    }

    #[tokio::test]
    async fn a_stop_waits_for_work_whose_caller_has_gone() {
        let tasks = Tasks::on(Handle::current());
        let (done, finished) = tokio::sync::oneshot::channel();
        drop(tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            done.send(()).unwrap();
        }));
        tasks.begin_stop();
        assert!(tasks.wait(Duration::from_secs(5)).await);
        assert!(finished.await.is_ok());
        assert_eq!(tasks.running(), 0);
    }
}
