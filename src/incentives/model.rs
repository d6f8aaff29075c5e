//! A reward as the rest of the program sees it, and the command that asks for one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    create_members::AskedMembers,
    kind::{Aim, KeepsTarget, Kind, TargetEnding},
    retention::MetadataDigest,
};
use crate::{
    accounts::Purpose,
    engine::{OnUnproven, Order, Stage, State},
    identity::Caller,
    kernel::{
        ApiKeyId, ClientId, CreationRequestId, Environment, IdempotencyKey, Intent, Marketplace, Money, ProgramId,
        RewardId, TraceContext, word_methods,
    },
    ledger::{LedgerStatus, budget::BudgetRef},
    provider::incentives::CreateMembers,
    sealing::Fingerprint,
    telemetry::trace::{self, Attribute},
};

/// What becomes of a reward whose outcome is not proven while the caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OnUnresolved {
    /// A late success stays; its code can be revealed.
    Keep,
    /// It is canceled as soon as it is proven, inside the window.
    Cancel,
}
word_methods!(OnUnresolved);

impl From<OnUnresolved> for OnUnproven {
    fn from(wish: OnUnresolved) -> Self {
        match wish {
            OnUnresolved::Keep => Self::Keep,
            OnUnresolved::Cancel => Self::Reverse,
        }
    }
}

impl From<OnUnproven> for OnUnresolved {
    fn from(policy: OnUnproven) -> Self {
        match policy {
            OnUnproven::Keep => Self::Keep,
            OnUnproven::Reverse => Self::Cancel,
        }
    }
}

/// What a caller asks for, checked for shape. Two requests under one key must carry equal commands. It can be neither printed
/// nor copied: a target or a token is in it.
pub struct Command {
    /// Names the intent together with the client.
    pub key: IdempotencyKey,
    /// Which account pays, when the caller says so.
    pub account: Option<String>,
    /// What to buy.
    pub kind: Kind,
    /// Its value.
    pub value: Money,
    /// Which program pays, when the caller or its key says so.
    pub program: Option<ProgramId>,
    /// The API key that asks: budgets may know it. Another key of the same client means the same command.
    pub asked_by: ApiKeyId,
    /// The caller's own reference, unique per client.
    pub external_id: Option<String>,
    /// The caller's own words, stored and shown, never interpreted.
    pub metadata: Option<BTreeMap<String, String>>,
    /// What to do when the outcome stays unknown.
    pub on_unresolved: OnUnresolved,
    /// What the reward is to act on.
    pub aim: Aim,
    /// What else Amazon is to know.
    pub asked: AskedMembers,
    /// In whose turn it takes its slot of Amazon's rate.
    pub purpose: Purpose,
}

/// The last definite refusal or unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Amazon's errorCode, or our word for what happened.
    pub code: String,
    /// Amazon's errorType, as far as we know the word.
    pub error_type: Option<String>,
}

/// One thing bought for one recipient. It has no field that could hold a claim code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reward {
    /// Names it to callers.
    pub id: RewardId,
    /// Whose it is.
    pub client: ClientId,
    /// Fingerprint of (client, idempotency key).
    pub intent: Intent,
    /// The account that pays.
    pub account: String,
    /// Where the account bought when the reward was made: its id means nothing anywhere else.
    pub marketplace: Marketplace,
    /// Sandbox or production then.
    pub environment: Environment,
    /// Names it to Amazon, for ever.
    pub creation_request_id: CreationRequestId,
    /// What is bought.
    pub kind: Kind,
    /// Its value.
    pub value: Money,
    /// What may be shown of its target.
    pub target_ending: Option<TargetEnding>,
    /// The caller's own reference.
    pub external_id: Option<String>,
    /// The caller's own words, as JSON.
    pub metadata: Option<String>,
    /// What the engine knows of it.
    pub order: Order,
    /// Which budgets it is charged to.
    pub budget: Option<BudgetRef>,
    /// Where its value stands in the ledger.
    pub booked: LedgerStatus,
    /// The last refusal or doubt.
    pub last_error: Option<LastError>,
    /// Rows of its timeline.
    pub events: i64,
    /// The request that it came from, for those who trace.
    pub trace: Option<TraceContext>,
    /// Of Amazon's id of its card, once an answer has shown one and a key is listed that makes fingerprints.
    pub card: Option<Fingerprint>,
    /// What its create says besides its value, in each attempt.
    pub members: Option<CreateMembers>,
    /// When its timeline was deleted and its row emptied.
    pub archived_at: Option<DateTime<Utc>>,
    /// What stays of its metadata then.
    pub metadata_digest: Option<MetadataDigest>,
}

impl Reward {
    /// The word of where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.order.state()
    }

    /// The instant from which on no cancel is started any more; `None` when nothing may exist that could be canceled.
    #[must_use]
    pub fn cancelable_until(&self) -> Option<DateTime<Utc>> {
        self.order.stage.first_sent_at().and_then(|sent| self.kind.rules().reversible_until(sent))
    }

    /// Whether this caller deals with it.
    #[must_use]
    pub fn is_of_caller(&self, caller: &Caller) -> bool {
        caller.deals_with_reward(self.client, self.budget.as_ref().map(|budget| &budget.program))
    }

    /// The same reward with its order changed.
    #[must_use]
    pub fn with(&self, order: Order) -> Self {
        Self { order, ..self.clone() }
    }

    /// Says that the current span is about this reward, and links it to the request that the reward came from.
    pub(super) fn trace_on(&self) {
        trace::note(Attribute::Reward(self.id));
        trace::note(Attribute::State(self.order.state().as_str()));
        trace::link(self.trace);
    }

    /// The trace of the request that it came from, as log lines name it.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.trace.map(|context| context.trace().to_string())
    }

    /// Where its value belongs in the ledger: proven to exist, or held for what may exist, or nowhere. While a person
    /// decides, it stays where it is. Amazon's mock ids move no money.
    #[must_use]
    pub fn belongs(&self) -> LedgerStatus {
        if self.environment == Environment::Sandbox && self.creation_request_id.is_mock() {
            return LedgerStatus::None;
        }
        match self.order.stage {
            Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) => LedgerStatus::Reserved,
            Stage::Proven(_) | Stage::Reversing(_) => LedgerStatus::Issued,
            Stage::Refused { .. } | Stage::Reversed(_) => LedgerStatus::None,
            Stage::Attention(_) => self.booked,
        }
    }

    /// Whether the row keeps the reward's target from now on, as the kind's rule says. A person decides what becomes of a
    /// reward that needs one, so until then it keeps what it has.
    #[must_use]
    pub(super) fn keeps_target(&self, now: DateTime<Utc>) -> bool {
        match self.order.stage {
            Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) | Stage::Reversing(_) | Stage::Attention(_) => true,
            Stage::Proven(proof) => match self.kind.spec().keeps_target() {
                KeepsTarget::Never | KeepsTarget::UntilFinal => false,
                KeepsTarget::UntilIrreversible => now < self.kind.rules().verdict_at(proof.first_sent_at),
            },
            Stage::Refused { .. } | Stage::Reversed(_) => false,
        }
    }

    /// Where this command is not the one that made the reward: the first member that differs, as a JSON Pointer into its body. `None`:
    /// same key, same everything; the target apart, which a row compares by its fingerprint. A command that names no account or no
    /// program means what was chosen then.
    #[must_use]
    pub fn differs_in(&self, command: &Command) -> Option<&'static str> {
        let program = self.budget.as_ref().map(|budget| &budget.program);
        let same = [
            // First: who deals with another program hears nothing else of its reward.
            ("/program_id", command.program.as_ref().is_none_or(|asked| Some(asked) == program)),
            ("/kind", self.kind == command.kind),
            ("/value", self.value == command.value),
            ("/account_id", command.account.as_ref().is_none_or(|account| *account == self.account)),
            ("/external_id", self.external_id == command.external_id),
            ("/metadata", self.has_metadata(command.metadata_json())),
            ("/on_unresolved", self.order.on_unproven == command.on_unresolved.into()),
            // A product or a till: what a gift code says besides.
            ("", AskedMembers::of(self.members.as_ref()) == command.asked),
        ];
        same.into_iter().find(|(_pointer, same)| !same).map(|(pointer, _same)| pointer)
    }

    /// Whether this is its metadata, or was before the reward was archived.
    fn has_metadata(&self, asked: Option<String>) -> bool {
        match self.metadata_digest {
            Some(kept) => asked.is_some_and(|asked| MetadataDigest::of(&self.intent, &asked) == kept),
            None => self.metadata == asked,
        }
    }
}

impl Command {
    /// The metadata as it is stored: JSON with sorted keys, so that equal maps are equal texts.
    #[must_use]
    pub fn metadata_json(&self) -> Option<String> {
        self.metadata.as_ref().map(|map| serde_json::json!(map).to_string())
    }
}
