//! What a transaction promises: all or nothing, and nothing to do with its neighbours, also where they share a commit.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use noshi::{
    ambient::Ambient,
    identity::{
        Scopes, clients,
        keys::{self, ApiKey, mint},
    },
    kernel::ClientId,
    store::{Store, Tx},
};

use super::migrated;
use crate::support::{Backend, Database, look::Look, on_each_backend};

/// A transaction's work: a client of this name.
async fn write(tx: &mut Tx, ambient: &Ambient, name: &str) -> ClientId {
    let now = ambient.now();
    clients::find_or_make(tx, name, None, now).await.unwrap()
}

/// Work that the database refuses: a key of a client that does not exist.
async fn offend(tx: &mut Tx, ambient: &Ambient) {
    let (now, minted) = (ambient.now(), mint(ambient).unwrap());
    let key = ApiKey {
        id: minted.id,
        client: ClientId::new(ambient.row_id(now).unwrap()),
        client_name: String::new(),
        name: "orphan".to_owned(),
        secret_sha256: minted.secret_sha256,
        scopes: Scopes::new(noshi::server::scopes()),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        program: None,
        replaces: None,
    };
    assert!(keys::insert(tx, &key).await.is_err(), "a key needs its client");
}

async fn names(database: &Database) -> BTreeSet<String> {
    let mut look = Look::at(database).await;
    let columns = look.columns().await;
    let column =
        columns.into_iter().find(|column| (column.table.as_str(), column.name.as_str()) == ("clients", "name"));
    let values = look.bytes(&column.unwrap()).await;
    values.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

/// What one of many does with its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Commit,
    Drop,
    OffendAndDrop,
    OffendAndCommit,
    /// Its task is killed between the write and the commit.
    Killed,
}

const WAYS: [Way; 8] = [
    Way::Commit,
    Way::Drop,
    Way::Commit,
    Way::OffendAndDrop,
    Way::Commit,
    Way::Killed,
    Way::Commit,
    Way::OffendAndCommit,
];

type Confirmed = Arc<Mutex<BTreeSet<String>>>;

async fn go(store: Store, ambient: Ambient, way: Way, name: String, confirmed: Confirmed) {
    let mut tx = store.begin().await.unwrap();
    write(&mut tx, &ambient, &name).await;
    match way {
        Way::Commit => {
            tx.commit(()).await.unwrap();
            confirmed.lock().unwrap().insert(name);
        }
        Way::Drop => drop(tx),
        Way::OffendAndDrop => offend(&mut tx, &ambient).await,
        Way::OffendAndCommit => {
            offend(&mut tx, &ambient).await;
            if tx.commit(()).await.is_ok() {
                confirmed.lock().unwrap().insert(name);
            }
        }
        Way::Killed => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            tx.commit(()).await.unwrap();
        }
    }
}

on_each_backend! {
    async fn a_transaction_that_is_dropped_leaves_nothing_and_disturbs_nobody(backend: Backend) {
        let database = Database::fresh(backend).await;
        let (store, ambient) = (migrated(&database).await, Ambient::movable(1));
        let mut dropped = store.begin().await.unwrap();
        write(&mut dropped, &ambient, "dropped").await;
        drop(dropped);
        let mut kept = store.begin().await.unwrap();
        write(&mut kept, &ambient, "kept").await;
        kept.commit(()).await.unwrap();
        let mut offended = store.begin().await.unwrap();
        write(&mut offended, &ambient, "offended").await;
        offend(&mut offended, &ambient).await;
        drop(offended);
        let mut last = store.begin().await.unwrap();
        write(&mut last, &ambient, "last").await;
        last.commit(()).await.unwrap();
        let wanted: BTreeSet<String> = ["kept", "last"].map(str::to_owned).into();
        assert_eq!(names(&database).await, wanted);
        store.clone().close().await;
        assert!(store.begin().await.is_err(), "nobody writes past the end");
        assert_eq!(names(&database).await, wanted, "and it stays so");
        database.remove().await;
    }

    async fn nothing_is_told_to_be_committed_that_is_not_there(backend: Backend) {
        let database = Database::fresh(backend).await;
        let (store, ambient) = (migrated(&database).await, Ambient::movable(2));
        let mut tx = store.begin().await.unwrap();
        write(&mut tx, &ambient, "before").await;
        offend(&mut tx, &ambient).await;
        // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and that is no error to its driver.
        assert!(tx.commit(()).await.is_err(), "a transaction in which a statement failed is not committed");
        assert!(!names(&database).await.contains("before"), "nor is a part of it");
        store.close().await;
        database.remove().await;
    }

    async fn of_many_at_once_exactly_the_committed_ones_are_kept(backend: Backend) {
        let database = Database::fresh(backend).await;
        let (store, ambient) = (migrated(&database).await, Ambient::movable(3));
        let confirmed = Confirmed::default();
        let mut committed = 0;
        // Rounds, because a killed task holds SQLite's only writer until it dies.
        for round in 0..10 {
            let tasks: Vec<_> = (0..32).map(|at| {
                let way = WAYS[(at * 3 + round) % WAYS.len()];
                committed += usize::from(way == Way::Commit);
                let work = go(store.clone(), ambient.clone(), way, format!("{way:?} {round} {at}"), Arc::clone(&confirmed));
                #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
                let task = tokio::spawn(work);
                (way, task)
            }).collect();
            // Killed at different moments: waiting for a connection, at work, or long done with its write.
            for (at, (_way, task)) in tasks.iter().filter(|(way, _task)| *way == Way::Killed).enumerate() {
                tokio::time::sleep(Duration::from_millis(at as u64 * 3)).await;
                task.abort();
            }
            for (way, task) in tasks {
                let ended = task.await;
                assert!(ended.is_ok() || (way == Way::Killed && ended.unwrap_err().is_cancelled()), "{way:?}");
            }
        }
        let confirmed = confirmed.lock().unwrap().clone();
        assert_eq!(confirmed.iter().filter(|name| name.starts_with("Commit ")).count(), committed);
        assert!(committed >= 100, "{committed}");
        assert_eq!(names(&database).await, confirmed);
        store.close().await;
        assert_eq!(names(&database).await, confirmed, "and it stays so");
        database.remove().await;
    }
}
