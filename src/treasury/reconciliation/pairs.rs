//! The two sides in the database, joined: what Amazon showed, kept while a run is under way, and our rewards. They are read
//! here beside the table of this room, because joining is what a comparison is. Neither side is ever in memory whole.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    compare::{Ours, Standing, Theirs},
    gather::Batch,
    period::Period,
    sql::STEP,
};
use crate::{
    accounts::Account,
    engine::order,
    kernel::{ReconciliationId, RewardId},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

macro_rules! ours {
    () => {
        "r.id AS reward_id, r.state, r.attention, r.amount_minor AS ours_minor, r.created_at AS recorded_at, \
         r.first_send_at, r.issued_at, r.canceled_at AS ours_canceled_at"
    };
}

statements! {
    /// One statement a page. The first create that is seen stands; another at another instant is another card.
    SEE = Sql::each(
        "reconciliation_seen.see",
        "INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id, created_at, amount_minor, canceled_at) \
         SELECT $1, $2, value ->> 'request_id', value ->> 'created_at', value ->> 'amount_minor', value ->> 'canceled_at' \
         FROM json_each($3) WHERE TRUE ON CONFLICT (reconciliation_id, request_id) DO UPDATE SET \
         amount_minor = CASE WHEN reconciliation_seen.created_at <> excluded.created_at \
         THEN reconciliation_seen.amount_minor + excluded.amount_minor \
         ELSE COALESCE(reconciliation_seen.amount_minor, excluded.amount_minor) END, \
         created_at = COALESCE(reconciliation_seen.created_at, excluded.created_at), \
         canceled_at = COALESCE(reconciliation_seen.canceled_at, excluded.canceled_at)",
        "INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id, created_at, amount_minor, canceled_at) \
         SELECT $1, $2, request_id, created_at, amount_minor, canceled_at FROM jsonb_to_recordset(CAST($3 AS JSONB)) \
         AS page (request_id TEXT, created_at TIMESTAMPTZ, amount_minor BIGINT, canceled_at TIMESTAMPTZ) \
         ON CONFLICT (reconciliation_id, request_id) DO UPDATE SET \
         amount_minor = CASE WHEN reconciliation_seen.created_at <> excluded.created_at \
         THEN reconciliation_seen.amount_minor + excluded.amount_minor \
         ELSE COALESCE(reconciliation_seen.amount_minor, excluded.amount_minor) END, \
         created_at = COALESCE(reconciliation_seen.created_at, excluded.created_at), \
         canceled_at = COALESCE(reconciliation_seen.canceled_at, excluded.canceled_at)",
    );
    /// The next ids that Amazon showed, and our reward of each. The inner limit makes PostgreSQL look each of them up.
    SEEN_AND_OURS = Sql::same(
        "reconciliation_seen.compare",
        concat!(
            "SELECT s.request_id, s.created_at, s.amount_minor, s.canceled_at, ", ours!(),
            " FROM (SELECT request_id, created_at, amount_minor, canceled_at FROM reconciliation_seen \
             WHERE reconciliation_id = $1 AND request_id > $2 ORDER BY request_id LIMIT $5) s \
             LEFT JOIN rewards r ON r.creation_request_id = s.request_id AND r.marketplace = $3 AND r.environment = $4 \
             ORDER BY s.request_id",
        ),
    );
    /// The next rewards that were proven in the period, and whether Amazon showed each.
    OURS_AND_SEEN = Sql::same(
        "rewards.unseen",
        concat!(
            "SELECT r.creation_request_id AS request_id, s.created_at, s.amount_minor, s.canceled_at, ", ours!(),
            " FROM (SELECT * FROM rewards WHERE account = $2 AND issued_at >= $3 AND issued_at < $4 \
             AND (issued_at, id) > ($3, $5) ORDER BY issued_at, id LIMIT $6) r \
             LEFT JOIN reconciliation_seen s ON s.reconciliation_id = $1 AND s.request_id = r.creation_request_id \
             ORDER BY r.issued_at, r.id",
        ),
    );
    /// Rewards sent in the period whose outcome is open, not shown by Amazon. Few: finished ones are not in these indexes.
    OPEN_UNSEEN = Sql::same(
        "rewards.open_unseen",
        concat!(
            "SELECT r.creation_request_id AS request_id, s.created_at, s.amount_minor, s.canceled_at, ", ours!(),
            " FROM rewards r LEFT JOIN reconciliation_seen s ON s.reconciliation_id = $1 \
             AND s.request_id = r.creation_request_id \
             WHERE (r.due_at IS NOT NULL OR r.state = 'needs_attention') AND r.account = $2 AND r.issued_at IS NULL \
             AND r.first_send_at >= $3 AND r.first_send_at < $4 AND s.request_id IS NULL AND r.id > $5 ORDER BY r.id LIMIT $6",
        ),
    );
    /// Up to the last of a step: a range of the key, whatever the planner knows of the table. Of a set it may try each pair.
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
        ours_canceled_at: Option<DateTime<Utc>>,
    }
}

/// One id, with what each side has of it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Amazon's id, as stored.
    pub request_id: String,
    /// What Amazon showed.
    pub theirs: Option<Theirs>,
    /// What we hold, with its name and its state's word.
    pub ours: Option<(RewardId, order::State, Ours)>,
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
                let ours = Ours {
                    standing: standing(state, adopted),
                    amount,
                    sent_at: row.first_send_at.unwrap_or(recorded_at),
                    issued_at: row.issued_at,
                    canceled_at: row.ours_canceled_at,
                };
                Some((RewardId::new(id), state, ours))
            }
            (_, _, _, _) => None,
        };
        Ok(Self { request_id: row.request_id, theirs: shown.then_some(theirs), ours })
    }
}

const fn standing(state: order::State, adopted: bool) -> Standing {
    match state {
        order::State::Issued => Standing::Issued,
        order::State::Canceled => Standing::Canceled,
        order::State::Pending | order::State::Failed => Standing::NotBought,
        order::State::NeedsAttention if adopted => Standing::Adopted,
        order::State::Issuing | order::State::Unresolved | order::State::Canceling | order::State::NeedsAttention => {
            Standing::Open
        }
    }
}

#[derive(Serialize)]
struct SeenText<'a> {
    request_id: &'a str,
    created_at: Option<String>,
    amount_minor: Option<i64>,
    canceled_at: Option<String>,
}

/// Keeps what a page said.
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
        })
        .collect();
    let json = serde_json::to_string(&rows).map_err(|_error| bad("json"))?;
    execute!(tx, SEE, id.uuid(), partner_id, json).map(|_rows| ())
}

fn pairs(rows: Vec<PairRow>) -> Result<Vec<Pair>, StoreError> {
    rows.into_iter().map(Pair::try_from).collect()
}

/// The next ids that Amazon showed, after this one.
pub(super) async fn seen_after(
    snapshot: &mut Snapshot,
    id: ReconciliationId,
    after: &str,
    account: &Account,
) -> Result<Vec<Pair>, StoreError> {
    let (marketplace, environment) = (account.marketplace().code(), account.environment().as_str());
    pairs(fetch_all!(PairRow, snapshot, SEEN_AND_OURS, id.uuid(), after, marketplace, environment, STEP)?)
}

/// The next rewards proven in the period, after the one proven at this instant with this id.
pub(super) async fn proven_after(
    snapshot: &mut Snapshot,
    (id, account): (ReconciliationId, &str),
    to: DateTime<Utc>,
    (issued_at, reward): (DateTime<Utc>, Uuid),
) -> Result<Vec<Pair>, StoreError> {
    pairs(fetch_all!(PairRow, snapshot, OURS_AND_SEEN, id.uuid(), account, issued_at, to, reward, STEP)?)
}

/// The next open rewards sent in the period that Amazon did not show, after this one.
pub(super) async fn open_unseen(
    snapshot: &mut Snapshot,
    (id, account): (ReconciliationId, &str),
    period: Period,
    after: Uuid,
) -> Result<Vec<Pair>, StoreError> {
    pairs(fetch_all!(PairRow, snapshot, OPEN_UNSEEN, id.uuid(), account, period.from, period.to, after, STEP)?)
}

/// Forgets a step's worth of what was seen; says how much that was.
pub(super) async fn forget_seen(tx: &mut Tx, id: ReconciliationId) -> Result<u64, StoreError> {
    execute!(tx, FORGET_SEEN, id.uuid(), STEP)
}
