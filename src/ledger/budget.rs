//! Budgets: what a program, and each API key in it, has spent and reserved, by day, by month and ever.
//!
//! One guarded statement reserves, in the transaction that makes the reward: it compares with the limit while it holds
//! the row's lock, so that racing requests cannot exceed the limit together. Later the usage follows the reward through
//! every state ([`move_usage`]).

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    programs::{Limit, LimitScope, Limits, Policy, ProgramLimit},
    status::LedgerStatus,
};
use crate::{
    events::{Named, outbox},
    kernel::{ApiKeyId, Money, ProgramId, calendar::day_begins, ids::MalformedId, word_methods},
    store::{Sql, StoreError, Tx, fetch_all, join, row, statements},
};

pub mod usage;

/// The holder of a program's own budgets. Every other holder is one of its API keys.
pub(crate) const PROGRAM: &str = "all";

/// The period of a budget that never begins anew.
const EVER: &str = "ever";

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
    /// Every statement that changes usage names the rows in this order, so that two of them cannot deadlock.
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
    MOVE = Sql::same("budget_usage.follow", usage_rows!());
}

row! {
    struct UsageRow {
        holder: String, span: String, period: String, reserved_minor: i64, reserved_count: i64, used_minor: i64,
        used_count: i64,
    }
}

/// How long a budget lasts before it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Period {
    /// A day in the account's time zone.
    Day,
    /// A month in the account's time zone.
    Month,
    /// It never begins anew.
    Total,
}
word_methods!(Period);

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Measure {
    /// Money.
    Amount,
    /// Rewards.
    Count,
}
word_methods!(Measure);

/// Which budgets a reward draws on: its program's, its API key's in that program, and the day in the account's time zone
/// on which its value was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRef {
    pub(crate) program: ProgramId,
    /// The API key that asked for the reward.
    pub(crate) key: ApiKeyId,
    /// The day; the month is the one that it lies in.
    pub(crate) day: NaiveDate,
}

impl BudgetRef {
    /// Reads the three columns of a reward; `None` where it draws on no budget.
    ///
    /// # Errors
    /// [`MalformedId`] when a column holds what this program never writes.
    pub(crate) fn from_stored(
        program: Option<String>,
        key: Option<String>,
        day: Option<String>,
    ) -> Result<Option<Self>, MalformedId> {
        let Some((program, (key, day))) = program.zip(key.zip(day)) else { return Ok(None) };
        let day = day.parse().map_err(|_error| MalformedId::expecting("a day"))?;
        Ok(Some(Self { program: program.parse()?, key: key.parse()?, day }))
    }

    /// The day as the store keeps it, `YYYY-MM-DD`.
    #[must_use]
    pub(crate) fn day_text(&self) -> String {
        self.day.to_string()
    }

    fn month_text(&self) -> String {
        month_text(self.day)
    }
}

/// The month of a day as the store keeps it, `YYYY-MM`.
fn month_text(day: NaiveDate) -> String {
    day.format("%Y-%m").to_string()
}

/// What one budget has spent and reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    /// [`PROGRAM`], or the API key.
    pub(crate) holder: String,
    /// How long the budget lasts.
    pub(crate) period: Period,
    /// Which one it is: `2026-11-26`, `2026-11` or `ever`.
    pub(crate) period_key: String,
    /// Minor units that are reserved for unfinished purchases.
    pub(crate) reserved_minor: i64,
    /// Rewards that are reserved.
    pub(crate) reserved_count: i64,
    /// Minor units that are spent.
    pub(crate) used_minor: i64,
    /// Rewards that are bought.
    pub(crate) used_count: i64,
}

impl Usage {
    /// Spent and reserved together.
    #[must_use]
    pub(crate) const fn taken(&self, measure: Measure) -> i64 {
        match measure {
            Measure::Amount => self.used_minor.saturating_add(self.reserved_minor),
            Measure::Count => self.used_count.saturating_add(self.reserved_count),
        }
    }

    fn read(row: UsageRow) -> Result<Self, StoreError> {
        let bad = StoreError::Inconsistent { table: "budget_usage", column: "span" };
        Ok(Self {
            period: Period::from_word(&row.span).ok_or(bad)?,
            holder: row.holder,
            period_key: row.period,
            reserved_minor: row.reserved_minor,
            reserved_count: row.reserved_count,
            used_minor: row.used_minor,
            used_count: row.used_count,
        })
    }
}

/// The budget that a reward would exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// [`PROGRAM`], or the API key.
    pub holder: String,
    /// How long the budget lasts.
    pub period: Period,
    /// When it begins anew; `None` for never.
    pub resets_at: Option<DateTime<Utc>>,
    /// The reward is larger than the whole budget: it will never fit.
    pub never_fits: bool,
}

/// What a reservation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum Reservation {
    /// Every budget has room, and holds the value now.
    Reserved,
    /// A budget has no room. Nothing may be committed: other budgets may hold the value already.
    Exceeded(Exceeded),
}

/// A reward's value that draws on its budgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    /// The limits of the program and of the key.
    pub(crate) policy: &'a Policy,
    pub(crate) budget: &'a BudgetRef,
    pub(crate) value: Money,
    /// The account's time zone, where days and months begin.
    pub(crate) zone: Tz,
}

impl Draw<'_> {
    const fn more(&self, measure: Measure) -> i64 {
        match measure {
            Measure::Amount => self.value.minor(),
            Measure::Count => 1,
        }
    }

    fn exceeded(&self, holder: &str, period: Period) -> Exceeded {
        let resets_at = resets_at(period, self.budget.day, self.zone);
        Exceeded { holder: holder.to_owned(), period, resets_at, never_fits: false }
    }
}

/// When a budget that includes `day` begins anew.
#[must_use]
pub(crate) fn resets_at(period: Period, day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let next = match period {
        Period::Day => day.succ_opt(),
        Period::Month => {
            let (year, month) = (day.year(), day.month());
            if month == 12 {
                NaiveDate::from_ymd_opt(year.checked_add(1)?, 1, 1)
            } else {
                NaiveDate::from_ymd_opt(year, month.checked_add(1)?, 1)
            }
        }
        Period::Total => None,
    }?;
    day_begins(next, &zone)
}

/// Adds every budget that has a limit and was not drawn on yet, and puts all in order: the program's own first.
pub(crate) fn complete(usage: &mut Vec<Usage>, limits: &[ProgramLimit], day: NaiveDate) {
    for limit in limits {
        // A limit of one reward is no budget.
        let LimitScope::Period(period) = limit.scope else { continue };
        let holder = limit.holder();
        if usage.iter().any(|drawn| drawn.holder == holder && drawn.period == period) {
            continue;
        }
        let period_key = match period {
            Period::Day => day.to_string(),
            Period::Month => month_text(day),
            Period::Total => EVER.to_owned(),
        };
        usage.push(Usage {
            holder,
            period,
            period_key,
            reserved_minor: 0,
            reserved_count: 0,
            used_minor: 0,
            used_count: 0,
        });
    }
    let place = |period: Period| Period::ALL.iter().position(|one| *one == period);
    usage.sort_by_cached_key(|one| (one.holder != PROGRAM, one.holder.clone(), place(one.period)));
}

/// Finds the first budget that the reward would exceed, by usage that was read earlier. Only [`reserve`] decides.
#[must_use]
pub(crate) fn find_exceeded(draw: &Draw<'_>, usage: &[Usage]) -> Option<Exceeded> {
    // Whatever is used: a caller who waits for a smaller budget to begin anew would wait in vain.
    let never = find_full(draw, &[]).map(|full| Exceeded { resets_at: None, never_fits: true, ..full });
    never.or_else(|| find_full(draw, usage))
}

fn find_full(draw: &Draw<'_>, usage: &[Usage]) -> Option<Exceeded> {
    let key = draw.budget.key.to_string();
    for (holder, limits) in [(PROGRAM, &draw.policy.program), (key.as_str(), &draw.policy.key)] {
        for period in Period::ALL {
            let used = usage.iter().find(|usage| usage.holder == holder && usage.period == *period);
            for measure in Measure::ALL {
                let taken = used.map_or(0, |usage| usage.taken(*measure)).saturating_add(draw.more(*measure));
                if limits.of(*period, *measure).hard.is_some_and(|hard| taken > hard) {
                    return Some(draw.exceeded(holder, *period));
                }
            }
        }
    }
    None
}

/// Reserves the reward's value in its program's budgets and in its key's. Writes an event for each soft limit that this
/// reaches and for each hard limit that it uses up.
pub(crate) async fn reserve(tx: &mut Tx, draw: &Draw<'_>, now: DateTime<Utc>) -> Result<Reservation, StoreError> {
    // The statement compares with the limit only where the row exists already, so a first reward is compared here.
    if let Some(exceeded) = find_exceeded(draw, &[]) {
        return Ok(Reservation::Exceeded(exceeded));
    }
    let budget = draw.budget;
    let (key, day, month) = (budget.key.to_string(), budget.day_text(), budget.month_text());
    let (program, own) = (&draw.policy.program, &draw.policy.key);
    let hard = |limits: &Limits, period, measure| limits.of(period, measure).hard;
    let rows = fetch_all!(
        UsageRow,
        tx,
        RESERVE,
        budget.program.as_str(),
        key.as_str(),
        day.as_str(),
        month.as_str(),
        draw.value.minor(),
        1_i64,
        0_i64,
        0_i64,
        hard(program, Period::Day, Measure::Amount),
        hard(program, Period::Day, Measure::Count),
        hard(program, Period::Month, Measure::Amount),
        hard(program, Period::Month, Measure::Count),
        hard(program, Period::Total, Measure::Amount),
        hard(program, Period::Total, Measure::Count),
        hard(own, Period::Day, Measure::Amount),
        hard(own, Period::Day, Measure::Count),
        hard(own, Period::Month, Measure::Amount),
        hard(own, Period::Month, Measure::Count),
        hard(own, Period::Total, Measure::Amount),
        hard(own, Period::Total, Measure::Count)
    )?;
    // A row that the limit kept from changing is not returned.
    let changed = rows.into_iter().map(Usage::read).collect::<Result<Vec<_>, _>>()?;
    for holder in [PROGRAM, key.as_str()] {
        for period in Period::ALL {
            if !changed.iter().any(|usage| usage.holder == holder && usage.period == *period) {
                return Ok(Reservation::Exceeded(draw.exceeded(holder, *period)));
            }
        }
    }
    for usage in &changed {
        let limits = if usage.holder == PROGRAM { program } else { own };
        for measure in Measure::ALL {
            let crossing = crossing(limits.of(usage.period, *measure), usage.taken(*measure), draw.more(*measure));
            if let Some(crossing) = crossing {
                report_crossing(tx, &budget.program, usage, *measure, crossing, now).await?;
            }
        }
    }
    Ok(Reservation::Reserved)
}

/// A limit that a reservation reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crossing {
    event: &'static str,
    limit: i64,
}

/// The limit that was reached when `more` was added and made it `taken`. Each limit is reached once.
fn crossing(limit: Limit, taken: i64, more: i64) -> Option<Crossing> {
    let before = taken.saturating_sub(more);
    let reached = |limit: Option<i64>| limit.filter(|limit| before < *limit && *limit <= taken);
    let exhausted = reached(limit.hard).map(|limit| Crossing { event: "budget.exhausted", limit });
    exhausted.or_else(|| reached(limit.soft).map(|limit| Crossing { event: "budget.threshold_reached", limit }))
}

async fn report_crossing(
    tx: &mut Tx,
    program: &ProgramId,
    usage: &Usage,
    measure: Measure,
    crossing: Crossing,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Crossing { event, limit } = crossing;
    let taken = usage.taken(measure);
    tracing::warn!(
        program = %program,
        budget.holder = usage.holder,
        budget.span = usage.period.as_str(),
        budget.unit = measure.as_str(),
        budget.limit = limit,
        budget.taken = taken,
        "{event}"
    );
    let data = serde_json::json!({
        "holder": usage.holder, "span": usage.period.as_str(), "period": usage.period_key, "unit": measure.as_str(),
        "limit": limit, "taken": taken,
    });
    outbox::write(tx, event, Named::Program(program), Some(&data), now).await
}

/// What an update adds to usage.
#[derive(Clone, Copy)]
struct Delta {
    reserved: i64,
    used: i64,
}

/// Moves a reward's value within its budgets as its ledger status changes. A new reservation is [`reserve`]'s, because a
/// budget may refuse it.
pub(crate) async fn move_usage(
    tx: &mut Tx,
    budget: &BudgetRef,
    value: Money,
    from: LedgerStatus,
    to: LedgerStatus,
) -> Result<(), StoreError> {
    if from == to || (from, to) == (LedgerStatus::None, LedgerStatus::Reserved) {
        return Ok(());
    }
    let moved = |status| i64::from(to == status).saturating_sub(i64::from(from == status));
    let count = Delta { reserved: moved(LedgerStatus::Reserved), used: moved(LedgerStatus::Issued) };
    let minor = Delta {
        reserved: count.reserved.saturating_mul(value.minor()),
        used: count.used.saturating_mul(value.minor()),
    };
    let none = None::<i64>;
    // Of each of the three periods the program's own budget and the key's.
    join!(
        tx,
        MOVE,
        6,
        budget.program.as_str(),
        budget.key.to_string(),
        budget.day_text(),
        budget.month_text(),
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
        let at = |period, text| resets_at(period, day(text), tokyo).map(|at| at.to_rfc3339());
        assert_eq!(at(Period::Day, "2026-12-31").as_deref(), Some("2026-12-31T15:00:00+00:00"));
        assert_eq!(at(Period::Month, "2026-12-05").as_deref(), Some("2026-12-31T15:00:00+00:00"));
        assert_eq!(at(Period::Month, "2026-02-28").as_deref(), Some("2026-02-28T15:00:00+00:00"));
        assert_eq!(at(Period::Total, "2026-12-31"), None);
        // Midnight does not exist on this day: the clocks go from 23:59:59 to 01:00.
        let cairo = resets_at(Period::Day, day("2026-04-23"), chrono_tz::Africa::Cairo).unwrap();
        assert_eq!(cairo.to_rfc3339(), "2026-04-23T22:00:00+00:00");
    }

    #[test]
    fn a_limit_is_crossed_once() {
        let limit = Limit { hard: Some(100), soft: Some(80) };
        assert_eq!(crossing(limit, 79, 10), None);
        assert_eq!(crossing(limit, 80, 1), Some(Crossing { event: "budget.threshold_reached", limit: 80 }));
        assert_eq!(crossing(limit, 90, 10), None, "it was reported at 80");
        assert_eq!(crossing(limit, 100, 10), Some(Crossing { event: "budget.exhausted", limit: 100 }));
        assert_eq!(crossing(Limit::default(), 100, 10), None);
    }
}
