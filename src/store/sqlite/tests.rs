//! The settings of the connections, and shared commits, seen from inside.

use secrecy::SecretString;

use super::{lock::LOCK_PAUSE, *};

async fn open(folder: &tempfile::TempDir) -> SqliteStore {
    try_open(folder, false).await.unwrap()
}

async fn try_open(folder: &tempfile::TempDir, exclusive: bool) -> Result<SqliteStore, StoreError> {
    let path = folder.path().join("noshi.db").display().to_string();
    let url = SecretString::from(format!("sqlite://{path}"));
    let lock_wait = Duration::from_secs(20);
    SqliteStore::open(
        &path,
        &StoreOptions { exclusive, create: true, lock_wait, ..StoreOptions::of_command(url, 2) },
        &Arc::default(),
    )
    .await
}

/// The settings that decide what a crash may cost: journal, synchronous (2 is FULL), foreign keys.
async fn in_force(connection: &mut SqliteConnection) -> (String, i64, i64) {
    let journal: (String,) = sql::sqlite_as("PRAGMA journal_mode").fetch_one(&mut *connection).await.unwrap();
    let synchronous: (i64,) = sql::sqlite_as("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap();
    let foreign_keys: (i64,) = sql::sqlite_as("PRAGMA foreign_keys").fetch_one(&mut *connection).await.unwrap();
    (journal.0, synchronous.0, foreign_keys.0)
}

#[tokio::test]
async fn the_writer_and_the_readers_keep_a_wal_that_is_synced_at_every_commit() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let wanted = ("wal".to_owned(), 2, 1);
    assert_eq!(in_force(&mut store.writer.lock().await.connection).await, wanted);
    assert_eq!(in_force(&mut store.reader().await.unwrap()).await, wanted);
    // Also inside a transaction, where it counts.
    let mut tx = store.begin().await.unwrap();
    assert_eq!(in_force(&mut tx.writer.connection).await, wanted);
}

#[tokio::test]
async fn transactions_that_wait_for_one_another_share_a_commit() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut first = store.begin().await.unwrap();
    run(&mut first.writer.connection, "CREATE TABLE t (n INTEGER)").await.unwrap();
    first.commit().await.unwrap();
    let frames = std::fs::metadata(folder.path().join("noshi.db-wal")).unwrap().len();
    let work = (0..100).map(|_| async {
        let mut tx = store.begin().await.unwrap();
        run(&mut tx.writer.connection, "INSERT INTO t VALUES (1)").await.unwrap();
        tx.commit().await.unwrap();
    });
    futures_util::future::join_all(work).await;
    let mut reader = store.reader().await.unwrap();
    let count: (i64,) = sql::sqlite_as("SELECT COUNT(*) FROM t").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(count.0, 100);
    // Each commit of its own writes a frame of a page at least.
    let grown = std::fs::metadata(folder.path().join("noshi.db-wal")).unwrap().len() - frames;
    assert!(grown < 50 * 4096, "{grown} bytes: nearly every transaction had a commit of its own");
}

#[tokio::test]
async fn who_comes_while_the_one_before_still_ends_waits_for_the_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let before = try_open(&folder, true).await.unwrap();
    let ending = async {
        tokio::time::sleep(LOCK_PAUSE * 5).await;
        before.close().await;
    };
    let (next, ()) = tokio::join!(try_open(&folder, true), ending);
    next.unwrap();
}

#[tokio::test]
async fn a_file_has_one_lock_by_whichever_link_it_is_named() {
    let (folder, links) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
    let serving = try_open(&folder, true).await.unwrap();
    let (of_file, of_folder) = (links.path().join("other.db"), links.path().join("folder"));
    std::os::unix::fs::symlink(folder.path().join("noshi.db"), &of_file).unwrap();
    std::os::unix::fs::symlink(folder.path(), &of_folder).unwrap();
    let names = [of_file, of_folder.join("noshi.db")];
    for name in &names {
        let refused = take_lock(name).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {} on ", std::process::id())),
            "a second process would serve it: {refused}"
        );
    }
    serving.close().await;
    for name in &names {
        assert!(take_lock(name).is_ok(), "{}", name.display());
    }
}

#[tokio::test]
async fn a_closed_file_is_free_although_a_copy_of_its_lock_is_open() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = try_open(&folder, true).await.unwrap();
    // What a child has between its fork and its exec.
    let copy = store.serving.lock().unwrap().as_ref().unwrap().try_clone().unwrap();
    store.close().await;
    assert!(take_lock(&folder.path().join("noshi.db")).is_ok());
    drop(copy);
}
