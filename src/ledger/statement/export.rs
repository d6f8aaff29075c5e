//! A month as plain text for accounting programs: hledger and Beancount.
//!
//! An entry that changes the balance is a transaction, so that each can be found by its id, its reward and the caller's name for that. What
//! is reserved and released is none: it moves nothing. What the account held at first is booked, or only asserted where the months before are
//! in the same file; what it held at the end is asserted, so that the program itself finds a month that is not whole.

use std::io::{self, Write};

use chrono::{DateTime, Days, Months, NaiveDate, Utc};

use super::{PATIENCE, Statement, WINDOW_ENTRIES, window_ends};
use crate::{
    kernel::Money,
    ledger::{
        journal::{LedgerEntry, LedgerEntryRow},
        moved::Stretch,
        movements::{ADJUSTMENT, CANCEL, DEPOSIT, ISSUE, OPENING},
    },
    store::{Sql, Store, StoreError, fetch_all, statements},
};

macro_rules! entries {
    ($kinds:literal) => {
        concat!(
            "SELECT id, at, account, currency, kind, debit, credit, amount_minor, reward_id, program_id, note, made_by, \
             (SELECT r.external_id FROM rewards r WHERE r.id = e.reward_id) AS external_id FROM ledger_entries e \
             WHERE account = $1 AND currency = $2 AND kind IN (",
            $kinds,
            ") AND at >= $3 AND at < $4 ORDER BY at, id"
        )
    };
}

statements! {
    FUNDING_ENTRIES = Sql::same("ledger_entries.funding", entries!("'opening', 'deposit', 'adjustment'"));
    /// The entries of one window.
    BUYING_ENTRIES = Sql::same("ledger_entries.buying", entries!("'issued', 'canceled', 'released'"));
}

/// Which program the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    Hledger,
    Beancount,
}

/// How a month is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportShape {
    pub(crate) format: ExportFormat,
    /// The months before are in the same file: what the account held at first is there already.
    pub(crate) append: bool,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonthExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The name of an account of ours within a name of theirs: `Us`. It begins with a capital letter or a digit, and has letters, digits and hyphens.
/// Two ids have two names.
fn component(id: &str) -> String {
    let mut letters = id.chars();
    let first = letters.next().filter(char::is_ascii_alphanumeric);
    let begin =
        first.map_or_else(|| format!("XX{}", id.chars().next().unwrap_or('-')), |c| c.to_ascii_uppercase().into());
    (begin + letters.as_str()).replace('_', "-U-")
}

/// The accounts that the transactions of one of our accounts name.
struct AccountNames {
    funds: String,
    opening: String,
    deposits: String,
    adjustments: String,
}

impl AccountNames {
    fn of(account: &str) -> Self {
        let own = component(account);
        Self {
            funds: format!("Assets:Amazon:{own}"),
            opening: format!("Equity:Opening:Amazon:{own}"),
            deposits: format!("Assets:Transfers:Amazon:{own}"),
            adjustments: format!("Equity:Adjustments:Amazon:{own}"),
        }
    }

    /// The other account of an entry, and what the entry adds to the funds; `None` where it moves nothing.
    fn counterpart(&self, entry: &LedgerEntry) -> Option<(String, Money)> {
        let program = entry.program.as_deref().map(|id| id.strip_prefix("prg_").unwrap_or(id).replace('_', "-"));
        let rewards = program.map_or("Expenses:Rewards:None".to_owned(), |id| format!("Expenses:Rewards:Prg-{id}"));
        let value = if entry.debit == entry.movement.debit { entry.value } else { negative(entry.value) };
        let all = [
            (&OPENING, self.opening.clone(), value),
            (&DEPOSIT, self.deposits.clone(), value),
            (&ADJUSTMENT, self.adjustments.clone(), value),
            (&CANCEL, rewards.clone(), value),
            (&ISSUE, rewards, negative(value)),
        ];
        all.into_iter().find(|(of, ..)| **of == *entry.movement).map(|(_of, name, value)| (name, value))
    }
}

const fn negative(value: Money) -> Money {
    Money::from_minor(value.minor().saturating_neg(), value.currency())
}

/// A transaction between the funds and another account.
struct Transaction {
    day: NaiveDate,
    words: &'static str,
    /// What is known of it besides, by name.
    tags: Vec<(&'static str, String)>,
    other: String,
    value: Money,
}

/// Writes the text for one program.
struct MonthWriter {
    out: Vec<u8>,
    format: ExportFormat,
    names: AccountNames,
    code: &'static str,
}

impl MonthWriter {
    fn begin(&mut self, statement: &Statement) -> io::Result<()> {
        let (account, month, zone) = (&statement.account.id, statement.month_text(), statement.account.zone.name());
        writeln!(self.out, "; The account {account} in {month}. Days are those of {zone}.")?;
        if !statement.closed {
            writeln!(self.out, "; Not closed: entries may still come.")?;
        }
        match self.format {
            ExportFormat::Beancount => writeln!(self.out, "plugin \"beancount.plugins.auto_accounts\""),
            ExportFormat::Hledger => {
                let sample = Money::from_minor(100_000, statement.account.currency).to_string();
                let mark = if sample.contains('.') { "" } else { "." };
                writeln!(self.out, "commodity {sample}{mark} {}", self.code)
            }
        }
    }

    fn transaction(&mut self, transaction: &Transaction) -> io::Result<()> {
        let Transaction { day, words, tags, other, value } = transaction;
        match self.format {
            ExportFormat::Beancount => {
                writeln!(self.out, "\n{day} * \"Amazon\" \"{words}\"")?;
                for (name, text) in tags {
                    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                    writeln!(self.out, "  {name}: \"{text}\"")?;
                }
            }
            ExportFormat::Hledger => {
                writeln!(self.out, "\n{day} * Amazon | {words}")?;
                for (name, text) in tags {
                    writeln!(self.out, "    ; {name}: {text}")?;
                }
            }
        }
        let (funds, code, back) = (&self.names.funds, self.code, negative(*value));
        writeln!(self.out, "    {funds}  {value} {code}\n    {other}  {back} {code}")
    }

    /// What the funds must be when this day begins.
    fn assertion(&mut self, day: NaiveDate, words: &str, value: Money) -> io::Result<()> {
        let (funds, code) = (&self.names.funds, self.code);
        match self.format {
            ExportFormat::Beancount => writeln!(self.out, "\n{day} balance {funds}  {value} {code}"),
            ExportFormat::Hledger => {
                // There an assertion is of what stands before it, on its day or earlier.
                let before = day.checked_sub_days(Days::new(1)).unwrap_or(day);
                let zero = Money::from_minor(0, value.currency());
                writeln!(self.out, "\n{before} * Amazon | {words}\n    {funds}  {zero} {code} = {value} {code}")
            }
        }
    }
}

fn transaction_of(statement: &Statement, names: &AccountNames, entry: LedgerEntry) -> Option<Transaction> {
    let (other, value) = names.counterpart(&entry)?;
    let reward = entry.reward.map(|id| id.to_string());
    let tags = [
        ("entry", Some(entry.id.to_string())),
        ("reward", reward),
        ("external_id", entry.external_id),
        ("program", entry.program),
        ("note", entry.note),
        ("made_by", entry.made_by),
    ];
    let tags = tags.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    let day = entry.at.with_timezone(&statement.account.zone).date_naive();
    Some(Transaction { day, words: entry.movement.kind, tags, other, value })
}

/// The entries of a window, in the order of their instants.
async fn window(
    store: &Store,
    statement: &Statement,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let (id, code) = (statement.account.id.as_str(), statement.account.currency.code());
    let mut snapshot = store.question_within(PATIENCE).await?;
    let mut rows = fetch_all!(LedgerEntryRow, snapshot, FUNDING_ENTRIES, id, code, from, to)?;
    rows.extend(fetch_all!(LedgerEntryRow, snapshot, BUYING_ENTRIES, id, code, from, to)?);
    let mut entries = rows.into_iter().map(LedgerEntry::try_from).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| (entry.at, entry.id));
    Ok(entries)
}

/// How far the text of a month is.
#[derive(Clone, Copy)]
enum ExportPlace {
    Head,
    /// The entries from this instant on are next.
    Entries(DateTime<Utc>),
    End,
}

/// The text of a month, part by part: memory does not grow with it.
pub(crate) struct MonthExport {
    store: Store,
    statement: Statement,
    append: bool,
    writer: MonthWriter,
    place: ExportPlace,
    /// What the funds come to by what was written.
    sum: i64,
}

impl MonthExport {
    /// The text of the month of a statement.
    pub(crate) fn new(store: &Store, statement: Statement, shape: ExportShape) -> Self {
        let (names, code) = (AccountNames::of(&statement.account.id), statement.account.currency.code());
        let writer = MonthWriter { out: Vec::new(), format: shape.format, names, code };
        let sum = statement.funds.map_or(0, |funds| funds.opening.minor());
        Self { store: store.clone(), statement, append: shape.append, writer, place: ExportPlace::Head, sum }
    }

    /// The next part, which is not empty; `None` after the last.
    ///
    /// # Errors
    /// [`MonthExportError`]: what was read is not the whole month, and its last assertion is missing.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, MonthExportError> {
        let Stretch { from: first, to } = self.statement.stretch;
        while self.writer.out.is_empty() {
            self.place = match self.place {
                ExportPlace::Head => {
                    self.head()?;
                    ExportPlace::Entries(first)
                }
                ExportPlace::Entries(from) if from < to => ExportPlace::Entries(self.entries(from).await?),
                ExportPlace::Entries(_over) => {
                    self.close()?;
                    ExportPlace::End
                }
                ExportPlace::End => return Ok(None),
            };
        }
        Ok(Some(std::mem::take(&mut self.writer.out)))
    }

    fn head(&mut self) -> io::Result<()> {
        self.writer.begin(&self.statement)?;
        let Some(opening) = self.statement.funds.map(|funds| funds.opening) else { return Ok(()) };
        let day = self.statement.month;
        if self.append {
            self.writer.assertion(day, "what the month before came to", opening)
        } else if opening.minor() != 0 {
            let other = self.writer.names.opening.clone();
            let first = Transaction { day, words: "opening balance", tags: Vec::new(), other, value: opening };
            self.writer.transaction(&first)
        } else {
            Ok(())
        }
    }

    /// Writes the entries of a window. Returns when it ends.
    async fn entries(&mut self, from: DateTime<Utc>) -> Result<DateTime<Utc>, MonthExportError> {
        let left = Stretch { from, to: self.statement.stretch.to };
        let end = window_ends(&self.store, &self.statement.account, left, WINDOW_ENTRIES).await?;
        for entry in window(&self.store, &self.statement, from, end).await? {
            if let Some(transaction) = transaction_of(&self.statement, &self.writer.names, entry) {
                self.sum = self.sum.saturating_add(transaction.value.minor());
                self.writer.transaction(&transaction)?;
            }
        }
        Ok(end)
    }

    fn close(&mut self) -> io::Result<()> {
        let Statement { month, funds, closed, ref account, .. } = self.statement;
        // Of a month that is not over, more may have been written than the statement knew of.
        let closing = Money::from_minor(self.sum, account.currency);
        let known = funds.filter(|_funds| closed).map_or(closing, |funds| funds.closing);
        let next = month.checked_add_months(Months::new(1)).unwrap_or(month);
        self.writer.assertion(next, "what the month came to", known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_account_has_a_name_of_its_own_that_both_programs_take() {
        let ids = ["us", "us-east", "us_east", "useast", "1", "_us", "-us", "xus", "x-us", "x_us", "a_-b", "a-_b"];
        let names: BTreeSet<String> = ids.iter().map(|id| component(id)).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        for name in &names {
            let first = name.chars().next().unwrap();
            assert!(first.is_ascii_uppercase() || first.is_ascii_digit(), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
        }
    }
}
