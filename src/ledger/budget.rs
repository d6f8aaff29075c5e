//! Budgets: what a program, and each API key in it, has spent and reserved, by day, by month and ever.
//!
//! A reservation is one guarded statement in the transaction that makes the reward: racing requests cannot pass it,
//! because the row that they meet at compares with the limit while it is changed. Afterwards the usage follows the
//! reward through every state (`reward::sql`).

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

use super::{
    journal::Booked,
    programs::{Bound, Limits, Plan},
};
use crate::{
    events::{Named, outbox},
    kernel::{ApiKeyId, Money, ProgramId, ids::MalformedId, outcome::words},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

/// The holder of a program's own budgets; the other holders are its API keys.
pub const WHOLE: &str = "all";

macro_rules! usage_rows {
    () => {
        "INSERT INTO budget_usage (program_id, holder, span, period, reserved_minor, reserved_count, used_minor, \
         used_count, limit_minor, limit_count) VALUES \
         ($1, 'all', 'day', $3, $5, $6, $7, $8, $9, $10), ($1, 'all', 'month', $4, $5, $6, $7, $8, $11, $12), \
         ($1, 'all', 'total', 'ever', $5, $6, $7, $8, $13, $14), ($1, $2, 'day', $3, $5, $6, $7, $8, $15, $16), \
         ($1, $2, 'month', $4, $5, $6, $7, $8, $17, $18), ($1, $2, 'total', 'ever', $5, $6, $7, $8, $19, $20) \
         ON CONFLICT (program_id, holder, span, period) DO UPDATE SET \
         reserved_minor = budget_usage.reserved_minor + excluded.reserved_minor, \
         reserved_count = budget_usage.reserved_count + excluded.reserved_count, \
         used_minor = budget_usage.used_minor + excluded.used_minor, \
         used_count = budget_usage.used_count + excluded.used_count"
    };
}

statements! {
    /// The order of the rows is the order of their locks, here and in every other statement that changes them.
    RESERVE = Sql::same(
        "budget_usage.reserve",
        concat!(
            usage_rows!(),
            ", limit_minor = excluded.limit_minor, limit_count = excluded.limit_count \
             WHERE (excluded.limit_minor IS NULL OR budget_usage.used_minor + budget_usage.reserved_minor \
             + excluded.reserved_minor <= excluded.limit_minor) \
             AND (excluded.limit_count IS NULL OR budget_usage.used_count + budget_usage.reserved_count \
             + excluded.reserved_count <= excluded.limit_count) \
             RETURNING holder, span, period, reserved_minor, reserved_count, used_minor, used_count"
        ),
    );
    FOLLOW = Sql::same("budget_usage.follow", usage_rows!());
    NOW = Sql::same(
        "budget_usage.now",
        "SELECT holder, span, period, reserved_minor, reserved_count, used_minor, used_count FROM budget_usage \
         WHERE program_id = $1 AND period IN ($2, $3, 'ever')",
    );
}

row! {
    struct UsageRow {
        holder: String, span: String, period: String, reserved_minor: i64, reserved_count: i64, used_minor: i64,
        used_count: i64,
    }
}

words! {
    /// How long a budget holds.
    Span {
        /// A day of the account's time zone.
        Day = "day",
        /// A month of it.
        Month = "month",
        /// For ever.
        Total = "total",
    }
}

words! {
    /// What is counted.
    Unit {
        /// Money.
        Amount = "amount",
        /// Rewards.
        Count = "count",
    }
}

/// Which budgets a reward is charged to: a program, an API key in it, and the day of the account's time zone on which its
/// value was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The program.
    pub program: ProgramId,
    /// The key that asked.
    pub key: ApiKeyId,
    /// The day; its month is the month.
    pub day: NaiveDate,
}

impl Charge {
    /// As the store keeps it.
    ///
    /// # Errors
    /// [`MalformedId`] for what no row of ours says.
    pub fn from_stored(
        program: Option<String>,
        key: Option<String>,
        day: Option<String>,
    ) -> Result<Option<Self>, MalformedId> {
        let Some((program, (key, day))) = program.zip(key.zip(day)) else { return Ok(None) };
        let day = day.parse().map_err(|_error| MalformedId)?;
        Ok(Some(Self { program: program.parse()?, key: key.parse()?, day }))
    }

    /// The day as the store keeps it, `YYYY-MM-DD`.
    #[must_use]
    pub fn day_text(&self) -> String {
        self.day.to_string()
    }

    fn month_text(&self) -> String {
        self.day.format("%Y-%m").to_string()
    }
}

/// What is spent and reserved in one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// [`WHOLE`], or the API key.
    pub holder: String,
    /// How long it holds.
    pub span: Span,
    /// Which day or month.
    pub period: String,
    /// Held for purchases on their way, minor units.
    pub reserved_minor: i64,
    /// How many those are.
    pub reserved_count: i64,
    /// Spent, minor units.
    pub used_minor: i64,
    /// On how many rewards.
    pub used_count: i64,
}

impl Usage {
    /// Spent or reserved.
    #[must_use]
    pub const fn taken(&self, unit: Unit) -> i64 {
        match unit {
            Unit::Amount => self.used_minor.saturating_add(self.reserved_minor),
            Unit::Count => self.used_count.saturating_add(self.reserved_count),
        }
    }

    fn read(row: UsageRow) -> Result<Self, StoreError> {
        let bad = StoreError::Inconsistent { table: "budget_usage", column: "span" };
        Ok(Self {
            span: Span::from_word(&row.span).ok_or(bad)?,
            holder: row.holder,
            period: row.period,
            reserved_minor: row.reserved_minor,
            reserved_count: row.reserved_count,
            used_minor: row.used_minor,
            used_count: row.used_count,
        })
    }
}

/// A budget that a reward does not fit into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// [`WHOLE`], or the API key.
    pub holder: String,
    /// How long it holds.
    pub span: Span,
    /// When it begins anew; `None` for never.
    pub resets_at: Option<DateTime<Utc>>,
}

/// When a span that holds on `day` is over.
#[must_use]
pub fn resets_at(span: Span, day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let next = match span {
        Span::Day => day.succ_opt(),
        Span::Month => {
            let (year, month) = (day.year(), day.month());
            if month == 12 {
                NaiveDate::from_ymd_opt(year.checked_add(1)?, 1, 1)
            } else {
                NaiveDate::from_ymd_opt(year, month.checked_add(1)?, 1)
            }
        }
        Span::Total => None,
    }?;
    // Where midnight is skipped by daylight saving, the day begins an hour later.
    let midnight = next.and_hms_opt(0, 0, 0)?;
    let one = next.and_hms_opt(1, 0, 0)?;
    let begins =
        zone.from_local_datetime(&midnight).earliest().or_else(|| zone.from_local_datetime(&one).earliest())?;
    Some(begins.with_timezone(&Utc))
}

/// What is spent and reserved by now in a program: its own and its keys' budgets of this day, this month, and ever.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn usage(snapshot: &mut Snapshot, program: &ProgramId, day: NaiveDate) -> Result<Vec<Usage>, StoreError> {
    let (day, month) = (day.to_string(), day.format("%Y-%m").to_string());
    fetch_all!(UsageRow, snapshot, NOW, program.as_str(), day, month)?.into_iter().map(Usage::read).collect()
}

/// The budget that a reward of this value would not fit into, as far as this reading knows; [`reserve`] decides.
#[must_use]
pub fn too_much(plan: &Plan, charge: &Charge, value: Money, usage: &[Usage], zone: Tz) -> Option<Exceeded> {
    let key = charge.key.to_string();
    for (holder, limits) in [(WHOLE, &plan.whole), (key.as_str(), &plan.key)] {
        for span in Span::ALL {
            let taken = usage.iter().find(|usage| usage.holder == holder && usage.span == *span);
            for unit in Unit::ALL {
                let more = amount_of(*unit, value);
                let taken = taken.map_or(0, |usage| usage.taken(*unit));
                if limits.of(*span, *unit).hard.is_some_and(|hard| taken.saturating_add(more) > hard) {
                    let resets_at = resets_at(*span, charge.day, zone);
                    return Some(Exceeded { holder: holder.to_owned(), span: *span, resets_at });
                }
            }
        }
    }
    None
}

const fn amount_of(unit: Unit, value: Money) -> i64 {
    match unit {
        Unit::Amount => value.minor(),
        Unit::Count => 1,
    }
}

/// What an update adds to usage, in minor units and in rewards.
#[derive(Clone, Copy, Default)]
struct Delta {
    reserved: i64,
    used: i64,
}

/// Reserves a reward's value in the program's budgets and its key's, or says which one it does not fit into; then the
/// transaction must not be committed. Whoever crosses a soft limit, or fills a hard one, is told of (`events`).
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn reserve(
    tx: &mut Tx,
    (plan, charge): (&Plan, &Charge),
    value: Money,
    (zone, now): (Tz, DateTime<Utc>),
) -> Result<Result<(), Exceeded>, StoreError> {
    // A row that is not there yet meets no guard.
    if let Some(exceeded) = too_much(plan, charge, value, &[], zone) {
        return Ok(Err(exceeded));
    }
    let (key, day, month) = (charge.key.to_string(), charge.day_text(), charge.month_text());
    let (whole, own) = (&plan.whole, &plan.key);
    let hard = |limits: &Limits, span, unit| limits.of(span, unit).hard;
    let rows = fetch_all!(
        UsageRow,
        tx,
        RESERVE,
        charge.program.as_str(),
        key.as_str(),
        day.as_str(),
        month.as_str(),
        value.minor(),
        1_i64,
        0_i64,
        0_i64,
        hard(whole, Span::Day, Unit::Amount),
        hard(whole, Span::Day, Unit::Count),
        hard(whole, Span::Month, Unit::Amount),
        hard(whole, Span::Month, Unit::Count),
        hard(whole, Span::Total, Unit::Amount),
        hard(whole, Span::Total, Unit::Count),
        hard(own, Span::Day, Unit::Amount),
        hard(own, Span::Day, Unit::Count),
        hard(own, Span::Month, Unit::Amount),
        hard(own, Span::Month, Unit::Count),
        hard(own, Span::Total, Unit::Amount),
        hard(own, Span::Total, Unit::Count)
    )?;
    let taken = rows.into_iter().map(Usage::read).collect::<Result<Vec<_>, _>>()?;
    for holder in [WHOLE, key.as_str()] {
        for span in Span::ALL {
            if !taken.iter().any(|usage| usage.holder == holder && usage.span == *span) {
                let resets_at = resets_at(*span, charge.day, zone);
                return Ok(Err(Exceeded { holder: holder.to_owned(), span: *span, resets_at }));
            }
        }
    }
    for usage in &taken {
        let limits = if usage.holder == WHOLE { whole } else { own };
        for unit in Unit::ALL {
            let crossed = crossing(limits.of(usage.span, *unit), usage.taken(*unit), amount_of(*unit, value));
            if let Some((kind, limit)) = crossed {
                tell(tx, &charge.program, usage, *unit, (kind, limit), now).await?;
            }
        }
    }
    Ok(Ok(()))
}

/// Which limit was crossed by taking `more`, so that `taken` is taken now: each crossing is told once.
fn crossing(bound: Bound, taken: i64, more: i64) -> Option<(&'static str, i64)> {
    let before = taken.saturating_sub(more);
    let crossed = |limit: Option<i64>| limit.filter(|limit| before < *limit && *limit <= taken);
    let exhausted = crossed(bound.hard).map(|limit| ("budget.exhausted", limit));
    exhausted.or_else(|| crossed(bound.soft).map(|limit| ("budget.threshold_reached", limit)))
}

async fn tell(
    tx: &mut Tx,
    program: &ProgramId,
    usage: &Usage,
    unit: Unit,
    (kind, limit): (&'static str, i64),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let taken = usage.taken(unit);
    tracing::warn!(program = %program, budget.holder = usage.holder, budget.span = usage.span.as_str(), budget.unit = unit.as_str(), budget.limit = limit, budget.taken = taken, "{kind}");
    let data = serde_json::json!({
        "holder": usage.holder, "span": usage.span.as_str(), "period": usage.period, "unit": unit.as_str(),
        "limit": limit, "taken": taken,
    });
    outbox::write(tx, kind, Named::Program(program), Some(&data), now).await
}

/// Moves a reward's value in its budgets along with the ledger: from where it stood to where it stands. A reservation
/// from nowhere is [`reserve`]'s.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn follow(
    tx: &mut Tx,
    charge: &Charge,
    value: Money,
    (from, to): (Booked, Booked),
) -> Result<(), StoreError> {
    if from == to || (from, to) == (Booked::None, Booked::Reserved) {
        return Ok(());
    }
    let holds = |at: Booked, side: Booked| i64::from(at == side);
    let moved = |side| holds(to, side).saturating_sub(holds(from, side));
    let count = Delta { reserved: moved(Booked::Reserved), used: moved(Booked::Issued) };
    let minor = Delta {
        reserved: count.reserved.saturating_mul(value.minor()),
        used: count.used.saturating_mul(value.minor()),
    };
    let none = None::<i64>;
    execute!(
        tx,
        FOLLOW,
        charge.program.as_str(),
        charge.key.to_string(),
        charge.day_text(),
        charge.month_text(),
        minor.reserved,
        count.reserved,
        minor.used,
        count.used,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none
    )
    .map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_and_a_month_end_at_midnight_of_the_accounts_zone() {
        let tokyo = chrono_tz::Asia::Tokyo;
        let at = |span, text| resets_at(span, day(text), tokyo).map(|at| at.to_rfc3339());
        assert_eq!(at(Span::Day, "2026-12-31").as_deref(), Some("2026-12-31T15:00:00+00:00"));
        assert_eq!(at(Span::Month, "2026-12-05").as_deref(), Some("2026-12-31T15:00:00+00:00"));
        assert_eq!(at(Span::Month, "2026-02-28").as_deref(), Some("2026-02-28T15:00:00+00:00"));
        assert_eq!(at(Span::Total, "2026-12-31"), None);
        // Midnight does not exist on this day: the clocks go from 23:59:59 to 01:00.
        let cairo = resets_at(Span::Day, day("2026-04-23"), chrono_tz::Africa::Cairo).unwrap();
        assert_eq!(cairo.to_rfc3339(), "2026-04-23T22:00:00+00:00");
    }

    #[test]
    fn a_limit_is_crossed_once() {
        let bound = Bound { hard: Some(100), soft: Some(80) };
        assert_eq!(crossing(bound, 79, 10), None);
        assert_eq!(crossing(bound, 80, 1), Some(("budget.threshold_reached", 80)));
        assert_eq!(crossing(bound, 90, 10), None, "it was told at 80");
        assert_eq!(crossing(bound, 100, 10), Some(("budget.exhausted", 100)));
        assert_eq!(crossing(Bound::default(), 100, 10), None);
    }
}
