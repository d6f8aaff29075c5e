//! What is due: in which lanes there is something, and the rows, locked to be leased.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{RewardRow, known_kinds};
use crate::{
    engine::recover::FreeHands,
    incentives::model::Reward,
    kernel::RewardId,
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

/// In a lane, due, and neither of these owners nor one of these rewards, both as JSON. States and kinds are named: this
/// version would lease what it cannot carry.
macro_rules! due {
    (sqlite $lane:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM rewards WHERE ",
            $lane,
            " AND due_at <= $1 AND state IN ('pending', 'issuing', 'unresolved', 'canceling')",
            is_known!(sqlite "$3"),
            " AND client_id NOT IN (SELECT unhex(value) FROM json_each($4)) \
             AND id NOT IN (SELECT unhex(value) FROM json_each($5)) ORDER BY due_at LIMIT $2"
        )
    };
    (postgres $lane:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM rewards WHERE ",
            $lane,
            " AND due_at <= $1 AND state IN ('pending', 'issuing', 'unresolved', 'canceling')",
            is_known!(postgres "$3"),
            " AND client_id <> ALL (ARRAY(SELECT CAST(json_array_elements_text(CAST($4 AS JSON)) AS UUID))) \
             AND id <> ALL (ARRAY(SELECT CAST(json_array_elements_text(CAST($5 AS JSON)) AS UUID))) \
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
    };
}

/// Whether an account has a reward in its lane that is due. With the order PostgreSQL goes by the index: it would take an `EXISTS` for found
/// soon, and walk through the table.
macro_rules! head {
    ($lane:literal) => {
        concat!(
            "(SELECT r.id FROM rewards r WHERE r.account = accounts.value AND ",
            $lane,
            " AND r.due_at <= $1 ORDER BY r.due_at LIMIT 1) IS NOT NULL"
        )
    };
}

macro_rules! lanes {
    (sqlite) => {
        lanes!("json_each($2) AS accounts")
    };
    (postgres) => {
        lanes!("json_array_elements_text(CAST($2 AS JSON)) AS accounts (value)")
    };
    ($accounts:literal) => {
        concat!(
            "SELECT accounts.value AS account, ",
            head!("r.cancel_requested"),
            " AS reversals, ",
            head!("NOT r.cancel_requested"),
            " AS others FROM ",
            $accounts
        )
    };
}

statements! {
    /// The accounts are JSON. For each one question at the head of each index, however much is due.
    LANES = Sql::each("rewards.due_lanes", lanes!(sqlite), lanes!(postgres));
    DUE = Sql::each(
        "rewards.due",
        due!(sqlite "account = $6 AND NOT cancel_requested"),
        due!(postgres "account = $6 AND NOT cancel_requested"),
    );
    DUE_REVERSALS = Sql::each(
        "rewards.due_reversals",
        due!(sqlite "account = $6 AND cancel_requested"),
        due!(postgres "account = $6 AND cancel_requested"),
    );
    /// Of accounts that are not in this list, as JSON.
    DUE_OF_STRANGERS = Sql::each(
        "rewards.due_of_strangers",
        due!(sqlite "account NOT IN (SELECT value FROM json_each($6))"),
        due!(postgres "account <> ALL (ARRAY(SELECT json_array_elements_text(CAST($6 AS JSON))))"),
    );
    PARK = Sql::same("rewards.park", "UPDATE rewards SET due_at = $2 WHERE id = $1 AND due_at IS NOT NULL");
    /// An order that nobody works on, that was left at rest at this version, and that is due later than that.
    HASTEN = Sql::same(
        "rewards.hasten",
        "UPDATE rewards SET due_at = $3 WHERE id = $1 AND version = $2 AND lease_token IS NULL AND due_at > $3",
    );
}

row! {
    struct LaneRow { account: String, reversals: bool, others: bool }
}

/// Rewards that share the hands of the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those of an account that are to be canceled: Amazon's window does not wait.
    Reversals(String),
    /// The others of the account.
    Others(String),
    /// Those of accounts that the settings do not name.
    Strangers,
}

/// A due reward that cannot be read.
pub(crate) struct Unreadable {
    pub(crate) id: RewardId,
    pub(crate) account: String,
    pub(crate) error: StoreError,
}

/// What was found due.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rewards: Vec<Reward>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// What is looked for.
pub(crate) struct Look<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) free: &'a FreeHands,
    /// These rest, whatever their rows say.
    pub(crate) resting: Vec<RewardId>,
    /// The accounts of the settings.
    pub(crate) accounts: Vec<&'a str>,
}

fn ids(of: impl IntoIterator<Item = Uuid>) -> String {
    json!(of.into_iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string()
}

/// The lanes of these accounts in which something is due.
pub(crate) async fn lanes(
    snapshot: &mut Snapshot,
    accounts: &[&str],
    now: DateTime<Utc>,
) -> Result<Vec<Lane>, StoreError> {
    let rows = fetch_all!(LaneRow, snapshot, LANES, now, json!(accounts).to_string())?;
    let lanes = rows.into_iter().flat_map(|row| {
        let reversals = row.reversals.then(|| Lane::Reversals(row.account.clone()));
        reversals.into_iter().chain(row.others.then_some(Lane::Others(row.account)))
    });
    Ok(lanes.collect())
}

/// Rewards of a lane that are due, longest due first; on PostgreSQL those that another replica holds are passed over.
pub(crate) async fn find(tx: &mut Tx, look: &Look<'_>, now: DateTime<Utc>) -> Result<Found, StoreError> {
    let limit = i64::try_from(look.free.limit).unwrap_or(i64::MAX);
    let (kinds, owners) = (known_kinds(), ids(look.free.except.iter().copied()));
    let resting = ids(look.resting.iter().map(|id| id.uuid()));
    let rows = match look.lane {
        Lane::Reversals(of) => {
            fetch_all!(RewardRow, tx, DUE_REVERSALS, now, limit, kinds, owners, resting, of.as_str())?
        }
        Lane::Others(of) => fetch_all!(RewardRow, tx, DUE, now, limit, kinds, owners, resting, of.as_str())?,
        Lane::Strangers => {
            let known = json!(look.accounts).to_string();
            fetch_all!(RewardRow, tx, DUE_OF_STRANGERS, now, limit, kinds, owners, resting, known)?
        }
    };
    let mut found = Found::default();
    for row in rows {
        let (id, account) = (RewardId::new(row.id), row.account.clone());
        match Reward::try_from(row) {
            Ok(reward) => found.rewards.push(reward),
            Err(error) => found.unreadable.push(Unreadable { id, account, error }),
        }
    }
    Ok(found)
}

/// Moves the due time of a row, whatever is in it.
pub(crate) async fn park(tx: &mut Tx, id: RewardId, until: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, PARK, id.uuid(), until).map(|_rows| ())
}

/// Makes a reward due now that would be due later, unless it has changed or somebody works on it; answers whether.
pub(crate) async fn hasten(tx: &mut Tx, reward: &Reward, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(tx, HASTEN, reward.id.uuid(), reward.order.version, now)? == 1)
}
