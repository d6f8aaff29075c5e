//! A batch and its items, as the rest of the program sees them.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    engine::State,
    identity::Caller,
    kernel::{
        ApiKeyId, BatchId, ClientId, IdempotencyKey, Intent, Money, ProgramId, RewardId, idempotency::KeyError,
        word_methods,
    },
};

/// Items of the largest batch.
pub const ITEMS_MAX: usize = 1000;
/// What the idempotency key of an item begins with.
const KEY_PREFIX: &str = "batch:";

/// Whether a batch goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum BatchState {
    /// It does.
    Running,
    /// Its caller has it wait.
    Paused,
    /// Nothing more of it is begun.
    Canceled,
    /// Each item was refused, or its reward has come to its end.
    Finished,
}
word_methods!(BatchState);

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum BatchItemState {
    /// It is to be bought.
    Waiting,
    /// It was handed over, and the outcome is not written down yet.
    Started,
    /// It is a reward, which says the rest.
    Done,
    /// It cannot be bought.
    Refused,
    /// It was not begun before the batch was canceled.
    Canceled,
}
word_methods!(BatchItemState);

/// What became of an item, as callers count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ItemOutcome {
    /// It is to be bought.
    Waiting,
    /// It was handed over.
    Sent,
    /// Bought.
    Issued,
    /// Amazon refused it.
    Failed,
    /// It is not known yet whether it was bought.
    Unresolved,
    /// A person decides.
    NeedsAttention,
    /// It was not bought, or was given back.
    Canceled,
    /// The service refused it.
    Refused,
}
word_methods!(ItemOutcome);

impl ItemOutcome {
    /// What an item comes to, by its own state and that of its reward.
    pub(super) const fn of(item: BatchItemState, reward: Option<State>) -> Self {
        match (item, reward) {
            (BatchItemState::Waiting, _) => Self::Waiting,
            (BatchItemState::Started, _) => Self::Sent,
            (BatchItemState::Refused, _) => Self::Refused,
            (BatchItemState::Canceled, _) => Self::Canceled,
            (BatchItemState::Done, None | Some(State::Pending | State::Issuing)) => Self::Sent,
            (BatchItemState::Done, Some(State::Unresolved)) => Self::Unresolved,
            // Until it is proven that it was given back, it stands.
            (BatchItemState::Done, Some(State::Issued | State::Canceling)) => Self::Issued,
            (BatchItemState::Done, Some(State::Failed)) => Self::Failed,
            (BatchItemState::Done, Some(State::Canceled)) => Self::Canceled,
            (BatchItemState::Done, Some(State::NeedsAttention)) => Self::NeedsAttention,
        }
    }
}

/// A batch without its items.
#[derive(Debug, Clone)]
pub struct RewardBatch {
    /// Names it to callers.
    pub id: BatchId,
    /// Whose it is.
    pub client: ClientId,
    /// The key that asks for its rewards.
    pub asked_by: ApiKeyId,
    /// The program that pays.
    pub program: Option<ProgramId>,
    /// The account that pays.
    pub account: String,
    /// The caller's name for it.
    pub name: Option<String>,
    /// Fingerprint of (client, idempotency key).
    pub intent: Intent,
    /// Of what was sent.
    pub digest: [u8; 32],
    /// How many items it has.
    pub items: i64,
    /// Whether it goes on.
    pub state: BatchState,
    /// The code of the problem that holds it up.
    pub waiting_for: Option<String>,
    /// When it is tried again then.
    pub resume_at: Option<DateTime<Utc>>,
    /// How often in a row it was held up.
    pub setbacks: i64,
    /// When it last came on.
    pub moved_at: DateTime<Utc>,
    /// When it arrived.
    pub created_at: DateTime<Utc>,
    /// When nothing of it was left to do.
    pub ended_at: Option<DateTime<Utc>>,
    /// When its items were removed.
    pub emptied_at: Option<DateTime<Utc>>,
}

impl RewardBatch {
    /// Whether this caller changes it.
    pub(crate) fn is_of(&self, caller: &Caller) -> bool {
        self.client == caller.client && caller.bound_to().is_none_or(|own| self.program.as_ref() == Some(own))
    }

    /// Whether this caller reads it.
    pub(super) fn is_seen_by(&self, caller: &Caller) -> bool {
        caller.deals_with_reward(self.client, self.program.as_ref())
    }
}

/// One reward that is to be bought.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// Its place, from 0.
    pub position: i64,
    /// The caller's own reference, from which the idempotency key derives.
    pub external_id: String,
    /// The word of its kind.
    pub kind: String,
    /// Its value.
    pub value: Money,
    /// The caller's own words, as JSON.
    pub metadata: Option<String>,
    /// Where it stands.
    pub state: BatchItemState,
    /// Its reward, once there is one.
    pub reward: Option<RewardId>,
    /// Why it was refused: a problem's code, and the member that it is about.
    pub refused: Option<ItemRefusal>,
    /// How often it was taken up.
    pub claims: i64,
}

/// Why an item was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRefusal {
    /// A problem's code.
    pub code: String,
    /// The member that it is about, as a JSON Pointer into the item.
    pub pointer: Option<String>,
}

/// The idempotency key of an item. It is the same in every batch, so that an external id is bought once. A request that is sent by itself has
/// another, unless its caller means this one.
///
/// # Errors
/// [`KeyError`] for an external id that is no key: what is not printable ASCII, or begins or ends with a blank.
pub fn item_key(external_id: &str) -> Result<IdempotencyKey, KeyError> {
    let key = IdempotencyKey::parse(&format!("{KEY_PREFIX}{external_id}"))?;
    let whole = key.as_str().strip_prefix(KEY_PREFIX) == Some(external_id);
    if whole && !external_id.starts_with(' ') { Ok(key) } else { Err(KeyError::NotPrintable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_item_is_pinned_for_ever_and_is_its_own() {
        // Changing it would buy second cards for items that were already bought.
        assert_eq!(item_key("order-1").unwrap().as_str(), "batch:order-1");
        assert_eq!(item_key("\"order-1\"").unwrap().as_str(), "batch:\"order-1\"", "what is quoted is another id");
        assert!(item_key(&"x".repeat(128)).is_ok());
        for bad in [" order-1", "order-1 ", "order\t1", "caf\u{e9}", "a\u{7f}"] {
            assert!(item_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_state_of_an_item_and_its_reward_is_counted_once() {
        for state in State::VARIANTS {
            let done = ItemOutcome::of(BatchItemState::Done, Some(*state));
            assert!(!matches!(done, ItemOutcome::Waiting | ItemOutcome::Refused), "{state:?}");
        }
        assert_eq!(ItemOutcome::of(BatchItemState::Done, Some(State::Canceling)), ItemOutcome::Issued);
        assert_eq!(ItemOutcome::of(BatchItemState::Started, None), ItemOutcome::Sent);
        assert_eq!(ItemOutcome::of(BatchItemState::Waiting, Some(State::Failed)), ItemOutcome::Waiting);
    }
}
