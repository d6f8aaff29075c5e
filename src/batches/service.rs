//! The use cases of batches: send, read, pause, resume, cancel.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    metrics::Metrics,
    model::{BatchItem, BatchItemState, BatchState, ItemOutcome, RewardBatch},
    sql::{self, OutcomeCounts},
};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, AuditActor, Deed, Scribe},
    identity::Caller,
    incentives::{Command, Rewards, issue_error::IssueError},
    kernel::{
        ApiKeyId, BatchId, ClientId, IdempotencyKey, Intent, ProgramId,
        held::{HeldCounts, HeldOne},
    },
    lifecycle::Tasks,
    store::{Committed, Store, StoreError, Tx},
};

/// Batches of one client that have not ended.
const OPEN_MAX: i64 = 200;

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Batches {
    pub(super) store: Store,
    pub(super) ambient: Ambient,
    pub(super) tasks: Tasks,
    pub(super) rewards: Rewards,
    pub(super) metrics: Arc<Metrics>,
    pub(super) scribe: Scribe,
    /// For how long an item is taken up: longer than its reward is carried for.
    pub(super) lease: TimeDelta,
    /// Items that this replica has under way at most.
    pub(super) under_way_max: usize,
    pub(super) under_way: HeldCounts<(ClientId, String)>,
    /// Wakes the runner.
    pub(super) wake: Arc<Notify>,
    /// Bodies that are in memory at once, by whose they are.
    uploads: HeldCounts<ClientId>,
}

/// Why a batch was not taken or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    /// There is no such batch, or it is another's.
    #[error("there is no such batch")]
    NotFound,
    /// The key was used for another batch.
    #[error("the idempotency key was used for another batch")]
    Mismatch,
    /// The client has as many open batches as it may have.
    #[error("the client has {OPEN_MAX} open batches, the most that it may have")]
    TooMany,
    /// What is asked cannot be done now.
    #[error("the batch is {}", .0.as_str())]
    InvalidState(BatchState),
    /// Items that cannot be bought, by their places.
    #[error("items cannot be bought")]
    Items(Vec<(usize, ItemFault)>),
    /// None of them can be bought.
    #[error(transparent)]
    Refused(IssueError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with an item.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ItemFault {
    /// It cannot be bought by itself.
    #[error(transparent)]
    Refused(IssueError),
    /// Another account would pay than for the first.
    #[error("another account would pay")]
    OtherAccount,
}

/// A batch as it arrives.
pub(super) struct NewBatch {
    pub(super) key: IdempotencyKey,
    pub(super) name: Option<String>,
    pub(super) program: Option<ProgramId>,
    /// In their order; each has an external id.
    pub(super) commands: Vec<Command>,
    /// Of all that was sent.
    pub(super) digest: [u8; 32],
}

/// A batch, and what became of its items; `None` once they were removed.
pub(crate) struct CountedBatch {
    pub(crate) batch: RewardBatch,
    pub(crate) counts: Option<OutcomeCounts>,
}

/// What a caller asks of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchWish {
    Pause,
    Resume,
    Cancel,
}

impl BatchWish {
    const fn action(self) -> AuditAction {
        match self {
            Self::Pause => AuditAction::BatchPaused,
            Self::Resume => AuditAction::BatchResumed,
            Self::Cancel => AuditAction::BatchCanceled,
        }
    }
}

/// Who asks for a change.
pub(crate) struct BatchAsker {
    pub(crate) caller: Caller,
    /// By which the batch goes on.
    pub(crate) key: ApiKeyId,
    /// In whose name it is recorded.
    pub(crate) actor: AuditActor,
}

/// What makes the service.
pub(crate) struct BatchDependencies {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) tasks: Tasks,
    pub(crate) rewards: Rewards,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) scribe: Scribe,
    /// As for rewards.
    pub(crate) lease: std::time::Duration,
    pub(crate) in_flight_max: usize,
}

/// Bodies of batches that one replica reads at once.
const UPLOADS_MAX: usize = 4;
/// Those of one client.
const UPLOADS_OF_CLIENT_MAX: usize = 2;

impl Batches {
    /// The use cases. A quarter of what may be in flight is open to batches.
    pub(crate) fn new(parts: BatchDependencies) -> Self {
        let BatchDependencies { store, ambient, tasks, rewards, metrics, scribe, lease, in_flight_max } = parts;
        Self {
            store,
            ambient,
            tasks,
            rewards,
            metrics,
            scribe,
            lease: TimeDelta::from_std(lease.saturating_mul(2)).unwrap_or(TimeDelta::MAX),
            under_way_max: (in_flight_max / 4).max(1),
            under_way: HeldCounts::default(),
            wake: Arc::default(),
            uploads: HeldCounts::default(),
        }
    }

    /// A place to read a body of this client's. No client has all places: who sends slowly holds up its own batches alone.
    pub(super) fn upload_place(&self, client: ClientId) -> Option<HeldOne<ClientId>> {
        let is_free = |counts: &HashMap<ClientId, usize>| {
            let own = counts.get(&client).copied().unwrap_or_default();
            own < UPLOADS_OF_CLIENT_MAX && counts.values().sum::<usize>() < UPLOADS_MAX
        };
        self.uploads.take_if(client, is_free)
    }

    /// Takes a batch, or answers with the one that this key named before. All of it is written, or nothing.
    pub(super) async fn take(
        &self,
        caller: &Caller,
        asked_by: ApiKeyId,
        new: NewBatch,
    ) -> Result<(CountedBatch, bool), BatchError> {
        let intent = Intent::derive(caller.client, &new.key);
        if let Some(known) = self.known(caller, &intent, &new.digest).await? {
            return Ok((known, true));
        }
        let account = self.check(caller.client, &new.commands).await?;
        let now = self.ambient.now();
        let items: Vec<BatchItem> =
            (0..).zip(&new.commands).map(|(position, command)| item_of(position, command)).collect();
        let batch = RewardBatch {
            id: BatchId::new(self.ambient.row_id(now).map_err(StoreError::from)?),
            client: caller.client,
            asked_by,
            program: new.program,
            account,
            name: new.name,
            intent,
            digest: new.digest,
            items: i64::try_from(items.len()).unwrap_or(i64::MAX),
            state: BatchState::Running,
            waiting_for: None,
            resume_at: None,
            setbacks: 0,
            moved_at: now,
            created_at: now,
            ended_at: None,
            emptied_at: None,
        };
        let mut tx = self.store.begin_as("batches.take").await?;
        let open = sql::open_of_client(&mut tx, caller.client).await?;
        let room = if open < OPEN_MAX { Ok(()) } else { Err(BatchError::TooMany) };
        tx = tx.or_undo(room).await?;
        if !sql::insert(&mut tx, &batch, &items).await? {
            tx.undo().await;
            return self
                .known(caller, &intent, &new.digest)
                .await?
                .map(|known| (known, true))
                .ok_or(BatchError::Mismatch);
        }
        tx.commit(()).await?;
        self.wake.notify_one();
        Ok((self.counted(batch).await?, false))
    }

    async fn known(
        &self,
        caller: &Caller,
        intent: &Intent,
        digest: &[u8; 32],
    ) -> Result<Option<CountedBatch>, BatchError> {
        let Some(known) = sql::find_intent(&mut self.store.snapshot().await?, intent).await? else { return Ok(None) };
        if known.digest != *digest || !known.is_of(caller) {
            return Err(BatchError::Mismatch);
        }
        Ok(Some(self.counted(known).await?))
    }

    /// The account that pays for all of these.
    async fn check(&self, client: ClientId, commands: &[Command]) -> Result<String, BatchError> {
        let checked = self.rewards.issue.check_batch(commands, client).await.map_err(BatchError::Refused)?;
        let payer = checked.iter().flatten().next().map(|account| account.id().to_owned());
        let faults = checked.into_iter().enumerate().filter_map(|(at, checked)| match checked {
            Err(error) => Some((at, ItemFault::Refused(error))),
            Ok(account) if Some(account.id()) != payer.as_deref() => Some((at, ItemFault::OtherAccount)),
            Ok(_same) => None,
        });
        let faults: Vec<_> = faults.collect();
        match payer {
            Some(payer) if faults.is_empty() => Ok(payer),
            Some(_) | None => Err(BatchError::Items(faults)),
        }
    }

    async fn counted(&self, batch: RewardBatch) -> Result<CountedBatch, BatchError> {
        let counts = match batch.emptied_at {
            None => Some(sql::counts(&mut self.store.question().await?, batch.id).await?),
            Some(_) => None,
        };
        Ok(CountedBatch { batch, counts })
    }

    /// The batch, if the caller may see it.
    pub(crate) async fn find(&self, caller: &Caller, id: BatchId) -> Result<CountedBatch, BatchError> {
        let found = sql::find(&mut self.store.question().await?, id).await?;
        self.counted(found.filter(|batch| batch.is_seen_by(caller)).ok_or(BatchError::NotFound)?).await
    }

    /// A page of the caller's batches before this one, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        name: Option<String>,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<RewardBatch>, BatchError> {
        // Whoever sees everybody's finds those of a name among their own.
        let whose = (!caller.sees_every_reward() || name.is_some()).then_some(caller.client);
        let mut snapshot = self.store.question().await?;
        Ok(sql::page(&mut snapshot, whose, caller.bound_to(), name.as_deref(), before, limit).await?)
    }

    /// A page of the items of a batch, behind this one; none once they were removed.
    pub(crate) async fn items(
        &self,
        caller: &Caller,
        id: BatchId,
        behind: i64,
        limit: i64,
    ) -> Result<Vec<(BatchItem, ItemOutcome)>, BatchError> {
        let mut snapshot = self.store.question().await?;
        let found = sql::find(&mut snapshot, id).await?;
        found.filter(|batch| batch.is_seen_by(caller)).ok_or(BatchError::NotFound)?;
        Ok(sql::items(&mut snapshot, id, behind, limit).await?)
    }

    /// Does as the caller asks. Asking again for what is so already changes nothing, and is not recorded.
    pub(crate) async fn change(
        &self,
        by: BatchAsker,
        id: BatchId,
        wish: BatchWish,
    ) -> Result<CountedBatch, BatchError> {
        let BatchAsker { caller, key, actor } = by;
        let (scribe, now) = (self.scribe.of(actor), self.ambient.now());
        let mut tx = self.store.begin_as("batches.change").await?;
        scribe.wait_turn(&mut tx).await?;
        let found = sql::find(&mut tx, id).await?.filter(|batch| batch.is_of(&caller));
        let mut tx = tx.or_undo(found.as_ref().map(|_found| ()).ok_or(BatchError::NotFound)).await?;
        let changed = apply(&mut tx, id, wish, key, now).await?;
        let after = sql::find(&mut tx, id).await?.ok_or(BatchError::NotFound)?;
        let is_so = match wish {
            BatchWish::Pause => after.state == BatchState::Paused,
            BatchWish::Resume => changed,
            BatchWish::Cancel => after.state == BatchState::Canceled,
        };
        let allowed = if is_so { Ok(()) } else { Err(BatchError::InvalidState(after.state)) };
        let mut tx = tx.or_undo(allowed).await?;
        if changed {
            let (action, subject) = (wish.action(), id.to_string());
            let deed = Deed { action, subject: &subject, details: json!({}) };
            match wish {
                BatchWish::Resume => scribe.write(&mut tx, deed, now).await?,
                // A campaign is stopped whether or not that can be recorded.
                BatchWish::Pause | BatchWish::Cancel => {
                    let _recorded = scribe.write_or_log(&mut tx, deed, now).await?;
                }
            }
        }
        tx.commit(()).await?;
        self.wake.notify_one();
        self.counted(after).await
    }

    /// On SQLite one process serves the file, so whatever is taken up at its start was taken up by a process that is dead.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn abandon(&self) -> Result<u64, StoreError> {
        let mut tx = self.store.begin().await?;
        let items = sql::abandon(&mut tx, self.ambient.now()).await?;
        tx.commit(items).await.map(Committed::into_inner)
    }

    /// Sets the gauges from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let figures = sql::figures(&mut self.store.snapshot().await?).await?;
        self.metrics.show(&figures, self.ambient.now());
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.metrics.retract();
    }
}

async fn apply(
    tx: &mut Tx,
    id: BatchId,
    wish: BatchWish,
    by: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    match wish {
        BatchWish::Pause => sql::pause(tx, id, now).await,
        BatchWish::Resume => sql::resume(tx, id, by, now).await,
        BatchWish::Cancel => sql::cancel(tx, id, now).await,
    }
}

fn item_of(position: i64, command: &Command) -> BatchItem {
    BatchItem {
        position,
        external_id: command.external_id.clone().unwrap_or_default(),
        kind: command.kind.as_str().to_owned(),
        value: command.value,
        metadata: command.metadata_json(),
        state: BatchItemState::Waiting,
        reward: None,
        refused: None,
        claims: 0,
    }
}
