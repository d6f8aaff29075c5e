//! Rewards and their timeline in the database.
//!
//! What a worker, a caller or an operator decided about a reward is saved by `SAVE`, which names the version that the
//! decision was made on. Eight statements leave the version as it is:
//!
//! - `PARK` ([`due`]) moves the due time of a row that cannot be read or written.
//! - `HASTEN` ([`due`]) makes a row due that nobody works on. The claim that follows saves by version.
//! - `RECALL` ([`recall`]) makes rows due whose due time a clock wrote that was ahead. The claim that follows saves by version.
//! - `KEEP_MEMBERS` adds to a row what its create is to say, in the transaction that has just saved it. So does `REVIVE`
//!   ([`super::retention::book`]), which takes the mark of an archived reward away and brings its metadata back.
//! - `ABANDON_ALL` makes leased rows due. No worker runs yet, and the claim that follows saves by version.
//! - `RECLAIM` ([`super::orphans`]) runs under the row's lock while nobody owns the row. The same transaction saves by
//!   version.
//! - `WIPE` ([`super::target`]) asks itself for the states in which nothing more is sent. Another try brings its target.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde_json::json;
use uuid::Uuid;

use super::{
    create_members::{is_whole, kind_word},
    kind::{Kind, TargetEnding},
    model::{LastError, OnUnresolved, Reward},
    retention::{self, MetadataDigest},
    timeline::TimelineEntry,
};
use crate::{
    engine::{FlatStage, Order, ReversalFailure, State},
    events::{
        Subject,
        timeline::{self, Fact},
    },
    kernel::{ClientId, CreationRequestId, Currency, Environment, Intent, Money, RewardId},
    ledger::{
        LedgerStatus,
        budget::BudgetRef,
        status::{self, Holding},
    },
    provider::incentives::CreateMembers,
    sealing::Fingerprint,
    store::{FoundRows, Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, join, row, statements},
};

macro_rules! columns {
    () => {
        "id, client_id, intent, account, marketplace, environment, creation_request_id, kind, amount_minor, currency, external_id, metadata, \
         on_unresolved, state, version, ambiguous, refusals, cancel_requested, cancel_doubt, cancel_failure, attention, \
         error_code, error_type, attempts, deliveries, events, lease_token, due_at, created_at, updated_at, \
         first_send_at, unproven_since, issued_at, canceled_at, program_id, budget_key, budget_day, booked, trace_context, \
         retryable, retryable_version, handed_out, attempts_before, card_fingerprint, target_ending, done, create_members, \
         archived_at, metadata_digest"
    };
}

/// The kind is one that this program knows: they are this parameter, as JSON. Beside a later version, rewards of a kind
/// that only that one knows are left to it. One of them would make a whole list unreadable.
macro_rules! is_known {
    (sqlite $kinds:literal) => {
        concat!(" AND kind IN (SELECT value FROM json_each(", $kinds, "))")
    };
    (postgres $kinds:literal) => {
        concat!(" AND kind = ANY (ARRAY(SELECT json_array_elements_text(CAST(", $kinds, " AS JSON))))")
    };
}

macro_rules! attention {
    ($database:ident) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM rewards WHERE state = 'needs_attention' AND id > $1",
            is_known!($database "$3"),
            " ORDER BY id LIMIT $2"
        )
    };
}

macro_rules! unfinished {
    ($by:literal) => {
        concat!(
            "SELECT account, currency, state, COUNT(*) AS rewards, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, \
             MIN(unproven_since) AS unproven_since FROM (SELECT account, currency, state, amount_minor, unproven_since FROM rewards",
            $by,
            " WHERE due_at IS NOT NULL UNION ALL SELECT account, currency, state, amount_minor, unproven_since FROM rewards \
             WHERE state = 'needs_attention' AND due_at IS NULL) AS unfinished GROUP BY account, currency, state"
        )
    };
}

statements! {
    /// Conflicts on the intent and on the external id alike: the caller looks which it was.
    INSERT = Sql::same(
        "rewards.insert",
        "INSERT INTO rewards (id, client_id, intent, account, creation_request_id, kind, amount_minor, currency, \
         external_id, metadata, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, \
         deliveries, events, lease_token, due_at, created_at, updated_at, first_send_at, unproven_since, marketplace, \
         environment, program_id, budget_key, budget_day, booked, trace_context, handed_out, create_members) VALUES ($1, $2, $3, $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, 1, $25, FALSE, FALSE, 1, 0, $13, $14, $15, $16, $16, $17, $17, $18, $19, $20, $21, $22, $23, $24, $26, $27) \
         ON CONFLICT DO NOTHING",
    );
    BY_INTENT = Sql::same("rewards.by_intent", concat!("SELECT ", columns!(), " FROM rewards WHERE intent = $1"));
    /// A row each is looked up for, also where the table is still small: a connection may keep the plan.
    BY_INTENTS = Sql::each(
        "rewards.by_intents",
        concat!("SELECT ", columns!(), " FROM rewards WHERE intent IN (SELECT unhex(value) FROM json_each($1))"),
        concat!(
            "SELECT found.* FROM json_array_elements_text(CAST($1 AS JSON)) AS asked (intent) CROSS JOIN LATERAL (SELECT ",
            columns!(),
            " FROM rewards WHERE rewards.intent = decode(asked.intent, 'hex') LIMIT 1) AS found"
        ),
    );
    BY_ID = Sql::same("rewards.by_id", concat!("SELECT ", columns!(), " FROM rewards WHERE id = $1"));
    LOCK = Sql::each(
        "rewards.lock",
        concat!("SELECT ", columns!(), " FROM rewards WHERE id = $1"),
        concat!("SELECT ", columns!(), " FROM rewards WHERE id = $1 FOR UPDATE"),
    );
    /// Where the target is not kept any more, the same update wipes it ([`Reward::keeps_target`]).
    SAVE = Sql::same(
        "rewards.save",
        "UPDATE rewards SET state = $3, ambiguous = $4, cancel_requested = $5, cancel_doubt = $6, cancel_failure = $7, \
         attention = $8, error_code = $9, error_type = $10, attempts = $11, deliveries = $12, events = $13, \
         lease_token = $14, due_at = $15, updated_at = $16, first_send_at = $17, unproven_since = $18, issued_at = $19, \
         canceled_at = $20, refusals = $21, budget_key = $22, budget_day = $23, booked = $24, \
         retryable = $25, retryable_version = $2 + 1, \
         handed_out = $27, attempts_before = $28, card_fingerprint = $29, done = $30, \
         target_sealed = CASE WHEN $26 THEN target_sealed END, target_key = CASE WHEN $26 THEN target_key END, \
         version = $2 + 1 WHERE id = $1 AND version = $2",
    );
    /// Small: finished rewards are in neither index. An OR of the two would be a walk through all rewards.
    UNFINISHED = Sql::each("rewards.unfinished", unfinished!(" INDEXED BY rewards_due"), unfinished!(""));
    ATTENTION = Sql::each("rewards.attention", attention!(sqlite), attention!(postgres));
    KEEP_MEMBERS = Sql::same(
        "rewards.keep_members",
        "UPDATE rewards SET kind = $3, create_members = $4 WHERE id = $1 AND version = $2",
    );
    ABANDON_ALL = Sql::each(
        "rewards.abandon_all",
        "UPDATE rewards INDEXED BY rewards_due SET due_at = $1 WHERE due_at IS NOT NULL AND lease_token IS NOT NULL",
        "UPDATE rewards SET due_at = $1 WHERE due_at IS NOT NULL AND lease_token IS NOT NULL",
    );
}

row! {
    struct RewardRow {
        id: Uuid, client_id: Uuid, intent: Vec<u8>, account: String, marketplace: String, environment: String, creation_request_id: String, kind: String,
        amount_minor: i64, currency: String, external_id: Option<String>, metadata: Option<String>,
        on_unresolved: String, state: String, version: i64, ambiguous: bool, refusals: i64, cancel_requested: bool,
        cancel_doubt: bool, cancel_failure: Option<String>, attention: Option<String>, error_code: Option<String>,
        error_type: Option<String>, attempts: i64, deliveries: i64, events: i64, lease_token: Option<Uuid>,
        due_at: Option<DateTime<Utc>>, created_at: DateTime<Utc>, updated_at: DateTime<Utc>,
        first_send_at: Option<DateTime<Utc>>, unproven_since: Option<DateTime<Utc>>,
        issued_at: Option<DateTime<Utc>>, canceled_at: Option<DateTime<Utc>>,
        program_id: Option<String>, budget_key: Option<String>, budget_day: Option<String>, booked: String,
        trace_context: Option<String>, retryable: Option<bool>, retryable_version: Option<i64>,
        handed_out: Option<bool>, attempts_before: Option<i64>, card_fingerprint: Option<Vec<u8>>,
        target_ending: Option<i64>, done: Option<bool>, create_members: Option<String>,
        archived_at: Option<DateTime<Utc>>, metadata_digest: Option<Vec<u8>>,
    }
}

row! {
    struct UnfinishedRow {
        account: String, currency: String, state: String, rewards: i64, amount_minor: i64,
        unproven_since: Option<DateTime<Utc>>,
    }
}

/// How many rewards of an account are in one unfinished state, and what they are worth.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The account.
    pub account: String,
    /// The state.
    pub state: State,
    /// How many.
    pub rewards: i64,
    /// Their sum.
    pub value: Money,
    /// Since when the oldest is unproven.
    pub unproven_since: Option<DateTime<Utc>>,
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "rewards", column }
}

pub mod brief;
pub mod due;
pub mod list;
pub mod recall;
mod stage;
pub mod unproven;

fn word<T>(text: Option<&str>, read: fn(&str) -> Option<T>, column: &'static str) -> Result<Option<T>, StoreError> {
    text.map(|text| read(text).ok_or_else(|| bad(column))).transpose()
}

impl TryFrom<RewardRow> for Reward {
    type Error = StoreError;

    fn try_from(row: RewardRow) -> Result<Self, StoreError> {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        let on_unresolved = OnUnresolved::from_word(&row.on_unresolved).ok_or_else(|| bad("on_unresolved"))?;
        let kind = Kind::of_row(&row.kind).ok_or_else(|| bad("kind"))?;
        let order = Order {
            stage: stage::read(&row)?,
            on_unproven: on_unresolved.into(),
            attempts: row.attempts,
            attempts_before: row.attempts_before.unwrap_or(0),
            showings: row.deliveries,
            unproven_since: row.unproven_since,
            lease: row.lease_token,
            due_at: row.due_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        };
        let members =
            row.create_members.map(|json| CreateMembers::from_stored(json).ok_or_else(|| bad("create_members")));
        let members = members.transpose()?;
        if !is_whole(kind, &row.kind, members.as_ref()) {
            return Err(bad("create_members"));
        }
        let digest = row.metadata_digest.map(|bytes| bytes.try_into().map_err(|_length| bad("metadata_digest")));
        let digest = digest.transpose()?;
        Ok(Self {
            id: RewardId::new(row.id),
            client: ClientId::new(row.client_id),
            intent: Intent::from_stored(row.intent.try_into().map_err(|_bytes| bad("intent"))?),
            account: row.account,
            marketplace: row.marketplace.parse().map_err(|_error| bad("marketplace"))?,
            environment: Environment::from_word(&row.environment).ok_or_else(|| bad("environment"))?,
            creation_request_id: CreationRequestId::from_stored(row.creation_request_id),
            kind,
            value: Money::from_minor(row.amount_minor, currency),
            target_ending: row.target_ending.and_then(TargetEnding::from_stored),
            external_id: row.external_id,
            metadata: row.metadata,
            order,
            budget: BudgetRef::from_stored(row.program_id, row.budget_key, row.budget_day)
                .map_err(|_malformed| bad("program_id"))?,
            booked: LedgerStatus::from_word(&row.booked).ok_or_else(|| bad("booked"))?,
            last_error: row.error_code.map(|code| LastError { code, error_type: row.error_type }),
            events: row.events,
            // The reward is found even if a later version wrote its trace in another form.
            trace: row.trace_context.and_then(|text| text.parse().ok()),
            card: match row.card_fingerprint {
                Some(bytes) => {
                    Some(Fingerprint::from_stored(bytes.try_into().map_err(|_length| bad("card_fingerprint"))?))
                }
                None => None,
            },
            members,
            archived_at: row.archived_at,
            metadata_digest: digest.map(MetadataDigest::from_stored),
        })
    }
}

/// Inserts a reward that is about to be sent, with its first entry; says whether it was new. A transaction that joins its
/// statements finds that out at its end.
pub(super) async fn insert(tx: &mut Tx, reward: &mut Reward, entry: &TimelineEntry) -> Result<bool, StoreError> {
    reward.events = 1;
    reward.booked = reward.belongs();
    let budget = reward.budget.as_ref();
    let (order, flat) = (reward.order, FlatStage::of(&reward.order.stage));
    let new = join!(
        tx,
        INSERT,
        1,
        reward.id.uuid(),
        reward.client.uuid(),
        reward.intent.as_bytes().as_slice(),
        reward.account.as_str(),
        reward.creation_request_id.as_str(),
        kind_word(reward),
        reward.value.minor(),
        reward.value.currency().code(),
        reward.external_id.as_deref(),
        reward.metadata.as_deref(),
        OnUnresolved::from(order.on_unproven).as_str(),
        order.state().as_str(),
        reward.events,
        order.lease,
        order.due_at,
        order.created_at,
        flat.first_sent_at,
        reward.marketplace.code(),
        reward.environment.as_str(),
        budget.map(|budget| budget.program.as_str()),
        budget.map(|budget| budget.key.to_string()),
        budget.map(BudgetRef::day_text),
        reward.booked.as_str(),
        reward.trace.map(|context| context.to_string()),
        flat.doubt,
        flat.handed_out,
        reward.members.as_ref().map(CreateMembers::as_json)
    )?;
    if new {
        book(tx, reward, LedgerStatus::None, reward.order.created_at).await?;
        write_event(tx, reward, entry, reward.order.created_at).await?;
    }
    Ok(new)
}

/// The rewards of these intents, as far as there are any, read outside any transaction.
pub(super) async fn peek_intents(
    snapshot: &mut Snapshot,
    intents: &[Intent],
) -> Result<FoundRows<Intent, Reward>, StoreError> {
    let rows = if let [intent] = intents {
        fetch_optional!(RewardRow, snapshot, BY_INTENT, intent.as_bytes().as_slice())?.into_iter().collect()
    } else {
        let hex: Vec<_> = intents.iter().map(|intent| HEXLOWER.encode(intent.as_bytes())).collect();
        fetch_all!(RewardRow, snapshot, BY_INTENTS, json!(hex).to_string())?
    };
    let named = |row: RewardRow| {
        let intent = row.intent.as_slice().try_into().map_err(|_bytes| bad("intent"))?;
        Ok((Intent::from_stored(intent), Reward::try_from(row)))
    };
    rows.into_iter().map(named).collect()
}

/// The reward of this id, read outside any transaction.
pub(super) async fn peek(snapshot: &mut Snapshot, id: RewardId) -> Result<Option<Reward>, StoreError> {
    fetch_optional!(RewardRow, snapshot, BY_ID, id.uuid())?.map(Reward::try_from).transpose()
}

/// The reward of this id; nobody else changes it before this transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: RewardId) -> Result<Option<Reward>, StoreError> {
    fetch_optional!(RewardRow, tx, LOCK, id.uuid())?.map(Reward::try_from).transpose()
}

/// The words in rows of the kinds that this program knows, as JSON.
fn known_kinds() -> String {
    row_words(Kind::ALL)
}

fn row_words(kinds: &[Kind]) -> String {
    json!(kinds.iter().flat_map(|kind| kind.row_words()).collect::<Vec<_>>()).to_string()
}

/// Keeps what the reward's create is to say from now on, in the row that this transaction has just written.
pub(super) async fn keep_members(tx: &mut Tx, reward: &Reward) -> Result<(), StoreError> {
    let members = reward.members.as_ref().map(CreateMembers::as_json);
    match execute!(tx, KEEP_MEMBERS, reward.id.uuid(), reward.order.version, kind_word(reward), members)? {
        1 => Ok(()),
        _ => Err(bad("version")),
    }
}

/// Saves a reward read at `reward.version`, with its entries; `false` when it has changed since. The reward then carries
/// its new version. A transaction that joins its statements finds out at its end whether it has changed.
pub(super) async fn save(
    tx: &mut Tx,
    reward: &mut Reward,
    entries: &[TimelineEntry],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    reward.order.updated_at = now;
    let (first, stood) = (reward.events, reward.booked);
    reward.booked = reward.belongs();
    let budget = reward.budget.as_ref();
    reward.events = first.saturating_add(i64::try_from(entries.len()).unwrap_or(0));
    let (order, flat) = (reward.order, FlatStage::of(&reward.order.stage));
    let unchanged = join!(
        tx,
        SAVE,
        1,
        reward.id.uuid(),
        order.version,
        order.state().as_str(),
        flat.doubt,
        flat.reversal_wanted,
        flat.reversal_doubt,
        flat.reversal_failure.map(ReversalFailure::as_str),
        flat.attention.map(stage::word_of),
        reward.last_error.as_ref().map(|error| error.code.as_str()),
        reward.last_error.as_ref().and_then(|error| error.error_type.as_deref()),
        order.attempts,
        order.showings,
        reward.events,
        order.lease,
        order.due_at,
        order.updated_at,
        flat.first_sent_at,
        order.unproven_since,
        flat.proven_at,
        flat.reversed_at,
        i64::from(flat.refusals),
        budget.map(|budget| budget.key.to_string()),
        budget.map(BudgetRef::day_text),
        reward.booked.as_str(),
        flat.retryable,
        reward.keeps_target(now),
        flat.handed_out,
        order.attempts_before,
        reward.card.as_ref().map(|card| card.as_bytes().as_slice()),
        flat.done
    )?;
    if !unchanged {
        return Ok(false);
    }
    book(tx, reward, stood, now).await?;
    reward.order.version = order.version.saturating_add(1);
    if reward.archived_at.is_some() {
        retention::book::follow(tx, reward).await?;
    }
    let last = reward.events;
    for (entry, seq) in entries.iter().zip(first.saturating_add(1)..=last) {
        reward.events = seq;
        write_event(tx, reward, entry, now).await?;
    }
    reward.events = last;
    Ok(true)
}

/// Writes what the change means for the ledger and the budgets. Every change of a reward comes by here, so that the books
/// follow whatever led to it. A reservation of a budget is not among it: that can be refused, and is asked for before.
async fn book(tx: &mut Tx, reward: &Reward, from: LedgerStatus, at: DateTime<Utc>) -> Result<(), StoreError> {
    let holding =
        Holding { account: &reward.account, value: reward.value, reward: reward.id, budget: reward.budget.as_ref() };
    status::change(tx, &holding, from, reward.booked, at).await
}

async fn write_event(tx: &mut Tx, reward: &Reward, entry: &TimelineEntry, at: DateTime<Utc>) -> Result<(), StoreError> {
    let fact = Fact {
        subject: Subject::Reward(reward.id),
        seq: reward.events,
        client: reward.client,
        account: &reward.account,
        kind: entry.kind,
        data: entry.detail_json(),
    };
    timeline::write(tx, fact, at).await
}

/// A page of the rewards that need a person, oldest first: those after this one.
pub(super) async fn attention(snapshot: &mut Snapshot, after: Uuid, limit: i64) -> Result<Vec<Reward>, StoreError> {
    let rows = fetch_all!(RewardRow, snapshot, ATTENTION, after, limit, known_kinds())?;
    rows.into_iter().map(Reward::try_from).collect()
}

/// What is not finished, by account and state.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn unfinished(snapshot: &mut Snapshot) -> Result<Vec<Unfinished>, StoreError> {
    let rows = fetch_all!(UnfinishedRow, snapshot, UNFINISHED)?;
    Ok(rows.into_iter().filter_map(Unfinished::read).collect())
}

impl Unfinished {
    /// `None` for a state that only a later version knows.
    fn read(row: UnfinishedRow) -> Option<Self> {
        let currency: Currency = row.currency.parse().ok()?;
        Some(Self {
            account: row.account,
            state: State::from_word(&row.state)?,
            rewards: row.rewards,
            value: Money::from_minor(row.amount_minor, currency),
            unproven_since: row.unproven_since,
        })
    }
}

/// Makes everything leased due at once. Only for a process that knows that it is the only one: at the start on SQLite.
pub(super) async fn abandon_all(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, ABANDON_ALL, now)
}
