//! The journal: double entry, append-only. One entry for each movement of money that Amazon proved, and one for each
//! reservation, opening, deposit and adjustment. Balances are sums of entries (`sums`); no balance is stored.
//!
//! An entry moves a value from its credit account to its debit account (`chart`, `movements`), so over all ledger accounts
//! of a partner account debits and credits are equal.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{chart::LedgerAccount, movements::Movement, sums::Sums};
use crate::{
    kernel::{Currency, Money, ProgramId, RewardId},
    store::{
        InstantRow, Snapshot, Sql, StoreError, Tx,
        feed::{SettledRow, settled},
        fetch_all, fetch_optional, join, row, statements,
    },
};

pub mod page;

/// How many entries a database holds.
pub(crate) const COUNT: &str = "SELECT COUNT(*) AS rows FROM ledger_entries";

statements! {
    INSERT = Sql::same(
        "ledger_entries.insert",
        "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor, reward_id, program_id, note, \
         made_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    );
    SUMS = Sql::same(
        "ledger_entries.sums",
        "SELECT account, currency, kind, debit, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, COUNT(*) AS entries \
         FROM ledger_entries GROUP BY account, currency, kind, debit",
    );
    SETTLED = settled!("ledger_entries.settled", "ledger_entries", "ledger_entries", "28268");
    NEWEST = Sql::same("ledger_entries.newest", "SELECT COALESCE(MAX(id), 0) AS id FROM ledger_entries");
    HELD = Sql::same(
        "ledger_entries.held",
        "SELECT MIN(at) AS at FROM (SELECT at FROM ledger_entries WHERE id > $1 ORDER BY id LIMIT 1) AS next",
    );
}

/// An entry that is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting<'a> {
    /// How the value moves.
    pub(crate) movement: &'static Movement,
    pub(crate) account: &'a str,
    /// How much. Below zero only where the movement is reversible.
    pub(crate) value: Money,
    /// What it is about; `None` where it is about the account itself.
    pub(crate) reward: Option<RewardId>,
    /// The program that pays.
    pub(crate) program: Option<&'a ProgramId>,
    /// Why, in a person's words.
    pub(crate) note: Option<&'a str>,
    /// The person who decided.
    pub(crate) made_by: Option<&'a str>,
}

impl<'a> Posting<'a> {
    /// A posting about the account itself.
    #[must_use]
    pub(crate) const fn new(movement: &'static Movement, account: &'a str, value: Money) -> Self {
        Self { movement, account, value, reward: None, program: None, note: None, made_by: None }
    }
}

/// Writes an entry; a posting of zero writes none.
///
/// # Errors
/// [`StoreError`] from the database, which refuses a value below zero unless the movement is reversible.
pub(crate) async fn write(tx: &mut Tx, posting: &Posting<'_>, at: DateTime<Utc>) -> Result<(), StoreError> {
    let Movement { kind, mut debit, mut credit, reversible } = *posting.movement;
    let mut minor = posting.value.minor();
    if minor == 0 {
        return Ok(());
    }
    if reversible && minor < 0 {
        (debit, credit, minor) = (credit, debit, minor.saturating_neg());
    }
    join!(
        tx,
        INSERT,
        1,
        at,
        posting.account,
        posting.value.currency().code(),
        kind,
        debit.as_str(),
        credit.as_str(),
        minor,
        posting.reward.map(RewardId::uuid),
        posting.program.map(ProgramId::as_str),
        posting.note,
        posting.made_by
    )
    .map(|_one| ())
}

row! {
    struct LedgerSumRow { account: String, currency: String, kind: String, debit: String, amount_minor: i64, entries: i64 }
}

row! {
    pub(crate) struct LedgerEntryRow {
        id: i64, at: DateTime<Utc>, account: String, currency: String, kind: String, debit: String, credit: String,
        amount_minor: i64, reward_id: Option<Uuid>, program_id: Option<String>, note: Option<String>,
        made_by: Option<String>, external_id: Option<String>,
    }
}

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerEntry {
    /// Its number, which grows in the order of writing, with gaps.
    pub(crate) id: i64,
    /// When it was written.
    pub(crate) at: DateTime<Utc>,
    pub(crate) account: String,
    /// How the value moved.
    pub(crate) movement: &'static Movement,
    /// The ledger account that the value went to.
    pub(crate) debit: LedgerAccount,
    /// The ledger account that the value came from.
    pub(crate) credit: LedgerAccount,
    /// How much, above zero.
    pub(crate) value: Money,
    /// What it is about.
    pub(crate) reward: Option<RewardId>,
    /// The program that paid.
    pub(crate) program: Option<String>,
    /// Why, in a person's words.
    pub(crate) note: Option<String>,
    /// The person who decided.
    pub(crate) made_by: Option<String>,
    /// What the caller calls the reward, as long as its row says so.
    pub(crate) external_id: Option<String>,
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "ledger_entries", column }
}

/// Reads the words of an entry: how the value moved, and which ledger account it went to.
pub(crate) fn read_words(kind: &str, debit: &str) -> Result<(&'static Movement, LedgerAccount), StoreError> {
    let movement = Movement::from_kind(kind).ok_or_else(|| bad("kind"))?;
    Ok((movement, LedgerAccount::from_word(debit).ok_or_else(|| bad("debit"))?))
}

impl TryFrom<LedgerEntryRow> for LedgerEntry {
    type Error = StoreError;

    fn try_from(row: LedgerEntryRow) -> Result<Self, StoreError> {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        let (movement, debit) = read_words(&row.kind, &row.debit)?;
        Ok(Self {
            id: row.id,
            at: row.at,
            account: row.account,
            movement,
            debit,
            credit: LedgerAccount::from_word(&row.credit).ok_or_else(|| bad("credit"))?,
            value: Money::from_minor(row.amount_minor, currency),
            reward: row.reward_id.map(RewardId::new),
            program: row.program_id,
            note: row.note,
            made_by: row.made_by,
            external_id: row.external_id,
        })
    }
}

async fn settled(snapshot: &mut Snapshot) -> Result<i64, StoreError> {
    Ok(fetch_optional!(SettledRow, snapshot, SETTLED)?.map_or(0, |row| row.id))
}

/// The newest entry that is committed; 0 when there is none.
pub(crate) async fn newest(snapshot: &mut Snapshot) -> Result<i64, StoreError> {
    Ok(fetch_optional!(SettledRow, snapshot, NEWEST)?.map_or(0, |row| row.id))
}

/// When the first entry was written that is not shown yet, because one with a smaller id can still be committed.
pub(crate) async fn held_since(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    let settled = settled(snapshot).await?;
    Ok(fetch_optional!(InstantRow, snapshot, HELD, settled)?.and_then(|row| row.at))
}

/// The sums of every partner account that has entries, with its id.
pub(crate) async fn sums(snapshot: &mut Snapshot) -> Result<Vec<(String, Sums)>, StoreError> {
    let mut all: Vec<(String, Sums)> = Vec::new();
    for row in fetch_all!(LedgerSumRow, snapshot, SUMS)? {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        let (movement, debit) = read_words(&row.kind, &row.debit)?;
        let known = all.iter().position(|(account, sums)| *account == row.account && sums.currency == currency);
        let at = known.unwrap_or_else(|| {
            all.push((row.account.clone(), Sums::none(currency)));
            all.len().saturating_sub(1)
        });
        if let Some((_account, sums)) = all.get_mut(at) {
            sums.add(movement, debit, row.amount_minor);
            sums.entries = sums.entries.saturating_add(row.entries);
        }
    }
    Ok(all)
}
