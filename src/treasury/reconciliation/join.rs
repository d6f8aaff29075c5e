//! Joins the two sides in the database: what Amazon listed, kept while a run is under way, and our rewards. The joins are
//! here, in the higher of the two rooms; `incentives::statement` gives what they say about rewards. Each step reads a bounded
//! number of rows, so that neither side is ever in memory as a whole.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    compare::{OurStatus, Ours, Theirs},
    fetch::Batch,
    model::Reconciliation,
    sql::{STEP, step},
};
use crate::{
    accounts::Account,
    engine::order,
    incentives::{
        kind::{Kind, Listing},
        statement::{compared_columns, is_open, proven_rewards, reward_of_request},
    },
    kernel::{ReconciliationId, RewardId},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

statements! {
    /// One statement a page. The first create of an id is kept; a create at another instant is a second card, and its value
    /// is added.
    SEE = Sql::each(
        "reconciliation_seen.see",
        "INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id, created_at, amount_minor, canceled_at, activated) \
         SELECT $1, $2, value ->> 'request_id', value ->> 'created_at', value ->> 'amount_minor', value ->> 'canceled_at', \
         value ->> 'activated' \
         FROM json_each($3) WHERE TRUE ON CONFLICT (reconciliation_id, request_id) DO UPDATE SET \
         amount_minor = CASE WHEN reconciliation_seen.created_at <> excluded.created_at \
         THEN reconciliation_seen.amount_minor + excluded.amount_minor \
         ELSE COALESCE(reconciliation_seen.amount_minor, excluded.amount_minor) END, \
         created_at = COALESCE(reconciliation_seen.created_at, excluded.created_at), \
         canceled_at = COALESCE(reconciliation_seen.canceled_at, excluded.canceled_at), \
         activated = COALESCE(reconciliation_seen.activated, excluded.activated)",
        "INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id, created_at, amount_minor, canceled_at, activated) \
         SELECT $1, $2, request_id, created_at, amount_minor, canceled_at, activated FROM jsonb_to_recordset(CAST($3 AS JSONB)) \
         AS page (request_id TEXT, created_at TIMESTAMPTZ, amount_minor BIGINT, canceled_at TIMESTAMPTZ, activated BOOLEAN) \
         ON CONFLICT (reconciliation_id, request_id) DO UPDATE SET \
         amount_minor = CASE WHEN reconciliation_seen.created_at <> excluded.created_at \
         THEN reconciliation_seen.amount_minor + excluded.amount_minor \
         ELSE COALESCE(reconciliation_seen.amount_minor, excluded.amount_minor) END, \
         created_at = COALESCE(reconciliation_seen.created_at, excluded.created_at), \
         canceled_at = COALESCE(reconciliation_seen.canceled_at, excluded.canceled_at), \
         activated = COALESCE(reconciliation_seen.activated, excluded.activated)",
    );
    /// The next ids that Amazon listed, and our reward of each. The inner limit makes PostgreSQL look each of them up.
    SEEN_AND_OURS = Sql::same(
        "reconciliation_seen.compare",
        concat!(
            "SELECT s.request_id, s.created_at, s.amount_minor, s.canceled_at, s.activated, ", compared_columns!(),
            " FROM (SELECT request_id, created_at, amount_minor, canceled_at, activated FROM reconciliation_seen \
             WHERE reconciliation_id = $1 AND request_id > $2 ORDER BY request_id LIMIT ", step!(), ") s LEFT JOIN ", reward_of_request!(), " ORDER BY s.request_id",
        ),
    );
    /// The next rewards that were proven in the period, and whether Amazon listed each.
    OURS_AND_SEEN = Sql::same(
        "rewards.unseen",
        concat!(
            "SELECT r.creation_request_id AS request_id, s.created_at, s.amount_minor, s.canceled_at, s.activated, ", compared_columns!(),
            " FROM (", proven_rewards!(), step!(), ") r \
             LEFT JOIN reconciliation_seen s ON s.reconciliation_id = $1 AND s.request_id = r.creation_request_id \
             ORDER BY r.issued_at, r.id",
        ),
    );
    /// Open rewards that were sent in the period and that Amazon did not list. Few: finished rewards are not in these indexes.
    OPEN_UNSEEN = Sql::same(
        "rewards.open_unseen",
        concat!(
            "SELECT r.creation_request_id AS request_id, s.created_at, s.amount_minor, s.canceled_at, s.activated, ", compared_columns!(),
            " FROM rewards r LEFT JOIN reconciliation_seen s ON s.reconciliation_id = $1 \
             AND s.request_id = r.creation_request_id \
             WHERE ", is_open!(), " AND s.request_id IS NULL AND r.id > $5 ORDER BY r.id LIMIT ", step!(),
        ),
    );
    /// Deletes a range of the key, up to the last id of a step. With a set of ids the planner may try each pair instead.
    FORGET_SEEN = Sql::same(
        "reconciliation_seen.forget",
        "DELETE FROM reconciliation_seen WHERE reconciliation_id = $1 AND request_id <= (SELECT MAX(request_id) FROM \
         (SELECT request_id FROM reconciliation_seen WHERE reconciliation_id = $1 ORDER BY request_id LIMIT $2) AS step)",
    );
}

row! {
    struct PairRow {
        request_id: String, created_at: Option<DateTime<Utc>>, amount_minor: Option<i64>, canceled_at: Option<DateTime<Utc>>,
        reward_id: Option<Uuid>, state: Option<String>, attention: Option<String>, ours_minor: Option<i64>,
        recorded_at: Option<DateTime<Utc>>, first_send_at: Option<DateTime<Utc>>, issued_at: Option<DateTime<Utc>>,
        ours_canceled_at: Option<DateTime<Utc>>, kind: Option<String>, activated: Option<bool>,
    }
}

/// Our reward of an id.
#[derive(Debug, Clone)]
pub(crate) struct OurReward {
    pub(crate) id: RewardId,
    pub(crate) state: order::State,
    /// Whether Amazon's report lists rewards of its kind, as far as that is known.
    pub(crate) listing: Listing,
    pub(crate) compared: Ours,
}

/// One id, with what each side has of it.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// As `fetch::stored_id` gives it.
    pub(crate) request_id: String,
    pub(crate) theirs: Option<Theirs>,
    /// Amazon lists it as a physical card's activation.
    pub(crate) activated: bool,
    pub(crate) ours: Option<OurReward>,
}

impl Pair {
    /// Our side, as it is compared.
    pub(super) fn compared(&self) -> Option<&Ours> {
        self.ours.as_ref().map(|reward| &reward.compared)
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "rewards", column }
}

impl TryFrom<PairRow> for Pair {
    type Error = StoreError;

    fn try_from(row: PairRow) -> Result<Self, StoreError> {
        let shown = row.created_at.is_some() || row.canceled_at.is_some();
        let theirs = Theirs { created_at: row.created_at, amount: row.amount_minor, canceled_at: row.canceled_at };
        let ours = match (row.reward_id, row.state, row.ours_minor, row.recorded_at) {
            (Some(id), Some(state), Some(amount), Some(recorded_at)) => {
                let state = order::State::from_word(&state).ok_or_else(|| bad("rewards.state"))?;
                let adopted = row.attention.as_deref() == Some(order::AttentionReason::Adopted.as_str());
                let compared = Ours {
                    status: status(state, adopted),
                    amount,
                    sent_at: row.first_send_at.unwrap_or(recorded_at),
                    issued_at: row.issued_at,
                    canceled_at: row.ours_canceled_at,
                };
                let kind = row.kind.as_deref().and_then(Kind::of_row);
                let listing = kind.map_or(Listing::Unknown, |kind| kind.spec().listing());
                Some(OurReward { id: RewardId::new(id), state, listing, compared })
            }
            (_, _, _, _) => None,
        };
        let activated = row.activated == Some(true);
        Ok(Self { request_id: row.request_id, theirs: shown.then_some(theirs), activated, ours })
    }
}

const fn status(state: order::State, adopted: bool) -> OurStatus {
    match state {
        order::State::Issued => OurStatus::Issued,
        order::State::Canceled => OurStatus::Canceled,
        order::State::Pending | order::State::Failed => OurStatus::NotBought,
        order::State::NeedsAttention if adopted => OurStatus::Adopted,
        order::State::Issuing | order::State::Unresolved | order::State::Canceling | order::State::NeedsAttention => {
            OurStatus::Open
        }
    }
}

#[derive(Serialize)]
struct SeenText<'a> {
    request_id: &'a str,
    created_at: Option<String>,
    amount_minor: Option<i64>,
    canceled_at: Option<String>,
    activated: Option<bool>,
}

/// Keeps what a page lists.
pub(super) async fn see(tx: &mut Tx, id: ReconciliationId, partner_id: &str, batch: &Batch) -> Result<(), StoreError> {
    let instant = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, false));
    let rows: Vec<SeenText<'_>> = batch
        .seen
        .iter()
        .map(|(request_id, seen)| SeenText {
            request_id,
            created_at: instant(seen.created_at),
            amount_minor: seen.amount_minor,
            canceled_at: instant(seen.canceled_at),
            activated: seen.activated.then_some(true),
        })
        .collect();
    let json = serde_json::to_string(&rows).map_err(|_error| bad("json"))?;
    execute!(tx, SEE, id.uuid(), partner_id, json).map(|_rows| ())
}

fn pairs(rows: Vec<PairRow>) -> Result<Vec<Pair>, StoreError> {
    rows.into_iter().map(Pair::try_from).collect()
}

/// The next ids that Amazon listed, after this one.
pub(super) async fn seen_after(
    snapshot: &mut Snapshot,
    id: ReconciliationId,
    after: &str,
    account: &Account,
) -> Result<Vec<Pair>, StoreError> {
    let (marketplace, environment) = (account.marketplace().code(), account.environment().as_str());
    pairs(fetch_all!(PairRow, snapshot, SEEN_AND_OURS, id.uuid(), after, marketplace, environment)?)
}

/// A place among rewards in the order of their proof.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProofCursor {
    pub(super) issued_at: DateTime<Utc>,
    pub(super) reward: Uuid,
}

/// The next rewards that were proven in the run's period, after this place.
pub(super) async fn proven_after(
    snapshot: &mut Snapshot,
    run: &Reconciliation,
    after: ProofCursor,
) -> Result<Vec<Pair>, StoreError> {
    pairs(fetch_all!(
        PairRow,
        snapshot,
        OURS_AND_SEEN,
        run.id.uuid(),
        run.account.as_str(),
        after.issued_at,
        run.period.to,
        after.reward
    )?)
}

/// The next open rewards that were sent in the run's period and that Amazon did not list, after this one.
pub(super) async fn open_unseen(
    snapshot: &mut Snapshot,
    run: &Reconciliation,
    after: Uuid,
) -> Result<Vec<Pair>, StoreError> {
    pairs(fetch_all!(
        PairRow,
        snapshot,
        OPEN_UNSEEN,
        run.id.uuid(),
        run.account.as_str(),
        run.period.from,
        run.period.to,
        after
    )?)
}

/// Deletes one step of what Amazon listed; returns the number of rows.
pub(super) async fn forget_seen(tx: &mut Tx, id: ReconciliationId) -> Result<u64, StoreError> {
    execute!(tx, FORGET_SEEN, id.uuid(), STEP)
}
