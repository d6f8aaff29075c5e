//! What budgets have spent and reserved, as it is read: by their keys, and so in the same time however many periods a program has lived through.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::json;

use super::{BudgetRef, EVER, Period, Usage, UsageRow, month_text};
use crate::{
    kernel::ProgramId,
    store::{Snapshot, Sql, StoreError, fetch_all, row, statements},
};

// `$1`: each wanted usage as its program, span and period.
macro_rules! usage_of_programs {
    ($wanted:literal, $program:literal, $span:literal, $period:literal) => {
        concat!(
            "SELECT u.program_id, u.holder, u.span, u.period, u.reserved_minor, u.reserved_count, u.used_minor, u.used_count FROM ",
            $wanted,
            " CROSS JOIN budget_usage u WHERE u.program_id = ",
            $program,
            " AND u.holder = 'all' AND u.span = ",
            $span,
            " AND u.period = ",
            $period
        )
    };
}

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

row! {
    struct ProgramUsageRow {
        program_id: String, holder: String, span: String, period: String, reserved_minor: i64, reserved_count: i64, used_minor: i64,
        used_count: i64,
    }
}

statements! {
    /// Of many programs, without their keys.
    OF_PROGRAMS = Sql::each(
        "budget_usage.of_programs",
        usage_of_programs!(
            "json_each($1) AS wanted",
            "json_extract(wanted.value, '$[0]')",
            "json_extract(wanted.value, '$[1]')",
            "json_extract(wanted.value, '$[2]')"
        ),
        usage_of_programs!(
            "json_array_elements(CAST($1 AS JSON)) AS wanted (value)",
            "wanted.value->>0",
            "wanted.value->>1",
            "wanted.value->>2"
        ),
    );
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

/// What these programs have spent and reserved, each on its account's day: by a program's id.
pub(crate) async fn of_programs(
    snapshot: &mut Snapshot,
    programs: &[(&ProgramId, NaiveDate)],
) -> Result<BTreeMap<String, Vec<Usage>>, StoreError> {
    let period_key = |period: Period, day: NaiveDate| match period {
        Period::Day => day.to_string(),
        Period::Month => month_text(day),
        Period::Total => EVER.to_owned(),
    };
    let each = programs.iter().flat_map(|(id, day)| {
        Period::ALL.iter().map(move |period| json!([id.as_str(), period.as_str(), period_key(*period, *day)]))
    });
    let wanted = each.collect::<serde_json::Value>().to_string();
    let mut found: BTreeMap<String, Vec<Usage>> = BTreeMap::new();
    for row in fetch_all!(ProgramUsageRow, snapshot, OF_PROGRAMS, wanted)? {
        let ProgramUsageRow {
            program_id,
            holder,
            span,
            period,
            reserved_minor,
            reserved_count,
            used_minor,
            used_count,
        } = row;
        let usage = UsageRow { holder, span, period, reserved_minor, reserved_count, used_minor, used_count };
        found.entry(program_id).or_default().push(Usage::read(usage)?);
    }
    Ok(found)
}

/// What the budgets that a reward draws on have spent and reserved.
pub(crate) async fn of_reward(snapshot: &mut Snapshot, budget: &BudgetRef) -> Result<Vec<Usage>, StoreError> {
    let (program, key) = (budget.program.as_str(), budget.key.to_string());
    let rows = fetch_all!(UsageRow, snapshot, OF_KEY, program, budget.day_text(), budget.month_text(), key)?;
    rows.into_iter().map(Usage::read).collect()
}
