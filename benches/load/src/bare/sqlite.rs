//! One thread owns the one connection that writes, and commits together what has come while the last commit ran.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::{What, Write, answer, batch};
use crate::failure::{Doing, Failure};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS rewards (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, minor INTEGER NOT NULL, \
                      state INTEGER NOT NULL, card TEXT) STRICT";
const INTENT: &str = "INSERT INTO rewards (id, key, minor, state) VALUES (?1, ?2, ?3, 0)";
const OUTCOME: &str = "UPDATE rewards SET state = 1, card = ?2 WHERE id = ?1 AND state = 0";
/// How often another connection moves the log into the file, and how many pages of log are too many.
const CHECKPOINT: Duration = Duration::from_millis(200);
const PAGES_MAX: i64 = 16_384;

fn open(path: &str) -> Result<Connection, Failure> {
    let connection = Connection::open(path).doing("the database's file")?;
    connection.busy_timeout(Duration::from_secs(5)).doing("the database's file")?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")
        .doing("the database's file")?;
    Ok(connection)
}

/// Starts the threads that write.
pub(super) fn begin(path: &str, mut waiting: mpsc::Receiver<Write>) -> Result<(), Failure> {
    let writer = open(path)?;
    writer.execute_batch(SCHEMA).doing("the schema")?;
    let checkpointer = open(path)?;
    thread::spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let batch = batch(first, &mut waiting);
            let committed = commit(&writer, &batch).is_ok();
            answer(batch, committed);
        }
    });
    thread::spawn(move || {
        loop {
            let began = Instant::now();
            checkpoint(&checkpointer);
            thread::sleep(CHECKPOINT.saturating_sub(began.elapsed()));
        }
    });
    Ok(())
}

fn commit(writer: &Connection, batch: &[Write]) -> rusqlite::Result<()> {
    writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let written: rusqlite::Result<()> = batch.iter().try_for_each(|write| {
        let changed = match &write.what {
            What::Intent { id, key, minor } => writer.prepare_cached(INTENT)?.execute(params![id, key, minor])?,
            What::Outcome { id, card } => writer.prepare_cached(OUTCOME)?.execute(params![id, card])?,
        };
        if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
    });
    let end = if written.is_ok() { "COMMIT" } else { "ROLLBACK" };
    writer.prepare_cached(end)?.execute([])?;
    written
}

/// A passive checkpoint keeps nobody waiting. The log begins anew only by one that does, for a moment.
fn checkpoint(connection: &Connection) {
    let pages = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
    if pages.is_ok_and(|pages| pages > PAGES_MAX) {
        // One that is busy is tried again the next time.
        drop(connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, i64>(0)));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn write(what: What) -> (Write, oneshot::Receiver<bool>) {
        let (done, heard) = oneshot::channel();
        (Write { what, done }, heard)
    }

    #[test]
    fn a_batch_is_committed_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path().join("rewards.db").to_str().unwrap()).unwrap();
        file.execute_batch(SCHEMA).unwrap();
        let intent = |id| write(What::Intent { id, key: format!("key {id}"), minor: 100 }).0;
        commit(&file, &[intent(1), intent(2)]).unwrap();
        commit(&file, &[write(What::Outcome { id: 1, card: "A1".to_owned() }).0, intent(3)]).unwrap();
        assert!(commit(&file, &[intent(4), intent(3)]).is_err(), "a key that was used");
        let rows: String = file
            .query_row("SELECT group_concat(id || ':' || state, ' ' ORDER BY id) FROM rewards", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, "1:1 2:0 3:0");
    }

    #[test]
    fn whoever_waits_hears_only_after_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rewards.db");
        let (send, waiting) = mpsc::channel(8);
        begin(path.to_str().unwrap(), waiting).unwrap();
        let (one, heard) = write(What::Intent { id: 7, key: "key".to_owned(), minor: 100 });
        send.blocking_send(one).ok().unwrap();
        assert!(heard.blocking_recv().unwrap());
        let count: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM rewards WHERE id = 7", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 1);
    }
}
