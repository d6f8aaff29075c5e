//! The ledger's position of an account at one instant, and the account's row in `treasury`: what its last observation
//! came to.

use std::collections::BTreeMap;

use super::deposits::BookingState;
use crate::{
    incentives::statement::unsure_rewards,
    kernel::Currency,
    ledger::{journal::read_words, sums::Sums, totals::LedgerKey},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

statements! {
    /// One statement, because two would read two instants.
    POSITION = Sql::each(
        "ledger_entries.standing",
        concat!("SELECT kind, debit, SUM(amount_minor) AS amount_minor, COUNT(*) AS entries, MAX(id) AS last_entry \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > COALESCE((SELECT through_id FROM ledger_marks \
         WHERE account = $1 AND currency = $2), 0) GROUP BY kind, debit \
         UNION ALL SELECT kind, debit, amount_minor, entries, 0 FROM ledger_totals WHERE account = $1 AND currency = $2 \
         UNION ALL ", unsure_rewards!("hex(id)"), " UNION ALL SELECT 'through', '', 0, 0, through_id FROM ledger_marks WHERE account = $1 AND currency = $2"),
        concat!("SELECT kind, debit, CAST(SUM(amount_minor) AS BIGINT) AS amount_minor, COUNT(*) AS entries, MAX(id) AS last_entry \
         FROM ledger_entries WHERE account = $1 AND currency = $2 AND id > COALESCE((SELECT through_id FROM ledger_marks \
         WHERE account = $1 AND currency = $2), 0) GROUP BY kind, debit \
         UNION ALL SELECT kind, debit, amount_minor, entries, 0 FROM ledger_totals WHERE account = $1 AND currency = $2 \
         UNION ALL ", unsure_rewards!("CAST(id AS TEXT)"), " UNION ALL SELECT 'through', '', 0, 0, through_id FROM ledger_marks WHERE account = $1 AND currency = $2"),
    );
    PREPARE = Sql::same(
        "treasury.prepare",
        "INSERT INTO treasury (account, currency, version, opening_room, missing_minor, adjustments_minor, low, short, \
         last_entry) VALUES ($1, $2, 0, 9223372036854775807, 0, 0, FALSE, FALSE, 0) \
         ON CONFLICT (account, currency) DO NOTHING",
    );
    TREASURY = Sql::same(
        "treasury.of",
        "SELECT version, opening_room, missing_minor, adjustments_minor, low, short, runway_seconds, \
         runway_pessimistic_seconds, last_entry FROM treasury WHERE account = $1 AND currency = $2",
    );
    /// An observation that another replica wrote meanwhile has counted the version up.
    SAVE = Sql::same(
        "treasury.save",
        "UPDATE treasury SET version = $3 + 1, opening_room = $4, missing_minor = $5, adjustments_minor = $6, low = $7, \
         short = $8, runway_seconds = $9, runway_pessimistic_seconds = $10, last_entry = $11 \
         WHERE account = $1 AND currency = $2 AND version = $3",
    );
}

row! {
    /// `kind` is a ledger kind, or `unsure` (then `debit` is a reward's id) or `through` (then `last_entry` is the
    /// mark).
    struct PositionRow { kind: String, debit: String, amount_minor: i64, entries: i64, last_entry: i64 }
}

row! {
    /// What the last observation of an account came to.
    pub(super) struct TreasuryRow {
        /// The number of observations so far.
        pub(super) version: i64,
        opening_room: Option<i64>,
        missing_minor: i64,
        adjustments_minor: i64,
        /// The alarm of the low balance is on.
        pub(super) low: bool,
        /// The alarm of the short runway is on.
        pub(super) short: bool,
        /// The median runway in seconds from the observation on.
        pub(super) runway_seconds: Option<i64>,
        pub(super) runway_pessimistic_seconds: Option<i64>,
        /// The last ledger entry that the observation saw.
        pub(super) last_entry: i64,
    }
}

impl TreasuryRow {
    pub(super) const fn booking_state(&self) -> BookingState {
        let (missing, adjustments) = (self.missing_minor, self.adjustments_minor);
        BookingState { opening_room: self.opening_room, missing, adjustments }
    }

    pub(super) const fn set_booking_state(&mut self, state: BookingState) {
        self.opening_room = state.opening_room;
        self.missing_minor = state.missing;
        self.adjustments_minor = state.adjustments;
    }
}

/// What the ledger says of an account at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LedgerPosition {
    pub(super) sums: Sums,
    /// Rewards that are booked as issued and may have been given back already: a cancel is under way, or an operator
    /// decides. Minor units by the reward's id.
    pub(super) unsure: BTreeMap<String, i64>,
    pub(super) last_entry: i64,
}

fn add_up(rows: Vec<PositionRow>, currency: Currency) -> Result<LedgerPosition, StoreError> {
    let mut position = LedgerPosition { sums: Sums::none(currency), unsure: BTreeMap::new(), last_entry: 0 };
    for row in rows {
        position.last_entry = position.last_entry.max(row.last_entry);
        match row.kind.as_str() {
            "unsure" => _ = position.unsure.insert(row.debit, row.amount_minor),
            "through" => {}
            kind => {
                let (movement, debit) = read_words(kind, &row.debit)?;
                position.sums.add(movement, debit, row.amount_minor);
                position.sums.entries = position.sums.entries.saturating_add(row.entries);
            }
        }
    }
    Ok(position)
}

/// Reads the position from committed rows.
pub(super) async fn read(snapshot: &mut Snapshot, key: LedgerKey<'_>) -> Result<LedgerPosition, StoreError> {
    add_up(fetch_all!(PositionRow, snapshot, POSITION, key.account, key.currency.code())?, key.currency)
}

/// Reads the position within a transaction: what committed before this statement, and what the transaction wrote.
pub(super) async fn read_in(tx: &mut Tx, key: LedgerKey<'_>) -> Result<LedgerPosition, StoreError> {
    add_up(fetch_all!(PositionRow, tx, POSITION, key.account, key.currency.code())?, key.currency)
}

/// What the last observation came to; `None` before the first.
pub(super) async fn treasury(snapshot: &mut Snapshot, key: LedgerKey<'_>) -> Result<Option<TreasuryRow>, StoreError> {
    fetch_optional!(TreasuryRow, snapshot, TREASURY, key.account, key.currency.code())
}

/// Reads the row within a transaction, and makes it first where there is none.
pub(super) async fn prepare_treasury(tx: &mut Tx, key: LedgerKey<'_>) -> Result<Option<TreasuryRow>, StoreError> {
    execute!(tx, PREPARE, key.account, key.currency.code())?;
    fetch_optional!(TreasuryRow, tx, TREASURY, key.account, key.currency.code())
}

/// Writes what an observation came to; `false` if another observation was written meanwhile.
pub(super) async fn save(tx: &mut Tx, key: LedgerKey<'_>, row: &TreasuryRow) -> Result<bool, StoreError> {
    let saved = execute!(
        tx,
        SAVE,
        key.account,
        key.currency.code(),
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
