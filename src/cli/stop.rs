//! How a process is asked to stop: SIGTERM or Ctrl-C.
//!
//! The handlers are in place before anything slow begins. Process 1 of a container has no default ones: a signal that
//! comes before them is lost, and the process is killed when its grace period is over. A command ends at once, whatever it
//! waits for, and so does a service that has not begun to serve: what it wrote is as durable as after a crash. What
//! serves says how long its way to the end may take.

use std::{
    io, process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// How often a process that was asked to stop looks whether it may still take time.
const STEP: Duration = Duration::from_millis(20);

/// Whether the process was asked to stop, and how long it may take to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Stop {
    asked: CancellationToken,
    limit_millis: Arc<AtomicU64>,
}

impl Stop {
    /// Puts the handlers in place. Until [`Stop::within`] says something else, a signal ends the process at once, by the
    /// exit code of a process that the signal killed.
    pub(super) fn listen(runtime: &Handle) -> io::Result<Self> {
        let _entered = runtime.enter();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = Self { asked: CancellationToken::new(), limit_millis: Arc::default() };
        let watched = stop.clone();
        // On a thread of the runtime's: the main one may be held up, by a file that is not read to its end, or by a pipe
        // that nobody empties.
        runtime.spawn(async move {
            let number = tokio::select! {
                _received = terminate.recv() => 15,
                _received = interrupt.recv() => 2,
            };
            watched.asked.cancel();
            let mut waited = Duration::ZERO;
            while waited < watched.limit() {
                tokio::time::sleep(STEP).await;
                waited = waited.saturating_add(STEP);
            }
            process::exit(128 + number);
        });
        Ok(stop)
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_millis.load(Ordering::Relaxed))
    }

    /// From now on the process ends by itself when it is asked to, and takes no longer than this.
    pub(super) fn within(&self, limit: Duration) {
        self.limit_millis.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Resolves when the process is asked to stop.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Ends the process, which was asked to stop, by the exit code of a process that the signal killed.
    pub(super) async fn end<T>(&self) -> T {
        self.within(Duration::ZERO);
        std::future::pending().await
    }

    /// Does `work`; `None` where the process is asked to stop before it is done.
    pub(super) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.asked() => None,
            done = work => Some(done),
        }
    }
}
