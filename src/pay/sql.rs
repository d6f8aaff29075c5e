//! Payments in the database.
//!
//! What a worker or an operator decided about a payment is saved by `SAVE`, which names the version that the decision was made on.
//! Four statements leave the version as it is: `HASTEN` makes a row due that nobody works on, `RECALL` ([`due`]) rows whose due time a clock wrote that was ahead, `PARK` ([`due`]) moves the due time of one
//! that cannot be read, and `ABANDON_ALL` makes leased rows due before any worker runs. The claim that follows saves by version.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    kind::{CaptureStatus, PaymentKind},
    model::{HeldSum, Payment},
    timeline::PaymentEntry,
};
use crate::{
    engine::{AttentionReason, FlatStage, OnUnproven, Order, ReversalFailure, State, flat::Missing},
    events::{
        Subject,
        timeline::{self, Fact},
    },
    kernel::{AmazonPayId, ClientId, Currency, Environment, Intent, Money, PaymentId, PaymentKey},
    provider::pay::DeclineKind,
    store::{Read, Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "id, client_id, intent, account, environment, kind, pay_key, against, parent_id, amount_minor, currency, external_id, may_wait, \
         simulation, state, version, doubt, refusals, reversal_wanted, reversal_doubt, reversal_failure, attention, retryable, done, \
         first_sent_at, unproven_since, proven_at, reversed_at, remote_id, decline, error_code, attempts, attempts_before, events, \
         lease_token, due_at, created_at, updated_at, trace_context, held, capture_status, captured_minor, expires_at, look_at, \
         charged_back_at"
    };
}

statements! {
    INSERT = Sql::same(
        "payments.insert",
        "INSERT INTO payments (id, client_id, intent, account, environment, kind, pay_key, against, parent_id, amount_minor, currency, \
         external_id, may_wait, simulation, state, version, doubt, refusals, reversal_wanted, reversal_doubt, first_sent_at, unproven_since, \
         attempts, attempts_before, events, lease_token, due_at, created_at, updated_at, trace_context, held) VALUES ($1, $2, $3, $4, $5, $6, \
         $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, FALSE, 0, FALSE, FALSE, $16, $16, 1, 0, 1, $17, $18, $16, $16, $19, $20) \
         ON CONFLICT (intent) DO NOTHING",
    );
    BY_INTENT = Sql::same("payments.by_intent", concat!("SELECT ", columns!(), " FROM payments WHERE intent = $1"));
    BY_ID = Sql::same("payments.by_id", concat!("SELECT ", columns!(), " FROM payments WHERE id = $1"));
    LOCK = Sql::each(
        "payments.lock",
        concat!("SELECT ", columns!(), " FROM payments WHERE id = $1"),
        concat!("SELECT ", columns!(), " FROM payments WHERE id = $1 FOR UPDATE"),
    );
    SAVE = Sql::same(
        "payments.save",
        "UPDATE payments SET state = $3, doubt = $4, refusals = $5, reversal_wanted = $6, reversal_doubt = $7, reversal_failure = $8, \
         attention = $9, retryable = $10, done = $11, first_sent_at = $12, unproven_since = $13, proven_at = $14, reversed_at = $15, \
         remote_id = $16, decline = $17, error_code = $18, attempts = $19, attempts_before = $20, events = $21, lease_token = $22, \
         due_at = $23, updated_at = $24, expires_at = $25, look_at = $26, version = $2 + 1 WHERE id = $1 AND version = $2",
    );
    /// An order that nobody works on, that was left at rest at this version, and that is due later than that.
    HASTEN = Sql::same(
        "payments.hasten",
        "UPDATE payments SET due_at = $3 WHERE id = $1 AND version = $2 AND lease_token IS NULL AND due_at > $3",
    );
    ABANDON_ALL = Sql::same(
        "payments.abandon_all",
        "UPDATE payments SET due_at = $1 WHERE due_at IS NOT NULL AND lease_token IS NOT NULL",
    );
    /// What was, or may still be, given back of a charge. A refund that Amazon declined is not among it.
    RETURNED = Sql::same(
        "payments.returned",
        "SELECT COUNT(*) AS refunds, CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM payments \
         WHERE parent_id = $1 AND kind = 'refund' AND state NOT IN ('failed', 'canceled')",
    );
    /// Small: finished payments are in neither index.
    UNFINISHED = Sql::same(
        "payments.unfinished",
        "SELECT account, kind, state, COUNT(*) AS payments, MIN(unproven_since) AS unproven_since FROM \
         (SELECT account, kind, state, unproven_since FROM payments WHERE due_at IS NOT NULL UNION ALL \
         SELECT account, kind, state, unproven_since FROM payments WHERE state = 'needs_attention' AND due_at IS NULL) AS unfinished \
         GROUP BY account, kind, state",
    );
    ATTENTION = Sql::same(
        "payments.attention",
        concat!("SELECT ", columns!(), " FROM payments WHERE state = 'needs_attention' ORDER BY id LIMIT 1000"),
    );
}

row! {
    struct PaymentRow {
        id: Uuid, client_id: Uuid, intent: Vec<u8>, account: String, environment: String, kind: String, pay_key: String,
        against: String, parent_id: Option<Uuid>, amount_minor: i64, currency: String, external_id: Option<String>, may_wait: bool,
        simulation: Option<String>, state: String, version: i64, doubt: bool, refusals: i64, reversal_wanted: bool,
        reversal_doubt: bool, reversal_failure: Option<String>, attention: Option<String>, retryable: Option<bool>,
        done: Option<bool>, first_sent_at: Option<DateTime<Utc>>, unproven_since: Option<DateTime<Utc>>,
        proven_at: Option<DateTime<Utc>>, reversed_at: Option<DateTime<Utc>>, remote_id: Option<String>, decline: Option<String>,
        error_code: Option<String>, attempts: i64, attempts_before: i64, events: i64, lease_token: Option<Uuid>,
        due_at: Option<DateTime<Utc>>, created_at: DateTime<Utc>, updated_at: DateTime<Utc>, trace_context: Option<String>,
        held: bool, capture_status: Option<String>, captured_minor: Option<i64>, expires_at: Option<DateTime<Utc>>,
        look_at: Option<DateTime<Utc>>, charged_back_at: Option<DateTime<Utc>>,
    }
}

row! {
    struct ReturnedRow { refunds: i64, amount_minor: i64 }
}

row! {
    struct UnfinishedPaymentRow {
        account: String, kind: String, state: String, payments: i64, unproven_since: Option<DateTime<Utc>>,
    }
}

pub mod brief;
pub mod due;
pub mod held;
pub mod list;
pub mod notices;

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "payments", column }
}

fn word<T>(text: Option<&str>, read: fn(&str) -> Option<T>, column: &'static str) -> Result<Option<T>, StoreError> {
    text.map(|text| read(text).ok_or_else(|| bad(column))).transpose()
}

impl PaymentRow {
    fn flat(&self) -> Result<FlatStage, StoreError> {
        Ok(FlatStage {
            state: State::from_word(&self.state).ok_or_else(|| bad("state"))?,
            doubt: self.doubt,
            refusals: u8::try_from(self.refusals).map_err(|_number| bad("refusals"))?,
            reversal_wanted: self.reversal_wanted,
            reversal_doubt: self.reversal_doubt,
            reversal_failure: word(self.reversal_failure.as_deref(), ReversalFailure::from_word, "reversal_failure")?,
            attention: word(self.attention.as_deref(), AttentionReason::from_word, "attention")?,
            first_sent_at: self.first_sent_at,
            proven_at: self.proven_at,
            reversed_at: self.reversed_at,
            retryable: self.retryable,
            // A payment has no receipt: it is its buyer's as soon as it is made.
            handed_out: Some(true),
            done: self.done,
        })
    }
}

impl TryFrom<PaymentRow> for Payment {
    type Error = StoreError;

    fn try_from(row: PaymentRow) -> Result<Self, StoreError> {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        let stage = row.flat()?.stage().map_err(|missing| {
            bad(match missing {
                Missing::FirstSentAt => "first_sent_at",
                Missing::ProvenAt => "proven_at",
            })
        })?;
        let holding = HeldSum {
            capture: word(row.capture_status.as_deref(), CaptureStatus::from_word, "capture_status")?,
            captured_minor: row.captured_minor,
            expires_at: row.expires_at,
            look_at: row.look_at,
        };
        let holding = row.held.then_some(holding);
        Ok(Self {
            id: PaymentId::new(row.id),
            client: ClientId::new(row.client_id),
            intent: Intent::from_stored(row.intent.try_into().map_err(|_bytes| bad("intent"))?),
            account: row.account,
            environment: Environment::from_word(&row.environment).ok_or_else(|| bad("environment"))?,
            kind: PaymentKind::from_word(&row.kind).ok_or_else(|| bad("kind"))?,
            pay_key: PaymentKey::from_stored(row.pay_key),
            against: row.against.parse().map_err(|_malformed| bad("against"))?,
            parent: row.parent_id.map(PaymentId::new),
            value: Money::from_minor(row.amount_minor, currency),
            external_id: row.external_id,
            may_wait: row.may_wait,
            simulation: row.simulation,
            order: Order {
                stage,
                on_unproven: OnUnproven::Keep,
                attempts: row.attempts,
                attempts_before: row.attempts_before,
                showings: 0,
                unproven_since: row.unproven_since,
                lease: row.lease_token,
                due_at: row.due_at,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            },
            remote_id: row.remote_id.map(|id| id.parse().map_err(|_malformed| bad("remote_id"))).transpose()?,
            decline: word(row.decline.as_deref(), DeclineKind::from_word, "decline")?,
            last_error: row.error_code,
            events: row.events,
            // The payment is found even if a later version wrote its trace in another form.
            trace: row.trace_context.and_then(|text| text.parse().ok()),
            holding,
            charged_back_at: row.charged_back_at,
        })
    }
}

/// Inserts a payment that is about to be sent, with its first entry; says whether it was new.
pub(super) async fn insert(tx: &mut Tx, payment: &mut Payment, entry: &PaymentEntry) -> Result<bool, StoreError> {
    payment.events = 1;
    let order = payment.order;
    let new = execute!(
        tx,
        INSERT,
        payment.id.uuid(),
        payment.client.uuid(),
        payment.intent.as_bytes().as_slice(),
        payment.account.as_str(),
        payment.environment.as_str(),
        payment.kind.as_str(),
        payment.pay_key.as_str(),
        payment.against.as_str(),
        payment.parent.map(PaymentId::uuid),
        payment.value.minor(),
        payment.value.currency().code(),
        payment.external_id.as_deref(),
        payment.may_wait,
        payment.simulation.as_deref(),
        order.state().as_str(),
        order.created_at,
        order.lease,
        order.due_at,
        payment.trace.map(|context| context.to_string()),
        payment.holding.is_some()
    )? == 1;
    if new {
        write_event(tx, payment, entry, order.created_at).await?;
    }
    Ok(new)
}

/// The payment of this intent.
pub(super) async fn of_intent(on: &mut impl Read, intent: &Intent) -> Result<Option<Payment>, StoreError> {
    fetch_optional!(PaymentRow, on, BY_INTENT, intent.as_bytes().as_slice())?.map(Payment::try_from).transpose()
}

/// The payment of this id, read outside any transaction.
pub(super) async fn peek(snapshot: &mut Snapshot, id: PaymentId) -> Result<Option<Payment>, StoreError> {
    fetch_optional!(PaymentRow, snapshot, BY_ID, id.uuid())?.map(Payment::try_from).transpose()
}

/// The payment of this id; nobody else changes it before this transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: PaymentId) -> Result<Option<Payment>, StoreError> {
    fetch_optional!(PaymentRow, tx, LOCK, id.uuid())?.map(Payment::try_from).transpose()
}

/// Saves a payment read at its version, with an entry; `false` when it has changed since. The payment then carries its new version.
pub(super) async fn save(
    tx: &mut Tx,
    payment: &mut Payment,
    entry: Option<&PaymentEntry>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    payment.order.updated_at = now;
    payment.events = payment.events.saturating_add(i64::from(entry.is_some()));
    let (order, flat) = (payment.order, FlatStage::of(&payment.order.stage));
    let saved = execute!(
        tx,
        SAVE,
        payment.id.uuid(),
        order.version,
        flat.state.as_str(),
        flat.doubt,
        i64::from(flat.refusals),
        flat.reversal_wanted,
        flat.reversal_doubt,
        flat.reversal_failure.map(ReversalFailure::as_str),
        flat.attention.map(AttentionReason::as_str),
        flat.retryable,
        flat.done,
        flat.first_sent_at,
        order.unproven_since,
        flat.proven_at,
        flat.reversed_at,
        payment.remote_id.as_ref().map(AmazonPayId::as_str),
        payment.decline.map(DeclineKind::as_str),
        payment.last_error.as_deref(),
        order.attempts,
        order.attempts_before,
        payment.events,
        order.lease,
        order.due_at,
        order.updated_at,
        payment.holding.and_then(|holding| holding.expires_at),
        payment.holding.and_then(|holding| holding.look_at)
    )?;
    if saved != 1 {
        return Ok(false);
    }
    payment.order.version = order.version.saturating_add(1);
    if let Some(entry) = entry {
        write_event(tx, payment, entry, now).await?;
    }
    Ok(true)
}

async fn write_event(
    tx: &mut Tx,
    payment: &Payment,
    entry: &PaymentEntry,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if payment.kind == PaymentKind::Capture {
        return held::show_in_charge(tx, payment, entry, at).await;
    }
    let fact = Fact {
        subject: Subject::Payment(payment.id),
        seq: payment.events,
        client: payment.client,
        account: &payment.account,
        kind: entry.kind,
        data: entry.detail_json(),
    };
    timeline::write(tx, fact, at).await
}

/// What was, or may still be, given back of a charge: how many refunds, and how much.
pub(super) async fn returned(tx: &mut Tx, charge: &Payment) -> Result<(i64, Money), StoreError> {
    let row = fetch_optional!(ReturnedRow, tx, RETURNED, charge.id.uuid())?;
    let (refunds, minor) = row.map_or((0, 0), |row| (row.refunds, row.amount_minor));
    Ok((refunds, Money::from_minor(minor, charge.value.currency())))
}

/// The same in minor units, of a charge that is not at hand.
pub(super) async fn asked_back(tx: &mut Tx, charge: PaymentId) -> Result<i64, StoreError> {
    Ok(fetch_optional!(ReturnedRow, tx, RETURNED, charge.uuid())?.map_or(0, |row| row.amount_minor))
}

/// Makes a payment due now that would be due later, unless it has changed or somebody works on it; answers whether.
pub(super) async fn hasten(tx: &mut Tx, payment: &Payment, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(tx, HASTEN, payment.id.uuid(), payment.order.version, now)? == 1)
}

/// Makes everything leased due at once. Only for a process that knows that it is the only one: at the start on SQLite.
pub(super) async fn abandon_all(tx: &mut Tx, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, ABANDON_ALL, now)
}

/// Payments of an account that are not finished, by kind and state.
#[derive(Debug, Clone)]
pub(crate) struct UnfinishedPayments {
    pub(crate) account: String,
    pub(crate) kind: PaymentKind,
    pub(crate) state: State,
    /// How many.
    pub(crate) payments: i64,
    /// Since when the oldest is unproven.
    pub(crate) unproven_since: Option<DateTime<Utc>>,
}

/// What is not finished. Rows of a kind or a state that only a later version knows are left out.
pub(crate) async fn unfinished(snapshot: &mut Snapshot) -> Result<Vec<UnfinishedPayments>, StoreError> {
    let rows = fetch_all!(UnfinishedPaymentRow, snapshot, UNFINISHED)?;
    let read = |row: UnfinishedPaymentRow| {
        Some(UnfinishedPayments {
            kind: PaymentKind::from_word(&row.kind)?,
            state: State::from_word(&row.state)?,
            account: row.account,
            payments: row.payments,
            unproven_since: row.unproven_since,
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The payments that need a person, oldest first.
pub(crate) async fn attention(snapshot: &mut Snapshot) -> Result<Vec<Payment>, StoreError> {
    // One that only a later version can read must not hide the others.
    let read = |row: PaymentRow| {
        let id = PaymentId::new(row.id);
        let payment = Payment::try_from(row);
        payment.inspect_err(|error| tracing::error!(payment.id = %id, error = %error, "a payment cannot be read")).ok()
    };
    Ok(fetch_all!(PaymentRow, snapshot, ATTENTION)?.into_iter().filter_map(read).collect())
}

/// The words of the kinds that this program knows, as JSON.
fn known_kinds() -> String {
    json!(PaymentKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()).to_string()
}
