//! Periods in the database. A step is taken up for a time, by a claim that counts itself: after a crash it is taken up again, and whoever was
//! slow finds another count.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{ClientId, Intent, MembershipId, MembershipPlanId, PaymentId, RewardId},
    membership::model::{Entitlement, MembershipPeriod, PeriodState},
    store::{InstantRow, Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "membership_id, number, client_id, plan_id, starts_at, ends_at, state, tries, setbacks, decline, waiting_for, intent, simulation, \
         payment_id, refunded_minor, due_at, paid_at, entitlement, reward_key, reward_round, reward_id, reward_due_at, owed_since, \
         claims, created_at, updated_at"
    };
}

/// Another replica may be taking some: they are left to it. On PostgreSQL the list is made once.
macro_rules! claim {
    ($name:literal, $due:literal, $index:literal) => {
        Sql::each(
            $name,
            concat!(
                "UPDATE membership_periods SET ",
                $due,
                " = $3, claims = claims + 1 WHERE rowid IN (SELECT d.rowid FROM membership_periods d INDEXED BY ",
                $index,
                " WHERE d.",
                $due,
                " IS NOT NULL AND d.",
                $due,
                " <= $1 ORDER BY d.",
                $due,
                ", d.membership_id LIMIT $2) RETURNING membership_id, number, claims"
            ),
            concat!(
                "UPDATE membership_periods SET ",
                $due,
                " = $3, claims = claims + 1 WHERE ctid = ANY (ARRAY(SELECT d.ctid FROM membership_periods d WHERE d.",
                $due,
                " IS NOT NULL AND d.",
                $due,
                " <= $1 ORDER BY d.",
                $due,
                ", d.membership_id LIMIT $2 FOR UPDATE OF d SKIP LOCKED)) RETURNING membership_id, number, claims"
            ),
        )
    };
}

statements! {
    INSERT = Sql::same(
        "membership_periods.insert",
        "INSERT INTO membership_periods (membership_id, number, client_id, plan_id, starts_at, ends_at, state, tries, setbacks, refunded_minor, \
         due_at, entitlement, claims, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 'due', 0, 0, 0, $7, 'none', 0, $8, $8)",
    );
    FIND = Sql::same(
        "membership_periods.find",
        concat!("SELECT ", columns!(), " FROM membership_periods WHERE membership_id = $1 AND number = $2"),
    );
    OF_INTENT = Sql::same(
        "membership_periods.of_intent",
        "SELECT membership_id, number, claims FROM membership_periods WHERE intent = $1",
    );
    OF_PAYMENT = Sql::same(
        "membership_periods.of_payment",
        "SELECT membership_id, number, claims FROM membership_periods WHERE payment_id = $1",
    );
    PAGE = Sql::same(
        "membership_periods.page",
        concat!("SELECT ", columns!(), " FROM membership_periods WHERE membership_id = $1 AND number > $2 ORDER BY number LIMIT $3"),
    );
    /// The count of claims is the claims' own.
    SAVE = Sql::same(
        "membership_periods.save",
        "UPDATE membership_periods SET plan_id = $3, starts_at = $4, ends_at = $5, state = $6, tries = $7, setbacks = $8, decline = $9, \
         waiting_for = $10, intent = $11, simulation = $12, payment_id = $13, refunded_minor = $14, due_at = $15, paid_at = $16, \
         entitlement = $17, reward_key = $18, reward_id = $19, reward_due_at = $20, updated_at = $21, owed_since = $22, \
         reward_round = $23 \
         WHERE membership_id = $1 AND number = $2",
    );
    CLAIM_CHARGES = claim!("membership_periods.claim_charges", "due_at", "membership_periods_due");
    CLAIM_REWARDS = claim!("membership_periods.claim_rewards", "reward_due_at", "membership_periods_owed");
    /// On SQLite one process serves the file: what is under way at its start was taken up by one that is dead.
    ABANDON = Sql::each(
        "membership_periods.abandon",
        "UPDATE membership_periods INDEXED BY membership_periods_due SET due_at = $1 WHERE due_at IS NOT NULL AND due_at > $1 AND state = 'charging'",
        "UPDATE membership_periods SET due_at = $1 WHERE due_at IS NOT NULL AND due_at > $1 AND state = 'charging'",
    );
    ABANDON_REWARDS = Sql::each(
        "membership_periods.abandon_rewards",
        "UPDATE membership_periods INDEXED BY membership_periods_owed SET reward_due_at = $1 \
         WHERE reward_due_at IS NOT NULL AND reward_due_at > $1 AND entitlement = 'issuing'",
        "UPDATE membership_periods SET reward_due_at = $1 WHERE reward_due_at IS NOT NULL AND reward_due_at > $1 AND entitlement = 'issuing'",
    );
    NEXT_CHARGE = Sql::each(
        "membership_periods.next_charge",
        "SELECT MIN(due_at) AS at FROM membership_periods INDEXED BY membership_periods_due WHERE due_at IS NOT NULL",
        "SELECT MIN(due_at) AS at FROM membership_periods WHERE due_at IS NOT NULL",
    );
    NEXT_REWARD = Sql::each(
        "membership_periods.next_reward",
        "SELECT MIN(reward_due_at) AS at FROM membership_periods INDEXED BY membership_periods_owed WHERE reward_due_at IS NOT NULL",
        "SELECT MIN(reward_due_at) AS at FROM membership_periods WHERE reward_due_at IS NOT NULL",
    );
    OLDEST_DUE = Sql::each(
        "membership_periods.oldest_due",
        "SELECT MIN(starts_at) AS at FROM membership_periods INDEXED BY membership_periods_due WHERE due_at IS NOT NULL AND setbacks = 0",
        "SELECT MIN(starts_at) AS at FROM membership_periods WHERE due_at IS NOT NULL AND setbacks = 0",
    );
    /// Since when a reward is owed that could have been issued: one that is held rests until its own time.
    OLDEST_OWED = Sql::each(
        "membership_periods.oldest_owed",
        "SELECT MIN(owed_since) AS at FROM membership_periods INDEXED BY membership_periods_owed WHERE reward_due_at IS NOT NULL \
         AND entitlement IN ('owed', 'issuing')",
        "SELECT MIN(owed_since) AS at FROM membership_periods WHERE reward_due_at IS NOT NULL AND entitlement IN ('owed', 'issuing')",
    );
    /// Paid periods whose reward was refused for good.
    FAILED = Sql::each(
        "membership_periods.failed",
        "SELECT COUNT(*) AS count FROM membership_periods INDEXED BY membership_periods_failed WHERE entitlement = 'failed' AND state = 'paid'",
        "SELECT COUNT(*) AS count FROM membership_periods WHERE entitlement = 'failed' AND state = 'paid'",
    );
}

row! {
    struct MembershipPeriodRow {
        membership_id: Uuid, number: i64, client_id: Uuid, plan_id: Uuid, starts_at: DateTime<Utc>, ends_at: DateTime<Utc>, state: String,
        tries: i64, setbacks: i64, decline: Option<String>, waiting_for: Option<String>, intent: Option<Vec<u8>>,
        simulation: Option<String>, payment_id: Option<Uuid>, refunded_minor: i64, due_at: Option<DateTime<Utc>>,
        paid_at: Option<DateTime<Utc>>, entitlement: String, reward_key: Option<String>, reward_round: i64, reward_id: Option<Uuid>,
        reward_due_at: Option<DateTime<Utc>>, owed_since: Option<DateTime<Utc>>, claims: i64, created_at: DateTime<Utc>, updated_at: DateTime<Utc>,
    }
}

row! {
    struct FailedPeriodsRow { count: i64 }
}

row! {
    struct ClaimedPeriodRow { membership_id: Uuid, number: i64, claims: i64 }
}

/// A period that was taken up, or is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodPlace {
    pub(crate) membership: MembershipId,
    pub(crate) number: i64,
    pub(crate) claims: i64,
}

impl From<ClaimedPeriodRow> for PeriodPlace {
    fn from(row: ClaimedPeriodRow) -> Self {
        Self { membership: MembershipId::new(row.membership_id), number: row.number, claims: row.claims }
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "membership_periods", column }
}

impl TryFrom<MembershipPeriodRow> for MembershipPeriod {
    type Error = StoreError;

    fn try_from(row: MembershipPeriodRow) -> Result<Self, StoreError> {
        let intent = row.intent.map(|bytes| bytes.try_into().map(Intent::from_stored)).transpose();
        Ok(Self {
            membership: MembershipId::new(row.membership_id),
            number: row.number,
            client: ClientId::new(row.client_id),
            plan: MembershipPlanId::new(row.plan_id),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            state: PeriodState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            tries: row.tries,
            setbacks: row.setbacks,
            decline: row.decline,
            waiting_for: row.waiting_for,
            intent: intent.map_err(|_bytes| bad("intent"))?,
            simulation: row.simulation,
            payment: row.payment_id.map(PaymentId::new),
            refunded_minor: row.refunded_minor,
            due_at: row.due_at,
            paid_at: row.paid_at,
            entitlement: Entitlement::from_word(&row.entitlement).ok_or_else(|| bad("entitlement"))?,
            reward_key: row.reward_key,
            reward_round: row.reward_round,
            reward: row.reward_id.map(RewardId::new),
            reward_due_at: row.reward_due_at,
            owed_since: row.owed_since,
            claims: row.claims,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Writes a period that is to be charged.
pub(in crate::membership) async fn insert(tx: &mut Tx, new: &MembershipPeriod) -> Result<(), StoreError> {
    let MembershipPeriod { membership, number, client, plan, starts_at, ends_at, due_at, created_at, .. } = new;
    let (membership, client, plan) = (membership.uuid(), client.uuid(), plan.uuid());
    execute!(tx, INSERT, membership, number, client, plan, starts_at, ends_at, due_at, created_at).map(|_one| ())
}

/// A period of a membership.
pub(in crate::membership) async fn find(
    on: &mut impl Read,
    membership: MembershipId,
    number: i64,
) -> Result<Option<MembershipPeriod>, StoreError> {
    let found = fetch_optional!(MembershipPeriodRow, on, FIND, membership.uuid(), number)?;
    found.map(MembershipPeriod::try_from).transpose()
}

/// The period whose charge has this intent.
pub(in crate::membership) async fn of_intent(
    on: &mut impl Read,
    intent: &Intent,
) -> Result<Option<PeriodPlace>, StoreError> {
    Ok(fetch_optional!(ClaimedPeriodRow, on, OF_INTENT, intent.as_bytes().as_slice())?.map(PeriodPlace::from))
}

/// The period that this charge paid.
pub(in crate::membership) async fn of_payment(
    on: &mut impl Read,
    payment: PaymentId,
) -> Result<Option<PeriodPlace>, StoreError> {
    Ok(fetch_optional!(ClaimedPeriodRow, on, OF_PAYMENT, payment.uuid())?.map(PeriodPlace::from))
}

/// A page of a membership's periods behind this one, in their order.
pub(in crate::membership) async fn page(
    on: &mut impl Read,
    membership: MembershipId,
    behind: i64,
    limit: i64,
) -> Result<Vec<MembershipPeriod>, StoreError> {
    let rows = fetch_all!(MembershipPeriodRow, on, PAGE, membership.uuid(), behind, limit)?;
    rows.into_iter().map(MembershipPeriod::try_from).collect()
}

/// Saves a period whose membership is locked.
pub(in crate::membership) async fn save(
    tx: &mut Tx,
    changed: &mut MembershipPeriod,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    changed.updated_at = now;
    let saved = execute!(
        tx,
        SAVE,
        changed.membership.uuid(),
        changed.number,
        changed.plan.uuid(),
        changed.starts_at,
        changed.ends_at,
        changed.state.as_str(),
        changed.tries,
        changed.setbacks,
        changed.decline.as_deref(),
        changed.waiting_for.as_deref(),
        changed.intent.as_ref().map(|intent| intent.as_bytes().to_vec()),
        changed.simulation.as_deref(),
        changed.payment.map(PaymentId::uuid),
        changed.refunded_minor,
        changed.due_at,
        changed.paid_at,
        changed.entitlement.as_str(),
        changed.reward_key.as_deref(),
        changed.reward.map(RewardId::uuid),
        changed.reward_due_at,
        now,
        changed.owed_since,
        changed.reward_round
    )?;
    if saved == 1 { Ok(()) } else { Err(StoreError::Unconfirmed) }
}

/// When the next step of a charge, and of a reward, is due. It is read before anything is claimed: a claim writes.
pub(in crate::membership) async fn next(
    on: &mut impl Read,
) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), StoreError> {
    let charge = fetch_optional!(InstantRow, on, NEXT_CHARGE)?.and_then(|row| row.at);
    let reward = fetch_optional!(InstantRow, on, NEXT_REWARD)?.and_then(|row| row.at);
    Ok((charge, reward))
}

/// Takes charges up until this instant, the longest due first.
pub(in crate::membership) async fn claim_charges(
    tx: &mut Tx,
    now: DateTime<Utc>,
    limit: i64,
    until: DateTime<Utc>,
) -> Result<Vec<PeriodPlace>, StoreError> {
    let rows = fetch_all!(ClaimedPeriodRow, tx, CLAIM_CHARGES, now, limit, until)?;
    Ok(rows.into_iter().map(PeriodPlace::from).collect())
}

/// Takes rewards up until this instant, the longest due first.
pub(in crate::membership) async fn claim_rewards(
    tx: &mut Tx,
    now: DateTime<Utc>,
    limit: i64,
    until: DateTime<Utc>,
) -> Result<Vec<PeriodPlace>, StoreError> {
    let rows = fetch_all!(ClaimedPeriodRow, tx, CLAIM_REWARDS, now, limit, until)?;
    Ok(rows.into_iter().map(PeriodPlace::from).collect())
}

/// Makes due at once what a process that is dead had taken up.
pub(in crate::membership) async fn abandon(tx: &mut Tx, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, ABANDON, now)?;
    execute!(tx, ABANDON_REWARDS, now).map(|_rows| ())
}

/// Since when a period is to be charged that was not declined, and a reward to be had that is not held.
pub(in crate::membership) async fn oldest(
    on: &mut impl Read,
) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), StoreError> {
    let due = fetch_optional!(InstantRow, on, OLDEST_DUE)?.and_then(|row| row.at);
    let owed = fetch_optional!(InstantRow, on, OLDEST_OWED)?.and_then(|row| row.at);
    Ok((due, owed))
}

/// How many paid periods have no reward, because it was refused for good.
pub(in crate::membership) async fn failed(on: &mut impl Read) -> Result<i64, StoreError> {
    Ok(fetch_optional!(FailedPeriodsRow, on, FAILED)?.map_or(0, |row| row.count))
}
