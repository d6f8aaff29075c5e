//! Programs: who pays for rewards, and up to which limits, for the whole program and for single API keys.

mod change;

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Utc};
use serde_json::{Value, json};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::budget::{Measure, PROGRAM, Period};
use crate::{
    audit::AuditAction,
    kernel::{ApiKeyId, ClientId, Currency, Money, ProgramId, word_methods},
    store::{Read, Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

use change::{ProgramDeed, report_change};

pub(crate) use change::ChangedBy;

/// Programs read at once.
const STEP: i64 = 500;

statements! {
    INSERT = Sql::same(
        "programs.insert",
        "INSERT INTO programs (id, name, account, state, version, created_at, updated_at, client_id) \
         VALUES ($1, $2, $3, 'active', 1, $4, $4, $5) ON CONFLICT (id) DO NOTHING",
    );
    BY_ID = Sql::same(
        "programs.by_id",
        "SELECT p.id, p.name, p.account, p.state, p.created_at, p.updated_at, p.client_id, c.name AS client_name \
         FROM programs p LEFT JOIN clients c ON c.id = p.client_id WHERE p.id = $1",
    );
    LIST = Sql::same(
        "programs.list",
        "SELECT p.id, p.name, p.account, p.state, p.created_at, p.updated_at, p.client_id, c.name AS client_name \
         FROM programs p LEFT JOIN clients c ON c.id = p.client_id WHERE p.id > $1 ORDER BY p.id LIMIT $2",
    );
    OWN = Sql::same(
        "programs.own",
        "UPDATE programs SET client_id = $2, version = version + 1, updated_at = $3 \
         WHERE id = $1 AND (client_id IS NULL OR client_id <> $2)",
    );
    RENAME = Sql::same(
        "programs.rename",
        "UPDATE programs SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1",
    );
    SET_STATE = Sql::same(
        "programs.set_state",
        "UPDATE programs SET state = $2, version = version + 1, updated_at = $3 WHERE id = $1 AND state <> $2",
    );
    LIMITS = Sql::same(
        "program_limits.of",
        "SELECT program_id, holder, span, unit, hard, soft FROM program_limits WHERE program_id = $1 ORDER BY holder, span, unit",
    );
    ALL_LIMITS = Sql::same(
        "program_limits.all",
        "SELECT program_id, holder, span, unit, hard, soft FROM program_limits ORDER BY program_id, holder, span, unit",
    );
    LIMITS_CLEAR = Sql::same("program_limits.clear", "DELETE FROM program_limits WHERE program_id = $1");
    LIMIT_INSERT = Sql::same(
        "program_limits.insert",
        "INSERT INTO program_limits (program_id, holder, span, unit, hard, soft) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    /// What a key may spend, its successor may; and it has spent what the key has.
    SUCCEED = Sql::same(
        "program_limits.succeed",
        "INSERT INTO program_limits (program_id, holder, span, unit, hard, soft) \
         SELECT program_id, $2, span, unit, hard, soft FROM program_limits WHERE holder = $1",
    );
    SUCCEED_USAGE = Sql::same(
        "budget_usage.succeed",
        "INSERT INTO budget_usage (program_id, holder, span, period, reserved_minor, reserved_count, used_minor, \
         used_count, limit_minor, limit_count) SELECT u.program_id, $2, span, period, 0, 0, used_minor + reserved_minor, \
         used_count + reserved_count, limit_minor, limit_count FROM programs p CROSS JOIN budget_usage u \
         WHERE u.program_id = p.id AND u.holder = $1 AND u.span IN ('day', 'month', 'total') AND u.period >= $3",
    );
    /// One statement for the program, its own limits and those of one key: every reward of a program asks for them.
    POLICY = Sql::same(
        "programs.plan",
        "SELECT p.account, p.state, p.client_id, l.holder, l.span, l.unit, l.hard, l.soft FROM programs p \
         LEFT JOIN program_limits l ON l.program_id = p.id AND l.holder IN ('all', $2) WHERE p.id = $1",
    );
}

/// Whether a program takes new rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ProgramState {
    /// It takes new rewards.
    Active,
    /// It refuses new rewards. Those that it took already run to their end.
    Suspended,
}
word_methods!(ProgramState);

row! {
    struct ProgramRow {
        id: String, name: String, account: String, state: String, created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>, client_id: Option<Uuid>, client_name: Option<String>,
    }
}

row! {
    struct LimitRow { program_id: String, holder: String, span: String, unit: String, hard: Option<i64>, soft: Option<i64> }
}

row! {
    struct PolicyRow {
        account: String, state: String, client_id: Option<Uuid>, holder: Option<String>, span: Option<String>, unit: Option<String>,
        hard: Option<i64>, soft: Option<i64>,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) id: ProgramId,
    /// What it is for, in the operator's words.
    pub(crate) name: String,
    /// The account that pays. It decides the currency, and where a day begins.
    pub(crate) account: String,
    /// Whether it takes new rewards.
    pub(crate) state: ProgramState,
    /// When an operator made it.
    pub(crate) created_at: DateTime<Utc>,
    /// When an operator last changed it.
    pub(crate) updated_at: DateTime<Utc>,
    /// Whose it is; `None`: every client may charge it, as with release 0.1.0.
    pub(crate) owner: Option<Owner>,
}

/// The client that a program belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client: ClientId,
    pub(crate) name: String,
}

/// A program that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewProgram<'a> {
    pub(crate) id: &'a ProgramId,
    /// What it is for, in the operator's words.
    pub(crate) name: &'a str,
    /// The account that pays.
    pub(crate) account: &'a str,
    /// The only client that may charge it; `None`: every client may.
    pub(crate) owner: Option<ClientId>,
}

/// One limit, in minor units or in rewards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    /// A reward that would exceed it is refused.
    pub(crate) hard: Option<i64>,
    /// An event is written when it is reached.
    pub(crate) soft: Option<i64>,
}

/// What a limit bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitScope {
    /// The value of a single reward.
    Reward,
    /// Everything within a period.
    Period(Period),
}

impl LimitScope {
    /// The scope of this word.
    #[must_use]
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        if word == "reward" { Some(Self::Reward) } else { Period::from_word(word).map(Self::Period) }
    }

    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reward => "reward",
            Self::Period(period) => period.as_str(),
        }
    }
}

/// One limit of a program, as an operator sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramLimit {
    /// The API key that it is for; `None` for the whole program.
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) scope: LimitScope,
    pub(crate) measure: Measure,
    pub(crate) limit: Limit,
}

impl ProgramLimit {
    fn read(row: &LimitRow) -> Result<Self, StoreError> {
        let of_key = (row.holder != PROGRAM).then(|| row.holder.parse().map_err(|_malformed| bad_limit("holder")));
        let limit = Limit { hard: row.hard, soft: row.soft };
        Ok(Self { key: of_key.transpose()?, scope: scope_of(&row.span)?, measure: measure_of(&row.unit)?, limit })
    }

    /// Whose budget it bounds: [`PROGRAM`], or the API key.
    #[must_use]
    pub(crate) fn holder(&self) -> String {
        self.key.map_or_else(|| PROGRAM.to_owned(), |key| key.to_string())
    }
}

/// All limits of one holder: of a program, or of one API key in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) reward: Limit,
    day: PeriodLimits,
    month: PeriodLimits,
    total: PeriodLimits,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PeriodLimits {
    amount: Limit,
    count: Limit,
}

impl Limits {
    /// The limit of this period and measure.
    #[must_use]
    pub(crate) const fn of(&self, period: Period, measure: Measure) -> Limit {
        let limits = match period {
            Period::Day => self.day,
            Period::Month => self.month,
            Period::Total => self.total,
        };
        match measure {
            Measure::Amount => limits.amount,
            Measure::Count => limits.count,
        }
    }

    const fn set(&mut self, scope: LimitScope, measure: Measure, limit: Limit) {
        let limits = match scope {
            LimitScope::Reward => return self.reward = limit,
            LimitScope::Period(Period::Day) => &mut self.day,
            LimitScope::Period(Period::Month) => &mut self.month,
            LimitScope::Period(Period::Total) => &mut self.total,
        };
        match measure {
            Measure::Amount => limits.amount = limit,
            Measure::Count => limits.count = limit,
        }
    }
}

/// What decides about a new reward: the program, its own limits, and those of the API key that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The account that pays.
    pub(crate) account: String,
    /// Whether the program takes new rewards.
    pub(crate) state: ProgramState,
    /// The only client that may charge it.
    pub(crate) owner: Option<ClientId>,
    /// The program's own limits.
    pub(crate) program: Limits,
    /// The API key's.
    pub(crate) key: Limits,
}

impl Policy {
    /// The largest reward that both the program and the key allow.
    #[must_use]
    pub(crate) fn reward_max(&self) -> Option<i64> {
        [self.program.reward.hard, self.key.reward.hard].into_iter().flatten().min()
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "programs", column }
}

fn bad_limit(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "program_limits", column }
}

impl TryFrom<ProgramRow> for Program {
    type Error = StoreError;

    fn try_from(row: ProgramRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.parse().map_err(|_error| bad("id"))?,
            name: row.name,
            account: row.account,
            state: ProgramState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            owner: row.client_id.map(ClientId::new).zip(row.client_name).map(|(client, name)| Owner { client, name }),
        })
    }
}

fn scope_of(word: &str) -> Result<LimitScope, StoreError> {
    LimitScope::from_word(word).ok_or_else(|| bad_limit("span"))
}

fn measure_of(word: &str) -> Result<Measure, StoreError> {
    Measure::from_word(word).ok_or_else(|| bad_limit("unit"))
}

/// What decides about a new reward that this key asks for; `None` when there is no such program.
pub(crate) async fn policy(
    snapshot: &mut Snapshot,
    id: &ProgramId,
    key: ApiKeyId,
) -> Result<Option<Policy>, StoreError> {
    let key = key.to_string();
    read_policy(fetch_all!(PolicyRow, snapshot, POLICY, id.as_str(), key.as_str())?)
}

/// The same inside the transaction that makes the reward, so that a suspension committed before it holds.
pub(crate) async fn policy_in(tx: &mut Tx, id: &ProgramId, key: ApiKeyId) -> Result<Option<Policy>, StoreError> {
    let key = key.to_string();
    read_policy(fetch_all!(PolicyRow, tx, POLICY, id.as_str(), key.as_str())?)
}

fn read_policy(rows: Vec<PolicyRow>) -> Result<Option<Policy>, StoreError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let state = ProgramState::from_word(&first.state).ok_or_else(|| bad("state"))?;
    let (account, owner) = (first.account.clone(), first.client_id.map(ClientId::new));
    let (mut program, mut own) = (Limits::default(), Limits::default());
    for row in rows {
        // A program without limits is one row without a limit.
        let Some((holder, (span, unit))) = row.holder.zip(row.span.zip(row.unit)) else { continue };
        let limits = if holder == PROGRAM { &mut program } else { &mut own };
        limits.set(scope_of(&span)?, measure_of(&unit)?, Limit { hard: row.hard, soft: row.soft });
    }
    Ok(Some(Policy { account, state, owner, program, key: own }))
}

/// Makes a program; `false` when its id is taken.
///
/// Who changes a program takes the turn in the audit before the row: two of them never wait for each other.
pub(crate) async fn create(
    tx: &mut Tx,
    new: NewProgram<'_>,
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let NewProgram { id, name, account, owner } = new;
    by.scribe.wait_turn(tx).await?;
    let made = execute!(tx, INSERT, id.as_str(), name, account, now, owner.map(ClientId::uuid))? == 1;
    if made {
        let data = json!({"account": account, "client_id": owner.map(|owner| owner.to_string())});
        let details = json!({"name": name});
        report_change(tx, ProgramDeed { action: AuditAction::ProgramCreated, id, data, details }, by, now).await?;
    }
    Ok(made)
}

/// Renames a program.
pub(crate) async fn rename(
    tx: &mut Tx,
    id: &ProgramId,
    name: &str,
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    by.scribe.wait_turn(tx).await?;
    if execute!(tx, RENAME, id.as_str(), name, now)? == 1 {
        let (data, details) = (json!({}), json!({"name": name}));
        report_change(tx, ProgramDeed { action: AuditAction::ProgramRenamed, id, data, details }, by, now).await?;
    }
    Ok(())
}

/// Gives a program to a client: from the commit on no other may charge it. `false` when it was that client's.
pub(crate) async fn own(
    tx: &mut Tx,
    id: &ProgramId,
    owner: ClientId,
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    by.scribe.wait_turn(tx).await?;
    let changed = execute!(tx, OWN, id.as_str(), owner.uuid(), now)? == 1;
    if changed {
        let (data, details) = (json!({"client_id": owner.to_string()}), json!({}));
        report_change(tx, ProgramDeed { action: AuditAction::ProgramOwned, id, data, details }, by, now).await?;
    }
    Ok(changed)
}

/// Suspends or resumes a program; `false` when it was in that state. The change holds for every reward that is recorded
/// after its commit.
pub(crate) async fn set_state(
    tx: &mut Tx,
    id: &ProgramId,
    state: ProgramState,
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    by.scribe.wait_turn(tx).await?;
    let changed = execute!(tx, SET_STATE, id.as_str(), state.as_str(), now)? == 1;
    if changed {
        let action = match state {
            ProgramState::Active => AuditAction::ProgramResumed,
            ProgramState::Suspended => AuditAction::ProgramSuspended,
        };
        report_change(tx, ProgramDeed { action, id, data: json!({}), details: json!({}) }, by, now).await?;
    }
    Ok(changed)
}

/// Replaces all limits of a program.
pub(crate) async fn set_limits(
    tx: &mut Tx,
    id: &ProgramId,
    limits: &[ProgramLimit],
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    by.scribe.wait_turn(tx).await?;
    execute!(tx, LIMITS_CLEAR, id.as_str())?;
    for limit in limits {
        let ProgramLimit { scope, measure, limit: Limit { hard, soft }, .. } = limit;
        execute!(tx, LIMIT_INSERT, id.as_str(), limit.holder(), scope.as_str(), measure.as_str(), hard, soft)?;
    }
    let each: Vec<Value> = limits
        .iter()
        .map(|limit| {
            let (holder, Limit { hard, soft }) = (limit.holder(), limit.limit);
            json!({"holder": holder, "span": limit.scope.as_str(), "unit": limit.measure.as_str(), "hard": hard, "soft": soft})
        })
        .collect();
    let (data, details) = (json!({"limits": limits.len()}), json!({"each": each}));
    report_change(tx, ProgramDeed { action: AuditAction::ProgramLimitsSet, id, data, details }, by, now).await
}

/// Gives the successor of a key what programs allow the key, and what it has spent of that. For as long as both are good, each
/// spends by itself.
pub(crate) async fn succeed(
    tx: &mut Tx,
    key: ApiKeyId,
    successor: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (key, successor) = (key.to_string(), successor.to_string());
    execute!(tx, SUCCEED, key.as_str(), successor.as_str())?;
    // An account's day may still be the one before. `ever` sorts behind each of them.
    let since = now.checked_sub_days(Days::new(1)).unwrap_or(now).format("%Y-%m").to_string();
    execute!(tx, SUCCEED_USAGE, key, successor, since).map(|_rows| ())
}

/// The program of this id.
pub(crate) async fn find(on: &mut impl Read, id: &ProgramId) -> Result<Option<Program>, StoreError> {
    fetch_optional!(ProgramRow, on, BY_ID, id.as_str())?.map(Program::try_from).transpose()
}

/// All programs, by id.
pub(crate) async fn list(snapshot: &mut Snapshot) -> Result<Vec<Program>, StoreError> {
    let (mut programs, mut after) = (Vec::new(), String::new());
    loop {
        let step = fetch_all!(ProgramRow, snapshot, LIST, after.as_str(), STEP)?;
        let Some(last) = step.last() else { return programs.into_iter().map(Program::try_from).collect() };
        after.clone_from(&last.id);
        programs.extend(step);
    }
}

/// All limits of a program, in a stable order.
pub(crate) async fn limits(on: &mut impl Read, id: &ProgramId) -> Result<Vec<ProgramLimit>, StoreError> {
    fetch_all!(LimitRow, on, LIMITS, id.as_str())?.iter().map(ProgramLimit::read).collect()
}

/// The limits of all programs, by a program's id.
pub(crate) async fn all_limits(on: &mut impl Read) -> Result<BTreeMap<String, Vec<ProgramLimit>>, StoreError> {
    let mut all: BTreeMap<String, Vec<ProgramLimit>> = BTreeMap::new();
    for row in fetch_all!(LimitRow, on, ALL_LIMITS)? {
        let limit = ProgramLimit::read(&row)?;
        all.entry(row.program_id).or_default().push(limit);
    }
    Ok(all)
}

/// A limit or a usage as text: an amount in major units, or a count.
#[must_use]
pub(crate) fn number(measure: Measure, number: i64, currency: Currency) -> String {
    match measure {
        Measure::Amount => Money::from_minor(number, currency).to_string(),
        Measure::Count => number.to_string(),
    }
}
