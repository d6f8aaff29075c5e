//! Programs: budgets that rewards are charged to, with hard and soft limits for the whole and for single API keys.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::budget::{Span, Unit, WHOLE};
use crate::{
    events::{Named, outbox},
    kernel::{ApiKeyId, Money, ProgramId, outcome::words},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

/// Programs listed at most.
const LIST_MAX: i64 = 1000;

statements! {
    INSERT = Sql::same(
        "programs.insert",
        "INSERT INTO programs (id, name, account, state, version, created_at, updated_at) \
         VALUES ($1, $2, $3, 'active', 1, $4, $4) ON CONFLICT (id) DO NOTHING",
    );
    BY_ID = Sql::same(
        "programs.by_id",
        "SELECT id, name, account, state, created_at, updated_at FROM programs WHERE id = $1",
    );
    LIST = Sql::same(
        "programs.list",
        "SELECT id, name, account, state, created_at, updated_at FROM programs ORDER BY id LIMIT $1",
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
        "SELECT holder, span, unit, hard, soft FROM program_limits WHERE program_id = $1 ORDER BY holder, span, unit",
    );
    LIMITS_CLEAR = Sql::same("program_limits.clear", "DELETE FROM program_limits WHERE program_id = $1");
    LIMIT_INSERT = Sql::same(
        "program_limits.insert",
        "INSERT INTO program_limits (program_id, holder, span, unit, hard, soft) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    /// A program and the limits that concern one of its keys, in one question: the hot path asks it for each reward.
    PLAN = Sql::same(
        "programs.plan",
        "SELECT p.account, p.state, l.holder, l.span, l.unit, l.hard, l.soft FROM programs p \
         LEFT JOIN program_limits l ON l.program_id = p.id AND l.holder IN ('all', $2) WHERE p.id = $1",
    );
}

words! {
    /// Whether a program takes new rewards.
    State {
        /// It does.
        Active = "active",
        /// It does not; what was recorded goes on.
        Suspended = "suspended",
    }
}

row! {
    struct ProgramRow {
        id: String, name: String, account: String, state: String, created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
    }
}

row! {
    struct LimitRow { holder: String, span: String, unit: String, hard: Option<i64>, soft: Option<i64> }
}

row! {
    struct PlanRow {
        account: String, state: String, holder: Option<String>, span: Option<String>, unit: Option<String>,
        hard: Option<i64>, soft: Option<i64>,
    }
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Names it.
    pub id: ProgramId,
    /// What it is for, in the operator's words.
    pub name: String,
    /// The account that pays; it decides the currency and where a day begins.
    pub account: String,
    /// Whether it takes new rewards.
    pub state: State,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// One limit: at `hard` nothing more is taken, at `soft` someone is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// Refuses what would go beyond it.
    pub hard: Option<i64>,
    /// Is told of when it is reached.
    pub soft: Option<i64>,
}

/// What one limit is about: `None` for a single reward's value.
pub type LimitSpan = Option<Span>;

/// One limit of a program, as it is set and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The API key that it is for; `None` for the whole program.
    pub key: Option<ApiKeyId>,
    /// How long it holds; `None` for a single reward.
    pub span: LimitSpan,
    /// What is counted.
    pub unit: Unit,
    /// The limit: minor units, or rewards.
    pub bound: Bound,
}

/// The limits of one holder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest reward.
    pub reward: Bound,
    spans: [[Bound; 2]; 3],
}

const fn place(span: Span, unit: Unit) -> (usize, usize) {
    let span = match span {
        Span::Day => 0,
        Span::Month => 1,
        Span::Total => 2,
    };
    let unit = match unit {
        Unit::Amount => 0,
        Unit::Count => 1,
    };
    (span, unit)
}

impl Limits {
    /// The limit of this span and unit.
    #[must_use]
    pub fn of(&self, span: Span, unit: Unit) -> Bound {
        let (span, unit) = place(span, unit);
        self.spans.get(span).and_then(|units| units.get(unit)).copied().unwrap_or_default()
    }

    fn set(&mut self, span: LimitSpan, unit: Unit, bound: Bound) {
        let Some(span) = span else {
            self.reward = bound;
            return;
        };
        let (span, unit) = place(span, unit);
        if let Some(place) = self.spans.get_mut(span).and_then(|units| units.get_mut(unit)) {
            *place = bound;
        }
    }
}

/// What decides about a new reward: the program, and the limits of the whole and of the key that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The account that pays.
    pub account: String,
    /// Whether it takes new rewards.
    pub state: State,
    /// The program's own limits.
    pub whole: Limits,
    /// The key's.
    pub key: Limits,
}

impl Plan {
    /// The largest reward that both the program and the key allow.
    #[must_use]
    pub fn reward_max(&self) -> Option<i64> {
        [self.whole.reward.hard, self.key.reward.hard].into_iter().flatten().min()
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "programs", column }
}

impl TryFrom<ProgramRow> for Program {
    type Error = StoreError;

    fn try_from(row: ProgramRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.parse().map_err(|_error| bad("id"))?,
            name: row.name,
            account: row.account,
            state: State::from_word(&row.state).ok_or_else(|| bad("state"))?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn span_of(word: &str) -> Result<LimitSpan, StoreError> {
    if word == "reward" {
        return Ok(None);
    }
    Span::from_word(word).map(Some).ok_or(StoreError::Inconsistent { table: "program_limits", column: "span" })
}

fn unit_of(word: &str) -> Result<Unit, StoreError> {
    Unit::from_word(word).ok_or(StoreError::Inconsistent { table: "program_limits", column: "unit" })
}

/// The word of a limit's span.
#[must_use]
pub const fn span_word(span: LimitSpan) -> &'static str {
    match span {
        Some(span) => span.as_str(),
        None => "reward",
    }
}

/// What decides about a new reward that this key asks for; `None` when there is no such program.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn plan(snapshot: &mut Snapshot, id: &ProgramId, key: ApiKeyId) -> Result<Option<Plan>, StoreError> {
    let key = key.to_string();
    read_plan(fetch_all!(PlanRow, snapshot, PLAN, id.as_str(), key.as_str())?)
}

/// The same inside the transaction that makes the reward: a suspension that was committed before holds.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn plan_now(tx: &mut Tx, id: &ProgramId, key: ApiKeyId) -> Result<Option<Plan>, StoreError> {
    let key = key.to_string();
    read_plan(fetch_all!(PlanRow, tx, PLAN, id.as_str(), key.as_str())?)
}

fn read_plan(rows: Vec<PlanRow>) -> Result<Option<Plan>, StoreError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let state = State::from_word(&first.state).ok_or_else(|| bad("state"))?;
    let (account, mut whole, mut own) = (first.account.clone(), Limits::default(), Limits::default());
    for row in rows {
        let Some((holder, (span, unit))) = row.holder.zip(row.span.zip(row.unit)) else { continue };
        let limits = if holder == WHOLE { &mut whole } else { &mut own };
        limits.set(span_of(&span)?, unit_of(&unit)?, Bound { hard: row.hard, soft: row.soft });
    }
    Ok(Some(Plan { account, state, whole, key: own }))
}

/// Who changes a program, for the record.
#[derive(Debug, Clone)]
pub struct By(pub String);

async fn note(
    tx: &mut Tx,
    kind: &'static str,
    id: &ProgramId,
    mut data: Value,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if let Some(members) = data.as_object_mut() {
        members.insert("by".to_owned(), json!(by.0));
    }
    tracing::info!(program = %id, program.changed_by = by.0, "{kind}");
    outbox::write(tx, kind, Named::Program(id), Some(&data), now).await
}

/// Makes a program; says whether its id was free.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn create(
    tx: &mut Tx,
    id: &ProgramId,
    (name, account): (&str, &str),
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let new = execute!(tx, INSERT, id.as_str(), name, account, now)? == 1;
    if new {
        note(tx, "program.created", id, json!({"account": account}), by, now).await?;
    }
    Ok(new)
}

/// Renames a program.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn rename(tx: &mut Tx, id: &ProgramId, name: &str, by: &By, now: DateTime<Utc>) -> Result<(), StoreError> {
    if execute!(tx, RENAME, id.as_str(), name, now)? == 1 {
        note(tx, "program.renamed", id, json!({}), by, now).await?;
    }
    Ok(())
}

/// Suspends or resumes a program; says whether that changed anything. It holds for every reward that is recorded after.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn set_state(
    tx: &mut Tx,
    id: &ProgramId,
    state: State,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = execute!(tx, SET_STATE, id.as_str(), state.as_str(), now)? == 1;
    if changed {
        let kind = match state {
            State::Active => "program.resumed",
            State::Suspended => "program.suspended",
        };
        note(tx, kind, id, json!({}), by, now).await?;
    }
    Ok(changed)
}

/// Replaces every limit of a program.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn set_limits(
    tx: &mut Tx,
    id: &ProgramId,
    limits: &[Limit],
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, LIMITS_CLEAR, id.as_str())?;
    for limit in limits {
        let holder = limit.key.map_or_else(|| WHOLE.to_owned(), |key| key.to_string());
        let (span, unit) = (span_word(limit.span), limit.unit.as_str());
        execute!(tx, LIMIT_INSERT, id.as_str(), holder, span, unit, limit.bound.hard, limit.bound.soft)?;
    }
    note(tx, "program.limits_set", id, json!({"limits": limits.len()}), by, now).await
}

/// The program of this id.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn find(snapshot: &mut Snapshot, id: &ProgramId) -> Result<Option<Program>, StoreError> {
    fetch_optional!(ProgramRow, snapshot, BY_ID, id.as_str())?.map(Program::try_from).transpose()
}

/// Every program, by id, at most 1,000.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn list(snapshot: &mut Snapshot) -> Result<Vec<Program>, StoreError> {
    fetch_all!(ProgramRow, snapshot, LIST, LIST_MAX)?.into_iter().map(Program::try_from).collect()
}

/// The limits of a program, in a stable order.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn limits(snapshot: &mut Snapshot, id: &ProgramId) -> Result<Vec<Limit>, StoreError> {
    let read = |row: LimitRow| {
        let bad = |_error| StoreError::Inconsistent { table: "program_limits", column: "holder" };
        let key = if row.holder == WHOLE { None } else { Some(row.holder.parse().map_err(bad)?) };
        let bound = Bound { hard: row.hard, soft: row.soft };
        Ok(Limit { key, span: span_of(&row.span)?, unit: unit_of(&row.unit)?, bound })
    };
    fetch_all!(LimitRow, snapshot, LIMITS, id.as_str())?.into_iter().map(read).collect()
}

/// A limit's number as text: an amount in the currency, or a count.
#[must_use]
pub fn number(unit: Unit, number: i64, currency: crate::kernel::Currency) -> String {
    match unit {
        Unit::Amount => Money::from_minor(number, currency).to_string(),
        Unit::Count => number.to_string(),
    }
}
