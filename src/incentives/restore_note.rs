//! After an old back-up came back: what it says of the time since is not believed until a reconciliation has filled the gap.
//!
//! A restore is noted among the events, with the instant from which on the database knows nothing. Until every day of the
//! gap is reconciled for an account, a key without a row may be one whose row was lost. So its reward begins in doubt, as
//! after an attempt whose answer was lost: Amazon's refusal proves nothing then, only its proof
//! does. The same holds for a refused reward that is tried again, and for what was proven not to have been sent.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{sql, timeline::TimelineEntry};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, Deed, Scribe},
    engine::schedule,
    events::{
        Named,
        outbox::{self, FactRow},
    },
    kernel::RewardId,
    ledger::floor,
    store::{InstantRow, Snapshot, Sql, Store, StoreError, Tx, fetch_all, fetch_optional, row, statements},
};

/// The event of a restore. Its subject is the whole database.
const RESTORED: &str = "database.restored";
/// The event of a gap that is filled. Its subject is the account.
const RECONCILED: &str = "database.reconciled";
/// A transaction that was about to commit when the back-up was made is younger than this: its instants may lie so long
/// before the youngest that the back-up has.
const COMMIT_MAX: TimeDelta = TimeDelta::minutes(5);
/// Rewards of one step.
const STEP: i64 = 100;

statements! {
    YOUNGEST = Sql::same("rewards.youngest", "SELECT MAX(updated_at) AS at FROM rewards");
    UNDER_WAY = Sql::same(
        "rewards.under_way",
        "SELECT id FROM rewards WHERE due_at IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
    );
}

row! {
    struct RewardIdRow { id: Uuid }
}

/// A restore, as it is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreNote {
    event: i64,
    /// From here on the database knows nothing…
    pub lost_from: DateTime<Utc>,
    /// …until here.
    pub restored_at: DateTime<Utc>,
}

/// Why a restore is not noted.
#[derive(Debug, thiserror::Error)]
pub enum RestoreNoteError {
    /// No table has an instant: it is as new.
    #[error("the database holds nothing: nothing was restored")]
    Empty,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RestoreNote {
    /// Whether the account's gap is not filled yet.
    pub(super) async fn is_open(&self, snapshot: &mut Snapshot, account: &str) -> Result<bool, StoreError> {
        let filled = outbox::next(snapshot, self.event, RECONCILED, Named::Account(account)).await?;
        Ok(filled.is_none())
    }

    /// From when on the gap is not covered by these periods, which are in the order of their beginnings; `None` when it is.
    #[must_use]
    pub fn uncovered(&self, periods: &[(DateTime<Utc>, DateTime<Utc>)]) -> Option<DateTime<Utc>> {
        let reach = |known: DateTime<Utc>, period: &(DateTime<Utc>, DateTime<Utc>)| {
            if period.0 <= known { known.max(period.1) } else { known }
        };
        Some(periods.iter().fold(self.lost_from, reach)).filter(|known| *known < self.restored_at)
    }
}

/// From when on a database knows nothing.
#[derive(Debug, Clone, Copy)]
pub enum LostFrom {
    /// This instant: the operator states it.
    Stated(DateTime<Utc>),
    /// Soon before this, its youngest instant; a new database has none.
    Youngest(Option<DateTime<Utc>>),
}

/// When a reward was last changed.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, snapshot, YOUNGEST)?.and_then(|row| row.at))
}

/// Notes that the database was restored, before anybody serves it: from when on it knows nothing, and that what is under
/// way in it is in doubt.
///
/// # Errors
/// [`RestoreNoteError`]; nothing is noted then.
pub async fn write(
    store: &Store,
    ambient: &Ambient,
    lost_from: LostFrom,
    scribe: &Scribe,
) -> Result<RestoreNote, RestoreNoteError> {
    let now = ambient.now();
    let known = match lost_from {
        LostFrom::Stated(at) => Some(at),
        LostFrom::Youngest(at) => at.and_then(|at| at.checked_sub_signed(COMMIT_MAX)),
    };
    let lost_from = known.ok_or(RestoreNoteError::Empty)?.min(now);
    let mut tx = store.begin().await?;
    doubt_what_is_under_way(&mut tx, lost_from, now).await?;
    floor::forget(&mut tx).await?;
    outbox::write(&mut tx, RESTORED, Named::Database, Some(&json!({"lost_from": lost_from})), now).await?;
    let details = json!({"lost_from": lost_from});
    let deed = Deed { action: AuditAction::DatabaseRestored, subject: "database", details };
    // Without the service's settings a back-up is restored all the same: nothing is sold until it is.
    // The event says that there was one.
    let _recorded = scribe.write_or_log(&mut tx, deed, now).await?;
    // Read before the commit: whoever is answered by an error may believe that nothing is noted.
    let noted = outbox::latest(&mut tx, RESTORED).await?.map(read).transpose()?.ok_or(StoreError::Unconfirmed)?;
    Ok(tx.commit(noted).await?.into_inner())
}

async fn doubt_what_is_under_way(tx: &mut Tx, lost_from: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        let step = fetch_all!(RewardIdRow, tx, UNDER_WAY, after, STEP)?;
        let Some(last) = step.last() else { return Ok(()) };
        after = last.id;
        for row in step {
            let Some(mut reward) = sql::lock(tx, RewardId::new(row.id)).await? else { continue };
            reward.order = schedule::mark_uncertain(reward.order, lost_from, now);
            sql::save(tx, &mut reward, &[TimelineEntry::new(RESTORED)], now).await?;
        }
    }
}

/// The last restore, if there was one.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn last(snapshot: &mut Snapshot) -> Result<Option<RestoreNote>, StoreError> {
    outbox::latest(snapshot, RESTORED).await?.map(read).transpose()
}

/// The same inside a transaction, unless the account's gap is filled already.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn open_gap(tx: &mut Tx, account: &str) -> Result<Option<RestoreNote>, StoreError> {
    let Some(restored) = outbox::latest(tx, RESTORED).await?.map(read).transpose()? else { return Ok(None) };
    let filled = outbox::next(tx, restored.event, RECONCILED, Named::Account(account)).await?;
    Ok(filled.is_none().then_some(restored))
}

/// Writes down that the account's gap is filled.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn fill_gap(tx: &mut Tx, account: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    outbox::write(tx, RECONCILED, Named::Account(account), None, now).await
}

fn read(row: FactRow) -> Result<RestoreNote, StoreError> {
    let data: Option<Value> = row.data.and_then(|text| serde_json::from_str(&text).ok());
    let lost_from = data.and_then(|data| data.get("lost_from")?.as_str()?.parse().ok());
    let lost_from = lost_from.ok_or(StoreError::Inconsistent { table: "facts", column: "data" })?;
    Ok(RestoreNote { event: row.id, lost_from, restored_at: row.at })
}

/// Whether Amazon may have forgotten ids of the part of a gap that begins here: a key that comes back would buy a second card.
#[must_use]
pub fn is_too_old(uncovered: DateTime<Utc>, replay_age: Duration, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(uncovered).to_std().is_ok_and(|age| age >= replay_age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_filled_by_periods_that_leave_nothing_out() {
        let at = |text: &str| -> DateTime<Utc> { format!("2026-11-{text}:00Z").parse().unwrap() };
        let gap = RestoreNote { event: 1, lost_from: at("01T10:00"), restored_at: at("03T09:00") };
        let day = |first: &str, after: &str| (at(&format!("{first}T00:00")), at(&format!("{after}T00:00")));
        for (periods, uncovered) in [
            (vec![], Some("01T10:00")),
            (vec![day("01", "02")], Some("02T00:00")),
            (vec![day("02", "04")], Some("01T10:00")),
            (vec![day("01", "02"), day("03", "04")], Some("02T00:00")),
            (vec![day("01", "03"), day("02", "03")], Some("03T00:00")),
            (vec![day("01", "02"), day("02", "03"), day("03", "04")], None),
            (vec![day("01", "05")], None),
        ] {
            assert_eq!(gap.uncovered(&periods), uncovered.map(at), "{periods:?}");
        }
        let (day, age) = (TimeDelta::days(1), Duration::from_secs(30 * 86_400));
        assert!(is_too_old(at("01T10:00"), age, at("01T10:00") + day * 30));
        assert!(!is_too_old(at("01T10:00"), age, at("01T09:59") + day * 30));
    }
}
