//! The days of an account that are not reconciled: which are due, which rest after a failure, and which Amazon's report
//! may no longer offer.
//!
//! A day is reconciled once a finished run of any source covers it. So what is missing is a difference of two sets, and
//! whatever runs in between hides nothing. The first day is the one before the account's first sign of life: a purchase
//! may have been made a day before its proof.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use serde_json::json;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{BeginError, Reconciliations, period::RunPeriod, run::RunError};
use crate::{
    accounts::Account,
    audit::{AuditAction, Deed, Scribe},
    events::{Named, outbox},
    kernel::{horizon::is_stray, rest::DoublingRest, word_methods},
    store::{InstantRow, Snapshot, Sql, StoreError, execute, fetch_all, fetch_optional, row, statements},
};

/// For how many days back Amazon is asked. Amazon states no limit; what is older is likely gone from its report.
pub(crate) const REACH_DAYS: u64 = 60;
/// For how many days back a day is named at all.
const NAMED_DAYS: u64 = 400;
/// How long a day rests after a failure.
const REST: DoublingRest = DoublingRest { first: TimeDelta::hours(1), longest: TimeDelta::hours(24) };

statements! {
    /// When the account's first purchase was proven. By an index.
    FIRST_PROOF = Sql::same(
        "rewards.first_proof",
        "SELECT MIN(issued_at) AS at FROM rewards WHERE account = $1 AND issued_at IS NOT NULL",
    );
    FIRST_OBSERVATION = Sql::same(
        "balance_observations.first",
        "SELECT as_of AS at FROM balance_observations WHERE account = $1 ORDER BY account, hour, as_of LIMIT 1",
    );
    COVERED = Sql::same(
        "reconciliations.covered",
        "SELECT DISTINCT period_from, period_to FROM reconciliations WHERE account = $1 AND state = 'finished' \
         AND period_to > $2 ORDER BY period_from",
    );
    FAILED = Sql::same(
        "reconciliations.failed",
        "SELECT period_from, failure, ended_at FROM reconciliations WHERE account = $1 AND state = 'failed' AND daily \
         AND period_from >= $2 AND failure <> 'interrupted' ORDER BY id",
    );
    ACCEPTED = Sql::same(
        "reconciliation_accepted_days.of",
        "SELECT day FROM reconciliation_accepted_days WHERE account = $1 AND day >= $2 ORDER BY day",
    );
    ACCEPT = Sql::same(
        "reconciliation_accepted_days.add",
        "INSERT INTO reconciliation_accepted_days (account, day, accepted_at) VALUES ($1, $2, $3) \
         ON CONFLICT (account, day) DO NOTHING",
    );
}

row! {
    struct CoveredRow { period_from: DateTime<Utc>, period_to: DateTime<Utc> }
}

row! {
    struct FailedRow { period_from: DateTime<Utc>, failure: Option<String>, ended_at: Option<DateTime<Utc>> }
}

row! {
    struct AcceptedRow { day: DateTime<Utc> }
}

/// How it stands with a day that is not reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OpenDayStatus {
    /// It was not tried yet.
    Due,
    /// It was tried in vain, and will be again.
    Failing,
    /// It is not tried any more: Amazon's report is unlikely to reach back to it.
    OutOfReach,
}
word_methods!(OpenDayStatus);

/// A day that is not reconciled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenDay {
    pub(crate) day: NaiveDate,
    pub(crate) status: OpenDayStatus,
    pub(crate) failures: Failures,
    /// Until then it rests after a failure.
    pub(crate) next_try_at: Option<DateTime<Utc>>,
}

/// The failed daily runs of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Failures {
    pub(crate) count: u32,
    /// The word of the last one's cause.
    pub(crate) cause: Option<String>,
    /// When the last one ended.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

impl Failures {
    /// When the day is tried again; `None` if it may be at once.
    fn next_try_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // A failure from the future was written by a clock that was ahead: it is not waited for.
        let last = self.last_at.filter(|last| !is_stray(*last, now))?;
        last.checked_add_signed(REST.after(self.count)).filter(|next| *next > now)
    }

    /// Whether every day of the account would fail the same way.
    fn is_of_the_account(&self) -> bool {
        self.cause.as_deref() == Some(RunError::Disabled.word())
    }
}

/// What is known of an account's days.
#[derive(Debug, Default)]
struct Calendar {
    /// The first and the last day that should be reconciled; `None` if there is none yet.
    span: Option<DayRange>,
    /// Days that a finished run covers, or that a person accepted.
    done: BTreeSet<NaiveDate>,
    failures: BTreeMap<NaiveDate, Failures>,
}

/// Days, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DayRange {
    first: NaiveDate,
    last: NaiveDate,
}

impl DayRange {
    /// The days that should be reconciled by now: from the one before the first sign of life to the last that is due.
    fn of(first_sign: Option<DateTime<Utc>>, now: DateTime<Utc>, hour: u32) -> Option<Self> {
        let last = last_due(now, hour)?;
        let sign = first_sign.map_or(last, |at| before(at.date_naive(), 1));
        (sign <= last).then(|| Self { first: sign.max(before(last, NAMED_DAYS)), last })
    }

    fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(move |day| *day <= self.last)
    }
}

fn before(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap_or(day)
}

/// The last day that is due: the day before, once the hour has come.
fn last_due(now: DateTime<Utc>, hour: u32) -> Option<NaiveDate> {
    let yesterday = now.date_naive().pred_opt()?;
    if now.hour() >= hour { Some(yesterday) } else { yesterday.pred_opt() }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

impl Calendar {
    /// The days that are not reconciled, oldest first.
    fn open(&self, now: DateTime<Utc>) -> Vec<OpenDay> {
        let Some(span) = self.span else { return Vec::new() };
        let reach = before(span.last, REACH_DAYS.saturating_sub(1));
        let status = |day, failures: &Failures| match failures.count {
            _ if day < reach => OpenDayStatus::OutOfReach,
            0 => OpenDayStatus::Due,
            _ => OpenDayStatus::Failing,
        };
        let open = span.days().filter(|day| !self.done.contains(day)).map(|day| {
            let failures = self.failures.get(&day).cloned().unwrap_or_default();
            OpenDay { day, status: status(day, &failures), next_try_at: failures.next_try_at(now), failures }
        });
        open.collect()
    }

    /// The oldest day that may be tried now. A day that rests holds up none, unless all of the account would fail like it.
    fn next(&self, now: DateTime<Utc>) -> Option<NaiveDate> {
        let open = self.open(now);
        if open.iter().any(|day| day.failures.is_of_the_account() && day.next_try_at.is_some()) {
            return None;
        }
        let may_be_tried = |day: &&OpenDay| day.status != OpenDayStatus::OutOfReach && day.next_try_at.is_none();
        open.iter().find(may_be_tried).map(|day| day.day)
    }
}

impl Reconciliations {
    /// The account's days that are not reconciled, oldest first.
    ///
    /// # Errors
    /// [`BeginError`]: no such account, or the database.
    pub(crate) async fn open_days(&self, account: &str) -> Result<Vec<OpenDay>, BeginError> {
        let account = self.account(account)?;
        let calendar = self.calendar(self.deps.store.question().await?, account.id()).await?;
        Ok(calendar.open(self.deps.ambient.now()))
    }

    pub(super) async fn open_days_of(&self, account: &Account) -> Result<Vec<OpenDay>, StoreError> {
        let calendar = self.calendar(self.deps.store.snapshot().await?, account.id()).await?;
        Ok(calendar.open(self.deps.ambient.now()))
    }

    /// The day that the account's next daily run is for, if one is due.
    pub(super) async fn due_day(&self, account: &str) -> Result<Option<NaiveDate>, StoreError> {
        let calendar = self.calendar(self.deps.store.snapshot().await?, account).await?;
        Ok(calendar.next(self.deps.ambient.now()))
    }

    async fn calendar(&self, mut snapshot: Snapshot, account: &str) -> Result<Calendar, StoreError> {
        let now = self.deps.ambient.now();
        let first_sign = first_sign(&mut snapshot, account).await?;
        let Some(span) = DayRange::of(first_sign, now, self.deps.hour) else { return Ok(Calendar::default()) };
        let from = midnight(span.first);
        let mut calendar = Calendar { span: Some(span), ..Calendar::default() };
        for row in fetch_all!(CoveredRow, snapshot, COVERED, account, from)? {
            let first = row.period_from.max(from).date_naive();
            calendar.done.extend(first.iter_days().take_while(|day| midnight(*day) < row.period_to));
        }
        let accepted = fetch_all!(AcceptedRow, snapshot, ACCEPTED, account, from)?;
        calendar.done.extend(accepted.into_iter().map(|row| row.day.date_naive()));
        for row in fetch_all!(FailedRow, snapshot, FAILED, account, from)? {
            let failures = calendar.failures.entry(row.period_from.date_naive()).or_default();
            failures.count = failures.count.saturating_add(1);
            (failures.cause, failures.last_at) = (row.failure, row.ended_at);
        }
        Ok(calendar)
    }

    /// Accepts that these days stay without a reconciliation; returns the number of days that were not accepted before.
    ///
    /// # Errors
    /// [`BeginError`]; nothing was accepted then.
    pub(crate) async fn accept_days(&self, order: &Acceptance<'_>) -> Result<u64, BeginError> {
        let account = self.account(order.account)?;
        let now = self.deps.ambient.now();
        order.period.is_over(now)?;
        let (first, last) = order.period.first_and_last();
        let mut tx = self.deps.store.begin().await?;
        let mut accepted = 0_u64;
        for day in (DayRange { first, last }).days() {
            accepted = accepted.saturating_add(execute!(tx, ACCEPT, account.id(), midnight(day), now)?);
        }
        let data = json!({
            "from": first.to_string(), "to": last.to_string(), "reason": order.reason, "by": order.by,
        });
        outbox::write(&mut tx, "reconciliation.days_accepted", Named::Account(account.id()), Some(&data), now).await?;
        // The reason stands in the event.
        let details = json!({"from": first.to_string(), "to": last.to_string(), "by": order.by});
        let deed = Deed { action: AuditAction::ReconciliationDaysAccepted, subject: account.id(), details };
        order.scribe.write(&mut tx, deed, now).await?;
        tx.commit(()).await?;
        Ok(accepted)
    }
}

/// That days stay without a reconciliation.
#[derive(Debug)]
pub(crate) struct Acceptance<'a> {
    pub(crate) account: &'a str,
    pub(crate) period: RunPeriod,
    pub(crate) reason: &'a str,
    /// The person who decided.
    pub(crate) by: &'a str,
    /// Writes it into the audit.
    pub(crate) scribe: &'a Scribe,
}

/// When the account first showed a sign of life in this database.
async fn first_sign(snapshot: &mut Snapshot, account: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let proof = fetch_optional!(InstantRow, snapshot, FIRST_PROOF, account)?.and_then(|row| row.at);
    let observation = fetch_optional!(InstantRow, snapshot, FIRST_OBSERVATION, account)?.and_then(|row| row.at);
    Ok(proof.into_iter().chain(observation).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// From the first of November to the tenth.
    fn calendar() -> Calendar {
        let span = DayRange::of(Some(at("2026-11-02T12:00:00Z")), at("2026-11-11T06:00:00Z"), 6);
        assert_eq!(span, Some(DayRange { first: day("2026-11-01"), last: day("2026-11-10") }));
        Calendar { span, ..Calendar::default() }
    }

    fn failed(count: u32, cause: &str, last_at: &str) -> Failures {
        Failures { count, cause: Some(cause.to_owned()), last_at: Some(at(last_at)) }
    }

    #[test]
    fn the_day_before_is_due_from_its_hour_on_and_the_first_day_is_the_one_before_the_first_sign() {
        let of = |first: Option<&str>, now: &str| {
            let span = DayRange::of(first.map(at), at(now), 6)?;
            Some((span.first.to_string(), span.last.to_string()))
        };
        let span = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
        assert_eq!(of(None, "2026-11-02T05:59:59Z"), span("2026-10-31", "2026-10-31"));
        assert_eq!(of(None, "2026-11-02T06:00:00Z"), span("2026-11-01", "2026-11-01"), "nothing is known: yesterday");
        assert_eq!(of(Some("2026-11-01T00:00:00Z"), "2026-11-02T06:00:00Z"), span("2026-10-31", "2026-11-01"));
        assert_eq!(of(Some("2026-11-04T00:00:00Z"), "2026-11-02T06:00:00Z"), None, "a sign from the future is no day");
        assert_eq!(of(Some("1970-01-01T00:00:00Z"), "2026-11-02T06:00:00Z"), span("2025-09-27", "2026-11-01"));
    }

    #[test]
    fn what_is_open_is_what_neither_a_run_nor_a_person_has_done() {
        let mut calendar = calendar();
        calendar.done = ["2026-11-01", "2026-11-02", "2026-11-04", "2026-11-10"].map(day).into();
        let now = at("2026-11-11T06:00:00Z");
        let open: Vec<_> = calendar.open(now).into_iter().map(|open| open.day.to_string()).collect();
        assert_eq!(open, ["03", "05", "06", "07", "08", "09"].map(|day| format!("2026-11-{day}")));
        assert_eq!(calendar.next(now), Some(day("2026-11-03")), "the oldest first");
    }

    #[test]
    fn a_day_that_rests_holds_up_no_other_and_rests_twice_as_long_each_time() {
        let (mut calendar, now) = (calendar(), at("2026-11-11T12:00:00Z"));
        calendar.failures.insert(day("2026-11-01"), failed(1, "report_unanswered", "2026-11-11T11:30:00Z"));
        assert_eq!(calendar.next(now), Some(day("2026-11-02")));
        assert_eq!(calendar.next(at("2026-11-11T12:30:00Z")), Some(day("2026-11-01")));
        for (count, hours) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 24), (400, 24)] {
            let failures = failed(count, "report_unanswered", "2026-11-11T12:00:00Z");
            assert_eq!(failures.next_try_at(now), Some(now + TimeDelta::hours(hours)), "{count}");
        }
        // A clock that was a day ahead wrote the end of the last try.
        calendar.failures.insert(day("2026-11-01"), failed(1, "report_unanswered", "2026-11-12T11:30:00Z"));
        assert_eq!(calendar.next(now), Some(day("2026-11-01")));
    }

    #[test]
    fn where_the_report_is_switched_off_one_day_asks_for_all() {
        let mut calendar = calendar();
        calendar.failures.insert(day("2026-11-01"), failed(1, "report_disabled", "2026-11-11T11:30:00Z"));
        assert_eq!(calendar.next(at("2026-11-11T12:00:00Z")), None);
        assert_eq!(calendar.next(at("2026-11-11T12:30:00Z")), Some(day("2026-11-01")));
        calendar.done.insert(day("2026-11-01"));
        assert_eq!(calendar.next(at("2026-11-11T12:00:00Z")), Some(day("2026-11-02")), "a file has come for it");
    }

    #[test]
    fn a_day_beyond_amazons_reach_is_named_and_not_tried() {
        let span = DayRange::of(Some(at("2026-08-01T12:00:00Z")), at("2026-11-11T06:00:00Z"), 6);
        let (calendar, now) = (Calendar { span, ..Calendar::default() }, at("2026-11-11T06:00:00Z"));
        let open = calendar.open(now);
        let (lost, due): (Vec<_>, Vec<_>) = open.iter().partition(|open| open.status == OpenDayStatus::OutOfReach);
        assert_eq!((lost[0].day, due[0].day, due.len()), (day("2026-07-31"), day("2026-09-12"), 60));
        assert_eq!(calendar.next(now), Some(day("2026-09-12")));
    }
}
