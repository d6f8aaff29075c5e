//! What budgets have spent and reserved, as it is read: by their keys, and so in the same time however many periods a program has lived through.

use chrono::NaiveDate;

use super::{BudgetRef, Usage, UsageRow, month_text};
use crate::{
    kernel::ProgramId,
    store::{Snapshot, Sql, StoreError, fetch_all, statements},
};

// The order of the join is the one that is written, for SQLite.
macro_rules! usage_of_wanted {
    ($wanted:literal) => {
        concat!(
            "SELECT u.holder, u.span, u.period, u.reserved_minor, u.reserved_count, u.used_minor, u.used_count FROM ",
            $wanted,
            " CROSS JOIN budget_usage u WHERE u.program_id = $1 AND u.holder = wanted.holder AND u.span = wanted.span \
             AND u.period = wanted.period"
        )
    };
}

statements! {
    /// The budgets that a reward draws on: by their keys, however many keys and periods the program has had.
    OF_KEY = Sql::same(
        "budget_usage.of_key",
        concat!(
            "WITH wanted (holder, span, period) AS (VALUES ('all', 'day', $2), ('all', 'month', $3), ('all', 'total', 'ever'), \
             ($4, 'day', $2), ($4, 'month', $3), ($4, 'total', 'ever')) ",
            usage_of_wanted!("wanted")
        ),
    );
    /// Those of the program and of all its keys, each of which is looked up.
    NOW = Sql::same(
        "budget_usage.now",
        concat!(
            "WITH RECURSIVE holders (holder) AS (SELECT MIN(holder) FROM budget_usage WHERE program_id = $1 UNION ALL \
             SELECT (SELECT MIN(b.holder) FROM budget_usage b WHERE b.program_id = $1 AND b.holder > holders.holder) \
             FROM holders WHERE holders.holder IS NOT NULL), \
             periods (span, period) AS (VALUES ('day', $2), ('month', $3), ('total', 'ever')) ",
            usage_of_wanted!("(SELECT holder, span, period FROM holders CROSS JOIN periods) AS wanted")
        ),
    );
}

/// What a program and its keys have spent and reserved: on this day, in its month, and ever.
pub(crate) async fn of_program(
    snapshot: &mut Snapshot,
    program: &ProgramId,
    day: NaiveDate,
) -> Result<Vec<Usage>, StoreError> {
    let (day, month) = (day.to_string(), month_text(day));
    fetch_all!(UsageRow, snapshot, NOW, program.as_str(), day, month)?.into_iter().map(Usage::read).collect()
}

/// What the budgets that a reward draws on have spent and reserved.
pub(crate) async fn of_reward(snapshot: &mut Snapshot, budget: &BudgetRef) -> Result<Vec<Usage>, StoreError> {
    let (program, key) = (budget.program.as_str(), budget.key.to_string());
    let rows = fetch_all!(UsageRow, snapshot, OF_KEY, program, budget.day_text(), budget.month_text(), key)?;
    rows.into_iter().map(Usage::read).collect()
}
