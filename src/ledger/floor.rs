//! The floor of an account's funds: what purchases leave untouched, whatever day it is and whatever programs and ceilings allow.
//!
//! One row an account. `let_in` adds up every reward that was let in, and only grows. When Amazon reports the funds, `covered` is set
//! to what `let_in` may grow to before they are used up: what was let in when Amazon was asked, and what Amazon has, less what was on
//! the way then and may not be deducted yet. So a purchase compares two figures of one row while it holds the row's lock, and no other
//! purchase can come in between. Until the next report nothing is given back: a reward that is refused or canceled leaves more than
//! the floor, never less.
//!
//! A report may lag behind what Amazon has done: then it shows more than there is. So a report that covers less counts at once, and
//! one that covers more once all reports of `balances.confirm_seconds` do.
//!
//! Only accounts with a floor count. A day without a report is too long: replicas without the floor may have bought meanwhile.

use chrono::{DateTime, TimeDelta, Utc};

use super::totals::LedgerKey;
use crate::{
    accounts::Account,
    events::{Named, outbox},
    kernel::Money,
    store::{Snapshot, Sql, Store, StoreError, Tx, execute, fetch_optional, row, statements},
};

statements! {
    LET_IN = Sql::same(
        "funds_floors.let_in",
        "SELECT let_in_minor FROM funds_floors WHERE account = $1 AND currency = $2",
    );
    COVER = Sql::same(
        "funds_floors.cover",
        "INSERT INTO funds_floors (account, currency, let_in_minor, covered_minor, as_of, rising_minor, rising_since) \
         VALUES ($1, $2, 0, $3, $4, $6, $7) ON CONFLICT (account, currency) DO UPDATE SET \
         covered_minor = excluded.covered_minor, as_of = excluded.as_of, \
         rising_minor = excluded.rising_minor, rising_since = excluded.rising_since, \
         refused_at = CASE WHEN funds_floors.let_in_minor <= excluded.covered_minor - $5 THEN NULL ELSE funds_floors.refused_at END",
    );
    TAKE = Sql::same(
        "funds_floors.take",
        "UPDATE funds_floors SET let_in_minor = let_in_minor + $3 \
         WHERE account = $1 AND currency = $2 AND let_in_minor <= covered_minor - $4 - $3 AND as_of >= $5",
    );
    NOW = Sql::same(
        "funds_floors.now",
        "SELECT let_in_minor, covered_minor, as_of, rising_minor, rising_since, refused_at FROM funds_floors \
         WHERE account = $1 AND currency = $2",
    );
    REFUSED = Sql::same(
        "funds_floors.refused",
        "UPDATE funds_floors SET refused_at = $3 WHERE account = $1 AND currency = $2 AND refused_at IS NULL",
    );
}

row! {
    struct LetInRow { let_in_minor: i64 }
}

row! {
    struct FloorRow {
        let_in_minor: i64, covered_minor: i64, as_of: DateTime<Utc>, rising_minor: Option<i64>,
        rising_since: Option<DateTime<Utc>>, refused_at: Option<DateTime<Utc>>,
    }
}

/// The ceiling's word in metrics: the setting's.
pub(crate) const FUNDS_FLOOR: &str = "funds_floor";
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
    /// Another reward was refused since there was room for the largest one.
    reported: bool,
}

impl FloorRow {
    fn counts(&self, now: DateTime<Utc>) -> bool {
        self.as_of >= earliest(now)
    }

    fn cover(&self) -> Cover {
        Cover { minor: self.covered_minor, rising: self.rising_minor.zip(self.rising_since) }
    }

    fn has_room(&self, value: Money, floor: Money) -> bool {
        self.let_in_minor <= self.covered_minor.saturating_sub(floor.minor()).saturating_sub(value.minor())
    }
}

fn earliest(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_sub_signed(REPORT_COUNTS).unwrap_or(DateTime::UNIX_EPOCH)
}

fn reached(account: &Account, floor: Money, row: Option<&FloorRow>, now: DateTime<Utc>) -> FloorReached {
    FloorReached {
        account: account.id().to_owned(),
        floor,
        known: row.is_some_and(|row| row.counts(now)),
        reported: row.is_some_and(|row| row.refused_at.is_some()),
    }
}

/// Whether the floor would keep a reward from being bought now. Counts nothing.
pub(crate) async fn look(
    snapshot: &mut Snapshot,
    account: &Account,
    value: Money,
    now: DateTime<Utc>,
) -> Result<Option<FloorReached>, StoreError> {
    let Some(floor) = account.ceilings().funds_floor else { return Ok(None) };
    let key = LedgerKey::of(account);
    let row = fetch_optional!(FloorRow, snapshot, NOW, key.account, key.currency.code())?;
    let fits = row.as_ref().is_some_and(|row| row.counts(now) && row.has_room(value, floor));
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
    if execute!(tx, TAKE, id, currency, value.minor(), floor.minor(), earliest(now))? == 1 {
        return Ok(None);
    }
    let row = fetch_optional!(FloorRow, tx, NOW, id, currency)?;
    Ok(Some(reached(account, floor, row.as_ref(), now)))
}

/// What was let in until now, in minor units. To be read before what is on the way, and that before Amazon is asked: a reward that comes
/// in between counts twice, none is left out.
pub(crate) async fn let_in(snapshot: &mut Snapshot, account: &Account) -> Result<i64, StoreError> {
    let key = LedgerKey::of(account);
    let row = fetch_optional!(LetInRow, snapshot, LET_IN, key.account, key.currency.code())?;
    Ok(row.map_or(0, |row| row.let_in_minor))
}

/// Whether Amazon must be asked before anything can be bought with an account that has a floor.
pub(crate) async fn is_unknown(
    snapshot: &mut Snapshot,
    account: &Account,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let key = LedgerKey::of(account);
    let row = fetch_optional!(FloorRow, snapshot, NOW, key.account, key.currency.code())?;
    Ok(row.is_none_or(|row| !row.counts(now)))
}

/// What is covered by the reports so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cover {
    /// Minor units.
    minor: i64,
    /// The least of the reports since then that cover more, in minor units.
    rising: Option<(i64, DateTime<Utc>)>,
}

impl Cover {
    const fn of_first(minor: i64) -> Self {
        Self { minor, rising: None }
    }

    /// What is covered after one more report, by which `minor` is.
    fn after(self, minor: i64, at: DateTime<Utc>, confirm: TimeDelta) -> Self {
        if minor <= self.minor {
            return Self::of_first(minor);
        }
        let (least, since) = self.rising.unwrap_or((minor, at));
        let least = least.min(minor);
        if at.signed_duration_since(since) < confirm {
            return Self { rising: Some((least, since)), ..self };
        }
        Self { minor: least, rising: (minor > least).then_some((minor, at)) }
    }
}

/// What Amazon reported.
pub(crate) struct ReportedFunds {
    /// What was let in when Amazon was asked and is not on the way, in minor units.
    pub(crate) deducted: i64,
    pub(crate) available: Money,
    /// When Amazon was asked.
    pub(crate) asked_at: DateTime<Utc>,
    /// For how long reports must agree that there is more.
    pub(crate) confirm: TimeDelta,
}

/// Keeps what a report covers. The transaction wrote the account's balance before: so reports come one after the other.
pub(crate) async fn cover(tx: &mut Tx, account: &Account, funds: &ReportedFunds) -> Result<(), StoreError> {
    let Some(floor) = account.ceilings().funds_floor else { return Ok(()) };
    let key = LedgerKey::of(account);
    let (id, currency) = (key.account, key.currency.code());
    let minor = funds.deducted.saturating_add(funds.available.minor());
    let row = fetch_optional!(FloorRow, tx, NOW, id, currency)?.filter(|row| row.counts(funds.asked_at));
    let cover = row.map_or(Cover::of_first(minor), |row| row.cover().after(minor, funds.asked_at, funds.confirm));
    let (rising, since) = cover.rising.unzip();
    let roomy = floor.minor().saturating_add(account.maximum().minor());
    execute!(tx, COVER, id, currency, cover.minor, funds.asked_at, roomy, rising, since)?;
    Ok(())
}

/// Writes the event of a floor that refused a reward: once, until there was room for the largest reward again.
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
    if execute!(tx, REFUSED, key.account, key.currency.code(), now)? == 1 {
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
                let now = cover.map_or(Cover::of_first(minor), |cover| cover.after(minor, at, CONFIRM));
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
            cover = cover.after(reported, at(second), CONFIRM);
            assert_eq!(cover.minor, covered, "{second}");
        }
    }
}
