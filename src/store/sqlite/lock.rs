//! The lock of the one process that serves a file. It stands in a file beside the database, which says as well that there is a database, and
//! who took the lock last: whoever is refused learns whom to end.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use super::place;
use crate::store::{StoreError, backup::beside};

/// The pause between two tries for the lock of the process that serves the file. A killed process holds the lock until the
/// kernel has ended it, and one that drains until it has closed the file.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// If the database is gone one day, it was lost, and is not to be made anew.
const MARK: &str = "a database of noshi is beside this file\n";
/// Bytes of the longest name of a machine that is read.
const HOLDER_BYTES_MAX: usize = 200;

/// Writes into the lock file that a database is beside it, and who serves it.
pub(super) fn mark(lock: &File) -> io::Result<()> {
    if !is_marked(lock) {
        lock.write_all_at(MARK.as_bytes(), 0)?;
    }
    sign(lock);
    Ok(())
}

pub(super) fn is_marked(lock: &File) -> bool {
    lock.metadata().is_ok_and(|found| found.len() > 0)
}

/// Writes behind the mark which process has the lock. Nothing depends on it but a message, so that a full disk stops nobody.
fn sign(lock: &File) {
    // In a container every program is the first process: its name tells two of them apart.
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let holder = format!("process {} on {}\n", std::process::id(), machine.trim());
    let (from, length) = (MARK.len(), holder.len());
    let signed = lock.write_all_at(holder.as_bytes(), u64::try_from(from).unwrap_or_default());
    let end = u64::try_from(from.saturating_add(length)).unwrap_or_default();
    drop(signed.and_then(|()| lock.set_len(end)));
}

/// Who has the lock, as far as the file says.
fn holder(path: &Path) -> String {
    let read = fs::read_to_string(lock_of(path)).unwrap_or_default();
    let line = read.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('\n'));
    let named =
        line.filter(|line| line.len() <= HOLDER_BYTES_MAX && line.chars().all(|c| c.is_ascii_graphic() || c == ' '));
    named.unwrap_or("another process").to_owned()
}

/// The file's name without symbolic links: the lock stands beside it under its own name, so every name must lead to one lock.
/// A hard link is a second name that this does not find.
fn one_name(path: &Path) -> PathBuf {
    // Before the file is there, only its folder can be a link.
    path.canonicalize().unwrap_or_else(|_absent| match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        (_, _) => path.to_owned(),
    })
}

fn lock_of(path: &Path) -> PathBuf {
    beside(&one_name(path), ".lock")
}

/// Refuses to open a database beside the process that serves it, where the two would not see each other's commits.
pub(in crate::store) async fn check_index(path: &Path) -> Result<(), StoreError> {
    place::refuse_without_index(path, &lock_of(path)).await
}

/// Takes the lock of the process that serves the file, and waits for the process before it to let go.
pub(super) async fn wait_for_lock(path: &Path, limit: Duration) -> Result<File, StoreError> {
    if let Some(lock) = try_lock(path)? {
        return Ok(lock);
    }
    tracing::warn!(
        seconds.at_most = limit.as_secs(),
        process.holder = holder(path),
        "another process serves this database; waiting for its end"
    );
    let freed = async {
        loop {
            tokio::time::sleep(LOCK_PAUSE).await;
            if let Some(lock) = try_lock(path)? {
                return Ok(lock);
            }
        }
    };
    tokio::time::timeout(limit, freed).await.unwrap_or_else(|_elapsed| take_lock(path))
}

/// Takes the lock of the process that serves the file. Two such processes would each take the other's leases for their own.
pub(in crate::store) fn take_lock(path: &Path) -> Result<File, StoreError> {
    try_lock(path)?.ok_or_else(|| {
        let file = absolute(path).unwrap_or_else(|_error| path.to_owned());
        StoreError::Open(format!(
            "{} serves {}: end it first, or name another file in store.url. One process serves a file of SQLite; for more, use PostgreSQL",
            holder(path),
            file.display()
        ))
    })
}

/// `None` when another process holds it.
fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let failed = |error: io::Error| StoreError::Open(format!("the lock file beside the database: {}", error.kind()));
    let mut open = OpenOptions::new();
    // It keeps what is in it.
    open.create(true).truncate(false).read(true).write(true).mode(0o600);
    let file = open.open(lock_of(path)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            if is_marked(&file) {
                sign(&file);
            }
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
