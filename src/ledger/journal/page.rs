//! Pages of the ledger, in the order of writing.
//!
//! What a reader asks for decides how far a page may have to look. An entry does not say which client it belongs to. Nor does its id say
//! when it was written: one clock that was ahead wrote the instants of next year among those of today. So the entries of one client, and
//! those of a time, are looked for window by window, and a page ends after some windows, full or not.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{LedgerEntry, LedgerEntryRow, settled};
use crate::{
    ambient::Ambient,
    http::paging::end_of_time,
    identity::OwnedBy,
    kernel::ProgramId,
    ledger::movements::Movement,
    store::{Snapshot, Sql, StoreError, feed::SettledRow, fetch_all, fetch_optional, statements},
};

/// The entries with ids after `$1` (`$of` says so), up to `$5`, written from `$2` until `$3`, at most `$4`; of the program `$6` and the
/// kind `$7`, where they are given. What the caller calls a reward is looked up for those that are shown.
macro_rules! page {
    ($of:literal) => {
        concat!(
            "SELECT e.id, e.at, e.account, e.currency, e.kind, e.debit, e.credit, e.amount_minor, e.reward_id, e.program_id, \
             e.note, e.made_by, (SELECT r.external_id FROM rewards r WHERE r.id = e.reward_id) AS external_id \
             FROM ledger_entries e WHERE ",
            $of,
            " AND e.id <= $5 AND e.at >= $2 AND e.at < $3 AND (CAST($6 AS TEXT) IS NULL OR e.program_id = $6) \
             AND (CAST($7 AS TEXT) IS NULL OR e.kind = $7) ORDER BY e.id LIMIT $4"
        )
    };
}

/// The same of the rewards of the client `$8`, among the entries of a window.
macro_rules! page_of_client {
    ($of:literal) => {
        concat!(
            "SELECT e.id, e.at, e.account, e.currency, e.kind, e.debit, e.credit, e.amount_minor, e.reward_id, e.program_id, \
             e.note, e.made_by, r.external_id FROM ledger_entries e CROSS JOIN rewards r WHERE ",
            $of,
            " AND e.id <= $5 AND e.at >= $2 AND e.at < $3 AND (CAST($6 AS TEXT) IS NULL OR e.program_id = $6) \
             AND (CAST($7 AS TEXT) IS NULL OR e.kind = $7) AND r.id = e.reward_id AND r.client_id = $8 ORDER BY e.id LIMIT $4"
        )
    };
}

macro_rules! window {
    ($of:literal) => {
        concat!(
            "SELECT COALESCE(MAX(id), 0) AS id FROM (SELECT id FROM ledger_entries WHERE ",
            $of,
            " AND id <= $2 ORDER BY id LIMIT $3) AS seen"
        )
    };
}

// Where PostgreSQL takes an account for frequent, it would go through the entries of all accounts: the order of the account's own index says where
// it is to begin. SQLite would begin that at the account's first entry.
statements! {
    PAGE = Sql::same("ledger_entries.page", page!("e.id > $1"));
    PAGE_OF_ACCOUNT = Sql::each(
        "ledger_entries.page_of_account",
        page!("e.account = $8 AND e.id > $1"),
        page!("e.account = $8 AND (e.account, e.id) > ($8, $1)"),
    );
    /// The entries of one client's rewards.
    PAGE_OF_CLIENT = Sql::same("ledger_entries.page_of_client", page_of_client!("e.id > $1"));
    PAGE_OF_CLIENT_AND_ACCOUNT = Sql::each(
        "ledger_entries.page_of_client_and_account",
        page_of_client!("e.account = $9 AND e.id > $1"),
        page_of_client!("e.account = $9 AND (e.account, e.id) > ($9, $1)"),
    );
    /// Where a window of so many entries ends; 0 where there is none.
    WINDOW = Sql::same("ledger_entries.window", window!("id > $1"));
    WINDOW_OF_ACCOUNT = Sql::each(
        "ledger_entries.window_of_account",
        window!("account = $4 AND id > $1"),
        window!("account = $4 AND (account, id) > ($4, $1)"),
    );
}

/// How far a page is looked for where few entries may be the reader's.
#[derive(Debug, Clone, Copy)]
struct EntryWindows {
    /// Entries of one window, which is one statement.
    entries: i64,
    /// Windows of one page…
    most: u32,
    /// …and for how long another one is begun.
    begin_for: Duration,
}

/// A question has four times as long, and a page that ends early has got somewhere.
const WINDOWS: EntryWindows = EntryWindows { entries: 10_000, most: 10, begin_for: Duration::from_millis(500) };

/// Which entries a reader asks for.
#[derive(Debug, Clone)]
pub(crate) struct EntryFilter {
    /// Those after this one.
    pub(crate) after: i64,
    /// Those of this partner account.
    pub(crate) account: Option<String>,
    /// Those written at this instant or later.
    pub(crate) from: DateTime<Utc>,
    /// Those written before this instant.
    pub(crate) to: DateTime<Utc>,
    /// Those that this program paid for.
    pub(crate) program: Option<ProgramId>,
    /// Those of this movement.
    pub(crate) movement: Option<&'static Movement>,
    /// Those about what is shown to the reader.
    pub(crate) shown: OwnedBy,
    /// At most this many.
    pub(crate) limit: i64,
}

/// Entries, and where to go on.
pub(crate) struct EntryPage {
    pub(crate) entries: Vec<LedgerEntry>,
    /// After this id; `None` where nothing is left.
    pub(crate) next: Option<i64>,
}

impl EntryPage {
    fn of(rows: Vec<LedgerEntryRow>, limit: i64, looked_until: Option<i64>) -> Result<Self, StoreError> {
        let full = i64::try_from(rows.len()) == Ok(limit);
        let next = if full { rows.last().map(|row| row.id) } else { looked_until };
        Ok(Self { entries: rows.into_iter().map(LedgerEntry::try_from).collect::<Result<_, _>>()?, next })
    }
}

/// The ids between which the entries are.
#[derive(Debug, Clone, Copy)]
struct EntryIds {
    after: i64,
    until: i64,
}

/// A page of entries. None is shown while one with a smaller id can still be committed.
pub(crate) async fn page(
    snapshot: &mut Snapshot,
    filter: &EntryFilter,
    ambient: &Ambient,
) -> Result<EntryPage, StoreError> {
    let reach = EntryIds { after: filter.after, until: settled(snapshot).await? };
    let any_time = filter.from <= DateTime::UNIX_EPOCH && filter.to >= end_of_time();
    if any_time && filter.shown.client.is_none() && filter.program.is_none() && filter.movement.is_none() {
        return EntryPage::of(entries(snapshot, filter, reach, filter.limit).await?, filter.limit, None);
    }
    page_of_windows(snapshot, filter, reach, &WINDOWS, ambient).await
}

async fn page_of_windows(
    snapshot: &mut Snapshot,
    filter: &EntryFilter,
    mut reach: EntryIds,
    windows: &EntryWindows,
    ambient: &Ambient,
) -> Result<EntryPage, StoreError> {
    let (mut found, began) = (Vec::new(), ambient.monotonic());
    for _ in 0..windows.most {
        let Some(end) = window(snapshot, filter.account.as_deref(), reach, windows.entries).await? else {
            return EntryPage::of(found, filter.limit, None);
        };
        let left = filter.limit.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        found.extend(entries(snapshot, filter, EntryIds { after: reach.after, until: end }, left).await?);
        if i64::try_from(found.len()) == Ok(filter.limit) {
            break;
        }
        reach.after = end;
        if ambient.monotonic().saturating_duration_since(began) > windows.begin_for {
            break;
        }
    }
    EntryPage::of(found, filter.limit, Some(reach.after))
}

/// Where the next window ends; `None` where no entry is left.
async fn window(
    snapshot: &mut Snapshot,
    account: Option<&str>,
    EntryIds { after, until }: EntryIds,
    entries: i64,
) -> Result<Option<i64>, StoreError> {
    let row = match account {
        None => fetch_optional!(SettledRow, snapshot, WINDOW, after, until, entries)?,
        Some(account) => fetch_optional!(SettledRow, snapshot, WINDOW_OF_ACCOUNT, after, until, entries, account)?,
    };
    Ok(row.map(|row| row.id).filter(|id| *id > 0))
}

/// The reader's among the entries between these ids, at most so many.
async fn entries(
    snapshot: &mut Snapshot,
    filter: &EntryFilter,
    EntryIds { after, until }: EntryIds,
    limit: i64,
) -> Result<Vec<LedgerEntryRow>, StoreError> {
    let EntryFilter { from, to, shown, .. } = filter;
    // A bound key that asks for another program is shown nothing.
    let asked = filter.program.as_ref().or(shown.program.as_ref());
    if shown.program.as_ref().is_some_and(|own| Some(own) != asked) {
        return Ok(Vec::new());
    }
    let (program, kind) = (asked.map(ProgramId::as_str), filter.movement.map(|movement| movement.kind));
    let account = filter.account.as_deref();
    match (shown.client.map(|client| client.uuid()), account) {
        (None, None) => fetch_all!(LedgerEntryRow, snapshot, PAGE, after, from, to, limit, until, program, kind),
        (None, Some(account)) => {
            fetch_all!(LedgerEntryRow, snapshot, PAGE_OF_ACCOUNT, after, from, to, limit, until, program, kind, account)
        }
        (Some(client), None) => {
            fetch_all!(LedgerEntryRow, snapshot, PAGE_OF_CLIENT, after, from, to, limit, until, program, kind, client)
        }
        (Some(client), Some(account)) => fetch_all!(
            LedgerEntryRow,
            snapshot,
            PAGE_OF_CLIENT_AND_ACCOUNT,
            after,
            from,
            to,
            limit,
            until,
            program,
            kind,
            client,
            account
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{Currency, Money},
        ledger::{journal, movements::RESERVE},
        store::{Store, StoreOptions, migrate::migrate},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn pages_that_end_early_lead_to_each_entry_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display()).into();
        let store = Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url, 1) }).await.unwrap();
        migrate(&store).await.unwrap();
        let (early, late) = (DateTime::UNIX_EPOCH, DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let mut tx = store.begin().await.unwrap();
        for at in [early, early, early, early, early, late, early, late, late] {
            let posting = journal::Posting::new(&RESERVE, "main", Money::from_minor(1, Currency::Usd));
            journal::write(&mut tx, &posting, at).await.unwrap();
        }
        tx.commit(()).await.unwrap();
        let (account, shown) = (None, OwnedBy { client: None, program: None });
        let (from, to, program, movement) = (late, end_of_time(), None, None);
        let mut filter = EntryFilter { after: 0, account, from, to, program, movement, shown, limit: 10 };
        let windows = |begin_for| EntryWindows { entries: 2, most: 2, begin_for };
        for (windows, wanted) in [
            (windows(Duration::MAX), vec![vec![], vec![6, 8], vec![9]]),
            (windows(Duration::ZERO), vec![vec![], vec![], vec![6], vec![8], vec![9], vec![]]),
        ] {
            let (mut pages, mut next) = (Vec::new(), Some(0));
            while let Some(after) = next {
                filter.after = after;
                let mut snapshot = store.snapshot().await.unwrap();
                let reach = EntryIds { after, until: settled(&mut snapshot).await.unwrap() };
                let page = page_of_windows(&mut snapshot, &filter, reach, &windows, &Ambient::system()).await.unwrap();
                pages.push(page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>());
                next = page.next;
            }
            assert_eq!(pages, wanted);
        }
        store.close().await;
    }
}
