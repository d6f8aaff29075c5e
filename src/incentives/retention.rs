//! Retention: what leaves of a reward that is settled and old.
//!
//! Its timeline is deleted, and its row is emptied of what nobody needs any more: the metadata, the trace, the fingerprint of the card.
//! The row itself stays for ever. So a key is never new twice, also to a program of an older schema, which looks for keys in
//! `rewards` alone; and what the books, the lists and a reconciliation join stays where it is. Of the metadata a digest stays, so that
//! a request that comes again is still told from another one.
//!
//! The walk goes through the rewards in the order of their ids, which is that of their making, and the database holds how far it has come
//! ([`book`]). What is not settled when the walk passes it, or was changed of late, is put down and looked at again in each pass. Each
//! batch is a transaction of its own: a crash leaves it whole or undone. One replica walks at a time, by a lease. Between batches it rests
//! for a multiple of what a batch took, so that purchases find the database free.

pub mod book;
mod digest;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use self::book::{ArchiveCandidate, ToLookAt};
pub use self::digest::MetadataDigest;
use super::{courier::Courier, kind::Kind, sql::list::first_id};
use crate::{
    events::timeline,
    failpoint,
    kernel::{Chain, horizon::horizon},
    store::{StoreError, Tx},
};

/// Rewards of one transaction.
const BATCH: usize = 100;
/// Between two batches: at least this, and so many times as long as the last one took.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_TIMES: u32 = 4;
/// For how long a replica may walk without a word.
const LEASE: TimeDelta = TimeDelta::minutes(1);
/// Between two passes, and after one that failed.
const EVERY: TimeDelta = TimeDelta::hours(1);
const AGAIN: TimeDelta = TimeDelta::minutes(1);

/// What a pass came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Rewards that it looked at.
    pub looked: u64,
    /// Rewards that it archived.
    pub archived: u64,
    /// It ended early: another process walks, or this one stops.
    pub interrupted: bool,
}

/// How far the retention has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionStanding {
    /// Rewards that were archived, ever.
    pub archived: i64,
    /// Rewards that the walk has passed and that could not be archived then.
    pub waiting: i64,
    /// When the oldest reward was made that the walk has not come to.
    pub next_at: Option<DateTime<Utc>>,
}

/// Where the pass looks next.
#[derive(Clone, Copy)]
enum ArchiveStage {
    /// At what the walk has put down, behind this one.
    Waiting(Uuid),
    /// Where the walk stands.
    Walk,
}

/// What became of a batch.
enum ArchiveBatch {
    /// Another process holds the lease.
    Busy,
    /// Nothing is left to look at in this stage.
    Empty,
    /// So many were looked at, the last of them this one, and so many archived.
    Done { looked: u64, archived: u64, last: Uuid },
}

/// Archives settled rewards. Cheap to clone.
#[derive(Clone)]
pub struct Retention(Courier);

impl Retention {
    pub(super) const fn new(courier: Courier) -> Self {
        Self(courier)
    }

    /// Archives what has been settled for this long, batch by batch, until nothing is left to look at or the process stops.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the batches before stand.
    pub async fn pass(&self, keep: TimeDelta) -> Result<Passed, StoreError> {
        let courier = &self.0;
        let token = courier.ambient.token()?;
        let (mut passed, mut stage) =
            (Passed { interrupted: true, ..Passed::default() }, ArchiveStage::Waiting(Uuid::nil()));
        while !courier.tasks.stopping().is_cancelled() {
            let began = courier.ambient.monotonic();
            match (self.batch(token, stage, keep).await?, stage) {
                (ArchiveBatch::Busy, _) => return Ok(passed),
                (ArchiveBatch::Empty, ArchiveStage::Waiting(_)) => {
                    stage = ArchiveStage::Walk;
                    continue;
                }
                (ArchiveBatch::Empty, ArchiveStage::Walk) => {
                    passed.interrupted = false;
                    break;
                }
                (ArchiveBatch::Done { looked, archived, last }, at) => {
                    passed.looked = passed.looked.saturating_add(looked);
                    passed.archived = passed.archived.saturating_add(archived);
                    courier.metrics.archived(archived);
                    if let ArchiveStage::Waiting(_) = at {
                        stage = ArchiveStage::Waiting(last);
                    }
                }
            }
            let rest = PAUSE.max(courier.ambient.monotonic().duration_since(began).saturating_mul(PAUSE_TIMES));
            tokio::select! {
                () = courier.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let mut tx = courier.store.begin().await?;
        book::release(&mut tx, token).await?;
        tx.commit(passed).await.map(crate::store::Committed::into_inner)
    }

    /// How far it has come.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn standing(&self) -> Result<RetentionStanding, StoreError> {
        book::standing(&mut self.0.store.snapshot().await?).await
    }

    /// Passes each hour, until the process stops.
    pub(crate) async fn pass_until_stopped(self, keep: TimeDelta, poll: Duration) {
        let courier = &self.0;
        let mut next: Option<(DateTime<Utc>, TimeDelta)> = None;
        while !courier.tasks.stopping().is_cancelled() {
            let now = courier.ambient.now();
            // By the clock that the rows go by; also when that was set back.
            if next.is_none_or(|(at, rest)| now.signed_duration_since(at).abs() >= rest) {
                next = Some((now, self.report(keep).await));
            }
            tokio::select! {
                () = courier.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    /// A pass with its line in the log. Returns how long to rest after it.
    async fn report(&self, keep: TimeDelta) -> TimeDelta {
        match self.pass(keep).await {
            Ok(Passed { archived: 0, interrupted, .. }) => {
                if interrupted {
                    AGAIN
                } else {
                    EVERY
                }
            }
            Ok(Passed { looked, archived, interrupted }) => {
                tracing::info!(
                    retention.looked = looked,
                    retention.archived = archived,
                    retention.interrupted = interrupted,
                    "settled rewards were archived"
                );
                if interrupted { AGAIN } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "settled rewards could not be archived; tried again");
                AGAIN
            }
        }
    }

    /// One transaction: archives of a batch what is settled, and puts down what the walk passes without archiving it.
    async fn batch(&self, token: Uuid, stage: ArchiveStage, keep: TimeDelta) -> Result<ArchiveBatch, StoreError> {
        let courier = &self.0;
        let now = courier.ambient.now();
        let settled_by = now.checked_sub_signed(keep).unwrap_or(DateTime::UNIX_EPOCH);
        let mut tx = courier.store.begin_as("reward.archive").await?;
        let until = now.checked_add_signed(LEASE).unwrap_or(now);
        // The update locks the book's row, so that no two processes look at the same rewards.
        if !book::take(&mut tx, token, until, now, horizon(now, LEASE)).await? {
            tx.undo().await;
            return Ok(ArchiveBatch::Busy);
        }
        let look = match stage {
            ArchiveStage::Waiting(behind) => ToLookAt::Waiting { behind },
            ArchiveStage::Walk => ToLookAt::Walk { before: first_id(settled_by) },
        };
        let found = book::find(&mut tx, look, settled_by, BATCH).await?;
        let Some(last) = found.last().map(|one| one.id) else {
            tx.commit(()).await?;
            return Ok(ArchiveBatch::Empty);
        };
        let looked = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let archived = archive(&mut tx, &found, settled_by, now).await?;
        match stage {
            ArchiveStage::Waiting(_) => book::pass_on(&mut tx, &archived).await?,
            ArchiveStage::Walk => {
                let left = found.iter().filter(|one| !one.archived).map(|one| one.id);
                let left: Vec<Uuid> = left.filter(|id| !archived.contains(id)).collect();
                book::put_down(&mut tx, &left).await?;
            }
        }
        let through = match stage {
            ArchiveStage::Waiting(_) => None,
            ArchiveStage::Walk => Some(last),
        };
        let count = archived.len();
        book::advance(&mut tx, token, through, i64::try_from(count).unwrap_or(0)).await?;
        failpoint::pass("retention", "before_commit");
        tx.commit(()).await?;
        failpoint::pass("retention", "after_commit");
        Ok(ArchiveBatch::Done { looked, archived: u64::try_from(count).unwrap_or(u64::MAX), last })
    }
}

/// Archives those of a batch that are settled, in this order: the trigger of the facts lets those of an archived reward go alone.
async fn archive(
    tx: &mut Tx,
    found: &[ArchiveCandidate],
    settled_by: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    // A kind that only a later version knows is left to it.
    let ripe: Vec<&ArchiveCandidate> =
        found.iter().filter(|one| one.settled && Kind::of_row(&one.kind).is_some()).collect();
    if ripe.is_empty() {
        return Ok(Vec::new());
    }
    let archived = book::archive(tx, &ripe, settled_by, now).await?;
    failpoint::pass("retention", "emptied");
    timeline::forget(tx, &archived).await?;
    failpoint::pass("retention", "forgotten");
    Ok(archived)
}
