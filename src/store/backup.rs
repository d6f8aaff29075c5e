//! Copies a SQLite file while a process serves it. PostgreSQL has tools of its own for this.
//!
//! SQLite writes the copy itself (`VACUUM INTO`), from one read transaction: the copy holds what was committed when it began,
//! no writer waits for it, and it is one file without a WAL. It becomes a back-up after it was read back, found whole and
//! synced to the disk. Until then it has another name, so that a crash leaves nothing that looks like a back-up.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    StoreError, row, sql, sqlite,
    trusted_file::{self, FileError},
};
use crate::failpoint;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why no back-up was made, or why a file is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The database's file is not there.
    #[error("there is no database at {0}")]
    Absent(PathBuf),
    /// No file is ever overwritten.
    #[error("{0} is there already")]
    Taken(PathBuf),
    /// Another process is writing a copy under this name.
    #[error("another process is writing {0}")]
    UnderWay(PathBuf),
    /// SQLite finds the file damaged, or it is not a SQLite file.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file does not hold our tables.
    #[error("the file holds no database of this program's")]
    Foreign,
    /// The path is not UTF-8.
    #[error("the path is not UTF-8")]
    Path,
    /// A file operation failed.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// A file that somebody else may have made, or may change.
    #[error(transparent)]
    File(#[from] FileError),
    /// SQLite.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to count in a database: a statement each, with one column `rows`, from the room that owns the table.
pub(crate) type Counts = [&'static str; 2];

/// What a whole database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The number of its last migration.
    pub(crate) schema: i64,
    /// The result of each statement of [`Counts`].
    pub(crate) rows: [i64; 2],
}

/// A file's size and fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) bytes: u64,
    /// In lower-case hex, as `sha256sum` prints it.
    pub(crate) sha256: String,
}

/// A copy that was found whole and is on the disk, still under a temporary name.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Locked, so that of two processes one writes it. A killed process leaves an unlocked file, which is overwritten.
    file: File,
    part: PathBuf,
    pub(crate) contents: Contents,
}

row! {
    struct CheckRow { found: String }
}

row! {
    struct SchemaRow { schema: Option<i64> }
}

row! {
    struct CountRow { rows: i64 }
}

// SQLite's alone, and not all of them can be prepared: they are no `statements!`.
const COPY: &str = "VACUUM INTO $1";
const CHECK: &str = "SELECT integrity_check AS found FROM pragma_integrity_check LIMIT 20";
const CHECK_KEYS: &str =
    "SELECT \"table\" || ' refers to a row that is not there' AS found FROM pragma_foreign_key_check LIMIT 20";
const SCHEMA: &str = "SELECT MAX(version) AS schema FROM _sqlx_migrations WHERE success";

/// Writes a copy of `database` to `part`, reads it back and syncs it to the disk. A process that serves the database is not
/// disturbed.
///
/// # Errors
/// [`CopyError`]; `part` is gone then.
pub(crate) async fn copy(database: &Path, part: PathBuf, counts: Counts) -> Result<Copied, CopyError> {
    if !database.is_file() {
        return Err(CopyError::Absent(database.to_owned()));
    }
    sqlite::check_index(database).await?;
    let file = begin(&part)?;
    match write(database, &part, &file, counts).await {
        Ok(contents) => Ok(Copied { file, part, contents }),
        Err(error) => {
            drop(fs::remove_file(&part));
            Err(error)
        }
    }
}

/// Creates the file, empty, for its owner alone.
fn begin(part: &Path) -> Result<File, CopyError> {
    let failed = |error| CopyError::Io("the copy cannot be created", error);
    // Truncated only after the lock: another process may be writing it.
    let file = trusted_file::to_write(part)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(CopyError::UnderWay(part.to_owned())),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    Ok(file)
}

async fn write(database: &Path, part: &Path, file: &File, counts: Counts) -> Result<Contents, CopyError> {
    let target = part.to_str().ok_or(CopyError::Path)?;
    let mut source = open(database).await?;
    failpoint::pass("backup", "before_copy");
    let copied = sql::sqlite(COPY).bind(target).execute(&mut source).await;
    copied.map_err(|error| unreadable("backup.copy", error))?;
    source.close().await.map_err(|error| StoreError::database("close", error))?;
    failpoint::pass("backup", "copied");
    let contents = inspect(part, counts).await?;
    failpoint::pass("backup", "checked");
    file.sync_all().map_err(|error| CopyError::Io("the copy did not reach the disk", error))?;
    Ok(contents)
}

/// Opens a read-only connection.
pub(super) async fn open(file: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(std::time::Duration::from_secs(5));
    options.disable_statement_logging().connect().await.map_err(|error| StoreError::database("connect", error))
}

/// Reads every page of a file that no process writes, and returns what it holds.
///
/// # Errors
/// [`CopyError::Damaged`] with SQLite's own text, [`CopyError::Foreign`], [`CopyError::Store`].
pub(crate) async fn inspect(file: &Path, counts: Counts) -> Result<Contents, CopyError> {
    let mut connection = open(file).await?;
    let found = inspect_open(&mut connection, counts).await;
    connection.close().await.map_err(|error| StoreError::database("close", error))?;
    found
}

async fn inspect_open(connection: &mut SqliteConnection, counts: Counts) -> Result<Contents, CopyError> {
    for statement in [CHECK, CHECK_KEYS] {
        let found: Vec<CheckRow> =
            sql::sqlite_as(statement).fetch_all(&mut *connection).await.map_err(|error| unreadable("check", error))?;
        let wrong: Vec<String> = found.into_iter().map(|row| row.found).filter(|found| found != "ok").collect();
        if !wrong.is_empty() {
            return Err(CopyError::Damaged(wrong.join("; ")));
        }
    }
    let row: SchemaRow = sql::sqlite_as(SCHEMA).fetch_one(&mut *connection).await.map_err(foreign)?;
    let schema = row.schema.ok_or(CopyError::Foreign)?;
    let mut rows = [0; 2];
    for (count, statement) in rows.iter_mut().zip(counts) {
        let row: CountRow = sql::sqlite_as(statement).fetch_one(&mut *connection).await.map_err(foreign)?;
        *count = row.rows;
    }
    Ok(Contents { schema, rows })
}

/// A file without our tables is no database of ours.
fn foreign(error: sqlx::Error) -> CopyError {
    let no_table = error.as_database_error().is_some_and(|refused| refused.message().starts_with("no such table"));
    if no_table { CopyError::Foreign } else { unreadable("contents", error) }
}

/// SQLite's error for a file that it cannot read is a finding about the file, not a failure of ours.
fn unreadable(statement: &'static str, error: sqlx::Error) -> CopyError {
    if primary_code(&error).is_some_and(|code| [CORRUPT, NOT_A_DATABASE].contains(&code)) {
        return CopyError::Damaged(error.to_string());
    }
    StoreError::database(statement, error).into()
}

/// SQLITE_BUSY: another process has the file open.
pub(super) const BUSY: i32 = 5;
/// SQLITE_CORRUPT.
pub(super) const CORRUPT: i32 = 11;
/// SQLITE_NOTADB.
pub(super) const NOT_A_DATABASE: i32 = 26;

/// SQLite's result code, without the bits of the extended one.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

impl Copied {
    /// Where it lies until it has its name.
    pub(crate) fn file(&self) -> &Path {
        &self.part
    }

    /// Gives the copy its name, durably.
    ///
    /// # Errors
    /// [`CopyError::Taken`] where something has that name; [`CopyError::Io`]. The copy is gone then.
    pub(crate) fn keep_as(mut self, name: &Path) -> Result<Seal, CopyError> {
        let kept = self.seal(&mut io::sink()).and_then(|seal| {
            let renamed = trusted_file::rename_to_new(&self.part, name);
            if !renamed.map_err(|error| CopyError::Io("the copy cannot be renamed", error))? {
                return Err(CopyError::Taken(name.to_owned()));
            }
            failpoint::pass("backup", "renamed");
            sync_folder_of(name)?;
            Ok(seal)
        });
        if kept.is_err() {
            drop(fs::remove_file(&self.part));
        }
        kept
    }

    /// Writes the copy to `out`, and removes it.
    ///
    /// # Errors
    /// [`CopyError::Io`]; what was written is not whole then.
    pub(crate) fn pour(mut self, out: &mut impl Write) -> Result<Seal, CopyError> {
        let poured = self.seal(out);
        drop(fs::remove_file(&self.part));
        poured
    }

    /// Copies the file to `out`, and returns its seal.
    fn seal(&mut self, out: &mut impl Write) -> Result<Seal, CopyError> {
        let failed = |error| CopyError::Io("the copy cannot be read and handed on", error);
        self.file.rewind().map_err(failed)?;
        let seal = transfer(&mut self.file, out).map_err(failed)?;
        out.flush().map_err(failed)?;
        Ok(seal)
    }
}

/// Copies all bytes, and returns their number and fingerprint.
pub(super) fn transfer(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Seal> {
    let (mut chunk, mut hash, mut bytes) = (vec![0; CHUNK_BYTES], Sha256::new(), 0_u64);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else { break };
        to.write_all(part)?;
        hash.update(part);
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok(Seal { bytes, sha256: HEXLOWER.encode(&hash.finalize()) })
}

/// Makes a file's name durable, by syncing the folder that holds it.
pub(super) fn sync_folder_of(file: &Path) -> Result<(), CopyError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CopyError::Io("the folder did not reach the disk", error))
}

/// The path with an ending behind its name.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The temporary name of a copy until it is whole.
#[must_use]
pub(crate) fn part_of(name: &Path) -> PathBuf {
    beside(name, ".part")
}
