//! Which membership a buyer's consent serves, in the database: one at a time.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{AmazonPayId, ClientId, MembershipId},
    membership::model::Membership,
    store::{Read, Sql, StoreError, Tx, execute, fetch_optional, row, statements},
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
}

row! {
    struct ConsentedRow { id: Uuid, client_id: Uuid }
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
