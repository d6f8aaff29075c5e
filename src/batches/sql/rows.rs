//! Rows of batches, flat.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    batches::model::{BatchItem, BatchItemState, BatchState, ItemOutcome, ItemRefusal, RewardBatch},
    engine::State,
    kernel::{ApiKeyId, BatchId, ClientId, Currency, Intent, Money, RewardId},
    store::{StoreError, row},
};

row! {
    pub(super) struct BatchRow {
        pub(super) id: Uuid, client_id: Uuid, api_key_id: Uuid, program_id: Option<String>, account: String, name: Option<String>, intent: Vec<u8>,
        digest: Vec<u8>, items: i64, state: String, waiting_for: Option<String>, resume_at: Option<DateTime<Utc>>, setbacks: i64,
        moved_at: DateTime<Utc>, created_at: DateTime<Utc>, ended_at: Option<DateTime<Utc>>, emptied_at: Option<DateTime<Utc>>,
    }
}

row! {
    pub(super) struct BatchItemRow {
        place: i64, external_id: String, kind: String, amount_minor: i64, currency: String, metadata: Option<String>, state: String,
        reward_id: Option<Uuid>, refused_code: Option<String>, refused_pointer: Option<String>, claims: i64,
    }
}

row! {
    pub(super) struct OutcomeRow {
        place: i64, external_id: String, kind: String, amount_minor: i64, currency: String, metadata: Option<String>, state: String,
        reward_id: Option<Uuid>, refused_code: Option<String>, refused_pointer: Option<String>, claims: i64, reward_state: Option<String>,
    }
}

row! {
    pub(super) struct OutcomeCountRow { state: String, reward_state: Option<String>, pub(super) count: i64 }
}

row! {
    pub(super) struct OpenCountRow { pub(super) state: String, pub(super) count: i64 }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "batches", column }
}

fn bad_item(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "batch_items", column }
}

impl TryFrom<BatchRow> for RewardBatch {
    type Error = StoreError;

    fn try_from(row: BatchRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: BatchId::new(row.id),
            client: ClientId::new(row.client_id),
            asked_by: ApiKeyId::new(row.api_key_id),
            program: row.program_id.map(|id| id.parse()).transpose().map_err(|_malformed| bad("program_id"))?,
            account: row.account,
            name: row.name,
            intent: Intent::from_stored(row.intent.try_into().map_err(|_bytes| bad("intent"))?),
            digest: row.digest.try_into().map_err(|_bytes| bad("digest"))?,
            items: row.items,
            state: BatchState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            waiting_for: row.waiting_for,
            resume_at: row.resume_at,
            setbacks: row.setbacks,
            moved_at: row.moved_at,
            created_at: row.created_at,
            ended_at: row.ended_at,
            emptied_at: row.emptied_at,
        })
    }
}

impl TryFrom<BatchItemRow> for BatchItem {
    type Error = StoreError;

    fn try_from(row: BatchItemRow) -> Result<Self, StoreError> {
        let currency: Currency = row.currency.parse().map_err(|_unknown| bad_item("currency"))?;
        let pointer = row.refused_pointer;
        Ok(Self {
            position: row.place,
            external_id: row.external_id,
            kind: row.kind,
            value: Money::from_minor(row.amount_minor, currency),
            metadata: row.metadata,
            state: BatchItemState::from_word(&row.state).ok_or_else(|| bad_item("state"))?,
            reward: row.reward_id.map(RewardId::new),
            refused: row.refused_code.map(|code| ItemRefusal { code, pointer }),
            claims: row.claims,
        })
    }
}

fn outcome(state: BatchItemState, reward: Option<&str>) -> Result<ItemOutcome, StoreError> {
    let reward = reward.map(|word| State::from_word(word).ok_or_else(|| bad_item("reward_id"))).transpose()?;
    Ok(ItemOutcome::of(state, reward))
}

impl OutcomeCountRow {
    pub(super) fn outcome(&self) -> Result<ItemOutcome, StoreError> {
        let state = BatchItemState::from_word(&self.state).ok_or_else(|| bad_item("state"))?;
        outcome(state, self.reward_state.as_deref())
    }
}

impl OutcomeRow {
    pub(super) fn read(self) -> Result<(BatchItem, ItemOutcome), StoreError> {
        let reward_state = self.reward_state;
        let item = BatchItem::try_from(BatchItemRow {
            place: self.place,
            external_id: self.external_id,
            kind: self.kind,
            amount_minor: self.amount_minor,
            currency: self.currency,
            metadata: self.metadata,
            state: self.state,
            reward_id: self.reward_id,
            refused_code: self.refused_code,
            refused_pointer: self.refused_pointer,
            claims: self.claims,
        })?;
        let outcome = outcome(item.state, reward_state.as_deref())?;
        Ok((item, outcome))
    }
}
