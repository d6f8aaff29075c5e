//! Timelines: the facts of one subject, counted from 1. No column of a fact takes a claim code.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::Subject;
use crate::{
    kernel::ClientId,
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, join, row, statements},
};

statements! {
    INSERT = Sql::same(
        "facts.insert",
        "INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    // A reward that is older than the outbox has its first entries in the table of then.
    PAGE = Sql::same(
        "facts.timeline",
        "SELECT seq, at, kind, data AS detail FROM facts WHERE subject_id = $1 AND seq > $2 UNION ALL \
         SELECT seq, at, kind, detail FROM early_reward_events WHERE reward_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    );
    BACK = Sql::same(
        "facts.timeline_back",
        "SELECT seq, at, kind, data AS detail FROM facts WHERE subject_id = $1 AND seq < $2 UNION ALL \
         SELECT seq, at, kind, detail FROM early_reward_events WHERE reward_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
    );
    // The database refuses it for a subject that is not archived.
    FORGET = Sql::each(
        "facts.forget",
        "DELETE FROM facts WHERE subject_id IS NOT NULL AND subject_id IN (SELECT unhex(value) FROM json_each($1))",
        "DELETE FROM facts WHERE subject_id IS NOT NULL \
         AND subject_id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID)))",
    );
    FORGET_EARLY = Sql::each(
        "early_reward_events.forget",
        "DELETE FROM early_reward_events WHERE reward_id IN (SELECT unhex(value) FROM json_each($1))",
        "DELETE FROM early_reward_events \
         WHERE reward_id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID)))",
    );
}

/// Which end of a timeline a reader begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelineOrder {
    /// At the first entry.
    Oldest,
    /// At the last entry.
    Newest,
}

/// An entry of a timeline, to be written in the transaction that makes it true.
#[derive(Debug)]
pub struct Fact<'a> {
    /// What it happened to.
    pub subject: Subject,
    /// Its place in the timeline: one after the entry before it.
    pub seq: i64,
    /// Whose the subject is now.
    pub client: ClientId,
    /// The partner account that it moves money of.
    pub account: &'a str,
    /// What happened.
    pub kind: &'static str,
    /// More, as a JSON object.
    pub data: Option<String>,
}

row! {
    /// One entry of a timeline as it is stored.
    pub struct EntryRow {
        /// Its place.
        pub seq: i64,
        /// When.
        pub at: DateTime<Utc>,
        /// What.
        pub kind: String,
        /// More, as a JSON object.
        pub detail: Option<String>,
    }
}

/// Writes an entry.
///
/// # Errors
/// [`StoreError`] from the database, also when the subject has an entry at this place.
pub async fn write(tx: &mut Tx, fact: Fact<'_>, at: DateTime<Utc>) -> Result<(), StoreError> {
    let Fact { subject, seq, client, account, kind, data } = fact;
    join!(tx, INSERT, 1, at, seq, subject.id(), client.uuid(), subject.kind(), account, kind, data).map(|_one| ())
}

/// Deletes the timelines of these subjects, which this transaction has archived.
///
/// # Errors
/// [`StoreError`] from the database, also when a subject is not archived.
pub async fn forget(tx: &mut Tx, subjects: &[Uuid]) -> Result<(), StoreError> {
    let ids = json!(subjects.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>()).to_string();
    execute!(tx, FORGET, ids.as_str())?;
    execute!(tx, FORGET_EARLY, ids).map(drop)
}

/// The entries that follow this place in the reader's order, or its first ones.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn page(
    on: &mut impl Read,
    subject: Subject,
    order: TimelineOrder,
    from: Option<i64>,
    limit: i64,
) -> Result<Vec<EntryRow>, StoreError> {
    match order {
        TimelineOrder::Oldest => fetch_all!(EntryRow, on, PAGE, subject.id(), from.unwrap_or(0), limit),
        TimelineOrder::Newest => fetch_all!(EntryRow, on, BACK, subject.id(), from.unwrap_or(i64::MAX), limit),
    }
}
