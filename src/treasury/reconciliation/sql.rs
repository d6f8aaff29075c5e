//! Runs and their findings in the database. Each write of a run names its lease; a run that lost the lease writes nothing
//! more.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    compare::{Class, TheirState},
    model::{Item, Reconciliation, RunState, Source, Tally},
    period::RunPeriod,
};
use crate::{
    accounts::Account,
    engine::order,
    identity::OwnedBy,
    incentives::statement::rewards_of_client,
    kernel::{CreationRequestId, Money, ProgramId, ReconciliationId, RewardId, horizon::horizon},
    store::{Read, Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

/// Rows of one step of reading, comparing, listing or deleting.
pub(crate) const STEP: i64 = 1_000;

/// The same in the text of a statement, where PostgreSQL takes it into account: for a parameter it would take a tenth of the table.
macro_rules! step {
    () => {
        "1000"
    };
}
pub(super) use step;

macro_rules! columns {
    () => {
        "id, account, currency, source, daily, period_from, period_to, state, failure, started_at, ended_at, records, matched, \
         ours_only, theirs_only, amount_differs, state_differs, unproven, unchecked, adopted, ours_minor, theirs_minor"
    };
}

statements! {
    /// Inserts nothing if a run of the account is under way, or the day has been reconciled: unique indexes refuse it.
    BEGIN = Sql::same(
        "reconciliations.begin",
        "INSERT INTO reconciliations (id, account, partner_id, currency, source, daily, period_from, period_to, state, \
         lease_token, lease_until, started_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10, $11) \
         ON CONFLICT DO NOTHING",
    );
    /// Ends a run whose process died. No lease that is held ends after $3: a clock that was ahead wrote it.
    ABANDON = Sql::same(
        "reconciliations.abandon",
        "UPDATE reconciliations SET state = 'failed', failure = 'interrupted', lease_token = NULL, ended_at = $2 \
         WHERE account = $1 AND state = 'running' AND (lease_until < $2 OR lease_until > $3)",
    );
    RUNNING = Sql::same(
        "reconciliations.running",
        "SELECT id FROM reconciliations WHERE account = $1 AND state = 'running'",
    );
    RENEW = Sql::same(
        "reconciliations.renew",
        "UPDATE reconciliations SET lease_until = $3, records = records + $4 \
         WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    );
    FINISH = Sql::same(
        "reconciliations.finish",
        "UPDATE reconciliations SET state = 'finished', lease_token = NULL, ended_at = $3, matched = $4, ours_only = $5, \
         theirs_only = $6, amount_differs = $7, state_differs = $8, unproven = $9, unchecked = $10, adopted = $11, \
         ours_minor = $12, theirs_minor = $13 WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    );
    FAIL = Sql::same(
        "reconciliations.fail",
        "UPDATE reconciliations SET state = 'failed', lease_token = NULL, ended_at = $3, failure = $4 \
         WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    );
    ITEM = Sql::same(
        "reconciliation_items.insert",
        "INSERT INTO reconciliation_items (reconciliation_id, seq, class, partner_id, request_id, reward_id, ours_state, \
         theirs_state, ours_minor, theirs_minor, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    );
    STRANGERS = Sql::same(
        "reconciliation_items.strangers",
        "SELECT seq, class, request_id, reward_id, ours_state, theirs_state, ours_minor, theirs_minor, at \
         FROM reconciliation_items WHERE reconciliation_id = $1 AND seq > $2 AND class = 'theirs_only' \
         AND reward_id IS NULL ORDER BY seq LIMIT $3",
    );
    ADOPTED = Sql::same(
        "reconciliation_items.adopted",
        "UPDATE reconciliation_items SET reward_id = $3 WHERE reconciliation_id = $1 AND seq = $2",
    );
    FORGET_ITEMS = Sql::same(
        "reconciliation_items.forget",
        "DELETE FROM reconciliation_items WHERE reconciliation_id = $1 AND seq <= (SELECT MAX(seq) FROM \
         (SELECT seq FROM reconciliation_items WHERE reconciliation_id = $1 ORDER BY seq LIMIT $2) AS step)",
    );
    /// Runs that ended and left rows behind, because their process died before it cleared them.
    /// What is left is looked for, and not the runs, which are many more.
    LEFTOVERS = Sql::same(
        "reconciliations.leftovers",
        "WITH RECURSIVE seen (id) AS (SELECT (SELECT reconciliation_id FROM reconciliation_seen ORDER BY reconciliation_id LIMIT 1) \
         UNION ALL SELECT (SELECT s.reconciliation_id FROM reconciliation_seen s WHERE s.reconciliation_id > seen.id \
         ORDER BY s.reconciliation_id LIMIT 1) FROM seen WHERE seen.id IS NOT NULL) \
         SELECT r.id FROM seen CROSS JOIN reconciliations r WHERE r.id = seen.id AND r.account = $1 AND r.state <> 'running' UNION \
         SELECT r.id FROM reconciliations r WHERE r.account = $1 AND r.state = 'failed' AND \
         (SELECT i.seq FROM reconciliation_items i WHERE i.reconciliation_id = r.id ORDER BY i.seq LIMIT 1) IS NOT NULL \
         ORDER BY id LIMIT 10",
    );
    BY_ID = Sql::same("reconciliations.by_id", concat!("SELECT ", columns!(), " FROM reconciliations WHERE id = $1"));
    LIST = Sql::same(
        "reconciliations.list",
        concat!("SELECT ", columns!(), " FROM reconciliations WHERE id < $1 ORDER BY id DESC LIMIT $2"),
    );
    LIST_OF_ACCOUNT = Sql::same(
        "reconciliations.list_of_account",
        concat!("SELECT ", columns!(), " FROM reconciliations WHERE id < $1 AND account = $3 ORDER BY id DESC LIMIT $2"),
    );
    ITEMS = Sql::same(
        "reconciliation_items.list",
        "SELECT seq, class, request_id, reward_id, ours_state, theirs_state, ours_minor, theirs_minor, at \
         FROM reconciliation_items WHERE reconciliation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    );
    /// Those about the rewards of one client, of those perhaps of one program alone.
    ITEMS_OF_CLIENT = Sql::same(
        "reconciliation_items.list_of_client",
        concat!(
            "SELECT i.seq, i.class, i.request_id, i.reward_id, i.ours_state, i.theirs_state, i.ours_minor, i.theirs_minor, i.at \
             FROM reconciliation_items i JOIN ", rewards_of_client!(),
            " WHERE i.reconciliation_id = $1 AND i.seq > $2 ORDER BY i.seq LIMIT $3"
        ),
    );
    /// The finished run with the newest period.
    NEWEST = Sql::same(
        "reconciliations.newest",
        concat!(
            "SELECT ", columns!(), " FROM reconciliations WHERE account = $1 AND state = 'finished' \
             ORDER BY period_to DESC, ended_at DESC LIMIT 1"
        ),
    );
}

row! {
    struct IdRow { id: Uuid }
}

row! {
    struct RunRow {
        id: Uuid, account: String, currency: String, source: String, daily: bool, period_from: DateTime<Utc>,
        period_to: DateTime<Utc>, state: String, failure: Option<String>, started_at: DateTime<Utc>,
        ended_at: Option<DateTime<Utc>>, records: i64, matched: i64, ours_only: i64, theirs_only: i64, amount_differs: i64,
        state_differs: i64, unproven: i64, unchecked: i64, adopted: i64, ours_minor: i64, theirs_minor: i64,
    }
}

row! {
    struct ItemRow {
        seq: i64, class: String, request_id: String, reward_id: Option<Uuid>, ours_state: Option<String>,
        theirs_state: Option<String>, ours_minor: Option<i64>, theirs_minor: Option<i64>, at: DateTime<Utc>,
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "reconciliations", column }
}

impl TryFrom<RunRow> for Reconciliation {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: ReconciliationId::new(row.id),
            account: row.account,
            currency: row.currency.parse().map_err(|_error| bad("currency"))?,
            source: Source::from_word(&row.source).ok_or_else(|| bad("source"))?,
            daily: row.daily,
            period: RunPeriod { from: row.period_from, to: row.period_to },
            state: RunState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            failure: row.failure,
            started_at: row.started_at,
            ended_at: row.ended_at,
            records: row.records,
            tally: Tally {
                matched: row.matched,
                ours_only: row.ours_only,
                theirs_only: row.theirs_only,
                amount_differs: row.amount_differs,
                state_differs: row.state_differs,
                unproven: row.unproven,
                unchecked: row.unchecked,
                adopted: row.adopted,
                ours_minor: row.ours_minor,
                theirs_minor: row.theirs_minor,
            },
        })
    }
}

impl TryFrom<ItemRow> for Item {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let word =
            |text: Option<String>| text.map(|text| order::State::from_word(&text).ok_or_else(|| bad("ours_state")));
        let theirs =
            |text: Option<String>| text.map(|text| TheirState::from_word(&text).ok_or_else(|| bad("theirs_state")));
        Ok(Self {
            seq: row.seq,
            class: Class::from_word(&row.class).ok_or_else(|| bad("class"))?,
            request_id: row.request_id,
            reward: row.reward_id.map(RewardId::new),
            ours_state: word(row.ours_state).transpose()?,
            theirs_state: theirs(row.theirs_state).transpose()?,
            ours_minor: row.ours_minor,
            theirs_minor: row.theirs_minor,
            at: row.at,
        })
    }
}

/// The right of one process to write for a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLease {
    pub(crate) id: ReconciliationId,
    pub(crate) token: Uuid,
    pub(crate) until: DateTime<Utc>,
}

/// Makes a run, leased; `false` if a run of the account is under way, or the day has been reconciled.
pub(super) async fn begin(
    tx: &mut Tx,
    run: &Reconciliation,
    account: &Account,
    lease: RunLease,
) -> Result<bool, StoreError> {
    let longest = horizon(lease.until, TimeDelta::zero());
    execute!(tx, ABANDON, account.id(), run.started_at, longest)?;
    let made = execute!(
        tx,
        BEGIN,
        run.id.uuid(),
        account.id(),
        account.partner_id(),
        account.currency().code(),
        run.source.as_str(),
        run.daily,
        run.period.from,
        run.period.to,
        lease.token,
        lease.until,
        run.started_at
    )?;
    Ok(made == 1)
}

/// The run of the account that is under way.
pub(super) async fn running(snapshot: &mut Snapshot, account: &str) -> Result<Option<ReconciliationId>, StoreError> {
    Ok(fetch_optional!(IdRow, snapshot, RUNNING, account)?.map(|row| ReconciliationId::new(row.id)))
}

/// Extends the lease, and counts records; `false` if the lease is lost.
pub(super) async fn renew(tx: &mut Tx, lease: RunLease, records: i64) -> Result<bool, StoreError> {
    Ok(execute!(tx, RENEW, lease.id.uuid(), lease.token, lease.until, records)? == 1)
}

/// Finishes a run; `false` if the lease is lost.
pub(super) async fn finish(
    tx: &mut Tx,
    lease: RunLease,
    tally: &Tally,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = execute!(
        tx,
        FINISH,
        lease.id.uuid(),
        lease.token,
        now,
        tally.matched,
        tally.ours_only,
        tally.theirs_only,
        tally.amount_differs,
        tally.state_differs,
        tally.unproven,
        tally.unchecked,
        tally.adopted,
        tally.ours_minor,
        tally.theirs_minor
    )?;
    Ok(done == 1)
}

/// Fails a run, for this reason.
pub(super) async fn fail(tx: &mut Tx, lease: RunLease, why: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, FAIL, lease.id.uuid(), lease.token, now, why).map(|_one| ())
}

pub(super) async fn item(tx: &mut Tx, id: ReconciliationId, partner_id: &str, item: &Item) -> Result<(), StoreError> {
    execute!(
        tx,
        ITEM,
        id.uuid(),
        item.seq,
        item.class.as_str(),
        partner_id,
        item.request_id.as_str(),
        item.reward.map(RewardId::uuid),
        item.ours_state.map(order::State::as_str),
        item.theirs_state.map(TheirState::as_str),
        item.ours_minor,
        item.theirs_minor,
        item.at
    )
    .map(|_one| ())
}

/// The next cards that only Amazon knows of.
pub(super) async fn strangers(
    snapshot: &mut Snapshot,
    id: ReconciliationId,
    after: i64,
) -> Result<Vec<Item>, StoreError> {
    fetch_all!(ItemRow, snapshot, STRANGERS, id.uuid(), after, STEP)?.into_iter().map(Item::try_from).collect()
}

/// Notes the row that was made for an item.
pub(super) async fn adopted(tx: &mut Tx, id: ReconciliationId, seq: i64, reward: RewardId) -> Result<(), StoreError> {
    execute!(tx, ADOPTED, id.uuid(), seq, reward.uuid()).map(|_one| ())
}

/// Deletes one step of a failed run's items; returns the number of rows.
pub(super) async fn forget_items(tx: &mut Tx, id: ReconciliationId) -> Result<u64, StoreError> {
    execute!(tx, FORGET_ITEMS, id.uuid(), STEP)
}

/// Runs of the account that ended and left rows behind.
pub(super) async fn leftovers(snapshot: &mut Snapshot, account: &str) -> Result<Vec<ReconciliationId>, StoreError> {
    Ok(fetch_all!(IdRow, snapshot, LEFTOVERS, account)?.into_iter().map(|row| ReconciliationId::new(row.id)).collect())
}

pub(super) async fn find(on: &mut impl Read, id: ReconciliationId) -> Result<Option<Reconciliation>, StoreError> {
    fetch_optional!(RunRow, on, BY_ID, id.uuid())?.map(Reconciliation::try_from).transpose()
}

/// Runs, newest first.
pub(super) async fn list(
    snapshot: &mut Snapshot,
    before: Uuid,
    account: Option<&str>,
    limit: i64,
) -> Result<Vec<Reconciliation>, StoreError> {
    let rows = match account {
        None => fetch_all!(RunRow, snapshot, LIST, before, limit)?,
        Some(account) => fetch_all!(RunRow, snapshot, LIST_OF_ACCOUNT, before, limit, account)?,
    };
    rows.into_iter().map(Reconciliation::try_from).collect()
}

pub(super) async fn items(
    snapshot: &mut Snapshot,
    id: ReconciliationId,
    shown: &OwnedBy,
    after: i64,
    limit: i64,
) -> Result<Vec<Item>, StoreError> {
    let rows = match shown.client {
        None => fetch_all!(ItemRow, snapshot, ITEMS, id.uuid(), after, limit)?,
        Some(client) => {
            let program = shown.program.as_ref().map(ProgramId::as_str);
            fetch_all!(ItemRow, snapshot, ITEMS_OF_CLIENT, id.uuid(), after, limit, client.uuid(), program)?
        }
    };
    rows.into_iter().map(Item::try_from).collect()
}

/// The account's finished run with the newest period.
pub(super) async fn newest(snapshot: &mut Snapshot, account: &str) -> Result<Option<Reconciliation>, StoreError> {
    fetch_optional!(RunRow, snapshot, NEWEST, account)?.map(Reconciliation::try_from).transpose()
}

pub(crate) fn creation_request_id(item: &Item) -> CreationRequestId {
    CreationRequestId::from_stored(item.request_id.clone())
}

pub(crate) fn theirs(item: &Item, account: &Account) -> Option<Money> {
    item.theirs_minor.filter(|minor| *minor > 0).map(|minor| Money::from_minor(minor, account.currency()))
}
