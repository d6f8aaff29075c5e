//! Transactions that share a turn of the writer: each is whole, each is answered for itself.

use futures_util::future::join_all;
use secrecy::SecretString;

use super::*;
use crate::store::{
    Sql, StoreOptions, sql,
    sqlite::{SqliteTx, run},
};

const NEW: Sql = Sql::same("t.insert", "INSERT INTO t (id, n) VALUES ($1, $2) ON CONFLICT DO NOTHING");
const COUNT: Sql = Sql::same("c.take", "UPDATE c SET n = n + $1 WHERE n + $1 <= $2 RETURNING n");
const WITH: Sql = Sql::same("t.with", "WITH new (id) AS (SELECT $1) INSERT INTO t (id) SELECT id FROM new");
const MISSING: Sql = Sql::same("gone.insert", "INSERT INTO gone (id) VALUES ($1)");

async fn open(folder: &tempfile::TempDir) -> SqliteStore {
    let path = folder.path().join("noshi.db").display().to_string();
    let options =
        StoreOptions { create: true, ..StoreOptions::of_command(SecretString::from(format!("sqlite://{path}")), 2) };
    let store = SqliteStore::open(&path, &options, &Arc::default()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for text in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))",
        "CREATE TABLE c (n INTEGER)",
        "INSERT INTO c VALUES (0)",
    ] {
        run(&mut tx.writer.connection, text).await.unwrap();
    }
    tx.commit().await.unwrap();
    store
}

/// A row of `t`, and one more in the count, which goes up to `most`.
fn new(id: i64, n: i64, most: i64) -> JoinedParts {
    let mut parts = JoinedParts::default();
    parts.add(&NEW, 1);
    parts.bind(id).unwrap();
    parts.bind(n).unwrap();
    parts.add(&COUNT, 1);
    parts.bind(1_i64).unwrap();
    parts.bind(most).unwrap();
    parts
}

async fn write(store: &SqliteStore, parts: JoinedParts) -> Result<(), StoreError> {
    store.write_together(parts, store.queue().unwrap()).await
}

/// The rows of `t`, and the count.
async fn written(store: &SqliteStore) -> (Vec<i64>, i64) {
    let mut reader = store.reader().await.unwrap();
    let ids: Vec<(i64,)> = sql::sqlite_as("SELECT id FROM t ORDER BY id").fetch_all(&mut *reader).await.unwrap();
    let count: (i64,) = sql::sqlite_as("SELECT n FROM c").fetch_one(&mut *reader).await.unwrap();
    (ids.into_iter().map(|(id,)| id).collect(), count.0)
}

/// The bytes of the log. Each commit of its own writes a frame of a page at least.
fn log(folder: &tempfile::TempDir) -> u64 {
    std::fs::metadata(folder.path().join("noshi.db-wal")).unwrap().len()
}

#[tokio::test]
async fn those_that_wait_are_whole_and_share_a_commit() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    write(&store, new(0, 1, 1000)).await.unwrap();
    let before = log(&folder);
    let done = join_all((1..=100).map(|id| write(&store, new(id, 1, 1000)))).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(written(&store).await, ((0..=100).collect(), 101));
    let grown = log(&folder) - before;
    assert!(grown < 50 * 4096, "{grown} bytes: nearly every transaction had a commit of its own");
}

#[tokio::test]
async fn whoever_is_refused_is_left_out_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    write(&store, new(0, 1, 1000)).await.unwrap();
    // Of each five: one that is there already, one that the table refuses, one that does not fit.
    let work = (1..=20).map(|at| match at % 5 {
        1 => new(0, 1, 1000),
        2 => new(at, 100, 1000),
        3 => new(at, 1, 0),
        _ => new(at, 1, 1000),
    });
    let done = join_all(work.map(|parts| write(&store, parts))).await;
    for (at, done) in (1..).zip(done) {
        match at % 5 {
            1 | 3 => assert!(matches!(done, Err(StoreError::Unmet)), "{at}: {done:?}"),
            2 => {
                let refused = done.unwrap_err();
                assert!(matches!(refused, StoreError::Database { statement: "commit", .. }), "{refused:?}");
                assert!(crate::kernel::Chain(&refused).to_string().contains("CHECK"), "{refused:?}");
            }
            _ => assert!(done.is_ok(), "{at}: {done:?}"),
        }
    }
    assert_eq!(written(&store).await, (vec![0, 4, 5, 9, 10, 14, 15, 19, 20], 9));
}

#[tokio::test]
async fn those_who_write_step_by_step_share_the_commit_and_keep_what_they_did() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    write(&store, new(0, 1, 1000)).await.unwrap();
    let stepped = |id: i64, drops: bool| {
        let store = store.clone();
        async move {
            let mut tx: SqliteTx = store.begin().await.unwrap();
            tx.run(new(id, 1, 1000)).await.unwrap();
            if drops { drop(tx) } else { tx.commit().await.unwrap() }
        }
    };
    let steps = join_all((1..=30).map(|at| stepped(at, at % 3 == 0)));
    let together = join_all((101..=130).map(|id| write(&store, new(id, if id % 3 == 0 { 100 } else { 1 }, 1000))));
    let ((), done) = tokio::join!(async { drop(steps.await) }, together);
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 20);
    let kept = |ids: std::ops::RangeInclusive<i64>| ids.filter(|id| id % 3 != 0);
    let expected: Vec<i64> = [0].into_iter().chain(kept(1..=30)).chain(kept(101..=130)).collect();
    let count = i64::try_from(expected.len()).unwrap();
    assert_eq!(written(&store).await, (expected, count));
}

#[tokio::test]
async fn one_by_one_a_part_that_is_not_met_ends_the_transaction() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(tx.run(new(1, 1, 0)).await, Err(StoreError::Unmet)));
    drop(tx);
    write(&store, new(2, 1, 1000)).await.unwrap();
    assert_eq!(written(&store).await, (vec![2], 1));
}

#[tokio::test]
async fn a_statement_that_cannot_be_prepared_is_that_of_its_own_caller() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let bad = || {
        let mut parts = JoinedParts::default();
        parts.add(&MISSING, 1);
        parts.bind(1_i64).unwrap();
        parts
    };
    for round in 0..2 {
        let (first, refused, second) = tokio::join!(
            write(&store, new(2 * round, 1, 1000)),
            write(&store, bad()),
            write(&store, new(2 * round + 1, 1, 1000))
        );
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(refused, Err(StoreError::Database { .. })), "{refused:?}");
    }
    assert_eq!(written(&store).await, (vec![0, 1, 2, 3], 4));
}

#[tokio::test]
async fn what_no_trigger_takes_is_left_to_be_written_step_by_step() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let with = |id: i64| {
        let mut parts = JoinedParts::default();
        parts.add(&WITH, 1);
        parts.bind(id).unwrap();
        parts
    };
    let (before, no_trigger, after) =
        tokio::join!(write(&store, new(1, 1, 1000)), write(&store, with(2)), write(&store, new(3, 1, 1000)));
    assert!(before.is_ok() && after.is_ok(), "{before:?} {after:?}");
    assert!(matches!(no_trigger, Err(StoreError::Unmet)), "{no_trigger:?}");
    let mut tx = store.begin().await.unwrap();
    tx.run(with(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(written(&store).await, (vec![1, 2, 3], 2));
}

#[tokio::test]
async fn a_transaction_that_a_broken_task_left_open_is_rolled_back_by_the_next() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    write(&store, new(0, 1, 1000)).await.unwrap();
    for text in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (7, 7)"] {
        run(&mut store.writer.lock().await.connection, text).await.unwrap();
    }
    write(&store, new(1, 1, 1000)).await.unwrap();
    assert_eq!(written(&store).await, (vec![0, 1], 2));
}

#[tokio::test]
async fn whoever_gives_up_before_their_turn_has_written_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let held = store.begin().await.unwrap();
    let mut waiting: Vec<_> = (1..=3).map(|id| Box::pin(write(&store, new(id, 1, 1000)))).collect();
    for one in &mut waiting {
        assert!(futures_util::poll!(one.as_mut()).is_pending());
    }
    // They are taken for the turn that waits for the writer; who comes after it is not yet.
    tokio::task::yield_now().await;
    drop(waiting.remove(0));
    let mut late = Box::pin(write(&store, new(9, 1, 1000)));
    assert!(futures_util::poll!(late.as_mut()).is_pending());
    drop(late);
    held.commit().await.unwrap();
    assert!(join_all(waiting).await.iter().all(Result::is_ok));
    write(&store, new(4, 1, 1000)).await.unwrap();
    assert_eq!(written(&store).await, (vec![2, 3, 4], 3));
}

#[tokio::test]
async fn a_closed_file_takes_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    store.close().await;
    let refused = write(&store, new(1, 1, 1000)).await;
    assert!(matches!(refused, Err(StoreError::Database { statement: "begin", .. })), "{refused:?}");
}
