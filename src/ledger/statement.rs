//! A month's statement of an account: what it held at first, what came, was bought and given back, and what it held at the end. Months are
//! those of the account's time zone.
//!
//! All of it is read from the ledger by the entries' instants. So a month that is over does not change any more, and its closing balance is the
//! opening one of the next month. The balance is what Amazon holds for the account once no purchase is unfinished: a reservation does not
//! change it, the proof of a purchase does.
//!
//! What it costs: the balance of an instant is a sum over what came to the account (an index of its own), over the hours that are counted
//! already (`totals`), and over the entries behind the mark. What a month moved is added up from the month's own entries, window by window,
//! each a statement of its own. So a statement of a month costs the same after ten years as after one, and no statement of SQL takes long.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{
    moved::{HOUR, Stretch},
    movements::{ADJUSTMENT, CANCEL, DEPOSIT, ISSUE, Movement, OPENING, RELEASE},
    totals::LedgerKey,
};
use crate::{
    accounts::Account,
    identity::OwnedBy,
    kernel::{Money, ProgramId, calendar::day_begins},
    ledger::journal::read_words,
    store::{InstantRow, Sql, Store, StoreError, fetch_all, fetch_optional, row, statements},
};

pub mod export;
pub mod sheet;
pub mod view;

/// Entries of one window.
const WINDOW_ENTRIES: i64 = 20_000;
/// How long a window waits for its turn: whoever asks for a month can wait.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// After this time every transaction that may write an entry of the month has ended.
const SETTLED: TimeDelta = TimeDelta::minutes(10);

/// What an entry of a purchase does to the balance.
macro_rules! effect {
    () => {
        "CASE kind WHEN 'canceled' THEN amount_minor WHEN 'issued' THEN -amount_minor ELSE 0 END"
    };
}

/// The entries of a stretch that buy, give back or release, as the index of these has them.
macro_rules! bought {
    () => {
        concat!(
            "SELECT program_id, kind, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, COUNT(*) AS entries FROM ledger_entries e WHERE account = $1 AND currency = $2 AND kind IN ('issued', 'canceled', 'released') \
             AND at >= $3 AND at < $4"
        )
    };
}

statements! {
    /// What the account held at an instant (`$3`, in the hour `$4`, which began at `$5`). One statement, because two would read two marks.
    BALANCE_AT = Sql::same(
        "ledger_entries.balance_at",
        concat!(
            "SELECT CAST(COALESCE(SUM(minor), 0) AS BIGINT) AS amount_minor FROM (\
             SELECT CASE debit WHEN 'funds' THEN amount_minor ELSE -amount_minor END AS minor FROM ledger_entries \
             WHERE account = $1 AND currency = $2 AND kind IN ('opening', 'deposit', 'adjustment') AND at < $3 \
             UNION ALL SELECT canceled_minor - issued_minor FROM hourly_spending \
             WHERE account = $1 AND currency = $2 AND hour < $4 \
             UNION ALL SELECT ", effect!(), " FROM ledger_entries \
             WHERE account = $1 AND currency = $2 AND kind IN ('issued', 'canceled', 'released') AND at >= $5 AND at < $3 \
             AND id <= COALESCE((SELECT through_id FROM ledger_marks WHERE account = $1 AND currency = $2), 0) \
             UNION ALL SELECT ", effect!(), " FROM ledger_entries WHERE account = $1 AND currency = $2 AND at < $3 \
             AND id > COALESCE((SELECT through_id FROM ledger_marks WHERE account = $1 AND currency = $2), 0)) AS moved"
        ),
    );
    FUNDED = Sql::same(
        "ledger_entries.funded",
        "SELECT kind, debit, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, COUNT(*) AS entries FROM ledger_entries \
         WHERE account = $1 AND currency = $2 AND kind IN ('opening', 'deposit', 'adjustment') AND at >= $3 AND at < $4 \
         GROUP BY kind, debit",
    );
    /// Where a window of so many entries ends: the instant of the first entry that is not in it.
    WINDOW_ENDS = Sql::same(
        "ledger_entries.window_ends",
        "SELECT at FROM ledger_entries WHERE account = $1 AND currency = $2 AND kind IN ('issued', 'canceled', 'released') \
         AND at > $3 AND at < $4 ORDER BY at LIMIT 1 OFFSET $5",
    );
    BOUGHT = Sql::same(
        "ledger_entries.bought",
        concat!(
            bought!(),
            " GROUP BY program_id, kind"
        ),
    );
    /// Of the rewards of one client, and of one program where that is given.
    BOUGHT_BY_CLIENT = Sql::same(
        "ledger_entries.bought_by_client",
        concat!(
            bought!(),
            " AND (SELECT r.client_id FROM rewards r WHERE r.id = e.reward_id) = $5 \
             AND (CAST($6 AS TEXT) IS NULL OR program_id = $6) GROUP BY program_id, kind"
        ),
    );
}

row! {
    struct BalanceAtRow { amount_minor: i64 }
}

row! {
    struct FundedRow { kind: String, debit: String, amount_minor: i64, entries: i64 }
}

row! {
    struct BoughtRow { program_id: Option<String>, kind: String, amount_minor: i64, entries: i64 }
}

/// Whose statement it is: an account, its currency and its clock.
#[derive(Debug, Clone)]
pub(crate) struct StatementAccount {
    pub(crate) id: String,
    pub(crate) currency: crate::kernel::Currency,
    pub(crate) zone: Tz,
}

impl StatementAccount {
    pub(crate) fn of(account: &Account) -> Self {
        Self { id: account.id().to_owned(), currency: account.currency(), zone: account.time_zone() }
    }

    fn key(&self) -> LedgerKey<'_> {
        LedgerKey { account: &self.id, currency: self.currency }
    }

    /// When this month begins and ends; `None` where the calendar ends.
    pub(crate) fn stretch(&self, month: NaiveDate) -> Option<Stretch> {
        let next = month.checked_add_months(Months::new(1))?;
        Some(Stretch { from: day_begins(month, &self.zone)?, to: day_begins(next, &self.zone)? })
    }
}

/// What entries of one movement add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turnover {
    /// Below zero where most of it went the other way.
    pub(crate) value: Money,
    pub(crate) entries: i64,
}

impl Turnover {
    const fn none(currency: crate::kernel::Currency) -> Self {
        Self { value: Money::from_minor(0, currency), entries: 0 }
    }

    fn add(&mut self, minor: i64, entries: i64) {
        self.value = Money::from_minor(self.value.minor().saturating_add(minor), self.value.currency());
        self.entries = self.entries.saturating_add(entries);
    }
}

/// What one program moved in the month, or rewards without a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementLine {
    pub(crate) program: Option<String>,
    pub(crate) issued: Turnover,
    pub(crate) canceled: Turnover,
    /// What was reserved and bought nothing. It does not change the balance.
    pub(crate) released: Turnover,
}

impl StatementLine {
    const fn none(program: Option<String>, currency: crate::kernel::Currency) -> Self {
        let none = Turnover::none(currency);
        Self { program, issued: none, canceled: none, released: none }
    }

    fn add(&mut self, movement: &'static Movement, minor: i64, entries: i64) {
        let all = [(&ISSUE, &mut self.issued), (&CANCEL, &mut self.canceled), (&RELEASE, &mut self.released)];
        for (of, turnover) in all {
            if *of == *movement {
                turnover.add(minor, entries);
            }
        }
    }

    /// What it cost: issued less canceled.
    pub(crate) fn net(&self) -> Money {
        let (issued, canceled) = (self.issued.value, self.canceled.value);
        Money::from_minor(issued.minor().saturating_sub(canceled.minor()), issued.currency())
    }
}

/// The account's own money, which is for all clients together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatementFunds {
    pub(crate) opening: Money,
    /// What the account held when its ledger began, where that was in this month.
    pub(crate) initial: Turnover,
    pub(crate) deposits: Turnover,
    pub(crate) adjustments: Turnover,
    pub(crate) closing: Money,
}

/// A month's statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) account: StatementAccount,
    /// Its first day.
    pub(crate) month: NaiveDate,
    pub(crate) stretch: Stretch,
    /// Whether the month is over, and nothing of it can be written any more.
    pub(crate) closed: bool,
    /// `None` for whoever sees their own lines alone.
    pub(crate) funds: Option<StatementFunds>,
    /// By program; first what no program paid for.
    pub(crate) lines: Vec<StatementLine>,
    /// All lines together.
    pub(crate) total: StatementLine,
}

impl Statement {
    /// The month as in 2026-10.
    pub(crate) fn month_text(&self) -> String {
        self.month.format("%Y-%m").to_string()
    }

    /// What a file of it is called: ids of accounts have letters, digits, hyphens and underscores.
    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}", self.account.id, self.month_text())
    }
}

/// Makes the statement of a month; `None` where the month has not begun.
///
/// # Errors
/// [`StoreError`] from the database; also where the funds of a closed month by its entries and by the hourly sums differ.
pub(crate) async fn make(
    store: &Store,
    account: &StatementAccount,
    month: NaiveDate,
    shown: &OwnedBy,
    now: DateTime<Utc>,
) -> Result<Option<Statement>, StoreError> {
    let Some(stretch) = account.stretch(month).filter(|stretch| stretch.from <= now) else { return Ok(None) };
    let closed = now.signed_duration_since(stretch.to) >= SETTLED;
    let opening = match shown.client {
        None => Some(balance_at(store, account, stretch.from).await?),
        Some(_client) => None,
    };
    let lines = bought(store, account, stretch, shown, WINDOW_ENTRIES).await?;
    let mut total = StatementLine::none(None, account.currency);
    for line in &lines {
        total.issued.add(line.issued.value.minor(), line.issued.entries);
        total.canceled.add(line.canceled.value.minor(), line.canceled.entries);
        total.released.add(line.released.value.minor(), line.released.entries);
    }
    let funds = match opening {
        Some(opening) => Some(funds(store, account, stretch, opening, total.net()).await?),
        None => None,
    };
    if let (true, Some(funds)) = (closed, funds)
        && balance_at(store, account, stretch.to).await? != funds.closing.minor()
    {
        // The entries and the hourly sums differ. We cannot know which is right.
        return Err(StoreError::Inconsistent { table: "hourly_spending", column: "issued_minor" });
    }
    Ok(Some(Statement { account: account.clone(), month, stretch, closed, funds, lines, total }))
}

/// What the account held at an instant.
async fn balance_at(store: &Store, account: &StatementAccount, at: DateTime<Utc>) -> Result<i64, StoreError> {
    let hour = at.timestamp().div_euclid(HOUR);
    let began = DateTime::from_timestamp(hour.saturating_mul(HOUR), 0).unwrap_or(at);
    let LedgerKey { account, currency } = account.key();
    let mut snapshot = store.question_within(PATIENCE).await?;
    let row = fetch_optional!(BalanceAtRow, snapshot, BALANCE_AT, account, currency.code(), at, hour, began)?;
    Ok(row.map_or(0, |row| row.amount_minor))
}

async fn funds(
    store: &Store,
    account: &StatementAccount,
    stretch: Stretch,
    opening: i64,
    net: Money,
) -> Result<StatementFunds, StoreError> {
    let LedgerKey { account: id, currency } = account.key();
    let mut snapshot = store.question_within(PATIENCE).await?;
    let rows = fetch_all!(FundedRow, snapshot, FUNDED, id, currency.code(), stretch.from, stretch.to)?;
    drop(snapshot);
    let none = Turnover::none(currency);
    let (mut initial, mut deposits, mut adjustments) = (none, none, none);
    for row in rows {
        let (movement, debit) = read_words(&row.kind, &row.debit)?;
        let minor = if debit == movement.debit { row.amount_minor } else { row.amount_minor.saturating_neg() };
        let all = [(&OPENING, &mut initial), (&DEPOSIT, &mut deposits), (&ADJUSTMENT, &mut adjustments)];
        for (of, turnover) in all {
            if *of == *movement {
                turnover.add(minor, row.entries);
            }
        }
    }
    let came = [initial, deposits, adjustments].iter().fold(0_i64, |sum, one| sum.saturating_add(one.value.minor()));
    let closing = opening.saturating_add(came).saturating_sub(net.minor());
    let [opening, closing] = [opening, closing].map(|minor| Money::from_minor(minor, currency));
    Ok(StatementFunds { opening, initial, deposits, adjustments, closing })
}

/// Where the window ends that begins at an instant.
async fn window_ends(
    store: &Store,
    account: &StatementAccount,
    stretch: Stretch,
    entries: i64,
) -> Result<DateTime<Utc>, StoreError> {
    let LedgerKey { account, currency } = account.key();
    let mut snapshot = store.question_within(PATIENCE).await?;
    let (from, to) = (stretch.from, stretch.to);
    let row = fetch_optional!(InstantRow, snapshot, WINDOW_ENDS, account, currency.code(), from, to, entries)?;
    Ok(row.and_then(|row| row.at).unwrap_or(to))
}

/// What was bought, given back and released, by program.
async fn bought(
    store: &Store,
    account: &StatementAccount,
    stretch: Stretch,
    shown: &OwnedBy,
    window: i64,
) -> Result<Vec<StatementLine>, StoreError> {
    let LedgerKey { account: id, currency } = account.key();
    let mut lines = std::collections::BTreeMap::new();
    let mut from = stretch.from;
    while from < stretch.to {
        let end = window_ends(store, account, Stretch { from, ..stretch }, window).await?;
        let mut snapshot = store.question_within(PATIENCE).await?;
        let (code, program) = (currency.code(), shown.program.as_ref().map(ProgramId::as_str));
        let rows = match shown.client.map(|client| client.uuid()) {
            None => fetch_all!(BoughtRow, snapshot, BOUGHT, id, code, from, end)?,
            Some(of) => fetch_all!(BoughtRow, snapshot, BOUGHT_BY_CLIENT, id, code, from, end, of, program)?,
        };
        for row in rows {
            let bad = StoreError::Inconsistent { table: "ledger_entries", column: "kind" };
            let movement = Movement::from_kind(&row.kind).ok_or(bad)?;
            let program = row.program_id;
            let line = lines.entry(program.clone()).or_insert_with(|| StatementLine::none(program, currency));
            line.add(movement, row.amount_minor, row.entries);
        }
        from = end;
    }
    Ok(lines.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::Currency,
        ledger::{journal, movements, sums::Sums},
        store::{StoreOptions, migrate::migrate},
    };

    /// A movement that is added later and changes the balance must be in a statement.
    #[test]
    fn every_movement_that_changes_the_balance_is_in_a_statement_and_no_other_is_counted() {
        for movement in movements::ALL {
            let mut sums = Sums::none(Currency::Usd);
            sums.add(movement, movement.debit, 700);
            let wanted = match movement.kind {
                "opening" | "deposit" | "adjustment" | "canceled" => 700,
                "issued" => -700,
                "reserved" | "released" => 0,
                other => panic!("{other} is in no statement"),
            };
            assert_eq!(sums.expected(), wanted, "{}", movement.kind);
        }
    }

    /// Several entries have one instant, and one lies on each edge.
    #[tokio::test(flavor = "multi_thread")]
    async fn windows_of_any_size_add_up_each_entry_of_the_month_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display()).into();
        let store = Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url, 1) }).await.unwrap();
        migrate(&store).await.unwrap();
        let account = StatementAccount { id: "main".to_owned(), currency: Currency::Usd, zone: Tz::UTC };
        let stretch = account.stretch("2026-10-01".parse().unwrap()).unwrap();
        let micro = TimeDelta::microseconds(1);
        let mut tx = store.begin().await.unwrap();
        for (after, minor) in [
            (-micro, 1),
            (TimeDelta::zero(), 2),
            (TimeDelta::zero(), 4),
            (micro, 8),
            (micro, 16),
            (micro, 32),
            (TimeDelta::days(9), 64),
        ] {
            let posting = journal::Posting::new(&ISSUE, "main", Money::from_minor(minor, Currency::Usd));
            journal::write(&mut tx, &posting, stretch.from + after).await.unwrap();
        }
        for (before, minor) in [(micro, 128), (TimeDelta::zero(), 256)] {
            let posting = journal::Posting::new(&CANCEL, "main", Money::from_minor(minor, Currency::Usd));
            journal::write(&mut tx, &posting, stretch.to - before).await.unwrap();
        }
        tx.commit(()).await.unwrap();
        for window in [1, 2, 3, 4, 7, 100] {
            let lines = bought(&store, &account, stretch, &OwnedBy::default(), window).await.unwrap();
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            assert_eq!((line.issued.value.minor(), line.issued.entries), (126, 6), "{window}");
            assert_eq!((line.canceled.value.minor(), line.canceled.entries), (128, 1), "{window}");
        }
        store.close().await;
    }

    #[test]
    fn a_month_is_the_accounts_own() {
        let account = |zone| StatementAccount { id: "us".to_owned(), currency: Currency::Usd, zone };
        let month = "2026-11-01".parse().unwrap();
        for (zone, from, to) in [
            (Tz::UTC, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            (chrono_tz::America::New_York, "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
            (chrono_tz::Asia::Kathmandu, "2026-10-31T18:15:00Z", "2026-11-30T18:15:00Z"),
        ] {
            let stretch = account(zone).stretch(month).unwrap();
            assert_eq!((stretch.from, stretch.to), (from.parse().unwrap(), to.parse().unwrap()), "{zone}");
        }
    }
}
