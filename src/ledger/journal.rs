//! The ledger: double entry, append-only. One entry for each movement of money that Amazon proved, and one for each
//! reservation, deposit and adjustment. Balances are sums; nothing else is kept.
//!
//! Each partner account has five ledger accounts. `funds` is what can be spent, `reserved` what purchases on their way
//! hold, `issued` what was bought, `deposits` what was paid in, `adjustments` what a person corrected. An entry moves an
//! amount from its credit to its debit side, so the sum over all five is always 0.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{Currency, Money, ProgramId, RewardId, outcome::words},
    store::{Snapshot, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

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
    PAGE = Sql::same(
        "ledger_entries.page",
        "SELECT id, at, account, currency, kind, debit, credit, amount_minor, reward_id, program_id, note, made_by \
         FROM ledger_entries WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR account = $2) AND at >= $3 AND at < $4 \
         ORDER BY id LIMIT $5",
    );
}

words! {
    /// Why money moved.
    Kind {
        /// What the account held when the ledger began.
        Opening = "opening",
        /// Funds paid in.
        Deposit = "deposit",
        /// A purchase began, and holds its value.
        Reserved = "reserved",
        /// Amazon proved the purchase.
        Issued = "issued",
        /// It is proven that nothing was bought: the value is free again.
        Released = "released",
        /// Amazon proved that the purchase was given back.
        Canceled = "canceled",
        /// A person corrected the funds.
        Adjustment = "adjustment",
    }
}

words! {
    /// A ledger account.
    Side {
        /// What can be spent.
        Funds = "funds",
        /// What purchases on their way hold.
        Reserved = "reserved",
        /// What was bought and not given back.
        Issued = "issued",
        /// What was paid in.
        Deposits = "deposits",
        /// What was corrected.
        Adjustments = "adjustments",
    }
}

words! {
    /// Where a reward's value stands in the ledger.
    Booked {
        /// Nowhere: nothing was bought, or it was given back.
        None = "none",
        /// Held for a purchase on its way.
        Reserved = "reserved",
        /// Spent.
        Issued = "issued",
    }
}

impl Kind {
    /// Debit and credit of an entry of this kind that adds to the funds or leaves them, as the kind says.
    #[must_use]
    pub const fn sides(self) -> (Side, Side) {
        match self {
            Self::Opening | Self::Deposit => (Side::Funds, Side::Deposits),
            Self::Reserved => (Side::Reserved, Side::Funds),
            Self::Issued => (Side::Issued, Side::Reserved),
            Self::Released => (Side::Funds, Side::Reserved),
            Self::Canceled => (Side::Funds, Side::Issued),
            Self::Adjustment => (Side::Funds, Side::Adjustments),
        }
    }
}

/// The entries that bring a reward's value from where it stands to where it belongs.
#[must_use]
pub const fn way(from: Booked, to: Booked) -> &'static [Kind] {
    match (from, to) {
        (Booked::None, Booked::None) | (Booked::Reserved, Booked::Reserved) | (Booked::Issued, Booked::Issued) => &[],
        (Booked::None, Booked::Reserved) => &[Kind::Reserved],
        // A version before the ledger made the reward, or a person found out that the purchase went through.
        (Booked::None, Booked::Issued) => &[Kind::Reserved, Kind::Issued],
        (Booked::Reserved, Booked::Issued) => &[Kind::Issued],
        (Booked::Reserved, Booked::None) => &[Kind::Released],
        (Booked::Issued, Booked::None) => &[Kind::Canceled],
        (Booked::Issued, Booked::Reserved) => &[Kind::Canceled, Kind::Reserved],
    }
}

/// One movement to be written.
#[derive(Debug, Clone)]
pub struct Movement<'a> {
    /// The partner account.
    pub account: &'a str,
    /// How much: above zero; an adjustment may be below.
    pub value: Money,
    /// Why.
    pub kind: Kind,
    /// For which reward.
    pub reward: Option<RewardId>,
    /// At which program's charge.
    pub program: Option<&'a ProgramId>,
    /// A person's words.
    pub note: Option<&'a str>,
    /// Who that was.
    pub made_by: Option<&'a str>,
}

/// Writes a movement. One of nothing writes nothing.
///
/// # Errors
/// [`StoreError`] from the database; a negative amount of any kind but an adjustment is refused there.
pub async fn write(tx: &mut Tx, movement: &Movement<'_>, at: DateTime<Utc>) -> Result<(), StoreError> {
    let (mut debit, mut credit) = movement.kind.sides();
    let mut minor = movement.value.minor();
    if minor == 0 {
        return Ok(());
    }
    if movement.kind == Kind::Adjustment && minor < 0 {
        (debit, credit, minor) = (credit, debit, minor.saturating_neg());
    }
    execute!(
        tx,
        INSERT,
        at,
        movement.account,
        movement.value.currency().code(),
        movement.kind.as_str(),
        debit.as_str(),
        credit.as_str(),
        minor,
        movement.reward.map(RewardId::uuid),
        movement.program.map(ProgramId::as_str),
        movement.note,
        movement.made_by
    )
    .map(|_one| ())
}

row! {
    struct SumRow { account: String, currency: String, kind: String, debit: String, amount_minor: i64, entries: i64 }
}

row! {
    struct EntryRow {
        id: i64, at: DateTime<Utc>, account: String, currency: String, kind: String, debit: String, credit: String,
        amount_minor: i64, reward_id: Option<Uuid>, program_id: Option<String>, note: Option<String>,
        made_by: Option<String>,
    }
}

/// One entry as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts up; the order of writing, with gaps.
    pub id: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The partner account.
    pub account: String,
    /// Why.
    pub kind: Kind,
    /// Where the value went.
    pub debit: Side,
    /// Where it came from.
    pub credit: Side,
    /// How much, above zero.
    pub value: Money,
    /// For which reward.
    pub reward: Option<RewardId>,
    /// At which program's charge.
    pub program: Option<String>,
    /// A person's words.
    pub note: Option<String>,
    /// Who that was.
    pub made_by: Option<String>,
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "ledger_entries", column }
}

impl TryFrom<EntryRow> for Entry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        Ok(Self {
            id: row.id,
            at: row.at,
            account: row.account,
            kind: Kind::from_word(&row.kind).ok_or_else(|| bad("kind"))?,
            debit: Side::from_word(&row.debit).ok_or_else(|| bad("debit"))?,
            credit: Side::from_word(&row.credit).ok_or_else(|| bad("credit"))?,
            value: Money::from_minor(row.amount_minor, currency),
            reward: row.reward_id.map(RewardId::new),
            program: row.program_id,
            note: row.note,
            made_by: row.made_by,
        })
    }
}

/// Which entries are asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Those after this one.
    pub after: i64,
    /// Of this partner account.
    pub account: Option<String>,
    /// Written at or after.
    pub from: DateTime<Utc>,
    /// Written before.
    pub to: DateTime<Utc>,
    /// At most so many.
    pub limit: i64,
}

/// A page of entries, in the order of writing.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn page(snapshot: &mut Snapshot, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
    let account = filter.account.as_deref();
    let rows = fetch_all!(EntryRow, snapshot, PAGE, filter.after, account, filter.from, filter.to, filter.limit)?;
    rows.into_iter().map(Entry::try_from).collect()
}

/// The sums of one partner account's entries, in minor units. Everything else about its money follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// The currency of all.
    pub currency: Currency,
    /// What it held when the ledger began.
    pub opening: i64,
    /// What was paid in since.
    pub deposits: i64,
    /// What was corrected; below zero when funds were taken off.
    pub adjustments: i64,
    /// What purchases have held, ever.
    pub reserved: i64,
    /// What Amazon proved to be bought, ever.
    pub issued: i64,
    /// What was not bought after all, ever.
    pub released: i64,
    /// What was given back, ever.
    pub canceled: i64,
    /// How many entries there are.
    pub entries: i64,
}

impl Sums {
    /// No entry at all.
    #[must_use]
    pub const fn none(currency: Currency) -> Self {
        Self {
            currency,
            opening: 0,
            deposits: 0,
            adjustments: 0,
            reserved: 0,
            issued: 0,
            released: 0,
            canceled: 0,
            entries: 0,
        }
    }

    /// Adds entries of one kind and one direction.
    pub fn add(&mut self, kind: Kind, debit: Side, minor: i64) {
        let sum = match kind {
            Kind::Opening => &mut self.opening,
            Kind::Deposit => &mut self.deposits,
            Kind::Adjustment => &mut self.adjustments,
            Kind::Reserved => &mut self.reserved,
            Kind::Issued => &mut self.issued,
            Kind::Released => &mut self.released,
            Kind::Canceled => &mut self.canceled,
        };
        let taken_off = kind == Kind::Adjustment && debit == Side::Adjustments;
        *sum = sum.saturating_add(if taken_off { minor.saturating_neg() } else { minor });
    }

    /// What Amazon must say can be spent, as long as no purchase is on its way: opening + deposits − issued + canceled,
    /// and what was corrected.
    #[must_use]
    pub const fn expected(&self) -> i64 {
        self.opening
            .saturating_add(self.deposits)
            .saturating_add(self.adjustments)
            .saturating_sub(self.issued)
            .saturating_add(self.canceled)
    }

    /// What purchases on their way hold: Amazon may have taken some of it already.
    #[must_use]
    pub const fn on_the_way(&self) -> i64 {
        self.reserved.saturating_sub(self.issued).saturating_sub(self.released)
    }
}

/// The sums of every partner account that has entries, by its id.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn sums(snapshot: &mut Snapshot) -> Result<Vec<(String, Sums)>, StoreError> {
    let mut all: Vec<(String, Sums)> = Vec::new();
    for row in fetch_all!(SumRow, snapshot, SUMS)? {
        let currency: Currency = row.currency.parse().map_err(|_error| bad("currency"))?;
        let kind = Kind::from_word(&row.kind).ok_or_else(|| bad("kind"))?;
        let debit = Side::from_word(&row.debit).ok_or_else(|| bad("debit"))?;
        let known = all.iter().position(|(account, sums)| *account == row.account && sums.currency == currency);
        let at = known.unwrap_or_else(|| {
            all.push((row.account.clone(), Sums::none(currency)));
            all.len().saturating_sub(1)
        });
        if let Some((_account, sums)) = all.get_mut(at) {
            sums.add(kind, debit, row.amount_minor);
            sums.entries = sums.entries.saturating_add(row.entries);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_ends_where_it_leads() {
        for from in Booked::ALL {
            for to in Booked::ALL {
                let mut held = [(Side::Reserved, *from == Booked::Reserved), (Side::Issued, *from == Booked::Issued)]
                    .map(|(side, holds)| (side, i64::from(holds)));
                for kind in way(*from, *to) {
                    let (debit, credit) = kind.sides();
                    for (side, holds) in &mut held {
                        *holds += i64::from(*side == debit) - i64::from(*side == credit);
                    }
                }
                let wanted = [i64::from(*to == Booked::Reserved), i64::from(*to == Booked::Issued)];
                assert_eq!(held.map(|(_side, holds)| holds), wanted, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn what_amazon_must_say_follows_from_the_sums() {
        let mut sums = Sums::none(Currency::Jpy);
        for (kind, debit, minor) in [
            (Kind::Opening, Side::Funds, 10_000),
            (Kind::Deposit, Side::Funds, 5_000),
            (Kind::Reserved, Side::Reserved, 3_000),
            (Kind::Issued, Side::Issued, 1_500),
            (Kind::Released, Side::Funds, 500),
            (Kind::Canceled, Side::Funds, 300),
            (Kind::Adjustment, Side::Adjustments, 7),
        ] {
            sums.add(kind, debit, minor);
        }
        assert_eq!((sums.expected(), sums.on_the_way()), (10_000 + 5_000 - 1_500 + 300 - 7, 1_000));
    }
}
