//! Transactions of several callers that share one turn of the writer.
//!
//! A transaction whose statements are known beforehand waits while others are written, and what has come together meanwhile is written
//! in one turn: one BEGIN, one statement for each ([`joined`](super::joined)), one durable COMMIT. Nobody waits for a timer: a caller
//! who comes alone is written at once. What is not met, or refused by a constraint, leaves out that transaction and no other.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{oneshot, watch};

use super::{
    Fate, GROUP_MAX, QueuePlace, SqliteStore, Writer,
    joined::{JoinedParts, is_open},
};
use crate::{kernel::Chain, store::StoreError};

/// The transactions that wait for a turn.
#[derive(Debug, Default)]
pub(super) struct WriterQueue(Mutex<TurnQueue>);

#[derive(Default)]
struct TurnQueue {
    waiting: Vec<WaitingParts>,
    /// Somebody writes, and takes whatever waits next.
    carried: bool,
}

impl std::fmt::Debug for TurnQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnQueue").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

struct WaitingParts {
    parts: JoinedParts,
    /// Among all who wait for the writer.
    place: QueuePlace,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// A transaction that is written, and waits for the COMMIT of its group.
struct WrittenParts {
    fate: watch::Receiver<Fate>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl WriterQueue {
    fn lock(&self) -> MutexGuard<'_, TurnQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is written next; `None` where nothing waits, and then nobody writes.
    fn take(&self) -> Option<Vec<WaitingParts>> {
        let mut queue = self.lock();
        // Whoever waits no more has given up, as who drops a transaction.
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        if queue.waiting.is_empty() {
            queue.carried = false;
            return None;
        }
        let most = queue.waiting.len().min(GROUP_MAX);
        Some(queue.waiting.drain(..most).collect())
    }
}

impl SqliteStore {
    /// A place among those who wait for the writer.
    pub(in crate::store) fn queue(&self) -> Result<QueuePlace, StoreError> {
        QueuePlace::take(&self.waiting)
    }

    /// Writes a transaction, with those of other callers where some wait. It is durable once this is answered.
    pub(in crate::store) async fn write_together(
        &self,
        parts: JoinedParts,
        place: QueuePlace,
    ) -> Result<(), StoreError> {
        if parts.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let goes = {
            let mut queue = self.together.lock();
            queue.waiting.push(WaitingParts { parts, place, answer });
            !mem::replace(&mut queue.carried, true)
        };
        if goes {
            // A task of its own: whoever leads may be dropped, and those who follow are not. The turn is given back also by a task that never ran.
            let turn = WriterTurn(Some(self.clone()));
            drop(self.runtime.spawn(turn.carry()));
        }
        answered.await.unwrap_or(Err(StoreError::Unconfirmed))
    }

    async fn write_all(&self, waiting: Vec<WaitingParts>) {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let mut written = Vec::with_capacity(waiting.len());
        for WaitingParts { parts, place, answer } in waiting {
            drop(place);
            if answer.is_closed() {
                continue;
            }
            match writer.write(&parts).await {
                Ok(fate) => written.push(WrittenParts { fate, answer }),
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        writer.end_turn().await;
        drop(writer);
        for WrittenParts { fate, answer } in written {
            let committed = *fate.borrow() == Fate::Committed;
            // Whoever has given up meanwhile does not hear of it, as nobody hears who drops a commit.
            drop(answer.send(if committed { Ok(()) } else { Err(StoreError::Unconfirmed) }));
        }
    }
}

impl Writer {
    /// Writes one transaction into the open group; what becomes of it is the group's fate. One that fails has done nothing.
    async fn write(&mut self, parts: &JoinedParts) -> Result<watch::Receiver<Fate>, StoreError> {
        self.check_open()?;
        self.place.check()?;
        self.roll_back_torn().await;
        let is_full = self.group.as_ref().is_some_and(|group| group.members >= GROUP_MAX);
        if is_full || !self.views.has(parts) {
            self.end_turn().await;
        }
        if !self.views.has(parts) {
            let made = self.views.make(parts, &mut self.connection).await;
            made.map_err(|error| {
                tracing::error!(error = %Chain(&error), "no view can be made of statements that are joined; they run one by one");
                StoreError::Unmet
            })?;
        }
        self.open_group().await?;
        // Until its end is known. Only the end of the runtime drops this meanwhile.
        self.torn = true;
        let done = self.views.insert(parts, &mut self.connection).await;
        self.torn = false;
        if done.is_err() && !is_open(&mut self.connection).await {
            self.fail_group().await;
        }
        done?;
        let Some(group) = self.group.as_mut() else { return Err(StoreError::Unconfirmed) };
        group.members = group.members.saturating_add(1);
        Ok(group.fate.subscribe())
    }

    /// Commits what was written. A group that nobody is a member of is given up.
    async fn end_turn(&mut self) {
        if self.group.as_ref().is_some_and(|group| group.members == 0) {
            self.fail_group().await;
        }
        self.commit_group().await;
    }
}

/// Who writes for all that wait. It is given back however its carrier ends.
struct WriterTurn(Option<SqliteStore>);

impl WriterTurn {
    async fn carry(mut self) {
        while let Some(store) = &self.0 {
            let Some(waiting) = store.together.take() else {
                self.0 = None;
                return;
            };
            store.write_all(waiting).await;
        }
    }
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        let Some(store) = &self.0 else { return };
        let mut queue = store.together.lock();
        queue.carried = false;
        // Its task broke down: whoever waits is answered that it is not confirmed, and what is open is ended.
        queue.waiting.clear();
        let store = store.clone();
        drop(store.runtime.clone().spawn(async move { store.tidy().await }));
    }
}

#[cfg(test)]
mod tests;
