//! Notifications in the database, and the payments that they wake.
//!
//! Like `HASTEN` ([`super`]), what wakes a payment leaves its version as it is: the claim that follows saves by it. A charge-back is part of the
//! charge and counts: whoever judges the charge by what it read before judges anew.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    events::{
        Subject,
        timeline::{self, Fact},
    },
    kernel::{AmazonPayId, ClientId, PayNoticeId, PaySubscriptionId, PaymentId, PaymentKey},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    INSERT = Sql::same(
        "pay_notifications.insert",
        "INSERT INTO pay_notifications (id, account, message_id, reference, kind, object_id, payment_id, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    );
    SUBSCRIBE = Sql::same(
        "pay_subscriptions.insert",
        "INSERT INTO pay_subscriptions (id, account, message_id, topic, token, received_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT DO NOTHING",
    );
    /// A few of the oldest. SNS repeats what it has sent for two weeks.
    FORGET = Sql::same(
        "pay_notifications.forget",
        "DELETE FROM pay_notifications WHERE id IN \
         (SELECT id FROM pay_notifications WHERE received_at < $1 ORDER BY received_at LIMIT 20)",
    );
    OF_REMOTE = Sql::same(
        "payments.noticed_by_id",
        "SELECT id, kind, parent_id FROM payments WHERE remote_id = $2 AND account = $1 ORDER BY id DESC LIMIT 20",
    );
    OF_KEY = Sql::same(
        "payments.noticed_by_key",
        "SELECT id, kind, parent_id FROM payments WHERE pay_key = $2 AND account = $1",
    );
    /// Those of a consent that are not decided.
    OPEN_OF_CONSENT = Sql::same(
        "payments.noticed_by_consent",
        "SELECT id, kind, parent_id FROM payments WHERE account = $1 AND against = $2 AND (due_at IS NOT NULL OR look_at IS NOT NULL) \
         ORDER BY id DESC LIMIT 20",
    );
    /// Charges of a consent that took money, with Amazon's ids of them.
    TAKEN_OF_CONSENT = Sql::same(
        "payments.taken_of_consent",
        "SELECT id, remote_id FROM payments WHERE account = $1 AND against = $2 AND kind = 'charge' AND state = 'issued' \
         AND (NOT held OR capture_status = 'paid') LIMIT 1000",
    );
    WAKE = Sql::same(
        "payments.wake",
        "UPDATE payments SET due_at = $2 WHERE id = $1 AND lease_token IS NULL AND due_at > $2",
    );
    WAKE_HELD = Sql::same("payments.wake_held", "UPDATE payments SET look_at = $2 WHERE id = $1 AND look_at > $2");
    CHARGE_BACK = Sql::same(
        "payments.charge_back",
        "UPDATE payments SET charged_back_at = $2, updated_at = $2, events = events + 1, version = version + 1 \
         WHERE id = $1 AND charged_back_at IS NULL RETURNING events, client_id",
    );
    PENDING = Sql::same(
        "pay_subscriptions.list",
        "SELECT id, account, topic, token, received_at, confirmed_at FROM pay_subscriptions ORDER BY received_at DESC LIMIT 1000",
    );
    LAST = Sql::same(
        "pay_notifications.last",
        "SELECT id, account, kind, object_id, payment_id, received_at FROM pay_notifications ORDER BY received_at DESC LIMIT $1",
    );
    CONFIRMED = Sql::same(
        "pay_subscriptions.confirm",
        "UPDATE pay_subscriptions SET confirmed_at = $2 WHERE id = $1 AND confirmed_at IS NULL",
    );
}

row! {
    struct NoticedRow { id: Uuid, kind: String, parent_id: Option<Uuid> }
}

row! {
    struct TakenOfConsentRow { id: Uuid, remote_id: Option<String> }
}

row! {
    struct ChargedBackRow { events: i64, client_id: Uuid }
}

row! {
    struct SubscriptionRow {
        id: Uuid, account: String, topic: String, token: String, received_at: DateTime<Utc>, confirmed_at: Option<DateTime<Utc>>,
    }
}

row! {
    struct NoticeRow {
        id: Uuid, account: String, kind: String, object_id: Option<String>, payment_id: Option<Uuid>, received_at: DateTime<Utc>,
    }
}

/// A notification, as it is written down.
pub(in crate::pay) struct NewNotice<'a> {
    pub(in crate::pay) id: PayNoticeId,
    pub(in crate::pay) account: &'a str,
    pub(in crate::pay) message_id: Uuid,
    pub(in crate::pay) reference: Option<Uuid>,
    pub(in crate::pay) kind: &'static str,
    pub(in crate::pay) object: Option<&'a AmazonPayId>,
    pub(in crate::pay) payment: Option<PaymentId>,
}

/// A payment that a notification is about.
#[derive(Debug, Clone, Copy)]
pub(in crate::pay) struct NoticedPayment {
    pub(in crate::pay) id: PaymentId,
    /// Of a capture or a refund: the charge.
    pub(in crate::pay) parent: Option<PaymentId>,
    pub(in crate::pay) is_refund: bool,
}

impl From<NoticedRow> for NoticedPayment {
    fn from(row: NoticedRow) -> Self {
        let (id, parent) = (PaymentId::new(row.id), row.parent_id.map(PaymentId::new));
        Self { id, parent, is_refund: row.kind == "refund" }
    }
}

/// Writes a notification down; says whether it is new.
pub(in crate::pay) async fn insert(tx: &mut Tx, new: NewNotice<'_>, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let NewNotice { id, account, message_id, reference, kind, object, payment } = new;
    let (object, payment) = (object.map(AmazonPayId::as_str), payment.map(PaymentId::uuid));
    Ok(execute!(tx, INSERT, id.uuid(), account, message_id, reference, kind, object, payment, now)? == 1)
}

/// A subscription that SNS asks for, as it is written down.
pub(in crate::pay) struct NewSubscription<'a> {
    pub(in crate::pay) id: PaySubscriptionId,
    pub(in crate::pay) account: &'a str,
    pub(in crate::pay) message_id: Uuid,
    pub(in crate::pay) topic: &'a str,
    pub(in crate::pay) token: &'a str,
}

/// Writes down that SNS asks for a subscription; says whether that is new.
pub(in crate::pay) async fn subscribe(
    tx: &mut Tx,
    asked: NewSubscription<'_>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let NewSubscription { id, account, message_id, topic, token } = asked;
    Ok(execute!(tx, SUBSCRIBE, id.uuid(), account, message_id, topic, token, now)? == 1)
}

/// Forgets a few that are older than this.
pub(in crate::pay) async fn forget(tx: &mut Tx, before: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(tx, FORGET, before)
}

/// The account's payments that have this id of Amazon's. A capture has that of its charge, and comes first: whoever writes both does so in
/// that order.
pub(in crate::pay) async fn of_remote(
    tx: &mut Tx,
    account: &str,
    id: &AmazonPayId,
) -> Result<Vec<NoticedPayment>, StoreError> {
    Ok(noticed(fetch_all!(NoticedRow, tx, OF_REMOTE, account, id.as_str())?))
}

/// The account's payments of this key.
pub(in crate::pay) async fn of_key(
    tx: &mut Tx,
    account: &str,
    key: &PaymentKey,
) -> Result<Vec<NoticedPayment>, StoreError> {
    Ok(noticed(fetch_all!(NoticedRow, tx, OF_KEY, account, key.as_str())?))
}

/// The account's payments against this consent that are not decided.
pub(in crate::pay) async fn open_of_consent(
    tx: &mut Tx,
    account: &str,
    consent: &AmazonPayId,
) -> Result<Vec<NoticedPayment>, StoreError> {
    Ok(noticed(fetch_all!(NoticedRow, tx, OPEN_OF_CONSENT, account, consent.as_str())?))
}

fn noticed(rows: Vec<NoticedRow>) -> Vec<NoticedPayment> {
    rows.into_iter().map(NoticedPayment::from).collect()
}

/// The charges against this consent that took money, with Amazon's ids of them.
pub(in crate::pay) async fn taken_of_consent(
    tx: &mut Tx,
    account: &str,
    consent: &AmazonPayId,
) -> Result<Vec<(PaymentId, String)>, StoreError> {
    let rows = fetch_all!(TakenOfConsentRow, tx, TAKEN_OF_CONSENT, account, consent.as_str())?;
    Ok(rows.into_iter().filter_map(|row| Some((PaymentId::new(row.id), row.remote_id?))).collect())
}

/// Makes a payment due now that nobody works on and that would be due later, and held money to be looked at now; says whether.
pub(in crate::pay) async fn wake(tx: &mut Tx, id: PaymentId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let due = execute!(tx, WAKE, id.uuid(), now)?;
    Ok(due.saturating_add(execute!(tx, WAKE_HELD, id.uuid(), now)?) > 0)
}

/// Writes down that a charge is taken back, with the entry of its timeline; says whether that is new.
pub(in crate::pay) async fn charge_back(
    tx: &mut Tx,
    account: &str,
    charge: PaymentId,
    notice: PayNoticeId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(charged) = fetch_optional!(ChargedBackRow, tx, CHARGE_BACK, charge.uuid(), now)? else { return Ok(false) };
    let fact = Fact {
        subject: Subject::Payment(charge),
        seq: charged.events,
        client: ClientId::new(charged.client_id),
        account,
        kind: "charge.charged_back",
        data: Some(serde_json::json!({"notification_id": notice.to_string()}).to_string()),
    };
    timeline::write(tx, fact, now).await?;
    Ok(true)
}

/// A subscription that SNS asked for.
#[derive(Debug, Clone)]
pub(crate) struct AskedSubscription {
    pub(crate) id: PaySubscriptionId,
    pub(crate) account: String,
    pub(crate) topic: String,
    pub(crate) token: String,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) confirmed_at: Option<DateTime<Utc>>,
}

/// The subscriptions that SNS asked for, newest first.
pub(in crate::pay) async fn subscriptions(snapshot: &mut Snapshot) -> Result<Vec<AskedSubscription>, StoreError> {
    let read = |row: SubscriptionRow| AskedSubscription {
        id: PaySubscriptionId::new(row.id),
        account: row.account,
        topic: row.topic,
        token: row.token,
        received_at: row.received_at,
        confirmed_at: row.confirmed_at,
    };
    Ok(fetch_all!(SubscriptionRow, snapshot, PENDING)?.into_iter().map(read).collect())
}

/// Writes down that a subscription is confirmed; says whether it was not before.
pub(in crate::pay) async fn confirmed(
    tx: &mut Tx,
    id: PaySubscriptionId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, CONFIRMED, id.uuid(), now)? == 1)
}

/// A notification that was taken.
#[derive(Debug, Clone)]
pub(crate) struct TakenNotice {
    pub(crate) id: PayNoticeId,
    pub(crate) account: String,
    pub(crate) kind: String,
    pub(crate) object: Option<String>,
    pub(crate) payment: Option<PaymentId>,
    pub(crate) received_at: DateTime<Utc>,
}

/// The last notifications, newest first.
pub(in crate::pay) async fn last(snapshot: &mut Snapshot, most: i64) -> Result<Vec<TakenNotice>, StoreError> {
    let read = |row: NoticeRow| TakenNotice {
        id: PayNoticeId::new(row.id),
        account: row.account,
        kind: row.kind,
        object: row.object_id,
        payment: row.payment_id.map(PaymentId::new),
        received_at: row.received_at,
    };
    Ok(fetch_all!(NoticeRow, snapshot, LAST, most)?.into_iter().map(read).collect())
}
