//! The runner: it takes items up and hands them to the one use case that buys.
//!
//! Each replica runs one, and skips items that another replica is taking. An item is taken up for a time: after a crash it is taken up again, and what
//! was bought by then is found by its idempotency key. So an item may be handed over twice, and is bought once.
//!
//! What cannot be bought now goes back, and where that holds for the others of its batch, too, the batch waits: for funds, for the next day of a
//! ceiling or a budget, for an operator. An item is refused only where its own request could never succeed.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    metrics::ItemTurn,
    model::{BatchItem, BatchState, ItemRefusal, RewardBatch, item_key},
    service::Batches,
    sql::{self, ClaimOrder},
};
use crate::{
    accounts::Purpose,
    engine::Stage,
    failpoint,
    http::{Code, Problem, Retry},
    identity::{keys, problems::UNAUTHORIZED},
    incentives::{
        Command, Reward,
        create_members::AskedMembers,
        dto::refusal,
        issue_error::IssueError,
        kind::{Aim, Kind},
        model::OnUnresolved,
    },
    kernel::{ApiKeyId, BatchId, Chain, ClientId, RewardId, held::HeldOne},
    store::StoreError,
};

/// Between two looks at the database.
const POLL: Duration = Duration::from_millis(500);
/// What ends within this time is followed by one look.
const GATHER: Duration = Duration::from_millis(100);
/// So many of a client's items are under way at an account: what it may send within this time, within these. Amazon seldom takes longer.
const AHEAD: Duration = Duration::from_secs(2);
const AHEAD_MIN: usize = 4;
const AHEAD_MAX: usize = 64;
/// The rest of an item that found no room; the first pause of a batch that is held up, doubled each time; the longest pause.
const ITEM_REST: TimeDelta = TimeDelta::seconds(1);
const PAUSE_MIN: TimeDelta = TimeDelta::seconds(1);
const PAUSE_MAX: TimeDelta = TimeDelta::seconds(60);
/// Batches that are looked at in a row.
const LOOKED_AT: i64 = 100;
/// Of so many tries of a batch that is held up, one takes an item that was never tried: what holds it up may be the item.
const FRESH_TRY_OF: i64 = 4;
/// How exactly it is known when a batch last came on.
const MOVED_EVERY: TimeDelta = TimeDelta::seconds(5);

/// What becomes of an item that was taken up.
enum Turn {
    /// There is this reward.
    Done(RewardId),
    /// It cannot be bought.
    Refused(ItemRefusal),
    /// It waits again; so does its batch, where it is held up.
    PutBack { reward: Option<RewardId>, held_up: Option<HeldUp> },
    /// Its batch was canceled, and there is no reward.
    Canceled,
}

/// What a batch waits for, and how long at least.
struct HeldUp {
    code: &'static str,
    pause: Option<Duration>,
}

impl Batches {
    /// Buys until the process stops. What is under way then is waited for with the other tasks.
    pub(crate) async fn run_until_stopped(self) {
        let mut rounds = super::finish::FinishRounds::default();
        let mut served = None;
        while !self.tasks.stopping().is_cancelled() {
            if let Err(error) = self.begin_due(&mut served).await {
                tracing::warn!(error = %Chain(&error), "items of batches could not be taken up; tried again");
            }
            if let Err(error) = self.finish_due(&mut rounds).await {
                tracing::warn!(error = %Chain(&error), "batches could not be ended; tried again");
            }
            tokio::select! {
                () = self.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.wake.notified() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// Takes items up, as far as there is room. The batch that was served last comes last.
    async fn begin_due(&self, served: &mut Option<BatchId>) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let behind = served.map_or(Uuid::nil(), |id| id.uuid());
        for batch in sql::ready(&mut self.store.snapshot().await?, now, behind, LOOKED_AT).await? {
            // One that is held up asks with a single item whether it still is.
            let room = if batch.setbacks > 0 { self.room(&batch).min(1) } else { self.room(&batch) };
            let id = batch.id;
            if self.tasks.stopping().is_cancelled() {
                break;
            }
            // An account that this replica's settings do not name yet, or no more, is another's.
            if room == 0 || self.rewards.accounts().get(&batch.account).is_none() {
                continue;
            }
            if batch.state == BatchState::Running && !self.is_good(batch.asked_by, now).await? {
                // Whoever revokes a key wants no more of what it asked for.
                self.hold_up(&batch, &HeldUp { code: UNAUTHORIZED.as_str(), pause: Some(Duration::from_secs(60)) })
                    .await?;
                continue;
            }
            *served = Some(id);
            if let Err(error) = self.begin_some(batch, room).await {
                tracing::warn!(batches.batch = %id, error = %Chain(&error), "items of a batch could not be taken up; tried again");
            }
        }
        Ok(())
    }

    async fn is_good(&self, key: ApiKeyId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        Ok(keys::find(&self.store, key).await?.is_some_and(|key| key.is_active(now)))
    }

    /// How many more items of this batch may be under way. Few at a time are not worth a transaction.
    fn room(&self, batch: &RewardBatch) -> usize {
        let counts = self.under_way.counts();
        let all: usize = counts.values().sum();
        let own = counts.get(&(batch.client, batch.account.clone())).copied().unwrap_or(0);
        let most = self.most_of(&batch.account);
        let room = most.saturating_sub(own).min(self.under_way_max.saturating_sub(all));
        if room < most.div_ceil(4).min(self.under_way_max) && own > 0 { 0 } else { room }
    }

    fn most_of(&self, account: &str) -> usize {
        let slots = self.rewards.accounts().get(account).and_then(|account| account.rate().slots_in(AHEAD));
        slots.unwrap_or(AHEAD_MAX).clamp(AHEAD_MIN, AHEAD_MAX).min(self.under_way_max)
    }

    async fn begin_some(&self, batch: RewardBatch, room: usize) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let until = now.checked_add_signed(self.lease).unwrap_or(now);
        let mut tx = self.store.begin_as("batches.claim").await?;
        let refused_first = batch.setbacks > 0 && batch.setbacks.checked_rem(FRESH_TRY_OF) != Some(0);
        let order = if refused_first { ClaimOrder::RefusedFirst } else { ClaimOrder::Any };
        let taken = sql::claim(&mut tx, batch.id, now, room, order, until).await?;
        tx.commit(()).await?;
        failpoint::pass("batches", "claimed");
        let batch = Arc::new(batch);
        for item in taken {
            let Some(held) = self.under_way.take_if((batch.client, batch.account.clone()), |_counts| true) else {
                break;
            };
            let (this, batch) = (self.clone(), Arc::clone(&batch));
            drop(self.tasks.spawn(async move { this.carry(&batch, &item, held).await }));
        }
        Ok(())
    }

    async fn carry(&self, batch: &RewardBatch, item: &BatchItem, held: HeldOne<(ClientId, String)>) {
        let turned = async {
            let turn = if batch.state == BatchState::Canceled {
                self.look_for(batch, item).await?
            } else {
                self.buy(batch, item).await
            };
            failpoint::pass("batches", "bought");
            self.write(batch, item, turn).await
        };
        if let Err(error) = turned.await {
            tracing::warn!(
                batches.batch = %batch.id, batches.position = item.position, error = %Chain(&error),
                "what became of an item of a batch could not be written; it is taken up again"
            );
        }
        drop(held);
        self.wake.notify_one();
    }

    /// What became of an item whose batch was canceled while it was under way.
    async fn look_for(&self, batch: &RewardBatch, item: &BatchItem) -> Result<Turn, StoreError> {
        let Ok(key) = item_key(&item.external_id) else { return Ok(Turn::Canceled) };
        let found = self.rewards.issue.known(batch.client, &key).await?;
        let own = found.filter(|reward| reward.external_id.as_deref() == Some(item.external_id.as_str()));
        Ok(own.map_or(Turn::Canceled, |reward| Turn::Done(reward.id)))
    }

    async fn buy(&self, batch: &RewardBatch, item: &BatchItem) -> Turn {
        let Some(command) = command_of(batch, item) else {
            // Only a later version can have written it.
            return Turn::PutBack {
                reward: item.reward,
                held_up: Some(HeldUp { code: Code::INTERNAL.as_str(), pause: None }),
            };
        };
        let arrived = self.ambient.monotonic();
        match self.rewards.issue.run_unawaited(batch.client, command, arrived).await {
            Ok(reward) if reward.order.stage == (Stage::Refused { retryable: true }) => self.refused_for_now(&reward),
            Ok(reward) => Turn::Done(reward.id),
            Err(IssueError::NotYet { reward, retry_after }) => {
                let code = refusal(&reward, retry_after).code().as_str();
                Turn::PutBack { reward: Some(reward.id), held_up: Some(HeldUp { code, pause: Some(retry_after) }) }
            }
            Err(IssueError::Lapsed { reward, .. }) => Turn::Done(reward.id),
            Err(
                error @ (IssueError::UnknownAccount
                | IssueError::KindNotSold { .. }
                | IssueError::Currency(_)
                | IssueError::AmountOutOfRange { .. }),
            ) => {
                // It was good when it arrived: the settings of this replica are others.
                let code = Problem::from(error).code().as_str();
                Turn::PutBack { reward: item.reward, held_up: Some(HeldUp { code, pause: None }) }
            }
            Err(error) => self.refused_by_us(item, Problem::from(error)),
        }
    }

    /// Amazon refused it, and the cause can be cured.
    fn refused_for_now(&self, reward: &Reward) -> Turn {
        let pace = self.rewards.courier().pace();
        let code = refusal(reward, pace).code().as_str();
        Turn::PutBack { reward: Some(reward.id), held_up: Some(HeldUp { code, pause: Some(pace) }) }
    }

    fn refused_by_us(&self, item: &BatchItem, problem: Problem) -> Turn {
        let code = problem.code();
        // Others were before it, or the database is busy: that holds up no other item.
        let passing = [Code::UPSTREAM_BUSY, Code::QUOTA_EXCEEDED].contains(&code);
        match (problem.retry(), item.reward) {
            (Retry::Now | Retry::Later | Retry::AfterFunding | Retry::AfterOperator, reward) => {
                let held_up = HeldUp { code: code.as_str(), pause: problem.pause(self.ambient.now()) };
                Turn::PutBack { reward, held_up: (!passing).then_some(held_up) }
            }
            (Retry::Never, Some(reward)) => Turn::Done(reward),
            (Retry::Never, None) => {
                let pointer = problem.errors().first().map(|error| error.pointer.clone());
                Turn::Refused(ItemRefusal {
                    code: code.as_str().to_owned(),
                    pointer: pointer.filter(|text| !text.is_empty()),
                })
            }
        }
    }

    async fn write(&self, batch: &RewardBatch, item: &BatchItem, turn: Turn) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("batches.settle").await?;
        let mut moved = true;
        let counted = match turn {
            Turn::Done(reward) => {
                sql::done(&mut tx, batch.id, item, reward).await?;
                ItemTurn::Done
            }
            Turn::Refused(why) => {
                sql::refuse(&mut tx, batch.id, item, &why).await?;
                ItemTurn::Refused
            }
            Turn::Canceled => {
                sql::cancel_one(&mut tx, batch.id, item).await?;
                ItemTurn::Canceled
            }
            Turn::PutBack { reward, held_up } => {
                moved = false;
                let rest = if held_up.is_some() { TimeDelta::zero() } else { ITEM_REST };
                sql::put_back(&mut tx, batch.id, item, after(now, rest), reward).await?;
                if let Some(held_up) = held_up {
                    sql::hold_up(&mut tx, batch.id, held_up.code, pause_until(batch, &held_up, now), now).await?;
                }
                ItemTurn::PutBack
            }
        };
        if moved {
            sql::moved(&mut tx, batch.id, now, after(now, -MOVED_EVERY)).await?;
        }
        tx.commit(()).await?;
        failpoint::pass("batches", "settled");
        self.metrics.turned(counted);
        Ok(())
    }

    async fn hold_up(&self, batch: &RewardBatch, why: &HeldUp) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("batches.hold_up").await?;
        sql::hold_up(&mut tx, batch.id, why.code, pause_until(batch, why, now), now).await?;
        tx.commit(()).await?;
        Ok(())
    }
}

/// A batch that is held up again and again asks seldom, and yet at least once in [`PAUSE_MAX`]: what holds it up may be cured sooner than was said.
fn pause_until(batch: &RewardBatch, why: &HeldUp, now: DateTime<Utc>) -> DateTime<Utc> {
    let doublings = u32::try_from(batch.setbacks).unwrap_or(u32::MAX).min(6);
    let doubled = PAUSE_MIN.checked_mul(1_i32.checked_shl(doublings).unwrap_or(1)).unwrap_or(PAUSE_MAX);
    let asked = why.pause.and_then(|pause| TimeDelta::from_std(pause).ok()).unwrap_or(PAUSE_MIN);
    after(now, doubled.max(asked).min(PAUSE_MAX))
}

/// What an item asks for.
fn command_of(batch: &RewardBatch, item: &BatchItem) -> Option<Command> {
    let metadata = match &item.metadata {
        Some(json) => Some(serde_json::from_str(json).ok()?),
        None => None,
    };
    Some(Command {
        key: item_key(&item.external_id).ok()?,
        account: Some(batch.account.clone()),
        kind: Kind::from_word(&item.kind)?,
        value: item.value,
        program: batch.program.clone(),
        asked_by: batch.asked_by,
        external_id: Some(item.external_id.clone()),
        metadata,
        on_unresolved: OnUnresolved::Keep,
        aim: Aim::Nothing,
        asked: AskedMembers::default(),
        purpose: Purpose::Batch,
    })
}

/// An instant so much later.
fn after(now: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(pause).unwrap_or(now)
}
