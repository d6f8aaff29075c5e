//! What a message about a reward says of it: what never changes, and no more.

use uuid::Uuid;

use crate::{
    incentives::retention::book::listed,
    kernel::{Currency, Money, ProgramId, RewardId},
    store::{Read, Sql, StoreError, fetch_all, row, statements},
};

statements! {
    BRIEF = Sql::each(
        "rewards.brief",
        "SELECT id, account, kind, amount_minor, currency, external_id, program_id FROM rewards \
         WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        "SELECT id, account, kind, amount_minor, currency, external_id, program_id FROM rewards \
         WHERE id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID)))",
    );
}

row! {
    struct BriefRow {
        id: Uuid, account: String, kind: String, amount_minor: i64, currency: String, external_id: Option<String>,
        program_id: Option<String>,
    }
}

/// What never changes of a reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RewardBrief {
    pub(crate) id: RewardId,
    /// The partner account.
    pub(crate) account: String,
    /// The word of its kind.
    pub(crate) kind: String,
    pub(crate) value: Money,
    /// The caller's own reference.
    pub(crate) external_id: Option<String>,
    /// The program that pays.
    pub(crate) program: Option<ProgramId>,
}

impl TryFrom<BriefRow> for RewardBrief {
    type Error = StoreError;

    fn try_from(row: BriefRow) -> Result<Self, StoreError> {
        let bad = |column| StoreError::Inconsistent { table: "rewards", column };
        let currency = row.currency.parse::<Currency>().map_err(|_unknown| bad("currency"))?;
        let program = row.program_id.map(|id| id.parse()).transpose().map_err(|_malformed| bad("program_id"))?;
        Ok(Self {
            id: RewardId::new(row.id),
            account: row.account,
            kind: row.kind,
            value: Money::from_minor(row.amount_minor, currency),
            external_id: row.external_id,
            program,
        })
    }
}

/// Those of these rewards that are there and can be read.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn brief(on: &mut impl Read, ids: &[RewardId]) -> Result<Vec<RewardBrief>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    // One that cannot be read must not hold up the messages about all others.
    let read = |row: BriefRow| {
        let id = RewardId::new(row.id);
        let brief = RewardBrief::try_from(row);
        brief
            .inspect_err(
                |error| tracing::error!(reward.id = %id, error = %error, "a reward cannot be read for a message"),
            )
            .ok()
    };
    Ok(fetch_all!(BriefRow, on, BRIEF, listed(&ids))?.into_iter().filter_map(read).collect())
}
