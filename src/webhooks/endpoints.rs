//! Where clients listen: the table of endpoints.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::{endpoint_url::EndpointUrl, event::EventFilter};
use crate::{
    config::KeyId,
    kernel::{ClientId, ProgramId, WebhookEndpointId, word_methods},
    sealing::{Sealed, SealingKeyUse},
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "e.id, e.client_id, e.program_id, e.everyone, e.url, e.description, e.event_types, e.since, e.state, e.disabled_why, \
         e.secret_key, e.secret_sealed, e.old_secret_key, e.old_secret_sealed, e.old_secret_until, e.failures, e.failing_since, \
         e.created_at, e.updated_at"
    };
}

/// The old secret is kept where it signs until an instant.
macro_rules! rotated {
    ($until:literal) => {
        concat!(
            "UPDATE webhook_endpoints SET old_secret_key = CASE WHEN ",
            $until,
            " IS NOT NULL THEN secret_key END, old_secret_sealed = CASE WHEN ",
            $until,
            " IS NOT NULL THEN secret_sealed END, old_secret_until = ",
            $until,
            ", secret_key = $2, secret_sealed = $3, updated_at = $5 WHERE id = $1 AND state <> 'deleted'"
        )
    };
}

statements! {
    INSERT = Sql::same(
        "webhook_endpoints.insert",
        "INSERT INTO webhook_endpoints (id, client_id, program_id, everyone, url, description, event_types, since, state, secret_key, \
         secret_sealed, failures, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'enabled', $9, $10, 0, $11, $11)",
    );
    BY_ID = Sql::same(
        "webhook_endpoints.by_id",
        concat!("SELECT ", columns!(), " FROM webhook_endpoints e WHERE e.id = $1 AND e.state <> 'deleted'"),
    );
    /// A client has a few.
    OF_CLIENT = Sql::same(
        "webhook_endpoints.of_client",
        concat!("SELECT ", columns!(), " FROM webhook_endpoints e WHERE e.client_id = $1 AND e.state <> 'deleted' ORDER BY e.id"),
    );
    /// All that hear: each client has a few.
    LISTENING = Sql::same(
        "webhook_endpoints.listening",
        concat!("SELECT ", columns!(), " FROM webhook_endpoints e WHERE e.state <> 'deleted' ORDER BY e.id"),
    );
    /// Those to which something may be sent now.
    READY = Sql::same(
        "webhook_endpoints.ready",
        concat!(
            "SELECT ",
            columns!(),
            " FROM webhook_endpoints e WHERE e.state = 'enabled' AND (e.paused_until IS NULL OR e.paused_until <= $1) \
             AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= $1) \
             ORDER BY e.id"
        ),
    );
    CHANGE = Sql::same(
        "webhook_endpoints.change",
        "UPDATE webhook_endpoints SET url = $2, description = $3, event_types = $4, updated_at = $5 \
         WHERE id = $1 AND state <> 'deleted'",
    );
    ENABLE = Sql::same(
        "webhook_endpoints.enable",
        "UPDATE webhook_endpoints SET state = 'enabled', disabled_why = NULL, failures = 0, failing_since = NULL, paused_until = NULL, \
         updated_at = $2 WHERE id = $1 AND state = 'disabled'",
    );
    /// An old secret that signs no more needs no key.
    SEALED_BY = Sql::same(
        "webhook_endpoints.sealed_by",
        "SELECT sealing_key, COUNT(*) AS secrets FROM (SELECT secret_key AS sealing_key FROM webhook_endpoints WHERE state <> 'deleted' \
         UNION ALL SELECT old_secret_key FROM webhook_endpoints WHERE state <> 'deleted' AND old_secret_until > $1) AS sealed \
         GROUP BY sealing_key ORDER BY sealing_key",
    );
    DISABLE = Sql::same(
        "webhook_endpoints.disable",
        "UPDATE webhook_endpoints SET state = 'disabled', disabled_why = $2, updated_at = $3 WHERE id = $1 AND state = 'enabled'",
    );
    /// By an answer of the receiver that this URL leads to.
    DISABLE_GONE = Sql::same(
        "webhook_endpoints.disable_gone",
        "UPDATE webhook_endpoints SET state = 'disabled', disabled_why = 'gone', updated_at = $3 \
         WHERE id = $1 AND url = $2 AND state = 'enabled'",
    );
    DISABLE_FAILING = Sql::same(
        "webhook_endpoints.disable_failing",
        "UPDATE webhook_endpoints SET state = 'disabled', disabled_why = 'failing', updated_at = $3 \
         WHERE id = $1 AND failing_since <= $2 AND state = 'enabled'",
    );
    PAUSE = Sql::same(
        "webhook_endpoints.pause",
        "UPDATE webhook_endpoints SET paused_until = $2 WHERE id = $1 AND state = 'enabled'",
    );
    ROTATE = Sql::each("webhook_endpoints.rotate", rotated!("$4"), rotated!("CAST($4 AS TIMESTAMPTZ)"));
    DELETE = Sql::same(
        "webhook_endpoints.delete",
        "UPDATE webhook_endpoints SET state = 'deleted', disabled_why = NULL, updated_at = $2 WHERE id = $1 AND state <> 'deleted'",
    );
    /// A deleted one of which nothing is left.
    REMOVE = Sql::same(
        "webhook_endpoints.remove",
        "DELETE FROM webhook_endpoints WHERE state = 'deleted' \
         AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = webhook_endpoints.id)",
    );
    FAILED = Sql::same(
        "webhook_endpoints.failed",
        "UPDATE webhook_endpoints SET failures = failures + 1, paused_until = $3, \
         failing_since = CASE WHEN paused_until > $4 THEN COALESCE(failing_since, $2) ELSE $2 END \
         WHERE id = $1 AND state = 'enabled'",
    );
    /// Changes only rows with failures.
    SUCCEEDED = Sql::same(
        "webhook_endpoints.succeeded",
        "UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, paused_until = NULL WHERE id = $1 AND failures > 0",
    );
    /// The end of the pause stays: by it a failure is judged to go on with those before.
    RESUME = Sql::same(
        "webhook_endpoints.resume",
        "UPDATE webhook_endpoints SET paused_until = $2 WHERE id = $1 AND paused_until > $2",
    );
    COUNTS = Sql::same(
        "webhook_endpoints.counts",
        "SELECT state, COUNT(*) AS endpoints FROM webhook_endpoints WHERE state <> 'deleted' GROUP BY state",
    );
}

/// Whether an endpoint is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum EndpointState {
    /// It is.
    Enabled,
    /// Its events wait until somebody enables it.
    Disabled,
}
word_methods!(EndpointState);

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DisabledWhy {
    /// Its client asked for it.
    Asked,
    /// The receiver answered 410.
    Gone,
    /// Nothing was delivered for days.
    Failing,
}
word_methods!(DisabledWhy);

row! {
    struct SealedSecretsRow { sealing_key: String, secrets: i64 }
}

row! {
    struct EndpointRow {
        id: Uuid, client_id: Uuid, program_id: Option<String>, everyone: bool, url: String, description: Option<String>,
        event_types: String, since: i64, state: String, disabled_why: Option<String>, secret_key: String, secret_sealed: Vec<u8>,
        old_secret_key: Option<String>, old_secret_sealed: Option<Vec<u8>>, old_secret_until: Option<DateTime<Utc>>,
        failures: i64, failing_since: Option<DateTime<Utc>>, created_at: DateTime<Utc>, updated_at: DateTime<Utc>,
    }
}

row! {
    struct EndpointCountRow { state: String, endpoints: i64 }
}

/// Where a client listens.
#[derive(Clone)]
pub(crate) struct WebhookEndpoint {
    pub(crate) id: WebhookEndpointId,
    /// Whose events it hears.
    pub(crate) client: ClientId,
    /// Of these, what this program is about alone.
    pub(crate) program: Option<ProgramId>,
    /// It hears of programs, accounts and clients of everybody, too.
    pub(crate) everyone: bool,
    /// Receivers put secrets into it: it is shown to its client alone.
    pub(crate) url: String,
    /// The client's own words.
    pub(crate) description: Option<String>,
    pub(crate) event_types: EventFilter,
    /// The last fact before it was made.
    pub(crate) since: i64,
    pub(crate) state: EndpointState,
    pub(crate) disabled_why: Option<DisabledWhy>,
    /// What signs.
    pub(crate) secret: Sealed,
    /// What signs beside it, until this instant.
    pub(crate) old_secret: Option<(Sealed, DateTime<Utc>)>,
    /// Failures without a success between, and when the first of them was.
    pub(crate) failures: i64,
    pub(crate) failing_since: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl WebhookEndpoint {
    /// Of its URL what may be shown to others than its client: receivers put secrets into the rest.
    pub(crate) fn host(&self) -> Option<String> {
        EndpointUrl::from_stored(&self.url).map(|url| url.host().to_owned()).ok()
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "webhook_endpoints", column }
}

fn sealed(key: &str, bytes: Vec<u8>) -> Result<Sealed, StoreError> {
    let key: KeyId = key.parse().map_err(|_malformed| bad("secret_key"))?;
    Ok(Sealed::from_stored(key, bytes))
}

impl TryFrom<EndpointRow> for WebhookEndpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Result<Self, StoreError> {
        let old = row.old_secret_key.zip(row.old_secret_sealed).zip(row.old_secret_until);
        let old = old.map(|((key, bytes), until)| Ok::<_, StoreError>((sealed(&key, bytes)?, until))).transpose()?;
        let why = row.disabled_why.map(|word| DisabledWhy::from_word(&word).ok_or_else(|| bad("disabled_why")));
        Ok(Self {
            id: WebhookEndpointId::new(row.id),
            client: ClientId::new(row.client_id),
            program: row.program_id.map(|id| id.parse()).transpose().map_err(|_malformed| bad("program_id"))?,
            everyone: row.everyone,
            url: row.url,
            description: row.description,
            event_types: EventFilter::from_stored(&row.event_types),
            since: row.since,
            state: EndpointState::from_word(&row.state).ok_or_else(|| bad("state"))?,
            disabled_why: why.transpose()?,
            secret: sealed(&row.secret_key, row.secret_sealed)?,
            old_secret: old,
            failures: row.failures,
            failing_since: row.failing_since,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Those that can be read. One that cannot, because a later version wrote it or a person did, must not hold up all others.
fn readable(rows: Vec<EndpointRow>) -> Vec<WebhookEndpoint> {
    let read = |row: EndpointRow| {
        let id = WebhookEndpointId::new(row.id);
        let endpoint = WebhookEndpoint::try_from(row);
        endpoint
            .inspect_err(|error| tracing::error!(webhooks.endpoint = %id, error = %error, "an endpoint cannot be read"))
            .ok()
    };
    rows.into_iter().filter_map(read).collect()
}

/// Puts down a new endpoint.
pub(super) async fn insert(tx: &mut Tx, new: &WebhookEndpoint) -> Result<(), StoreError> {
    let (id, client, program) = (new.id.uuid(), new.client.uuid(), new.program.as_ref().map(ProgramId::as_str));
    let (url, description, types) = (new.url.as_str(), new.description.as_deref(), new.event_types.to_stored());
    let (key, sealed) = (new.secret.key().as_str(), new.secret.as_bytes());
    let WebhookEndpoint { everyone, since, created_at, .. } = new;
    execute!(tx, INSERT, id, client, program, everyone, url, description, types, since, key, sealed, created_at)
        .map(drop)
}

/// The endpoint of this id.
pub(super) async fn find(on: &mut impl Read, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
    fetch_optional!(EndpointRow, on, BY_ID, id.uuid())?.map(WebhookEndpoint::try_from).transpose()
}

/// All of a client's.
pub(super) async fn of_client(on: &mut impl Read, client: ClientId) -> Result<Vec<WebhookEndpoint>, StoreError> {
    fetch_all!(EndpointRow, on, OF_CLIENT, client.uuid())?.into_iter().map(WebhookEndpoint::try_from).collect()
}

/// All that hear of events, also those that are disabled.
pub(super) async fn listening(on: &mut impl Read) -> Result<Vec<WebhookEndpoint>, StoreError> {
    Ok(readable(fetch_all!(EndpointRow, on, LISTENING)?))
}

/// All to which something may be sent now.
pub(super) async fn ready(on: &mut impl Read, now: DateTime<Utc>) -> Result<Vec<WebhookEndpoint>, StoreError> {
    Ok(readable(fetch_all!(EndpointRow, on, READY, now)?))
}

/// Writes where it listens, its description and what it hears.
pub(super) async fn change(tx: &mut Tx, changed: &WebhookEndpoint, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (url, description, types) =
        (changed.url.as_str(), changed.description.as_deref(), changed.event_types.to_stored());
    execute!(tx, CHANGE, changed.id.uuid(), url, description, types, now).map(drop)
}

/// Sends to it again; [`super::deliveries::hurry`] makes what waits due.
pub(super) async fn enable(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, ENABLE, id.uuid(), now).map(drop)
}

/// Sends nothing more to it; `false` when it was disabled.
pub(super) async fn disable(
    tx: &mut Tx,
    id: WebhookEndpointId,
    why: DisabledWhy,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, DISABLE, id.uuid(), why.as_str(), now)? == 1)
}

/// Which keys sealed the secrets that sign now.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn sealed_by(on: &mut impl Read, now: DateTime<Utc>) -> Result<Vec<SealingKeyUse>, StoreError> {
    let read = |row: SealedSecretsRow| match row.sealing_key.parse() {
        Ok(key) => Ok(SealingKeyUse { key, count: row.secrets }),
        Err(_malformed) => Err(StoreError::Inconsistent { table: "webhook_endpoints", column: "secret_key" }),
    };
    fetch_all!(SealedSecretsRow, on, SEALED_BY, now)?.into_iter().map(read).collect()
}

/// Signs with this secret, and with the old one until then.
pub(super) async fn rotate(
    tx: &mut Tx,
    id: WebhookEndpointId,
    secret: &Sealed,
    old_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, ROTATE, id.uuid(), secret.key().as_str(), secret.as_bytes(), old_until, now).map(drop)
}

/// Hides it; [`remove`] takes it away once its deliveries are gone.
pub(super) async fn delete(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, DELETE, id.uuid(), now).map(drop)
}

/// Takes away deleted ones without deliveries.
pub(super) async fn remove(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(tx, REMOVE).map(drop)
}

/// Disables it because its receiver wants no more; `false` where it is disabled, or has another URL by now.
pub(super) async fn disable_gone(
    tx: &mut Tx,
    id: WebhookEndpointId,
    url: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, DISABLE_GONE, id.uuid(), url, now)? == 1)
}

/// Disables it where it has failed since then or longer.
pub(super) async fn disable_failing(
    tx: &mut Tx,
    id: WebhookEndpointId,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, DISABLE_FAILING, id.uuid(), since, now)? == 1)
}

/// Sends nothing to it until then.
pub(super) async fn pause(tx: &mut Tx, id: WebhookEndpointId, until: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, PAUSE, id.uuid(), until).map(drop)
}

/// Notes a failure, and until when nothing is sent to it. After two quiet days it begins a new series.
pub(super) async fn failed(
    tx: &mut Tx,
    id: WebhookEndpointId,
    now: DateTime<Utc>,
    paused_until: DateTime<Utc>,
    quiet_since: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, FAILED, id.uuid(), now, paused_until, quiet_since).map(drop)
}

/// Ends a row of failures.
pub(super) async fn succeeded(tx: &mut Tx, id: WebhookEndpointId) -> Result<(), StoreError> {
    execute!(tx, SUCCEEDED, id.uuid()).map(drop)
}

/// Ends a pause.
pub(super) async fn resume(tx: &mut Tx, id: WebhookEndpointId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, RESUME, id.uuid(), now).map(drop)
}

/// How many there are in each state.
pub(super) async fn counts(on: &mut impl Read) -> Result<Vec<(EndpointState, i64)>, StoreError> {
    let rows = fetch_all!(EndpointCountRow, on, COUNTS)?;
    Ok(rows.into_iter().filter_map(|row| Some((EndpointState::from_word(&row.state)?, row.endpoints))).collect())
}
