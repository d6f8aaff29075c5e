//! Memberships in the database.
//!
//! Whatever changes a membership or a period of its locks the membership first, and then the period: the worker, the caller's wishes, and what
//! follows from a payment. So they wait for each other in one order.

pub mod consents;
pub mod periods;
pub mod plans;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{calendar::PeriodAnchor, model::Membership, state::MembershipState};
use crate::{
    kernel::{ApiKeyId, ClientId, Intent, MembershipId, MembershipPlanId},
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "id, client_id, api_key_id, intent, plan_id, next_plan_id, consent_id, reference, state, reason, anchor_on, anchor_day, \
         anchor_number, periods, due_at, simulation, version, created_at, updated_at, ended_at"
    };
}

macro_rules! page {
    ($name:literal, $of:literal) => {
        Sql::same(
            $name,
            concat!(
                "SELECT ",
                columns!(),
                " FROM memberships WHERE client_id = $1 AND id < $2",
                $of,
                " ORDER BY id DESC LIMIT $3"
            ),
        )
    };
}

statements! {
    /// Nothing where the key or the reference names one already.
    INSERT = Sql::same(
        "memberships.insert",
        "INSERT INTO memberships (id, client_id, api_key_id, intent, plan_id, consent_id, reference, state, anchor_on, anchor_number, periods, \
         due_at, simulation, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $14) \
         ON CONFLICT DO NOTHING",
    );
    BY_ID = Sql::same("memberships.by_id", concat!("SELECT ", columns!(), " FROM memberships WHERE id = $1"));
    LOCK = Sql::each(
        "memberships.lock",
        concat!("SELECT ", columns!(), " FROM memberships WHERE id = $1"),
        concat!("SELECT ", columns!(), " FROM memberships WHERE id = $1 FOR UPDATE"),
    );
    BY_INTENT = Sql::same("memberships.by_intent", concat!("SELECT ", columns!(), " FROM memberships WHERE intent = $1"));
    SAVE = Sql::same(
        "memberships.save",
        "UPDATE memberships SET plan_id = $3, next_plan_id = $4, state = $5, reason = $6, anchor_on = $7, anchor_number = $8, periods = $9, \
         due_at = $10, simulation = $11, ended_at = $12, api_key_id = $13, updated_at = $14, anchor_day = $15, resting_until = NULL, \
         opening_failures = 0, version = $2 + 1 WHERE id = $1 AND version = $2",
    );
    /// Whatever the row holds: it may be what cannot be read.
    REST = Sql::same(
        "memberships.rest",
        "UPDATE memberships SET resting_until = $2, opening_failures = opening_failures + 1 WHERE id = $1 AND due_at IS NOT NULL",
    );
    PAGE = page!("memberships.page", "");
    PAGE_NAMED = page!("memberships.page_named", " AND reference = $4");
    PAGE_IN_STATE = page!("memberships.page_in_state", " AND state = $4");
    PAGE_OF_PLAN = page!("memberships.page_of_plan", " AND plan_id = $4");
    PAGE_OF_PLAN_IN_STATE = page!("memberships.page_of_plan_in_state", " AND plan_id = $4 AND state = $5");
    /// Those whose next period is to be opened. A rest that a program left which knows none is over before that.
    DUE = Sql::each(
        "memberships.due",
        "SELECT id, opening_failures FROM memberships INDEXED BY memberships_to_open WHERE due_at IS NOT NULL \
         AND COALESCE(resting_until, due_at) <= $1 AND due_at <= $1 ORDER BY COALESCE(resting_until, due_at), id LIMIT $2",
        "SELECT id, opening_failures FROM memberships WHERE due_at IS NOT NULL AND COALESCE(resting_until, due_at) <= $1 AND due_at <= $1 \
         ORDER BY COALESCE(resting_until, due_at), id LIMIT $2",
    );
    OPEN = Sql::each(
        "memberships.open",
        "SELECT state, COUNT(*) AS count FROM memberships INDEXED BY memberships_open WHERE ended_at IS NULL GROUP BY state",
        "SELECT state, COUNT(*) AS count FROM memberships WHERE ended_at IS NULL GROUP BY state",
    );
}

row! {
    struct MembershipRow {
        id: Uuid, client_id: Uuid, api_key_id: Uuid, intent: Vec<u8>, plan_id: Uuid, next_plan_id: Option<Uuid>, consent_id: String,
        reference: String, state: String, reason: Option<String>, anchor_on: NaiveDate, anchor_day: Option<i64>, anchor_number: i64, periods: i64,
        due_at: Option<DateTime<Utc>>, simulation: Option<String>, version: i64, created_at: DateTime<Utc>, updated_at: DateTime<Utc>,
        ended_at: Option<DateTime<Utc>>,
    }
}

row! {
    struct DueMembershipRow { id: Uuid, opening_failures: i64 }
}

row! {
    struct OpenMembershipsRow { state: String, count: i64 }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "memberships", column }
}

impl TryFrom<MembershipRow> for Membership {
    type Error = StoreError;

    fn try_from(row: MembershipRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: MembershipId::new(row.id),
            client: ClientId::new(row.client_id),
            asked_by: ApiKeyId::new(row.api_key_id),
            intent: Intent::from_stored(row.intent.try_into().map_err(|_bytes| bad("intent"))?),
            plan: MembershipPlanId::new(row.plan_id),
            next_plan: row.next_plan_id.map(MembershipPlanId::new),
            consent: row.consent_id.parse().map_err(|_malformed| bad("consent_id"))?,
            reference: row.reference,
            state: MembershipState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            reason: row.reason,
            anchor: PeriodAnchor {
                on: row.anchor_on,
                meant: row.anchor_day.map(u32::try_from).transpose().map_err(|_day| bad("anchor_day"))?,
            },
            anchor_number: row.anchor_number,
            periods: row.periods,
            due_at: row.due_at,
            simulation: row.simulation,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            ended_at: row.ended_at,
        })
    }
}

/// Which page of memberships a caller wants.
#[derive(Debug, Clone)]
pub(crate) struct MembershipPage {
    /// Those of this reference.
    pub(crate) reference: Option<String>,
    /// Those in this state.
    pub(crate) state: Option<MembershipState>,
    /// Those that have this plan now.
    pub(crate) plan: Option<MembershipPlanId>,
    /// Older than this one.
    pub(crate) before: Uuid,
    /// At most so many.
    pub(crate) limit: i64,
}

/// Writes a membership; `false` where its key or its reference names one already.
pub(super) async fn insert(tx: &mut Tx, new: &Membership) -> Result<bool, StoreError> {
    let written = execute!(
        tx,
        INSERT,
        new.id.uuid(),
        new.client.uuid(),
        new.asked_by.uuid(),
        new.intent.as_bytes().as_slice(),
        new.plan.uuid(),
        new.consent.as_str(),
        new.reference.as_str(),
        new.state.as_str(),
        new.anchor.on,
        new.anchor_number,
        new.periods,
        new.due_at,
        new.simulation.as_deref(),
        new.created_at
    )?;
    Ok(written == 1)
}

/// The membership of this id.
pub(super) async fn find(on: &mut impl Read, id: MembershipId) -> Result<Option<Membership>, StoreError> {
    fetch_optional!(MembershipRow, on, BY_ID, id.uuid())?.map(Membership::try_from).transpose()
}

/// The membership of this id; nobody else changes it or its periods before this transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: MembershipId) -> Result<Option<Membership>, StoreError> {
    fetch_optional!(MembershipRow, tx, LOCK, id.uuid())?.map(Membership::try_from).transpose()
}

/// The membership of this key.
pub(super) async fn find_intent(on: &mut impl Read, intent: &Intent) -> Result<Option<Membership>, StoreError> {
    fetch_optional!(MembershipRow, on, BY_INTENT, intent.as_bytes().as_slice())?.map(Membership::try_from).transpose()
}

/// Saves a membership that is locked.
pub(super) async fn save(tx: &mut Tx, changed: &mut Membership, now: DateTime<Utc>) -> Result<(), StoreError> {
    changed.updated_at = now;
    let saved = execute!(
        tx,
        SAVE,
        changed.id.uuid(),
        changed.version,
        changed.plan.uuid(),
        changed.next_plan.map(MembershipPlanId::uuid),
        changed.state.as_str(),
        changed.reason.as_deref(),
        changed.anchor.on,
        changed.anchor_number,
        changed.periods,
        changed.due_at,
        changed.simulation.as_deref(),
        changed.ended_at,
        changed.asked_by.uuid(),
        now,
        changed.anchor.meant.map(i64::from)
    )?;
    if saved != 1 {
        return Err(StoreError::Unconfirmed);
    }
    changed.version = changed.version.saturating_add(1);
    Ok(())
}

/// A page of a client's memberships, newest first.
pub(super) async fn page(
    on: &mut impl Read,
    client: ClientId,
    asked: &MembershipPage,
) -> Result<Vec<Membership>, StoreError> {
    let (client, before, limit) = (client.uuid(), asked.before, asked.limit);
    let state = asked.state.map(MembershipState::as_str);
    let rows = match (&asked.reference, asked.plan.map(MembershipPlanId::uuid), state) {
        (Some(reference), _, _) => {
            fetch_all!(MembershipRow, on, PAGE_NAMED, client, before, limit, reference.as_str())?
        }
        (None, Some(plan), Some(state)) => {
            fetch_all!(MembershipRow, on, PAGE_OF_PLAN_IN_STATE, client, before, limit, plan, state)?
        }
        (None, Some(plan), None) => fetch_all!(MembershipRow, on, PAGE_OF_PLAN, client, before, limit, plan)?,
        (None, None, Some(state)) => fetch_all!(MembershipRow, on, PAGE_IN_STATE, client, before, limit, state)?,
        (None, None, None) => fetch_all!(MembershipRow, on, PAGE, client, before, limit)?,
    };
    let found: Result<Vec<Membership>, StoreError> = rows.into_iter().map(Membership::try_from).collect();
    // A reference names one: where more is asked for besides, it is that one or none.
    let wanted = |one: &Membership| {
        asked.state.is_none_or(|state| one.state == state) && asked.plan.is_none_or(|plan| one.plan == plan)
    };
    Ok(found?.into_iter().filter(wanted).collect())
}

/// Those whose next period is to be opened, the longest due first, and how often in a row that failed.
pub(super) async fn due(
    on: &mut impl Read,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(MembershipId, i64)>, StoreError> {
    let rows = fetch_all!(DueMembershipRow, on, DUE, now, limit)?;
    Ok(rows.into_iter().map(|row| (MembershipId::new(row.id), row.opening_failures)).collect())
}

/// Has a membership rest whose next period could not be opened.
pub(super) async fn rest(tx: &mut Tx, id: MembershipId, until: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, REST, id.uuid(), until).map(|_rests| ())
}

/// How many memberships that have not ended are in which state.
pub(super) async fn open(on: &mut impl Read) -> Result<Vec<(MembershipState, i64)>, StoreError> {
    let rows = fetch_all!(OpenMembershipsRow, on, OPEN)?;
    let read =
        |row: OpenMembershipsRow| Ok((MembershipState::from_word(&row.state).ok_or_else(|| bad("state"))?, row.count));
    rows.into_iter().map(read).collect()
}
