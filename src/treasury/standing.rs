//! What the ledger says of an account at one instant, read in one statement, and what its last observation came to.

use std::collections::BTreeMap;

use super::deposits::State;
use crate::{
    kernel::Currency,
    ledger::journal::{Kind, Side, Sums},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// One statement, because two would be read at two instants.
    STANDING = Sql::each(
        "ledger_entries.standing",
        "SELECT kind, debit, SUM(amount_minor) AS amount_minor, COUNT(*) AS entries, MAX(id) AS last_entry \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > COALESCE((SELECT through_id FROM ledger_marks \
         WHERE account = $1 AND currency = $2), 0) GROUP BY kind, debit \
         UNION ALL SELECT kind, debit, amount_minor, entries, 0 FROM ledger_totals WHERE account = $1 AND currency = $2 \
         UNION ALL SELECT 'unsure', hex(id), amount_minor, 1, 0 FROM rewards WHERE account = $1 AND currency = $2 \
         AND booked = 'issued' AND (due_at IS NOT NULL AND state = 'canceling' OR state = 'needs_attention') \
         UNION ALL SELECT 'through', '', 0, 0, through_id FROM ledger_marks WHERE account = $1 AND currency = $2",
        "SELECT kind, debit, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, COUNT(*) AS entries, MAX(id) AS last_entry \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > COALESCE((SELECT through_id FROM ledger_marks \
         WHERE account = $1 AND currency = $2), 0) GROUP BY kind, debit \
         UNION ALL SELECT kind, debit, amount_minor, entries, 0 FROM ledger_totals WHERE account = $1 AND currency = $2 \
         UNION ALL SELECT 'unsure', CAST(id AS TEXT), amount_minor, 1, 0 FROM rewards WHERE account = $1 AND currency = $2 \
         AND booked = 'issued' AND (due_at IS NOT NULL AND state = 'canceling' OR state = 'needs_attention') \
         UNION ALL SELECT 'through', '', 0, 0, through_id FROM ledger_marks WHERE account = $1 AND currency = $2",
    );
    SPENT_SINCE = Sql::same(
        "ledger_entries.spent_since",
        "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM ledger_entries \
         WHERE account = $1 AND currency = $2 AND id > $3 AND kind = 'issued'",
    );
    PREPARE = Sql::same(
        "treasury.prepare",
        "INSERT INTO treasury (account, currency, version, opening_room, missing_minor, adjustments_minor, low, short, \
         last_entry) VALUES ($1, $2, 0, 9223372036854775807, 0, 0, FALSE, FALSE, 0) \
         ON CONFLICT (account, currency) DO NOTHING",
    );
    STATE = Sql::same(
        "treasury.of",
        "SELECT version, opening_room, missing_minor, adjustments_minor, low, short, runway_seconds, \
         runway_pessimistic_seconds, last_entry FROM treasury WHERE account = $1 AND currency = $2",
    );
    /// Who observed meanwhile has counted the version on.
    SAVE = Sql::same(
        "treasury.save",
        "UPDATE treasury SET version = $3 + 1, opening_room = $4, missing_minor = $5, adjustments_minor = $6, low = $7, \
         short = $8, runway_seconds = $9, runway_pessimistic_seconds = $10, last_entry = $11 \
         WHERE account = $1 AND currency = $2 AND version = $3",
    );
}

row! {
    struct StandingRow { kind: String, debit: String, amount_minor: i64, entries: i64, last_entry: i64 }
}

row! {
    struct SpentRow { amount_minor: i64 }
}

row! {
    /// What the last observation came to.
    pub(super) struct StateRow {
        /// Counts observations.
        pub(super) version: i64,
        opening_room: Option<i64>,
        missing_minor: i64,
        adjustments_minor: i64,
        /// The alarm of the low balance is on.
        pub(super) low: bool,
        /// The alarm of the short runway is on.
        pub(super) short: bool,
        /// Seconds from the observation on.
        pub(super) runway_seconds: Option<i64>,
        /// The same, at worst.
        pub(super) runway_pessimistic_seconds: Option<i64>,
        /// The last ledger entry that it saw.
        pub(super) last_entry: i64,
    }
}

impl StateRow {
    /// What bookings go by.
    pub(super) const fn state(&self) -> State {
        State { opening_room: self.opening_room, missing: self.missing_minor, adjustments: self.adjustments_minor }
    }

    /// Takes over what a booking came to.
    pub(super) const fn learn(&mut self, state: State) {
        self.opening_room = state.opening_room;
        self.missing_minor = state.missing;
        self.adjustments_minor = state.adjustments;
    }
}

/// What the ledger says of an account at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its sums.
    pub(super) sums: Sums,
    /// Rewards that are booked as issued and may have been given back already: those on the way of a cancel, and those
    /// that a person decides about. By their ids; minor units.
    pub(super) unsure: BTreeMap<String, i64>,
    /// The last entry.
    pub(super) last_entry: i64,
}

fn tally(rows: Vec<StandingRow>, currency: Currency) -> Result<Standing, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "ledger_entries", column };
    let mut standing = Standing { sums: Sums::none(currency), unsure: BTreeMap::new(), last_entry: 0 };
    for row in rows {
        standing.last_entry = standing.last_entry.max(row.last_entry);
        match row.kind.as_str() {
            "unsure" => _ = standing.unsure.insert(row.debit, row.amount_minor),
            "through" => {}
            kind => {
                let kind = Kind::from_word(kind).ok_or_else(|| bad("kind"))?;
                let debit = Side::from_word(&row.debit).ok_or_else(|| bad("debit"))?;
                standing.sums.add(kind, debit, row.amount_minor);
                standing.sums.entries = standing.sums.entries.saturating_add(row.entries);
            }
        }
    }
    Ok(standing)
}

/// Reads it.
pub(super) async fn read(snapshot: &mut Snapshot, account: &str, currency: Currency) -> Result<Standing, StoreError> {
    tally(fetch_all!(StandingRow, snapshot, STANDING, account, currency.code())?, currency)
}

/// Reads it within a transaction: what has committed before this statement, and what the transaction wrote.
pub(super) async fn read_in(tx: &mut Tx, account: &str, currency: Currency) -> Result<Standing, StoreError> {
    tally(fetch_all!(StandingRow, tx, STANDING, account, currency.code())?, currency)
}

/// What was issued after an entry, in minor units.
pub(super) async fn spent_since(
    snapshot: &mut Snapshot,
    (account, currency): (&str, &str),
    entry: i64,
) -> Result<i64, StoreError> {
    let row = fetch_optional!(SpentRow, snapshot, SPENT_SINCE, account, currency, entry)?;
    Ok(row.map_or(0, |row| row.amount_minor))
}

/// What the last observation came to; `None` before the first.
pub(super) async fn state(
    snapshot: &mut Snapshot,
    (account, currency): (&str, &str),
) -> Result<Option<StateRow>, StoreError> {
    fetch_optional!(StateRow, snapshot, STATE, account, currency)
}

/// The same within a transaction; makes the row.
pub(super) async fn state_in(tx: &mut Tx, (account, currency): (&str, &str)) -> Result<Option<StateRow>, StoreError> {
    execute!(tx, PREPARE, account, currency)?;
    fetch_optional!(StateRow, tx, STATE, account, currency)
}

/// Writes what an observation came to; `false` when another one was written meanwhile.
pub(super) async fn save(tx: &mut Tx, (account, currency): (&str, &str), row: &StateRow) -> Result<bool, StoreError> {
    let saved = execute!(
        tx,
        SAVE,
        account,
        currency,
        row.version,
        row.opening_room,
        row.missing_minor,
        row.adjustments_minor,
        row.low,
        row.short,
        row.runway_seconds,
        row.runway_pessimistic_seconds,
        row.last_entry
    )?;
    Ok(saved == 1)
}
