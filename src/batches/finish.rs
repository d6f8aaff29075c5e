//! The end of a batch: nothing of it is left to do. And what is old, removed.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    model::{ItemOutcome, RewardBatch},
    service::Batches,
    sql::{self, OutcomeCounts, ends},
};
use crate::{
    events::{Named, outbox},
    failpoint,
    store::StoreError,
};

/// Each item was refused, or its reward has come to its end.
const FINISHED: &str = "batch.finished";
/// How often batches are looked at that have nothing left to begin, and how many of them each time: their rewards may be in doubt for a day.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(1);
const LOOKED_AT: i64 = 10;
/// For how long the items of a batch are kept after its end. The rewards stay.
const KEPT_FOR: TimeDelta = TimeDelta::days(90);
const SWEEP_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Batches whose items are removed in a row.
const SWEPT_AT_ONCE: usize = 50;

/// When the runner last looked, and behind which batch it goes on.
#[derive(Default)]
pub(super) struct FinishRounds {
    looked: Option<DateTime<Utc>>,
    behind: Option<Uuid>,
    swept: Option<DateTime<Utc>>,
}

impl Batches {
    /// Ends batches of which nothing is left to do, and removes the items of old ones.
    pub(super) async fn finish_due(&self, rounds: &mut FinishRounds) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let is_due =
            |last: Option<DateTime<Utc>>, every| last.is_none_or(|at| now.signed_duration_since(at).abs() >= every);
        if is_due(rounds.looked, LOOK_EVERY) {
            rounds.looked = Some(now);
            let behind = rounds.behind.unwrap_or(Uuid::nil());
            let (exhausted, last) = ends::exhausted(&mut self.store.snapshot().await?, behind, LOOKED_AT).await?;
            rounds.behind = last;
            for batch in exhausted {
                self.finish(&batch).await?;
            }
        }
        if is_due(rounds.swept, SWEEP_EVERY) {
            rounds.swept = Some(now);
            self.sweep(now).await?;
        }
        Ok(())
    }

    async fn finish(&self, batch: &RewardBatch) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("batches.finish").await?;
        if ends::take_up_again(&mut tx, batch.id, now).await? {
            tx.commit(()).await?;
            self.wake.notify_one();
            return Ok(());
        }
        if !ends::finish(&mut tx, batch.id, now).await? {
            tx.undo().await;
            return Ok(());
        }
        let ended = sql::find(&mut tx, batch.id).await?;
        let counts = sql::counts(&mut tx, batch.id).await?;
        let state = ended.map_or(batch.state, |ended| ended.state);
        let data = json!({
            "batch_id": batch.id.to_string(), "name": batch.name, "state": state.as_str(), "account_id": batch.account,
            "counts": counts_json(&counts),
        });
        outbox::write(&mut tx, FINISHED, Named::Client(&batch.client.to_string()), Some(&data), now).await?;
        failpoint::pass("batches", "in_finish");
        tx.commit(()).await?;
        tracing::info!(batches.batch = %batch.id, batches.state = state.as_str(), batches.items = batch.items, "a batch has ended");
        Ok(())
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let before = now.checked_sub_signed(KEPT_FOR).unwrap_or(DateTime::UNIX_EPOCH);
        for _ in 0..SWEPT_AT_ONCE {
            let Some(aged) = ends::aged(&mut self.store.snapshot().await?, before).await? else { break };
            let mut tx = self.store.begin_as("batches.sweep").await?;
            ends::empty(&mut tx, aged.id, now).await?;
            tx.commit(()).await?;
        }
        Ok(())
    }
}

/// The counts by their words, each of them.
pub(super) fn counts_json(counts: &OutcomeCounts) -> Value {
    let count =
        |outcome: &ItemOutcome| counts.iter().find(|(of, _count)| of == outcome).map_or(0, |(_of, count)| *count);
    Value::Object(ItemOutcome::ALL.iter().map(|outcome| (outcome.as_str().to_owned(), json!(count(outcome)))).collect())
}
