//! Every fact in the order of its id, for whoever passes all of them on.
//!
//! On PostgreSQL the ids of all facts have no index but one of ranges of pages, which costs a purchase nothing. So the last id is asked of
//! the sequence that gives them, and facts are read by windows of ids.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{ClientId, PaymentId, RewardId},
    store::{
        Read, Sql, StoreError,
        feed::{SettledRow, first_held},
        fetch_all, fetch_optional, row, statements,
    },
};

statements! {
    GIVEN = Sql::each(
        "facts.given",
        "SELECT COALESCE(MAX(id), 0) AS id FROM facts",
        "SELECT facts_given() AS id",
    );
    /// Asked after GIVEN: whoever was given such an id or a smaller one has held its lock since before.
    SETTLED = Sql::each(
        "facts.settled_up_to",
        "SELECT CAST($1 AS INTEGER) AS id",
        concat!("SELECT LEAST(CAST($1 AS BIGINT), ", first_held!("28262"), ") AS id"),
    );
    /// As many rows at most as the window has ids.
    WINDOW = Sql::same(
        "facts.window",
        "SELECT id, at, seq, subject_id, client_id, subject_kind, subject, kind FROM facts WHERE id > $1 AND id <= $2 ORDER BY id",
    );
}

row! {
    struct StreamRow {
        id: i64, at: DateTime<Utc>, seq: Option<i64>, subject_id: Option<Uuid>, client_id: Option<Uuid>, subject_kind: String,
        subject: Option<String>, kind: String,
    }
}

/// A fact that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamedFact {
    pub(crate) id: i64,
    pub(crate) at: DateTime<Utc>,
    /// What happened.
    pub(crate) kind: String,
    pub(crate) about: About,
}

/// What a fact is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A reward of this client; its place in the reward's timeline.
    Reward { id: RewardId, client: ClientId, seq: i64 },
    /// A charge or a refund of this client; its place in the timeline of that.
    Payment { id: PaymentId, client: ClientId, seq: i64 },
    /// A subject that has a name.
    Named { kind: String, name: String },
    /// What only a later version knows.
    Other,
}

impl From<StreamRow> for StreamedFact {
    fn from(row: StreamRow) -> Self {
        let StreamRow { id, at, seq, subject_id, client_id, subject_kind, subject, kind } = row;
        let about = match (subject_id, client_id, seq, subject) {
            (Some(reward), Some(client), Some(seq), None) if subject_kind == "reward" => {
                About::Reward { id: RewardId::new(reward), client: ClientId::new(client), seq }
            }
            (Some(payment), Some(client), Some(seq), None) if subject_kind == "payment" => {
                About::Payment { id: PaymentId::new(payment), client: ClientId::new(client), seq }
            }
            (None, _, _, Some(name)) => About::Named { kind: subject_kind, name },
            _ => About::Other,
        };
        Self { id, at, kind, about }
    }
}

/// The last id that a fact was given. Its transaction may not have ended.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn given(on: &mut impl Read) -> Result<i64, StoreError> {
    Ok(fetch_optional!(SettledRow, on, GIVEN)?.map_or(0, |row| row.id))
}

/// Up to which of the ids that were given no fact can be committed any more. What has such an id and is not there never will be.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn settled(on: &mut impl Read, given: i64) -> Result<i64, StoreError> {
    Ok(fetch_optional!(SettledRow, on, SETTLED, given)?.map_or(0, |row| row.id))
}

/// The facts behind the first id, up to the second.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn window(on: &mut impl Read, behind: i64, through: i64) -> Result<Vec<StreamedFact>, StoreError> {
    Ok(fetch_all!(StreamRow, on, WINDOW, behind, through)?.into_iter().map(StreamedFact::from).collect())
}
