//! The ledger accounts as rows: the same in the code and in the database, and what an entry refers to.

use noshi::{
    ledger::{chart::LedgerAccount, movements},
    store::{Store, StoreOptions, migrate::migrate},
};

use crate::support::{Backend, Database, look::Look, on_each_backend};

/// The last schema whose ledger accounts were a list of words in a CHECK.
const BEFORE: i64 = 7;
const ENTRIES: i64 = 1024;

fn entry(kind: &str, debit: &str, credit: &str) -> String {
    format!(
        "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) VALUES \
         ('2026-01-02T03:04:05.000000+00:00', 'main', 'USD', '{kind}', '{debit}', '{credit}', 500)"
    )
}

async fn migrated(database: &Database) {
    let options = StoreOptions { create: true, ..StoreOptions::of_command(database.url().to_owned().into(), 4) };
    let store = Store::open(&options).await.unwrap();
    migrate(&store).await.unwrap();
    store.close().await;
}

/// Where the table's rows lie: another place would mean that they were copied.
async fn place(database: &Database) -> i64 {
    let text = match database.backend {
        Backend::Sqlite => "SELECT rootpage FROM sqlite_schema WHERE name = 'ledger_entries'",
        Backend::Postgres => "SELECT CAST(pg_relation_filenode('ledger_entries') AS BIGINT)",
    };
    database.number(text).await
}

on_each_backend! {
    async fn the_chart_of_accounts_is_the_same_in_the_code_and_in_the_database(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await;
        for account in LedgerAccount::ALL {
            let (name, side) = (account.as_str(), account.normal_side().as_str());
            let counted = i64::from(account.in_expected_balance());
            let same = format!(
                "SELECT COUNT(*) FROM ledger_accounts WHERE name = '{name}' AND normal_side = '{side}' \
                 AND CASE WHEN in_expected_balance THEN 1 ELSE 0 END = {counted}"
            );
            assert_eq!(database.number(&same).await, 1, "{name}");
        }
        let rows = database.number("SELECT COUNT(*) FROM ledger_accounts").await;
        assert_eq!(rows, i64::try_from(LedgerAccount::ALL.len()).unwrap());
        for movement in movements::ALL {
            let text = entry(movement.kind, movement.debit.as_str(), movement.credit.as_str());
            assert_eq!(database.execute(&text).await.unwrap(), 1, "{}", movement.kind);
        }
        database.remove().await;
    }

    async fn a_ledger_account_is_a_row_and_an_entry_names_no_other(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await;
        for (debit, credit) in [("fees", "funds"), ("funds", "fees"), ("funds", "funds"), ("Funds", "deposits")] {
            assert!(database.execute(&entry("fee", debit, credit)).await.is_err(), "{credit} to {debit}");
        }
        let fees = "INSERT INTO ledger_accounts (name, normal_side, in_expected_balance, meaning) \
                    SELECT 'fees', normal_side, in_expected_balance, 'what a payment costs' FROM ledger_accounts \
                    WHERE name = 'issued'";
        assert_eq!(database.execute(fees).await.unwrap(), 1);
        assert_eq!(database.execute(&entry("fee", "fees", "funds")).await.unwrap(), 1);
        database.remove().await;
    }

    /// A ledger of today's releases may have millions of rows, and an upgrade waits for none of them.
    async fn a_ledger_from_before_is_taken_over_where_it_lies(backend: Backend) {
        let database = Database::fresh(backend).await;
        database.migrate_to(BEFORE).await;
        assert!(database.execute(&entry("fee", "issued", "funds")).await.is_err(), "the words are a list");
        database.execute(&entry("reserved", "reserved", "funds")).await.unwrap();
        while database.number("SELECT COUNT(*) FROM ledger_entries").await < ENTRIES {
            let columns = "at, account, currency, kind, debit, credit, amount_minor";
            let twice = format!("INSERT INTO ledger_entries ({columns}) SELECT {columns} FROM ledger_entries");
            database.execute(&twice).await.unwrap();
        }
        let total = "INSERT INTO ledger_totals (account, currency, kind, debit, amount_minor, entries) \
                     VALUES ('main', 'USD', 'reserved', 'reserved', 512000, 1024)";
        database.execute(total).await.unwrap();
        // A connection that was there before, with the old definition in its memory.
        let (mut early, before) = (Look::at(&database).await, place(&database).await);
        early.run(&entry("reserved", "reserved", "funds")).await.unwrap();
        migrated(&database).await;
        assert_eq!(place(&database).await, before, "the rows were copied");
        assert_eq!(database.number("SELECT COUNT(*) FROM ledger_entries").await, ENTRIES + 1);
        assert_eq!(database.number("SELECT MAX(amount_minor) FROM ledger_totals").await, 512_000);
        let mut late = Look::at(&database).await;
        for look in [&mut early, &mut late] {
            assert_eq!(look.run(&entry("fee", "issued", "funds")).await.unwrap(), 1);
            assert!(look.run(&entry("fee", "fees", "funds")).await.is_err(), "no such ledger account");
            for change in ["UPDATE ledger_entries SET amount_minor = 1", "DELETE FROM ledger_entries"] {
                let refused = look.run(change).await.unwrap_err().to_string();
                assert!(refused.contains("append-only"), "{change}: {refused}");
            }
        }
        assert!(database.number("SELECT MAX(id) FROM ledger_entries").await >= ENTRIES + 3, "ids go on");
        if backend == Backend::Sqlite {
            let faults = "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
            assert_eq!(database.number(faults).await, 0);
            assert_eq!(database.number("SELECT COUNT(*) FROM pragma_foreign_key_check").await, 0);
        }
        drop((early, late));
        database.remove().await;
    }
}
