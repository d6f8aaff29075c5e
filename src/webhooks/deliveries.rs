//! What is sent to endpoints, one row for a fact and an endpoint.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    kernel::{WebhookEndpointId, word_methods},
    store::{InstantRow, Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "id, fact_id, event_type, subject, sequence, happened_at, state, attempts, claims, due_at, last_status, last_failure, done_at"
    };
}

/// The first that are due of an endpoint (`$1`) at an instant (`$2`).
macro_rules! first_due {
    ($by:literal) => {
        first_due!($by, "")
    };
    ($by:literal, $lock:literal) => {
        concat!(
            "SELECT w.id FROM webhook_deliveries w",
            $by,
            " WHERE w.endpoint_id = $1 AND w.state = 'pending' AND w.due_at <= $2 ORDER BY w.due_at, w.id LIMIT 200",
            $lock
        )
    };
}

/// Those of the first that are due which an earlier one holds up become due with it, also where that one is due by now: else they would stand
/// before it, be looked at again and again, and hide it. A crash leaves such rows: what it had taken is due later than what follows that. Rows
/// that another replica has locked are left to it: two that lock some in turn would wait for each other.
macro_rules! deferred {
    ($by:literal, $lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET due_at = (SELECT MAX(b.due_at) FROM webhook_deliveries b WHERE b.endpoint_id = $1 \
             AND b.subject = webhook_deliveries.subject AND b.state = 'pending' AND b.id < webhook_deliveries.id) \
             WHERE id IN (",
            first_due!($by, $lock),
            ") AND state = 'pending' AND due_at <= $2 AND EXISTS (SELECT 1 FROM webhook_deliveries b WHERE b.endpoint_id = $1 \
             AND b.subject = webhook_deliveries.subject AND b.state = 'pending' AND b.id < webhook_deliveries.id \
             AND b.due_at > webhook_deliveries.due_at)"
        )
    };
}

macro_rules! hurried {
    ($lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET due_at = $2 WHERE id IN (SELECT w.id FROM webhook_deliveries w WHERE w.endpoint_id = $1 \
             AND w.state = 'pending' AND w.due_at > $2 ORDER BY w.due_at LIMIT 5000",
            $lock,
            ")"
        )
    };
}

/// The deliveries that may be sent now, of the first that are due: none while an earlier one about the same subject is pending. One that is being
/// sent is not due before its lease ends, and is pending.
macro_rules! due {
    ($by:literal, $lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET due_at = $4, claims = claims + 1 WHERE id IN (SELECT d.id FROM webhook_deliveries d \
             WHERE d.id IN (",
            first_due!($by),
            ") AND d.state = 'pending' AND d.due_at <= $2 AND NOT EXISTS (SELECT 1 FROM webhook_deliveries b \
             WHERE b.endpoint_id = $1 AND b.subject = d.subject AND b.state = 'pending' AND b.id < d.id) \
             ORDER BY d.due_at, d.id LIMIT $3",
            $lock,
            ") RETURNING ",
            columns!()
        )
    };
}

statements! {
    INSERT = Sql::same(
        "webhook_deliveries.insert",
        "INSERT INTO webhook_deliveries (endpoint_id, fact_id, event_type, subject, sequence, happened_at, state, attempts, claims, due_at, \
         created_at, pending_since) VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, 0, $7, $7, $7) \
         ON CONFLICT (endpoint_id, fact_id) WHERE fact_id IS NOT NULL DO NOTHING",
    );
    INSERT_TEST = Sql::same(
        "webhook_deliveries.insert_test",
        concat!(
            "INSERT INTO webhook_deliveries (endpoint_id, event_type, subject, happened_at, state, attempts, claims, due_at, created_at, \
             pending_since) VALUES ($1, $2, $3, $4, 'pending', 0, 0, $5, $4, $4) RETURNING ",
            columns!()
        ),
    );
    CLAIM = Sql::each(
        "webhook_deliveries.claim",
        due!(" INDEXED BY webhook_deliveries_due", ""),
        due!("", " FOR UPDATE OF d SKIP LOCKED"),
    );
    DEFER = Sql::each(
        "webhook_deliveries.defer",
        deferred!(" INDEXED BY webhook_deliveries_due", ""),
        deferred!("", " FOR UPDATE OF w SKIP LOCKED"),
    );
    /// The next one about the same subject is due.
    RELEASE = Sql::same(
        "webhook_deliveries.release",
        "UPDATE webhook_deliveries SET due_at = $3 WHERE id = (SELECT MIN(n.id) FROM webhook_deliveries n WHERE n.endpoint_id = $1 \
         AND n.subject = $2 AND n.state = 'pending') AND due_at > $3",
    );
    /// Some of what waits is due at once. What is being settled is left out: its transaction waits for the endpoint's row.
    HURRY = Sql::each("webhook_deliveries.hurry", hurried!(""), hurried!(" FOR UPDATE OF w SKIP LOCKED"));
    SETTLE = Sql::same(
        "webhook_deliveries.settle",
        "UPDATE webhook_deliveries SET state = $3, attempts = attempts + 1, due_at = $4, last_status = $5, last_failure = $6, done_at = $7 \
         WHERE id = $1 AND claims = $2 AND state = 'pending'",
    );
    /// What cannot be sent for a reason of ours counts as no attempt.
    PUT_BACK = Sql::same(
        "webhook_deliveries.put_back",
        "UPDATE webhook_deliveries SET due_at = $3, last_failure = $4 WHERE id = $1 AND claims = $2 AND state = 'pending'",
    );
    PAGE = Sql::same(
        "webhook_deliveries.page",
        concat!("SELECT ", columns!(), " FROM webhook_deliveries WHERE endpoint_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
    );
    PAGE_OF_STATE = Sql::same(
        "webhook_deliveries.page_of_state",
        concat!(
            "SELECT ",
            columns!(),
            " FROM webhook_deliveries WHERE endpoint_id = $1 AND state = $4 AND id < $2 ORDER BY id DESC LIMIT $3"
        ),
    );
    REDELIVER = Sql::same(
        "webhook_deliveries.redeliver",
        concat!(
            "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, claims = claims + 1, due_at = $3, done_at = NULL, \
             pending_since = $3 WHERE id = $1 AND endpoint_id = $2 RETURNING ",
            columns!()
        ),
    );
    FIRST_SINCE = Sql::same(
        "webhook_deliveries.first_since",
        "SELECT id FROM webhook_deliveries WHERE created_at >= $1 ORDER BY created_at, id LIMIT 1",
    );
    /// Some of an endpoint's that are done, from this id on.
    REPLAY = Sql::same(
        "webhook_deliveries.replay",
        "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $4, done_at = NULL, pending_since = $4 \
         WHERE state <> 'pending' AND fact_id IS NOT NULL AND id IN (SELECT d.id FROM webhook_deliveries d WHERE d.endpoint_id = $1 AND d.id >= $2 \
         ORDER BY d.id LIMIT $3)",
    );
    LAST_OF_STEP = Sql::same(
        "webhook_deliveries.last_of_step",
        "SELECT MAX(d.id) AS id FROM (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND id >= $2 ORDER BY id LIMIT $3) AS d",
    );
    OLDEST = Sql::same(
        "webhook_deliveries.oldest",
        "SELECT MIN(oldest.at) AS at FROM (SELECT (SELECT d.pending_since FROM webhook_deliveries d WHERE d.endpoint_id = e.id \
         AND d.state = 'pending' ORDER BY d.pending_since LIMIT 1) AS at FROM webhook_endpoints e WHERE e.state = 'enabled') AS oldest",
    );
    /// One that was to be sent again stays for as long as a new one.
    REMOVE_AGED = Sql::same(
        "webhook_deliveries.remove_aged",
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE created_at < $1 AND pending_since < $1 \
         ORDER BY created_at LIMIT $2) RETURNING state",
    );
    REMOVE_OF_DELETED = Sql::each(
        "webhook_deliveries.remove_of_deleted",
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT d.id FROM webhook_endpoints e CROSS JOIN webhook_deliveries d \
         WHERE e.state = 'deleted' AND d.endpoint_id = e.id LIMIT $1)",
        "DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(SELECT d.id FROM webhook_endpoints e CROSS JOIN LATERAL \
         (SELECT o.id FROM webhook_deliveries o WHERE o.endpoint_id = e.id ORDER BY o.id LIMIT $1) d WHERE e.state = 'deleted' LIMIT $1))",
    );
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be sent, again perhaps.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was tried as often as it may be.
    Failed,
}
word_methods!(DeliveryState);

row! {
    struct DeliveryRow {
        id: i64, fact_id: Option<i64>, event_type: String, subject: String, sequence: Option<i64>,
        happened_at: DateTime<Utc>, state: String, attempts: i64, claims: i64, due_at: DateTime<Utc>, last_status: Option<i64>,
        last_failure: Option<String>, done_at: Option<DateTime<Utc>>,
    }
}

row! {
    struct RemovedRow { state: String }
}

row! {
    struct DeliveryIdRow { id: Option<i64> }
}

/// One fact, or a test, on its way to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct WebhookDelivery {
    pub(crate) id: i64,
    /// The fact; `None` for a test.
    pub(crate) fact: Option<i64>,
    pub(crate) event_type: String,
    /// What it is about. Deliveries about one subject leave in their order.
    pub(crate) subject: String,
    /// Its place in the timeline of a reward.
    pub(crate) sequence: Option<i64>,
    pub(crate) happened_at: DateTime<Utc>,
    pub(crate) state: DeliveryState,
    /// Attempts since the event was queued, redelivered or replayed.
    pub(crate) attempts: i64,
    /// How often it was taken: what came of an attempt is written only while no other has begun.
    claims: i64,
    pub(crate) due_at: DateTime<Utc>,
    /// What the receiver answered last.
    pub(crate) last_status: Option<i64>,
    /// Why there was no answer.
    pub(crate) last_failure: Option<String>,
    pub(crate) done_at: Option<DateTime<Utc>>,
}

impl WebhookDelivery {
    /// The id of the message, the same over all attempts and endpoints. After a restore the database gives fact ids again: the time keeps
    /// message ids distinct.
    pub(crate) fn message_id(&self) -> String {
        let at = self.happened_at.timestamp_millis();
        self.fact.map_or_else(|| format!("test_{}_{at}", self.id), |fact| format!("evt_{fact}_{at}"))
    }
}

impl TryFrom<DeliveryRow> for WebhookDelivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let bad = StoreError::Inconsistent { table: "webhook_deliveries", column: "state" };
        Ok(Self {
            id: row.id,
            fact: row.fact_id,
            event_type: row.event_type,
            subject: row.subject,
            sequence: row.sequence,
            happened_at: row.happened_at,
            state: DeliveryState::from_word(&row.state).ok_or(bad)?,
            attempts: row.attempts,
            claims: row.claims,
            due_at: row.due_at,
            last_status: row.last_status,
            last_failure: row.last_failure,
            done_at: row.done_at,
        })
    }
}

/// A fact that is to be delivered.
#[derive(Debug, Clone)]
pub(super) struct NewDelivery {
    pub(super) endpoint: WebhookEndpointId,
    pub(super) fact: i64,
    pub(super) event_type: String,
    pub(super) subject: String,
    pub(super) sequence: Option<i64>,
    pub(super) happened_at: DateTime<Utc>,
}

/// What a delivery came to after an attempt.
#[derive(Debug, Clone)]
pub(super) struct Settlement {
    pub(super) state: DeliveryState,
    pub(super) due_at: DateTime<Utc>,
    pub(super) status: Option<i64>,
    pub(super) failure: Option<&'static str>,
    pub(super) done_at: Option<DateTime<Utc>>,
}

/// Puts down a delivery. One that is there already stays as it is.
pub(super) async fn insert(tx: &mut Tx, new: &NewDelivery, now: DateTime<Utc>) -> Result<(), StoreError> {
    let NewDelivery { endpoint, fact, event_type, subject, sequence, happened_at } = new;
    let (event_type, subject) = (event_type.as_str(), subject.as_str());
    execute!(tx, INSERT, endpoint.uuid(), fact, event_type, subject, sequence, happened_at, now).map(drop)
}

/// Puts down a test, due before all that waits.
pub(super) async fn insert_test(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    event_type: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<WebhookDelivery, StoreError> {
    let first = DateTime::UNIX_EPOCH;
    let made = fetch_optional!(DeliveryRow, tx, INSERT_TEST, endpoint.uuid(), event_type, subject, now, first)?;
    made.ok_or(StoreError::Unmet)?.try_into()
}

/// Takes deliveries that may be sent now, until this instant.
pub(super) async fn claim(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    now: DateTime<Utc>,
    limit: usize,
    until: DateTime<Utc>,
) -> Result<Vec<WebhookDelivery>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = fetch_all!(DeliveryRow, tx, CLAIM, endpoint.uuid(), now, limit, until)?;
    rows.into_iter().map(WebhookDelivery::try_from).collect()
}

/// Has those that an earlier one holds up wait with it.
pub(super) async fn defer(tx: &mut Tx, endpoint: WebhookEndpointId, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, DEFER, endpoint.uuid(), now)
}

/// Makes the next one about this subject due.
pub(super) async fn release(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, RELEASE, endpoint.uuid(), subject, now).map(drop)
}

/// Makes what waits due, some thousands at most: the rest keeps its time.
pub(super) async fn hurry(tx: &mut Tx, endpoint: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, HURRY, endpoint.uuid(), now).map(drop)
}

/// Writes what the attempt came to; `false` where another has been made since, or somebody had it sent again.
pub(super) async fn settle(tx: &mut Tx, sent: &WebhookDelivery, settled: &Settlement) -> Result<bool, StoreError> {
    let Settlement { state, due_at, status, failure, done_at } = settled;
    Ok(execute!(tx, SETTLE, sent.id, sent.claims, state.as_str(), due_at, status, failure, done_at)? == 1)
}

/// Has it tried later, for a reason of ours.
pub(super) async fn put_back(
    tx: &mut Tx,
    taken: &WebhookDelivery,
    due_at: DateTime<Utc>,
    why: &'static str,
) -> Result<(), StoreError> {
    execute!(tx, PUT_BACK, taken.id, taken.claims, due_at, why).map(drop)
}

/// The deliveries of an endpoint before this one, newest first.
pub(super) async fn page(
    on: &mut impl Read,
    endpoint: WebhookEndpointId,
    state: Option<DeliveryState>,
    before: i64,
    limit: i64,
) -> Result<Vec<WebhookDelivery>, StoreError> {
    let rows = match state {
        None => fetch_all!(DeliveryRow, on, PAGE, endpoint.uuid(), before, limit)?,
        Some(state) => fetch_all!(DeliveryRow, on, PAGE_OF_STATE, endpoint.uuid(), before, limit, state.as_str())?,
    };
    rows.into_iter().map(WebhookDelivery::try_from).collect()
}

/// Has one sent again at once; `None` when the endpoint has no such delivery.
pub(super) async fn redeliver(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    id: i64,
    now: DateTime<Utc>,
) -> Result<Option<WebhookDelivery>, StoreError> {
    fetch_optional!(DeliveryRow, tx, REDELIVER, id, endpoint.uuid(), now)?.map(WebhookDelivery::try_from).transpose()
}

/// The first delivery that was made at this instant or later, of whichever endpoint.
pub(super) async fn first_since(on: &mut impl Read, from: DateTime<Utc>) -> Result<Option<i64>, StoreError> {
    Ok(fetch_optional!(DeliveryIdRow, on, FIRST_SINCE, from)?.and_then(|row| row.id))
}

/// What a step of a replay came to.
pub(super) struct ReplayStep {
    /// Deliveries that are sent again.
    pub(super) replayed: u64,
    /// The last one that was looked at; `None` when there was none.
    pub(super) last: Option<i64>,
}

/// Has what is done of the next deliveries of an endpoint sent again, from this id on.
pub(super) async fn replay(
    tx: &mut Tx,
    endpoint: WebhookEndpointId,
    from: i64,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<ReplayStep, StoreError> {
    let last = fetch_optional!(DeliveryIdRow, tx, LAST_OF_STEP, endpoint.uuid(), from, limit)?.and_then(|row| row.id);
    let replayed = execute!(tx, REPLAY, endpoint.uuid(), from, limit, now)?;
    Ok(ReplayStep { replayed, last })
}

/// Since when the oldest delivery waits that an enabled endpoint has not taken.
pub(super) async fn oldest(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, on, OLDEST)?.and_then(|row| row.at))
}

/// How many were removed.
pub(super) struct Removed {
    pub(super) all: usize,
    /// Of these, what nobody had taken.
    pub(super) pending: usize,
}

/// Removes some that were to be sent last before this instant, whatever became of them.
pub(super) async fn remove_aged(tx: &mut Tx, before: DateTime<Utc>, limit: usize) -> Result<Removed, StoreError> {
    let rows = fetch_all!(RemovedRow, tx, REMOVE_AGED, before, i64::try_from(limit).unwrap_or(i64::MAX))?;
    let pending = rows.iter().filter(|row| row.state == DeliveryState::Pending.as_str()).count();
    Ok(Removed { all: rows.len(), pending })
}

/// Removes some of deleted endpoints.
pub(super) async fn remove_of_deleted(tx: &mut Tx, limit: usize) -> Result<u64, StoreError> {
    execute!(tx, REMOVE_OF_DELETED, i64::try_from(limit).unwrap_or(i64::MAX))
}
