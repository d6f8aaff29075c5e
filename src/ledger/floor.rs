//! The floor of an account's funds: what purchases leave untouched. Neither a program nor a ceiling can allow more.
//!
//! One row an account. `let_in` adds up every reward that was let in, and only grows. When Amazon reports the funds, `covered` is set
//! to what `let_in` may grow to before they are used up: what was let in when Amazon was asked, and what Amazon has, less what was on
//! the way then and may not be deducted yet. So a purchase compares two figures of one row while it holds the row's lock, and no other
//! purchase can come in between. Until the next report nothing is given back: a reward that is refused or canceled leaves more than
//! the floor, never less.
//!
//! A report may lag behind what Amazon has done: then it shows more than there is. So a report that covers less counts at once, and
//! one that covers more once all reports of `balances.confirm_seconds` do, by our clock and by Amazon's own time of the balance. The
//! first report counts as it is.
//!
//! Only accounts with a floor count. A report of more than a day ago counts no longer: replicas without the floor may have bought
//! since. A restore forgets all of it.

use chrono::{DateTime, TimeDelta, Utc};

use super::totals::LedgerKey;
use crate::{
    accounts::Account,
    events::{Named, outbox},
    kernel::{
        Money,
        calendar::day_begins,
        horizon::{horizon, is_stray},
    },
    store::{Read, Snapshot, Sql, Store, StoreError, Tx, execute, fetch_optional, row, statements},
};

statements! {
    COVER = Sql::same(
        "funds_floors.cover",
        "INSERT INTO funds_floors (account, currency, partner_id, let_in_minor, covered_minor, as_of, rising_minor, rising_since, \
         rising_amazon) VALUES ($1, $2, $8, 0, $3, $4, $6, $7, $9) ON CONFLICT (account, currency) DO UPDATE SET \
         partner_id = excluded.partner_id, covered_minor = excluded.covered_minor, as_of = excluded.as_of, \
         rising_minor = excluded.rising_minor, rising_since = excluded.rising_since, rising_amazon = excluded.rising_amazon, \
         refused_at = CASE WHEN funds_floors.let_in_minor <= excluded.covered_minor - $5 THEN NULL ELSE funds_floors.refused_at END",
    );
    TAKE = Sql::same(
        "funds_floors.take",
        "UPDATE funds_floors SET let_in_minor = let_in_minor + $3 \
         WHERE account = $1 AND currency = $2 AND let_in_minor <= covered_minor - $4 - $3 AND as_of >= $5 AND as_of <= $6 \
         AND partner_id = $7",
    );
    NOW = Sql::same(
        "funds_floors.now",
        "SELECT partner_id, let_in_minor, covered_minor, as_of, rising_minor, rising_since, rising_amazon, refused_at \
         FROM funds_floors WHERE account = $1 AND currency = $2",
    );
    FORGET = Sql::same("funds_floors.forget", "DELETE FROM funds_floors WHERE account = $1 AND currency = $2");
    FORGET_ALL = Sql::same("funds_floors.forget_all", "DELETE FROM funds_floors");
    /// A report of before $4 is one of another day. One from after $5 was noted by a clock that was ahead.
    REFUSED = Sql::same(
        "funds_floors.refused",
        "UPDATE funds_floors SET refused_at = $3 WHERE account = $1 AND currency = $2 \
         AND (refused_at IS NULL OR refused_at < $4 OR refused_at > $5)",
    );
}

row! {
    struct FloorRow {
        partner_id: String, let_in_minor: i64, covered_minor: i64, as_of: DateTime<Utc>, rising_minor: Option<i64>,
        rising_since: Option<DateTime<Utc>>, rising_amazon: Option<DateTime<Utc>>, refused_at: Option<DateTime<Utc>>,
    }
}

/// The ceiling's word in metrics: the setting's.
pub(crate) const FUNDS_FLOOR: &str = "funds_floor";
/// The same where the funds are not known.
pub(crate) const FUNDS_UNKNOWN: &str = "funds_unknown";
/// For so long a report of Amazon's counts.
const REPORT_COUNTS: TimeDelta = TimeDelta::days(1);

/// A reward that the floor keeps from being bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorReached {
    pub(crate) account: String,
    /// What is left untouched.
    pub(crate) floor: Money,
    /// Amazon has reported the funds within the last day.
    pub(crate) known: bool,
    /// Another reward was refused on this day of the account's, and since there was room for the largest one.
    reported: bool,
}

impl FloorRow {
    /// Whether it speaks of this account as it is now. A report from the future was noted by a clock that was ahead.
    fn counts(&self, account: &Account, now: DateTime<Utc>) -> bool {
        self.as_of >= earliest(now) && !is_stray(self.as_of, now) && self.partner_id == account.partner_id()
    }

    fn cover(&self) -> Cover {
        let rising = self.rising_minor.zip(self.rising_since);
        let rising = rising.map(|(least, since)| Rising { least, since, amazon_since: self.rising_amazon });
        Cover { minor: self.covered_minor, rising }
    }

    fn has_room(&self, value: Money, floor: Money) -> bool {
        self.let_in_minor <= self.covered_minor.saturating_sub(floor.minor()).saturating_sub(value.minor())
    }
}

async fn row_of(on: &mut impl Read, account: &Account) -> Result<Option<FloorRow>, StoreError> {
    let key = LedgerKey::of(account);
    fetch_optional!(FloorRow, on, NOW, key.account, key.currency.code())
}

fn earliest(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_sub_signed(REPORT_COUNTS).unwrap_or(DateTime::UNIX_EPOCH)
}

fn reached(account: &Account, floor: Money, row: Option<&FloorRow>, now: DateTime<Utc>) -> FloorReached {
    FloorReached {
        account: account.id().to_owned(),
        floor,
        known: row.is_some_and(|row| row.counts(account, now)),
        reported: row
            .and_then(|row| row.refused_at)
            .is_some_and(|at| (today(account, now)..=horizon(now, TimeDelta::zero())).contains(&at)),
    }
}

/// When the account's day began.
fn today(account: &Account, now: DateTime<Utc>) -> DateTime<Utc> {
    let zone = account.time_zone();
    day_begins(now.with_timezone(&zone).date_naive(), &zone).unwrap_or(now)
}

/// Whether the floor would keep a reward from being bought now. Counts nothing.
pub(crate) async fn look(
    snapshot: &mut Snapshot,
    account: &Account,
    value: Money,
    now: DateTime<Utc>,
) -> Result<Option<FloorReached>, StoreError> {
    let Some(floor) = account.ceilings().funds_floor else { return Ok(None) };
    let row = row_of(snapshot, account).await?;
    let fits = row.as_ref().is_some_and(|row| row.counts(account, now) && row.has_room(value, floor));
    Ok((!fits).then(|| reached(account, floor, row.as_ref(), now)))
}

/// Counts a try to buy a reward. Where the floor refuses it, the transaction must not be committed. The last thing that a transaction
/// does: every other one of the account waits for its row.
pub(crate) async fn take(
    tx: &mut Tx,
    account: &Account,
    value: Money,
    now: DateTime<Utc>,
) -> Result<Option<FloorReached>, StoreError> {
    let Some(floor) = account.ceilings().funds_floor else { return Ok(None) };
    let key = LedgerKey::of(account);
    let (id, currency) = (key.account, key.currency.code());
    let (from, to) = (earliest(now), horizon(now, TimeDelta::zero()));
    if execute!(tx, TAKE, id, currency, value.minor(), floor.minor(), from, to, account.partner_id())? == 1 {
        return Ok(None);
    }
    let row = row_of(tx, account).await?;
    Ok(Some(reached(account, floor, row.as_ref(), now)))
}

/// What was let in until now, in minor units. To be read before what is on the way, and that before Amazon is asked: a reward that comes
/// in between counts more than once, and none is left out.
pub(crate) async fn let_in(snapshot: &mut Snapshot, account: &Account) -> Result<i64, StoreError> {
    Ok(row_of(snapshot, account).await?.map_or(0, |row| row.let_in_minor))
}

/// Whether Amazon must be asked before anything can be bought with an account that has a floor.
pub(crate) async fn is_unknown(
    snapshot: &mut Snapshot,
    account: &Account,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let row = row_of(snapshot, account).await?;
    Ok(row.is_none_or(|row| !row.counts(account, now)))
}

/// What is covered by the reports so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cover {
    /// Minor units.
    minor: i64,
    rising: Option<Rising>,
}

/// Reports that cover more, until they have agreed for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rising {
    /// The least of them, in minor units.
    least: i64,
    /// When Amazon was asked for the first of them, by our clock…
    since: DateTime<Utc>,
    /// …and when it answered, by its own.
    amazon_since: Option<DateTime<Utc>>,
}

impl Cover {
    const fn of_first(minor: i64) -> Self {
        Self { minor, rising: None }
    }

    /// What is covered after one more report.
    fn after(self, report: &ReportedFunds) -> Self {
        let minor = report.covers();
        if minor <= self.minor {
            return Self::of_first(minor);
        }
        let fresh = Rising { least: minor, since: report.asked_at, amazon_since: report.answered_at };
        // One that began ahead of now was begun by a clock that was ahead: it would last until that instant.
        let rising = self.rising.filter(|rising| !is_stray(rising.since, report.asked_at)).unwrap_or(fresh);
        let rising = Rising { least: rising.least.min(minor), ..rising };
        if !report.is_later_than(&rising) {
            return Self { rising: Some(rising), ..self };
        }
        Self { minor: rising.least, rising: (minor > rising.least).then_some(fresh) }
    }
}

/// What Amazon reported.
pub(crate) struct ReportedFunds {
    /// What was let in when Amazon was asked and is not on the way, in minor units.
    pub(crate) deducted: i64,
    pub(crate) available: Money,
    /// When Amazon was asked, by our clock.
    pub(crate) asked_at: DateTime<Utc>,
    /// When Amazon answered, by its clock.
    pub(crate) answered_at: Option<DateTime<Utc>>,
    /// The instant that its answer speaks of, by its clock. An answer that stands still while rewards are bought speaks of the past.
    pub(crate) speaks_of: Option<DateTime<Utc>>,
    /// For how long reports must agree that there is more.
    pub(crate) confirm: TimeDelta,
}

impl ReportedFunds {
    const fn covers(&self) -> i64 {
        self.deducted.saturating_add(self.available.minor())
    }

    /// Whether it was made long enough after the first of these: by our clock, and by Amazon's if it shows one.
    fn is_later_than(&self, rising: &Rising) -> bool {
        let theirs = self.speaks_of.zip(rising.amazon_since);
        self.asked_at.signed_duration_since(rising.since) >= self.confirm
            && theirs.is_none_or(|(now, since)| now.signed_duration_since(since) >= self.confirm)
    }
}

/// Keeps what a report covers. The transaction wrote the account's balance before: so reports come one after the other.
pub(crate) async fn cover(tx: &mut Tx, account: &Account, funds: &ReportedFunds) -> Result<(), StoreError> {
    let key = LedgerKey::of(account);
    let (id, currency) = (key.account, key.currency.code());
    let Some(floor) = account.ceilings().funds_floor else {
        // This replica buys without counting: whoever has a floor begins anew.
        return execute!(tx, FORGET, id, currency).map(|_rows| ());
    };
    let row = row_of(tx, account).await?.filter(|row| row.counts(account, funds.asked_at));
    let cover = row.map_or(Cover::of_first(funds.covers()), |row| row.cover().after(funds));
    let rising = cover.rising;
    let (least, since) = (rising.map(|rising| rising.least), rising.map(|rising| rising.since));
    let amazon_since = rising.and_then(|rising| rising.amazon_since);
    let roomy = floor.minor().saturating_add(account.maximum().minor());
    let partner = account.partner_id();
    execute!(tx, COVER, id, currency, cover.minor, funds.asked_at, roomy, least, since, partner, amazon_since)?;
    Ok(())
}

/// Forgets what the reports covered: the database was restored, and what was bought since is not in it.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn forget(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(tx, FORGET_ALL).map(|_rows| ())
}

/// Writes the event of a floor that refused a reward: once on each day of the account's, and again once there was room for the largest
/// reward. Small deposits make room for small rewards alone, so a floor may be reached day after day.
pub(crate) async fn report(
    store: &Store,
    account: &Account,
    reached: &FloorReached,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if reached.reported || !reached.known {
        return Ok(());
    }
    let key = LedgerKey::of(account);
    let mut tx = store.begin_as("floor.report").await?;
    let (from, to) = (today(account, now), horizon(now, TimeDelta::zero()));
    if execute!(tx, REFUSED, key.account, key.currency.code(), now, from, to)? == 1 {
        let data = serde_json::json!({"funds_floor": reached.floor.to_string(), "currency_code": key.currency.code()});
        outbox::write(&mut tx, "funds_floor.reached", Named::Account(key.account), Some(&data), now).await?;
        tracing::warn!(
            account = key.account,
            ledger.amount = %reached.floor,
            "the account's funds have come down to their floor: new rewards are refused until more has come"
        );
    }
    tx.commit(()).await.map(|_done| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIRM: TimeDelta = TimeDelta::minutes(5);

    fn report(covers: i64, at: DateTime<Utc>, speaks_of: Option<DateTime<Utc>>) -> ReportedFunds {
        let available = Money::from_minor(covers, crate::kernel::Currency::Usd);
        let answered_at = speaks_of.map(|_shown| at);
        ReportedFunds { deducted: 0, available, asked_at: at, answered_at, speaks_of, confirm: CONFIRM }
    }

    proptest! {
        /// Reports as (seconds since the one before, what they cover).
        #[test]
        fn nothing_is_covered_that_one_report_of_the_last_minutes_does_not_cover(
            reports in prop::collection::vec((1_i64..400, 0_i64..100), 1..40)
        ) {
            let mut at = DateTime::UNIX_EPOCH;
            let mut seen: Vec<(DateTime<Utc>, i64)> = Vec::new();
            let mut cover = None::<Cover>;
            for (later, minor) in reports {
                at += TimeDelta::seconds(later);
                seen.push((at, minor));
                let before = cover.map(|cover| cover.minor);
                let now = cover.map_or(Cover::of_first(minor), |cover| cover.after(&report(minor, at, None)));
                cover = Some(now);
                prop_assert!(now.minor <= minor, "never more than the last report");
                if before.is_some_and(|before| now.minor > before) {
                    // The last report before the span counts as well: it held while the span began.
                    let from = seen.iter().rev().map(|(at, _minor)| *at).find(|then| at - *then >= CONFIRM);
                    let from = from.expect("risen within the span");
                    let least = seen.iter().filter(|(then, _minor)| *then >= from).map(|(_then, minor)| *minor).min();
                    prop_assert!(Some(now.minor) <= least, "{seen:?} {now:?}");
                }
            }
        }
    }

    #[test]
    fn more_is_covered_once_reports_have_agreed_for_long_enough() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut cover = Cover::of_first(100);
        for (second, reported, covered) in
            [(0, 300, 100), (299, 250, 100), (300, 280, 250), (301, 90, 90), (302, 280, 90), (602, 280, 280)]
        {
            cover = cover.after(&report(reported, at(second), None));
            assert_eq!(cover.minor, covered, "{second}");
        }
    }

    /// What is bought meanwhile makes each report of the same funds cover more.
    #[test]
    fn an_answer_that_stands_still_covers_no_more_however_long_it_does() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::seconds(seconds);
        let mut cover = Cover::of_first(100);
        for second in (0..3_000).step_by(60) {
            cover = cover.after(&report(100 + second, at(second), Some(at(0))));
            assert_eq!(cover.minor, 100, "{second}");
        }
        cover = cover.after(&report(4_000, at(3_060), Some(at(3_055))));
        assert!(cover.minor > 100, "Amazon's own time has gone on");
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_no_funds_back() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let ahead = Cover::of_first(100).after(&report(300, now + TimeDelta::days(365), None));
        let cover = ahead.after(&report(300, now, None)).after(&report(300, now + CONFIRM, None));
        assert_eq!(cover.minor, 300);
    }
}
