//! Whether the open files still have their names, and what was written to them.
//!
//! SQLite goes on with a file that was deleted or replaced: its commits are on the disk, and nobody finds them again. It goes on
//! with a log that was cut off, too, and leaves a hole where the commits were. Without the index of the log (`-shm`) two
//! processes do not see each other's commits, and write one over the other. So each transaction asks before it begins and
//! after it has committed whether the names still lead to the files that were opened. The files are only looked at: to open
//! and close one would release the locks that SQLite holds on it.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::store::{StoreError, backup::beside};

/// How often, and with which pause, to look whether a process that begins to serve has made its files.
const BEGIN_TRIES: usize = 50;
const BEGIN_PAUSE: Duration = Duration::from_millis(20);

/// The file that a name led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileNumber {
    device: u64,
    inode: u64,
}

impl FileNumber {
    fn of(path: &Path) -> io::Result<Self> {
        path.metadata().map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// Where the database lies, its log, and the index of the log.
#[derive(Debug)]
pub(super) struct FilePlace {
    path: PathBuf,
    database: FileNumber,
    log_path: PathBuf,
    index_path: PathBuf,
    /// Known after the first commit: before it another process may still remove both with its last connection.
    log: OnceLock<LogFiles>,
}

/// The log and its index.
#[derive(Debug)]
struct LogFiles {
    log: FileNumber,
    index: FileNumber,
    /// The log has had so many bytes. SQLite begins it anew from its start and does not cut it off.
    bytes: AtomicU64,
}

impl FilePlace {
    /// The place of a database that is open.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let (log_path, index_path) = (beside(path, "-wal"), beside(path, "-shm"));
        let database = FileNumber::of(path)?;
        Ok(Self { database, path: path.to_owned(), log_path, index_path, log: OnceLock::new() })
    }

    /// Keeps the log in mind, and how long it is. From the first commit on no process but ours may remove it.
    pub(super) fn note_log(&self) {
        if self.log.get().is_none()
            && let (Ok(log), Ok(index)) = (FileNumber::of(&self.log_path), FileNumber::of(&self.index_path))
        {
            self.log.get_or_init(|| LogFiles { log, index, bytes: AtomicU64::new(0) });
        }
        if let (Some(known), Ok(found)) = (self.log.get(), self.log_path.metadata()) {
            known.bytes.fetch_max(found.len(), Ordering::Relaxed);
        }
    }

    /// Refuses to go on where a name leads to nothing or to another file, or where a file lacks what was written.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.is_where_it_was(&self.path, self.database)?;
        if self.path.metadata().is_ok_and(|found| found.len() == 0) {
            return Err(StoreError::Lost(format!("{} was emptied", self.path.display())));
        }
        let Some(LogFiles { log, index, bytes }) = self.log.get() else { return Ok(()) };
        self.is_where_it_was(&self.log_path, *log)?;
        self.is_where_it_was(&self.index_path, *index)?;
        let written = bytes.load(Ordering::Relaxed);
        if self.log_path.metadata().is_ok_and(|found| found.len() < written) {
            return Err(StoreError::Lost(format!("{} was cut off", self.log_path.display())));
        }
        Ok(())
    }

    fn is_where_it_was(&self, path: &Path, opened: FileNumber) -> Result<(), StoreError> {
        match FileNumber::of(path) {
            Ok(found) if found == opened => Ok(()),
            Ok(_other) => Err(StoreError::Lost(format!("{} is another file now", path.display()))),
            Err(error) => Err(StoreError::Lost(format!("{}: {}", path.display(), error.kind()))),
        }
    }
}

/// Refuses to open a database under the process that serves it where the index of the log is gone. It would be made anew, and
/// neither process would see what the other one commits. A process that begins to serve makes it in a moment.
pub(super) async fn refuse_without_index(path: &Path, lock: &Path) -> Result<(), StoreError> {
    let index = beside(path, "-shm");
    for _try in 0..BEGIN_TRIES {
        if index.exists() || !is_held(lock) {
            return Ok(());
        }
        tokio::time::sleep(BEGIN_PAUSE).await;
    }
    let why =
        format!("{} is gone under the process that serves the database: restart that process first", index.display());
    Err(StoreError::Open(why))
}

/// Whether a process holds the lock. Where nobody does, it is taken for an instant.
fn is_held(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
