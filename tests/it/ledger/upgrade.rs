//! What was bought before there was a ledger is in it after the migration, and what becomes of it later follows from there.

use noshi::store::{
    Store, StoreOptions,
    migrate::{Schema, migrate, schema},
};

use crate::support::{Backend, Database, on_each_backend};

/// The last schema without a ledger.
const BEFORE: i64 = 3;

/// A reward's state, its Amazon id's length, and what the ledger must hold of its value.
const REWARDS: [(&str, usize, &str); 9] = [
    ("pending", 32, "reserved"),
    ("issuing", 32, "reserved"),
    ("unresolved", 32, "reserved"),
    ("needs_attention", 32, "reserved"),
    ("issued", 32, "issued"),
    ("canceling", 32, "issued"),
    ("failed", 32, "none"),
    ("canceled", 32, "none"),
    // A mock id of Amazon's sandbox.
    ("issued", 5, "none"),
];

pub(crate) fn insert(backend: Backend, at: usize, state: &str, id_len: usize) -> String {
    let (client, no) = match backend {
        Backend::Sqlite => ("X'01900000000070008000000000000001'", "0"),
        Backend::Postgres => ("'01900000000070008000000000000001'", "FALSE"),
    };
    let (id, intent) = match backend {
        Backend::Sqlite => {
            (format!("X'019000000000700080000000000000{at:02x}'"), format!("X'{}{at:02x}'", "ab".repeat(19)))
        }
        Backend::Postgres => {
            (format!("'019000000000700080000000000000{at:02x}'"), format!("'\\x{}{at:02x}'", "ab".repeat(19)))
        }
    };
    let amazon = if id_len == 5 { "F0000".to_owned() } else { format!("Awssb{}{at:02}", "A".repeat(30)) };
    let time = "'2026-01-02T03:04:05.000000+00:00'";
    format!(
        "INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, kind, \
         amount_minor, currency, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, \
         deliveries, events, created_at, updated_at) VALUES ({id}, {client}, {intent}, 'main', 'US', 'sandbox', '{amazon}', \
         'gift_code', {amount}, 'USD', 'keep', '{state}', 2, {no}, {no}, {no}, 1, 0, 1, {time}, {time})",
        amount = 1 << at,
    )
}

on_each_backend! {
    async fn what_was_bought_before_there_was_a_ledger_is_in_it(backend: Backend) {
        let database = Database::fresh(backend).await;
        database.migrate_to(BEFORE).await;
        let client = match backend {
            Backend::Sqlite => "X'01900000000070008000000000000001'",
            Backend::Postgres => "'01900000000070008000000000000001'",
        };
        let made = format!("INSERT INTO clients (id, name, created_at) VALUES ({client}, 'tests', '2026-01-02T03:04:05.000000+00:00')");
        database.execute(&made).await.unwrap();
        for (at, (state, id_len, _booked)) in REWARDS.into_iter().enumerate() {
            database.execute(&insert(backend, at, state, id_len)).await.unwrap();
        }
        let options = StoreOptions { create: true, ..StoreOptions::of_command(database.url().to_owned().into(), 4) };
        let store = Store::open(&options).await.unwrap();
        migrate(&store).await.unwrap();
        assert_eq!(schema(&store).await.unwrap(), Schema::Current);
        store.close().await;
        let worth = |booked: &[&str]| -> i64 {
            let of = REWARDS.iter().enumerate().filter(|(_at, (_state, _len, held))| booked.contains(held));
            of.map(|(at, _reward)| 1 << at).sum()
        };
        for (kind, booked) in [("reserved", &["reserved", "issued"][..]), ("issued", &["issued"][..])] {
            let sum = format!("SELECT CAST(SUM(amount_minor) AS BIGINT) FROM ledger_entries WHERE kind = '{kind}'");
            assert_eq!(database.number(&sum).await, worth(booked), "{kind}");
        }
        for (at, (state, id_len, booked)) in REWARDS.into_iter().enumerate() {
            let stands = format!("SELECT COUNT(*) FROM rewards WHERE amount_minor = {} AND booked = '{booked}'", 1 << at);
            assert_eq!(database.number(&stands).await, 1, "{state}, an id of {id_len}");
        }
        database.remove().await;
    }
}
