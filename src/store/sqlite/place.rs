//! Whether the open files still have their names.
//!
//! SQLite goes on with a file that was deleted or replaced: its commits are on the disk, and nobody finds them again. So each
//! transaction asks before it begins and after it has committed whether the names still lead to the files that were opened.
//! The files are only looked at: to open and close one would release the locks that SQLite holds on it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::store::{StoreError, backup::beside};

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

/// Where the database and its log lie.
#[derive(Debug)]
pub(super) struct FilePlace {
    path: PathBuf,
    database: FileNumber,
    log_path: PathBuf,
    /// Known after the first commit: before it another process may still remove the log with its last connection.
    log: OnceLock<FileNumber>,
}

impl FilePlace {
    /// The place of a database that is open.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let log_path = beside(path, "-wal");
        Ok(Self { database: FileNumber::of(path)?, path: path.to_owned(), log_path, log: OnceLock::new() })
    }

    /// Keeps the log in mind. From the first commit on no process but ours may remove it.
    pub(super) fn note_log(&self) {
        if self.log.get().is_none()
            && let Ok(log) = FileNumber::of(&self.log_path)
        {
            self.log.get_or_init(|| log);
        }
    }

    /// Refuses to go on where a name leads to nothing or to another file.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let log = self.log.get().map(|log| (&self.log_path, *log));
        for (path, opened) in std::iter::once((&self.path, self.database)).chain(log) {
            match FileNumber::of(path) {
                Ok(found) if found == opened => {}
                Ok(_other) => return Err(StoreError::Lost(format!("{} is another file now", path.display()))),
                Err(error) => return Err(StoreError::Lost(format!("{}: {}", path.display(), error.kind()))),
            }
        }
        if self.path.metadata().is_ok_and(|found| found.len() == 0) {
            return Err(StoreError::Lost(format!("{} was emptied", self.path.display())));
        }
        Ok(())
    }
}
