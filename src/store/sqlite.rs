//! SQLite: one writer whose transactions share durable commits, and readers of their own.
//!
//! Transactions run one after the other on the only write connection, each inside a savepoint of a common
//! `BEGIN IMMEDIATE`. A finished transaction queues for the connection again; the first one in the queue commits for all
//! before it. So a group forms while transactions wait, without a timer, and a single transaction commits at once. `commit`
//! returns to each of them only after the COMMIT of their group is on the disk.

mod joined;
mod lock;
mod place;
pub(super) mod question;
mod together;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf, absolute},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, watch},
};

pub(crate) use self::joined::JoinedParts;
pub(super) use self::lock::{check_index, take_lock};
use self::{
    joined::{JoinedViews, is_open},
    lock::{is_marked, mark, wait_for_lock},
    place::FilePlace,
    question::Question,
    together::WriterQueue,
};
use super::{ACQUIRE_TIMEOUT, Conn, QUESTION_MAX, StoreError, StoreOptions, sql, writes::Writes};
use crate::failpoint;

/// Transactions that may wait for the writer; the next one is refused.
const WAITING_MAX: usize = 512;
/// Transactions that share one commit at most.
const GROUP_MAX: usize = 128;
// SQLite before 3.51.3 can corrupt a WAL that two connections reset at once.
const _: () = assert!(libsqlite3_sys::SQLITE_VERSION_NUMBER >= 3_051_003);

/// The open file.
#[derive(Clone, Debug)]
pub(super) struct SqliteStore {
    writer: Arc<Mutex<Writer>>,
    waiting: Arc<AtomicUsize>,
    together: Arc<WriterQueue>,
    readers: SqlitePool,
    /// Read as well, for questions alone.
    questions: SqlitePool,
    question_max: Option<Duration>,
    place: Arc<FilePlace>,
    runtime: Handle,
    /// The lock file of the process that serves the database, held until the store is closed.
    serving: Arc<std::sync::Mutex<Option<File>>>,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    place: Arc<FilePlace>,
    group: Option<CommitGroup>,
    /// For transactions that are one statement.
    views: JoinedViews,
    /// A transaction was dropped inside its savepoint; the next holder of the writer rolls it back first.
    torn: bool,
    /// The store is closed, and another process may serve the file: write nothing.
    closed: bool,
    writes: Arc<Writes>,
}

/// The transactions since BEGIN that wait for the same COMMIT.
#[derive(Debug)]
struct CommitGroup {
    members: usize,
    fate: watch::Sender<Fate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Failed,
}

/// One transaction: the writer's connection, inside a savepoint.
pub(super) struct SqliteTx {
    writer: OwnedMutexGuard<Writer>,
    store: SqliteStore,
    /// The savepoint is released, so dropping has nothing to roll back.
    released: bool,
}

impl SqliteStore {
    pub(super) async fn open(path: &str, options: &StoreOptions, writes: &Arc<Writes>) -> Result<Self, StoreError> {
        if path.is_empty() || path.contains(['?', ':']) {
            return Err(StoreError::Open("sqlite:// is followed by the path of a file".to_owned()));
        }
        let path = PathBuf::from(path);
        if !options.exclusive {
            check_index(&path).await?;
        }
        let serving = if options.exclusive { Some(wait_for_lock(&path, options.lock_wait).await?) } else { None };
        if options.exclusive && options.create && is_missing(&path) && serving.as_ref().is_some_and(is_marked) {
            let why = "there was a database and it is gone: put it back, or begin with an empty one by `noshi migrate`";
            return Err(StoreError::Open(why.to_owned()));
        }
        if options.create {
            create_private(&path).map_err(|error| StoreError::Open(format!("the database file: {}", error.kind())))?;
        } else if !path.exists() || (options.exclusive && is_missing(&path)) {
            let whole = absolute(&path).unwrap_or(path);
            let why = format!("there is no such file as {}: `noshi migrate` makes it", whole.display());
            return Err(StoreError::Open(why));
        }
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What undoes a statement, and the views of joined statements: no folder has to take files of theirs.
            .pragma("temp_store", "MEMORY")
            .busy_timeout(Duration::from_secs(5));
        let writer =
            SqliteConnection::connect_with(&connect).await.map_err(|error| StoreError::database("connect", error))?;
        let failed = |what| move |error: io::Error| StoreError::Open(format!("{what}: {}", error.kind()));
        let place = Arc::new(FilePlace::of(&path).map_err(failed("the database file"))?);
        serving.as_ref().map_or(Ok(()), mark).map_err(failed("the lock file beside the database"))?;
        let connect = connect.read_only(true);
        let pool = |most| {
            let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE_TIMEOUT);
            // A file does not hang up.
            pool.test_before_acquire(false).connect_lazy_with(connect.clone())
        };
        let (readers, questions) = (pool(options.connections_max), pool(options.questions_max()));
        let question_max = options.ends_questions().then_some(QUESTION_MAX);
        Ok(Self {
            writer: Arc::new(Mutex::new(Writer {
                connection: writer,
                place: Arc::clone(&place),
                group: None,
                views: JoinedViews::default(),
                torn: false,
                closed: false,
                writes: Arc::clone(writes),
            })),
            waiting: Arc::default(),
            together: Arc::default(),
            readers,
            questions,
            question_max,
            place,
            runtime: Handle::current(),
            serving: Arc::new(std::sync::Mutex::new(serving)),
        })
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.place.check()?;
        self.readers.acquire().await.map_err(|error| StoreError::database("acquire", error))
    }

    pub(super) async fn question(&self) -> Result<Question, StoreError> {
        self.place.check()?;
        let connection = self.questions.acquire().await.map_err(|error| StoreError::database("acquire", error))?;
        Question::ask(connection, self.question_max, &self.runtime).await
    }

    /// Begins a transaction. It runs in a task of its own, to its end even if the caller's future is dropped: a BEGIN whose
    /// result is lost would leave the connection in an unknown state. If the caller has gone, the transaction is dropped,
    /// and so rolled back.
    pub(super) async fn begin(&self) -> Result<SqliteTx, StoreError> {
        self.begin_from(self.queue()?).await
    }

    /// The same for who has a place already.
    pub(super) async fn begin_from(&self, place: QueuePlace) -> Result<SqliteTx, StoreError> {
        self.runtime.spawn(self.clone().begin_in_group(place)).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn begin_in_group(self, place: QueuePlace) -> Result<SqliteTx, StoreError> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        drop(place);
        writer.check_open()?;
        self.place.check()?;
        writer.roll_back_torn().await;
        if writer.group.as_ref().is_some_and(|group| group.members >= GROUP_MAX) {
            writer.commit_group().await;
        }
        writer.open_group().await?;
        if let Err(error) = run(&mut writer.connection, "SAVEPOINT noshi").await {
            writer.fail_group().await;
            return Err(StoreError::database("savepoint", error));
        }
        Ok(SqliteTx { writer, store: self, released: false })
    }

    pub(super) async fn migrate(&self, migrator: &sqlx::migrate::Migrator) -> Result<(), StoreError> {
        self.tidy().await;
        let mut writer = self.writer.lock().await;
        writer.check_open()?;
        #[cfg(debug_assertions)]
        set_step_failpoints(&mut writer.connection).await?;
        let migrated = migrator.run_direct(None, &mut writer.connection, false).await.map_err(StoreError::Migrate);
        #[cfg(debug_assertions)]
        clear_step_failpoints(&mut writer.connection).await?;
        migrated
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.questions.close().await;
        let mut writer = self.writer.lock().await;
        writer.roll_back_torn().await;
        writer.commit_group().await;
        writer.closed = true;
        // Released here and not by the last clone: a server's worker may keep a clone after the server has stopped. And by
        // name, because a process that is being started at this instant has a copy of every descriptor until it is another
        // program: the lock would end with the last copy.
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = serving.map(|lock| lock.unlock()) {
            tracing::warn!(error = %crate::kernel::Chain(&error), "the lock of the database was not released");
        }
    }

    /// Leaves nothing open: rolls back a dropped transaction, and commits the group.
    async fn tidy(&self) {
        let mut writer = self.writer.lock().await;
        writer.roll_back_torn().await;
        writer.commit_group().await;
    }
}

/// Makes failpoints inside the migrations' transactions, one each few steps of SQLite's virtual machine.
#[cfg(debug_assertions)]
async fn set_step_failpoints(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const STEPS: i32 = 5;
    let mut handle = connection.lock_handle().await.map_err(|error| StoreError::database("migrate", error))?;
    handle.set_progress_handler(STEPS, || {
        failpoint::pass("migrate", "step");
        true
    });
    Ok(())
}

#[cfg(debug_assertions)]
async fn clear_step_failpoints(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut handle = connection.lock_handle().await.map_err(|error| StoreError::database("migrate", error))?;
    handle.remove_progress_handler();
    Ok(())
}

impl Writer {
    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed { Err(StoreError::database("begin", sqlx::Error::PoolClosed)) } else { Ok(()) }
    }

    async fn roll_back_torn(&mut self) {
        if self.torn {
            self.undo().await;
            self.torn = false;
        }
    }

    async fn open_group(&mut self) -> Result<(), StoreError> {
        if self.group.is_none() {
            let mut begun = run(&mut self.connection, "BEGIN IMMEDIATE").await;
            if begun.is_err() && is_open(&mut self.connection).await {
                // A task broke down between a BEGIN and its group. Nobody was answered what is in it.
                self.roll_back().await;
                begun = run(&mut self.connection, "BEGIN IMMEDIATE").await;
            }
            begun.map_err(|error| StoreError::database("begin", error))?;
            self.group = Some(CommitGroup { members: 0, fate: watch::Sender::new(Fate::Open) });
        }
        Ok(())
    }

    /// Commits the open group and publishes the result to its members.
    async fn commit_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        failpoint::pass("store", "before_commit");
        let done = run(&mut self.connection, "COMMIT").await;
        failpoint::pass("store", "after_commit");
        match done {
            Ok(()) => {
                self.place.note_log();
                match self.place.check() {
                    Ok(()) => group.fate.send_replace(Fate::Committed),
                    // It is on the disk, but nobody will find it there.
                    Err(_lost) => group.fate.send_replace(Fate::Failed),
                }
            }
            Err(error) => {
                self.writes.failed(&error);
                tracing::error!(error = %crate::kernel::Chain(&error), "a commit failed; its transactions are rolled back");
                self.roll_back().await;
                group.fate.send_replace(Fate::Failed)
            }
        };
    }

    /// Gives up everything since BEGIN, when the connection cannot go on.
    async fn fail_group(&mut self) {
        let group = self.group.take();
        self.roll_back().await;
        if let Some(group) = group {
            group.fate.send_replace(Fate::Failed);
        }
    }

    async fn roll_back(&mut self) {
        // SQLite may have rolled back by itself, as on a full disk. Then this fails, and nothing is left to do.
        if let Err(error) = run(&mut self.connection, "ROLLBACK").await {
            tracing::debug!(error = %crate::kernel::Chain(&error), "nothing was left to roll back");
        }
    }

    /// Rolls the last transaction back, and leaves the others of its group as they are.
    async fn undo(&mut self) {
        let undone = run(&mut self.connection, "ROLLBACK TO noshi").await.is_ok()
            && run(&mut self.connection, "RELEASE noshi").await.is_ok();
        let alone = self.group.as_ref().is_none_or(|group| group.members == 0);
        if !undone || alone {
            self.fail_group().await;
        }
    }
}

impl SqliteTx {
    /// Does what was known of the transaction before it began.
    pub(super) async fn run(&mut self, parts: JoinedParts) -> Result<(), StoreError> {
        parts.run_each(&mut self.writer.connection).await
    }

    pub(super) fn conn(&mut self) -> Conn<'_> {
        Conn::Sqlite(&mut self.writer.connection)
    }

    /// Queues for the writer again, and commits the group unless another member already did. It runs in a task of its own,
    /// to its end even if the caller's future is dropped.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let runtime = self.store.runtime.clone();
        runtime.spawn(self.commit_in_group()).await.unwrap_or(Err(StoreError::Unconfirmed))
    }

    async fn commit_in_group(mut self) -> Result<(), StoreError> {
        self.released = true;
        if let Err(error) = run(&mut self.writer.connection, "RELEASE noshi").await {
            self.writer.fail_group().await;
            return Err(StoreError::database("release", error));
        }
        let Some(group) = self.writer.group.as_mut() else { return Err(StoreError::Unconfirmed) };
        group.members = group.members.saturating_add(1);
        let (fate, mut decided) = (group.fate.subscribe(), group.fate.subscribe());
        let store = self.store.clone();
        drop(self);
        tokio::select! {
            biased;
            () = async { drop(decided.wait_for(|fate| *fate != Fate::Open).await) } => {}
            mut writer = store.writer.lock() => {
                writer.roll_back_torn().await;
                let open = *fate.borrow() == Fate::Open;
                if open {
                    writer.commit_group().await;
                }
            }
        }
        let fate = *fate.borrow();
        match fate {
            Fate::Committed => Ok(()),
            Fate::Open | Fate::Failed => Err(StoreError::Unconfirmed),
        }
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if !self.released {
            self.writer.torn = true;
            let store = self.store.clone();
            drop(self.store.runtime.spawn(async move { store.tidy().await }));
        }
    }
}

/// A place in the queue for the writer.
pub(super) struct QueuePlace(Arc<AtomicUsize>);

impl QueuePlace {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, StoreError> {
        let place = Self(Arc::clone(waiting));
        match waiting.fetch_add(1, Ordering::AcqRel) {
            before if before < WAITING_MAX => Ok(place),
            _ => Err(StoreError::Busy),
        }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn run(connection: &mut SqliteConnection, text: &'static str) -> Result<(), sqlx::Error> {
    sql::sqlite(text).execute(connection).await.map(|_done| ())
}

/// Creates the file readable by its owner alone; SQLite gives the WAL beside it the same mode.
/// A file without a byte is what a copy leaves on a full disk. It is no database.
fn is_missing(path: &Path) -> bool {
    path.metadata().map_or(true, |found| found.len() == 0)
}

fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

#[cfg(test)]
mod tests;
