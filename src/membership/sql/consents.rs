//! Which membership a buyer's consent serves, in the database: one at a time; and which consents are to be closed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{AmazonPayId, ClientId, MembershipId},
    membership::model::Membership,
    store::{InstantRow, Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// Nothing where another membership that is not over has it, and where it is being closed. On PostgreSQL a second claim waits for the first to be
    /// committed, and finds a membership that it does not see: that one is not over.
    CLAIM = Sql::same(
        "membership_consents.claim",
        "INSERT INTO membership_consents (consent_id, membership_id, tries, created_at, updated_at) VALUES ($1, $2, 0, $3, $3) \
         ON CONFLICT (consent_id) DO UPDATE SET membership_id = excluded.membership_id, updated_at = excluded.updated_at \
         WHERE membership_consents.close_since IS NULL \
         AND EXISTS (SELECT 1 FROM memberships m WHERE m.id = membership_consents.membership_id AND m.ended_at IS NOT NULL)",
    );
    /// Whoever else is charged by a consent, with a claim or without.
    OTHER = Sql::each(
        "membership_consents.other",
        "SELECT id, client_id FROM memberships INDEXED BY memberships_consented \
         WHERE consent_id = $1 AND ended_at IS NULL AND id <> $2 ORDER BY consent_id, id LIMIT 1",
        "SELECT id, client_id FROM memberships WHERE consent_id = $1 AND ended_at IS NULL AND id <> $2 ORDER BY consent_id, id LIMIT 1",
    );
    /// Nothing where another membership that is not over has the consent, and where it is being closed already.
    WISH = Sql::same(
        "membership_consents.wish",
        "INSERT INTO membership_consents (consent_id, membership_id, close_since, close_at, tries, created_at, updated_at) \
         VALUES ($1, $2, $3, $3, 0, $3, $3) ON CONFLICT (consent_id) DO UPDATE SET membership_id = excluded.membership_id, \
         close_since = excluded.close_since, close_at = excluded.close_at, tries = 0, updated_at = excluded.updated_at \
         WHERE membership_consents.close_since IS NULL \
         AND EXISTS (SELECT 1 FROM memberships m WHERE m.id = membership_consents.membership_id AND m.ended_at IS NOT NULL)",
    );
    /// Another replica may be taking some: they are left to it. On PostgreSQL the list is made once.
    TAKE = Sql::each(
        "membership_consents.take",
        "UPDATE membership_consents SET close_at = $3, tries = tries + 1, updated_at = $1 WHERE rowid IN (SELECT c.rowid \
         FROM membership_consents c INDEXED BY membership_consents_closing WHERE c.close_at IS NOT NULL AND c.close_at <= $1 \
         ORDER BY c.close_at LIMIT $2) RETURNING consent_id, membership_id, close_since, tries",
        "UPDATE membership_consents SET close_at = $3, tries = tries + 1, updated_at = $1 WHERE ctid = ANY (ARRAY(SELECT c.ctid \
         FROM membership_consents c WHERE c.close_at IS NOT NULL AND c.close_at <= $1 ORDER BY c.close_at LIMIT $2 \
         FOR UPDATE OF c SKIP LOCKED)) RETURNING consent_id, membership_id, close_since, tries",
    );
    /// Whoever was slow finds another count of tries.
    REST = Sql::same(
        "membership_consents.rest",
        "UPDATE membership_consents SET close_at = $3, updated_at = $4 WHERE consent_id = $1 AND tries = $2 AND close_at IS NOT NULL",
    );
    DROP = Sql::same(
        "membership_consents.drop",
        "UPDATE membership_consents SET close_at = NULL, close_since = NULL, updated_at = $3 WHERE consent_id = $1 AND tries = $2 \
         AND close_at IS NOT NULL",
    );
    NEXT = Sql::each(
        "membership_consents.next",
        "SELECT MIN(close_at) AS at FROM membership_consents INDEXED BY membership_consents_closing WHERE close_at IS NOT NULL",
        "SELECT MIN(close_at) AS at FROM membership_consents WHERE close_at IS NOT NULL",
    );
    OLDEST = Sql::each(
        "membership_consents.oldest",
        "SELECT MIN(close_since) AS at FROM membership_consents INDEXED BY membership_consents_closing WHERE close_at IS NOT NULL",
        "SELECT MIN(close_since) AS at FROM membership_consents WHERE close_at IS NOT NULL",
    );
}

row! {
    struct ConsentedRow { id: Uuid, client_id: Uuid }
}

row! {
    struct ConsentClosingRow { consent_id: String, membership_id: Uuid, close_since: Option<DateTime<Utc>>, tries: i64 }
}

/// A consent that is to be closed, taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::membership) struct ConsentClosing {
    pub(in crate::membership) consent: AmazonPayId,
    /// The membership that was ended.
    pub(in crate::membership) membership: MembershipId,
    /// Since when it is to be closed.
    pub(in crate::membership) since: DateTime<Utc>,
    /// This try included.
    pub(in crate::membership) tries: i64,
}

impl TryFrom<ConsentClosingRow> for ConsentClosing {
    type Error = StoreError;

    fn try_from(row: ConsentClosingRow) -> Result<Self, StoreError> {
        let bad = |column| StoreError::Inconsistent { table: "membership_consents", column };
        let consent = row.consent_id.parse().map_err(|_malformed| bad("consent_id"))?;
        let since = row.close_since.ok_or_else(|| bad("close_since"))?;
        Ok(Self { consent, membership: MembershipId::new(row.membership_id), since, tries: row.tries })
    }
}

/// Claims its consent for a membership that was written in this transaction; `false` where another has it.
pub(in crate::membership) async fn claim(
    tx: &mut Tx,
    new: &Membership,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if execute!(tx, CLAIM, new.consent.as_str(), new.id.uuid(), now)? != 1 {
        return Ok(false);
    }
    // A program that knows no claims may have written one.
    Ok(other(tx, &new.consent, new.id).await?.is_none())
}

/// Another membership that is charged by this consent, and whose it is.
pub(in crate::membership) async fn other(
    on: &mut impl Read,
    consent: &AmazonPayId,
    than: MembershipId,
) -> Result<Option<(MembershipId, ClientId)>, StoreError> {
    let found = fetch_optional!(ConsentedRow, on, OTHER, consent.as_str(), than.uuid())?;
    Ok(found.map(|row| (MembershipId::new(row.id), ClientId::new(row.client_id))))
}

/// Has the consent of a membership closed that was ended in this transaction, unless another has it.
pub(in crate::membership) async fn wish_closing(
    tx: &mut Tx,
    ended: &Membership,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, WISH, ended.consent.as_str(), ended.id.uuid(), now).map(|_wished| ())
}

/// When the next try to close one is due. It is read before anything is taken up: that writes.
pub(in crate::membership) async fn next(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, on, NEXT)?.and_then(|row| row.at))
}

/// Takes some up until this instant, the longest due first.
pub(in crate::membership) async fn take(
    tx: &mut Tx,
    now: DateTime<Utc>,
    limit: i64,
    until: DateTime<Utc>,
) -> Result<Vec<ConsentClosing>, StoreError> {
    fetch_all!(ConsentClosingRow, tx, TAKE, now, limit, until)?.into_iter().map(ConsentClosing::try_from).collect()
}

/// When the next try is due; without one the consent is closed.
pub(in crate::membership) async fn rest(
    tx: &mut Tx,
    of: &ConsentClosing,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, REST, of.consent.as_str(), of.tries, until, now).map(|_rests| ())
}

/// Nobody wishes any more that it is closed.
pub(in crate::membership) async fn drop_closing(
    tx: &mut Tx,
    of: &ConsentClosing,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, DROP, of.consent.as_str(), of.tries, now).map(|_dropped| ())
}

/// Since when one is to be closed that is not.
pub(in crate::membership) async fn oldest(on: &mut impl Read) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, on, OLDEST)?.and_then(|row| row.at))
}
